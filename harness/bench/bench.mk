# SPDX-License-Identifier: GPL-2.0
#
# What it costs: bench.sh boots, compares with harness/bench/rows, and plots.

.PHONY: bench
bench: $(GUEST)/initramfs.cpio
	@$(KEEP_STATUS) $(HARNESS)/bench/bench.sh
