# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the checks. They run with BASE, TREE (the series laid), CHECK (a
# directory for what they make, with a configured kernel in it), and the
# settings of make.

. "$HARNESS/lib.sh"

passed=0 failed=0

# ours PATTERN...: the files of the series whose path in the tree fits one.
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

# kernel_sources: our C files that are part of the kernel.
kernel_sources()
{
	ours '*.c' | grep -v '^tools/'
}

# compat_drivers LOG VARIABLE=VALUE...: compiles our drivers that are modules of
# their own, in $CHECK/compat, and leaves a list of their C files there.
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

# result STATUS WHAT: one thing was looked at.
result()
{
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $2"
	fi
}

# finish WHAT: the totals. A check that looked at nothing did not pass.
finish()
{
	if [ "$((passed + failed))" -eq 0 ]; then
		failed=1
		echo "nothing to look at: $1"
	fi
	echo "looked at: $1"
	echo "$passed passed, $failed failed, 0 skipped"
	[ "$failed" -eq 0 ]
}
