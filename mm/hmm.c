// SPDX-License-Identifier: GPL-2.0
/*
 * HMM mirrors: device page tables that follow a process's.
 *
 * Model
 * -----
 * One struct hmm per mm, subscribed to the mmu notifier. It is called for every
 * *invalidation*, a change of the CPU page tables from
 * mmu_notifier_invalidate_range_start() to _end(), and keeps those *in flight*
 * in a small table. The start of an invalidation first marks the *ranges* it
 * overlaps and then calls the *mirrors*. The end removes it from the table and
 * wakes the waiters. So a range is busy exactly while an entry of the table
 * overlaps it: a range or mirror that is registered half way through an
 * invalidation is no special case, and no invalidation disturbs ranges that it
 * does not overlap.
 *
 * hmm_range_fault() reads page tables without their locks. The cursor makes
 * this safe: entries of [start, cursor) have been read or are being read, and
 * an invalidation that starts and overlaps them *collides*: it moves the cursor
 * back to the first of them that it hit. The cursor moves forward only while
 * nothing in flight overlaps the entries to be read. Hence for every entry
 * before the cursor and every invalidation that overlaps it, the invalidation
 * ended before the cursor passed the entry, and the read saw its result. One
 * that was in flight then kept the cursor from passing; one that started later
 * moved it back. ->valid becomes true at the end of a fault iff the cursor is
 * still at the end, and false when it is moved back. The end of an invalidation
 * never sets it: an entry may have been read while the invalidation was in
 * flight.
 *
 * After a collision hmm_range_fault() gives up. hmm_range_fault_unlocked()
 * reads again from the cursor on, as the entries before it still hold.
 *
 * A page is faulted with the cursor at or before it. The copy that a write
 * fault makes is an invalidation too, but of addresses beyond the cursor, so
 * it collides with nothing.
 *
 * Lock order
 * ----------
 *	mmap_lock, or the lock of a VMA
 *	  hmm->mirrors_sem		(register, unregister; never in a callback)
 *	  i_mmap_rwsem, anon_vma lock	(reclaim, migration)
 *	    SRCU of the notifier core	(callbacks walk hmm->mirrors under it)
 *	      the driver's lock
 *	        hmm->ranges_lock	(interrupts off)
 *	          hmm->wq.lock		(leaf)
 *
 * Reclaim runs the callbacks, so nothing allocates with GFP_KERNEL under the
 * driver's lock. No fault and no wait for an invalidation is made under a lock
 * that a callback takes: hmm_might_wait_invalidate() makes lockdep check that.
 *
 * Lifetime
 * --------
 * The subscription lives from the first mirror of an mm to the last one, and
 * pins the mm. struct hmm outlives it by an RCU grace period, and by references
 * (kref): each waiter that sleeps has one, and each range whose mirror was
 * unregistered first. The mm may be used only while the subscription is known
 * to live: under ranges_lock, by a range that still has its mirror.
 */
#include <linux/export.h>
#include <linux/hash.h>
#include <linux/hmm.h>
#include <linux/interval_tree_generic.h>
#include <linux/kmsan-checks.h>
#include <linux/log2.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#define CREATE_TRACE_POINTS
#include <trace/events/hmm.h>

#include "hmm-internal.h"

/*
 * Callbacks run inside this map, and take the driver's lock with it held: so
 * lockdep reports a caller inside a callback or under the driver's lock even
 * when nothing is in flight.
 */
void hmm_might_wait_invalidate(void)
{
	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
}

/* Ranges that are marked at mm exit between two calls of cond_resched() */
#define HMM_MARK_PART		1024

/* The kernel's interval tree, its functions inlined. */
#define HMM_NODE_START(node)	((node)->start)
#define HMM_NODE_LAST(node)	((node)->last)
INTERVAL_TREE_DEFINE(struct interval_tree_node, rb, unsigned long,
		     __subtree_last, HMM_NODE_START, HMM_NODE_LAST,
		     static __maybe_unused, hmm_tree);

