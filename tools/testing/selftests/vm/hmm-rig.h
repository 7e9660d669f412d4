/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of the dummy device: a device context with memory to
 * mirror, requests with their expected results, and settings of the machine.
 *
 * Every teardown unmaps the memory and checks that the device has no range and
 * no entry left. Tests compare the numbers of device faults and retries
 * exactly, so rig_main() turns off everything that invalidates memory on its
 * own.
 */
#ifndef SELFTESTS_VM_HMM_RIG_H
#define SELFTESTS_VM_HMM_RIG_H

#include "../kselftest_harness.h"

#include <signal.h>

#include "hmm-module.h"
#include "hmm-util.h"

#define NO_DEVICE	"no " HMM_NODE ", " HMM_MODULE ".ko not found"

/* Two huge pages; or enough small pages for several chunks of the device. */
#define LARGE_SIZE		(2 * HUGE)
#define SMALL_SIZE		(256 * PAGE)

#define NUMA_BALANCING		"/proc/sys/kernel/numa_balancing"

/*
 * Memory to mirror
 */

/**
 * struct kind - a kind of memory
 * @flags: for mmap()
 * @file: mapped from a tmpfs file
 * @thp: made of transparent huge pages
 * @level: page table level that a snapshot reports besides the access
 */
struct kind {
	int	flags;
	bool	file;
	bool	thp;
	uint8_t	level;
};

/* clang-format off */
#define KIND_ANON	{ .flags = MAP_PRIVATE | MAP_ANONYMOUS }
#define KIND_THP	{ .flags = MAP_PRIVATE | MAP_ANONYMOUS, .thp = true, \
			  .level = HMM_DMIRROR_PROT_PMD }
#define KIND_COPY	{ .flags = MAP_PRIVATE, .file = true }
#define KIND_SHARED	{ .flags = MAP_SHARED | MAP_ANONYMOUS }
#define KIND_FILE	{ .flags = MAP_SHARED, .file = true }
#define KIND_HUGETLB	{ .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, \
			  .level = HMM_DMIRROR_PROT_PMD }
/* clang-format on */

/**
 * struct rig - a device context and its memory
 * @kind: kind of the memory
 * @fd: the device
 * @file: file that is mapped, or -1
 * @base: reserved addresses; @ptr and @spare are inside, with reserved
 *	addresses on both sides
 * @ptr: the memory, aligned to a huge page
 * @size: size of the memory
 * @spare: addresses for a second mapping of this size
 * @buf: buffer for requests, of this size too
 * @data: expected content of the memory, of this size too
 * @cmd: the last request, with the device's results
 * @compute: the last COMPUTE request and its result
 * @stats: the last result of STATS
 */
struct rig {
	struct kind			kind;
	int				fd;
	int				file;
	char				*base;
	char				*ptr;
	size_t				size;
	char				*spare;
	char				*buf;
	char				*data;
	struct hmm_dmirror_cmd		cmd;
	struct hmm_dmirror_compute	compute;
	struct hmm_dmirror_stats	stats;
};

#define RESERVED	(2 * LARGE_SIZE + 4 * HUGE)

/* Of the current test's memory. */
#define SIZE		(self->r.size)
#define NPAGES		(SIZE / PAGE)
#define HALF		(SIZE / 2)
#define HALF_PAGES	(NPAGES / 2)

static inline bool is_shared(const struct rig *r)
{
	return r->kind.flags & MAP_SHARED;
}

/* Map fresh memory at r->ptr, replacing any mapping; 0 or -errno. */
static inline int rig_map(struct rig *r)
{
	int flags = r->kind.flags | MAP_FIXED;
	void *at;

	if (r->kind.file) {
		if (r->file >= 0)
			close(r->file);
		r->file = memfd_create("hmm-tests", MFD_CLOEXEC);
		if (r->file < 0 || ftruncate(r->file, r->size))
			return -errno;
	}
	at = mmap(r->ptr, r->size, FULL_ACCESS, flags, r->file, 0);
	if (at == MAP_FAILED)
		return -errno;
	if (r->kind.thp && madvise(r->ptr, r->size, MADV_HUGEPAGE))
		return -errno;
	return 0;
}

