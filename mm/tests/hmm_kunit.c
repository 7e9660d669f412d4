// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of mm/hmm.c: the fixture, and who may register what.
 *
 * The tests are written from the contract in include/linux/hmm.h, not from
 * the code. Built in, because they open invalidations and change page tables
 * with functions that no module may call. Each interleaving is forced: the
 * test holds an invalidation open, looks, and ends it. A wait is bounded and
 * for a condition, never for time to pass.
 */
#include <kunit/test.h>
#include <kunit/resource.h>
#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/hmm.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/shmem_fs.h>
#include <linux/swapops.h>
#include <linux/uaccess.h>

#include <asm/tlbflush.h>

#include "hmm_kunit.h"

/* A usual encoding: flags below the pfn, values without VALID. */
const struct hk_encoding hk_plain = {
	.flags = { HK_V, HK_W, HK_P },
	.values = { HK_ERROR, HK_NONE, HK_SPECIAL },
	.shift = HK_SHIFT,
};

/* One where nothing is where it is in other encodings, and NONE is not 0. */
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

static int hk_sync(struct hmm_mirror *mirror,
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
	return mmu_notifier_range_blockable(update) ? dev->say :
						      dev->say_nonblock;
}

static void hk_release(struct hmm_mirror *mirror)
{
	struct hk_mirror *dev = container_of(mirror, struct hk_mirror, mirror);

	atomic_inc(&dev->releases);
}

static const struct hmm_mirror_ops hk_ops = {
	.release = hk_release,
	.sync_cpu_device_pagetables = hk_sync,
};

static const struct hmm_mirror_ops hk_ops_no_release = {
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
	/* This attaches an empty address space to the test's thread. */
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
	/* khugepaged takes it for known: it shall not invalidate what it likes. */
	set_bit(MMF_VM_HUGEPAGE, &hk->mm->flags);
	/* It has to outlive the thread, so that hk_exit() can look at it. */
	mmget(hk->mm);
	mmgrab(hk->mm);
	test->priv = hk;
	hk->dev = hk_mirror(test);
	return 0;
}

/* The last user goes: when this returns, exit_mmap() has run. */
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

	/* Twice what the slowest of them may take. */
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
		/* What is in flight at mm exit may have no end. */
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

