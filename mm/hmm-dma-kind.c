// SPDX-License-Identifier: GPL-2.0
/*
 * Kinds of memory by pfn, for mm/hmm-dma.c.
 *
 * Nothing holds the page: its memory may be removed together with its struct
 * page. So the kind comes from the memory section and from the pagemap, and no
 * struct page is read.
 */
#include <linux/memory.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmzone.h>

#include "hmm-dma-kind.h"

#ifdef CONFIG_ZONE_DEVICE
/* The size of the aligned block around @pfn that is RAM alone; 0 if not. */
static unsigned long hmm_dma_ram_around(unsigned long pfn)
{
	struct mem_section *section = __pfn_to_section(pfn);

	if (online_section(section) && !online_device_section(section))
		return PAGES_PER_SECTION;
	return 0;
}
#else
static unsigned long hmm_dma_ram_around(unsigned long pfn)
{
	return 1UL << (BITS_PER_LONG - 1);
}
#endif

/*
 * The kind by its pagemap. A pagemap that is being removed is not found; the
 * range is invalid by then. Private memory has entries of its own and is not
 * mapped: it comes here only if the driver wrote the entry itself.
 */
static enum hmm_dma_kind hmm_dma_pagemap_kind(unsigned long pfn)
{
	struct dev_pagemap *pagemap = get_dev_pagemap(pfn, NULL);
	enum hmm_dma_kind kind = HMM_DMA_DEVICE;

	if (!pagemap)
		return HMM_DMA_RAM;
	if (pagemap->type == MEMORY_DEVICE_PCI_P2PDMA ||
	    pagemap->type == MEMORY_DEVICE_PRIVATE)
		kind = HMM_DMA_PEER;
	put_dev_pagemap(pagemap);
	return kind;
}

/* Looks @pfn up. RAM next to RAM that is known already extends it. */
void hmm_dma_look_up(struct hmm_dma_known *known, unsigned long pfn)
{
	unsigned long ram = hmm_dma_ram_around(pfn);
	unsigned long n = ram ?: HMM_DMA_ZONE_PAGES;
	unsigned long start = round_down(pfn, n);

	if (ram && known->n && known->kind == HMM_DMA_RAM) {
		if (start == known->start + known->n)
			start = known->start;
		if (start == known->start || start + n == known->start)
			n += known->n;
	}
	known->n = n;
	known->start = start;
	known->kind = ram ? HMM_DMA_RAM : hmm_dma_pagemap_kind(pfn);
}
