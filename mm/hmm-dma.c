// SPDX-License-Identifier: GPL-2.0
/*
 * HMM ranges for devices that reach memory through the DMA API.
 *
 * A mirror shares memory with the CPU, both may use it at any time, so there
 * is no moment at which ownership could be handed over. That rules out every
 * mapping that is a copy or needs the caches to be told: such a device is
 * refused before anything is mapped, see hmm_dma_possible().
 *
 * Which entries of a range are mapped is told by the range's own array and the
 * caller's: an entry with a pfn, whose DMA address is not 0. Its WRITE bit
 * says in which direction. So the arrays are all that unmapping needs; the
 * range itself need not be registered any more.
 *
 * Two ways to map. One page at a time, so that any part of a range can be
 * unmapped by itself; each page costs an allocation of an IOVA and a flush of
 * the IOTLB. Or as a *batch*: all pages of a direction are one scatterlist,
 * which an IOMMU maps to one IOVA range, and unmaps with one flush.
 *
 * Locks: none here. hmm_range_fault() has the rules for mapping; unmapping
 * never sleeps.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/iommu-dma.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

/* Nobody owns the data, so the CPU's caches are not to be touched. */
#define HMM_DMA_ATTRS	DMA_ATTR_SKIP_CPU_SYNC

/* Zone device memory begins and ends at a multiple of this, or of more. */
#define HMM_DMA_ZONE_PAGES	(SZ_2M >> PAGE_SHIFT)

/* Would @device get at the pages themselves, and see what the CPU sees? */
static bool hmm_dma_possible(struct device *device)
{
	if (!dev_is_dma_coherent(device))
		return false;
	/* An IOMMU reaches all memory, but bounces what it does not trust */
	if (use_dma_iommu(device))
		return !dev_is_pci(device) || !to_pci_dev(device)->untrusted;
	return !is_swiotlb_force_bounce(device) &&
	       !dma_addressing_limited(device);
}

static unsigned long hmm_dma_npages(const struct hmm_range *range)
{
	return (range->end - range->start) >> PAGE_SHIFT;
}

static bool hmm_dma_arguments_ok(const struct hmm_range *range,
				 const struct device *device,
				 const dma_addr_t *daddrs)
{
	return range && device && daddrs && range->pfns && range->flags &&
	       range->values && range->start < range->end;
}

static enum dma_data_direction hmm_dma_direction(bool write)
{
	return write ? DMA_BIDIRECTIONAL : DMA_TO_DEVICE;
}

/**
 * struct hmm_dma_code - a range's encoding, taken apart once for all entries
 * @valid: the flag of an entry that has a pfn
 * @kind: that flag and the one of private memory, which no bus can reach
 * @write: the flag of an entry that may be written
 * @flags: all flags, that is what of an entry is not its pfn
 * @shift: of the pfn
 * @step: from an entry to that of the next pfn
 * @within: the bits of a pfn that say where in its block it is; a piece of a
 *	scatterlist stays within a block
 * @values: the entries that have no pfn, whatever their flags say
 * @deceptive: there is one among @values whose flags say that it has one
 */
struct hmm_dma_code {
	u64 valid;
	u64 kind;
	u64 write;
	u64 flags;
	unsigned int shift;
	u64 step;
	u64 within;
	const u64 *values;
	bool deceptive;
};

static bool hmm_dma_is_value(const struct hmm_dma_code *code, u64 entry)
{
	return entry == code->values[HMM_PFN_NONE] ||
	       entry == code->values[HMM_PFN_ERROR] ||
	       entry == code->values[HMM_PFN_SPECIAL];
}

static struct hmm_dma_code hmm_dma_code(const struct hmm_range *range)
{
	const u64 valid = range->flags[HMM_PFN_VALID];
	const u64 write = range->flags[HMM_PFN_WRITE];
	const u64 private = range->flags[HMM_PFN_DEVICE_PRIVATE];
	struct hmm_dma_code code = {
		.valid = valid,
		.kind = valid | private,
		.write = write,
		.flags = valid | write | private,
		.shift = range->pfn_shift,
		.step = 1ULL << range->pfn_shift,
		.values = range->values,
	};
	int i;

