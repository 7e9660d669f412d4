#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	odp.sh PROGRAM [OPTION]...
#
# Runs a program on a device that talks to itself.

set -euo pipefail
. ./ends.sh

loopback
wait_until active rxe0
exec "./$1" "${@:2}"
