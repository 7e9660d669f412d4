// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the dummy device's faults without the mmap lock, and of the flushes
 * that it makes side by side with other devices.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "hmm-cgroup.h"
#include "hmm-device.h"

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

/*
 * Memory that is evicted all the time: a cgroup with less of it than a thread
 * and the device use in turns. The kernel's events show what the device's
 * faults cost.
 */

struct span {
	unsigned long	start;
	unsigned long	end;
};

#define TRACING		"/sys/kernel/tracing"
#define INSTANCE	TRACING "/instances/hmm-tests"

/* Move this process to a cgroup that has @limit bytes; 0 or -errno. */
static int cgroup_enter(size_t limit)
{
	return cgroup_make(limit, false) ?: cgroup_join();
}

/* Record an event of HMM where it overlaps @span. */
static int trace_event(const char *name, const struct span *span)
{
	char path[128], text[128];
	int err;

	snprintf(path, sizeof(path), INSTANCE "/events/hmm/%s/filter", name);
	snprintf(text, sizeof(text), "start < 0x%lx && end > 0x%lx", span->end,
		 span->start);
	err = hmm_write_text(path, text);
	if (err)
		return err;
	snprintf(path, sizeof(path), INSTANCE "/events/hmm/%s/enable", name);
	return hmm_write_text(path, "1");
}

/*
 * Record the events of faults of @span. Returns the pipe that they come from,
 * or -errno.
 */
