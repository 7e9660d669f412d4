// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of drivers that were written to the mirror API of v5.4, see compat/:
 * they must work as they did then, without the races that HMM had then.
 *
 * Variants are the drivers. Each test loads its driver and unloads it again.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <pthread.h>
#include <signal.h>

#include "compat/compat_uapi.h"
#include "hmm-module.h"
#include "hmm-race.h"
#include "hmm-util.h"

#define NPAGES		100UL
#define SIZE		(NPAGES * PAGE)
#define RACE_SECONDS	1.0

FIXTURE(compat)
{
	int	fd;
	char	*ptr;
	char	*buf;
	char	*data;
	uint32_t faults;
};

FIXTURE_VARIANT(compat)
{
	const char *module;
	int unmapped;	/* result of the driver where nothing is mapped */
};

FIXTURE_VARIANT_ADD(compat, nouveau)
{
	.module = "hmm_compat_nouveau",
	.unmapped = -EFAULT,
};

FIXTURE_VARIANT_ADD(compat, amdgpu)
{
	.module = "hmm_compat_amdgpu",
	.unmapped = -EPERM,
};

FIXTURE_VARIANT_ADD(compat, odp)
{
	.module = "hmm_compat_odp",
	.unmapped = -EFAULT,
};

/* Open a driver and set its buffer to @ptr. Return the file or -errno. */
static int buffer_open(const char *module, const void *ptr, size_t npages)
{
	struct compat_buffer buffer = {
		.addr = (uintptr_t)ptr,
		.npages = npages,
	};
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", module);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!ioctl(fd, COMPAT_BUFFER, &buffer))
		return fd;
	close(fd);
	return -EINVAL;
}

static int device_copy(int fd, void *buf, bool write, uint32_t *faults)
{
	struct compat_copy copy = {
		.ptr = (uintptr_t)buf,
		.write = write,
	};

	if (ioctl(fd, COMPAT_COPY, &copy))
		return -errno;
	*faults = copy.faults;
	return 0;
}

FIXTURE_SETUP(compat)
{
	if (!hmm_module_find(variant->module))
		SKIP(return, "%s.ko not found, build and install compat/",
		     variant->module);
	ASSERT_EQ(0, hmm_module_load(variant->module, ""));
	self->ptr = mmap(NULL, SIZE, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(MAP_FAILED, self->ptr);
	self->buf = malloc(SIZE);
	self->data = malloc(SIZE);
	ASSERT_NE(NULL, self->buf);
	ASSERT_NE(NULL, self->data);
	hmm_fill(self->data, SIZE);
	self->fd = buffer_open(variant->module, self->ptr, NPAGES);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(compat)
{
	EXPECT_EQ(0, close(self->fd));
	EXPECT_EQ(0, munmap(self->ptr, SIZE));
	EXPECT_EQ(0, syscall(SYS_delete_module, variant->module, O_NONBLOCK));
	free(self->buf);
	free(self->data);
}

#define COMPAT_TEST(_name) TEST_F_TIMEOUT(compat, _name, SECONDS)

#define device_reads(_fd) device_copy(_fd, self->buf, false, &self->faults)
#define device_writes(_fd)	device_copy(_fd, self->buf, true, &self->faults)

/* The device must read @_data. */
#define test_device_sees(_data) do {					      \
	memset(self->buf, 0x5a, SIZE);					      \
	ASSERT_EQ(0, device_reads(self->fd));				      \
	ASSERT_EQ(0, memcmp(self->buf, _data, SIZE));			      \
} while (0)

/* The CPU must see the data that the device writes. */
#define test_device_writes() do {					      \
	hmm_fill(self->data, SIZE);					      \
	memcpy(self->buf, self->data, SIZE);				      \
	ASSERT_EQ(0, device_writes(self->fd));				      \
	ASSERT_EQ(0, memcmp(self->ptr, self->data, SIZE));		      \
} while (0)

COMPAT_TEST(device_reads_and_writes)
{
	memcpy(self->ptr, self->data, SIZE);
	test_device_sees(self->data);
	test_device_writes();
	self->ptr[5 * PAGE] ^= 1;
	test_device_sees(self->ptr);
}

/* The copy invalidates the range that is faulted: ODP once deadlocked here. */
COMPAT_TEST(device_writes_copy_on_write_memory)
{
	for (size_t i = 0; i < NPAGES; i++)
		ASSERT_EQ(0, cpu_read(self->ptr + i * PAGE));
	test_device_writes();
	test_device_sees(self->data);
}

