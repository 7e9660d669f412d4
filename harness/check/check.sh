#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	check.sh BASE			(with TOP, HARNESS and SERIES set)
#
# Runs each script in check/checks, or with ONLY=NAME that one, and adds up
# their totals. A check prints the problems, a line with its subject, and the
# totals. A check without totals has failed.

set -euo pipefail
. "${0%/*}/../lib.sh"
. "${0%/*}/../totals.sh"

[ $# -eq 1 ] || die "usage: check.sh BASE"
export BASE=$1 TREE=$1/tree CHECK=$1/check

for script in "$HARNESS"/check/checks/*.sh; do
	name=$(basename "$script" .sh)
	[ -z "${ONLY-}" ] || [ "$ONLY" = "$name" ] || continue
	SECONDS=0 status=0
	"$script" > "$CHECK/$name.out" || status=$?
	line=$(tail -n 1 "$CHECK/$name.out")
	sed '$d' "$CHECK/$name.out"
	add_totals "$CHECK/$name.out" "$status" ||
		line="failed with status $status: $line"
	printf '%-14s %s (%s s)\n' "$name" "$line" "$SECONDS"
done
print_totals
[ "$failed" -eq 0 ]