/* ------------------------------------------------- invalidations in flight */

/* Returns the index of @update in the table, or the number of entries. */
static unsigned int hmm_inflight_find(const struct hmm *hmm,
				      const struct mmu_notifier_range *update)
{
	unsigned int i;

	for (i = 0; i < hmm->nr_inflight; i++)
		if (hmm->inflight[i].key == update)
			break;
	return i;
}

/*
 * Beyond the table invalidations are only counted, in one of a few buckets by
 * their address. A span encloses those of a bucket, until all of them ended.
 */
static struct hmm_overflow *
hmm_overflow_bucket(struct hmm *hmm, const struct mmu_notifier_range *update)
{
	return &hmm->overflow[hash_ptr(update, ilog2(HMM_OVERFLOW_BUCKETS))];
}

static void hmm_overflow_add(struct hmm *hmm,
			     const struct mmu_notifier_range *update)
{
	struct hmm_overflow *bucket = hmm_overflow_bucket(hmm, update);

	if (!bucket->count++) {
		bucket->start = ULONG_MAX;
		bucket->end = 0;
	}
	bucket->start = min(bucket->start, update->start);
	bucket->end = max(bucket->end, update->end);
	hmm->nr_overflow++;
	hmm->notifiers++;
}

static void hmm_overflow_del(struct hmm *hmm,
			     const struct mmu_notifier_range *update)
{
	struct hmm_overflow *bucket = hmm_overflow_bucket(hmm, update);

	if (!bucket->count)
		return;
	bucket->count--;
	hmm->nr_overflow--;
	hmm->notifiers--;
}

/*
 * The address of @update identifies it: the object lives from start to end. An
 * entry that has that address already is of a start whose end never came, and
 * never will: @update takes it over. (Not beyond the table, where addresses are
 * not kept. There such a start leaves its bucket's span busy.)
 */
static void hmm_inflight_add(struct hmm *hmm,
			     const struct mmu_notifier_range *update)
{
	unsigned int i = hmm_inflight_find(hmm, update);

	lockdep_assert_held(&hmm->ranges_lock);

	if (i == HMM_INFLIGHT_MAX) {
		hmm_overflow_add(hmm, update);
		return;
	}
	if (i == hmm->nr_inflight) {
		hmm->nr_inflight++;
		hmm->notifiers++;
	}
	hmm->inflight[i] = (struct hmm_inflight){
		.key = update,
		.start = update->start,
		.end = update->end,
	};
}

/*
 * An @update that is not in the table is one of the overflow. Without overflow
 * it started before the subscription and was never counted; with overflow it
 * can't have, as __mmu_notifier_register() excludes all invalidations.
 */
static void hmm_inflight_del(struct hmm *hmm,
			     const struct mmu_notifier_range *update)
{
	unsigned int i = hmm_inflight_find(hmm, update);

	lockdep_assert_held(&hmm->ranges_lock);

	if (i == hmm->nr_inflight) {
		hmm_overflow_del(hmm, update);
		return;
	}
	hmm->inflight[i] = hmm->inflight[--hmm->nr_inflight];
	hmm->notifiers--;
}

noinline bool hmm_busy_slow(const struct hmm *hmm, unsigned long start,
			    unsigned long end)
{
	unsigned int i;

	for (i = 0; i < hmm->nr_inflight; i++)
		if (hmm->inflight[i].start < end &&
		    start < hmm->inflight[i].end)
			return true;
	for (i = 0; hmm->nr_overflow && i < HMM_OVERFLOW_BUCKETS; i++)
		if (hmm->overflow[i].count && hmm->overflow[i].start < end &&
		    start < hmm->overflow[i].end)
			return true;
	return false;
}

/*
 * Marks the ranges that @update overlaps before their cursor. A range whose
 * cursor is at its start has no entries to invalidate.
 */
