#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the verdict: evidence of runs whose verdict is known.

set -euo pipefail
. "${0%/*}/../lib.sh"

tap_suite "$HARNESS/verdict/test.sh"
finish "the runs in harness/verdict/cases"
