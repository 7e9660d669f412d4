# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced, after lib.sh, by scripts that fetch packages without installing them.
# They use apt with this machine's configuration, but with lists and archives in
# $CACHE. This needs no root and does not change the machine.

# Suites by their role, as code names change.
readonly NEWER_SUITES='testing unstable experimental stable-backports'

# code_name LISTS SUITE: print the suite's code name, once LISTS has its lists.
code_name()
{
	find "$1" -name "*_$2_*Release" -exec sed -n 's/^Codename: //p' {} + |
		sort -u
}

# newer_sources LISTS: print sources for the newer suites of this machine's
# archive, at the address in its own sources. A mirror may be weeks behind for
# "stable-backports" but not for the code name of that suite, so list both.
newer_sources()
{
	local lists=$1 release address suite

	release=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
	# shellcheck disable=SC2016 # apt's names, not the shell's
	address=$(apt-get indextargets \
		--format '$(RELEASE) $(COMPONENT) $(REPO_URI)' |
		awk -v release="$release" \
			'$1 == release && $2 == "main" { print $3; exit }')
	[ -n "$address" ] ||
		die "apt's sources have no main of $release, so there is nowhere" \
		    "to look for newer packages"
	for suite in $NEWER_SUITES $(code_name "$lists" stable-backports); do
		printf 'deb %s %s main\n' "$address" "$suite"
	done
}

# private_apt own|newer PROGRAM...: run a program of apt with this machine's
# sources or with the newer suites.
private_apt()
{
	local suites=$1 program=$2 state=$CACHE/apt sources=() apt_lock
	shift 2

	if [ "$suites" = newer ]; then
		state=$CACHE/apt-newer
		sources=(-o Dir::Etc::SourceList="$state/sources.list"
			-o Dir::Etc::SourceParts=/dev/null)
	fi
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	# Checkouts share the cache, and apt does not wait for its own locks.
	exec {apt_lock}> "$state/lock"
	flock "$apt_lock"
	[ "$suites" != newer ] ||
		newer_sources "$state/lists" > "$state/sources.list"
	"$program" -q -o Dir::State::Lists="$state/lists" \
		-o Dir::Cache="$state/cache" "${sources[@]}" \
		-o APT::Sandbox::User="$(id -un)" \
		-o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false \
		-o Acquire::Retries=2 "$@"
	exec {apt_lock}>&-
}

# update_lists own|newer: fetch the lists. Fetch those of the newer suites
# twice, as the first lists have the code name that newer_sources() looks for.
update_lists()
{
	private_apt "$1" apt-get update
	[ "$1" != newer ] || private_apt "$1" apt-get update
}

# fetch_once COMMAND PURPOSE: exit if COMMAND exists; else make the calling script
# fill COMMAND.files, as "SCRIPT --download DIR". One script at a time does so,
# until it ends.
fetch_once()
{
	local here=${BASH_SOURCE[0]%/*} lock

	mkdir -p "${1%/*}"
	exec {lock}> "$1.lock"
	flock "$lock"
	[ ! -x "$1" ] || exit 0
	rm -rf -- "$1.files"
	mkdir -- "$1.files"
	HMM_HINT="is there a network, and does apt-get update work?" \
		"$here/../progress.sh" "fetching $2" "$1.log" \
		"$0" --download "$1.files" || exit "$BUILD_FAILED"
}
