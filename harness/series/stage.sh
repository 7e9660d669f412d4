#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	stage.sh link|commit BASE OVERLAY DIR	(with TOP and SERIES set)
#
# Makes DIR with all files in which the series differs from BASE/pristine, patch
# by patch in the order of series/order. OVERLAY lists our files and the hunks.
# With "link" our files are links, so that an edit needs no new DIR, and DIR has
# what only tests need too. With "commit" they are copies, DIR is a git
# repository and each patch is a commit.

set -euo pipefail
. "${0%/*}/../lib.sh"

[ $# -eq 4 ] || die "usage: stage.sh link|commit BASE OVERLAY DIR"
mode=$1 base=$2 overlay=$3 dir=$4
here=${0%/*}
pristine=$base/pristine
order=$TOP/series/order
messages=$TOP/series/messages
log=$base/stage.log

# path_in_tree FILE: print the path of one of our files in the tree. Directories
# named vm here are named mm in kernels since 6.3.
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

# check_known PATH: fail if it would replace a stock file that is not listed.
check_known()
{
	local path=$1

	[ ! -e "$pristine/$path" ] ||
	grep -q "  $path\$" "$SERIES/stock.sha256" ||
		die "$path would replace a file of the base; to allow that," \
		    "add to ${SERIES#"$TOP"/}/stock.sha256:" \
		    "$(cd "$pristine" && sha256sum "$path")"
}

# move_list: print the files that move-interval.sh changes. Finding them means
# reading the whole source, so the list is cached.
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

# hunk_files: print the files that the hunks change.
hunk_files()
{
	local hunk

	hunks | while read -r hunk; do
		sed -n 's#^+++ b/\([^\t]*\).*#\1#p' "$hunk"
	done
}

# our_paths: print the paths of our files in the tree; some replace stock files.
our_paths()
{
	local file

	ours | while read -r file; do
		path_in_tree "$file"
	done
}

# start: copy the stock files that will change.
start()
{
	local path

	rm -rf -- "$dir"
	mkdir -p "$dir"
	{ move_list; hunk_files; our_paths; echo MAINTAINERS; } | sort -u \
		> "$base/from"
	while read -r path; do
		[ ! -f "$pristine/$path" ] ||
			(cd "$pristine" && cp -p --parents -- "$path" "$dir")
	done < "$base/from"
	hunk_files | sort -u > "$base/patched"
	: > "$base/put"
}

# add_maintainers FILE: insert our entry in alphabetical order.
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

# put FILE: add one of our files, as a copy if a hunk changes it.
put()
{
	local file=$1 path

	path=$(path_in_tree "$file")
	check_known "$path"
	mkdir -p "$(dirname -- "$dir/$path")"
	rm -f -- "$dir/$path"
	if [ "$mode" = link ] && ! grep -qxF -- "$path" "$base/patched"; then
		ln -s -r -- "$TOP/$file" "$dir/$path"
	else
		cp -- "$TOP/$file" "$dir/$path"
	fi
	printf '%s\n' "$file" >> "$base/put"
}

# put_options SYMBOL: add this entry to the Kconfig of the patches before. With
# "link" there is only one state, the whole Kconfig.
put_options()
{
	local path

	path=$(path_in_tree Kconfig)
	symbols+=" $1"
	put Kconfig
	[ "$mode" = commit ] || return 0
	# An entry ends where the next begins; the head is before the first.
	awk -v symbols="$symbols" '
		BEGIN { n = split(symbols, s); keep = 1; while (n) want[s[n--]] }
		/^config / { keep = $2 in want }
		keep' "$TOP/Kconfig" | sed -e '$!b' -e '/^$/d' > "$dir/$path"
	grep -q "^config $1\$" "$dir/$path" ||
		die "series/order has Kconfig:$1, but Kconfig has no such entry"
}

# put_matching PATTERN: add all files of ours that match and no patch has yet.
put_matching()
{
	local file found=

	while read -r file; do
		# shellcheck disable=SC2053 # a pattern
		if [[ $file == $1 ]] && ! grep -qxF -- "$file" "$base/put"; then
			put "$file"
			found=1
		fi
	done < "$base/ours"
	[ -n "$found" ] || [ "$mode" = link ] ||
		die "series/order: no file of ours matches $1"
}

apply_hunk()
{
	local hunk=$SERIES/$1.patch

	[ -f "$hunk" ] || return 0
	patch -d "$dir" -p1 -f -s --no-backup-if-mismatch -r - \
		< "$hunk" > "$log" 2>&1 ||
		die "${hunk#"$TOP"/} does not apply to this base:" "$(< "$log")"
	printf '%s\n' "$hunk" >> "$base/put"
}

# commit MESSAGE_FILE...
commit()
{
	[ "$mode" = commit ] || return 0
	git -C "$dir" add -A -f
	git -C "$dir" commit -q -F <(cat "$@") ||
		die "series/order: patch ${1##*/} changes nothing"
}

# message NAME: print the message of a patch, with the text before the first
# file in the hunk of this base, which describes a difference of the base.
message()
{
	cat "$messages/$1.txt"
	[ ! -f "$SERIES/$1.patch" ] ||
		sed -e '/^--- a\//,$d' -e '1s/^/\n/' "$SERIES/$1.patch" |
			sed -e '$!b' -e '/^$/d'
}

# for_another_base NAME ITEMS: true for a patch that is only a hunk, which
# another base has and this one does not.
for_another_base()
{
	[ -z "$2" ] && [ ! -f "$SERIES/$1.patch" ] &&
		compgen -G "$TOP/series/*/$1.patch" > /dev/null
}

patches()
{
	local name what

	# shellcheck disable=SC2162 # a backslash at the end goes on
	while read name what; do
		case $name in
		'' | '#'*) continue ;;
		esac
		! for_another_base "$name" "$what" || continue
		set -f
		for item in $what; do
			case $item in
			+move)		"$here/move-interval.sh" move "$dir" ;;
			+maintainers)	add_maintainers "$dir/MAINTAINERS" ;;
			Kconfig:*)	put_options "${item#*:}" ;;
			*)		put_matching "$item" ;;
			esac
		done
		set +f
		apply_hunk "$name"
		[ "$mode" != commit ] || message "$name" > "$base/message"
		commit "$base/message"
	done < "$order"
}

# rest: add the files that no patch has. With "commit" there must be none.
rest()
{
	local left

	left=$(cat "$base/ours" <(hunks) | grep -vxFf "$base/put") || return 0
	[ "$mode" = link ] ||
		die "series/order has no patch for these:" "$left"
	while read -r file; do
		case $file in
		*.patch) die "series/order has no patch for $file" ;;
		esac
		say "series/order has no patch for $file yet"
		put "$file"
	done <<< "$left"
}

symbols=
start
ours > "$base/ours"
if [ "$mode" = commit ]; then
	git init -q "$dir"
	commit <(echo "$(< "$base/version")")
fi
patches
rest
[ "$mode" = commit ] || "$here/../stock/lay.sh" "$pristine" "$dir"
