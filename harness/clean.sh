#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	clean.sh BUILD
#
# Removes all of BUILD but the files that the running make uses. Each directory
# is renamed before it is removed, so that an interrupted clean leaves no
# incomplete tree under a name that the next make looks for.

set -euo pipefail
. "${0%/*}/lib.sh"

aside=$(mktemp -d "$1/removed.XXXXXX")
find "$1/" -mindepth 1 -maxdepth 1 ! -name lock \
	! -name make-exit.so ! -path "$1/${aside##*/}" \
	-exec mv -t "$aside" -- {} +
rm -rf -- "$aside"
