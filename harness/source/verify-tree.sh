#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	verify-tree.sh record TREE LIST	write down the tree's files: sizes, times
#	verify-tree.sh check TREE LIST	are they as they were written down?

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly SHOWN=5

# What is not of the tree: our stamp, and what checkpatch keeps for itself.
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
		die "$1 is not there any more as it was made" \
		    "run make clean, then again what you ran"
	differ=$(files "$1" | LC_ALL=C comm -3 - "$2" | sed 's/^\t//' |
		cut -f 1 | sort -u)
	[ -n "$differ" ] || return 0
	mapfile -t names < <(head -n "$SHOWN" <<< "$differ")
	die "$1 is not as it was made; $(wc -l <<< "$differ") file(s) differ:" \
	    "${names[@]}" \
	    "take changes of yours to series/ or to a tree for KSRC=," \
	    "then run make clean, and again what you ran"
}

[ $# -eq 3 ] || die "usage: verify-tree.sh record|check TREE LIST"
case $1 in
record|check) "$1" "$2" "$3" ;;
*) die "verify-tree.sh knows record and check, not '$1'" ;;
esac
