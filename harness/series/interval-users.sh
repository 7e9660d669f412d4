#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	interval-users.sh BASE	(with TOP, HARNESS, SERIES and USERS_OUT set)
#
# Compiles every in-tree user of the interval API, with warnings as errors: the
# files that move-interval.sh changes, and the files that include a header that
# it changes. No other object is built. The configuration has all these drivers.

set -euo pipefail
. "${0%/*}/../lib.sh"

# Uses the interval API only through umem_odp.
readonly ALSO='drivers/infiniband/hw/mlx5/odp.c'
# Drivers that must be found on every base.
readonly EXPECTED='amdgpu amdkfd nouveau core mlx5'

base=$1
tree=$base/tree
out=$USERS_OUT

# moved: print the changed files of the base, under their new names.
moved()
{
	sed -e 's#^mm/hmm\.c$#mm/hmm-interval.c#' \
	    -e 's#^include/linux/hmm\(-dma\)\?\.h$#include/linux/hmm-interval\1.h#' \
		"$base/move.list"
}

# includers: print the files that include a changed header of a driver. Users of
# a changed header in include/linux have the old names, so they are changed too.
includers()
{
	local names

	names=$(moved | grep '\.h$' | grep -v '^include/linux/' |
		sed -e 's#.*/##' -e 's/[.]/[.]/' | paste -s -d '|')
	[ -z "$names" ] || (cd "$tree" && grep -rlE --include='*.c' -- \
		"^#include [\"<]([a-z_./]*/)?($names)[\">]" drivers)
}

# sources: print the files to compile.
sources()
{
	{
		moved | grep '\.c$' | grep -v '^tools/'
		includers
		echo "$ALSO"
		(cd "$tree" && ls mm/hmm-interval*.c)
	} | LC_ALL=C sort -u
}

sources > "$out/sources.new"
mv -- "$out/sources.new" "$out/sources"
for name in $EXPECTED; do
	grep -q "/$name/" "$out/sources" ||
		die "move-interval.sh changes no file of $name"
done
"$HARNESS/build/objects.sh" "compiling the interval API's users" \
	"$tree" "$out/kernel" "$out/sources" "$out/objects.log" KCFLAGS=-Werror