static void hmm_mark_ranges(struct hmm *hmm,
			    const struct mmu_notifier_range *update)
{
	const unsigned long start = update->start, end = update->end;
	struct interval_tree_node *node;
	struct hmm_range *range;
	unsigned long hit;

	lockdep_assert_held(&hmm->ranges_lock);

	if (start >= end)
		return;
	for (node = hmm_tree_iter_first(&hmm->tree, start, end - 1); node;
	     node = hmm_tree_iter_next(node, start, end - 1)) {
		range = container_of(node, struct hmm_range, node);
		hit = max(start, range->start);
		if (hit >= range->cursor)
			continue;
		trace_hmm_range_hit(update, range);
		/* Pairs with hmm_walk_pause() */
		WRITE_ONCE(range->cursor, hit);
		/* Pairs with hmm_range_valid(), through the driver's lock */
		WRITE_ONCE(range->valid, false);
	}
}

/*
 * -EAGAIN ends a non-blockable invalidation that will not happen, so the
 * mirrors after that one need not be called. A blockable one does happen,
 * whatever a callback returns: every mirror is called.
 */
static int hmm_call_mirrors(struct hmm *hmm,
			    const struct mmu_notifier_range *update)
{
	struct hmm_mirror *mirror;
	int ret;

	hmm_for_each_mirror(mirror, hmm) {
		if (unlikely(mirror->ops->sync_finish))
			return hmm_call_mirrors_twice(mirror, update);
		ret = hmm_call_mirror(mirror, update);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Mark before calling: if a driver finds its range valid under its lock, the
 * callback of any overlapping invalidation will take that lock later and undo
 * the driver's update.
 */
static int hmm_invalidate_start(struct mmu_notifier *subscription,
				const struct mmu_notifier_range *update)
{
	struct hmm *hmm = container_of(subscription, struct hmm, mmu_notifier);
	unsigned long flags;

	trace_hmm_invalidate_start(update);
	spin_lock_irqsave(&hmm->ranges_lock, flags);
	hmm_inflight_add(hmm, update);
	hmm_mark_ranges(hmm, update);
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);

	return hmm_call_mirrors(hmm, update);
}

/*
 * Also called after a start that failed, ours or another subscriber's: that
 * undoes our start, see hmm_notifier_ops.
 */
static void hmm_invalidate_end(struct mmu_notifier *subscription,
			       const struct mmu_notifier_range *update)
{
	struct hmm *hmm = container_of(subscription, struct hmm, mmu_notifier);
	unsigned long flags;
	bool wake;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	hmm_inflight_del(hmm, update);
	/*
	 * A waiter is in the queue before it takes the lock to look at the
	 * table, so one that is not in the queue yet will see this end.
	 */
	wake = waitqueue_active(&hmm->wq);
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	trace_hmm_invalidate_end(update);
	if (wake)
		wake_up_all(&hmm->wq);
}

/* Marks every range. Others may run between parts of a long list. */
static void hmm_mark_all(struct hmm *hmm)
{
	struct hmm_range *range;
	LIST_HEAD(todo);
	unsigned int n;

	spin_lock_irq(&hmm->ranges_lock);
	hmm->dead = true;
	list_splice_init(&hmm->ranges, &todo);
	for (n = 1; !list_empty(&todo); n++) {
		range = list_first_entry(&todo, struct hmm_range, list);
		WRITE_ONCE(range->valid, false);
		list_move(&range->list, &hmm->ranges);
		if (n % HMM_MARK_PART)
			continue;
		spin_unlock_irq(&hmm->ranges_lock);
		cond_resched();
		spin_lock_irq(&hmm->ranges_lock);
	}
	spin_unlock_irq(&hmm->ranges_lock);
}

/*
 * The last user is gone; exit_mmap() frees the pages next, without an
 * invalidation. No fault can bring one back: a fault holds mm_users. An entry
 * that hmm_fault_one_fast(), which does not, reads meanwhile is not valid.
 */
static void hmm_release(struct mmu_notifier *subscription, struct mm_struct *mm)
{
	struct hmm *hmm = container_of(subscription, struct hmm, mmu_notifier);

	hmm_mark_all(hmm);
	wake_up_all(&hmm->wq);

	/* As around the other callbacks, see hmm_might_wait_invalidate() */
	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	hmm_release_mirrors(hmm, mm);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
}

/* ------------------------------------------------------ life of struct hmm */

static struct mmu_notifier *hmm_alloc(struct mm_struct *mm)
{
	struct hmm *hmm;

	hmm = kzalloc_obj(*hmm);
	if (!hmm)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&hmm->ranges_lock);
	INIT_LIST_HEAD(&hmm->ranges);
	INIT_LIST_HEAD(&hmm->mirrors);
	init_rwsem(&hmm->mirrors_sem);
	init_waitqueue_head(&hmm->wq);
	hmm->tree = RB_ROOT_CACHED;
	kref_init(&hmm->kref);
	return &hmm->mmu_notifier;
}

