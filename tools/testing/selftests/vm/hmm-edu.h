/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers of the programs that use the edu devices: requests to the sample
 * driver, which return 0 or -errno, and the IOMMU's reports in the kernel log.
 */
#ifndef SELFTESTS_VM_HMM_EDU_H
#define SELFTESTS_VM_HMM_EDU_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../../../samples/hmm/edu_mirror_uapi.h"

#include "hmm-util.h"

/* PCI slots of the devices in the test guest. */
#define EDU		"0000:00:10.0"	/* 28 address bits */
#define EDU_WIDE	"0000:00:11.0"	/* 40 address bits */

/* The slot of the device without an IOMMU; the boot line may name another. */
static inline const char *edu_open_slot(void)
{
	return getenv("HMM_EDU_OPEN") ?: "0000:41:00.0";
}

/*
 * Open the device in a PCI slot. The driver numbers devices in the order of
 * discovery, so a device has another number after a hot plug.
 */
static inline int edu_open(const char *slot)
{
	char path[64], target[256];

	for (unsigned int i = 0; i < 64; i++) {
		ssize_t len;
		int fd;

		snprintf(path, sizeof(path),
			 "/sys/class/misc/edu_mirror%u/device", i);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = '\0';
		if (strcmp(strrchr(target, '/') + 1, slot))
			continue;
		snprintf(path, sizeof(path), "/dev/edu_mirror%u", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

static inline int edu_copy(int fd, unsigned long request, const void *addr,
			   size_t len, struct edu_mirror_copy *copy)
{
	struct edu_mirror_copy mine;

	if (!copy)
		copy = &mine;
	*copy = (struct edu_mirror_copy){
		.addr = (uintptr_t)addr,
		.len = len,
	};
	return ioctl(fd, request, copy) ? -errno : 0;
}

/* The device reads memory into its buffer. */
static inline int edu_load(int fd, const void *addr, size_t len,
			   struct edu_mirror_copy *copy)
{
	return edu_copy(fd, EDU_MIRROR_LOAD, addr, len, copy);
}

/* The device writes its buffer to memory. */
static inline int edu_store(int fd, void *addr, size_t len,
			    struct edu_mirror_copy *copy)
{
	return edu_copy(fd, EDU_MIRROR_STORE, addr, len, copy);
}

/* Repeat the last transfer, whose mapping is gone; the IOMMU must stop it. */
static inline int edu_replay(int fd)
{
	return ioctl(fd, EDU_MIRROR_REPLAY) ? -errno : 0;
}

static inline bool edu_log(const char *what, const char *text)
{
	FILE *log = fopen("/dev/kmsg", "we");
	bool ok = log && fprintf(log, "%s: %s\n", what, text) > 0;

	return log && !fclose(log) && ok;
}

/* Wait, up to @seconds, for a new line of the log with @text. */
static inline bool edu_log_has(int log, const char *text, double seconds)
{
	double end = hmm_now() + seconds;
	char line[1024];

	while (hmm_now() < end) {
		ssize_t len = read(log, line, sizeof(line) - 1);

		if (len < 0) {
			usleep(1000);
			continue;
		}
		line[len] = '\0';
		/* Skip the test's own announcement of the line */
		if (strstr(line, text) && !strstr(line, "hmm-expect"))
			return true;
	}
	return false;
}

/*
 * The last transfer before edu_replay_faults() has this length: some IOMMUs
 * report a fault for each word, and print few of many reports.
 */
#define EDU_WORD	4

/**
 * struct edu_fault - the IOMMU's report of a fault
 * @text: in the line that the verdict looks for
 * @addr: in the line with the address, which may be another one
 */
struct edu_fault {
	const char *text;
	char addr[64];
};

static inline void edu_fault_at(struct edu_fault *fault, uint64_t iova)
{
	if (!access("/sys/class/iommu/dmar0", F_OK)) {
		/* Without the offset in the page */
		snprintf(fault->addr, sizeof(fault->addr),
			 "fault addr 0x%" PRIx64 " [", iova & ~(uint64_t)0xfff);
		fault->text = fault->addr;
	} else {
		/* An SMMU: the words of the event, each in a line */
		snprintf(fault->addr, sizeof(fault->addr), "0x%016" PRIx64,
			 iova);
		fault->text = "event 0x10 received";
	}
}

/*
 * Make the device repeat its last transfer, to an address that is no longer
 * mapped. Return true if the IOMMU has reported a fault at that address. Two
 * lines in the log mark the report as an expected one.
 */
static inline bool edu_replay_faults(int fd, uint64_t iova)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct edu_fault fault;
	bool seen = false;

	if (log < 0 || lseek(log, 0, SEEK_END) < 0)
		return false;
	edu_fault_at(&fault, iova);
	if (edu_log("hmm-expect", fault.text)) {
		seen = !edu_replay(fd) && edu_log_has(log, fault.addr, 60);
		seen &= edu_log("hmm-expect-end", fault.text);
	}
	close(log);
	return seen;
}

#endif /* SELFTESTS_VM_HMM_EDU_H */