/* Return the reason why a test cannot run, from the result of rig_setup(). */
static inline const char *rig_missing(int err)
{
	if (err == -ENOENT)
		return NO_DEVICE;
	return err == -E2BIG ? TOO_HUGE : NULL;
}

static inline int rig_setup(struct rig *r, const struct kind *kind)
{
	if (kind->level && hmm_too_huge())
		return -E2BIG;
	r->kind = *kind;
	r->size = kind->level ? LARGE_SIZE : SMALL_SIZE;
	r->file = -1;
	r->fd = hmm_open(0);
	if (r->fd < 0)
		return r->fd;
	r->buf = malloc(r->size);
	r->data = malloc(r->size);
	r->base = mmap(NULL, RESERVED, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!r->buf || !r->data || r->base == MAP_FAILED)
		return -ENOMEM;
	r->ptr = hmm_huge_align(r->base + HUGE);
	r->spare = r->ptr + LARGE_SIZE + HUGE;
	return rig_map(r);
}

/* Return 0 if the device has neither ranges nor entries left. */
static inline int rig_teardown(struct rig *r)
{
	int err;

	if (munmap(r->base, RESERVED))
		return -errno;
	err = hmm_stats(r->fd, &r->stats);
	if (!err && (r->stats.ranges || r->stats.mapped))
		err = -EBUSY;
	if (close(r->fd))
		err = -errno;
	if (r->file >= 0)
		close(r->file);
	free(r->buf);
	free(r->data);
	return err;
}

/* Write new data to the memory, with the CPU. */
static inline void rig_fill(struct rig *r)
{
	hmm_fill(r->data, r->size);
	memcpy(r->ptr, r->data, r->size);
}

static inline bool is_zero(const char *buf, size_t size)
{
	return !buf[0] && !memcmp(buf, buf + 1, size - 1);
}

/* The number of pages of the last snapshot that are @prot. */
static inline size_t count_prot(const struct rig *r, uint8_t prot)
{
	size_t n = 0;

	for (size_t i = 0; i < r->cmd.cpages; i++)
		n += (uint8_t)r->buf[i] == prot;
	return n;
}

/* Discard memory, so that it reads as zeros. */
static inline int rig_discard(struct rig *r, void *addr, size_t size)
{
	int advice = is_shared(r) ? MADV_REMOVE : MADV_DONTNEED;

	return madvise(addr, size, advice) ? -errno : 0;
}

/*
 * Each request comes as two macros: one that must succeed, and one that must
 * fail with a given error. The names are short, as tests consist of them.
 */

#define request(_nr, _addr, _npages)					      \
	hmm_cmd(self->r.fd, HMM_DMIRROR_##_nr, _addr, self->r.buf, _npages,   \
		&self->r.cmd)

#define test_request(_nr, _addr, _npages) do {				      \
	ASSERT_EQ(0, request(_nr, _addr, _npages));			      \
	ASSERT_EQ(self->r.cmd.npages, self->r.cmd.cpages);		      \
} while (0)

#define test_read(_addr, _npages)     test_request(READ, _addr, _npages)
#define test_write(_addr, _npages)    test_request(WRITE, _addr, _npages)
#define test_snapshot(_addr, _npages) test_request(SNAPSHOT, _addr, _npages)

#define test_err_read(_err, _addr, _npages)				      \
	ASSERT_EQ(-(_err), request(READ, _addr, _npages))
#define test_err_write(_err, _addr, _npages)				      \
	ASSERT_EQ(-(_err), request(WRITE, _addr, _npages))

#define test_compute(_addr, _npages)					      \
	ASSERT_EQ(0, hmm_compute(self->r.fd, _addr, _npages, &self->r.compute))
