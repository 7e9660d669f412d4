#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	keep-status.sh COMMAND...
#
# Runs the command and, when it fails, leaves its status in HMM_STATUS_FILE:
# make itself knows no failure but 2. See front.sh.

set -uo pipefail
. "${0%/*}/lib.sh"

in_background "$@"
command=$!
trap 'kill -TERM "$command" 2>/dev/null' TERM HUP
trap 'interrupted=1' INT
wait_for "$command"
status=$?
if [ -n "${interrupted-}" ]; then
	trap - INT
	kill -INT $$
fi
[ "$status" -eq 0 ] || printf '%s\n' "$status" > "$HMM_STATUS_FILE"
exit "$status"
