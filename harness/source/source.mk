# SPDX-License-Identifier: GPL-2.0
#
# The kernel tree:
#
#	$(BASE)/version		version of the stock source in pristine/
#	$(BASE)/tree/.laid		tree/ is that source with the series

# Files under these directories have the same path in the kernel's tree.
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

# Paths of our files in the tree, as in path_in_tree() of stage.sh.
in_tree = $(patsubst Kconfig,mm/Kconfig.hmm,$(patsubst \
	Documentation/vm/%,Documentation/mm/%,$(patsubst \
	tools/testing/selftests/vm/%,tools/testing/selftests/mm/%,$(1))))

# Our files that a hunk changes are copies in the tree, not links.
HUNK_FILES := $(if $(HUNKS),$(shell sed -n 's#^+++ b/##p' $(HUNKS)))
COPIES := $(foreach file,$(LAID),$(if $(filter $(call in_tree,$(file)), \
	$(HUNK_FILES)),$(TOP)/$(file)))

# The source is unpacked once. To use a newer release, remove the package from
# the cache and run `make clean`.
$(BASE)/version:
	@$(HARNESS)/source/fetch-base.sh $(BASE)

# The list of files to lay; it changes when a file is added or removed.
$(BASE)/overlay: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(LAID) $(HUNKS) | cmp -s - $@ || \
		printf '%s\n' $(LAID) $(HUNKS) > $@

# Not while other makes build from it, see front.sh.
ifeq ($(SHARED),)
  LAY = $(HARNESS)/series/apply-series.sh $(BASE) $(BASE)/overlay
else
  LAY = echo 'hmm: another make builds from the tree, which has to be laid' \
	'anew; wait for it to end' >&2; exit 1
endif

$(BASE)/tree/.laid: $(BASE)/version $(BASE)/overlay $(HUNKS) \
		$(SERIES)/stock.sha256 $(TOP)/MAINTAINERS $(COPIES) \
		$(TOP)/series/order $(HARNESS)/series/apply-series.sh \
		$(HARNESS)/series/stage.sh $(HARNESS)/series/move-interval.sh \
		$(wildcard $(HARNESS)/stock/*.sh $(HARNESS)/stock/hmm_*)
	@$(LAY)

# Targets may depend on our files in the tree.
LAID_IN_TREE := $(addprefix $(BASE)/tree/,$(call in_tree,$(LAID)))
$(LAID_IN_TREE): | $(BASE)/tree/.laid ;

# A tree that was edited by hand must not be tested as ours.
.PHONY: verify-tree
verify-tree: $(BASE)/tree/.laid
	@$(HARNESS)/source/verify-tree.sh check $(BASE)/tree $(BASE)/tree.list
