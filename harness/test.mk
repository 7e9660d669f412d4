# SPDX-License-Identifier: GPL-2.0
#
# The tests: KUnit as the kernel boots, the programs in guest/suites, and the
# harness's own. ONLY=NAME runs one suite or one test.

export ONLY

.PHONY: test check
test: $(GUEST)/initramfs.cpio
	@$(KEEP_STATUS) $(HARNESS)/guest.sh $@

# The harness's own tests, which need no kernel.
check:
	@$(HARNESS)/tests/run.sh
	@shellcheck -x $(HARNESS)/*.sh $(HARNESS)/*/*.sh $(TOP)/.ci/run
