// SPDX-License-Identifier: GPL-2.0
/*
 * HMM mirrors: device page tables that follow a process's.
 *
 * Model
 * -----
 * One struct hmm per mm. It hears of every *invalidation*, a change of the CPU
 * page tables from mmu_notifier_invalidate_range_start() to _end(), and keeps
 * those *in flight* in a small table. Starting, an invalidation first marks
 * the *ranges* it overlaps and then calls the *mirrors*. Ending, it leaves the
 * table and wakes who waits for it. So a range is busy exactly while an entry
 * of the table overlaps it: a range or mirror that comes half way through an
 * invalidation is no special case, and no invalidation disturbs ranges that it
 * does not overlap.
 *
 * hmm_range_fault() reads page tables without their locks. What makes that
 * right is the cursor: entries of [start, cursor) have been read or are being
 * read, and an invalidation that starts and overlaps them sets ->collided.
 * The cursor moves forward only while nothing in flight overlaps what will be
 * read. Hence for every entry read and every invalidation that overlaps it,
 * either the invalidation ended before the cursor passed the entry, and the
 * read saw its result; or it was in flight then, and the fault gave up; or it
 * started later, and collided. ->valid becomes true at the end of a fault iff
 * nothing collided, and false when something does: it is never set back by
 * the end of an invalidation, which cannot know what was read meanwhile.
 *
 * A page is faulted with the cursor at or before it. The copy that a write
 * fault makes is an invalidation too, but of addresses beyond the cursor, so
 * it collides with nothing.
 *
 * Lock order
 * ----------
 *	mmap_lock
 *	  hmm_pair_mutex		(never in a callback)
 *	  i_mmap_rwsem, anon_vma lock	(reclaim, migration)
 *	    hmm->mirrors_sem		(try-lock where it may not block)
 *	      the driver's lock
 *	        hmm->ranges_lock	(interrupts off)
 *	          hmm->wq.lock		(leaf)
 *
 * Reclaim calls us, so nothing allocates with GFP_KERNEL under mirrors_sem or
 * the driver's lock. Nobody waits for an invalidation, nor faults, under a
 * lock that a callback takes: hmm_may_wait() lets lockdep see it.
 */
#include <linux/bitmap.h>
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/hugetlb.h>
#include <linux/interval_tree_generic.h>
#include <linux/memremap.h>
#include <linux/pagewalk.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/secretmem.h>
#include <linux/slab.h>
#include <linux/swapops.h>

#define CREATE_TRACE_POINTS
#include <trace/events/hmm.h>

#include "hmm-stubs.h"

/* Rounds of faulting after which an address that is still unmet is given up */
#define HMM_FAULT_TRIES		16
/* Requests of ranges up to this many pages are kept on the stack */
#define HMM_ASKS_ON_STACK	16
/* Of huge pages, each that lies at such a multiple lets others run */
#define HMM_RESCHED_MASK	(64 * PMD_SIZE - 1)
/* Entries of a huge page that are written without a test between */
#define HMM_COUNT_UP		128

/* The lowest bit of the pfn in a PTE; 0 where it is not in one piece: arm64 */
#ifdef PFN_PTE_SHIFT
#define HMM_PTE_SHIFT		PFN_PTE_SHIFT
#else
#define HMM_PTE_SHIFT		0
#endif

/*
 * Serializes making and ending the pair of subscriptions of a struct hmm, see
 * hmm_get(); protects hmm->users.
 */
static DEFINE_MUTEX(hmm_pair_mutex);

/*
 * The caller may come to wait for an invalidation or to cause one. Callbacks
 * run inside this map, and with it held take the driver's lock: lockdep
 * complains of a caller inside a callback or under the driver's lock even
 * when nothing is in flight.
 */
static void hmm_may_wait(void)
{
	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
}

/* The kernel's interval tree, its functions in line. */
#define HMM_NODE_START(node)	((node)->start)
#define HMM_NODE_LAST(node)	((node)->last)
INTERVAL_TREE_DEFINE(struct interval_tree_node, rb, unsigned long,
		     __subtree_last, HMM_NODE_START, HMM_NODE_LAST,
		     static __maybe_unused, hmm_tree);

/* ------------------------------------------------- invalidations in flight */

static void hmm_inflight_add(struct hmm *hmm,
			     const struct mmu_notifier_range *update)
{
	lockdep_assert_held(&hmm->ranges_lock);

	hmm->notifiers++;
	if (hmm->nr_inflight == HMM_INFLIGHT_MAX) {
		hmm->nr_overflow++;
		return;
	}
	hmm->inflight[hmm->nr_inflight].key = update;
	hmm->inflight[hmm->nr_inflight].start = update->start;
	hmm->inflight[hmm->nr_inflight].end = update->end;
	hmm->nr_inflight++;
}

/*
 * The address of @update tells its start from others: the object lives from
 * start to end. One that is not known started before this struct hmm was
 * subscribed and is left alone, unless the table has overflowed. Then it would
 * be taken for another; but hmm_get() has seen to it that none that started
 * before can end later than that.
 */
static void hmm_inflight_del(struct hmm *hmm,
			     const struct mmu_notifier_range *update)
{
	unsigned int i;

	lockdep_assert_held(&hmm->ranges_lock);

	for (i = 0; i < hmm->nr_inflight; i++)
		if (hmm->inflight[i].key == update)
			break;
	if (i < hmm->nr_inflight)
		hmm->inflight[i] = hmm->inflight[--hmm->nr_inflight];
	else if (hmm->nr_overflow)
		hmm->nr_overflow--;
	else
		return;
	hmm->notifiers--;
}

/* Is an invalidation in flight that overlaps [start, end)? */
static bool hmm_busy(const struct hmm *hmm, unsigned long start,
		     unsigned long end)
{
	unsigned int i;

	lockdep_assert_held(&hmm->ranges_lock);

	for (i = 0; i < hmm->nr_inflight; i++)
		if (hmm->inflight[i].start < end &&
		    start < hmm->inflight[i].end)
			return true;
	return hmm->nr_overflow;
}

/*
 * Ranges that [start, end) overlaps before their cursor can't be trusted now.
 * A range whose cursor is at its start has nothing to lose.
 */
static void hmm_mark_ranges(struct hmm *hmm, unsigned long start,
			    unsigned long end)
{
	struct interval_tree_node *node;
	struct hmm_range *range;

	lockdep_assert_held(&hmm->ranges_lock);

	if (start >= end)
		return;
	for (node = hmm_tree_iter_first(&hmm->tree, start, end - 1); node;
	     node = hmm_tree_iter_next(node, start, end - 1)) {
		range = container_of(node, struct hmm_range, node);
		if (max(start, range->start) >= range->cursor)
			continue;
		trace_hmm_range_hit(hmm->mmu_notifier.mm, range);
		range->collided = true;
		/* Pairs with hmm_range_valid(), through the driver's lock */
		WRITE_ONCE(range->valid, false);
	}
}

/* -EAGAIN where the callback may say so; anything else it must not say. */
static noinline int hmm_sync_failed(const struct hmm_mirror *mirror,
				    const struct mmu_notifier_range *update,
				    int ret)
{
	bool blockable = mmu_notifier_range_blockable(update);

	WARN_ONCE(blockable || ret != -EAGAIN,
		  "hmm: %pS returned %d in %sblockable context\n",
		  mirror->ops->sync_cpu_device_pagetables, ret,
		  blockable ? "" : "non-");
	return blockable ? 0 : -EAGAIN;
}

static int hmm_call_mirror(struct hmm_mirror *mirror,
			   const struct mmu_notifier_range *update)
{
	int ret = mirror->ops->sync_cpu_device_pagetables(mirror, update);

	return likely(!ret) ? 0 : hmm_sync_failed(mirror, update, ret);
}

/*
 * -EAGAIN ends a non-blockable invalidation that will not happen, so the
 * mirrors after that one need not hear of it. A blockable one does happen,
 * whatever a callback returns: every mirror is called.
 */
static int hmm_call_mirrors(struct hmm *hmm,
			    const struct mmu_notifier_range *update)
{
	struct hmm_mirror *mirror;
	int ret = 0;

	if (mmu_notifier_range_blockable(update))
		down_read(&hmm->mirrors_sem);
	else if (!down_read_trylock(&hmm->mirrors_sem))
		return -EAGAIN;

	list_for_each_entry(mirror, &hmm->mirrors, list) {
		ret = hmm_call_mirror(mirror, update);
		if (ret)
			break;
	}
	up_read(&hmm->mirrors_sem);
	return ret;
}

/*
 * Marking comes before the callbacks: a driver that takes its lock and finds
 * its range valid knows that the callback of any invalidation that overlaps
 * it has yet to take that lock, and will undo what the driver does now.
 */
static int hmm_invalidate_start(struct mmu_notifier *subscription,
				const struct mmu_notifier_range *update)
{
	struct hmm *hmm = container_of(subscription, struct hmm, mmu_notifier);
	unsigned long flags;

	trace_hmm_invalidate_start(update);
	spin_lock_irqsave(&hmm->ranges_lock, flags);
	hmm_inflight_add(hmm, update);
	hmm_mark_ranges(hmm, update->start, update->end);
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);

	return hmm_call_mirrors(hmm, update);
}

