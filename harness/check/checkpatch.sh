#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The base's checkpatch --strict on every patch of the series, message and all.

set -euo pipefail
. "${0%/*}/lib.sh"

# MISSING_SIGN_OFF: whoever posts the series signs it, nobody before that.
# FILE_PATH_CHANGES: asks for the entry in MAINTAINERS that the last patch adds.
# EMBEDDED_FILENAME: mm/Kconfig has to name mm/Kconfig.hmm to source it.
# In programs: volatile is how one touches memory, PRIx64 is C's own, BIT() is
# the kernel's, and what a test's macros are given are names.
readonly PROGRAMS=VOLATILE,CAMELCASE,MACRO_ARG_REUSE,BIT_MACRO
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
	"$TREE/scripts/checkpatch.pl" --root="$TREE" --strict --quiet \
		--no-summary --show-types --ignore "$ignore" "$patch" ||
		status=$?
	result "$status" "${patch##*/}"
done
finish "patches in $BASE/series"
