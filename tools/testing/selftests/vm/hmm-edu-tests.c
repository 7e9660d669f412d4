// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of a device with a DMA engine, behind an IOMMU, on the memory of a
 * process: QEMU's edu devices with the driver in samples/hmm.
 *
 * A transfer takes the engine 100 ms, which leaves time to change the memory
 * during the transfer. Tests that depend on it repeat until the driver reports
 * that it had to restart a transfer.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <pthread.h>
#include <signal.h>

#include "hmm-edu.h"
#include "hmm-fail.h"
#include "hmm-module.h"

#define LEN		EDU_MIRROR_MAX

/* A race that was not hit in this many rounds is not possible. */
#define ROUNDS		60

#define MODULE		"edu_mirror"

/* Memory that would reuse a page that was freed too early. */
#define CANARY_SIZE	(64 * PAGE)
#define CANARY		0xc3

static char *canary_map(void)
{
	char *canary = mmap(NULL, CANARY_SIZE, FULL_ACCESS,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (canary != MAP_FAILED)
		memset(canary, CANARY, CANARY_SIZE);
	return canary;
}

static bool canary_lives(const char *canary)
{
	for (size_t i = 0; i < CANARY_SIZE; i++)
		if ((unsigned char)canary[i] != CANARY)
			return false;
	return true;
}

static char *map_anon(size_t size)
{
	return mmap(NULL, size, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
}

FIXTURE(edu)
{
	int			fd;
	char			data[LEN];
	char			buf[LEN];
	struct edu_mirror_copy	copy;
};

#define NO_DEVICE	"no edu device at " EDU ", or no " MODULE ".ko"

/* Open the device, with its module loaded if possible. */
static int open_first(void)
{
	hmm_module_need(MODULE, "/dev/edu_mirror0");
	return edu_open(EDU);
}

FIXTURE_SETUP(edu)
{
	self->fd = open_first();
	if (self->fd == -ENOENT)
		SKIP(return, NO_DEVICE);
	ASSERT_LE(0, self->fd);
	hmm_fill(self->data, LEN);
	memset(self->buf, 0, LEN);
}

FIXTURE_TEARDOWN(edu)
{
	EXPECT_EQ(0, close(self->fd));
}

#define EDU_TEST(_name) TEST_F_TIMEOUT(edu, _name, SECONDS)

/* The device must read @_len bytes at @_from and write them to @_to. */
#define test_carries(_fd, _from, _to, _len) do {			      \
	ASSERT_EQ(0, edu_load(_fd, _from, _len, &self->copy));		      \
	ASSERT_EQ(0, edu_store(_fd, _to, _len, &self->copy));		      \
	ASSERT_EQ(0, memcmp(_to, _from, _len));				      \
} while (0)

enum kind { ANON, THP, HUGETLB, FILE_SHARED, ANON_SHARED };

FIXTURE(kind)
{
	int			fd;
	char			*ptr;
	size_t			size;
	struct edu_mirror_copy	copy;
};

FIXTURE_VARIANT(kind)
{
	enum kind kind;
};

FIXTURE_VARIANT_ADD(kind, anon) { .kind = ANON, };
FIXTURE_VARIANT_ADD(kind, thp) { .kind = THP, };
FIXTURE_VARIANT_ADD(kind, hugetlb) { .kind = HUGETLB, };
FIXTURE_VARIANT_ADD(kind, file) { .kind = FILE_SHARED, };
FIXTURE_VARIANT_ADD(kind, shared) { .kind = ANON_SHARED, };

static char *map_thp(size_t size)
{
	char *ptr = mmap(NULL, size + HUGE, FULL_ACCESS,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *aligned = hmm_huge_align(ptr);

	if (ptr == MAP_FAILED || madvise(aligned, size, MADV_HUGEPAGE))
		return MAP_FAILED;
	return aligned;
}

static char *map_file(size_t size)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *ptr = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, size))
		ptr = mmap(NULL, size, FULL_ACCESS, MAP_SHARED, fd, 0);
	close(fd);
	return ptr;
}

