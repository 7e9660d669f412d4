#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The code blocks of our page compile, together as one driver.

set -euo pipefail
. "${0%/*}/../lib.sh"

dir=$CHECK/sample
page=Documentation/mm/hmm.rst
mkdir -p "$dir"
# A block is the text that is indented below its directive.
awk '
	/^\.\. code-block:: c$/ { block = 1; n++; next }
	block && /^[^ \t]/ { block = 0 }
	block { sub(/^\t/, ""); print }
	END { exit n == 0 }' "$TREE/$page" > "$dir/blocks.c"
cat > "$dir/sample.c" <<'C'
/* The page does not define these. */
struct dev_space;
struct hmm_range;
void dev_map(struct dev_space *ds, struct hmm_range *range);
struct page *dev_clear_writable(struct dev_space *ds, unsigned long addr);
struct dev_dma;
void dev_stop_engine(struct dev_dma *dd);

#include "blocks.c"
C
# The page shows functions that a driver's file operations would call.
cat > "$dir/Makefile" <<'M'
obj-m := sample.o
ccflags-y := -Werror -Wno-unused-function
M
rm -f -- "$dir/sample.o"
status=0
"$HARNESS/progress.sh" 'compiling the sample code' "$CHECK/sample.log" \
	make -C "$TREE" O="$CHECK/kernel" M="$dir" sample.o || status=$?
[ -f "$dir/sample.o" ] || status=1
result "$status" "$page"
finish "$(grep -c '^\.\. code-block:: c$' "$TREE/$page") blocks of $page"
