// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM's tracepoints: each is hit once for the thing that it
 * reports, with the values of that thing.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/mmu_notifier.h>
#include <trace/events/hmm.h>

#include "hmm_kunit.h"

/* Number of events for @mm, and the values of the last ones. */
struct hk_trace {
	struct mm_struct *mm;
	const struct hmm_mirror *mirror;
	struct mmu_notifier_range update;
	unsigned long hit;
	int starts;
	int ends;
	int hits;
	int hits_while_valid;
	int faults;
	int ret;
	int mirrors;
	int no_mirrors;
	int ranges;
	int no_ranges;
	int syncs;
	int sync_ret;
	int finishes;
	int waits;
	u64 ns;
	bool done;
};

static void hk_trace_start(void *data, const struct mmu_notifier_range *update)
{
	struct hk_trace *trace = data;

	if (update->mm != trace->mm)
		return;
	trace->update = *update;
	trace->starts++;
}

static void hk_trace_end(void *data, const struct mmu_notifier_range *update)
{
	struct hk_trace *trace = data;

	trace->ends += update->mm == trace->mm;
}

static void hk_trace_hit(void *data, const struct mmu_notifier_range *update,
			 const struct hmm_range *range)
{
	struct hk_trace *trace = data;

	if (update->mm != trace->mm)
		return;
	trace->hit = range->start;
	trace->hits++;
	trace->hits_while_valid += range->valid;
}

static void hk_trace_fault(void *data, const struct mm_struct *mm,
			   const struct hmm_range *range, unsigned int flags,
			   int ret)
{
	struct hk_trace *trace = data;

	if (mm != trace->mm)
		return;
	trace->ret = ret;
	trace->faults++;
}

static void hk_trace_mirror(void *data, const struct mm_struct *mm,
			    const struct hmm_mirror *mirror)
{
	struct hk_trace *trace = data;

	if (mm != trace->mm)
		return;
	trace->mirror = mirror;
	trace->mirrors++;
}

static void hk_trace_no_mirror(void *data, const struct mm_struct *mm,
			       const struct hmm_mirror *mirror)
{
	struct hk_trace *trace = data;

	trace->no_mirrors += mm == trace->mm && mirror == trace->mirror;
}

static void hk_trace_range(void *data, const struct mm_struct *mm,
			   const struct hmm_range *range)
{
	struct hk_trace *trace = data;

	trace->ranges += mm == trace->mm && range->mirror == trace->mirror;
}

static void hk_trace_no_range(void *data, const struct mm_struct *mm,
			      const struct hmm_range *range)
{
	struct hk_trace *trace = data;

	trace->no_ranges += mm == trace->mm && range->mirror == trace->mirror;
}

static void hk_trace_sync(void *data, const struct hmm_mirror *mirror,
			  const struct mmu_notifier_range *update, u64 ns,
			  int ret)
{
	struct hk_trace *trace = data;

	if (update->mm != trace->mm || mirror != trace->mirror)
		return;
	trace->sync_ret = ret;
	trace->syncs++;
}

static void hk_trace_finish(void *data, const struct hmm_mirror *mirror,
			    const struct mmu_notifier_range *update, u64 ns,
			    int ret)
{
	struct hk_trace *trace = data;

	trace->finishes += update->mm == trace->mm && mirror == trace->mirror;
}

static void hk_trace_wait(void *data, const struct hmm_range *range, u64 ns,
			  bool done)
{
	struct hk_trace *trace = data;

	if (range->mirror != trace->mirror)
		return;
	trace->ns = ns;
	trace->done = done;
	trace->waits++;
}

static void hk_trace_off(void *trace)
{
	unregister_trace_hmm_invalidate_start(hk_trace_start, trace);
	unregister_trace_hmm_invalidate_end(hk_trace_end, trace);
	unregister_trace_hmm_range_hit(hk_trace_hit, trace);
	unregister_trace_hmm_range_fault(hk_trace_fault, trace);
	unregister_trace_hmm_mirror_register(hk_trace_mirror, trace);
	unregister_trace_hmm_mirror_unregister(hk_trace_no_mirror, trace);
	unregister_trace_hmm_range_register(hk_trace_range, trace);
	unregister_trace_hmm_range_unregister(hk_trace_no_range, trace);
	unregister_trace_hmm_mirror_sync(hk_trace_sync, trace);
	unregister_trace_hmm_mirror_finish(hk_trace_finish, trace);
	unregister_trace_hmm_range_wait(hk_trace_wait, trace);
	tracepoint_synchronize_unregister();
}

static struct hk_trace *hk_trace_on(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_trace *t;
	int ret;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no tracepoints in this kernel");
	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	t->mm = hk->mm;
	t->mirror = &hk->dev->mirror;
	ret = register_trace_hmm_invalidate_start(hk_trace_start, t);
	ret = ret ?: register_trace_hmm_invalidate_end(hk_trace_end, t);
	ret = ret ?: register_trace_hmm_range_hit(hk_trace_hit, t);
	ret = ret ?: register_trace_hmm_range_fault(hk_trace_fault, t);
	ret = ret ?: register_trace_hmm_mirror_register(hk_trace_mirror, t);
	ret = ret ?: register_trace_hmm_mirror_unregister(hk_trace_no_mirror,
							  t);
	ret = ret ?: register_trace_hmm_range_register(hk_trace_range, t);
	ret = ret ?: register_trace_hmm_range_unregister(hk_trace_no_range, t);
	ret = ret ?: register_trace_hmm_mirror_sync(hk_trace_sync, t);
	ret = ret ?: register_trace_hmm_mirror_finish(hk_trace_finish, t);
	ret = ret ?: register_trace_hmm_range_wait(hk_trace_wait, t);
	KUNIT_ASSERT_EQ(test, ret, 0);
	ret = kunit_add_action_or_reset(test, hk_trace_off, t);
	KUNIT_ASSERT_EQ(test, ret, 0);
	return t;
}

