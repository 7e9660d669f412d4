#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The base's semantic patches find nothing in our files. Runs coccicheck once
# for each script, to use all cores.

set -euo pipefail
. "${0%/*}/../lib.sh"

# False reports, "SCRIPT FILE": a function returns with the lock held on
# success, as its comment says.
readonly KNOWN='
mini_lock lib/test_hmm.c
'

out=$CHECK/coccinelle

# one SCRIPT: write its report and its status to files.
one()
{
	local report status=0

	report=$out/$(basename "$1" .cocci)
	srctree=$TREE KBUILD_EXTMOD=$out/source MODE=report J=1 COCCI=$1 \
		LINUXINCLUDE="-I$TREE/include" \
		"$TREE/scripts/coccicheck" > "$report.log" 2>&1 || status=$?
	echo "$status" > "$report.status"
}

if [ "${1-}" = --one ]; then
	one "$2"
	exit
fi

rm -rf -- "$out"
mkdir -p "$out/source"
# Scripts suggest min() and max(), which programs do not have.
mapfile -t files < <(ours '*.c' '*.h' | grep -v '^tools/')
(cd "$TREE" && cp -L --parents -- "${files[@]}" "$out/source")

# Skip scripts with OCaml code, which need its compiler: one checks a table of a
# driver; checkpatch reports the findings of the other (badzero).
grep -rLE --include='*.cocci' '^@ *(initialize|script) *: *ocaml' \
	"$TREE/scripts/coccinelle" | LC_ALL=C sort > "$out/scripts"
"$HARNESS/progress.sh" 'running coccicheck' "$out/run.log" \
	xargs -a "$out/scripts" -n 1 -P "${JOBS-1}" "$0" --one

# reported NAME: print the reports of the script that are not in KNOWN.
reported()
{
	grep -E "^$out/source/[^ ]+:[0-9]+" "$out/$1.log" |
		while IFS=: read -r file rest; do
			grep -qxF "$1 ${file#"$out"/source/}" <<< "$KNOWN" ||
				printf '%s:%s\n' "${file#"$out"/source/}" "$rest"
		done
}

while read -r script; do
	name=$(basename "$script" .cocci)
	report=$out/$name
	status=$(< "$report.status")
	if [ "$status" -ne 0 ]; then
		tail -n 3 "$report.log"
	else
		reported "$name" > "$report.said" || [ ! -s "$report.said" ]
		cat "$report.said"
		[ ! -s "$report.said" ] || status=1
	fi
	result "$status" "${script#"$TREE"/}"
done < "$out/scripts"
finish "${#files[@]} files of ours, with scripts/coccinelle"