/* Runs in another thread when the test's has ended, with its mm or without. */
void hk_exit(struct kunit *test)
{
	struct hk *hk = test->priv;

	if (!hk)
		return;
	hk_close_invals(hk);
	hk_join_threads(hk);
	/* The thread's completion is signalled before it drops its mm. */
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

/* Ask the same of every page. */
void hk_request(struct hmm_range *range, u64 request)
{
	range->default_flags = hk_flags_in(range, request);
	range->pfn_flags_mask = 0;
}

/* Ask of each page what its entry says. */
void hk_request_each(struct hmm_range *range)
{
	range->default_flags = 0;
	range->pfn_flags_mask = hk_flags_in(range, HK_V | HK_W | HK_P);
}

/* Not registered; with garbage where the driver sets nothing. */
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

/* Registered, in the plain encoding, asking to read all. */
struct hmm_range *hk_range(struct kunit *test, unsigned long addr,
			   unsigned long npages)
{
	struct hk *hk = test->priv;
	struct hmm_range *range = hk_range_alloc(test, addr, npages);

	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	return range;
}

/*
 * Every fault of every test goes through here and is held to the rule that
 * the mmap lock has been dropped exactly if it returns -EAGAIN.
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

/* As a driver asks: under the lock that its callback takes. */
bool hk_valid(struct kunit *test, struct hmm_range *range)
{
	struct hk *hk = test->priv;
	bool valid;

	spin_lock(&hk->dev->lock);
	valid = hmm_range_valid(range);
	spin_unlock(&hk->dev->lock);
	return valid;
}

/* An entry of any encoding, said in the plain one. */
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

static u64 hk_look_in(struct kunit *test, unsigned long addr,
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
	/* Entry 0 asks nothing; in a snapshot nobody does. */
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
 * The left column of the result table: what there is at @addr. Both ways not
 * to ask say the same, and so do both encodings.
 */
u64 hk_look(struct kunit *test, unsigned long addr)
{
	u64 entry = hk_look_in(test, addr, &hk_plain, true);

	KUNIT_EXPECT_EQ(test, hk_look_in(test, addr, &hk_plain, false), entry);
	KUNIT_EXPECT_EQ(test, hk_look_in(test, addr, &hk_odd, true), entry);
	KUNIT_EXPECT_EQ(test, hk_look_in(test, addr, &hk_odd, false), entry);
	return entry;
}

/* The right column: ask for the page at @addr. */
long hk_ask(struct kunit *test, unsigned long addr, u64 request, u64 *entry)
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

/* Entries [@first, @first + @n) are @n pages in a row, from @pfn. */
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

/* How many entries have all of @flags. */
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

/* When this fails there is no end to call. */
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

long hk_in_flight(struct hmm *hmm)
{
	unsigned long flags;
	long n;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	n = hmm->notifiers;
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	return n;
}

/* Nothing is in flight, nothing is in the way of @range. */
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

/* Wait for @cond, but not for ever. */
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

	waiter->result = hmm_range_wait_until_valid(waiter->range, waiter->ms);
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

/* A thread that waits for @range: on return it sleeps, or has returned. */
struct hk_waiter *hk_wait_start(struct kunit *test, struct hmm_range *range,
				unsigned long ms)
{
	struct hk_sleep_cond cond = {
		.hmm = range->hmm,
		.sleepers = hk_sleepers(range->hmm) + 1,
	};

	cond.waiter = kunit_kzalloc(test, sizeof(*cond.waiter), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, cond.waiter);
	cond.waiter->range = range;
	cond.waiter->ms = ms;
	cond.waiter->thread = hk_run(test, hk_waiter_fn, cond.waiter);
	KUNIT_ASSERT_TRUE(test, hk_poll(hk_waiter_sleeps, &cond));
	return cond.waiter;
}

/* ---------------------------------------------------- foreign subscribers */

static int hk_foreign_start(struct mmu_notifier *mn,
			    const struct mmu_notifier_range *update)
{
	struct hk_foreign *foreign = container_of(mn, struct hk_foreign, mn);

	atomic_inc(&foreign->calls);
	return mmu_notifier_range_blockable(update) ? foreign->say :
						      foreign->say_nonblock;
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
	return mmu_notifier_range_blockable(update) || !foreign->say_nonblock;
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

/* ------------------------------------------------------------ user's memory */

unsigned long hk_map(struct kunit *test, struct file *file, unsigned long len,
		     unsigned long prot, unsigned long flags)
{
	unsigned long addr;

	if (!file)
		flags |= MAP_ANONYMOUS;
	addr = vm_mmap(file, 0, len, prot, flags, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return addr;
}

unsigned long hk_anon(struct kunit *test, unsigned long npages)
{
	return hk_map(test, NULL, npages * PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE);
}

/* Put another mapping over a part of one, shared if it is of a file. */
void hk_remap(struct kunit *test, unsigned long addr, unsigned long npages,
	      struct file *file, unsigned long prot)
{
	unsigned long flags = MAP_FIXED;

	flags |= file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	KUNIT_ASSERT_EQ(test,
			vm_mmap(file, addr, npages * PAGE_SIZE, prot, flags, 0),
			addr);
}

/* @nr huge pages' worth of aligned memory that may be huge; not touched. */
unsigned long hk_huge(struct kunit *test, unsigned long nr)
{
	struct hk *hk = test->priv;
	unsigned long len = (nr + 1) * PMD_SIZE;
	unsigned long addr = hk_anon(test, len >> PAGE_SHIFT);

	KUNIT_ASSERT_EQ(test, do_madvise(hk->mm, addr, len, MADV_HUGEPAGE), 0);
	return ALIGN(addr, PMD_SIZE);
}

KUNIT_DEFINE_ACTION_WRAPPER(hk_fput, fput, struct file *);

static struct file *hk_keep_file(struct kunit *test, struct file *file)
{
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, hk_fput, file),
			0);
	return file;
}

struct file *hk_shmem_file(struct kunit *test, unsigned long len)
{
	return hk_keep_file(test,
			    shmem_file_setup("hmm-kunit", len, VM_NORESERVE));
}

struct file *hk_hugetlb_file(struct kunit *test, unsigned long nr)
{
	return hk_keep_file(test,
			    hugetlb_file_setup(HUGETLB_ANON_FILE, nr * PMD_SIZE,
					       VM_NORESERVE,
					       HUGETLB_ANONHUGE_INODE,
					       PMD_SHIFT));
}

static void hk_put_page(void *page)
{
	put_page(page);
}

struct page *hk_alloc_page(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, hk_put_page, page), 0);
	return page;
}

