// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: mirrors and ranges are unregistered, and address
 * spaces exit, while they are in use.
 */
#include <kunit/test.h>
#include <kunit/test-bug.h>
#include <linux/completion.h>
#include <linux/hmm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>

#include "../hmm-internal.h"
#include "hmm_kunit.h"

/* A mirror whose callback blocks until the test lets it return. */
struct hk_blocker {
	struct hmm_mirror mirror;
	struct hk_stop stop;
	unsigned long addr;
};

static int hk_block(struct hmm_mirror *mirror,
		    const struct mmu_notifier_range *update)
{
	struct hk_blocker *blocker =
		container_of(mirror, struct hk_blocker, mirror);

	hk_stop_here(&blocker->stop);
	return 0;
}

static const struct hmm_mirror_ops hk_block_ops = {
	.sync_cpu_device_pagetables = hk_block,
};

/* A thread whose invalidation is in the blocker's callback. */
static struct hk_elsewhere *hk_block_invalidation(struct kunit *test,
						  struct hk_blocker *blocker)
{
	struct hk_elsewhere *inval;

	inval = hk_invalidate_elsewhere(test, blocker->addr);
	KUNIT_ASSERT_TRUE(test, hk_stop_entered(&blocker->stop));
	return inval;
}

static struct hk_blocker *hk_blocker(struct kunit *test)
{
	struct hk_blocker *blocker;
	struct hk *hk = test->priv;
	int ret;

	blocker = kunit_kzalloc(test, sizeof(*blocker), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, blocker);
	hk_stop_init(&blocker->stop);
	blocker->addr = hk_anon(test, 1);
	blocker->mirror.ops = &hk_block_ops;
	mmap_write_lock(hk->mm);
	ret = hmm_mirror_register(&blocker->mirror, hk->mm);
	mmap_write_unlock(hk->mm);
	KUNIT_ASSERT_EQ(test, ret, 0);
	return blocker;
}

/*
 * The callback outlasts the start of the unregistration. The next mirror on the
 * list is still called, and a registration does not wait.
 */
static void unregister_waits_for_the_callback(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_blocker *blocker = hk_blocker(test);
	struct hk_elsewhere *inval, *unregister;
	struct hk_mirror *other;

	inval = hk_block_invalidation(test, blocker);
	unregister = hk_unregister_elsewhere(test, &blocker->mirror);
	KUNIT_EXPECT_FALSE(test,
			   hk_thread_done(unregister->thread, HK_SHORT_MS));
	other = hk_mirror(test);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 0);
	complete_all(&blocker->stop.leave);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(inval->thread, HK_WAKE_MS));
	KUNIT_EXPECT_TRUE(test, hk_thread_done(unregister->thread, HK_LONG_MS));
	KUNIT_EXPECT_NULL(test, blocker->mirror.hmm);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 1);
	hk_invalidate(test, blocker->addr, blocker->addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&other->calls), 1);
}

/*
 * The OOM reaper's invalidation must not fail because of a mirror that is being
 * registered or unregistered.
 */
static void unregister_under_way_fails_no_nonblockable(struct kunit *test)
{
	struct hk_blocker *blocker = hk_blocker(test);
	struct hk_elsewhere *inval, *unregister;
	struct mmu_notifier_range update;
	unsigned long addr = hk_anon(test, 1);
	struct rw_semaphore *sem = &blocker->mirror.hmm->mirrors_sem;
	int ret;

	inval = hk_block_invalidation(test, blocker);
	unregister = hk_unregister_elsewhere(test, &blocker->mirror);
	KUNIT_EXPECT_FALSE(test,
			   hk_thread_done(unregister->thread, HK_SHORT_MS));
	down_write(sem);
	ret = hk_start_nonblock(test, &update, addr, addr + PAGE_SIZE);
	up_write(sem);
	KUNIT_EXPECT_EQ(test, ret, 0);
	if (!ret)
		mmu_notifier_invalidate_range_end(&update);
	complete_all(&blocker->stop.leave);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(inval->thread, HK_WAKE_MS));
	KUNIT_EXPECT_TRUE(test, hk_thread_done(unregister->thread, HK_LONG_MS));
}

