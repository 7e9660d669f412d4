// SPDX-License-Identifier: GPL-2.0
/*
 * What a process sees of HMM, through the dummy device of lib/test_hmm.c.
 *
 * A fixture is a device context with some memory to mirror; its variants are
 * the kinds of memory. Every teardown unmaps the memory and then asks the
 * device what is left: nothing may be.
 *
 * Numbers of device faults and retries are compared exactly, so main() turns
 * off what invalidates memory of its own accord.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <glob.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "hmm-util.h"

/* Younger than the C library's headers of a stable distribution. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON	0x4000
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};

#define UFFDIO_POISON		_IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

#define PAGE			4096UL
#define HUGE			(2UL << 20)
/* Two huge pages; of small ones enough for several pieces of the device's. */
#define HUGE_SIZE		(2 * HUGE)
#define SMALL_SIZE		(256 * PAGE)
#define FULL_ACCESS		(PROT_READ | PROT_WRITE)

#define NUMA_BALANCING		"/proc/sys/kernel/numa_balancing"

/* A debug kernel under emulation is slow; what hangs, hangs for longer. */
#define SECONDS			200
/* How long a race is given to happen, and what it must have got done. */
#define STORM_SECONDS		0.4
#define STORM_ROUNDS		10

/*
 * Memory to mirror
 */

/**
 * struct kind - a kind of memory
 * @flags: of mmap()
 * @file: mapped from a tmpfs file
 * @thp: made of transparent huge pages
 * @level: what a snapshot says beside the access
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
 * @kind: of the memory
 * @fd: the device
 * @file: behind the memory, -1 if none
 * @base: all that was reserved; @ptr and @spare lie in it, with reserved
 *	addresses on both sides
 * @ptr: the memory, aligned to a huge page
 * @size: of the memory
 * @spare: room for as much again
 * @buf: the caller's buffer in requests, of this size too
 * @data: what the memory ought to hold, of this size too
 * @cmd: the last request, with the device's answers
 * @compute: the same for COMPUTE
 * @stats: the last answer to STATS
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

#define RESERVED	(2 * HUGE_SIZE + 4 * HUGE)

/* Of the memory of the test at hand. */
#define SIZE		(self->r.size)
#define NPAGES		(SIZE / PAGE)
#define HALF		(SIZE / 2)
#define HALF_PAGES	(NPAGES / 2)

static bool is_shared(const struct rig *r)
{
	return r->kind.flags & MAP_SHARED;
}

/* Maps fresh memory at r->ptr over what is there; 0 or -errno. */
static int rig_map(struct rig *r)
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

static int rig_setup(struct rig *r, const struct kind *kind)
{
	r->kind = *kind;
	r->size = kind->level ? HUGE_SIZE : SMALL_SIZE;
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
	r->ptr = (char *)(((uintptr_t)r->base + 2 * HUGE - 1) & ~(HUGE - 1));
	r->spare = r->ptr + HUGE_SIZE + HUGE;
	return rig_map(r);
}

/* The leak check: 0 if the device holds on to nothing. */
static int rig_teardown(struct rig *r)
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

/* The CPU writes the memory. */
static void rig_fill(struct rig *r)
{
	hmm_fill(r->data, r->size);
	memcpy(r->ptr, r->data, r->size);
}

/* The CPU reads a byte, whether its value is of use or not. */
static char cpu_read(const char *addr)
{
	return __atomic_load_n(addr, __ATOMIC_RELAXED);
}

static bool is_zero(const char *buf, size_t size)
{
	return !buf[0] && !memcmp(buf, buf + 1, size - 1);
}

/* How many pages of the last snapshot are @prot. */
static size_t count_prot(const struct rig *r, uint8_t prot)
{
	size_t n = 0;

	for (size_t i = 0; i < r->cmd.cpages; i++)
		n += (uint8_t)r->buf[i] == prot;
	return n;
}

/* Gives the memory back, so that it reads as zeros from now on. */
static int rig_discard(struct rig *r, void *addr, size_t size)
{
	int advice = is_shared(r) ? MADV_REMOVE : MADV_DONTNEED;

	return madvise(addr, size, advice) ? -errno : 0;
}

static int knob_write(const char *path, long value)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -errno;
	fprintf(file, "%ld\n", value);
	return fclose(file) ? -errno : 0;
}

/*
 * Each request in two forms: it works, or it fails as expected. Short names:
 * tests are made of these.
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

/* A snapshot in which every page is the same. */
#define test_all_prot(_prot, _addr, _npages) do {			      \
	test_snapshot(_addr, _npages);					      \
	ASSERT_EQ(self->r.cmd.cpages, count_prot(&self->r, _prot));	      \
} while (0)

/* The device sees @_data, the CPU's own copy of what is there. */
#define test_sees(_addr, _data, _npages) do {				      \
	test_read(_addr, _npages);					      \
	ASSERT_EQ(0, memcmp(self->r.buf, _data, self->r.cmd.cpages * PAGE));  \
} while (0)

#define test_sees_zeros(_addr, _npages) do {				      \
	test_read(_addr, _npages);					      \
	ASSERT_TRUE(is_zero(self->r.buf, self->r.cmd.cpages * PAGE));	      \
} while (0)

/*
 * Every kind of memory
 */

FIXTURE(mem)
{
	struct rig r;
};

FIXTURE_VARIANT(mem)
{
	struct kind kind;
};

/* clang-format off */
FIXTURE_VARIANT_ADD(mem, anon) { .kind = KIND_ANON, };
FIXTURE_VARIANT_ADD(mem, thp) { .kind = KIND_THP, };
FIXTURE_VARIANT_ADD(mem, file_private) { .kind = KIND_COPY, };
FIXTURE_VARIANT_ADD(mem, anon_shared) { .kind = KIND_SHARED, };
FIXTURE_VARIANT_ADD(mem, tmpfs) { .kind = KIND_FILE, };
FIXTURE_VARIANT_ADD(mem, hugetlb) { .kind = KIND_HUGETLB, };
/* clang-format on */

FIXTURE_SETUP(mem)
{
	ASSERT_EQ(0, rig_setup(&self->r, &variant->kind));
}

FIXTURE_TEARDOWN(mem)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

#define MEM_TEST(_name) TEST_F_TIMEOUT(mem, _name, SECONDS)

MEM_TEST(read_sees_cpu_data)
{
	rig_fill(&self->r);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

MEM_TEST(read_again_takes_no_fault)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	memset(self->r.buf, 0, SIZE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(0, self->r.cmd.faults);
	test_stats();
	EXPECT_EQ(1, self->r.stats.faults);
	EXPECT_EQ(NPAGES, self->r.stats.mapped);
}

MEM_TEST(read_brings_untouched_memory)
{
	test_sees_zeros(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
	EXPECT_TRUE(hmm_page_present(self->r.ptr));
	EXPECT_TRUE(hmm_page_present(self->r.ptr + SIZE - PAGE));
}

MEM_TEST(write_reaches_cpu)
{
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

MEM_TEST(write_reaches_file_if_shared)
{
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	if (!self->r.kind.file)
		return;
	ASSERT_EQ(SIZE, pread(self->r.file, self->r.data, SIZE, 0));
	/* Private, the file is as it was made */
	if (!is_shared(&self->r))
		memset(self->r.buf, 0, SIZE);
	EXPECT_EQ(0, memcmp(self->r.data, self->r.buf, SIZE));
}

MEM_TEST(write_leaves_neighbours)
{
	const size_t first = 61, n = 70;

	rig_fill(&self->r);
	hmm_fill(self->r.buf, n * PAGE);
	memcpy(self->r.data + first * PAGE, self->r.buf, n * PAGE);
	test_write(self->r.ptr + first * PAGE, n);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

/* Copies on write: the very range that is faulted is invalidated by it. */
MEM_TEST(write_after_read_copies_in_one_fault)
{
	test_sees_zeros(self->r.ptr, NPAGES);
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
	test_stats();
	EXPECT_EQ(0, self->r.stats.retries);
}

MEM_TEST(compute_is_the_cpus_answer)
{
	const struct { size_t first, npages; } span[] = {
		{ 0, NPAGES }, { 0, 1 }, { 5, 1 }, { 63, 2 }, { 1, 64 },
		{ 17, 200 }, { NPAGES - 1, 1 }, { HALF_PAGES - 3, 7 },
	};

	rig_fill(&self->r);
	/* Words that reach over the ends of pages and of a piece */
	memset(self->r.ptr + 3 * PAGE - 5, 'w', 10);
	memset(self->r.ptr + 64 * PAGE - 9, ' ', 9);
	memset(self->r.ptr + 70 * PAGE, '\n', 5 * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(span); i++) {
		char *addr = self->r.ptr + span[i].first * PAGE;
		size_t size = span[i].npages * PAGE;

		test_compute(addr, span[i].npages);
		EXPECT_EQ(span[i].npages, self->r.compute.cpages);
		EXPECT_EQ(hmm_cpu_checksum(addr, size),
			  self->r.compute.checksum);
		EXPECT_EQ(hmm_cpu_words(addr, size), self->r.compute.words);
		EXPECT_EQ(i == 0, self->r.compute.faults);
	}
}

MEM_TEST(compute_follows_changes_without_fault)
{
	uint64_t before;

	rig_fill(&self->r);
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.compute.faults);
	before = self->r.compute.checksum;

	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(0, self->r.compute.faults);
	EXPECT_EQ(before, self->r.compute.checksum);

	/* The same page, so nothing is invalidated */
	self->r.ptr[PAGE + 1] ^= 1;
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(0, self->r.compute.faults);
	EXPECT_NE(before, self->r.compute.checksum);
	EXPECT_EQ(hmm_cpu_checksum(self->r.ptr, SIZE),
		  self->r.compute.checksum);
}

MEM_TEST(compute_faults_only_what_is_missing)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, HALF));
	test_stats();
	EXPECT_EQ(NPAGES - HALF_PAGES, self->r.stats.mapped);
	EXPECT_EQ(HALF_PAGES, self->r.stats.dropped);
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.compute.faults);
	EXPECT_EQ(hmm_cpu_checksum(self->r.ptr, SIZE),
		  self->r.compute.checksum);
	/* The other half never went away */
	test_stats();
	EXPECT_EQ(HALF_PAGES, self->r.stats.dropped);
}

