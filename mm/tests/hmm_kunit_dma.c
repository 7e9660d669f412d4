// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of DMA through HMM mirrors, on a device whose DMA operations
 * record the mapped pages. Most tests run both ways to map, page by page and as
 * a batch.
 *
 * tools/testing/selftests/mm/hmm-edu-tests.c covers that the IOVAs work, and
 * stop working, with a device that has a DMA engine.
 */
#include <kunit/device.h>
#include <kunit/static_stub.h>
#include <kunit/test-bug.h>
#include <kunit/test.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/iommu.h>
#include <linux/iommu-dma.h>
#include <linux/memblock.h>
#include <linux/mman.h>
#include <linux/of_device.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/swiotlb.h>

#include "../hmm-dma-kind.h"
#include "../hmm-internal.h"
#include "hmm_kunit.h"

#define HK_RW		(PROT_READ | PROT_WRITE)
/* Number of pages that the device can have mapped at a time */
#define HK_DMA_SLOTS	2048
/* An address that the device never returns */
#define HK_DMA_GARBAGE	0xa5a5a5a5a5a5a5a5ULL
#define HK_DMA_NEVER	ULONG_MAX
/* Set for each mapping */
#define HK_DMA_ATTRS	DMA_ATTR_SKIP_CPU_SYNC

struct hk_dma_slot {
	dma_addr_t addr;
	unsigned long pfn;
	enum dma_data_direction dir;
};

/**
 * struct hk_dma - a device that records its mappings
 * @test: the test
 * @dev: the device
 * @params: holds the size limit of a segment
 * @slots: one page each, of which @live are in use
 * @live: number of pages mapped now
 * @next: the next address
 * @calls: mapping operations so far
 * @unmaps: unmapping operations so far
 * @fail_at: number of the mapping operation that fails
 * @hook: called in the next mapping operation
 * @hook_addr: for @hook
 * @wrong: number of invalid arguments to the device's operations
 */
struct hk_dma {
	struct kunit *test;
	struct device *dev;
	struct device_dma_parameters params;
	struct hk_dma_slot slots[HK_DMA_SLOTS];
	unsigned int live;
	dma_addr_t next;
	unsigned long calls;
	unsigned long unmaps;
	unsigned long fail_at;
	void (*hook)(struct hk_dma *dma);
	unsigned long hook_addr;
	unsigned int wrong;
};

/* ------------------------------------------------------------ its operations */

static void hk_dma_add(struct hk_dma *dma, unsigned long pfn,
		       enum dma_data_direction dir)
{
	if (dma->live == HK_DMA_SLOTS) {
		dma->wrong++;
		return;
	}
	dma->slots[dma->live++] = (struct hk_dma_slot){
		.addr = dma->next, .pfn = pfn, .dir = dir,
	};
	dma->next += PAGE_SIZE;
}

static struct hk_dma_slot *hk_dma_find(struct hk_dma *dma, dma_addr_t addr)
{
	unsigned int i;

	for (i = 0; i < dma->live; i++)
		if (dma->slots[i].addr == addr)
			return &dma->slots[i];
	return NULL;
}

static void hk_dma_del(struct hk_dma *dma, dma_addr_t addr,
		       enum dma_data_direction dir)
{
	struct hk_dma_slot *slot = hk_dma_find(dma, addr);

	if (!slot || slot->dir != dir) {
		dma->wrong++;
		return;
	}
	*slot = dma->slots[--dma->live];
}

/* Returns true if this operation has to fail. */
static bool hk_dma_called(struct hk_dma *dma, unsigned long attrs)
{
	void (*hook)(struct hk_dma *dma) = dma->hook;

	dma->wrong += (attrs & HK_DMA_ATTRS) != HK_DMA_ATTRS;
	dma->hook = NULL;
	if (hook)
		hook(dma);
	return dma->calls++ == dma->fail_at;
}

static dma_addr_t hk_dma_map_page(struct device *dev, struct page *page,
				  unsigned long offset, size_t size,
				  enum dma_data_direction dir,
				  unsigned long attrs)
{
	struct hk_dma *dma = dev_get_drvdata(dev);
	dma_addr_t addr = dma->next;

	if (hk_dma_called(dma, attrs))
		return DMA_MAPPING_ERROR;
	dma->wrong += offset || size != PAGE_SIZE;
	hk_dma_add(dma, page_to_pfn(page), dir);
	/* Addresses are never contiguous */
	dma->next += PAGE_SIZE;
	return addr;
}

static void hk_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
			      enum dma_data_direction dir, unsigned long attrs)
{
	struct hk_dma *dma = dev_get_drvdata(dev);

	dma->unmaps++;
	dma->wrong += size != PAGE_SIZE;
	hk_dma_del(dma, addr, dir);
}

/*
 * Map to one run of addresses, as an IOMMU does, but return segments with the
 * lengths of the given ones in reverse order.
 */
static int hk_dma_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs)
{
	struct hk_dma *dma = dev_get_drvdata(dev);
	dma_addr_t addr = dma->next;
	struct scatterlist *sg;
	unsigned int *lens;
	int i;

	if (hk_dma_called(dma, attrs))
		return -ENOMEM;
	lens = kmalloc_array(nents, sizeof(*lens), GFP_KERNEL);
	if (!lens)
		return -ENOMEM;
	for_each_sg(sgl, sg, nents, i) {
		unsigned int done;

		dma->wrong += sg->offset || sg->length % PAGE_SIZE ||
			      sg->length > dma_get_max_seg_size(dev);
		for (done = 0; done < sg->length; done += PAGE_SIZE)
			hk_dma_add(dma, page_to_pfn(sg_page(sg)) +
				   (done >> PAGE_SHIFT), dir);
		lens[nents - 1 - i] = sg->length;
	}
	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = lens[i];
		addr += lens[i];
	}
	dma->next += PAGE_SIZE;
	kfree(lens);
	return nents;
}

static void hk_dma_unmap_sg(struct device *dev, struct scatterlist *sgl,
			    int nents, enum dma_data_direction dir,
			    unsigned long attrs)
{
	struct hk_dma *dma = dev_get_drvdata(dev);
	struct scatterlist *sg;
	int i;

	dma->unmaps++;
	for_each_sg(sgl, sg, nents, i) {
		unsigned int done;

		for (done = 0; done < sg_dma_len(sg); done += PAGE_SIZE)
			hk_dma_del(dma, sg_dma_address(sg) + done, dir);
	}
}

static void hk_dma_sync(struct device *dev, dma_addr_t addr, size_t size,
			enum dma_data_direction dir)
{
}

