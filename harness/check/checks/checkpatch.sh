#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The base's checkpatch --strict accepts every patch of the series and its
# message.

set -euo pipefail
. "${0%/*}/../lib.sh"

# MISSING_SIGN_OFF: the person who posts the series adds it.
# FILE_PATH_CHANGES: the last patch adds the entry to MAINTAINERS.
# EMBEDDED_FILENAME: mm/Kconfig must name mm/Kconfig.hmm to source it.
#
# In programs, volatile forces an access to memory, PRIx64 belongs to C, BIT()
# to the kernel, and the arguments of a test's macros are names.
readonly PROGRAMS=VOLATILE,CAMELCASE,MACRO_ARG_REUSE,BIT_MACRO
# In headers of tracepoints, TP_STRUCT__entry( and similar macros end a line,
# and their arguments are aligned in columns.
readonly TRACE_HEADERS=include/trace
readonly TRACE_IGNORE=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT
readonly IGNORE=MISSING_SIGN_OFF,FILE_PATH_CHANGES,EMBEDDED_FILENAME

# checkpatch writes a cache to the tree.
trap 'rm -f -- "$TREE"/.checkpatch-camelcase.*' EXIT
# In a git repository checkpatch would run spdxcheck.py, which needs more
# packages.
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
