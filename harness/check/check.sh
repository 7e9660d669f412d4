#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	check.sh BASE			(with TOP, HARNESS and SERIES set)
#
# Runs each script in check/checks, or with ONLY=NAME that one, and adds up.
# A check prints what is wrong, then a line "N passed, N failed, N skipped",
# with what it looked at before that; one that says no totals has failed.

set -euo pipefail
. "${0%/*}/../lib.sh"

[ $# -eq 1 ] || die "usage: check.sh BASE"
export BASE=$1 TREE=$1/tree CHECK=$1/check
passed=0 failed=0 skipped=0

# add_up NAME STATUS: from what the check printed.
add_up()
{
	local line

	line=$(tail -n 1 "$CHECK/$1.out")
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]] &&
	   { [ "$2" -eq 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ]; }; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
		skipped=$((skipped + BASH_REMATCH[3]))
	else
		failed=$((failed + 1))
		line="ended with $2 and no totals: $line"
	fi
	printf '%-14s %s (%s s)\n' "$1" "$line" "$SECONDS"
}

for script in "$HARNESS"/check/checks/*.sh; do
	name=$(basename "$script" .sh)
	[ -z "${ONLY-}" ] || [ "$ONLY" = "$name" ] || continue
	SECONDS=0 status=0
	"$script" > "$CHECK/$name.out" || status=$?
	sed '$d' "$CHECK/$name.out"
	add_up "$name" "$status"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
