#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	apply-series.sh BASE OVERLAY		(with TOP and SERIES set)
#
# Makes BASE/tree: the source in BASE/pristine with the series laid on it. What
# differs from pristine is put together in BASE/stage first, so that a hunk that
# does not apply leaves the tree as it was; then only files that are not yet as
# they should be are replaced, so that kbuild builds only what changed.
# OVERLAY names our files, which are laid as links, and the series' hunks.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly TREE_MIB=1800

base=$1 overlay=$2
here=${0%/*}
pristine=$base/pristine
tree=$base/tree
stage=$base/stage

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
	"$here/../progress.sh" "copying the source" "$base/copy.log" \
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
"$here/../source/verify-tree.sh" check "$pristine/" "$base/pristine.list"
check_stock
say "laying the series on $(< "$base/version")"
if [ ! -d "$tree" ] || [ ! -f "$base/touched" ] ||
   ! cmp -s -- "$base/version" "$base/tree.version"; then
	copy_pristine
fi
"$here/stage.sh" link "$base" "$overlay" "$stage"
apply_stage
"$here/../source/verify-tree.sh" record "$tree" "$base/tree.list"
rm -rf -- "$stage" "$base/staged"
touch -- "$tree/.laid"