static void hk_dma_sync_sg(struct device *dev, struct scatterlist *sgl,
			   int nents, enum dma_data_direction dir)
{
}

#define HK_DMA_MAPPING					\
	.map_page	= hk_dma_map_page,		\
	.unmap_page	= hk_dma_unmap_page,		\
	.map_sg		= hk_dma_map_sg,		\
	.unmap_sg	= hk_dma_unmap_sg

static const struct dma_map_ops hk_dma_ops = { HK_DMA_MAPPING };

static const struct dma_map_ops hk_dma_sync_ops[] = {
	{ HK_DMA_MAPPING, .sync_single_for_cpu = hk_dma_sync },
	{ HK_DMA_MAPPING, .sync_single_for_device = hk_dma_sync },
	{ HK_DMA_MAPPING, .sync_sg_for_cpu = hk_dma_sync_sg },
	{ HK_DMA_MAPPING, .sync_sg_for_device = hk_dma_sync_sg },
};

static struct device *hk_device(struct kunit *test, u64 mask)
{
	struct device *dev = kunit_device_register(test, "hmm-dma");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	dev->coherent_dma_mask = mask;
	dev->dma_mask = &dev->coherent_dma_mask;
	/* Some architectures take a device for not coherent by default */
	arch_setup_dma_ops(dev, true);
	return dev;
}

static struct hk_dma *hk_dma(struct kunit *test)
{
	struct hk_dma *dma = kunit_kzalloc(test, sizeof(*dma), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, dma);
	dma->test = test;
	dma->fail_at = HK_DMA_NEVER;
	dma->next = 0x40000000;
	dma->dev = hk_device(test, DMA_BIT_MASK(64));
	dma->dev->dma_parms = &dma->params;
	dev_set_drvdata(dma->dev, dma);
	set_dma_ops(dma->dev, &hk_dma_ops);
	return dma;
}

/* ------------------------------------------------------- what a test maps */

/* A way to map; the parameter of most tests. */
struct hk_dma_way {
	const char *name;
	bool batch;
};

static const struct hk_dma_way hk_dma_ways[] = {
	{ .name = "page_by_page" },
	{ .name = "batch", .batch = true },
};

static void hk_dma_describe(const struct hk_dma_way *way, char *desc)
{
	strscpy(desc, way->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(hk_dma_way, hk_dma_ways, hk_dma_describe);

/* The number of operations that a batch of @pages in @lists takes. */
static unsigned long hk_dma_batch_ops(unsigned long pages, unsigned long lists)
{
	return lists;
}

static bool hk_batch(struct kunit *test)
{
	const struct hk_dma_way *way = test->param_value;

	return way && way->batch;
}

/* A range and its mapping. */
struct hk_dma_map {
	struct hmm_range *range;
	unsigned long npages;
	dma_addr_t *daddrs;
	struct hmm_dma_batch batch;
};

static struct hk_dma_map *hk_dma_map_alloc(struct kunit *test,
					   struct hmm_range *range)
{
	struct hk_dma_map *map = kunit_kzalloc(test, sizeof(*map), GFP_KERNEL);
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, map);
	map->range = range;
	map->npages = (range->end - range->start) >> PAGE_SHIFT;
	map->daddrs = kunit_kmalloc_array(test, map->npages,
					  sizeof(*map->daddrs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, map->daddrs);
	/* Neither needs initialisation */
	for (i = 0; i < map->npages; i++)
		map->daddrs[i] = HK_DMA_GARBAGE;
	memset(&map->batch, 0xa5, sizeof(map->batch));
	return map;
}

static long hk_dma_map(struct kunit *test, struct hk_dma_map *map,
		       struct device *dev)
{
	struct hk *hk = test->priv;
	long ret;

	mmap_read_lock(hk->mm);
	if (hk_batch(test))
		ret = hmm_range_dma_map_batch(map->range, dev, map->daddrs,
					      &map->batch, 0);
	else
		ret = hmm_range_dma_map(map->range, dev, map->daddrs, 0);
	mmap_read_unlock(hk->mm);
	return ret;
}

static long hk_dma_unmap(struct kunit *test, struct hk_dma_map *map,
			 struct device *dev, bool dirty)
{
	if (hk_batch(test))
		return hmm_range_dma_unmap_batch(map->range, dev, map->daddrs,
						 &map->batch, dirty);
	return hmm_range_dma_unmap(map->range, dev, map->daddrs, dirty);
}

/* Check the mapping of one entry. */
static bool hk_dma_right(struct hk_dma *dma, u64 entry, dma_addr_t daddr)
{
	struct hk_dma_slot *slot;

	if (!(entry & HK_V) || entry & HK_P)
		return !daddr;
	slot = hk_dma_find(dma, daddr);
	return slot && slot->pfn == entry >> HK_SHIFT &&
	       slot->dir == (entry & HK_W ? DMA_BIDIRECTIONAL : DMA_TO_DEVICE);
}

/* The device must have mapped the pages of the range, and no others. */
static void hk_dma_expect_mapped(struct hk_dma *dma, struct hk_dma_map *map,
				 unsigned int mapped)
{
	unsigned long i, wrong = 0;

	for (i = 0; i < map->npages; i++)
		wrong +=
			!hk_dma_right(dma, map->range->pfns[i], map->daddrs[i]);
	KUNIT_EXPECT_EQ(dma->test, wrong, 0);
	KUNIT_EXPECT_EQ(dma->test, dma->live, mapped);
	KUNIT_EXPECT_EQ(dma->test, dma->wrong, 0);
}

static void hk_dma_expect_nothing(struct hk_dma *dma, struct hk_dma_map *map)
{
	unsigned long i, wrong = 0;

	for (i = 0; i < map->npages; i++)
		wrong += map->daddrs[i] != 0;
	KUNIT_EXPECT_EQ(dma->test, wrong, 0);
	KUNIT_EXPECT_EQ(dma->test, dma->live, 0);
	KUNIT_EXPECT_EQ(dma->test, dma->wrong, 0);
}

/*
 * 16 pages: odd pages are requested for writing, and writable. Every second
 * even page is requested for reading, and is the zero page. The others are not
 * requested.
 */
#define HK_MIX		16
#define HK_MIX_MAPPED	12

static u64 hk_mix_request(unsigned long i)
{
	if (i % 2)
		return HK_V | HK_W;
	return i % 4 ? 0 : HK_V;
}

static struct hk_dma_map *hk_dma_mix(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, HK_MIX), HK_MIX);
	unsigned long i;

	hk_request_each(range);
	for (i = 0; i < HK_MIX; i++)
		range->pfns[i] = hk_mix_request(i);
	return hk_dma_map_alloc(test, range);
}

