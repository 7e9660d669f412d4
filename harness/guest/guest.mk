# SPDX-License-Identifier: GPL-2.0
#
# The contents of the guest, for the verbs that boot one.

# Our programs in the guest. They are compiled in the laid tree, so that they
# include the base's headers.
PROGRAMS := $(patsubst $(TOP)/tools/testing/selftests/vm/%.c,%, \
	$(wildcard $(TOP)/tools/testing/selftests/vm/*.c))
PROGRAM_DIR := $(BASE)/tree/tools/testing/selftests/mm

GUEST_CC ?= $(CROSS_COMPILE)gcc
GUEST_CFLAGS := -O2 -g -Wall -Werror -static -pthread -D_GNU_SOURCE=

# This machine's, or one that is fetched for another architecture.
BUSYBOX ?= $(if $(CROSS_COMPILE),$(CACHE)/tools/busybox-$(ARCH),/bin/busybox)

# Modules that the guest loads at boot: the dummy device and the sample driver.
MODULES := $(KBUILD)/lib/test_hmm.ko $(KBUILD)/samples/hmm/edu_mirror.ko

$(GUEST)/bin/%: $(PROGRAM_DIR)/%.c $(BASE)/tree/.laid
	@mkdir -p $(@D)
	@$(GUEST_CC) $(GUEST_CFLAGS) -MMD -MP -MF $@.d -MT $@ $< -o $@

# hmm-top-tests runs it.
$(GUEST)/bin/hmm-top: $(BASE)/tree/tools/mm/hmm-top.c
	@mkdir -p $(@D)
	@$(GUEST_CC) $(GUEST_CFLAGS) -Wextra $< -o $@

# The unmodified tests of the base's dummy device. They must pass on ours, and
# include the UAPI of the pristine source.
STOCK_TESTS := stock-hmm-tests

# Factor for the time limits of these tests, see patience.h.
STOCK_PATIENCE := $(if $(filter plain,$(FLAVOUR)),5,15)
STOCK_LIMITS := -include $(HARNESS)/guest/patience.h \
	-DHMM_PATIENCE=$(STOCK_PATIENCE)

STOCK_DIR := $(BASE)/pristine/tools/testing/selftests/mm

# Link the helpers that the tests' Makefile links to each test.
$(GUEST)/bin/stock-hmm-tests: $(BASE)/version $(HARNESS)/guest/patience.h
	@mkdir -p $(@D)
	@cd $(STOCK_DIR) && $(GUEST_CC) -O2 -g -w -static -pthread \
		-D_GNU_SOURCE= $(STOCK_LIMITS) -I$(BASE)/pristine \
		-I$(BASE)/pristine/tools/testing/selftests \
		-I$(BASE)/pristine/tools/include/uapi hmm-tests.c \
		$$(sed -n 's/^$$(TEST_GEN_FILES): *//p' Makefile) -o $@

# The base's dummy device, and our walk beside the base's; see stock/lay.sh.
STOCK := $(GUEST)/bin/stock-device-tests $(GUEST)/bin/hmm-diff-tests

$(GUEST)/bin/stock-device-tests: $(HARNESS)/stock/stock-device-tests
	@mkdir -p $(@D)
	@cp $< $@

$(GUEST)/bin/hmm-diff-tests: $(HARNESS)/stock/hmm-diff-tests.c \
		$(BASE)/tree/.laid
	@mkdir -p $(@D)
	@$(GUEST_CC) $(GUEST_CFLAGS) -I$(PROGRAM_DIR) \
		$(if $(filter plain,$(FLAVOUR)),,-DDIFF_DEBUG -DDIFF_ROUNDS=300) \
		-MMD -MP -MF $@.d -MT $@ $< -o $@

# Drivers written to the API of v5.4. They have their own directory, as a test
# loads them.
COMPAT := $(TOP)/tools/testing/selftests/vm/compat
COMPAT_DRIVERS := $(patsubst $(COMPAT)/%.c,$(GUEST)/compat/%.ko, \
	$(wildcard $(COMPAT)/*.c))

$(COMPAT_DRIVERS) &: $(KBUILD)/.built $(wildcard $(COMPAT)/*)
	@rm -rf $(GUEST)/compat && mkdir -p $(GUEST)/compat
	@cp $(COMPAT)/* $(GUEST)/compat/
	@$(KMAKE) -s --no-print-directory M=$(GUEST)/compat modules

# The commands of our page. Only a kernel with a tracer has events to enable, and
# totals.
$(GUEST)/bin/hmm-rst-commands: $(TOP)/Documentation/vm/hmm.rst
	@mkdir -p $(@D)
	@{ echo '#!/bin/sh'; echo 'set -ex'; sed -n 's/^\t# //p' $< | \
		grep -vE $(if $(filter trace,$(WITH)),'^$$','/tracing|/debug/hmm|hmm-top'); \
		} > $@
	@chmod +x $@

$(CACHE)/tools/busybox-%:
	@$(HARNESS)/guest/fetch-busybox.sh $@

$(GUEST)/init: $(HARNESS)/guest/init.c
	@mkdir -p $(@D)
	@$(GUEST_CC) -O2 -Wall -Wextra -Werror -static $< -o $@

-include $(wildcard $(GUEST)/bin/*.d)

# A base without the series has no modules.
$(GUEST)/initramfs.cpio: $(KBUILD)/.built $(GUEST)/init \
		$(PROGRAMS:%=$(GUEST)/bin/%) $(STOCK_TESTS:%=$(GUEST)/bin/%) \
		$(STOCK) $(COMPAT_DRIVERS) $(GUEST)/bin/hmm-rst-commands \
		$(GUEST)/bin/hmm-top $(HARNESS)/guest/setup \
		$(HARNESS)/guest/initramfs.sh $(BUSYBOX)
	@rm -rf $(GUEST)/modules && mkdir -p $(GUEST)/modules
	@for m in $(MODULES); do \
		! test -e $$m || cp $$m $(GUEST)/modules/ || exit 1; done
	@$(HARNESS)/guest/initramfs.sh $@ /init=$(GUEST)/init \
		/bin/busybox=$(BUSYBOX) /etc/setup=$(HARNESS)/guest/setup \
		/boot/image=$(IMAGE) \
		$(PROGRAMS:%=/bin/=$(GUEST)/bin/%) \
		$(STOCK_TESTS:%=/bin/=$(GUEST)/bin/%) \
		$(STOCK:%=/bin/=%) \
		/bin/=$(GUEST)/bin/hmm-rst-commands /bin/=$(GUEST)/bin/hmm-top \
		$(COMPAT_DRIVERS:%=/modules/compat/=%) \
		/modules/stock/=$(KBUILD)/lib/test_hmm_stock.ko \
		/modules/samples/=$(KBUILD)/samples/hmm/skeleton.ko \
		$$(find $(GUEST)/modules -name '*.ko' -printf '/modules/=%p ')

# guest.sh boots it, for bench through bench.sh.
.PHONY: run test bench guest gdb shell coverage torture fuzz mutants
run test bench guest gdb shell coverage torture fuzz mutants: $(GUEST)/initramfs.cpio
	@:
