#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	suites.sh
#
# Prints the steps of `make test` for the guest's job list, and "append OPTION"
# for the kernel's boot line. With ONLY=NAME, prints only the suite or the test
# NAME (for kselftests also a fixture or fixture.variant.test), or fails if
# there is none; kunit and programs are all of a kind. HMM_SUITES is another list than harness/guest/suites.

set -euo pipefail
. "${0%/*}/../lib.sh"
# shellcheck source=harness/arch/x86_64.sh
. "$HARNESS/arch/${ARCH:-x86_64}.sh"

readonly LIST=${HMM_SUITES:-$HARNESS/guest/suites}
only=${ONLY-}

shopt -s nullglob
readonly KUNIT_FILES=("$TOP"/mm/tests/*kunit*.c)
shopt -u nullglob

# kunit_tests: print "SUITE TEST" for each KUnit test in our sources.
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

# kunit_lines TESTS FILTER: print the suites in TESTS, and the boot options.
kunit_lines()
{
	awk '!seen[$1]++ { print "kunit", $1 }' <<< "$1"
	printf 'append kunit.enable=1\nappend kunit.filter_glob=%s\n' "$2"
}

# with_word N LINES: print the lines whose N-th word is ONLY.
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
	elif [ "$only" = programs ]; then
		echo "append kunit.enable=0"
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

# list_tests FILE: run a program, or a script, which then runs a program.
list_tests()
{
	if [[ $(head -c 2 "$1" | tr '\0' ' ') == '#!' ]]; then
		RUN=$RUN "$1" -l
	else
		# shellcheck disable=SC2086 # it may be empty
		$RUN "$1" -l
	fi
}

# has_test PROGRAM: true if the program lists every part of ONLY.
has_test()
{
	local names part

	# The list goes to stderr, and the status is that of a skip.
	names=$(list_tests "$GUEST/bin/$1" 2>&1) || [ $? -eq 4 ] ||
		die "$1 -l failed, so ONLY cannot be looked up"
	for part in ${only//./ }; do
		grep -qwF -- "$part" <<< "$names" || return 1
	done
}

# listed KIND NAME COMMAND: print a step if ONLY matches it.
listed()
{
	local kind=$1 name=$2 command=$3

	if [ -z "$only" ] || [ "$only" = programs ] || [ "$only" = "$name" ]; then
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
