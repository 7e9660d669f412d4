// SPDX-License-Identifier: GPL-2.0
/*
 * HMM ranges for devices that reach memory through the DMA API.
 *
 * A mirror shares memory with the CPU and both may use it at any time, so
 * ownership of the pages never changes. A device that would need bouncing or
 * cache maintenance is rejected before anything is mapped, and so is a mapping
 * that turns out to be a copy: see hmm_dma_possible(), hmm_dma_map_page().
 *
 * An entry is mapped if it has a pfn and a nonzero DMA address; its WRITE bit
 * is the direction. Unmapping needs only the two arrays: the range itself need
 * not be registered any more.
 *
 * There are two ways to map. One page at a time, so that any part of a range
 * can be unmapped by itself; each page costs an allocation of an IOVA and a
 * flush of the IOTLB. Or as a *batch*, which an IOMMU maps to one IOVA range
 * and unmaps with one flush.
 *
 * Struct pages
 * ------------
 * Nothing here holds a page. From the end of the fault on, an invalidation may
 * take a page away, and its memory may be removed together with its struct
 * page. So mapping works on pfns: hmm_dma_kind() finds the kind of memory by
 * its pagemap, a mapping made in vain is undone when the range turns out to be
 * no longer valid, and a range that is still valid then proves that each page
 * was the process's, and so of the kind found, all the time.
 *
 * Dirtying reads struct pages. It is legal only in the sync callback, or under
 * the driver's lock while the range is valid. The invalidation that will take
 * the page away waits for that callback or that lock, so the process maps the
 * page until then, and that keeps the page and its struct page.
 *
 * Locks: none here. hmm_range_fault() has the rules for mapping; unmapping
 * never sleeps.
 */
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/hmm.h>
#include <linux/iommu-dma.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/swiotlb.h>

#include "hmm-dma-kind.h"
#include "hmm-internal.h"

/* Ownership never changes, so the CPU's caches are not to be touched */
#define HMM_DMA_ATTRS	DMA_ATTR_SKIP_CPU_SYNC

/* Entries handled between two calls of cond_resched() */
#define HMM_DMA_PART		65536UL

/* ------------------------------------------------------- pages and the API */

static dma_addr_t hmm_dma_api_map(struct device *device, unsigned long pfn,
				  enum dma_data_direction dir)
{
	/* The struct page stands for its address and is not read */
	return dma_map_page_attrs(device, pfn_to_page(pfn), 0, PAGE_SIZE, dir,
				  HMM_DMA_ATTRS);
}

static void hmm_dma_api_unmap(struct device *device, dma_addr_t addr,
			      enum dma_data_direction dir)
{
	dma_unmap_page_attrs(device, addr, PAGE_SIZE, dir, HMM_DMA_ATTRS);
}

/* ----------------------------------------------------------------- devices */

/* True if @device has neither an IOMMU nor DMA operations of its own. */
static bool hmm_dma_is_direct(struct device *device)
{
	return !use_dma_iommu(device) && !get_dma_ops(device);
}

static bool hmm_dma_ops_sync(const struct dma_map_ops *ops)
{
	return ops->sync_single_for_cpu || ops->sync_single_for_device ||
	       ops->sync_sg_for_cpu || ops->sync_sg_for_device;
}

/* True if @device reaches the pages themselves and sees what the CPU sees. */
static bool hmm_dma_possible(struct device *device)
{
	const struct dma_map_ops *ops = get_dma_ops(device);

	if (!dev_is_dma_coherent(device))
		return false;
	/* An IOMMU reaches all memory, but bounces what it does not trust */
	if (use_dma_iommu(device))
		return !dev_is_pci(device) || !to_pci_dev(device)->untrusted;
	/* Operations that bounce at will have to sync what they bounced */
	if (ops && hmm_dma_ops_sync(ops))
		return false;
	return !is_swiotlb_force_bounce(device) &&
	       !dma_addressing_limited(device);
}

/*
 * True if @device can address the page. dma_addressing_limited() is about RAM
 * only, memory of other devices may be beyond it.
 */
static bool hmm_dma_reaches(struct device *device, unsigned long pfn)
{
	u64 limit = min_not_zero(dma_get_mask(device), device->bus_dma_limit);
	dma_addr_t addr;

	if (!hmm_dma_is_direct(device))
		return true;
	addr = phys_to_dma(device, PFN_PHYS(pfn));
	return addr != DMA_MAPPING_ERROR && addr + PAGE_SIZE - 1 <= limit;
}

