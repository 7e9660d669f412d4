// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the effect of invalidations on ranges, waiters
 * and mirrors, and of other subscribers to the same mm on invalidations.
 *
 * The tests of the suite hmm_invalidate follow the guarantees in hmm.rst: never
 * stale, never disturbed by others, woken in time, always balanced, only
 * overlapping ranges are touched, marked before called.
 */
#include <kunit/test.h>
#include <kunit/test-bug.h>
#include <linux/hmm.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>

#include "../hmm-internal.h"
#include "hmm_kunit.h"

/* -------------------------------------------------------- never stale (P1) */

static void invalidation_between_fault_and_check_is_seen(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_invalidate(test, addr, addr + 4 * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	/*
	 * Nothing is in flight any more, but the entries that were read are
	 * stale.
	 */
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void snapshot_is_guarded_like_a_fault(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 2);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), 2);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	/* That nothing is mapped there is information as well. */
	hk_invalidate(test, addr + PAGE_SIZE, addr + 2 * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), 2);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void range_is_invalid_during_and_after(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);
	struct hk_inval *inval;

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	inval = hk_start(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_end(inval);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static void fault_during_invalidation_is_ebusy(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);
	struct hk_inval *inval;

	inval = hk_start(test, addr + 3 * PAGE_SIZE, addr + 4 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			-EBUSY);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_end(inval);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static void busy_fault_is_not_valid_later(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	hk_end(inval);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void failed_fault_is_not_valid(struct kunit *test)
{
	unsigned long addr =
		hk_map(test, NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE);
	struct hmm_range *range = hk_range(test, addr, 1);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EPERM);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void munmap_and_madvise_are_seen(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);

	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_EQ(test,
			do_madvise(hk->mm, addr, PAGE_SIZE, MADV_DONTNEED), 0);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, vm_munmap(addr + PAGE_SIZE, PAGE_SIZE), 0);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hmm_range_unregister(range);
}

/* ----------------------------------------------- not disturbed by others (P2) */

static void neighbours_held_open_disturb_nothing(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 6);
	unsigned long start = addr + 2 * PAGE_SIZE;
	unsigned long end = addr + 4 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, start, 2);
	struct hk_inval *below = hk_start(test, addr, start);
	struct hk_inval *above = hk_start(test, end, addr + 6 * PAGE_SIZE);

	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), 2);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_end(below);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_end(above);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_invalidate(test, addr, start);
	hk_invalidate(test, end, addr + 6 * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void one_byte_of_overlap_is_an_overlap(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 6);
	unsigned long start = addr + 2 * PAGE_SIZE;
	unsigned long end = addr + 4 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, start, 2);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2);
	hk_invalidate(test, addr, start + 1);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2);
	hk_invalidate(test, end - 1, addr + 6 * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2);
	hk_invalidate(test, 0, ULONG_MAX);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void wait_beside_an_invalidation_returns_at_once(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 3);
	struct hmm_range *range = hk_range(test, addr + PAGE_SIZE, 1);
	struct hk_inval *below = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_inval *above =
		hk_start(test, addr + 2 * PAGE_SIZE, addr + 3 * PAGE_SIZE);
	unsigned long before = jiffies;

	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_LT(test, jiffies_to_msecs(jiffies - before), HK_WAKE_MS);
	/* Both were in flight the whole time. */
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), 2);
	hk_end(below);
	hk_end(above);
	hmm_range_unregister(range);
}

/* ------------------------------------------------------- woken in time (P3) */

static void waiter_wakes_when_the_last_overlapping_ends(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 2);
	struct hk_inval *beside =
		hk_start(test, addr + 2 * PAGE_SIZE, addr + 4 * PAGE_SIZE);
	struct hk_inval *one = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_inval *two = hk_start(test, addr, addr + 4 * PAGE_SIZE);
	struct hk_waiter *waiter = hk_wait_start(test, range, HK_LONG_MS);

	hk_end(one);
	KUNIT_EXPECT_FALSE(test, hk_thread_done(waiter->thread, HK_SHORT_MS));
	hk_end(two);
	/*
	 * The invalidation beside the range is still in flight, but irrelevant.
	 */
	KUNIT_EXPECT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_TRUE(test, waiter->result);
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), 1);
	hk_end(beside);
	hmm_range_unregister(range);
}

static void wait_times_out_while_an_invalidation_is_open(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	unsigned long before = jiffies;

	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, 0));
	KUNIT_EXPECT_FALSE(test,
			   hmm_range_wait_until_valid(range, HK_SHORT_MS));
	KUNIT_EXPECT_GE(test, jiffies - before, msecs_to_jiffies(HK_SHORT_MS));
	hk_end(inval);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, 0));
	hmm_range_unregister(range);
}

