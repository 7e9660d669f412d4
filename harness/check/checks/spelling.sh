#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# codespell finds no misspelled word.

set -euo pipefail
. "${0%/*}/../lib.sh"

# Names: struct file *filp, mm/damon, inflight, and "struc", where diff cuts
# the line of a hunk's head.
readonly KNOWN=filp,damon,inflight,struc

cd "$TOP"
own_files > "$CHECK/spelling.list"
xargs -d '\n' codespell -L "$KNOWN" -- < "$CHECK/spelling.list" \
	> "$CHECK/spelling.log" || [ -s "$CHECK/spelling.log" ]
while read -r file; do
	status=0
	! grep -F -- "$file:" "$CHECK/spelling.log" || status=1
	result "$status" "$file"
done < "$CHECK/spelling.list"
finish "the words of all files"
