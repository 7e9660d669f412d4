// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: registration of mirrors and ranges, entries.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/thread_info.h>

#include "hmm_kunit.h"

static const struct hmm_mirror_ops hk_ops_no_release = {
	.sync_cpu_device_pagetables = hk_sync,
};

static void mirror_register_of_nothing_is_einval(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *dev = hk_mirror_alloc(test);
	static const struct hmm_mirror_ops no_sync = { .release = hk_release };

	mmap_write_lock(hk->mm);
	KUNIT_EXPECT_EQ(test, hmm_mirror_register(NULL, hk->mm), -EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_mirror_register(&dev->mirror, NULL), -EINVAL);
	dev->mirror.ops = NULL;
	KUNIT_EXPECT_EQ(test, hmm_mirror_register(&dev->mirror, hk->mm),
			-EINVAL);
	dev->mirror.ops = &no_sync;
	KUNIT_EXPECT_EQ(test, hmm_mirror_register(&dev->mirror, hk->mm),
			-EINVAL);
	mmap_write_unlock(hk->mm);
	KUNIT_EXPECT_NULL(test, dev->mirror.hmm);
}

static void mirror_registered_twice_is_einval(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm *hmm = hk->dev->mirror.hmm;

	KUNIT_EXPECT_EQ(test, hk_mirror_register(test, hk->dev), -EINVAL);
	KUNIT_EXPECT_PTR_EQ(test, hk->dev->mirror.hmm, hmm);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&hmm->mirrors), 1);
}

static void mirror_of_dead_mm_is_efault(struct kunit *test)
{
	struct hk_mirror *dev = hk_mirror_alloc(test);

	hk_mm_exit(test->priv);
	KUNIT_EXPECT_EQ(test, hk_mirror_register(test, dev), -EFAULT);
	KUNIT_EXPECT_NULL(test, dev->mirror.hmm);
}

static void mirrors_of_one_mm_share_its_hmm(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *dev = hk_mirror(test);
	struct hmm *hmm = hk->dev->mirror.hmm;

	KUNIT_EXPECT_PTR_EQ(test, dev->mirror.hmm, hmm);
	KUNIT_EXPECT_PTR_EQ(test, hmm->mmu_notifier.mm, hk->mm);
	hmm_mirror_unregister(&hk->dev->mirror);
	KUNIT_EXPECT_PTR_EQ(test, dev->mirror.hmm->mmu_notifier.mm, hk->mm);
	hmm_mirror_unregister(&dev->mirror);
}

static void every_mirror_is_called(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *dev = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);

	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&dev->calls), 1);
	KUNIT_EXPECT_EQ(test, dev->start, addr);
	KUNIT_EXPECT_EQ(test, dev->end, addr + PAGE_SIZE);
}

static void unregistered_mirror_is_not_called(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *dev = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);

	hmm_mirror_unregister(&hk->dev->mirror);
	KUNIT_EXPECT_NULL(test, hk->dev->mirror.hmm);
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&dev->calls), 1);
}

static void mirror_may_be_registered_again(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range;
	int i;

	for (i = 0; i < 3; i++) {
		hmm_mirror_unregister(&hk->dev->mirror);
		KUNIT_ASSERT_EQ(test, hk_mirror_register(test, hk->dev), 0);
	}
	range = hk_range(test, addr, 1);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 1);
}

static void mirror_is_released_once_at_mm_exit(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);

	hk_mm_exit(hk);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->releases), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&other->releases), 1);
	/* The mirror stays registered until the driver unregisters it. */
	KUNIT_EXPECT_NOT_NULL(test, hk->dev->mirror.hmm);
	hmm_mirror_unregister(&hk->dev->mirror);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->releases), 1);
}

static void mirror_without_release_is_synced_at_mm_exit(struct kunit *test)
{
	struct hk_mirror *dev = hk_mirror_alloc(test);

	dev->mirror.ops = &hk_ops_no_release;
	KUNIT_ASSERT_EQ(test, hk_mirror_register(test, dev), 0);
	hk_mm_exit(test->priv);
	KUNIT_EXPECT_TRUE(test, dev->events & BIT(MMU_NOTIFY_RELEASE));
	KUNIT_EXPECT_EQ(test, dev->start, 0);
	KUNIT_EXPECT_GE(test, dev->end, TASK_SIZE);
}

/* @start and @end are byte offsets from an address that is mapped. */
static void hk_expect_bad_range(struct kunit *test, unsigned long start,
				unsigned long end)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range_alloc(test, addr, 4);

	range->start = addr + start;
	range->end = addr + end;
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &hk->dev->mirror),
			-EINVAL);
	KUNIT_EXPECT_NULL(test, range->hmm);
	KUNIT_EXPECT_FALSE(test, hmm_range_valid(range));
}

/*
 * The notifier core checks for signals when the first mirror takes all locks.
 */