static void every_waiter_of_every_range_wakes(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 3);
	struct hmm_range *a = hk_range(test, addr, 2);
	struct hmm_range *b = hk_range(test, addr + PAGE_SIZE, 2);
	struct hk_inval *inval = hk_start(test, addr, addr + 3 * PAGE_SIZE);
	struct hk_waiter *waiters[3];
	int i;

	for (i = 0; i < 3; i++)
		waiters[i] = hk_wait_start(test, i ? a : b, HK_LONG_MS);
	hk_end(inval);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_TRUE(test, hk_thread_done(waiters[i]->thread,
						       HK_WAKE_MS));
		KUNIT_EXPECT_TRUE(test, waiters[i]->result);
	}
	hmm_range_unregister(a);
	hmm_range_unregister(b);
}

static void mm_exit_wakes_every_waiter_with_false(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *a = hk_range(test, addr, 1);
	struct hmm_range *b = hk_range(test, addr + PAGE_SIZE, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + 2 * PAGE_SIZE);
	struct hk_waiter *wa = hk_wait_start(test, a, HK_LONG_MS);
	struct hk_waiter *wb = hk_wait_start(test, b, HK_LONG_MS);

	hk_mm_exit(hk);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(wa->thread, HK_WAKE_MS));
	KUNIT_EXPECT_TRUE(test, hk_thread_done(wb->thread, HK_WAKE_MS));
	KUNIT_EXPECT_FALSE(test, wa->result);
	KUNIT_EXPECT_FALSE(test, wb->result);
	hk_end(inval);
	hmm_range_unregister(a);
	hmm_range_unregister(b);
}

/* ------------------------------------------------------ always balanced (P4) */

static void range_registered_inside_is_busy_until_the_end(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_waiter *waiter;

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	waiter = hk_wait_start(test, range, HK_LONG_MS);
	KUNIT_EXPECT_FALSE(test, hk_thread_done(waiter->thread, HK_SHORT_MS));
	hk_end(inval);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_TRUE(test, waiter->result);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static void range_unregistered_inside_leaves_nothing(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);

	hmm_range_unregister(range);
	hk_end(inval);
	range = hk_range(test, addr, 1);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/*
 * The struct hmm is created during an invalidation, so its first end has no
 * matching start.
 */
static void first_mirror_registered_inside_is_balanced(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range;
	struct hk_inval *inval;

	hmm_mirror_unregister(&hk->dev->mirror);
	inval = hk_start(test, addr, addr + PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, hk_mirror_register(test, hk->dev), 0);
	range = hk_range(test, addr, 1);
	hk_end(inval);
	hk_expect_idle(test, range);
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static void second_mirror_registered_inside_is_balanced(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_mirror *dev = hk_mirror(test);
	struct hmm_range *range = hk_range_alloc(test, addr, 1);

	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &dev->mirror), 0);
	KUNIT_EXPECT_EQ(test, hk_in_flight(dev->mirror.hmm), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	hk_end(inval);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&dev->calls), 0);
}

