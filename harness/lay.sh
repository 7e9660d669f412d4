#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	lay.sh BASE OVERLAY		(with TOP and SERIES set)
#
# Makes BASE/tree: the source in BASE/pristine with the series laid on it. What
# differs from pristine is put together in BASE/stage first, so that a hunk that
# does not apply leaves the tree as it was; then only files that are not yet as
# they should be are replaced, so that kbuild builds only what changed.
# OVERLAY names our files, which are laid as links, and the series' hunks.

set -euo pipefail
. "${0%/*}/lib.sh"

readonly TREE_MIB=1800

base=$1 overlay=$2
here=${0%/*}
pristine=$base/pristine
tree=$base/tree
stage=$base/stage

# path_in_tree FILE: where one of our files goes. Kernels since 6.3 say mm
# where the repository says vm.
path_in_tree()
{
	local path=$1

	case $path in
	Kconfig)		path=mm/Kconfig.hmm ;;
	Documentation/vm/*)	path=Documentation/mm/${path#*/vm/} ;;
	tools/testing/selftests/vm/*)
		path=tools/testing/selftests/mm/${path#*/vm/} ;;
	esac
	printf '%s\n' "$path"
}

# A base whose own version of what we replace has moved on wants to be looked
# at: what was put right there may be wrong in ours.
check_stock()
{
	local bad

	bad=$(cd "$pristine" && LC_ALL=C sha256sum -c --quiet -- \
		"$SERIES/stock.sha256" 2>/dev/null) ||
		die "the base's version of these files is not the one that the" \
		    "series was written for:" "${bad:-(all are missing)}" \
		    "compare, bring over what is new, then correct" \
		    "${SERIES#"$TOP"/}/stock.sha256"
}

# Only what is known may be replaced.
check_known()
{
	local path=$1

	[ ! -e "$pristine/$path" ] ||
	grep -q "  $path\$" "$SERIES/stock.sha256" ||
		die "$path would replace a file of the base; if it is to," \
		    "add to ${SERIES#"$TOP"/}/stock.sha256:" \
		    "$(cd "$pristine" && sha256sum "$path")"
}

# move_list: the files that move-interval.sh changes; it reads all of the
# source to find them, so they are kept.
move_list()
{
	local kept=$base/move.list

	if [ ! "$kept" -nt "$here/move-interval.sh" ] ||
	   [ ! "$kept" -nt "$base/version" ]; then
		"$here/move-interval.sh" list "$pristine" > "$kept.new"
		mv -- "$kept.new" "$kept"
	fi
	cat "$kept"
}

hunks()
{
	grep '\.patch$' "$overlay" || [ $? -eq 1 ]
}

ours()
{
	grep -v '\.patch$' "$overlay"
}

# hunk_files: the files that the hunks are for.
hunk_files()
{
	local hunk

	hunks | while read -r hunk; do
		sed -n 's#^+++ b/\([^\t]*\).*#\1#p' "$hunk"
	done
}