void hk_write(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++, addr += PAGE_SIZE)
		if (put_user((u32)i, (u32 __user *)addr))
			break;
	KUNIT_ASSERT_EQ(test, i, npages);
}

void hk_read(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;
	u32 value;

	for (i = 0; i < npages; i++, addr += PAGE_SIZE)
		if (copy_from_user(&value, (void __user *)addr, sizeof(value)))
			break;
	KUNIT_ASSERT_EQ(test, i, npages);
}

/* The level above PTEs, where huge mappings of both kinds are. */
pmd_t *hk_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud) || pud_leaf(*pud))
		return NULL;
	return pmd_offset(pud, addr);
}

/* What the CPU has at @addr, whatever it may do with it; -1 if nothing. */
unsigned long hk_pfn(struct kunit *test, unsigned long addr)
{
	struct hk *hk = test->priv;
	pmd_t *pmd = hk_pmd(hk->mm, addr);
	pte_t pte;

	if (!pmd || !pmd_present(*pmd))
		return -1UL;
	if (pmd_leaf(*pmd))
		return pmd_pfn(*pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT);
	pte = *pte_offset_kernel(pmd, addr);
	return pte_present(pte) ? pte_pfn(pte) : -1UL;
}

struct folio *hk_folio(struct kunit *test, unsigned long addr)
{
	unsigned long pfn = hk_pfn(test, addr);

	KUNIT_ASSERT_NE(test, pfn, -1UL);
	return page_folio(pfn_to_page(pfn));
}

/*
 * Put @pte in the page table by hand, return what was there. Whoever does so
 * puts the old one back before the mm goes, or its counters are wrong.
 */
pte_t hk_set_pte(struct kunit *test, unsigned long addr, pte_t pte)
{
	struct hk *hk = test->priv;
	spinlock_t *ptl; /* of the page table */
	pte_t *ptep, old;

	mmap_read_lock(hk->mm);
	ptep = get_locked_pte(hk->mm, addr, &ptl);
	KUNIT_EXPECT_NOT_NULL(test, ptep);
	/* Not pte_clear(): PAGE_TABLE_CHECK would not hear of it. */
	old = ptep_get_and_clear(hk->mm, addr, ptep);
	if (!pte_none(pte))
		set_pte_at(hk->mm, addr, ptep, pte);
	pte_unmap_unlock(ptep, ptl);
	flush_tlb_mm(hk->mm);
	mmap_read_unlock(hk->mm);
	return old;
}

/* What a memory failure puts in place of @page. */
pte_t hk_poison_pte(struct page *page)
{
	swp_entry_t entry;

	lock_page(page);
	entry = make_hwpoison_entry(page);
	unlock_page(page);
	return swp_entry_to_pte(entry);
}

/* ------------------------------------------------------------ a test file */

static vm_fault_t hk_file_drop_lock(struct vm_fault *vmf, vm_fault_t ret)
{
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	release_fault_lock(vmf);
	return ret;
}

static vm_fault_t hk_file_page(struct hk_file *hf, struct vm_fault *vmf)
{
	if (vmf->pgoff >= hf->npages)
		return VM_FAULT_SIGBUS;
	vmf->page = hf->pages[vmf->pgoff];
	get_page(vmf->page);
	return 0;
}

static vm_fault_t hk_file_fault(struct vm_fault *vmf)
{
	struct hk_file *hf = vmf->vma->vm_private_data;

	atomic_inc(&hf->calls);
	hf->fault_flags |= vmf->flags;
	if (hf->hook)
		hf->hook(vmf, hf->hook_arg);
	switch (hf->mode) {
	case HK_FILE_PAGE:
		return hk_file_page(hf, vmf);
	case HK_FILE_NOPAGE:
		return VM_FAULT_NOPAGE;
	case HK_FILE_RETRY:
	case HK_FILE_UFFD:
		return hk_file_drop_lock(vmf, VM_FAULT_RETRY);
	case HK_FILE_COMPLETED:
		return hk_file_drop_lock(vmf,
					 VM_FAULT_COMPLETED | VM_FAULT_NOPAGE);
	case HK_FILE_OOM:
		return VM_FAULT_OOM;
	case HK_FILE_HWPOISON:
		return VM_FAULT_HWPOISON;
	case HK_FILE_SIGBUS:
		break;
	}
	return VM_FAULT_SIGBUS;
}

