#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	fetch-busybox.sh COMMAND	(with ARCH and CACHE set)
#
# Makes COMMAND the busybox-static of the guest's architecture, from this
# machine's suites. Nothing is installed.

set -euo pipefail
. "${0%/*}/../lib.sh"
. "${0%/*}/../source/apt.sh"
# shellcheck source=harness/arch/x86_64.sh
. "${0%/*}/../arch/$ARCH.sh"

readonly PACKAGE=busybox-static

# foreign PROGRAM...: run a program of apt for the guest's architecture. Its
# lists are not those of this machine's.
foreign()
{
	local program=$1
	shift

	CACHE=$CACHE/$ARCH private_apt own "$program" \
		-o APT::Architecture="$DEBIAN_ARCH" \
		-o APT::Architectures="$DEBIAN_ARCH" "$@"
}

# download DIR: run by progress.sh, unpacks the package in DIR.
download()
{
	foreign apt-get update
	cd "$1"
	foreign apt-get download "$PACKAGE"
	dpkg-deb -x ./*.deb .
	[ -x bin/busybox ]
}

[ "$1" != --download ] || { download "$2"; exit; }

fetch_once "$1" "$PACKAGE for $ARCH"
mv -- "$1.files/bin/busybox" "$1"
rm -rf -- "$1.files"
