# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the scripts here: how each of them says that it cannot go on.

# The status of everything that stops a run before a guest has booted.
readonly BUILD_FAILED=4

# die MESSAGE...: one message, one line per argument, and stop.
die()
{
	printf 'hmm: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '     %s\n' "$@" >&2
	exit "$BUILD_FAILED"
}

# say MESSAGE: one line about what is going on.
say()
{
	printf 'hmm: %s\n' "$*" >&2
}

# free_mib DIR: what is free on the file system that DIR is on.
free_mib()
{
	df -Pm -- "$1" | awk 'NR == 2 { print $4 }'
}

# need_mib DIR MIB WHAT: stop now rather than half way.
need_mib()
{
	local have

	have=$(free_mib "$1")
	[ "$have" -ge "$2" ] ||
		die "the disk is too full: $3 needs $2 MiB in $1, $have are free"
}
