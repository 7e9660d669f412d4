#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kernel-doc -Wall accepts the comments in our files.

set -euo pipefail
. "${0%/*}/../lib.sh"

cd "$TREE"
while read -r file; do
	status=0
	scripts/kernel-doc -none -Wall -Werror "$file" 2>&1 || status=$?
	result "$status" "$file"
done < <(ours '*.c' '*.h')
finish "C files and headers"
