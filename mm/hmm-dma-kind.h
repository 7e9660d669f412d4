/* SPDX-License-Identifier: GPL-2.0 */
/* Kinds of memory, as far as a bus is concerned, by pfn. */
#ifndef MM_HMM_DMA_KIND_H
#define MM_HMM_DMA_KIND_H

#include <linux/sizes.h>
#include <linux/types.h>

/* Memory is of one kind in each aligned block of so many pages */
#define HMM_DMA_ZONE_PAGES	(SZ_2M >> PAGE_SHIFT)

/**
 * enum hmm_dma_kind - kind of memory, as far as a bus is concerned
 * @HMM_DMA_RAM: ordinary memory
 * @HMM_DMA_DEVICE: memory of a device that the CPU uses like ordinary memory
 * @HMM_DMA_PEER: memory that no bus reaches, or only as the peer it is
 */
enum hmm_dma_kind {
	HMM_DMA_RAM,
	HMM_DMA_DEVICE,
	HMM_DMA_PEER,
};

/**
 * struct hmm_dma_known - pages whose kind has been looked up
 * @start: the first of them
 * @n: how many they are
 * @kind: the kind of all of them
 */
struct hmm_dma_known {
	unsigned long start;
	unsigned long n;
	enum hmm_dma_kind kind;
};

void hmm_dma_look_up(struct hmm_dma_known *known, unsigned long pfn);

static inline bool hmm_dma_is_known(const struct hmm_dma_known *known,
				    unsigned long pfn)
{
	return pfn - known->start < known->n;
}

/* The kind of memory at @pfn; reads no struct page. */
static inline enum hmm_dma_kind hmm_dma_kind(struct hmm_dma_known *known,
					     unsigned long pfn)
{
	if (!hmm_dma_is_known(known, pfn))
		hmm_dma_look_up(known, pfn);
	return known->kind;
}

#endif /* MM_HMM_DMA_KIND_H */
