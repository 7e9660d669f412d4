#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The files that our files name exist in the tree: pages of the documentation,
# the patterns of our entry in MAINTAINERS, and no path of kernels before 6.3.

set -euo pipefail
. "${0%/*}/../lib.sh"

# The base's checkers read a git repository. This one has only our files and
# MAINTAINERS in it; the documentation lies beside them.
readonly repo=$CHECK/references
readonly OLD_PATHS='(Documentation|selftests?)/vm\b'

make_repo()
{
	rm -rf -- "$repo"
	mkdir -p "$repo"/{arch,drivers,fs,include,init,ipc,kernel,lib,scripts}
	(cd "$repo" && touch COPYING CREDITS Kbuild Makefile README)
	cp -alL -- "$TREE/Documentation" "$repo"
	grep -v '^Documentation/' "$CHECK/ours" |
		(cd "$TREE" && xargs cp -L --parents -t "$repo" MAINTAINERS)
	# Names a page that there is not, to see that the checker works.
	echo 'Documentation/none.rst' > "$repo/canary"
	git -C "$repo" init -q
	(cd "$repo" && xargs git add -f canary MAINTAINERS) < "$CHECK/ours"
}

# doc_references: the files of ours that name a page that there is not.
doc_references()
{
	local script status

	for script in scripts tools/docs; do
		script=$TREE/$script/documentation-file-ref-check
		[ ! -x "$script" ] || break
	done
	(cd "$repo" && "$script") > "$CHECK/references.log" 2>&1 || true
	status=0
	grep -q '^canary:' "$CHECK/references.log" || status=1
	result "$status" "$script finds what it must find"
	while read -r file; do
		status=0
		! grep -F -- "$file: " "$CHECK/references.log" || status=1
		result "$status" "$file"
	done < "$CHECK/ours"
}

# our_entry: the first and the last line of our entry in MAINTAINERS.
our_entry()
{
	local title

	title=$(grep -v '^#' "$TOP/MAINTAINERS" | grep -m 1 .)
	awk -v title="$title" '
		$0 == title { first = NR }
		first && $0 == "" { print first, NR - 1; exit }' \
		"$TREE/MAINTAINERS"
}

# maintainer_patterns: each pattern of our entry matches a file of ours. Those
# of the other entries match nothing here.
maintainer_patterns()
{
	local first last line status=0

	read -r first last < <(our_entry)
	(cd "$repo" && "$TREE/scripts/get_maintainer.pl" \
		--self-test=patterns) > "$CHECK/maintainers.log" 2>&1
	[ -s "$CHECK/maintainers.log" ] || status=1
	while IFS=: read -r _ line _; do
		[[ $line =~ ^[0-9]+$ ]] || continue
		[ "$line" -lt "$first" ] || [ "$line" -gt "$last" ] || {
			sed -n "${line}p" "$TREE/MAINTAINERS"
			status=1
		}
	done < "$CHECK/maintainers.log"
	result "$status" "the patterns of our entry in MAINTAINERS"
}

# old_paths FILE...
old_paths()
{
	local file status

	for file; do
		status=0
		! grep -nE -- "$OLD_PATHS" "$file" || status=1
		result "$status" "${file##*/} has no path from before 6.3"
	done
}

make_repo
doc_references
maintainer_patterns
cd "$TREE"
mapfile -t files < "$CHECK/ours"
old_paths "${files[@]}" "$BASE"/series/*.patch
finish "the names of files in all files and in the mailed patches"
