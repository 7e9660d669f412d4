#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	series.sh BASE OVERLAY		(with TOP, HARNESS, SERIES, RESULTS set)
#
# Writes the series for this base as mail to BASE/series: a cover letter with
# the results of `make bench`, and a patch for each line of series/order. The
# author is git's user.name and user.email. No Signed-off-by is added.

set -euo pipefail
. "${0%/*}/../lib.sh"

# Patches to RDMA do not count: another tree takes them.
readonly MOST=16

base=$1 overlay=$2
out=$base/series
repo=$base/series.git

# set_author: use a placeholder if git has no identity.
set_author()
{
	local name email

	if name=$(git -C "$TOP" config user.name) &&
	   email=$(git -C "$TOP" config user.email); then
		:
	else
		name=HMM email=hmm
		say "git has no user.name and user.email: the author of the" \
		    "patches is '$name <$email>', which no list accepts"
	fi
	export GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email
	export GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email
}

# set_date: equal input gives equal patches.
set_date()
{
	local date

	date=$(git -C "$TOP" log -1 --format=%cI 2>/dev/null) || date=$(date -R)
	export GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date
}

# figures: print the counts of the series and of the base's interval API, of this
# build's `make bench` or else those kept with the series.
figures()
{
	local tsv

	for tsv in "$RESULTS/bench.tsv" "$SERIES/bench.tsv"; do
		[ ! -s "$tsv" ] || break
	done
	if [ ! -s "$tsv" ]; then
		echo "(No figures: 'make bench' was not run on this base.)"
		return
	fi
	awk -F '\t' '
		BEGIN { form = "  %-46s %8s %8s\n" }
		file == "rows" { if (!/^(#|$)/) text[$1] = $4; next }
		FNR == 1 {
			print "Instructions a page, or a call (make bench):\n"
			printf form, "", "series", "base"
			next
		}
		$1 in text { printf form, text[$1], $2, $4 }' \
		file=rows "$HARNESS/bench/rows" file=counts "$tsv"
}

# cover: print the subject, an empty line and the text.
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
# Ignore the user's git configuration.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
rm -rf -- "$out" "$out.new"
"$HARNESS/series/stage.sh" commit "$base" "$overlay" "$repo"

count=$(($(in_repo rev-list --count HEAD) - 1))
core=$(($(in_repo log --format=%s | grep -vc '^RDMA/') - 1))
[ "$core" -le "$MOST" ] ||
	die "the series has $core patches that are not for RDMA; the limit is $MOST"
in_repo config branch.series.description "$(cover)"
in_repo checkout -q -b series
in_repo format-patch -q -M --zero-commit --no-signature --cover-letter \
	--cover-from-description=subject -o "$out.new" --root \
	"$(in_repo rev-list --max-parents=0 HEAD)..HEAD"
mv -- "$out.new" "$out"
say "the series for $(< "$base/version"): $count patches in $out"