static void hk_dma_expect_requests(struct kunit *test, struct hk_dma_map *map)
{
	unsigned long i, wrong = 0;

	for (i = 0; i < HK_MIX; i++)
		wrong += map->range->pfns[i] != hk_mix_request(i);
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/* --------------------------------------------------------------------- tests */

static void maps_each_page_for_what_it_allows(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);

	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), HK_MIX_MAPPED);
	hk_dma_expect_mapped(dma, map, HK_MIX_MAPPED);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, map->range));
	if (hk_batch(test))
		KUNIT_EXPECT_EQ(test, dma->calls,
				hk_dma_batch_ops(HK_MIX_MAPPED, 2));
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, false),
			HK_MIX_MAPPED);
	hk_dma_expect_nothing(dma, map);
	KUNIT_EXPECT_EQ(test, hk_count(map->range, HK_V), 0);
	if (hk_batch(test))
		KUNIT_EXPECT_EQ(test, dma->unmaps,
				hk_dma_batch_ops(HK_MIX_MAPPED, 2));
	/* A second unmap does nothing. */
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, true), 0);
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(map->range);
}

static void unlocked_call_maps_the_same(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);
	struct hmm_range *range = map->range;
	struct hk_inval *inval;

	inval = hk_start(test, range->start, range->end);
	KUNIT_EXPECT_EQ(test, hmm_range_dma_map_unlocked(range, dma->dev,
							 map->daddrs, 0, 0),
			-EBUSY);
	hk_dma_expect_requests(test, map);
	hk_dma_expect_nothing(dma, map);
	hk_end(inval);
	KUNIT_EXPECT_EQ(test, hmm_range_dma_map_unlocked(range, dma->dev,
							 map->daddrs, 0,
							 HK_LONG_MS),
			HK_MIX_MAPPED);
	hk_dma_expect_mapped(dma, map, HK_MIX_MAPPED);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hmm_range_dma_unmap(range, dma->dev, map->daddrs,
						  false), HK_MIX_MAPPED);
	hmm_range_unregister(range);
}

/* A device that never writes has no bit for it. */
static void without_a_write_bit_all_is_mapped_for_reading(struct kunit *test)
{
	static const u64 flags[HMM_PFN_FLAG_MAX] = { [HMM_PFN_VALID] = HK_V };
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range_alloc(test, addr, 4);
	struct hk *hk = test->priv;
	struct hk_dma_map *map;

	range->flags = flags;
	hk_write(test, addr, 4);
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	map = hk_dma_map_alloc(test, range);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 4);
	hk_dma_expect_mapped(dma, map, 4);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, true), 4);
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(range);
}

/* A value may have the bit of VALID, if no page can have all of its bits. */
static void value_with_the_bit_of_valid_is_not_mapped(struct kunit *test)
{
	static const u64 values[HMM_PFN_VALUE_MAX] = {
		[HMM_PFN_ERROR] = HK_V | BIT_ULL(3),
		[HMM_PFN_NONE] = HK_V | BIT_ULL(4),
		[HMM_PFN_SPECIAL] = HK_V | BIT_ULL(5),
	};
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_huge(test, 1);
	struct hmm_range *range = hk_range_alloc(test, addr, 6);
	struct hk *hk = test->priv;
	struct hk_dma_map *map;

	hk_write(test, addr, 1);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + 5 * PAGE_SIZE, PAGE_SIZE), 0);
	KUNIT_ASSERT_EQ(test, do_madvise(hk->mm, addr + 3 * PAGE_SIZE,
					 PAGE_SIZE, MADV_DONTNEED), 0);
	range->values = values;
	hk_request(range, 0);
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	map = hk_dma_map_alloc(test, range);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 4);
	KUNIT_EXPECT_EQ(test, range->pfns[3], values[HMM_PFN_NONE]);
	KUNIT_EXPECT_EQ(test, range->pfns[5], values[HMM_PFN_ERROR]);
	KUNIT_EXPECT_EQ(test, map->daddrs[3], 0);
	KUNIT_EXPECT_EQ(test, map->daddrs[5], 0);
	KUNIT_EXPECT_EQ(test, dma->live, 4);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, true), 4);
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(range);
}

static void private_memory_is_left_out(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_dma *dma = hk_dma(test);
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 6);
	struct hmm_range *range = hk_range(test, addr, 6);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);

	hk->dev->mirror.dev_private_owner = hk;
	hk_write(test, addr, 6);
	hk_to_device(test, mem, addr + PAGE_SIZE);
	hk_to_device(test, mem, addr + 5 * PAGE_SIZE);
	hk_request(range, HK_V);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 4);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_P), 2);
	hk_dma_expect_mapped(dma, map, 4);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, false), 4);
	hk_dma_expect_nothing(dma, map);
	/* Private memory was not mapped, so its entries stay. */
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_P), 2);
	hmm_range_unregister(range);
}

static void peer_memory_is_refused(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_devmem *mem = hk_busmem(test, MEMORY_DEVICE_PCI_P2PDMA);
	unsigned long addr = hk_anon(test, 3);
	struct hmm_range *range = hk_range(test, addr, 3);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	pte_t old;

	hk_write(test, addr, 3);
	old = hk_set_pte(test, addr + PAGE_SIZE,
			 hk_devmem_pte(mem, mem->next, PAGE_READONLY));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 3);
	KUNIT_EXPECT_EQ(test, range->pfns[1], hk_entry(mem->next, HK_V));
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EREMOTEIO);
	hk_dma_expect_nothing(dma, map);
	hk_set_pte(test, addr + PAGE_SIZE, old);
	hmm_range_unregister(range);
}

/* The pagemap has the type of the memory; the struct page may be gone. */
static void peer_memory_is_refused_without_its_page(struct kunit *test)
{
	struct hk_devmem *mem = hk_busmem(test, MEMORY_DEVICE_PCI_P2PDMA);
	struct page *page = pfn_to_page(mem->next);
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_anon(test, 1);
	struct hk_dma_map *map =
		hk_dma_map_alloc(test, hk_range(test, addr, 1));
	pte_t old;

	hk_write(test, addr, 1);
	old = hk_set_pte(test, addr,
			 hk_devmem_pte(mem, mem->next, PAGE_READONLY));
	set_page_zone(page, ZONE_NORMAL);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EREMOTEIO);
	set_page_zone(page, ZONE_DEVICE);
	hk_dma_expect_nothing(dma, map);
	hk_set_pte(test, addr, old);
	hmm_range_unregister(map->range);
}

