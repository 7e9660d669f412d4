#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The C of our page is included from the samples, which are built and have
# tests, and the messages in its table of mistakes are in the source. Sphinx
# warns of a part that is not found, see htmldocs.sh.

set -euo pipefail
. "${0%/*}/../lib.sh"

page=Documentation/mm/hmm.rst

# messages: the texts in the table, up to the first number.
messages()
{
	awk -F '|' '
		/^Mistakes$/ { inside = 1 }
		/^Locks$/ { inside = 0 }
		inside && /^\|/ {
			gsub(/^ +| +$/, "", $3)
			text = text " " $3
		}
		inside && /^\+/ {
			n = split(text, part, "``")
			for (i = 2; i <= n; i += 2)
				if (part[i] ~ /^hmm: /)
					print part[i]
			text = ""
		}' "$TREE/$page" | sed -E 's/(0x)?[0-9].*//; s/(itself: ).*/\1/; s/: dev_sync.*/: /'
}

status=0
! grep -nE '^\.\. code(-block)?:: *c$' "$TREE/$page" || status=1
result "$status" "$page has no C of its own"
parts=0
while read -r file; do
	status=0
	object=$(basename "$file" .c).o
	grep -qw "$object" "$TREE/samples/hmm/Makefile" || status=1
	result "$status" "$page: $file is built"
	((parts += 1))
done < <(sed -nE 's/^\.\. literalinclude:: (\.\.\/)*//p' "$TREE/$page")
while IFS= read -r message; do
	status=0
	grep -qF -- "\"$message" "$TREE"/mm/hmm*.c || status=1
	result "$status" "$page: $message"
done < <(messages)
[ "$(messages | wc -l)" -ge 12 ] || result 1 "$page lists mistakes"
[ "$parts" -gt 0 ] || result 1 "$page includes code"
finish "$parts parts of samples, and the messages, in $page"
