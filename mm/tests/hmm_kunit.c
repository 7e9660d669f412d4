// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the fixture of every test.
 *
 * The tests are written from the contract in include/linux/hmm.h, not from the
 * code. They are built in, because they open invalidations and change page
 * tables with functions that are not exported. Each interleaving is forced: the
 * test opens an invalidation, checks, and ends it. Waits are bounded and for a
 * condition, never for time to pass.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/hmm.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>

#include "hmm_kunit.h"

/* A common encoding: flags below the pfn, values without VALID. */
const struct hk_encoding hk_plain = {
	.flags = { HK_V, HK_W, HK_P },
	.values = { HK_ERROR, HK_NONE, HK_SPECIAL },
	.shift = HK_SHIFT,
};

/* An encoding that differs everywhere from common ones; its NONE is not 0. */
const struct hk_encoding hk_odd = {
	.flags = { BIT_ULL(63), BIT_ULL(62), BIT_ULL(61) },
	.values = { ~0ULL, BIT_ULL(60), BIT_ULL(59) },
	.shift = 0,
};

void hk_expect_warn(const char *text)
{
	pr_info("hmm-expect: %s\n", text);
}

void hk_expect_end(const char *text)
{
	pr_info("hmm-expect-end: %s\n", text);
}

/* ------------------------------------------------------------- the mirror */

int hk_sync(struct hmm_mirror *mirror,
	    const struct mmu_notifier_range *update)
{
	struct hk_mirror *dev = container_of(mirror, struct hk_mirror, mirror);
	struct hmm_range *watch;

	spin_lock(&dev->lock);
	atomic_inc(&dev->calls);
	dev->events |= BIT(update->event);
	dev->start = min(dev->start, update->start);
	dev->end = max(dev->end, update->end);
	watch = dev->watch;
	if (watch && update->start < watch->end && update->end > watch->start)
		dev->watch_valid |= hmm_range_valid(watch);
	spin_unlock(&dev->lock);
	return mmu_notifier_range_blockable(update) ? dev->ret :
						      dev->ret_nonblock;
}

void hk_release(struct hmm_mirror *mirror)
{
	struct hk_mirror *dev = container_of(mirror, struct hk_mirror, mirror);

	atomic_inc(&dev->releases);
}

static const struct hmm_mirror_ops hk_ops = {
	.release = hk_release,
	.sync_cpu_device_pagetables = hk_sync,
};

struct hk_mirror *hk_mirror_alloc(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_mirror *dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, dev);
	spin_lock_init(&dev->lock);
	dev->mirror.ops = &hk_ops;
	dev->start = ULONG_MAX;
	list_add_tail(&dev->list, &hk->mirrors);
	return dev;
}

int hk_mirror_register(struct kunit *test, struct hk_mirror *dev)
{
	struct hk *hk = test->priv;
	int ret;

	mmap_write_lock(hk->mm);
	ret = hmm_mirror_register(&dev->mirror, hk->mm);
	mmap_write_unlock(hk->mm);
	return ret;
}

struct hk_mirror *hk_mirror(struct kunit *test)
{
	struct hk_mirror *dev = hk_mirror_alloc(test);

	KUNIT_ASSERT_EQ(test, hk_mirror_register(test, dev), 0);
	KUNIT_ASSERT_NOT_NULL(test, dev->mirror.hmm);
	return dev;
}

/* ------------------------------------------------- the fixture, start, end */

int hk_init(struct kunit *test)
{
	struct hk *hk = kunit_kzalloc(test, sizeof(*hk), GFP_KERNEL);
	unsigned long addr;

	if (!hk)
		return -ENOMEM;
	/* This attaches a new address space to the test's thread. */
	addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ,
			     MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (!addr || IS_ERR_VALUE(addr))
		return -ENOMEM;
	hk->test = test;
	hk->mm = current->mm;
	INIT_LIST_HEAD(&hk->mirrors);
	INIT_LIST_HEAD(&hk->invals);
	INIT_LIST_HEAD(&hk->threads);
	INIT_LIST_HEAD(&hk->foreign);
	/* Keep khugepaged away: it would invalidate memory at any time. */
	set_bit(MMF_VM_HUGEPAGE, &hk->mm->flags);
	/* Keep the mm beyond the end of the thread, for hk_exit(). */
	mmget(hk->mm);
	mmgrab(hk->mm);
	test->priv = hk;
	hk->dev = hk_mirror(test);
	return 0;
}

