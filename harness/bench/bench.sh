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
# Another architecture has its own bounds: ROW<tab>BOUND; the other rows have
# none there.
readonly BOUNDS=$HARNESS/arch/$ARCH.bounds
readonly TEST_FAILED=1

# guest VERB: boot with a folder for this boot; $out is the output of its
# programs.
guest()
{
	out=$RESULTS/$1/output.log
	RESULTS=$RESULTS/$1 "$HARNESS/guest/guest.sh" "$1"
}

# only_rows: print the rows that ONLY selects, with the architecture's bounds.
only_rows()
{
	local lists=(file=rows "$ROWS")

	[ ! -e "$BOUNDS" ] || lists=(file=bounds "$BOUNDS" "${lists[@]}")
	awk -F '\t' -v OFS='\t' -v only="${ONLY-}" '
		/^(#|$)/ { next }
		file == "bounds" { bound[$1] = $2; own = 1; next }
		own { $2 = $1 in bound ? bound[$1] : "-"; $3 = "-" }
		index($1, only)' "${lists[@]}"
}

# waivers: print those of every base and those of this base, which are for the
# bounds in bench/rows.
waivers()
{
	[ ! -e "$BOUNDS" ] || return 0
	cat "$HARNESS/bench/waivers"
	[ ! -e "$SERIES/waivers" ] || cat "$SERIES/waivers"
}

count()
{
	only_rows > "$RESULTS/rows"
	HMM_CPUS=counted guest count || return
	waivers > "$RESULTS/waivers"
	awk -f "$HARNESS/bench/table.awk" -v tsv="$RESULTS/bench.tsv" \
		file=rows "$RESULTS/rows" file=waivers "$RESULTS/waivers" \
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
