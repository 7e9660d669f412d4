// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that uses mirrors as a series of early 2019 did for the RDMA core's
 * on-demand paging: a memory region with an array of entries and one of DMA
 * addresses; a device fault maps a part of it with hmm_range_dma_map(); the
 * callback unmaps the published entries of the invalidated part, through a
 * range on its stack that was never registered, and marks them dirty.
 *
 * Changed here, compared with that series: |- it used an API older than v5.4's,
 * in which hmm_range_register() took the mm | and the addresses; |- it mapped
 * under the mutex that its own callback takes, so a fault that | invalidates,
 * such as a copy on write, deadlocked.
 */
#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/mutex.h>
#include <linux/of.h>
#include <linux/of_device.h>
#include <linux/platform_device.h>
#include <linux/sched/signal.h>

#include "compat.h"

/* Number of pages that one device fault maps. */
#define ODP_CHUNK_PAGES	64
#define ODP_VALID	BIT_ULL(0)
#define ODP_WRITE	BIT_ULL(1)
#define ODP_PRIVATE	BIT_ULL(2)
#define ODP_SHIFT	3

static const u64 odp_flags[HMM_PFN_FLAG_MAX] = {
	[HMM_PFN_VALID]			= ODP_VALID,
	[HMM_PFN_WRITE]			= ODP_WRITE,
	[HMM_PFN_DEVICE_PRIVATE]	= ODP_PRIVATE,
};

static const u64 odp_values[HMM_PFN_VALUE_MAX] = {
	[HMM_PFN_ERROR]		= -1,
	[HMM_PFN_NONE]		= 0,
	[HMM_PFN_SPECIAL]	= -2,
};

/**
 * struct odp_region - a memory region
 * @file: the file
 * @mirror: mirror of the address space
 * @mutex: the driver's lock; protects all below
 * @pfns: one entry per page; a page that has one is published
 * @daddrs: DMA addresses of the pages
 */
struct odp_region {
	struct compat_file file;
	struct hmm_mirror mirror;
	struct mutex mutex;	/* see above */
	u64 pfns[COMPAT_MAX_PAGES];
	dma_addr_t daddrs[COMPAT_MAX_PAGES];
};

static struct platform_device *odp_device;

static void odp_range_init(struct hmm_range *range, unsigned long start,
			   unsigned long end, u64 *pfns)
{
	range->start = start;
	range->end = end;
	range->pfns = pfns;
	range->flags = odp_flags;
	range->values = odp_values;
	range->pfn_shift = ODP_SHIFT;
}

static unsigned long odp_index(const struct odp_region *region,
			       unsigned long addr)
{
	return (addr - region->file.start) >> PAGE_SHIFT;
}

static void odp_unmap(struct odp_region *region, unsigned long start,
		      unsigned long end)
{
	unsigned long i = odp_index(region, start);
	struct hmm_range range;

	lockdep_assert_held(&region->mutex);
	odp_range_init(&range, start, end, region->pfns + i);
	hmm_range_dma_unmap(&range, &odp_device->dev, region->daddrs + i, true);
}

static int odp_sync(struct hmm_mirror *mirror,
		    const struct mmu_notifier_range *update)
{
	struct odp_region *region =
		container_of(mirror, struct odp_region, mirror);
	unsigned long start, end;

	if (mmu_notifier_range_blockable(update))
		mutex_lock(&region->mutex);
	else if (!mutex_trylock(&region->mutex))
		return -EAGAIN;
	start = max(update->start, region->file.start);
	end = min(update->end, region->file.end);
	if (start < end)
		odp_unmap(region, start, end);
	mutex_unlock(&region->mutex);
	return 0;
}

static void odp_release(struct hmm_mirror *mirror)
{
	struct odp_region *region =
		container_of(mirror, struct odp_region, mirror);

	mutex_lock(&region->mutex);
	if (region->file.end)
		odp_unmap(region, region->file.start, region->file.end);
	mutex_unlock(&region->mutex);
}

static const struct hmm_mirror_ops odp_mirror_ops = {
	.release			= odp_release,
	.sync_cpu_device_pagetables	= odp_sync,
};

/* Publish the mapped pages in the region, if they are still valid. */
static int odp_publish(struct odp_region *region, struct hmm_range *range,
		       dma_addr_t *daddrs)
{
	unsigned long i = odp_index(region, range->start);
	unsigned long n = (range->end - range->start) >> PAGE_SHIFT;

	lockdep_assert_held(&region->mutex);
	if (!hmm_range_valid(range)) {
		hmm_range_dma_unmap(range, &odp_device->dev, daddrs, false);
		return -EAGAIN;
	}
	/*
	 * The published entries may have fewer permissions than now requested
	 */
	odp_unmap(region, range->start, range->end);
	memcpy(region->pfns + i, range->pfns, n * sizeof(*region->pfns));
	memcpy(region->daddrs + i, daddrs, n * sizeof(*region->daddrs));
	return 0;
}

