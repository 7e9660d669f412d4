// SPDX-License-Identifier: GPL-2.0
/*
 * The smallest driver there is: what `make modules` must be able to build and
 * a guest to load. It mirrors the address space of the process that loads it
 * and reads one page of it.
 */
#include <linux/hmm.h>
#include <linux/module.h>
#include <linux/sched.h>

static const u64 flags[HMM_PFN_FLAG_MAX] = { BIT(0), BIT(1), BIT(2) };
static const u64 values[HMM_PFN_VALUE_MAX] = { 0x10, 0, 0x20 };

/* There is no device page table to remove anything from. */
static int mirror_sync(struct hmm_mirror *mirror,
		       const struct mmu_notifier_range *update)
{
	return 0;
}

static const struct hmm_mirror_ops mirror_ops = {
	.sync_cpu_device_pagetables = mirror_sync,
};

static long mirror_read_page(struct hmm_mirror *mirror, unsigned long addr)
{
	u64 entry = 0;
	struct hmm_range range = {
		.start		= addr & PAGE_MASK,
		.end		= (addr & PAGE_MASK) + PAGE_SIZE,
		.pfns		= &entry,
		.flags		= flags,
		.values		= values,
		.default_flags	= BIT(0),
		.pfn_shift	= PAGE_SHIFT,
	};
	long ret;

	ret = hmm_range_register(&range, mirror);
	if (ret)
		return ret;
	mmap_read_lock(current->mm);
	ret = hmm_range_fault(&range, 0);
	mmap_read_unlock(current->mm);
	hmm_range_unregister(&range);
	return ret;
}

static int __init mirror_init(void)
{
	struct hmm_mirror mirror = { .ops = &mirror_ops };
	long ret;

	mmap_write_lock(current->mm);
	ret = hmm_mirror_register(&mirror, current->mm);
	mmap_write_unlock(current->mm);
	if (ret)
		return ret;
	ret = mirror_read_page(&mirror, current->mm->start_stack);
	hmm_mirror_unregister(&mirror);
	pr_info("mirror: %ld page read\n", ret);
	return ret == 1 ? 0 : -EIO;
}

static void __exit mirror_exit(void)
{
}

module_init(mirror_init);
module_exit(mirror_exit);
MODULE_DESCRIPTION("A mirror of one page");
MODULE_LICENSE("GPL");