/* Drop the last user of the mm: exit_mmap() has run when this returns. */
void hk_mm_exit(struct hk *hk)
{
	KUNIT_ASSERT_PTR_EQ(hk->test, current->mm, hk->mm);
	KUNIT_ASSERT_EQ(hk->test, atomic_read(&hk->mm->mm_users), 2);
	hk->exited = true;
	kthread_unuse_mm(hk->mm);
	mmput(hk->mm);
	mmput(hk->mm);
}

static void hk_close_invals(struct hk *hk)
{
	struct hk_inval *inval, *next;

	KUNIT_EXPECT_TRUE_MSG(hk->test, list_empty(&hk->invals),
			      "an invalidation was left open");
	list_for_each_entry_safe(inval, next, &hk->invals, list)
		hk_end(inval);
}

static void hk_join_threads(struct hk *hk)
{
	struct hk_thread *thread;

	/* Twice the bound that the slowest thread may use up. */
	list_for_each_entry(thread, &hk->threads, list)
		KUNIT_EXPECT_TRUE_MSG(hk->test,
				      hk_thread_done(thread, 2 * HK_LONG_MS),
				      "a thread of the test hangs");
}

static void hk_drop_foreign(struct hk *hk)
{
	struct hk_foreign *foreign;

	list_for_each_entry(foreign, &hk->foreign, list)
		if (foreign->is_interval)
			mmu_interval_notifier_remove(&foreign->interval);
		else
			mmu_notifier_unregister(&foreign->mn, hk->mm);
}

static void hk_drop_ranges(struct kunit *test, struct hmm *hmm)
{
	struct hmm_range *range, *next;

	KUNIT_EXPECT_TRUE_MSG(test, list_empty(&hmm->ranges),
			      "a range was left registered");
	list_for_each_entry_safe(range, next, &hmm->ranges, list)
		hmm_range_unregister(range);
}

static void hk_drop_mirrors(struct hk *hk)
{
	struct hk_mirror *dev;

	list_for_each_entry(dev, &hk->mirrors, list) {
		struct hmm *hmm = dev->mirror.hmm;

		if (!hmm)
			continue;
		hk_drop_ranges(hk->test, hmm);
		/* An invalidation in flight at mm exit may have no end. */
		if (!hk->exited)
			KUNIT_EXPECT_EQ(hk->test, hk_in_flight(hmm), 0);
		hmm_mirror_unregister(&dev->mirror);
		KUNIT_EXPECT_NULL(hk->test, dev->mirror.hmm);
	}
}

static bool hk_detached(void *arg)
{
	struct mm_struct *mm = arg;

	return atomic_read(&mm->mm_users) == 1;
}

/* Runs in another thread after the test's thread has exited. */
void hk_exit(struct kunit *test)
{
	struct hk *hk = test->priv;

	if (!hk)
		return;
	hk_close_invals(hk);
	hk_join_threads(hk);
	/* The thread signals its completion before it drops its mm. */
	if (!hk->exited)
		KUNIT_EXPECT_TRUE(test, hk_poll(hk_detached, hk->mm));
	hk_drop_foreign(hk);
	hk_drop_mirrors(hk);
	if (!hk->exited)
		mmput(hk->mm);
	mmdrop(hk->mm);
}

/* ------------------------------------------------------------------ ranges */

void hk_encode(struct hmm_range *range, const struct hk_encoding *encoding)
{
	range->flags = encoding->flags;
	range->values = encoding->values;
	range->pfn_shift = encoding->shift;
}

static u64 hk_flags_in(const struct hmm_range *range, u64 flags)
{
	return (flags & HK_V ? range->flags[HMM_PFN_VALID] : 0) |
	       (flags & HK_W ? range->flags[HMM_PFN_WRITE] : 0) |
	       (flags & HK_P ? range->flags[HMM_PFN_DEVICE_PRIVATE] : 0);
}