/* Memory of devices that the CPU uses like RAM. */
static const enum memory_type hk_dma_busmem[] = {
	MEMORY_DEVICE_COHERENT, MEMORY_DEVICE_FS_DAX, MEMORY_DEVICE_GENERIC,
};

/* RAM, device memory for writing, device memory for reading, and RAM. */
static void memory_of_other_devices_is_mapped(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(hk_dma_busmem); i++) {
		struct hk_devmem *mem = hk_busmem(test, hk_dma_busmem[i]);
		unsigned long addr = hk_anon(test, 4);
		struct hmm_range *range = hk_range(test, addr, 4);
		struct hk_dma_map *map = hk_dma_map_alloc(test, range);
		pte_t old[2];

		hk_write(test, addr, 4);
		old[0] = hk_set_pte(test, addr + PAGE_SIZE,
				    hk_devmem_pte(mem, mem->next, PAGE_SHARED));
		old[1] = hk_set_pte(test, addr + 2 * PAGE_SIZE,
				    hk_devmem_pte(mem, mem->next + 1,
						  PAGE_READONLY));
		KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 4);
		KUNIT_EXPECT_EQ(test, range->pfns[1],
				hk_entry(mem->next, HK_V | HK_W));
		KUNIT_EXPECT_EQ(test, range->pfns[2],
				hk_entry(mem->next + 1, HK_V));
		hk_dma_expect_mapped(dma, map, 4);
		KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, false),
				4);
		hk_dma_expect_nothing(dma, map);
		hk_set_pte(test, addr + PAGE_SIZE, old[0]);
		hk_set_pte(test, addr + 2 * PAGE_SIZE, old[1]);
		hmm_range_unregister(range);
	}
}

/* Returns the pfn of the first of @nr memory sections in a row that are RAM. */
static unsigned long hk_ram_sections(struct kunit *test, unsigned int nr)
{
	struct hmm_dma_known known;
	unsigned long pfn;
	unsigned int found = 0;

	for (pfn = 0; pfn < max_pfn && found < nr; pfn += PAGES_PER_SECTION) {
		known = (struct hmm_dma_known){};
		if (pfn_valid(pfn) && hmm_dma_kind(&known, pfn) == HMM_DMA_RAM)
			found++;
		else
			found = 0;
	}
	KUNIT_ASSERT_EQ(test, found, nr);
	return pfn - nr * PAGES_PER_SECTION;
}

static void hk_look_up(struct kunit *test, struct hmm_dma_known *known,
		       unsigned long pfn, unsigned long start, unsigned long nr)
{
	hmm_dma_look_up(known, pfn);
	KUNIT_EXPECT_EQ(test, known->kind, HMM_DMA_RAM);
	KUNIT_EXPECT_EQ(test, known->start, start);
	KUNIT_EXPECT_EQ(test, known->n, nr * PAGES_PER_SECTION);
}

/* RAM that is known grows by the sections beside it, and not over a gap. */
static void known_memory_grows_by_its_neighbours(struct kunit *test)
{
	const unsigned long size = PAGES_PER_SECTION;
	struct hk_devmem *mem = hk_busmem(test, MEMORY_DEVICE_COHERENT);
	unsigned long dev = round_down(mem->next, HMM_DMA_ZONE_PAGES);
	unsigned long ram = hk_ram_sections(test, 4);
	struct hmm_dma_known known = {};

	hk_look_up(test, &known, ram + size + 1, ram + size, 1);
	hk_look_up(test, &known, ram + 2 * size, ram + size, 2);
	hk_look_up(test, &known, ram + size - 1, ram, 3);
	known = (struct hmm_dma_known){};
	hk_look_up(test, &known, ram, ram, 1);
	hk_look_up(test, &known, ram + 2 * size, ram + 2 * size, 1);
	hk_look_up(test, &known, ram, ram, 1);
	/* Nor by other memory. */
	known.start = dev - known.n;
	KUNIT_EXPECT_EQ(test, hmm_dma_kind(&known, dev), HMM_DMA_DEVICE);
	KUNIT_EXPECT_EQ(test, known.start, dev);
	KUNIT_EXPECT_EQ(test, known.n, HMM_DMA_ZONE_PAGES);
	known.start = ram - known.n;
	hk_look_up(test, &known, ram, ram, 1);
}

/* Private memory must not be mapped if the encoding has no bit for it. */
static void private_memory_without_a_bit_is_not_mapped(struct kunit *test)
{
	static const u64 flags[HMM_PFN_FLAG_MAX] = {
		[HMM_PFN_VALID] = HK_V, [HMM_PFN_WRITE] = HK_W,
	};
	struct hk *hk = test->priv;
	struct hk_dma *dma = hk_dma(test);
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range_alloc(test, addr, 1);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	unsigned long pfn;
	unsigned int i;

	hk->dev->mirror.dev_private_owner = hk;
	range->flags = flags;
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	hk_write(test, addr, 1);
	pfn = hk_to_device(test, mem, addr);
	hk_request(range, HK_V);
	hk_dma_map(test, map, dma->dev);
	for (i = 0; i < dma->live; i++)
		KUNIT_EXPECT_NE(test, dma->slots[i].pfn, pfn);
	hk_dma_unmap(test, map, dma->dev, false);
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(range);
}

/* Let each operation in turn fail; nothing must stay mapped. */
static void mapping_that_fails_leaves_nothing(struct kunit *test)
{
	unsigned long operations =
		hk_batch(test) ? hk_dma_batch_ops(HK_MIX_MAPPED, 2) :
				 HK_MIX_MAPPED;
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);
	unsigned long i;

	for (i = 0; i < operations; i++) {
		dma->calls = 0;
		dma->fail_at = i;
		KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EIO);
		KUNIT_EXPECT_EQ(test, dma->calls, i + 1);
		hk_dma_expect_nothing(dma, map);
		hk_dma_expect_requests(test, map);
	}
	dma->fail_at = HK_DMA_NEVER;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), HK_MIX_MAPPED);
	hk_dma_expect_mapped(dma, map, HK_MIX_MAPPED);
	hk_dma_unmap(test, map, dma->dev, false);
	hmm_range_unregister(map->range);
}

/* The address 0 means that nothing is mapped. */
static void address_0_is_no_address(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_anon(test, 2);
	struct hk_dma_map *map;

	hk_write(test, addr, 2);
	map = hk_dma_map_alloc(test, hk_range(test, addr, 2));
	dma->next = 0;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EIO);
	hk_dma_expect_nothing(dma, map);
	KUNIT_EXPECT_EQ(test, dma->unmaps, 1);
	hmm_range_unregister(map->range);
}

