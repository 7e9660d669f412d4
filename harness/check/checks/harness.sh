#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the harness that need no guest.

set -euo pipefail
. "${0%/*}/../lib.sh"

tap_suite "$HARNESS/tests/harness.sh"
finish "settings, packages, sources, interrupts"
