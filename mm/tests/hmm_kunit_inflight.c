// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the table of invalidations in flight, its
 * overflow, and starts without an end.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>

#include <asm/tlb.h>

#include "hmm_kunit.h"

/* Start @n invalidations of [@start, @end). */
static void hk_start_all(struct kunit *test, struct hk_inval **inval, int n,
			 unsigned long start, unsigned long end)
{
	int i;

	for (i = 0; i < n; i++)
		inval[i] = hk_start(test, start, end);
}

static void hk_end_all(struct hk_inval **inval, int n)
{
	int i;

	for (i = 0; i < n; i++)
		hk_end(inval[i]);
}

/*
 * As with threads that queue at a driver's lock: first beside the range, then
 * around it.
 */
static void overflow_disturbs_only_its_span(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 8);
	unsigned long middle = addr + 4 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, middle, 1);
	unsigned long above = range->end;
	struct hk_inval *inval[HMM_INFLIGHT_MAX + 16];
	const int n = ARRAY_SIZE(inval);

	hk_start_all(test, inval, n, above, above + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), n);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, 0));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_end_all(inval, n);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));

	/* The spans of the previous overflow are no longer in effect. */
	hk_start_all(test, inval, n, addr, middle);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, 0));
	hk_end_all(inval, n);

	hk_start_all(test, inval, n, addr, above);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, 0));
	hk_end_all(inval, HMM_INFLIGHT_MAX);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	hk_end_all(inval + HMM_INFLIGHT_MAX, n - HMM_INFLIGHT_MAX);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/*
 * Invalidations come and go while the table stays full. Each one that overlaps
 * the range ends, while others that do not overlap it are still in flight.
 */
static void overflow_that_ended_is_forgotten(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 1);
	unsigned long far = addr + 2 * PAGE_SIZE;
	struct hk_inval *table[HMM_INFLIGHT_MAX], *over, *next;
	int round, busy = 0;

	hk_start_all(test, table, HMM_INFLIGHT_MAX, far, far + PAGE_SIZE);
	over = hk_start(test, far, far + PAGE_SIZE);
	/*
	 * One more round than there are buckets, so most have one of their own.
	 */
	for (round = 0; round <= HMM_OVERFLOW_BUCKETS; round++) {
		next = hk_start(test, range->start, range->end);
		KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, 0));
		hk_end(next);
		next = hk_start(test, far, far + PAGE_SIZE);
		hk_end(over);
		over = next;
		busy += !hmm_range_wait_until_valid(range, 0);
	}
	KUNIT_EXPECT_LT(test, busy, HMM_OVERFLOW_BUCKETS / 2);
	hk_end(over);
	hk_end_all(table, HMM_INFLIGHT_MAX);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* Several invalidations per bucket, which end in another order. */
static void overflow_misses_none(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 100);
	struct hmm_range *range = hk_range(test, addr + 50 * PAGE_SIZE, 1);
	struct hk_inval *table[HMM_INFLIGHT_MAX], *over[40], *hit;
	int i, missed = 0;

	hk_start_all(test, table, HMM_INFLIGHT_MAX, addr, addr + PAGE_SIZE);
	for (i = 0; i < 40; i++)
		over[i] = hk_start(test, addr + i * PAGE_SIZE,
				   addr + (i + 1) * PAGE_SIZE);
	for (i = 0; i < 40; i++) {
		hit = hk_start(test, range->start, range->end);
		hk_end(over[i]);
		missed += hmm_range_wait_until_valid(range, 0);
		hk_end(hit);
	}
	KUNIT_EXPECT_EQ(test, missed, 0);
	hk_end_all(table, HMM_INFLIGHT_MAX);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* Start @inval again, with other addresses, as if its end was missed. */
static void hk_restart(struct kunit *test, struct hk_inval *inval,
		       unsigned long start, unsigned long end)
{
	struct hk *hk = test->priv;

	mmu_notifier_range_init(&inval->update, MMU_NOTIFY_CLEAR, 0, hk->mm,
				start, end);
	mmu_notifier_invalidate_range_start(&inval->update);
}

static void stale_start_is_taken_over(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *low = hk_range(test, addr, 1);
	struct hmm_range *high = hk_range(test, addr + 2 * PAGE_SIZE, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_waiter *waiter = hk_wait_start(test, low, HK_LONG_MS);

	KUNIT_EXPECT_EQ(test, hk_fault(test, low, 0), -EBUSY);
	hk_restart(test, inval, high->start, high->end);
	KUNIT_EXPECT_EQ(test, hk_in_flight(low->hmm), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, low, 0), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, high, 0), -EBUSY);
	hk_end(inval);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_TRUE(test, waiter->result);
	hk_expect_idle(test, low);
	hk_expect_idle(test, high);
	hmm_range_unregister(low);
	hmm_range_unregister(high);
}

static void stale_start_in_a_full_table_is_taken_over(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 1);
	unsigned long far = addr + 2 * PAGE_SIZE;
	struct hk_inval *table[HMM_INFLIGHT_MAX];

	hk_start_all(test, table, HMM_INFLIGHT_MAX - 1, far, far + PAGE_SIZE);
	table[HMM_INFLIGHT_MAX - 1] = hk_start(test, range->start, range->end);
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, 0));
	hk_restart(test, table[HMM_INFLIGHT_MAX - 1], far, far + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), HMM_INFLIGHT_MAX);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, 0));
	hk_end_all(table, HMM_INFLIGHT_MAX);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* Populate both ends of a mapping at address 0, in two PUDs. */
static unsigned long hk_map_address_0(struct kunit *test)
{
	unsigned long len = PUD_SIZE + PAGE_SIZE;
	unsigned long addr;

	addr = vm_mmap(NULL, 0, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		       0);
	KUNIT_ASSERT_EQ(test, addr, 0);
	hk_write(test, 0, 1);
	hk_write(test, PUD_SIZE, 1);
	return len;
}

/* mm/mprotect.c: an invalidation of address 0 must start once, and end. */
static void protection_of_address_0_ends_its_invalidation(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);
	unsigned long len = hk_map_address_0(test);
	struct mmu_gather tlb;

	mmap_write_lock(hk->mm);
	tlb_gather_mmu(&tlb, hk->mm);
	change_protection(&tlb, vma_lookup(hk->mm, 0), 0, len, 0);
	tlb_finish_mmu(&tlb);
	mmap_write_unlock(hk->mm);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 1);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

static struct kunit_case hk_inflight_cases[] = {
	KUNIT_CASE(overflow_disturbs_only_its_span),
	KUNIT_CASE(overflow_that_ended_is_forgotten),
	KUNIT_CASE(overflow_misses_none),
	KUNIT_CASE(stale_start_is_taken_over),
	KUNIT_CASE(stale_start_in_a_full_table_is_taken_over),
	KUNIT_CASE(protection_of_address_0_ends_its_invalidation),
	{}
};

static struct kunit_suite hk_inflight_suite = {
	.name = "hmm_inflight",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_inflight_cases,
};

kunit_test_suite(hk_inflight_suite);