static void last_mirror_unregistered_inside_is_balanced(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hmm_range *range;

	hmm_mirror_unregister(&hk->dev->mirror);
	/* The struct hmm may have been freed when the invalidation ends. */
	mmu_notifier_synchronize();
	hk_end(inval);
	KUNIT_ASSERT_EQ(test, hk_mirror_register(test, hk->dev), 0);
	range = hk_range(test, addr, 1);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static void
one_of_two_mirrors_unregistered_inside_is_balanced(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);

	hmm_mirror_unregister(&other->mirror);
	KUNIT_EXPECT_EQ(test, hk_in_flight(hk->dev->mirror.hmm), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	hk_end(inval);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* Expect a non-blockable invalidation to fail with -EAGAIN. */
static void hk_expect_eagain(struct kunit *test, unsigned long start,
			     unsigned long end)
{
	struct mmu_notifier_range update;
	int ret = hk_start_nonblock(test, &update, start, end);

	KUNIT_EXPECT_EQ(test, ret, -EAGAIN);
	if (!ret)
		mmu_notifier_invalidate_range_end(&update);
}

/* Expect it to fail for all of @range, and to leave nothing in flight. */
static void hk_expect_refused(struct kunit *test, struct hmm_range *range)
{
	hk_expect_eagain(test, range->start, range->end);
	hk_expect_idle(test, range);
	/* The failed invalidation does not affect the next one. */
	hk_invalidate(test, range->start, range->start + PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
}

static void nonblockable_that_nobody_refuses_is_balanced(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	/* Not on the stack, as a fault during an own invalidation is a bug */
	struct mmu_notifier_range *update;

	update = kunit_kzalloc(test, sizeof(*update), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, update);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_ASSERT_EQ(test, hk_start_nonblock(test, update, addr,
						addr + PAGE_SIZE), 0);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	mmu_notifier_invalidate_range_end(update);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static void nonblockable_refused_by_a_mirror_is_balanced(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);

	hk->dev->ret_nonblock = -EAGAIN;
	hk_expect_refused(test, range);
	/* Each of the two mirrors fails first once. */
	hk->dev->ret_nonblock = 0;
	other->ret_nonblock = -EAGAIN;
	hk_expect_refused(test, range);
	hk->dev->ret_nonblock = -EAGAIN;
	hk_expect_refused(test, range);
	hmm_range_unregister(range);
}

static void nonblockable_refused_by_an_interval_is_balanced(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 2);
	struct hk_foreign *foreign;

	foreign = hk_foreign_interval(test, addr, PAGE_SIZE);
	foreign->ret_nonblock = -EAGAIN;
	hk_expect_refused(test, range);
	KUNIT_EXPECT_GT(test, atomic_read(&foreign->calls), 0);
	hmm_range_unregister(range);
}

/*
 * Subscribers are called in reverse order, so fail on both sides of the mirror.
 */
static void
nonblockable_refused_by_a_list_neighbour_is_balanced(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_foreign *before, *after;

	before = hk_foreign_list(test);
	before->ret_nonblock = -EAGAIN;
	hk_expect_refused(test, range);
	before->ret_nonblock = 0;

	hmm_range_unregister(range);
	hmm_mirror_unregister(&hk->dev->mirror);
	after = hk_foreign_list(test);
	KUNIT_ASSERT_EQ(test, hk_mirror_register(test, hk->dev), 0);
	range = hk_range(test, addr, 1);
	after->ret_nonblock = -EAGAIN;
	hk_expect_refused(test, range);
	before->ret_nonblock = -EAGAIN;
	hk->dev->ret_nonblock = -EAGAIN;
	hk_expect_refused(test, range);
	hmm_range_unregister(range);
}

/* One invalidation fails while another one, of the same page, is in flight. */
static void refused_invalidation_ends_no_other(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);

	hk->dev->ret_nonblock = -EAGAIN;
	hk_expect_eagain(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	hk_end(inval);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

struct hk_reader {
	struct mmu_interval_notifier *interval;
	unsigned long seq;
};

static void hk_reader_fn(void *arg)
{
	struct hk_reader *reader = arg;

	reader->seq = mmu_interval_read_begin(reader->interval);
}

/*
 * mm/mmu_notifier.c: an invalidation that has started in the interval tree and
 * then fails in the list must be ended in the interval tree.
 */
static void failed_list_subscriber_ends_the_interval_tree(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct mmu_notifier_range update;
	struct hk_foreign *interval, *list;
	struct hk_thread *thread;
	struct hk_reader *reader;
	bool done;

	reader = kunit_kzalloc(test, sizeof(*reader), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, reader);
	interval = hk_foreign_interval(test, addr, PAGE_SIZE);
	list = hk_foreign_list(test);
	list->ret_nonblock = -EAGAIN;
	KUNIT_EXPECT_EQ(test, hk_start_nonblock(test, &update, addr,
						addr + PAGE_SIZE), -EAGAIN);
	KUNIT_EXPECT_EQ(test, atomic_read(&interval->calls), 1);
	reader->interval = &interval->interval;
	thread = hk_run(test, hk_reader_fn, reader);
	done = hk_thread_done(thread, HK_WAKE_MS);
	KUNIT_EXPECT_TRUE_MSG(test, done, "mmu_interval_read_begin() hangs");
	/* Add the missing end, so that the reader does not sleep forever. */
	if (!done)
		mmu_notifier_invalidate_range_end(&update);
}

/*
 * Only a non-blockable callback may return an error. The core warns once,
 * treats the error as 0, and calls the other mirrors.
 */
static void bad_return_of_a_mirror_is_contained(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval;

	hk->dev->ret = -EIO;
	hk_expect_warn("in blockable context");
	inval = hk_start(test, addr, addr + PAGE_SIZE);
	hk_expect_end("in blockable context");
	/* The mirror that is registered later may be called first. */
	KUNIT_EXPECT_EQ(test, atomic_read(&other->calls), 1);
	other->ret = -EIO;
	hk->dev->ret = 0;
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&other->calls), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 2);
	other->ret = -EAGAIN;
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 3);
	/*
	 * The error counts as 0: the invalidation is in flight until its end.
	 */
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	hk_end(inval);
	other->ret = 0;
	/*
	 * A non-blockable invalidation fails with -EAGAIN whatever the error
	 * was.
	 */
	hk->dev->ret_nonblock = -EIO;
	hk_expect_refused(test, range);
	hk->dev->ret_nonblock = 1;
	hk_expect_refused(test, range);
	hmm_range_unregister(range);
}

/*
 * A list subscriber returns an error though it may block. The core must not end
 * the invalidation for that, or the range is idle while it is in flight.
 */