/* Called by vm_normal_page(), and so from the middle of a walk. */
static struct page *hk_file_special_page(struct vm_area_struct *vma,
					 unsigned long addr)
{
	struct hk_file *hf = vma->vm_private_data;

	if (hf->look)
		hf->look(hf->look_arg);
	return NULL;
}

static const struct vm_operations_struct hk_file_vm_ops = {
	.fault = hk_file_fault,
	.find_special_page = hk_file_special_page,
};

static int hk_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct hk_file *hf = file->private_data;

	vma->vm_ops = &hk_file_vm_ops;
	vma->vm_private_data = hf;
	vm_flags_set(vma, hf->vm_flags);
	hf->vma = vma;
	return 0;
}

static const struct file_operations hk_file_fops = {
	.mmap = hk_file_mmap,
};

struct hk_file *hk_file(struct kunit *test, enum hk_file_mode mode,
			unsigned long npages)
{
	struct hk_file *hf = kunit_kzalloc(test, sizeof(*hf), GFP_KERNEL);
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, hf);
	hf->mode = mode;
	hf->npages = npages;
	hf->pages = kunit_kcalloc(test, npages, sizeof(*hf->pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, hf->pages);
	for (i = 0; i < npages; i++)
		hf->pages[i] = hk_alloc_page(test);
	hf->file = anon_inode_getfile("hmm-kunit", &hk_file_fops, hf, O_RDWR);
	hk_keep_file(test, hf->file);
	return hf;
}

/* ---------------------------------------------------------- a forked child */

static int hk_child_fn(void *arg)
{
	struct hk_child *child = arg;

	wait_for_completion(&child->go);
	complete_all(&child->gone);
	do_exit(0);
}

static void hk_child_end(void *arg)
{
	struct hk_child *child = arg;

	complete_all(&child->go);
	wait_for_completion(&child->gone);
}

/*
 * A true fork: the thread's address space is copied, its pages are shared
 * copy-on-write. The child stays in the kernel; kernel threads ignore
 * SIGCHLD, so that it needs no wait().
 */
struct hk_child *hk_fork(struct kunit *test)
{
	struct hk_child *child =
		kunit_kzalloc(test, sizeof(*child), GFP_KERNEL);
	struct kernel_clone_args args = {
		.exit_signal = SIGCHLD,
		.fn = hk_child_fn,
		.fn_arg = child,
	};
	pid_t pid;

	KUNIT_ASSERT_NOT_NULL(test, child);
	init_completion(&child->go);
	init_completion(&child->gone);
	pid = kernel_clone(&args);
	KUNIT_ASSERT_GT(test, pid, 0);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, hk_child_end, child),
			0);
	return child;
}

void hk_reap(struct kunit *test, struct hk_child *child)
{
	hk_child_end(child);
}

/* ------------------------------------------------------ suite hmm_register */

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
	/* It stays registered until the driver says otherwise. */
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

/* Both @start and @end are in bytes from an address that is mapped. */
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

/* The core looks for a signal when it takes all locks of the first mirror. */
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
	ret = hmm_range_register(range, &hk->dev->mirror);
	KUNIT_EXPECT_EQ(test, range->hmm ? 0 : -EINVAL, ret);
	if (!ret)
		hmm_range_unregister(range);
	return ret;
}

#define HK_FIELD_TOP	(HK_SHIFT + MAX_PHYSMEM_BITS - PAGE_SHIFT - 1)

