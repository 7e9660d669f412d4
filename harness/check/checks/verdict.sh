#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The verdict's own tests: logs whose verdict is known.

set -euo pipefail
. "${0%/*}/../lib.sh"

out=$CHECK/verdict.tap
status=0
"$HARNESS/verdict/test.sh" > "$out" || status=$?
passed=$(grep -c '^ok ' "$out") || [ $? -eq 1 ]
failed=$(grep -c '^not ok ' "$out") || [ $? -eq 1 ]
plan=$(sed -n 's/^1\.\.//p' "$out")
[ "$failed" -eq 0 ] || grep -vE '^(ok|TAP|1\.\.)' "$out"
# All that were planned, and the status that goes with it.
[ "$((passed + failed))" = "$plan" ] || failed=$((failed + 1))
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
finish "the logs in harness/verdict/cases"
