/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a process says to /dev/edu_mirrorN.
 */
#ifndef SAMPLES_HMM_EDU_MIRROR_UAPI_H
#define SAMPLES_HMM_EDU_MIRROR_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* What the device's buffer holds, and so the most that one request moves. */
#define EDU_MIRROR_MAX	2048

/**
 * struct edu_mirror_copy - memory of the caller, and the device's buffer
 * @addr: (in) first byte of the memory, anywhere
 * @len: (in) bytes, 1 to EDU_MIRROR_MAX
 * @retries: (out) transfers that were stopped and begun anew, because the
 *	memory was changed under them
 * @iova: (out) where the device last saw a page of the memory
 */
struct edu_mirror_copy {
	__u64 addr;
	__u32 len;
	__u32 retries;
	__u64 iova;
};

/*
 * LOAD has the device read the caller's memory into its buffer, STORE has it
 * write its buffer to the caller's memory.
 *
 * REPLAY is what a driver must never do: it starts the last transfer once more,
 * at the address that it had, although nothing is mapped there any longer. It
 * is here to show that the IOMMU does not let it through.
 */
#define EDU_MIRROR_LOAD		_IOWR('E', 0x00, struct edu_mirror_copy)
#define EDU_MIRROR_STORE	_IOWR('E', 0x01, struct edu_mirror_copy)
#define EDU_MIRROR_REPLAY	_IO('E', 0x02)

#endif /* SAMPLES_HMM_EDU_MIRROR_UAPI_H */
