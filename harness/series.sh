#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	series.sh BASE OVERLAY		(with TOP, HARNESS and SERIES set)
#
# Writes the series for this base as mail to BASE/series: a cover letter and a
# patch for each line of series/order that `git am` takes. They are from whom
# git knows as the one at work; nobody's Signed-off-by is written. With
# BASE/bench.tsv, from `make bench`, the cover letter has its figures.

set -euo pipefail
. "${0%/*}/lib.sh"

readonly MOST=15

base=$1 overlay=$2
out=$base/series
repo=$base/series.git

# Who sends. A checkout without an identity says so in place of a name.
set_author()
{
	local name email

	if name=$(git -C "$TOP" config user.name) &&
	   email=$(git -C "$TOP" config user.email); then
		:
	else
		name=HMM email=hmm
		say "git has no user.name and user.email: the patches are from" \
		    "'$name <$email>', which no list takes"
	fi
	export GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email
	export GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email
}

# The same input gives the same patches.
set_date()
{
	local date

	date=$(git -C "$TOP" log -1 --format=%cI 2>/dev/null) || date=$(date -R)
	export GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date
}

# figures: what bench.tsv has, as a table.
figures()
{
	if [ -s "$base/bench.tsv" ]; then
		echo "Instructions, ours beside the stock walker's (make bench):"
		echo
		column -t -s $'\t' -o '  ' "$base/bench.tsv" | sed 's/^/  /'
	else
		echo "(No figures: 'make bench' was not run on this base.)"
	fi
}

# The cover letter: subject, empty line, text.
cover()
{
	local line

	while IFS= read -r line; do
		case $line in
		@BASE@)		echo "  $(< "$base/version")" ;;
		@FIGURES@)	figures ;;
		*)		printf '%s\n' "$line" ;;
		esac
	done < "$TOP/series/cover.txt"
}

in_repo()
{
	git -C "$repo" "$@"
}

[ $# -eq 2 ] || die "usage: series.sh BASE OVERLAY"
set_date
set_author
# No configuration of somebody's changes what is written.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
rm -rf -- "$out" "$out.new"
"$HARNESS/stage.sh" commit "$base" "$overlay" "$repo"

count=$(($(in_repo rev-list --count HEAD) - 1))
[ "$count" -le "$MOST" ] ||
	die "the series has $count patches; a reader takes $MOST at most"
in_repo config branch.series.description "$(cover)"
in_repo checkout -q -b series
in_repo format-patch -q -M --zero-commit --no-signature --cover-letter \
	--cover-from-description=subject -o "$out.new" --root \
	"$(in_repo rev-list --max-parents=0 HEAD)..HEAD"
mv -- "$out.new" "$out"
say "the series for $(< "$base/version"): $count patches in $out"
