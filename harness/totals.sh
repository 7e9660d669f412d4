# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by scripts that count results, or add up those of others, and print
# "N passed, N failed, N skipped".

passed=0 failed=0 skipped=0

# result STATUS TEXT: count one result, and print it if it is a failure.
result()
{
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $2"
	fi
}

# last_totals FILE: print the numbers of the last totals in FILE, if any.
last_totals()
{
	grep -xE '[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$1" |
		tail -n 1 | tr -d '[:alpha:],'
}

# add_totals FILE STATUS: add the totals in FILE, the output of a command that
# returned STATUS. If FILE has no totals, or totals without the failure that
# STATUS shows, count one failure and return false.
add_totals()
{
	local p=0 f=0 s=0 odd=1

	if read -r p f s < <(last_totals "$1") &&
	   { [ "$2" -eq 0 ] || [ "$f" -gt 0 ]; }; then
		odd=0
	fi
	passed=$((passed + p)) skipped=$((skipped + s))
	failed=$((failed + f + odd))
	return "$odd"
}

print_totals()
{
	echo "$passed passed, $failed failed, $skipped skipped"
}
