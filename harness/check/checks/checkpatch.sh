#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The base's checkpatch --strict on every patch of the series, message and all.

set -euo pipefail
. "${0%/*}/../lib.sh"

# MISSING_SIGN_OFF: whoever posts the series signs it, nobody before that.
# FILE_PATH_CHANGES: asks for the entry in MAINTAINERS that the last patch adds.
# EMBEDDED_FILENAME: mm/Kconfig has to name mm/Kconfig.hmm to source it.
# In programs: volatile is how one touches memory, PRIx64 is C's own, BIT() is
# the kernel's, and what a test's macros are given are names.
readonly PROGRAMS=VOLATILE,CAMELCASE,MACRO_ARG_REUSE,BIT_MACRO
# In headers of tracepoints TP_STRUCT__entry( and the like end lines, and what
# is in them goes by columns.
readonly TRACE_HEADERS=include/trace
readonly TRACE_IGNORE=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT
readonly IGNORE=MISSING_SIGN_OFF,FILE_PATH_CHANGES,EMBEDDED_FILENAME

# What checkpatch keeps in the tree is no part of what was tested.
trap 'rm -f -- "$TREE"/.checkpatch-camelcase.*' EXIT
# Beside a .git checkpatch would ask a script for licences that wants more.
cd "$TREE"
for patch in "$BASE"/series/*.patch; do
	case ${patch##*/} in
	0000-*) continue ;;
	esac
	ignore=$IGNORE
	grep '^+++ b/' "$patch" | grep -qv '^+++ b/tools/' ||
		ignore+=,$PROGRAMS
	status=0
	awk -v out=" b/$TRACE_HEADERS/" \
		'/^diff --git / { skip = index($0, out) } !skip' \
		"$patch" > "$CHECK/checkpatch.patch"
	"$TREE/scripts/checkpatch.pl" --root="$TREE" --strict --quiet \
		--no-summary --show-types --ignore "$ignore" \
		"$CHECK/checkpatch.patch" || status=$?
	result "$status" "${patch##*/}"
done
while read -r file; do
	status=0
	"$TREE/scripts/checkpatch.pl" --root="$TREE" --strict --quiet \
		--no-summary --show-types --ignore "$TRACE_IGNORE" \
		--file "$file" || status=$?
	result "$status" "$file"
done < <(ours "$TRACE_HEADERS/*.h")
finish "patches in $BASE/series"
