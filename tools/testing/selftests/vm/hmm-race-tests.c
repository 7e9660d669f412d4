// SPDX-License-Identifier: GPL-2.0
/* Tests of the dummy device while a second thread changes the memory. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>

#include "hmm-race.h"
#include "hmm-rig.h"

/* Each race lasts at least this long. */
#define RACE_SECONDS		0.4

FIXTURE(race)
{
	struct rig r;
};

FIXTURE_VARIANT(race)
{
	struct kind kind;
};

FIXTURE_SETUP(race)
{
	int err = rig_setup(&self->r, &variant->kind);

	if (rig_missing(err))
		SKIP(return, "%s", rig_missing(err));
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

FIXTURE_VARIANT_ADD(race, anon) { .kind = KIND_ANON, };
FIXTURE_VARIANT_ADD(race, thp) { .kind = KIND_THP, };
FIXTURE_VARIANT_ADD(race, anon_shared) { .kind = KIND_SHARED, };
FIXTURE_VARIANT_ADD(race, tmpfs) { .kind = KIND_FILE, };

#define RACE_TEST(_name) TEST_F_TIMEOUT(race, _name, SECONDS)

#define test_race_start(_round)						      \
	ASSERT_EQ(0, race_start(&race, RACE_SECONDS, _round, &self->r))

static int map_elsewhere(struct race *race, uint64_t k)
{
	struct rig *r = race->arg;
	char *ptr = mmap(r->spare, r->size, FULL_ACCESS,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (ptr == MAP_FAILED)
		return -errno;
	memset(ptr, k, 64 * PAGE);
	return munmap(ptr, r->size) ? -errno : 0;
}

/* Invalidations outside of the range never delay the device. */
RACE_TEST(changes_elsewhere_disturb_nothing)
{
	struct race race;
	uint64_t k;

	test_race_start(map_elsewhere);
	for (k = 0; race_lasts(&race, k); k++) {
		ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, SIZE));
		test_sees_zeros(self->r.ptr, NPAGES);
		ASSERT_EQ(1, self->r.cmd.faults);
		memset(self->r.buf, k + 1, SIZE);
		test_write(self->r.ptr, NPAGES);
		ASSERT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
		test_read(self->r.ptr, NPAGES);
		ASSERT_EQ(0, self->r.cmd.faults);
	}
	ASSERT_EQ(0, race_stop(&race));
	test_stats();
	EXPECT_EQ(0, self->r.stats.retries);
}

static int change_same(struct race *race, uint64_t k)
{
	struct rig *r = race->arg;
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
	struct race race;
	uint64_t k;

	test_race_start(change_same);
	for (k = 0; race_lasts(&race, k); k++) {
		test_one_of(0, -EFAULT, 0, request(READ, self->r.ptr, NPAGES));
		test_one_of(0, -EFAULT, -EPERM,
			    request(WRITE, self->r.ptr, NPAGES));
		test_snapshot(self->r.ptr, NPAGES);
		test_one_of(0, -EFAULT, 0,
			    hmm_compute(self->r.fd, self->r.ptr + HALF,
					HALF_PAGES, &self->r.compute));
	}
	ASSERT_EQ(0, race_stop(&race));
	ASSERT_EQ(0, rig_map(&self->r));
	rig_fill(&self->r);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* Replace the page and store the number of the round in it. */
static int renew_page(struct race *race, uint64_t k)
{
	struct rig *r = race->arg;
	int err = rig_discard(r, r->ptr, r->kind.thp ? HUGE : PAGE);

	if (!err)
		__atomic_store_n((uint64_t *)r->ptr, k, __ATOMIC_RELEASE);
	return err;
}

/* The device must not read data older than the start of its request. */
RACE_TEST(device_never_sees_the_past)
{
	struct race race;
	uint64_t k;

	test_race_start(renew_page);
	for (k = 0; race_lasts(&race, k); k++) {
		uint64_t done = race_rounds(&race);
		uint64_t seen;

		test_read(self->r.ptr, 1);
		memcpy(&seen, self->r.buf, sizeof(seen));
		/* 0: the page of the current round, before the store */
		ASSERT_TRUE(!seen || seen >= done);
	}
	ASSERT_EQ(0, race_stop(&race));
}

static int fork_once(struct race *race, uint64_t k)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : hmm_wait_child(pid);
}

/*
 * Device and CPU write to pages that fork() makes copy-on-write again and
 * again.
 */
RACE_TEST(forks_lose_no_write)
{
	uint64_t *cpu = (uint64_t *)self->r.ptr;
	uint64_t *dev = (uint64_t *)self->r.buf;
	struct race race;
	uint64_t k;

	rig_fill(&self->r);
	test_race_start(fork_once);
	for (k = 0; race_lasts(&race, k); k++) {
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
	ASSERT_EQ(0, race_stop(&race));
}

static int page_out(struct race *race, uint64_t k)
{
	struct rig *r = race->arg;

	return madvise(r->ptr, r->size, MADV_PAGEOUT) ? -errno : 0;
}

RACE_TEST(swapping_loses_no_write)
{
	struct race race;
	uint64_t k;

	rig_fill(&self->r);
	test_race_start(page_out);
	for (k = 0; race_lasts(&race, k); k++) {
		size_t first = k % (NPAGES - 100);
		char *addr = self->r.ptr + first * PAGE;

		hmm_fill(self->r.buf, 100 * PAGE);
		memcpy(self->r.data + first * PAGE, self->r.buf, 100 * PAGE);
		test_write(addr, 100);
		/* In alternate rounds the CPU, or the device, reads first */
		ASSERT_TRUE(k & 1 || !memcmp(addr, self->r.buf, 100 * PAGE));
		test_sees(self->r.ptr, self->r.data, NPAGES);
	}
	ASSERT_EQ(0, race_stop(&race));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

/* Few pages, so that the second thread leaves time for many rounds. */
static int fill_and_page_out(struct race *race, uint64_t k)
{
	char *ptr = ((struct rig *)race->arg)->ptr;

	memset(ptr, k, 64 * PAGE);
	return madvise(ptr, 64 * PAGE, MADV_PAGEOUT) ? -errno : 0;
}

/* Mirrors come and go during invalidations; none may stay in flight. */
RACE_TEST(contexts_come_and_go)
{
	struct race race;
	uint64_t k;

	test_race_start(fill_and_page_out);
	for (k = 0; race_lasts(&race, k); k++) {
		int fd = hmm_open(k & 1);

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, hmm_cmd(fd,
				     k & 2 ? HMM_DMIRROR_READ :
					     HMM_DMIRROR_SNAPSHOT,
				     self->r.ptr, self->r.buf, 64, NULL));
		ASSERT_EQ(0, close(fd));
	}
	ASSERT_EQ(0, race_stop(&race));
	rig_fill(&self->r);
	test_stats();
	k = self->r.stats.retries;
	/*
	 * A wait for an invalidation without an end times out, and counts as a
	 * retry
	 */
	test_sees(self->r.ptr, self->r.data, NPAGES);
	test_stats();
	EXPECT_EQ(k, self->r.stats.retries);
}

/* As above, but with the mm's last mirror, which ends HMM's subscription. */
RACE_TEST(last_context_comes_and_goes)
{
	struct race race;
	uint64_t k;

	ASSERT_EQ(0, close(self->r.fd));
	test_race_start(fill_and_page_out);
	for (k = 0; race_lasts(&race, k); k++) {
		self->r.fd = hmm_open(0);
		ASSERT_LE(0, self->r.fd);
		ASSERT_EQ(0, close(self->r.fd));
	}
	ASSERT_EQ(0, race_stop(&race));
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