/* Also called when any subscriber failed the start: that undoes ours. */
static void hmm_invalidate_end(struct mmu_notifier *subscription,
			       const struct mmu_notifier_range *update)
{
	struct hmm *hmm = container_of(subscription, struct hmm, end_notifier);
	unsigned long flags;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	hmm_inflight_del(hmm, update);
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	trace_hmm_invalidate_end(update);

	/* The barrier in it pairs with prepare_to_wait() of the waiter */
	if (wq_has_sleeper(&hmm->wq))
		wake_up_all(&hmm->wq);
}

static void hmm_release_mirror(struct hmm_mirror *mirror)
{
	struct mmu_notifier_range all = {
		.mm = mirror->hmm->mmu_notifier.mm,
		.start = 0,
		.end = ULONG_MAX,
		.flags = MMU_NOTIFIER_RANGE_BLOCKABLE,
		.event = MMU_NOTIFY_RELEASE,
	};

	if (mirror->ops->release)
		mirror->ops->release(mirror);
	else
		hmm_call_mirror(mirror, &all);
}

/*
 * The last user of the mm is gone, its pages go next and nobody will be told.
 * No fault is under way that could bring one, each of them holds mm_users; and
 * what hmm_fault_peek() finds is no longer valid from here on.
 */
static void hmm_release(struct mmu_notifier *subscription, struct mm_struct *mm)
{
	struct hmm *hmm = container_of(subscription, struct hmm, mmu_notifier);
	struct hmm_mirror *mirror;
	struct hmm_range *range;
	unsigned long flags;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	hmm->dead = true;
	list_for_each_entry(range, &hmm->ranges, list)
		WRITE_ONCE(range->valid, false);
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	wake_up_all(&hmm->wq);

	down_read(&hmm->mirrors_sem);
	list_for_each_entry(mirror, &hmm->mirrors, list)
		hmm_release_mirror(mirror);
	up_read(&hmm->mirrors_sem);
}

/* ------------------------------------------------------ life of struct hmm */

static void hmm_free(struct kref *kref)
{
	kfree(container_of(kref, struct hmm, kref));
}

static struct mmu_notifier *hmm_alloc_end(struct mm_struct *mm)
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
	return &hmm->end_notifier;
}

static void hmm_free_end(struct mmu_notifier *subscription)
{
	struct hmm *hmm = container_of(subscription, struct hmm, end_notifier);

	kref_put(&hmm->kref, hmm_free);
}

static void hmm_free_start(struct mmu_notifier *subscription)
{
	struct hmm *hmm = container_of(subscription, struct hmm, mmu_notifier);

	kref_put(&hmm->kref, hmm_free);
}

static const struct mmu_notifier_ops hmm_end_ops = {
	.invalidate_range_end	= hmm_invalidate_end,
	.alloc_notifier		= hmm_alloc_end,
	.free_notifier		= hmm_free_end,
};

static const struct mmu_notifier_ops hmm_start_ops = {
	.invalidate_range_start	= hmm_invalidate_start,
	.release		= hmm_release,
	.free_notifier		= hmm_free_start,
};

/*
 * The mmu notifier core lets a subscription fail the start of an invalidation
 * only if it does not want the end: a failed start is not ended for the one
 * that failed it. We want both, so there are two subscriptions. Where any
 * start fails, ours or another's, the core calls every end, ours among them.
 *
 * A start that is counted must find the end subscribed, or it stays in flight
 * for ever. The end therefore comes first and goes last, and the mutex keeps
 * a get from coming between the two puts. Nothing is in flight when the start
 * goes live, as __mmu_notifier_register() takes all the locks that
 * invalidations are made under. One that starts before the puts and ends
 * after them does stay in the table, but that table no longer has a reader.
 */
static struct hmm *hmm_get(struct mm_struct *mm)
{
	struct mmu_notifier *end;
	struct hmm *hmm;
	int ret;

	/* The caller has its mmap lock, which the OOM killer may be after */
	if (mutex_lock_killable(&hmm_pair_mutex))
		return ERR_PTR(-EINTR);
	end = mmu_notifier_get_locked(&hmm_end_ops, mm);
	if (IS_ERR(end)) {
		ret = PTR_ERR(end);
		goto err_unlock;
	}
	hmm = container_of(end, struct hmm, end_notifier);
	if (!hmm->users) {
		hmm->mmu_notifier.ops = &hmm_start_ops;
		ret = __mmu_notifier_register(&hmm->mmu_notifier, mm);
		if (ret)
			goto err_put_end;
		/* For hmm_free_start() */
		kref_get(&hmm->kref);
	}
	hmm->users++;
	mutex_unlock(&hmm_pair_mutex);
	return hmm;

err_put_end:
	mmu_notifier_put(end);
err_unlock:
	mutex_unlock(&hmm_pair_mutex);
	return ERR_PTR(ret);
}

static void hmm_put(struct hmm *hmm)
{
	mutex_lock(&hmm_pair_mutex);
	if (!--hmm->users)
		mmu_notifier_put(&hmm->mmu_notifier);
	mmu_notifier_put(&hmm->end_notifier);
	mutex_unlock(&hmm_pair_mutex);
}

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
	list_add(&mirror->list, &hmm->mirrors);
	ret = 0;
out_unlock:
	up_write(&hmm->mirrors_sem);
	return ret;
}

/**
 * hmm_mirror_register() - be told of the changes of an address space
 * @mirror: the driver's mirror, ops set; the driver keeps it until
 *	hmm_mirror_unregister()
 * @mm: the address space
 *
 * The driver's callbacks may run before this returns.
 *
 * Context: @mm's mmap lock is held for write. Sleeps.
 * Return: 0; -EINVAL if @mirror, @mm, the ops or the sync callback is NULL, or
 * @mirror is registered on @mm already; -EFAULT if @mm has no users left;
 * -ENOMEM; -EINTR if a signal came; -EOVERFLOW with too many mirrors.
 */
int hmm_mirror_register(struct hmm_mirror *mirror, struct mm_struct *mm)
{
	struct hmm *hmm;
	int ret;

	if (!mirror || !mm || !mirror->ops ||
	    !mirror->ops->sync_cpu_device_pagetables)
		return -EINVAL;
	mmap_assert_write_locked(mm);

	/* The notifier core insists on it */
	if (!mmget_not_zero(mm))
		return -EFAULT;
	hmm = hmm_get(mm);
	if (IS_ERR(hmm)) {
		ret = PTR_ERR(hmm);
		goto out_mmput;
	}
	ret = hmm_add_mirror(hmm, mirror);
	if (ret)
		hmm_put(hmm);
out_mmput:
	/* Not mmput(): exit_mmap() would take the mmap lock we hold */
	mmput_async(mm);
	return ret;
}
EXPORT_SYMBOL(hmm_mirror_register);

/* Takes a range off; what remains of it is only the way to unregister it. */
static void hmm_range_detach(struct hmm *hmm, struct hmm_range *range)
{
	lockdep_assert_held(&hmm->ranges_lock);

	hmm_tree_remove(&range->node, &hmm->tree);
	list_del_init(&range->list);
	range->mirror->nr_ranges--;
	/* Pairs with hmm_fault_check() */
	WRITE_ONCE(range->mirror, NULL);
	WRITE_ONCE(range->valid, false);
}

/*
 * Each range that lost its mirror holds a reference, so that it can still be
 * unregistered when the mirror's is gone.
 */
static bool hmm_orphan_ranges(struct hmm *hmm, struct hmm_mirror *mirror)
{
	struct hmm_range *range, *next;
	bool found = false;
	unsigned long flags;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	if (mirror->nr_ranges) {
		list_for_each_entry_safe(range, next, &hmm->ranges, list) {
			if (range->mirror != mirror)
				continue;
			hmm_range_detach(hmm, range);
			kref_get(&hmm->kref);
		}
		found = true;
	}
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	if (found)
		wake_up_all(&hmm->wq);
	return found;
}

/**
 * hmm_mirror_unregister() - be told no more
 * @mirror: a registered mirror
 *
 * On return no callback of @mirror runs or will run, and &hmm_mirror.hmm is
 * NULL. Legal after mm exit. A range of @mirror that is still registered is
 * the driver's bug: it is never valid again, and may only be unregistered.
 *
 * Context: sleeps. Never in a callback nor under a lock that one takes.
 */
void hmm_mirror_unregister(struct hmm_mirror *mirror)
{
	struct hmm *hmm = mirror->hmm;
	bool orphans;

	if (WARN_ON_ONCE(!hmm))
		return;
	hmm_may_wait();

	down_write(&hmm->mirrors_sem);
	list_del_init(&mirror->list);
	mirror->hmm = NULL;
	up_write(&hmm->mirrors_sem);

	orphans = hmm_orphan_ranges(hmm, mirror);
	WARN_ONCE(orphans, "hmm: mirror unregistered before its ranges\n");
	hmm_put(hmm);
}
EXPORT_SYMBOL(hmm_mirror_unregister);

/* ------------------------------------------------------------------ ranges */

/* Without SPARSEMEM an architecture need not say how much memory it can have */
#ifdef MAX_PHYSMEM_BITS
#define HMM_PHYSMEM_BITS MAX_PHYSMEM_BITS
#else
#define HMM_PHYSMEM_BITS BITS_PER_TYPE(phys_addr_t)
#endif

/* Bits of an entry that hold a pfn; 0 if they don't fit into an entry. */
static u64 hmm_pfn_field(const struct hmm_range *range)
{
	const unsigned int bits = HMM_PHYSMEM_BITS - PAGE_SHIFT;

	if (range->pfn_shift > 64 - bits)
		return 0;
	return GENMASK_ULL(bits - 1, 0) << range->pfn_shift;
}

/*
 * An entry is read back without knowing what wrote it: flags, pfn and values
 * must not be mistaken for each other.
 */
static bool hmm_encoding_collides(const struct hmm_range *range)
{
	const u64 valid = range->flags[HMM_PFN_VALID];
	const u64 write = range->flags[HMM_PFN_WRITE];
	const u64 private = range->flags[HMM_PFN_DEVICE_PRIVATE];
	const u64 pfn = hmm_pfn_field(range);
	const u64 all = valid | write | private | pfn;
	const u64 *values = range->values;
	int i;

	/* Not is_power_of_2(), which knows no more bits than a long has */
	if (!pfn || !valid || valid & (valid - 1))
		return true;
	if (valid & write || valid & private || write & private ||
	    pfn & (valid | write | private))
		return true;
	if (values[HMM_PFN_NONE] == values[HMM_PFN_ERROR] ||
	    values[HMM_PFN_NONE] == values[HMM_PFN_SPECIAL])
		return true;
	if (likely(!((values[HMM_PFN_NONE] | values[HMM_PFN_ERROR] |
		      values[HMM_PFN_SPECIAL]) & valid)))
		return false;
	for (i = 0; i < HMM_PFN_VALUE_MAX; i++)
		if (values[i] & valid && !(values[i] & ~all))
			return true;
	return false;
}

/*
 * Without users the address space is on its way out, though its pages may be
 * there until hmm_release().
 */
static bool hmm_mm_gone(const struct hmm *hmm)
{
	lockdep_assert_held(&hmm->ranges_lock);
	return hmm->dead || !atomic_read(&hmm->mmu_notifier.mm->mm_users);
}

static int hmm_range_check(const struct hmm_range *range)
{
	if (!PAGE_ALIGNED(range->start) || !PAGE_ALIGNED(range->end) ||
	    range->start >= range->end)
		return -EINVAL;
	if (!range->pfns || !range->flags || !range->values)
		return -EINVAL;
	if (WARN_ONCE(hmm_encoding_collides(range),
		      "hmm: a range's encoding collides with itself\n"))
		return -EINVAL;
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
 * Return: 0; -EINVAL if start or end is not page aligned, start is not below
 * end, pfns, flags or values is NULL, @mirror is not registered, or (with a
 * warning) the encoding can mistake one entry for another; -EFAULT if the
 * address space is gone. On an error &hmm_range.hmm is NULL.
 */
int hmm_range_register(struct hmm_range *range, struct hmm_mirror *mirror)
{
	struct hmm *hmm;
	unsigned long flags;
	int ret;

	if (!range)
		return -EINVAL;
	range->hmm = NULL;
	range->mirror = NULL;
	range->valid = false;
	hmm = mirror ? mirror->hmm : NULL;
	if (!hmm)
		return -EINVAL;
	ret = hmm_range_check(range);
	if (ret)
		return ret;

	range->collided = false;
	range->cursor = range->start;
	range->node.start = range->start;
	range->node.last = range->end - 1;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	if (hmm_mm_gone(hmm)) {
		ret = -EFAULT;
	} else {
		range->hmm = hmm;
		range->mirror = mirror;
		mirror->nr_ranges++;
		list_add(&range->list, &hmm->ranges);
		hmm_tree_insert(&range->node, &hmm->tree);
	}
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	return ret;
}
EXPORT_SYMBOL(hmm_range_register);

/**
 * hmm_range_unregister() - follow a range no more
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
	struct hmm *hmm = READ_ONCE(range->hmm);
	bool orphan = false, twice;
	unsigned long flags;

	if (WARN_ON_ONCE(!hmm))
		return;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	/* Of two calls at the same time the first has done it */
	twice = range->hmm != hmm;
	if (!twice) {
		orphan = !range->mirror;
		if (!orphan)
			hmm_range_detach(hmm, range);
		WRITE_ONCE(range->hmm, NULL);
		/*
		 * Under the lock: without the range, hmm may go at any time.
		 * A waiter that looked before us is in the queue already, as
		 * it looks under the lock too.
		 */
		if (waitqueue_active(&hmm->wq))
			wake_up_all(&hmm->wq);
	}
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);

	WARN_ON_ONCE(twice);
	/* From hmm_orphan_ranges(); others live by their mirror's */
	if (orphan)
		kref_put(&hmm->kref, hmm_free);
}
EXPORT_SYMBOL(hmm_range_unregister);

enum hmm_range_state {
	HMM_RANGE_QUIET,
	HMM_RANGE_BUSY,
	HMM_RANGE_GONE,
};

