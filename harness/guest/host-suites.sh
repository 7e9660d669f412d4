#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	host-suites.sh
#
# Runs the suites of $RESULTS/job that need no guest, and writes what they say
# to host.result, in the form in which PID 1 writes its own.

set -euo pipefail
. "${0%/*}/../lib.sh"

# suite_verdict: the verdict's own tests
suite_verdict()
{
	"$HARNESS/verdict/test.sh"
}

# suite_harness: settings, clean and what else of the harness needs no guest
suite_harness()
{
	"$HARNESS/tests/harness.sh"
}

run()
{
	local name=$1 status=0

	printf 'suite %s ktap\n' "$name"
	"suite_$name" 2>&1 | sed 's/^/| /' || status=${PIPESTATUS[0]}
	printf 'suite-end %s exit %s seconds %s\n' "$name" "$status" "$SECONDS"
}

while read -r _ name command; do
	[ "$command" != host ] || { SECONDS=0; run "$name"; }
done < "$RESULTS/job" > "$RESULTS/host.result"
