/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Requests to lib/hmm_bench.c.
 *
 * One request measures one operation on memory of the caller. The mirrors and
 * ranges that the operation needs are created for the request and removed
 * before it returns.
 */
#ifndef LIB_HMM_BENCH_UAPI_H
#define LIB_HMM_BENCH_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * MIRROR operations use the mirror API, INTERVAL operations the interval API.
 * STOCK operations use the interval API with the walk that it had before it was
 * a layer over HMM's, in a kernel that has both; in others they are INTERVAL's.
 * "The page" is the first page of the given addresses.
 */
enum hmm_bench_op {
	/* An assembly loop of npages iterations, two instructions each */
	HMM_BENCH_LOOP,
	/* The cost of the measurement itself */
	HMM_BENCH_NOTHING,

	/* Read, and fault if requested, all addresses in one range */
	HMM_BENCH_MIRROR_FAULT,
	/* The same without a lock; and with the wait and the mmap lock */
	HMM_BENCH_MIRROR_UNLOCKED,
	HMM_BENCH_MIRROR_LOCKED,
	HMM_BENCH_INTERVAL_FAULT,
	HMM_BENCH_STOCK_FAULT,
	/* A page walk that only copies the entries */
	HMM_BENCH_WALK_COPY,
	/* handle_mm_fault() for each page, within a MIRROR's range */
	HMM_BENCH_MM_FAULT,
	HMM_BENCH_PIN,
	HMM_BENCH_UNPIN,

	/* Register a range, fault it, check it, unregister it */
	HMM_BENCH_MIRROR_TAKE,
	HMM_BENCH_STOCK_TAKE,
	/* The same with the waits and retries of a driver; LOCKED as above */
	HMM_BENCH_MIRROR_DEVICE,
	HMM_BENCH_LOCKED_DEVICE,
	HMM_BENCH_STOCK_DEVICE,
	/* As MIRROR_UNLOCKED and _LOCKED, after the pages were discarded */
	HMM_BENCH_UNLOCKED_AGAIN,
	HMM_BENCH_LOCKED_AGAIN,

	HMM_BENCH_MIRROR_RANGE_REGISTER,
	HMM_BENCH_INTERVAL_INSERT,
	HMM_BENCH_MIRROR_RANGE_UNREGISTER,
	HMM_BENCH_INTERVAL_REMOVE,
	HMM_BENCH_MIRROR_REGISTER,
	HMM_BENCH_MIRROR_UNREGISTER,
	HMM_BENCH_MIRROR_WAIT,
	HMM_BENCH_INTERVAL_READ_BEGIN,

	/* Invalidate the page, which is in the range */
	HMM_BENCH_MIRROR_INVALIDATE,
	HMM_BENCH_INTERVAL_INVALIDATE,
	/* Invalidate a page that is in no interval */
	HMM_BENCH_INTERVAL_MISS,
	/* Hold the mmap lock for writing 10 ms, after 10 ms without it */
	HMM_BENCH_HOLD,

	/*
	 * Map and unmap all addresses for a device: page by page, as a batch,
	 * or, if faulted before, in a plain loop
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

/* For &hmm_bench_run.req; 0 is a snapshot. WRITE requires READ. */
#define HMM_BENCH_READ	0x1
#define HMM_BENCH_WRITE	0x2

#define HMM_BENCH_MAX_PAGES	0x100000ULL
#define HMM_BENCH_MAX_ROUNDS	10000U
#define HMM_BENCH_MAX_DEVICES	64U
#define HMM_BENCH_MAX_OTHERS	1000000U

/**
 * struct hmm_bench_run - measure an operation
 * @addr: first address, page aligned
 * @npages: number of pages
 * @op: enum hmm_bench_op
 * @rounds: number of rounds
 * @req: request for the pages, HMM_BENCH_READ and _WRITE
 * @stride: 0 to make the request for all pages at once; n to make it for every
 *	n-th page, as a request of its own
 * @devices: number of mirrors (or intervals) with a range over the addresses;
 *	0 means 1 if the operation needs one
 * @others: number of other ranges (or intervals), of one page each
 * @others_addr: address of the first of them; they are two pages apart
 * @best: lowest number of cycles of all rounds
 * @median: median of all rounds
 * @late: 99th percentile
 * @worst: highest number of cycles
 * @calls: calls of the measured function in the last round
 * @valid: pages present in the last round
 * @writable: pages writable in the last round
 */
struct hmm_bench_run {
	__u64 addr;
	__u64 npages;
	__u32 op;
	__u32 rounds;
	__u32 req;
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
