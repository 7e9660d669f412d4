#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian's own RDMA programs, on demand, between two network namespaces.

set -euo pipefail
. ./ends.sh

# The size of the transfers: more than a page, and more than a packet.
readonly SIZE=16384

# A program that hangs is ended. ibv_rc_pingpong gives up if no packet is acked
# for half a second, as happens on a busy machine: then it is run again.
readonly LIMIT=300 TRIES_OF_BOTH=5
readonly GAVE_UP='transport retry counter exceeded'

readonly PORT=18515

# listens: true once a program in namespace b does.
listens()
{
	ip netns exec b ss -Hltn "sport = :$PORT" | grep -q .
}

# in_netns NAME COMMAND...: a % in it is the name.
in_netns()
{
	local name=$1
	shift

	timeout "$LIMIT" ip netns exec "$name" "${@//%/$name}"
}

# once COMMAND...: run it as the server in b, then as the client in a.
once()
{
	local server status=0

	in_netns b "$@" -p "$PORT" -d rxe-% &
	server=$!
	wait_until listens &&
		in_netns a "$@" -p "$PORT" -d rxe-% 10.0.0.2 || status=$?
	[ "$status" -eq 0 ] || kill "$server"
	wait "$server" || status=$?
	return "$status"
}

# both COMMAND...: once(), and again if one end gave up.
both()
{
	local try out status

	for ((try = 0; try < TRIES_OF_BOTH; try++)); do
		status=0
		out=$(once "$@" 2>&1) || status=$?
		printf '%s\n' "$out"
		[[ $status -ne 0 && $out == *"$GAVE_UP"* ]] || break
	done
	return "$status"
}

# pingpong MTU: both ends send, and look at what they receive.
pingpong()
{
	both ibv_rc_pingpong -o -c -g "$(gid_index rxe-a)" -m "$1" \
		-s "$SIZE" -n 50
}

# bandwidth MTU PROGRAM: the buffers are files. The other end reaches the second
# half of each, and only a transfer makes it like the first half here.
bandwidth()
{
	local end buffer=/tmp/buffer

	for end in a b; do
		head -c $((2 * SIZE)) /dev/urandom > "$buffer-$end"
	done
	both "$2" -F --odp -x "$(gid_index rxe-a)" -m "$1" -s "$SIZE" \
		-n 20 -u 20 --mmap="$buffer-%" &&
		cmp <(head -c "$SIZE" $buffer-a) <(tail -c "$SIZE" $buffer-b)
}

pingpong_whole_pages()
{
	pingpong 4096
}

pingpong_small_packets()
{
	pingpong 1024
}

write_whole_pages()
{
	bandwidth 4096 ib_write_bw
}

write_small_packets()
{
	bandwidth 1024 ib_write_bw
}

read_whole_pages()
{
	bandwidth 4096 ib_read_bw
}

read_small_packets()
{
	bandwidth 1024 ib_read_bw
}

two_ends
wait_until active rxe-a
wait_until active rxe-b
results pingpong_whole_pages pingpong_small_packets write_whole_pages \
	write_small_packets read_whole_pages read_small_packets
