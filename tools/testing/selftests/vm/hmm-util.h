/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What user programs of the dummy device share: its requests as functions that
 * return 0 or -errno, the CPU's own answer to what the device computes, and a
 * look at what really became of a page.
 */
#ifndef SELFTESTS_VM_HMM_UTIL_H
#define SELFTESTS_VM_HMM_UTIL_H

#include <time.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../../lib/test_hmm_uapi.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

/*
 * Requests to the device
 */

static inline int hmm_open(unsigned int unit)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", unit);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* READ, WRITE and SNAPSHOT. @cmd may be NULL. */
static inline int hmm_cmd(int fd, unsigned long request, const void *addr,
			  const void *buf, uint64_t npages,
			  struct hmm_dmirror_cmd *cmd)
{
	struct hmm_dmirror_cmd mine;

	if (!cmd)
		cmd = &mine;
	*cmd = (struct hmm_dmirror_cmd){
		.addr = (uintptr_t)addr,
		.ptr = (uintptr_t)buf,
		.npages = npages,
	};
	return ioctl(fd, request, cmd) ? -errno : 0;
}

static inline int hmm_compute(int fd, const void *addr, uint64_t npages,
			      struct hmm_dmirror_compute *compute)
{
	*compute = (struct hmm_dmirror_compute){
		.addr = (uintptr_t)addr,
		.npages = npages,
	};
	return ioctl(fd, HMM_DMIRROR_COMPUTE, compute) ? -errno : 0;
}

static inline int hmm_stats(int fd, struct hmm_dmirror_stats *stats)
{
	*stats = (struct hmm_dmirror_stats){};
	return ioctl(fd, HMM_DMIRROR_STATS, stats) ? -errno : 0;
}

/*
 * The CPU's answers to COMPUTE
 */

static inline uint64_t hmm_cpu_checksum(const void *buf, size_t size)
{
	const uint64_t *word = buf;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size / sizeof(*word); i++)
		hash = (hash ^ word[i]) * 0x100000001b3;
	return hash;
}

static inline uint64_t hmm_cpu_words(const void *buf, size_t size)
{
	const char *byte = buf;
	bool space = true;
	uint64_t words = 0;

	for (size_t i = 0; i < size; i++) {
		bool was_space = space;

		/* glibc's "C" locale, which programs start in: ASCII only */
		space = isspace((unsigned char)byte[i]);
		words += was_space && !space;
	}
	return words;
}

/*
 * What became of a page
 */

/* A bit of the page's word in /proc/self/pagemap, which proc(5) numbers. */
static inline bool hmm_pagemap_bit(const void *addr, unsigned int bit)
{
	off_t index = (uintptr_t)addr / sysconf(_SC_PAGESIZE);
	uint64_t word = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (pread(fd, &word, sizeof(word), index * sizeof(word)) !=
	    sizeof(word))
		word = 0;
	close(fd);
	return word >> bit & 1;
}

static inline bool hmm_page_present(const void *addr)
{
	return hmm_pagemap_bit(addr, 63);
}

/* Not mapped, and not in memory in another way either. */
static inline bool hmm_page_is_out(const void *addr)
{
	unsigned char resident = 1;

	if (hmm_page_present(addr) ||
	    mincore((void *)addr, sysconf(_SC_PAGESIZE), &resident))
		return false;
	return !(resident & 1);
}

static inline size_t hmm_pages_out(const void *addr, size_t npages)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t out = 0;

	for (size_t i = 0; i < npages; i++)
		out += hmm_page_is_out((const char *)addr + i * page);
	return out;
}

/*
 * Returns how many pages are out in the end. The kernel passes over a page
 * that another CPU has not put on its LRU list yet, so this asks a few times.
 */
static inline size_t hmm_swap_out(void *addr, size_t npages)
{
	size_t size = npages * sysconf(_SC_PAGESIZE);
	size_t out = 0;

	for (int i = 0; i < 50 && out < npages; i++) {
		if (i)
			usleep(1000 * i);
		if (madvise(addr, size, MADV_PAGEOUT))
			return 0;
		out = hmm_pages_out(addr, npages);
	}
	return out;
}

