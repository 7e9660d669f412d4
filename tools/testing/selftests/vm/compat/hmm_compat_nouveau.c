// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that uses mirrors as nouveau's shared virtual memory did in v5.4:
 * one mirror per address space; ranges of 16 pages on the stack, one per device
 * fault; requests per entry, in the array that is then passed to the hardware;
 * the mmap lock held from the lookup of the mapping until the hardware has the
 * entries.
 *
 * Fixed here, compared with that driver: |- after a time-out it left the range,
 * and so its stack, registered; |- when an invalidation collided, it faulted
 * again with the results of the | last fault in place of its requests.
 */
#include <linux/hmm.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>

#include "compat.h"

#define NV_PIECE	16
#define NV_VALID	BIT_ULL(0)
#define NV_WRITE	BIT_ULL(1)
#define NV_VRAM		BIT_ULL(4)

static const u64 nv_flags[HMM_PFN_FLAG_MAX] = {
	[HMM_PFN_VALID]			= NV_VALID,
	[HMM_PFN_WRITE]			= NV_WRITE,
	[HMM_PFN_DEVICE_PRIVATE]	= NV_VRAM,
};

/* Two of the values are equal. */
static const u64 nv_values[HMM_PFN_VALUE_MAX] = {
	[HMM_PFN_ERROR]		= ~NV_VALID,
	[HMM_PFN_NONE]		= 0,
	[HMM_PFN_SPECIAL]	= ~NV_VALID,
};

/**
 * struct nv_space - an address space of the device
 * @file: the file
 * @mirror: mirror of the address space
 * @mutex: the driver's lock; protects @table
 * @table: the hardware's page table
 */
struct nv_space {
	struct compat_file file;
	struct hmm_mirror mirror;
	struct mutex mutex;	/* see above */
	struct xarray table;
};

/* Arguments shared by the fault handler and the hardware. */
struct nv_args {
	u64 phys[NV_PIECE];
};

static int nv_sync(struct hmm_mirror *mirror,
		   const struct mmu_notifier_range *update)
{
	struct nv_space *space = container_of(mirror, struct nv_space, mirror);
	unsigned long index;
	void *entry;

	if (!mmu_notifier_range_blockable(update))
		return -EAGAIN;
	mutex_lock(&space->mutex);
	xa_for_each_range(&space->table, index, entry,
			  update->start >> PAGE_SHIFT,
			  (update->end - 1) >> PAGE_SHIFT)
		xa_erase(&space->table, index);
	mutex_unlock(&space->mutex);
	return 0;
}

static void nv_release(struct hmm_mirror *mirror)
{
}

static const struct hmm_mirror_ops nv_mirror_ops = {
	.release			= nv_release,
	.sync_cpu_device_pagetables	= nv_sync,
};

/* Returns 0 with the range registered and the mmap lock held, as on entry. */
static int nv_range_fault(struct nv_space *space, struct hmm_range *range)
{
	struct mm_struct *mm = space->mirror.hmm->mmu_notifier.mm;
	long ret;

	range->default_flags = 0;
	range->pfn_flags_mask = -1UL;
	ret = hmm_range_register(range, &space->mirror);
	if (ret)
		goto err_unlock;
	ret = -EBUSY;
	if (!hmm_range_wait_until_valid(range, HMM_RANGE_DEFAULT_TIMEOUT))
		goto err_unregister;
	ret = hmm_range_fault(range, 0);
	if (ret > 0)
		return 0;
	ret = ret ?: -EBUSY;
err_unregister:
	hmm_range_unregister(range);
err_unlock:
	mmap_read_unlock(mm);
	return ret;
}

/* Check the range for the last time, under the driver's lock; unregister it. */
static bool nv_range_done(struct hmm_range *range)
{
	bool valid = hmm_range_valid(range);

	hmm_range_unregister(range);
	return valid;
}

/* Convert entries in place, as nouveau did for addresses of its own memory. */
static void nv_convert(struct hmm_range *range)
{
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;

	for (i = 0; i < n; i++)
		if (hmm_device_entry_to_page(range, range->pfns[i]))
			range->pfns[i] &= ~NV_VRAM;
}

