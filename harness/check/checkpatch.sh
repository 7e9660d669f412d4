#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The base's checkpatch --strict on every patch of the series, message and all.

set -euo pipefail
. "${0%/*}/lib.sh"

# MISSING_SIGN_OFF: whoever posts the series signs it, nobody before that.
# FILE_PATH_CHANGES: asks for the entry in MAINTAINERS that the last patch adds.
# EMBEDDED_FILENAME: mm/Kconfig has to name mm/Kconfig.hmm to source it.
readonly IGNORE=MISSING_SIGN_OFF,FILE_PATH_CHANGES,EMBEDDED_FILENAME

# Beside a .git checkpatch would ask a script for licences that wants more.
cd "$TREE"
for patch in "$BASE"/series/*.patch; do
	case ${patch##*/} in
	0000-*) continue ;;
	esac
	status=0
	"$TREE/scripts/checkpatch.pl" --root="$TREE" --strict --quiet \
		--no-summary --show-types --ignore "$IGNORE" "$patch" ||
		status=$?
	result "$status" "${patch##*/}"
done
finish "patches in $BASE/series"
