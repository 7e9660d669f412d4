# SPDX-License-Identifier: GPL-2.0
#
# The tests: KUnit as the kernel boots, the programs in guest/suites, and the
# verdict's own. ONLY=NAME runs one suite or one test.

export ONLY

.PHONY: test
test: $(GUEST)/initramfs.cpio
	@$(KEEP_STATUS) $(HARNESS)/guest/guest.sh $@
