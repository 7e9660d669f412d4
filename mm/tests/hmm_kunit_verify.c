// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the check of CONFIG_DEBUG_VM. Each test makes one
 * thing wrong in the state, expects the warning, and mends it.
 */
#include <kunit/test.h>
#include <linux/hmm.h>

#include "hmm_kunit.h"

static int hk_verify_init(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_DEBUG_VM))
		kunit_skip(test, "needs CONFIG_DEBUG_VM");
	return hk_init(test);
}

/* Registers a range elsewhere; to unregister it verifies the state. */
static void hk_verify(struct kunit *test, const char *text)
{
	struct hmm_range *other = hk_range(test, PAGE_SIZE, 1);

	hk_expect_warn(text);
	hmm_range_unregister(other);
	hk_expect_end(text);
}

/* The end of a fault verifies, too. */
static void number_of_invalidations_is_verified(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	range->hmm->notifiers++;
	hk_expect_warn("wrong number of invalidations in flight");
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	hk_expect_end("wrong number of invalidations in flight");
	range->hmm->notifiers--;
	hmm_range_unregister(range);
}

static void size_of_the_table_is_verified(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm *hmm = hk->dev->mirror.hmm;

	hmm->nr_inflight += HMM_INFLIGHT_MAX + 1;
	hk_verify(test, "more invalidations than the table holds");
	hmm->nr_inflight -= HMM_INFLIGHT_MAX + 1;
}

/* So does the end of a mirror. */
static void buckets_are_verified(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm *hmm = hk->dev->mirror.hmm;
	struct hk_mirror *other = hk_mirror(test);

	hmm->overflow[HMM_OVERFLOW_BUCKETS - 1].count++;
	hk_expect_warn("buckets do not add up to the overflow");
	hmm_mirror_unregister(&other->mirror);
	hk_expect_end("buckets do not add up to the overflow");
	hmm->overflow[HMM_OVERFLOW_BUCKETS - 1].count--;
}

static void keys_of_the_table_are_verified(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hmm *hmm = hk->dev->mirror.hmm;
	unsigned long addr = hk_anon(test, 1);
	struct hk_inval *first = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_inval *second = hk_start(test, addr, addr + PAGE_SIZE);
	const struct mmu_notifier_range *key = hmm->inflight[1].key;

	KUNIT_ASSERT_EQ(test, hmm->nr_inflight, 2);
	hmm->inflight[1].key = hmm->inflight[0].key;
	hk_verify(test, "an invalidation is twice in the table");
	hmm->inflight[1].key = key;
	hk_end(second);
	hk_end(first);
}

static void registration_is_verified(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);
	struct hmm *hmm = range->hmm;

	range->hmm = NULL;
	hk_verify(test, "a range in the tree is not registered");
	range->hmm = hmm;
	hmm_range_unregister(range);
}

static void cursor_is_verified(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	range->cursor = range->end + 1;
	hk_verify(test, "a cursor is outside its range");
	range->cursor = range->start;
	hmm_range_unregister(range);
}

static void validity_is_verified(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 2), 2);

	range->cursor = range->end - 1;
	range->valid = true;
	hk_verify(test, "a range is valid that was not read to its end");
	range->valid = false;
	hmm_range_unregister(range);
}

static void order_of_the_tree_is_verified(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *first = hk_range(test, addr, 1);
	struct hmm_range *second = hk_range(test, addr + PAGE_SIZE, 1);

	second->node.start = 0;
	hk_verify(test, "the tree is not in order");
	second->node.start = second->start;
	hmm_range_unregister(second);
	hmm_range_unregister(first);
}

static void list_is_verified(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);
	struct hk *hk = test->priv;

	list_del(&range->list);
	hk->dev->mirror.nr_ranges--;
	hk_verify(test, "the list and the tree differ");
	hk->dev->mirror.nr_ranges++;
	list_add(&range->list, &range->hmm->ranges);
	hmm_range_unregister(range);
}

static void number_of_ranges_is_verified(struct kunit *test)
{
	struct hk *hk = test->priv;

	hk->dev->mirror.nr_ranges++;
	hk_verify(test, "a mirror has a wrong number of ranges");
	hk->dev->mirror.nr_ranges--;
}

/* More ranges than are verified at once. */
static void nothing_is_wrong_with_many_ranges(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range[100];
	int i;

	for (i = 0; i < ARRAY_SIZE(range); i++) {
		range[i] = hk_range(test, addr, 2);
		KUNIT_EXPECT_EQ(test, hk_fault(test, range[i], 0), 2);
	}
	hk_invalidate(test, addr + PAGE_SIZE, addr + 2 * PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(range); i++)
		hmm_range_unregister(range[i]);
}

static struct kunit_case hk_verify_cases[] = {
	KUNIT_CASE(number_of_invalidations_is_verified),
	KUNIT_CASE(size_of_the_table_is_verified),
	KUNIT_CASE(buckets_are_verified),
	KUNIT_CASE(keys_of_the_table_are_verified),
	KUNIT_CASE(registration_is_verified),
	KUNIT_CASE(cursor_is_verified),
	KUNIT_CASE(validity_is_verified),
	KUNIT_CASE(order_of_the_tree_is_verified),
	KUNIT_CASE(list_is_verified),
	KUNIT_CASE(number_of_ranges_is_verified),
	KUNIT_CASE(nothing_is_wrong_with_many_ranges),
	{}
};

static struct kunit_suite hk_verify_suite = {
	.name = "hmm_verify",
	.init = hk_verify_init,
	.exit = hk_exit,
	.test_cases = hk_verify_cases,
};

kunit_test_suite(hk_verify_suite);