/* True if @addr is that of a copy, which the mapping itself has made. */
static bool hmm_dma_bounced(struct device *device, dma_addr_t addr)
{
	return hmm_dma_is_direct(device) && dma_need_sync(device, addr);
}

/* ------------------------------------------------------ entries of a range */

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
 * struct hmm_dma_code - a range's encoding, and values derived from it
 * @enc: see &struct hmm_encoding
 * @kind: the flags VALID and PRIVATE; no bus can reach private memory
 * @flags: all flags; the rest of an entry is its pfn
 * @step: difference between the entries of two consecutive pfns
 * @within: the bits of a pfn that are its place in its block; a piece stays
 *	within a block. All bits where pieces have no bound
 * @value_has_valid: some value has VALID, so entries are compared as a whole
 */
struct hmm_dma_code {
	struct hmm_encoding enc;
	u64 kind;
	u64 flags;
	u64 step;
	u64 within;
	bool value_has_valid;
};

static struct hmm_dma_code hmm_dma_code(const struct hmm_range *range)
{
	const struct hmm_encoding enc = hmm_range_encoding(range);
	const u64 kind = enc.valid | enc.private;

	return (struct hmm_dma_code){
		.enc = enc,
		.kind = kind,
		.flags = kind | enc.write,
		.step = 1ULL << enc.shift,
		.within = ~0ULL,
		.value_has_valid = (enc.none & kind) == enc.valid ||
				   (enc.error & kind) == enc.valid ||
				   (enc.special & kind) == enc.valid,
	};
}

/* Returns true if a bus can reach the memory of @entry. */
static bool hmm_dma_mappable(const struct hmm_dma_code *code, u64 entry)
{
	return (entry & code->kind) == code->enc.valid &&
	       (!code->value_has_valid ||
		hmm_encoding_has_pfn(&code->enc, entry));
}

static bool hmm_dma_writable(const struct hmm_dma_code *code, u64 entry)
{
	return entry & code->enc.write;
}

static unsigned long hmm_dma_pfn(const struct hmm_dma_code *code, u64 entry)
{
	return (entry & ~code->flags) >> code->enc.shift;
}

/*
 * Moves @part on to the next entries of @range, %HMM_DMA_PART at most; false
 * if there are none. A zeroed @part is before the first of them.
 */
static bool hmm_dma_next_part(const struct hmm_range *range,
			      struct hmm_range *part)
{
	unsigned long start = part->end ?: range->start;
	unsigned long left = range->end - start;

	if (!left)
		return false;
	*part = (struct hmm_range){
		.start = start,
		.end = start + min(left, HMM_DMA_PART << PAGE_SHIFT),
		.pfns = range->pfns + ((start - range->start) >> PAGE_SHIFT),
		.flags = range->flags,
		.values = range->values,
		.pfn_shift = range->pfn_shift,
	};
	return true;
}

static dma_addr_t *hmm_dma_part_addrs(const struct hmm_range *range,
				      const struct hmm_range *part,
				      dma_addr_t *daddrs)
{
	return daddrs + (part->pfns - range->pfns);
}

