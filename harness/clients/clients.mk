# SPDX-License-Identifier: GPL-2.0
#
# The files of `make clients` that have to be made: programs, linked to the
# libraries of this machine, and rdma-core's tests.

CLIENTS := $(HARNESS)/clients
CLIENT_PROGRAMS := $(patsubst $(CLIENTS)/%.c,$(GUEST)/clients/bin/%, \
	$(wildcard $(CLIENTS)/*.c))

# As a system's header, kselftest's harness causes no warnings.
CLIENT_CFLAGS := -O2 -g -Wall -Wextra -Werror -pthread \
	-isystem $(BASE)/pristine/tools/testing/selftests

$(GUEST)/clients/bin/%: $(CLIENTS)/%.c $(wildcard $(CLIENTS)/*.h)
	@mkdir -p $(@D)
	@gcc $(CLIENT_CFLAGS) $< -o $@ -libverbs

$(GUEST)/clients/tests: $(CLIENTS)/fetch-tests.sh
	@mkdir -p $(@D)
	@$(CLIENTS)/fetch-tests.sh $@

.PHONY: clients
clients: $(GUEST)/initramfs.cpio $(CLIENT_PROGRAMS) $(GUEST)/clients/tests
	@:
