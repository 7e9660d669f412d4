// SPDX-License-Identifier: GPL-2.0
/*
 * HMM's answers to bugs of drivers: a warning that names the bug, once, and an
 * error at once. Nothing here is on a fast path.
 */
#include <linux/hmm.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>

#include "hmm-internal.h"

/* --------------------------------------------------------------- encodings */

/* Without SPARSEMEM an architecture need not limit its physical addresses. */
#ifdef MAX_PHYSMEM_BITS
#define HMM_PHYSMEM_BITS MAX_PHYSMEM_BITS
#else
#define HMM_PHYSMEM_BITS BITS_PER_TYPE(phys_addr_t)
#endif

/* Returns the bits of an entry that hold a pfn; 0 if they don't fit. */
static u64 hmm_pfn_field(unsigned int shift)
{
	const unsigned int bits = HMM_PHYSMEM_BITS - PAGE_SHIFT;

	if (shift > 64 - bits)
		return 0;
	return GENMASK_ULL(bits - 1, 0) << shift;
}

static const char *hmm_flags_collision(const struct hmm_encoding *enc, u64 pfn)
{
	if (!pfn)
		return "a pfn does not fit above pfn_shift";
	/* Not is_power_of_2(), which takes a long */
	if (!enc->valid || enc->valid & (enc->valid - 1))
		return "VALID is not one bit";
	if (enc->valid & enc->write)
		return "VALID and WRITE overlap";
	if (enc->valid & enc->private)
		return "VALID and DEVICE_PRIVATE overlap";
	if (enc->write & enc->private)
		return "WRITE and DEVICE_PRIVATE overlap";
	if (enc->valid & pfn)
		return "VALID and the pfn overlap";
	if (enc->write & pfn)
		return "WRITE and the pfn overlap";
	if (enc->private & pfn)
		return "DEVICE_PRIVATE and the pfn overlap";
	return NULL;
}

/* Returns true if @value could be the entry of a page. */
static bool hmm_value_collides(const struct hmm_encoding *enc, u64 pfn,
			       u64 value)
{
	return value & enc->valid &&
	       !(value & ~(enc->valid | enc->write | enc->private | pfn));
}

static const char *hmm_values_collision(const struct hmm_encoding *enc, u64 pfn)
{
	if (enc->none == enc->error)
		return "NONE and ERROR are equal";
	if (enc->none == enc->special)
		return "NONE and SPECIAL are equal";
	if (hmm_value_collides(enc, pfn, enc->none))
		return "NONE could be the entry of a page";
	if (hmm_value_collides(enc, pfn, enc->error))
		return "ERROR could be the entry of a page";
	if (hmm_value_collides(enc, pfn, enc->special))
		return "SPECIAL could be the entry of a page";
	return NULL;
}

/*
 * An entry is decoded by its bits alone: flags, pfn and values must not be
 * mistaken for each other. Returns which two could be, or NULL.
 */
const char *hmm_encoding_collision(const struct hmm_encoding *enc)
{
	const u64 pfn = hmm_pfn_field(enc->shift);

	return hmm_flags_collision(enc, pfn) ?: hmm_values_collision(enc, pfn);
}

/* Without VALID, the other flags of a request have no effect. */
static bool hmm_default_flags_ok(const struct hmm_encoding *enc,
				 const struct hmm_range *range)
{
	const u64 flags = range->default_flags;

	if (flags & ~(enc->valid | enc->write | enc->private))
		return false;
	return !flags || (flags | range->pfn_flags_mask) & enc->valid;
}

/*
 * Checks the encoding of @range and its default request, and keeps those that
 * are right whatever pfn_flags_mask is: see hmm_encoding_checked().
 */