static int odp_map_pages(struct odp_region *region, struct hmm_range *range,
			 dma_addr_t *daddrs)
{
	struct mm_struct *mm = region->file.mm;
	long ret;

	mmap_read_lock(mm);
	ret = hmm_range_dma_map(range, &odp_device->dev, daddrs, 0);
	mmap_read_unlock(mm);
	if (ret == -EBUSY || !ret)
		return -EAGAIN;
	if (ret < 0)
		return ret;
	mutex_lock(&region->mutex);
	ret = odp_publish(region, range, daddrs);
	mutex_unlock(&region->mutex);
	return ret;
}

static int odp_fault(struct odp_region *region, unsigned long start,
		     unsigned long end, bool write)
{
	dma_addr_t daddrs[ODP_CHUNK_PAGES];
	struct hmm_range range;
	u64 pfns[ODP_CHUNK_PAGES];
	int ret;

	odp_range_init(&range, start, end, pfns);
	range.default_flags = ODP_VALID | (write ? ODP_WRITE : 0);
	range.pfn_flags_mask = 0;
	ret = hmm_range_register(&range, &region->mirror);
	if (ret)
		return ret;
	do {
		region->file.faults++;
		ret = odp_map_pages(region, &range, daddrs);
		if (ret == -EAGAIN)
			hmm_range_wait_until_valid(&range,
						   HMM_RANGE_DEFAULT_TIMEOUT);
	} while (ret == -EAGAIN && !fatal_signal_pending(current));
	hmm_range_unregister(&range);
	return ret;
}

/* The engine: return true if all pages are mapped and were copied. */
static bool odp_engine(struct odp_region *region, unsigned long start,
		       unsigned long end, void *data, bool write)
{
	u64 need = ODP_VALID | (write ? ODP_WRITE : 0);
	unsigned long addr, i;
	struct page *page;
	bool done = true;

	mutex_lock(&region->mutex);
	for (addr = start; done && addr < end; addr += PAGE_SIZE) {
		i = odp_index(region, addr);
		done = region->daddrs[i] && (region->pfns[i] & need) == need;
		if (!done)
			break;
		/* Bus addresses are physical addresses here */
		page = pfn_to_page(PHYS_PFN(region->daddrs[i]));
		compat_copy_page(page, data + (addr - start), write);
	}
	mutex_unlock(&region->mutex);
	return done;
}

static int odp_copy(struct compat_file *file, void *data, bool write)
{
	struct odp_region *region = container_of(file, struct odp_region, file);
	unsigned long addr, end;
	int ret;

	for (addr = file->start; addr < file->end; addr = end) {
		end = min(file->end, addr + ODP_CHUNK_PAGES * PAGE_SIZE);
		while (!odp_engine(region, addr, end,
				   data + (addr - file->start), write)) {
			ret = odp_fault(region, addr, end, write);
			if (ret)
				return ret == -EAGAIN ? -EINTR : ret;
		}
	}
	return 0;
}

static int odp_buffer(struct compat_file *file)
{
	return 0;
}

static int odp_open(struct compat_file *file)
{
	struct odp_region *region = container_of(file, struct odp_region, file);
	int ret;

	mutex_init(&region->mutex);
	region->mirror.ops = &odp_mirror_ops;
	mmap_write_lock(file->mm);
	ret = hmm_mirror_register(&region->mirror, file->mm);
	mmap_write_unlock(file->mm);
	return ret;
}

/* The mappings may no longer be valid, so do not mark pages dirty. */
static void odp_close(struct compat_file *file)
{
	struct odp_region *region = container_of(file, struct odp_region, file);
	struct hmm_range range;

	hmm_mirror_unregister(&region->mirror);
	if (file->end) {
		odp_range_init(&range, file->start, file->end, region->pfns);
		hmm_range_dma_unmap(&range, &odp_device->dev, region->daddrs,
				    false);
	}
	kfree(region);
}

static struct compat_driver compat_driver = {
	.size		= sizeof(struct odp_region),
	.open		= odp_open,
	.release	= odp_close,
	.buffer		= odp_buffer,
	.copy		= odp_copy,
};

/* A device tree says which devices are coherent; HMM maps for no others. */
static void odp_make_coherent(struct device *dev)
{
	struct device_node *coherent =
		of_find_node_with_property(NULL, "dma-coherent");

	if (coherent)
		of_dma_configure(dev, coherent, true);
	of_node_put(coherent);
}

static int __init odp_init(void)
{
	int ret;

	odp_device =
		platform_device_register_simple("hmm_compat_odp", -1, NULL, 0);
	if (IS_ERR(odp_device))
		return PTR_ERR(odp_device);
	ret = dma_coerce_mask_and_coherent(&odp_device->dev, DMA_BIT_MASK(64));
	odp_make_coherent(&odp_device->dev);
	if (!ret)
		ret = compat_init("hmm_compat_odp");
	if (ret)
		platform_device_unregister(odp_device);
	return ret;
}

static void __exit odp_exit(void)
{
	misc_deregister(&compat_driver.misc);
	mmu_notifier_synchronize();
	platform_device_unregister(odp_device);
}

module_init(odp_init);
module_exit(odp_exit);
MODULE_DESCRIPTION("HMM mirrors as on-demand paging was to use them, for tests only");
MODULE_LICENSE("GPL");
