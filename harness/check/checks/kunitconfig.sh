#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kunit.py accepts the .kunitconfig of our tests: each option can be set.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly DIR=mm/tests
readonly LOG=$CHECK/kunitconfig.log

# kunit.py would leave its byte code in the tree.
export PYTHONDONTWRITEBYTECODE=1
rm -rf -- "$CHECK/kunit"
status=0
(cd "$TREE" && ./tools/testing/kunit/kunit.py config --arch x86_64 \
	--kunitconfig="$DIR" --build_dir="$CHECK/kunit") > "$LOG" 2>&1 ||
	status=$?
[ "$status" -eq 0 ] || tail -n 4 "$LOG"
result "$status" "$DIR/.kunitconfig"
finish "$(grep -c '^CONFIG_' "$TREE/$DIR/.kunitconfig") options of $DIR"