static void mirror_register_with_a_signal_is_eintr(struct kunit *test)
{
	struct hk *hk = test->priv;
	int ret;

	hmm_mirror_unregister(&hk->dev->mirror);
	set_thread_flag(TIF_SIGPENDING);
	ret = hk_mirror_register(test, hk->dev);
	clear_thread_flag(TIF_SIGPENDING);
	KUNIT_EXPECT_EQ(test, ret, -EINTR);
	KUNIT_EXPECT_NULL(test, hk->dev->mirror.hmm);
	KUNIT_EXPECT_EQ(test, hk_mirror_register(test, hk->dev), 0);
	hk_invalidate(test, PAGE_SIZE, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->dev->calls), 1);
}

static void range_of_bad_addresses_is_einval(struct kunit *test)
{
	hk_expect_bad_range(test, 1, PAGE_SIZE);
	hk_expect_bad_range(test, PAGE_SIZE / 2, PAGE_SIZE);
	hk_expect_bad_range(test, 0, PAGE_SIZE + 1);
	hk_expect_bad_range(test, 0, PAGE_SIZE - 1);
	hk_expect_bad_range(test, 0, 0);
	hk_expect_bad_range(test, PAGE_SIZE, PAGE_SIZE);
	hk_expect_bad_range(test, 2 * PAGE_SIZE, PAGE_SIZE);
}

static void range_without_arrays_is_einval(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range;
	int i;

	for (i = 0; i < 3; i++) {
		range = hk_range_alloc(test, addr, 1);
		if (i == 0)
			range->pfns = NULL;
		else if (i == 1)
			range->flags = NULL;
		else
			range->values = NULL;
		KUNIT_EXPECT_EQ(test,
				hmm_range_register(range, &hk->dev->mirror),
				-EINVAL);
		KUNIT_EXPECT_NULL(test, range->hmm);
	}
}

static int hk_register_encoded(struct kunit *test,
			       const struct hk_encoding *encoding)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, PAGE_SIZE, 1);
	int ret;

	hk_encode(range, encoding);
	hk_request(range, HK_V);
	ret = hmm_range_register(range, &hk->dev->mirror);
	KUNIT_EXPECT_EQ(test, range->hmm ? 0 : -EINVAL, ret);
	if (!ret)
		hmm_range_unregister(range);
	return ret;
}

#define HK_FIELD_TOP	(HK_SHIFT + MAX_PHYSMEM_BITS - PAGE_SHIFT - 1)

static void range_with_a_v54_drivers_encoding_is_fine(struct kunit *test)
{
	const struct hk_encoding good[] = {
		/* nouveau */
		{ { 1, 2, 0x10 }, { ~1ULL, 0, ~1ULL }, 12 },
		/* amdgpu */
		{ { 1, 2, 0 }, { ~1ULL, 0, ~3ULL }, PAGE_SHIFT },
		/* mlx5 */
		{ { 1, 2, 4 }, { -1ULL, 0, -2ULL }, 3 },
		/* dmirror */
		{ { 1, 2, 4 }, { 0x10, 0, 0x20 }, PAGE_SHIFT },
		/* a read-only device without memory of its own */
		{ { 1, 0, 0 }, { -1ULL, 0, -1ULL }, 1 },
		/* the two encodings of these tests */
		hk_plain,
		hk_odd,
		/* flags adjacent to the pfn, below and above */
		{ { BIT_ULL(HK_SHIFT - 1), BIT_ULL(HK_FIELD_TOP + 1), 0 },
		  { 1, 0, 2 },
		  HK_SHIFT },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		KUNIT_EXPECT_EQ_MSG(test, hk_register_encoded(test, &good[i]),
				    0, "encoding %d", i);
}

static void range_of_dead_mm_is_efault(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, hk_anon(test, 1), 1);

	hk_mm_exit(hk);
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &hk->dev->mirror),
			-EFAULT);
	KUNIT_EXPECT_NULL(test, range->hmm);
}

/* On the stack a range may begin as the remainder of another one. */
static void range_may_hold_garbage_before_it_is_registered(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, hk_anon(test, 1), 1);
	struct hmm_range *other = hk_range(test, range->start, 1);

	range->hmm = hk->dev->mirror.hmm;
	range->list.prev = LIST_POISON1;
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	hmm_range_unregister(range);
	range->hmm = hk->dev->mirror.hmm;
	range->list.prev = &other->list;
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	hmm_range_unregister(range);
	hmm_range_unregister(other);
}

static void range_does_not_keep_the_mm(struct kunit *test)
{
	struct hk *hk = test->priv;
	int users = atomic_read(&hk->mm->mm_users);
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	KUNIT_EXPECT_EQ(test, atomic_read(&hk->mm->mm_users), users);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->mm->mm_users), users);
	hmm_range_unregister(range);
	KUNIT_EXPECT_EQ(test, atomic_read(&hk->mm->mm_users), users);
}

static void new_range_is_registered_but_not_valid(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	KUNIT_EXPECT_PTR_EQ(test, range->hmm, hk->dev->mirror.hmm);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_EQ(test, list_count_nodes(&range->hmm->ranges), 1);
	hmm_range_unregister(range);
}

static void range_comes_and_goes_under_an_interrupts_lock(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, hk_anon(test, 1), 1);
	unsigned long flags;
	int ret;

	spin_lock_irqsave(&hk->dev->lock, flags);
	ret = hmm_range_register(range, &hk->dev->mirror);
	hmm_range_valid(range);
	if (!ret)
		hmm_range_unregister(range);
	/* Interrupts must not have been enabled in between. */
	KUNIT_EXPECT_TRUE(test, irqs_disabled());
	spin_unlock_irqrestore(&hk->dev->lock, flags);
	KUNIT_EXPECT_EQ(test, ret, 0);
}

static void unregistered_range_is_refused(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	hmm_range_unregister(range);
	KUNIT_EXPECT_NULL(test, range->hmm);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EINVAL);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
}

static void hk_expect_round_trip(struct kunit *test,
				 const struct hk_encoding *encoding)
{
	struct hmm_range *range = hk_range_alloc(test, PAGE_SIZE, 1);
	struct page *page = hk_alloc_page(test);
	unsigned long pfn = page_to_pfn(page);
	u64 entry;

	hk_encode(range, encoding);
	entry = hmm_device_entry_from_pfn(range, pfn);
	KUNIT_EXPECT_EQ(test, entry, hmm_device_entry_from_page(range, page));
	KUNIT_EXPECT_EQ(test, entry,
			((u64)pfn << encoding->shift) |
				encoding->flags[HMM_PFN_VALID]);
	/* Other flags do not affect the pfn. */
	entry |= encoding->flags[HMM_PFN_WRITE];
	entry |= encoding->flags[HMM_PFN_DEVICE_PRIVATE];
	KUNIT_EXPECT_EQ(test, hmm_device_entry_to_pfn(range, entry), pfn);
	KUNIT_EXPECT_PTR_EQ(test, hmm_device_entry_to_page(range, entry), page);
}

static void entry_has_the_pfn_it_was_made_of(struct kunit *test)
{
	hk_expect_round_trip(test, &hk_plain);
	hk_expect_round_trip(test, &hk_odd);
}

static void hk_expect_no_page(struct kunit *test,
			      const struct hk_encoding *encoding)
{
	struct hmm_range *range = hk_range_alloc(test, PAGE_SIZE, 1);
	u64 entry;
	int i;

	hk_encode(range, encoding);
	/* The last one is a pfn without VALID. */
	for (i = 0; i <= HMM_PFN_VALUE_MAX; i++) {
		entry = i < HMM_PFN_VALUE_MAX ? encoding->values[i] :
						5ULL << encoding->shift;
		KUNIT_EXPECT_EQ(test, hmm_device_entry_to_pfn(range, entry),
				-1UL);
		KUNIT_EXPECT_NULL(test, hmm_device_entry_to_page(range, entry));
	}
}

static void entry_without_pfn_has_no_page(struct kunit *test)
{
	hk_expect_no_page(test, &hk_plain);
	hk_expect_no_page(test, &hk_odd);
}

static struct kunit_case hk_register_cases[] = {
	KUNIT_CASE(mirror_register_of_nothing_is_einval),
	KUNIT_CASE(mirror_registered_twice_is_einval),
	KUNIT_CASE(mirror_of_dead_mm_is_efault),
	KUNIT_CASE(mirror_register_with_a_signal_is_eintr),
	KUNIT_CASE(mirrors_of_one_mm_share_its_hmm),
	KUNIT_CASE(every_mirror_is_called),
	KUNIT_CASE(unregistered_mirror_is_not_called),
	KUNIT_CASE(mirror_may_be_registered_again),
	KUNIT_CASE(mirror_is_released_once_at_mm_exit),
	KUNIT_CASE(mirror_without_release_is_synced_at_mm_exit),
	KUNIT_CASE(range_of_bad_addresses_is_einval),
	KUNIT_CASE(range_without_arrays_is_einval),
	KUNIT_CASE(range_with_a_v54_drivers_encoding_is_fine),
	KUNIT_CASE(range_of_dead_mm_is_efault),
	KUNIT_CASE(range_may_hold_garbage_before_it_is_registered),
	KUNIT_CASE(range_does_not_keep_the_mm),
	KUNIT_CASE(new_range_is_registered_but_not_valid),
	KUNIT_CASE(range_comes_and_goes_under_an_interrupts_lock),
	KUNIT_CASE(unregistered_range_is_refused),
	KUNIT_CASE(entry_has_the_pfn_it_was_made_of),
	KUNIT_CASE(entry_without_pfn_has_no_page),
	{}
};

static struct kunit_suite hk_register_suite = {
	.name = "hmm_register",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_register_cases,
};

kunit_test_suite(hk_register_suite);
