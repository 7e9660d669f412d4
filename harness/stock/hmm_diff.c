// SPDX-License-Identifier: GPL-2.0
/*
 * Calls hmm_interval_range_fault(), or the base's function of that name as it
 * was before the series (mm/hmm-stock.c), on memory of the caller, and returns
 * the entries. hmm-diff-tests compares them. The benchmark gets the base's as
 * well. For kernels of tests only: entries have pfns.
 */
#include <linux/fs.h>
#include <linux/hmm-interval.h>
#include <linux/init.h>
#include <linux/memremap.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/uaccess.h>

#include "../mm/hmm-walk.h"
#include "hmm_bench.h"
#include "hmm_diff.h"

/* Calls that return -EBUSY before it is taken for a loop */
#define DIFF_CALLS	1000

int hmm_stock_range_fault(struct hmm_interval_range *range);

#if __has_include(<linux/leafops.h>)
#include <linux/leafops.h>

static void *diff_owner_of_pte(pte_t pte)
{
	softleaf_t entry = softleaf_from_pte(pte);

	if (!softleaf_is_device_private(entry))
		return NULL;
	return page_pgmap(softleaf_to_page(entry))->owner;
}
#else
static void *diff_owner_of_pte(pte_t pte)
{
	swp_entry_t entry = pte_to_swp_entry(pte);

	if (!is_device_private_entry(entry))
		return NULL;
	return pfn_swap_entry_to_page(entry)->pgmap->owner;
}
#endif

static void *diff_owner(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma;
	pte_t pte = __pte(0);

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		pte = hmm_walk_one(mm, vma, addr);
	mmap_read_unlock(mm);
	return pte_none(pte) || pte_present(pte) ? NULL :
						   diff_owner_of_pte(pte);
}

static bool diff_invalidate(struct mmu_interval_notifier *interval,
			    const struct mmu_notifier_range *update,
			    unsigned long seq)
{
	mmu_interval_set_seq(interval, seq);
	return true;
}

static const struct mmu_interval_notifier_ops diff_ops = {
	.invalidate = diff_invalidate,
};

/* Repeats the call with the same input while it returns -EBUSY. */
static void diff_call(struct hmm_diff_run *run, struct mm_struct *mm,
		      struct hmm_interval_range *range,
		      const unsigned long *input)
{
	run->calls = 0;
	do {
		memcpy(range->hmm_pfns, input, run->npages * sizeof(*input));
		range->notifier_seq = mmu_interval_read_begin(range->notifier);
		mmap_read_lock(mm);
		run->ret = run->ours ? hmm_interval_range_fault(range) :
				       hmm_stock_range_fault(range);
		mmap_read_unlock(mm);
		run->calls++;
	} while (run->ret == -EBUSY && run->calls < DIFF_CALLS &&
		 !fatal_signal_pending(current));
}

static int diff_faults(struct hmm_diff_run *run, unsigned long *entries,
		       const unsigned long *input)
{
	struct mm_struct *mm = current->mm;
	struct mmu_interval_notifier interval;
	struct hmm_interval_range range = {
		.notifier = &interval,
		.start = run->addr,
		.end = run->addr + run->npages * PAGE_SIZE,
		.hmm_pfns = entries,
		.default_flags = run->default_flags,
		.pfn_flags_mask = run->pfn_flags_mask,
	};
	int ret;

	if (run->owner_of) {
		range.dev_private_owner = diff_owner(mm, run->owner_of);
		if (!range.dev_private_owner)
			return -ENXIO;
	}
	ret = mmu_interval_notifier_insert(&interval, mm, range.start,
					   range.end - range.start, &diff_ops);
	if (ret)
		return ret;
	diff_call(run, mm, &range, input);
	mmu_interval_notifier_remove(&interval);
	return 0;
}

static int diff_run(struct hmm_diff_run *run)
{
	void __user *user = u64_to_user_ptr(run->entries);
	size_t size = run->npages * sizeof(unsigned long);
	unsigned long *entries, *input;
	int ret = -ENOMEM;

	if (!run->npages || run->npages > HMM_DIFF_MAX_PAGES)
		return -EINVAL;
	entries = kvmalloc(size, GFP_KERNEL);
	input = kvmalloc(size, GFP_KERNEL);
	if (entries && input)
		ret = copy_from_user(input, user, size) ? -EFAULT : 0;
	if (!ret)
		ret = diff_faults(run, entries, input);
	if (!ret && copy_to_user(user, entries, size))
		ret = -EFAULT;
	kvfree(input);
	kvfree(entries);
	return ret;
}

static long diff_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct hmm_diff_run run;
	int ret;

	if (cmd != HMM_DIFF_RUN)
		return -ENOTTY;
	if (copy_from_user(&run, user, sizeof(run)))
		return -EFAULT;
	ret = diff_run(&run);
	if (!ret && copy_to_user(user, &run, sizeof(run)))
		ret = -EFAULT;
	return ret;
}

static const struct file_operations diff_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= diff_ioctl,
};

static struct miscdevice diff_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "hmm_diff",
	.fops	= &diff_fops,
	.mode	= 0600,
};

static int __init diff_init(void)
{
	bench_stock_range_fault = hmm_stock_range_fault;
	return misc_register(&diff_device);
}
device_initcall(diff_init);
