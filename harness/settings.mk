# SPDX-License-Identifier: GPL-2.0
#
# What can be chosen, and where things are. Everything here may be given on
# the command line: make test DEBUG=1 TIMEOUT=3000

# The base that the series is laid on: the Debian package linux-source-KERNEL,
# with series/KERNEL. KSRC=DIR takes a kernel tree of your own in its place.
KERNEL ?= 6.12
KSRC ?=

# DEBUG=1: KASAN, lockdep, kmemleak and what else finds bugs. KCSAN=1: data
# races. Each builds in a directory of its own.
DEBUG ?=
KCSAN ?=

# QEMU's accelerator. A /dev/kvm that opens may still not run a guest, so kvm
# is only taken when asked for.
ACCEL ?= tcg

# For how many seconds a guest may run.
TIMEOUT ?=

# How many jobs at once, unless make was given -j itself.
JOBS ?= $(shell nproc)

# Downloads and compiled objects that outlive a checkout.
CACHE ?= $(or $(HMM_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hmm-series)

TOP := $(patsubst %/,%,$(dir $(patsubst %/,%,$(dir \
	$(abspath $(lastword $(MAKEFILE_LIST)))))))
HARNESS := $(TOP)/harness
BUILD := $(TOP)/build

yes = $(filter-out 0 n no,$(1))
ifneq ($(call yes,$(DEBUG)),)
  FLAVOUR := debug
else ifneq ($(call yes,$(KCSAN)),)
  FLAVOUR := kcsan
else
  FLAVOUR := plain
endif

SERIES := $(TOP)/series/$(KERNEL)

# A tree of one's own builds beside the package's, named for where it is.
ifneq ($(KSRC),)
  BASE := $(BUILD)/$(KERNEL)-ksrc-$(firstword $(shell \
	printf %s '$(abspath $(KSRC))' | cksum))
else
  BASE := $(BUILD)/$(KERNEL)
endif
OUT := $(BASE)/$(FLAVOUR)
KBUILD := $(OUT)/kernel
GUEST := $(OUT)/guest
RESULTS := $(OUT)/results

# Builds of the same input are equal in every checkout, so that ccache has them.
export CCACHE_DIR := $(CACHE)/ccache
export CCACHE_BASEDIR := $(TOP)
export CCACHE_NOHASHDIR := 1
export CCACHE_MAXSIZE ?= 5G
export KBUILD_BUILD_TIMESTAMP := Thu Jan  1 00:00:00 UTC 1970
export KBUILD_BUILD_USER := hmm
export KBUILD_BUILD_HOST := hmm
export KBUILD_BUILD_VERSION := 1

PROGRESS := $(HARNESS)/progress.sh

export TOP HARNESS CACHE BASE FLAVOUR OUT KBUILD GUEST RESULTS
export KERNEL KSRC ACCEL TIMEOUT SERIES JOBS
