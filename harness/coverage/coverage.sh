#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	coverage.sh			(with WITH=gcov)
#
# Runs the tests, or with ONLY=NAME some of them, on a kernel whose core counts
# how often its lines and branches are run. Prints both for each file, and each
# line that was not run and is not in harness/coverage/not-run. Fails if a test
# fails, or if fewer lines or branches were run than they must.

set -euo pipefail
# shellcheck source=harness/lib.sh
. "$HARNESS/lib.sh"
# shellcheck source=harness/totals.sh
. "$HARNESS/totals.sh"

readonly DIR=$OUT/coverage LIST=$HARNESS/coverage/not-run
readonly MUST_LINES=95 MUST_BRANCHES=85

# counts: unpack the counts from the guest's output, beside the files that the
# compiler made.
counts()
{
	rm -rf -- "$DIR" && mkdir -p "$DIR"
	sed -n '/^begin-base64 /,/^====/p' "$RESULTS/output.log" |
		tr -d '\r' | sed '1d;$d' | base64 -d | tar -xzf - -C "$DIR" ||
		die "the guest has sent no counts, see $RESULTS"
	find "$DIR/gcov" -name '*.gcda' -path '*/mm/hmm*' \
		-exec mv -t "$DIR" -- {} +
	rm -rf -- "$DIR/gcov"
	cp "$KBUILD"/mm/hmm*.gcno "$DIR/"
}

# report: write core.info, with only the core's own files.
report()
{
	local branches=(--rc lcov_branch_coverage=1 --quiet)

	{
		lcov "${branches[@]}" --capture --directory "$DIR" \
			--base-directory "$KBUILD" \
			--output-file "$DIR/all.info" &&
		lcov "${branches[@]}" --extract "$DIR/all.info" '*/mm/hmm*' \
			--output-file "$DIR/core.info"
	} > "$DIR/lcov.log" 2>&1 || die "lcov failed, see $DIR/lcov.log"
}

# table: print a line for each file, the totals, and the lines that were not
# run, "FILE:LINE".
table()
{
	awk -F '[:,]' '
		function percent(hit, all) {
			return all ? 100 * hit / all : 100
		}
		function row(name, lh, lf, bh, bf) {
			printf "%-24s %5d of %5d lines %6.1f%%  %5d of %5d branches %6.1f%%\n",
				name, lh, lf, percent(lh, lf), bh, bf,
				percent(bh, bf)
		}
		$1 == "SF" {
			name = $2
			sub(/.*\/mm\//, "mm/", name)
			lf = lh = bf = bh = 0
		}
		$1 == "DA" {
			lf++
			if ($3 + 0) lh++
			else print name ":" $2
		}
		$1 == "BRDA" { bf++; if ($5 + 0) bh++ }
		$1 == "end_of_record" {
			row(name, lh, lf, bh, bf)
			LF += lf; LH += lh; BF += bf; BH += bh
		}
		END {
			row("total", LH, LF, BH, BF)
			printf "percent %.2f %.2f\n", percent(LH, LF),
				percent(BH, BF)
		}' "$DIR/core.info"
}

# not_run: print lines of "FILE:LINE" with their text, but those in LIST.
not_run()
{
	local file line text

	while IFS=: read -r file line; do
		text=$(sed -n "${line}{s/^[[:space:]]*//;p}" "$TOP/$file")
		awk -F '\t' -v file="$file" -v text="$text" '
			!/^(#|$)/ && $1 == file && index(text, $2) { found = 1 }
			END { exit !found }' "$LIST" ||
			printf '%s:%s: not run: %s\n' "$file" "$line" "$text"
	done
}

status=0
"$HARNESS/guest/guest.sh" coverage || status=$?
[ "$status" -le 1 ] || exit "$status"
counts
report
table > "$DIR/table"
grep -E '^mm/[^:]*:[0-9]+$' "$DIR/table" | not_run > "$DIR/not-run" || true
cat "$DIR/not-run"
grep -vE '^(mm/[^:]*:[0-9]+$|percent )' "$DIR/table"
read -r lines branches < <(sed -n 's/^percent //p' "$DIR/table")
at_least()
{
	awk -v is="$1" -v must="$2" 'BEGIN { exit !(is >= must) }'
}
result "$status" "the tests, see $RESULTS"
code=0 && at_least "$lines" "$MUST_LINES" || code=1
result "$code" "$lines% of the lines are run, $MUST_LINES% must be"
code=0 && at_least "$branches" "$MUST_BRANCHES" || code=1
result "$code" "$branches% of the branches are run, $MUST_BRANCHES% must be"
code=0 && [ ! -s "$DIR/not-run" ] || code=1
result "$code" "$(wc -l < "$DIR/not-run") lines are not run and not listed"
say "details: $DIR/core.info (genhtml --branch-coverage)"
print_totals
[ "$failed" -eq 0 ]
