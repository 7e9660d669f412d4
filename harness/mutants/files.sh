#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	files.sh			(with TOP and BASE set)
#
# Prints the files that have mutants, as they are on the base: those of the
# core, without its check of its own state and its totals, which change nothing.

set -euo pipefail

for file in "$TOP"/mm/hmm*.c; do
	[[ $file == */hmm-@(verify|totals).c ]] || printf '%s\n' "$BASE/tree/mm/${file##*/}"
done
