// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the dummy device with memory that a userfaultfd serves or
 * write-protects.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>

#include "hmm-device.h"

/* Missing from the C library's headers of some distributions. */
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON	0x4000
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};

#define UFFDIO_POISON		_IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

/* Return a userfaultfd; -EOPNOTSUPP if the kernel lacks it or @features. */
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
 * struct server - a thread that serves a userfaultfd
 * @thread: its id
 * @uffd: the userfaultfd
 * @stop: pipe; the thread exits when its other end is closed
 * @r: missing pages of r->ptr are filled from r->data
 * @served: number of pages filled or made writable; incremented before the
 *	faulting thread can continue
 * @failed: the last error
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

/* Each page costs one fault: what was read before is not read again. */
DEVICE_TEST(uffd_serves_a_thousand_pages)
{
	int uffd = uffd_open(0);
	struct server server;

	if (uffd == -EOPNOTSUPP)
		SKIP(return, "kernel without this userfaultfd");
	ASSERT_LE(0, uffd);
	self->r.size = 1000 * PAGE;
	self->r.buf = realloc(self->r.buf, SIZE);
	self->r.data = realloc(self->r.data, SIZE);
	ASSERT_TRUE(self->r.buf && self->r.data);
	ASSERT_EQ(0, rig_map(&self->r));
	ASSERT_EQ(0, uffd_register(uffd, self->r.ptr, SIZE,
				   UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(0, server_start(&server, &self->r, uffd));
	hmm_fill(self->r.data, SIZE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1000, served(&server));
	test_stats();
	EXPECT_EQ(0, self->r.stats.retries);
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

/* When shared memory is zapped, a marker keeps its write protection. */
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

/* In the child: read memory that no thread serves. */
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
	for (unsigned int i = 0; i < 5; i++)
		test_killed(out, read_unanswered(&self->r, out), 20000 * i);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