/* Between parts, where sleeping is allowed: -EINTR if the task is to die. */
static int hmm_dma_pause(void)
{
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* As hmm_dma_pause(); also -EBUSY if the range is no longer valid. */
static int hmm_dma_go_on(struct hmm_range *range)
{
	return hmm_range_valid(range) ? hmm_dma_pause() : -EBUSY;
}

/* After an error no entry has an address. */
static void hmm_dma_clear_addrs(const struct hmm_range *range,
				dma_addr_t *daddrs)
{
	struct hmm_range part = {};

	while (hmm_dma_next_part(range, &part)) {
		memset(hmm_dma_part_addrs(range, &part, daddrs), 0,
		       hmm_dma_npages(&part) * sizeof(*daddrs));
		cond_resched();
	}
}

/* A copy of the requests, or NULL. */
static u64 *hmm_dma_save_requests(const struct hmm_range *range)
{
	u64 *saved = kvmalloc_array(hmm_dma_npages(range), sizeof(*saved),
				    GFP_KERNEL | __GFP_NOWARN);

	if (saved)
		hmm_copy_entries(saved, range->pfns, hmm_dma_npages(range));
	return saved;
}

/*
 * Everything before the first mapping. Requests and results share an array, and
 * an error after the fault restores the requests, as one in the fault does.
 * They are saved in *@saved, which is NULL if entries have none of their own.
 * @timeout is NULL if the caller holds the mmap lock.
 */
static long hmm_dma_begin(struct hmm_range *range, struct device *device,
			  dma_addr_t *daddrs, unsigned int flags,
			  const unsigned long *timeout, u64 **saved)
{
	long ret;

	*saved = NULL;
	if (!hmm_dma_arguments_ok(range, device, daddrs))
		return -EINVAL;
	ret = -EOPNOTSUPP;
	if (!hmm_dma_possible(device))
		goto err_clear_addrs;
	if (range->pfn_flags_mask) {
		ret = -ENOMEM;
		*saved = hmm_dma_save_requests(range);
		if (!*saved)
			goto err_clear_addrs;
	}
	if (timeout)
		ret = hmm_range_fault_unlocked(range, flags, *timeout);
	else
		ret = hmm_range_fault(range, flags);
	if (ret >= 0)
		return ret;
	kvfree(*saved);
err_clear_addrs:
	hmm_dma_clear_addrs(range, daddrs);
	return ret;
}

/* Restores the requests after an error in @ret, and frees them. */
static void hmm_dma_end(struct hmm_range *range, u64 *saved, long ret)
{
	if (ret < 0 && saved)
		hmm_copy_entries(range->pfns, saved, hmm_dma_npages(range));
	kvfree(saved);
}

/*
 * Mark the folios of @n pages from @pfn on dirty. The process still maps them,
 * see the top of the file.
 */
static void hmm_dma_dirty(unsigned long pfn, unsigned long n)
{
	while (n) {
		struct page *page = pfn_to_page(pfn);
		struct folio *folio = page_folio(page);
		unsigned long of_folio =
			folio_nr_pages(folio) - folio_page_idx(folio, page);

		folio_mark_dirty(folio);
		of_folio = min(n, of_folio);
		pfn += of_folio;
		n -= of_folio;
	}
}

/* Entry @i has been unmapped: clear it in both arrays. */
static void hmm_dma_clear_entry(struct hmm_range *range,
				const struct hmm_dma_code *code,
				dma_addr_t *daddrs, unsigned long i)
{
	range->pfns[i] = code->enc.none;
	daddrs[i] = 0;
}

/* ----------------------------------------------------------- page by page */

/* A DMA address of 0 means that nothing is mapped: no page can have it. */
static int hmm_dma_map_page(struct device *device, unsigned long pfn,
			    bool write, dma_addr_t *daddr)
{
	enum dma_data_direction dir = hmm_dma_direction(write);
	dma_addr_t addr;
	int ret = -EIO;

	if (!hmm_dma_reaches(device, pfn))
		return -EOPNOTSUPP;
	addr = hmm_dma_api_map(device, pfn, dir);
	/* Without an IOMMU only bouncing can fail */
	if (dma_mapping_error(device, addr))
		return hmm_dma_is_direct(device) ? -EOPNOTSUPP : -EIO;
	if (hmm_dma_bounced(device, addr))
		ret = -EOPNOTSUPP;
	else if (addr)
		ret = 0;
	if (ret)
		hmm_dma_api_unmap(device, addr, dir);
	else
		*daddr = addr;
	return ret;
}

/* After an error, the entries before it are mapped and others have 0. */
static long hmm_dma_map_part(struct hmm_range *range,
			     const struct hmm_range *part,
			     struct device *device, dma_addr_t *daddrs)
{
	const struct hmm_dma_code code = hmm_dma_code(part);
	unsigned long i, n = hmm_dma_npages(part);
	struct hmm_dma_known known = {};
	int ret = hmm_dma_go_on(range);
	long mapped = 0;

	for (i = 0; i < n; i++) {
		u64 entry = part->pfns[i];
		unsigned long pfn = hmm_dma_pfn(&code, entry);

		daddrs[i] = 0;
		if (ret || !hmm_dma_mappable(&code, entry))
			continue;
		if (hmm_dma_kind(&known, pfn) == HMM_DMA_PEER)
			ret = -EREMOTEIO;
		else
			ret = hmm_dma_map_page(device, pfn,
					       hmm_dma_writable(&code, entry),
					       &daddrs[i]);
		mapped++;
	}
	return ret ?: mapped;
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
		hmm_dma_api_unmap(device, daddrs[i], hmm_dma_direction(write));
		if (dirty && write)
			hmm_dma_dirty(hmm_dma_pfn(&code, entry), 1);
		hmm_dma_clear_entry(range, &code, daddrs, i);
		unmapped++;
	}
	return unmapped;
}

