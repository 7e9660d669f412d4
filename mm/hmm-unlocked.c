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
#include <linux/seqlock.h>
#include <trace/events/hmm.h>

#include "hmm-internal.h"
#include "hmm-walk.h"

/**
 * struct hmm_unlocked - a call of hmm_range_fault_unlocked()
 * @range: to be filled
 * @hmm: of @range, which keeps it while it is registered
 * @mm: address space of @range
 * @vma: mapping whose lock is held, or NULL
 * @deadline: in jiffies
 * @dropped: address whose fault dropped the VMA's lock, if it was the last one
 * @furthest: highest address that was missing
 * @tries: rounds of faults since @furthest was found missing
 * @need: why the next lock has to be the mmap lock
 * @has_ref: the call keeps @hmm itself, as it has slept
 * @is_user: the call is a user of @mm, which else may be gone
 * @advanced: the cursor is at the end, and nothing has been read
 * @mmap_locked: the mmap lock is held
 * @limited: the call ends at @deadline
 * @faulted: there was a round of faults
 */
struct hmm_unlocked {
	struct hmm_range *range;
	struct hmm *hmm;
	struct mm_struct *mm;
	struct vm_area_struct *vma;
	unsigned long deadline;
	unsigned long dropped;
	unsigned long furthest;
	unsigned int tries;
	enum hmm_mmap_need need;
	bool has_ref;
	bool is_user;
	bool advanced;
	bool mmap_locked;
	bool limited;
	bool faulted;
};

/* ----------------------------------------------------------- address space */

/*
 * Becomes a user of the mm. Only a range that is registered and has its mirror
 * keeps the mm's memory; an mm without users is about to go.
 */
static int __hmm_unlocked_get_mm(struct hmm_unlocked *u)
{
	lockdep_assert_held(&u->hmm->ranges_lock);

	if (u->range->hmm != u->hmm || !u->range->mirror)
		return -EINVAL;
	u->mm = u->hmm->mmu_notifier.mm;
	if (u->hmm->dead || !mmget_not_zero(u->mm))
		return -EFAULT;
	u->is_user = true;
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
	if (u->is_user)
		/* Not mmput(): the caller may be no place to free all memory */
		mmput_async(u->mm);
	u->is_user = false;
}

/* Returns true if hmm_cursor_advance() would return -EBUSY. */
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

/* ------------------------------------------------------------------- locks */

/*
 * A private mapping without anon_vma has no page that can be written, and a
 * fault would have to make the anon_vma. Reads need none, but for a huge zero
 * page, which HMM_MMAP_TRIED is for.
 */
static bool hmm_vma_lacks_anon_vma(const struct vm_area_struct *vma,
				   unsigned int req)
{
	return req & HMM_REQ_WRITE && !(vma->vm_flags & VM_SHARED) &&
	       !vma->anon_vma;
}

