# SPDX-License-Identifier: GPL-2.0
#
# The front door: `make help` lists the verbs. harness/front.sh does the work
# of a verb; this file makes `make` exit with the status of that work.

include harness/settings.mk

# The output of `make help`.
define HELP
Heterogeneous memory management for the kernel: mirrors.

  make run                 boot a guest and show a device that uses the memory
                           of a running process
  make test                run all tests; ONLY=name runs one suite or test
  make bench               count instructions, and those of the interval API;
                           ONLY=name counts rows with that in their name
  make clients             run RDMA programs of this machine on the software
                           device with on-demand paging (KERNEL=mainline);
                           ONLY=name runs one suite, ROUNDS=N moves its memory
  make guest CMD='...'     boot, run the command, exit with its status;
                           FILES='a b' are copied to its directory first
                           ROOT=host runs it on this machine's root file
                           system, read-only: its programs, no image
  make shell               boot, with a shell on this terminal, and FILES
  make gdb CMD='...'       the same as make guest, but QEMU waits for gdb; it
                           prints the command that attaches one
  make modules M=DIR       build the driver in DIR against the guest's kernel
  make kernel              build the guest's kernel
  make tree                lay the series on the kernel's source
  make check               checkpatch, sparse and other checks, and the tests
                           of the harness; ONLY=name runs one check
  make coverage            run the tests, and count the lines and branches of
                           the core that they run; ONLY=name runs one suite
  make torture             devices and CPUs use and change the same memory, and
                           an oracle checks each word: 10^6 operations, or
                           SECONDS=N; SEED=N makes the same choices again
  make fuzz                wrong and right calls of the device nodes, guided by
                           the code that they reach: 10^6, or SECONDS=N
  make model               check a model of the locking with spin: every state
                           of it; ONLY=name runs one case of harness/model
  make mutants             test COUNT small wrong versions of the core;
                           a second run goes on. SHARD=I/N runs every N-th,
                           ONLY=NUMBER one
  make series              write the series as mail, with a cover letter
  make series-check        apply and build the series patch by patch
  make interval-users      compile all in-tree users of the interval API
  make clean               remove build/ (downloads stay in the cache)

  DEBUG=1                  with KASAN, lockdep, kmemleak and more
  KCSAN=1                  with the data race detector
  KERNEL=6.12              base: Debian's linux-source-6.12 (the default)
  KERNEL=mainline          base: the newest linux-source-7.x of newer suites
  KSRC=DIR                 base: another kernel tree
  EXTRA_CONFIG=FILE        options of the kernel, in addition
  LEAKS=1                  make guest and shell scan for leaks (DEBUG=1)
  ARCH=arm64               run, test, guest, shell, modules, bench,
                           series-check, interval-users: another
                           architecture than x86_64, cross-built
  PAGES=64K                with another page size of ARCH=arm64
  ACCEL=kvm                QEMU's accelerator (tcg)
  TIMEOUT=SECONDS          time limit of a guest
  JOBS=N                   number of parallel jobs ($(JOBS))

Status: 0 passed, 1 a test failed, 2 a splat or a leak, 3 the guest was lost,
4 not built, or a wrong setting. Downloads and ccache: $(CACHE)
endef

VERBS := run test bench clients guest gdb shell modules kernel tree base config check \
	coverage torture fuzz model mutants series series-check interval-users clean

# A goal that is no verb goes to front.sh as well, which refuses it.
GOALS := $(sort $(VERBS) $(filter-out help,$(MAKECMDGOALS)))

.PHONY: help $(GOALS)
# One verb after the other; each runs its jobs in parallel.
.NOTPARALLEL:
.DEFAULT_GOAL := help

# A dollar in CMD belongs to the guest's shell, not to make.
override CMD := $(value CMD)
# Settings go on as environment variables: kbuild obeys those of MAKEFLAGS.
MAKEOVERRIDES :=

export HELP BUILD CMD VERBS

help:
	@printf '%s\n' "$$HELP"

# Real programs, on a kernel that has what they need.
clients: override WITH := rdma
clients: override ROOT := host

# Lines, types and the scripts of gdb.
gdb: override WITH := gdb
coverage: override WITH := gcov
mutants: override WITH := mutants
fuzz: override WITH := kcov

# Each make has its own file, as a second one may run at the same time.
STATUS := $(BUILD)/status.$(shell echo $$PPID)
MAKE_EXIT := $(BUILD)/make-exit.so

$(GOALS)::
	@exec $(HARNESS)/front.sh '$(MAKE)' '$@' $(STATUS)

# make expands a recipe right before it runs it: the status is there by now.
$(GOALS)::
	@$(call leave,$(or $(read_status),4))

read_status = $(shell cat $(STATUS) 2>/dev/null; rm -f $(STATUS))
leave = $(if $(filter-out 0,$(1)),$(call leave_failed,$(1)))
# Without a compiler, before the packages are installed, make exits with its
# own 2.
leave_failed = $(if $(shell test -e $(MAKE_EXIT) && echo y),$(eval \
	HMM_STATUS := $(1))$(eval load $(MAKE_EXIT)(make_exit)),exit $(1))
