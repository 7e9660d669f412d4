#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Moves upstream's interval API aside, so that its header, walker and symbols
# share no name with the mirror API, and its DMA part to a file of its own:
#
#	move-interval.sh list TREE	print the files that it would change
#	move-interval.sh move TREE	change them, then check; TREE may have
#					only these files
#	move-interval.sh check TREE	fail if an old name is left
#	move-interval.sh names FILE	print the file with the new names
#
# The script searches for users of the API, so it works for a base with other
# drivers.

set -euo pipefail
. "${0%/*}/../lib.sh"

# OLD<tab>NEW; each name is a whole word.
readonly RENAMES='
struct[[:space:]]+hmm_range	struct hmm_interval_range
enum[[:space:]]+hmm_pfn_flags	enum hmm_interval_pfn_flags
hmm_range_fault	hmm_interval_range_fault
hmm_range_fault_unlocked_timeout	hmm_interval_range_fault_unlocked_timeout
hmm_dma_([a-z_]+)	hmm_interval_dma_\1
hmm_pfn_to_([a-z_]+)	hmm_interval_pfn_to_\1
HMM_PFN_([A-Z0-9_]+)	HMM_INTERVAL_PFN_\1
HMM_RANGE_DEFAULT_TIMEOUT	HMM_INTERVAL_DEFAULT_TIMEOUT
HMM_MIRROR	HMM_INTERVAL
CONFIG_HMM_MIRROR	CONFIG_HMM_INTERVAL
LINUX_HMM_H	LINUX_HMM_INTERVAL_H
LINUX_HMM_DMA_H	LINUX_HMM_INTERVAL_DMA_H
linux/hmm\.h	linux/hmm-interval.h
linux/hmm-dma\.h	linux/hmm-interval-dma.h
mm/hmm\.([co])	mm/hmm-interval.\1
mm/hmm\.rst	mm/hmm-interval.rst
'

# OLD<tab>NEW path.
readonly MOVES='
include/linux/hmm.h	include/linux/hmm-interval.h
include/linux/hmm-dma.h	include/linux/hmm-interval-dma.h
mm/hmm.c	mm/hmm-interval.c
Documentation/mm/hmm.rst	Documentation/mm/hmm-interval.rst
Documentation/translations/zh_CN/mm/hmm.rst	Documentation/translations/zh_CN/mm/hmm-interval.rst
'

# These refer to a moved file without its path.
readonly NEIGHBOURS='
mm/Makefile
Documentation/mm/index.rst
Documentation/translations/zh_CN/mm/index.rst
'

old_names()
{
	awk -F '\t' 'NF == 2 { printf "%s\\b%s\\b", sep, $1; sep = "|" }' \
		<<< "$RENAMES"
}

sed_script()
{
	awk -F '\t' 'NF == 2 { printf "s#\\b%s\\b#%s#g\n", $1, $2 }' \
		<<< "$RENAMES"
}

# users: print the files below the current directory that have an old name.
users()
{
	local status=0

	# grep -r skips links, which are files of the series.
	grep -rlE --exclude-dir=.git -- "$(old_names)" . > "$found" || status=$?
	[ "$status" -le 1 ] || die "cannot search $tree"
	sed 's#^[.]/##' "$found" | LC_ALL=C sort
}

is_moved()
{
	[ -e mm/hmm-interval.c ] || [ -e include/linux/hmm-interval.h ]
}

list()
{
	is_moved && die "$tree has the interval API moved aside already"
	grep -qsw hmm_range_fault mm/hmm.c ||
		die "$tree has no mm/hmm.c with an hmm_range_fault() to move"
	{
		users
		awk 'NF' <<< "$NEIGHBOURS"
	} | LC_ALL=C sort -u | while read -r file; do
		[ ! -f "$file" ] || printf '%s\n' "$file"
	done
}

move()
{
	local from to script files

	files=$(list)
	script=$(sed_script)
	while read -r from; do
		sed -E -i -e "$script" -- "$from"
	done <<< "$files"

	sed -i -e 's/\(CONFIG_HMM_INTERVAL) += \)hmm\.o$/\1hmm-interval.o/' \
		mm/Makefile
	sed -i -e 's/^   hmm$/   hmm-interval/' Documentation/mm/index.rst \
		Documentation/translations/zh_CN/mm/index.rst

	while IFS=$'\t' read -r from to; do
		[ -z "$from" ] || [ ! -e "$from" ] || mv -- "$from" "$to"
	done <<< "$MOVES"
	grep -q 'hmm-interval\.o' mm/Makefile ||
		die "mm/Makefile of $tree has no known rule for mm/hmm.c"
	split_dma
	check
}

# head_of FILE: print all up to the last line that includes a header.
head_of()
{
	awk '/^#include / { last = FNR }
	     NR != FNR && FNR > last { exit }
	     NR != FNR' "$1" "$1"
}

# split_dma: later bases have DMA of the interval API in the walker's file.
split_dma()
{
	local from=mm/hmm-interval.c to=mm/hmm-interval-dma.c

	grep -q ' hmm_interval_dma_map_alloc - ' $from || return 0
	{ head_of $from; echo; } > $to
	awk -v dma=$to -v rest=$from.new '
		/^\/\*\*$/ { held = $0; next }
		/ hmm_interval_dma_map_alloc - / { split_here = 1 }
		{ out = split_here ? dma : rest }
		held != "" {
			print held >> out
			held = ""
		}
		{ print >> out }' $from
	# An empty line is left before the first function that moved.
	sed -i -e '${/^$/d}' $from.new
	mv -- $from.new $from
	sed -i -e 's/+= hmm-interval\.o$/+= hmm-interval.o hmm-interval-dma.o/' \
		mm/Makefile
}

names()
{
	sed -E -e "$(sed_script)" -- "$tree"
}

check()
{
	local left

	is_moved || die "$tree has no interval API moved aside"
	users > "$old_users"
	while read -r file; do
		grep -nHE -- "$(old_names)" "$file" >&2
		left=1
	done < "$old_users"
	[ -z "${left-}" ] ||
		die "these lines of $tree still have an old name"
}

[ $# -eq 2 ] || die "usage: move-interval.sh list|move|check TREE, or names FILE"
tree=$2
if [ "$1" = names ]; then
	names
	exit
fi
found=$(mktemp)
old_users=$(mktemp)
trap 'rm -f "$found" "$old_users"' EXIT
cd "$tree" || die "there is no tree $tree"
case $1 in
list|move|check) "$1" ;;
*) die "move-interval.sh: '$1' is neither list, move nor check" ;;
esac