static void bad_return_of_a_neighbour_keeps_the_range_busy(struct kunit *test)
{
	struct hk_foreign *foreign = hk_foreign_list(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval;

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	foreign->ret = -EIO;
	hk_expect_warn("mm/mmu_notifier.c");
	inval = hk_start(test, addr, addr + PAGE_SIZE);
	hk_expect_end("mm/mmu_notifier.c");
	foreign->ret = 0;
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), 1);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, 0));
	hk_end(inval);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* End in the order of the starts, in reverse, or in a mixed order. */
static void hk_end_some(struct hk_inval **inval, int n, int how)
{
	int i;

	for (i = 0; i < n; i++) {
		int k = how == 0 ? i : how == 1 ? n - 1 - i : i * 7 % n;

		hk_end(inval[k]);
	}
}

/*
 * @n invalidations in flight, one page each. The first and the last overlap a
 * range, which may be idle only if its invalidation has ended.
 */
static void hk_expect_no_miss(struct kunit *test, int n, int how)
{
	unsigned long addr = hk_anon(test, n);
	struct hmm_range *first = hk_range(test, addr, 1);
	struct hmm_range *last = hk_range(test, addr + (n - 1) * PAGE_SIZE, 1);
	struct hk_inval *inval[40];
	int i;

	for (i = 0; i < n; i++)
		inval[i] = hk_start(test, addr + i * PAGE_SIZE,
				    addr + (i + 1) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_in_flight(first->hmm), n);
	KUNIT_EXPECT_EQ(test, hk_fault(test, first, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, hk_fault(test, last, 0), -EBUSY);
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(first, 0));
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(last, 0));
	/* End all but these two; either may be the one that overflowed. */
	hk_end_some(inval + 1, n - 2, how);
	KUNIT_EXPECT_EQ(test, hk_fault(test, first, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, hk_fault(test, last, 0), -EBUSY);
	hk_end(inval[how == 1 ? n - 1 : 0]);
	KUNIT_EXPECT_EQ(test, hk_fault(test, how == 1 ? first : last, 0),
			-EBUSY);
	hk_end(inval[how == 1 ? 0 : n - 1]);
	hk_expect_idle(test, first);
	hk_expect_idle(test, last);
	hmm_range_unregister(first);
	hmm_range_unregister(last);
}

static void more_in_flight_than_the_table_holds_misses_none(struct kunit *test)
{
	int how;

	for (how = 0; how < 3; how++) {
		hk_expect_no_miss(test, HMM_INFLIGHT_MAX, how);
		hk_expect_no_miss(test, HMM_INFLIGHT_MAX + 1, how);
		hk_expect_no_miss(test, 40, how);
	}
}

/* When the table is full, further invalidations are only counted. */
static void overflow_ends_in_any_order(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 1);
	unsigned long far = addr + PAGE_SIZE;
	struct hk_inval *table[HMM_INFLIGHT_MAX], *over;
	int i;

	for (i = 0; i < HMM_INFLIGHT_MAX; i++)
		table[i] = hk_start(test, far, far + PAGE_SIZE);
	/* The table holds this many, so the range is still undisturbed. */
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	over = hk_start(test, addr, far);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	/* A free slot does not end the invalidation that overflowed. */
	hk_end(table[5]);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	table[5] = hk_start(test, far, far + PAGE_SIZE);
	hk_end(over);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	hk_end_some(table, HMM_INFLIGHT_MAX, 1);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static void
nonblockable_refused_beyond_the_table_is_balanced(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 1);
	unsigned long far = addr + PAGE_SIZE;
	struct hk_inval *table[HMM_INFLIGHT_MAX];
	int i;

	hk->dev->ret_nonblock = -EAGAIN;
	for (i = 0; i < HMM_INFLIGHT_MAX; i++)
		table[i] = hk_start(test, far, far + PAGE_SIZE);
	hk_expect_eagain(test, addr, far);
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), HMM_INFLIGHT_MAX);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	hk_end_some(table, HMM_INFLIGHT_MAX, 0);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

struct hk_churn {
	struct folio *folio;
	atomic_t rounds;
	bool stop;
};

/* Invalidate through the rmap, as reclaim and migration do. */
static void hk_churn_fn(void *arg)
{
	struct hk_churn *churn = arg;

	while (!READ_ONCE(churn->stop)) {
		folio_lock(churn->folio);
		try_to_migrate(churn->folio, 0);
		remove_migration_ptes(churn->folio, churn->folio, 0);
		folio_unlock(churn->folio);
		atomic_inc(&churn->rounds);
		cond_resched();
	}
	folio_put(churn->folio);
}

static void hk_churn_stop(void *arg)
{
	struct hk_churn *churn = arg;

	WRITE_ONCE(churn->stop, true);
}

