/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests of a process to the dummy device, /dev/hmm_dmirrorN.
 *
 * Requests 0x00 to 0x09 keep the numbers and the struct that hmm-tests of a
 * stock kernel uses; the last two came after 6.12. Requests from 0x80 on are
 * ours alone, each with a struct of its own whose reserved words are zero both
 * ways.
 *
 * EXCLUSIVE lasts until the CPU touches the page, the memory is invalidated or
 * the file is closed. RELEASE leaves pages under exclusive access where they
 * are and then fails with EBUSY, as it does for pages that are pinned.
 */
#ifndef LIB_TEST_HMM_UAPI_H
#define LIB_TEST_HMM_UAPI_H

#include <linux/types.h>
#include <linux/ioctl.h>

/**
 * struct hmm_dmirror_cmd - one operation of the device on a span of memory
 * @addr: (in) first byte of the span, page aligned
 * @ptr: (in) the caller's buffer, what the device reads goes there and what it
 *       writes comes from there
 * @npages: (in) length of the span in pages
 * @cpages: (out) pages that were worked on
 * @faults: (out) device page faults, a fault may serve many pages
 */
struct hmm_dmirror_cmd {
	__u64 addr;
	__u64 ptr;
	__u64 npages;
	__u64 cpages;
	__u64 faults;
};

#define HMM_DMIRROR_READ		_IOWR('H', 0x00, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_WRITE		_IOWR('H', 0x01, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_DEV	_IOWR('H', 0x02, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_SYS	_IOWR('H', 0x03, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_SNAPSHOT		_IOWR('H', 0x04, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_EXCLUSIVE		_IOWR('H', 0x05, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_CHECK_EXCLUSIVE	_IOWR('H', 0x06, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_RELEASE		_IOWR('H', 0x07, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_FLAGS		_IOWR('H', 0x08, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_READ_UNLOCKED	_IOWR('H', 0x09, struct hmm_dmirror_cmd)

/*
 * FLAGS takes them where others have the length of the span. FAIL_ALLOC: once,
 * the next pages to migrate find no memory to go to and stay where they are;
 * the request then goes on and tries them again.
 */
#define HMM_DMIRROR_FLAG_FAIL_ALLOC	0x1

/**
 * struct hmm_dmirror_compute - the device computes over memory it mirrors
 * @addr: (in) first byte of the span, page aligned
 * @npages: (in) length of the span in pages
 * @checksum: (out) 64-bit FNV-1a over the span's 64-bit little-endian words
 * @words: (out) runs of bytes that are not ASCII white space (wc -w's words)
 * @faults: (out) device page faults this took; 0 when the device page table
 *          already had every page
 * @cpages: (out) pages that were read
 * @reserved: zero
 */
struct hmm_dmirror_compute {
	__u64 addr;
	__u64 npages;
	__u64 checksum;
	__u64 words;
	__u64 faults;
	__u64 cpages;
	__u64 reserved[2];
};

/**
 * struct hmm_dmirror_stats - what happened to this open file's mirror so far
 * @faults: (out) device page faults
 * @invalidations: (out) calls of sync_cpu_device_pagetables()
 * @dropped: (out) entries of the device page table those calls took away
 * @retries: (out) faults made again because an invalidation came between
 * @mapped: (out) entries that the device page table holds now
 * @ranges: (out) ranges that this file has registered now
 * @device_pages: (out) pages of device memory in use now, whole device
 * @reserved: zero
 */
struct hmm_dmirror_stats {
	__u64 faults;
	__u64 invalidations;
	__u64 dropped;
	__u64 retries;
	__u64 mapped;
	__u64 ranges;
	__u64 device_pages;
	__u64 reserved;
};

/*
 * COMPUTE reads through the device page table and faults only what is not
 * there. STATS never faults, so that asking changes nothing.
 */
#define HMM_DMIRROR_COMPUTE	_IOWR('H', 0x80, struct hmm_dmirror_compute)
#define HMM_DMIRROR_STATS	_IOWR('H', 0x81, struct hmm_dmirror_stats)

/**
 * struct hmm_dmirror_flush - how the device flushes its TLB
 * @ms: (in) time that each later flush takes, up to 10,000; with 0 the device
 *      has nothing to flush
 * @flushes: (out) flushes so far that took time
 * @started: (out) when the last of them was started
 * @awaited: (out) when the wait for its end began; 0 if there was none
 * @reserved: zero
 *
 * An invalidation that takes entries from the device page table starts a flush
 * in its first pass and waits for its end in the second. The times are numbers
 * that all devices count up together: of two events, the later one has the
 * higher number.
 */
struct hmm_dmirror_flush {
	__u64 ms;
	__u64 flushes;
	__u64 started;
	__u64 awaited;
	__u64 reserved[2];
};

#define HMM_DMIRROR_FLUSH	_IOWR('H', 0x82, struct hmm_dmirror_flush)

/**
 * struct hmm_dmirror_fault_call - the call that serves this file's faults
 * @locked: (in) 0 for hmm_range_fault_unlocked(); 1 for hmm_range_fault(),
 *	which the device calls with the mmap lock
 * @reserved: zero
 */
struct hmm_dmirror_fault_call {
	__u64 locked;
	__u64 reserved;
};

#define HMM_DMIRROR_FAULT_CALL	_IOWR('H', 0x83, struct hmm_dmirror_fault_call)

/*
 * SNAPSHOT writes one byte a page. The access and, for a huge mapping, its
 * level are or-ed; where device memory is mapped, its kind and whether it is
 * this device's own (local) or another's (remote) are or-ed too.
 */
enum {
	HMM_DMIRROR_PROT_NONE			= 0x00,
	HMM_DMIRROR_PROT_READ			= 0x01,
	HMM_DMIRROR_PROT_WRITE			= 0x02,
	HMM_DMIRROR_PROT_PMD			= 0x04,
	HMM_DMIRROR_PROT_PUD			= 0x08,
	HMM_DMIRROR_PROT_ZERO			= 0x10,
	HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL	= 0x20,
	HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE	= 0x30,
	HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL	= 0x40,
	HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE	= 0x50,
	HMM_DMIRROR_PROT_ERROR			= 0xFF,
};

enum {
	HMM_DMIRROR_MEMORY_DEVICE_PRIVATE = 1,
	HMM_DMIRROR_MEMORY_DEVICE_COHERENT = 2,
};

#endif /* LIB_TEST_HMM_UAPI_H */
