# SPDX-License-Identifier: GPL-2.0
#
# From nothing to a kernel tree with the series laid on it:
#
#	$(BASE)/version		stock source is in $(BASE)/pristine; its version
#	$(BASE)/tree/.laid		the series is laid on it in $(BASE)/tree

# Each file under these stands at the same path in the kernel's tree.
LAID_DIRS := include mm lib samples tools Documentation
LAID := $(shell cd $(TOP) && find $(LAID_DIRS) -type f \
	! -name '*~' ! -name '.*.sw?' ! -name '*.orig' ! -name '*.rej' \
	! -name '*.o' ! -name '*.pyc' ! -name '.checkpatch*' 2>/dev/null | \
	LC_ALL=C sort) Kconfig
HUNKS := $(sort $(wildcard $(SERIES)/*.patch))

.PHONY: base tree
base: $(BASE)/version
	@echo $(BASE)/pristine

tree: $(BASE)/tree/.laid
	@echo $(BASE)/tree

# Where ours stand in the tree. stage.sh knows the same names.
in_tree = $(patsubst Kconfig,mm/Kconfig.hmm,$(patsubst \
	Documentation/vm/%,Documentation/mm/%,$(patsubst \
	tools/testing/selftests/vm/%,tools/testing/selftests/mm/%,$(1))))

# Of ours, those that a hunk changes are copies in the tree, not links.
HUNK_FILES := $(if $(HUNKS),$(shell sed -n 's#^+++ b/##p' $(HUNKS)))
COPIES := $(foreach file,$(LAID),$(if $(filter $(call in_tree,$(file)), \
	$(HUNK_FILES)),$(TOP)/$(file)))

# Unpacked once. A newer release is taken after `make clean`, when the package is
# gone from the cache.
$(BASE)/version:
	@$(HARNESS)/source/fetch-base.sh $(BASE)

# What is laid, so that a file that comes or goes is noticed.
$(BASE)/overlay: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(LAID) $(HUNKS) | cmp -s - $@ || \
		printf '%s\n' $(LAID) $(HUNKS) > $@

$(BASE)/tree/.laid: $(BASE)/version $(BASE)/overlay $(HUNKS) \
		$(SERIES)/stock.sha256 $(TOP)/MAINTAINERS $(COPIES) \
		$(TOP)/series/order $(HARNESS)/series/apply-series.sh \
		$(HARNESS)/series/stage.sh $(HARNESS)/series/move-interval.sh
	@$(HARNESS)/series/apply-series.sh $(BASE) $(BASE)/overlay

# For what is made of ours in the tree.
LAID_IN_TREE := $(addprefix $(BASE)/tree/,$(call in_tree,$(LAID)))
$(LAID_IN_TREE): | $(BASE)/tree/.laid ;

# A tree that somebody changed by hand is no longer the one that is tested.
.PHONY: verify-tree
verify-tree: $(BASE)/tree/.laid
	@$(HARNESS)/source/verify-tree.sh check $(BASE)/tree $(BASE)/tree.list