static void hk_dma_invalidate(struct hk_dma *dma)
{
	hk_invalidate(dma->test, dma->hook_addr, dma->hook_addr + PAGE_SIZE);
}

static void invalidation_before_all_is_mapped_is_ebusy(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);

	dma->hook = hk_dma_invalidate;
	dma->hook_addr = map->range->end - PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EBUSY);
	KUNIT_EXPECT_NULL(test, dma->hook);
	hk_dma_expect_nothing(dma, map);
	hk_dma_expect_requests(test, map);
	/* An invalidation next to the range does not collide. */
	dma->hook = hk_dma_invalidate;
	dma->hook_addr = map->range->end;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), HK_MIX_MAPPED);
	KUNIT_EXPECT_NULL(test, dma->hook);
	hk_dma_expect_mapped(dma, map, HK_MIX_MAPPED);
	hk_dma_unmap(test, map, dma->dev, false);
	hmm_range_unregister(map->range);
}

static void hk_dma_kill(struct hk_dma *dma)
{
	sigaddset(&current->pending.signal, SIGKILL);
	set_tsk_thread_flag(current, TIF_SIGPENDING);
}

/*
 * Map two pages with so many entries between them that the core calls
 * cond_resched() in between.
 */
static void fatal_signal_ends_a_long_mapping(struct kunit *test)
{
	const unsigned long npages = SZ_64K + 1;
	unsigned long addr = hk_anon(test, npages);
	struct hmm_range *range = hk_range(test, addr, npages);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	struct hk_dma *dma = hk_dma(test);

	hk_request_each(range);
	range->pfns[0] = HK_V | HK_W;
	range->pfns[npages - 1] = HK_V | HK_W;
	dma->hook = hk_dma_kill;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EINTR);
	sigdelset(&current->pending.signal, SIGKILL);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	KUNIT_EXPECT_EQ(test, dma->calls, 1);
	hk_dma_expect_nothing(dma, map);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, range->pfns[npages - 1], HK_V | HK_W);
	hmm_range_unregister(range);
}

/* The first page fails, and the entries after its part were never mapped. */
static void failure_in_the_first_part_leaves_nothing(struct kunit *test)
{
	const unsigned long npages = SZ_64K + 1;
	unsigned long addr = hk_anon(test, npages);
	struct hmm_range *range = hk_range(test, addr, npages);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	struct hk_dma *dma = hk_dma(test);

	hk_request_each(range);
	range->pfns[0] = HK_V | HK_W;
	dma->fail_at = 0;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EIO);
	hk_dma_expect_nothing(dma, map);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_V | HK_W);
	hmm_range_unregister(range);
}

static int hk_dma_settle(struct hmm *hmm, struct hmm_range *range)
{
	struct kunit *test = kunit_get_current_test();
	int ret;

	kunit_deactivate_static_stub(test, hmm_cursor_settle);
	ret = hmm_cursor_settle(hmm, range);
	hk_invalidate(test, range->start, range->start + PAGE_SIZE);
	return ret;
}

/* The fault has succeeded, and nothing is mapped yet. */
static void invalidation_after_the_fault_is_ebusy(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);

	kunit_activate_static_stub(test, hmm_cursor_settle, hk_dma_settle);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EBUSY);
	KUNIT_EXPECT_EQ(test, dma->calls, 0);
	hk_dma_expect_nothing(dma, map);
	hk_dma_expect_requests(test, map);
	hmm_range_unregister(map->range);
}

static void fault_that_fails_leaves_nothing(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);
	struct hmm_range *range = map->range;
	struct hk_inval *inval = hk_start(test, range->start, range->end);

	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EBUSY);
	hk_dma_expect_nothing(dma, map);
	hk_dma_expect_requests(test, map);
	hk_end(inval);
	hk_remap(test, range->start + PAGE_SIZE, 1, NULL, PROT_READ);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EPERM);
	KUNIT_EXPECT_EQ(test, dma->calls, 0);
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(range);
	/* Nor is an unregistered range faulted. */
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), -EINVAL);
	hk_dma_expect_nothing(dma, map);
}

/* Unmap as a callback does, through its own range that is not registered. */
static void part_of_a_range_is_unmapped(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_anon(test, 8);
	struct hmm_range *range = hk_range(test, addr, 8);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	struct hmm_range part = {
		.start = addr + 2 * PAGE_SIZE,
		.end = addr + 5 * PAGE_SIZE,
		.pfns = range->pfns + 2,
		.flags = range->flags,
		.values = range->values,
		.pfn_shift = range->pfn_shift,
	};

	hk_write(test, addr, 8);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 8);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_unmap(&part, dma->dev, map->daddrs + 2,
					    false),
			3);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 5);
	KUNIT_EXPECT_EQ(test, range->pfns[2], HK_NONE);
	KUNIT_EXPECT_EQ(test, range->pfns[4], HK_NONE);
	hk_dma_expect_mapped(dma, map, 5);
	hmm_range_unregister(range);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, false), 5);
	hk_dma_expect_nothing(dma, map);
}

/* Files whose folios the CPU has read, but not written. */
static void dirty_marks_what_the_device_could_write(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct file *file = hk_shmem_file(test, 4 * PAGE_SIZE);
	unsigned long addr =
		hk_map(test, file, 4 * PAGE_SIZE, HK_RW, MAP_SHARED);
	struct hmm_range *range = hk_range(test, addr, 4);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	struct folio *folio[4];
	int i;

	hk_request(range, HK_V | HK_W);
	hk_remap(test, addr + 3 * PAGE_SIZE, 1, NULL, HK_RW);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 4);
	for (i = 0; i < 4; i++) {
		folio[i] = page_folio(pfn_to_page(range->pfns[i] >> HK_SHIFT));
		folio_clear_dirty(folio[i]);
	}
	/* The folios must only be dirtied on request */
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, false), 4);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_FALSE(test, folio_test_dirty(folio[i]));

	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 4);
	for (i = 0; i < 4; i++)
		folio_clear_dirty(folio[i]);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, true), 4);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test, folio_test_dirty(folio[i]));
	hmm_range_unregister(range);
}

