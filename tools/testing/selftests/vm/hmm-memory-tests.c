// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the dummy device's own memory: migration to the device and back,
 * pages that cannot migrate, ownership, exclusive access, and that no path
 * loses or leaks a page.
 *
 * Variants are the kinds of device memory: private, which the CPU cannot access
 * and migrates back when it is touched, and coherent, which the CPU can use in
 * place. Every teardown unmaps the memory and checks that no page is in use in
 * either device of the kind.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "hmm-module.h"
#include "hmm-race.h"
#include "hmm-tags.h"
#include "hmm-util.h"

#define NPAGES		160UL
#define SIZE		(NPAGES * PAGE)

/* test_hmm has devices 2 and 3 if it is loaded with spm_addr_dev0 and _dev1. */
#define NO_DEVICE	"no such device, see the parameters of " HMM_MODULE

/* Size of a device's memory. */
#define DEVICE_PAGES	((256UL << 20) / PAGE)

#define RACE_SECONDS	0.6
#define WAIT_SECONDS	60

/* Missing from the headers of some distributions. */
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED	0x2000
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC		0x8000
#endif
#ifndef PAGEMAP_SCAN
#define PAGE_IS_WRITTEN			0x2
#define PM_SCAN_WP_MATCHING		0x1
#define PM_SCAN_CHECK_WPASYNC		0x2
struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};

#define PAGEMAP_SCAN			_IOWR('f', 16, struct pm_scan_arg)
#endif

/* The number of pages in use in a device's memory, or -errno. */
static long device_pages(int fd)
{
	struct hmm_dmirror_stats stats;
	int err = hmm_stats(fd, &stats);

	return err ?: (long)stats.device_pages;
}

/* A worker of the kernel may be the last user of an address space. */
static long device_pages_settled(int fd, long want)
{
	double end = hmm_now() + WAIT_SECONDS;
	long pages;

	while ((pages = device_pages(fd)) != want && hmm_now() < end)
		usleep(1000);
	return pages;
}

FIXTURE(memory)
{
	int				fd;
	int				other;
	bool				coherent;
	uint8_t				local;
	char				*ptr;
	char				*buf;
	char				*data;
	struct hmm_dmirror_cmd		cmd;
	struct hmm_dmirror_stats	stats;
};

FIXTURE_VARIANT(memory)
{
	unsigned int	unit;
	bool		coherent;
	uint8_t		local;
};

FIXTURE_VARIANT_ADD(memory, private)
{
	.unit = 0,
	.local = HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL,
};

FIXTURE_VARIANT_ADD(memory, coherent)
{
	.unit = 2,
	.coherent = true,
	.local = HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL,
};

FIXTURE_SETUP(memory)
{
	self->coherent = variant->coherent;
	self->local = variant->local;
	hmm_module_need(HMM_MODULE, HMM_NODE);
	self->fd = hmm_open(variant->unit);
	if (self->fd == -ENOENT)
		SKIP(return, NO_DEVICE);
	ASSERT_LE(0, self->fd);
	self->other = hmm_open(variant->unit + 1);
	ASSERT_LE(0, self->other);
	ASSERT_EQ(0, device_pages(self->fd));
	ASSERT_EQ(0, device_pages(self->other));
	self->buf = malloc(SIZE);
	self->data = malloc(SIZE);
	ASSERT_NE(NULL, self->buf);
	ASSERT_NE(NULL, self->data);
	self->ptr = mmap(NULL, SIZE, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, self->ptr);
	hmm_fill(self->data, SIZE);
	memcpy(self->ptr, self->data, SIZE);
}

FIXTURE_TEARDOWN(memory)
{
	int fd[] = { self->fd, self->other };

	EXPECT_EQ(0, munmap(self->ptr, SIZE));
	for (size_t i = 0; i < 2; i++) {
		EXPECT_EQ(0, device_pages_settled(fd[i], 0));
		EXPECT_EQ(0, hmm_stats(fd[i], &self->stats));
		EXPECT_EQ(0, self->stats.ranges);
		EXPECT_EQ(0, self->stats.mapped);
		EXPECT_EQ(0, close(fd[i]));
	}
	free(self->buf);
	free(self->data);
}

#define MEMORY_TEST(_name) TEST_F_TIMEOUT(memory, _name, SECONDS)

#define request_by(_fd, _nr, _addr, _npages)				      \
	hmm_cmd(_fd, HMM_DMIRROR_##_nr, _addr, self->buf, _npages, &self->cmd)
#define request(_nr, _addr, _npages)					      \
	request_by(self->fd, _nr, _addr, _npages)

#define test_request_by(_fd, _nr, _addr, _npages) do {			      \
	ASSERT_EQ(0, request_by(_fd, _nr, _addr, _npages));		      \
	ASSERT_EQ(self->cmd.npages, self->cmd.cpages);			      \
} while (0)
#define test_request(_nr, _addr, _npages)				      \
	test_request_by(self->fd, _nr, _addr, _npages)

/* A request that moves pages, or rights to them, and reads the old content. */
#define test_take(_nr, _addr, _data, _npages) do {			      \
	size_t _size = (_npages) * PAGE;				      \
									      \
	memset(self->buf, 0x5a, _size);					      \
	test_request(_nr, _addr, _size / PAGE);				      \
	ASSERT_EQ(0, memcmp(self->buf, _data, _size));			      \
} while (0)
#define test_move(_addr, _data, _npages)				      \
	test_take(MIGRATE_TO_DEV, _addr, _data, _npages)
#define test_move_all()	test_move(self->ptr, self->data, NPAGES)

#define test_pages(_npages)						      \
	ASSERT_EQ(_npages, device_pages(self->fd))

/* A snapshot must have @_count pages that are @_prot. */
#define test_shows(_count, _prot) do {					      \
	size_t _n = 0;							      \
									      \
	test_request(SNAPSHOT, self->ptr, NPAGES);			      \
	for (size_t _i = 0; _i < NPAGES; _i++)				      \
		_n += (uint8_t)self->buf[_i] == (_prot);		      \
	ASSERT_EQ(_count, _n);						      \
} while (0)

#define test_local(_count)						      \
	test_shows(_count, self->local | HMM_DMIRROR_PROT_WRITE)

#define test_cpu_sees_data()						      \
	ASSERT_EQ(0, memcmp(self->ptr, self->data, SIZE))
#define test_device_sees_data() do {					      \
	memset(self->buf, 0x5a, SIZE);					      \
	test_request(READ, self->ptr, NPAGES);				      \
	ASSERT_EQ(0, memcmp(self->buf, self->data, SIZE));		      \
} while (0)

/* Migration there and back */

MEMORY_TEST(moves_there_and_back)
{
	test_move_all();
	test_pages(NPAGES);
	test_local(NPAGES);
	test_request(MIGRATE_TO_SYS, self->ptr, NPAGES);
	test_pages(0);
	test_shows(NPAGES, HMM_DMIRROR_PROT_WRITE);
	test_cpu_sees_data();
}

MEMORY_TEST(device_uses_its_memory_without_fault)
{
	test_move_all();
	test_device_sees_data();
	EXPECT_EQ(0, self->cmd.faults);
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request(WRITE, self->ptr, NPAGES);
	EXPECT_EQ(0, self->cmd.faults);
	test_pages(NPAGES);
	test_cpu_sees_data();
}