MEM_TEST(snapshot_writable)
{
	rig_fill(&self->r);
	test_all_prot(HMM_DMIRROR_PROT_WRITE | self->r.kind.level, self->r.ptr,
		      NPAGES);
}

MEM_TEST(snapshot_faults_nothing)
{
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	EXPECT_FALSE(hmm_page_present(self->r.ptr));
	EXPECT_FALSE(hmm_page_present(self->r.ptr + SIZE - PAGE));
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	EXPECT_EQ(0, self->r.cmd.faults);
}

MEM_TEST(snapshot_read_only)
{
	rig_fill(&self->r);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_READ));
	test_all_prot(HMM_DMIRROR_PROT_READ | self->r.kind.level, self->r.ptr,
		      NPAGES);
}

MEM_TEST(prot_none_is_refused)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_NONE));
	test_all_prot(HMM_DMIRROR_PROT_ERROR, self->r.ptr, NPAGES);
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_err_read(EFAULT, self->r.ptr + SIZE - PAGE, 1);
	test_err_write(EFAULT, self->r.ptr, NPAGES);
	test_err_compute(EFAULT, self->r.ptr, NPAGES);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, FULL_ACCESS));
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

MEM_TEST(write_to_read_only_is_refused)
{
	rig_fill(&self->r);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_READ));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	hmm_fill(self->r.buf, SIZE);
	test_err_write(EPERM, self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, FULL_ACCESS));
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

MEM_TEST(mprotect_takes_write_from_device)
{
	hmm_fill(self->r.buf, SIZE);
	memcpy(self->r.data, self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_READ));
	hmm_fill(self->r.buf, SIZE);
	test_err_write(EPERM, self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

MEM_TEST(hole_is_refused)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, munmap(self->r.ptr, HALF));
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_err_read(EFAULT, self->r.ptr + HALF - PAGE, 2);
	test_err_write(EFAULT, self->r.ptr, 1);
	test_err_compute(EFAULT, self->r.ptr, NPAGES);
	test_all_prot(HMM_DMIRROR_PROT_ERROR, self->r.ptr, HALF_PAGES);
	test_snapshot(self->r.ptr, NPAGES);
	EXPECT_EQ(HALF_PAGES, count_prot(&self->r, HMM_DMIRROR_PROT_ERROR));
	test_all_prot(HMM_DMIRROR_PROT_WRITE | self->r.kind.level,
		      self->r.ptr + HALF, HALF_PAGES);
	test_sees(self->r.ptr + HALF, self->r.data + HALF, HALF_PAGES);
}

MEM_TEST(new_mapping_is_seen)
{
	rig_fill(&self->r);
	test_compute(self->r.ptr, NPAGES);
	ASSERT_EQ(0, munmap(self->r.ptr, SIZE));
	test_stats();
	EXPECT_EQ(0, self->r.stats.mapped);
	EXPECT_EQ(NPAGES, self->r.stats.dropped);
	ASSERT_EQ(0, rig_map(&self->r));
	rig_fill(&self->r);
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.compute.faults);
	EXPECT_EQ(hmm_cpu_checksum(self->r.data, SIZE),
		  self->r.compute.checksum);
}

