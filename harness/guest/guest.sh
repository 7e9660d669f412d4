#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	guest.sh run|test|coverage|torture|fuzz|clients|guest|gdb|shell|count|wall
#
# Runs a verb in the guest: writes the list of steps for PID 1, boots, and exits
# with the status of the verdict. All files of the run are in $RESULTS, those of
# the runs before it in $RESULTS.1 and so on.

set -euo pipefail
. "${0%/*}/../lib.sh"

# On a slow machine khugepaged could collapse the small pages of a measurement.
# Make it scan one page a day.
STILL='cd /sys/kernel/mm/transparent_hugepage/khugepaged && '
STILL+='echo 1 >pages_to_scan && echo 86400000 >scan_sleep_millisecs'

# Runs that are kept
KEPT=9

[ $# -eq 1 ] || die "usage: guest.sh run|test|coverage|clients|guest|..."
verb=$1

# Additional boot options, and additional files of the guest.
read -ra append <<< "${HMM_APPEND-}"
files=()

# The beginning of a command that runs on the host's root file system.
on_host=

job()
{
	printf '%s\n' "$*" >> "$RESULTS/job"
}

keep_results()
{
	local n

	[ -e "$RESULTS/job" ] || return 0
	rm -rf "$RESULTS.$KEPT"
	for ((n = KEPT; n > 1; n--)); do
		[ ! -e "$RESULTS.$((n - 1))" ] ||
			mv -- "$RESULTS.$((n - 1))" "$RESULTS.$n"
	done
	mv -- "$RESULTS" "$RESULTS.1"
}

new_results()
{
	keep_results
	rm -rf "$RESULTS"
	mkdir -p "$RESULTS" || die "cannot write $RESULTS"
	cp "$KBUILD/.config" "$RESULTS/config"
	cp "$BASE/version" "$RESULTS/version"
	: > "$RESULTS/job"
}

# job_modules: load the modules, if this kernel has them.
job_modules()
{
	local module

	for module in "$GUEST"/modules/*.ko; do
		[ -e "$module" ] || continue
		module=${module##*/}
		job "module ${module%.ko}"
	done
}

# leaks: the scan takes a debug kernel a minute, which is long for one command.
leaks()
{
	case ${LEAKS-} in
	1 | y | yes) ;;
	*) job "without leaks" ;;
	esac
}

# host_root: with ROOT=host, run commands on the host's root file system.
host_root()
{
	[ "${ROOT-}" = host ] || return 0
	files+=("/bin/host-root=$HARNESS/guest/host-root")
	on_host="host-root "
}

job_run()
{
	append+=(kunit.enable=0)
	job_modules
	job "live hmm-demo exec hmm-demo --image /boot/image"
}

# job_files: copy FILES to the directory that the command starts in.
job_files()
{
	local file

	for file in ${FILES-}; do
		files+=("/files/=$(built "$file")")
	done
}

job_guest()
{
	[ -n "${CMD-}" ] || die "nothing to run in the guest: give CMD='...'"
	append+=(kunit.enable=0)
	leaks
	job_modules
	job_files
	printf '%s\n' "$CMD" > "$RESULTS/command"
	files+=("/job/command=$RESULTS/command")
	job "live guest exec ${on_host}sh /job/command"
}

# module_dirs: the directories with modules that lx-symbols may need.
module_dirs()
{
	local file

	printf '%s' "$KBUILD"
	for file in ${FILES-}; do
		file=$(realpath -- "$(built "$file")")
		printf ' %s' "${file%/*}"
	done
}

# job_gdb: as job_guest, but QEMU waits for a debugger. lx-symbols needs a
# kernel that has its own page table.
job_gdb()
{
	job_guest
	append+=(nokaslr)
	export HMM_GDB=$RESULTS/gdb.socket
	cat > "$RESULTS/gdb.cmd" <<-GDB
		set pagination off
		file $KBUILD/vmlinux
		source $KBUILD/vmlinux-gdb.py
		target remote $HMM_GDB
		hbreak start_kernel
		continue
		delete
		lx-symbols $(module_dirs)
	GDB
	say "the guest waits; in another terminal: gdb -x $RESULTS/gdb.cmd"
}

job_shell()
{
	[ -t 0 ] || die "make shell needs a terminal; make guest does not"
	append+=(kunit.enable=0)
	leaks
	job_modules
	job_files
	say "a shell in the guest; 'exit' or ctrl-D ends it"
	job "tty shell exec ${on_host}sh -i"
}

# job_test: the suites, or those that match ONLY.
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

