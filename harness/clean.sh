#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	clean.sh BUILD
#
# Removes all of BUILD but what the running make holds open there. A directory
# is moved aside, whole, before it is removed: when this is interrupted, no half
# of a tree stands where the next make looks for one.

set -euo pipefail
. "${0%/*}/lib.sh"

aside=$(mktemp -d "$1/removed.XXXXXX")
find "$1/" -mindepth 1 -maxdepth 1 ! -name lock ! -name 'status.*' \
	! -name make-exit.so ! -path "$1/${aside##*/}" \
	-exec mv -t "$aside" -- {} +
rm -rf -- "$aside"