MEM_TEST(discarded_memory_is_zero)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, SIZE));
	test_sees_zeros(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

MEM_TEST(mremap_takes_it_along)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(self->r.spare,
		  mremap(self->r.ptr, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			 self->r.spare));
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_sees(self->r.spare, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

MEM_TEST(moved_to_another_node)
{
	int from, to;

	rig_fill(&self->r);
	from = hmm_page_node(self->r.ptr);
	ASSERT_LE(0, from);
	to = !from;
	if (access(to ? "/sys/devices/system/node/node1" :
			"/sys/devices/system/node/node0",
		   F_OK))
		SKIP(return, "machine has one NUMA node");
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(NPAGES, hmm_move_pages(self->r.ptr, NPAGES, to));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

/*
 * Children
 */

/* Waits until the other side has written a byte or is gone. */
static void await(int fd)
{
	char c;

	while (read(fd, &c, 1) < 0 && errno == EINTR)
		;
}

#define CHILDS_BYTE 0x5a

/* The child of fork_keeps_both_right: 0 if it sees what it should. */
static int check_in_child(struct rig *r)
{
	if (memcmp(r->ptr, is_shared(r) ? r->buf : r->data, r->size))
		return 1;
	/* Shared, the parent shall see it; else copied, and it shall not */
	memset(r->ptr, CHILDS_BYTE, r->size);
	return 0;
}

MEM_TEST(fork_keeps_both_right)
{
	int pipes[2];
	pid_t pid;

	rig_fill(&self->r);
	memcpy(self->r.buf, self->r.data, SIZE);
	test_write(self->r.ptr, NPAGES);
	/* Known to the child too, but not written yet */
	hmm_fill(self->r.buf, SIZE);
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(pipes[1]);
		await(pipes[0]);
		_exit(check_in_child(&self->r));
	}
	/* The device writes while the pages are shared with the child */
	test_write(self->r.ptr, NPAGES);
	test_stats();
	EXPECT_EQ(0, self->r.stats.retries);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, hmm_wait_child(pid));
	memcpy(self->r.data, self->r.buf, SIZE);
	if (is_shared(&self->r))
		memset(self->r.data, CHILDS_BYTE, SIZE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* A private mapping is shared read-only after fork(), for the device too. */
MEM_TEST(fork_takes_write_from_device)
{
	uint8_t want = is_shared(&self->r) ? HMM_DMIRROR_PROT_WRITE :
					     HMM_DMIRROR_PROT_READ;
	int pipes[2];
	pid_t pid;

	rig_fill(&self->r);
	test_write(self->r.ptr, NPAGES);
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(pipes[1]);
		await(pipes[0]);
		_exit(0);
	}
	test_all_prot(want | self->r.kind.level, self->r.ptr, NPAGES);
	close(pipes[1]);
	EXPECT_EQ(0, hmm_wait_child(pid));
}

/*
 * Memory that can be swapped out
 */

FIXTURE(swap)
{
	struct rig r;
};

FIXTURE_VARIANT(swap)
{
	struct kind kind;
};

FIXTURE_VARIANT_ADD(swap, anon) { .kind = KIND_ANON, };
FIXTURE_VARIANT_ADD(swap, thp) { .kind = KIND_THP, };
FIXTURE_VARIANT_ADD(swap, anon_shared) { .kind = KIND_SHARED, };
FIXTURE_VARIANT_ADD(swap, tmpfs) { .kind = KIND_FILE, };

FIXTURE_SETUP(swap)
{
	ASSERT_EQ(0, rig_setup(&self->r, &variant->kind));
}

FIXTURE_TEARDOWN(swap)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

#define SWAP_TEST(_name) TEST_F_TIMEOUT(swap, _name, SECONDS)

/* Out of memory, by pagemap and mincore(), and in swap, by smaps. */
#define test_swap_out() do {						      \
	ASSERT_EQ(NPAGES, hmm_swap_out(self->r.ptr, NPAGES));		      \
	ASSERT_EQ(SIZE / 1024, hmm_smaps(self->r.ptr, "Swap:"));	      \
} while (0)

SWAP_TEST(swapped_out_is_none)
{
	rig_fill(&self->r);
	test_swap_out();
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	ASSERT_EQ(SIZE / 1024, hmm_smaps(self->r.ptr, "Swap:"));
}

SWAP_TEST(read_swaps_in)
{
	rig_fill(&self->r);
	test_swap_out();
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

SWAP_TEST(write_swaps_in)
{
	rig_fill(&self->r);
	test_swap_out();
	hmm_fill(self->r.buf, PAGE);
	memcpy(self->r.data + 9 * PAGE, self->r.buf, PAGE);
	test_write(self->r.ptr + 9 * PAGE, 1);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

SWAP_TEST(swap_out_takes_pages_from_device)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	test_swap_out();
	test_stats();
	EXPECT_EQ(0, self->r.stats.mapped);
	EXPECT_EQ(NPAGES, self->r.stats.dropped);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* What only the device wrote must be as dirty as what the CPU wrote. */
SWAP_TEST(device_write_survives_swap)
{
	/* Mapped by read faults of the CPU, hence clean where writable */
	for (size_t i = 0; i < SIZE; i += PAGE)
		ASSERT_EQ(0, cpu_read(self->r.ptr + i));
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	test_swap_out();
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));

	test_swap_out();
	test_read(self->r.ptr, NPAGES);
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	test_swap_out();
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

/* Reclaim drops what MADV_FREE has named, unless somebody made it dirty. */
SWAP_TEST(device_write_survives_madv_free)
{
	rig_fill(&self->r);
	/* Shared memory cannot be freed like that, so it is only written */
	ASSERT_EQ(is_shared(&self->r) ? -1 : 0,
		  madvise(self->r.ptr, SIZE, MADV_FREE));
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	ASSERT_EQ(NPAGES, hmm_swap_out(self->r.ptr, NPAGES));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

/*
 * Huge pages made and split
 */

FIXTURE(thp)
{
	struct rig r;
};

FIXTURE_SETUP(thp)
{
	static const struct kind kind = KIND_THP;

	ASSERT_EQ(0, rig_setup(&self->r, &kind));
	rig_fill(&self->r);
	ASSERT_EQ(SIZE / 1024, hmm_smaps(self->r.ptr, "AnonHugePages:"));
	test_all_prot(HMM_DMIRROR_PROT_WRITE | HMM_DMIRROR_PROT_PMD,
		      self->r.ptr, NPAGES);
	test_read(self->r.ptr, NPAGES);
}

FIXTURE_TEARDOWN(thp)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

#define THP_TEST(_name) TEST_F_TIMEOUT(thp, _name, SECONDS)

/* The first huge page is split, the second is as it was. */
#define test_first_is_split() do {					      \
	test_snapshot(self->r.ptr, NPAGES);				      \
	for (size_t _i = 0; _i < NPAGES; _i++)				      \
		ASSERT_EQ(_i >= HALF_PAGES,				      \
			  !!(self->r.buf[_i] & HMM_DMIRROR_PROT_PMD));	      \
} while (0)

THP_TEST(mprotect_splits)
{
	char *page = self->r.ptr + 100 * PAGE;

	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	test_first_is_split();
	EXPECT_EQ(1, count_prot(&self->r, HMM_DMIRROR_PROT_READ));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	test_err_write(EPERM, page, 1);
	test_write(page + PAGE, 1);
}

THP_TEST(munmap_splits)
{
	char *page = self->r.ptr + 100 * PAGE;

	ASSERT_EQ(0, munmap(page, PAGE));
	test_snapshot(self->r.ptr, HALF_PAGES);
	EXPECT_EQ(1, count_prot(&self->r, HMM_DMIRROR_PROT_ERROR));
	EXPECT_EQ(HALF_PAGES - 1, count_prot(&self->r, HMM_DMIRROR_PROT_WRITE));
	test_err_read(EFAULT, page, 1);
	test_sees(self->r.ptr, self->r.data, 100);
	test_sees(page + PAGE, self->r.data + 101 * PAGE, NPAGES - 101);
}

THP_TEST(discard_splits)
{
	char *page = self->r.ptr + 100 * PAGE;

	ASSERT_EQ(0, madvise(page, PAGE, MADV_DONTNEED));
	memset(self->r.data + 100 * PAGE, 0, PAGE);
	test_snapshot(self->r.ptr, HALF_PAGES);
	EXPECT_EQ(1, count_prot(&self->r, HMM_DMIRROR_PROT_NONE));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	test_first_is_split();
}

THP_TEST(collapse_is_seen)
{
	/* Split by mapping, then all of one access again */
	ASSERT_EQ(0, mprotect(self->r.ptr + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->r.ptr + PAGE, PAGE, FULL_ACCESS));
	test_read(self->r.ptr, NPAGES);
	test_first_is_split();
	ASSERT_EQ(0, madvise(self->r.ptr, HUGE, MADV_COLLAPSE));
	test_snapshot(self->r.ptr, NPAGES);
	EXPECT_EQ(NPAGES, count_prot(&self->r, HMM_DMIRROR_PROT_PMD |
					       HMM_DMIRROR_PROT_WRITE));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

/*
 * Anonymous memory in peculiar states, mappings of other kinds, requests that
 * are wrong: one device context without variants
 */

FIXTURE(device)
{
	struct rig r;
};

FIXTURE_SETUP(device)
{
	static const struct kind kind = KIND_ANON;

	ASSERT_EQ(0, rig_setup(&self->r, &kind));
}

FIXTURE_TEARDOWN(device)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

#define DEVICE_TEST(_name) TEST_F_TIMEOUT(device, _name, SECONDS)

DEVICE_TEST(zero_page)
{
	for (size_t i = 0; i < SIZE; i += PAGE)
		ASSERT_EQ(0, cpu_read(self->r.ptr + i));
	test_all_prot(HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ,
		      self->r.ptr, NPAGES);
	test_sees_zeros(self->r.ptr, NPAGES);
	hmm_fill(self->r.buf, PAGE);
	test_write(self->r.ptr + PAGE, 1);
	EXPECT_EQ(1, self->r.cmd.faults);
	EXPECT_EQ(0, memcmp(self->r.ptr + PAGE, self->r.buf, PAGE));
	EXPECT_TRUE(is_zero(self->r.ptr, PAGE));
	EXPECT_TRUE(is_zero(self->r.ptr + 2 * PAGE, PAGE));
	test_all_prot(HMM_DMIRROR_PROT_WRITE, self->r.ptr + PAGE, 1);
}

DEVICE_TEST(snapshot_tells_pages_apart)
{
	static const uint8_t want[] = {
		HMM_DMIRROR_PROT_NONE,
		HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ,
		HMM_DMIRROR_PROT_READ,
		HMM_DMIRROR_PROT_WRITE,
		HMM_DMIRROR_PROT_ERROR,		/* without access */
		HMM_DMIRROR_PROT_ERROR,		/* nothing mapped */
		HMM_DMIRROR_PROT_NONE,
	};
	char *p = self->r.ptr;

	ASSERT_EQ(0, cpu_read(p + PAGE));
	p[2 * PAGE] = 1;
	p[3 * PAGE] = 1;
	p[4 * PAGE] = 1;
	ASSERT_EQ(0, mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(p + 4 * PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(0, munmap(p + 5 * PAGE, PAGE));
	test_snapshot(p, ARRAY_SIZE(want));
	EXPECT_EQ(0, memcmp(want, self->r.buf, sizeof(want)));
}

/* One page that refuses spoils the request, not the next request. */
DEVICE_TEST(write_to_mixed_access_is_refused)
{
	rig_fill(&self->r);
	memcpy(self->r.buf, self->r.data, SIZE);
	ASSERT_EQ(0, mprotect(self->r.ptr + 2 * PAGE, PAGE, PROT_READ));
	test_err_write(EPERM, self->r.ptr, 4);
	test_err_write(EPERM, self->r.ptr + 2 * PAGE, 1);
	test_write(self->r.ptr, 2);
	test_write(self->r.ptr + 3 * PAGE, 1);
	memcpy(self->r.data + 3 * PAGE, self->r.buf, PAGE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* What the kernel and the CPU have there is nobody's to read. */
DEVICE_TEST(kernel_addresses_are_refused)
{
	static const uint64_t address[] = {
		0x00007ffffffff000, 0x0000800000000000, 0xffff888000000000,
		0xffffea0000000000, 0xffffffff81000000, 0xffffffffff600000,
		0xffffffffffffe000,
	};

	for (size_t i = 0; i < ARRAY_SIZE(address); i++) {
		void *addr = (void *)address[i];

		test_all_prot(HMM_DMIRROR_PROT_ERROR, addr, 1);
		test_err_read(EFAULT, addr, 1);
		test_err_write(EFAULT, addr, 1);
		test_err_compute(EFAULT, addr, 1);
	}
}

/*
 * More entries than the device drops without a pause, in all and in part. The
 * kernel invalidates all of a huge page's span at the edges of an munmap(), so
 * these are aligned.
 */
DEVICE_TEST(large_span_is_dropped)
{
	const size_t part = HUGE / PAGE, npages = 20 * part, gone = 18 * part;
	const size_t size = npages * PAGE + HUGE;
	char *base = mmap(NULL, size, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *ptr = (char *)(((uintptr_t)base + HUGE - 1) & ~(HUGE - 1));

	ASSERT_NE(MAP_FAILED, base);
	test_compute(ptr, npages);
	test_stats();
	EXPECT_EQ(npages, self->r.stats.mapped);
	ASSERT_EQ(0, munmap(ptr + HUGE, gone * PAGE));
	test_stats();
	EXPECT_EQ(npages - gone, self->r.stats.mapped);
	EXPECT_EQ(gone, self->r.stats.dropped);
	test_compute(ptr, part);
	EXPECT_EQ(0, self->r.compute.faults);
	ASSERT_EQ(0, munmap(base, size));
	test_stats();
	EXPECT_EQ(0, self->r.stats.mapped);
	EXPECT_EQ(npages, self->r.stats.dropped);
}

static int protect_zero(char *zero)
{
	return mprotect(zero, PAGE, PROT_READ);
}

/* Entries that NUMA balancing has changed, in all processes. */
static long numa_updates(void)
{
	FILE *vmstat = fopen("/proc/vmstat", "re");
	char line[256];
	long n = -1;

	while (vmstat && n < 0 && fgets(line, sizeof(line), vmstat))
		sscanf(line, "numa_pte_updates %ld", &n);
	if (vmstat)
		fclose(vmstat);
	return n;
}

/*
 * The second page is on the other node, so it is changed. Scans begin at
 * address 0, and come by the CPU time that a process uses.
 */
static int scan_zero(char *zero)
{
	double end = hmm_now() + 60;
	long was = numa_updates();
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	zero[PAGE] = 1;
	if (sched_setaffinity(0, sizeof(first), &first) ||
	    hmm_move_pages(zero + PAGE, 1, 1) != 1 ||
	    knob_write(NUMA_BALANCING, 1))
		return -1;
	while (numa_updates() == was && hmm_now() < end)
		for (int i = 0; i < 1000 * 1000; i++)
			__atomic_store_n(zero, 1, __ATOMIC_RELAXED);
	return knob_write(NUMA_BALANCING, 0) || numa_updates() <= was;
}

/* In the child: memory at address 0 changes, other memory is to be read. */
static int read_beside_zero(struct rig *r, int (*change)(char *zero))
{
	char *zero = mmap(NULL, 2 * PAGE, FULL_ACCESS,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	const size_t npages = r->size / PAGE;
	int fd = hmm_open(0);

	if (zero == MAP_FAILED || fd < 0)
		return 1;
	__atomic_store_n(zero, 1, __ATOMIC_RELAXED);
	if (hmm_cmd(fd, HMM_DMIRROR_READ, r->ptr, r->buf, npages, NULL))
		return 2;
	if (change(zero) || mprotect(r->ptr, PAGE, PROT_READ) ||
	    mprotect(r->ptr, PAGE, FULL_ACCESS))
		return 3;
	/* What does not wait for ever is done by then */
	alarm(60);
	if (hmm_cmd(fd, HMM_DMIRROR_READ, r->ptr, r->buf, npages, NULL) ||
	    memcmp(r->buf, r->data, r->size))
		return 4;
	if (hmm_cmd(fd, HMM_DMIRROR_READ, zero, r->buf, 2, NULL) ||
	    r->buf[0] != 1)
		return 5;
	return 0;
}

/* A kernel that forgets the end of that change lets a device wait for ever. */
#define test_zero_changes(_change) do {					      \
	pid_t _pid;							      \
									      \
	rig_fill(&self->r);						      \
	_pid = fork();							      \
	ASSERT_LE(0, _pid);						      \
	if (!_pid)							      \
		_exit(read_beside_zero(&self->r, _change));		      \
	EXPECT_EQ(0, hmm_wait_child(_pid));				      \
} while (0)

DEVICE_TEST(memory_at_address_zero_changes)
{
	test_zero_changes(protect_zero);
}

DEVICE_TEST(memory_at_address_zero_is_scanned)
{
	test_zero_changes(scan_zero);
}

/* Finds a mapping of this process by its name; NULL if there is none. */
static char *find_mapping(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start = 0;
	char line[512];

	while (maps && !start && fgets(line, sizeof(line), maps))
		if (strstr(line, name))
			start = strtoul(line, NULL, 16);
	if (maps)
		fclose(maps);
	return (char *)start;
}

DEVICE_TEST(vdso_can_be_read)
{
	char *vdso = find_mapping("[vdso]");

	ASSERT_NE(NULL, vdso);
	test_sees(vdso, vdso, 1);
	test_all_prot(HMM_DMIRROR_PROT_READ, vdso, 1);
	test_err_write(EPERM, vdso, 1);
	/* It stays mapped, so the context that has it must go */
	ASSERT_EQ(0, close(self->r.fd));
	self->r.fd = hmm_open(0);
	ASSERT_LE(0, self->r.fd);
}

/* Memory that the kernel itself has no way to. */
DEVICE_TEST(secret_memory_is_refused)
{
	int fd = syscall(SYS_memfd_secret, 0);
	char *secret;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	secret = mmap(NULL, PAGE, FULL_ACCESS, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, secret);
	*secret = 's';
	test_all_prot(HMM_DMIRROR_PROT_ERROR, secret, 1);
	test_err_read(EFAULT, secret, 1);
	test_err_write(EFAULT, secret, 1);
	test_err_compute(EFAULT, secret, 1);
	EXPECT_EQ(-ENOENT, hmm_cmd(self->r.fd, HMM_DMIRROR_MIGRATE_TO_DEV,
				   secret, self->r.buf, 1, NULL));
	EXPECT_EQ('s', cpu_read(secret));
	ASSERT_EQ(0, munmap(secret, PAGE));
	ASSERT_EQ(0, close(fd));
}

/* The registers of some PCI device: an edu where harness/guest/boot.sh boots. */
static char *map_registers(void)
{
	char *map = MAP_FAILED;
	glob_t found;

	if (glob("/sys/bus/pci/devices/*/resource0", 0, NULL, &found))
		return MAP_FAILED;
	for (size_t i = 0; map == MAP_FAILED && i < found.gl_pathc; i++) {
		int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
	}
	globfree(&found);
	return map;
}

/* No struct page is behind it: VM_PFNMAP and VM_IO. */
DEVICE_TEST(pfn_mapping_is_refused)
{
	char *registers = map_registers();

	ASSERT_NE(MAP_FAILED, registers);
	test_all_prot(HMM_DMIRROR_PROT_ERROR, registers, 1);
	test_err_read(EFAULT, registers, 1);
	test_err_compute(EFAULT, registers, 1);
	ASSERT_EQ(0, munmap(registers, PAGE));
}

DEVICE_TEST(mixed_map_is_memory)
{
	char *map =
		mmap(NULL, 8 * PAGE, FULL_ACCESS, MAP_SHARED, self->r.fd, 0);

	ASSERT_NE(MAP_FAILED, map);
	hmm_fill(map, 8 * PAGE);
	test_all_prot(HMM_DMIRROR_PROT_WRITE, map, 8);
	test_sees(map, map, 8);
	hmm_fill(self->r.buf, 8 * PAGE);
	test_write(map, 8);
	EXPECT_EQ(0, memcmp(map, self->r.buf, 8 * PAGE));
	ASSERT_EQ(0, munmap(map, 8 * PAGE));

	map = mmap(NULL, PAGE, FULL_ACCESS, MAP_PRIVATE, self->r.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	test_all_prot(HMM_DMIRROR_PROT_READ, map, 1);
	test_sees_zeros(map, 1);
	ASSERT_EQ(0, munmap(map, PAGE));
}

/* A poisoned page is reported to who had it; this process knows already. */
static void ignore_poison(int signal)
{
}

DEVICE_TEST(poisoned_page_is_refused)
{
	char *page = self->r.ptr + 3 * PAGE;

	ASSERT_NE(SIG_ERR, signal(SIGBUS, ignore_poison));
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	if (madvise(page, PAGE, MADV_HWPOISON)) {
		ASSERT_EQ(EINVAL, errno);
		SKIP(return, "kernel without MEMORY_FAILURE");
	}
	test_err_read(EFAULT, page, 1);
	test_err_write(EFAULT, page, 1);
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_all_prot(HMM_DMIRROR_PROT_ERROR, page, 1);
	test_sees(self->r.ptr, self->r.data, 3);
	test_sees(page + PAGE, self->r.data + 4 * PAGE, NPAGES - 4);
	signal(SIGBUS, SIG_DFL);
}

/*
 * userfaultfd
 */

/* Returns a userfaultfd, -EOPNOTSUPP where the kernel lacks it or @features. */
static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int err, fd;

	if (access("/proc/sys/vm/unprivileged_userfaultfd", F_OK))
		return -EOPNOTSUPP;
	fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (!ioctl(fd, UFFDIO_API, &api))
		return fd;
	err = errno == EINVAL ? -EOPNOTSUPP : -errno;
	close(fd);
	return err;
}

static int uffd_register(int fd, void *addr, size_t size, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = size },
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

static int uffd_write_protect(int fd, void *addr, size_t size)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)addr, .len = size },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

/**
 * struct server - a thread that answers a userfaultfd
 * @thread: it
 * @uffd: what it answers
 * @stop: pipe; it ends when a byte or the end of file comes
 * @r: missing pages of r->ptr get the content of r->data
 * @served: pages brought or made writable so far; counted before whoever
 *	waits for them can go on
 * @failed: one of them was not; kept until the end
 */
struct server {
	pthread_t	thread;
	int		uffd;
	int		stop[2];
	struct rig	*r;
	size_t		served;
	int		failed;
};

static void serve_fault(struct server *server, uint64_t addr, bool wp)
{
	struct uffdio_writeprotect writable = {
		.range = { .start = addr, .len = PAGE },
	};
	struct uffdio_copy copy = {
		.dst = addr,
		.len = PAGE,
		.src = (uintptr_t)server->r->data + addr -
		       (uintptr_t)server->r->ptr,
	};

	__atomic_add_fetch(&server->served, 1, __ATOMIC_RELEASE);
	if (ioctl(server->uffd, wp ? UFFDIO_WRITEPROTECT : UFFDIO_COPY,
		  wp ? (void *)&writable : &copy))
		server->failed = -errno;
}

static void *serve(void *arg)
{
	struct server *server = arg;
	struct pollfd polls[] = {
		{ .fd = server->uffd, .events = POLLIN },
		{ .fd = server->stop[0], .events = POLLIN },
	};
	struct uffd_msg msg;

	while (poll(polls, 2, -1) > 0 && !polls[1].revents) {
		if (read(server->uffd, &msg, sizeof(msg)) != sizeof(msg) ||
		    msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		serve_fault(server, msg.arg.pagefault.address & ~(PAGE - 1),
			    msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP);
	}
	return NULL;
}

static int server_start(struct server *server, struct rig *r, int uffd)
{
	*server = (struct server){ .uffd = uffd, .r = r };
	if (pipe(server->stop))
		return -errno;
	return -pthread_create(&server->thread, NULL, serve, server);
}

static size_t served(const struct server *server)
{
	return __atomic_load_n(&server->served, __ATOMIC_ACQUIRE);
}

static int server_stop(struct server *server)
{
	int err;

	close(server->stop[1]);
	err = -pthread_join(server->thread, NULL);
	return err ?: server->failed;
}

DEVICE_TEST(uffd_serves_device)
{
	int uffd = uffd_open(0);
	struct server server;

	if (uffd == -EOPNOTSUPP)
		SKIP(return, "kernel without this userfaultfd");
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, uffd_register(uffd, self->r.ptr, SIZE,
				   UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, server_start(&server, &self->r, uffd));
	hmm_fill(self->r.data, SIZE);

	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	EXPECT_EQ(0, served(&server));
	test_sees(self->r.ptr, self->r.data, 100);
	EXPECT_EQ(1, self->r.cmd.faults);
	EXPECT_EQ(100, served(&server));
	hmm_fill(self->r.buf, 10 * PAGE);
	test_write(self->r.ptr + 95 * PAGE, 10);
	EXPECT_EQ(105, served(&server));
	EXPECT_EQ(0, memcmp(self->r.ptr + 95 * PAGE, self->r.buf, 10 * PAGE));
	EXPECT_EQ(0, server_stop(&server));
	close(uffd);
}

DEVICE_TEST(uffd_lets_device_write)
{
	int uffd = uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	struct server server;

	if (uffd == -EOPNOTSUPP)
		SKIP(return, "kernel without this userfaultfd");
	ASSERT_LE(0, uffd);
	rig_fill(&self->r);
	memcpy(self->r.buf, self->r.data, SIZE);
	test_write(self->r.ptr, NPAGES);
	ASSERT_EQ(0, uffd_register(uffd, self->r.ptr, SIZE,
				   UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, uffd_write_protect(uffd, self->r.ptr, SIZE));
	ASSERT_EQ(0, server_start(&server, &self->r, uffd));

	test_all_prot(HMM_DMIRROR_PROT_READ, self->r.ptr, NPAGES);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(0, served(&server));
	hmm_fill(self->r.buf, 10 * PAGE);
	test_write(self->r.ptr, 10);
	EXPECT_EQ(10, served(&server));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, 10 * PAGE));
	test_all_prot(HMM_DMIRROR_PROT_READ, self->r.ptr + 10 * PAGE,
		      NPAGES - 10);
	EXPECT_EQ(0, server_stop(&server));
	close(uffd);
}

/* Zapped shared memory remembers its write protection in a marker. */
DEVICE_TEST(uffd_wp_marker_is_none)
{
	int uffd = uffd_open(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);

	if (uffd == -EOPNOTSUPP)
		SKIP(return, "kernel without this userfaultfd");
	ASSERT_LE(0, uffd);
	self->r.kind = (struct kind)KIND_SHARED;
	ASSERT_EQ(0, rig_map(&self->r));
	rig_fill(&self->r);
	ASSERT_EQ(0, uffd_register(uffd, self->r.ptr, SIZE,
				   UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, uffd_write_protect(uffd, self->r.ptr, SIZE));
	ASSERT_EQ(0, madvise(self->r.ptr, SIZE, MADV_DONTNEED));
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	/* Still protected: the marker was not lost on the way */
	test_all_prot(HMM_DMIRROR_PROT_READ, self->r.ptr, NPAGES);
	close(uffd);
}

DEVICE_TEST(uffd_poison_marker_is_refused)
{
	struct uffdio_poison poison = {
		.range = { .start = (uintptr_t)self->r.ptr, .len = PAGE },
	};
	int uffd = uffd_open(UFFD_FEATURE_POISON);

	if (uffd == -EOPNOTSUPP)
		SKIP(return, "kernel without this userfaultfd");
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, uffd_register(uffd, self->r.ptr, SIZE,
				   UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_POISON, &poison));
	test_all_prot(HMM_DMIRROR_PROT_ERROR, self->r.ptr, 1);
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr + PAGE, 1);
	test_err_read(EFAULT, self->r.ptr, 1);
	test_err_write(EFAULT, self->r.ptr, 1);
	close(uffd);
}

/* The child of uffd_without_answer_can_be_killed: waits for nobody. */
static void read_unanswered(struct rig *r, int out)
{
	int uffd = uffd_open(0);

	r->fd = hmm_open(0);
	if (r->fd < 0 || uffd < 0 ||
	    uffd_register(uffd, r->ptr, r->size,
			  UFFDIO_REGISTER_MODE_MISSING) ||
	    write(out, "", 1) != 1)
		_exit(1);
	hmm_cmd(r->fd, HMM_DMIRROR_READ, r->ptr, r->buf, r->size / PAGE, NULL);
	_exit(2);
}

DEVICE_TEST(uffd_without_answer_can_be_killed)
{
	int uffd = uffd_open(0);

	if (uffd == -EOPNOTSUPP)
		SKIP(return, "kernel without this userfaultfd");
	ASSERT_LE(0, uffd);
	close(uffd);
	for (unsigned int i = 0; i < 5; i++) {
		int pipes[2];
		pid_t pid;

		ASSERT_EQ(0, pipe(pipes));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			read_unanswered(&self->r, pipes[1]);
		close(pipes[1]);
		await(pipes[0]);
		close(pipes[0]);
		usleep(20000 * i);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(256 + SIGKILL, hmm_wait_child(pid));
	}
}

/*
 * Who may use the device, and how not to ask
 */

/* Every request there is that takes a span. */
static const unsigned int span_requests[] = {
	HMM_DMIRROR_READ, HMM_DMIRROR_WRITE, HMM_DMIRROR_SNAPSHOT,
	HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_MIGRATE_TO_SYS,
	HMM_DMIRROR_EXCLUSIVE, HMM_DMIRROR_CHECK_EXCLUSIVE,
	HMM_DMIRROR_RELEASE, HMM_DMIRROR_COMPUTE,
};

/* Both kinds of argument, told apart by the request. */
union argument {
	struct hmm_dmirror_cmd		cmd;
	struct hmm_dmirror_compute	compute;
	char				room[256];
};

static union argument argument_for(unsigned int request, const struct rig *r,
				   uint64_t addr, uint64_t npages)
{
	union argument arg = {};

	if (request == HMM_DMIRROR_COMPUTE) {
		arg.compute.addr = addr;
		arg.compute.npages = npages;
	} else {
		arg.cmd.addr = addr;
		arg.cmd.npages = npages;
		arg.cmd.ptr = (uintptr_t)r->buf;
	}
	return arg;
}

#define test_err_span(_err, _addr, _npages) do {			      \
	for (size_t _i = 0; _i < ARRAY_SIZE(span_requests); _i++) {	      \
		union argument _arg = argument_for(span_requests[_i],	      \
					&self->r, _addr, _npages);	      \
									      \
		ASSERT_EQ(-1, ioctl(self->r.fd, span_requests[_i], &_arg)) {  \
			TH_LOG("request %#x", span_requests[_i]);	      \
		}							      \
		ASSERT_EQ(_err, errno) {				      \
			TH_LOG("request %#x", span_requests[_i]);	      \
		}							      \
	}								      \
} while (0)

DEVICE_TEST(bad_spans)
{
	uint64_t addr = (uintptr_t)self->r.ptr;

	test_err_span(EINVAL, addr + 1, 1);
	test_err_span(EINVAL, addr + PAGE - 1, 1);
	test_err_span(EINVAL, addr, 0);
	test_err_span(EINVAL, addr, 1ULL << 52);
	test_err_span(EINVAL, addr, ~0ULL);
	test_err_span(EINVAL, addr, (1ULL << 52) + 1);
	test_err_span(EINVAL, addr, (-addr) / PAGE);
	test_err_span(EINVAL, -PAGE, 1);
	test_err_span(EINVAL, -PAGE, 2);
}

DEVICE_TEST(bad_requests)
{
	union argument arg = argument_for(HMM_DMIRROR_READ, &self->r,
					  (uintptr_t)self->r.ptr, 1);
	unsigned int bad[] = {
		_IOWR('H', 0x0a, struct hmm_dmirror_cmd),
		_IOWR('H', 0x7f, struct hmm_dmirror_cmd),
		_IOWR('H', 0x82, struct hmm_dmirror_cmd),
		_IOWR('H', 0xff, struct hmm_dmirror_cmd),
		_IOWR('I', 0x00, struct hmm_dmirror_cmd),
		_IOR('H', 0x00, struct hmm_dmirror_cmd),
		_IOW('H', 0x00, struct hmm_dmirror_cmd),
		_IO('H', 0x00),
		_IOWR('H', 0x00, char[32]),
		_IOWR('H', 0x00, char[48]),
		_IOWR('H', 0x04, char[39]),
		_IOWR('H', 0x80, struct hmm_dmirror_cmd),
		_IOWR('H', 0x81, char[72]),
		_IOWR('H', 0x81, char[256]),
		0,
		~0U,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(-1, ioctl(self->r.fd, bad[i], &arg))
		{
			TH_LOG("request %#x", bad[i]);
		}
		ASSERT_EQ(EINVAL, errno)
		{
			TH_LOG("request %#x", bad[i]);
		}
	}
}

DEVICE_TEST(reserved_words_are_zero)
{
	struct hmm_dmirror_compute compute = {
		.addr = (uintptr_t)self->r.ptr,
		.npages = 1,
	};
	struct hmm_dmirror_stats stats = {};

	for (size_t i = 0; i < ARRAY_SIZE(compute.reserved); i++) {
		compute.reserved[i] = 1ULL << 63;
		ASSERT_EQ(-1, ioctl(self->r.fd, HMM_DMIRROR_COMPUTE, &compute));
		EXPECT_EQ(EINVAL, errno);
		compute.reserved[i] = 0;
	}
	EXPECT_EQ(0, ioctl(self->r.fd, HMM_DMIRROR_COMPUTE, &compute));
	stats.reserved = 1;
	ASSERT_EQ(-1, ioctl(self->r.fd, HMM_DMIRROR_STATS, &stats));
	EXPECT_EQ(EINVAL, errno);
	memset(&stats, 0xff, sizeof(stats));
	stats.reserved = 0;
	ASSERT_EQ(0, ioctl(self->r.fd, HMM_DMIRROR_STATS, &stats));
	EXPECT_EQ(0, stats.reserved);
	EXPECT_EQ(0, stats.device_pages);
}

/* What goes out is unspecified before the request and untouched by a failure */
DEVICE_TEST(answers_come_only_with_success)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)self->r.base, .npages = 1,
		.ptr = (uintptr_t)self->r.buf, .cpages = 77, .faults = 88,
	};

	ASSERT_EQ(-1, ioctl(self->r.fd, HMM_DMIRROR_READ, &cmd));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(77, cmd.cpages);
	EXPECT_EQ(88, cmd.faults);
	cmd.addr = (uintptr_t)self->r.ptr;
	ASSERT_EQ(0, ioctl(self->r.fd, HMM_DMIRROR_READ, &cmd));
	EXPECT_EQ(1, cmd.cpages);
	EXPECT_EQ(1, cmd.faults);
}

DEVICE_TEST(bad_pointers)
{
	/* Reserved without access: neither reads nor writes go there */
	void *bad = self->r.base;

	rig_fill(&self->r);
	for (size_t i = 0; i < ARRAY_SIZE(span_requests); i++) {
		ASSERT_EQ(-1, ioctl(self->r.fd, span_requests[i], bad));
		EXPECT_EQ(EFAULT, errno);
	}
	ASSERT_EQ(-1, ioctl(self->r.fd, HMM_DMIRROR_STATS, bad));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-EFAULT, hmm_cmd(self->r.fd, HMM_DMIRROR_READ, self->r.ptr,
				   bad, NPAGES, NULL));
	EXPECT_EQ(-EFAULT, hmm_cmd(self->r.fd, HMM_DMIRROR_WRITE, self->r.ptr,
				   bad, NPAGES, NULL));
	EXPECT_EQ(-EFAULT, hmm_cmd(self->r.fd, HMM_DMIRROR_SNAPSHOT,
				   self->r.ptr, bad, NPAGES, NULL));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

/* The device's own buffer may be the memory that it works on. */
DEVICE_TEST(buffer_is_the_span)
{
	rig_fill(&self->r);
	ASSERT_EQ(0, hmm_cmd(self->r.fd, HMM_DMIRROR_READ, self->r.ptr,
			     self->r.ptr, NPAGES, NULL));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
	ASSERT_EQ(0, hmm_cmd(self->r.fd, HMM_DMIRROR_WRITE, self->r.ptr,
			     self->r.ptr, NPAGES, NULL));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

DEVICE_TEST(node_is_roots)
{
	struct stat node;
	pid_t pid;

	ASSERT_EQ(0, stat("/dev/hmm_dmirror0", &node));
	EXPECT_EQ(S_IFCHR | 0600, node.st_mode);
	EXPECT_EQ(0, node.st_uid);
	ASSERT_EQ(0, stat("/dev/hmm_dmirror1", &node));
	EXPECT_EQ(S_IFCHR | 0600, node.st_mode);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(setuid(65534) ? 1 : hmm_open(0) != -EACCES);
	EXPECT_EQ(0, hmm_wait_child(pid));
}

/* 0 if the device refuses everything to this process. */
static int check_stranger(struct rig *r)
{
	struct hmm_dmirror_stats stats;
	union argument arg;

	for (size_t i = 0; i < ARRAY_SIZE(span_requests); i++) {
		arg = argument_for(span_requests[i], r, (uintptr_t)r->ptr,
				   r->size / PAGE);
		if (!ioctl(r->fd, span_requests[i], &arg) || errno != EPERM)
			return 1;
	}
	if (hmm_stats(r->fd, &stats) != -EPERM)
		return 2;
	if (mmap(NULL, PAGE, PROT_READ, MAP_SHARED, r->fd, 0) != MAP_FAILED ||
	    errno != EPERM)
		return 3;
	return 0;
}

DEVICE_TEST(child_may_not_use_parents)
{
	pid_t pid;

	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(check_stranger(&self->r));
	EXPECT_EQ(0, hmm_wait_child(pid));
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

DEVICE_TEST(child_may_use_its_own)
{
	pid_t pid;

	rig_fill(&self->r);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct rig *r = &self->r;

		r->fd = hmm_open(0);
		memset(r->ptr, 'c', SIZE);
		memset(r->data, 'c', SIZE);
		_exit(hmm_cmd(r->fd, HMM_DMIRROR_READ, r->ptr, r->buf, NPAGES,
			      NULL) ||
		      memcmp(r->buf, r->data, SIZE));
	}
	EXPECT_EQ(0, hmm_wait_child(pid));
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* Runs when the process that opened r->fd is gone; the answer goes to @out. */
static void outlive(struct rig *r, int opener, int out)
{
	char answer;

	await(opener);
	answer = check_stranger(r);
	close(r->fd);
	_exit(write(out, &answer, 1) != 1);
}

/* The child of file_outlives_opener: opens, mirrors, leaves the file behind. */
static void open_and_leave(struct rig *r, int answer)
{
	int alive[2];

	close(r->fd);
	r->fd = hmm_open(0);
	if (r->fd < 0 || pipe(alive) ||
	    hmm_cmd(r->fd, HMM_DMIRROR_READ, r->ptr, r->buf, r->size / PAGE,
		    NULL))
		_exit(1);
	if (!fork()) {
		close(alive[1]);
		outlive(r, alive[0], answer);
	}
	/* Exit closes alive[1], but only after the memory is gone */
	_exit(0);
}

DEVICE_TEST(file_outlives_opener)
{
	char answer = -1;
	int pipes[2];
	pid_t pid;

	rig_fill(&self->r);
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		open_and_leave(&self->r, pipes[1]);
	EXPECT_EQ(0, hmm_wait_child(pid));
	close(pipes[1]);
	ASSERT_EQ(1, read(pipes[0], &answer, 1));
	EXPECT_EQ(0, answer);
	/* End of file: whoever had the device open has closed it */
	EXPECT_EQ(0, read(pipes[0], &answer, 1));
}

/* Two contexts of one process are told of the same changes. */
DEVICE_TEST(two_contexts_see_the_same)
{
	int second = hmm_open(1);
	struct hmm_dmirror_stats stats;

	ASSERT_LE(0, second);
	rig_fill(&self->r);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	hmm_fill(self->r.buf, SIZE);
	ASSERT_EQ(0, hmm_cmd(second, HMM_DMIRROR_WRITE, self->r.ptr,
			     self->r.buf, NPAGES, NULL));
	memcpy(self->r.data, self->r.buf, SIZE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(0, self->r.cmd.faults);
	ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, SIZE));
	ASSERT_EQ(0, hmm_stats(second, &stats));
	EXPECT_EQ(0, stats.mapped);
	test_sees_zeros(self->r.ptr, NPAGES);
	EXPECT_EQ(0, close(second));
	/* The other one is still told */
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, SIZE));
	test_stats();
	EXPECT_EQ(0, self->r.stats.mapped);
}