/* Undo a mapping that got as far as @done, where sleeping is allowed. */
static void hmm_dma_undo_pages(const struct hmm_range *range,
			       struct device *device, dma_addr_t *daddrs,
			       unsigned long done)
{
	struct hmm_range part = {};

	while (hmm_dma_next_part(range, &part)) {
		dma_addr_t *addrs = hmm_dma_part_addrs(range, &part, daddrs);

		if (part.start < done)
			hmm_dma_unmap_pages(&part, device, addrs, false);
		else
			memset(addrs, 0, hmm_dma_npages(&part) * sizeof(*addrs));
		cond_resched();
	}
}

/* Returns how many it mapped; after an error nothing is. */
static long hmm_dma_map_pages(struct hmm_range *range, struct device *device,
			      dma_addr_t *daddrs)
{
	struct hmm_range part = {};
	long ret = 0, mapped = 0;

	while (ret >= 0 && hmm_dma_next_part(range, &part)) {
		ret = hmm_dma_map_part(range, &part, device,
				       hmm_dma_part_addrs(range, &part,
							  daddrs));
		mapped += ret;
	}
	if (ret >= 0 && !hmm_range_valid(range))
		ret = -EBUSY;
	if (ret >= 0)
		return mapped;
	hmm_dma_undo_pages(range, device, daddrs, part.end);
	return ret;
}

static long hmm_dma_map(struct hmm_range *range, struct device *device,
			dma_addr_t *daddrs, unsigned int flags,
			const unsigned long *timeout)
{
	u64 *saved;
	long ret;

	ret = hmm_dma_begin(range, device, daddrs, flags, timeout, &saved);
	if (ret < 0)
		return ret;
	ret = hmm_dma_map_pages(range, device, daddrs);
	hmm_dma_end(range, saved, ret);
	return ret;
}

/**
 * hmm_range_dma_map() - fault a range in and map it for a device, by the page
 * @range: a registered range
 * @device: device to map for
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
 * If whole ranges come and go together, hmm_range_dma_map_batch() is
 * cheaper by far.
 *
 * Context: as hmm_range_fault(). Allocates.
 * Return: the number of pages mapped, which may be 0; or nothing is mapped,
 * all of @daddrs is 0, and
 *
 * * -EINVAL: an argument or an array is NULL, or as hmm_range_fault()
 * * -EOPNOTSUPP: @device could only be given copies, or would need cache
 *   maintenance: it is not coherent, or cannot address all memory, or its
 *   IOMMU does not trust it, or all DMA is bounced, or its DMA operations
 *   would have to sync
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
	return hmm_dma_map(range, device, daddrs, flags, NULL);
}
EXPORT_SYMBOL(hmm_range_dma_map);

/**
 * hmm_range_dma_map_unlocked() - the same for callers without the mmap lock
 * @range: a registered range
 * @device: device to map for
 * @daddrs: as for hmm_range_dma_map()
 * @flags: as for hmm_range_fault_unlocked()
 * @timeout: as for hmm_range_fault_unlocked()
 *
 * Context: as hmm_range_fault_unlocked(). Allocates.
 * Return: as hmm_range_dma_map(), with the errors of hmm_range_fault_unlocked()
 * in place of those of hmm_range_fault().
 */
long hmm_range_dma_map_unlocked(struct hmm_range *range, struct device *device,
				dma_addr_t *daddrs, unsigned int flags,
				unsigned long timeout)
{
	return hmm_dma_map(range, device, daddrs, flags, &timeout);
}
EXPORT_SYMBOL(hmm_range_dma_map_unlocked);

/**
 * hmm_range_dma_unmap() - undo hmm_range_dma_map() for a range, or part of it
 * @range: start, end and what the driver sets are used, nothing else. It may
 *	be one that was never registered, whose pfns, like @daddrs, point into
 *	the arrays that were mapped
 * @device: device that it was mapped for
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

/* ------------------------------------------------------- pieces of memory */

/*
 * Pieces are to stay within blocks of at most @most pages. A block is a power
 * of two of pages and has memory of one kind.
 */
