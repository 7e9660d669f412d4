#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	mutants.sh			(with WITH=mutants)
#
# Tests the tests: makes COUNT small wrong versions of the core (mutate.py), all
# in one kernel, boots it with each of them in turn, and runs KUnit's suites. A
# mutant that no test finds has survived; harness/mutants/equal lists those that
# are not wrong, with the reason. ONLY=NUMBER runs one, SHARD=I/N every N-th.
# Results are kept in $OUT/mutants/results: a second run goes on from there.

set -euo pipefail
# shellcheck source=harness/lib.sh
. "$HARNESS/lib.sh"
# shellcheck source=harness/totals.sh
. "$HARNESS/totals.sh"

readonly DIR=$OUT/mutants EQUAL=$HARNESS/mutants/equal
readonly DONE=$DIR/results

# A guest that hangs has been found out; the tests take a third of this.
readonly LIMIT=${TIMEOUT:-150}

# Signs of a failure in the log: the guest need not go on.
readonly FAILURE='(^|\] +)not ok |Kernel panic|Oops:|BUG: |soft lockup|hung task|blocked for more than'

# watch PID: end the guest's group at the first failure in its log.
watch()
{
	until ! kill -0 "$1" 2> /dev/null; do
		if grep -qaE "$FAILURE" "$RESULTS/serial.log" 2> /dev/null; then
			kill -TERM "-$1" 2> /dev/null || true
			return
		fi
		sleep 0.3
	done
}

# guest NUMBER: run the tests with a mutant, 0 for none. True if all passed.
guest()
{
	local pid status=0

	export HMM_APPEND=hmm_mutant=$1 RESULTS=$DIR/guest
	rm -rf -- "$RESULTS"
	ONLY=kunit TIMEOUT=$LIMIT setsid "$HARNESS/guest/guest.sh" test \
		> "$DIR/guest.log" 2>&1 &
	pid=$!
	watch "$pid"
	wait "$pid" || status=$?
	return "$status"
}

# reason: print why the last guest has failed.
reason()
{
	local log=$RESULTS/serial.log

	grep -aoEm 1 'not ok [0-9]+ [a-zA-Z_0-9]+' "$log" |
		sed 's/^not ok [0-9]* //' ||
		grep -aoEm 1 "$FAILURE" "$log" ||
		tail -n 1 "$DIR/guest.log" | cut -c 1-60
}

# run NUMBER KEY: append the result of a mutant to DONE.
run()
{
	local from=$SECONDS result=survived why=-

	if ! guest "$1"; then
		result=killed why=$(reason)
	fi
	printf '%s\t%s\t%s\t%s\n' "$result" "$2" $((SECONDS - from)) \
		"${why:-lost}" >> "$DONE"
}

# is_done KEY, is_equal KEY
is_done()
{
	awk -F '\t' -v key="$1" '$2 == key { found = 1 } END { exit !found }' \
		"$DONE"
}

is_equal()
{
	awk -F '\t' -v key="$1" '!/^(#|$)/ && $1 == key { found = 1 }
		END { exit !found }' "$EQUAL"
}

# mine NUMBER: true if the mutant belongs to this shard.
mine()
{
	[ -z "${ONLY-}" ] || [ "$1" = "$ONLY" ] || return
	[ -z "${SHARD-}" ] || [ $(($1 % ${SHARD#*/})) -eq $((${SHARD%/*} % ${SHARD#*/})) ]
}

# report: one result for each mutant that was run.
report()
{
	local state key why

	while IFS=$'\t' read -r state key _ why; do
		if [ "$state" = killed ]; then
			passed=$((passed + 1))
		elif is_equal "$key"; then
			skipped=$((skipped + 1))
		else
			result 1 "survived: $key"
		fi
	done < "$DONE"
}

mkdir -p "$DIR"
touch "$DONE"
mapfile -t files < <(printf '%s\n' "$BASE"/tree/mm/hmm*.c | grep -v -e -verify)
python3 "$HARNESS/mutants/mutate.py" "$COUNT" list "${files[@]}" > "$DIR/list"
if [ ! -e "$DIR/sane" ] || [ "$KBUILD/.built" -nt "$DIR/sane" ]; then
	guest 0 || die "the tests fail without a mutant, see $DIR/guest.log"
	touch "$DIR/sane"
fi
while IFS=$'\t' read -r number key; do
	if mine "$number" && ! is_done "$key"; then
		run "$number" "$key"
		say "$number of $COUNT: $(tail -n 1 "$DONE" | tr '\t' ' ')"
	fi
done < "$DIR/list"
report
awk -F '\t' '{ seconds += $3 } END { if (NR) printf "mutants: %d of %d run, %.1f s each\n", NR, '"$COUNT"', seconds / NR }' "$DONE"
print_totals
[ "$failed" -eq 0 ]