static void *read_in_thread(void *arg)
{
	struct rig *r = arg;

	return (void *)(intptr_t)hmm_cmd(r->fd, HMM_DMIRROR_READ, r->ptr,
					 r->buf, r->size / PAGE, &r->cmd);
}

DEVICE_TEST(threads_share_the_context)
{
	pthread_t thread;
	void *err;

	rig_fill(&self->r);
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_in_thread, &self->r));
	ASSERT_EQ(0, pthread_join(thread, &err));
	EXPECT_EQ(NULL, err);
	EXPECT_EQ(0, memcmp(self->r.buf, self->r.data, SIZE));
}

DEVICE_TEST(many_contexts)
{
	int fd[64];

	rig_fill(&self->r);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = hmm_open(i & 1);
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, hmm_compute(fd[i], self->r.ptr, NPAGES,
					 &self->r.compute));
	}
	ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, SIZE));
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++) {
		ASSERT_EQ(0, hmm_stats(fd[i], &self->r.stats));
		EXPECT_EQ(NPAGES, self->r.stats.dropped);
		EXPECT_EQ(0, self->r.stats.mapped);
		ASSERT_EQ(0, close(fd[i]));
	}
}

/* Computes for ever; says so on @out once it has begun. */
static void compute_loop(const char *ptr, uint64_t npages, int out)
{
	struct hmm_dmirror_compute compute;
	int fd = hmm_open(0);

	if (fd < 0 || hmm_compute(fd, ptr, 1, &compute) ||
	    write(out, "", 1) != 1)
		_exit(1);
	while (!hmm_compute(fd, ptr, npages, &compute))
		;
	_exit(2);
}

