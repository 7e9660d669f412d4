#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	guest.sh run|test|guest|shell|count|wall
#
# What a verb wants of the guest: writes the list that PID 1 works off, boots,
# and ends with what the verdict says. Everything that is known of the run is
# in $RESULTS afterwards.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly IMAGE=$KBUILD/arch/x86/boot/bzImage

# On a slow machine khugepaged has time to collapse the small pages that are being
# measured. This makes it scan next to nothing, once a day.
STILL='cd /sys/kernel/mm/transparent_hugepage/khugepaged && '
STILL+='echo 1 >pages_to_scan && echo 86400000 >scan_sleep_millisecs'

[ $# -eq 1 ] || die "usage: guest.sh run|test|guest|shell|count|wall"
verb=$1

# What the kernel is told besides the usual, and what goes into the guest.
append=()
files=()

job()
{
	printf '%s\n' "$*" >> "$RESULTS/job"
}

new_results()
{
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS" || die "cannot write $RESULTS"
	cp "$KBUILD/.config" "$RESULTS/config"
	cp "$BASE/version" "$RESULTS/version"
	: > "$RESULTS/job"
}

# The dummy device, in what has modules for it.
job_modules()
{
	local module

	for module in "$GUEST"/modules/*.ko; do
		[ ! -e "$module" ] || job "module ${module##*/}"
	done
}

job_run()
{
	append+=(kunit.enable=0)
	job_modules
	job "live hmm-demo exec hmm-demo --image /boot/bzImage"
}

job_guest()
{
	local file

	[ -n "${CMD-}" ] || die "nothing to run in the guest: give CMD='...'"
	append+=(kunit.enable=0)
	job_modules
	printf '%s\n' "$CMD" > "$RESULTS/command"
	files+=("/job/command=$RESULTS/command")
	for file in ${FILES-}; do
		files+=("/files/=$file")
	done
	job "live guest exec sh /job/command"
}

job_shell()
{
	[ -t 0 ] || die "make shell needs a terminal; make guest does not"
	append+=(kunit.enable=0)
	job_modules
	say "a shell in the guest; 'exit' or ctrl-D ends it"
	job "tty shell exec sh -i"
}

# The suites, cut down to ONLY.
job_test()
{
	local -a lines

	"$HARNESS/guest/suites.sh" > "$RESULTS/suites"
	job_modules
	mapfile -t lines < <(grep -v '^append ' "$RESULTS/suites")
	printf '%s\n' "${lines[@]}" >> "$RESULTS/job"
	mapfile -t -O "${#append[@]}" append < \
		<(sed -n 's/^append //p' "$RESULTS/suites")
}

# The two boots of `make bench`, see bench.sh. What is not measured stays away.
job_bench()
{
	append+=(kunit.enable=0 nokaslr dma_debug=off)
	case $verb in
	count) job "live bench exec hmm-bench count ${ONLY-}" ;;
	wall) job "live bench $STILL; hmm-bench wall || [ \$? -eq 1 ]" ;;
	esac
}

# Debug kernels on an emulated CPU are slow; TIMEOUT overrides this.
time_limit()
{
	local limit

	case $verb in
	shell) limit=86400 ;;
	test | count | wall) limit=900 ;;
	*) limit=300 ;;
	esac
	[ "$FLAVOUR" = plain ] || limit=$((limit * 3))
	printf '%s' "${TIMEOUT:-$limit}"
}

pack()
{
	"$HARNESS/guest/initramfs.sh" "$RESULTS/job.cpio" \
		"/job/list=$RESULTS/job" "${files[@]}"
	cat "$GUEST/initramfs.cpio" "$RESULTS/job.cpio" > "$RESULTS/initrd" ||
		die "cannot write $RESULTS/initrd"
	rm -f "$RESULTS/job.cpio"
}

boot()
{
	local show=show

	case $verb in
	test | count | wall) show=quiet ;;
	shell) show=terminal ;;
	esac
	"$HARNESS/guest/boot.sh" "$show" "$(time_limit)" "$IMAGE" \
		"$RESULTS/initrd" "${append[@]}"
}

judge()
{
	local mode=$verb

	case $verb in
	shell) mode="tty" ;;
	count | wall) mode=run ;;
	esac
	# Where the output is the command's own, ours must not mix with it.
	if [ "$verb" = test ]; then
		"$HARNESS/verdict/verdict.sh" "$RESULTS" "$mode"
	else
		"$HARNESS/verdict/verdict.sh" "$RESULTS" "$mode" >&2
	fi
}

main()
{
	new_results
	trap 'rm -f "$RESULTS/initrd"' EXIT
	case $verb in
	run) job_run ;;
	test) job_test ;;
	guest) job_guest ;;
	shell) job_shell ;;
	count | wall) job_bench ;;
	*) die "no such verb: $verb" ;;
	esac
	pack
	boot
	judge
	exit
}

main
