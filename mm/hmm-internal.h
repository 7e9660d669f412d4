/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of one of HMM's files that others call. KUnit tests replace those
 * of mm/hmm.c.
 */
#ifndef MM_HMM_INTERNAL_H
#define MM_HMM_INTERNAL_H

#include <kunit/static_stub.h>
#include <linux/hmm.h>
#include <linux/lockdep.h>
#include <linux/rculist.h>
#include <linux/tracepoint-defs.h>

#include "hmm-walk.h"

DECLARE_TRACEPOINT(hmm_mirror_sync);

struct hmm_unlocked;
enum hmm_mmap_need;

/* Rounds of faults at one address after which it is given up */
#define HMM_FAULT_TRIES		16
/* A range of up to this many pages may be read under ranges_lock */
#define HMM_FEW_PAGES		16

void hmm_might_wait_invalidate(void);

bool hmm_busy_slow(const struct hmm *hmm, unsigned long start,
		   unsigned long end);

/* Returns true if an invalidation in flight overlaps [start, end). */
static inline bool hmm_busy(const struct hmm *hmm, unsigned long start,
			    unsigned long end)
{
	lockdep_assert_held(&hmm->ranges_lock);
	return unlikely(hmm->notifiers) && hmm_busy_slow(hmm, start, end);
}

/*
 * The notifier core calls every callback under an SRCU of its own: a mirror
 * that is on the list stays until the callback returns, as
 * hmm_mirror_unregister() waits for that SRCU.
 */
#define hmm_for_each_mirror(mirror, hmm) \
	list_for_each_entry_srcu(mirror, &(hmm)->mirrors, list, true)

int hmm_sync_failed(const struct hmm_mirror *mirror,
		    const struct mmu_notifier_range *update, int ret);

int hmm_sync_traced(struct hmm_mirror *mirror,
		    const struct mmu_notifier_range *update);

static inline int hmm_call_mirror(struct hmm_mirror *mirror,
				  const struct mmu_notifier_range *update)
{
	int ret;

	if (tracepoint_enabled(hmm_mirror_sync))
		ret = hmm_sync_traced(mirror, update);
	else
		ret = mirror->ops->sync_cpu_device_pagetables(mirror, update);
	return likely(!ret) ? 0 : hmm_sync_failed(mirror, update, ret);
}

u64 hmm_wait_begins(void);
void hmm_wait_ended(const struct hmm_range *range, u64 begin, bool done);

int hmm_call_mirrors_twice(struct hmm_mirror *first,
			   const struct mmu_notifier_range *update);
void hmm_release_mirrors(struct hmm *hmm, struct mm_struct *mm);
void hmm_mirror_leave(struct hmm *hmm, struct hmm_mirror *mirror);

void hmm_put(struct hmm *hmm);
bool hmm_range_lives(const struct hmm *hmm, const struct hmm_range *range);

/*
 * Moves the cursor to the end, for a walk of [from, end). An invalidation in
 * flight may be changing page tables there; one that starts from now on
 * collides.
 */
static inline int __hmm_cursor_advance(struct hmm *hmm, struct hmm_range *range,
				       unsigned long from)
{
	lockdep_assert_held(&hmm->ranges_lock);

	if (!range->mirror)
		return -EINVAL;
	if (hmm->dead)
		return -EFAULT;
	if (hmm_busy(hmm, from, range->end))
		return -EBUSY;
	range->cursor = range->end;
	return 0;
}

/*
 * Begins a fault: nothing of the range has been read, and the walk of all of
 * it may begin if this returns 0. Stores the owner of the mirror in *@owner, as
 * the mirror itself may go.
 */
static inline int hmm_cursor_start(struct hmm *hmm, struct hmm_range *range,
				   void **owner)
{
	int ret;

	range->cursor = range->start;
	ret = __hmm_cursor_advance(hmm, range, range->start);
	if (ret != -EINVAL)
		*owner = range->mirror->dev_private_owner;
	return ret;
}

