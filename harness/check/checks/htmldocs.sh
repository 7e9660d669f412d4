#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Our page of the kernel's documentation builds without a warning. Warnings
# about other pages do not count.

set -euo pipefail
. "${0%/*}/../lib.sh"

log=$CHECK/htmldocs.log
# The build writes to the source of the documentation, so it gets a copy of the
# tree, at the same depth as our links are relative.
copy=$BASE/docs
rm -rf -- "$copy" "$CHECK/docs"
trap 'rm -rf -- "$copy"' EXIT
cp -al -- "$TREE" "$copy"
"$HARNESS/progress.sh" 'building the documentation' "$log" \
	make -C "$copy" O="$CHECK/docs" SPHINXDIRS=mm htmldocs
while read -r page; do
	status=0
	! grep -F "$page" "$log" | grep -E 'WARNING|ERROR' || status=1
	html=${page#Documentation/mm/}
	find "$CHECK/docs" \
		-name "$(basename "$html" .rst).html" | grep -q . || status=1
	result "$status" "$page"
done < <(ours 'Documentation/mm/*.rst')
# The page includes kernel-doc comments of our source.
sources=$(ours '*.c' '*.h' | sed 's/[.]/[.]/g' | paste -s -d '|')
status=0
! grep -E "(^|/)($sources):[0-9]+:" "$log" || status=1
result "$status" "the kernel-doc comments in the page"
finish "the page, and the comments that it shows"