MEMORY_TEST(cpu_touches_one_page)
{
	test_move_all();
	ASSERT_EQ(self->data[7 * PAGE], cpu_read(self->ptr + 7 * PAGE));
	test_pages(self->coherent ? NPAGES : NPAGES - 1);
	self->ptr[9 * PAGE] = self->data[9 * PAGE] ^= 1;
	test_pages(self->coherent ? NPAGES : NPAGES - 2);
	test_device_sees_data();
	test_cpu_sees_data();
}

MEMORY_TEST(moves_again_what_came_home)
{
	for (size_t i = 0; i < 10; i++) {
		test_move_all();
		test_pages(NPAGES);
		test_request(MIGRATE_TO_SYS, self->ptr + i * PAGE, 20);
		test_pages(NPAGES - 20);
		test_move_all();
		test_pages(NPAGES);
		hmm_fill(self->data, SIZE);
		memcpy(self->ptr, self->data, SIZE);
	}
}

/* The number of pages that lost one of their tags. */
static size_t lost_tags(char *ptr)
{
	size_t lost = 0;

	for (size_t i = 0; i < NPAGES; i += 2)
		lost += hmm_get_tag(ptr + i * PAGE) != i % 15 + 1 ||
			hmm_get_tag(ptr + i * PAGE + PAGE - 16) != i % 13 + 1;
	return lost;
}

/* Every other page has tags, so that PTEs beside each other differ. */
MEMORY_TEST(tags_stay_when_the_device_writes_and_pages_move)
{
	if (!hmm_has_tags())
		SKIP(return, "this CPU has no tags of memory");
	for (size_t i = 0; i < NPAGES; i += 2) {
		ASSERT_EQ(0, mprotect(self->ptr + i * PAGE, PAGE,
				      FULL_ACCESS | PROT_MTE));
		hmm_set_tag(self->ptr + i * PAGE, i % 15 + 1);
		hmm_set_tag(self->ptr + i * PAGE + PAGE - 16, i % 13 + 1);
	}
	test_device_sees_data();
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request(WRITE, self->ptr, NPAGES);
	EXPECT_EQ(0, lost_tags(self->ptr));
	test_cpu_sees_data();
	/* Memory that a device adds has none: memremap_pages() maps it so */
	if (self->coherent)
		return;
	test_move_all();
	test_pages(NPAGES);
	test_device_sees_data();
	test_request(MIGRATE_TO_SYS, self->ptr, NPAGES);
	test_pages(0);
	EXPECT_EQ(0, lost_tags(self->ptr));
	test_cpu_sees_data();
}

MEMORY_TEST(migrating_home_what_is_there_moves_nothing)
{
	ASSERT_EQ(0, request(MIGRATE_TO_SYS, self->ptr, NPAGES));
	EXPECT_EQ(0, self->cmd.cpages);
	test_cpu_sees_data();
}

MEMORY_TEST(untouched_memory_becomes_zeros_in_the_device)
{
	ASSERT_EQ(0, madvise(self->ptr, SIZE, MADV_DONTNEED));
	/* Map the zero page at every second page */
	for (size_t i = 0; i < NPAGES; i += 2)
		ASSERT_EQ(0, cpu_read(self->ptr + i * PAGE));
	memset(self->data, 0, SIZE);
	test_move_all();
	test_pages(NPAGES);
	test_local(NPAGES);
	test_cpu_sees_data();
}

MEMORY_TEST(discarded_in_the_device)
{
	test_move_all();
	ASSERT_EQ(0, madvise(self->ptr, SIZE / 2, MADV_DONTNEED));
	test_pages(NPAGES / 2);
	memset(self->data, 0, SIZE / 2);
	test_device_sees_data();
	test_cpu_sees_data();
}

