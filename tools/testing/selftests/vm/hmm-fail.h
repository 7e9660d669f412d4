/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault injection, one failure at a time: the n-th allocation, or copy from or
 * to user space, that the calling thread makes fails.
 */
#ifndef SELFTESTS_VM_HMM_FAIL_H
#define SELFTESTS_VM_HMM_FAIL_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hmm-util.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define NO_FAIL_NTH	"no fault injection in this kernel"

static inline int fail_set(const char *kind, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", kind, name);
	return hmm_write_text(path, text);
}

/*
 * Also fail allocations that may sleep, and do not print a stack trace. Returns
 * the file to be given to fail_nth(), or -errno.
 */
static inline int fail_open(void)
{
	int fd, err;

	err = fail_set("failslab", "ignore-gfp-wait", "N") ?:
	      fail_set("fail_page_alloc", "ignore-gfp-wait", "N") ?:
	      fail_set("failslab", "verbose", "1") ?:
	      fail_set("fail_page_alloc", "verbose", "1");
	if (err)
		return err;
	/* Not in every kernel with fault injection */
	err = fail_set("fail_usercopy", "verbose", "1");
	if (err && err != -ENOENT)
		return err;
	fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Make the @nth one from here on fail; 0 for none. */
static inline bool fail_nth(int fd, int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", nth);
	return pwrite(fd, text, strlen(text), 0) > 0;
}

/* Returns true if nothing has failed since fail_nth(). */
static inline bool fail_unused(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || !fail_nth(fd, 0))
		return true;
	return strtol(text, NULL, 10) != 0;
}

#endif /* SELFTESTS_VM_HMM_FAIL_H */
