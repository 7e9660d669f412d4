#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	bench.sh
#
# Counts instructions in one boot and measures time in another, then compares
# the counts with the bounds in bench/rows. $RESULTS gets bench.tsv, plots, and
# the files of each boot. Only counts can fail; times are printed for people,
# and a time that could not be measured on a busy machine is marked so.
# ONLY=NAME only counts, and only the rows with NAME in their name.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly ROWS=$HARNESS/bench/rows
readonly TEST_FAILED=1

# guest VERB: boot with a folder for this boot; $out is the output of its
# programs.
guest()
{
	out=$RESULTS/$1/output.log
	RESULTS=$RESULTS/$1 "$HARNESS/guest/guest.sh" "$1"
}

# only_rows: print the rows that ONLY selects.
only_rows()
{
	awk -F '\t' -v only="${ONLY-}" '!/^(#|$)/ && index($1, only)' "$ROWS"
}

count()
{
	local waivers

	only_rows > "$RESULTS/rows"
	HMM_CPUS=counted guest count || return
	# Those of every base, then those of this base.
	waivers=("$HARNESS/bench/waivers")
	[ ! -e "$SERIES/waivers" ] || waivers+=("$SERIES/waivers")
	awk -f "$HARNESS/bench/table.awk" -v tsv="$RESULTS/bench.tsv" \
		file=rows "$RESULTS/rows" file=waivers "${waivers[@]}" \
		file=counts "$out"
}

wall()
{
	guest wall || return
	awk -f "$HARNESS/bench/wall.awk" file=rows "$RESULTS/rows" \
		file=output "$out" || return
	grep -E '^(load|hold|map|scale)' "$out" > "$RESULTS/load.tsv" ||
		[ $? -eq 1 ]
}

plot()
{
	(cd "$RESULTS" && gnuplot -e "loads=$(wc -l < load.tsv)" \
		"$HARNESS/bench/plot.gp") ||
		die "gnuplot failed on $RESULTS/bench.tsv"
	say "plots: $(printf "%s " "$RESULTS"/*.svg)"
}

main()
{
	local status=0

	rm -rf -- "$RESULTS"
	mkdir -p "$RESULTS" || die "cannot write $RESULTS"
	count || status=$?
	say "counts: $RESULTS/bench.tsv"
	if [ -z "${ONLY-}" ] && [ "$status" -le "$TEST_FAILED" ]; then
		if wall; then
			plot
		else
			status=$?
		fi
	fi
	exit "$status"
}

main
