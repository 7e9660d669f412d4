#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	series-check.sh BASE		(with HARNESS and USERS_OUT set)
#
# Applies the patches in BASE/series as a maintainer does, with `git am` on the
# pristine base, one by one. Compiles the files that each patch changes, with
# warnings as errors. The last tree must equal BASE/tree, byte for byte. The
# options are those of `make interval-users`; a patch may come before an option
# exists.

set -euo pipefail
. "${0%/*}/../lib.sh"
. "${0%/*}/../totals.sh"

readonly TREE_MIB=1800

# HMM_MIRROR has no prompt, and the first option that selects it comes with a
# later patch than the core.
readonly FLAGS='-Werror -DCONFIG_HMM_MIRROR=1'

[ $# -eq 1 ] || die "usage: series-check.sh BASE"
base=$1
out=$base/series-check
tree=$out/tree
kbuild=$USERS_OUT/series-check

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=hmm GIT_AUTHOR_EMAIL=hmm
export GIT_COMMITTER_NAME=hmm GIT_COMMITTER_EMAIL=hmm

in_tree()
{
	git -C "$tree" "$@"
}

# make_tree: hard links to pristine are enough, as git never writes to an
# existing file. Track only the files that patches change: adding all takes a
# minute.
make_tree()
{
	local how=--link path

	if [ -L "$base/pristine" ]; then
		how=--reflink=auto
		need_mib "$base" "$TREE_MIB" "a copy of the base"
	fi
	rm -rf -- "$tree"
	mkdir -p "$out"
	"$HARNESS/progress.sh" "copying the source" "$out/copy.log" \
		cp -a "$how" -- "$base/pristine/." "$tree"
	rm -rf -- "$tree/.git"
	git init -q "$tree"
	sed -n 's#^\(diff --git\) a/\([^ ]*\) b/.*#\2#p' "$base"/series/*.patch |
		sort -u | while read -r path; do
		[ ! -e "$tree/$path" ] || in_tree add -f -- "$path"
	done
	in_tree commit -q -m "$(< "$base/version")"
}

# touched PATHSPEC...: print the files that the patch changes and does not
# remove.
touched()
{
	in_tree show --format= --name-only --diff-filter=d HEAD -- "$@"
}

# configure: KCONFIG_ALLCONFIG ignores options that do not exist yet.
configure()
{
	local options=$USERS_OUT/kernel/asked.config

	mkdir -p "$kbuild"
	KCONFIG_ALLCONFIG=$options make -s --no-print-directory \
		-C "$tree" O="$kbuild" allnoconfig > "$kbuild/config.log" 2>&1
}

# build_kernel: compile the kernel's files that the patch changes.
build_kernel()
{
	touched '*.c' ':!tools' > "$out/sources"
	[ -s "$out/sources" ] || return 0
	configure || return 1
	"$HARNESS/build/objects.sh" "$name" "$tree" "$kbuild" "$out/sources" \
		"$out/${name%.patch}.log" "KCFLAGS=$FLAGS" > "$out/objects" || {
		cat "$out/objects"
		return 1
	}
}

# build_programs: compile the programs that the patch changes. `make test`
# links them and builds the drivers in compat.
build_programs()
{
	local file

	while read -r file; do
		${GUEST_CC:-${CROSS_COMPILE}gcc} -c -w -O2 -pthread -D_GNU_SOURCE= -I"$tree" \
			-I"$tree/tools/testing/selftests" \
			-I"$tree/tools/include/uapi" -o "$out/program.o" \
			"$tree/$file" || return 1
	done < <(touched 'tools/testing/selftests/*.c' 'tools/mm/*.c' \
		':!*/compat/*')
}

counted()
{
	printf '%s file(s) compiled' \
		"$(touched '*.c' | wc -l)"
}

# same_tree: compare with the tested tree, where our files are links, and which
# has more files for tests.
same_tree()
{
	"$HARNESS/stock/lay.sh" "$base/pristine" "$tree"
	diff -rq -x .git -x .laid -x __pycache__ "$base/tree" "$tree" \
		> "$out/differ" || {
		cat "$out/differ"
		return 1
	}
}

make_tree
for patch in "$base"/series/*.patch; do
	name=${patch##*/}
	[ "${name%%-*}" != 0000 ] || continue
	if ! in_tree am -q "$patch"; then
		result 1 "$name does not apply"
		in_tree am --abort
		break
	fi
	status=0
	{ build_kernel && build_programs; } || status=$?
	[ "$status" -ne 0 ] || echo "ok: $name: $(counted)"
	result "$status" "$name: $(counted)"
done
status=0
same_tree || status=$?
result "$status" "all patches together give the tested tree"
status=0
! grep -i '^signed-off-by:' "$base"/series/*.patch || status=1
result "$status" "no patch has a Signed-off-by"
print_totals
[ "$failed" -eq 0 ]
