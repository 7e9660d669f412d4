/* SPDX-License-Identifier: GPL-2.0 */
/* Requests of hmm-compat-tests, which are the same for all of these drivers. */
#ifndef SELFTESTS_VM_COMPAT_UAPI_H
#define SELFTESTS_VM_COMPAT_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Largest number of pages of a buffer. */
#define COMPAT_MAX_PAGES	512

/**
 * struct compat_buffer - memory for the device to use, one buffer per file
 * @addr: (in) first byte, page aligned
 * @npages: (in) 1 to COMPAT_MAX_PAGES
 */
struct compat_buffer {
	__u64 addr;
	__u64 npages;
};

/**
 * struct compat_copy - let the device read or write the whole buffer
 * @ptr: (in) memory of the caller to read to, or to write from
 * @write: (in) 1 if the device writes the buffer, else 0
 * @faults: (out) number of device faults
 */
struct compat_copy {
	__u64 ptr;
	__u32 write;
	__u32 faults;
};

#define COMPAT_BUFFER	_IOW('C', 0x00, struct compat_buffer)
#define COMPAT_COPY	_IOWR('C', 0x01, struct compat_copy)

#endif /* SELFTESTS_VM_COMPAT_UAPI_H */
