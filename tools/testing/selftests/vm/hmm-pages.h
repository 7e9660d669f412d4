/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages of the calling process: their sizes, /proc's view of them, and calls
 * that swap them out or move them.
 */
#ifndef SELFTESTS_VM_HMM_PAGES_H
#define SELFTESTS_VM_HMM_PAGES_H

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Missing from the C library's headers of some distributions. */
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MPOL_MF_MOVE
#define MPOL_MF_MOVE	(1 << 1)
#endif

/* Sizes of a page and of a huge page; the limits of a page are for arrays. */
#define PAGE		hmm_page_size()
#define HUGE		hmm_huge_size()
#define PAGE_MIN	4096UL
#define PAGE_MAX	65536UL
#define FULL_ACCESS	(PROT_READ | PROT_WRITE)

/* A page's word in /proc/self/pagemap, see proc(5). */
#define PM_PFN		((1ULL << 55) - 1)
#define PM_SOFT_DIRTY	(1ULL << 55)
#define PM_SWAPPED	(1ULL << 62)
#define PM_PRESENT	(1ULL << 63)

static inline size_t hmm_page_size(void)
{
	static size_t size;

	if (!size)
		size = sysconf(_SC_PAGESIZE);
	return size;
}

/* A page table is one page of 8-byte entries. */
static inline size_t hmm_huge_size(void)
{
	return PAGE / 8 * PAGE;
}

#define HUGE_MOST	(32UL << 20)
#define TOO_HUGE	"huge pages need too much memory"

/* With pages of 64 KiB, huge pages have 512 MiB. */
static inline bool hmm_too_huge(void)
{
	return HUGE > HUGE_MOST;
}

/* Read a byte; the compiler keeps the read even if the value is unused. */
static inline char cpu_read(const char *addr)
{
	return __atomic_load_n(addr, __ATOMIC_RELAXED);
}

/* The first huge page boundary at or after @addr. */
static inline char *hmm_huge_align(const void *addr)
{
	return (char *)(((uintptr_t)addr + HUGE - 1) & -HUGE);
}

/* Read the pagemap words of @npages pages; 0 or -errno. */
static inline int hmm_read_pagemap(const void *addr, size_t npages,
				   uint64_t *words)
{
	off_t from = (uintptr_t)addr / PAGE * sizeof(*words);
	ssize_t size = npages * sizeof(*words), n;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	n = pread(fd, words, size, from);
	if (n != size)
		err = n < 0 ? -errno : -EIO;
	close(fd);
	return err;
}

/* The number of pages whose pagemap word has all of @bits; 0 on an error. */
static inline size_t hmm_count_pagemap(const void *addr, size_t npages,
				       uint64_t bits)
{
	uint64_t *words = calloc(npages, sizeof(*words));
	size_t n = 0;

	if (words && !hmm_read_pagemap(addr, npages, words))
		for (size_t i = 0; i < npages; i++)
			n += (words[i] & bits) == bits;
	free(words);
	return n;
}

static inline bool hmm_page_present(const void *addr)
{
	return hmm_count_pagemap(addr, 1, PM_PRESENT);
}

/* True if the page is neither mapped nor in the page cache or swap cache. */
static inline bool hmm_page_is_out(const void *addr)
{
	unsigned char resident = 1;

	if (hmm_page_present(addr) || mincore((void *)addr, PAGE, &resident))
		return false;
	return !(resident & 1);
}

static inline size_t hmm_pages_out(const void *addr, size_t npages)
{
	size_t out = 0;

	for (size_t i = 0; i < npages; i++)
		out += hmm_page_is_out((const char *)addr + i * PAGE);
	return out;
}

/* Map pages that are only in the swap cache: MADV_PAGEOUT skips those. */
static inline void hmm_map_cached(const char *addr, size_t npages)
{
	for (; npages; npages--, addr += PAGE)
		if (!hmm_page_present(addr) && !hmm_page_is_out(addr))
			cpu_read(addr);
}

/* One attempt, on a CPU that the caller may run on. */
static inline size_t hmm_swap_out_on(int cpu, void *addr, size_t npages)
{
	cpu_set_t one, old;
	int ret;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_getaffinity(0, sizeof(old), &old))
		return 0;
	/* An error leaves it on any of its CPUs */
	sched_setaffinity(0, sizeof(one), &one);
	ret = madvise(addr, npages * PAGE, MADV_PAGEOUT);
	sched_setaffinity(0, sizeof(old), &old);
	return ret ? 0 : hmm_pages_out(addr, npages);
}

/*
 * Swap pages out. Returns the number of pages that are out at the end. While a
 * page waits in a CPU's batch for an LRU list, the kernel skips it or leaves it
 * in the swap cache, and only that CPU empties the batch. So this tries several
 * times, on each CPU.
 */
static inline size_t hmm_swap_out(void *addr, size_t npages)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t out = 0;

	for (int i = 0; i < 50 && out < npages; i++) {
		if (i) {
			usleep(1000 * i);
			hmm_map_cached(addr, npages);
		}
		out = hmm_swap_out_on(i % cpus, addr, npages);
	}
	return out;
}

/* The NUMA node that the page is on, or -errno. */
static inline int hmm_page_node(void *addr)
{
	int node = -ENOENT;

	if (syscall(SYS_move_pages, 0, 1UL, &addr, NULL, &node, 0))
		return -errno;
	return node;
}

/*
 * Move pages to a node, if @move. Returns the number of pages on the node
 * afterwards, from a call of its own: the status that a moving call returns
 * for the tail pages of a huge page is useless.
 */
static inline size_t hmm_pages_on_node(void *addr, size_t npages, int node,
				       bool move)
{
	void **pages = calloc(npages, sizeof(*pages));
	int *nodes = calloc(npages, sizeof(*nodes));
	int *status = calloc(npages, sizeof(*status));
	bool ok = pages && nodes && status;
	size_t n = 0;

	for (size_t i = 0; ok && i < npages; i++) {
		pages[i] = (char *)addr + i * PAGE;
		nodes[i] = node;
	}
	if (ok && move)
		ok = syscall(SYS_move_pages, 0, npages, pages, nodes, status,
			     MPOL_MF_MOVE) >= 0;
	if (ok && !syscall(SYS_move_pages, 0, npages, pages, NULL, status, 0))
		for (size_t i = 0; i < npages; i++)
			n += status[i] == node;
	free(pages);
	free(nodes);
	free(status);
	return n;
}

static inline size_t hmm_move_pages(void *addr, size_t npages, int node)
{
	return hmm_pages_on_node(addr, npages, node, true);
}

static inline bool hmm_smaps_line_is(const char *line, uintptr_t addr)
{
	unsigned long start, end;

	return sscanf(line, "%lx-%lx ", &start, &end) == 2 && addr >= start &&
	       addr < end;
}

/*
 * The value in kB of field @name, with its colon, of the mapping at @addr in
 * /proc/self/smaps; -1 if there is none.
 */
static inline long hmm_smaps(const void *addr, const char *name)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool here = false;
	char line[512];
	long value = -1;

	while (smaps && value < 0 && fgets(line, sizeof(line), smaps)) {
		if (isxdigit((unsigned char)line[0]) && strchr(line, '-'))
			here = hmm_smaps_line_is(line, (uintptr_t)addr);
		else if (here && !strncmp(line, name, strlen(name)))
			value = strtol(line + strlen(name), NULL, 10);
	}
	if (smaps)
		fclose(smaps);
	return value;
}

#endif /* SELFTESTS_VM_HMM_PAGES_H */
