#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The base's semantic patches (make coccicheck) find nothing in our files.

set -euo pipefail
. "${0%/*}/lib.sh"

dir=$CHECK/coccinelle
rm -rf -- "$dir"
mkdir -p "$dir"
mapfile -t files < <(ours '*.c' '*.h')
(cd "$TREE" && cp -L --parents -- "${files[@]}" "$dir")
"$HARNESS/progress.sh" 'running coccicheck' "$CHECK/coccinelle.log" \
	make -C "$TREE" O="$CHECK/kernel" M="$dir" MODE=report \
	J="${JOBS-1}" coccicheck
for file in "${files[@]}"; do
	status=0
	! grep -E "(^|/)$file:[0-9]+" "$CHECK/coccinelle.log" || status=1
	result "$status" "$file"
done
# That nothing is said because nothing was run is not a pass.
grep -q 'warning about false positives\|false positives' \
	"$CHECK/coccinelle.log" || result 1 "coccicheck did not run"
finish "${#files[@]} files of ours, with scripts/coccinelle"
