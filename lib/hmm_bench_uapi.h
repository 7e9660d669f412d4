/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What lib/hmm_bench.c and the program that asks it have in common.
 *
 * One request measures one operation on memory of the caller's own. Whatever
 * the operation needs, mirrors and ranges that are to be registered meanwhile,
 * is made for the request and is gone when it returns.
 */
#ifndef LIB_HMM_BENCH_UAPI_H
#define LIB_HMM_BENCH_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * MIRROR is ours, INTERVAL the API that the base has. "Page" is the first page
 * of the addresses given.
 */
enum hmm_bench_op {
	/* An assembly loop of npages turns, two instructions each */
	HMM_BENCH_LOOP,
	/* What is counted when nothing is done */
	HMM_BENCH_NOTHING,

	/* Read, and where asked fault, all the addresses in one range */
	HMM_BENCH_MIRROR_FAULT,
	HMM_BENCH_INTERVAL_FAULT,
	/* A page walk that copies what it finds, and no more */
	HMM_BENCH_WALK_COPY,
	/* handle_mm_fault() for each page, with a MIRROR's range around it */
	HMM_BENCH_MM_FAULT,
	HMM_BENCH_PIN,
	HMM_BENCH_UNPIN,

	/* Take the range, fault, look whether it is valid, drop it */
	HMM_BENCH_MIRROR_TAKE,
	HMM_BENCH_INTERVAL_TAKE,
	/* The same with all the waiting and repeating of a driver */
	HMM_BENCH_MIRROR_DEVICE,
	HMM_BENCH_INTERVAL_DEVICE,

	HMM_BENCH_MIRROR_RANGE_REGISTER,
	HMM_BENCH_INTERVAL_INSERT,
	HMM_BENCH_MIRROR_RANGE_UNREGISTER,
	HMM_BENCH_INTERVAL_REMOVE,
	HMM_BENCH_MIRROR_REGISTER,
	HMM_BENCH_MIRROR_UNREGISTER,
	HMM_BENCH_MIRROR_WAIT,
	HMM_BENCH_INTERVAL_READ_BEGIN,

	/* Invalidate the page, which lies in the range */
	HMM_BENCH_MIRROR_INVALIDATE,
	HMM_BENCH_INTERVAL_INVALIDATE,
	/* Invalidate a page that no interval has */
	HMM_BENCH_INTERVAL_MISS,

	/*
	 * Map and unmap all the addresses for a device: by the page, in a
	 * batch, or, where they have been faulted before, in a plain loop
	 */
	HMM_BENCH_DMA_MAP,
	HMM_BENCH_DMA_UNMAP,
	HMM_BENCH_DMA_BOTH,
	HMM_BENCH_BATCH_MAP,
	HMM_BENCH_BATCH_UNMAP,
	HMM_BENCH_BATCH_BOTH,
	HMM_BENCH_PLAIN_MAP,
	HMM_BENCH_PLAIN_UNMAP,
	HMM_BENCH_PLAIN_BOTH,

	HMM_BENCH_OPS
};

#define HMM_BENCH_DMA_FIRST	HMM_BENCH_DMA_MAP

/* For &hmm_bench_run.ask; 0 is a snapshot. WRITE comes with READ. */
#define HMM_BENCH_READ	0x1
#define HMM_BENCH_WRITE	0x2

#define HMM_BENCH_MAX_PAGES	0x100000ULL
#define HMM_BENCH_MAX_ROUNDS	10000U
#define HMM_BENCH_MAX_DEVICES	64U
#define HMM_BENCH_MAX_OTHERS	1000000U

/**
 * struct hmm_bench_run - measure an operation
 * @addr: first address, page aligned
 * @npages: how many pages
 * @op: enum hmm_bench_op
 * @rounds: how often
 * @ask: HMM_BENCH_READ and _WRITE: what is asked of the pages
 * @stride: 0 to ask that of all pages at once; n to ask it of every n-th, each
 *	with a request of its own
 * @devices: how many mirrors (or intervals) have a range over the addresses;
 *	0 is taken as 1 where the operation needs one
 * @others: how many more ranges (or intervals) of a page there are
 * @others_addr: where the first of them is, the next are two pages apart
 * @best: cycles, the least of all rounds
 * @median: in the middle of them
 * @late: 99 of 100 are not above this
 * @worst: the most
 * @calls: in the last round, of the function that is measured
 * @valid: in the last round, pages that were there
 * @writable: and that can be written
 */
struct hmm_bench_run {
	__u64 addr;
	__u64 npages;
	__u32 op;
	__u32 rounds;
	__u32 ask;
	__u32 stride;
	__u32 devices;
	__u32 others;
	__u64 others_addr;
	__u64 best;
	__u64 median;
	__u64 late;
	__u64 worst;
	__u64 calls;
	__u64 valid;
	__u64 writable;
};

#define HMM_BENCH_RUN	_IOWR('H', 0xc0, struct hmm_bench_run)

#endif /* LIB_HMM_BENCH_UAPI_H */
