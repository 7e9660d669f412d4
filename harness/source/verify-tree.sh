#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	verify-tree.sh record TREE LIST	write all sizes and times to LIST
#	verify-tree.sh check TREE LIST	fail if a file differs from LIST

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly SHOWN=5

# files TREE: leaves out our stamp and the caches of checkpatch and python.
files()
{
	find "$1" \( -name __pycache__ -o -name .git \) -prune -o \
		! -type d ! -name .laid ! -name '.checkpatch-camelcase.*' \
		-printf '%P\t%s\t%T@\t%m\t%l\n' | LC_ALL=C sort
}

record()
{
	files "$1" > "$2.new"
	mv -- "$2.new" "$2"
}

check()
{
	local differ

	[ -f "$1/Kbuild" ] ||
		die "$1 is no longer complete" \
		    "run make clean, then the same make again"
	differ=$(files "$1" | LC_ALL=C comm -3 - "$2" | sed 's/^\t//' |
		cut -f 1 | sort -u)
	[ -n "$differ" ] || return 0
	mapfile -t names < <(head -n "$SHOWN" <<< "$differ")
	die "$(wc -l <<< "$differ") file(s) of $1 were changed:" \
	    "${names[@]}" \
	    "move your changes to series/ or to a tree for KSRC=," \
	    "then run make clean, then the same make again"
}

[ $# -eq 3 ] || die "usage: verify-tree.sh record|check TREE LIST"
case $1 in
record|check) "$1" "$2" "$3" ;;
*) die "verify-tree.sh: '$1' is neither record nor check" ;;
esac
