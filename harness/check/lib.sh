# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the checks. They run with BASE, TREE (the base with the series),
# CHECK (a directory for their files, with a configured kernel in it) and the
# settings of make.

# shellcheck source=harness/lib.sh
. "$HARNESS/lib.sh"
# shellcheck source=harness/totals.sh
. "$HARNESS/totals.sh"

# ours PATTERN...: print the files of the series whose path in the tree matches.
ours()
{
	local path pattern

	while read -r path; do
		for pattern; do
			# shellcheck disable=SC2053 # a pattern
			if [[ $path == $pattern ]]; then
				printf '%s\n' "$path"
				break
			fi
		done
	done < "$CHECK/ours"
}

# own_files: print the files of the repository that people write, without
# results of benchmarks, logs of the verdict's tests and output of builds.
own_files()
{
	find .ci .github .editorconfig configs harness series include mm lib \
		samples tools Documentation CHANGELOG HACKING.md Kconfig \
		MAINTAINERS Makefile README.md -type f \
		! -path '*/verdict/cases/*' ! -path '*/tests/driver/.*' \
		! -name '*.tsv' ! -name '*.sha256' ! -name '*.o' \
		! -name '*.ko' ! -name '*.mod*' ! -name 'Module.*' \
		! -name '*~' ! -name '*.sw?' |
		LC_ALL=C sort
}

# kernel_sources: print our C files that are part of the kernel.
kernel_sources()
{
	ours '*.c' | grep -v '^tools/'
}

# compat_drivers LOG VARIABLE=VALUE...: compile our external modules in
# $CHECK/compat, and list their C files in $CHECK/compat.list.
compat_drivers()
{
	local log=$1
	shift

	rm -rf -- "$CHECK/compat"
	cp -rL -- "$TREE/tools/testing/selftests/mm/compat" "$CHECK/compat"
	(cd "$CHECK/compat" && printf '%s\n' *.c) > "$CHECK/compat.list"
	# shellcheck disable=SC2046 # a list of names without spaces
	make -k -L -C "$TREE" O="$CHECK/kernel" M="$CHECK/compat" \
		CC='ccache gcc' "$@" $(sed 's/c$/o/' "$CHECK/compat.list") \
		> "$log" 2>&1
}

# tap_suite COMMAND...: count the results of a suite that prints TAP.
tap_suite()
{
	local status=0 ok plan out=$CHECK/tap.out

	"$@" > "$out" || status=$?
	grep -vE '^(ok|TAP|1\.\.)' "$out" || [ $? -eq 1 ]
	ok=$(grep -cE '^ok ' "$out") || [ $? -eq 1 ]
	plan=$(sed -n 's/^1\.\.//p' "$out")
	[ "${plan:-0}" -ge "$ok" ] || plan=$((ok + 1))
	passed=$((passed + ok)) failed=$((failed + plan - ok))
	[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] ||
		result 1 "$1 returned $status"
}

# finish TEXT: print the totals. A check that has examined nothing fails.
finish()
{
	[ "$((passed + failed))" -gt 0 ] || result 1 "there is nothing to check"
	echo "checked: $1"
	print_totals
	[ "$failed" -eq 0 ]
}
