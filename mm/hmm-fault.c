// SPDX-License-Identifier: GPL-2.0
/*
 * HMM's faults: requests, page faults, retries, and the exported calls.
 *
 * A fault alternates between the walk (mm/hmm-walk.c), which stops at the first
 * missing page, and handle_mm_fault(). It moves the cursor (mm/hmm.c) before
 * each of the two.
 */
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <trace/events/hmm.h>

#include "hmm-internal.h"
#include "hmm-walk.h"

/* Entries that are copied between two calls of cond_resched() */
#define HMM_COPY_CHUNK		SZ_64K

/* -EAGAIN exactly when the mmap lock, or the VMA's, has been dropped. */
static int hmm_fault_page(struct hmm_walk *w, unsigned long addr,
			  unsigned int flags)
{
	vm_fault_t fault;

	if (hmm_req(w, addr) & HMM_REQ_WRITE)
		flags |= FAULT_FLAG_WRITE;
	if (addr == w->tried)
		flags |= FAULT_FLAG_TRIED;
	fault = handle_mm_fault(w->vma, addr, flags, NULL);
	if (likely(!(fault & (VM_FAULT_ERROR | VM_FAULT_RETRY |
			      VM_FAULT_COMPLETED))))
		return 0;
	if (flags & FAULT_FLAG_ALLOW_RETRY &&
	    fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) {
		w->failed = fault & VM_FAULT_RETRY ? addr : ULONG_MAX;
		return -EAGAIN;
	}
	if (!(fault & VM_FAULT_ERROR))
		return 0;
	w->failed = addr;
	return fault & VM_FAULT_OOM ? -ENOMEM : -EFAULT;
}

static int hmm_fault_run(struct hmm_walk *w, unsigned long addr,
			 unsigned long end, unsigned int fault_flags)
{
	int ret = 0;

	for (; addr < end && !ret; addr += PAGE_SIZE) {
		if (w->killable && fatal_signal_pending(current))
			return -EINTR;
		ret = hmm_fault_page(w, addr, fault_flags);
	}
	return ret;
}

/*
 * Faults the pages that the walk has collected, each with its own need. Returns
 * -EAGAIN if a fault dropped the lock: the one at w->failed, which has to be
 * made again, or another one, which has brought its page, if that is ULONG_MAX.
 */