#define test_killed(_ptr, _npages, _microseconds) do {			      \
	int _pipes[2];							      \
	pid_t _pid;							      \
									      \
	ASSERT_EQ(0, pipe(_pipes));					      \
	_pid = fork();							      \
	ASSERT_LE(0, _pid);						      \
	if (!_pid)							      \
		compute_loop(_ptr, _npages, _pipes[1]);			      \
	close(_pipes[1]);						      \
	await(_pipes[0]);						      \
	close(_pipes[0]);						      \
	usleep(_microseconds);						      \
	ASSERT_EQ(0, kill(_pid, SIGKILL));				      \
	ASSERT_EQ(256 + SIGKILL, hmm_wait_child(_pid));			      \
} while (0)

DEVICE_TEST(killed_while_device_reads)
{
	rig_fill(&self->r);
	for (unsigned int i = 0; i < 12; i++)
		test_killed(self->r.ptr, NPAGES, 500 * i);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* Longer than anyone would wait for: a signal must end it half way. */
DEVICE_TEST(long_compute_can_be_killed)
{
	const size_t size = 64UL << 30;
	char *ptr = mmap(NULL, size, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, ptr);
	test_killed(ptr, size / PAGE, 100000);
	ASSERT_EQ(0, munmap(ptr, size));
}

/*
 * Races: a second thread changes things for as long as the device works
 */

FIXTURE(race)
{
	struct rig r;
};

FIXTURE_VARIANT(race)
{
	struct kind kind;
};

FIXTURE_VARIANT_ADD(race, anon) { .kind = KIND_ANON, };
FIXTURE_VARIANT_ADD(race, thp) { .kind = KIND_THP, };
FIXTURE_VARIANT_ADD(race, anon_shared) { .kind = KIND_SHARED, };
FIXTURE_VARIANT_ADD(race, tmpfs) { .kind = KIND_FILE, };

FIXTURE_SETUP(race)
{
	ASSERT_EQ(0, rig_setup(&self->r, &variant->kind));
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

#define RACE_TEST(_name) TEST_F_TIMEOUT(race, _name, SECONDS)

/**
 * struct storm - the second thread
 * @thread: it
 * @r: whose memory it is about
 * @round: what it does again and again; the rounds have numbers from 1
 * @stop: set by the first thread
 * @rounds: rounds done, a count that the first thread may read at any time
 * @failed: a round could not do its work; kept until the end
 * @end: when the first thread has had enough
 */
struct storm {
	pthread_t	thread;
	struct rig	*r;
	int		(*round)(struct storm *storm, uint64_t k);
	bool		stop;
	uint64_t	rounds;
	int		failed;
	double		end;
};

static void *storm_loop(void *arg)
{
	struct storm *storm = arg;
	uint64_t k = 0;

	while (!__atomic_load_n(&storm->stop, __ATOMIC_ACQUIRE)) {
		int err = storm->round(storm, ++k);

		if (err)
			storm->failed = err;
		__atomic_store_n(&storm->rounds, k, __ATOMIC_RELEASE);
	}
	return NULL;
}

static uint64_t storm_rounds(const struct storm *storm)
{
	return __atomic_load_n(&storm->rounds, __ATOMIC_ACQUIRE);
}

static int storm_start(struct storm *storm, struct rig *r,
		       int (*round)(struct storm *storm, uint64_t k))
{
	*storm = (struct storm){
		.r = r,
		.round = round,
		.end = hmm_now() + STORM_SECONDS,
	};
	return -pthread_create(&storm->thread, NULL, storm_loop, storm);
}

/* Until time is up, but not before both threads got something done. */
static bool storm_lasts(const struct storm *storm, uint64_t k)
{
	return hmm_now() < storm->end || k < STORM_ROUNDS ||
	       storm_rounds(storm) < STORM_ROUNDS;
}

static int storm_stop(struct storm *storm)
{
	int err;

	__atomic_store_n(&storm->stop, true, __ATOMIC_RELEASE);
	err = -pthread_join(storm->thread, NULL);
	return err ?: storm->failed;
}

static int map_elsewhere(struct storm *storm, uint64_t k)
{
	struct rig *r = storm->r;
	char *ptr = mmap(r->spare, r->size, FULL_ACCESS,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (ptr == MAP_FAILED)
		return -errno;
	memset(ptr, k, 64 * PAGE);
	return munmap(ptr, r->size) ? -errno : 0;
}

/* Invalidations that do not touch what the device wants never delay it. */
RACE_TEST(changes_elsewhere_disturb_nothing)
{
	struct storm storm;
	uint64_t k;

	ASSERT_EQ(0, storm_start(&storm, &self->r, map_elsewhere));
	for (k = 0; storm_lasts(&storm, k); k++) {
		ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, SIZE));
		test_sees_zeros(self->r.ptr, NPAGES);
		ASSERT_EQ(1, self->r.cmd.faults);
		memset(self->r.buf, k + 1, SIZE);
		test_write(self->r.ptr, NPAGES);
		ASSERT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
		test_read(self->r.ptr, NPAGES);
		ASSERT_EQ(0, self->r.cmd.faults);
	}
	ASSERT_EQ(0, storm_stop(&storm));
	test_stats();
	EXPECT_EQ(0, self->r.stats.retries);
}

static int change_same(struct storm *storm, uint64_t k)
{
	struct rig *r = storm->r;
	int err = 0;

	switch (k % 6) {
	case 0:
		err = munmap(r->ptr, r->size);
		break;
	case 1:
		return rig_map(r);
	case 2:
		memset(r->ptr, k, r->size);
		break;
	case 3:
		err = mprotect(r->ptr + PAGE, r->size - 2 * PAGE, PROT_READ);
		break;
	case 4:
		err = mprotect(r->ptr, r->size, FULL_ACCESS);
		break;
	case 5:
		return rig_discard(r, r->ptr + PAGE, r->size / 2);
	}
	return err ? -errno : 0;
}

#define test_one_of(_a, _b, _c, _got) do {				      \
	int _val = _got;						      \
									      \
	ASSERT_TRUE(_val == (_a) || _val == (_b) || _val == (_c)) {	      \
		TH_LOG("got %d", _val);					      \
	}								      \
} while (0)

