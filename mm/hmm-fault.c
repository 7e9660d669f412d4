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

/* Rounds of faulting after which an address that is still unmet is given up */
#define HMM_FAULT_TRIES		16
/* Requests of ranges up to this many pages are kept on the stack */
#define HMM_ASKS_ON_STACK	16

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