/* Pass the entries to the hardware. */
static int nv_map(struct nv_space *space, const struct hmm_range *range)
{
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;
	int ret = 0;

	for (i = 0; !ret && i < n; i++)
		if (range->pfns[i] & NV_VALID)
			ret = xa_err(xa_store(&space->table,
					      (range->start >> PAGE_SHIFT) + i,
					      xa_mk_value(range->pfns[i]),
					      GFP_ATOMIC));
	return ret;
}

static void nv_ask(struct nv_args *args, unsigned long n, bool write)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		args->phys[i] = NV_VALID | (write ? NV_WRITE : 0);
}

static int nv_fault(struct nv_space *space, unsigned long start,
		    unsigned long end, bool write)
{
	struct mm_struct *mm = space->file.mm;
	unsigned long n = (end - start) >> PAGE_SHIFT;
	struct vm_area_struct *vma;
	struct nv_args args;
	struct hmm_range range;
	int ret;

	mmap_read_lock(mm);
	vma = find_vma_intersection(mm, start, end);
	if (!vma || vma->vm_start > start) {
		mmap_read_unlock(mm);
		return -EFAULT;
	}
	range.start = start;
	range.end = min(end, vma->vm_end);
	range.pfns = args.phys;
	range.flags = nv_flags;
	range.values = nv_values;
	range.pfn_shift = PAGE_SHIFT;
again:
	nv_ask(&args, n, write);
	space->file.faults++;
	ret = nv_range_fault(space, &range);
	if (ret)
		return ret;
	mutex_lock(&space->mutex);
	if (!nv_range_done(&range)) {
		mutex_unlock(&space->mutex);
		goto again;
	}
	nv_convert(&range);
	ret = nv_map(space, &range);
	mutex_unlock(&space->mutex);
	mmap_read_unlock(mm);
	return ret;
}

/* The engine: return true if all pages are in the table and were copied. */
static bool nv_engine(struct nv_space *space, unsigned long start,
		      unsigned long end, void *data, bool write)
{
	u64 need = NV_VALID | (write ? NV_WRITE : 0);
	unsigned long addr;
	bool done = true;

	mutex_lock(&space->mutex);
	for (addr = start; done && addr < end; addr += PAGE_SIZE) {
		void *entry = xa_load(&space->table, addr >> PAGE_SHIFT);

		done = entry && (xa_to_value(entry) & need) == need;
		if (done)
			compat_copy_page(pfn_to_page(xa_to_value(entry) >>
						     PAGE_SHIFT),
					 data + (addr - start), write);
	}
	mutex_unlock(&space->mutex);
	return done;
}

static int nv_copy(struct compat_file *file, void *data, bool write)
{
	struct nv_space *space = container_of(file, struct nv_space, file);
	unsigned long addr, end;
	int ret;

	for (addr = file->start; addr < file->end; addr = end) {
		end = min(file->end, addr + NV_PIECE * PAGE_SIZE);
		while (!nv_engine(space, addr, end, data + (addr - file->start),
				  write)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			ret = nv_fault(space, addr, end, write);
			if (ret && ret != -EBUSY)
				return ret;
		}
	}
	return 0;
}

static int nv_buffer(struct compat_file *file)
{
	return 0;
}

static int nv_open(struct compat_file *file)
{
	struct nv_space *space = container_of(file, struct nv_space, file);
	int ret;

	mutex_init(&space->mutex);
	xa_init(&space->table);
	space->mirror.ops = &nv_mirror_ops;
	mmap_write_lock(file->mm);
	ret = hmm_mirror_register(&space->mirror, file->mm);
	mmap_write_unlock(file->mm);
	return ret;
}

static void nv_fini(struct compat_file *file)
{
	struct nv_space *space = container_of(file, struct nv_space, file);

	hmm_mirror_unregister(&space->mirror);
	xa_destroy(&space->table);
	kfree(space);
}

static struct compat_driver compat_driver = {
	.size		= sizeof(struct nv_space),
	.open		= nv_open,
	.release	= nv_fini,
	.buffer		= nv_buffer,
	.copy		= nv_copy,
};

static int __init nv_init(void)
{
	return compat_init("hmm_compat_nouveau");
}

static void __exit nv_exit(void)
{
	misc_deregister(&compat_driver.misc);
	mmu_notifier_synchronize();
}

module_init(nv_init);
module_exit(nv_exit);
MODULE_DESCRIPTION("HMM mirrors as nouveau used them in v5.4, for tests only");
MODULE_LICENSE("GPL");
