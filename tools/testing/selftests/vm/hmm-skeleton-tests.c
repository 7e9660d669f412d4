// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the driver that others are copied from, samples/hmm/skeleton.c: its
 * device stores '!' to memory of the process that reads the file.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <sys/wait.h>

#include "hmm-module.h"
#include "hmm-pages.h"

#define MODULE		"skeleton"
#define NODE		"/dev/hmm_skeleton"
#define NO_DRIVER	"no driver, see $HMM_MODULES in hmm-module.h"

/* Results of a process that inherits the file, as its exit status. */
enum { CHILD_REFUSED, CHILD_NOT_REFUSED, CHILD_MEMORY_CHANGED };

FIXTURE(skeleton)
{
	bool loaded;
	int fd;
	char *ptr;
};

/*
 * Pages in another CPU's batch for an LRU list are not reclaimed, and until
 * then MADV_FREE has no effect on them.
 */
static int stay_on_this_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	return sched_setaffinity(0, sizeof(one), &one);
}

FIXTURE_SETUP(skeleton)
{
	self->loaded = access(NODE, F_OK);
	if (!hmm_module_need(MODULE, NODE))
		SKIP(return, NO_DRIVER);
	ASSERT_EQ(0, stay_on_this_cpu());
	self->fd = open(NODE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	self->ptr = mmap(NULL, 2 * PAGE, FULL_ACCESS,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ptr);
}

FIXTURE_TEARDOWN(skeleton)
{
	munmap(self->ptr, 2 * PAGE);
	if (self->loaded) {
		EXPECT_EQ(-1, syscall(SYS_delete_module, MODULE, O_NONBLOCK));
		EXPECT_EQ(EWOULDBLOCK, errno);
	}
	close(self->fd);
	if (self->loaded)
		EXPECT_EQ(0, syscall(SYS_delete_module, MODULE, O_NONBLOCK));
}

/* True if the bytes of [from, to) are stored, and no other of two pages. */
static bool stored(const char *ptr, size_t from, size_t to)
{
	for (size_t i = 0; i < 2 * PAGE; i++)
		if ((ptr[i] == '!') != (i >= from && i < to))
			return false;
	return true;
}

TEST_F(skeleton, stores_at_the_callers_addresses)
{
	EXPECT_EQ(50, read(self->fd, self->ptr + 100, 50));
	EXPECT_TRUE(stored(self->ptr, 100, 150));
	/* One page for each call */
	EXPECT_EQ(50, read(self->fd, self->ptr + PAGE - 50, 100));
	EXPECT_EQ(50, read(self->fd, self->ptr + PAGE, 50));
	memset(self->ptr + 100, 0, 50);
	EXPECT_TRUE(stored(self->ptr, PAGE - 50, PAGE + 50));
}

/* The page is the device's until the callback takes it. */
TEST_F(skeleton, follows_the_cpus_page_table)
{
	ASSERT_EQ(8, read(self->fd, self->ptr, 8));
	ASSERT_EQ(self->ptr, mmap(self->ptr, PAGE, FULL_ACCESS,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0));
	EXPECT_TRUE(stored(self->ptr, 0, 0));
	EXPECT_EQ(9, read(self->fd, self->ptr, 9));
	EXPECT_TRUE(stored(self->ptr, 0, 9));

	ASSERT_EQ(0, mprotect(self->ptr, PAGE, PROT_READ));
	EXPECT_EQ(-1, read(self->fd, self->ptr, 10));
	EXPECT_EQ(EPERM, errno);
	EXPECT_TRUE(stored(self->ptr, 0, 9));

	ASSERT_EQ(0, munmap(self->ptr, PAGE));
	EXPECT_EQ(-1, read(self->fd, self->ptr, 8));
	EXPECT_EQ(EFAULT, errno);
	self->ptr = mmap(self->ptr, PAGE, FULL_ACCESS,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ptr);
}

/* Fork write-protects the page: the device's next store is to a copy. */
TEST_F(skeleton, fork_shares_neither_memory_nor_device)
{
	int go[2], status;
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(8, read(self->fd, self->ptr, 8));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (read(go[0], &byte, 1) != 1 || !stored(self->ptr, 0, 8))
			_exit(CHILD_MEMORY_CHANGED);
		if (read(self->fd, self->ptr, 9) != -1 || errno != EPERM)
			_exit(CHILD_NOT_REFUSED);
		_exit(CHILD_REFUSED);
	}
	EXPECT_EQ(10, read(self->fd, self->ptr, 10));
	ASSERT_EQ(1, write(go[1], &byte, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(CHILD_REFUSED, WEXITSTATUS(status));
	EXPECT_TRUE(stored(self->ptr, 0, 10));
	close(go[0]);
	close(go[1]);
}

/* Reclaim drops such a page unless the driver marks it dirty. */
TEST_F(skeleton, store_survives_madv_free)
{
	memset(self->ptr, 1, PAGE);
	ASSERT_EQ(0, madvise(self->ptr, PAGE, MADV_FREE));
	ASSERT_EQ(PAGE, read(self->fd, self->ptr, PAGE));
	ASSERT_EQ(1, hmm_swap_out(self->ptr, 1));
	EXPECT_TRUE(stored(self->ptr, 0, PAGE));
}

/* The same for a page that the device has when its file is closed. */
TEST_F(skeleton, store_survives_the_file)
{
	memset(self->ptr, 1, PAGE);
	ASSERT_EQ(0, madvise(self->ptr, PAGE, MADV_FREE));
	ASSERT_EQ(PAGE, read(self->fd, self->ptr, PAGE));
	close(self->fd);
	ASSERT_EQ(1, hmm_swap_out(self->ptr, 1));
	EXPECT_TRUE(stored(self->ptr, 0, PAGE));
	self->fd = open(NODE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

/* A process that exits with its page in the device's table. */
TEST_F(skeleton, exit_leaves_nothing)
{
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		int fd = open(NODE, O_RDONLY | O_CLOEXEC);

		_exit(fd < 0 || read(fd, self->ptr, 8) != 8 ||
		      !stored(self->ptr, 0, 8));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(stored(self->ptr, 0, 0));
}

TEST_HARNESS_MAIN
