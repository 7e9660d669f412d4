// SPDX-License-Identifier: GPL-2.0
/*
 * HMM's check of its own state, with CONFIG_DEBUG_VM: the table of
 * invalidations, the tree and the list of ranges, the counters and the cursors
 * agree. It runs when a range or a mirror is unregistered and when a fault
 * ends, with ranges_lock held.
 */
#include <linux/bug.h>
#include <linux/hmm.h>
#include <linux/rbtree.h>

#include "hmm-internal.h"

/* Ranges that are verified each time: interrupts are off meanwhile. */
#define HMM_VERIFY_RANGES 64

static unsigned int hmm_count_key(const struct hmm *hmm,
				  const struct mmu_notifier_range *key)
{
	unsigned int i, n = 0;

	for (i = 0; i < hmm->nr_inflight; i++)
		n += hmm->inflight[i].key == key;
	return n;
}

static void hmm_verify_table(const struct hmm *hmm)
{
	unsigned int i, overflow = 0;

	if (WARN_ONCE(hmm->nr_inflight > HMM_INFLIGHT_MAX,
		      "hmm: more invalidations than the table holds\n"))
		return;
	for (i = 0; i < HMM_OVERFLOW_BUCKETS; i++)
		overflow += hmm->overflow[i].count;
	WARN_ONCE(overflow != hmm->nr_overflow,
		  "hmm: buckets do not add up to the overflow\n");
	WARN_ONCE(hmm->notifiers != (long)hmm->nr_inflight + hmm->nr_overflow,
		  "hmm: wrong number of invalidations in flight\n");
	for (i = 0; i < hmm->nr_inflight; i++)
		WARN_ONCE(!hmm->inflight[i].key ||
			  hmm_count_key(hmm, hmm->inflight[i].key) > 1,
			  "hmm: an invalidation is twice in the table\n");
}

static void hmm_verify_range(const struct hmm *hmm,
			     const struct hmm_range *range)
{
	const unsigned long end = range->node.last + 1;

	WARN_ONCE(range->hmm != hmm || !range->mirror,
		  "hmm: a range in the tree is not registered\n");
	WARN_ONCE(range->cursor < range->node.start || range->cursor > end,
		  "hmm: a cursor is outside its range\n");
	WARN_ONCE(range->valid && range->cursor != end,
		  "hmm: a range is valid that was not read to its end\n");
}

/* Returns the number of ranges in the tree, or more than HMM_VERIFY_RANGES. */
static unsigned int hmm_verify_tree(const struct hmm *hmm)
{
	struct rb_node *rb = rb_first_cached(&hmm->tree);
	unsigned long start = 0;
	unsigned int n = 0;

	for (; rb && n <= HMM_VERIFY_RANGES; rb = rb_next(rb), n++) {
		struct hmm_range *range = rb_entry(rb, struct hmm_range,
						   node.rb);

		WARN_ONCE(range->node.start < start,
			  "hmm: the tree is not in order\n");
		start = range->node.start;
		hmm_verify_range(hmm, range);
	}
	return n;
}

/* Stores in *@own how many of the listed ranges are @mirror's. */
static unsigned int hmm_count_listed(const struct hmm *hmm,
				     const struct hmm_mirror *mirror,
				     unsigned long *own)
{
	const struct hmm_range *range;
	unsigned int n = 0;

	*own = 0;
	list_for_each_entry(range, &hmm->ranges, list) {
		*own += range->mirror == mirror;
		if (++n > HMM_VERIFY_RANGES)
			break;
	}
	return n;
}

/**
 * hmm_verify_state() - warn if @hmm contradicts itself
 * @hmm: its ranges_lock is held
 * @mirror: whose ranges are counted, or NULL
 *
 * Of many ranges only some are verified. At mm exit the list is not complete
 * while hmm_mark_all() works on it.
 */
void hmm_verify_state(const struct hmm *hmm, const struct hmm_mirror *mirror)
{
	unsigned int in_tree, listed;
	unsigned long own;

	lockdep_assert_held(&hmm->ranges_lock);

	hmm_verify_table(hmm);
	in_tree = hmm_verify_tree(hmm);
	if (hmm->dead)
		return;
	listed = hmm_count_listed(hmm, mirror, &own);
	WARN_ONCE(listed != in_tree, "hmm: the list and the tree differ\n");
	WARN_ONCE(mirror && listed <= HMM_VERIFY_RANGES &&
		  mirror->nr_ranges != own,
		  "hmm: a mirror has a wrong number of ranges\n");
}
