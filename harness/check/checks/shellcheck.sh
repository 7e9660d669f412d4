#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every script passes shellcheck, with the files that it sources.

set -euo pipefail
. "${0%/*}/../lib.sh"

cd "$TOP"
find harness .ci -type f \
	-exec grep -lE '^(#!/bin/(ba)?sh|# shellcheck shell=)' {} + \
	> "$CHECK/scripts"
# Run one shellcheck for each script in parallel, and log the clean ones.
# shellcheck disable=SC2016 # for the inner shell
tr '\n' '\0' < "$CHECK/scripts" |
	xargs -0 -n 1 -P "${JOBS-1}" sh -c 'shellcheck -x "$1" > "$0.$$" &&
		echo "clean $1" || cat "$0.$$"; rm -f "$0.$$"' \
		"$CHECK/shellcheck" > "$CHECK/shellcheck.log"
grep -v '^clean ' "$CHECK/shellcheck.log" || [ $? -eq 1 ]
while read -r script; do
	status=0
	grep -qxF "clean $script" "$CHECK/shellcheck.log" || status=1
	result "$status" "$script"
done < "$CHECK/scripts"
finish "scripts in harness and .ci"