static void hk_register_fn(void *arg)
{
	struct hk_elsewhere *elsewhere = arg;

	mmap_write_lock(elsewhere->mm);
	hmm_mirror_register(elsewhere->mirror, elsewhere->mm);
	mmap_write_unlock(elsewhere->mm);
}

static bool hk_sem_contended(void *sem)
{
	return rwsem_is_contended(sem);
}

/* The list of mirrors is changed by one task at a time. */
static void change_of_the_mirrors_waits_for_another(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct rw_semaphore *sem = &hk->dev->mirror.hmm->mirrors_sem;
	struct hk_mirror *other = hk_mirror_alloc(test);
	struct hk_elsewhere join = { .mm = hk->mm, .mirror = &other->mirror };
	struct hk_elsewhere *leave;

	down_write(sem);
	join.thread = hk_run(test, hk_register_fn, &join);
	KUNIT_EXPECT_TRUE(test, hk_poll(hk_sem_contended, sem));
	up_write(sem);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(join.thread, HK_LONG_MS));
	KUNIT_ASSERT_NOT_NULL(test, other->mirror.hmm);
	down_write(sem);
	leave = hk_unregister_elsewhere(test, &other->mirror);
	KUNIT_EXPECT_TRUE(test, hk_poll(hk_sem_contended, sem));
	up_write(sem);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(leave->thread, HK_LONG_MS));
	KUNIT_EXPECT_NULL(test, other->mirror.hmm);
}

/*
 * Unregistering the mirror wakes the waiter, before its range is unregistered.
 */
static void waiter_wakes_with_its_mirror_alone(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_waiter *waiter = hk_wait_start(test, range, HK_LONG_MS);

	hmm_mirror_unregister(&hk->dev->mirror);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_FALSE(test, waiter->result);
	hk_end(inval);
	hmm_range_unregister(range);
	KUNIT_EXPECT_NOT_NULL(test, other->mirror.hmm);
}

/* A range must not be registered while its mirror is being unregistered. */
static void range_of_a_leaving_mirror_is_einval(struct kunit *test)
{
	struct hk_blocker *blocker = hk_blocker(test);
	struct hmm_range *range = hk_range_alloc(test, blocker->addr, 1);
	struct hk_elsewhere *inval, *unregister;

	/* The encoding has been checked before. */
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &blocker->mirror), 0);
	hmm_range_unregister(range);
	inval = hk_block_invalidation(test, blocker);
	unregister = hk_unregister_elsewhere(test, &blocker->mirror);
	KUNIT_EXPECT_FALSE(test,
			   hk_thread_done(unregister->thread, HK_SHORT_MS));
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &blocker->mirror),
			-EINVAL);
	KUNIT_EXPECT_NULL(test, range->hmm);
	complete_all(&blocker->stop.leave);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(inval->thread, HK_WAKE_MS));
	KUNIT_EXPECT_TRUE(test, hk_thread_done(unregister->thread, HK_LONG_MS));
}

/* An mm without users is gone, even before its release. */
static void mm_without_users_is_gone(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hmm_range *late = hk_range_alloc(test, addr, 1);
	int users = atomic_read(&hk->mm->mm_users);
	bool waited;
	int ret;

	atomic_set(&hk->mm->mm_users, 0);
	waited = hmm_range_wait_until_valid(range, HK_LONG_MS);
	ret = hmm_range_register(late, &hk->dev->mirror);
	atomic_set(&hk->mm->mm_users, users);
	KUNIT_EXPECT_FALSE(test, waited);
	KUNIT_EXPECT_EQ(test, ret, -EFAULT);
	KUNIT_EXPECT_NULL(test, late->hmm);
	hmm_range_unregister(range);
}

static int hk_settle_after_release(struct hmm *hmm, struct hmm_range *range)
{
	struct kunit *test = kunit_get_current_test();
	int ret;

	kunit_deactivate_static_stub(test, hmm_cursor_settle);
	hmm->dead = true;
	ret = hmm_cursor_settle(hmm, range);
	hmm->dead = false;
	return ret;
}

