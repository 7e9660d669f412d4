// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmarks of mapping memory for DMA, for hmm_bench.c: page by page and as a
 * batch, compared with the loop over dma_map_page() that drivers have.
 *
 * All operations use a PCI device behind an IOMMU, the first edu device,
 * whether a driver is bound to it or not. The loop has an advantage: its pages
 * are already known, while the other operations also fault them.
 */
#include <linux/dma-mapping.h>
#include <linux/iommu-dma.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "hmm_bench.h"

#define BENCH_DMA_VENDOR	0x1234
#define BENCH_DMA_DEVICE	0x11e8

/**
 * struct bench_dma - data of the DMA family
 * @pdev: the device
 * @daddrs: one address per page
 * @batch: mapping of all pages as one
 */
struct bench_dma {
	struct pci_dev *pdev;
	dma_addr_t *daddrs;
	struct hmm_dma_batch batch;
};

static struct pci_dev *bench_dma_find(void)
{
	struct pci_dev *pdev = NULL;

	do {
		pdev = pci_get_device(BENCH_DMA_VENDOR, BENCH_DMA_DEVICE, pdev);
	} while (pdev && !use_dma_iommu(&pdev->dev));
	return pdev;
}

static int bench_dma_setup(struct bench *b)
{
	struct bench_dma *dma = kzalloc_obj(*dma);

	if (!dma)
		return -ENOMEM;
	b->dma = dma;
	dma->daddrs = kvcalloc(b->run->npages, sizeof(*dma->daddrs),
			       GFP_KERNEL);
	if (!dma->daddrs)
		return -ENOMEM;
	dma->pdev = bench_dma_find();
	if (!dma->pdev)
		return -ENODEV;
	return bench_mirror_setup(b);
}

static void bench_dma_teardown(struct bench *b)
{
	bench_mirror_teardown(b);
	if (!b->dma)
		return;
	pci_dev_put(b->dma->pdev);
	kvfree(b->dma->daddrs);
	kfree(b->dma);
}

static const struct bench_family bench_dma_family = {
	.setup		= bench_dma_setup,
	.teardown	= bench_dma_teardown,
};

static struct hmm_range *bench_dma_range(struct bench *b)
{
	return &b->mirrors[0].range;
}

/* The measurement requires that all pages are mapped. */
static int bench_dma_all(struct bench *b, long ret)
{
	if (ret < 0)
		return ret;
	return ret == b->run->npages ? 0 : -EIO;
}

static int bench_dma_locked(struct bench *b, int (*fn)(struct bench *b))
{
	int ret;

	mmap_read_lock(b->mm);
	ret = fn(b);
	mmap_read_unlock(b->mm);
	return ret;
}

/* ----------------------------------------------------------- page by page */

static int bench_dma_map(struct bench *b)
{
	return bench_dma_all(b, hmm_range_dma_map(bench_dma_range(b),
						  &b->dma->pdev->dev,
						  b->dma->daddrs, 0));
}

static int bench_dma_unmap(struct bench *b)
{
	return bench_dma_all(b, hmm_range_dma_unmap(bench_dma_range(b),
						    &b->dma->pdev->dev,
						    b->dma->daddrs, false));
}

static void bench_dma_unmap_after(struct bench *b)
{
	bench_dma_unmap(b);
}

static int bench_dma_map_before(struct bench *b)
{
	return bench_dma_locked(b, bench_dma_map);
}

static int bench_dma_both(struct bench *b)
{
	return bench_dma_map(b) ?: bench_dma_unmap(b);
}

/* ------------------------------------------------------------------- batch */

static int bench_batch_map(struct bench *b)
{
	return bench_dma_all(b, hmm_range_dma_map_batch(bench_dma_range(b),
							&b->dma->pdev->dev,
							b->dma->daddrs,
							&b->dma->batch, 0));
}

static int bench_batch_unmap(struct bench *b)
{
	return bench_dma_all(b, hmm_range_dma_unmap_batch(bench_dma_range(b),
							  &b->dma->pdev->dev,
							  b->dma->daddrs,
							  &b->dma->batch,
							  false));
}

static void bench_batch_unmap_after(struct bench *b)
{
	bench_batch_unmap(b);
}

static int bench_batch_map_before(struct bench *b)
{
	return bench_dma_locked(b, bench_batch_map);
}

static int bench_batch_both(struct bench *b)
{
	return bench_batch_map(b) ?: bench_batch_unmap(b);
}

/* -------------------------------------------------------------- plain loop */

static int bench_plain_fault(struct bench *b)
{
	return bench_dma_all(b, hmm_range_fault(bench_dma_range(b), 0));
}

static int bench_plain_before(struct bench *b)
{
	return bench_dma_locked(b, bench_plain_fault);
}

static int bench_plain_map(struct bench *b)
{
	struct device *device = &b->dma->pdev->dev;
	unsigned long i;

	for (i = 0; i < b->run->npages; i++) {
		struct page *page;

		page = hmm_device_entry_to_page(bench_dma_range(b), b->pfns[i]);
		b->dma->daddrs[i] = dma_map_page(device, page, 0, PAGE_SIZE,
						 DMA_BIDIRECTIONAL);
		if (dma_mapping_error(device, b->dma->daddrs[i]))
			return -EIO;
	}
	return 0;
}

static int bench_plain_unmap(struct bench *b)
{
	unsigned long i;

	for (i = 0; i < b->run->npages; i++)
		dma_unmap_page(&b->dma->pdev->dev, b->dma->daddrs[i], PAGE_SIZE,
			       DMA_BIDIRECTIONAL);
	return 0;
}

static void bench_plain_unmap_after(struct bench *b)
{
	bench_plain_unmap(b);
}

static int bench_plain_map_before(struct bench *b)
{
	return bench_plain_before(b) ?: bench_plain_map(b);
}

static int bench_plain_both(struct bench *b)
{
	return bench_plain_map(b) ?: bench_plain_unmap(b);
}

const struct bench_op bench_dma_ops[] = {
	[HMM_BENCH_DMA_MAP - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_MMAP_READ,
		NULL, bench_dma_map, bench_dma_unmap_after,
	},
	[HMM_BENCH_DMA_UNMAP - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_UNLOCKED,
		bench_dma_map_before, bench_dma_unmap,
	},
	[HMM_BENCH_DMA_BOTH - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_MMAP_READ, NULL, bench_dma_both,
	},
	[HMM_BENCH_BATCH_MAP - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_MMAP_READ,
		NULL, bench_batch_map, bench_batch_unmap_after,
	},
	[HMM_BENCH_BATCH_UNMAP - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_UNLOCKED,
		bench_batch_map_before, bench_batch_unmap,
	},
	[HMM_BENCH_BATCH_BOTH - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_MMAP_READ, NULL, bench_batch_both,
	},
	[HMM_BENCH_PLAIN_MAP - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_UNLOCKED,
		bench_plain_before, bench_plain_map, bench_plain_unmap_after,
	},
	[HMM_BENCH_PLAIN_UNMAP - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_UNLOCKED,
		bench_plain_map_before, bench_plain_unmap,
	},
	[HMM_BENCH_PLAIN_BOTH - HMM_BENCH_DMA_FIRST] = {
		&bench_dma_family, BENCH_UNLOCKED,
		bench_plain_before, bench_plain_both,
	},
};