/* RCU: hmm_range_wait_until_valid() looks before it has a reference. */
static void hmm_free(struct kref *kref)
{
	kfree_rcu(container_of(kref, struct hmm, kref), rcu);
}

void hmm_put(struct hmm *hmm)
{
	kref_put(&hmm->kref, hmm_free);
}

static void hmm_put_subscription(struct mmu_notifier *subscription)
{
	hmm_put(container_of(subscription, struct hmm, mmu_notifier));
}

/*
 * The start is counted before it can fail, so that the end, which the core
 * calls for every subscriber when any start failed, undoes it. Nothing is in
 * flight when the subscription begins: __mmu_notifier_register() takes all the
 * locks that invalidations are made under. One that is in flight when it ends
 * stays in the table, which nothing reads after that.
 */
static const struct mmu_notifier_ops hmm_notifier_ops = {
	.alloc_notifier		= hmm_alloc,
	.free_notifier		= hmm_put_subscription,
	.invalidate_range_start	= hmm_invalidate_start,
	.invalidate_range_end	= hmm_invalidate_end,
	.release		= hmm_release,
	.end_undoes_start	= true,
};

/* ----------------------------------------------------------------- mirrors */

static int hmm_add_mirror(struct hmm *hmm, struct hmm_mirror *mirror)
{
	struct hmm_mirror *other;
	int ret = -EINVAL;

	down_write(&hmm->mirrors_sem);
	list_for_each_entry(other, &hmm->mirrors, list)
		if (other == mirror)
			goto out_unlock;
	mirror->hmm = hmm;
	mirror->nr_ranges = 0;
	mirror->gone = false;
	mirror->left = ULONG_MAX;
	/* No range has that shift, so the first encoding will be checked */
	mirror->checked = (struct hmm_encoding){ .shift = UINT_MAX };
	mirror->checked_flags = 0;
	list_add_rcu(&mirror->list, &hmm->mirrors);
	ret = 0;
out_unlock:
	up_write(&hmm->mirrors_sem);
	return ret;
}

/**
 * hmm_mirror_register() - subscribe a driver to an address space
 * @mirror: the driver's mirror, ops set; the driver keeps it until
 *	hmm_mirror_unregister()
 * @mm: the address space
 *
 * The driver's callbacks may run before this returns.
 *
 * Context: @mm's mmap lock is held for write. Sleeps. Never in a callback nor
 * under a lock that one takes.
 * Return: 0; -EINVAL if @mirror, @mm, the ops or the sync callback is NULL,
 * @mirror is registered on @mm already, or (with a warning) nobody holds the
 * mmap lock; -EFAULT if @mm has no users left; -ENOMEM; -EINTR if a signal is
 * pending; -EOVERFLOW with too many mirrors.
 */
