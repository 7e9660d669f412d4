#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	mutants.sh			(with WITH=mutants)
#
# Tests the tests: makes COUNT small wrong versions of the core (mutate.py), all
# in one kernel, and boots it with each of them in turn: first with the KUnit
# suite of the mutated file, then with all of KUnit. Those that pass are booted
# with our programs at the end. The first failure ends the guest. A mutant that
# no test finds has survived;
# harness/mutants/equal lists those that are not wrong, with the reason, and
# harness/mutants/debug those that only lockdep or a scan for leaks can find:
# they alone are run with DEBUG=1.
#
# ONLY=NUMBER runs one, again, SHARD=I/N every N-th. Results are kept in
# $OUT/mutants/results: a second run goes on from there, and runs survivors
# again if the kernel or its tests have changed.

set -euo pipefail
# shellcheck source=harness/lib.sh
. "$HARNESS/lib.sh"
# shellcheck source=harness/totals.sh
. "$HARNESS/totals.sh"

readonly DIR=$OUT/mutants EQUAL=$HARNESS/mutants/equal
readonly DEBUG_ONLY=$HARNESS/mutants/debug
readonly DONE=$DIR/results SUITES=$DIR/suites

# A guest is ended when neither its kernel nor its tests have printed a line for
# so many seconds. No test is silent for a tenth of that.
readonly SILENCE=${TIMEOUT:-180}

# Signs of a failure: the guest need not go on.
readonly FAILURE='(^|\] +|\| *)not ok |Kernel panic|Oops:|BUG: |soft lockup|hung task|blocked for more than'

# size: print the size of what the guest has printed.
size()
{
	cat "$RESULTS/serial.log" "$RESULTS/result" 2> /dev/null | wc -c
}

# watch PID NUMBER: end the guest's group at the first failure of a mutant in its
# log, or when it hangs.
watch()
{
	local now last=0 since=$SECONDS

	until ! kill -0 "$1" 2> /dev/null; do
		now=$(size)
		[ "$now" = "$last" ] || since=$SECONDS
		last=$now
		if [ "$2" != 0 ] && grep -qaE "$FAILURE" \
			"$RESULTS/serial.log" "$RESULTS/result" 2> /dev/null
		then
			break
		elif [ $((SECONDS - since)) -gt "$SILENCE" ]; then
			touch "$RESULTS/hangs"
			break
		fi
		sleep 0.2
	done
	kill -TERM "-$1" 2> /dev/null || true
}

# gone GROUP: wait until all of its processes have ended; end them if need be.
gone()
{
	local tries

	for ((tries = 0; tries < 100; tries++)); do
		kill -0 "-$1" 2> /dev/null || return 0
		sleep 0.1
	done
	kill -KILL "-$1" 2> /dev/null || true
}

# guest NUMBER TESTS: run them with a mutant, 0 for none. True if all passed.
guest()
{
	local pid status=0

	export HMM_APPEND=hmm_mutant=$1 RESULTS=$DIR/guest
	export HMM_SUITES=$SUITES
	rm -rf -- "$RESULTS"
	mkdir -p "$RESULTS"
	ONLY=$2 TIMEOUT=$((20 * SILENCE)) setsid \
		"$HARNESS/guest/guest.sh" test > "$DIR/guest.log" 2>&1 &
	pid=$!
	# front.sh sends it when make is interrupted
	# shellcheck disable=SC2064 # the PID is that of now
	trap "kill -TERM -$pid; exit 130" TERM
	watch "$pid" "$1"
	wait "$pid" || status=$?
	gone "$pid"
	return "$status"
}

# reason: print why the last guest has failed.
reason()
{
	local line

	if [ -e "$RESULTS/hangs" ]; then
		printf 'no output for %d s after: ' "$SILENCE"
		tail -n 1 "$RESULTS/serial.log" | tr -d '\r' | cut -c 1-80
		return
	fi
	line=$(grep -ahE "$FAILURE" "$RESULTS/serial.log" "$RESULTS/result" ||
		grep -E '^(FAILED|LOST|SPLAT|LEAK)|^ *(not ok|[a-z]+:)' \
			"$DIR/guest.log" || tail -n 1 "$DIR/guest.log")
	head -n 1 <<< "$line" | tr -d '\r' |
		sed -E 's/^(\[[ 0-9.]*\])?[| ]*(not ok [0-9]+ )?//' |
		cut -c 1-80
}