/* Make the same request for every page. */
void hk_request(struct hmm_range *range, u64 request)
{
	range->default_flags = hk_flags_in(range, request);
	range->pfn_flags_mask = 0;
}

/* Take each page's request from its entry. */
void hk_request_each(struct hmm_range *range)
{
	range->default_flags = 0;
	range->pfn_flags_mask = hk_flags_in(range, HK_V | HK_W | HK_P);
}

/* Not registered; fields that a driver does not set hold garbage. */
struct hmm_range *hk_range_alloc(struct kunit *test, unsigned long addr,
				 unsigned long npages)
{
	struct hmm_range *range;

	range = kunit_kmalloc(test, sizeof(*range), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range);
	memset(range, 0xa5, sizeof(*range));
	range->start = addr;
	range->end = addr + npages * PAGE_SIZE;
	range->pfns = kunit_kcalloc(test, npages, sizeof(u64), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range->pfns);
	hk_encode(range, &hk_plain);
	hk_request(range, HK_V);
	return range;
}

/* A registered range in the plain encoding that requests read access. */
struct hmm_range *hk_range(struct kunit *test, unsigned long addr,
			   unsigned long npages)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, addr, npages);

	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	return range;
}

/*
 * Every fault of every test goes through here. The mmap lock must have been
 * dropped if, and only if, the return value is -EAGAIN.
 */
long hk_fault_orders(struct kunit *test, struct hmm_range *range,
		     unsigned int flags, u8 *orders)
{
	struct hk *hk = test->priv;
	long ret;
	bool locked;

	mmap_read_lock(hk->mm);
	if (orders)
		ret = hmm_range_fault_orders(range, flags, orders);
	else
		ret = hmm_range_fault(range, flags);
	locked = rwsem_is_locked(&hk->mm->mmap_lock);
	KUNIT_EXPECT_EQ(test, locked, ret != -EAGAIN);
	if (ret == -EAGAIN)
		KUNIT_EXPECT_TRUE(test, flags & HMM_FAULT_ALLOW_RETRY);
	if (ret >= 0)
		KUNIT_EXPECT_EQ(test, ret,
				(range->end - range->start) >> PAGE_SHIFT);
	if (locked)
		mmap_read_unlock(hk->mm);
	return ret;
}

long hk_fault(struct kunit *test, struct hmm_range *range, unsigned int flags)
{
	return hk_fault_orders(test, range, flags, NULL);
}

/* Check validity as a driver does: under the lock that its callback takes. */
bool hk_valid(struct kunit *test, struct hmm_range *range)
{
	struct hk *hk = test->priv;
	bool valid;

	spin_lock(&hk->dev->lock);
	valid = hmm_range_valid(range);
	spin_unlock(&hk->dev->lock);
	return valid;
}

/* Convert an entry of any encoding to the plain one. */
static u64 hk_decode(const struct hmm_range *range, u64 entry)
{
	u64 flags = 0;

	if (entry == range->values[HMM_PFN_NONE])
		return HK_NONE;
	if (entry == range->values[HMM_PFN_ERROR])
		return HK_ERROR;
	if (entry == range->values[HMM_PFN_SPECIAL])
		return HK_SPECIAL;
	if (entry & range->flags[HMM_PFN_VALID])
		flags |= HK_V;
	if (entry & range->flags[HMM_PFN_WRITE])
		flags |= HK_W;
	if (entry & range->flags[HMM_PFN_DEVICE_PRIVATE])
		flags |= HK_P;
	return hk_entry(hmm_device_entry_to_pfn(range, entry), flags);
}

static u64 hk_snapshot_in(struct kunit *test, unsigned long addr,
			  const struct hk_encoding *encoding, bool snapshot)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, addr, 1);
	u64 entry;

	hk_encode(range, encoding);
	if (snapshot)
		hk_request(range, HK_V | HK_W | HK_P);
	else
		hk_request_each(range);
	/* An entry of 0 requests nothing, and a snapshot ignores requests. */
	range->pfns[0] = 0;
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range,
				       snapshot ? HMM_FAULT_SNAPSHOT : 0), 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	entry = hk_decode(range, range->pfns[0]);
	hmm_range_unregister(range);
	return entry;
}