	for (i = 0; i < HMM_PFN_VALUE_MAX; i++)
		code.deceptive |= (range->values[i] & code.kind) == valid;
	return code;
}

/* Has @entry memory that a bus can reach? */
static bool hmm_dma_mappable(const struct hmm_dma_code *code, u64 entry)
{
	return (entry & code->kind) == code->valid &&
	       (!code->deceptive || !hmm_dma_is_value(code, entry));
}

static bool hmm_dma_writable(const struct hmm_dma_code *code, u64 entry)
{
	return entry & code->write;
}

static unsigned long hmm_dma_pfn(const struct hmm_dma_code *code, u64 entry)
{
	return (entry & ~code->flags) >> code->shift;
}

static struct page *hmm_dma_page(const struct hmm_dma_code *code, u64 entry)
{
	return pfn_to_page(hmm_dma_pfn(code, entry));
}

/* After an error nothing is mapped, wherever it came. */
static void hmm_dma_no_addrs(dma_addr_t *daddrs, unsigned long n)
{
	memset(daddrs, 0, n * sizeof(*daddrs));
}

/*
 * Everything before the first mapping. Requests stand where results go, and an
 * error after the fault leaves them as they were, just as one in it does: they
 * are kept in *@saved, which is NULL where entries ask for nothing.
 */
static long hmm_dma_begin(struct hmm_range *range, struct device *device,
			  dma_addr_t *daddrs, unsigned int flags, u64 **saved)
{
	unsigned long n;
	long ret;

	*saved = NULL;
	if (!hmm_dma_arguments_ok(range, device, daddrs))
		return -EINVAL;
	n = hmm_dma_npages(range);
	ret = -EOPNOTSUPP;
	if (!hmm_dma_possible(device))
		goto err_no_addrs;
	if (range->pfn_flags_mask) {
		ret = -ENOMEM;
		*saved = kvmalloc_array(n, sizeof(**saved),
					GFP_KERNEL | __GFP_NOWARN);
		if (!*saved)
			goto err_no_addrs;
		memcpy(*saved, range->pfns, n * sizeof(**saved));
	}
	ret = hmm_range_fault(range, flags);
	if (ret >= 0)
		return ret;
	kvfree(*saved);
err_no_addrs:
	hmm_dma_no_addrs(daddrs, n);
	return ret;
}

/* Gives the requests back after an error in @ret, and lets go of them. */
static void hmm_dma_end(struct hmm_range *range, u64 *saved, long ret)
{
	if (ret < 0 && saved)
		memcpy(range->pfns, saved,
		       hmm_dma_npages(range) * sizeof(*saved));
	kvfree(saved);
}

/* Pages that follow one another; a folio is dirtied as one. */
static void hmm_dma_dirty(struct page *page, unsigned long n)
{
	while (n) {
		struct folio *folio = page_folio(page);
		unsigned long of_folio =
			folio_nr_pages(folio) - folio_page_idx(folio, page);

		folio_mark_dirty(folio);
		of_folio = min(n, of_folio);
		page = pfn_to_page(page_to_pfn(page) + of_folio);
		n -= of_folio;
	}
}

/* Entry @i is unmapped: it goes from both arrays. */
static void hmm_dma_forget(struct hmm_range *range,
			   const struct hmm_dma_code *code, dma_addr_t *daddrs,
			   unsigned long i)
{
	range->pfns[i] = code->values[HMM_PFN_NONE];
	daddrs[i] = 0;
}

/* ----------------------------------------------------------- page by page */

/* 0 is what tells that nothing is mapped, so no page can have it. */
static int hmm_dma_map_page(struct device *device, struct page *page,
			    bool write, dma_addr_t *daddr)
{
	enum dma_data_direction dir = hmm_dma_direction(write);
	dma_addr_t addr;

	if (is_pci_p2pdma_page(page))
		return -EREMOTEIO;
	addr = dma_map_page_attrs(device, page, 0, PAGE_SIZE, dir,
				  HMM_DMA_ATTRS);
	if (dma_mapping_error(device, addr))
		return -EIO;
	if (!addr) {
		dma_unmap_page_attrs(device, addr, PAGE_SIZE, dir,
				     HMM_DMA_ATTRS);
		return -EIO;
	}
	*daddr = addr;
	return 0;
}

