// SPDX-License-Identifier: GPL-2.0
/*
 * HMM's calls of the mirrors: the second pass of an invalidation, and mm exit.
 *
 * An invalidation calls every mirror's sync_cpu_device_pagetables() and then,
 * in a second pass, every sync_finish(): devices start their flushes in the
 * first pass and wait for them in the second, so all of them flush at once.
 *
 * Both passes must see the same mirrors: a flush that was started must be
 * waited for, and no other. A mirror that is registered between the two is put
 * in front of those of the first pass, and the second one begins behind it. A
 * mirror that is unregistered between the two stays on the list. It *leaves* at
 * an epoch: invalidations of that epoch and later ones call it in neither pass,
 * earlier ones in both, and hmm_mirror_unregister() waits for those before it
 * takes the mirror off the list. Mirrors without a sync_finish() need no epoch.
 */
#include <linux/hmm.h>
#include <linux/ktime.h>
#include <linux/rculist.h>
#include <trace/events/hmm.h>

#include "hmm-internal.h"

/* Returns the time at the beginning of a wait, or 0 while nobody traces it. */
u64 hmm_wait_begins(void)
{
	return trace_hmm_range_wait_enabled() ? ktime_get_ns() : 0;
}

void hmm_wait_ended(const struct hmm_range *range, u64 begin, bool done)
{
	if (begin)
		trace_hmm_range_wait(range, ktime_get_ns() - begin, done);
}

/* Only a non-blockable callback may return -EAGAIN; warn of anything else. */
noinline int hmm_sync_failed(const struct hmm_mirror *mirror,
			     const struct mmu_notifier_range *update, int ret)
{
	bool blockable = mmu_notifier_range_blockable(update);

	WARN_ONCE(blockable || ret != -EAGAIN,
		  "hmm: %pS returned %d in %sblockable context\n",
		  mirror->ops->sync_cpu_device_pagetables, ret,
		  blockable ? "" : "non-");
	return blockable ? 0 : -EAGAIN;
}

/* Calls a mirror for the first pass, and measures the time. */
noinline int hmm_sync_traced(struct hmm_mirror *mirror,
			     const struct mmu_notifier_range *update)
{
	const u64 begin = ktime_get_ns();
	int ret = mirror->ops->sync_cpu_device_pagetables(mirror, update);

	trace_hmm_mirror_sync(mirror, update, ktime_get_ns() - begin, ret);
	return ret;
}

static void hmm_finish_mirror(struct hmm_mirror *mirror,
			      const struct mmu_notifier_range *update)
{
	u64 begin = 0;

	if (trace_hmm_mirror_finish_enabled())
		begin = ktime_get_ns();
	mirror->ops->sync_finish(mirror, update);
	if (begin)
		trace_hmm_mirror_finish(mirror, update, ktime_get_ns() - begin,
					0);
}

static unsigned long hmm_epoch(const struct hmm *hmm)
{
	/* Pairs with hmm_mirror_leave() */
	return smp_load_acquire(&hmm->epoch);
}

static bool hmm_mirror_left(const struct hmm_mirror *mirror,
			    unsigned long epoch)
{
	return epoch >= READ_ONCE(mirror->left);
}

/*
 * Makes later invalidations skip @mirror, and waits for earlier ones. The
 * caller holds mirrors_sem for writing.
 */
void hmm_mirror_leave(struct hmm *hmm, struct hmm_mirror *mirror)
{
	lockdep_assert_held_write(&hmm->mirrors_sem);

	WRITE_ONCE(mirror->left, hmm->epoch + 1);
	/* Pairs with hmm_epoch(): who sees the epoch sees who has left */
	smp_store_release(&hmm->epoch, hmm->epoch + 1);
	mmu_notifier_synchronize();
}

/* Calls the sync_finish() of the mirrors from @mirror on, up to @failed. */
static void hmm_finish_mirrors(struct hmm *hmm, struct hmm_mirror *mirror,
			       const struct hmm_mirror *failed,
			       const struct mmu_notifier_range *update,
			       unsigned long epoch)
{
	list_for_each_entry_from_rcu(mirror, &hmm->mirrors, list) {
		if (mirror == failed)
			break;
		if (mirror->ops->sync_finish && !hmm_mirror_left(mirror, epoch))
			hmm_finish_mirror(mirror, update);
	}
}

/*
 * Calls the mirrors from @first on, which is the first one with a
 * sync_finish(), in two passes. An error ends the first pass, see
 * hmm_call_mirrors(); the second one is for those that succeeded before it.
 */
int hmm_call_mirrors_twice(struct hmm_mirror *first,
			   const struct mmu_notifier_range *update)
{
	struct hmm *hmm = first->hmm;
	const unsigned long epoch = hmm_epoch(hmm);
	struct hmm_mirror *mirror = first, *failed = NULL;
	int ret = 0;

	list_for_each_entry_from_rcu(mirror, &hmm->mirrors, list) {
		if (mirror->ops->sync_finish && hmm_mirror_left(mirror, epoch))
			continue;
		ret = hmm_call_mirror(mirror, update);
		if (ret) {
			failed = mirror;
			break;
		}
	}
	hmm_finish_mirrors(hmm, first, failed, update, epoch);
	return ret;
}

static void hmm_release_mirror(struct hmm_mirror *mirror,
			       const struct mmu_notifier_range *all)
{
	if (mirror->ops->release)
		mirror->ops->release(mirror);
	else
		hmm_call_mirror(mirror, all);
}

/*
 * At mm exit. No mirror is added meanwhile, as the mm has no users. A mirror
 * with a release() callback has no second pass.
 */
void hmm_release_mirrors(struct hmm *hmm, struct mm_struct *mm)
{
	const struct mmu_notifier_range all = {
		.mm = mm,
		.start = 0,
		.end = ULONG_MAX,
		.flags = MMU_NOTIFIER_RANGE_BLOCKABLE,
		.event = MMU_NOTIFY_RELEASE,
	};
	const unsigned long epoch = hmm_epoch(hmm);
	struct hmm_mirror *mirror;

	hmm_for_each_mirror(mirror, hmm)
		if (!mirror->ops->sync_finish ||
		    !hmm_mirror_left(mirror, epoch))
			hmm_release_mirror(mirror, &all);
	hmm_for_each_mirror(mirror, hmm)
		if (mirror->ops->sync_finish && !mirror->ops->release &&
		    !hmm_mirror_left(mirror, epoch))
			hmm_finish_mirror(mirror, &all);
}
