#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	initramfs.sh OUT [DEST=SOURCE...]
#
# Packs files into an archive for the guest, without root and without a disk
# image. DEST is a path in the guest; DEST/=SOURCE keeps the file's name.

set -euo pipefail
. "${0%/*}/../lib.sh"

[ $# -ge 1 ] || die "usage: initramfs.sh OUT [DEST=SOURCE...]"
out=$1
shift

# folders PATH: print the directories above PATH that were not printed before,
# as gen_init_cpio makes none itself.
declare -A made
folders()
{
	local dir=${1%/*}

	[ -n "$dir" ] && [ -z "${made[$dir]-}" ] || return 0
	folders "$dir"
	printf 'dir %s 755 0 0\n' "$dir"
	made[$dir]=1
}

entry()
{
	local dest=${1%%=*} source=${1#*=} mode=644

	[ "${dest%/}" = "$dest" ] || dest+=${source##*/}
	case "$dest$source" in
	*[[:space:]]*)
		die "a name with a space cannot go to the guest: $source" ;;
	esac
	[ -f "$source" ] || die "no such file for the guest: $source"
	[ -r "$source" ] || die "cannot be read: $source"
	[ ! -x "$source" ] || mode=755
	folders "$dest"
	printf 'file %s %s %s 0 0\n' "$dest" "$source" "$mode"
}

spec()
{
	local arg

	for arg; do
		entry "$arg"
	done
}

spec "$@" > "$out.spec"
"$KBUILD/usr/gen_init_cpio" "$out.spec" > "$out.new" ||
	die "cannot write $out"
mv "$out.new" "$out"
rm -f "$out.spec"
