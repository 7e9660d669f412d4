# SPDX-License-Identifier: GPL-2.0
#
# The front door: `make help` tells what there is. The work is done by
# harness/main.mk, which harness/front.sh starts; this file sees to it that
# make ends with the status that the work ended with.

include harness/settings.mk

# verb -- what it does. `make help` prints these lines.
define HELP
Heterogeneous memory management for the kernel: mirrors.

  make run                 boot a guest and show a device that uses a living
                           process's memory
  make test                all tests; ONLY=name runs one suite or test
  make bench               count what it costs, beside the kernel's own API;
                           ONLY=name counts rows with that in their name
  make guest CMD='...'     boot, run the command, end with its status;
                           FILES='a b' are copied into its directory first
  make shell               boot and give a prompt
  make modules M=DIR       build the driver in DIR against the guest's kernel
  make kernel              build the guest's kernel
  make tree                the kernel source with the series laid on it
  make check               all that reads the source and finds fault with it
  make series              the series as mail, with a cover letter
  make series-check        it applies and builds patch by patch
  make interval-users      compile all in-tree users of the interval API
  make clean               remove build/ (downloads stay in the cache)

  DEBUG=1                  with KASAN, lockdep, kmemleak and more
  KCSAN=1                  with the data race detector
  KERNEL=6.12              the base: Debian's linux-source-6.12
  KERNEL=mainline          the newest linux-source-7.x of newer suites
  KSRC=DIR                 a kernel tree of your own as the base
  ACCEL=kvm                QEMU's accelerator (tcg)
  TIMEOUT=SECONDS          for how long a guest may run
  JOBS=N                   how many jobs at once ($(JOBS))

Status: 0 passed, 1 a test failed, 2 a splat or a leak, 3 the guest was lost,
4 not built, or a setting that cannot be. Downloads and ccache: $(CACHE)
endef

VERBS := run test bench guest shell modules kernel tree base config check \
	series series-check interval-users clean

.PHONY: help $(VERBS) $(VERBS:%=%.work)
# One verb after the other; each runs its jobs in parallel.
.NOTPARALLEL:
.DEFAULT_GOAL := help

# A dollar in CMD is the guest shell's, not make's.
CMD_TEXT := $(value CMD)

export HELP BUILD CMD_TEXT VERBS

help:
	@printf '%s\n' "$$HELP"

# Named for this make: a second one has another.
STATUS := $(BUILD)/status.$(shell echo $$PPID)
MAKE_EXIT := $(BUILD)/make-exit.so

$(VERBS:%=%.work): %.work:
	@exec $(HARNESS)/front.sh '$(MAKE)' $* $(STATUS)

# make expands a recipe only when its prerequisites are done, so here the
# status is known.
$(VERBS): %: %.work
	@$(leave)

# A verb that there is not: front.sh refuses it. $(shell) exports nothing.
.DEFAULT:
	@$(shell TOP=$(TOP) BUILD=$(BUILD) VERBS='$(VERBS)' \
		$(HARNESS)/front.sh '$(MAKE)' '$@' $(STATUS) >&2)$(leave)

HMM_STATUS = $(or $(shell cat $(STATUS) 2>/dev/null),4)
leave = $(if $(filter 0,$(HMM_STATUS)),rm -f $(STATUS),$(leave_failed))
# Without a compiler, that is before the packages are there, make's own 2 has
# to do.
leave_failed = $(if $(shell test -e $(MAKE_EXIT) && echo y),$(eval \
	load $(MAKE_EXIT)(make_exit)),exit $(HMM_STATUS))