/* The mm is released after the last entry was read, before it becomes valid. */
static void release_before_the_end_of_a_fault_is_seen(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2), npages;

	hk_write(test, addr, 2);
	for (npages = 1; npages <= 2; npages++) {
		struct hmm_range *range = hk_range(test, addr, npages);

		kunit_activate_static_stub(test, hmm_cursor_settle,
					   hk_settle_after_release);
		KUNIT_EXPECT_LT(test, hk_fault(test, range, 0), 0);
		KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
		KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), npages);
		hmm_range_unregister(range);
	}
}

/* More ranges than are marked at once; all of them stay registered. */
static void release_marks_every_range(struct kunit *test)
{
	const int n = 3000;
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range **ranges;
	int i, valid = 0;

	ranges = kunit_kcalloc(test, n, sizeof(*ranges), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ranges);
	for (i = 0; i < n; i++) {
		ranges[i] = hk_range(test, addr, 1);
		KUNIT_ASSERT_EQ(test, hk_fault(test, ranges[i], 0), 1);
	}
	hk_mm_exit(hk);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&hk->dev->mirror.hmm->ranges),
			n);
	for (i = 0; i < n; i++) {
		valid += hk_valid(test, ranges[i]);
		hmm_range_unregister(ranges[i]);
	}
	KUNIT_EXPECT_EQ(test, valid, 0);
}

/* A valid encoding must not make the next one pass the check. */
static void encoding_is_checked_after_another(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_encoding enc;
	struct hmm_range *range;
	int i, ret;

	for (i = 0; i < 7; i++) {
		enc = hk_plain;
		range = hk_range_alloc(test, PAGE_SIZE, 1);
		hk_encode(range, &enc);
		KUNIT_EXPECT_EQ(test,
				hmm_range_register(range, &hk->dev->mirror), 0);
		hmm_range_unregister(range);
		if (i < 3)
			enc.flags[i] = i ? HK_V : HK_V | HK_W;
		else if (i < 6)
			enc.values[i - 3] = i == 4 ? HK_ERROR : HK_V;
		else
			range->pfn_shift = 0;
		ret = hmm_range_register(range, &hk->dev->mirror);
		KUNIT_EXPECT_EQ_MSG(test, ret, -EINVAL, "field %d", i);
		if (!ret)
			hmm_range_unregister(range);
	}
}

/* Fields that a driver does not set may hold garbage. */
static void mirror_may_hold_garbage_before_it_is_registered(struct kunit *test)
{
	const struct hk_encoding zero = {};
	struct hk_mirror *dev = hk_mirror_alloc(test);
	const struct hmm_mirror_ops *ops = dev->mirror.ops;
	struct hmm_range *range = hk_range_alloc(test, hk_anon(test, 1), 1);

	memset(&dev->mirror, 0xa5, sizeof(dev->mirror));
	dev->mirror.ops = ops;
	dev->mirror.dev_private_owner = NULL;
	KUNIT_ASSERT_EQ(test, hk_mirror_register(test, dev), 0);
	/*
	 * Arrays of zeros are not an encoding, not even in the first
	 * registration.
	 */
	hk_encode(range, &zero);
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &dev->mirror), -EINVAL);
	hk_encode(range, &hk_plain);
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &dev->mirror), 0);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
	hmm_mirror_unregister(&dev->mirror);
}

static struct kunit_case hk_life_cases[] = {
	KUNIT_CASE(unregister_waits_for_the_callback),
	KUNIT_CASE(unregister_under_way_fails_no_nonblockable),
	KUNIT_CASE(change_of_the_mirrors_waits_for_another),
	KUNIT_CASE(waiter_wakes_with_its_mirror_alone),
	KUNIT_CASE(range_of_a_leaving_mirror_is_einval),
	KUNIT_CASE(mm_without_users_is_gone),
	KUNIT_CASE(release_before_the_end_of_a_fault_is_seen),
	KUNIT_CASE(release_marks_every_range),
	KUNIT_CASE(encoding_is_checked_after_another),
	KUNIT_CASE(mirror_may_hold_garbage_before_it_is_registered),
	{}
};

static struct kunit_suite hk_life_suite = {
	.name = "hmm_life",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_life_cases,
};

kunit_test_suite(hk_life_suite);
