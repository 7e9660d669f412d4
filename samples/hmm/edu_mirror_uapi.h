/* SPDX-License-Identifier: GPL-2.0 */
/* Requests of a process to /dev/edu_mirrorN. */
#ifndef SAMPLES_HMM_EDU_MIRROR_UAPI_H
#define SAMPLES_HMM_EDU_MIRROR_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Size of the device's buffer, and so the limit of one request. */
#define EDU_MIRROR_MAX	2048

/**
 * struct edu_mirror_copy - memory of the caller, and the device's buffer
 * @addr: (in) first byte of the memory, any alignment
 * @len: (in) bytes, 1 to EDU_MIRROR_MAX
 * @retries: (out) transfers that were stopped and restarted, because the
 *	memory had changed
 * @iova: (out) the device's last address of a page of the memory
 */
struct edu_mirror_copy {
	__u64 addr;
	__u32 len;
	__u32 retries;
	__u64 iova;
};

/*
 * LOAD makes the device read the caller's memory into its buffer, STORE makes
 * it write its buffer to the caller's memory.
 *
 * REPLAY does what a driver must never do: it repeats the last transfer at its
 * old address, which is no longer mapped. It shows that the IOMMU stops it.
 */
#define EDU_MIRROR_LOAD		_IOWR('E', 0x00, struct edu_mirror_copy)
#define EDU_MIRROR_STORE	_IOWR('E', 0x01, struct edu_mirror_copy)
#define EDU_MIRROR_REPLAY	_IO('E', 0x02)

#endif /* SAMPLES_HMM_EDU_MIRROR_UAPI_H */