int hmm_mirror_register(struct hmm_mirror *mirror, struct mm_struct *mm)
{
	struct mmu_notifier *subscription;
	int ret;

	if (!mirror || !mm || !mirror->ops ||
	    !mirror->ops->sync_cpu_device_pagetables)
		return -EINVAL;
	if (WARN_ONCE(!rwsem_is_locked(&mm->mmap_lock),
		      "hmm: mirror registered without the mmap lock\n"))
		return -EINVAL;
	mmap_assert_write_locked(mm);
	hmm_might_wait_invalidate();

	/* mmu_notifier_get_locked() has a BUG_ON() for an mm without users */
	if (!mmget_not_zero(mm))
		return -EFAULT;
	subscription = mmu_notifier_get_locked(&hmm_notifier_ops, mm);
	if (IS_ERR(subscription)) {
		ret = PTR_ERR(subscription);
		goto out_mmput;
	}
	ret = hmm_add_mirror(container_of(subscription, struct hmm,
					  mmu_notifier), mirror);
	if (ret)
		mmu_notifier_put(subscription);
	else
		trace_hmm_mirror_register(mm, mirror);
out_mmput:
	/* Not mmput(): exit_mmap() takes the mmap lock, which is held */
	mmput_async(mm);
	return ret;
}
EXPORT_SYMBOL(hmm_mirror_register);

/* Removes a range from @hmm; the driver can still unregister it. */
static void hmm_range_detach(struct hmm *hmm, struct hmm_range *range)
{
	lockdep_assert_held(&hmm->ranges_lock);

	hmm_tree_remove(&range->node, &hmm->tree);
	list_del_init(&range->list);
	range->mirror->nr_ranges--;
	trace_hmm_range_unregister(hmm->mmu_notifier.mm, range);
	/* Pairs with hmm_fault_check() */
	WRITE_ONCE(range->mirror, NULL);
	WRITE_ONCE(range->valid, false);
}

/*
 * Detaches the ranges of a mirror that is unregistered before them. Each gets
 * a reference, so that it can be unregistered after the subscription's end.
 * Returns one of them in *@start and *@end.
 */
static void hmm_detach_orphans(struct hmm *hmm, struct hmm_mirror *mirror,
			       unsigned long *start, unsigned long *end)
{
	struct hmm_range *range, *next;

	list_for_each_entry_safe(range, next, &hmm->ranges, list) {
		if (range->mirror != mirror)
			continue;
		*start = range->start;
		*end = range->end;
		hmm_range_detach(hmm, range);
		kref_get(&hmm->kref);
	}
}

/* Without callbacks no range of the mirror may be valid. */
static void hmm_orphan_ranges(struct hmm *hmm, struct hmm_mirror *mirror)
{
	unsigned long flags, nr, start = 0, end = 0;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	/* From here on hmm_range_register() fails: no encoding is checked */
	mirror->gone = true;
	mirror->checked.shift = UINT_MAX;
	nr = mirror->nr_ranges;
	/* In reused memory there are no neighbours to unlink a range from */
	if (!nr || hmm_ranges_intact(hmm)) {
		hmm_detach_orphans(hmm, mirror, &start, &end);
		hmm_verify(hmm, mirror);
	}
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	if (!nr)
		return;
	wake_up_all(&hmm->wq);
	hmm_warn_orphans(nr, start, end);
}

/**
 * hmm_mirror_unregister() - end a driver's subscription
 * @mirror: a registered mirror
 *
 * On return no callback of @mirror runs or will run, and &hmm_mirror.hmm is
 * NULL. Legal after mm exit. A range of @mirror that is still registered is
 * the driver's bug: a warning names its addresses, it is never valid again, and
 * may only be unregistered.
 *
 * Context: sleeps. Never in a callback nor under a lock that one takes.
 */
void hmm_mirror_unregister(struct hmm_mirror *mirror)
{
	struct hmm *hmm = mirror->hmm;

	if (WARN_ONCE(!hmm, "hmm: mirror unregistered, but not registered\n"))
		return;
	might_sleep();
	hmm_might_wait_invalidate();

	hmm_orphan_ranges(hmm, mirror);
	down_write(&hmm->mirrors_sem);
	if (mirror->ops->sync_finish)
		hmm_mirror_leave(hmm, mirror);
	list_del_rcu(&mirror->list);
	up_write(&hmm->mirrors_sem);
	/* Waits for callbacks that see the mirror, see hmm_for_each_mirror() */
	mmu_notifier_synchronize();
	trace_hmm_mirror_unregister(hmm->mmu_notifier.mm, mirror);
	mirror->hmm = NULL;
	mmu_notifier_put(&hmm->mmu_notifier);
}
EXPORT_SYMBOL(hmm_mirror_unregister);