RACE_TEST(changes_under_the_device)
{
	struct storm storm;
	uint64_t k;

	ASSERT_EQ(0, storm_start(&storm, &self->r, change_same));
	for (k = 0; storm_lasts(&storm, k); k++) {
		test_one_of(0, -EFAULT, 0, request(READ, self->r.ptr, NPAGES));
		test_one_of(0, -EFAULT, -EPERM,
			    request(WRITE, self->r.ptr, NPAGES));
		test_snapshot(self->r.ptr, NPAGES);
		test_one_of(0, -EFAULT, 0,
			    hmm_compute(self->r.fd, self->r.ptr + HALF,
					HALF_PAGES, &self->r.compute));
	}
	ASSERT_EQ(0, storm_stop(&storm));
	ASSERT_EQ(0, rig_map(&self->r));
	rig_fill(&self->r);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* A new page with the number of the round in it. */
static int renew_page(struct storm *storm, uint64_t k)
{
	struct rig *r = storm->r;
	int err = rig_discard(r, r->ptr, r->kind.thp ? HUGE : PAGE);

	if (!err)
		__atomic_store_n((uint64_t *)r->ptr, k, __ATOMIC_RELEASE);
	return err;
}

/* What the device reads is never older than when it was asked. */
RACE_TEST(device_never_sees_the_past)
{
	struct storm storm;
	uint64_t k;

	ASSERT_EQ(0, storm_start(&storm, &self->r, renew_page));
	for (k = 0; storm_lasts(&storm, k); k++) {
		uint64_t done = storm_rounds(&storm);
		uint64_t seen;

		test_read(self->r.ptr, 1);
		memcpy(&seen, self->r.buf, sizeof(seen));
		/* 0 is a page of the present round, not written yet */
		ASSERT_TRUE(!seen || seen >= done);
	}
	ASSERT_EQ(0, storm_stop(&storm));
}

static int fork_once(struct storm *storm, uint64_t k)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : hmm_wait_child(pid);
}