MEMORY_TEST(moves_along_with_mremap)
{
	char *to =
		mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, to);
	test_move_all();
	ASSERT_EQ(to, mremap(self->ptr, SIZE, SIZE,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	self->ptr = to;
	test_pages(NPAGES);
	test_local(NPAGES);
	test_device_sees_data();
	test_cpu_sees_data();
}

MEMORY_TEST(huge_page_is_split)
{
	char *base, *ptr;

	if (hmm_too_huge())
		SKIP(return, TOO_HUGE);
	base = mmap(NULL, 2 * HUGE, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	ptr = hmm_huge_align(base);
	ASSERT_NE(MAP_FAILED, base);
	ASSERT_EQ(0, madvise(ptr, HUGE, MADV_HUGEPAGE));
	memcpy(ptr, self->data, SIZE);
	test_request(SNAPSHOT, ptr, NPAGES);
	ASSERT_EQ(HMM_DMIRROR_PROT_PMD | HMM_DMIRROR_PROT_WRITE,
		  (uint8_t)self->buf[0]);
	test_move(ptr, self->data, NPAGES);
	test_pages(NPAGES);
	test_request(SNAPSHOT, ptr, NPAGES);
	for (size_t i = 0; i < NPAGES; i++)
		ASSERT_EQ(self->local | HMM_DMIRROR_PROT_WRITE,
			  (uint8_t)self->buf[i]);
	EXPECT_EQ(0, memcmp(ptr, self->data, SIZE));
	ASSERT_EQ(0, munmap(base, 2 * HUGE));
}

/* Pages that cannot migrate */

/* Pin pages by a pipe that references them. */
static int pin(int pipes[2], void *addr, size_t npages)
{
	struct iovec iov = { addr, npages * PAGE };

	if (pipe(pipes))
		return -errno;
	return vmsplice(pipes[1], &iov, 1, 0) == (ssize_t)iov.iov_len ? 0 :
								       -EIO;
}

static void unpin(int pipes[2])
{
	close(pipes[0]);
	close(pipes[1]);
}

MEMORY_TEST(pinned_pages_stay_and_the_rest_moves)
{
	int pipes[2];

	ASSERT_EQ(0, pin(pipes, self->ptr + 70 * PAGE, 3));
	ASSERT_EQ(-ENOENT, request(MIGRATE_TO_DEV, self->ptr, NPAGES));
	test_pages(NPAGES - 3);
	test_local(NPAGES - 3);
	EXPECT_EQ(HMM_DMIRROR_PROT_WRITE, (uint8_t)self->buf[70]);
	test_device_sees_data();
	unpin(pipes);
	test_move_all();
	test_pages(NPAGES);
}

MEMORY_TEST(pinned_in_the_device)
{
	int pipes[2];

	test_move_all();
	ASSERT_EQ(0, pin(pipes, self->ptr + 70 * PAGE, 3));
	/* Private memory cannot be pinned: pinning migrates it back */
	test_pages(self->coherent ? NPAGES : NPAGES - 3);
	ASSERT_EQ(0, request(MIGRATE_TO_SYS, self->ptr, NPAGES));
	EXPECT_EQ(NPAGES - 3, self->cmd.cpages);
	test_pages(self->coherent ? 3 : 0);
	EXPECT_EQ(self->coherent ? -EBUSY : 0,
		  request(RELEASE, self->ptr, NPAGES));
	unpin(pipes);
	EXPECT_EQ(0, request(RELEASE, self->ptr, NPAGES));
	test_pages(0);
	test_cpu_sees_data();
}

MEMORY_TEST(swapped_out_pages_stay_out)
{
	ASSERT_EQ(10, hmm_swap_out(self->ptr + 60 * PAGE, 10));
	ASSERT_EQ(-ENOENT, request(MIGRATE_TO_DEV, self->ptr, NPAGES));
	test_pages(NPAGES - 10);
	EXPECT_EQ(10, hmm_pages_out(self->ptr + 60 * PAGE, 10));
	test_device_sees_data();
	test_move_all();
	test_pages(NPAGES);
	test_cpu_sees_data();
}

/* Pages in device memory are not reclaimed, and not lost. */
MEMORY_TEST(device_memory_does_not_swap)
{
	test_move_all();
	ASSERT_EQ(0, madvise(self->ptr, SIZE, MADV_PAGEOUT));
	test_local(NPAGES);
	test_device_sees_data();
	test_cpu_sees_data();
}

MEMORY_TEST(shared_and_file_memory_stay)
{
	int flags[] = { MAP_SHARED | MAP_ANONYMOUS, MAP_PRIVATE };
	int file = memfd_create("hmm-memory-tests", MFD_CLOEXEC);

	ASSERT_LE(0, file);
	ASSERT_EQ((ssize_t)SIZE, write(file, self->data, SIZE));
	for (size_t i = 0; i < 2; i++) {
		int fd = flags[i] & MAP_ANONYMOUS ? -1 : file;
		char *ptr = mmap(NULL, SIZE, FULL_ACCESS, flags[i], fd, 0);

		ASSERT_NE(MAP_FAILED, ptr);
		if (fd < 0)
			memcpy(ptr, self->data, SIZE);
		/* A private copy of a file's page can migrate */
		else
			ptr[0] = self->data[0];
		EXPECT_EQ(-ENOENT, request(MIGRATE_TO_DEV, ptr, NPAGES));
		test_pages(fd < 0 ? 0 : 1);
		EXPECT_EQ(0, memcmp(ptr, self->data, SIZE));
		ASSERT_EQ(0, munmap(ptr, SIZE));
		test_pages(0);
	}
	close(file);
}

MEMORY_TEST(special_mappings_are_refused)
{
	char *mixed = mmap(NULL, SIZE, FULL_ACCESS, MAP_SHARED, self->fd, 0);
	char *huge = mmap(NULL, HUGE, FULL_ACCESS,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
				  MAP_NORESERVE,
			  -1, 0);

	ASSERT_NE(MAP_FAILED, mixed);
	ASSERT_NE(MAP_FAILED, huge);
	EXPECT_EQ(-EINVAL, request(MIGRATE_TO_DEV, mixed, 1));
	EXPECT_EQ(-EINVAL, request(MIGRATE_TO_SYS, mixed, 1));
	EXPECT_EQ(-EINVAL, request(MIGRATE_TO_DEV, huge, 1));
	ASSERT_EQ(0, munmap(mixed, SIZE));
	ASSERT_EQ(0, munmap(huge, HUGE));
}

MEMORY_TEST(span_crosses_mappings)
{
	ASSERT_EQ(0, mprotect(self->ptr + 30 * PAGE, 50 * PAGE, PROT_READ));
	ASSERT_EQ(0, madvise(self->ptr + 100 * PAGE, 9 * PAGE, MADV_DONTFORK));
	test_move_all();
	test_pages(NPAGES);
	test_shows(50, self->local | HMM_DMIRROR_PROT_READ);
	test_local(NPAGES - 50);
	test_cpu_sees_data();
}

/* A hole in the span fails the request before any page is moved. */
MEMORY_TEST(hole_in_the_span_moves_nothing)
{
	ASSERT_EQ(0, mprotect(self->ptr + 99 * PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(-EINVAL, request(MIGRATE_TO_DEV, self->ptr, NPAGES));
	EXPECT_EQ(-EINVAL, request(MIGRATE_TO_SYS, self->ptr, NPAGES));
	test_pages(0);
	ASSERT_EQ(0, munmap(self->ptr + 99 * PAGE, PAGE));
	EXPECT_EQ(-EINVAL, request(MIGRATE_TO_DEV, self->ptr, NPAGES));
	EXPECT_EQ(-EINVAL, request(MIGRATE_TO_SYS, self->ptr, NPAGES));
	test_pages(0);
	test_move(self->ptr, self->data, 99);
	test_pages(99);
}

/* The device runs out of memory during a request. */
MEMORY_TEST(device_is_full)
{
	const size_t npages = DEVICE_PAGES - NPAGES / 2, size = npages * PAGE;
	char *big = mmap(NULL, size, FULL_ACCESS,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, big);
	for (size_t i = 0; i < npages; i += NPAGES)
		test_request(MIGRATE_TO_DEV, big + i * PAGE,
			     npages - i < NPAGES ? npages - i : NPAGES);
	test_pages(npages);
	ASSERT_EQ(-ENOENT, request(MIGRATE_TO_DEV, self->ptr, NPAGES));
	test_pages(DEVICE_PAGES);
	test_local(NPAGES / 2);
	test_device_sees_data();
	ASSERT_EQ(0, munmap(big, size));
	test_pages(NPAGES / 2);
	test_move_all();
	test_cpu_sees_data();
}

/* Access rights, and processes that share pages */

MEMORY_TEST(write_protected_in_the_device)
{
	test_move_all();
	ASSERT_EQ(0, mprotect(self->ptr, SIZE, PROT_READ));
	test_shows(NPAGES, self->local | HMM_DMIRROR_PROT_READ);
	ASSERT_EQ(-EPERM, request(WRITE, self->ptr, NPAGES));
	test_device_sees_data();
	ASSERT_EQ(0, mprotect(self->ptr, SIZE, FULL_ACCESS));
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request(WRITE, self->ptr, NPAGES);
	test_cpu_sees_data();
}

static int check_in_child(const char *ptr, const char *want, int go)
{
	char byte;

	if (read(go, &byte, 1) != 1)
		return 2;
	return !!memcmp(ptr, want, SIZE);
}

/* The device writes to a copy; the child keeps the old data. */
MEMORY_TEST(fork_then_device_writes)
{
	char *old = malloc(SIZE);
	int pipes[2];
	pid_t pid;

	memcpy(old, self->data, SIZE);
	test_move_all();
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(check_in_child(self->ptr, old, pipes[0]));
	test_device_sees_data();
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request(WRITE, self->ptr, NPAGES);
	ASSERT_EQ(1, write(pipes[1], "", 1));
	EXPECT_EQ(0, hmm_wait_child(pid));
	test_device_sees_data();
	test_cpu_sees_data();
	unpin(pipes);
	free(old);
}

/* The parent's device must not see what the child writes. */
MEMORY_TEST(fork_then_child_writes)
{
	pid_t pid;

	test_move_all();
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int differs = memcmp(self->ptr, self->data, SIZE);

		memset(self->ptr, 0x77, SIZE);
		_exit(!!differs);
	}
	EXPECT_EQ(0, hmm_wait_child(pid));
	test_device_sees_data();
	test_cpu_sees_data();
}

/* The opener has exited, but the child still has its pages. */
MEMORY_TEST(child_outlives_the_opener)
{
	int go[2], status[2];
	char byte = 1;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(status));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = hmm_open(variant->unit);

		if (hmm_cmd(fd, HMM_DMIRROR_MIGRATE_TO_DEV, self->ptr,
			    self->buf, NPAGES, NULL))
			_exit(1);
		if (!fork()) {
			close(fd);
			byte = check_in_child(self->ptr, self->data, go[0]);
			_exit(write(status[1], &byte, 1) != 1);
		}
		_exit(0);
	}
	EXPECT_EQ(0, hmm_wait_child(pid));
	ASSERT_EQ(1, write(go[1], "", 1));
	ASSERT_EQ(1, read(status[0], &byte, 1));
	EXPECT_EQ(0, byte);
	unpin(go);
	unpin(status);
}

/*
 * Two devices
 */

MEMORY_TEST(each_device_recognizes_its_own)
{
	uint8_t remote = self->coherent ? HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE |
					  HMM_DMIRROR_PROT_WRITE :
					  HMM_DMIRROR_PROT_NONE;
	int fd[] = { self->fd, self->other };

	for (size_t i = 0; i < NPAGES; i++)
		test_request_by(fd[i & 1], MIGRATE_TO_DEV, self->ptr + i * PAGE,
				1);
	for (size_t k = 0; k < 2; k++) {
		ASSERT_EQ(NPAGES / 2, device_pages(fd[k]));
		test_request_by(fd[k], SNAPSHOT, self->ptr, NPAGES);
		for (size_t i = 0; i < NPAGES; i++)
			ASSERT_EQ((i & 1) == k ? (self->local |
						  HMM_DMIRROR_PROT_WRITE) :
						 remote,
				  (uint8_t)self->buf[i]);
	}
	/*
	 * A request migrates the other device's private pages to system memory
	 */
	test_device_sees_data();
	ASSERT_EQ(NPAGES / 2, device_pages(self->fd));
	ASSERT_EQ(self->coherent ? NPAGES / 2 : 0, device_pages(self->other));
	test_cpu_sees_data();
}

MEMORY_TEST(devices_take_pages_from_each_other)
{
	int fd[] = { self->fd, self->other };

	for (size_t k = 0; k < 10; k++) {
		int to = fd[k & 1], from = fd[!(k & 1)];

		test_request_by(to, MIGRATE_TO_DEV, self->ptr, NPAGES);
		ASSERT_EQ(NPAGES, device_pages(to));
		ASSERT_EQ(0, device_pages(from));
		hmm_fill(self->data, SIZE);
		memcpy(self->buf, self->data, SIZE);
		test_request_by(from, WRITE, self->ptr, NPAGES);
		/*
		 * Pages migrate from system memory only, not from device to
		 * device
		 */
		if (self->coherent) {
			ASSERT_EQ(-ENOENT, request_by(from, MIGRATE_TO_DEV,
						      self->ptr, NPAGES));
			test_request_by(to, MIGRATE_TO_SYS, self->ptr, NPAGES);
		}
		ASSERT_EQ(0, device_pages(to));
		test_cpu_sees_data();
	}
}

/* A migration through one file affects all other files of the device. */
MEMORY_TEST(second_file_of_the_device_follows)
{
	int fd = hmm_open(variant->unit);

	ASSERT_LE(0, fd);
	test_device_sees_data();
	test_request_by(fd, READ, self->ptr, NPAGES);
	test_move_all();
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request_by(fd, WRITE, self->ptr, NPAGES);
	test_pages(NPAGES);
	test_device_sees_data();
	test_request_by(fd, MIGRATE_TO_SYS, self->ptr, NPAGES);
	test_device_sees_data();
	test_cpu_sees_data();
	ASSERT_EQ(0, close(fd));
}

/* Pages that are migrated back */

MEMORY_TEST(close_sends_home_what_the_file_brought)
{
	int fd = hmm_open(variant->unit);

	ASSERT_LE(0, fd);
	test_request(MIGRATE_TO_DEV, self->ptr, NPAGES / 2);
	test_request_by(fd, MIGRATE_TO_DEV, self->ptr, NPAGES);
	test_pages(NPAGES);
	ASSERT_EQ(0, close(fd));
	test_pages(NPAGES / 2);
	test_local(NPAGES / 2);
	test_device_sees_data();
	test_cpu_sees_data();
}

MEMORY_TEST(release_empties_the_device)
{
	int fd = hmm_open(variant->unit);

	ASSERT_LE(0, fd);
	test_request(MIGRATE_TO_DEV, self->ptr, NPAGES / 2);
	test_request_by(fd, MIGRATE_TO_DEV, self->ptr, NPAGES);
	ASSERT_EQ(0, request(RELEASE, self->ptr, 1));
	test_pages(0);
	test_shows(NPAGES, HMM_DMIRROR_PROT_WRITE);
	test_device_sees_data();
	test_move_all();
	ASSERT_EQ(0, close(fd));
	test_pages(NPAGES);
	test_cpu_sees_data();
}

/*
 * Exclusive access
 */

#define test_exclusive(_addr, _data, _npages)				      \
	test_take(EXCLUSIVE, _addr, _data, _npages)

MEMORY_TEST(exclusive_until_the_cpu_touches)
{
	test_exclusive(self->ptr, self->data, NPAGES);
	EXPECT_EQ(-EPERM, request(CHECK_EXCLUSIVE, self->ptr, NPAGES));
	test_shows(NPAGES, HMM_DMIRROR_PROT_NONE);
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request(WRITE, self->ptr, NPAGES);
	EXPECT_EQ(0, self->cmd.faults);
	EXPECT_EQ(self->data[5 * PAGE], cpu_read(self->ptr + 5 * PAGE));
	EXPECT_EQ(0, request(CHECK_EXCLUSIVE, self->ptr + 5 * PAGE, 1));
	EXPECT_EQ(-EPERM, request(CHECK_EXCLUSIVE, self->ptr + 4 * PAGE, 1));
	EXPECT_EQ(-EPERM, request(CHECK_EXCLUSIVE, self->ptr + 6 * PAGE, 1));
	test_cpu_sees_data();
	EXPECT_EQ(0, request(CHECK_EXCLUSIVE, self->ptr, NPAGES));
}

MEMORY_TEST(exclusive_again_and_by_the_other)
{
	test_exclusive(self->ptr, self->data, NPAGES);
	test_exclusive(self->ptr, self->data, NPAGES);
	test_request_by(self->other, EXCLUSIVE, self->ptr, NPAGES);
	EXPECT_EQ(0, request(CHECK_EXCLUSIVE, self->ptr, NPAGES));
	EXPECT_EQ(-EPERM,
		  request_by(self->other, CHECK_EXCLUSIVE, self->ptr, NPAGES));
	test_device_sees_data();
	EXPECT_EQ(0,
		  request_by(self->other, CHECK_EXCLUSIVE, self->ptr, NPAGES));
	test_cpu_sees_data();
}

/* Pages that need a fault first: untouched, zero, shared after fork(). */
MEMORY_TEST(exclusive_faults_pages_in)
{
	pid_t pid;

	ASSERT_EQ(0, madvise(self->ptr, 10 * PAGE, MADV_DONTNEED));
	ASSERT_EQ(0, cpu_read(self->ptr));
	memset(self->data, 0, 10 * PAGE);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(pause());
	test_exclusive(self->ptr, self->data, NPAGES);
	EXPECT_EQ(-EPERM, request(CHECK_EXCLUSIVE, self->ptr, NPAGES));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, hmm_wait_child(pid));
	test_cpu_sees_data();
}

