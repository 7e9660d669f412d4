# SPDX-License-Identifier: GPL-2.0
#
# The guest's kernel, in one directory for each flavour:
#
#	$(KBUILD)/.config	all options have the values of the fragments
#	$(KBUILD)/.built	image and modules are built; it has the time of the
#				start, so that later edits are newer

# The options of the machine, then those of another page size.
MACHINE_FRAGMENTS := $(addprefix $(TOP)/configs/,base.config $(ARCH).config) \
	$(wildcard $(TOP)/configs/$(ARCH)-$(PAGES).config)
# Those of the base.
BASE_FRAGMENTS := $(wildcard $(SERIES)/base.config $(SERIES)/$(ARCH).config)
FRAGMENTS := $(MACHINE_FRAGMENTS)
ifneq ($(FLAVOUR),plain)
  FRAGMENTS += $(TOP)/configs/$(FLAVOUR).config
endif
FRAGMENTS += $(WITH:%=$(TOP)/configs/%.config)
FRAGMENTS += $(BASE_FRAGMENTS) $(abspath $(EXTRA_CONFIG))

# -L: both the time of a link and the time of its target count.
KMAKE = $(MAKE) -L -C $(BASE)/tree O=$(KBUILD) CC='$(KERNEL_CC)' \
	HOSTCC='ccache gcc' $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

# With mutants, the core's files are others.
ifeq ($(WITH),mutants)
  KERNEL_CC := $(HARNESS)/mutants/cc.sh
  MUTATE = $(HARNESS)/mutants/sources.sh
else
  KERNEL_CC := ccache $(CROSS_COMPILE)gcc
  MUTATE = :
endif

# With gcov, count what is run of the core.
ifeq ($(WITH),gcov)
  KMAKE += $(patsubst $(TOP)/mm/%.c,GCOV_PROFILE_%.o=y, \
	$(wildcard $(TOP)/mm/hmm*.c))
endif

# With kcov, trace what is run of the core and of the drivers.
ifeq ($(WITH),kcov)
  KMAKE += $(patsubst %.c,KCOV_INSTRUMENT_%.o=y,$(notdir $(wildcard \
	$(TOP)/mm/hmm*.c $(TOP)/lib/test_hmm.c $(TOP)/samples/hmm/*.c)))
endif

# Our sources of the kernel. kbuild has the exact dependencies; this list only
# saves a call of kbuild when none of them has changed.
KERNEL_SOURCES := $(addprefix $(TOP)/,$(filter include/% mm/% lib/% samples/% \
	Kconfig,$(LAID)))

.PHONY: config kernel modules
config: $(KBUILD)/.config
	@echo $<

kernel: $(KBUILD)/.built
	@echo $(IMAGE)

# The list of fragments, as EXTRA_CONFIG may have changed.
$(KBUILD)/fragments: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(FRAGMENTS) | cmp -s - $@ || \
		printf '%s\n' $(FRAGMENTS) > $@

$(KBUILD)/.config: $(FRAGMENTS) $(KBUILD)/fragments $(BASE)/tree/.laid $(TOP)/Kconfig \
		$(HARNESS)/build/kconfig.sh
	@$(HARNESS)/build/kconfig.sh $(BASE)/tree $(KBUILD) $(FRAGMENTS)

$(KBUILD)/.built: $(KBUILD)/.config $(BASE)/tree/.laid $(KERNEL_SOURCES) \
		| verify-tree
	@rm -f $@
	@touch $@.start
	@$(MUTATE)
	@HMM_COUNT='^  [A-Z]+ ' HMM_COUNT_NAME=steps \
		$(PROGRESS) 'building the kernel ($(notdir $(OUT)))' \
		$(OUT)/kernel.log $(KMAKE) all
	@mv $@.start $@

# A copy of the driver, for each flavour, so that none builds the objects of
# another; -I is for headers that it includes by a path outside of its directory.
MODULE = $(OUT)/modules$(abspath $(M))
BUILT := *.o *.ko *.cmd *.mod *.mod.c Module.symvers modules.order
modules: $(KBUILD)/.built
	@mkdir -p $(MODULE)
	@tar -C $(M) $(BUILT:%='--exclude=%') -chf - . | tar -C $(MODULE) -xf -
	@$(KMAKE) --no-print-directory M=$(MODULE) KCFLAGS=-I$(abspath $(M)) \
		modules
	@find $(MODULE) -name '*.ko'