static void dirty_leaves_read_only_pages_clean(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct file *file = hk_shmem_file(test, PAGE_SIZE);
	unsigned long addr =
		hk_map(test, file, PAGE_SIZE, PROT_READ, MAP_SHARED);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	struct folio *folio;

	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 1);
	folio = page_folio(pfn_to_page(range->pfns[0] >> HK_SHIFT));
	folio_clear_dirty(folio);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, true), 1);
	KUNIT_EXPECT_FALSE(test, folio_test_dirty(folio));
	hmm_range_unregister(range);
}

/* From the middle of one huge page to the next: both folios become dirty. */
static void huge_pages(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_huge(test, 2);
	unsigned long first = addr + 100 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, first, HPAGE_PMD_NR);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	struct folio *folio[2];
	int i;

	hk_write(test, addr, 1);
	hk_write(test, addr + PMD_SIZE, 1);
	folio[0] = hk_folio(test, addr);
	folio[1] = hk_folio(test, addr + PMD_SIZE);
	KUNIT_EXPECT_TRUE(test, folio_test_large(folio[0]));
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), HPAGE_PMD_NR);
	hk_dma_expect_mapped(dma, map, HPAGE_PMD_NR);
	for (i = 0; i < 2; i++)
		folio_clear_dirty(folio[i]);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, true),
			HPAGE_PMD_NR);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_TRUE(test, folio_test_dirty(folio[i]));
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(range);
}

static void hugetlb_pages(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct file *file = hk_hugetlb_file(test, 1);
	unsigned long addr = hk_map(test, file, PMD_SIZE, HK_RW, MAP_SHARED);
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);

	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), HPAGE_PMD_NR);
	hk_dma_expect_mapped(dma, map, HPAGE_PMD_NR);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, true),
			HPAGE_PMD_NR);
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(range);
}

static void pages_of_a_mixed_mapping(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 3);
	unsigned long addr;
	struct hmm_range *range;
	struct hk_dma_map *map;

	hf->vm_flags = VM_MIXEDMAP;
	addr = hk_map(test, hf->file, 3 * PAGE_SIZE, HK_RW, MAP_SHARED);
	range = hk_range(test, addr, 3);
	map = hk_dma_map_alloc(test, range);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev), 3);
	hk_dma_expect_mapped(dma, map, 3);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, false), 3);
	hmm_range_unregister(range);
}

/* Two ranges over one page: the DMA debugger has nothing to ret. */
static void page_in_two_ranges(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_anon(test, 2);
	struct hk_dma_map *map[2];
	int i;

	hk_write(test, addr, 2);
	for (i = 0; i < 2; i++) {
		map[i] = hk_dma_map_alloc(test, hk_range(test, addr, 2));
		KUNIT_EXPECT_EQ(test, hk_dma_map(test, map[i], dma->dev), 2);
		hk_dma_expect_mapped(dma, map[i], 2 * i + 2);
	}
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map[0], dma->dev, true), 2);
	hk_dma_expect_mapped(dma, map[1], 2);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map[1], dma->dev, true), 2);
	for (i = 0; i < 2; i++)
		hmm_range_unregister(map[i]->range);
}

/* Random requests over random memory, mapped both ways. */
static void random_mixtures(struct kunit *test)
{
	const unsigned long npages = 600;
	struct hk_dma *dma = hk_dma(test);
	struct rnd_state rnd;
	int round;

	prandom_seed_state(&rnd, 42);
	dma_set_max_seg_size(dma->dev, 8 * PAGE_SIZE);
	for (round = 0; round < 20; round++) {
		unsigned long i, addr = hk_anon(test, npages);
		struct hmm_range *range = hk_range(test, addr, npages);
		struct hk_dma_map *map = hk_dma_map_alloc(test, range);
		long mapped;

		hk_request_each(range);
		for (i = 0; i < npages; i++) {
			u32 r = prandom_u32_state(&rnd);

			if (r % 3 == 0)
				hk_write(test, addr + i * PAGE_SIZE, 1);
			range->pfns[i] = (r & 8 ? HK_V : 0) |
					 (r & 16 ? HK_W : 0);
		}
		mapped = hk_dma_map(test, map, dma->dev);
		KUNIT_EXPECT_EQ(test, mapped, hk_count(range, HK_V));
		hk_dma_expect_mapped(dma, map, mapped);
		KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dma->dev, false),
				mapped);
		hk_dma_expect_nothing(dma, map);
		hmm_range_unregister(range);
	}
}

/* --------------------------------------------------- devices and arguments */

static void device_that_cannot_reach_all_is_refused(struct kunit *test)
{
	struct hk_dma_map *map = hk_dma_mix(test);
	struct device *dev = hk_device(test, DMA_BIT_MASK(28));
	struct io_tlb_mem bounce = { .force_bounce = true };
	struct io_tlb_mem *usual = dev->dma_io_tlb_mem;

	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), -EOPNOTSUPP);
	hk_dma_expect_requests(test, map);
	/* If the device reaches all memory, it is mapped directly, */
	dev->coherent_dma_mask = DMA_BIT_MASK(64);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), HK_MIX_MAPPED);
	KUNIT_EXPECT_EQ(test, map->daddrs[1],
			PFN_PHYS(map->range->pfns[1] >> HK_SHIFT));
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dev, false),
			HK_MIX_MAPPED);
	/* unless everything is bounced. */
	dev->dma_io_tlb_mem = &bounce;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), -EOPNOTSUPP);
	dev->dma_io_tlb_mem = usual;
	hmm_range_unregister(map->range);
}

static void device_that_is_not_coherent_is_refused(struct kunit *test)
{
	struct device *dev = hk_device(test, DMA_BIT_MASK(64));
	struct hk_dma_map *map;

	arch_setup_dma_ops(dev, false);
	if (dev_is_dma_coherent(dev))
		kunit_skip(test, "every device is coherent here");
	map = hk_dma_mix(test);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), -EOPNOTSUPP);
	hk_dma_expect_requests(test, map);
	arch_setup_dma_ops(dev, true);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), HK_MIX_MAPPED);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dev, false),
			HK_MIX_MAPPED);
	hmm_range_unregister(map->range);
}

/* Xen's operations sync memory that they have bounced. */
static void operations_that_sync_are_refused(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);
	int i;

	for (i = 0; i < ARRAY_SIZE(hk_dma_sync_ops); i++) {
		set_dma_ops(dma->dev, &hk_dma_sync_ops[i]);
		KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dma->dev),
				-EOPNOTSUPP);
		hk_dma_expect_nothing(dma, map);
		hk_dma_expect_requests(test, map);
	}
	set_dma_ops(dma->dev, &hk_dma_ops);
	KUNIT_EXPECT_EQ(test, dma->calls, 0);
	hmm_range_unregister(map->range);
}