static struct hk_churn *hk_churn_start(struct kunit *test, unsigned long addr)
{
	struct hk_churn *churn =
		kunit_kzalloc(test, sizeof(*churn), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, churn);
	churn->folio = hk_folio(test, addr);
	/* No other reference to the folio may exist while it is unmapped. */
	folio_get(churn->folio);
	return churn;
}

static bool hk_churn_runs(void *arg)
{
	struct hk_churn *churn = arg;

	return atomic_read(&churn->rounds) > 100;
}

#define HK_CHURN_ROUNDS	300

static void mirrors_come_and_go_under_invalidations(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range;
	struct hk_thread *thread;
	struct hk_churn *churn;
	int i, failed = 0, stuck = 0;

	hk_write(test, addr, 1);
	churn = hk_churn_start(test, addr);
	thread = hk_run(test, hk_churn_fn, churn);
	for (i = 0; i < HK_CHURN_ROUNDS && !stuck; i++) {
		hmm_mirror_unregister(&hk->dev->mirror);
		failed += hk_mirror_register(test, hk->dev) != 0;
		/* A start without an end would make this range wait. */
		range = hk_range(test, addr, 1);
		stuck += !hmm_range_wait_until_valid(range, HK_LONG_MS);
		hmm_range_unregister(range);
	}
	KUNIT_EXPECT_TRUE(test, hk_poll(hk_churn_runs, churn));
	hk_churn_stop(churn);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(thread, HK_LONG_MS));
	KUNIT_ASSERT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, stuck, 0);
	range = hk_range(test, addr, 1);
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), 0);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, 0));
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* Ranges, faults and waits with the same load: each fault may collide. */
static void ranges_come_and_go_under_invalidations(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range;
	struct hk_thread *thread;
	struct hk_churn *churn;
	int i, odd = 0;

	hk_write(test, addr, 1);
	churn = hk_churn_start(test, addr);
	range = hk_range(test, addr, 1);
	thread = hk_run(test, hk_churn_fn, churn);
	for (i = 0; i < HK_CHURN_ROUNDS; i++) {
		long ret = hk_fault(test, range, 0);

		odd += ret != 1 && ret != -EBUSY;
		odd += !hmm_range_wait_until_valid(range, HK_LONG_MS);
		hmm_range_unregister(range);
		range = hk_range(test, addr, 1);
	}
	KUNIT_EXPECT_TRUE(test, hk_poll(hk_churn_runs, churn));
	hk_churn_stop(churn);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(thread, HK_LONG_MS));
	KUNIT_EXPECT_EQ(test, odd, 0);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

struct hk_discard {
	struct mm_struct *mm;
	unsigned long addr;
	atomic_t rounds;
	bool stop;
};

/*
 * Each round zaps the page, and the next fault maps a new one. Attach to the
 * mm: for its own memory madvise() takes other locks.
 */
static void hk_discard_fn(void *arg)
{
	struct hk_discard *discard = arg;

	kthread_use_mm(discard->mm);
	while (!READ_ONCE(discard->stop)) {
		do_madvise(discard->mm, discard->addr, PAGE_SIZE,
			   MADV_DONTNEED);
		atomic_inc(&discard->rounds);
		cond_resched();
	}
	kthread_unuse_mm(discard->mm);
}

/*
 * P1 without a forced interleaving: under the driver's lock, for which the
 * invalidation waits, a valid entry is what the CPU has mapped.
 */
static void valid_entry_is_what_the_cpu_has(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hk_discard discard = { .mm = hk->mm, .addr = addr };
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_thread *thread = hk_run(test, hk_discard_fn, &discard);
	unsigned long until = jiffies + msecs_to_jiffies(HK_LONG_MS);
	int valid = 0, stale = 0, odd = 0;

	hk_request(range, HK_V | HK_W);
	/* Both take longer to happen on a busy machine. */
	while ((valid < 500 || !stale) && time_before(jiffies, until)) {
		long ret = hk_fault(test, range, 0);

		odd += ret != 1 && ret != -EBUSY;
		cond_resched();
		spin_lock(&hk->dev->lock);
		if (hmm_range_valid(range)) {
			valid++;
			odd += range->pfns[0] !=
			       hk_entry(hk_pfn(test, addr), HK_V | HK_W);
		} else if (ret == 1) {
			stale++;
		}
		spin_unlock(&hk->dev->lock);
	}
	WRITE_ONCE(discard.stop, true);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(thread, HK_LONG_MS));
	KUNIT_EXPECT_EQ(test, odd, 0);
	KUNIT_EXPECT_GT(test, valid, 0);
	KUNIT_EXPECT_GT(test, stale, 0);
	hmm_range_unregister(range);
}

/* An invalidation that starts and ends while a page table is being read. */
struct hk_during {
	struct kunit *test;
	unsigned long start;
	int calls;
	int err;
};