MEMORY_TEST(exclusive_access_to_device_memory)
{
	test_move_all();
	test_exclusive(self->ptr, self->data, NPAGES);
	/* This migrates private memory, which is always exclusive, back */
	test_pages(self->coherent ? NPAGES : 0);
	EXPECT_EQ(-EPERM, request(CHECK_EXCLUSIVE, self->ptr, NPAGES));
	test_cpu_sees_data();
}

/* Pages under exclusive access do not migrate, and are not lost. */
MEMORY_TEST(exclusive_pages_and_migration)
{
	test_exclusive(self->ptr, self->data, NPAGES / 2);
	EXPECT_EQ(-ENOENT, request(MIGRATE_TO_DEV, self->ptr, NPAGES));
	test_pages(NPAGES / 2);
	test_cpu_sees_data();
	test_move_all();
}

MEMORY_TEST(exclusive_is_refused)
{
	char *shared = mmap(NULL, SIZE, FULL_ACCESS, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	ASSERT_NE(MAP_FAILED, shared);
	EXPECT_EQ(-EBUSY, request(EXCLUSIVE, shared, 1));
	ASSERT_EQ(0, munmap(shared, SIZE));
	EXPECT_EQ(-EFAULT, request(EXCLUSIVE, shared, 1));
	ASSERT_EQ(0, mprotect(self->ptr + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, request(EXCLUSIVE, self->ptr, 2));
	ASSERT_EQ(0, mprotect(self->ptr + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(-EFAULT, request(EXCLUSIVE, self->ptr, 2));
	ASSERT_EQ(0, mprotect(self->ptr + PAGE, PAGE, FULL_ACCESS));
	test_exclusive(self->ptr, self->data, 2);
	test_cpu_sees_data();
}

/* An access by the CPU ends exclusive access; another file does not. */
MEMORY_TEST(release_leaves_exclusive_pages)
{
	int fd = hmm_open(variant->unit);

	ASSERT_LE(0, fd);
	test_move_all();
	test_exclusive(self->ptr, self->data, NPAGES);
	EXPECT_EQ(self->coherent ? -EBUSY : 0,
		  request_by(fd, RELEASE, self->ptr, 1));
	test_pages(self->coherent ? NPAGES : 0);
	for (size_t i = 0; i < NPAGES; i++) {
		ASSERT_EQ(-EPERM,
			  request(CHECK_EXCLUSIVE, self->ptr + i * PAGE, 1));
		ASSERT_FALSE(hmm_page_present(self->ptr + i * PAGE));
	}
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request(WRITE, self->ptr, NPAGES);
	EXPECT_EQ(0, self->cmd.faults);
	test_cpu_sees_data();
	EXPECT_EQ(0, request(CHECK_EXCLUSIVE, self->ptr, NPAGES));
	EXPECT_EQ(0, request_by(fd, RELEASE, self->ptr, 1));
	test_pages(0);
	test_cpu_sees_data();
	ASSERT_EQ(0, close(fd));
}

/* Pages next to those under exclusive access are migrated back. */
MEMORY_TEST(release_empties_around_exclusive_pages)
{
	test_move_all();
	test_exclusive(self->ptr + 70 * PAGE, self->data + 70 * PAGE, 3);
	EXPECT_EQ(self->coherent ? -EBUSY : 0, request(RELEASE, self->ptr, 1));
	test_pages(self->coherent ? 3 : 0);
	EXPECT_EQ(-EPERM, request(CHECK_EXCLUSIVE, self->ptr + 70 * PAGE, 3));
	test_cpu_sees_data();
	EXPECT_EQ(0, request(RELEASE, self->ptr, 1));
	test_pages(0);
}

MEMORY_TEST(close_returns_exclusive_access)
{
	int fd = hmm_open(variant->unit);

	ASSERT_LE(0, fd);
	test_request_by(fd, MIGRATE_TO_DEV, self->ptr, NPAGES);
	test_request_by(fd, EXCLUSIVE, self->ptr, NPAGES);
	hmm_fill(self->data, SIZE);
	memcpy(self->buf, self->data, SIZE);
	test_request_by(fd, WRITE, self->ptr, NPAGES);
	test_shows(NPAGES, HMM_DMIRROR_PROT_NONE);
	ASSERT_EQ(0, close(fd));
	test_pages(0);
	test_shows(NPAGES, HMM_DMIRROR_PROT_WRITE);
	test_cpu_sees_data();
}

/*
 * mprotect() takes the pages from the device, but leaves exclusive entries in
 * the CPU's page table. Kernels differ in whether such pages can migrate; they
 * must not be lost.
 */
MEMORY_TEST(exclusive_then_forgotten)
{
	int err;

	test_move_all();
	test_exclusive(self->ptr, self->data, NPAGES);
	ASSERT_EQ(0, mprotect(self->ptr, SIZE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->ptr, SIZE, FULL_ACCESS));
	EXPECT_EQ(0, request(CHECK_EXCLUSIVE, self->ptr, NPAGES));
	err = request(RELEASE, self->ptr, 1);
	ASSERT_TRUE(!err || err == -EBUSY);
	test_cpu_sees_data();
	test_device_sees_data();
	EXPECT_EQ(0, request(RELEASE, self->ptr, 1));
	test_pages(0);
}

/*
 * Some kernels take all of a huge page from the CPU with its first page. Pages
 * that the CPU has back then share a folio with pages that it does not have.
 */
MEMORY_TEST(exclusive_part_of_a_huge_page)
{
	char *base = mmap(NULL, 2 * HUGE, FULL_ACCESS,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *ptr = hmm_huge_align(base);
	char *touched = ptr + 5 * PAGE;

	ASSERT_NE(MAP_FAILED, base);
	ASSERT_EQ(0, madvise(ptr, HUGE, MADV_HUGEPAGE));
	memcpy(ptr, self->data, SIZE);
	test_exclusive(ptr, self->data, 1);
	EXPECT_EQ(self->data[5 * PAGE], cpu_read(touched));
	/* Neither has to succeed */
	hmm_move_pages(touched, 1, !hmm_page_node(touched));
	madvise(ptr, HUGE, MADV_PAGEOUT);
	EXPECT_EQ(self->data[5 * PAGE], cpu_read(touched));
	EXPECT_EQ(0, memcmp(ptr, self->data, SIZE));
	test_request(READ, ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->buf, self->data, SIZE));
	ASSERT_EQ(0, munmap(base, 2 * HUGE));
}

#define ORDER_PAGES	8UL

struct order {
	int	fd;		/* migrates the pages */
	int	other;		/* of another device */
	int	releaser;	/* a second file of the device */
	char	*ptr;
	char	*data;
	char	buf[ORDER_PAGES * PAGE_MAX];
};

static int order_touch(const struct order *o)
{
	for (size_t i = 0; i < ORDER_PAGES; i++)
		__atomic_fetch_add(o->ptr + i * PAGE, 0, __ATOMIC_RELAXED);
	return memcmp(o->ptr, o->data, ORDER_PAGES * PAGE) ? -EIO : 0;
}

static int order_request(struct order *o, int fd, unsigned long request)
{
	return hmm_cmd(fd, request, o->ptr, o->buf, ORDER_PAGES, NULL);
}

/* Run one step of an order. Returns 0, or an error that is not allowed. */
static int order_step(struct order *o, char step)
{
	const size_t size = ORDER_PAGES * PAGE;
	int err;

	switch (step) {
	case 'd':	/* to the device */
		return order_request(o, o->fd, HMM_DMIRROR_MIGRATE_TO_DEV);
	case 'e':	/* exclusive access */
		return order_request(o, o->fd, HMM_DMIRROR_EXCLUSIVE);
	case 'o':	/* exclusive access for the other device */
		return order_request(o, o->other, HMM_DMIRROR_EXCLUSIVE);
	case 'p':	/* invalidate, with the same protection at the end */
		return mprotect(o->ptr, size, PROT_READ) ||
		       mprotect(o->ptr, size, FULL_ACCESS);
	case 'r':	/* RELEASE */
		err = order_request(o, o->releaser, HMM_DMIRROR_RELEASE);
		return err == -EBUSY ? 0 : err;
	case 'c':	/* touched by the CPU */
		return order_touch(o);
	case 'x':
		return close(o->fd);
	case 'm':
		return munmap(o->ptr, size);
	}
	return -EINVAL;
}

/* No page may stay in the device, whatever the order of the steps. */
MEMORY_TEST(exclusive_pages_are_freed_in_any_order)
{
	static const char *const orders[] = {
		"dexm", "dexrm", "dexcm", "dexcrm", "dexrcm", "derxm",
		"dercxm", "derxcm", "decxm", "decrxm", "demx", "dermx",
		"derrmx", "decmx", "doxm", "doxrm", "doxcm", "doxcrm",
		"dorxm", "dorcxm", "domx", "dormx", "deoxm", "doerxm",
		"depxm", "depxrm", "depxcm", "deprxm", "deprcxm", "depmx",
		"deprmx", "dopxrm", "dopxcrm", "doprmx",
	};
	struct order o = {
		.other = self->other,
		.releaser = self->fd,
		.data = self->data,
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		o.fd = hmm_open(variant->unit);
		ASSERT_LE(0, o.fd);
		o.ptr = mmap(NULL, ORDER_PAGES * PAGE, FULL_ACCESS,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, o.ptr);
		memcpy(o.ptr, o.data, ORDER_PAGES * PAGE);
		for (const char *step = orders[i]; *step; step++) {
			ASSERT_EQ(0, order_step(&o, *step))
				TH_LOG("'%c' of %s", *step, orders[i]);
		}
		EXPECT_EQ(0, device_pages(self->fd))
			TH_LOG("after %s", orders[i]);
	}
}

/* Writes of the device are visible to programs that track writes */

#define TRACK_PAGES	16UL
#define TRACK_SIZE	(TRACK_PAGES * PAGE)

/* Place of the memory at the start of tracking. */
enum track_place { TRACK_SYSTEM, TRACK_DEVICE, TRACK_EXCLUSIVE, TRACK_PLACES };

static const unsigned long track_requests[] = {
	[TRACK_SYSTEM] = HMM_DMIRROR_READ,
	[TRACK_DEVICE] = HMM_DMIRROR_MIGRATE_TO_DEV,
	[TRACK_EXCLUSIVE] = HMM_DMIRROR_EXCLUSIVE,
};

/* Register memory for PAGEMAP_SCAN; return a userfaultfd, or -errno. */
static int track_open(void *addr, size_t size)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = size },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int err, fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* The number of pages written since @flags write-protected them, or -errno. */
static long track_written(const void *addr, size_t size, uint64_t flags)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct page_region regions[TRACK_PAGES];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + size,
		.vec = (uintptr_t)regions,
		.vec_len = TRACK_PAGES,
		.category_anyof_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	long n = ioctl(pagemap, PAGEMAP_SCAN, &arg), pages = 0;

	if (n < 0)
		pages = -errno;
	for (long i = 0; i < n; i++)
		pages += (regions[i].end - regions[i].start) / PAGE;
	close(pagemap);
	return pages;
}

#define TRACK_PROTECT	(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC)

/* Write new content and move the memory to its place. */
#define test_track_place(_place) do {					      \
	hmm_fill(self->data, TRACK_SIZE);				      \
	memcpy(self->ptr, self->data, TRACK_SIZE);			      \
	ASSERT_EQ(0, hmm_cmd(self->fd, track_requests[_place], self->ptr,     \
			     self->buf, TRACK_PAGES, &self->cmd));	      \
} while (0)

/* Write every page, by the device or by the CPU. */
#define test_track_write(_by_cpu) do {					      \
	hmm_fill(self->data, TRACK_SIZE);				      \
	memcpy(self->buf, self->data, TRACK_SIZE);			      \
	if (_by_cpu)							      \
		memcpy(self->ptr, self->data, TRACK_SIZE);		      \
	else								      \
		test_request(WRITE, self->ptr, TRACK_PAGES);		      \
} while (0)