/*
 * The left column of the result table: the entry for @addr without a request. A
 * snapshot and an empty request must return the same entry, in both encodings.
 */
u64 hk_snapshot(struct kunit *test, unsigned long addr)
{
	u64 entry = hk_snapshot_in(test, addr, &hk_plain, true);

	KUNIT_EXPECT_EQ(test, hk_snapshot_in(test, addr, &hk_plain, false),
			entry);
	KUNIT_EXPECT_EQ(test, hk_snapshot_in(test, addr, &hk_odd, true), entry);
	KUNIT_EXPECT_EQ(test, hk_snapshot_in(test, addr, &hk_odd, false),
			entry);
	return entry;
}

/* The right column of the result table: request the page at @addr. */
long hk_request_page(struct kunit *test, unsigned long addr, u64 request,
		     u64 *entry)
{
	struct hmm_range *range = hk_range(test, addr, 1);
	long ret;

	hk_request(range, request);
	ret = hk_fault(test, range, 0);
	KUNIT_EXPECT_EQ(test, hk_valid(test, range), ret == 1);
	if (ret == -EFAULT || ret == -EPERM)
		KUNIT_EXPECT_EQ(test, range->pfns[0], HK_ERROR);
	*entry = range->pfns[0];
	hmm_range_unregister(range);
	return ret;
}

/* Expect entries [@first, @first + @n) to be consecutive pages from @pfn. */
void hk_expect_run(struct kunit *test, struct hmm_range *range,
		   unsigned long first, unsigned long n, unsigned long pfn,
		   u64 flags)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		if (range->pfns[first + i] != hk_entry(pfn + i, flags))
			break;
	KUNIT_EXPECT_EQ_MSG(test, i, n, "entry is %llx, expected %llx",
			    i < n ? range->pfns[first + i] : 0,
			    hk_entry(pfn + i, flags));
}

/* The number of entries that have all of @flags. */
unsigned long hk_count(struct hmm_range *range, u64 flags)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long i, n = 0;

	for (i = 0; i < npages; i++)
		n += (range->pfns[i] & flags) == flags;
	return n;
}

/* ------------------------------------------------------------ invalidations */

struct hk_inval *hk_start(struct kunit *test, unsigned long start,
			  unsigned long end)
{
	struct hk *hk = test->priv;
	struct hk_inval *inval;

	inval = kunit_kzalloc(test, sizeof(*inval), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, inval);
	mmu_notifier_range_init(&inval->update, MMU_NOTIFY_CLEAR, 0, hk->mm,
				start, end);
	mmu_notifier_invalidate_range_start(&inval->update);
	list_add_tail(&inval->list, &hk->invals);
	return inval;
}

void hk_end(struct hk_inval *inval)
{
	list_del(&inval->list);
	mmu_notifier_invalidate_range_end(&inval->update);
}

/* If this fails, the invalidation has no end. */
int hk_start_nonblock(struct kunit *test, struct mmu_notifier_range *update,
		      unsigned long start, unsigned long end)
{
	struct hk *hk = test->priv;

	mmu_notifier_range_init(update, MMU_NOTIFY_CLEAR, 0, hk->mm, start,
				end);
	return mmu_notifier_invalidate_range_start_nonblock(update);
}

void hk_invalidate(struct kunit *test, unsigned long start, unsigned long end)
{
	hk_end(hk_start(test, start, end));
}

/* The same for a hook in a walk, which is under RCU. */
void hk_invalidate_nonblock(struct kunit *test, unsigned long start,
			    unsigned long end)
{
	struct mmu_notifier_range update;

	KUNIT_EXPECT_EQ(test, hk_start_nonblock(test, &update, start, end), 0);
	mmu_notifier_invalidate_range_end(&update);
}

long hk_in_flight(struct hmm *hmm)
{
	unsigned long flags;
	long n;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	n = hmm->notifiers;
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	return n;
}