/* After an error, what had been mapped is, and the rest has no address. */
static long hmm_dma_map_pages(const struct hmm_range *range,
			      struct device *device, dma_addr_t *daddrs)
{
	const struct hmm_dma_code code = hmm_dma_code(range);
	unsigned long i, n = hmm_dma_npages(range);
	long mapped = 0;

	for (i = 0; i < n; i++) {
		u64 entry = range->pfns[i];
		int ret;

		daddrs[i] = 0;
		if (!hmm_dma_mappable(&code, entry))
			continue;
		ret = hmm_dma_map_page(device, hmm_dma_page(&code, entry),
				       hmm_dma_writable(&code, entry),
				       &daddrs[i]);
		if (ret) {
			hmm_dma_no_addrs(daddrs + i, n - i);
			return ret;
		}
		mapped++;
	}
	return mapped;
}

static long hmm_dma_unmap_pages(struct hmm_range *range, struct device *device,
				dma_addr_t *daddrs, bool dirty)
{
	const struct hmm_dma_code code = hmm_dma_code(range);
	unsigned long i, n = hmm_dma_npages(range);
	long unmapped = 0;

	for (i = 0; i < n; i++) {
		u64 entry = range->pfns[i];
		bool write = hmm_dma_writable(&code, entry);

		if (!daddrs[i] || !hmm_dma_mappable(&code, entry))
			continue;
		dma_unmap_page_attrs(device, daddrs[i], PAGE_SIZE,
				     hmm_dma_direction(write), HMM_DMA_ATTRS);
		if (dirty && write)
			hmm_dma_dirty(hmm_dma_page(&code, entry), 1);
		hmm_dma_forget(range, &code, daddrs, i);
		unmapped++;
	}
	return unmapped;
}

/**
 * hmm_range_dma_map() - fault a range in and map it for a device, by the page
 * @range: a registered range
 * @device: who will use it
 * @daddrs: array of one address a page. Needs no initialisation; mapping into
 *	an array whose pages are still mapped is the driver's bug
 * @flags: HMM_FAULT_*
 *
 * Does what hmm_range_fault() does, and maps every entry that has a pfn and is
 * not device private: the device may write where the CPU may, and else only
 * read. Other entries have 0 in @daddrs. No data is copied and no cache is
 * touched, now or later.
 *
 * The arrays are the caller's own until it has taken the driver's lock, found
 * hmm_range_valid() and published them there. A sync callback unmaps only what
 * is published; where the range is no longer valid the caller unmaps, without
 * dirtying, and begins anew. &hmm_range.pfns must not change before
 * hmm_range_dma_unmap().
 *
 * Where whole ranges come and go together, hmm_range_dma_map_batch() is
 * cheaper by far.
 *
 * Context: as hmm_range_fault(). Allocates.
 * Return: the number of pages mapped, which may be 0; or nothing is mapped,
 * all of @daddrs is 0, and
 *
 * * -EINVAL: an argument or an array is NULL, or as hmm_range_fault()
 * * -EOPNOTSUPP: @device could only be given copies, or would need cache
 *   maintenance: it is not coherent, or cannot address all memory, or its
 *   IOMMU does not trust it, or all DMA is bounced
 * * -EREMOTEIO: a page is a PCI peer's memory
 * * -EIO: a mapping failed, for lack of memory or of addresses
 * * -EBUSY: an invalidation came between, or as hmm_range_fault()
 * * what else hmm_range_fault() returns. -EAGAIN has dropped the mmap lock
 *
 * As after hmm_range_fault(), requests in &hmm_range.pfns are as they were
 * after any error but -EPERM and -EFAULT.
 */
long hmm_range_dma_map(struct hmm_range *range, struct device *device,
		       dma_addr_t *daddrs, unsigned int flags)
{
	u64 *saved;
	long ret;

	ret = hmm_dma_begin(range, device, daddrs, flags, &saved);
	if (ret < 0)
		return ret;
	ret = hmm_dma_map_pages(range, device, daddrs);
	if (ret >= 0 && !hmm_range_valid(range))
		ret = -EBUSY;
	if (ret < 0)
		hmm_dma_unmap_pages(range, device, daddrs, false);
	hmm_dma_end(range, saved, ret);
	return ret;
}
EXPORT_SYMBOL(hmm_range_dma_map);

