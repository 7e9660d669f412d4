# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the scripts of the harness: messages, and exits with a message.

# Exit status when a run stops before a guest has booted.
readonly BUILD_FAILED=4

# die MESSAGE...: print one line for each argument, and exit.
die()
{
	printf 'hmm: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '     %s\n' "$@" >&2
	exit "$BUILD_FAILED"
}

# say MESSAGE: print one line of progress.
say()
{
	printf 'hmm: %s\n' "$*" >&2
}

# free_mib DIR: print the free space of DIR's file system.
free_mib()
{
	df -Pm -- "$1" | awk 'NR == 2 { print $4 }'
}

# need_mib DIR MIB PURPOSE: exit if DIR has less than MIB free.
need_mib()
{
	local have

	have=$(free_mib "$1")
	[ "$have" -ge "$2" ] ||
		die "the disk is too full: $3 needs $2 MiB in $1, $have are free"
}

# built FILE: print where make modules has put FILE for this kernel, or FILE.
built()
{
	local file

	file=$OUT/modules$(realpath -ms -- "$1")
	[ -e "$file" ] || file=$1
	printf '%s' "$file"
}