static void hk_during_walk(void *arg)
{
	struct hk_during *during = arg;
	struct mmu_notifier_range update;

	/* The walk has the page table mapped, so nothing here may sleep. */
	if (during->calls++)
		return;
	during->err = hk_start_nonblock(during->test, &update, during->start,
					during->start + PAGE_SIZE);
	mmu_notifier_invalidate_range_end(&update);
}

static long hk_fault_during(struct kunit *test, struct hmm_range *range,
			    struct hk_file *hf, unsigned long start)
{
	struct hk_during during = { .test = test, .start = start };
	long ret;

	hf->walk_arg = &during;
	hf->walk_hook = hk_during_walk;
	ret = hk_fault(test, range, HMM_FAULT_SNAPSHOT);
	hf->walk_hook = NULL;
	KUNIT_EXPECT_EQ(test, during.calls, 1);
	KUNIT_EXPECT_EQ(test, during.err, 0);
	KUNIT_EXPECT_EQ(test, hk_valid(test, range), ret > 0);
	return ret;
}

/*
 * The walk has read the entry before the middle one, but not the one after it.
 * Neither may be used: the CPU may be about to change the former, and the
 * latter may be read before the CPU has changed it.
 */
static void invalidation_during_the_walk_collides(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 3);
	unsigned long addr = hk_map(test, hf->file, 3 * PAGE_SIZE,
				    PROT_READ | PROT_WRITE, MAP_SHARED);
	struct hmm_range *range = hk_range(test, addr, 3);
	unsigned long middle = addr + PAGE_SIZE;
	pte_t old;

	hk_write(test, addr, 3);
	old = hk_set_pte(test, middle,
			 pte_mkspecial(pfn_pte(hk_pfn(test, middle),
					       PAGE_READONLY)));
	KUNIT_EXPECT_EQ(test, hk_fault_during(test, range, hf, addr), -EBUSY);
	KUNIT_EXPECT_EQ(test, hk_fault_during(test, range, hf, middle), -EBUSY);
	KUNIT_EXPECT_EQ(test,
			hk_fault_during(test, range, hf, middle + PAGE_SIZE),
			-EBUSY);
	/* An invalidation beside the range does not collide. */
	KUNIT_EXPECT_EQ(test, hk_fault_during(test, range, hf,
					      middle + 2 * PAGE_SIZE), 3);
	KUNIT_EXPECT_EQ(test, range->pfns[1], HK_SPECIAL);
	hk_set_pte(test, middle, old);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/*
 * After a collision the rest of the walk is useless: it must stop at the next
 * page table.
 */
static void collided_walk_stops_at_the_next_page_table(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 1);
	unsigned long len = 2 * PMD_SIZE;
	unsigned long addr = hk_map(test, hf->file, len + PMD_SIZE,
				    PROT_READ | PROT_WRITE, MAP_SHARED);
	struct hmm_range *range;
	unsigned long i, pages[2];
	pte_t old[2], special;

	hk_write(test, addr, 1);
	special = pte_mkspecial(pfn_pte(hk_pfn(test, addr), PAGE_READONLY));
	pages[0] = ALIGN(addr + PAGE_SIZE, PMD_SIZE);
	pages[1] = pages[0] + PMD_SIZE;
	range = hk_range(test, pages[0], len >> PAGE_SHIFT);
	for (i = 0; i < 2; i++)
		old[i] = hk_set_pte(test, pages[i], special);
	/* hk_fault_during() expects that only one special entry is read. */
	KUNIT_EXPECT_EQ(test, hk_fault_during(test, range, hf, pages[0]),
			-EBUSY);
	for (i = 0; i < 2; i++)
		hk_set_pte(test, pages[i], old[i]);
	hmm_range_unregister(range);
}

/* Invalidate once, after everything was read, before it becomes valid. */
static int hk_settle_late(struct hmm *hmm, struct hmm_range *range)
{
	struct kunit *test = kunit_get_current_test();

	kunit_deactivate_static_stub(test, hmm_cursor_settle);
	hk_invalidate(test, range->end - PAGE_SIZE, range->end);
	return hmm_cursor_settle(hmm, range);
}

/* A single page takes the fast path; its request is kept as well. */
static void invalidation_after_the_walk_collides(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2), npages;

	hk_write(test, addr, 2);
	for (npages = 1; npages <= 2; npages++) {
		struct hmm_range *range = hk_range(test, addr, npages);

		hk_request_each(range);
		range->pfns[0] = HK_V;
		kunit_activate_static_stub(test, hmm_cursor_settle,
					   hk_settle_late);
		KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
		KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
		KUNIT_EXPECT_EQ(test, range->pfns[0], HK_V);
		KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), npages);
		KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
		KUNIT_EXPECT_EQ(test, range->pfns[0],
				hk_entry(hk_pfn(test, addr), HK_V | HK_W));
		hmm_range_unregister(range);
	}
}

/*
 * Drop the last user of the mm after everything was read. This must not be
 * reported as a collision.
 */
