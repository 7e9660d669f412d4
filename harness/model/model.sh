#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	model.sh DIR			(with HARNESS and JOBS set)
#
# Runs each case of harness/model/cases, or with ONLY=NAME that one, with spin,
# which visits every state of the model. For each error it finds, DIR/NAME/race
# has the steps that lead there.

set -euo pipefail
# shellcheck source=harness/lib.sh
. "$HARNESS/lib.sh"
# shellcheck source=harness/totals.sh
. "$HARNESS/totals.sh"

readonly MODEL=$HARNESS/model/hmm.pml
readonly CASES=$HARNESS/model/cases

# Limits of a case, which then fails.
readonly SECONDS_MAX=600 MIB_MAX=4000 DEPTH_MAX=100000

# search DIR EXPECTED OPTION...: write what spin says to DIR/out.
search()
{
	local dir=$1 expected=$2 compile=(-DSAFETY -O0) run=()
	shift 2

	case $expected in
	ok)			compile=(-DSAFETY -O2) ;;
	ends)			compile=(-DNP -O2) run=(-l) ;;
	non-progress)		compile=(-DNP -O0) run=(-l) ;;
	esac
	rm -rf -- "$dir" && mkdir -p "$dir" && cd "$dir" || return
	# The name of the trail comes from that of the model
	cp "$MODEL" . && spin -a "$@" hmm.pml > spin.out || return
	gcc -w -DCOLLAPSE "-DMEMLIM=$MIB_MAX" "${compile[@]}" -o pan pan.c ||
		return
	nice timeout "$SECONDS_MAX" ./pan "-m$DEPTH_MAX" "${run[@]}" > out ||
		return
	[ ! -e hmm.pml.trail ] || ./pan -r | grep -E '^ *[0-9]+:' > race || true
}

# found DIR: print the error in DIR/out, if any, as one line.
found()
{
	sed -n 's/^pan:1: \(.*\) (at depth .*/\1/p' "$1/out"
}

# complete DIR: true if spin has visited all states.
complete()
{
	! grep -qE 'max search depth too small|Search not completed|^pan: (out|reached)' \
		"$1/out" && grep -q 'errors: 0$' "$1/out"
}

# one DIR NAME EXPECTED OPTION...: run a case; DIR/NAME.result has its result.
one()
{
	local dir=$1/$2 expected=$3 error states status=1

	search "$dir" "${@:3}" 2> "$dir.stderr" || true
	error=$(found "$dir" 2> /dev/null) || true
	states=$(awk '/states, stored/ { print $1 }' "$dir/out" 2> /dev/null) ||
		true
	case $expected in
	ok | ends)
		! complete "$dir" 2> /dev/null || status=0
		error=${error:-no error} ;;
	*)
		! grep -qE -- "$expected" <<< "$error" || status=0 ;;
	esac
	printf '%s\n%s\n%s\n' "$status" "${states:-0}" \
		"$(cut -c 1-50 <<< "${error:-not the error that it has}")" \
		> "$dir.result"
	rm -f -- "$dir"/pan* "$dir"/hmm.pml*
}

if [ "$1" = --case ]; then
	# shellcheck disable=SC2086 # the words of a line
	one "$2" $3
	exit
fi

[ $# -eq 1 ] || die "usage: model.sh DIR"
mkdir -p "$1"
cases=$(awk -v only="${ONLY-}" '
	!/^(#|$)/ && (only == "" || $1 == only)' "$CASES")
[ -n "$cases" ] || die "ONLY=$ONLY: there is no such case"
tr '\n' '\0' <<< "$cases" | xargs -0 -P "$JOBS" -n 1 "$0" --case "$1" || true

total=0
while read -r name _; do
	{ read -r status; read -r states; read -r error; } < "$1/$name.result"
	result "$status" "$name (see $1/$name)"
	printf '%-22s %9d states  %s\n' "$name" "$states" "$error"
	total=$((total + states))
done <<< "$cases"
echo "model: $total states"
print_totals
[ "$failed" -eq 0 ]