MEMORY_TEST(pagemap_scan_sees_writes)
{
	int uffd = track_open(self->ptr, TRACK_SIZE);

	ASSERT_LE(0, uffd);
	for (unsigned int i = 0; i < 2 * TRACK_PLACES; i++) {
		test_track_place(i / 2);
		/*
		 * Twice, as nothing is written between the first and the second
		 */
		ASSERT_LE(0,
			  track_written(self->ptr, TRACK_SIZE, TRACK_PROTECT));
		ASSERT_EQ(0,
			  track_written(self->ptr, TRACK_SIZE, TRACK_PROTECT));
		test_track_write(i & 1);
		EXPECT_EQ(TRACK_PAGES, track_written(self->ptr, TRACK_SIZE, 0))
			TH_LOG("place %u, by the %s", i / 2,
			       i & 1 ? "CPU" : "device");
		EXPECT_EQ(0, memcmp(self->ptr, self->data, TRACK_SIZE));
	}
	ASSERT_EQ(0, close(uffd));
}

static int clear_soft_dirty(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, "4", 1) != 1 ? -errno : 0;

	close(fd);
	return err;
}

/*
 * Skip private memory: the kernel does not write-protect its entries for
 * soft-dirty tracking, so that even writes of the CPU are not recorded.
 */