/* Expect that nothing is in flight and that @range can become valid. */
void hk_expect_idle(struct kunit *test, struct hmm_range *range)
{
	KUNIT_EXPECT_EQ(test, hk_in_flight(range->hmm), 0);
	KUNIT_EXPECT_TRUE(test, hmm_range_wait_until_valid(range, HK_LONG_MS));
	KUNIT_EXPECT_GT(test, hk_fault(test, range, 0), 0);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
}

/* ---------------------------------------------------------------- threads */

static int hk_thread_fn(void *arg)
{
	struct hk_thread *thread = arg;

	thread->fn(thread->arg);
	complete_all(&thread->done);
	return 0;
}

struct hk_thread *hk_run(struct kunit *test, void (*fn)(void *arg), void *arg)
{
	struct hk *hk = test->priv;
	struct hk_thread *thread;
	struct task_struct *task;

	thread = kunit_kzalloc(test, sizeof(*thread), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, thread);
	init_completion(&thread->done);
	thread->fn = fn;
	thread->arg = arg;
	task = kthread_run(hk_thread_fn, thread, "hmm-kunit");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	list_add_tail(&thread->list, &hk->threads);
	return thread;
}

bool hk_thread_done(struct hk_thread *thread, unsigned int ms)
{
	return wait_for_completion_timeout(&thread->done, msecs_to_jiffies(ms));
}

/* Wait for @cond, up to %HK_LONG_MS. */
bool hk_poll(bool (*cond)(void *arg), void *arg)
{
	unsigned long until = jiffies + msecs_to_jiffies(HK_LONG_MS);

	while (!cond(arg)) {
		if (time_after(jiffies, until))
			return false;
		usleep_range(200, 400);
	}
	return true;
}

static void hk_waiter_fn(void *arg)
{
	struct hk_waiter *waiter = arg;

	if (waiter->fault)
		waiter->ret = hmm_range_fault_unlocked(waiter->range, 0,
						       waiter->ms);
	else
		waiter->result = hmm_range_wait_until_valid(waiter->range,
							    waiter->ms);
}

static unsigned int hk_sleepers(struct hmm *hmm)
{
	unsigned long flags;
	unsigned int n;

	spin_lock_irqsave(&hmm->wq.lock, flags);
	n = list_count_nodes(&hmm->wq.head);
	spin_unlock_irqrestore(&hmm->wq.lock, flags);
	return n;
}

struct hk_sleep_cond {
	struct hmm *hmm;
	struct hk_waiter *waiter;
	unsigned int sleepers;
};

static bool hk_waiter_sleeps(void *arg)
{
	struct hk_sleep_cond *cond = arg;

	return hk_sleepers(cond->hmm) >= cond->sleepers ||
	       completion_done(&cond->waiter->thread->done);
}

static struct hk_waiter *hk_waiter(struct kunit *test, struct hmm_range *range,
				   unsigned long ms, bool fault)
{
	struct hk_sleep_cond cond = {
		.hmm = range->hmm,
		.sleepers = hk_sleepers(range->hmm) + 1,
	};

	cond.waiter = kunit_kzalloc(test, sizeof(*cond.waiter), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cond.waiter);
	cond.waiter->range = range;
	cond.waiter->ms = ms;
	cond.waiter->fault = fault;
	cond.waiter->thread = hk_run(test, hk_waiter_fn, cond.waiter);
	KUNIT_ASSERT_TRUE(test, hk_poll(hk_waiter_sleeps, &cond));
	return cond.waiter;
}

/*
 * Start a thread that waits for @range. It sleeps, or has returned, when this
 * returns.
 */
struct hk_waiter *hk_wait_start(struct kunit *test, struct hmm_range *range,
				unsigned long ms)
{
	return hk_waiter(test, range, ms, false);
}

/* The same with a thread that faults @range without a lock. */
struct hk_waiter *hk_unlocked_start(struct kunit *test, struct hmm_range *range,
				    unsigned long ms)
{
	return hk_waiter(test, range, ms, true);
}

void hk_stop_init(struct hk_stop *stop)
{
	init_completion(&stop->entered);
	init_completion(&stop->leave);
}

/* Called by a callback; bounded, as a test that fails must not hang. */
void hk_stop_here(struct hk_stop *stop)
{
	complete_all(&stop->entered);
	wait_for_completion_timeout(&stop->leave,
				    msecs_to_jiffies(2 * HK_LONG_MS));
}