void hmm_verify_state(const struct hmm *hmm, const struct hmm_mirror *mirror);

static inline void hmm_verify(const struct hmm *hmm,
			      const struct hmm_mirror *mirror)
{
	if (IS_ENABLED(CONFIG_DEBUG_VM))
		hmm_verify_state(hmm, mirror);
}

int hmm_cursor_advance(struct hmm *hmm, struct hmm_range *range,
		       unsigned long *from);
void hmm_cursor_retreat(struct hmm *hmm, struct hmm_range *range,
			unsigned long to);
int hmm_cursor_settle(struct hmm *hmm, struct hmm_range *range);

/* The request that all pages have, in HMM_REQ_*. */
static inline unsigned int hmm_default_req(const struct hmm_range *range,
					   unsigned int flags)
{
	const struct hmm_encoding enc = hmm_range_encoding(range);

	if (flags & HMM_FAULT_SNAPSHOT)
		return 0;
	return hmm_decode_req(&enc, range->default_flags);
}

/*
 * Writes the entry of a plain @pte to the only element of pfns. Returns false
 * if the page must be faulted first.
 */
static inline bool hmm_fill_one(const struct hmm_range *range, pte_t pte,
				unsigned int flags)
{
	const struct hmm_encoding enc = hmm_range_encoding(range);
	u64 entry = ((u64)pte_pfn(pte) << enc.shift) | enc.valid;
	u64 request = (*range->pfns & range->pfn_flags_mask) |
		      range->default_flags;

	if (pte_write(pte))
		entry |= enc.write;
	else if (!(flags & HMM_FAULT_SNAPSHOT) &&
		 hmm_decode_req(&enc, request) & HMM_REQ_WRITE)
		return false;
	*range->pfns = entry;
	return true;
}

/* @known: the flags that the call has. */
static inline int hmm_fault_check(const struct hmm_range *range,
				  unsigned int flags, unsigned int known)
{
	/* Without a mirror the mm may be gone */
	if (!READ_ONCE(range->mirror) || !range->pfns || flags & ~known)
		return -EINVAL;
	/* The range is in the tree under these */
	if (range->start != range->node.start ||
	    range->end - 1 != range->node.last)
		return -EINVAL;
	return 0;
}

/* Checks for bugs of drivers, see mm/hmm-misuse.c. */
const char *hmm_encoding_collision(const struct hmm_encoding *enc);
int hmm_encoding_check(struct hmm_mirror *mirror,
		       const struct hmm_range *range);
bool hmm_range_registered(struct hmm *hmm, struct hmm_range *range);
int hmm_range_overwritten(void);
bool hmm_ranges_intact(const struct hmm *hmm);
void hmm_warn_orphans(unsigned long nr, unsigned long start,
		      unsigned long end);
bool hmm_inflight_is_own(const struct hmm *hmm);
int hmm_busy_error(const struct hmm *hmm);
bool hmm_waits_for_itself(struct hmm *hmm);

void hmm_walk_init(struct hmm_walk *w, struct hmm_range *range,
		   unsigned int flags, u8 *orders);
int hmm_fault_requests(struct hmm *hmm, struct hmm_range *range,
		       struct hmm_walk *w, unsigned int flags,
		       struct hmm_unlocked *unlocked);
void hmm_mark_failed_entry(struct hmm_walk *w, int error);
int hmm_fault_missing(struct hmm_walk *w, unsigned int fault_flags);
u64 hmm_copy_entries(u64 *to, const u64 *from, unsigned long n);

int hmm_lock_mmap(struct mm_struct *mm, const struct hmm_range *range,
		  enum hmm_mmap_need need, bool wait);
int hmm_unlocked_rounds(struct hmm_unlocked *u, struct hmm_walk *w);

#endif /* MM_HMM_INTERNAL_H */