static void range_with_colliding_encoding_is_einval(struct kunit *test)
{
	const struct hk_encoding bad[] = {
		/* VALID is not one bit */
		{ { 0, HK_W, HK_P }, { 0x10, 0, 0x20 }, HK_SHIFT },
		{ { 9, HK_W, HK_P }, { 0x10, 0, 0x20 }, HK_SHIFT },
		/* flags overlap */
		{ { HK_V, HK_V, HK_P }, { 0x10, 0, 0x20 }, HK_SHIFT },
		{ { HK_V, HK_W, HK_V }, { 0x10, 0, 0x20 }, HK_SHIFT },
		{ { HK_V, HK_W, HK_W }, { 0x10, 0, 0x20 }, HK_SHIFT },
		/* a flag in the pfn, at its bottom and its top */
		{ { BIT_ULL(HK_SHIFT), HK_W, HK_P }, { 0x10, 0, 0x20 },
		  HK_SHIFT },
		{ { HK_V, BIT_ULL(HK_FIELD_TOP), HK_P }, { 0x10, 0, 0x20 },
		  HK_SHIFT },
		{ { HK_V, HK_W, BIT_ULL(HK_SHIFT + 3) }, { 0x10, 0, 0x20 },
		  HK_SHIFT },
		/* NONE is told from nothing */
		{ { HK_V, HK_W, HK_P }, { 0, 0, 0x20 }, HK_SHIFT },
		{ { HK_V, HK_W, HK_P }, { 0x10, 0x20, 0x20 }, HK_SHIFT },
		/* each value in turn might be an entry of a page */
		{ { HK_V, HK_W, HK_P }, { 0x5001, 0, 0x20 }, HK_SHIFT },
		{ { HK_V, HK_W, HK_P }, { 0x10, HK_V, 0x20 }, HK_SHIFT },
		{ { HK_V, HK_W, HK_P }, { 0x10, 0, 0x7003 }, HK_SHIFT },
	};
	int i;

	hk_expect_warn("collides with itself");
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, hk_register_encoded(test, &bad[i]),
				    -EINVAL, "encoding %d", i);
	hk_expect_end("collides with itself");
}

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
		/* a device that reads, without memory of its own */
		{ { 1, 0, 0 }, { -1ULL, 0, -1ULL }, 1 },
		/* the two of this file */
		hk_plain,
		hk_odd,
		/* flags right next to the pfn, below and above */
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
	/* Whoever turned them on did not put back what was. */
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

static void range_unregistered_twice_is_a_warning(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hmm_range *failed = hk_range_alloc(test, addr, 0);
	struct hmm_range *good = hk_range(test, addr, 1);

	hmm_range_unregister(range);
	hk_expect_warn("hmm_range_unregister");
	hmm_range_unregister(range);
	hk_expect_end("hmm_range_unregister");
	/* Once in the log, harmless always. */
	hmm_range_unregister(range);
	KUNIT_EXPECT_EQ(test, hmm_range_register(failed, &hk->dev->mirror),
			-EINVAL);
	hmm_range_unregister(failed);
	hk_expect_idle(test, good);
	hmm_range_unregister(good);
}

/* A range whose mirror is gone is no good, but may be unregistered, once. */
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

	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &other->mirror), 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, orphan, 0), 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 1);
	hk_expect_warn("mirror unregistered before its ranges");
	hmm_mirror_unregister(&hk->dev->mirror);
	hk_expect_end("mirror unregistered before its ranges");
	hk_expect_orphan(test, orphan);
	/* The other mirror's has not noticed. */
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	/* Now the last one, and with it what the mm had of HMM. */
	hmm_mirror_unregister(&other->mirror);
	mmu_notifier_synchronize();
	hk_expect_orphan(test, range);
}

/*
 * The warning of the test before is not repeated in these two.
 */

/* The mirror goes under a sleeping waiter, then the range, then struct hmm. */
static void waiter_wakes_when_its_mirror_goes(struct kunit *test)
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
 * After the last mirror nothing keeps the mm for a range that is left over. Not
 * to depend on KASAN for the answer, there is no mm to read.
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
	/* Whatever else the entry says. */
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
	KUNIT_CASE(range_with_colliding_encoding_is_einval),
	KUNIT_CASE(range_with_a_v54_drivers_encoding_is_fine),
	KUNIT_CASE(range_of_dead_mm_is_efault),
	KUNIT_CASE(range_does_not_keep_the_mm),
	KUNIT_CASE(new_range_is_registered_but_not_valid),
	KUNIT_CASE(range_comes_and_goes_under_an_interrupts_lock),
	KUNIT_CASE(unregistered_range_is_refused),
	KUNIT_CASE(range_unregistered_twice_is_a_warning),
	KUNIT_CASE(mirror_gone_before_its_range_is_a_warning),
	KUNIT_CASE(waiter_wakes_when_its_mirror_goes),
	KUNIT_CASE(wait_without_a_mirror_reads_no_mm),
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