static void hmm_dma_set_block(struct hmm_dma_code *code, unsigned int most)
{
	u64 block = rounddown_pow_of_two(clamp(most, 1U, HMM_DMA_ZONE_PAGES));

	code->within = (block - 1) << code->enc.shift;
}

/*
 * True if @entry goes on with a piece, where @next would follow the entry
 * before it and so has its flags. The end of a block ends a piece.
 */
static bool hmm_dma_goes_on(const struct hmm_dma_code *code, u64 entry,
			    u64 next)
{
	return entry == next && entry & code->within &&
	       (!code->value_has_valid ||
		hmm_encoding_has_pfn(&code->enc, entry));
}

/*
 * The piece that begins at @pfns: how many entries it is, @end at most. In
 * line, as scattered pages are a piece each.
 */
static __always_inline unsigned long
hmm_dma_piece(const struct hmm_dma_code *code, const u64 *pfns, const u64 *end)
{
	const u64 *next = pfns;
	u64 entry = *pfns;

	do {
		entry += code->step;
		next++;
	} while (next < end && hmm_dma_goes_on(code, *next, entry));
	return next - pfns;
}

/* Mark all that the device could write dirty, see hmm_dma_dirty(). */
static void hmm_dma_dirty_all(const struct hmm_range *range)
{
	const struct hmm_dma_code code = hmm_dma_code(range);
	const u64 *pfns = range->pfns, *end = pfns + hmm_dma_npages(range);
	unsigned long n;

	for (; pfns < end; pfns += n) {
		n = 1;
		if (!hmm_dma_mappable(&code, *pfns) ||
		    !hmm_dma_writable(&code, *pfns))
			continue;
		n = hmm_dma_piece(&code, pfns, end);
		hmm_dma_dirty(hmm_dma_pfn(&code, *pfns), n);
	}
}

/* Clear all entries that were mapped; returns how many. */
static long hmm_dma_clear_all(struct hmm_range *range, dma_addr_t *daddrs)
{
	const struct hmm_dma_code code = hmm_dma_code(range);
	unsigned long i, end = hmm_dma_npages(range);
	long cleared = 0;

	for (i = 0; i < end; i++) {
		if (!daddrs[i] || !hmm_dma_mappable(&code, range->pfns[i]))
			continue;
		hmm_dma_clear_entry(range, &code, daddrs, i);
		cleared++;
	}
	return cleared;
}

/* --------------------------------------------- a batch, by scatterlists */

/*
 * All pages of a direction are one scatterlist, which an IOMMU maps to one
 * IOVA range. A list takes 32 bytes for each piece.
 *
 * dma_map_sgtable() reads the struct page of each piece. While the range is
 * valid the process maps its pages, so RAM that goes offline does so later,
 * and then waits for those who found the range valid under this SRCU. Memory
 * of a device does not go offline that way: with some of it in the range, all
 * is mapped by the page.
 */
DEFINE_STATIC_SRCU(hmm_dma_srcu);

static int hmm_dma_memory_event(struct notifier_block *nb, unsigned long event,
				void *arg)
{
	if (event == MEM_OFFLINE)
		synchronize_srcu(&hmm_dma_srcu);
	return NOTIFY_OK;
}

static int __init hmm_dma_init(void)
{
	return hotplug_memory_notifier(hmm_dma_memory_event,
				       DEFAULT_CALLBACK_PRI);
}
subsys_initcall(hmm_dma_init);

/*
 * Count the pieces of each direction in @nr, by hmm_dma_writable(). Returns the
 * last of the kinds of memory, in the order of enum hmm_dma_kind.
 */
static enum hmm_dma_kind hmm_dma_count_pieces(const struct hmm_range *range,
					      const struct hmm_dma_code *code,
					      unsigned int *nr)
{
	const u64 *pfns = range->pfns, *end = pfns + hmm_dma_npages(range);
	enum hmm_dma_kind kind = HMM_DMA_RAM;
	struct hmm_dma_known known = {};
	unsigned long n;

	for (; pfns < end; pfns += n) {
		u64 entry = *pfns;
		unsigned long pfn;

		n = 1;
		if (!hmm_dma_mappable(code, entry))
			continue;
		n = hmm_dma_piece(code, pfns, end);
		nr[hmm_dma_writable(code, entry)]++;
		pfn = hmm_dma_pfn(code, entry);
		if (!hmm_dma_is_known(&known, pfn))
			kind = max(kind, hmm_dma_kind(&known, pfn));
	}
	return kind;
}

