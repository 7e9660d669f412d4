#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The core and its first user compile for arm64 with W=1, every warning being
# an error.

set -euo pipefail
. "${0%/*}/../lib.sh"

export ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-

"$HARNESS/build/kconfig.sh" "$TREE" "$CHECK/arm64" "$TOP/configs/compile.config"
ours 'mm/hmm*.c' 'lib/test_hmm*.c' > "$CHECK/arm64.list"
"$HARNESS/build/objects.sh" 'compiling for arm64' "$TREE" "$CHECK/arm64" \
	"$CHECK/arm64.list" "$CHECK/arm64.log" \
	CC="ccache ${CROSS_COMPILE}gcc" W=1 KCFLAGS=-Werror \
	> "$CHECK/arm64.out" || {
	grep -E '(error|warning):' "$CHECK/arm64.log" || true
	cat "$CHECK/arm64.out"
	exit 1
}
passed=$(grep -c . "$CHECK/arm64.list")
finish "the core and lib/test_hmm.c"