/* ------------------------------------------------------------------ ranges */

/*
 * Without users exit_mmap() is about to run or has run, though the pages are
 * there until hmm_release(). The caller knows that the subscription lives,
 * which keeps the mm.
 */
static bool hmm_mm_gone(const struct hmm *hmm)
{
	lockdep_assert_held(&hmm->ranges_lock);
	return !atomic_read(&hmm->mmu_notifier.mm->mm_users);
}

/* Addresses and arrays; the encoding is for hmm_encoding_check(). */
static bool hmm_range_arguments_ok(const struct hmm_range *range)
{
	return PAGE_ALIGNED(range->start | range->end) &&
	       range->start < range->end && range->pfns && range->flags &&
	       range->values;
}

/*
 * Drivers have one encoding, so the one that was checked last is kept, with the
 * default request. Its values are compared, not its address: a driver may reuse
 * the arrays. That of a mirror that is gone equals none.
 */
static bool hmm_encoding_checked(const struct hmm_mirror *mirror,
				 const struct hmm_range *range)
{
	const struct hmm_encoding *enc = &mirror->checked;

	return enc->valid == range->flags[HMM_PFN_VALID] &&
	       enc->write == range->flags[HMM_PFN_WRITE] &&
	       enc->private == range->flags[HMM_PFN_DEVICE_PRIVATE] &&
	       enc->none == range->values[HMM_PFN_NONE] &&
	       enc->error == range->values[HMM_PFN_ERROR] &&
	       enc->special == range->values[HMM_PFN_SPECIAL] &&
	       enc->shift == range->pfn_shift &&
	       mirror->checked_flags == range->default_flags;
}

static int hmm_range_attach(struct hmm *hmm, struct hmm_mirror *mirror,
			    struct hmm_range *range)
{
	lockdep_assert_held(&hmm->ranges_lock);

	if (unlikely(!hmm_encoding_checked(mirror, range)) &&
	    hmm_encoding_check(mirror, range))
		return -EINVAL;
	if (hmm_mm_gone(hmm))
		return -EFAULT;
	/* The last range that was registered is not linked as it was */
	if (unlikely(hmm->ranges.next->prev != &hmm->ranges))
		return hmm_range_overwritten();
	range->hmm = hmm;
	range->mirror = mirror;
	mirror->nr_ranges++;
	list_add(&range->list, &hmm->ranges);
	hmm_tree_insert(&range->node, &hmm->tree);
	trace_hmm_range_register(hmm->mmu_notifier.mm, range);
	return 0;
}

/**
 * hmm_range_register() - follow the state of a range of addresses
 * @range: the driver's range, see &struct hmm_range for what to set; the
 *	driver keeps it until hmm_range_unregister()
 * @mirror: a registered mirror of the address space
 *
 * The range is not valid before its first hmm_range_fault(). It does not keep
 * the address space alive.
 *
 * Context: any, interrupts included; does not sleep.
 * Return: 0; -EFAULT if the address space is gone; -EINVAL if start or end is
 * not page aligned, start is not below end, pfns, flags or values is NULL, or
 * @mirror is not registered; -EINVAL with a warning if
 *
 * * the encoding can mistake one entry for another,
 * * default_flags has a bit that is no flag, or no VALID with another flag,
 *   unless pfn_flags_mask has VALID,
 * * @range is registered already, and stays so,
 * * memory of a registered range was reused.
 *
 * After any error but the third &hmm_range.hmm is NULL.
 */