/* Add the pieces of one direction to a list; returns the element after them. */
static struct scatterlist *hmm_dma_list_pieces(const struct hmm_range *range,
					       const struct hmm_dma_code *code,
					       struct scatterlist *sg,
					       bool write)
{
	const u64 *pfns = range->pfns, *end = pfns + hmm_dma_npages(range);
	unsigned long n;

	for (; pfns < end; pfns += n) {
		u64 entry = *pfns;

		n = 1;
		if (!hmm_dma_mappable(code, entry) ||
		    hmm_dma_writable(code, entry) != write)
			continue;
		n = hmm_dma_piece(code, pfns, end);
		sg_set_page(sg, pfn_to_page(hmm_dma_pfn(code, entry)),
			    n << PAGE_SHIFT, 0);
		sg = sg_next(sg);
	}
	return sg;
}

/* Fill a list that has room for just the pieces of one direction. */
static int hmm_dma_fill_list(struct hmm_range *range,
			     const struct hmm_dma_code *code,
			     struct scatterlist *sg, bool write)
{
	struct hmm_range part = {};
	int ret = 0;

	while (!ret && hmm_dma_next_part(range, &part)) {
		sg = hmm_dma_list_pieces(&part, code, sg, write);
		ret = hmm_dma_go_on(range);
	}
	return ret;
}

/* After an error there is no list. */
static int hmm_dma_map_list(struct hmm_range *range,
			    const struct hmm_dma_code *code,
			    struct device *device, struct sg_table *list,
			    bool write, unsigned int nr)
{
	int idx, ret;

	if (!nr)
		return 0;
	ret = sg_alloc_table(list, nr, GFP_KERNEL);
	if (ret)
		goto err_no_list;
	ret = hmm_dma_fill_list(range, code, list->sgl, write);
	if (ret)
		goto err_free_list;
	idx = srcu_read_lock(&hmm_dma_srcu);
	ret = -EBUSY;
	if (hmm_range_valid(range))
		ret = dma_map_sgtable(device, list, hmm_dma_direction(write),
				      HMM_DMA_ATTRS);
	srcu_read_unlock(&hmm_dma_srcu, idx);
	if (!ret)
		return 0;
err_free_list:
	sg_free_table(list);
err_no_list:
	list->sgl = NULL;
	/* The DMA API gives no more detail */
	return ret == -EBUSY || ret == -EINTR ? ret : -EIO;
}

/* A list that exists is mapped. */
static void hmm_dma_unmap_list(struct device *device, struct sg_table *list,
			       bool write)
{
	if (!list->sgl)
		return;
	dma_unmap_sgtable(device, list, hmm_dma_direction(write),
			  HMM_DMA_ATTRS);
	sg_free_table(list);
}

static void hmm_dma_unmap_all(struct device *device,
			      struct hmm_dma_batch *batch)
{
	hmm_dma_unmap_list(device, &batch->readable, false);
	hmm_dma_unmap_list(device, &batch->writable, true);
}

/*
 * The addresses of a list that are left. They are in the order of its pages,
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

/* Give each page its address; returns how many, or -EIO if one is 0. */
static long hmm_dma_fill_part(const struct hmm_range *part,
			      const struct hmm_dma_code *code,
			      struct hmm_dma_addrs *addrs, dma_addr_t *daddrs)
{
	unsigned long i, end = hmm_dma_npages(part);
	long mapped = 0;

	for (i = 0; i < end; i++) {
		u64 entry = part->pfns[i];
		dma_addr_t addr = 0;

		if (hmm_dma_mappable(code, entry)) {
			bool write = hmm_dma_writable(code, entry);

			addr = hmm_dma_next_addr(&addrs[write]);
			if (!addr)
				return -EIO;
			mapped++;
		}
		daddrs[i] = addr;
	}
	return mapped;
}

static long hmm_dma_fill_addrs(struct hmm_range *range,
			       const struct hmm_dma_code *code,
			       struct hmm_dma_batch *batch, dma_addr_t *daddrs)
{
	struct hmm_dma_addrs addrs[2];
	struct hmm_range part = {};
	long ret = 0, mapped = 0;

