// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the two passes of an invalidation over mirrors
 * that have a sync_finish().
 */
#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/mmu_notifier.h>

#include "hmm_kunit.h"

/**
 * struct hk_flusher - a driver with two passes
 * @mirror: the registered mirror
 * @registered: it is
 * @ret_nonblock: what the first pass returns if it may not block
 * @syncs: calls of the first pass that returned 0
 * @finishes: calls of the second pass
 * @last_sync: when the first pass was called last
 * @last_finish: when the second pass was called last
 * @block_sync: the next first pass waits at its end
 * @block: the next second pass waits in the middle
 * @stop: the place where they wait
 */
struct hk_flusher {
	struct hmm_mirror mirror;
	bool registered;
	int ret_nonblock;
	atomic_t syncs;
	atomic_t finishes;
	int last_sync;
	int last_finish;
	atomic_t block_sync;
	atomic_t block;
	struct hk_stop stop;
};

/* Counts all calls of all flushers: the order of events. */
static atomic_t hk_clock;

/* Stops once, if the test has set *@block. */
static void hk_flusher_stop(struct hk_flusher *f, atomic_t *block)
{
	if (atomic_xchg(block, 0))
		hk_stop_here(&f->stop);
}

static int hk_flusher_sync(struct hmm_mirror *mirror,
			   const struct mmu_notifier_range *update)
{
	struct hk_flusher *f = container_of(mirror, struct hk_flusher, mirror);

	f->last_sync = atomic_inc_return(&hk_clock);
	if (!mmu_notifier_range_blockable(update) && f->ret_nonblock)
		return f->ret_nonblock;
	atomic_inc(&f->syncs);
	hk_flusher_stop(f, &f->block_sync);
	return 0;
}

static void hk_flusher_finish(struct hmm_mirror *mirror,
			      const struct mmu_notifier_range *update)
{
	struct hk_flusher *f = container_of(mirror, struct hk_flusher, mirror);

	f->last_finish = atomic_inc_return(&hk_clock);
	atomic_inc(&f->finishes);
	hk_flusher_stop(f, &f->block);
}

static const struct hmm_mirror_ops hk_flusher_ops = {
	.sync_cpu_device_pagetables = hk_flusher_sync,
	.sync_finish = hk_flusher_finish,
};

static const struct hmm_mirror_ops hk_single_ops = {
	.sync_cpu_device_pagetables = hk_flusher_sync,
};

static void hk_releasing_release(struct hmm_mirror *mirror)
{
}

static const struct hmm_mirror_ops hk_releasing_ops = {
	.release = hk_releasing_release,
	.sync_cpu_device_pagetables = hk_flusher_sync,
	.sync_finish = hk_flusher_finish,
};

static void hk_flusher_drop(void *arg)
{
	struct hk_flusher *f = arg;

	if (f->registered)
		hmm_mirror_unregister(&f->mirror);
	f->registered = false;
}

/* The mirror that is registered last is called first. */
static struct hk_flusher *hk_flusher(struct kunit *test,
				     const struct hmm_mirror_ops *ops)
{
	struct hk *hk = test->priv;
	struct hk_flusher *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, f);
	hk_stop_init(&f->stop);
	f->mirror.ops = ops;
	mmap_write_lock(hk->mm);
	ret = hmm_mirror_register(&f->mirror, hk->mm);
	mmap_write_unlock(hk->mm);
	KUNIT_ASSERT_EQ(test, ret, 0);
	f->registered = true;
	/* After hk_exit(), for a test that was aborted */
	ret = kunit_add_action_or_reset(test, hk_flusher_drop, f);
	KUNIT_ASSERT_EQ(test, ret, 0);
	return f;
}

static void hk_expect_calls(struct kunit *test, struct hk_flusher *f, int syncs,
			    int finishes)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&f->syncs), syncs);
	KUNIT_EXPECT_EQ(test, atomic_read(&f->finishes), finishes);
}

static void every_flush_starts_before_one_is_awaited(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hk_flusher *f[5];
	int i, j;

	/* The one in the middle has no second pass. */
	for (i = 0; i < 5; i++)
		f[i] = hk_flusher(test,
				  i == 2 ? &hk_single_ops : &hk_flusher_ops);
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	for (i = 0; i < 5; i++) {
		hk_expect_calls(test, f[i], 1, i != 2);
		for (j = 0; j < 5; j++)
			if (i != 2)
				KUNIT_EXPECT_LT(test, f[j]->last_sync,
						f[i]->last_finish);
	}
	for (i = 0; i < 5; i++)
		hk_flusher_drop(f[i]);
}

static void second_pass_is_for_those_that_succeeded(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hk_flusher *after = hk_flusher(test, &hk_flusher_ops);
	struct hk_flusher *failing = hk_flusher(test, &hk_flusher_ops);
	struct hk_flusher *before = hk_flusher(test, &hk_flusher_ops);
	struct mmu_notifier_range update;

	failing->ret_nonblock = -EAGAIN;
	KUNIT_EXPECT_EQ(test, hk_start_nonblock(test, &update, addr,
						addr + PAGE_SIZE), -EAGAIN);
	hk_expect_calls(test, before, 1, 1);
	hk_expect_calls(test, failing, 0, 0);
	hk_expect_calls(test, after, 0, 0);
	/* All of them succeed, and all may not block. */
	failing->ret_nonblock = 0;
	KUNIT_ASSERT_EQ(test, hk_start_nonblock(test, &update, addr,
						addr + PAGE_SIZE), 0);
	mmu_notifier_invalidate_range_end(&update);
	hk_expect_calls(test, before, 2, 2);
	hk_expect_calls(test, failing, 1, 1);
	hk_expect_calls(test, after, 1, 1);
	hk_flusher_drop(before);
	hk_flusher_drop(failing);
	hk_flusher_drop(after);
}

