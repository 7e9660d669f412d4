#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# usage: verdict.sh DIR [MODE]
#
# Judges the run whose files are in DIR and prints a report; the last line is "N
# passed, N failed, N skipped". Exit: 0 pass, 1 a test failed, 2 splat or leak,
# 3 lost. MODE is test, or run, guest or tty, which print only problems, as the
# user wants to see the output of the programs. With guest, the exit status is
# that of the command, if the guest was not lost.
#
#	job		the steps of the guest
#	qemu		the reason why QEMU ended
#	serial.log	the kernel's log
#	result		the result channel
#	config		the kernel's configuration
set -u
dir=$1
mode=${2:-test}
here=$(dirname "$0")

# evidence FILE: print its path. A missing file is empty, which means lost.
evidence() {
	if [ -r "$dir/$1" ]; then
		printf '%s' "$dir/$1"
	else
		printf '/dev/null'
	fi
}

# split_suites: write the output of each suite to a file, for people and tools.
split_suites() {
	rm -rf "$dir/ktap"
	mkdir -p "$dir/ktap" || exit 3
	awk -v dir="$dir/ktap" '
		$1 == "suite" {
			gsub(/[^A-Za-z0-9_.-]/, "_", $2)
			out = dir "/" $2
		}
		$1 == "suite-end" { close(out); out = "" }
		/^[|+] / && out != "" { print substr($0, 3) > out }
	' "$(evidence result)" || exit 3
}

# list FILE: print its path. A missing list is empty.
list() {
	if [ -r "$1" ]; then
		printf '%s' "$1"
	else
		printf '/dev/null'
	fi
}

# log_once: print the kernel's log. A message that printk cut short and printed
# again is an empty line, so that lines keep their numbers.
log_once() {
	LC_ALL=C awk '
		{ again = /[*][*] replaying previous printk message [*][*]/ }
		NR > 1 { print again ? "" : held }
		{ held = again ? "" : $0 }
		END { if (NR) print held }
	' "$(evidence serial.log)"
}

[ -d "$dir" ] || { echo "verdict: no such folder: $dir"; exit 3; }
split_suites

# The C locale: a log may have any byte.
log_once | LC_ALL=C awk -v mode="$mode" -v dir="$dir" -f "$here/verdict.awk" \
	file=policy "$here/policy" \
	file=skips "${HMM_SKIPS:-$here/../guest/skips}" \
	file=skips "$(list "${HMM_BASE_SKIPS:-${SERIES-}/skips}")" \
	file=skips "$(list "$here/../arch/${ARCH-}.skips")" \
	file=skips "$(list "$here/../arch/${ARCH-}-${PAGES-}.skips")" \
	file=fails "$(list "${HMM_FAILS:-${SERIES-}/fails}")" \
	file=config "$(evidence config)" \
	file=job "$(evidence job)" \
	file=qemu "$(evidence qemu)" \
	file=result "$(evidence result)" \
	file=log -
