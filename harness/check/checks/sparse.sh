#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# sparse finds nothing in our files of the kernel.

set -euo pipefail
. "${0%/*}/../lib.sh"

# "FILE FUNCTION": its report about the locks of the function is wrong.
readonly KNOWN=$SERIES/sparse-imbalances

# checker: print the path of a sparse that is new enough for this base. A base
# that ignores an old sparse has a script that tells it apart.
checker()
{
	local command=sparse

	if ! valid "$command"; then
		command=$CACHE/tools/sparse
		"$HARNESS/check/newer-sparse.sh" "$command" || return
		valid "$command" ||
			die "$command is too old for this base;" \
			    "remove it to fetch another"
	fi
	echo "$command"
}

# valid COMMAND
valid()
{
	local script=$TREE/scripts/checker-valid.sh

	[ ! -e "$script" ] || [ "$("$script" "$1" -m64)" = 1 ]
}

# said: print the reports of sparse that are not in KNOWN.
said()
{
	local file function

	grep -E '^[^ ]+:[0-9]+:[0-9]+: ' "$CHECK/sparse.log" > "$CHECK/said" ||
		[ $? -eq 1 ]
	while read -r file function; do
		grep -vE "$file:.*: context imbalance in '$function' - unexpected unlock" \
			"$CHECK/said" > "$CHECK/said.new" || [ $? -eq 1 ]
		! cmp -s "$CHECK/said" "$CHECK/said.new" ||
			echo "$file:0:0: no longer said of $function()"
		mv -- "$CHECK/said.new" "$CHECK/said"
	done < <(if [ -e "$KNOWN" ]; then grep -v '^#' "$KNOWN"; fi)
	cat "$CHECK/said"
}

sparse=$(checker)
# silent LIST LOG SAID: one result for each file: sparse has run, without a
# report.
silent()
{
	local file status

	while read -r file; do
		status=0
		grep -qE "^  CHECK +(.*/)?$file\$" "$2" || status=1
		! grep -E "^([^ ]*/)?$file:" "$3" || status=1
		result "$status" "$file"
	done < "$1"
}

kernel_sources > "$CHECK/sparse.list"
"$HARNESS/build/objects.sh" 'running sparse' "$TREE" "$CHECK/kernel" \
	"$CHECK/sparse.list" "$CHECK/sparse.log" C=2 CHECK="$sparse" \
	> "$CHECK/sparse.built" || {
	cat "$CHECK/sparse.built"
	exit 1
}
said > "$CHECK/sparse.said"
silent "$CHECK/sparse.list" "$CHECK/sparse.log" "$CHECK/sparse.said"
# Only this log has the warnings about the external modules.
compat_drivers "$CHECK/sparse-compat.log" C=2 CHECK="$sparse" || {
	cat "$CHECK/sparse-compat.log"
	exit 1
}
silent "$CHECK/compat.list" "$CHECK/sparse-compat.log" \
	"$CHECK/sparse-compat.log"
grep -E '^[^ ]+:[0-9]+:[0-9]+: ' "$CHECK/sparse-compat.log" \
	>> "$CHECK/sparse.said" || [ $? -eq 1 ]
headers=$(ours '*.h' | paste -s -d '|')
status=0
! grep -E "^([^ ]*/)?($headers):" "$CHECK/sparse.said" || status=1
result "$status" "our headers"
finish "C files and the headers they include, with C=2"
