#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	front.sh MAKE VERB STATUS_FILE	(with the settings of settings.mk)
#
# Runs one verb of the front door: takes the checkout's lock, checks the
# settings, installs packages, makes the files that the verb needs (main.mk),
# then starts the verb's own script. A make that only builds and boots a kernel
# shares the checkout with those of other kernels. The exit status of `make VERB`
# goes to STATUS_FILE, and this script succeeds: make turns every failure into 2,
# so the Makefile ends make by other means (see make-exit.c).

set -uo pipefail
. "${0%/*}/lib.sh"

readonly INTERRUPTED=130

[ $# -eq 3 ] || die "usage: front.sh MAKE VERB STATUS_FILE"
readonly make_exit=$BUILD/make-exit.so
make=$1 verb=$2 status_file=$3

# Drop make's messages about failed recipes: the recipes print better ones.
drop_noise()
{
	grep --line-buffered -vE \
		-e '^make\[[0-9]+\]: \*\*\* \[.*\] (Error [0-9]+|Interrupt|Terminated)$' \
		-e '^make\[[0-9]+\]: \*\*\* Waiting for unfinished jobs' \
		-e '^make\[[0-9]+\]: \*\*\* Deleting file'
}

finish()
{
	printf '%s\n' "$1" > "$status_file"
	exit 0
}

# shellcheck disable=SC2317 # the trap calls this
# stop_group ID: TERM to the process and its group, KILL after eight seconds.
stop_group()
{
	local tries

	kill -TERM "$1" "-$1" 2>/dev/null
	for ((tries = 0; tries < 80; tries++)); do
		kill -0 "-$1" 2>/dev/null || return
		sleep 0.1
	done
	kill -KILL "-$1" 2>/dev/null
}

# shellcheck disable=SC2317 # the trap calls this
interrupted()
{
	trap '' INT TERM HUP
	[ "$!" = "$filter" ] || stop_group "$!"
	exec {noise}>&-
	wait "$filter"
	say "interrupted; the next run goes on from here"
	finish "$INTERRUPTED"
}

# watched COMMAND...: run it in a session of its own. make does not pass a
# signal on to the children of its children; a process group reaches them all.
watched()
{
	local status

	exec {noise}> >(trap '' INT TERM HUP; drop_noise >&2)
	filter=$!
	trap interrupted INT TERM HUP
	env --default-signal=INT,QUIT setsid "$@" <&0 2>&"$noise" {noise}>&- &
	wait "$!"
	status=$?
	trap - INT TERM HUP
	exec {noise}>&-
	wait "$filter"
	return "$status"
}

# Without it make cannot exit with our status.
build_make_exit()
{
	[ "$make_exit" -nt "$HARNESS/make-exit.c" ] ||
		gcc -shared -fPIC -Wall -o "$make_exit" "$HARNESS/make-exit.c"
}

# busy WHY: the status is that of a setting that is wrong now.
busy()
{
	say "another make is at work in this checkout$1; wait for it to end"
	exit 0
}

# lock_checkout: alone, or with other makes that do not lay the tree.
lock_checkout()
{
	exec 9> "$BUILD/lock" || die "cannot write $BUILD"
	if flock -n 9; then
		# A make that was killed leaves its file.
		rm -f "$BUILD"/status.*
	elif own_kernel && flock -ns 9; then
		export SHARED=1
	else
		busy ''
	fi
}

# own_kernel: true for a verb that writes only to the folder of its kernel, once
# the tree is laid.
own_kernel()
{
	case $verb in
	kernel | modules | run | test | guest | gdb | shell) ;;
	*) return 1 ;;
	esac
}

# lock_kernel: lay the tree, and then share the checkout.
lock_kernel()
{
	own_kernel || return 0
	[ -n "${SHARED-}" ] || make_files tree > /dev/null ||
		finish "$BUILD_FAILED"
	flock -s 9
	export SHARED=1
	mkdir -p "$OUT"
	exec 8> "$OUT/lock" || die "cannot write $OUT"
	flock -n 8 || busy ' with this kernel'
}

make_files()
{
	watched "$make" --no-print-directory -f "$HARNESS/main.mk" "$1"
}

# Run the verb's script. Verbs without one are done when their files are there.
run_verb()
{
	# These mean other things to kbuild.
	unset M DEBUG KCSAN
	case $verb in
	run | test | guest | gdb | shell | clients | torture | fuzz)
		watched "$HARNESS/guest/guest.sh" "$verb" ;;
	bench)
		watched "$HARNESS/bench/bench.sh" ;;
	check)
		watched "$HARNESS/check/check.sh" "$BASE" ;;
	coverage)
		watched "$HARNESS/coverage/coverage.sh" ;;
	mutants)
		watched "$HARNESS/mutants/mutants.sh" ;;
	model)
		watched "$HARNESS/model/model.sh" "$BUILD/model" ;;
	series-check)
		watched "$HARNESS/series/series-check.sh" "$BASE" ;;
	interval-users)
		watched "$HARNESS/series/interval-users.sh" "$BASE" ;;
	esac
}

# drop_noise() matches make's messages in English.
export LC_ALL=C.UTF-8

mkdir -p "$BUILD" 2>/dev/null || die "cannot write $BUILD"
lock_checkout

if ! "$HARNESS/check-settings.sh" "$verb"; then
	build_make_exit 2> /dev/null
	finish "$BUILD_FAILED"
fi
if [ "$verb" != clean ]; then
	watched "$HARNESS/packages.sh" "$BUILD/packages.log" "$verb" ||
		finish "$BUILD_FAILED"
	build_make_exit || die "cannot build $make_exit"
fi
lock_kernel
make_files "$verb" || finish "$BUILD_FAILED"
# make -n, -q and -t run nothing.
[[ ! ${MAKEFLAGS-} =~ ^[A-Za-z]*[nqt][A-Za-z]*( |$) ]] || finish 0
run_verb
finish $?
