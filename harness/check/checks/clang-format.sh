#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The base's .clang-format would change less than 1% of our lines. White space
# in a line does not count, as .clang-format cannot express the kernel's columns
# of members and values, nor the layout of headers of tracepoints; nor does the
# brace after FIXTURE_VARIANT_ADD(), which it takes for an initialiser's.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly PER_MILLE=10

cd "$TREE"
: > "$CHECK/clang-format.new"
lines=0 differ=0
while read -r file; do
	clang-format --style=file:"$TREE/.clang-format" "$file" \
		> "$CHECK/formatted"
	n=$(diff -w "$file" "$CHECK/formatted" | grep '^<' |
		grep -vcE '^< ([{]|FIXTURE_VARIANT_ADD[(].*[)])$') ||
		[ $? -eq 1 ]
	of=$(wc -l < "$file")
	lines=$((lines + of)) differ=$((differ + n))
	printf '%5d of %5d: %s\n' "$n" "$of" "$file" >> "$CHECK/clang-format.new"
done < <(ours '*.c' '*.h' | grep -v '^include/trace/')
mv -- "$CHECK/clang-format.new" "$CHECK/clang-format.list"
status=0
[ $((differ * 1000)) -lt $((lines * PER_MILLE)) ] || {
	status=1
	sort -rn "$CHECK/clang-format.list" | head -n 5
}
result "$status" "$differ of $lines lines differ"
finish "$lines lines of C, of which $differ differ"