MEMORY_TEST(soft_dirty_sees_writes)
{
	/* A new mapping is soft-dirty where the kernel tracks that */
	if (!hmm_count_pagemap(self->ptr, 1, PM_SOFT_DIRTY))
		SKIP(return, "no soft-dirty tracking in this kernel");
	for (unsigned int i = 0; i < 2 * TRACK_PLACES; i++) {
		if (i / 2 == TRACK_DEVICE && !self->coherent)
			continue;
		test_track_place(i / 2);
		ASSERT_EQ(0, clear_soft_dirty());
		ASSERT_EQ(0, hmm_count_pagemap(self->ptr, TRACK_PAGES,
					       PM_SOFT_DIRTY));
		test_track_write(i & 1);
		EXPECT_EQ(TRACK_PAGES, hmm_count_pagemap(self->ptr, TRACK_PAGES,
							 PM_SOFT_DIRTY))
			TH_LOG("place %u, by the %s", i / 2,
			       i & 1 ? "CPU" : "device");
	}
}

/*
 * Races
 */

/**
 * struct target - memory and a device for the second thread of a race
 * @ptr: the memory
 * @fd: the device
 * @go: number of the round that may start, for discard_on_go()
 */
struct target {
	char		*ptr;
	int		fd;
	uint64_t	go;
};

