// SPDX-License-Identifier: GPL-2.0
/*
 * HMM's fault for callers without a lock: hmm_range_fault_unlocked().
 *
 * Like hmm_range_fault() it alternates between the walk (mm/hmm-walk.c) and
 * handle_mm_fault(), but it takes the lock by itself: that of the VMA where
 * that is enough, else the mmap lock for read. A round of the two begins at the
 * cursor (mm/hmm.c), wherever the previous round ended: at a missing page, at a
 * dropped lock, or at a collision. The cursor guards the entries before it
 * while no lock is held, so none of them is read again unless an invalidation
 * hits it.
 *
 * While an invalidation in flight overlaps the entries to be read, the fault
 * sleeps without a lock and without a user of the mm, until it has ended. So
 * each invalidation costs the fault one round at most.
 */
#include <linux/dax.h>
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/hugetlb.h>
#include <linux/mmap_lock.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <trace/events/hmm.h>

#include "hmm-internal.h"
#include "hmm-walk.h"

/**
 * struct hmm_unlocked - a call of hmm_range_fault_unlocked()
 * @hmm: of @range, which keeps it while it is registered
 * @has_ref: the call keeps @hmm itself, as it has slept
 * @range: to be filled
 * @mm: address space of @range; the call is a user of it, or it is NULL
 * @vma: mapping whose lock is held, or NULL
 * @advanced: the cursor is at the end, and nothing has been read
 * @mmap_locked: the mmap lock is held
 * @need: why the next lock has to be the mmap lock
 * @limited: the call ends at @deadline
 * @deadline: in jiffies
 * @dropped: address whose fault dropped the VMA's lock, if it was the last one
 * @furthest: highest address that was missing
 * @tries: rounds of faults since @furthest was found missing
 * @faulted: there was a round of faults
 */
struct hmm_unlocked {
	struct hmm *hmm;
	bool has_ref;
	struct hmm_range *range;
	struct mm_struct *mm;
	struct vm_area_struct *vma;
	bool advanced;
	bool mmap_locked;
	enum hmm_mmap_need need;
	bool limited;
	unsigned long deadline;
	unsigned long dropped;
	unsigned long furthest;
	unsigned int tries;
	bool faulted;
};

/* ------------------------------------------------------------------ cursor */

/*
 * Becomes a user of the mm. Only a range that is registered and has its mirror
 * keeps the mm's memory; an mm without users is about to go.
 */
static int __hmm_unlocked_get_mm(struct hmm_unlocked *u)
{
	struct mm_struct *mm;

	lockdep_assert_held(&u->hmm->ranges_lock);

	if (u->range->hmm != u->hmm || !u->range->mirror)
		return -EINVAL;
	mm = u->hmm->mmu_notifier.mm;
	if (u->hmm->dead || !mmget_not_zero(mm))
		return -EFAULT;
	u->mm = mm;
	return 0;
}

static int hmm_unlocked_get_mm(struct hmm_unlocked *u)
{
	int ret;

	spin_lock_irq(&u->hmm->ranges_lock);
	ret = __hmm_unlocked_get_mm(u);
	spin_unlock_irq(&u->hmm->ranges_lock);
	return ret;
}

static void hmm_unlocked_put_mm(struct hmm_unlocked *u)
{
	if (u->mm)
		/* Not mmput(): the caller may be no place to free all memory */
		mmput_async(u->mm);
	u->mm = NULL;
}

/*
 * Begins the fault: no entry has been read. If nothing is in flight, the first
 * walk may begin, as in hmm_unlocked_advance().
 */
static int hmm_unlocked_start(struct hmm_unlocked *u, void **owner)
{
	struct hmm_range *range = u->range;
	int ret = -EINVAL;

	rcu_read_lock();
	u->hmm = READ_ONCE(range->hmm);
	if (!u->hmm)
		goto out_unlock_rcu;
	spin_lock_irq(&u->hmm->ranges_lock);
	ret = __hmm_unlocked_get_mm(u);
	if (!ret) {
		u->advanced = !u->hmm->notifiers;
		range->cursor = u->advanced ? range->end : range->start;
		*owner = range->mirror->dev_private_owner;
	}
	spin_unlock_irq(&u->hmm->ranges_lock);
out_unlock_rcu:
	rcu_read_unlock();
	return ret;
}

/*
 * Begins a walk at the cursor, which is stored in *@from, and moves the cursor
 * to the end: an invalidation that starts from now on collides.
 */
static int hmm_unlocked_advance(struct hmm_unlocked *u, unsigned long *from)
{
	struct hmm_range *range = u->range;
	int ret = 0;

	spin_lock_irq(&u->hmm->ranges_lock);
	*from = range->cursor & PAGE_MASK;
	if (!range->mirror)
		ret = -EINVAL;
	else if (u->hmm->dead)
		ret = -EFAULT;
	else if (hmm_busy(u->hmm, *from, range->end))
		ret = -EBUSY;
	else
		range->cursor = range->end;
	spin_unlock_irq(&u->hmm->ranges_lock);
	return ret;
}

/* Returns true if hmm_unlocked_advance() would have to wait. */
static bool hmm_unlocked_must_wait(struct hmm_unlocked *u)
{
	struct hmm_range *range = u->range;
	bool wait;

	spin_lock_irq(&u->hmm->ranges_lock);
	wait = hmm_range_lives(u->hmm, range) &&
	       hmm_busy(u->hmm, range->cursor & PAGE_MASK, range->end);
	spin_unlock_irq(&u->hmm->ranges_lock);
	return wait;
}

/* ------------------------------------------------------------------- locks */

/*
 * Returns why the lock of @vma is not enough for @w. A private mapping without
 * anon_vma has no page that can be written, and a fault would have to make the
 * anon_vma. Reads need none, but for a huge zero page, which HMM_MMAP_TRIED is
 * for.
 */
static enum hmm_mmap_need hmm_vma_needs_mmap(struct vm_area_struct *vma,
					     const struct hmm_walk *w)
{
	if (vma->vm_end < w->end)
		return HMM_MMAP_SEVERAL_VMAS;
	if (is_vm_hugetlb_page(vma) || vma_is_dax(vma))
		return HMM_MMAP_HUGE_MAPPING;
	if (w->req & HMM_REQ_WRITE && !(vma->vm_flags & VM_SHARED) &&
	    !vma->anon_vma)
		return HMM_MMAP_NO_ANON_VMA;
	return HMM_MMAP_NOT_NEEDED;
}

/* Locks the VMA; returns why that is not possible or not enough. */
static enum hmm_mmap_need hmm_lock_vma(struct hmm_unlocked *u,
				       const struct hmm_walk *w)
{
	enum hmm_mmap_need need;
	struct vm_area_struct *vma;

	vma = lock_vma_under_rcu(u->mm, w->start);
	if (!vma)
		return HMM_MMAP_NO_VMA_LOCK;
	need = hmm_vma_needs_mmap(vma, w);
	if (need)
		vma_end_read(vma);
	else
		u->vma = vma;
	return need;
}

int hmm_lock_mmap(struct mm_struct *mm, const struct hmm_range *range,
		  enum hmm_mmap_need need)
{
	KUNIT_STATIC_STUB_REDIRECT(hmm_lock_mmap, mm, range, need);

	trace_hmm_mmap_lock(mm, range, need);
	return mmap_read_lock_killable(mm);
}

static int hmm_unlocked_lock(struct hmm_unlocked *u, const struct hmm_walk *w)
{
	if (u->vma || u->mmap_locked)
		return 0;
	if (!u->need)
		u->need = hmm_lock_vma(u, w);
	if (!u->need)
		return 0;
	if (hmm_lock_mmap(u->mm, u->range, u->need))
		return -EINTR;
	u->need = HMM_MMAP_NOT_NEEDED;
	u->mmap_locked = true;
	return 0;
}

static void hmm_unlocked_unlock(struct hmm_unlocked *u)
{
	if (u->vma)
		vma_end_read(u->vma);
	if (u->mmap_locked)
		mmap_read_unlock(u->mm);
	u->vma = NULL;
	u->mmap_locked = false;
}

/*
 * A fault has dropped the lock, and @vma may be gone. The next one may do so
 * too: to collect many missing pages before it could be in vain.
 */
static void hmm_unlocked_dropped(struct hmm_unlocked *u, struct hmm_walk *w)
{
	w->most = 1;
	if (u->mmap_locked && w->failed != ULONG_MAX) {
		/* The next fault there waits under the lock instead */
		w->tried = w->failed;
		u->need = HMM_MMAP_TRIED;
	}
	u->dropped = w->failed;
	u->vma = NULL;
	u->mmap_locked = false;
}

/* -------------------------------------------------------------------- time */

static bool hmm_unlocked_time_is_up(const struct hmm_unlocked *u)
{
	return u->limited && time_after_eq(jiffies, u->deadline);
}

/* In jiffies. */
static unsigned long hmm_unlocked_time_left(const struct hmm_unlocked *u)
{
	if (!u->limited)
		return MAX_SCHEDULE_TIMEOUT;
	return hmm_unlocked_time_is_up(u) ? 0 : u->deadline - jiffies;
}

/*
 * Returns true if the caller is in a callback, or else between the start and
 * the end of an invalidation: that would never end. The object that describes
 * an invalidation is on the stack of the task that makes it.
 */
static bool hmm_unlocked_waits_for_itself(struct hmm_unlocked *u)
{
	const struct hmm *hmm = u->hmm;
	bool own = false;
	unsigned int i;

	spin_lock_irq(&u->hmm->ranges_lock);
	for (i = 0; i < hmm->nr_inflight; i++)
		own |= object_is_on_stack(hmm->inflight[i].key);
	spin_unlock_irq(&u->hmm->ranges_lock);
	return own;
}

/*
 * Sleeps until no invalidation in flight overlaps the entries to be read.
 * Returns -EAGAIN for another round.
 */
static int hmm_unlocked_wait(struct hmm_unlocked *u)
{
	long left;

	if (WARN_ONCE(hmm_unlocked_waits_for_itself(u),
		      "hmm: fault during an invalidation by the same task\n"))
		return -EINVAL;
	hmm_unlocked_unlock(u);
	/* Without a user of the mm, the range may lose its registration */
	if (!u->has_ref)
		kref_get(&u->hmm->kref);
	u->has_ref = true;
	hmm_unlocked_put_mm(u);
	left = wait_event_killable_timeout(u->hmm->wq,
					   !hmm_unlocked_must_wait(u),
					   hmm_unlocked_time_left(u));
	if (left < 0)
		return -EINTR;
	if (!left)
		return -EBUSY;
	return hmm_unlocked_get_mm(u) ?: -EAGAIN;
}

/*
 * Between two rounds. An address that faults do not bring, although nothing
 * overlaps it, gets no more than one round a jiffy.
 */
static int hmm_unlocked_pause(struct hmm_unlocked *u)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	if (u->tries > HMM_FAULT_TRIES) {
		hmm_unlocked_unlock(u);
		schedule_timeout_killable(1);
	}
	return 0;
}

/* ------------------------------------------------------------------ rounds */

/* Faults the missing pages. Returns -EAGAIN for another round. */
static int hmm_unlocked_fault(struct hmm_unlocked *u, struct hmm_walk *w)
{
	unsigned int flags = FAULT_FLAG_REMOTE | FAULT_FLAG_ALLOW_RETRY |
			     FAULT_FLAG_KILLABLE;
	int ret;

	hmm_cursor_retreat(u->hmm, u->range, w->resume);
	if (w->miss > u->furthest) {
		u->furthest = w->miss;
		u->tries = 0;
	}
	u->tries++;
	if (u->vma) {
		/* No progress since the fault that dropped the lock */
		if (w->miss == u->dropped) {
			u->need = HMM_MMAP_TRIED;
			hmm_unlocked_unlock(u);
			return -EAGAIN;
		}
		flags |= FAULT_FLAG_VMA_LOCK;
	}
	/* The first faults, and a walk after any, are made whatever the time */
	if (u->faulted && hmm_unlocked_time_is_up(u))
		return -EBUSY;
	u->faulted = true;
	ret = hmm_fault_missing(w, flags);
	if (ret == -EAGAIN)
		hmm_unlocked_dropped(u, w);
	else
		w->most = w->most < PTRS_PER_PTE / 2 ? 2 * w->most : 0;
	return ret ?: -EAGAIN;
}

/* Returns 0 when all entries hold, -EAGAIN for another round. */
static int hmm_unlocked_round(struct hmm_unlocked *u, struct hmm_walk *w)
{
	unsigned long from;
	int ret;

	ret = hmm_unlocked_lock(u, w);
	if (ret)
		return ret;
	from = w->start;
	if (!u->advanced)
		ret = hmm_unlocked_advance(u, &from);
	u->advanced = false;
	if (ret == -EBUSY)
		return hmm_unlocked_wait(u);
	if (ret)
		return ret;
	if (u->vma)
		ret = hmm_walk_vma(w, u->vma, from);
	else
		ret = hmm_walk(w, u->mm, from);
	if (!ret)
		ret = hmm_cursor_settle(u->hmm, u->range);
	if (ret == HMM_WALK_MISS)
		return hmm_unlocked_fault(u, w);
	/* A collision */
	if (ret == -EBUSY && !hmm_unlocked_time_is_up(u))
		return -EAGAIN;
	return ret;
}

int hmm_unlocked_rounds(struct hmm_unlocked *u, struct hmm_walk *w)
{
	int ret;

	do {
		ret = hmm_unlocked_round(u, w);
		if (ret == -EAGAIN)
			ret = hmm_unlocked_pause(u) ?: -EAGAIN;
	} while (ret == -EAGAIN);
	hmm_unlocked_unlock(u);
	return ret;
}