COMPAT_TEST(device_follows_the_cpu)
{
	memcpy(self->ptr, self->data, SIZE);
	test_device_sees(self->data);
	ASSERT_EQ(0, madvise(self->ptr, SIZE / 2, MADV_DONTNEED));
	memset(self->data, 0, SIZE / 2);
	test_device_sees(self->data);
	EXPECT_LT(0, self->faults);
	ASSERT_EQ(NPAGES / 2, hmm_swap_out(self->ptr + SIZE / 2, NPAGES / 2));
	test_device_sees(self->data);
	ASSERT_NE(MAP_FAILED,
		  mmap(self->ptr, SIZE, FULL_ACCESS,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	hmm_fill(self->data, SIZE);
	memcpy(self->ptr, self->data, SIZE);
	test_device_sees(self->data);
	test_device_writes();
}

COMPAT_TEST(device_keeps_to_the_protection)
{
	memcpy(self->ptr, self->data, SIZE);
	ASSERT_EQ(0, mprotect(self->ptr, SIZE, PROT_READ));
	test_device_sees(self->data);
	EXPECT_EQ(-EPERM, device_writes(self->fd));
	ASSERT_EQ(0, mprotect(self->ptr, SIZE, FULL_ACCESS));
	test_device_writes();
	ASSERT_EQ(0, munmap(self->ptr, PAGE));
	EXPECT_EQ(variant->unmapped, device_reads(self->fd));
	ASSERT_EQ(self->ptr,
		  mmap(self->ptr, PAGE, FULL_ACCESS,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(self->data, 0, PAGE);
	test_device_sees(self->data);
}

/* Writes of the device after the fork must not reach the child. */
COMPAT_TEST(child_keeps_its_own)
{
	int until[2];
	char byte;
	pid_t pid;

	memcpy(self->ptr, self->data, SIZE);
	test_device_sees(self->data);
	ASSERT_EQ(0, pipe2(until, O_CLOEXEC));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(until[1]);
		if (read(until[0], &byte, 1) != 0)
			_exit(2);
		_exit(memcmp(self->ptr, self->data, SIZE) ? 1 : 0);
	}
	hmm_fill(self->buf, SIZE);
	ASSERT_EQ(0, device_writes(self->fd));
	EXPECT_EQ(0, memcmp(self->ptr, self->buf, SIZE));
	ASSERT_EQ(0, close(until[0]));
	ASSERT_EQ(0, close(until[1]));
	EXPECT_EQ(0, hmm_wait_child(pid));
}

COMPAT_TEST(huge_page)
{
	char *map, *huge, *buf;
	uint32_t faults;
	int fd;

	if (hmm_too_huge())
		SKIP(return, TOO_HUGE);
	map = mmap(NULL, 2 * HUGE, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	huge = hmm_huge_align(map);
	buf = malloc(HUGE);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_NE(NULL, buf);
	ASSERT_EQ(0, madvise(huge, HUGE, MADV_HUGEPAGE));
	hmm_fill(huge, HUGE);
	ASSERT_LT(0, hmm_smaps(huge, "AnonHugePages:"));
	fd = buffer_open(variant->module, huge, HUGE / PAGE);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, device_copy(fd, buf, false, &faults));
	EXPECT_EQ(0, memcmp(buf, huge, HUGE));
	hmm_fill(buf, HUGE);
	ASSERT_EQ(0, device_copy(fd, buf, true, &faults));
	EXPECT_EQ(0, memcmp(buf, huge, HUGE));
	/* Discard a page in the middle, which splits the huge page */
	ASSERT_EQ(0, madvise(huge + 7 * PAGE, PAGE, MADV_DONTNEED));
	memset(buf + 7 * PAGE, 0, PAGE);
	ASSERT_EQ(0, memcmp(buf, huge, HUGE));
	ASSERT_EQ(0, device_copy(fd, buf, false, &faults));
	EXPECT_EQ(0, memcmp(buf, huge, HUGE));
	ASSERT_EQ(0, close(fd));
	ASSERT_EQ(0, munmap(map, 2 * HUGE));
	free(buf);
}

/* Two files of one process; amdgpu has one mirror for both. */
COMPAT_TEST(two_buffers)
{
	int other = buffer_open(variant->module, self->ptr, NPAGES);

	ASSERT_LE(0, other);
	memcpy(self->ptr, self->data, SIZE);
	test_device_sees(self->data);
	hmm_fill(self->buf, SIZE);
	ASSERT_EQ(0, device_writes(other));
	ASSERT_EQ(0, close(other));
	memcpy(self->data, self->buf, SIZE);
	test_device_sees(self->data);
}

/*
 * Replace every page and store the number of the round in it. The round counts
 * as done after that, so later reads of the device must not be older.
 */
static int replace_pages(struct race *race, uint64_t k)
{
	char *ptr = race->arg;

	if (madvise(ptr, SIZE, MADV_DONTNEED))
		return -errno;
	for (size_t i = 0; i < NPAGES; i++)
		__atomic_store_n((uint64_t *)(ptr + i * PAGE), k,
				 __ATOMIC_RELAXED);
	return 0;
}

/* With v5.4, a driver could use a page that had already been replaced. */
COMPAT_TEST(nothing_stale_in_a_storm)
{
	struct race race;
	uint64_t before, k;

	ASSERT_EQ(0, race_start(&race, RACE_SECONDS, replace_pages, self->ptr));
	for (k = 0; race_lasts(&race, k); k++) {
		before = race_rounds(&race);
		ASSERT_EQ(0, device_reads(self->fd));
		for (size_t i = 0; i < NPAGES; i++) {
			uint64_t found = *(uint64_t *)(self->buf + i * PAGE);

			/* 0: between the removal of a page and the store */
			ASSERT_TRUE(!found || found >= before);
		}
	}
	ASSERT_EQ(0, race_stop(&race));
}

/* A process exits, or is killed during a copy, with the driver open. */
COMPAT_TEST(process_goes)
{
	int ready[2];
	char byte;

	ASSERT_EQ(0, pipe(ready));
	for (unsigned int i = 0; i < 8; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			uint32_t faults;
			int fd =
				buffer_open(variant->module, self->ptr, NPAGES);

			memset(self->ptr, i, SIZE);
			if (fd < 0 ||
			    device_copy(fd, self->buf, true, &faults) ||
			    write(ready[1], "", 1) != 1)
				_exit(1);
			if (i % 2)
				_exit(0);
			while (!device_copy(fd, self->buf, i % 4, &faults))
				madvise(self->ptr, SIZE, MADV_DONTNEED);
			_exit(2);
		}
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		usleep(1000 * i);
		if (!(i % 2))
			ASSERT_EQ(0, kill(pid, SIGKILL));
		EXPECT_EQ(i % 2 ? 0 : 256 + SIGKILL, hmm_wait_child(pid));
	}
	close(ready[0]);
	close(ready[1]);
}

TEST_HARNESS_MAIN
