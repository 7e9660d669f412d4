#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Our page of the kernel's documentation builds without a warning; what the
# rest of its directory has to say is not ours.

set -euo pipefail
. "${0%/*}/../lib.sh"

log=$CHECK/htmldocs.log
# Some of the documentation is generated beside its source: not in a tree that
# is to stay as it was made. As deep as that one, for our links.
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
# What it takes from the source.
sources=$(ours '*.c' '*.h' | sed 's/[.]/[.]/g' | paste -s -d '|')
status=0
! grep -E "(^|/)($sources):[0-9]+:" "$log" || status=1
result "$status" "what the page takes from our source"
finish "the page, and the comments that it shows"