	hmm_dma_addrs_set(&addrs[false], batch->readable.sgl);
	hmm_dma_addrs_set(&addrs[true], batch->writable.sgl);
	while (hmm_dma_next_part(range, &part)) {
		ret = hmm_dma_go_on(range);
		if (!ret)
			ret = hmm_dma_fill_part(&part, code, addrs,
						hmm_dma_part_addrs(range, &part,
								   daddrs));
		if (ret < 0)
			return ret;
		mapped += ret;
	}
	return mapped;
}

/* Returns how many pages it mapped; after an error nothing is mapped. */
static long hmm_dma_map_all(struct hmm_range *range, struct device *device,
			    dma_addr_t *daddrs, struct hmm_dma_batch *batch)
{
	struct hmm_dma_code code = hmm_dma_code(range);
	enum hmm_dma_kind kind = HMM_DMA_RAM;
	struct hmm_range part = {};
	unsigned int nr[2] = {};
	long ret;

	hmm_dma_set_block(&code, dma_get_max_seg_size(device) >> PAGE_SHIFT);
	while (hmm_dma_next_part(range, &part)) {
		kind = max(kind, hmm_dma_count_pieces(&part, &code, nr));
		ret = hmm_dma_go_on(range);
		if (ret)
			goto err_clear_addrs;
	}
	batch->by_page = kind != HMM_DMA_RAM || hmm_dma_is_direct(device);
	if (batch->by_page)
		return hmm_dma_map_pages(range, device, daddrs);
	ret = hmm_dma_map_list(range, &code, device, &batch->readable, false,
			       nr[false]);
	if (!ret)
		ret = hmm_dma_map_list(range, &code, device, &batch->writable,
				       true, nr[true]);
	if (!ret)
		ret = hmm_dma_fill_addrs(range, &code, batch, daddrs);
	if (ret >= 0)
		return ret;
	hmm_dma_unmap_all(device, batch);
err_clear_addrs:
	hmm_dma_clear_addrs(range, daddrs);
	return ret;
}

/* ------------------------------------------------------------- any batch */

/**
 * hmm_range_dma_map_batch() - fault a range in and map all of it in one go
 * @range: a registered range
 * @device: device to map for
 * @daddrs: array of one address a page, as for hmm_range_dma_map()
 * @batch: state for hmm_range_dma_unmap_batch(), kept until then by the caller.
 *	Needs no initialisation
 * @flags: HMM_FAULT_*
 *
 * Does what hmm_range_dma_map() does, but behind an IOMMU all pages are mapped
 * together: in one IOVA range, or in one for those that the device may write
 * and one for those that it may only read. They are mapped with the largest
 * pages that the memory allows and unmapped with one flush.
 *
 * Not for a range of which the driver would want to keep a part: when an
 * invalidation hits any of it, all of it has to be unmapped, faulted and
 * mapped again. Not for single pages either, for which hmm_range_dma_map()
 * needs no memory.
 *
 * Context: as hmm_range_fault(). Allocates.
 * Return: as hmm_range_dma_map().
 */
long hmm_range_dma_map_batch(struct hmm_range *range, struct device *device,
			     dma_addr_t *daddrs, struct hmm_dma_batch *batch,
			     unsigned int flags)
{
	u64 *saved;
	long ret;

	if (!batch)
		return -EINVAL;
	*batch = (struct hmm_dma_batch){};
	ret = hmm_dma_begin(range, device, daddrs, flags, NULL, &saved);
	if (ret < 0)
		return ret;
	ret = hmm_dma_map_all(range, device, daddrs, batch);
	batch->mapped = max(ret, 0L);
	hmm_dma_end(range, saved, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_range_dma_map_batch);

/**
 * hmm_range_dma_unmap_batch() - undo hmm_range_dma_map_batch()
 * @range: the whole range that was mapped; as for hmm_range_dma_unmap()
 *	otherwise
 * @device: device that it was mapped for
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
	if (!batch->mapped)
		return 0;
	if (batch->by_page) {
		unmapped = hmm_dma_unmap_pages(range, device, daddrs, dirty);
	} else {
		hmm_dma_unmap_all(device, batch);
		if (dirty)
			hmm_dma_dirty_all(range);
		unmapped = hmm_dma_clear_all(range, daddrs);
	}
	*batch = (struct hmm_dma_batch){};
	return unmapped;
}
EXPORT_SYMBOL_GPL(hmm_range_dma_unmap_batch);