static char *map_kind(enum kind kind, size_t size)
{
	switch (kind) {
	case THP:
		return map_thp(size);
	case HUGETLB:
		return mmap(NULL, size, FULL_ACCESS,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	case FILE_SHARED:
		return map_file(size);
	case ANON_SHARED:
		return mmap(NULL, size, FULL_ACCESS, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);
	default:
		return map_anon(size);
	}
}

FIXTURE_SETUP(kind)
{
	self->fd = open_first();
	if (self->fd == -ENOENT)
		SKIP(return, NO_DEVICE);
	ASSERT_LE(0, self->fd);
	if (variant->kind == THP || variant->kind == HUGETLB) {
		if (hmm_too_huge())
			SKIP(return, TOO_HUGE);
		self->size = HUGE;
	} else {
		self->size = 16 * PAGE;
	}
	self->ptr = map_kind(variant->kind, self->size);
	ASSERT_NE(MAP_FAILED, self->ptr);
	hmm_fill(self->ptr, self->size / 2);
}

FIXTURE_TEARDOWN(kind)
{
	EXPECT_EQ(0, munmap(self->ptr, self->size));
	EXPECT_EQ(0, close(self->fd));
}

/* From present memory, to memory that was never touched. */
TEST_F_TIMEOUT(kind, is_carried, SECONDS)
{
	if (variant->kind == THP)
		ASSERT_LT(0, hmm_smaps(self->ptr, "AnonHugePages:"));
	test_carries(self->fd, self->ptr, self->ptr + self->size / 2, LEN);
	/* At any offset in a page, and across pages */
	test_carries(self->fd, self->ptr + 3 * PAGE - 77,
		     self->ptr + 7 * PAGE - 1000, 1234);
}

EDU_TEST(one_byte_is_carried)
{
	char *ptr = map_anon(PAGE);

	ASSERT_NE(MAP_FAILED, ptr);
	memcpy(ptr, self->data, LEN);
	ptr[PAGE - 1] = 'x';
	ASSERT_EQ(0, edu_load(self->fd, ptr + PAGE - 1, 1, NULL));
	ASSERT_EQ(0, edu_store(self->fd, ptr + 10, 1, NULL));
	EXPECT_EQ('x', ptr[10]);
	ptr[10] = self->data[10];
	EXPECT_EQ(0, memcmp(ptr, self->data, LEN));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

/* Data written to a mapping of a file must be in the file. */
EDU_TEST(file_has_what_the_device_wrote)
{
	int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *ptr;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, PAGE));
	ptr = mmap(NULL, PAGE, FULL_ACCESS, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, ptr);
	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
	ASSERT_EQ(0, edu_store(self->fd, ptr, LEN, NULL));
	ASSERT_EQ(0, munmap(ptr, PAGE));
	ASSERT_EQ(LEN, pread(file, self->buf, LEN, 0));
	EXPECT_EQ(0, memcmp(self->buf, self->data, LEN));
	ASSERT_EQ(0, close(file));
}

