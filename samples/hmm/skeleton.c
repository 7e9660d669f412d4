// SPDX-License-Identifier: GPL-2.0
/*
 * A driver to copy, see Documentation/mm/hmm.rst. Its device, in software, has
 * a page table of one entry and stores to the memory of the process that opened
 * it.
 */
#include <linux/highmem.h>
#include <linux/hmm.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* A pfn with flags, or one of the values; the order is that of HMM's enums */
enum { SKEL_VALID = BIT(0), SKEL_WRITE = BIT(1), SKEL_BAD = BIT(2) };
static const u64 skel_flags[HMM_PFN_FLAG_MAX] = { SKEL_VALID, SKEL_WRITE };
static const u64 skel_values[HMM_PFN_VALUE_MAX] = { SKEL_BAD, 0, SKEL_BAD };

struct skel {
	struct hmm_mirror mirror;
	struct mutex lock;	/* of the page table; the callback takes it */
	unsigned long addr;
	struct page *page;	/* at @addr, writable; without a reference */
};

/* Hardware's TLB is flushed here. The device may have written: mark that. */
static void skel_unmap(struct skel *skel)
{
	if (skel->page)
		folio_mark_dirty(page_folio(skel->page));
	skel->page = NULL;
}

static int skel_sync(struct hmm_mirror *mirror,
		     const struct mmu_notifier_range *update)
{
	struct skel *skel = container_of(mirror, struct skel, mirror);

	if (mmu_notifier_range_blockable(update))
		mutex_lock(&skel->lock);
	else if (!mutex_trylock(&skel->lock))
		return -EAGAIN;
	if (skel->addr >= update->start && skel->addr < update->end)
		skel_unmap(skel);
	mutex_unlock(&skel->lock);
	return 0;
}

static const struct hmm_mirror_ops skel_ops = {
	.sync_cpu_device_pagetables = skel_sync,
};

/* Maps the page of @range for the device, if its entry still holds. */
static bool skel_map(struct skel *skel, struct hmm_range *range)
{
	guard(mutex)(&skel->lock);
	if (!hmm_range_valid(range))
		return false;
	skel_unmap(skel);
	skel->addr = range->start;
	skel->page = hmm_device_entry_to_page(range, range->pfns[0]);
	return true;
}

static long skel_fault(struct skel *skel, unsigned long addr)
{
	u64 entry;
	struct hmm_range range = {
		.start = addr, .end = addr + PAGE_SIZE,
		.flags = skel_flags, .values = skel_values,
		.pfns = &entry, .pfn_shift = PAGE_SHIFT,
		.default_flags = SKEL_VALID | SKEL_WRITE,
	};
	long ret = hmm_range_register(&range, &skel->mirror);

	if (ret)
		return ret;
	do {
		ret = hmm_range_fault_unlocked(&range, 0, ULONG_MAX);
	} while (ret > 0 && !skel_map(skel, &range));
	hmm_range_unregister(&range);
	return ret < 0 ? ret : 0;
}

/* The device: stores to one page, or returns false if that is not mapped. */
static bool skel_store(struct skel *skel, unsigned long addr, size_t len)
{
	guard(mutex)(&skel->lock);
	if (!skel->page || skel->addr != (addr & PAGE_MASK))
		return false;
	memset_page(skel->page, offset_in_page(addr), '!', len);
	return true;
}

static ssize_t skel_read(struct file *file, char __user *user, size_t len,
			 loff_t *pos)
{
	unsigned long addr = (unsigned long)untagged_addr(user);
	struct skel *skel = file->private_data;
	long ret = 0;

	/* Another process may have the file, but these are its opener's */
	if (current->mm != skel->mirror.hmm->mmu_notifier.mm)
		return -EPERM;
	len = min(len, PAGE_SIZE - offset_in_page(addr));
	while (!ret && !skel_store(skel, addr, len))
		ret = skel_fault(skel, addr & PAGE_MASK);
	return ret ?: len;
}

static int skel_open(struct inode *inode, struct file *file)
{
	struct skel *skel = kzalloc_obj(*skel);
	int ret;

	if (!skel)
		return -ENOMEM;
	mutex_init(&skel->lock);
	skel->mirror.ops = &skel_ops;
	mmap_write_lock(current->mm);
	ret = hmm_mirror_register(&skel->mirror, current->mm);
	mmap_write_unlock(current->mm);
	file->private_data = skel;
	if (ret)
		kfree(skel);
	return ret;
}

static int skel_release(struct inode *inode, struct file *file)
{
	struct skel *skel = file->private_data;

	scoped_guard(mutex, &skel->lock)
		skel_unmap(skel);
	hmm_mirror_unregister(&skel->mirror);
	kfree(skel);
	return 0;
}

static const struct file_operations skel_fops = {
	.owner = THIS_MODULE, .open = skel_open, .release = skel_release,
	.read = skel_read,
};

static struct miscdevice skel_misc = {
	.minor = MISC_DYNAMIC_MINOR, .name = "hmm_skeleton", .fops = &skel_fops,
};
module_misc_device(skel_misc);
MODULE_DESCRIPTION("A driver on an HMM mirror, to copy");
MODULE_LICENSE("GPL");