#define test_err_compute(_err, _addr, _npages)				      \
	ASSERT_EQ(-(_err), hmm_compute(self->r.fd, _addr, _npages,	      \
				       &self->r.compute))

#define test_stats()	ASSERT_EQ(0, hmm_stats(self->r.fd, &self->r.stats))

/* Every page of the snapshot must be @_prot. */
#define test_all_prot(_prot, _addr, _npages) do {			      \
	test_snapshot(_addr, _npages);					      \
	ASSERT_EQ(self->r.cmd.cpages, count_prot(&self->r, _prot));	      \
} while (0)

/* The device must read @_data, the CPU's copy of the memory. */
#define test_sees(_addr, _data, _npages) do {				      \
	test_read(_addr, _npages);					      \
	ASSERT_EQ(0, memcmp(self->r.buf, _data, self->r.cmd.cpages * PAGE));  \
} while (0)

#define test_sees_zeros(_addr, _npages) do {				      \
	test_read(_addr, _npages);					      \
	ASSERT_TRUE(is_zero(self->r.buf, self->r.cmd.cpages * PAGE));	      \
} while (0)

/* Wait until the other side has written a byte or has closed the pipe. */
static inline void await(int fd)
{
	char c;

	while (read(fd, &c, 1) < 0 && errno == EINTR)
		;
}

/* Kill a child that runs @_call when it has written to the pipe @_out. */
#define test_killed(_out, _call, _microseconds) do {			      \
	int _in, _out, _pipes[2];					      \
	pid_t _pid;							      \
									      \
	ASSERT_EQ(0, pipe(_pipes));					      \
	_in = _pipes[0];						      \
	_out = _pipes[1];						      \
	_pid = fork();							      \
	ASSERT_LE(0, _pid);						      \
	if (!_pid)							      \
		_call;							      \
	close(_out);							      \
	await(_in);							      \
	close(_in);							      \
	usleep(_microseconds);						      \
	ASSERT_EQ(0, kill(_pid, SIGKILL));				      \
	ASSERT_EQ(256 + SIGKILL, hmm_wait_child(_pid));			      \
} while (0)

/* Settings of the machine */

/* Changed while the tests run. */
static struct knob {
	const char	*path;
	long		want;
	bool		at_least;
	long		old;
} knobs[] = {
	/* Unmaps pages from the device to detect their users */
	{ NUMA_BALANCING, 0, },
	/* Replaces pages by huge ones every ten seconds; make that an hour */
	{ "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
	  3600 * 1000 },
	/* A copy of each page, and some pages to move */
	{ "/proc/sys/vm/nr_hugepages", 16, .at_least = true },
};

/* A kernel without the setting does not need it. */
static inline void knob_set(struct knob *knob)
{
	FILE *file = fopen(knob->path, "re");

	knob->old = -1;
	if (!file)
		return;
	if (fscanf(file, "%ld", &knob->old) != 1 ||
	    (knob->at_least && knob->old >= knob->want))
		knob->old = -1;
	else if (hmm_write_number(knob->path, knob->want))
		ksft_print_msg("cannot set %s\n", knob->path);
	fclose(file);
}

static inline void knob_restore(struct knob *knob)
{
	if (knob->old >= 0 && hmm_write_number(knob->path, knob->old))
		ksft_print_msg("cannot set %s back\n", knob->path);
}

/* The main() of every program. */
static inline int rig_main(int argc, char **argv)
{
	bool list = argc == 2 && !strcmp(argv[1], "-l");
	size_t n = ARRAY_SIZE(knobs);
	int ret;

	/* Only list or skip the tests: leave the machine alone */
	if (list || !hmm_module_need(HMM_MODULE, HMM_NODE))
		n = 0;
	for (size_t i = 0; i < n; i++)
		knob_set(&knobs[i]);
	ret = test_harness_run(argc, argv);
	for (size_t i = 0; i < n; i++)
		knob_restore(&knobs[i]);
	return ret;
}

#endif /* SELFTESTS_VM_HMM_RIG_H */