static void hk_dma_bounce(struct vm_fault *vmf, void *arg)
{
	struct io_tlb_mem *bounce = arg;

	bounce->force_bounce = true;
}

/* Bouncing starts after the first check, so only the mapping shows it. */
static void mapping_that_bounces_is_refused(struct kunit *test)
{
	struct device *dev = hk_device(test, DMA_BIT_MASK(64));
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 2);
	unsigned long i, addr =
		hk_map(test, hf->file, 2 * PAGE_SIZE, HK_RW, MAP_SHARED);
	struct hk_dma_map *map =
		hk_dma_map_alloc(test, hk_range(test, addr, 2));
	struct io_tlb_mem *bounce = dev->dma_io_tlb_mem;

	if (!bounce || !bounce->nslabs)
		kunit_skip(test, "there is no memory to bounce through");
	hf->hook = hk_dma_bounce;
	hf->hook_arg = bounce;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), -EOPNOTSUPP);
	KUNIT_EXPECT_TRUE(test, bounce->force_bounce);
	bounce->force_bounce = false;
	hf->hook = NULL;
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, map->daddrs[i], 0);
	/* Without bouncing, the same range can be mapped. */
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), 2);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dev, false), 2);
	hmm_range_unregister(map->range);
}

/* max_pfn may be that of memory that a test has added. */
static u64 hk_ram_mask(void)
{
	unsigned long end = 0;
	struct zone *zone;

	for_each_populated_zone(zone)
		end = max(end, zone_end_pfn(zone));
	return DMA_BIT_MASK(fls64(PFN_PHYS(end) - 1));
}

/*
 * The device reaches all of RAM, but not the memory of another device. Where
 * the DMA API takes that for RAM, the device is refused for all memory.
 */
static void memory_beyond_the_device_is_refused(struct kunit *test)
{
	u64 ram = hk_ram_mask();
	struct hk_devmem *mem = hk_busmem(test, MEMORY_DEVICE_COHERENT);
	struct device *dev = hk_device(test, ram);
	unsigned long i, addr = hk_anon(test, 2);
	struct hk_dma_map *map =
		hk_dma_map_alloc(test, hk_range(test, addr, 2));
	pte_t old;

	KUNIT_ASSERT_GT(test, PFN_PHYS(mem->next), ram);
	hk_write(test, addr, 2);
	if (!dma_addressing_limited(dev)) {
		KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), 2);
		KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dev, false), 2);
	}
	old = hk_set_pte(test, addr + PAGE_SIZE,
			 hk_devmem_pte(mem, mem->next, PAGE_SHARED));
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), -EOPNOTSUPP);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, map->daddrs[i], 0);
	hk_set_pte(test, addr + PAGE_SIZE, old);
	hmm_range_unregister(map->range);
}

/* No operation of the device is called, so a name is enough. */
static void device_that_is_not_trusted_is_refused(struct kunit *test)
{
	struct pci_dev *pdev = kunit_kzalloc(test, sizeof(*pdev), GFP_KERNEL);
	struct hk_dma_map *map = hk_dma_mix(test);

	KUNIT_ASSERT_NOT_NULL(test, pdev);
	pdev->dev.bus = &pci_bus_type;
	pdev->dev.dma_iommu = true;
	pdev->untrusted = true;
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, &pdev->dev), -EOPNOTSUPP);
	hk_dma_expect_requests(test, map);
	hmm_range_unregister(map->range);
}

/* ------------------------------------------------------- behind an IOMMU */

static void hk_put_pci(void *arg)
{
	pci_dev_put(arg);
}

/* With a device tree, a device has no IOMMU before a driver is bound to it. */
static bool hk_has_iommu(struct pci_dev *pdev)
{
	struct device *parent = pci_find_host_bridge(pdev->bus)->dev.parent;

	if (parent && parent->of_node)
		of_dma_configure(&pdev->dev, parent->of_node, true);
	return use_dma_iommu(&pdev->dev);
}

/* QEMU's edu device, with or without a driver. */
static struct device *hk_iommu_device(struct kunit *test)
{
	struct pci_dev *pdev = NULL;

	do {
		pdev = pci_get_device(0x1234, 0x11e8, pdev);
	} while (pdev && !hk_has_iommu(pdev));
	if (!pdev)
		kunit_skip(test, "there is no edu device behind an IOMMU");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, hk_put_pci, pdev),
			0);
	return &pdev->dev;
}

/* Each address must lead to its page. */
static void hk_expect_iommu(struct kunit *test, struct hk_dma_map *map,
			    struct iommu_domain *domain)
{
	unsigned long i, wrong = 0;

	for (i = 0; i < map->npages; i++) {
		u64 entry = map->range->pfns[i];
		dma_addr_t addr = map->daddrs[i];

		if (entry & HK_V && !(entry & HK_P))
			wrong += !addr || iommu_iova_to_phys(domain, addr) !=
						  PFN_PHYS(entry >> HK_SHIFT);
		else
			wrong += addr != 0;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/* No address in @daddrs must lead anywhere. */
static void hk_expect_no_iommu(struct kunit *test, const dma_addr_t *daddrs,
			       unsigned long npages,
			       struct iommu_domain *domain)
{
	unsigned long i, wrong = 0;

	for (i = 0; i < npages; i++)
		wrong += daddrs[i] && iommu_iova_to_phys(domain, daddrs[i]);
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/* Huge pages, small pages of both directions, and holes. */
static struct hk_dma_map *hk_iommu_map_alloc(struct kunit *test)
{
	unsigned long i, addr = hk_huge(test, 2);
	struct hmm_range *range =
		hk_range(test, addr + 7 * PAGE_SIZE, 2 * HPAGE_PMD_NR - 7);

	hk_write(test, addr, 1);
	hk_request_each(range);
	for (i = HPAGE_PMD_NR; i < 2 * HPAGE_PMD_NR - 7; i++)
		range->pfns[i] = hk_mix_request(i);
	hk_remap(test, addr + PMD_SIZE, HPAGE_PMD_NR, NULL, HK_RW);
	return hk_dma_map_alloc(test, range);
}

static void iommu_maps_what_the_range_has(struct kunit *test)
{
	struct device *dev = hk_iommu_device(test);
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	struct hk_dma_map *map = hk_iommu_map_alloc(test);
	dma_addr_t *daddrs;
	long mapped;

	mapped = hk_dma_map(test, map, dev);
	KUNIT_EXPECT_GT(test, mapped, HPAGE_PMD_NR);
	KUNIT_EXPECT_LT(test, mapped, map->npages);
	KUNIT_EXPECT_EQ(test, mapped, hk_count(map->range, HK_V));
	hk_expect_iommu(test, map, domain);
	daddrs = kunit_kmalloc_array(test, map->npages, sizeof(*daddrs),
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, daddrs);
	memcpy(daddrs, map->daddrs, map->npages * sizeof(*daddrs));
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dev, true), mapped);
	hk_expect_no_iommu(test, daddrs, map->npages, domain);
	KUNIT_EXPECT_EQ(test, hk_count(map->range, HK_V), 0);
	hmm_range_unregister(map->range);
}

/* Memory of a PCI peer, after other pages have already been mapped. */
static void iommu_keeps_nothing_after_an_error(struct kunit *test)
{
	struct hk_devmem *mem = hk_busmem(test, MEMORY_DEVICE_PCI_P2PDMA);
	struct device *dev = hk_iommu_device(test);
	struct hk_dma_map *map = hk_dma_mix(test);
	unsigned long i, addr = map->range->start + 11 * PAGE_SIZE;
	pte_t old;

	hk_write(test, addr, 1);
	old = hk_set_pte(test, addr,
			 hk_devmem_pte(mem, mem->next, PAGE_SHARED));
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), -EREMOTEIO);
	for (i = 0; i < HK_MIX; i++)
		KUNIT_EXPECT_EQ(test, map->daddrs[i], 0);
	hk_dma_expect_requests(test, map);
	hk_set_pte(test, addr, old);
	KUNIT_EXPECT_EQ(test, hk_dma_map(test, map, dev), HK_MIX_MAPPED);
	KUNIT_EXPECT_EQ(test, hk_dma_unmap(test, map, dev, false),
			HK_MIX_MAPPED);
	hmm_range_unregister(map->range);
}

static void missing_arguments_are_einval(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	struct hk_dma_map *map = hk_dma_mix(test);
	struct hmm_range *range = map->range, empty = *range;

	empty.end = empty.start;
	KUNIT_EXPECT_EQ(test, hmm_range_dma_map(NULL, dma->dev, map->daddrs, 0),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_range_dma_map(range, NULL, map->daddrs, 0),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_range_dma_map(range, dma->dev, NULL, 0),
			-EINVAL);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_map_batch(range, dma->dev, map->daddrs,
						NULL, 0),
			-EINVAL);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_unmap(NULL, dma->dev, map->daddrs, false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_unmap(range, NULL, map->daddrs, false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_range_dma_unmap(range, dma->dev, NULL, false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_unmap(&empty, dma->dev, map->daddrs,
					    false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_unmap_batch(range, dma->dev, map->daddrs,
						  NULL, false),
			-EINVAL);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_unmap_batch(&empty, dma->dev, map->daddrs,
						  &map->batch, false),
			-EINVAL);
	hmm_range_unregister(range);
}

/* A segment is a power of two of pages and within the limit of the device. */
static void segments_respect_the_limit_of_the_device(struct kunit *test)
{
	struct hk_dma *dma = hk_dma(test);
	unsigned long addr = hk_huge(test, 1);
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR);
	struct hk_dma_map *map = hk_dma_map_alloc(test, range);
	struct hk *hk = test->priv;

	hk_write(test, addr, 1);
	dma_set_max_seg_size(dma->dev, 3 * PAGE_SIZE + 1);
	mmap_read_lock(hk->mm);
	KUNIT_EXPECT_EQ(test,
			hmm_range_dma_map_batch(range, dma->dev, map->daddrs,
						&map->batch, 0),
			HPAGE_PMD_NR);
	mmap_read_unlock(hk->mm);
	hk_dma_expect_mapped(dma, map, HPAGE_PMD_NR);
	KUNIT_EXPECT_EQ(test, map->batch.writable.orig_nents,
			HPAGE_PMD_NR / 2);
	KUNIT_EXPECT_NULL(test, map->batch.readable.sgl);
	KUNIT_EXPECT_EQ(test, hmm_range_dma_unmap_batch(range, dma->dev,
							map->daddrs,
							&map->batch, true),
			HPAGE_PMD_NR);
	hk_dma_expect_nothing(dma, map);
	hmm_range_unregister(range);
}

static struct kunit_case hk_dma_cases[] = {
	KUNIT_CASE_PARAM(maps_each_page_for_what_it_allows,
			 hk_dma_way_gen_params),
	KUNIT_CASE(unlocked_call_maps_the_same),
	KUNIT_CASE_PARAM(without_a_write_bit_all_is_mapped_for_reading,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(value_with_the_bit_of_valid_is_not_mapped,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(private_memory_is_left_out, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(peer_memory_is_refused, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(peer_memory_is_refused_without_its_page,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(memory_of_other_devices_is_mapped,
			 hk_dma_way_gen_params),
	KUNIT_CASE(known_memory_grows_by_its_neighbours),
	KUNIT_CASE_PARAM(private_memory_without_a_bit_is_not_mapped,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(mapping_that_fails_leaves_nothing,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(address_0_is_no_address, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(invalidation_before_all_is_mapped_is_ebusy,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(fatal_signal_ends_a_long_mapping,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(failure_in_the_first_part_leaves_nothing,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(invalidation_after_the_fault_is_ebusy,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(fault_that_fails_leaves_nothing,
			 hk_dma_way_gen_params),
	KUNIT_CASE(part_of_a_range_is_unmapped),
	KUNIT_CASE_PARAM(dirty_marks_what_the_device_could_write,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(dirty_leaves_read_only_pages_clean,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(huge_pages, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(hugetlb_pages, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(pages_of_a_mixed_mapping, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(page_in_two_ranges, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(random_mixtures, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(device_that_cannot_reach_all_is_refused,
			 hk_dma_way_gen_params),
	KUNIT_CASE(device_that_is_not_coherent_is_refused),
	KUNIT_CASE_PARAM(operations_that_sync_are_refused,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(mapping_that_bounces_is_refused,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(memory_beyond_the_device_is_refused,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(device_that_is_not_trusted_is_refused,
			 hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(iommu_maps_what_the_range_has, hk_dma_way_gen_params),
	KUNIT_CASE_PARAM(iommu_keeps_nothing_after_an_error,
			 hk_dma_way_gen_params),
	KUNIT_CASE(missing_arguments_are_einval),
	KUNIT_CASE(segments_respect_the_limit_of_the_device),
	{}
};

static struct kunit_suite hk_dma_suite = {
	.name = "hmm_dma",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_dma_cases,
};

kunit_test_suite(hk_dma_suite);