/* The NUMA node that the page is on now, -errno if none. */
static inline int hmm_page_node(void *addr)
{
	int node = -ENOENT;

	if (syscall(SYS_move_pages, 0, 1UL, &addr, NULL, &node, 0))
		return -errno;
	return node;
}

/* Moves pages to a node; returns how many are there in the end. */
static inline size_t hmm_move_pages(void *addr, size_t npages, int node)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void **pages = calloc(npages, sizeof(*pages));
	int *nodes = calloc(npages, sizeof(*nodes));
	int *status = calloc(npages, sizeof(*status));
	size_t moved = 0;

	for (size_t i = 0; pages && nodes && i < npages; i++) {
		pages[i] = (char *)addr + i * page;
		nodes[i] = node;
	}
	/* What the first call says of a huge page's tail is of no use: ask */
	if (pages && nodes && status &&
	    syscall(SYS_move_pages, 0, npages, pages, nodes, status,
		    1 << 1 /* MPOL_MF_MOVE */) >= 0 &&
	    !syscall(SYS_move_pages, 0, npages, pages, NULL, status, 0))
		for (size_t i = 0; i < npages; i++)
			moved += status[i] == node;
	free(pages);
	free(nodes);
	free(status);
	return moved;
}

static inline bool hmm_line_is(const char *line, uintptr_t addr)
{
	unsigned long start, end;

	return sscanf(line, "%lx-%lx ", &start, &end) == 2 && addr >= start &&
	       addr < end;
}

/*
 * A number in kB of the mapping's entry in /proc/self/smaps, by its @name with
 * the colon, -1 if there is none.
 */
static inline long hmm_smaps(const void *addr, const char *name)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool here = false;
	char line[512];
	long value = -1;

	while (smaps && value < 0 && fgets(line, sizeof(line), smaps)) {
		if (isxdigit((unsigned char)line[0]) && strchr(line, '-'))
			here = hmm_line_is(line, (uintptr_t)addr);
		else if (here && !strncmp(line, name, strlen(name)))
			value = strtol(line + strlen(name), NULL, 10);
	}
	if (smaps)
		fclose(smaps);
	return value;
}

/* The child's exit status, or 256 and the signal that killed it. */
static inline int hmm_wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/*
 * Modules
 */

/* What the boot line has for a module, as the module loader wants it. */
static inline void hmm_module_params(const char *module, char *params,
				     size_t size)
{
	char line[4096] = "", *word, *next = line;
	FILE *file = fopen("/proc/cmdline", "re");
	size_t len = strlen(module);

	params[0] = '\0';
	if (file && !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	while ((word = strsep(&next, "\n "))) {
		size_t used = strlen(params);

		if (!strncmp(word, module, len) && word[len] == '.')
			snprintf(params + used, size - used, "%s ",
				 word + len + 1);
	}
}

/* The module goes and comes back, with @more parameters than the boot line's. */
static inline int hmm_module_reload(const char *module, const char *more)
{
	char params[512], path[128];
	size_t used;
	int fd, err = 0;

	if (syscall(SYS_delete_module, module, O_NONBLOCK))
		return -errno;
	hmm_module_params(module, params, sizeof(params));
	used = strlen(params);
	snprintf(params + used, sizeof(params) - used, "%s", more);
	snprintf(path, sizeof(path), "/modules/%s.ko", module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, params, 0))
		err = -errno;
	close(fd);
	return err;
}

/* Makes the memory's content known, and other than any before it. */
static inline void hmm_fill(void *buf, size_t size)
{
	static uint64_t seed = 0x9e3779b97f4a7c15;
	uint64_t *word = buf;

	for (size_t i = 0; i < size / sizeof(*word); i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		word[i] = seed;
	}
}

/* Seconds, for how long something goes on. */
static inline double hmm_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

#endif /* SELFTESTS_VM_HMM_UTIL_H */
