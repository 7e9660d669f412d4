# SPDX-License-Identifier: GPL-2.0
#
# Checks of the source and of the harness: each script in check/checks is one.
# ONLY=NAME runs one.

CHECK := $(BASE)/check

# With tracepoints, so that their code is checked too.
CHECK_FRAGMENTS := $(MACHINE_FRAGMENTS) $(TOP)/configs/trace.config \
	$(BASE_FRAGMENTS)

$(CHECK)/kernel/.config: $(CHECK_FRAGMENTS) $(BASE)/tree/.laid \
		$(HARNESS)/build/kconfig.sh $(TOP)/Kconfig
	@$(HARNESS)/build/kconfig.sh $(BASE)/tree $(@D) $(CHECK_FRAGMENTS)

# Generate the files that compiling any object needs.
$(CHECK)/kernel/.prepared: $(CHECK)/kernel/.config
	+@$(PROGRESS) 'preparing a build' $(CHECK)/prepare.log $(MAKE) -L \
		-C $(BASE)/tree O=$(@D) CC='ccache gcc' HOSTCC='ccache gcc' \
		$(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) prepare scripts
	@touch $@

# The paths of our files in the tree.
$(CHECK)/ours: $(BASE)/tree/.laid $(BASE)/overlay
	@mkdir -p $(@D)
	@printf '%s\n' $(call in_tree,$(LAID)) > $@

.PHONY: check
check: $(CHECK)/kernel/.prepared $(CHECK)/ours mail
	@:
