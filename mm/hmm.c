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
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/interval_tree_generic.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#define CREATE_TRACE_POINTS
#include <trace/events/hmm.h>

#include "hmm-internal.h"

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
void hmm_may_wait(void)
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
int hmm_cursor_start(struct hmm *hmm, struct hmm_range *range, void **owner)
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
int hmm_cursor_advance(struct hmm *hmm, struct hmm_range *range,
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
void hmm_cursor_retreat(struct hmm *hmm, struct hmm_range *range,
			unsigned long to)
{
	spin_lock_irq(&hmm->ranges_lock);
	range->cursor = to;
	spin_unlock_irq(&hmm->ranges_lock);
}

/* The walk reached the end: is what it read still so? */
int hmm_cursor_settle(struct hmm *hmm, struct hmm_range *range)
{
	bool valid;

	KUNIT_STATIC_STUB_REDIRECT(hmm_cursor_settle, hmm, range);

	spin_lock_irq(&hmm->ranges_lock);
	valid = !range->collided && range->mirror && !hmm->dead;
	WRITE_ONCE(range->valid, valid);
	spin_unlock_irq(&hmm->ranges_lock);
	return valid ? 0 : -EBUSY;
}
