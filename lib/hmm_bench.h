/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the files of the benchmark: hmm_bench.c has the requests and most
 * operations, hmm_bench_dma.c those that map memory for DMA.
 */
#ifndef LIB_HMM_BENCH_H
#define LIB_HMM_BENCH_H

#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>

#include "hmm_bench_uapi.h"

struct bench;
struct bench_dma;
struct hmm_interval_range;

/*
 * hmm_interval_range_fault(); in a kernel that was built with the walk that it
 * had before HMM's as well, with that walk.
 */
extern int (*bench_stock_range_fault)(struct hmm_interval_range *range);

/**
 * struct bench_mirror - a device that uses the mirror API
 * @mirror: its mirror
 * @range: its range, which covers all addresses
 * @lock: taken by the callback
 */
struct bench_mirror {
	struct hmm_mirror mirror;
	struct hmm_range range;
	spinlock_t lock; /* the driver's */
};

/**
 * struct bench_interval - a device that uses the interval API
 * @interval: its interval, which covers all addresses
 * @lock: taken by the callback
 */
struct bench_interval {
	struct mmu_interval_notifier interval;
	spinlock_t lock; /* the driver's */
};

/* Setup of an operation, and its removal; check of the results, if any. */
struct bench_family {
	int (*setup)(struct bench *b);
	void (*teardown)(struct bench *b);
	void (*count)(struct bench *b);
};

enum bench_lock {
	BENCH_UNLOCKED,
	BENCH_MMAP_READ,
	BENCH_MMAP_WRITE,
};

/**
 * struct bench_op - an operation that can be measured
 * @family: its setup
 * @lock: held around @run
 * @before: called before each round, not counted
 * @run: counted
 * @after: called after each round whose @run was called, not counted
 */
struct bench_op {
	const struct bench_family *family;
	enum bench_lock lock;
	int (*before)(struct bench *b);
	int (*run)(struct bench *b);
	void (*after)(struct bench *b);
};

/**
 * struct bench - one request
 * @run: the request
 * @op: its operation
 * @mm: mm of the caller
 * @start: first address
 * @end: address after the last
 * @pfns: one entry per page, as the operation writes them
 * @pages: pages that are pinned
 * @nr_pinned: number of @pages
 * @mirrors: mirror family
 * @intervals: interval family
 * @nr_devices: number of @mirrors or @intervals that are registered
 * @ranges: mirror family, at other addresses
 * @others: interval family, at other addresses
 * @nr_others: number of @ranges or @others that are registered
 * @dma: DMA family
 * @stale: number of rounds in which an invalidation was missed
 */
struct bench {
	struct hmm_bench_run *run;
	const struct bench_op *op;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	u64 *pfns;
	struct page **pages;
	unsigned long nr_pinned;
	struct bench_mirror *mirrors;
	struct bench_interval *intervals;
	unsigned int nr_devices;
	struct hmm_range *ranges;
	struct mmu_interval_notifier *others;
	unsigned int nr_others;
	struct bench_dma *dma;
	unsigned int stale;
};

int bench_mirror_setup(struct bench *b);
void bench_mirror_teardown(struct bench *b);

/* Indexed by operation, from HMM_BENCH_DMA_FIRST on. */
extern const struct bench_op bench_dma_ops[];

#endif /* LIB_HMM_BENCH_H */