static int hk_settle_without_users(struct hmm *hmm, struct hmm_range *range)
{
	struct kunit *test = kunit_get_current_test();
	struct mm_struct *mm = hmm->mmu_notifier.mm;

	kunit_deactivate_static_stub(test, hmm_cursor_settle);
	atomic_set(&mm->mm_users, 0);
	return -EBUSY;
}

static void hk_expect_gone(struct kunit *test, struct hmm_range *range)
{
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_ERROR);
}

/*
 * The mm has no users before or during the fault, but its memory still exists.
 */
static void page_of_an_mm_without_users_is_efault(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	int users = atomic_read(&hk->mm->mm_users);

	hk_write(test, addr, 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	atomic_set(&hk->mm->mm_users, 0);
	hk_expect_gone(test, range);
	atomic_set(&hk->mm->mm_users, users);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	kunit_activate_static_stub(test, hmm_cursor_settle,
				   hk_settle_without_users);
	hk_expect_gone(test, range);
	atomic_set(&hk->mm->mm_users, users);
	hmm_range_unregister(range);
}

/* Unregistering a range wakes its waiters. */
static void waiter_wakes_when_its_range_is_unregistered(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_waiter *waiter = hk_wait_start(test, range, HK_LONG_MS);

	KUNIT_EXPECT_FALSE(test, hk_thread_done(waiter->thread, HK_SHORT_MS));
	hmm_range_unregister(range);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_FALSE(test, waiter->result);
	hk_end(inval);
}

static void range_of_a_dead_mm_is_never_valid(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_mm_exit(hk);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			-EFAULT);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	/* The mirror has been released, but stays registered for the range. */
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->releases), 1);
	hmm_range_unregister(range);
	hmm_mirror_unregister(&hk->dev->mirror);
	KUNIT_EXPECT_NULL(test, hk->dev->mirror.hmm);
}

/* ----------------------------------------- only what overlaps is touched (P5) */

#define HK_MANY		1000

static struct hmm_range **hk_many_ranges(struct kunit *test, unsigned long addr)
{
	struct hmm_range **ranges;
	int i;

	ranges = kunit_kcalloc(test, HK_MANY, sizeof(*ranges), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ranges);
	/* One page each; every tenth range also covers both neighbours. */
	for (i = 0; i < HK_MANY; i++) {
		bool wide = i % 10 == 5;

		ranges[i] = hk_range(test, addr + (i - wide) * PAGE_SIZE,
				     wide ? 3 : 1);
	}
	return ranges;
}

static void hk_expect_only(struct kunit *test, struct hmm_range **ranges,
			   unsigned long start, unsigned long end)
{
	int i, wrong = 0;

	for (i = 0; i < HK_MANY; i++) {
		bool hit = ranges[i]->start < end && ranges[i]->end > start;

		wrong += hk_valid(test, ranges[i]) == hit;
		if (hit)
			KUNIT_EXPECT_GT(test, hk_fault(test, ranges[i], 0), 0);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

static void invalidation_touches_only_what_it_overlaps(struct kunit *test)
{
	unsigned long addr = hk_anon(test, HK_MANY);
	struct hmm_range **ranges = hk_many_ranges(test, addr);
	int i, failed = 0;

	for (i = 0; i < HK_MANY; i++)
		failed += hk_fault(test, ranges[i], 0) < 0;
	KUNIT_ASSERT_EQ(test, failed, 0);
	for (i = 0; i < HK_MANY; i += 111) {
		unsigned long start = addr + i * PAGE_SIZE;

		hk_invalidate(test, start, start + PAGE_SIZE);
		hk_expect_only(test, ranges, start, start + PAGE_SIZE);
	}
	hk_invalidate(test, addr + 300 * PAGE_SIZE, addr + 399 * PAGE_SIZE);
	hk_expect_only(test, ranges, addr + 300 * PAGE_SIZE,
		       addr + 399 * PAGE_SIZE);
	for (i = 0; i < HK_MANY; i++)
		hmm_range_unregister(ranges[i]);
}

static void ranges_of_the_same_addresses_are_all_marked(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *ranges[4];
	int i;

	for (i = 0; i < 4; i++) {
		ranges[i] = hk_range_alloc(test, addr, 1);
		KUNIT_ASSERT_EQ(test,
				hmm_range_register(ranges[i],
						   i % 2 ? &other->mirror :
							   &hk->dev->mirror),
				0);
		KUNIT_EXPECT_EQ(test, hk_fault(test, ranges[i], 0), 1);
	}
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_FALSE(test, hk_valid(test, ranges[i]));
		hmm_range_unregister(ranges[i]);
	}
}

/* --------------------------------------------- marked before called (P6) */

static void range_is_marked_before_the_mirror_is_called(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 3);
	struct hmm_range *range = hk_range(test, addr, 3);
	struct mmu_notifier_range update;

	hk->dev->watch = range;
	other->watch = range;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 3);
	hk_invalidate(test, addr + PAGE_SIZE, addr + 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 3);
	KUNIT_ASSERT_EQ(test, hk_start_nonblock(test, &update, addr,
						addr + PAGE_SIZE), 0);
	mmu_notifier_invalidate_range_end(&update);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&other->calls), 2);
	KUNIT_EXPECT_FALSE(test, hk->dev->watch_valid);
	KUNIT_EXPECT_FALSE(test, other->watch_valid);
	hk->dev->watch = NULL;
	other->watch = NULL;
	hmm_range_unregister(range);
}

