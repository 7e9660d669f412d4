#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Our files of the kernel, and our external modules, compile with W=1 and with
# warnings as errors.

set -euo pipefail
. "${0%/*}/../lib.sh"

# compiled DIR LIST LOG: one result for each C file: its object is in DIR.
compiled()
{
	local file status

	while read -r file; do
		status=0
		[ -f "$1/${file%.c}.o" ] || status=1
		[ "$status" -eq 0 ] || grep -E "(error|warning):" "$3" |
			grep -F "${file##*/}" || true
		result "$status" "$file"
	done < "$2"
}

kernel_sources > "$CHECK/w1.list"
"$HARNESS/build/objects.sh" 'compiling with W=1' "$TREE" "$CHECK/kernel" \
	"$CHECK/w1.list" "$CHECK/w1.log" W=1 KCFLAGS=-Werror \
	> "$CHECK/w1.built" || true
compiled "$CHECK/kernel" "$CHECK/w1.list" "$CHECK/w1.log"
compat_drivers "$CHECK/w1-compat.log" W=1 KCFLAGS=-Werror || true
compiled "$CHECK/compat" "$CHECK/compat.list" "$CHECK/w1-compat.log"
finish "C files, with W=1"