/**
 * hmm_range_dma_unmap() - undo hmm_range_dma_map() for a range, or part of it
 * @range: start, end and what the driver sets are used, nothing else. It may
 *	be one that was never registered, whose pfns, like @daddrs, point into
 *	the arrays that were mapped
 * @device: for whom it was mapped
 * @daddrs: where the addresses are
 * @dirty: the device may have written: mark the folios of writable entries.
 *	Legal only while they are the process's for sure: in the sync callback,
 *	or under the driver's lock with hmm_range_valid()
 *
 * Entries become NONE and addresses 0. What is not mapped is left alone.
 *
 * Context: any, the driver's lock and the sync callback included; does not
 * sleep.
 * Return: the number of pages unmapped; -EINVAL if an argument or an array is
 * NULL, or start is not below end.
 */
long hmm_range_dma_unmap(struct hmm_range *range, struct device *device,
			 dma_addr_t *daddrs, bool dirty)
{
	if (!hmm_dma_arguments_ok(range, device, daddrs))
		return -EINVAL;
	return hmm_dma_unmap_pages(range, device, daddrs, dirty);
}
EXPORT_SYMBOL(hmm_range_dma_unmap);

/* --------------------------------------------------------- all in a batch */

/*
 * A block is a power of two of pages, no longer than what @device says a piece
 * may be, and not so long that it could hold two sorts of zone device memory.
 */
static void hmm_dma_set_block(struct hmm_dma_code *code, struct device *device)
{
	unsigned int most = max(dma_get_max_seg_size(device) >> PAGE_SHIFT, 1U);
	u64 block = rounddown_pow_of_two(min(most, HMM_DMA_ZONE_PAGES));

	code->within = (block - 1) << code->shift;
}

/*
 * Does a piece begin with @entry, if @next is what would follow the entry
 * before it? The end of a block ends it, and so do other flags.
 */
static bool hmm_dma_begins_piece(const struct hmm_dma_code *code, u64 entry,
				 u64 next)
{
	return entry != next || !(entry & code->within);
}

/* Counts the pieces of each direction in @nr, by hmm_dma_writable(). */
static void hmm_dma_count_pieces(const struct hmm_range *range,
				 const struct hmm_dma_code *code,
				 unsigned int *nr)
{
	const u64 *pfns = range->pfns, *end = pfns + hmm_dma_npages(range);
	const u64 none = code->values[HMM_PFN_NONE];
	u64 next = none;

	for (; pfns < end; pfns++) {
		u64 entry = *pfns;

		if (!hmm_dma_mappable(code, entry)) {
			next = none;
			continue;
		}
		if (hmm_dma_begins_piece(code, entry, next))
			nr[hmm_dma_writable(code, entry)]++;
		next = entry + code->step;
	}
}

/* The piece that begins at @pfns: how many entries it is, @end at most. */
static unsigned long hmm_dma_piece(const struct hmm_dma_code *code,
				   const u64 *pfns, const u64 *end)
{
	const u64 *next = pfns;
	u64 entry = *pfns;

	do {
		entry += code->step;
		next++;
	} while (next < end && hmm_dma_mappable(code, *next) &&
		 !hmm_dma_begins_piece(code, *next, entry));
	return next - pfns;
}

/* Puts the pieces of one direction in a list that has room for just them. */
static int hmm_dma_list_pieces(const struct hmm_range *range,
			       const struct hmm_dma_code *code,
			       struct scatterlist *sg, bool write)
{
	const u64 *pfns = range->pfns, *end = pfns + hmm_dma_npages(range);
	unsigned long n;

	for (; pfns < end; pfns += n) {
		u64 entry = *pfns;
		struct page *page;

		n = 1;
		if (!hmm_dma_mappable(code, entry) ||
		    hmm_dma_writable(code, entry) != write)
			continue;
		page = hmm_dma_page(code, entry);
		if (is_pci_p2pdma_page(page))
			return -EREMOTEIO;
		n = hmm_dma_piece(code, pfns, end);
		sg_set_page(sg, page, n << PAGE_SHIFT, 0);
		sg = sg_next(sg);
	}
	return 0;
}

