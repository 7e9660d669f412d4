#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	boot.sh quiet|show|terminal SECONDS IMAGE INITRD [BOOT-OPTION...]
#				(with ARCH and PAGES set, see arch/README)
#
# Boots a guest and waits for its end, for SECONDS at most. The output of its
# programs goes to output.log in $RESULTS; "show" also prints it, and "terminal"
# connects the programs with this terminal. The file "qemu" there has the reason
# why QEMU ended. verdict.sh judges the run.

set -uo pipefail
. "${0%/*}/../lib.sh"
# shellcheck source=harness/arch/x86_64.sh
. "${0%/*}/../arch/$ARCH.sh"

readonly EVERY=10
readonly INTERRUPTED=130

[ $# -ge 4 ] || die "usage: boot.sh quiet|show|terminal SECONDS IMAGE INITRD"
mode=$1 limit=$2 image=$3 initrd=$4
shift 4

# With the first options a failure ends QEMU at once and reaches the log whole.
boot_line()
{
	local -n of_pages=BOOT_$PAGES
	local -a line=(
		ignore_loglevel printk.devkmsg=on log_buf_len=4M
		panic=-1 oops=panic
		transparent_hugepage=madvise
		# Flush the IOTLB at each unmap.
		iommu.strict=1
	)

	printf '%s' "${BOOT[*]} ${of_pages[*]} ${line[*]} $*"
}

# file NAME FILE: add a chardev that writes to a file.
file()
{
	qemu+=(-chardev "file,id=$1,path=${RESULTS//,/,,}/$2")
}

# port NAME: add a serial port with that chardev.
port()
{
	qemu+=("${QEMU_PORT[@]//%/$1}")
}

output_port()
{
	local log=${RESULTS//,/,,}/output.log

	if [ "$mode" = quiet ]; then
		file output output.log
	else
		qemu+=(-chardev "stdio,id=output,signal=off,logfile=$log")
	fi
	port output
}

# host_root: export the host's root file system, read-only. The device names its
# bus, as QEMU would choose that of the pxb.
# shellcheck disable=SC2054 # the commas are intended
host_root()
{
	local export=local,id=host,path=/,readonly=on

	[ "${ROOT-}" = host ] || return 0
	qemu+=(
		-fsdev "$export,security_model=none,multidevs=remap"
		-device virtio-9p-pci,bus=pcie.0,fsdev=host,mount_tag=host
	)
}

# cpus: with HMM_CPUS=counted one CPU, which takes 1 ns for each instruction.
# shellcheck disable=SC2054 # the commas are intended
cpus()
{
	if [ "${HMM_CPUS-}" = counted ]; then
		qemu+=(-accel tcg,thread=single -icount shift=0,sleep=off
		       -cpu "$QEMU_CPU" -smp 1)
		return
	fi
	qemu+=(
		-smp 2,sockets=2
		-object memory-backend-ram,id=node0,size=2560M
		-object memory-backend-ram,id=node1,size=2560M
		-numa node,nodeid=0,cpus=0,memdev=node0
		-numa node,nodeid=1,cpus=1,memdev=node1
	)
	if [ "$ACCEL" = tcg ]; then
		qemu+=(-accel tcg,thread=multi -cpu "$QEMU_CPU")
	else
		qemu+=(-accel "$ACCEL" -cpu host)
	fi
}

# debugger: with HMM_GDB, stop before the first instruction, for a debugger at
# that socket.
# shellcheck disable=SC2054 # the commas are intended
debugger()
{
	[ -z "${HMM_GDB-}" ] ||
		qemu+=(-S -gdb "unix:${HMM_GDB//,/,,},server=on,wait=off")
}

qemu_line()
{
	qemu=(
		"${QEMU[@]}" -nodefaults -no-user-config -display none
		-m 5G -no-reboot
		-kernel "$image" -initrd "$initrd" -append "$(boot_line "$@")"
	)
	cpus
	qemu+=("${QEMU_DMA[@]}")
	host_root
	debugger
	# The kernel numbers the ports in this order.
	file console serial.log
	qemu+=(-serial chardev:console)
	file result result
	port result
	output_port
}

start_qemu()
{
	local input

	exec {input}<&0
	[ "$mode" = terminal ] || exec {input}< /dev/null
	"${qemu[@]}" <&"$input" 2> "$RESULTS/qemu.log" &
	pid=$!
}

# state: print the current step and the number of its results. Before PID 1
# starts the first suite, these are KUnit's in the kernel log.
state()
{
	awk '
		/hmm-init: start/ { booted = 1 }
		FNR == NR {
			if (/\] +(not )?ok [0-9]+ /)
				n++
			next
		}
		/^suite / { name = $2; n = 0 }
		/^suite-end / { name = $2 " is done, leak scan"; n = 0 }
		/^\| *(not )?ok / { n++ }
		END {
			if (name == "")
				name = booted ? "getting ready" : "booting"
			printf "%s,", name
			if (n)
				printf " %d results,", n
		}' "$RESULTS/serial.log" "$RESULTS/result" 2> /dev/null
}

print_state()
{
	local size

	[ "$mode" != terminal ] || return 0
	size=$(stat -c %s "$RESULTS/output.log" 2> /dev/null)
	# With "show" print it only if the guest has printed nothing since.
	if [ "$mode" = quiet ] || [ "$size" = "${last_size-}" ]; then
		say "guest: $(state) $SECONDS s"
	fi
	last_size=$size
}

running()
{
	kill -0 "$pid" 2> /dev/null
}

# wait_qemu SECONDS: until QEMU has ended, for so long at most.
wait_qemu()
{
	timeout "$1" tail -s 0.2 --pid="$pid" -f /dev/null
}

stop_qemu()
{
	kill -TERM "$pid" 2> /dev/null
	wait_qemu 5
	kill -KILL "$pid" 2> /dev/null
}

watch_qemu()
{
	local left

	while running && [ -z "${stopped-}" ]; do
		left=$((limit - SECONDS))
		if [ "$left" -le 0 ]; then
			stopped="no end after $limit s (TIMEOUT)"
			break
		fi
		wait_qemu $((left < EVERY ? left : EVERY))
		running && print_state
	done
}

# how_it_ended STATUS: QEMU exits with 0 on TERM and INT.
how_it_ended()
{
	if [ -n "${stopped-}" ]; then
		printf '%s\n' "$stopped"
	elif grep -q 'terminating on signal' "$RESULTS/qemu.log"; then
		sed -n 's/.*terminating on/killed:/p' "$RESULTS/qemu.log"
	elif [ "$1" -gt 128 ]; then
		printf 'killed by signal %s\n' $(($1 - 128))
	else
		printf 'exit %s\n' "$1"
		# The kernel log has the faults of the IOMMU as well.
		grep -vE 'vtd_|fault is not recorded' "$RESULTS/qemu.log" >&2
	fi
}

# main: a function, so that bash does not read the script while the guest runs.
main()
{
	local status

	qemu_line "$@"
	: > "$RESULTS/result"
	# front.sh sends it when make is interrupted; QEMU gets it as well.
	trap 'stopped=interrupted' TERM
	SECONDS=0
	start_qemu
	watch_qemu
	[ -z "${stopped-}" ] || stop_qemu
	# Without bash's message about a signal.
	{ wait "$pid"; status=$?; } 2> /dev/null
	how_it_ended "$status" > "$RESULTS/qemu"
	[ "${stopped-}" != interrupted ] || exit "$INTERRUPTED"
	exit 0
}

main "$@"
