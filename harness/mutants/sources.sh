#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	sources.sh			(with COUNT, TOP, BASE, OUT and KBUILD set)
#
# Writes the core's files with COUNT mutants to $OUT/mutants/src, and removes
# the objects of the files that have changed.

set -euo pipefail

dir=$OUT/mutants
mapfile -t files < <("${0%/*}/files.sh")
rm -rf -- "$dir/src.new"
mkdir -p "$dir/src" "$dir/src.new"
python3 "${0%/*}/mutate.py" "$COUNT" write "$dir/src.new" "${files[@]}"
for file in "$dir"/src/*.c; do
	name=${file##*/}
	[ -e "$dir/src.new/$name" ] ||
		rm -f -- "$file" "$KBUILD/mm/${name%.c}.o"
done
for file in "$dir"/src.new/*.c; do
	name=${file##*/}
	if ! cmp -s "$file" "$dir/src/$name"; then
		mv -- "$file" "$dir/src/$name"
		rm -f -- "$KBUILD/mm/${name%.c}.o"
	fi
done
