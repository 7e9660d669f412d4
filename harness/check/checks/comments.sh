#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# No comment, and no line of one, opens with a free relative ("What is left"):
# a comment opens with a verb or with the name of the thing it is about.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly OPENING='(^[[:space:]]*[*]|/[*]+|//|#)'
readonly WORDS='Wh(at|o|om|ose|ich|ere)(ever)?'

cd "$TOP"
own_files | grep -vE '[.](md|patch|rst|tsv|txt)$|^CHANGELOG$' > "$CHECK/comments.list"
while read -r file; do
	status=0
	! grep -nHE -- "${OPENING}[[:space:]]*${WORDS}[[:space:]]" "$file" ||
		status=1
	result "$status" "$file"
done < "$CHECK/comments.list"
finish "the comments of all files"
