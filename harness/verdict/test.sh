#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Tests of the verdict. Each folder in cases/ has the files of one run, which
# replace those of cases/common. Its file "expect" has the exit status, the last
# line, and texts that the report must have, or with "!" must not have. Output
# is TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# check_text TEXT: print a line if the report does not fit.
check_text() {
	case $1 in
	'') ;;
	'!'*)
		grep -qF -e "${1#!}" "$work/out" && echo "says: ${1#!}" ;;
	*)
		grep -qF -e "$1" "$work/out" || echo "does not say: $1" ;;
	esac
}

check_report() {
	status=$1
	{
		read -r want_status
		read -r want_last
		[ "$status" = "$want_status" ] ||
			echo "status $status, not $want_status"
		[ "$(tail -n 1 "$work/out")" = "$want_last" ] ||
			echo "last line '$(tail -n 1 "$work/out")', not '$want_last'"
		while read -r text; do
			check_text "$text"
		done
	} <"$2/expect"
}

run_case() {
	rm -rf "$work/run"
	cp -r "$here/cases/common" "$work/run" || return 1
	cp "$1"/* "$work/run/" || return 1
	mode="test"
	[ -r "$1/mode" ] && read -r mode <"$1/mode"
	(cd "$work" && HMM_SKIPS=run/skips \
		HMM_BASE_SKIPS=none HMM_FAILS=run/fails \
		"$here/verdict.sh" run "$mode") >"$work/out" 2>&1
	check_report $? "$1" >"$work/wrong"
	[ ! -s "$work/wrong" ]
}

set -- "$here"/cases/*/expect
echo "TAP version 13"
echo "1..$#"
n=0
failed=0
for expect; do
	n=$((n + 1))
	dir=${expect%/expect}
	if run_case "$dir"; then
		echo "ok $n ${dir##*/}"
	else
		sed 's/^/# /' "$work/wrong" "$work/out"
		echo "not ok $n ${dir##*/}"
		failed=$((failed + 1))
	fi
done
[ "$failed" -eq 0 ]
