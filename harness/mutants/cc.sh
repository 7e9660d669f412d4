#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	cc.sh ARGUMENT...		(with OUT and BASE set)
#
# The compiler of the kernel with mutants: compiles $OUT/mutants/src/FILE in
# place of mm/FILE, if there is one.

args=()
for arg; do
	mutated=$OUT/mutants/src/${arg##*/}
	if [[ $arg == */tree/mm/*.c && $arg != */mm/*/* && -e $mutated ]]; then
		args+=(-w -iquote "$BASE/tree/mm" "$mutated")
	else
		args+=("$arg")
	fi
done
exec ccache gcc "${args[@]}"
