#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
#	rdma-core.sh MODULE
#
# Runs a module of rdma-core's tests on a device that talks to itself.

set -euo pipefail
. ./ends.sh

loopback
wait_until active rxe0
exec ./run-unittest.py "$1" --dev rxe0 --gid "$(gid_index rxe0)"
