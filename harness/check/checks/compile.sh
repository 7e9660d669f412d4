#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The core compiles for other architectures with W=1, every warning being an
# error: for those that have memory of devices with its first user, too. The
# KUnit tests need options that only x86 and arm64 have. Debian 12 has no
# compiler for loongarch.

set -euo pipefail
. "${0%/*}/../lib.sh"

# Name, the kernel's name of the architecture, prefix of the compiler. The
# options of NAME are in configs/compile-NAME.config.
readonly BUILDS='
arm64		arm64	aarch64-linux-gnu-
arm64-64K	arm64	aarch64-linux-gnu-
riscv		riscv	riscv64-linux-gnu-
powerpc		powerpc	powerpc64le-linux-gnu-
s390		s390	s390x-linux-gnu-
i386		i386
'

# compile NAME ARCH PREFIX
compile()
{
	local kbuild=$CHECK/compile/$1 log=$CHECK/compile/$1.log
	local fragments=("$TOP"/configs/compile{,-"$1"}.config)
	local base=$SERIES/compile-$1.config

	[ ! -e "$base" ] || fragments+=("$base")
	export ARCH=$2 CROSS_COMPILE=$3
	"$HARNESS/build/kconfig.sh" "$TREE" "$kbuild" "${fragments[@]}" ||
		return
	files > "$kbuild.list"
	"$HARNESS/build/objects.sh" "compiling for $1" "$TREE" "$kbuild" \
		"$kbuild.list" "$log" CC="ccache $3gcc" W=1 KCFLAGS=-Werror \
		> "$kbuild.out" && return
	grep -E '(error|warning):' "$log" || true
	return 1
}

# files: print the files that the configuration of $kbuild has.
files()
{
	ours 'mm/hmm*.c' | grep -v '^mm/hmm-interval'
	grep -q '^CONFIG_TEST_HMM=y' "$kbuild/.config" || return 0
	ours 'mm/hmm-interval*.c' 'lib/test_hmm*.c'
}

mkdir -p "$CHECK/compile"
names=
while read -r name arch prefix; do
	[ -n "$name" ] || continue
	status=0
	: > "$CHECK/compile/$name.out"
	(compile "$name" "$arch" "$prefix") || status=$?
	grep '^FAILED' "$CHECK/compile/$name.out" || [ $? -eq 1 ]
	add_totals "$CHECK/compile/$name.out" "$status" ||
		echo "compiling for $name failed with status $status"
	names+=" $name"
done <<< "$BUILDS"
finish "C files of the core, for$names"