# job_coverage: the suites, and then the counts to ttyS2, encoded.
job_coverage()
{
	job_test
	job "live counts cp -r /sys/kernel/debug/gcov /tmp/ &&" \
		"tar -czf /tmp/gcov.tgz -C /tmp gcov &&" \
		"uuencode -m /tmp/gcov.tgz gcov"
}

# job_random COMMAND: 10^6 operations, or as many as there is time for.
job_random()
{
	append+=(kunit.enable=0)
	job_modules
	job "live $verb exec $1" \
		${TORTURE_SECONDS:+-n 1000000000 -s "$TORTURE_SECONDS"} \
		${TORTURE_SEED:+-r "$TORTURE_SEED"}
}

# job_clients: the suites of harness/clients, or the one that ONLY names.
job_clients()
{
	local kind name command file

	append+=(kunit.enable=0)
	export HMM_SKIPS=$HARNESS/clients/skips
	for file in "$HARNESS"/clients/* "$GUEST"/clients/bin/*; do
		files+=("/files/=$file")
	done
	for file in "$GUEST"/clients/tests/*; do
		files+=("/files/tests/=$file")
	done
	while read -r kind name command; do
		case $kind in
		'' | '#'*) continue ;;
		esac
		[ "${ONLY:-$name}" = "$name" ] || continue
		# A debug kernel has no times to compare.
		[ "$FLAVOUR" = plain ] || [ "$name" != odp-bench ] || continue
		job "$kind $name exec ${on_host}env ROUNDS=${ROUNDS:-100} $command"
	done < "$HARNESS/clients/suites"
}

# job_bench: the two boots of `make bench`, see bench.sh.
job_bench()
{
	append+=(kunit.enable=0 nokaslr dma_debug=off)
	case $verb in
	count) job "live bench exec hmm-bench count ${ONLY-}" ;;
	wall) job "live bench $STILL; hmm-bench wall || [ \$? -eq 1 ]" ;;
	esac
}

# time_limit: a debug kernel on an emulated CPU is slow. TIMEOUT overrides this.
time_limit()
{
	local limit

	case $verb in
	shell | gdb) limit=86400 ;;
	test | coverage | clients | count | wall) limit=1800 ;;
	torture | fuzz) limit=$((${TORTURE_SECONDS:-1800} + 600)) ;;
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
	test | coverage | clients | count | wall) show=quiet ;;
	shell) show=terminal ;;
	esac
	"$HARNESS/guest/boot.sh" "$show" "$(time_limit)" "$IMAGE" \
		"$RESULTS/initrd" "${append[@]}"
}

# decode: a kernel with debug information has the place of each line of a trace.
decode()
{
	grep -qx CONFIG_DEBUG_INFO=y "$RESULTS/config" || return 0
	grep -q 'Call Trace:' "$RESULTS/serial.log" || return 0
	"$BASE/tree/scripts/decode_stacktrace.sh" "$KBUILD/vmlinux" "$KBUILD" \
		< "$RESULTS/serial.log" > "$RESULTS/serial.decoded" || return 0
	say "traces with places: $RESULTS/serial.decoded"
}

judge()
{
	local mode=$verb

	case $verb in
	shell) mode="tty" ;;
	gdb) mode=guest ;;
	clients | coverage) mode="test" ;;
	count | wall | torture | fuzz) mode=run ;;
	esac
	# The report must not mix with the output of the user's command.
	if [ "$mode" = test ]; then
		"$HARNESS/verdict/verdict.sh" "$RESULTS" "$mode"
	else
		"$HARNESS/verdict/verdict.sh" "$RESULTS" "$mode" >&2
	fi
}

# times: print those of odp-bench, for people.
times()
{
	awk -F '\t' '
		BEGIN { form = "%-36s %8s %8s %9s %7s %6s %6s\n" }
		$1 == "| # time" {
			if (!n++)
				printf form, "ours and stock (A B A B), a page",
					"us", "us", "pages/s", "ratio", "10%",
					"90%"
			printf form, $2, $3, $4, $5, $6, $7, $8
		}' "$RESULTS/result"
}

main()
{
	new_results
	host_root
	trap 'rm -f "$RESULTS/initrd"' EXIT
	case $verb in
	run) job_run ;;
	test) job_test ;;
	coverage) job_coverage ;;
	torture) job_random "hmm-torture -p -m" ;;
	fuzz) job_random hmm-fuzz ;;
	clients) job_clients ;;
	guest) job_guest ;;
	gdb) job_gdb ;;
	shell) job_shell ;;
	count | wall) job_bench ;;
	*) die "no such verb: $verb" ;;
	esac
	pack
	boot
	decode
	[ "$verb" != clients ] || times
	judge
	exit
}

main
