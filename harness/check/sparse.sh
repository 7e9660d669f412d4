#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# sparse finds nothing in our part of the kernel.

set -euo pipefail
. "${0%/*}/lib.sh"

kernel_sources > "$CHECK/sparse.list"
"$HARNESS/objects.sh" 'running sparse' "$TREE" "$CHECK/kernel" \
	"$CHECK/sparse.list" "$CHECK/sparse.log" C=2 > "$CHECK/sparse.built" || {
	cat "$CHECK/sparse.built"
	exit 1
}
while read -r file; do
	status=0
	# It was run at all, and said nothing of this file or for its sake.
	grep -qE "^  CHECK +(.*/)?$file\$" "$CHECK/sparse.log" || status=1
	! grep -E "^[^ ]*$file:[0-9]+:[0-9]+: " "$CHECK/sparse.log" || status=1
	result "$status" "$file"
done < "$CHECK/sparse.list"
headers=$(ours '*.h' | paste -s -d '|')
status=0
! grep -E "^[^ ]*($headers):[0-9]+:[0-9]+: " "$CHECK/sparse.log" || status=1
result "$status" "our headers"
finish "C files and the headers they include, with C=2"
