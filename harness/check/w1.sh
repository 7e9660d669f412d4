#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Our part of the kernel compiles with W=1, every warning being an error.

set -euo pipefail
. "${0%/*}/lib.sh"

kernel_sources > "$CHECK/w1.list"
echo "looked at: $(wc -l < "$CHECK/w1.list") C files, with W=1"
"$HARNESS/objects.sh" 'compiling with W=1' "$TREE" "$CHECK/kernel" \
	"$CHECK/w1.list" "$CHECK/w1.log" W=1 KCFLAGS=-Werror
