# SPDX-License-Identifier: GPL-2.0
#
# All that the verbs of the front door do, as targets that are files. Started
# by front.sh, which holds the checkout's lock.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
# What was given to make is for us: M and DEBUG mean other things to kbuild.
MAKEOVERRIDES :=
unexport M DEBUG KCSAN

include $(dir $(lastword $(MAKEFILE_LIST)))settings.mk

include $(HARNESS)/source/source.mk
include $(HARNESS)/build/build.mk
include $(HARNESS)/guest/guest.mk
include $(HARNESS)/guest/test.mk
include $(HARNESS)/series/series.mk
include $(HARNESS)/check/check.mk
include $(HARNESS)/bench/bench.mk

.PHONY: clean
clean:
	@$(HARNESS)/clean.sh $(BUILD)

# For what has to be looked at each time.
.PHONY: FORCE
FORCE:
