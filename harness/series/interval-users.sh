#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	interval-users.sh BASE		(with TOP, HARNESS and SERIES set)
#
# Compiles, with warnings as errors, what the move of the interval API touches
# in the base, and what includes a header that it touches: every in-tree user.
# Only these objects, in a build directory of their own, with a configuration
# that has all the drivers.

set -euo pipefail
. "${0%/*}/../lib.sh"

# Reads through umem_odp what that has faulted, also where it names nothing of
# the interval API itself.
readonly ALSO='drivers/infiniband/hw/mlx5/odp.c'
# Who has to be among them on every base.
readonly EXPECTED='amdgpu amdkfd nouveau core mlx5'

base=$1
tree=$base/tree
out=$base/interval-users

# moved: the files of the base that are touched, under their new names.
moved()
{
	sed -e 's#^mm/hmm\.c$#mm/hmm-interval.c#' \
	    -e 's#^include/linux/hmm\(-dma\)\?\.h$#include/linux/hmm-interval\1.h#' \
		"$base/move.list"
}

# includers: who includes a header of a driver or a subsystem that is touched.
# One of linux/ has users that name what is in it, which are touched themselves.
includers()
{
	local names

	names=$(moved | grep '\.h$' | grep -v '^include/linux/' |
		sed -e 's#.*/##' -e 's/[.]/[.]/' | paste -s -d '|')
	[ -z "$names" ] || (cd "$tree" && grep -rlE --include='*.c' -- \
		"^#include [\"<]([a-z_./]*/)?($names)[\">]" drivers)
}

# sources: what to compile.
sources()
{
	{
		moved | grep '\.c$' | grep -v '^tools/'
		includers
		echo "$ALSO"
	} | LC_ALL=C sort -u
}

sources > "$out/sources.new"
mv -- "$out/sources.new" "$out/sources"
for name in $EXPECTED; do
	grep -q "/$name/" "$out/sources" ||
		die "no file of $name is touched; does the move still find it?"
done
"$HARNESS/build/objects.sh" "compiling the interval API's users" \
	"$tree" "$out/kernel" "$out/sources" "$out/objects.log" KCFLAGS=-Werror
