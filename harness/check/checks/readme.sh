#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# README.md and HACKING.md: the figures are those of bench.tsv, the files exist,
# and the commands are run by CI, or name a test that exists.

set -euo pipefail
. "${0%/*}/../lib.sh"

readonly FIGURES=series/6.12/bench.tsv
# These need a terminal.
readonly BY_HAND='^make (shell|gdb)( |$)'

# rows: "ROW OURS STOCK" of the table of costs.
rows()
{
	awk -F ' *[|] *' '
		NF == 6 && $5 ~ /^[0-9.]+$/ { print $2, $4, $5 }' README.md
}

figures()
{
	local row status

	while read -r row; do
		status=0
		awk -F '\t' -v row="$row" '
			$1 " " $2 " " $4 == row { found = 1 }
			END { exit !found }' "$FIGURES" || status=1
		result "$status" "README.md: the costs of ${row%% *}"
	done < <(rows)
	[ "$(rows | wc -l)" -eq 5 ] || result 1 "README.md has five costs"
}

# A path in backticks, but for one with a place-holder in capitals.
files()
{
	local file status

	# shellcheck disable=SC2016 # backticks to be found, not a command
	while read -r file; do
		status=0
		compgen -G "$file" > /dev/null || status=1
		result "$status" "$1: $file exists"
	done < <(grep -o '`[.a-zA-Z0-9_*/-]*/[.a-zA-Z0-9_*/-]*`' "$1" |
		tr -d '`' | grep -vE '(BASE|NAME|FILE)|^[ab]/$' | sort -u)
}

# commands FILE: the lines of its blocks of shell commands.
commands()
{
	awk '/^```/ { block = /^```sh$/; next } block' "$1"
}

# ci: the commands of .ci/run, one in each line.
ci()
{
	sed -e ':a; /\\$/ { N; s/\\\n[[:space:]]*//; ba }' .ci/run |
		sed -nE 's/^part(_in)? ([0-9]+|\$\(\([^)]*\)\)) //p'
}

# named COMMAND: make test or make check with ONLY=, of something that exists.
named()
{
	local only=${1##*ONLY=}

	case $1 in
	"make test ONLY=$only")
		grep -qrwF -- "$only" mm/tests harness/guest/suites \
			tools/testing/selftests/vm ;;
	"make check ONLY=$only")
		[ -f "$HARNESS/check/checks/$only.sh" ] ;;
	*)
		return 1 ;;
	esac
}

run_by_ci()
{
	local command status

	while read -r command; do
		status=0
		[[ $command =~ $BY_HAND ]] || named "$command" ||
			grep -qxF -- "$command" <<< "$ci" || status=1
		result "$status" "$1: $command"
	done < <(commands "$1")
}

cd "$TOP"
ci=$(ci)
figures
for file in README.md HACKING.md; do
	files "$file"
	run_by_ci "$file"
done
finish "the figures, files and commands of README.md and HACKING.md"