int hmm_fault_missing(struct hmm_walk *w, unsigned int fault_flags)
{
	unsigned int first, last;
	int ret;

	for_each_set_bitrange(first, last, w->missing, w->nr_missing) {
		ret = hmm_fault_run(w, w->miss +
				    ((unsigned long)first << PAGE_SHIFT),
				    w->miss +
				    ((unsigned long)last << PAGE_SHIFT),
				    fault_flags);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

static unsigned int hmm_fault_flags(unsigned int flags)
{
	if (flags & HMM_FAULT_ALLOW_RETRY)
		return FAULT_FLAG_REMOTE | FAULT_FLAG_ALLOW_RETRY |
		       FAULT_FLAG_KILLABLE;
	return FAULT_FLAG_REMOTE;
}

static int hmm_fault_start(struct hmm *hmm, struct hmm_range *range,
			   void **owner)
{
	int ret;

	spin_lock_irq(&hmm->ranges_lock);
	ret = hmm_cursor_start(hmm, range, owner);
	if (ret == -EBUSY)
		ret = hmm_busy_error(hmm);
	spin_unlock_irq(&hmm->ranges_lock);
	return ret;
}

/* Continues after faults. The entries before @from must still hold. */
static int hmm_fault_continue(struct hmm *hmm, struct hmm_range *range,
			      unsigned long from)
{
	unsigned long cursor;
	int ret;

	ret = hmm_cursor_advance(hmm, range, &cursor);
	if (!ret && cursor < from)
		ret = -EBUSY;
	return ret;
}

/*
 * Walks, faults the missing pages, and continues from there. Each round faults
 * all missing pages of one page table, so the cost is linear in the size of the
 * range.
 */
static int hmm_walk_and_fault(struct hmm *hmm, struct hmm_range *range,
			      struct hmm_walk *w, unsigned int flags)
{
	struct mm_struct *mm = hmm->mmu_notifier.mm;
	unsigned long furthest = w->start;
	unsigned int tries = 0;
	int ret;

	if (flags & HMM_FAULT_ALLOW_RETRY)
		w->tried = range->tried;
	ret = hmm_fault_start(hmm, range, &w->owner);
	if (ret)
		return ret;
	/* Without a flag, private memory cannot be distinguished from other */
	if (!w->enc.private)
		w->owner = NULL;
	ret = hmm_walk(w, mm, w->start);
	while (ret == HMM_WALK_MISS) {
		if (w->miss > furthest) {
			furthest = w->miss;
			tries = 0;
		}
		if (tries++ == HMM_FAULT_TRIES)
			return -EBUSY;
		hmm_cursor_retreat(hmm, range, w->resume);
		ret = hmm_fault_missing(w, hmm_fault_flags(flags));
		if (ret == -EAGAIN)
			range->tried = w->failed;
		if (ret)
			return ret;
		ret = hmm_fault_continue(hmm, range, w->resume);
		if (ret)
			return ret;
		ret = hmm_walk(w, mm, w->resume);
	}
	return ret ?: hmm_cursor_settle(hmm, range);
}

void hmm_walk_init(struct hmm_walk *w, struct hmm_range *range,
		   unsigned int flags, u8 *orders)
{
	w->enc = hmm_range_encoding(range);
	w->start = range->start;
	w->end = range->end;
	w->out = range->pfns;
	w->orders = orders;
	w->reqs = NULL;
	w->req_mask = range->pfn_flags_mask;
	w->req_default = range->default_flags;
	w->req = hmm_default_req(range, flags);
	w->poison = w->enc.error;
	w->strict = true;
	w->killable = true;
	w->cursor = &range->cursor;
	w->failed = range->start;
	w->tried = ULONG_MAX;
	w->most = 0;
}

/* Copies @n entries and returns the union of their bits. */
u64 hmm_copy_entries(u64 *to, const u64 *from, unsigned long n)
{
	u64 any = 0;

	while (n) {
		unsigned long chunk = min_t(unsigned long, n, HMM_COPY_CHUNK);
		unsigned long i;

		for (i = 0; i < chunk; i++) {
			to[i] = from[i];
			any |= from[i];
		}
		to += chunk;
		from += chunk;
		n -= chunk;
		cond_resched();
	}
	return any;
}

/* Fills @n entries with one value. */
static void hmm_set_entries(u64 *to, u64 value, unsigned long n)
{
	while (n) {
		unsigned long chunk = min_t(unsigned long, n, HMM_COPY_CHUNK);

		memset64(to, value, chunk);
		to += chunk;
		n -= chunk;
		cond_resched();
	}
}

/* Leaves in pfns what hmm_range_fault() promises after these errors. */
void hmm_mark_failed_entry(struct hmm_walk *w, int error)
{
	if (error != -EFAULT && error != -EPERM)
		return;
	hmm_set_entries(w->out, w->enc.none, hmm_index(w, w->end));
	w->out[hmm_index(w, w->failed)] = w->enc.error;
}

static int hmm_fault_rounds(struct hmm *hmm, struct hmm_range *range,
			    struct hmm_walk *w, unsigned int flags,
			    struct hmm_unlocked *unlocked)
{
	if (unlocked)
		return hmm_unlocked_rounds(unlocked, w);
	return hmm_walk_and_fault(hmm, range, w, flags);
}

/*
 * Requests come in the array that results go to. They are saved, so that an
 * entry that is read twice has the same request each time, and so that they
 * can be restored after an error.
 *
 * noinline: keeps @few off the stack of faults without requests in pfns.
 */
static noinline int hmm_fault_each(struct hmm *hmm, struct hmm_range *range,
				   struct hmm_walk *w, unsigned int flags,
				   struct hmm_unlocked *unlocked)
{
	unsigned long n = hmm_index(w, w->end);
	u64 few[HMM_FEW_PAGES];
	u64 any, *saved = few;
	int ret;

	if (n > HMM_FEW_PAGES)
		saved = kvmalloc_array(n, sizeof(*saved),
				       GFP_KERNEL | __GFP_NOWARN);
	if (!saved)
		return -ENOMEM;
	any = hmm_copy_entries(saved, w->out, n);
	if (!(flags & HMM_FAULT_SNAPSHOT)) {
		w->reqs = saved;
		w->req = hmm_decode_req(&w->enc,
					(any & w->req_mask) | w->req_default);
	}
	ret = hmm_fault_rounds(hmm, range, w, flags, unlocked);
	if (ret)
		hmm_copy_entries(w->out, saved, n);
	if (saved != few)
		kvfree(saved);
	return ret;
}

/*
 * Satisfies the requests of @w, in rounds of walks and faults. The caller holds
 * mm_users and, without @unlocked, the mmap lock.
 */
int hmm_fault_requests(struct hmm *hmm, struct hmm_range *range,
		       struct hmm_walk *w, unsigned int flags,
		       struct hmm_unlocked *unlocked)
{
	int ret;

	if (fatal_signal_pending(current))
		ret = -EINTR;
	else if (w->req_mask)
		ret = hmm_fault_each(hmm, range, w, flags, unlocked);
	else
		ret = hmm_fault_rounds(hmm, range, w, flags, unlocked);
	if (ret)
		hmm_mark_failed_entry(w, ret);
	return ret;
}

static int hmm_fault_range(struct hmm *hmm, struct hmm_range *range,
			   unsigned int flags, u8 *orders)
{
	struct mm_struct *mm = hmm->mmu_notifier.mm;
	/* Set by hmm_walk_init(), hmm_cursor_start() and hmm_stop() */
	struct hmm_walk w __uninitialized;
	int ret;

	hmm_walk_init(&w, range, flags, orders);
	if (!mmget_not_zero(mm)) {
		hmm_mark_failed_entry(&w, -EFAULT);
		return -EFAULT;
	}
	ret = hmm_fault_requests(hmm, range, &w, flags, NULL);
	/* Not mmput(): exit_mmap() takes the mmap lock, which is held */
	mmput_async(mm);
	return ret;
}

/*
 * Fast path for one page that is present: needs neither a page walk nor struct
 * hmm_walk. Does what the walk does with a plain entry that satisfies the
 * request; other cases take the walk. The cursor is used in the same way. The
 * address space may lose its last user meanwhile: the mmap lock keeps mappings
 * and the tables above PTEs, pte_offset_map() keeps a table of PTEs, and
 * hmm_release() makes the range invalid like any other.
 *
 * Return: HMM_WALK_MISS if a walk is needed; else as hmm_fault_range().
 */
static int hmm_fault_one_fast(struct hmm *hmm, struct hmm_range *range,
			      unsigned int flags)
{
	struct mm_struct *mm = hmm->mmu_notifier.mm;
	const u64 saved = *range->pfns;
	struct vm_area_struct *vma;
	void *owner;
	pte_t pte;
	int ret;

	if (!atomic_read(&mm->mm_users) || fatal_signal_pending(current))
		return HMM_WALK_MISS;
	ret = hmm_fault_start(hmm, range, &owner);
	if (ret)
		return ret;
	vma = vma_lookup(mm, range->start);
	if (!vma)
		return HMM_WALK_MISS;
	pte = hmm_walk_one(mm, vma, range->start);
	if (!hmm_pte_plain(pte) || !hmm_fill_one(range, pte, flags))
		return HMM_WALK_MISS;
	ret = hmm_cursor_settle(hmm, range);
	if (!ret)
		return 0;
	*range->pfns = saved;
	return atomic_read(&mm->mm_users) ? ret : HMM_WALK_MISS;
}

/**
 * hmm_range_fault_orders() - hmm_range_fault() that also returns orders
 * @range: a registered range
 * @flags: HMM_FAULT_*
 * @orders: array of one byte a page, or NULL. Filled with the order of the CPU
 *	mapping that each entry lies in (0, or that of a huge page), from which
 *	a driver may choose large pages of its own. 0 for an entry without pfn.
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
	/* Before any error: a call that fails leaves the range invalid */
	WRITE_ONCE(range->valid, false);
	ret = hmm_fault_check(range, flags,
			      HMM_FAULT_ALLOW_RETRY | HMM_FAULT_SNAPSHOT);
	if (ret)
		return ret;

	mm = hmm->mmu_notifier.mm;
	if (WARN_ONCE(!rwsem_is_locked(&mm->mmap_lock),
		      "hmm: fault without the mmap lock\n"))
		return -EINVAL;
	lockdep_assert_held(&mm->mmap_lock);
	if (flags & HMM_FAULT_ALLOW_RETRY)
		lockdep_assert_held_read(&mm->mmap_lock);
	might_sleep();
	hmm_might_wait_invalidate();

	ret = HMM_WALK_MISS;
	if (range->end - range->start == PAGE_SIZE && !orders)
		ret = hmm_fault_one_fast(hmm, range, flags);
	if (ret == HMM_WALK_MISS)
		ret = hmm_fault_range(hmm, range, flags, orders);
	trace_hmm_range_fault(mm, range, flags, ret);
	return ret ?: (range->end - range->start) >> PAGE_SHIFT;
}
EXPORT_SYMBOL(hmm_range_fault_orders);

/**
 * hmm_range_fault() - read, and where requested fault in, the pages of a range
 * @range: a registered range
 * @flags: HMM_FAULT_SNAPSHOT to request nothing, HMM_FAULT_ALLOW_RETRY to let
 *	faults drop the mmap lock
 *
 * Writes all of &hmm_range.pfns. An entry without a request gets the state of
 * the CPU page table; it is never faulted and never makes the call fail. An
 * entry with a request gets a page that can be read, or written if the request
 * has WRITE, each faulted with its own need. Private memory of the mirror's
 * owner is left in place unless the request has PRIVATE; its entry has WRITE
 * iff the CPU may write there, requested or not. Documentation/mm/hmm.rst has
 * the table.
 *
 * The entries hold until an invalidation: see hmm_range_valid(). At most one
 * fault at a time may run on a range. A fault does not pin pages, and does not
 * mark them dirty: a driver whose device may have written to a page calls
 * folio_mark_dirty() before its sync callback for that page returns, or, while
 * the range is valid, under the lock that the callback takes. An entry with
 * WRITE may be of a clean page, and reclaim drops what nobody marked dirty.
 *
 * Context: the mmap lock is held, for read with HMM_FAULT_ALLOW_RETRY. Sleeps.
 * Never in a callback nor under a lock that one takes. Allocates if the range
 * is longer than 16 pages and &hmm_range.pfn_flags_mask is not 0.
 *
 * Return: the number of entries, always all; or
 *
 * * -EINVAL: unknown flags, @range is not registered, or its start or end was
 *   changed since; with a warning, nobody holds the mmap lock, or the caller is
 *   in an invalidation that overlaps @range
 * * -ENOMEM: no memory
 * * -EPERM: WRITE requested of a mapping without write permission
 * * -EFAULT: requested addresses where nothing is mapped, or without read
 *   permission, or poisoned, or special; or the address space is gone
 * * -EBUSY: an invalidation that overlaps the range was in flight or came
 *   during the call, or an address is still missing after 16 faults.
 *   hmm_range_wait_until_valid() and call again
 * * -EINTR: the caller has a fatal signal pending
 * * -EAGAIN: a fault dropped the mmap lock, with HMM_FAULT_ALLOW_RETRY only.
 *   After any other return the mmap lock is still held
 *
 * After -EPERM and -EFAULT the entry that failed is ERROR and all others are
 * NONE. After any other error, where &hmm_range.pfn_flags_mask is not 0, the
 * requests in &hmm_range.pfns are intact and the call can be repeated.
 */
long hmm_range_fault(struct hmm_range *range, unsigned int flags)
{
	return hmm_range_fault_orders(range, flags, NULL);
}
EXPORT_SYMBOL(hmm_range_fault);
