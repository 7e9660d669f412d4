# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced, in the guest, by the suites of `make clients`: RDMA devices, and
# results as KTAP.

# Each try takes a tenth of a second.
readonly TRIES=600

# loopback: a device rxe0 that can only talk to itself. An earlier suite may have
# made it.
loopback()
{
	[ ! -e /sys/class/infiniband/rxe0 ] || return 0
	ip link set lo up
	ip link add loop0 mtu 9000 type dummy
	ip addr add 10.0.0.1/24 dev loop0
	ip link set loop0 up
	rdma link add rxe0 type rxe netdev loop0
}

# end NETNS ADDRESS: one of two ends, with the device rxe-NETNS.
end()
{
	ip -n "$1" link set lo up
	ip -n "$1" addr add "$2/24" dev "eth-$1"
	ip -n "$1" link set "eth-$1" up
	ip netns exec "$1" rdma link add "rxe-$1" type rxe netdev "eth-$1"
}

# two_ends: the devices rxe-a and rxe-b, in network namespaces a and b. A frame
# has place for a page and its headers. An earlier suite may have made them.
two_ends()
{
	[ ! -e /run/netns/a ] || return 0
	ip netns add a
	ip netns add b
	ip link add eth-a mtu 9000 netns a type veth \
		peer name eth-b mtu 9000 netns b
	end a 10.0.0.1
	end b 10.0.0.2
}

# active DEVICE: true once its port is up and it has a GID for its IPv4 address.
active()
{
	[[ $(< "/sys/class/infiniband/$1/ports/1/state") == *ACTIVE ]] &&
		[ -n "$(gid_index "$1")" ]
}

# gid_index DEVICE: print the index of the GID of its IPv4 address.
gid_index()
{
	local ports=/sys/class/infiniband/$1/ports/1

	grep -l '^0000:0000:0000:0000:0000:ffff:' "$ports"/gids/* 2> /dev/null |
		head -n 1 | sed 's#.*/##'
}

# wait_until COMMAND...: for a minute at most.
wait_until()
{
	local tries

	for ((tries = 0; tries < TRIES; tries++)); do
		! "$@" || return 0
		sleep 0.1
	done
	echo "never true: $*" >&2
	return 1
}

# notes TEXT: print each line as a comment of KTAP.
notes()
{
	local line

	while read -r line; do
		printf '# %s\n' "${line#\# }"
	done <<< "$1"
}

# results NAME...: run the function of each name, print its result. A function
# that returns 4 is skipped; the last line of its output is the reason.
results()
{
	local n=0 name status out failed=0

	printf 'KTAP version 1\n1..%s\n' $#
	for name; do
		n=$((n + 1)) status=0
		out=$("$name" 2>&1) || status=$?
		[ -z "$out" ] || notes "$out"
		case $status in
		0) echo "ok $n $name" ;;
		4) echo "ok $n $name # SKIP ${out##*$'\n'}" ;;
		*) echo "not ok $n $name"; failed=1 ;;
		esac
	done
	return "$failed"
}