/* The range is marked for an invalidation of its own driver as well. */
static void range_is_marked_for_any_owner(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct mmu_notifier_range update;

	hk->dev->mirror.dev_private_owner = hk;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	mmu_notifier_range_init_owner(&update, MMU_NOTIFY_MIGRATE, 0, hk->mm,
				      addr, addr + PAGE_SIZE, hk);
	mmu_notifier_invalidate_range_start(&update);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	mmu_notifier_invalidate_range_end(&update);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 1);
	hmm_range_unregister(range);
}

static struct kunit_case hk_invalidate_cases[] = {
	KUNIT_CASE(invalidation_between_fault_and_check_is_seen),
	KUNIT_CASE(snapshot_is_guarded_like_a_fault),
	KUNIT_CASE(range_is_invalid_during_and_after),
	KUNIT_CASE(fault_during_invalidation_is_ebusy),
	KUNIT_CASE(busy_fault_is_not_valid_later),
	KUNIT_CASE(failed_fault_is_not_valid),
	KUNIT_CASE(munmap_and_madvise_are_seen),
	KUNIT_CASE(neighbours_held_open_disturb_nothing),
	KUNIT_CASE(one_byte_of_overlap_is_an_overlap),
	KUNIT_CASE(wait_beside_an_invalidation_returns_at_once),
	KUNIT_CASE(waiter_wakes_when_the_last_overlapping_ends),
	KUNIT_CASE(wait_times_out_while_an_invalidation_is_open),
	KUNIT_CASE(every_waiter_of_every_range_wakes),
	KUNIT_CASE(mm_exit_wakes_every_waiter_with_false),
	KUNIT_CASE(range_registered_inside_is_busy_until_the_end),
	KUNIT_CASE(range_unregistered_inside_leaves_nothing),
	KUNIT_CASE(first_mirror_registered_inside_is_balanced),
	KUNIT_CASE(second_mirror_registered_inside_is_balanced),
	KUNIT_CASE(last_mirror_unregistered_inside_is_balanced),
	KUNIT_CASE(one_of_two_mirrors_unregistered_inside_is_balanced),
	KUNIT_CASE(nonblockable_that_nobody_refuses_is_balanced),
	KUNIT_CASE(nonblockable_refused_by_a_mirror_is_balanced),
	KUNIT_CASE(nonblockable_refused_by_an_interval_is_balanced),
	KUNIT_CASE(nonblockable_refused_by_a_list_neighbour_is_balanced),
	KUNIT_CASE(refused_invalidation_ends_no_other),
	KUNIT_CASE(failed_list_subscriber_ends_the_interval_tree),
	KUNIT_CASE(bad_return_of_a_mirror_is_contained),
	KUNIT_CASE(bad_return_of_a_neighbour_keeps_the_range_busy),
	KUNIT_CASE(more_in_flight_than_the_table_holds_misses_none),
	KUNIT_CASE(overflow_ends_in_any_order),
	KUNIT_CASE(nonblockable_refused_beyond_the_table_is_balanced),
	KUNIT_CASE(mirrors_come_and_go_under_invalidations),
	KUNIT_CASE(ranges_come_and_go_under_invalidations),
	KUNIT_CASE(valid_entry_is_what_the_cpu_has),
	KUNIT_CASE(invalidation_during_the_walk_collides),
	KUNIT_CASE(collided_walk_stops_at_the_next_page_table),
	KUNIT_CASE(invalidation_after_the_walk_collides),
	KUNIT_CASE(page_of_an_mm_without_users_is_efault),
	KUNIT_CASE(waiter_wakes_when_its_range_is_unregistered),
	KUNIT_CASE(range_of_a_dead_mm_is_never_valid),
	KUNIT_CASE(invalidation_touches_only_what_it_overlaps),
	KUNIT_CASE(ranges_of_the_same_addresses_are_all_marked),
	KUNIT_CASE(range_is_marked_before_the_mirror_is_called),
	KUNIT_CASE(range_is_marked_for_any_owner),
	{}
};

static struct kunit_suite hk_invalidate_suite = {
	.name = "hmm_invalidate",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_invalidate_cases,
};

kunit_test_suite(hk_invalidate_suite);
