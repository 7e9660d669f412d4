#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	apply-series.sh BASE OVERLAY		(with TOP and SERIES set)
#
# Makes BASE/tree: the source in BASE/pristine with the series laid on it.
# stage.sh first puts the files that differ from pristine into BASE/stage, so
# that a hunk that does not apply leaves the tree unchanged. Then only files
# whose content changes are replaced, so that kbuild rebuilds little. OVERLAY
# lists our files, which are laid as links, and the hunks of the series.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly TREE_MIB=1800

base=$1 overlay=$2
here=${0%/*}
pristine=$base/pristine
tree=$base/tree
stage=$base/stage

# check_stock: a stock file that the series replaces must be the version that
# the series was written for, as ours may lack a fix of a newer one.
check_stock()
{
	local bad

	bad=$(cd "$pristine" && LC_ALL=C sha256sum -c --quiet -- \
		"$SERIES/stock.sha256" 2>/dev/null) ||
		die "the series replaces these files, which the base has changed:" \
		    "${bad:-(all are missing)}" \
		    "compare them, take over the changes, then correct" \
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

# put FILE PATH: replace PATH of the tree, with the current time, if FILE
# differs.
put()
{
	same "$1" "$tree/$2" && return
	mkdir -p "$(dirname -- "$tree/$2")"
	cp -P -- "$1" "$tree/$2.new"
	mv -T -- "$tree/$2.new" "$tree/$2"
}

# copy_pristine: hard links are enough, as put() never writes to an existing
# file. A KSRC tree is copied, as its owner may write to it.
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

# apply_stage: copy the stage to the tree, and reset to pristine the files that
# the series no longer changes.
apply_stage()
{
	local path

	(cd "$stage" && find . ! -type d -printf '%P\n') > "$base/staged"
	sort -u "$base/from" "$base/staged" > "$base/touched.new"
	# If this is interrupted, the next run needs the old and the new list.
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