static int hmm_unlocked_range(struct hmm_unlocked *u, unsigned int flags,
			      void *owner, int error)
{
	/* Set by hmm_walk_init() and hmm_stop() */
	struct hmm_walk w __uninitialized;

	hmm_walk_init(&w, u->range, flags, NULL);
	if (error) {
		hmm_mark_failed_entry(&w, error);
		return error;
	}
	/* Without a flag, private memory cannot be distinguished from other */
	w.owner = w.enc.private ? owner : NULL;
	if (u->vma)
		u->need = hmm_vma_needs_mmap(u->vma, &w);
	if (u->need)
		hmm_unlocked_unlock(u);
	error = hmm_fault_requests(u->hmm, u->range, &w, flags, u);
	/* Without a round it may still be locked */
	hmm_unlocked_unlock(u);
	return error;
}

/*
 * Fast path for one page that is present, as hmm_fault_one_fast(), under the
 * lock of its VMA. In other cases everything begins again, at the first page;
 * the lock may still be held then.
 *
 * Return: 0, or HMM_WALK_MISS.
 */
static int hmm_unlocked_one_fast(struct hmm_unlocked *u, unsigned int flags)
{
	struct hmm_range *range = u->range;
	const u64 saved = *range->pfns;
	struct vm_area_struct *vma;
	pte_t pte;

	vma = lock_vma_under_rcu(u->mm, range->start);
	if (!vma)
		return HMM_WALK_MISS;
	pte = hmm_walk_one_vma(vma, range->start);
	if (hmm_pte_plain(pte) && hmm_fill_one(range, pte, flags)) {
		vma_end_read(vma);
		if (!hmm_cursor_settle(u->hmm, range))
			return 0;
		*range->pfns = saved;
	} else {
		u->vma = vma;
	}
	hmm_cursor_retreat(u->hmm, range, range->start);
	u->advanced = false;
	return HMM_WALK_MISS;
}

static int hmm_unlocked_fill(struct hmm_unlocked *u, unsigned int flags)
{
	struct hmm_range *range = u->range;
	void *owner = NULL;
	int ret;

	ret = hmm_unlocked_start(u, &owner);
	if (!ret) {
		might_lock_read(&u->mm->mmap_lock);
		if (range->end - range->start == PAGE_SIZE && u->advanced &&
		    !fatal_signal_pending(current) &&
		    !hmm_unlocked_one_fast(u, flags))
			return 0;
	}
	return hmm_unlocked_range(u, flags, owner, ret);
}

/**
 * hmm_range_fault_unlocked() - hmm_range_fault() that locks and waits by itself
 * @range: a registered range
 * @flags: HMM_FAULT_SNAPSHOT to request nothing, or 0
 * @timeout: in ms, for how long at most; ULONG_MAX for no limit
 *
 * The call for new drivers. It does what hmm_range_fault() does, and what its
 * callers do around that: waits until no invalidation that overlaps @range is
 * in flight, locks, faults, and repeats that when an invalidation hits @range
 * meanwhile. Pages that are present, or can be faulted under the lock of their
 * VMA, do not need the mmap lock. Faults may drop the lock that they are made
 * under, so memory that userfaultfd serves can be faulted.
 *
 * An invalidation costs this call as much as reading again from the first entry
 * that it hit, and no more. The fault ends when invalidations pause for as long
 * as reading the rest takes.
 *
 * @timeout bounds the whole call, but for a page fault or a wait for the mmap
 * lock under way: the call ends after it. What was faulted stays, so another
 * call does not begin from nothing.
 *
 * Context: the caller holds neither the mmap lock nor the lock of a VMA.
 * Sleeps. Never in a callback nor under a lock that one takes. Allocates if the
 * range is longer than 16 pages and &hmm_range.pfn_flags_mask is not 0.
 *
 * Return: the number of entries, always all, the range valid at that moment; or
 * -EBUSY after @timeout; or any other error of hmm_range_fault(), but -EAGAIN.
 * The entries after an error are as there.
 */
long hmm_range_fault_unlocked(struct hmm_range *range, unsigned int flags,
			      unsigned long timeout)
{
	struct hmm_unlocked u = {
		.range = range,
		.limited = timeout != ULONG_MAX,
		.dropped = ULONG_MAX,
	};
	int ret;

	if (!range)
		return -EINVAL;
	might_sleep();
	hmm_might_wait_invalidate();
	if (!range->hmm)
		return -EINVAL;
	if (u.limited)
		u.deadline = jiffies +
			msecs_to_jiffies(min_t(unsigned long, timeout,
					       UINT_MAX));
	/* Before any error: a call that fails leaves the range invalid */
	WRITE_ONCE(range->valid, false);
	ret = hmm_fault_check(range, flags, HMM_FAULT_SNAPSHOT);
	if (!ret)
		ret = hmm_unlocked_fill(&u, flags);
	trace_hmm_range_fault(u.mm, range, flags, ret);
	hmm_unlocked_put_mm(&u);
	if (u.has_ref)
		hmm_put(u.hmm);
	return ret ?: (range->end - range->start) >> PAGE_SHIFT;
}
EXPORT_SYMBOL(hmm_range_fault_unlocked);
