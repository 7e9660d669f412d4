#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	lay.sh PRISTINE DIR
#
# Adds to DIR, the files in which the series differs from PRISTINE, what only
# tests need and no patch has:
#
#	mm/hmm-stock.c		the base's walk, as hmm_stock_range_fault()
#	lib/test_hmm_stock.c	the base's dummy device, on the interval API
#	lib/hmm_diff.c		calls the base's walk or ours for a program
#	lib/hmm_switch.c	calls the base's walk or ours for umem_odp.c, if
#				that has no mmap lock when it calls
#
# The first two are made from PRISTINE. All are built wherever the benchmarks,
# or our dummy device, are.

set -euo pipefail
. "${0%/*}/../lib.sh"

[ $# -eq 2 ] || die "usage: lay.sh PRISTINE DIR"
pristine=$1 dir=$2
here=${0%/*}

# renamed FILE: print a file of the base with the interval API's new names.
renamed()
{
	"$here/../series/move-interval.sh" names "$pristine/$1"
}

# put PATH: write a file of DIR, which may be a link.
put()
{
	rm -f -- "$dir/$1"
	cat > "$dir/$1"
}

# build PATH SYMBOL OBJECT...: build objects, where SYMBOL is set.
build()
{
	local makefile=$1/Makefile option=$2
	shift 2

	[ -e "$dir/$makefile" ] || die "the series does not change $makefile"
	echo "obj-\$($option) += $*" >> "$dir/$makefile"
}

# lay_switch: let umem_odp.c call hmm_switch.c.
lay_switch()
{
	local call=hmm_range_fault_unlocked_timeout
	local makefile=drivers/infiniband/core/Makefile

	grep -qw "$call" "$pristine/${makefile%/*}/umem_odp.c" || return 0
	put lib/hmm_switch.c < "$here/hmm_switch.c"
	build lib CONFIG_HMM_BENCH hmm_switch.o
	put "$makefile" < "$pristine/$makefile"
	cat >> "$dir/$makefile" <<- EOF
	ifdef CONFIG_HMM_BENCH
	CFLAGS_umem_odp.o += -Dhmm_interval_${call#hmm_}=hmm_switch_range_fault
	endif
	EOF
}

renamed mm/hmm.c |
	awk '/ hmm_interval_dma_map_alloc - / { dma = 1 }
	     dma { next }
	     /^\/\*\*$/ { held = $0; next }
	     held != "" { print held; held = "" }
	     { print }' |
	sed 's/\bhmm_interval_range_fault/hmm_stock_range_fault/' |
	put mm/hmm-stock.c
grep -q '^int hmm_stock_range_fault(' "$dir/mm/hmm-stock.c" ||
	die "mm/hmm.c of the base has no walk that is known here"
renamed lib/test_hmm.c | sed 's/"test_hmm_uapi/"test_hmm_stock_uapi/' |
	put lib/test_hmm_stock.c
put lib/test_hmm_stock_uapi.h < "$pristine/lib/test_hmm_uapi.h"
put lib/hmm_diff.c < "$here/hmm_diff.c"
put lib/hmm_diff.h < "$here/hmm_diff.h"
build mm CONFIG_HMM_BENCH hmm-stock.o
echo 'CFLAGS_hmm-stock.o += -Wno-missing-prototypes' >> "$dir/mm/Makefile"
build lib CONFIG_HMM_BENCH hmm_diff.o
lay_switch
build lib CONFIG_TEST_HMM test_hmm_stock.o