/* The device's write must make the page dirty, or the old copy comes back. */
EDU_TEST(swap_has_what_the_device_wrote)
{
	char *ptr = map_anon(PAGE);

	ASSERT_NE(MAP_FAILED, ptr);
	memset(ptr, 1, PAGE);
	/* Swap out and in: the page is clean, with a copy in swap */
	ASSERT_EQ(1, hmm_swap_out(ptr, 1));
	ASSERT_EQ(1, cpu_read(ptr));
	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
	ASSERT_EQ(0, edu_store(self->fd, ptr, LEN, NULL));
	ASSERT_EQ(1, hmm_swap_out(ptr, 1));
	EXPECT_EQ(0, memcmp(ptr, self->data, LEN));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

/* The same for a page that reclaim drops while it is clean. */
EDU_TEST(free_memory_has_what_the_device_wrote)
{
	char *ptr = map_anon(PAGE);

	ASSERT_NE(MAP_FAILED, ptr);
	memset(ptr, 1, PAGE);
	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
	ASSERT_EQ(0, madvise(ptr, PAGE, MADV_FREE));
	ASSERT_EQ(0, edu_store(self->fd, ptr, LEN, NULL));
	ASSERT_EQ(1, hmm_swap_out(ptr, 1));
	EXPECT_EQ(0, memcmp(ptr, self->data, LEN));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

/* Access that is not permitted */

EDU_TEST(protection_holds_for_the_device)
{
	char *ptr = map_anon(2 * PAGE);

	ASSERT_NE(MAP_FAILED, ptr);
	memcpy(ptr, self->data, LEN);
	ASSERT_EQ(0, mprotect(ptr, PAGE, PROT_READ));
	EXPECT_EQ(0, edu_load(self->fd, ptr, LEN, NULL));
	EXPECT_EQ(-EPERM, edu_store(self->fd, ptr, LEN, NULL));
	/* Only half of it is writable, so nothing is written */
	EXPECT_EQ(-EPERM, edu_store(self->fd, ptr + PAGE - 8, 16, NULL));
	EXPECT_EQ(0, ptr[PAGE]);
	ASSERT_EQ(0, mprotect(ptr, PAGE, PROT_NONE));
	EXPECT_EQ(-EFAULT, edu_load(self->fd, ptr, LEN, NULL));
	EXPECT_EQ(-EFAULT, edu_store(self->fd, ptr, LEN, NULL));
	ASSERT_EQ(0, munmap(ptr, PAGE));
	EXPECT_EQ(-EFAULT, edu_load(self->fd, ptr, LEN, NULL));
	ASSERT_EQ(0, munmap(ptr + PAGE, PAGE));
}

EDU_TEST(bad_requests_are_refused)
{
	EXPECT_EQ(-EINVAL, edu_load(self->fd, self->data, 0, NULL));
	EXPECT_EQ(-EINVAL, edu_load(self->fd, self->data, LEN + 1, NULL));
	EXPECT_EQ(-EINVAL, edu_load(self->fd, (void *)-LEN, LEN, NULL));
	EXPECT_EQ(-EINVAL, edu_load(self->fd, (void *)-1, 1, NULL));
	EXPECT_EQ(-1, ioctl(self->fd, EDU_MIRROR_LOAD, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(self->fd, EDU_MIRROR_REPLAY + 1, NULL));
	EXPECT_EQ(ENOTTY, errno);
}

/* A child inherits the file, but not the address space it mirrors. */
EDU_TEST(another_process_is_refused)
{
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(edu_load(self->fd, self->data, LEN, NULL) == -EPERM ? 0 :
									    1);
	EXPECT_EQ(0, hmm_wait_child(pid));
	EXPECT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
}

/*
 * The driver rejects a device with 28 address bits, as the guest has no memory
 * that the DMA API could give it. With 32 address bits it accepts the device.
 */
EDU_TEST(device_without_iommu_is_refused)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	const char *slot = edu_open_slot();
	char text[64];
	int fd;

	ASSERT_LE(0, log);
	ASSERT_EQ(-ENOENT, edu_open(slot));
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(0, hmm_module_reload(MODULE, "dma_bits=32"));
	fd = edu_open(slot);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, edu_load(fd, self->data, LEN, NULL));
	EXPECT_EQ(-EOPNOTSUPP, edu_store(fd, self->buf, LEN, NULL));
	ASSERT_EQ(0, close(fd));
	ASSERT_LE(0, lseek(log, 0, SEEK_END));
	ASSERT_EQ(0, hmm_module_reload(MODULE, ""));
	snprintf(text, sizeof(text), "%s: left alone: 28 address bits", slot);
	EXPECT_TRUE(edu_log_has(log, text, 60));
	ASSERT_EQ(0, close(log));
	self->fd = edu_open(EDU);
	ASSERT_LE(0, self->fd);
}

/* DMA addresses */

EDU_TEST(device_gets_addresses_that_it_can_reach)
{
	test_carries(self->fd, self->data, self->buf, LEN);
	EXPECT_GT(1ULL << 28, self->copy.iova);
	EXPECT_LT(0, self->copy.iova);
}

/* For the device with 28 address bits QEMU would truncate these addresses. */
EDU_TEST(wide_device_gets_high_addresses)
{
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(0, hmm_module_reload(MODULE, "dma_bits=40"));
	self->fd = edu_open(EDU_WIDE);
	ASSERT_LE(0, self->fd);
	test_carries(self->fd, self->data, self->buf, LEN);
	EXPECT_LE(1ULL << 28, self->copy.iova);
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(0, hmm_module_reload(MODULE, ""));
	self->fd = edu_open(EDU);
	ASSERT_LE(0, self->fd);
}

/* The IOMMU stops transfers to memory that the driver has unmapped */

EDU_TEST(write_after_munmap_faults)
{
	char *ptr = map_anon(PAGE), *canary;

	ASSERT_NE(MAP_FAILED, ptr);
	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
	ASSERT_EQ(0, edu_store(self->fd, ptr, LEN, NULL));
	ASSERT_EQ(0, memcmp(ptr, self->data, LEN));
	ASSERT_EQ(0, edu_store(self->fd, ptr, EDU_WORD, &self->copy));
	ASSERT_EQ(0, munmap(ptr, PAGE));
	canary = canary_map();
	ASSERT_NE(MAP_FAILED, canary);
	EXPECT_TRUE(edu_replay_faults(self->fd, self->copy.iova));
	EXPECT_TRUE(canary_lives(canary));
	ASSERT_EQ(0, munmap(canary, CANARY_SIZE));
}

/* The device must not read the new content of the page either. */
EDU_TEST(read_after_munmap_faults)
{
	char *ptr = map_anon(PAGE), *canary;

	ASSERT_NE(MAP_FAILED, ptr);
	memcpy(ptr, self->data, LEN);
	ASSERT_EQ(0, edu_load(self->fd, ptr, LEN, NULL));
	ASSERT_EQ(0, edu_load(self->fd, ptr, EDU_WORD, &self->copy));
	ASSERT_EQ(0, munmap(ptr, PAGE));
	canary = canary_map();
	ASSERT_NE(MAP_FAILED, canary);
	EXPECT_TRUE(edu_replay_faults(self->fd, self->copy.iova));
	ASSERT_EQ(0, edu_store(self->fd, self->buf, LEN, NULL));
	EXPECT_NE(0, memcmp(self->buf, canary, EDU_WORD));
	ASSERT_EQ(0, munmap(canary, CANARY_SIZE));
}

/* Memory that changes during a transfer */

struct transfer {
	int			fd;
	char			*ptr;
	bool			begun;
	int			err;
	struct edu_mirror_copy	copy;
};

static void *store_once(void *arg)
{
	struct transfer *t = arg;

	__atomic_store_n(&t->begun, true, __ATOMIC_RELEASE);
	t->err = edu_store(t->fd, t->ptr, LEN, &t->copy);
	return NULL;
}

/* Return while the engine is working, or shortly before or after that. */
static int transfer_begin(struct transfer *t, pthread_t *thread, int fd,
			  char *ptr, unsigned int round)
{
	*t = (struct transfer){ .fd = fd, .ptr = ptr };
	if (pthread_create(thread, NULL, store_once, t))
		return -EAGAIN;
	while (!__atomic_load_n(&t->begun, __ATOMIC_ACQUIRE))
		sched_yield();
	usleep(5000 + round * 7919 % 90000);
	return 0;
}

/*
 * The page is unmapped while the device writes to it. Memory that is mapped at
 * other addresses right afterwards must not be written.
 */
EDU_TEST(transfer_races_munmap)
{
	unsigned int lost = 0, done = 0, round;

	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
	for (round = 0; round < ROUNDS && lost < 3; round++) {
		struct transfer t;
		pthread_t thread;
		char *ptr = map_anon(PAGE), *canary;

		ASSERT_NE(MAP_FAILED, ptr);
		memset(ptr, 0, PAGE);
		ASSERT_EQ(0, transfer_begin(&t, &thread, self->fd, ptr, round));
		ASSERT_EQ(0, munmap(ptr, PAGE));
		canary = canary_map();
		ASSERT_NE(MAP_FAILED, canary);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_TRUE(canary_lives(canary));
		ASSERT_TRUE(!t.err || t.err == -EFAULT);
		lost += t.err == -EFAULT;
		done += !t.err;
		ASSERT_EQ(0, munmap(canary, CANARY_SIZE));
	}
	EXPECT_EQ(3, lost);
}

/* Run @_change during transfers until the driver has restarted one. */
#define test_race(_change, _check) do {					      \
	unsigned int _round, _retries = 0;				      \
	struct transfer _t;						      \
	pthread_t _thread;						      \
									      \
	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));	      \
	for (_round = 0; _round < ROUNDS && !_retries; _round++) {	      \
		memset(ptr, 0, PAGE);					      \
		ASSERT_EQ(0, transfer_begin(&_t, &_thread, self->fd, ptr,     \
					    _round));			      \
		_change;						      \
		ASSERT_EQ(0, pthread_join(_thread, NULL));		      \
		ASSERT_EQ(0, _t.err);					      \
		ASSERT_EQ(0, memcmp(ptr, self->data, LEN));		      \
		_check;							      \
		_retries = _t.copy.retries;				      \
	}								      \
	EXPECT_LT(0, _retries);						      \
} while (0)