/* Returns why the lock of @vma is not enough for @w. */
static enum hmm_mmap_need hmm_vma_needs_mmap(struct vm_area_struct *vma,
					     const struct hmm_walk *w)
{
	if (vma->vm_end < w->end)
		return HMM_MMAP_SEVERAL_VMAS;
	if (is_vm_hugetlb_page(vma) || vma_is_dax(vma))
		return HMM_MMAP_HUGE_MAPPING;
	if (hmm_vma_lacks_anon_vma(vma, w->req))
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

/* Returns -EBUSY if the lock is not free, and not to be waited for. */
int hmm_lock_mmap(struct mm_struct *mm, const struct hmm_range *range,
		  enum hmm_mmap_need need, bool wait)
{
	KUNIT_STATIC_STUB_REDIRECT(hmm_lock_mmap, mm, range, need, wait);

	trace_hmm_mmap_lock(mm, range, need);
	if (!wait)
		return mmap_read_trylock(mm) ? 0 : -EBUSY;
	return mmap_read_lock_killable(mm);
}

/*
 * A wait for the mmap lock cannot be bounded: its queue has no time-out, and
 * attempts without the queue would starve behind writers. So none begins after
 * the deadline.
 */
static int hmm_unlocked_lock(struct hmm_unlocked *u, const struct hmm_walk *w)
{
	int ret;

	if (u->vma || u->mmap_locked)
		return 0;
	if (!u->need)
		u->need = hmm_lock_vma(u, w);
	if (!u->need)
		return 0;
	ret = hmm_lock_mmap(u->mm, u->range, u->need,
			    !hmm_unlocked_time_is_up(u));
	if (ret)
		return ret;
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

/* ------------------------------------------------------------------- waits */

/*
 * Sleeps until no invalidation in flight overlaps the entries to be read.
 * Returns -EAGAIN for another round.
 */
static int hmm_unlocked_wait(struct hmm_unlocked *u)
{
	const u64 begin = hmm_wait_begins();
	long left;

	hmm_unlocked_unlock(u);
	/* Without a user of the mm, the range may lose its registration */
	if (!u->has_ref)
		kref_get(&u->hmm->kref);
	u->has_ref = true;
	hmm_unlocked_put_mm(u);
	left = wait_event_killable_timeout(u->hmm->wq,
					   !hmm_unlocked_must_wait(u),
					   hmm_unlocked_time_left(u));
	hmm_wait_ended(u->range, begin, left > 0);
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
		ret = hmm_cursor_advance(u->hmm, u->range, &from);
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

/* @error: of hmm_unlocked_start() */
static int hmm_unlocked_range(struct hmm_unlocked *u, unsigned int flags,
			      void *owner, int error)
{
	/* Set by hmm_walk_init() and hmm_stop() */
	struct hmm_walk w __uninitialized;

	hmm_walk_init(&w, u->range, flags, NULL);
	if (error != HMM_WALK_MISS) {
		hmm_mark_failed_entry(&w, error);
		return error;
	}
	/* Without a flag, private memory cannot be distinguished from other */
	w.owner = w.enc.private ? owner : NULL;
	return hmm_fault_requests(u->hmm, u->range, &w, flags, u);
}

/* --------------------------------------------------------------- few pages */

#ifdef CONFIG_PER_VMA_LOCK
/*
 * Begins to read mappings without a lock. Returns false while the mmap lock is
 * held for writing.
 */
static bool hmm_vmas_begin(struct mm_struct *mm, unsigned int *seq)
{
	*seq = raw_read_seqcount(&mm->mm_lock_seq);
	return !(*seq & 1);
}

/* Returns true if mappings may have changed since. */
static bool hmm_vmas_changed(struct mm_struct *mm, unsigned int seq)
{
	return read_seqcount_retry(&mm->mm_lock_seq, seq);
}
#else
static bool hmm_vmas_begin(struct mm_struct *mm, unsigned int *seq)
{
	return false;
}

static bool hmm_vmas_changed(struct mm_struct *mm, unsigned int seq)
{
	return true;
}
#endif

static bool hmm_read_one(const struct hmm_range *range, struct mm_struct *mm,
			 struct vm_area_struct *vma, unsigned int seq,
			 unsigned int flags)
{
	pte_t pte = hmm_walk_one(mm, vma, range->start);

	return hmm_pte_plain(pte) && !hmm_vmas_changed(mm, seq) &&
	       hmm_fill_one(range, pte, flags);
}

/* Not for requests in pfns, which the entries would replace. */
static noinline bool hmm_read_few(struct hmm_range *range, struct mm_struct *mm,
				  struct vm_area_struct *vma, unsigned int seq,
				  unsigned int flags)
{
	/* Set by hmm_walk_init(), as far as it is needed */
	struct hmm_walk w __uninitialized;

	if (range->pfn_flags_mask)
		return false;
	hmm_walk_init(&w, range, flags, NULL);
	return hmm_walk_few(&w, mm, vma) && !hmm_vmas_changed(mm, seq);
}

/*
 * Fast path for a few pages that are all present. Nothing is in flight, and no
 * invalidation starts while ranges_lock is held; one of the mapping comes
 * before its page tables are freed. So neither the entries nor their tables
 * change, without a lock of the mapping and without a user of the mm.
 *
 * The caller is in an RCU read-side critical section, which keeps the memory of
 * a VMA, but not what it points to.
 */
static bool hmm_unlocked_few(struct hmm_unlocked *u, unsigned int flags)
{
	struct hmm_range *range = u->range;
	unsigned long size = range->end - range->start;
	struct vm_area_struct *vma;
	unsigned int seq;

	lockdep_assert_held(&u->hmm->ranges_lock);

	if (size > HMM_FEW_PAGES * PAGE_SIZE || u->hmm->notifiers ||
	    !hmm_range_lives(u->hmm, range) || fatal_signal_pending(current))
		return false;
	u->mm = u->hmm->mmu_notifier.mm;
	if (!hmm_vmas_begin(u->mm, &seq))
		return false;
	vma = vma_lookup(u->mm, range->start);
	if (!vma)
		return false;
	if (hmm_vma_lacks_anon_vma(vma, hmm_default_req(range, flags))) {
		/* If that changes meanwhile, the mmap lock does no harm */
		u->need = HMM_MMAP_NO_ANON_VMA;
		return false;
	}
	if (size == PAGE_SIZE ? !hmm_read_one(range, u->mm, vma, seq, flags) :
				!hmm_read_few(range, u->mm, vma, seq, flags))
		return false;
	range->cursor = range->end;
	WRITE_ONCE(range->valid, true);
	return true;
}

/* ---------------------------------------------------------------- the call */

/*
 * Begins the fault: no entry has been read. Returns 0 if all entries have been
 * read already, HMM_WALK_MISS if not.
 */
static int __hmm_unlocked_start(struct hmm_unlocked *u, unsigned int flags,
				void **owner)
{
	int ret;

	if (hmm_unlocked_few(u, flags))
		/* For might_lock_read() only */
		return IS_ENABLED(CONFIG_PROVE_LOCKING) ?
		       __hmm_unlocked_get_mm(u) : 0;
	ret = __hmm_unlocked_get_mm(u);
	if (ret)
		return ret;
	if (u->hmm->notifiers && hmm_inflight_is_own(u->hmm))
		return -EDEADLK;
	u->advanced = !hmm_cursor_start(u->hmm, u->range, owner);
	return HMM_WALK_MISS;
}

static int hmm_unlocked_start(struct hmm_unlocked *u, unsigned int flags,
			      void **owner)
{
	int ret = -EINVAL;

	rcu_read_lock();
	u->hmm = READ_ONCE(u->range->hmm);
	if (u->hmm) {
		spin_lock_irq(&u->hmm->ranges_lock);
		ret = __hmm_unlocked_start(u, flags, owner);
		spin_unlock_irq(&u->hmm->ranges_lock);
	}
	rcu_read_unlock();
	return ret;
}

static int hmm_unlocked_fill(struct hmm_unlocked *u, unsigned int flags,
			     unsigned long timeout)
{
	unsigned int ms = min_t(unsigned long, timeout, UINT_MAX);
	void *owner = NULL;
	int ret;

	ret = hmm_unlocked_start(u, flags, &owner);
	if (u->is_user)
		might_lock_read(&u->mm->mmap_lock);
	if (!ret)
		return 0;
	if (WARN_ONCE(ret == -EDEADLK,
		      "hmm: fault during an invalidation by the same task\n"))
		return -EINVAL;
	u->limited = timeout != ULONG_MAX;
	if (u->limited)
		u->deadline = jiffies + msecs_to_jiffies(ms);
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
 * lock under way: the call ends after it. Neither of the two can be interrupted
 * by less than a fatal signal, and no wait for the mmap lock begins after
 * @timeout. What was faulted stays, so another call does not begin from nothing.
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
		.dropped = ULONG_MAX,
	};
	int ret;

	if (!range)
		return -EINVAL;
	might_sleep();
	hmm_might_wait_invalidate();
	if (!range->hmm)
		return -EINVAL;
	/* Before any error: a call that fails leaves the range invalid */
	WRITE_ONCE(range->valid, false);
	ret = hmm_fault_check(range, flags, HMM_FAULT_SNAPSHOT);
	if (!ret)
		ret = hmm_unlocked_fill(&u, flags, timeout);
	trace_hmm_range_fault(u.mm, range, flags, ret);
	hmm_unlocked_put_mm(&u);
	if (u.has_ref)
		hmm_put(u.hmm);
	return ret ?: (range->end - range->start) >> PAGE_SHIFT;
}
EXPORT_SYMBOL(hmm_range_fault_unlocked);