# Puts our entry behind the one that comes before it in the alphabet.
add_maintainers()
{
	awk -v ours="$TOP/MAINTAINERS" '
		function titled() {
			return list && last == "" && /^[^ \t.-]/ &&
				!/^[A-Z]:\t/
		}
		BEGIN {
			while ((getline line < ours) > 0) {
				if (line ~ /^#/ || (line == "" && title == ""))
					continue
				if (title == "")
					title = line
				entry = entry line "\n"
			}
		}
		/^Maintainers List$/ { list = NR == FNR }
		NR == FNR && titled() && $0 < title && $0 > before {
			before = $0
			place = FNR
		}
		NR != FNR && FNR > place && last == "" && !done {
			printf "%s\n", entry
			done = 1
		}
		NR != FNR { print }
		{ last = $0 }
		END { exit !(done && place) }' "$1" "$1" > "$1.new" ||
		die "MAINTAINERS of the base has no place for our entry"
	mv -- "$1.new" "$1"
}

# Everything in the tree that is not as in pristine.
make_stage()
{
	local hunk file path

	rm -rf -- "$stage"
	mkdir -p "$stage"
	{ move_list; hunk_files; echo MAINTAINERS; } | sort -u > "$base/from"
	while read -r path; do
		[ ! -f "$pristine/$path" ] ||
			(cd "$pristine" && cp -p --parents -- "$path" "$stage")
	done < "$base/from"

	"$here/move-interval.sh" move "$stage"
	hunks | while read -r hunk; do
		patch -d "$stage" -p1 -f -s --no-backup-if-mismatch -r - \
			< "$hunk" > "$base/patch.log" 2>&1 ||
			die "${hunk#"$TOP"/} does not apply to this base:" \
			    "$(< "$base/patch.log")"
	done
	add_maintainers "$stage/MAINTAINERS"

	ours | while read -r file; do
		path=$(path_in_tree "$file")
		check_known "$path"
		[ ! -e "$stage/$path" ] ||
			die "$path is ours, but a hunk changes it too"
		mkdir -p "$(dirname -- "$stage/$path")"
		ln -s -r -- "$TOP/$file" "$stage/$path"
	done
}

same()
{
	if [ -L "$1" ] || [ -L "$2" ]; then
		[ "$(readlink -- "$1")" = "$(readlink -- "$2")" ]
	else
		cmp -s -- "$1" "$2"
	fi
}

# put FILE PATH: PATH of the tree becomes FILE, with a time of now.
put()
{
	same "$1" "$tree/$2" && return
	mkdir -p "$(dirname -- "$tree/$2")"
	cp -P -- "$1" "$tree/$2.new"
	mv -T -- "$tree/$2.new" "$tree/$2"
}

# The copy shares its files with pristine, as put() never writes into one. Of
# somebody's own tree it is a real copy.
copy_pristine()
{
	local how=--link

	if [ -L "$pristine" ]; then
		how=--reflink=auto
		need_mib "$base" "$TREE_MIB" "a copy of $(realpath "$pristine")"
	fi
	rm -rf -- "$tree" "$tree.new" "$base/touched"
	"$here/progress.sh" "copying the source" "$base/copy.log" \
		cp -a "$how" -- "$pristine/." "$tree.new" || {
		rm -rf -- "$tree.new"
		die "the source cannot be copied to $tree"
	}
	rm -rf -- "$tree.new/.git"
	: > "$base/touched"
	cp -- "$base/version" "$base/tree.version"
	mv -- "$tree.new" "$tree"
}

# Brings the stage to the tree, and back to pristine what is ours no longer.
apply_stage()
{
	local path

	(cd "$stage" && find . ! -type d -printf '%P\n') > "$base/staged"
	sort -u "$base/from" "$base/staged" > "$base/touched.new"
	# Should this stop half way, both the old and the new are known.
	sort -u "$base/touched" "$base/touched.new" > "$base/touched.all"
	mv -- "$base/touched.all" "$base/touched"

	while read -r path; do
		if [ -L "$stage/$path" ] || [ -e "$stage/$path" ]; then
			put "$stage/$path" "$path"
		elif grep -qxF -- "$path" "$base/touched.new" ||
		     [ ! -e "$pristine/$path" ]; then
			rm -f -- "$tree/$path"
		else
			put "$pristine/$path" "$path"
		fi
	done < "$base/touched"
	mv -- "$base/touched.new" "$base/touched"
}

rm -f -- "$tree/.laid"
"$here/same-tree.sh" check "$pristine/" "$base/pristine.list"
check_stock
say "laying the series on $(< "$base/version")"
if [ ! -d "$tree" ] || [ ! -f "$base/touched" ] ||
   ! cmp -s -- "$base/version" "$base/tree.version"; then
	copy_pristine
fi
make_stage
apply_stage
"$here/same-tree.sh" record "$tree" "$base/tree.list"
rm -rf -- "$stage" "$base/from" "$base/staged"
touch -- "$tree/.laid"
