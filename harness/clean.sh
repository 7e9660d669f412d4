#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	clean.sh BUILD
#
# Removes all of BUILD but what the running make holds open there.

set -euo pipefail
. "${0%/*}/lib.sh"

find "$1" -mindepth 1 -maxdepth 1 ! -name lock ! -name 'status.*' \
	! -name make-exit.so -exec rm -rf -- {} +
