/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers of the programs that use the dummy device: its requests, the CPU's
 * results of the computations it does, content of memory, children and time.
 */
#ifndef SELFTESTS_VM_HMM_UTIL_H
#define SELFTESTS_VM_HMM_UTIL_H

#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>

#include "../../../../lib/test_hmm_uapi.h"

#include "hmm-pages.h"

#define HMM_MODULE	"test_hmm"
#define HMM_NODE	"/dev/hmm_dmirror0"

/* The limit of a test, long enough for a debug kernel under emulation. */
#define SECONDS		200

/*
 * Requests to the device. Each returns 0 or -errno.
 */

static inline int hmm_open(unsigned int unit)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", unit);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* READ, WRITE and SNAPSHOT. @cmd may be NULL. */
static inline int hmm_cmd(int fd, unsigned long request, const void *addr,
			  const void *buf, uint64_t npages,
			  struct hmm_dmirror_cmd *cmd)
{
	struct hmm_dmirror_cmd mine;

	if (!cmd)
		cmd = &mine;
	*cmd = (struct hmm_dmirror_cmd){
		.addr = (uintptr_t)addr,
		.ptr = (uintptr_t)buf,
		.npages = npages,
	};
	return ioctl(fd, request, cmd) ? -errno : 0;
}

static inline int hmm_compute(int fd, const void *addr, uint64_t npages,
			      struct hmm_dmirror_compute *compute)
{
	*compute = (struct hmm_dmirror_compute){
		.addr = (uintptr_t)addr,
		.npages = npages,
	};
	return ioctl(fd, HMM_DMIRROR_COMPUTE, compute) ? -errno : 0;
}

static inline int hmm_stats(int fd, struct hmm_dmirror_stats *stats)
{
	*stats = (struct hmm_dmirror_stats){};
	return ioctl(fd, HMM_DMIRROR_STATS, stats) ? -errno : 0;
}

static inline int hmm_flush(int fd, uint64_t ms,
			    struct hmm_dmirror_flush *flush)
{
	*flush = (struct hmm_dmirror_flush){ .ms = ms };
	return ioctl(fd, HMM_DMIRROR_FLUSH, flush) ? -errno : 0;
}

/*
 * The results of COMPUTE, computed by the CPU
 */

static inline uint64_t hmm_cpu_checksum(const void *buf, size_t size)
{
	const uint64_t *word = buf;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size / sizeof(*word); i++)
		hash = (hash ^ word[i]) * 0x100000001b3;
	return hash;
}

static inline uint64_t hmm_cpu_words(const void *buf, size_t size)
{
	const char *byte = buf;
	bool space = true;
	uint64_t words = 0;

	for (size_t i = 0; i < size; i++) {
		bool was_space = space;

		/* glibc's "C" locale, which programs start in: ASCII only */
		space = isspace((unsigned char)byte[i]);
		words += was_space && !space;
	}
	return words;
}

/* Wait for a child. Returns its exit status, or 256 plus the fatal signal. */
static inline int hmm_wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* Fill memory with words that no earlier call has used. */
static inline void hmm_fill(void *buf, size_t size)
{
	static uint64_t seed = 0x9e3779b97f4a7c15;
	uint64_t *word = buf;

	for (size_t i = 0; i < size / sizeof(*word); i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		word[i] = seed;
	}
}

/* Write to a file of the kernel's. Each returns 0 or -errno. */

static inline int hmm_write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static inline int hmm_write_number(const char *path, long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", number);
	return hmm_write_text(path, text);
}

/* Seconds of CLOCK_MONOTONIC. */
static inline double hmm_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

#endif /* SELFTESTS_VM_HMM_UTIL_H */
