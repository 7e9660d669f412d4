#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# sparse finds nothing in our part of the kernel.

set -euo pipefail
. "${0%/*}/../lib.sh"

# "FILE FUNCTION": what it says of the locks there is not so.
readonly KNOWN=$SERIES/sparse-imbalances

# checker: a sparse that this base's headers are not too new for. A base whose
# build would do without it rather than with an old one says which is which.
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

# said: what sparse has to say, less what is known.
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
# silent LIST LOG SAID: which files sparse was run on at all, and found nothing.
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
	"$CHECK/sparse.list" "$CHECK/sparse.log" C=2 CHECK="$sparse" > "$CHECK/sparse.built" || {
	cat "$CHECK/sparse.built"
	exit 1
}
said > "$CHECK/sparse.said"
silent "$CHECK/sparse.list" "$CHECK/sparse.log" "$CHECK/sparse.said"
# A warning about a driver, or about a header in a driver, is in this log alone.
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
