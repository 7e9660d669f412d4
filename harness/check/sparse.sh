#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# sparse finds nothing in our part of the kernel.

set -euo pipefail
. "${0%/*}/lib.sh"

# These unlock what sparse did not see locked: pte_offset_map() takes the RCU
# lock, get_locked_pte() a page table's, and neither says so to sparse.
readonly KNOWN="
lib/hmm_bench.c bench_walk_pmd
mm/hmm.c hmm_walk_table
mm/tests/hmm_kunit.c hk_set_pte
"

# said: what sparse has to say, less what is known.
said()
{
	local file function

	grep -E '^[^ ]+:[0-9]+:[0-9]+: ' "$CHECK/sparse.log" > "$CHECK/said" ||
		[ $? -eq 1 ]
	while read -r file function; do
		[ -n "$file" ] || continue
		grep -vE "$file:.*: context imbalance in '$function' - unexpected unlock" \
			"$CHECK/said" > "$CHECK/said.new" || [ $? -eq 1 ]
		! cmp -s "$CHECK/said" "$CHECK/said.new" ||
			echo "$file:0:0: no longer said of $function()"
		mv -- "$CHECK/said.new" "$CHECK/said"
	done <<< "$KNOWN"
	cat "$CHECK/said"
}

kernel_sources > "$CHECK/sparse.list"
"$HARNESS/objects.sh" 'running sparse' "$TREE" "$CHECK/kernel" \
	"$CHECK/sparse.list" "$CHECK/sparse.log" C=2 > "$CHECK/sparse.built" || {
	cat "$CHECK/sparse.built"
	exit 1
}
said > "$CHECK/sparse.said"
while read -r file; do
	status=0
	# It was run at all, and said nothing of this file.
	grep -qE "^  CHECK +(.*/)?$file\$" "$CHECK/sparse.log" || status=1
	! grep -E "^([^ ]*/)?$file:" "$CHECK/sparse.said" || status=1
	result "$status" "$file"
done < "$CHECK/sparse.list"
headers=$(ours '*.h' | paste -s -d '|')
status=0
! grep -E "^([^ ]*/)?($headers):" "$CHECK/sparse.said" || status=1
result "$status" "our headers"
finish "C files and the headers they include, with C=2"