/*
 * What is left of the addresses of a list. They are in the order of its pages,
 * in segments of the DMA API's own making.
 */
struct hmm_dma_addrs {
	struct scatterlist *sg;
	dma_addr_t addr;
	dma_addr_t end;
};

static void hmm_dma_addrs_set(struct hmm_dma_addrs *addrs,
			      struct scatterlist *sg)
{
	addrs->sg = sg;
	addrs->addr = sg ? sg_dma_address(sg) : 0;
	addrs->end = sg ? addrs->addr + sg_dma_len(sg) : 0;
}

static dma_addr_t hmm_dma_next_addr(struct hmm_dma_addrs *addrs)
{
	dma_addr_t addr;

	if (addrs->addr == addrs->end)
		hmm_dma_addrs_set(addrs, sg_next(addrs->sg));
	addr = addrs->addr;
	addrs->addr += PAGE_SIZE;
	return addr;
}

/*
 * Tells each page where it is on the bus; returns how many there are, or -EIO
 * if a page is at 0, which is what tells that nothing is mapped.
 */
static long hmm_dma_fill_addrs(const struct hmm_range *range,
			       const struct hmm_dma_code *code,
			       struct hmm_dma_batch *batch, dma_addr_t *daddrs)
{
	unsigned long i, end = hmm_dma_npages(range);
	struct hmm_dma_addrs addrs[2];
	long mapped = 0;

	hmm_dma_addrs_set(&addrs[false], batch->readable.sgl);
	hmm_dma_addrs_set(&addrs[true], batch->writable.sgl);
	for (i = 0; i < end; i++) {
		u64 entry = range->pfns[i];
		bool write;

		daddrs[i] = 0;
		if (!hmm_dma_mappable(code, entry))
			continue;
		write = hmm_dma_writable(code, entry);
		daddrs[i] = hmm_dma_next_addr(&addrs[write]);
		if (!daddrs[i])
			return -EIO;
		mapped++;
	}
	return mapped;
}

/* A list that exists is mapped. */
static void hmm_dma_unmap_list(struct device *device, struct sg_table *list,
			       bool write)
{
	if (list->sgl)
		dma_unmap_sgtable(device, list, hmm_dma_direction(write),
				  HMM_DMA_ATTRS);
}

static void hmm_dma_unmap_lists(struct device *device,
				struct hmm_dma_batch *batch)
{
	hmm_dma_unmap_list(device, &batch->readable, false);
	hmm_dma_unmap_list(device, &batch->writable, true);
}

static void hmm_dma_dirty_list(struct sg_table *list)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(list, sg, i)
		hmm_dma_dirty(sg_page(sg), sg->length >> PAGE_SHIFT);
}

/* What was mapped goes from both arrays; returns how much it was. */
static long hmm_dma_forget_all(struct hmm_range *range, dma_addr_t *daddrs)
{
	const struct hmm_dma_code code = hmm_dma_code(range);
	unsigned long i, end = hmm_dma_npages(range);
	long forgotten = 0;

	for (i = 0; i < end; i++) {
		if (!daddrs[i] || !hmm_dma_mappable(&code, range->pfns[i]))
			continue;
		hmm_dma_forget(range, &code, daddrs, i);
		forgotten++;
	}
	return forgotten;
}

static void hmm_dma_free_lists(struct hmm_dma_batch *batch)
{
	sg_free_table(&batch->readable);
	sg_free_table(&batch->writable);
	*batch = (struct hmm_dma_batch){};
}

/* After an error there is no list. */
static int hmm_dma_map_list(const struct hmm_range *range,
			    const struct hmm_dma_code *code,
			    struct device *device, struct sg_table *list,
			    bool write, unsigned int nr)
{
	int ret;

	if (!nr)
		return 0;
	ret = sg_alloc_table(list, nr, GFP_KERNEL);
	if (ret)
		goto err_no_list;
	ret = hmm_dma_list_pieces(range, code, list->sgl, write);
	if (ret)
		goto err_free_list;
	ret = dma_map_sgtable(device, list, hmm_dma_direction(write),
			      HMM_DMA_ATTRS);
	if (!ret)
		return 0;
err_free_list:
	sg_free_table(list);
err_no_list:
	list->sgl = NULL;
	/* What else there may be says no more than that it failed */
	return ret == -EREMOTEIO ? ret : -EIO;
}