/* Wait until a callback is there. */
bool hk_stop_entered(struct hk_stop *stop)
{
	return wait_for_completion_timeout(&stop->entered,
					   msecs_to_jiffies(HK_LONG_MS));
}

static void hk_invalidate_fn(void *arg)
{
	struct hk_elsewhere *elsewhere = arg;
	struct mmu_notifier_range update;

	mmu_notifier_range_init(&update, MMU_NOTIFY_CLEAR, 0, elsewhere->mm,
				elsewhere->addr, elsewhere->addr + PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&update);
	mmu_notifier_invalidate_range_end(&update);
}

static void hk_unregister_fn(void *arg)
{
	struct hk_elsewhere *elsewhere = arg;

	hmm_mirror_unregister(elsewhere->mirror);
}

static struct hk_elsewhere *hk_elsewhere(struct kunit *test)
{
	struct hk_elsewhere *elsewhere;
	struct hk *hk = test->priv;

	elsewhere = kunit_kzalloc(test, sizeof(*elsewhere), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, elsewhere);
	elsewhere->mm = hk->mm;
	return elsewhere;
}

struct hk_elsewhere *hk_invalidate_elsewhere(struct kunit *test,
					     unsigned long addr)
{
	struct hk_elsewhere *elsewhere = hk_elsewhere(test);

	elsewhere->addr = addr;
	elsewhere->thread = hk_run(test, hk_invalidate_fn, elsewhere);
	return elsewhere;
}

struct hk_elsewhere *hk_unregister_elsewhere(struct kunit *test,
					     struct hmm_mirror *mirror)
{
	struct hk_elsewhere *elsewhere = hk_elsewhere(test);

	elsewhere->mirror = mirror;
	elsewhere->thread = hk_run(test, hk_unregister_fn, elsewhere);
	return elsewhere;
}

/* ---------------------------------------------------- foreign subscribers */

static int hk_foreign_start(struct mmu_notifier *mn,
			    const struct mmu_notifier_range *update)
{
	struct hk_foreign *foreign = container_of(mn, struct hk_foreign, mn);

	atomic_inc(&foreign->calls);
	return mmu_notifier_range_blockable(update) ? foreign->ret :
						      foreign->ret_nonblock;
}

static const struct mmu_notifier_ops hk_foreign_ops = {
	.invalidate_range_start = hk_foreign_start,
};

static bool hk_foreign_invalidate(struct mmu_interval_notifier *interval,
				  const struct mmu_notifier_range *update,
				  unsigned long seq)
{
	struct hk_foreign *foreign =
		container_of(interval, struct hk_foreign, interval);

	atomic_inc(&foreign->calls);
	mmu_interval_set_seq(interval, seq);
	return mmu_notifier_range_blockable(update) || !foreign->ret_nonblock;
}

static const struct mmu_interval_notifier_ops hk_foreign_interval_ops = {
	.invalidate = hk_foreign_invalidate,
};

static struct hk_foreign *hk_foreign_alloc(struct kunit *test)
{
	struct hk_foreign *foreign;

	foreign = kunit_kzalloc(test, sizeof(*foreign), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, foreign);
	return foreign;
}

struct hk_foreign *hk_foreign_list(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_foreign *foreign = hk_foreign_alloc(test);

	foreign->mn.ops = &hk_foreign_ops;
	KUNIT_ASSERT_EQ(test, mmu_notifier_register(&foreign->mn, hk->mm), 0);
	list_add_tail(&foreign->list, &hk->foreign);
	return foreign;
}

struct hk_foreign *hk_foreign_interval(struct kunit *test, unsigned long start,
				       unsigned long len)
{
	struct hk *hk = test->priv;
	struct hk_foreign *foreign = hk_foreign_alloc(test);
	int ret;

	foreign->is_interval = true;
	ret = mmu_interval_notifier_insert(&foreign->interval, hk->mm, start,
					   len, &hk_foreign_interval_ops);
	KUNIT_ASSERT_EQ(test, ret, 0);
	list_add_tail(&foreign->list, &hk->foreign);
	return foreign;
}
