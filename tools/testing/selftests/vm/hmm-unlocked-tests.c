// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the dummy device's faults without the mmap lock, and of the flushes
 * that it makes side by side with other devices.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "hmm-device.h"

static int hmm_flush(int fd, uint64_t ms, struct hmm_dmirror_flush *flush)
{
	*flush = (struct hmm_dmirror_flush){ .ms = ms };
	return ioctl(fd, HMM_DMIRROR_FLUSH, flush) ? -errno : 0;
}

DEVICE_TEST(flush_is_checked)
{
	struct hmm_dmirror_flush flush = { .ms = 10001 };

	ASSERT_EQ(-1, ioctl(self->r.fd, HMM_DMIRROR_FLUSH, &flush));
	EXPECT_EQ(EINVAL, errno);
	for (size_t i = 0; i < ARRAY_SIZE(flush.reserved); i++) {
		flush = (struct hmm_dmirror_flush){};
		flush.reserved[i] = 1;
		ASSERT_EQ(-1, ioctl(self->r.fd, HMM_DMIRROR_FLUSH, &flush));
		EXPECT_EQ(EINVAL, errno);
	}
	ASSERT_EQ(0, hmm_flush(self->r.fd, 0, &flush));
	EXPECT_EQ(0, flush.flushes);
}

#define MIRRORS		4
#define FLUSH_MS	100

/* Each device starts its flush before the end of any of them is waited for. */
DEVICE_TEST(flushes_overlap)
{
	struct hmm_dmirror_flush flushes[MIRRORS];
	int fds[MIRRORS];

	rig_fill(&self->r);
	for (size_t i = 0; i < MIRRORS; i++) {
		fds[i] = hmm_open(i % 2);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, hmm_cmd(fds[i], HMM_DMIRROR_READ, self->r.ptr,
				     self->r.buf, NPAGES, NULL));
		ASSERT_EQ(0, hmm_flush(fds[i], FLUSH_MS, &flushes[i]));
	}
	ASSERT_EQ(0, munmap(self->r.ptr, SIZE));
	/* Closing a file ends flushes too, so nothing may be closed before */
	for (size_t i = 0; i < MIRRORS; i++)
		ASSERT_EQ(0, hmm_flush(fds[i], 0, &flushes[i]));
	for (size_t i = 0; i < MIRRORS; i++) {
		EXPECT_LE(1, flushes[i].flushes);
		for (size_t j = 0; j < MIRRORS; j++)
			EXPECT_LT(flushes[j].started, flushes[i].awaited);
		EXPECT_EQ(0, close(fds[i]));
	}
}

/* Run @call on CPU 0 with real-time priority; the tests run as root. */
static int start_fifo(pthread_t *thread, void *(*call)(void *), void *arg)
{
	struct sched_param param = { .sched_priority = 10 };
	pthread_attr_t attr;
	cpu_set_t cpu0;
	int err;

	CPU_ZERO(&cpu0);
	CPU_SET(0, &cpu0);
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &param);
	pthread_attr_setaffinity_np(&attr, sizeof(cpu0), &cpu0);
	err = -pthread_create(thread, &attr, call, arg);
	pthread_attr_destroy(&attr);
	return err;
}

#define FIFO_ROUNDS	10000
/* Of so many rounds, one has a flush that takes time */
#define FIFO_FLUSH	64

/**
 * struct fifo - one of two threads that share a CPU
 * @r: the device context
 * @err: the first error
 * @rounds: rounds done
 */
struct fifo {
	struct rig	*r;
	int		err;
	unsigned int	rounds;
};

static void *fifo_fault(void *arg)
{
	struct fifo *fifo = arg;
	struct rig *r = fifo->r;

	while (!fifo->err && fifo->rounds < FIFO_ROUNDS) {
		fifo->err = hmm_cmd(r->fd, HMM_DMIRROR_READ, r->ptr, r->buf, 4,
				    NULL);
		fifo->rounds++;
		sched_yield();
	}
	return NULL;
}

static void *fifo_invalidate(void *arg)
{
	struct hmm_dmirror_flush flush;
	struct fifo *fifo = arg;
	struct rig *r = fifo->r;
	bool slow;

	while (!fifo->err && fifo->rounds < FIFO_ROUNDS) {
		slow = fifo->rounds % FIFO_FLUSH == 0;
		fifo->err = hmm_flush(r->fd, slow, &flush) ?:
			    rig_discard(r, r->ptr, 4 * PAGE);
		fifo->rounds++;
		sched_yield();
	}
	return NULL;
}

/*
 * A thread that faults waits for an invalidation by a thread of the same
 * priority on the same CPU: if it did anything but sleep, neither would go on.
 */
DEVICE_TEST(fifo_threads_both_get_on)
{
	struct fifo faulter = { .r = &self->r }, invalidator = faulter;
	pthread_t threads[2];

	ASSERT_EQ(0, start_fifo(&threads[0], fifo_invalidate, &invalidator));
	ASSERT_EQ(0, start_fifo(&threads[1], fifo_fault, &faulter));
	ASSERT_EQ(0, pthread_join(threads[0], NULL));
	ASSERT_EQ(0, pthread_join(threads[1], NULL));
	EXPECT_EQ(0, faulter.err);
	EXPECT_EQ(0, invalidator.err);
	EXPECT_EQ(FIFO_ROUNDS, faulter.rounds);
	EXPECT_EQ(FIFO_ROUNDS, invalidator.rounds);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