/*
 * An invalidation in another thread. Returns when @f is in the pass that
 * *@block stops.
 */
static struct hk_elsewhere *hk_stop_between(struct kunit *test,
					    struct hk_flusher *f,
					    atomic_t *block)
{
	struct hk_elsewhere *passes;

	atomic_set(block, 1);
	passes = hk_invalidate_elsewhere(test, hk_anon(test, 1));
	KUNIT_ASSERT_TRUE(test, hk_stop_entered(&f->stop));
	return passes;
}

static bool hk_flusher_leaves(void *arg)
{
	struct hk_flusher *f = arg;

	return READ_ONCE(f->mirror.left) != ULONG_MAX;
}

/* Its flush was started, so it is waited for; no other one is started. */
static void mirror_that_leaves_between_is_finished(struct kunit *test)
{
	struct hk_flusher *leaver = hk_flusher(test, &hk_flusher_ops);
	struct hk_flusher *first = hk_flusher(test, &hk_flusher_ops);
	struct hk_elsewhere *passes, *unregister;

	passes = hk_stop_between(test, first, &first->block);
	hk_expect_calls(test, leaver, 1, 0);
	leaver->registered = false;
	unregister = hk_unregister_elsewhere(test, &leaver->mirror);
	KUNIT_ASSERT_TRUE(test, hk_poll(hk_flusher_leaves, leaver));
	/* One that starts now calls it in neither pass. */
	hk_invalidate(test, passes->addr, passes->addr + PAGE_SIZE);
	hk_expect_calls(test, first, 2, 2);
	hk_expect_calls(test, leaver, 1, 0);
	KUNIT_EXPECT_FALSE(test,
			   hk_thread_done(unregister->thread, HK_SHORT_MS));
	complete_all(&first->stop.leave);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(passes->thread, HK_WAKE_MS));
	KUNIT_ASSERT_TRUE(test, hk_thread_done(unregister->thread, HK_LONG_MS));
	hk_expect_calls(test, leaver, 1, 1);
	KUNIT_EXPECT_NULL(test, leaver->mirror.hmm);
	hk_flusher_drop(first);
}

static void mirror_that_joins_between_is_not_finished(struct kunit *test)
{
	struct hk_flusher *second = hk_flusher(test, &hk_flusher_ops);
	struct hk_flusher *first = hk_flusher(test, &hk_flusher_ops);
	struct hk_elsewhere *passes;
	struct hk_flusher *joiner;

	/* All had their first pass, and none its second one. */
	passes = hk_stop_between(test, second, &second->block_sync);
	hk_expect_calls(test, first, 1, 0);
	joiner = hk_flusher(test, &hk_flusher_ops);
	complete_all(&second->stop.leave);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(passes->thread, HK_WAKE_MS));
	hk_expect_calls(test, second, 1, 1);
	hk_expect_calls(test, joiner, 0, 0);
	hk_invalidate(test, passes->addr, passes->addr + PAGE_SIZE);
	hk_expect_calls(test, joiner, 1, 1);
	hk_flusher_drop(joiner);
	hk_flusher_drop(first);
	hk_flusher_drop(second);
}

/* An invalidation is as balanced as one without a second pass. */
static void fault_after_two_passes_is_valid(struct kunit *test)
{
	struct hk_flusher *f = hk_flusher(test, &hk_flusher_ops);
	struct hmm_range *range = hk_range(test, hk_anon(test, 2), 2);
	struct mmu_notifier_range update;

	hk_expect_idle(test, range);
	f->ret_nonblock = -EAGAIN;
	KUNIT_EXPECT_EQ(test,
			hk_start_nonblock(test, &update, range->start,
					  range->end),
			-EAGAIN);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	hk_invalidate(test, range->start, range->end);
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
	hk_flusher_drop(f);
}

static void exit_has_two_passes(struct kunit *test)
{
	struct hk_flusher *a = hk_flusher(test, &hk_flusher_ops);
	struct hk_flusher *releasing = hk_flusher(test, &hk_releasing_ops);
	struct hk_flusher *b = hk_flusher(test, &hk_flusher_ops);

	hk_mm_exit(test->priv);
	hk_expect_calls(test, releasing, 0, 0);
	hk_expect_calls(test, a, 1, 1);
	hk_expect_calls(test, b, 1, 1);
	KUNIT_EXPECT_LT(test, a->last_sync, b->last_finish);
	KUNIT_EXPECT_LT(test, b->last_sync, a->last_finish);
	hk_flusher_drop(a);
	hk_flusher_drop(b);
	hk_flusher_drop(releasing);
}

static struct kunit_case hk_sync_cases[] = {
	KUNIT_CASE(every_flush_starts_before_one_is_awaited),
	KUNIT_CASE(second_pass_is_for_those_that_succeeded),
	KUNIT_CASE(mirror_that_leaves_between_is_finished),
	KUNIT_CASE(mirror_that_joins_between_is_not_finished),
	KUNIT_CASE(fault_after_two_passes_is_valid),
	KUNIT_CASE(exit_has_two_passes),
	{}
};

static struct kunit_suite hk_sync_suite = {
	.name = "hmm_sync",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_sync_cases,
};

kunit_test_suite(hk_sync_suite);