int hmm_range_register(struct hmm_range *range, struct hmm_mirror *mirror)
{
	struct hmm *hmm;
	unsigned long flags;
	int ret;

	if (!range)
		return -EINVAL;
	hmm = mirror ? mirror->hmm : NULL;
	/* On the stack that may be anything: see hmm_range_registered() */
	kmsan_unpoison_memory(&range->hmm, sizeof(range->hmm));
	if (unlikely(range->hmm == hmm) && hmm_range_registered(hmm, range))
		return -EINVAL;
	range->hmm = NULL;
	range->mirror = NULL;
	range->valid = false;
	if (!hmm)
		return -EINVAL;
	if (!hmm_range_arguments_ok(range))
		return -EINVAL;

	range->cursor = range->start;
	range->tried = ULONG_MAX;
	range->node.start = range->start;
	range->node.last = range->end - 1;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	ret = hmm_range_attach(hmm, mirror, range);
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	return ret;
}
EXPORT_SYMBOL(hmm_range_register);

/**
 * hmm_range_unregister() - stop following a range
 * @range: a registered range
 *
 * Legal after mm exit. A range that is not registered, also because it was
 * unregistered before or its registration failed, is the driver's bug: a
 * warning, and nothing else.
 *
 * Context: any, interrupts and the driver's lock included; does not sleep.
 */
void hmm_range_unregister(struct hmm_range *range)
{
	bool orphan = false, twice;
	struct hmm_mirror *mirror;
	unsigned long flags;
	struct hmm *hmm;

	/* Of two calls at the same time, the second may outlive the mirror */
	rcu_read_lock();
	hmm = READ_ONCE(range->hmm);
	if (WARN_ONCE(!hmm, "hmm: range unregistered, but not registered\n")) {
		rcu_read_unlock();
		return;
	}
	spin_lock_irqsave(&hmm->ranges_lock, flags);
	twice = range->hmm != hmm;
	if (!twice) {
		mirror = range->mirror;
		orphan = !mirror;
		if (!orphan)
			hmm_range_detach(hmm, range);
		hmm_verify(hmm, mirror);
		WRITE_ONCE(range->hmm, NULL);
		/* Under the lock: without the range, hmm may go at any time */
		if (waitqueue_active(&hmm->wq))
			wake_up_all(&hmm->wq);
	}
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	rcu_read_unlock();

	WARN_ONCE(twice, "hmm: range unregistered twice at the same time\n");
	/* The reference from hmm_orphan_ranges() */
	if (orphan)
		hmm_put(hmm);
}
EXPORT_SYMBOL(hmm_range_unregister);

enum hmm_range_state {
	HMM_RANGE_QUIET,
	HMM_RANGE_BUSY,
	HMM_RANGE_GONE,
};

/*
 * The caller keeps @hmm by RCU or a reference, and the driver keeps @range.
 * Everything else is stable only under ranges_lock: while the range is
 * registered with a mirror, the subscription lives and so does the mm.
 */
bool hmm_range_lives(const struct hmm *hmm, const struct hmm_range *range)
{
	return range->hmm == hmm && range->mirror && !hmm_mm_gone(hmm);
}

static enum hmm_range_state hmm_range_state(struct hmm *hmm,
					    const struct hmm_range *range)
{
	enum hmm_range_state state = HMM_RANGE_QUIET;

	spin_lock_irq(&hmm->ranges_lock);
	if (!hmm_range_lives(hmm, range))
		state = HMM_RANGE_GONE;
	else if (hmm_busy(hmm, range->start, range->end))
		state = HMM_RANGE_BUSY;
	spin_unlock_irq(&hmm->ranges_lock);
	return state;
}

/* Returns the range's struct hmm with a reference, or NULL. */
static struct hmm *hmm_range_get_hmm(const struct hmm_range *range)
{
	struct hmm *hmm;

	rcu_read_lock();
	hmm = READ_ONCE(range->hmm);
	if (hmm && !kref_get_unless_zero(&hmm->kref))
		hmm = NULL;
	rcu_read_unlock();
	return hmm;
}

