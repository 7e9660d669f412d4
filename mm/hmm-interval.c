// SPDX-License-Identifier: GPL-2.0
/*
 * The fault call of the interval API: a layer over HMM's walk and faults.
 *
 * An interval notifier has a sequence number. The caller reads it before the
 * call (mmu_interval_read_begin()) and compares it after it, under its own lock
 * (mmu_interval_read_retry()). So this layer has no cursor and no range that is
 * registered; it only avoids to begin a walk whose number has moved already.
 *
 * The copies that write faults make move the number as well. They do not end
 * the call at once: it goes on to its last page and faults whatever is missing,
 * and only then returns -EBUSY. The caller's next call finds all pages present
 * and makes no copy.
 *
 * Locks: the mmap lock is held around walks and faults. No lock is taken here.
 */
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/hmm-interval.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>

#include "hmm-internal.h"
#include "hmm-walk.h"

/* Faults of a page after the number has moved: it migrates, then it is copied */
#define HMM_INTERVAL_TRIES	4
/* Bits of an entry that are the caller's, and stay */
#define HMM_INTERVAL_STICKY	0

/* A request is made of the bits of its answer, see hmm_decode_req() */
static_assert(HMM_INTERVAL_PFN_REQ_FAULT == HMM_INTERVAL_PFN_VALID);
static_assert(HMM_INTERVAL_PFN_REQ_WRITE == HMM_INTERVAL_PFN_WRITE);

/*
 * An entry without memory is 0, one of special memory is an error. No bit marks
 * private memory, so no request can ask its owner to migrate it.
 */
static const struct hmm_encoding hmm_interval_encoding = {
	.valid		= HMM_INTERVAL_PFN_VALID,
	.write		= HMM_INTERVAL_PFN_WRITE,
	.error		= HMM_INTERVAL_PFN_ERROR,
	.special	= HMM_INTERVAL_PFN_ERROR,
	.order_unit	= 1UL << HMM_INTERVAL_PFN_ORDER_SHIFT,
	.sticky		= HMM_INTERVAL_STICKY,
};

static bool hmm_interval_moved(const struct hmm_interval_range *range)
{
	return mmu_interval_check_retry(range->notifier, range->notifier_seq);
}

/*
 * Walks, faults the missing pages, and continues from there. While the number
 * holds, a page may be faulted any number of times, as a migration may take
 * long. After it has moved that ends soon, as the caller must call again anyway.
 *
 * Return: 0; -EBUSY if the number moved before a walk; -EAGAIN if a fault
 * dropped the mmap lock; else the error of the walk or of a fault.
 */
static int hmm_interval_walk(const struct hmm_interval_range *range,
			     struct hmm_walk *w, unsigned int fault_flags)
{
	struct mm_struct *mm = range->notifier->mm;
	unsigned long furthest = w->start;
	unsigned int tries = 0;
	bool moved = false;
	int ret;

	if (hmm_interval_moved(range))
		return -EBUSY;
	ret = hmm_walk(w, mm, w->start);
	while (ret == HMM_WALK_MISS) {
		if (w->miss > furthest) {
			furthest = w->miss;
			tries = 0;
		}
		if (moved && tries++ == HMM_INTERVAL_TRIES)
			return -EBUSY;
		ret = hmm_fault_missing(w, fault_flags);
		if (ret)
			return ret;
		moved = moved || hmm_interval_moved(range);
		ret = hmm_walk(w, mm, w->resume);
	}
	return ret ?: moved ? -EBUSY : 0;
}

static void hmm_interval_walk_init(struct hmm_walk *w,
				   const struct hmm_interval_range *range,
				   u64 *entries, unsigned int fault_flags)
{
	/* No entry is guarded, so none is ever hit */
	static const unsigned long all = ULONG_MAX;

	w->enc = hmm_interval_encoding;
	w->start = range->start;
	w->end = range->end;
	w->out = entries;
	w->orders = NULL;
	w->reqs = NULL;
	w->req_mask = range->pfn_flags_mask;
	w->req_default = range->default_flags;
	w->req = hmm_decode_req(&w->enc, range->default_flags);
	w->owner = range->dev_private_owner;
	w->poison = 0;
	w->strict = false;
	w->killable = fault_flags & FAULT_FLAG_KILLABLE;
	w->cursor = &all;
	w->most = 0;
	w->tried = ULONG_MAX;
}

