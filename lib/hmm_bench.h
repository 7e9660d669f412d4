/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the benchmark share: hmm_bench.c has the requests and most
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

/**
 * struct bench_mirror - a device that uses the mirror API
 * @mirror: its mirror
 * @range: its range, over all of the addresses
 * @lock: what the callback takes
 */
struct bench_mirror {
	struct hmm_mirror mirror;
	struct hmm_range range;
	spinlock_t lock; /* the driver's */
};

/**
 * struct bench_interval - a device that uses the interval API
 * @interval: its interval, over all of the addresses
 * @lock: what the callback takes
 */
struct bench_interval {
	struct mmu_interval_notifier interval;
	spinlock_t lock; /* the driver's */
};

/* What is there while an operation runs; what was found then, if that counts. */
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
 * struct bench_op - something that can be measured
 * @family: what has to be there
 * @lock: held around @run
 * @before: before each round, not counted
 * @run: what is counted
 * @after: after each round whose @run was called, not counted
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
 * @mm: the caller's
 * @start: first address
 * @end: address after the last
 * @pfns: an entry a page, as the operation writes them
 * @pages: pages that are pinned
 * @nr_pinned: how many
 * @mirrors: mirror family
 * @intervals: interval family
 * @nr_devices: how many of these are registered
 * @ranges: of the mirror family, elsewhere
 * @others: of the interval family, elsewhere
 * @nr_others: how many of these are registered
 * @dma: DMA family
 * @stale: rounds in which an invalidation was not noticed
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

/* By operation, from HMM_BENCH_DMA_FIRST on. */
extern const struct bench_op bench_dma_ops[];

#endif /* LIB_HMM_BENCH_H */
