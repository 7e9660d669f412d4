# SPDX-License-Identifier: GPL-2.0
#
# What reads the source and finds fault with it: each script in check/checks
# is one check. ONLY=NAME runs one.

CHECK := $(BASE)/check

$(CHECK)/kernel/.config: $(TOP)/configs/base.config \
		$(wildcard $(SERIES)/base.config) $(BASE)/tree/.laid \
		$(HARNESS)/build/kconfig.sh $(TOP)/Kconfig
	@$(HARNESS)/build/kconfig.sh $(BASE)/tree $(@D) $(TOP)/configs/base.config \
		$(wildcard $(SERIES)/base.config)

# What the kernel generates before anything of it can be compiled.
$(CHECK)/kernel/.prepared: $(CHECK)/kernel/.config
	+@$(PROGRESS) 'preparing a build' $(CHECK)/prepare.log $(MAKE) -L \
		-C $(BASE)/tree O=$(@D) CC='ccache gcc' HOSTCC='ccache gcc' \
		$(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) prepare scripts
	@touch $@

# Ours, by their path in the tree.
$(CHECK)/ours: $(BASE)/tree/.laid $(BASE)/overlay
	@mkdir -p $(@D)
	@printf '%s\n' $(call in_tree,$(LAID)) > $@

.PHONY: check
check: $(CHECK)/kernel/.prepared $(CHECK)/ours mail
	@:
