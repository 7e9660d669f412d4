#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	suites.sh
#
# Prints what `make test` runs, in the form of the guest's job list, and
# "append OPTION" for the kernel's boot line. With ONLY=NAME just what NAME
# names: a suite, or a test (for kselftests also a fixture, or
# fixture.variant.test). A name that matches nothing is an error.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly LIST=$HARNESS/guest/suites
only=${ONLY-}

shopt -s nullglob
readonly KUNIT_FILES=("$TOP"/mm/tests/*kunit*.c)
shopt -u nullglob

# "SUITE TEST" for each KUnit test in our sources.
kunit_tests()
{
	awk '
		function word(s) {
			sub(/^[^A-Za-z0-9_]*/, "", s)
			sub(/[^A-Za-z0-9_].*/, "", s)
			return s
		}
		/struct kunit_case .*\[\]/ {
			array = $0
			sub(/.*struct kunit_case /, "", array)
			array = word(array)
		}
		/^\tKUNIT_CASE[A-Z_]*\(/ {
			test = $0
			sub(/^[^(]*\(/, "", test)
			tests[++n] = word(test)
			owner[n] = array
		}
		/struct kunit_suite / { in_suite = 1; name = cases = "" }
		in_suite && /\.name *= *"/ {
			name = $0
			sub(/^[^"]*"/, "", name)
			sub(/".*/, "", name)
		}
		in_suite && /\.test_cases *=/ {
			cases = $0
			sub(/.*= */, "", cases)
			cases = word(cases)
		}
		in_suite && /^};/ { suite[cases] = name; in_suite = 0 }
		END {
			for (i = 1; i <= n; i++)
				print suite[owner[i]], tests[i]
		}' /dev/null "${KUNIT_FILES[@]}"
}

# kunit_lines TESTS: the suites in these lines, and the filter that runs them.
kunit_lines()
{
	awk '!seen[$1]++ { print "kunit", $1 }' <<< "$1"
	printf 'append kunit.enable=1\nappend kunit.filter_glob=%s\n' "$2"
}

# with_word N LINES: those whose N-th word is ONLY.
with_word()
{
	awk -v n="$1" '
		$n == ENVIRON["ONLY"] { print; found = 1 }
		END { exit !found }' <<< "$2"
}

kunit()
{
	local all chosen

	all=$(kunit_tests)
	if [ -z "$all" ]; then
		return 1
	elif [ -z "$only" ] || [ "$only" = kunit ]; then
		kunit_lines "$all" 'hmm*'
	elif chosen=$(with_word 1 "$all"); then
		kunit_lines "$chosen" "$only"
	elif chosen=$(with_word 2 "$all"); then
		kunit_lines "$chosen" "*.$only"
	else
		echo "append kunit.enable=0"
		return 1
	fi
}

# has_test PROGRAM: is every part of ONLY a name that the program lists?
has_test()
{
	local names part

	# It lists on stderr, and calls that a skip.
	names=$("$GUEST/bin/$1" -l 2>&1) || [ $? -eq 4 ] ||
		die "$1 -l failed, so ONLY cannot be looked up"
	for part in ${only//./ }; do
		grep -qwF -- "$part" <<< "$names" || return 1
	done
}

# listed KIND NAME COMMAND: one line of the list of suites.
listed()
{
	local kind=$1 name=$2 command=$3

	if [ -z "$only" ] || [ "$only" = "$name" ]; then
		printf '%s %s %s\n' "$kind" "$name" "$command"
	elif [ "$kind" = ktap ] && has_test "${command%% *}"; then
		printf '%s %s %s -t %s -f %s -r %s\n' "$kind" "$name" \
			"$command" "$only" "$only" "$only"
	else
		return 1
	fi
}

found=
if kunit; then
	found=1
fi
while read -r kind name command; do
	case $kind in
	'' | '#'*) continue ;;
	esac
	if listed "$kind" "$name" "$command"; then
		found=1
	fi
done < "$LIST"
[ -n "$found" ] || die "ONLY=$only: it names no suite and no test"
