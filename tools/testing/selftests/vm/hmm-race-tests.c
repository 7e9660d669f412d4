// SPDX-License-Identifier: GPL-2.0
/*
 * What a process sees of HMM while a second thread changes its memory.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "hmm-rig.h"

/* How long a race is given to happen, and what it must have got done. */
#define STORM_SECONDS		0.4
#define STORM_ROUNDS		10

/*
 * Races: a second thread changes things for as long as the device works
 */

RIG_FIXTURE_KINDS(race)

FIXTURE_VARIANT_ADD(race, anon) { .kind = KIND_ANON, };
FIXTURE_VARIANT_ADD(race, thp) { .kind = KIND_THP, };
FIXTURE_VARIANT_ADD(race, anon_shared) { .kind = KIND_SHARED, };
FIXTURE_VARIANT_ADD(race, tmpfs) { .kind = KIND_FILE, };

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

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