static int hmm_dma_map_lists(const struct hmm_range *range,
			     const struct hmm_dma_code *code,
			     struct device *device, struct hmm_dma_batch *batch)
{
	unsigned int nr[2] = {};
	int ret;

	hmm_dma_count_pieces(range, code, nr);
	ret = hmm_dma_map_list(range, code, device, &batch->readable, false,
			       nr[false]);
	if (!ret)
		ret = hmm_dma_map_list(range, code, device, &batch->writable,
				       true, nr[true]);
	return ret;
}

/**
 * hmm_range_dma_map_batch() - fault a range in and map all of it in one go
 * @range: a registered range
 * @device: who will use it
 * @daddrs: array of one address a page, as for hmm_range_dma_map()
 * @batch: what undoing needs to know. Needs no initialisation; the caller
 *	keeps it until hmm_range_dma_unmap_batch()
 * @flags: HMM_FAULT_*
 *
 * Does what hmm_range_dma_map() does and gives the same @daddrs, but pages
 * that the device may write are mapped together, and so are those that it may
 * only read. Behind an IOMMU each of the two is one IOVA range, mapped with
 * the largest pages that the memory allows and unmapped with one flush.
 *
 * Not for a range of which the driver would want to keep a part: when an
 * invalidation hits any of it, all of it has to be unmapped, faulted and
 * mapped again. Not for single pages either, for which hmm_range_dma_map()
 * needs no memory. The lists take 32 bytes for each piece of memory, as long as
 * the batch is mapped. A piece ends where the next page is not next to it, and
 * at multiples of the longest segment that the device takes, 2 MiB at most.
 *
 * Context: as hmm_range_fault(). Allocates.
 * Return: as hmm_range_dma_map().
 */
long hmm_range_dma_map_batch(struct hmm_range *range, struct device *device,
			     dma_addr_t *daddrs, struct hmm_dma_batch *batch,
			     unsigned int flags)
{
	struct hmm_dma_code code;
	u64 *saved;
	long ret;

	if (!batch)
		return -EINVAL;
	*batch = (struct hmm_dma_batch){};
	ret = hmm_dma_begin(range, device, daddrs, flags, &saved);
	if (ret < 0)
		return ret;
	code = hmm_dma_code(range);
	hmm_dma_set_block(&code, device);
	ret = hmm_dma_map_lists(range, &code, device, batch);
	if (!ret && !hmm_range_valid(range))
		ret = -EBUSY;
	if (!ret)
		ret = hmm_dma_fill_addrs(range, &code, batch, daddrs);
	if (ret < 0) {
		hmm_dma_unmap_lists(device, batch);
		hmm_dma_free_lists(batch);
		hmm_dma_no_addrs(daddrs, hmm_dma_npages(range));
	}
	hmm_dma_end(range, saved, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_range_dma_map_batch);

/**
 * hmm_range_dma_unmap_batch() - undo hmm_range_dma_map_batch()
 * @range: the whole range that was mapped; as for hmm_range_dma_unmap()
 *	otherwise
 * @device: for whom it was mapped
 * @daddrs: where the addresses are
 * @batch: what it was mapped with. One that is not mapped is left alone
 * @dirty: as for hmm_range_dma_unmap()
 *
 * Context: any, the driver's lock and the sync callback included; does not
 * sleep.
 * Return: as hmm_range_dma_unmap().
 */
long hmm_range_dma_unmap_batch(struct hmm_range *range, struct device *device,
			       dma_addr_t *daddrs, struct hmm_dma_batch *batch,
			       bool dirty)
{
	long unmapped;

	if (!batch || !hmm_dma_arguments_ok(range, device, daddrs))
		return -EINVAL;
	if (!batch->readable.sgl && !batch->writable.sgl)
		return 0;
	hmm_dma_unmap_lists(device, batch);
	if (dirty)
		hmm_dma_dirty_list(&batch->writable);
	unmapped = hmm_dma_forget_all(range, daddrs);
	hmm_dma_free_lists(batch);
	return unmapped;
}
EXPORT_SYMBOL_GPL(hmm_range_dma_unmap_batch);