/* Device and CPU write to pages that fork() has them copy all the time. */
RACE_TEST(forks_lose_no_write)
{
	uint64_t *cpu = (uint64_t *)self->r.ptr;
	uint64_t *dev = (uint64_t *)self->r.buf;
	struct storm storm;
	uint64_t k;

	rig_fill(&self->r);
	ASSERT_EQ(0, storm_start(&storm, &self->r, fork_once));
	for (k = 0; storm_lasts(&storm, k); k++) {
		cpu[1] = k;
		dev[0] = k;
		dev[1] = k;
		test_write(self->r.ptr, 1);
		ASSERT_EQ(k, cpu[0]);
		cpu[2] = ~k;
		test_read(self->r.ptr, 1);
		ASSERT_EQ(k, dev[0]);
		ASSERT_EQ(~k, dev[2]);
	}
	ASSERT_EQ(0, storm_stop(&storm));
}

static int page_out(struct storm *storm, uint64_t k)
{
	return madvise(storm->r->ptr, storm->r->size, MADV_PAGEOUT) ? -errno :
								      0;
}

RACE_TEST(swapping_loses_no_write)
{
	struct storm storm;
	uint64_t k;

	rig_fill(&self->r);
	ASSERT_EQ(0, storm_start(&storm, &self->r, page_out));
	for (k = 0; storm_lasts(&storm, k); k++) {
		size_t first = k % (NPAGES - 100);
		char *addr = self->r.ptr + first * PAGE;

		hmm_fill(self->r.buf, 100 * PAGE);
		memcpy(self->r.data + first * PAGE, self->r.buf, 100 * PAGE);
		test_write(addr, 100);
		/* In turns: the device looks first, the CPU looks first */
		ASSERT_TRUE(k & 1 || !memcmp(addr, self->r.buf, 100 * PAGE));
		test_sees(self->r.ptr, self->r.data, NPAGES);
	}
	ASSERT_EQ(0, storm_stop(&storm));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

/* Small, so that the other thread and its mmap lock leave time for many. */
static int fill_and_page_out(struct storm *storm, uint64_t k)
{
	char *ptr = storm->r->ptr;

	memset(ptr, k, 64 * PAGE);
	return madvise(ptr, 64 * PAGE, MADV_PAGEOUT) ? -errno : 0;
}

/* Mirrors come and go in the middle of invalidations; none is left behind. */
RACE_TEST(contexts_come_and_go)
{
	struct storm storm;
	uint64_t k;

	ASSERT_EQ(0, storm_start(&storm, &self->r, fill_and_page_out));
	for (k = 0; storm_lasts(&storm, k); k++) {
		int fd = hmm_open(k & 1);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, hmm_cmd(fd,
				     k & 2 ? HMM_DMIRROR_READ :
					     HMM_DMIRROR_SNAPSHOT,
				     self->r.ptr, self->r.buf, 64, NULL));
		ASSERT_EQ(0, close(fd));
	}
	ASSERT_EQ(0, storm_stop(&storm));
	rig_fill(&self->r);
	test_stats();
	k = self->r.stats.retries;
	/* A wait that nobody would end times out, and that is a retry */
	test_sees(self->r.ptr, self->r.data, NPAGES);
	test_stats();
	EXPECT_EQ(k, self->r.stats.retries);
}

