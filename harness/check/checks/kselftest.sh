#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Our programs and drivers are in what kselftest installs, run_vmtests.sh runs
# each program of tests, and none names a directory of the test guest.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly MM=tools/testing/selftests/mm
readonly LOG=$CHECK/kselftest.log
readonly INSTALLED=$CHECK/kselftest/mm
readonly SYMVERS=$CHECK/kernel/Module.symvers

# Ours alone: the base's own programs take a minute and more libraries.
# shellcheck disable=SC2016 # for make
readonly OURS='$(addprefix $(OUTPUT)/,$(notdir $(HMM_COMPAT)) $(PROGRAMS))'
# shellcheck disable=SC2016
readonly PROGRAMS='$(patsubst %.c,%,$(wildcard hmm-*.c))'

selftests()
{
	make -s -C "$TREE/tools/testing/selftests" TARGETS=mm \
		O="$CHECK/kernel" "$@" >> "$LOG" 2>&1
}

# There is no kernel here that exports symbols, so modpost can only warn.
cleanup()
{
	rm -f -- "$SYMVERS"
	selftests clean || true
}

# installed FILE
installed()
{
	local status=0

	[ -s "$INSTALLED/$1" ] || status=1
	result "$status" "$1 is not installed"
}

: > "$LOG"
rm -rf -- "$CHECK/kselftest"
"$HARNESS/progress.sh" 'preparing for modules' "$CHECK/modules.log" \
	make -C "$TREE" O="$CHECK/kernel" modules_prepare
trap cleanup EXIT
printf '0x00000000\thmm_mirror_register\tvmlinux\tEXPORT_SYMBOL\t\n' > "$SYMVERS"
status=0
selftests INSTALL_PATH="$CHECK/kselftest" KBUILD_MODPOST_WARN=1 \
	PROGRAMS="$PROGRAMS" TEST_GEN_FILES="$OURS" install || status=$?
[ "$status" -eq 0 ] || tail -n 4 "$LOG"
result "$status" "make install"

while read -r file; do
	name=$(basename "$file" .c)
	case $file in
	*/compat/*)	installed "$name.ko" ;;
	*)		installed "$name" ;;
	esac
	case $file in
	*/hmm-tests.c)	;;	# test_hmm.sh runs it
	*-tests.c)
		status=0
		grep -qF "run_test ./$name" "$INSTALLED/run_vmtests.sh" ||
			status=1
		result "$status" "run_vmtests.sh does not run $name"
		;;
	esac
done < <(ours "$MM/*.c")
status=0
while read -r file; do
	! grep -nE '"/(boot|modules)\b' "$TREE/$file" || status=1
done < <(ours "$MM/*.[ch]")
result "$status" "a directory of the guest"
finish "$(ours "$MM/*.c" | wc -l) programs and drivers of kselftest"