static void events_show_why_a_fault_is_retried(struct kunit *test)
{
	struct hk_trace *trace = hk_trace_on(test);
	unsigned long addr = hk_anon(test, 8);
	struct hmm_range *range, *other;
	struct hk_inval *inval;

	hk_write(test, addr, 8);
	range = hk_range(test, addr, 1);
	other = hk_range(test, addr + 4 * PAGE_SIZE, 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, other, 0), 1);
	KUNIT_EXPECT_EQ(test, trace->faults, 2);
	KUNIT_EXPECT_EQ(test, trace->ret, 0);

	inval = hk_start(test, addr, addr + 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, trace->starts, 1);
	KUNIT_EXPECT_EQ(test, trace->update.start, addr);
	KUNIT_EXPECT_EQ(test, trace->update.end, addr + 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, trace->update.event, MMU_NOTIFY_CLEAR);
	KUNIT_EXPECT_EQ(test, trace->hits, 1);
	KUNIT_EXPECT_EQ(test, trace->hits_while_valid, 1);
	KUNIT_EXPECT_EQ(test, trace->hit, addr);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, trace->ret, -EBUSY);
	KUNIT_EXPECT_EQ(test, trace->ends, 0);
	hk_end(inval);
	KUNIT_EXPECT_EQ(test, trace->ends, 1);
	KUNIT_EXPECT_EQ(test, trace->faults, 3);
	hmm_range_unregister(other);
	hmm_range_unregister(range);
}

static void events_show_life_of_mirrors_and_ranges(struct kunit *test)
{
	struct hk_trace *trace = hk_trace_on(test);
	unsigned long addr = hk_anon(test, 1);
	struct hk_mirror *dev = hk_mirror(test);
	struct hmm_range *range;

	KUNIT_EXPECT_EQ(test, trace->mirrors, 1);
	KUNIT_ASSERT_PTR_EQ(test, trace->mirror, &dev->mirror);
	range = hk_range_alloc(test, addr, 1);
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &dev->mirror), 0);
	KUNIT_EXPECT_EQ(test, trace->ranges, 1);
	KUNIT_EXPECT_EQ(test, trace->no_ranges, 0);
	hmm_range_unregister(range);
	KUNIT_EXPECT_EQ(test, trace->no_ranges, 1);
	KUNIT_EXPECT_EQ(test, trace->no_mirrors, 0);
	hmm_mirror_unregister(&dev->mirror);
	KUNIT_EXPECT_EQ(test, trace->no_mirrors, 1);
}

static void hk_no_finish(struct hmm_mirror *mirror,
			 const struct mmu_notifier_range *update)
{
}

static void events_show_both_callbacks(struct kunit *test)
{
	static const struct hmm_mirror_ops ops = {
		.sync_cpu_device_pagetables = hk_sync,
		.sync_finish = hk_no_finish,
	};
	struct hk_trace *trace = hk_trace_on(test);
	unsigned long addr = hk_anon(test, 1);
	struct mmu_notifier_range update;
	struct hk_mirror *dev;

	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, trace->syncs, 1);
	KUNIT_EXPECT_EQ(test, trace->finishes, 0);

	dev = hk_mirror_alloc(test);
	dev->mirror.ops = &ops;
	KUNIT_ASSERT_EQ(test, hk_mirror_register(test, dev), 0);
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, trace->syncs, 2);
	KUNIT_EXPECT_EQ(test, trace->sync_ret, 0);
	KUNIT_EXPECT_EQ(test, trace->finishes, 1);
	dev->ret_nonblock = -EAGAIN;
	KUNIT_EXPECT_EQ(test, hk_start_nonblock(test, &update, addr,
						addr + PAGE_SIZE), -EAGAIN);
	KUNIT_EXPECT_EQ(test, trace->syncs, 3);
	KUNIT_EXPECT_EQ(test, trace->sync_ret, -EAGAIN);
	KUNIT_EXPECT_EQ(test, trace->finishes, 1);
}

/* Also that of hmm_range_fault_unlocked(), which waits by itself. */
static void events_show_waits(struct kunit *test)
{
	struct hk_trace *trace = hk_trace_on(test);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	/* Not on the stack, as a fault during an own invalidation is a bug */
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);

	KUNIT_EXPECT_FALSE(test, hmm_range_wait_until_valid(range, 1));
	KUNIT_EXPECT_EQ(test, trace->waits, 1);
	KUNIT_EXPECT_FALSE(test, trace->done);
	KUNIT_EXPECT_GT(test, trace->ns, 0);
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked(range, 0, 1), -EBUSY);
	KUNIT_EXPECT_EQ(test, trace->waits, 2);
	KUNIT_EXPECT_FALSE(test, trace->done);
	hk_end(inval);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, 1));
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked(range, 0, 1), 1);
	/* Nothing to wait for */
	KUNIT_EXPECT_EQ(test, trace->waits, 2);
	hmm_range_unregister(range);
}

static struct kunit_case hk_trace_cases[] = {
	KUNIT_CASE(events_show_why_a_fault_is_retried),
	KUNIT_CASE(events_show_life_of_mirrors_and_ranges),
	KUNIT_CASE(events_show_both_callbacks),
	KUNIT_CASE(events_show_waits),
	{}
};

static struct kunit_suite hk_trace_suite = {
	.name = "hmm_trace",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_trace_cases,
};

kunit_test_suite(hk_trace_suite);
