# SPDX-License-Identifier: GPL-2.0
#
# The files that each verb needs. front.sh starts this, under the checkout's
# lock, and then runs the verb's script.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
# These mean other things to kbuild, and a dollar in CMD is not for make.
unexport M DEBUG KCSAN CMD

include $(dir $(lastword $(MAKEFILE_LIST)))settings.mk

include $(HARNESS)/source/source.mk
include $(HARNESS)/build/build.mk
include $(HARNESS)/guest/guest.mk
include $(HARNESS)/clients/clients.mk
include $(HARNESS)/series/series.mk
include $(HARNESS)/check/check.mk

# model.sh needs no file that make builds.
.PHONY: model
model:
	@:

.PHONY: clean
clean:
	@$(HARNESS)/clean.sh $(BUILD)

# A prerequisite that is always out of date.
.PHONY: FORCE
FORCE:
