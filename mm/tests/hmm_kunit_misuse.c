// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: bugs of drivers get an error and a warning.
 *
 * This suite runs first: a WARN_ONCE that it provokes is not repeated later.
 */
#include <kunit/test.h>
#include <linux/highmem.h>
#include <linux/hmm.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include "../hmm-internal.h"
#include "hmm_kunit.h"

/* --------------------------------------------------------------- encodings */

#define HK_FIELD_TOP	(HK_SHIFT + MAX_PHYSMEM_BITS - PAGE_SHIFT - 1)

static const struct {
	struct hk_encoding enc;
	const char *text;
} hk_colliding[] = {
	{ { { 0, HK_W, HK_P }, { 0x10, 0, 0x20 }, HK_SHIFT },
	  "VALID is not one bit" },
	{ { { 9, HK_W, HK_P }, { 0x10, 0, 0x20 }, HK_SHIFT },
	  "VALID is not one bit" },
	{ { { HK_V, HK_V, HK_P }, { 0x10, 0, 0x20 }, HK_SHIFT },
	  "VALID and WRITE overlap" },
	{ { { HK_V, HK_W, HK_V }, { 0x10, 0, 0x20 }, HK_SHIFT },
	  "VALID and DEVICE_PRIVATE overlap" },
	{ { { HK_V, HK_W, HK_W }, { 0x10, 0, 0x20 }, HK_SHIFT },
	  "WRITE and DEVICE_PRIVATE overlap" },
	/* a flag in the pfn */
	{ { { BIT_ULL(HK_SHIFT), HK_W, HK_P }, { 0x10, 0, 0x20 }, HK_SHIFT },
	  "VALID and the pfn overlap" },
	{ { { HK_V, BIT_ULL(HK_SHIFT + 2), HK_P }, { 0x10, 0, 0x20 },
	    HK_SHIFT },
	  "WRITE and the pfn overlap" },
	{ { { HK_V, HK_W, BIT_ULL(HK_SHIFT + 3) }, { 0x10, 0, 0x20 },
	    HK_SHIFT },
	  "DEVICE_PRIVATE and the pfn overlap" },
	{ { { HK_V, HK_W, HK_P }, { 0x10, 0, 0x20 }, 60 },
	  "a pfn does not fit above pfn_shift" },
	{ { { HK_V, HK_W, HK_P }, { 0, 0, 0x20 }, HK_SHIFT },
	  "NONE and ERROR are equal" },
	{ { { HK_V, HK_W, HK_P }, { 0x10, 0x20, 0x20 }, HK_SHIFT },
	  "NONE and SPECIAL are equal" },
	{ { { HK_V, HK_W, HK_P }, { 0x10, HK_V, 0x20 }, HK_SHIFT },
	  "NONE could be the entry of a page" },
	{ { { HK_V, HK_W, HK_P }, { 0x5001, 0, 0x20 }, HK_SHIFT },
	  "ERROR could be the entry of a page" },
	{ { { HK_V, HK_W, HK_P }, { 0x10, 0, 0x7003 }, HK_SHIFT },
	  "SPECIAL could be the entry of a page" },
};

static void hk_expect_collision(struct kunit *test,
				const struct hk_encoding *encoding,
				const char *text)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, PAGE_SIZE, 1);
	struct hmm_encoding enc;

	hk_encode(range, encoding);
	KUNIT_EXPECT_EQ_MSG(test, hmm_range_register(range, &hk->dev->mirror),
			    -EINVAL, "%s", text);
	KUNIT_EXPECT_NULL(test, range->hmm);
	enc = hmm_range_encoding(range);
	KUNIT_EXPECT_STREQ(test, hmm_encoding_collision(&enc), text);
}

static void colliding_encoding_is_einval(struct kunit *test)
{
	const char *text = "collides with itself: VALID is not one bit";
	/* Some architectures choose the size of a pfn at boot */
	const struct hk_encoding top = {
		{ HK_V, BIT_ULL(HK_FIELD_TOP), HK_P }, { 0x10, 0, 0x20 },
		HK_SHIFT
	};
	int i;

	hk_expect_warn(text);
	for (i = 0; i < ARRAY_SIZE(hk_colliding); i++)
		hk_expect_collision(test, &hk_colliding[i].enc,
				    hk_colliding[i].text);
	hk_expect_collision(test, &top, "WRITE and the pfn overlap");
	hk_expect_end(text);
}

static int hk_register_request(struct kunit *test, u64 flags, u64 mask)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, PAGE_SIZE, 1);
	int ret;

	range->default_flags = flags;
	range->pfn_flags_mask = mask;
	ret = hmm_range_register(range, &hk->dev->mirror);
	if (!ret)
		hmm_range_unregister(range);
	return ret;
}

/* In both orders, as a request that was right once is not checked again. */
static void default_flags_without_effect_are_einval(struct kunit *test)
{
	const char *text = "default_flags 0x2 have a bit that is no flag";

	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_V, 0), 0);
	hk_expect_warn(text);
	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_W, 0), -EINVAL);
	hk_expect_end(text);
	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_P, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_V | BIT(3), 0),
			-EINVAL);
	/* Entries request, and each request is for writing. */
	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_W, HK_V), 0);
	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_W, 0), -EINVAL);
	/* Entries may hold anything, as those of a v5.4 driver do. */
	KUNIT_EXPECT_EQ(test, hk_register_request(test, 0, -1ULL), 0);
	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_V, ~HK_V), 0);
	KUNIT_EXPECT_EQ(test, hk_register_request(test, HK_V | HK_W | HK_P, 0),
			0);
}

/* ------------------------------------------------------------------ ranges */

static void range_registered_twice_stays_registered(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_mirror *other = hk_mirror(test);
	char text[64];

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	snprintf(text, sizeof(text), "registered twice: %#lx-%#lx", addr,
		 addr + PAGE_SIZE);
	hk_expect_warn(text);
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &hk->dev->mirror),
			-EINVAL);
	hk_expect_end(text);
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &other->mirror),
			-EINVAL);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, list_count_nodes(&hk->dev->mirror.hmm->ranges),
			1);
	hmm_range_unregister(range);
}

/* A range that is a copy of a registered one is not registered. */
static void copy_of_a_range_may_be_registered(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hmm_range *copy = hk_range_alloc(test, addr, 1);
	u64 *pfns = copy->pfns;

	*copy = *range;
	copy->pfns = pfns;
	KUNIT_ASSERT_EQ(test, hmm_range_register(copy, &hk->dev->mirror), 0);
	hk_expect_idle(test, copy);
	hmm_range_unregister(copy);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* As if a function with a range on its stack had returned. */
static void range_whose_memory_was_reused_is_seen(struct kunit *test)
{
	const char *text = "left on the stack before hmm_range_unregister()";
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *lost = hk_range(test, addr, 1);
	struct hmm_range *range = hk_range_alloc(test, addr, 1);
	struct hmm_range saved = *lost;
	int ret;

	memset(lost, 0, sizeof(*lost));
	hk_expect_warn(text);
	ret = hmm_range_register(range, &hk->dev->mirror);
	hk_expect_end(text);
	*lost = saved;
	KUNIT_EXPECT_EQ(test, ret, -EINVAL);
	KUNIT_EXPECT_NULL(test, range->hmm);
	hk_expect_idle(test, lost);
	hmm_range_unregister(lost);
}

static void mirror_gone_after_its_ranges_memory_is_seen(struct kunit *test)
{
	const char *text = "before its ranges: 1, and one was freed";
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *lost = hk_range(test, addr, 1);
	struct hmm_range saved = *lost;

	memset(lost, 0, sizeof(*lost));
	hk_expect_warn(text);
	hmm_mirror_unregister(&hk->dev->mirror);
	hk_expect_end(text);
	*lost = saved;
	KUNIT_EXPECT_NULL(test, hk->dev->mirror.hmm);
	KUNIT_EXPECT_PTR_EQ(test, lost->hmm, other->mirror.hmm);
	hmm_range_unregister(lost);
}

static void range_unregistered_twice_is_a_warning(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hmm_range *failed = hk_range_alloc(test, addr, 0);
	struct hmm_range *good = hk_range(test, addr, 1);

	hmm_range_unregister(range);
	hk_expect_warn("hmm: range unregistered, but not registered");
	hmm_range_unregister(range);
	hk_expect_end("hmm: range unregistered, but not registered");
	/* Only the first one is logged; none has an effect. */
	hmm_range_unregister(range);
	KUNIT_EXPECT_EQ(test, hmm_range_register(failed, &hk->dev->mirror),
			-EINVAL);
	hmm_range_unregister(failed);
	hk_expect_idle(test, good);
	hmm_range_unregister(good);
}

/* A range whose mirror was unregistered is invalid, but can be unregistered. */
static void hk_expect_orphan(struct kunit *test, struct hmm_range *range)
{
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EINVAL);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	hmm_range_unregister(range);
}

static void mirror_gone_before_its_range_is_a_warning(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *other = hk_mirror(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *orphan = hk_range(test, addr, 1);
	struct hmm_range *range = hk_range_alloc(test, addr, 1);
	char text[80];

	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &other->mirror), 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, orphan, 0), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	snprintf(text, sizeof(text), "before its ranges: 1, one is %#lx-%#lx",
		 addr, addr + PAGE_SIZE);
	hk_expect_warn(text);
	hmm_mirror_unregister(&hk->dev->mirror);
	hk_expect_end(text);
	hk_expect_orphan(test, orphan);
	/* The range of the other mirror is not affected. */
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	/* Unregister the last mirror: HMM unsubscribes from the mm. */
	hmm_mirror_unregister(&other->mirror);
	mmu_notifier_synchronize();
	hk_expect_orphan(test, range);
}

/* The following tests trigger the same WARN_ONCE as the one above. */

/* The mirror of a sleeping waiter is unregistered, then its range. */
static void waiter_wakes_when_its_mirror_is_unregistered(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_waiter *waiter = hk_wait_start(test, range, HK_LONG_MS);

	hmm_mirror_unregister(&hk->dev->mirror);
	hmm_range_unregister(range);
	mmu_notifier_synchronize();
	KUNIT_ASSERT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_FALSE(test, waiter->result);
	hk_end(inval);
}

/*
 * Once the last mirror is gone, a leftover range no longer keeps the mm. Clear
 * the pointer, so that a read of the mm fails without KASAN too.
 */
static void wait_without_a_mirror_reads_no_mm(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	hmm_mirror_unregister(&hk->dev->mirror);
	mmu_notifier_synchronize();
	range->hmm->mmu_notifier.mm = NULL;
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EINVAL);
	hmm_range_unregister(range);
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
}

/* ----------------------------------------------------------------- mirrors */

static void mirror_unregistered_twice_is_a_warning(struct kunit *test)
{
	const char *text = "hmm: mirror unregistered, but not registered";
	struct hk *hk = test->priv;

	hmm_mirror_unregister(&hk->dev->mirror);
	hk_expect_warn(text);
	hmm_mirror_unregister(&hk->dev->mirror);
	hk_expect_end(text);
	KUNIT_EXPECT_EQ(test, hk_mirror_register(test, hk->dev), 0);
}

static void mirror_without_the_mmap_lock_is_einval(struct kunit *test)
{
	const char *text = "hmm: mirror registered without the mmap lock";
	struct hk_mirror *dev = hk_mirror_alloc(test);
	struct hk *hk = test->priv;

	hk_expect_warn(text);
	KUNIT_EXPECT_EQ(test, hmm_mirror_register(&dev->mirror, hk->mm),
			-EINVAL);
	hk_expect_end(text);
	KUNIT_EXPECT_NULL(test, dev->mirror.hmm);
	KUNIT_EXPECT_EQ(test, hk_mirror_register(test, dev), 0);
}

/* ------------------------------------------------------------------ faults */

static void fault_without_the_mmap_lock_is_einval(struct kunit *test)
{
	const char *text = "hmm: fault without the mmap lock";
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	hk_expect_warn(text);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(range, 0), -EINVAL);
	hk_expect_end(text);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/*
 * The task is between the start and the end. In the callback the same code
 * runs, but lockdep reports the callback before.
 */
static void fault_or_wait_in_an_own_invalidation_ends(struct kunit *test)
{
	const char *fault = "fault during an invalidation by the same task";
	const char *wait = "wait during an invalidation by the same task";
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hmm_range *pair = hk_range(test, addr, 2);
	struct hk *hk = test->priv;
	struct mmu_notifier_range update;

	mmu_notifier_range_init(&update, MMU_NOTIFY_CLEAR, 0, hk->mm, addr,
				addr + PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&update);
	hk_expect_warn(fault);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EINVAL);
	hk_expect_end(fault);
	KUNIT_EXPECT_EQ(test, hk_fault(test, pair, 0), -EINVAL);
	hk_expect_warn(wait);
	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	hk_expect_end(wait);
	mmu_notifier_invalidate_range_end(&update);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
	hmm_range_unregister(pair);
}

/* ------------------------------------------------------------- dirty pages */

#define HK_WORD		0x5a5a5a5a5a5a5a5aULL

/* Pages in a CPU's batch for an LRU list cannot be reclaimed. */
static void hk_madvise(struct kunit *test, unsigned long addr, int advice)
{
	struct hk *hk = test->priv;

	lru_add_drain_all();
	KUNIT_ASSERT_EQ(test, do_madvise(hk->mm, addr, PAGE_SIZE, advice), 0);
	lru_add_drain_all();
}

/* Writes to a page as a device does, which the CPU's page table won't show. */
static void hk_device_writes(struct kunit *test, unsigned long addr, bool dirty)
{
	struct hmm_range *range = hk_range(test, addr, 1);
	struct page *page;

	hk_request(range, HK_V | HK_W);
	KUNIT_ASSERT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_ASSERT_TRUE(test, range->pfns[0] & HK_W);
	page = hmm_device_entry_to_page(range, range->pfns[0]);
	memset_page(page, 0, HK_WORD & 0xff, PAGE_SIZE);
	if (dirty)
		folio_mark_dirty(page_folio(page));
	hmm_range_unregister(range);
}

static unsigned long hk_count_words(struct kunit *test, unsigned long addr)
{
	unsigned long i, n = 0;
	u64 word;

	for (i = 0; i < PAGE_SIZE; i += sizeof(word)) {
		if (copy_from_user(&word, (void __user *)(addr + i),
				   sizeof(word)))
			break;
		n += word == HK_WORD;
	}
	return n;
}

/* The number of words that are left of those that the device has written. */
static unsigned long hk_words_after_reclaim(struct kunit *test, bool dirty)
{
	unsigned long addr = hk_anon(test, 1);

	hk_write(test, addr, 1);
	hk_madvise(test, addr, MADV_FREE);
	hk_device_writes(test, addr, dirty);
	hk_madvise(test, addr, MADV_PAGEOUT);
	return hk_count_words(test, addr);
}

/* No warning can show this mistake: the device's writes are not seen. */
static void data_that_nobody_marks_dirty_is_lost(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, hk_words_after_reclaim(test, true),
			PAGE_SIZE / sizeof(u64));
	KUNIT_EXPECT_EQ(test, hk_words_after_reclaim(test, false), 0);
}

static struct kunit_case hk_misuse_cases[] = {
	KUNIT_CASE(colliding_encoding_is_einval),
	KUNIT_CASE(default_flags_without_effect_are_einval),
	KUNIT_CASE(range_registered_twice_stays_registered),
	KUNIT_CASE(copy_of_a_range_may_be_registered),
	KUNIT_CASE(range_whose_memory_was_reused_is_seen),
	KUNIT_CASE(mirror_gone_after_its_ranges_memory_is_seen),
	KUNIT_CASE(range_unregistered_twice_is_a_warning),
	KUNIT_CASE(mirror_gone_before_its_range_is_a_warning),
	KUNIT_CASE(waiter_wakes_when_its_mirror_is_unregistered),
	KUNIT_CASE(wait_without_a_mirror_reads_no_mm),
	KUNIT_CASE(mirror_unregistered_twice_is_a_warning),
	KUNIT_CASE(mirror_without_the_mmap_lock_is_einval),
	KUNIT_CASE(fault_without_the_mmap_lock_is_einval),
	KUNIT_CASE(fault_or_wait_in_an_own_invalidation_ends),
	KUNIT_CASE(data_that_nobody_marks_dirty_is_lost),
	{}
};

static struct kunit_suite hk_misuse_suite = {
	.name = "hmm_misuse",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_misuse_cases,
};

kunit_test_suite(hk_misuse_suite);