int hmm_encoding_check(struct hmm_mirror *mirror, const struct hmm_range *range)
{
	const struct hmm_encoding enc = hmm_range_encoding(range);
	const char *collision;

	if (mirror->gone)
		return -EINVAL;
	collision = hmm_encoding_collision(&enc);
	if (WARN_ONCE(collision,
		      "hmm: a range's encoding collides with itself: %s\n",
		      collision))
		return -EINVAL;
	if (WARN_ONCE(!hmm_default_flags_ok(&enc, range),
		      "hmm: default_flags %#llx have a bit that is no flag, or lack VALID\n",
		      range->default_flags))
		return -EINVAL;
	if (!range->default_flags || range->default_flags & enc.valid) {
		mirror->checked = enc;
		mirror->checked_flags = range->default_flags;
	}
	return 0;
}

/* ------------------------------------------------------------------ ranges */

/*
 * @range has the address of @hmm. That may be a remainder, as a driver need not
 * initialise it; but its neighbour points to a range that is registered. So
 * does the range itself after hmm_range_detach(), and then it has a reference.
 */
bool hmm_range_registered(struct hmm *hmm, struct hmm_range *range)
{
	struct list_head *linked = NULL;
	unsigned long flags;

	if (!hmm)
		return false;
	spin_lock_irqsave(&hmm->ranges_lock, flags);
	if (range->hmm != hmm ||
	    get_kernel_nofault(linked, &range->list.prev->next))
		linked = NULL;
	spin_unlock_irqrestore(&hmm->ranges_lock, flags);
	return WARN_ONCE(linked == &range->list,
			 "hmm: range registered twice: %#lx-%#lx\n",
			 range->node.start, range->node.last + 1);
}

/* Until a range is unregistered, a list and a tree go through its memory. */
int hmm_range_overwritten(void)
{
	WARN_ONCE(true,
		  "hmm: a range was freed, reused or left on the stack before hmm_range_unregister()\n");
	return -EINVAL;
}

/* Returns true if every range on the list still is one. */
bool hmm_ranges_intact(const struct hmm *hmm)
{
	const struct list_head *pos;
	const struct hmm_range *range;
	struct hmm *owner;

	lockdep_assert_held(&hmm->ranges_lock);

	for (pos = hmm->ranges.next; pos != &hmm->ranges; pos = pos->next) {
		range = list_entry(pos, struct hmm_range, list);
		if (get_kernel_nofault(owner, &range->hmm) || owner != hmm)
			return false;
	}
	return true;
}

/* Of @nr ranges, one is [@start, @end), unless that is empty. */
void hmm_warn_orphans(unsigned long nr, unsigned long start, unsigned long end)
{
	if (start < end)
		WARN_ONCE(true,
			  "hmm: mirror unregistered before its ranges: %lu, one is %#lx-%#lx\n",
			  nr, start, end);
	else
		WARN_ONCE(true,
			  "hmm: mirror unregistered before its ranges: %lu, and one was freed, reused or left on the stack\n",
			  nr);
}

/* ----------------------------------------------------------- own callbacks */

/*
 * Returns true if the caller is in a callback, or else between the start and
 * the end of an invalidation: to wait for its end is to wait for ever. The
 * object that describes an invalidation is on the stack of its task.
 */
bool hmm_inflight_is_own(const struct hmm *hmm)
{
	unsigned int i;

	lockdep_assert_held(&hmm->ranges_lock);

	for (i = 0; i < hmm->nr_inflight; i++)
		if (object_is_on_stack(hmm->inflight[i].key))
			return true;
	return false;
}

/* The error of a fault, where an invalidation in flight overlaps its range. */
int hmm_busy_error(const struct hmm *hmm)
{
	if (WARN_ONCE(hmm_inflight_is_own(hmm),
		      "hmm: fault during an invalidation by the same task\n"))
		return -EINVAL;
	return -EBUSY;
}

bool hmm_waits_for_itself(struct hmm *hmm)
{
	bool own;

	spin_lock_irq(&hmm->ranges_lock);
	own = hmm_inflight_is_own(hmm);
	spin_unlock_irq(&hmm->ranges_lock);
	return WARN_ONCE(own,
			 "hmm: wait during an invalidation by the same task\n");
}
