#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	front.sh MAKE VERB STATUS_FILE
#
# What the front door does for a verb: one make at a time in a checkout, the
# packages, then the verb itself in main.mk. The status that `make VERB` is to
# end with goes to the file, and this script succeeds: for make, every failure
# is 2, so the Makefile ends it by other means (see make-exit.c). Without the
# file the status is 4.

set -uo pipefail
. "${0%/*}/lib.sh"

readonly INTERRUPTED=130
readonly run=$$.$EPOCHSECONDS

[ $# -eq 3 ] || die "usage: front.sh MAKE VERB STATUS_FILE"
readonly make_exit=$BUILD/make-exit.so
make=$1 verb=$2 status_file=$3

# All that was started from here has HMM_RUN in its environment, also what lost
# its parent on the way: a make that is told to stop does not tell the children
# of its children.
stop_children()
{
	local signal=TERM tries id

	for ((tries = 0; tries < 100; tries++)); do
		[ "$tries" -lt 80 ] || signal=KILL
		id=$(grep -lsz "^HMM_RUN=$run\$" /proc/[0-9]*/environ |
			cut -d / -f 3)
		[ -n "$id" ] || return
		# shellcheck disable=SC2086 # several
		kill -s "$signal" $id 2>/dev/null
		sleep 0.1
	done
}

# Its makes say which recipe failed; that was said already, in other words.
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

# watched COMMAND...: run it; nothing of it is left when this script ends.
watched()
{
	local status

	exec {noise}> >(trap '' INT TERM; drop_noise >&2)
	filter=$!
	in_background env "HMM_RUN=$run" "$@" 2>&"$noise" {noise}>&-
	pid=$!
	trap 'interrupted=1; kill -TERM "$pid"' TERM HUP
	trap 'interrupted=1' INT
	wait_for "$pid"
	status=$?
	[ -z "${interrupted-}" ] || stop_children
	exec {noise}>&-
	wait "$filter"
	[ -z "${interrupted-}" ] || {
		say "interrupted; the next run goes on from here"
		finish "$INTERRUPTED"
	}
	return "$status"
}

# Without it make cannot end with our status.
build_make_exit()
{
	[ "$make_exit" -nt "$TOP/harness/make-exit.c" ] ||
		gcc -shared -fPIC -Wall -o "$make_exit" \
			"$TOP/harness/make-exit.c"
}

# drop_noise() knows make's messages in English.
export LC_ALL=C.UTF-8
export HMM_STATUS_FILE=$BUILD/status.verb

mkdir -p "$BUILD" 2>/dev/null || die "cannot write $BUILD"
exec 9> "$BUILD/lock" || die "cannot write $BUILD"
if ! flock -n 9; then
	say "another make is at work in this checkout; wait for it to end"
	exit 0
fi
# Also what a make that was killed has left.
rm -f "$BUILD"/status.*

if ! "$TOP/harness/check-settings.sh" "$verb"; then
	build_make_exit 2> /dev/null
	finish "$BUILD_FAILED"
fi
if [ "$verb" != clean ]; then
	watched "$TOP/harness/packages.sh" "$BUILD/packages.log" "$verb" ||
		finish "$BUILD_FAILED"
	build_make_exit || die "cannot build $make_exit"
fi
watched "$make" --no-print-directory -f "$TOP/harness/main.mk" "$verb" &&
	finish 0
[ ! -s "$HMM_STATUS_FILE" ] || finish "$(< "$HMM_STATUS_FILE")"
finish "$BUILD_FAILED"