/* Returns true if entries can have requests of their own. */
static bool hmm_interval_each(const struct hmm_walk *w)
{
	return w->req_mask & HMM_INTERVAL_PFN_REQ_FAULT ||
	       (w->req && w->req_mask & HMM_INTERVAL_PFN_REQ_WRITE);
}

/*
 * Saves the requests, as an entry that is read twice has the same one each
 * time. After an error the entries from the failed address on are input again.
 */
static int hmm_interval_fault_each(const struct hmm_interval_range *range,
				   struct hmm_walk *w, unsigned int fault_flags)
{
	unsigned long n = hmm_index(w, w->end);
	u64 any, *saved;
	int ret;

	saved = kvmalloc_array(n, sizeof(*saved), GFP_KERNEL | __GFP_NOWARN);
	if (!saved)
		return -ENOMEM;
	any = hmm_copy_entries(saved, w->out, n);
	w->reqs = saved;
	w->req = hmm_decode_req(&w->enc, (any & w->req_mask) | w->req_default);
	ret = hmm_interval_walk(range, w, fault_flags);
	if (ret == -EFAULT || ret == -EPERM || ret == -ENOMEM) {
		unsigned long done = hmm_index(w, w->failed);

		hmm_copy_entries(w->out + done, saved + done, n - done);
	}
	kvfree(saved);
	return ret;
}

static int hmm_interval_fault(const struct hmm_interval_range *range,
			      u64 *entries, unsigned int fault_flags)
{
	/* Set by hmm_interval_walk_init() and hmm_stop() */
	struct hmm_walk w __uninitialized;

	hmm_interval_walk_init(&w, range, entries, fault_flags);
	if (hmm_interval_each(&w))
		return hmm_interval_fault_each(range, &w, fault_flags);
	return hmm_interval_walk(range, &w, fault_flags);
}

#ifdef CONFIG_64BIT
static int hmm_interval_fault_range(const struct hmm_interval_range *range,
				    unsigned int fault_flags)
{
	static_assert(sizeof(*range->hmm_pfns) == sizeof(u64));
	return hmm_interval_fault(range, (u64 *)range->hmm_pfns, fault_flags);
}
#else
/* The walk writes entries of 64 bits, so it gets a copy. */
static int hmm_interval_fault_range(const struct hmm_interval_range *range,
				    unsigned int fault_flags)
{
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;
	u64 *entries;
	int ret;

	entries = kvmalloc_array(n, sizeof(*entries), GFP_KERNEL);
	if (!entries)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		entries[i] = range->hmm_pfns[i];
	ret = hmm_interval_fault(range, entries, fault_flags);
	for (i = 0; i < n; i++)
		range->hmm_pfns[i] = entries[i];
	kvfree(entries);
	return ret;
}
#endif

/* With ALLOW_RETRY in @fault_flags: -EAGAIN iff the mmap lock was dropped. */
static int hmm_interval_fault_locked(const struct hmm_interval_range *range,
				     unsigned int fault_flags)
{
	mmap_assert_locked(range->notifier->mm);
	if (range->start >= range->end ||
	    !PAGE_ALIGNED(range->start | range->end))
		return -EINVAL;
	return hmm_interval_fault_range(range, fault_flags);
}

/**
 * hmm_interval_range_fault() - read, and where requested fault in, a range
 * @range: start and end (page aligned), requests, and the sequence number that
 *	mmu_interval_read_begin() returned
 *
 * Each page is faulted with its own need. The result holds until the number
 * moves: the caller compares it with mmu_interval_read_retry(), under the lock
 * that its invalidate callback takes, before it uses an entry.
 *
 * Context: the mmap lock is held, and still held on return. Sleeps. Allocates
 * if &hmm_interval_range.pfn_flags_mask allows requests in entries.
 *
 * Return: 0; or
 *
 * * -EINVAL: start or end not aligned, or start not below end
 * * -EBUSY: the number moved before a walk, which the call's own copies of
 *   shared pages do too. Read the number again and repeat the call; a call that
 *   copied has also faulted all other pages
 * * -ENOMEM: no memory
 * * -EPERM: a request to write to a mapping without write permission
 * * -EFAULT: a request where nothing is mapped, without read permission, or of
 *   special or poisoned memory
 *
 * After an error the entries before the address that failed are output, the
 * others are still input.
 */
int hmm_interval_range_fault(struct hmm_interval_range *range)
{
	return hmm_interval_fault_locked(range, FAULT_FLAG_REMOTE);
}
EXPORT_SYMBOL(hmm_interval_range_fault);
