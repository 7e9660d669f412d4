// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the contexts of the dummy device: access rights, invalid requests,
 * and processes that fork, exit or are killed.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "hmm-device.h"

/* All requests that take a span. */
static const unsigned int span_requests[] = {
	HMM_DMIRROR_READ, HMM_DMIRROR_WRITE, HMM_DMIRROR_SNAPSHOT,
	HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_MIGRATE_TO_SYS,
	HMM_DMIRROR_EXCLUSIVE, HMM_DMIRROR_CHECK_EXCLUSIVE,
	HMM_DMIRROR_RELEASE, HMM_DMIRROR_COMPUTE,
};

/* The argument of a request; its number selects the member. */
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

/* A failed request does not change the output fields. */
DEVICE_TEST(outputs_are_set_only_on_success)
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
	/* Reserved without access: it can be neither read nor written */
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

/* The buffer of a request may be the memory that the request is for. */
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

DEVICE_TEST(node_belongs_to_root)
{
	struct stat node;
	pid_t pid;

	ASSERT_EQ(0, stat(HMM_NODE, &node));
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

/* Return 0 if the device rejects all requests of this process. */
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

/* Runs after the process that opened r->fd has exited; writes to @out. */
static void outlive(struct rig *r, int opener, int out)
{
	char answer;

	await(opener);
	answer = check_stranger(r);
	close(r->fd);
	_exit(write(out, &answer, 1) != 1);
}

/*
 * In the child of file_outlives_opener: open, mirror, and keep the file open.
 */
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
	/* Exit closes alive[1] after the address space is gone */
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
	/* End of file: the last process with the device open has closed it */
	EXPECT_EQ(0, read(pipes[0], &answer, 1));
}

/* Two contexts of a process see the same invalidations. */
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
	/* The remaining context still sees them */
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

/* Compute forever; write to @out after the first computation. */
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

DEVICE_TEST(killed_while_device_reads)
{
	rig_fill(&self->r);
	for (unsigned int i = 0; i < 12; i++)
		test_killed(out, compute_loop(self->r.ptr, NPAGES, out),
			    500 * i);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* A computation that takes very long; a signal must end it early. */
DEVICE_TEST(long_compute_can_be_killed)
{
	const size_t size = 64UL << 30;
	char *ptr = mmap(NULL, size, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_NE(MAP_FAILED, ptr);
	test_killed(out, compute_loop(ptr, size / PAGE, out), 100000);
	ASSERT_EQ(0, munmap(ptr, size));
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
