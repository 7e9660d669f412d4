#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	objects.sh LABEL TREE KBUILD LIST LOG [VARIABLE=VALUE...]
#
# Compiles only the C files in LIST, in the configured directory KBUILD. The
# variables go to kbuild: W=1, C=2, KCFLAGS=... Prints the objects that were not
# built, then the totals.

set -euo pipefail
. "${0%/*}/../lib.sh"
. "${0%/*}/../totals.sh"

[ $# -ge 5 ] || die "usage: objects.sh LABEL TREE KBUILD LIST LOG [VARIABLE...]"
label=$1 tree=$2 kbuild=$3 list=$4 log=$5
shift 5

# amdgpu's Makefile builds amdkfd's files, under paths relative to amdgpu.
mapfile -t objects < <(sed -e 's/[.]c$/.o/' \
	-e 's#/amd/amdkfd/#/amd/amdgpu/../amdkfd/#' "$list")
[ ${#objects[@]} -gt 0 ] || die "$label: $list names no C file"
jobs=(-j"${JOBS-1}")
# A parent make with -j shares its jobs.
[[ " ${MAKEFLAGS-}" != *" -j"* ]] || jobs=()

(cd "$kbuild" && rm -f -- "${objects[@]}")
status=0
HMM_COUNT='^  (CC|CHECK) ' HMM_COUNT_NAME=steps \
	"${0%/*}/../progress.sh" "$label" "$log" make -k -L -C "$tree" \
	O="$kbuild" CC='ccache gcc' HOSTCC='ccache gcc' "${jobs[@]}" \
	"$@" "${objects[@]}" || status=$?

for object in "${objects[@]}"; do
	built=0
	[ -f "$kbuild/$object" ] || built=1
	result "$built" "$object was not built"
done
# Something else failed: a header check, a tool of the kernel.
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
print_totals
[ "$failed" -eq 0 ]