static enum hmm_range_state hmm_range_state(struct hmm *hmm,
					    const struct hmm_range *range)
{
	enum hmm_range_state state = HMM_RANGE_QUIET;
	unsigned long flags;

	spin_lock_irqsave(&hmm->ranges_lock, flags);
	if (hmm_mm_gone(hmm) || !range->mirror)
		state = HMM_RANGE_GONE;
	else if (hmm_busy(hmm, range->start, range->end))
		state = HMM_RANGE_BUSY;
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	return state;
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
 * never in a callback nor under a lock that one takes. @range is registered
 * when this is called; it may be unregistered meanwhile, but must stay.
 * Return: true when no invalidation that overlaps @range is in flight; false
 * at the time-out, and at once when the address space is gone or @range is not
 * registered.
 */
bool hmm_range_wait_until_valid(struct hmm_range *range, unsigned long timeout)
{
	unsigned int ms = min_t(unsigned long, timeout, UINT_MAX);
	struct hmm *hmm = range->hmm;
	enum hmm_range_state state;

	if (!hmm)
		return false;
	might_sleep();
	hmm_may_wait();
	/* Who wakes us may unregister the range, and then its mirror */
	kref_get(&hmm->kref);
	wait_event_timeout(hmm->wq,
			   (state = hmm_range_state(hmm, range)) !=
			   HMM_RANGE_BUSY,
			   msecs_to_jiffies(ms));
	kref_put(&hmm->kref, hmm_free);
	return state == HMM_RANGE_QUIET;
}
EXPORT_SYMBOL(hmm_range_wait_until_valid);

/* ------------------------------------------------------------------ cursor */

/* Parts of a fault, for which might_sleep() wants interrupts to be on. */

/*
 * A fault begins: nothing of the range has been read, and the walk of all of it
 * begins as in hmm_cursor_advance(). @owner becomes that of the mirror, which
 * is not looked at again.
 */
static int hmm_cursor_start(struct hmm *hmm, struct hmm_range *range,
			    void **owner)
{
	int ret = 0;

	spin_lock_irq(&hmm->ranges_lock);
	range->collided = false;
	range->cursor = range->start;
	if (!range->mirror) {
		ret = -EINVAL;
	} else if (hmm_busy(hmm, range->start, range->end)) {
		ret = -EBUSY;
	} else {
		*owner = range->mirror->dev_private_owner;
		range->cursor = range->end;
	}
	spin_unlock_irq(&hmm->ranges_lock);
	return ret;
}

/*
 * A walk of [from, end) goes on. What is in flight may be changing page tables
 * there, and what starts from now on collides.
 */
static int hmm_cursor_advance(struct hmm *hmm, struct hmm_range *range,
			      unsigned long from)
{
	int ret = -EBUSY;

	spin_lock_irq(&hmm->ranges_lock);
	if (!range->collided && !hmm_busy(hmm, from, range->end)) {
		range->cursor = range->end;
		ret = 0;
	}
	spin_unlock_irq(&hmm->ranges_lock);
	return ret;
}

/*
 * A fault at or after @to begins: what it invalidates from there on will be
 * read again.
 */
static void hmm_cursor_retreat(struct hmm *hmm, struct hmm_range *range,
			       unsigned long to)
{
	spin_lock_irq(&hmm->ranges_lock);
	range->cursor = to;
	spin_unlock_irq(&hmm->ranges_lock);
}

/* The walk reached the end: is what it read still so? */
VISIBLE_IF_KUNIT int hmm_cursor_settle(struct hmm *hmm, struct hmm_range *range)
{
	bool valid;

	KUNIT_STATIC_STUB_REDIRECT(hmm_cursor_settle, hmm, range);

	spin_lock_irq(&hmm->ranges_lock);
	valid = !range->collided && range->mirror && !hmm->dead;
	WRITE_ONCE(range->valid, valid);
	spin_unlock_irq(&hmm->ranges_lock);
	return valid ? 0 : -EBUSY;
}

/* ------------------------------------------------------------------ walker */

/* What an address asks for; HMM_ASK_READ is in every request. */
enum {
	HMM_ASK_READ	= 1 << 0,
	HMM_ASK_WRITE	= 1 << 1,
	HMM_ASK_SYSTEM	= 1 << 2,	/* not the owner's private memory */
};

/* What stands in the CPU page table, as far as it matters to a device. */
enum hmm_leaf_kind {
	HMM_LEAF_MAPPED,	/* memory that CPU and device can use */
	HMM_LEAF_PRIVATE,	/* the owner's private memory */
	HMM_LEAF_EMPTY,		/* a fault may bring memory */
	HMM_LEAF_BROKEN,	/* a fault can't help */
};

/**
 * struct hmm_leaf - one entry of the CPU page table, of any size
 * @kind: what it is
 * @write: the CPU may write there
 * @order: of the mapping it belongs to
 * @pfn: of the first address that is looked at (MAPPED, PRIVATE)
 * @value: what the device gets (EMPTY, BROKEN)
 */
struct hmm_leaf {
	enum hmm_leaf_kind kind;
	bool write;
	u8 order;
	unsigned long pfn;
	u64 value;
};

/**
 * struct hmm_encoding - how entries are written and requests are read
 * @valid: bit of an entry that has a pfn; on input, of one that asks
 * @write: bits of an entry that may be written; on input, that asks for it
 * @private: bits of an entry with device private memory; on input, of one
 *	that wants it in system memory
 * @none: entry with nothing there
 * @error: entry that can't be used
 * @special: entry without a struct page
 * @shift: of the pfn
 */
struct hmm_encoding {
	u64 valid;
	u64 write;
	u64 private;
	u64 none;
	u64 error;
	u64 special;
	unsigned int shift;
};

/**
 * struct hmm_walk - one call of hmm_range_fault()
 * @enc: encoding of @out and @asks
 * @start: first address
 * @end: address after the last
 * @out: one entry a page, output
 * @orders: one order a page, output, or NULL
 * @asks: one entry a page, input; NULL if all ask for @ask
 * @ask_mask: bits of @asks that count
 * @ask_default: bits that every entry asks for besides @asks
 * @ask: in HMM_ASK_*, what every entry asks for where @asks is NULL, else
 *	what any of them does
 * @owner: of private memory that is used in place, or NULL
 * @fault_flags: for handle_mm_fault()
 * @vma: where the walk stopped
 * @missing: the pages from @miss on that must be faulted
 * @nr_missing: bits of @missing that are in use
 * @miss: address the walk stopped at
 * @resume: address from which the walk goes on after the faults
 * @failed: address that an error is about
 *
 * A walk fills @out and stops at the first address that has not got what it
 * asks for. The faults are made after it, with no page table lock held.
 */
struct hmm_walk {
	struct hmm_encoding enc;
	unsigned long start;
	unsigned long end;
	u64 *out;
	u8 *orders;
	const u64 *asks;
	u64 ask_mask;
	u64 ask_default;
	unsigned int ask;
	void *owner;
	unsigned int fault_flags;

	struct vm_area_struct *vma;
	DECLARE_BITMAP(missing, MAX_PTRS_PER_PTE);
	unsigned int nr_missing;
	unsigned long miss;
	unsigned long resume;
	unsigned long failed;
};

/* Ends a walk without an error, as walk_page_range() passes it through. */
#define HMM_WALK_MISS 1

static unsigned long hmm_index(const struct hmm_walk *w, unsigned long addr)
{
	return (addr - w->start) >> PAGE_SHIFT;
}

static unsigned int hmm_decode_ask(const struct hmm_encoding *enc, u64 request)
{
	unsigned int ask = HMM_ASK_READ;

	if (!(request & enc->valid))
		return 0;
	if (request & enc->write)
		ask |= HMM_ASK_WRITE;
	if (request & enc->private)
		ask |= HMM_ASK_SYSTEM;
	return ask;
}

static unsigned int hmm_ask(const struct hmm_walk *w, unsigned long addr)
{
	if (!w->asks)
		return w->ask;
	return hmm_decode_ask(&w->enc,
			      (w->asks[hmm_index(w, addr)] & w->ask_mask) |
			      w->ask_default);
}

static u64 hmm_encode(const struct hmm_encoding *enc,
		      const struct hmm_leaf *leaf)
{
	u64 entry;

	if (leaf->kind >= HMM_LEAF_EMPTY)
		return leaf->value;
	entry = ((u64)leaf->pfn << enc->shift) | enc->valid;
	if (leaf->write)
		entry |= enc->write;
	if (leaf->kind == HMM_LEAF_PRIVATE)
		entry |= enc->private;
	return entry;
}

static void hmm_set_orders(struct hmm_walk *w, unsigned long addr,
			   unsigned long end, u8 order)
{
	if (w->orders)
		memset(w->orders + hmm_index(w, addr), order,
		       (end - addr) >> PAGE_SHIFT);
}

/* @n entries from @entry on, each @step more than the one before. */
static void hmm_count_up(u64 *out, unsigned long n, u64 entry, u64 step)
{
	unsigned int i;

	/* Two instructions a page, as a huge page has many */
	for (; n >= HMM_COUNT_UP; n -= HMM_COUNT_UP, out += HMM_COUNT_UP) {
#pragma GCC unroll 128
		for (i = 0; i < HMM_COUNT_UP; i++, entry += step)
			out[i] = entry;
	}
	for (; n; n--, entry += step)
		*out++ = entry;
}

/* [addr, end) lies in one leaf. */
static void hmm_fill(struct hmm_walk *w, unsigned long addr, unsigned long end,
		     const struct hmm_leaf *leaf)
{
	unsigned long n = (end - addr) >> PAGE_SHIFT;
	u64 *out = w->out + hmm_index(w, addr);

	hmm_set_orders(w, addr, end, leaf->order);
	if (leaf->kind >= HMM_LEAF_EMPTY)
		memset64(out, leaf->value, n);
	else
		hmm_count_up(out, n, hmm_encode(&w->enc, leaf),
			     1ULL << w->enc.shift);
}

/* The whole truth about who must be faulted. */
static bool hmm_unmet(unsigned int ask, const struct hmm_leaf *leaf)
{
	if (!ask)
		return false;
	switch (leaf->kind) {
	case HMM_LEAF_MAPPED:
		return ask & HMM_ASK_WRITE && !leaf->write;
	case HMM_LEAF_PRIVATE:
		return ask & HMM_ASK_SYSTEM;
	default:
		return true;
	}
}

/* The first address of [addr, end), all in one leaf, that is unmet; or end. */
static unsigned long hmm_first_unmet(const struct hmm_walk *w,
				     unsigned long addr, unsigned long end,
				     const struct hmm_leaf *leaf)
{
	/* Who asks for less than all of them together is met as well */
	if (!hmm_unmet(w->ask, leaf))
		return end;
	if (!w->asks)
		return addr;
	for (; addr < end; addr += PAGE_SIZE)
		if (hmm_unmet(hmm_ask(w, addr), leaf))
			break;
	return addr;
}

/*
 * Stop at @addr, whose request @leaf does not meet. A fault there can change
 * all of the page table from @resume on.
 */
static int hmm_stop(struct hmm_walk *w, struct vm_area_struct *vma,
		    unsigned long addr, unsigned long resume,
		    const struct hmm_leaf *leaf)
{
	w->failed = addr;
	if (leaf->kind == HMM_LEAF_BROKEN)
		return -EFAULT;
	if (hmm_ask(w, addr) & HMM_ASK_WRITE && !(vma->vm_flags & VM_WRITE))
		return -EPERM;

	w->vma = vma;
	w->miss = addr;
	w->resume = max(w->start, resume);
	bitmap_zero(w->missing, MAX_PTRS_PER_PTE);
	__set_bit(0, w->missing);
	w->nr_missing = 1;
	return HMM_WALK_MISS;
}

/* What is before the place to resume from must be filled. */
static noinline int hmm_walk_unmet(struct hmm_walk *w,
				   struct vm_area_struct *vma,
				   unsigned long addr, unsigned long end,
				   unsigned long base,
				   const struct hmm_leaf *leaf)
{
	unsigned long unmet = hmm_first_unmet(w, addr, end, leaf);

	if (addr < unmet)
		hmm_fill(w, addr, unmet, leaf);
	if (unmet == end)
		return 0;
	return hmm_stop(w, vma, unmet, base, leaf);
}

/*
 * A piece of the address space that is one leaf, or a hole where a fault may
 * make one. A fault on any of it can invalidate all of it (a huge page is
 * split or copied), so the walk resumes at its first page: @base.
 */
static __always_inline int hmm_walk_leaf(struct hmm_walk *w,
					 struct vm_area_struct *vma,
					 unsigned long addr, unsigned long end,
					 unsigned long base,
					 const struct hmm_leaf *leaf)
{
	/* Who asks for less than all of them together is met as well */
	if (unlikely(hmm_unmet(w->ask, leaf)))
		return hmm_walk_unmet(w, vma, addr, end, base, leaf);
	hmm_fill(w, addr, end, leaf);
	return 0;
}

/*
 * Any length of addresses that are all @leaf, which has no pfn. Goes by pieces
 * of @size, which a fault can change as one.
 */
static int hmm_walk_long(struct hmm_walk *w, struct vm_area_struct *vma,
			 unsigned long addr, unsigned long end,
			 unsigned long size, const struct hmm_leaf *leaf)
{
	unsigned long base, n;
	int ret;

	for (; addr < end; addr += n) {
		base = addr & ~(size - 1);
		n = min(end - addr, base + size - addr);
		ret = hmm_walk_leaf(w, vma, addr, addr + n, base, leaf);
		if (ret)
			return ret;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/*
 * Is private memory at @pfn the mirror's own? The page may go home under us,
 * and with the last of them its struct page: so that is not looked at. Memory
 * that is about to go has no pagemap to be found, and is nobody's.
 */
static bool hmm_owns(const struct hmm_walk *w, unsigned long pfn)
{
	struct dev_pagemap *pagemap;
	bool owns;

	if (!w->owner)
		return false;
	pagemap = get_dev_pagemap(pfn, NULL);
	if (!pagemap)
		return false;
	owns = pagemap->owner == w->owner;
	put_dev_pagemap(pagemap);
	return owns;
}

/* Entries that are not present; @leaf has its order and, by offset, its pfn. */
static void hmm_classify_swap(const struct hmm_walk *w, swp_entry_t entry,
			      unsigned long offset, struct hmm_leaf *leaf)
{
	leaf->kind = HMM_LEAF_EMPTY;
	leaf->value = w->enc.none;
	if (!non_swap_entry(entry) || is_migration_entry(entry) ||
	    is_device_exclusive_entry(entry))
		return;
	if (is_device_private_entry(entry)) {
		if (!hmm_owns(w, swp_offset_pfn(entry)))
			return;
		leaf->kind = HMM_LEAF_PRIVATE;
		leaf->write = is_writable_device_private_entry(entry);
		leaf->pfn = swp_offset_pfn(entry) + offset;
		return;
	}
	if (is_pte_marker_entry(entry) &&
	    !(pte_marker_get(entry) & ~PTE_MARKER_UFFD_WP))
		return;
	/* Poison, a guard, or what a later kernel adds */
	leaf->kind = HMM_LEAF_BROKEN;
	leaf->value = w->enc.error;
}

/* Present, accessible, and without doubt backed by a struct page. */
static bool hmm_pte_plain(pte_t pte)
{
	return IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL) && pte_present(pte) &&
	       !pte_protnone(pte) && !pte_special(pte);
}

static void hmm_classify_pte(const struct hmm_walk *w,
			     struct vm_area_struct *vma, unsigned long addr,
			     pte_t pte, struct hmm_leaf *leaf)
{
	*leaf = (struct hmm_leaf){ .kind = HMM_LEAF_EMPTY,
				   .value = w->enc.none };
	if (pte_none(pte))
		return;
	if (!pte_present(pte)) {
		hmm_classify_swap(w, pte_to_swp_entry(pte), 0, leaf);
		return;
	}
	if (pte_protnone(pte))
		return;

	leaf->kind = HMM_LEAF_MAPPED;
	leaf->write = pte_write(pte);
	leaf->pfn = pte_pfn(pte);
	/* Some architectures make the zero page's entry special */
	if (hmm_pte_plain(pte) || is_zero_pfn(leaf->pfn) || pte_devmap(pte) ||
	    vm_normal_page(vma, addr, pte))
		return;
	leaf->kind = HMM_LEAF_BROKEN;
	leaf->value = w->enc.special;
}

/*
 * The heart: writes the plain entry @pte at @ptep, and those after it that are
 * alike, @n at most, to @out, with @bits added. Alike are entries that differ
 * in the pfn alone: what is true of the first, that it is plain and whether it
 * may be written, is true of all, and needs no look at any of them.
 *
 * @alike is all of the first entry but its pfn. What is left of another one
 * without that is a multiple of the pfn's lowest bit, and no more than a pfn
 * can be, iff it is alike; turned round, so that bits below the pfn come to
 * stand above it, one comparison tells both. No memory is above max_pfn, whose
 * bits are in the entry's pfn field; what a hotplug adds meanwhile only ends
 * the run.
 *
 * Where nobody asks for anything, gaps between them belong to the run.
 *
 * Return: how many were written to @out, at least 1.
 */
static unsigned long hmm_take_alike(const struct hmm_walk *w, pte_t *ptep,
				    pte_t pte, u64 bits, u64 *out,
				    unsigned long n)
{
	const unsigned int shift = w->enc.shift;
	const u64 limit = READ_ONCE(max_pfn);
	u64 pfn = pte_pfn(pte);
	const u64 alike = pte_val(pte) - (pfn << HMM_PTE_SHIFT);
	unsigned long i = 0;

	out[0] = (pfn << shift) | bits;
	if (!HMM_PTE_SHIFT)
		return 1;
	while (++i < n) {
		pte = ptep_get_lockless(ptep + i);
		pfn = ror64(pte_val(pte) - alike, HMM_PTE_SHIFT);
		if (likely(pfn < limit))
			out[i] = (pfn << shift) | bits;
		else if (pte_none(pte) && !w->ask)
			out[i] = w->enc.none;
		else
			break;
	}
	return i;
}

/*
 * The run of plain entries that starts at @addr, 0 entries if it is unmet.
 * Where pages that can't be written are asked for one by one, and some for
 * writing, it ends with the first.
 */
static unsigned long hmm_walk_run(struct hmm_walk *w, pte_t *ptep, pte_t pte,
				  unsigned long addr, unsigned long end)
{
	unsigned long n = (end - addr) >> PAGE_SHIFT;
	u64 bits = w->enc.valid;

	if (pte_write(pte)) {
		bits |= w->enc.write;
	} else if (w->ask & HMM_ASK_WRITE) {
		if (hmm_ask(w, addr) & HMM_ASK_WRITE)
			return 0;
		n = 1;
	}
	return hmm_take_alike(w, ptep, pte, bits, w->out + hmm_index(w, addr),
			      n);
}

/* Nothing is there, or only in swap: no two such entries need be the same. */
static __always_inline bool hmm_pte_empty(pte_t pte)
{
	return pte_none(pte) ||
	       (!pte_present(pte) && !non_swap_entry(pte_to_swp_entry(pte)));
}

/*
 * How many entries from @ptep on, @n at most, are to a device what @pte is,
 * that of @ptep: empty, or the same.
 */
static unsigned long hmm_count_same(pte_t *ptep, pte_t pte, unsigned long n)
{
	unsigned long i = 1;

	if (hmm_pte_empty(pte))
		while (i < n && hmm_pte_empty(ptep_get_lockless(ptep + i)))
			i++;
	else
		while (i < n && pte_same(ptep_get_lockless(ptep + i), pte))
			i++;
	return i;
}

/*
 * The run of entries that are to a device the same as the one at @addr, which
 * is not plain: empty, zero page, marker. Ends where a request is unmet.
 */
static unsigned long hmm_walk_same(struct hmm_walk *w, pte_t *ptep, pte_t pte,
				   unsigned long addr, unsigned long end,
				   const struct hmm_leaf *leaf)
{
	unsigned long n;

	if (!w->asks && hmm_unmet(w->ask, leaf))
		return 0;
	n = hmm_count_same(ptep, pte, (end - addr) >> PAGE_SHIFT);
	end = hmm_first_unmet(w, addr, addr + (n << PAGE_SHIFT), leaf);
	n = (end - addr) >> PAGE_SHIFT;
	memset64(w->out + hmm_index(w, addr), hmm_encode(&w->enc, leaf), n);
	return n;
}

/* The empty entries from @ptep on, @n at most, where nobody asks. */
static unsigned long hmm_take_empty(pte_t *ptep, u64 none, u64 *out,
				    unsigned long n)
{
	unsigned long i = 0;

	do {
		out[i] = none;
	} while (++i < n && hmm_pte_empty(ptep_get_lockless(ptep + i)));
	return i;
}

/*
 * A fault of a NUMA hint or of private memory may move more than its page: a
 * folio, or what else the owner sees fit. All of the page table is read again
 * after such a fault; where it moves pages of another one too, the call ends
 * with -EBUSY, and the next one finds them moved.
 */
static bool hmm_fault_moves(pte_t pte)
{
	if (pte_present(pte))
		return pte_protnone(pte);
	return !pte_none(pte) && is_device_private_entry(pte_to_swp_entry(pte));
}

/* Add @n pages from @addr on, whose entry is @pte, to those to be faulted. */
static void hmm_note_missing(struct hmm_walk *w, unsigned long addr,
			     unsigned long n, pte_t pte)
{
	unsigned int first = (addr - w->miss) >> PAGE_SHIFT;

	bitmap_set(w->missing, first, n);
	w->nr_missing = first + n;
	if (hmm_fault_moves(pte))
		w->resume = max(w->start, min(w->resume, addr & PMD_MASK));
}

/*
 * Note which of the @n pages from @addr on, all with the entry @pte, are
 * missing: all of them, or each one that asks for more than @leaf.
 *
 * Return: false if one of them can't be faulted.
 */
static bool hmm_note_run(struct hmm_walk *w, unsigned long addr,
			 unsigned long n, pte_t pte,
			 const struct hmm_leaf *leaf)
{
	bool writable = w->vma->vm_flags & VM_WRITE;
	unsigned int ask = w->ask;

	for (; n; n -= w->asks ? 1 : n, addr += PAGE_SIZE) {
		if (w->asks)
			ask = hmm_ask(w, addr);
		if (!hmm_unmet(ask, leaf))
			continue;
		if (ask & HMM_ASK_WRITE && !writable)
			return false;
		hmm_note_missing(w, addr, w->asks ? 1 : n, pte);
	}
	return true;
}

/*
 * The walk has stopped at w->miss: note what else is missing from @addr on, up
 * to the end of the page table, to be faulted in the same round. What can't be
 * faulted is left to the walk that comes after.
 */
static void hmm_note_rest(struct hmm_walk *w, pte_t *ptep, unsigned long addr,
			  unsigned long end)
{
	struct hmm_leaf leaf;
	unsigned long n;
	pte_t pte;

	for (; addr < end; addr += n << PAGE_SHIFT, ptep += n) {
		pte = ptep_get_lockless(ptep);
		n = hmm_count_same(ptep, pte, (end - addr) >> PAGE_SHIFT);
		hmm_classify_pte(w, w->vma, addr, pte, &leaf);
		/* What meets all that is asked for meets each request */
		if (!hmm_unmet(w->ask, &leaf) || leaf.kind == HMM_LEAF_BROKEN)
			continue;
		if (!hmm_note_run(w, addr, n, pte, &leaf))
			break;
	}
}

/* One page table. @ptep is the entry of @addr. */
static noinline int hmm_walk_ptes(struct hmm_walk *w,
				  struct vm_area_struct *vma, pte_t *ptep,
				  unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf;
	unsigned long n;
	pte_t pte;
	int ret;

	hmm_set_orders(w, addr, end, 0);
	for (; addr < end; addr += n << PAGE_SHIFT, ptep += n) {
		pte = ptep_get_lockless(ptep);
		if (likely(hmm_pte_plain(pte))) {
			n = hmm_walk_run(w, ptep, pte, addr, end);
			if (likely(n))
				continue;
		} else if (!w->ask && hmm_pte_empty(pte)) {
			n = hmm_take_empty(ptep, w->enc.none,
					   w->out + hmm_index(w, addr),
					   (end - addr) >> PAGE_SHIFT);
			continue;
		}
		hmm_classify_pte(w, vma, addr, pte, &leaf);
		n = hmm_walk_same(w, ptep, pte, addr, end, &leaf);
		if (!n)
			break;
	}
	if (addr == end)
		return 0;

	ret = hmm_stop(w, vma, addr, addr, &leaf);
	if (ret == HMM_WALK_MISS) {
		hmm_note_missing(w, addr, 1, pte);
		hmm_note_rest(w, ptep + 1, addr + PAGE_SIZE, end);
	}
	return ret;
}

/* Nothing is mapped, by whatever level of page tables. */
static int hmm_walk_none(struct hmm_walk *w, struct vm_area_struct *vma,
			 unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf = { .kind = HMM_LEAF_EMPTY,
				 .value = w->enc.none };
	unsigned long size = PMD_SIZE;

	if (!vma) {
		leaf.kind = HMM_LEAF_BROKEN;
		leaf.value = w->enc.error;
	} else if (is_vm_hugetlb_page(vma)) {
		size = huge_page_size(hstate_vma(vma));
	}
	/* A fault may make a huge page of this size, the next one copy it */
	return hmm_walk_long(w, vma, addr, end, size, &leaf);
}

static int hmm_walk_hole(unsigned long addr, unsigned long end, int depth,
			 struct mm_walk *walk)
{
	return hmm_walk_none(walk->private, walk->vma, addr, end);
}

static void hmm_classify_pmd(const struct hmm_walk *w,
			     struct vm_area_struct *vma, unsigned long addr,
			     pmd_t pmd, struct hmm_leaf *leaf)
{
	unsigned long offset = (addr & ~PMD_MASK) >> PAGE_SHIFT;

	*leaf = (struct hmm_leaf){ .kind = HMM_LEAF_EMPTY,
				   .value = w->enc.none };
	if (!pmd_present(pmd)) {
		hmm_classify_swap(w, pmd_to_swp_entry(pmd), offset, leaf);
		if (leaf->kind == HMM_LEAF_PRIVATE)
			leaf->order = PMD_ORDER;
		return;
	}
	if (pmd_protnone(pmd))
		return;

	leaf->order = PMD_ORDER;
	leaf->kind = HMM_LEAF_MAPPED;
	leaf->write = pmd_write(pmd);
	leaf->pfn = pmd_pfn(pmd) + offset;
	/* Only a mapping of this kind can have memory without struct pages */
	if (likely(!(vma->vm_flags & VM_MIXEDMAP)) || is_huge_zero_pmd(pmd) ||
	    pmd_devmap(pmd) || vm_normal_page_pmd(vma, addr, pmd))
		return;
	leaf->kind = HMM_LEAF_BROKEN;
	leaf->order = 0;
	leaf->value = w->enc.special;
}

static int hmm_walk_huge_pmd(struct hmm_walk *w, struct vm_area_struct *vma,
			     unsigned long addr, unsigned long end, pmd_t pmd)
{
	struct hmm_leaf leaf;

	hmm_classify_pmd(w, vma, addr, pmd, &leaf);
	return hmm_walk_leaf(w, vma, addr, end, addr & PMD_MASK, &leaf);
}

static noinline int hmm_walk_bad(struct hmm_walk *w, struct vm_area_struct *vma,
				 unsigned long addr, unsigned long end)
{
	struct hmm_leaf bad = { .kind = HMM_LEAF_BROKEN,
				.value = w->enc.error };

	return hmm_walk_leaf(w, vma, addr, end, addr, &bad);
}

/*
 * Page tables are read without their locks: a change from here on either is
 * part of an invalidation, which collides, or makes an entry more usable than
 * it was (filled, made writable, migrated to), which a fault may miss.
 */
static int hmm_walk_table(struct hmm_walk *w, struct vm_area_struct *vma,
			  pmd_t *pmdp, unsigned long addr, unsigned long end)
{
	pte_t *ptep;
	pmd_t pmd;
	int ret;

	for (;;) {
		pmd = pmdp_get_lockless(pmdp);
		if (pmd_none(pmd))
			return hmm_walk_none(w, vma, addr, end);
		/* Where there are none, one is bad */
		if (IS_ENABLED(CONFIG_PGTABLE_HAS_HUGE_LEAVES) &&
		    (!pmd_present(pmd) || pmd_leaf(pmd)))
			return hmm_walk_huge_pmd(w, vma, addr, end, pmd);
		if (pmd_bad(pmd))
			return hmm_walk_bad(w, vma, addr, end);
		/* Fails when the page table went away meanwhile: look again */
		ptep = pte_offset_map(pmdp, addr);
		if (ptep)
			break;
	}
	ret = hmm_walk_ptes(w, vma, ptep, addr, end);
	pte_unmap(ptep);
	return ret;
}

static int hmm_walk_pmd(pmd_t *pmdp, unsigned long addr, unsigned long end,
			struct mm_walk *walk)
{
	/* A huge page is done with sooner than a page table */
	if (!(addr & HMM_RESCHED_MASK) || !pmd_leaf(pmdp_get_lockless(pmdp))) {
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return hmm_walk_table(walk->private, walk->vma, pmdp, addr, end);
}

#ifdef CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD
/* Without this callback the walk would split huge PUDs. */
static int hmm_walk_pud(pud_t *pudp, unsigned long addr, unsigned long end,
			struct mm_walk *walk)
{
	struct hmm_walk *w = walk->private;
	pud_t pud = pudp_get(pudp);
	struct hmm_leaf leaf = { .kind = HMM_LEAF_MAPPED,
				 .order = PUD_SHIFT - PAGE_SHIFT };

	if (!pud_present(pud) || !pud_leaf(pud))
		return 0;
	walk->action = ACTION_CONTINUE;
	leaf.write = pud_write(pud);
	leaf.pfn = pud_pfn(pud) + ((addr & ~PUD_MASK) >> PAGE_SHIFT);
	if (!pud_devmap(pud)) {
		leaf.kind = HMM_LEAF_BROKEN;
		leaf.order = 0;
		leaf.value = w->enc.special;
	}
	return hmm_walk_leaf(w, walk->vma, addr, end, addr & PUD_MASK, &leaf);
}
#else
#define hmm_walk_pud NULL
#endif

#ifdef CONFIG_HUGETLB_PAGE
static int hmm_walk_hugetlb(pte_t *ptep, unsigned long hmask,
			    unsigned long addr, unsigned long end,
			    struct mm_walk *walk)
{
	struct hmm_walk *w = walk->private;
	struct hstate *h = hstate_vma(walk->vma);
	struct hmm_leaf leaf = { .kind = HMM_LEAF_EMPTY,
				 .value = w->enc.none };
	unsigned long offset = (addr & ~hmask) >> PAGE_SHIFT;
	pte_t pte;

	cond_resched();
	pte = huge_ptep_get(walk->mm, addr & hmask, ptep);
	if (!huge_pte_none(pte) && !pte_present(pte)) {
		hmm_classify_swap(w, pte_to_swp_entry(pte), offset, &leaf);
	} else if (pte_present(pte) && !pte_protnone(pte)) {
		leaf.kind = HMM_LEAF_MAPPED;
		leaf.write = huge_pte_write(pte);
		leaf.order = huge_page_order(h);
		leaf.pfn = pte_pfn(pte) + offset;
	}
	return hmm_walk_leaf(w, walk->vma, addr, end, addr & hmask, &leaf);
}
#else
#define hmm_walk_hugetlb NULL
#endif

/*
 * Devices are kept from what the kernel keeps even itself from, or the CPU's
 * stores, just as pin_user_pages() does.
 */
static bool hmm_vma_special(struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_IO | VM_PFNMAP | VM_SHADOW_STACK) ||
	       vma_is_secretmem(vma);
}

/* What can be said of a whole VMA. 0 to walk it, 1 when that was all. */
static int hmm_walk_test(unsigned long addr, unsigned long end,
			 struct mm_walk *walk)
{
	struct hmm_walk *w = walk->private;
	struct hmm_leaf leaf = { .kind = HMM_LEAF_BROKEN };

	if (!(walk->vma->vm_flags & VM_READ))
		leaf.value = w->enc.error;
	else if (hmm_vma_special(walk->vma))
		leaf.value = w->enc.special;
	else
		return 0;
	return hmm_walk_long(w, walk->vma, addr, end, PMD_SIZE, &leaf) ?: 1;
}

static const struct mm_walk_ops hmm_walk_ops = {
	.pud_entry	= hmm_walk_pud,
	.pmd_entry	= hmm_walk_pmd,
	.pte_hole	= hmm_walk_hole,
	.hugetlb_entry	= hmm_walk_hugetlb,
	.test_walk	= hmm_walk_test,
	.walk_lock	= PGWALK_RDLOCK,
};

/* The way to the PMD of @addr; NULL if it is not there or a huge PUD is. */
static pmd_t *hmm_find_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pudp, pud;

	if (!pgd_present(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(*p4d))
		return NULL;
	pudp = pud_offset(p4d, addr);
	pud = pudp_get(pudp);
	if (!pud_present(pud) || pud_leaf(pud))
		return NULL;
	return pmd_offset(pudp, addr);
}

/* The mapping of @addr, if a page table is all that can be said of it. */
static struct vm_area_struct *hmm_find_vma(struct mm_struct *mm,
					   unsigned long addr)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	if (!vma || !(vma->vm_flags & VM_READ) || is_vm_hugetlb_page(vma) ||
	    hmm_vma_special(vma))
		return NULL;
	return vma;
}

/*
 * Walks [from, end). What lies in one mapping and under one PMD is found
 * without the callbacks: the way there costs more than a few pages. The mmap
 * lock keeps the tables above PTEs in place.
 */
static int hmm_walk(struct hmm_walk *w, struct mm_struct *mm,
		    unsigned long from)
{
	struct vm_area_struct *vma;
	pmd_t *pmdp;

	if ((from ^ (w->end - 1)) & PMD_MASK)
		goto far;
	vma = hmm_find_vma(mm, from);
	if (!vma || vma->vm_end < w->end)
		goto far;
	pmdp = hmm_find_pmd(mm, from);
	if (pmdp)
		return hmm_walk_table(w, vma, pmdp, from, w->end);
far:
	return walk_page_range(mm, from, w->end, &hmm_walk_ops, w);
}

/* ------------------------------------------------------------------ faults */

/* -EAGAIN exactly when the mmap lock has been dropped. */
static int hmm_fault_page(struct hmm_walk *w, unsigned long addr)
{
	unsigned int flags = w->fault_flags;
	vm_fault_t fault;

	if (hmm_ask(w, addr) & HMM_ASK_WRITE)
		flags |= FAULT_FLAG_WRITE;
	fault = handle_mm_fault(w->vma, addr, flags, NULL);
	if (flags & FAULT_FLAG_ALLOW_RETRY &&
	    fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED))
		return -EAGAIN;
	if (!(fault & VM_FAULT_ERROR))
		return 0;
	w->failed = addr;
	return fault & VM_FAULT_OOM ? -ENOMEM : -EFAULT;
}

