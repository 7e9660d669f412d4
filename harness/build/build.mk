# SPDX-License-Identifier: GPL-2.0
#
# The guest's kernel, in a directory of its own for each flavour:
#
#	$(KBUILD)/.config	every option as asked for
#	$(KBUILD)/.built	bzImage and modules are there; as old as the start
#				of the build, so that an edit meanwhile counts

FRAGMENTS := $(TOP)/configs/base.config
ifneq ($(FLAVOUR),plain)
  FRAGMENTS += $(TOP)/configs/$(FLAVOUR).config
endif
FRAGMENTS += $(wildcard $(SERIES)/base.config)

# -L: of a laid file, the link and what it points to count.
KMAKE = $(MAKE) -L -C $(BASE)/tree O=$(KBUILD) CC='ccache gcc' \
	HOSTCC='ccache gcc' $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

# What of ours the kernel is made of. kbuild knows what depends on what; this
# is only for not asking it each time.
KERNEL_SOURCES := $(addprefix $(TOP)/,$(filter include/% mm/% lib/% samples/% \
	Kconfig,$(LAID)))

.PHONY: config kernel modules
config: $(KBUILD)/.config
	@echo $<

kernel: $(KBUILD)/.built
	@echo $(KBUILD)/arch/x86/boot/bzImage

$(KBUILD)/.config: $(FRAGMENTS) $(BASE)/tree/.laid $(TOP)/Kconfig \
		$(HARNESS)/build/kconfig.sh
	@$(HARNESS)/build/kconfig.sh $(BASE)/tree $(KBUILD) $(FRAGMENTS)

$(KBUILD)/.built: $(KBUILD)/.config $(BASE)/tree/.laid $(KERNEL_SOURCES) \
		| verify-tree
	@rm -f $@
	@touch $@.start
	@HMM_COUNT='^  [A-Z]+ ' HMM_COUNT_NAME=steps \
		$(PROGRESS) 'building the kernel ($(FLAVOUR))' \
		$(OUT)/kernel.log $(KMAKE) all
	@mv $@.start $@

modules: $(KBUILD)/.built
	@$(KMAKE) --no-print-directory M=$(abspath $(M)) modules
