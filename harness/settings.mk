# SPDX-License-Identifier: GPL-2.0
#
# The settings, which may be given on the command line (make test DEBUG=1
# TIMEOUT=3000), and the paths that follow from them.

# The base of the series: the Debian package linux-source-KERNEL, with the
# hunks in series/KERNEL. KSRC=DIR uses another kernel tree in its place.
KERNEL ?= 6.12
KSRC ?=

# Architecture and page size of the guest, from harness/arch. Others than those
# of x86_64 are cross-built. Each has its own build directory.
ARCH ?= x86_64
PAGES ?= 4K

# DEBUG=1: KASAN, lockdep, kmemleak and other debug options. KCSAN=1: the data
# race detector. Each has its own build directory.
DEBUG ?=
KCSAN ?=

# QEMU's accelerator. A /dev/kvm that opens may still not run a guest, so tcg
# is the default.
ACCEL ?= tcg

# Time limit of a guest in seconds.
TIMEOUT ?=

# ROOT=host: the guest's programs run on the host's root file system, which the
# guest can read; what it writes is lost at its end.
ROOT ?=

# WITH=NAME: the options of configs/NAME.config, too, in a build directory of
# its own. `make clients` has WITH=rdma.
WITH ?=

# EXTRA_CONFIG=FILE: these options, too, in the build directory that is there:
# what they change is built.
EXTRA_CONFIG ?=

# LEAKS=1: `make guest` and `make shell` scan for leaks at the end, as `make
# test` always does.
LEAKS ?=

# Rounds of each test of `make clients` with memory that moves.
ROUNDS ?=

# Mutants of `make mutants`, and the part of them that is run.
COUNT ?= 200
SHARD ?=

# The time of `make torture` and `make fuzz`, and the seed of their random
# choices.
SECONDS ?=
SEED ?=

# Number of parallel jobs, unless make got -j.
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

# The build directory of a KSRC tree is named after the path of the tree.
ifneq ($(KSRC),)
  BASE := $(BUILD)/$(KERNEL)-ksrc-$(firstword $(shell \
	printf %s '$(abspath $(KSRC))' | cksum))
else
  BASE := $(BUILD)/$(KERNEL)
endif
# The directories of 4K pages on x86_64 have the flavour's name alone.
MACHINE := $(patsubst x86_64,,$(ARCH))$(addprefix -,$(patsubst 4K,,$(PAGES)))
# Expanded when used, as a verb may have its own WITH.
OUT = $(BASE)/$(MACHINE:%=%-)$(FLAVOUR)$(WITH:%=-%)
# The users of the interval API, see series.mk.
USERS_OUT = $(BASE)/$(MACHINE:%=%-)interval-users
KBUILD = $(OUT)/kernel
GUEST = $(OUT)/guest
RESULTS = $(OUT)/results

# A value from the file of the architecture, which is a script.
of_arch = $(shell bash -c '. "$(HARNESS)/arch/$(ARCH).sh" 2>/dev/null && \
	printf %s "$$$(1)"')
CROSS_COMPILE := $(call of_arch,CROSS_COMPILE)
KERNEL_IMAGE := $(call of_arch,KERNEL_IMAGE)
IMAGE = $(KBUILD)/$(KERNEL_IMAGE)

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

export TOP HARNESS CACHE BASE FLAVOUR OUT KBUILD GUEST RESULTS USERS_OUT
export KERNEL KSRC ACCEL TIMEOUT SERIES JOBS ROOT WITH ROUNDS EXTRA_CONFIG LEAKS COUNT SHARD
# To bash, SECONDS is a clock.
unexport SECONDS
export TORTURE_SECONDS := $(SECONDS)
export TORTURE_SEED := $(SEED)
export ARCH PAGES CROSS_COMPILE IMAGE