static int hmm_fault_run(struct hmm_walk *w, unsigned long addr,
			 unsigned long end)
{
	int ret = 0;

	for (; addr < end && !ret; addr += PAGE_SIZE) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = hmm_fault_page(w, addr);
	}
	return ret;
}

static int hmm_fault_missing(struct hmm_walk *w)
{
	unsigned int first, last;
	int ret;

	for_each_set_bitrange(first, last, w->missing, w->nr_missing) {
		ret = hmm_fault_run(w, w->miss +
				    ((unsigned long)first << PAGE_SHIFT),
				    w->miss +
				    ((unsigned long)last << PAGE_SHIFT));
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

/*
 * Walk, fault what is missing, go on from there. A round faults all that is
 * missing in a page table, and it is the next one's turn when that is met, so
 * the cost is linear in the size of the range.
 */
static int hmm_walk_and_fault(struct hmm *hmm, struct hmm_range *range,
			      struct hmm_walk *w)
{
	struct mm_struct *mm = hmm->mmu_notifier.mm;
	unsigned long furthest = w->start;
	unsigned int tries = 0;
	int ret;

	ret = hmm_cursor_start(hmm, range, &w->owner);
	if (ret)
		return ret;
	ret = hmm_walk(w, mm, w->start);
	while (ret == HMM_WALK_MISS) {
		if (w->miss > furthest) {
			furthest = w->miss;
			tries = 0;
		}
		if (tries++ == HMM_FAULT_TRIES)
			return -EBUSY;
		hmm_cursor_retreat(hmm, range, w->resume);
		ret = hmm_fault_missing(w);
		if (ret)
			return ret;
		ret = hmm_cursor_advance(hmm, range, w->resume);
		if (ret)
			return ret;
		ret = hmm_walk(w, mm, w->resume);
	}
	return ret ?: hmm_cursor_settle(hmm, range);
}

static void hmm_walk_init(struct hmm_walk *w, struct hmm_range *range,
			  unsigned int flags, u8 *orders)
{
	w->enc = (struct hmm_encoding){
		.valid		= range->flags[HMM_PFN_VALID],
		.write		= range->flags[HMM_PFN_WRITE],
		.private	= range->flags[HMM_PFN_DEVICE_PRIVATE],
		.none		= range->values[HMM_PFN_NONE],
		.error		= range->values[HMM_PFN_ERROR],
		.special	= range->values[HMM_PFN_SPECIAL],
		.shift		= range->pfn_shift,
	};
	w->start = range->start;
	w->end = range->end;
	w->out = range->pfns;
	w->orders = orders;
	w->asks = NULL;
	w->ask_mask = range->pfn_flags_mask;
	w->ask_default = range->default_flags;
	w->ask = 0;
	if (!(flags & HMM_FAULT_SNAPSHOT))
		w->ask = hmm_decode_ask(&w->enc, range->default_flags);
	w->failed = range->start;
	w->fault_flags = FAULT_FLAG_REMOTE;
	if (flags & HMM_FAULT_ALLOW_RETRY)
		w->fault_flags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
}

/*
 * Requests come in the array that results go to. They are set aside, so that
 * a second look at an entry asks the same, and so that they can be given back
 * after an error.
 *
 * Return: where the requests are now, NULL if there is no memory.
 */
static u64 *hmm_save_asks(const struct hmm_walk *w, u64 *few)
{
	unsigned long n = hmm_index(w, w->end);
	u64 *saved = few;

	if (n > HMM_ASKS_ON_STACK)
		saved = kvmalloc_array(n, sizeof(*saved),
				       GFP_KERNEL | __GFP_NOWARN);
	if (saved)
		memcpy(saved, w->out, n * sizeof(*saved));
	return saved;
}

/* Each entry asks for itself, as @asks says. */
static void hmm_ask_each(struct hmm_walk *w, const u64 *asks)
{
	unsigned long i, n = hmm_index(w, w->end);
	u64 any = 0;

	for (i = 0; i < n; i++)
		any |= asks[i];
	w->asks = asks;
	w->ask = hmm_decode_ask(&w->enc, (any & w->ask_mask) | w->ask_default);
}

/* What the caller finds in pfns after these errors, see hmm_range_fault(). */
static void hmm_blame(struct hmm_walk *w, int error)
{
	if (error != -EFAULT && error != -EPERM)
		return;
	memset64(w->out, w->enc.none, hmm_index(w, w->end));
	w->out[hmm_index(w, w->failed)] = w->enc.error;
}

/* Not in line, as only who needs it should pay for what is on the stack. */
static noinline int hmm_fault_each(struct hmm *hmm, struct hmm_range *range,
				   struct hmm_walk *w, unsigned int flags)
{
	u64 few[HMM_ASKS_ON_STACK];
	u64 *saved = hmm_save_asks(w, few);
	int ret;

	if (!saved)
		return -ENOMEM;
	if (!(flags & HMM_FAULT_SNAPSHOT))
		hmm_ask_each(w, saved);
	ret = hmm_walk_and_fault(hmm, range, w);
	if (ret)
		memcpy(w->out, saved, hmm_index(w, w->end) * sizeof(*saved));
	if (saved != few)
		kvfree(saved);
	return ret;
}

static int hmm_fault_range(struct hmm *hmm, struct hmm_range *range,
			   unsigned int flags, u8 *orders)
{
	struct mm_struct *mm = hmm->mmu_notifier.mm;
	/* hmm_walk_init(), hmm_cursor_start() and hmm_stop() set all of it */
	struct hmm_walk w __uninitialized;
	int ret;

	hmm_walk_init(&w, range, flags, orders);
	if (!mmget_not_zero(mm)) {
		hmm_blame(&w, -EFAULT);
		return -EFAULT;
	}
	if (fatal_signal_pending(current))
		ret = -EINTR;
	else if (w.ask_mask)
		ret = hmm_fault_each(hmm, range, &w, flags);
	else
		ret = hmm_walk_and_fault(hmm, range, &w);
	if (ret)
		hmm_blame(&w, ret);
	/* Not mmput(): exit_mmap() would take the mmap lock the caller holds */
	mmput_async(mm);
	return ret;
}

/* The entry of @addr in its page table; none if there is no such table. */
static pte_t hmm_peek_pte(struct mm_struct *mm, unsigned long addr)
{
	pte_t pte = __pte(0);
	pmd_t *pmdp;
	pte_t *ptep;

	if (!hmm_find_vma(mm, addr))
		return pte;
	pmdp = hmm_find_pmd(mm, addr);
	if (!pmdp || pmd_bad(pmdp_get_lockless(pmdp)))
		return pte;
	ptep = pte_offset_map(pmdp, addr);
	if (ptep) {
		pte = ptep_get_lockless(ptep);
		pte_unmap(ptep);
	}
	return pte;
}

/*
 * A device's page fault is mostly of one page, which mostly is there: that is
 * told without a walk and its state. Does what the walk would do with a plain
 * entry that meets the request, and leaves all else to it. The cursor is used
 * in the same way. The address space may lose its last user meanwhile: the mmap
 * lock keeps tables above PTEs and mappings, pte_offset_map() sees to a table of
 * PTEs, and hmm_release() makes the range invalid like any other.
 *
 * Return: HMM_WALK_MISS if a walk must tell; else as hmm_fault_range().
 */
static int hmm_fault_peek(struct hmm *hmm, struct hmm_range *range,
			  unsigned int flags)
{
	struct mm_struct *mm = hmm->mmu_notifier.mm;
	const u64 asked = *range->pfns;
	const u64 request = (asked & range->pfn_flags_mask) |
			    range->default_flags;
	const u64 *bits = range->flags;
	void *owner;
	u64 entry;
	pte_t pte;
	int ret;

	if (!atomic_read(&mm->mm_users) || fatal_signal_pending(current))
		return HMM_WALK_MISS;
	ret = hmm_cursor_start(hmm, range, &owner);
	if (ret)
		return ret;
	pte = hmm_peek_pte(mm, range->start);
	if (!hmm_pte_plain(pte))
		return HMM_WALK_MISS;
	entry = ((u64)pte_pfn(pte) << range->pfn_shift) | bits[HMM_PFN_VALID];
	if (pte_write(pte))
		entry |= bits[HMM_PFN_WRITE];
	else if (!(flags & HMM_FAULT_SNAPSHOT) &&
		 request & bits[HMM_PFN_VALID] && request & bits[HMM_PFN_WRITE])
		return HMM_WALK_MISS;
	*range->pfns = entry;
	ret = hmm_cursor_settle(hmm, range);
	if (ret) {
		*range->pfns = asked;
		if (!atomic_read(&mm->mm_users))
			return HMM_WALK_MISS;
	}
	return ret;
}

static int hmm_fault_check(const struct hmm_range *range, unsigned int flags)
{
	/* Without a mirror nothing keeps the struct mm_struct */
	if (!READ_ONCE(range->mirror) || !range->pfns ||
	    flags & ~(HMM_FAULT_ALLOW_RETRY | HMM_FAULT_SNAPSHOT))
		return -EINVAL;
	/* The tree has it under these */
	if (range->start != range->node.start ||
	    range->end - 1 != range->node.last)
		return -EINVAL;
	return 0;
}

/**
 * hmm_range_fault_orders() - hmm_range_fault(), and how large the mappings are
 * @range: a registered range
 * @flags: HMM_FAULT_*
 * @orders: array of one byte a page, or NULL. Filled with the order of the CPU
 *	mapping that each entry lies in (0, or that of a huge page), from which
 *	a driver may choose large pages of its own. 0 where there is no pfn.
 *	Undefined after an error
 *
 * See hmm_range_fault() for all else. A mapping may begin before the range
 * and end after it.
 *
 * Context: as hmm_range_fault().
 * Return: as hmm_range_fault().
 */
long hmm_range_fault_orders(struct hmm_range *range, unsigned int flags,
			    u8 *orders)
{
	struct mm_struct *mm;
	struct hmm *hmm;
	int ret;

	if (!range || !range->hmm)
		return -EINVAL;
	hmm = range->hmm;
	/* First of all: a call that fails leaves the range invalid */
	WRITE_ONCE(range->valid, false);
	ret = hmm_fault_check(range, flags);
	if (ret)
		return ret;

	mm = hmm->mmu_notifier.mm;
	mmap_assert_locked(mm);
	if (flags & HMM_FAULT_ALLOW_RETRY)
		lockdep_assert_held_read(&mm->mmap_lock);
	might_sleep();
	hmm_may_wait();

	ret = HMM_WALK_MISS;
	if (range->end - range->start == PAGE_SIZE && !orders)
		ret = hmm_fault_peek(hmm, range, flags);
	if (ret == HMM_WALK_MISS)
		ret = hmm_fault_range(hmm, range, flags, orders);
	trace_hmm_range_fault(mm, range, flags, ret);
	return ret ?: (range->end - range->start) >> PAGE_SHIFT;
}
EXPORT_SYMBOL(hmm_range_fault_orders);

/**
 * hmm_range_fault() - read, and where asked fault in, the pages of a range
 * @range: a registered range
 * @flags: HMM_FAULT_SNAPSHOT to ask for nothing, HMM_FAULT_ALLOW_RETRY to let
 *	faults drop the mmap lock
 *
 * Writes all of &hmm_range.pfns. An entry that asks for nothing gets what
 * stands in the CPU page table; it is never faulted and never makes the call
 * fail. One that asks gets a page that can be read, or written where it asks
 * for WRITE, each faulted with its own need. Private memory of the mirror's
 * owner is left where it is unless PRIVATE is asked for; WRITE then is as the
 * CPU has it, asked for or not. Documentation/vm/hmm.rst has the table.
 *
 * What was read is good until an invalidation: see hmm_range_valid(). At most
 * one fault at a time may run on a range.
 *
 * Context: the mmap lock is held, for read with HMM_FAULT_ALLOW_RETRY. Sleeps.
 * Never in a callback nor under a lock that one takes. Allocates where the
 * range is longer than 16 pages and &hmm_range.pfn_flags_mask is not 0.
 *
 * Return: the number of entries, always all; or
 *
 * * -EINVAL: unknown flags, @range is not registered, or its start or end was
 *   changed since
 * * -ENOMEM: no memory
 * * -EPERM: WRITE asked of a mapping without write permission
 * * -EFAULT: asked of addresses where nothing is mapped, or without read
 *   permission, or poisoned, or special; or the address space is gone
 * * -EBUSY: an invalidation that overlaps the range was in flight or came
 *   during the call, or an address is unmet after 16 faults.
 *   hmm_range_wait_until_valid() and call again
 * * -EINTR: the caller has a fatal signal pending
 * * -EAGAIN: a fault dropped the mmap lock, with HMM_FAULT_ALLOW_RETRY only.
 *   After all else the mmap lock is still held
 *
 * After -EPERM and -EFAULT the entry that failed is ERROR and all others are
 * NONE. After any other error, where &hmm_range.pfn_flags_mask is not 0, the
 * requests in &hmm_range.pfns are as they were and the call can be repeated.
 */
long hmm_range_fault(struct hmm_range *range, unsigned int flags)
{
	return hmm_range_fault_orders(range, flags, NULL);
}
EXPORT_SYMBOL(hmm_range_fault);