/* In a test that has a race and a target. */
#define test_race_start(_round) do {					      \
	target = (struct target){ .ptr = self->ptr, .fd = self->fd };	      \
	ASSERT_EQ(0, race_start(&race, RACE_SECONDS, _round, &target));	      \
} while (0)

static int remap_half(struct race *race, uint64_t k)
{
	struct target *target = race->arg;
	char *ptr = target->ptr;

	if (munmap(ptr, SIZE / 2) ||
	    mmap(ptr, SIZE / 2, FULL_ACCESS,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != ptr)
		return -errno;
	memset(ptr, k, SIZE / 2);
	usleep(1000);
	return 0;
}

MEMORY_TEST(race_with_munmap)
{
	struct target target;
	struct race race;
	uint64_t k;
	size_t moved = 0;
	int err;

	test_race_start(remap_half);
	for (k = 0; race_lasts(&race, k); k++) {
		err = request(MIGRATE_TO_DEV, self->ptr, NPAGES);
		ASSERT_TRUE(!err || err == -ENOENT || err == -EINVAL);
		moved += device_pages(self->fd) > 0;
		err = request(MIGRATE_TO_SYS, self->ptr, NPAGES);
		ASSERT_TRUE(!err || err == -EINVAL);
	}
	ASSERT_EQ(0, race_stop(&race));
	EXPECT_LT(0, moved);
	EXPECT_EQ(0, memcmp(self->ptr + SIZE / 2, self->data + SIZE / 2,
			    SIZE / 2));
}

/* Discard once in each round that the first thread starts, after a while. */
static int discard_on_go(struct race *race, uint64_t k)
{
	struct target *target = race->arg;

	while (__atomic_load_n(&target->go, __ATOMIC_ACQUIRE) < k)
		if (race_stopped(race))
			return 0;
	usleep(k * 37 % 1500);
	return madvise(target->ptr, SIZE, MADV_DONTNEED) ? -errno : 0;
}

/*
 * The device has seen the invalidation of the discard, but the pages are still
 * mapped: it must not get entries for pages that are then freed.
 */
MEMORY_TEST(race_of_exclusive_with_discard)
{
	struct target target;
	struct race race;
	uint64_t k;
	int err;

	test_race_start(discard_on_go);
	for (k = 0; race_lasts(&race, k); k++) {
		__atomic_store_n(&target.go, k + 1, __ATOMIC_RELEASE);
		err = request(EXCLUSIVE, self->ptr, NPAGES);
		ASSERT_TRUE(!err || err == -EBUSY);
		while (race_rounds(&race) <= k)
			sched_yield();
		memset(self->buf, k + 1, SIZE);
		test_request(WRITE, self->ptr, NPAGES);
		ASSERT_EQ(0, memcmp(self->ptr, self->buf, SIZE));
	}
	ASSERT_EQ(0, race_stop(&race));
}

static int count_pages(struct race *race, uint64_t k)
{
	struct target *target = race->arg;

	for (size_t i = 0; i < NPAGES; i++)
		__atomic_fetch_add((uint64_t *)(target->ptr + i * PAGE), 1,
				   __ATOMIC_RELAXED);
	return 0;
}

/* A store of the CPU between the copy and the unmapping must not be lost. */
MEMORY_TEST(race_with_cpu_stores)
{
	struct target target;
	struct race race;
	uint64_t k;
	int err;

	memset(self->ptr, 0, SIZE);
	test_race_start(count_pages);
	for (k = 0; race_lasts(&race, k); k++) {
		err = request(MIGRATE_TO_DEV, self->ptr, NPAGES);
		ASSERT_TRUE(!err || err == -ENOENT);
		ASSERT_EQ(0, request(MIGRATE_TO_SYS, self->ptr, NPAGES));
	}
	ASSERT_EQ(0, race_stop(&race));
	for (size_t i = 0; i < NPAGES; i++)
		ASSERT_EQ(race.rounds, *(uint64_t *)(self->ptr + i * PAGE));
}

static int migrate_there_and_back(struct race *race, uint64_t k)
{
	struct target *target = race->arg;
	static char buf[NPAGES * PAGE_MAX];
	int err;

	err = hmm_cmd(target->fd, HMM_DMIRROR_MIGRATE_TO_DEV, target->ptr, buf,
		      NPAGES, NULL);
	if (err && err != -ENOENT)
		return err;
	return hmm_cmd(target->fd, HMM_DMIRROR_MIGRATE_TO_SYS, target->ptr, buf,
		       NPAGES, NULL);
}

/* Data written by the device must be found wherever the page is now. */
MEMORY_TEST(race_of_device_stores_with_migration)
{
	struct target target;
	struct race race;
	uint64_t k;

	test_race_start(migrate_there_and_back);
	for (k = 0; race_lasts(&race, k); k++) {
		hmm_fill(self->data, SIZE);
		memcpy(self->buf, self->data, SIZE);
		test_request(WRITE, self->ptr, NPAGES);
		test_device_sees_data();
	}
	ASSERT_EQ(0, race_stop(&race));
	test_cpu_sees_data();
}

/*
 * The same through another file, which sees the migration only by its mirror.
 */
MEMORY_TEST(race_of_second_file_with_migration)
{
	int fd = hmm_open(variant->unit);
	struct target target;
	struct race race;
	uint64_t k;

	ASSERT_LE(0, fd);
	test_race_start(migrate_there_and_back);
	for (k = 0; race_lasts(&race, k); k++) {
		hmm_fill(self->data, SIZE);
		memcpy(self->buf, self->data, SIZE);
		test_request_by(fd, WRITE, self->ptr, NPAGES);
		test_request_by(fd, READ, self->ptr, NPAGES);
		ASSERT_EQ(0, memcmp(self->buf, self->data, SIZE));
	}
	ASSERT_EQ(0, race_stop(&race));
	test_cpu_sees_data();
	ASSERT_EQ(0, close(fd));
}

MEMORY_TEST(race_of_two_devices)
{
	struct target target;
	struct race race;
	uint64_t k;
	int err;

	test_race_start(migrate_there_and_back);
	for (k = 0; race_lasts(&race, k); k++) {
		err = request_by(self->other, MIGRATE_TO_DEV, self->ptr,
				 NPAGES);
		ASSERT_TRUE(!err || err == -ENOENT);
		test_request_by(self->other, READ, self->ptr, NPAGES);
		ASSERT_EQ(0, memcmp(self->buf, self->data, SIZE));
	}
	ASSERT_EQ(0, race_stop(&race));
	test_cpu_sees_data();
}

MEMORY_TEST(race_of_release_with_migration)
{
	struct target target;
	struct race race;
	uint64_t k;
	int err;

	test_race_start(migrate_there_and_back);
	for (k = 0; race_lasts(&race, k); k++) {
		err = request(RELEASE, self->ptr, 1);
		ASSERT_TRUE(!err || err == -EBUSY);
	}
	ASSERT_EQ(0, race_stop(&race));
	test_cpu_sees_data();
}

/* In a child: migrate forever. */
static void migrate_in_child(unsigned int unit, char *ptr, int out)
{
	struct target target = { .ptr = ptr, .fd = hmm_open(unit) };
	struct race race = { .arg = &target };
	char *buf = malloc(SIZE);

	if (target.fd < 0 ||
	    hmm_cmd(target.fd, HMM_DMIRROR_MIGRATE_TO_DEV, ptr, buf, NPAGES,
		    NULL) ||
	    write(out, "", 1) != 1)
		_exit(1);
	while (!migrate_there_and_back(&race, 0))
		;
	_exit(2);
}

MEMORY_TEST(killed_while_migrating)
{
	int pipes[2];
	char byte;

	ASSERT_EQ(0, pipe(pipes));
	for (unsigned int i = 0; i < 12; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			memset(self->ptr, i, SIZE);
			migrate_in_child(variant->unit, self->ptr, pipes[1]);
		}
		ASSERT_EQ(1, read(pipes[0], &byte, 1));
		usleep(700 * i);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(256 + SIGKILL, hmm_wait_child(pid));
		ASSERT_EQ(0, device_pages_settled(self->fd, 0));
	}
	unpin(pipes);
	test_cpu_sees_data();
}