static noinline bool hmm_range_wait_slow(const struct hmm_range *range,
					 unsigned long timeout)
{
	unsigned int ms = min_t(unsigned long, timeout, UINT_MAX);
	struct hmm *hmm = hmm_range_get_hmm(range);
	enum hmm_range_state state;
	u64 begin;

	if (!hmm)
		return false;
	begin = hmm_wait_begins();
	if (hmm_waits_for_itself(hmm))
		state = HMM_RANGE_BUSY;
	else
		wait_event_timeout(hmm->wq,
				   (state = hmm_range_state(hmm, range)) !=
				   HMM_RANGE_BUSY,
				   msecs_to_jiffies(ms));
	hmm_put(hmm);
	hmm_wait_ended(range, begin, state == HMM_RANGE_QUIET);
	return state == HMM_RANGE_QUIET;
}

/**
 * hmm_range_wait_until_valid() - wait until a fault can succeed
 * @range: a registered range
 * @timeout: in ms, for how long at most
 *
 * Waits for invalidations that overlap @range, and for no others. It does not
 * make @range valid, only hmm_range_fault() does.
 *
 * Context: sleeps, not interrupted by signals. The mmap lock may be held;
 * never in a callback nor under a lock that one takes. @range must stay
 * allocated; it may be unregistered meanwhile, and so may its mirror.
 * Return: true when no invalidation that overlaps @range is in flight; false
 * at the time-out, and at once when the address space is gone or @range or its
 * mirror is not registered any more, or (with a warning) when the caller is in
 * an invalidation, which would have to wait for itself.
 */
bool hmm_range_wait_until_valid(struct hmm_range *range, unsigned long timeout)
{
	bool quiet = false;
	struct hmm *hmm;

	might_sleep();
	hmm_might_wait_invalidate();

	/* Fast path: nothing is in flight in all of the mm */
	rcu_read_lock();
	hmm = READ_ONCE(range->hmm);
	if (hmm) {
		spin_lock_irq(&hmm->ranges_lock);
		quiet = !hmm->notifiers && hmm_range_lives(hmm, range);
		spin_unlock_irq(&hmm->ranges_lock);
	}
	rcu_read_unlock();
	return likely(quiet) || hmm_range_wait_slow(range, timeout);
}
EXPORT_SYMBOL(hmm_range_wait_until_valid);

/* ------------------------------------------------------------------ cursor */

/* Parts of a fault, for which might_sleep() wants interrupts to be on. */

/*
 * Continues a fault with a walk from the cursor, which is stored in *@from and
 * moved to the end.
 */
int hmm_cursor_advance(struct hmm *hmm, struct hmm_range *range,
		       unsigned long *from)
{
	int ret;

	spin_lock_irq(&hmm->ranges_lock);
	*from = range->cursor & PAGE_MASK;
	ret = __hmm_cursor_advance(hmm, range, *from);
	spin_unlock_irq(&hmm->ranges_lock);
	return ret;
}

/*
 * Prepares a page fault at or after @to: entries from there on will be read
 * again, whatever the fault invalidates. After a collision the cursor may be
 * before @to already.
 */
void hmm_cursor_retreat(struct hmm *hmm, struct hmm_range *range,
			unsigned long to)
{
	spin_lock_irq(&hmm->ranges_lock);
	range->cursor = min(range->cursor, to);
	spin_unlock_irq(&hmm->ranges_lock);
}

/* Ends a fault that has read all entries: the range is valid if they hold. */
int hmm_cursor_settle(struct hmm *hmm, struct hmm_range *range)
{
	bool valid;

	KUNIT_STATIC_STUB_REDIRECT(hmm_cursor_settle, hmm, range);

	spin_lock_irq(&hmm->ranges_lock);
	valid = range->cursor >= range->end && range->mirror && !hmm->dead;
	WRITE_ONCE(range->valid, valid);
	hmm_verify(hmm, range->mirror);
	spin_unlock_irq(&hmm->ranges_lock);
	return valid ? 0 : -EBUSY;
}
