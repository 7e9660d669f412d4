#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	progress.sh LABEL LOG COMMAND...
#
# Runs the command with its output in LOG, and says every ten seconds that it
# still runs. With HMM_COUNT, a regular expression, it also tells how many
# lines of the log match; HMM_COUNT_NAME says what these are. When the command
# fails, HMM_HINT or else the errors in the log are shown, and the log named.

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
	while sleep "$EVERY"; do
		say "$label: $(count)$SECONDS s"
	done
}

quiet()
{
	[ -z "${ticker-}" ] || kill "$ticker" 2>/dev/null || true
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
	# The first errors are what a reader needs; what else make says is not.
	grep -E '(error|undefined reference|No rule to make target)[: ]' \
		"$log" | head -n "$SHOWN" >&2 || tail -n "$SHOWN" "$log" >&2
	say "$label failed; the whole log is $log"
}

{ mkdir -p "${log%/*}" && : > "$log"; } ||
	die "cannot write $log: is the disk full?"

in_background "$@" > "$log" 2>&1
command=$!
trap 'quiet' EXIT
trap 'kill -TERM "$command" 2>/dev/null || true' TERM HUP
# The command has got a ctrl-C itself; what it leaves behind is its affair.
trap 'interrupted=1' INT
tick 9>&- &
ticker=$!

status=0
wait_for "$command" || status=$?
if [ -n "${interrupted-}" ]; then
	quiet
	trap - INT EXIT
	kill -INT $$
fi
[ "$status" -eq 0 ] || [ "$status" -gt 128 ] || explain
exit "$status"