/* In the child: check that the page stays as it was at the time of the fork. */
static void watch_page(const char *ptr, int until)
{
	char was[LEN], byte;

	memcpy(was, ptr, LEN);
	if (read(until, &byte, 1) != 0)
		_exit(2);
	_exit(memcmp(ptr, was, LEN) ? 1 : 0);
}

/* Writes of the device after the fork must not reach the child. */
EDU_TEST(transfer_races_fork)
{
	char *ptr = map_anon(PAGE);
	pid_t pid;
	int until[2];

	ASSERT_NE(MAP_FAILED, ptr);
	test_race(({
		ASSERT_EQ(0, pipe2(until, O_CLOEXEC));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(until[1]);
			watch_page(ptr, until[0]);
		}
		  }),
		  ({
			  ASSERT_EQ(0, close(until[0]));
			  ASSERT_EQ(0, close(until[1]));
			  EXPECT_EQ(0, hmm_wait_child(pid));
		  }));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

EDU_TEST(transfer_races_migration)
{
	char *ptr = map_anon(PAGE);
	int node = 0;

	ASSERT_NE(MAP_FAILED, ptr);
	test_race(({
		node = hmm_page_node(ptr) == 0;
		hmm_move_pages(ptr, 1, node);
		  }),
		  ({}));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

EDU_TEST(transfer_races_swap)
{
	char *ptr = map_anon(PAGE);

	ASSERT_NE(MAP_FAILED, ptr);
	test_race(madvise(ptr, PAGE, MADV_PAGEOUT), ({}));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

EDU_TEST(transfer_races_mprotect)
{
	char *ptr = map_anon(PAGE);

	ASSERT_NE(MAP_FAILED, ptr);
	test_race(({
		ASSERT_EQ(0, mprotect(ptr, PAGE, PROT_READ));
		ASSERT_EQ(0, mprotect(ptr, PAGE, FULL_ACCESS));
		  }),
		  ({}));
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

/* The device writes to a process that is killed; no other memory may change. */
EDU_TEST(transfer_races_exit)
{
	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
	for (unsigned int round = 0; round < 6; round++) {
		char *canary, byte;
		int ready[2];
		pid_t pid;

		ASSERT_EQ(0, pipe(ready));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			char *ptr = map_anon(PAGE);
			int fd = edu_open(EDU);

			memset(ptr, 0, PAGE);
			if (fd < 0 || write(ready[1], "", 1) != 1)
				_exit(1);
			while (!edu_store(fd, ptr, LEN, NULL))
				;
			_exit(2);
		}
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		usleep(5000 + round * 17000);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		canary = canary_map();
		ASSERT_NE(MAP_FAILED, canary);
		EXPECT_EQ(256 + SIGKILL, hmm_wait_child(pid));
		/* This waits for the engine to finish */
		ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
		EXPECT_TRUE(canary_lives(canary));
		ASSERT_EQ(0, munmap(canary, CANARY_SIZE));
		close(ready[0]);
		close(ready[1]);
	}
}

/* Removal of the device */

EDU_TEST(transfer_races_hot_unplug)
{
	char *ptr = map_anon(PAGE);
	unsigned int hit = 0, round;

	ASSERT_NE(MAP_FAILED, ptr);
	memset(ptr, 0, PAGE);
	for (round = 0; round < ROUNDS && !hit; round++) {
		struct transfer t;
		pthread_t thread;

		ASSERT_EQ(0, transfer_begin(&t, &thread, self->fd, ptr, round));
		ASSERT_EQ(0, hmm_write_number("/sys/bus/pci/devices/" EDU
					      "/remove", 1));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		ASSERT_TRUE(!t.err || t.err == -ENODEV);
		hit += t.err == -ENODEV;
		/* The file is still open, but its device is gone */
		EXPECT_EQ(-ENODEV, edu_load(self->fd, ptr, LEN, NULL));
		EXPECT_EQ(-ENODEV, edu_replay(self->fd));
		EXPECT_EQ(-ENOENT, edu_open(EDU));
		ASSERT_EQ(0, hmm_write_number("/sys/bus/pci/rescan", 1));
		ASSERT_EQ(0, close(self->fd));
		self->fd = edu_open(EDU);
		ASSERT_LE(0, self->fd);
		test_carries(self->fd, self->data, self->buf, LEN);
	}
	EXPECT_LT(0, hit);
	ASSERT_EQ(0, munmap(ptr, PAGE));
}

EDU_TEST(module_stays_while_a_file_is_open)
{
	EXPECT_EQ(-EWOULDBLOCK, hmm_module_reload(MODULE, ""));
	ASSERT_EQ(0, close(self->fd));
	EXPECT_EQ(0, hmm_module_reload(MODULE, ""));
	self->fd = edu_open(EDU);
	ASSERT_LE(0, self->fd);
	test_carries(self->fd, self->data, self->buf, LEN);
}

/* Allocation failures */

EDU_TEST(any_allocation_may_fail)
{
	int nth, failed = 0, i, err;
	char *ptr;

	if (access(FAIL_NTH, W_OK))
		SKIP(return, NO_FAIL_NTH);
	nth = fail_open();
	ASSERT_LE(0, nth);
	ASSERT_EQ(0, edu_load(self->fd, self->data, LEN, NULL));
	for (i = 1; i < 200; i++) {
		ptr = map_anon(PAGE);
		ASSERT_NE(MAP_FAILED, ptr);
		ASSERT_TRUE(fail_nth(nth, i));
		err = edu_store(self->fd, ptr, LEN, NULL);
		if (fail_unused(nth))
			break;
		ASSERT_TRUE(!err || err == -ENOMEM || err == -EIO ||
			    err == -EFAULT);
		failed += !!err;
		if (!err)
			EXPECT_EQ(0, memcmp(ptr, self->data, LEN));
		ASSERT_EQ(0, munmap(ptr, PAGE));
	}
	EXPECT_EQ(0, err);
	EXPECT_LT(0, failed);
	EXPECT_EQ(0, memcmp(ptr, self->data, LEN));
	ASSERT_EQ(0, munmap(ptr, PAGE));
	ASSERT_EQ(0, close(nth));
}

TEST_HARNESS_MAIN