# first KEY: print the suite that is named after the mutated file, if there is
# one: hmm_dma for hmm-dma-kind.c.
first()
{
	local name=${1%%.c:*}

	name=${name//-/_}
	until grep -qs "\.name = \"$name\"" "$TOP"/mm/tests/*.c; do
		[[ $name == *_* ]] || return 0
		name=${name%_*}
	done
	printf '%s' "$name"
}

# passes_kunit NUMBER KEY: true if no KUnit test finds the mutant.
passes_kunit()
{
	local suite

	suite=$(first "$2")
	if [ -n "$suite" ]; then
		guest "$1" "$suite" || return
	fi
	guest "$1" kunit
}

# passes_programs NUMBER KEY: true if no program finds the mutant.
passes_programs()
{
	sane programs
	guest "$1" programs
}

# run NUMBER KEY TESTS PASSED: append the result of a mutant to DONE. PASSED is
# that of a mutant that no test finds.
run()
{
	local from=$SECONDS result=$4 why=-

	if ! "passes_$3" "$1" "$2"; then
		result=killed why=$(reason)
	fi
	printf '%s\t%s\t%s\t%s\n' "$result" "$2" $((SECONDS - from)) \
		"${why:-lost}" >> "$DONE"
	say "$1 of $COUNT: $(tail -n 1 "$DONE" | tr '\t' ' ')"
}

# has KEY FIELD FILE: true if a line of FILE has KEY in that field. FIELD 0 is
# the first two. Not awk -v, which changes backslashes.
has()
{
	KEY=$1 awk -F '\t' -v n="$2" '
		!/^(#|$)/ && (n ? $n : $1 FS $2) == ENVIRON["KEY"] { found = 1 }
		END { exit !found }' "$3"
}

# forget FIELD TEXT: drop the results with that text.
forget()
{
	TEXT=$2 awk -F '\t' -v n="$1" '$n != ENVIRON["TEXT"]' "$DONE" \
		> "$DONE.new"
	mv -- "$DONE.new" "$DONE"
}

# mine NUMBER KEY: true if the mutant is one of this run.
mine()
{
	[ "$FLAVOUR" = plain ] || has "$2" 1 "$DEBUG_ONLY" || return
	[ -z "${ONLY-}" ] || [ "$1" = "$ONLY" ] || return
	[ -z "${SHARD-}" ] || [ $(($1 % ${SHARD#*/})) -eq $((${SHARD%/*} % ${SHARD#*/})) ]
}

# may_survive KEY
may_survive()
{
	has "$1" 1 "$EQUAL" ||
		{ [ "$FLAVOUR" = plain ] && has "$1" 1 "$DEBUG_ONLY"; }
}

# report: one result for each mutant that was run.
report()
{
	local state key why

	while IFS=$'\t' read -r state key _ why; do
		if ! has "$key" 2 "$DIR/list"; then
			continue
		elif [ "$state" = killed ] && has "$key" 1 "$EQUAL"; then
			result 1 "not equal, $why finds it: $key"
		elif [ "$state" = killed ]; then
			passed=$((passed + 1))
		elif may_survive "$key"; then
			skipped=$((skipped + 1))
		else
			result 1 "survived: $key"
		fi
	done < "$DONE"
}

# sane TESTS: see them pass without a mutant.
sane()
{
	[ ! -e "$DIR/sane-$1" ] || return 0
	guest 0 "$1" ||
		die "the tests fail without a mutant, see $DIR/guest.log"
	touch "$DIR/sane-$1"
}

# prepare: write the lists. With other tests than before, survivors are run
# again.
prepare()
{
	local files

	mkdir -p "$DIR"
	touch "$DONE"
	mapfile -t files < <("$HARNESS/mutants/files.sh")
	python3 "$HARNESS/mutants/mutate.py" "$COUNT" list "${files[@]}" \
		> "$DIR/list"
	grep -vE ' (stock-|hmm-demo|hmm-rst)' "$HARNESS/guest/suites" > "$SUITES"
	if [ "$GUEST/initramfs.cpio" -nt "$DIR/sane-kunit" ]; then
		rm -f -- "$DIR"/sane-*
		forget 1 survived
		forget 1 kunit-passed
	fi
	sane kunit
}

# all_kunit: run KUnit on each mutant that has no result.
all_kunit()
{
	local number key

	while IFS=$'\t' read -r number key; do
		mine "$number" "$key" || continue
		[ -z "${ONLY-}" ] || forget 2 "$key"
		has "$key" 2 "$DONE" ||
			run "$number" "$key" kunit kunit-passed
	done < "$DIR/list"
}

# all_programs: run our programs on each mutant that has passed KUnit, and is
# not listed.
all_programs()
{
	local number key

	while IFS=$'\t' read -r number key; do
		if mine "$number" "$key" && ! may_survive "$key" &&
		   has "kunit-passed	$key" 0 "$DONE"; then
			forget 2 "$key"
			run "$number" "$key" programs survived
		fi
	done < "$DIR/list"
}

prepare
all_kunit
all_programs
report
awk -F '\t' '{ seconds += $3 } END { if (NR) printf "mutants: %d of %d run, %.1f s each\n", NR, '"$COUNT"', seconds / NR }' "$DONE"
print_totals
[ "$failed" -eq 0 ]