static int trace_start(const struct span *span)
{
	int err;

	/* It may be mounted already */
	mount("none", TRACING, "tracefs", 0, NULL);
	if (mkdir(INSTANCE, 0755))
		return -errno;
	/* All CPUs must agree about the order of events */
	err = hmm_write_text(INSTANCE "/trace_clock", "mono") ?:
	      hmm_write_text(INSTANCE "/buffer_size_kb", "4096") ?:
	      trace_event("hmm_invalidate_start", span) ?:
	      trace_event("hmm_walk_table", span) ?:
	      trace_event("hmm_range_hit", span) ?:
	      trace_event("hmm_range_fault", span);
	if (err)
		return err;
	err = open(INSTANCE "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return err < 0 ? -errno : err;
}

static int trace_stop(FILE *events)
{
	fclose(events);
	return rmdir(INSTANCE) ? -errno : 0;
}

/* Two chunks of the device; each begins with a page that is often evicted */
#define EVICTED_PAGES	128
#define EVICTED_CHUNK	64
#define HITS_WANTED	20
#define EVICTED_SECONDS	100
#define INVALS_MAX	4096

/**
 * struct evicted - what the events say about the faults of the device
 * @reads: reads of a page table in the current call
 * @first: start of the first one, which is that of the call's range
 * @last: start of the last one
 * @lowest: lowest address of an invalidation of the range since then
 * @invals: invalidations since the last call
 * @nr_invals: number of @invals
 * @calls: calls that have ended
 * @hits: collisions
 * @overlaps: invalidations that overlap the range of a call
 * @all_reads: @reads of all calls
 * @back: reads that began before all that could have changed
 * @lost: the events are not complete
 */
struct evicted {
	unsigned int	reads;
	unsigned long	first;
	unsigned long	last;
	unsigned long	lowest;
	struct span	invals[INVALS_MAX];
	unsigned int	nr_invals;
	unsigned int	calls;
	unsigned int	hits;
	unsigned int	overlaps;
	unsigned int	all_reads;
	unsigned int	back;
	bool		lost;
};

static bool overlap(const struct span *a, const struct span *b)
{
	return a->start < b->end && b->start < a->end;
}

static void evicted_invalidation(struct evicted *e, const struct span *span)
{
	if (e->nr_invals == INVALS_MAX)
		e->lost = true;
	else
		e->invals[e->nr_invals++] = *span;
	if (e->reads && span->end > e->first && span->start < e->lowest)
		e->lowest = span->start;
}

/*
 * A read may begin where the last one began, or later; or at an address that an
 * invalidation has hit since.
 */
static void evicted_read(struct evicted *e, const struct span *span)
{
	if (!e->reads++)
		e->first = span->start;
	else if (span->start < e->last && span->start < e->lowest)
		e->back++;
	e->last = span->start;
	e->lowest = ULONG_MAX;
}

static void evicted_call(struct evicted *e, const struct span *range)
{
	unsigned int overlaps = 0;

	for (unsigned int i = 0; i < e->nr_invals; i++)
		overlaps += overlap(&e->invals[i], range);
	e->overlaps += overlaps;
	e->all_reads += e->reads;
	e->calls++;
	e->reads = 0;
	e->nr_invals = 0;
}

static void evicted_event(struct evicted *e, const char *line)
{
	const char *addresses = strstr(line, " [0x");
	struct span span;

	e->lost |= !!strstr(line, "LOST");
	/* The first bracket is the CPU's */
	if (!addresses || sscanf(addresses, " [0x%lx, 0x%lx)", &span.start,
				 &span.end) != 2)
		return;
	if (strstr(line, " hmm_invalidate_start: "))
		evicted_invalidation(e, &span);
	else if (strstr(line, " hmm_walk_table: "))
		evicted_read(e, &span);
	else if (strstr(line, " hmm_range_hit: "))
		e->hits++;
	else if (strstr(line, " hmm_range_fault: "))
		evicted_call(e, &span);
}

/* Read all events that there are. */
static void evicted_events(struct evicted *e, FILE *pipe)
{
	char line[256];

	clearerr(pipe);
	while (fgets(line, sizeof(line), pipe))
		evicted_event(e, line);
}

/**
 * struct hog - a thread that uses memory of its own
 * @thread: the thread
 * @lock: while it is held, the thread does nothing
 * @memory: its memory, of @size
 * @size: larger than what the limit leaves
 * @victim: memory of the device
 * @stop: the thread is to end
 */
struct hog {
	pthread_t	thread;
	pthread_mutex_t	lock;
	char		*memory;
	size_t		size;
	char		*victim;
	bool		stop;
};

/* Reclaim chooses any pages; now and then one that the device has read first */
static void hog_page(struct hog *hog, size_t i)
{
	hog->memory[i * PAGE]++;
	if (i % 8 == 0)
		madvise(hog->victim + i / 8 * EVICTED_CHUNK % EVICTED_PAGES *
			PAGE, PAGE, MADV_PAGEOUT);
}

static void *hog_run(void *arg)
{
	struct hog *hog = arg;

	while (!__atomic_load_n(&hog->stop, __ATOMIC_RELAXED))
		for (size_t i = 0; i < hog->size / PAGE; i++) {
			pthread_mutex_lock(&hog->lock);
			hog_page(hog, i);
			pthread_mutex_unlock(&hog->lock);
		}
	return NULL;
}

static int hog_start(struct hog *hog, char *victim, size_t size)
{
	hog->victim = victim;
	hog->size = size;
	hog->memory = mmap(NULL, size, FULL_ACCESS,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (hog->memory == MAP_FAILED)
		return -errno;
	pthread_mutex_init(&hog->lock, NULL);
	return -pthread_create(&hog->thread, NULL, hog_run, hog);
}

static int hog_stop(struct hog *hog)
{
	__atomic_store_n(&hog->stop, true, __ATOMIC_RELAXED);
	return -pthread_join(hog->thread, NULL) ?:
	       (munmap(hog->memory, hog->size) ? -errno : 0);
}

DEVICE_TEST(eviction_costs_what_it_hit)
{
	const size_t size = EVICTED_PAGES * PAGE;
	const double until = hmm_now() + EVICTED_SECONDS;
	const struct span memory = {
		.start = (uintptr_t)self->r.ptr,
		.end = (uintptr_t)self->r.ptr + size,
	};
	static struct evicted e;
	struct hog hog = {};
	FILE *events;
	int pipe;

	pipe = trace_start(&memory);
	if (pipe == -ENOENT)
		SKIP(return, "the kernel has no events");
	ASSERT_LE(0, pipe);
	events = fdopen(pipe, "r");
	ASSERT_NE(NULL, events);
	/* The buffers are not to be evicted: they exist before the limit */
	memset(self->r.buf, 1, SIZE);
	memset(self->r.data, 1, SIZE);
	ASSERT_EQ(0, cgroup_enter(2 * size));
	hmm_fill(self->r.data, size);
	memcpy(self->r.ptr, self->r.data, size);
	ASSERT_EQ(0, hog_start(&hog, self->r.ptr, 2 * size));
	while (e.hits < HITS_WANTED && hmm_now() < until) {
		test_sees(self->r.ptr, self->r.data, EVICTED_PAGES);
		pthread_mutex_lock(&hog.lock);
		evicted_events(&e, events);
		pthread_mutex_unlock(&hog.lock);
	}
	ASSERT_EQ(0, hog_stop(&hog));
	ASSERT_EQ(0, cgroup_leave());
	ASSERT_EQ(0, trace_stop(events));
	TH_LOG("%u calls, %u invalidations, %u collisions, %u reads", e.calls,
	       e.overlaps, e.hits, e.all_reads);
	EXPECT_FALSE(e.lost);
	EXPECT_LE(HITS_WANTED, e.hits);
	EXPECT_EQ(0, e.back);
	/* One read finds missing pages, and one reads them after their fault */
	EXPECT_GE(2 * (e.calls + e.overlaps), e.all_reads);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
