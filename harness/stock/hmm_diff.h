/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* Requests to lib/hmm_diff.c. */
#ifndef LIB_HMM_DIFF_H
#define LIB_HMM_DIFF_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define HMM_DIFF_NODE	"/dev/hmm_diff"

/**
 * struct hmm_diff_run - fault call on memory of the caller
 * @addr: first address, page aligned
 * @npages: number of pages
 * @entries: address of one entry a page, in and out
 * @default_flags: request for all pages
 * @pfn_flags_mask: bits of @entries that are requests
 * @owner_of: address of a private page, whose owner makes the call; 0 for a
 *	call without an owner
 * @ours: the series' call if not 0, else the base's
 * @ret: result of the last call
 * @calls: number of calls; the call is repeated while it returns -EBUSY
 * @reserved: zero
 */
struct hmm_diff_run {
	__u64 addr;
	__u64 npages;
	__u64 entries;
	__u64 default_flags;
	__u64 pfn_flags_mask;
	__u64 owner_of;
	__u32 ours;
	__s32 ret;
	__u32 calls;
	__u32 reserved;
};

#define HMM_DIFF_MAX_PAGES	4096
#define HMM_DIFF_RUN		_IOWR('H', 0xd0, struct hmm_diff_run)

#endif /* LIB_HMM_DIFF_H */
