#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	progress.sh LABEL LOG COMMAND...
#
# Runs the command with its output in LOG, and prints a line every ten seconds.
# With HMM_COUNT, a regular expression, the line has the number of lines in LOG
# that match, and HMM_COUNT_NAME names them. When the command fails, prints
# HMM_HINT, or else the errors in LOG, and the path of LOG.

set -euo pipefail
. "${0%/*}/lib.sh"

readonly EVERY=10 SHOWN=20

[ $# -ge 3 ] || die "usage: progress.sh LABEL LOG COMMAND..."
label=$1 log=$2
shift 2

count()
{
	[ -z "${HMM_COUNT-}" ] || printf '%s %s, ' \
		"$(grep -cE -- "$HMM_COUNT" "$log")" "${HMM_COUNT_NAME-lines}"
}

tick()
{
	while sleep "$EVERY" 2> /dev/null; do
		say "$label: $(count)$SECONDS s"
	done
}

explain()
{
	if grep -q 'No space left on device' "$log" ||
	   [ "$(free_mib "${log%/*}")" -lt 16 ]; then
		say "$label: the disk is full (${log%/*})"
		return
	fi
	if [ -n "${HMM_HINT-}" ]; then
		say "$label failed: $HMM_HINT (log: $log)"
		return
	fi
	# A reader needs the first errors, not what make adds to them.
	grep -E '(error|undefined reference|No rule to make target)[: ]' \
		"$log" | head -n "$SHOWN" >&2 || tail -n "$SHOWN" "$log" >&2
	say "$label failed; the whole log is $log"
}

{ mkdir -p "${log%/*}" && : > "$log"; } ||
	die "cannot write $log: is the disk full?"

# A sleep that outlives us holds neither of front.sh's locks, nor our output.
tick 8>&- 9>&- > /dev/null &
trap 'kill "$!" 2>/dev/null || true' EXIT

status=0
"$@" > "$log" 2>&1 || status=$?
[ "$status" -eq 0 ] || [ "$status" -gt 128 ] || explain
exit "$status"