MEMORY_TEST(exits_while_a_thread_migrates)
{
	for (unsigned int i = 0; i < 8; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			struct target target = { .ptr = self->ptr };
			struct race race;

			memset(self->ptr, i, SIZE);
			target.fd = hmm_open(variant->unit);
			if (race_start(&race, 0, migrate_there_and_back,
				       &target))
				_exit(1);
			usleep(500 + 900 * i);
			_exit(race.failed ? 2 : 0);
		}
		EXPECT_EQ(0, hmm_wait_child(pid));
		ASSERT_EQ(0, device_pages_settled(self->fd, 0));
	}
	test_cpu_sees_data();
}

/* Unloading and loading the module after all kinds of use */

enum end {
	END_CLOSE,	/* close the file while the memory is mapped */
	END_EXIT,	/* exit with pages in the device */
	END_CRASH,	/* the same, by a signal */
	END_KILL,	/* in the middle of a migration */
};

/* A worker of the kernel may free the pages of a process that has exited. */
static int reload(void)
{
	double end = hmm_now() + WAIT_SECONDS;
	int err;

	while ((err = hmm_module_reload(HMM_MODULE, "")) == -EWOULDBLOCK &&
	       hmm_now() < end)
		usleep(1000);
	return err;
}

static void use_and_end(unsigned int unit, enum end how, int out)
{
	char *ptr = mmap(NULL, SIZE, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	char *data = malloc(SIZE), *buf = malloc(SIZE);
	int fd = hmm_open(unit);

	hmm_fill(data, SIZE);
	memcpy(ptr, data, SIZE);
	if (how == END_KILL) {
		close(fd);
		migrate_in_child(unit, ptr, out);
	}
	if (fd < 0 ||
	    hmm_cmd(fd, HMM_DMIRROR_MIGRATE_TO_DEV, ptr, buf, NPAGES, NULL) ||
	    device_pages(fd) != NPAGES)
		_exit(1);
	if (how == END_CRASH) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	} else if (how == END_CLOSE) {
		close(fd);
		/* Reload while the memory is mapped, then check it */
		if (reload() || memcmp(ptr, data, SIZE))
			_exit(3);
	}
	_exit(0);
}

#define test_end(_unit, _end, _status) do {				      \
	enum end _how = _end;						      \
	int _pipes[2];							      \
	char _byte;							      \
	pid_t _pid;							      \
									      \
	ASSERT_EQ(0, pipe(_pipes));					      \
	_pid = fork();							      \
	ASSERT_LE(0, _pid);						      \
	if (!_pid)							      \
		use_and_end(_unit, _how, _pipes[1]);			      \
	if (_how == END_KILL) {						      \
		ASSERT_EQ(1, read(_pipes[0], &_byte, 1));		      \
		usleep(5000);						      \
		ASSERT_EQ(0, kill(_pid, SIGKILL));			      \
	}								      \
	ASSERT_EQ(_status, hmm_wait_child(_pid));				      \
	unpin(_pipes);							      \
	ASSERT_EQ(0, reload());						      \
} while (0)

/* These tests start with no file of the device open. */
FIXTURE(module)
{
};

FIXTURE_VARIANT(module)
{
	unsigned int unit;
};

FIXTURE_VARIANT_ADD(module, private) { .unit = 0, };
FIXTURE_VARIANT_ADD(module, coherent) { .unit = 2, };

/* True if the device exists and its module can be loaded again. */
static bool can_reload(unsigned int unit)
{
	hmm_module_need(HMM_MODULE, HMM_NODE);
	return !access(unit ? "/dev/hmm_dmirror2" : HMM_NODE, F_OK) &&
	       hmm_module_find(HMM_MODULE);
}

FIXTURE_SETUP(module)
{
	if (!can_reload(variant->unit))
		SKIP(return, NO_DEVICE);
}

FIXTURE_TEARDOWN(module)
{
}

#define MODULE_TEST(_name) TEST_F_TIMEOUT(module, _name, SECONDS)

/* After a reload all of the module's memory must be free. */
MODULE_TEST(goes_after_a_close)
{
	test_end(variant->unit, END_CLOSE, 0);
	test_end(variant->unit, END_EXIT, 0);
}

MODULE_TEST(goes_after_a_crash)
{
	test_end(variant->unit, END_CRASH, 256 + SIGSEGV);
	test_end(variant->unit, END_EXIT, 0);
}

MODULE_TEST(goes_after_a_kill_while_migrating)
{
	test_end(variant->unit, END_KILL, 256 + SIGKILL);
	test_end(variant->unit, END_EXIT, 0);
}

/* Private memory cannot be pinned, so a close always frees it. */
FIXTURE(coherent_module)
{
};

FIXTURE_SETUP(coherent_module)
{
	if (!can_reload(2))
		SKIP(return, NO_DEVICE);
}

FIXTURE_TEARDOWN(coherent_module)
{
}

/* Unloading fails at once, as the pages may stay in use forever. */
TEST_F_TIMEOUT(coherent_module, stays_while_pages_are_in_use, SECONDS)
{
	char *ptr = mmap(NULL, PAGE, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	int fd = hmm_open(2), pipes[2];
	char buf[PAGE];

	ASSERT_LE(0, fd);
	ASSERT_NE(MAP_FAILED, ptr);
	memset(ptr, 1, PAGE);
	ASSERT_EQ(0, hmm_cmd(fd, HMM_DMIRROR_MIGRATE_TO_DEV, ptr, buf, 1,
			     NULL));
	ASSERT_EQ(0, pin(pipes, ptr, 1));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(-EWOULDBLOCK, hmm_module_reload(HMM_MODULE, ""));
	fd = hmm_open(2);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, device_pages(fd));
	EXPECT_EQ(-EBUSY, hmm_cmd(fd, HMM_DMIRROR_RELEASE, ptr, NULL, 1, NULL));
	unpin(pipes);
	EXPECT_EQ(0, hmm_cmd(fd, HMM_DMIRROR_RELEASE, ptr, NULL, 1, NULL));
	EXPECT_EQ(1, ptr[0]);
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(0, hmm_module_reload(HMM_MODULE, ""));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

TEST_HARNESS_MAIN