/* As above, but the mm's last mirror goes too, and with it all there is. */
RACE_TEST(last_context_comes_and_goes)
{
	struct storm storm;
	uint64_t k;

	ASSERT_EQ(0, close(self->r.fd));
	ASSERT_EQ(0, storm_start(&storm, &self->r, fill_and_page_out));
	for (k = 0; storm_lasts(&storm, k); k++) {
		self->r.fd = hmm_open(0);
		ASSERT_LE(0, self->r.fd);
		ASSERT_EQ(0, close(self->r.fd));
	}
	ASSERT_EQ(0, storm_stop(&storm));
	self->r.fd = hmm_open(0);
	ASSERT_LE(0, self->r.fd);
	rig_fill(&self->r);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	test_stats();
	EXPECT_EQ(1, self->r.stats.faults);
	EXPECT_EQ(0, self->r.stats.retries);
}

/*
 * The machine
 */

/* What is set for the time of the tests. */
static struct knob {
	const char	*path;
	long		want;
	bool		at_least;
	long		old;
} knobs[] = {
	/* Takes pages away from the device to see who uses them */
	{ NUMA_BALANCING, 0, },
	/* Replaces pages by huge ones, every ten seconds: not for an hour */
	{ "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
	  3600 * 1000 },
	/* A copy of every page, and some to move */
	{ "/proc/sys/vm/nr_hugepages", 16, .at_least = true },
};

/* A kernel that has no such thing needs none of it. */
static void knob_set(struct knob *knob)
{
	FILE *file = fopen(knob->path, "re");

	knob->old = -1;
	if (!file)
		return;
	if (fscanf(file, "%ld", &knob->old) != 1 ||
	    (knob->at_least && knob->old >= knob->want))
		knob->old = -1;
	else if (knob_write(knob->path, knob->want))
		ksft_print_msg("cannot set %s\n", knob->path);
	fclose(file);
}

static void knob_restore(struct knob *knob)
{
	if (knob->old >= 0 && knob_write(knob->path, knob->old))
		ksft_print_msg("cannot set %s back\n", knob->path);
}

int main(int argc, char **argv)
{
	size_t n = ARRAY_SIZE(knobs);
	int ret;

	/* On another machine this only lists the tests: leave that alone */
	if (access("/dev/hmm_dmirror0", F_OK))
		n = 0;
	for (size_t i = 0; i < n; i++)
		knob_set(&knobs[i]);
	ret = test_harness_run(argc, argv);
	for (size_t i = 0; i < n; i++)
		knob_restore(&knobs[i]);
	return ret;
}
