#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	fetch-base.sh BASE		(with KERNEL, KSRC and CACHE set)
#
# Unpacks the source of Debian's linux-source-KERNEL in BASE/pristine, then
# writes its exact version to BASE/version. KERNEL=mainline is the newest
# linux-source-7.x in the archive's newer suites: a release, or a candidate if
# there is no release. KSRC=DIR uses that tree unchanged.

set -euo pipefail
. "${0%/*}/../lib.sh"
. "${0%/*}/apt.sh"

# The packages that mainline may come from.
readonly MAINLINE='linux-source-7[.][0-9]+'

# Sizes of the package and of the unpacked source.
readonly PACKAGE_MIB=200 UNPACKED_MIB=1800

base=$1
progress=${0%/*}/../progress.sh

use_ksrc()
{
	local dir version

	dir=$(realpath -e -- "$KSRC" 2>/dev/null) ||
		die "KSRC=$KSRC: there is no such directory"
	version=$(make -s --no-print-directory -C "$dir" kernelversion \
		2>/dev/null) ||
		die "KSRC=$KSRC is not a kernel tree"
	[ ! -e "$dir/.config" ] ||
		die "KSRC=$KSRC was built in place; a build elsewhere needs it clean:" \
		    "make -C $KSRC mrproper"
	ln -sfn -- "$dir" "$base/pristine"
	finish "$version ($dir)"
}

finish()
{
	"${0%/*}/verify-tree.sh" record "$base/pristine/" "$base/pristine.list"
	printf '%s\n' "$1" > "$base/version.new"
	mv -- "$base/version.new" "$base/version"
}

# newest: print the line with the highest version of lines "VERSION ...". A
# candidate (7.4~rc1-1) is lower than any release.
newest()
{
	local line key best='' best_key=''

	while read -r line; do
		key=${line%% *}
		[[ $key != *~rc* ]] || key=0~$key
		if [ -z "$best" ] ||
		   dpkg --compare-versions "$key" gt "$best_key"; then
			best=$line best_key=$key
		fi
	done
	printf '%s\n' "$best"
}

# offered: print "VERSION NAME" for each available package.
offered()
{
	local names

	names=$(private_apt "$suites" apt-cache pkgnames linux-source- |
		grep -xE -- "$package")
	# shellcheck disable=SC2086 # a list
	private_apt "$suites" apt-cache madison $names |
		awk '{ print $3, $1 }'
}

# download DIR: run by progress.sh.
download()
{
	local name version

	update_lists "$suites"
	read -r version name < <(offered | newest)
	[ -n "$version" ]
	cd "$1"
	private_apt "$suites" apt-get download "$name=$version"
}

# whole DEB: true if the file still has the checksum of the download.
whole()
{
	[ -f "$1.sha256" ] && (cd "${1%/*}" && sha256sum --status -c "$1.sha256")
}

# cached: set $deb to the newest package in the cache. Ignore a candidate, as
# the archive may have a release by now.
cached()
{
	deb=$(find "$CACHE/base" -maxdepth 1 -regextype posix-extended \
		-regex ".*/${package}_[^/]*[.]deb" -printf '%f\n' |
		sed 's/^[^_]*_\([^_]*\)_.*/\1 &/' | newest)
	[ -n "$deb" ] && [[ $deb != *~rc* ]] || return 1
	deb=$CACHE/base/${deb#* }
	whole "$deb" && return
	say "$deb is damaged; fetching it again"
	rm -f -- "$deb" "$deb.sha256"
	cached
}

fetch()
{
	local dir name

	need_mib "$CACHE" "$PACKAGE_MIB" "the kernel's source"
	dir=$CACHE/base/incoming
	rm -rf -- "$dir"
	mkdir -p "$dir"
	HMM_HINT="is there a network, and does apt-get update work?" \
		"$progress" "fetching the kernel's source ($KERNEL)" \
		"$base/fetch.log" "$0" --download "$dir" || exit "$BUILD_FAILED"
	name=$(cd "$dir" && printf '%s\n' *.deb)
	(cd "$dir" && sha256sum -- "$name" > "$name.sha256")
	mv -- "$dir/$name.sha256" "$CACHE/base/"
	mv -- "$dir/$name" "$CACHE/base/"
	rmdir -- "$dir"
	deb=$CACHE/base/$name
}

# unpack DEB DIR: run by progress.sh, extracts the package's source to DIR.
unpack()
{
	local deb=$1 dir=$2 name

	mkdir -p "$dir"
	name=$(dpkg-deb -f "$deb" Package)
	dpkg-deb --fsys-tarfile "$deb" |
		tar -xOf - "./usr/src/$name.tar.xz" |
		tar -xJf - -C "$dir" --strip-components=1
	[ -f "$dir/Kbuild" ]
}

get_package()
{
	mkdir -p "$CACHE/base" || die "cannot write $CACHE/base"
	# Checkouts share the cache.
	exec {lock}> "$CACHE/base/lock"
	flock "$lock"
	cached || fetch
	exec {lock}>&-
}

# A regular expression that matches the package's name.
package=linux-source-${KERNEL//./[.]} suites=own
[ "$KERNEL" != mainline ] || package=$MAINLINE suites=newer
case $1 in
--download) download "$2"; exit ;;
--unpack) unpack "$2" "$3"; exit ;;
esac

mkdir -p "$base" || die "cannot write $base"
[ -z "${KSRC-}" ] || { use_ksrc; exit; }

get_package
need_mib "$base" "$UNPACKED_MIB" "the unpacked source"
rm -rf -- "$base/pristine" "$base/pristine.new"
version=$(dpkg-deb -f "$deb" Version)
HMM_HINT="if $deb is broken, remove it" \
	"$progress" "unpacking ${deb##*/}" "$base/unpack.log" \
	"$0" --unpack "$deb" "$base/pristine.new" || {
	rm -rf -- "$base/pristine.new"
	exit "$BUILD_FAILED"
}
mv -- "$base/pristine.new" "$base/pristine"
finish "$version"
