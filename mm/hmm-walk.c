// SPDX-License-Identifier: GPL-2.0
/*
 * HMM's walk: from the CPU's page tables to entries of some encoding.
 *
 * Page tables are read without their locks. The caller holds the mmap lock, or
 * the lock of the VMA if it walks no other. Either keeps mappings and the
 * tables above PTEs in place. The caller detects (by the cursor of mm/hmm.c)
 * entries that changed after they were read. hmm_walk_one() and hmm_walk_few()
 * need neither lock while no invalidation can start, see hmm_unlocked_few().
 */
#include <linux/hugetlb.h>
#include <linux/memblock.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagewalk.h>
#include <linux/sched/signal.h>
#include <linux/secretmem.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <trace/events/hmm.h>

#include "hmm-walk.h"

/* Huge pages at multiples of this let others run */
#define HMM_RESCHED_MASK	(64 * PMD_SIZE - 1)
/* Entries of a huge page that are written without a test between them */
#define HMM_FILL_UNROLL		256

/* An entry of the CPU page table, as far as it matters to a device. */
enum hmm_leaf_kind {
	HMM_LEAF_MAPPED,	/* memory that CPU and device can use */
	HMM_LEAF_PRIVATE,	/* the owner's private memory */
	HMM_LEAF_EMPTY,		/* a fault may bring memory */
	HMM_LEAF_BROKEN,	/* a fault can't help */
};

/**
 * struct hmm_leaf - one entry of the CPU page table, of any size
 * @kind: see &enum hmm_leaf_kind
 * @write: the CPU may write there
 * @order: of the mapping it belongs to
 * @pfn: of the first address that is looked at (MAPPED, PRIVATE)
 * @value: entry for the device (EMPTY, BROKEN)
 */
struct hmm_leaf {
	enum hmm_leaf_kind kind;
	bool write;
	u8 order;
	unsigned long pfn;
	u64 value;
};

static u64 hmm_encode(const struct hmm_encoding *enc,
		      const struct hmm_leaf *leaf)
{
	u64 entry;

	if (leaf->kind >= HMM_LEAF_EMPTY)
		return leaf->value;
	entry = ((u64)leaf->pfn << enc->shift) | enc->valid;
	entry += leaf->order * enc->order_unit;
	if (leaf->write)
		entry |= enc->write;
	if (leaf->kind == HMM_LEAF_PRIVATE)
		entry |= enc->private;
	return entry;
}

/*
 * Writes @n entries to @out, incrementing by @step, which keep some bits of
 * their input.
 */
static noinline void hmm_fill_sticky(u64 *out, unsigned long n, u64 entry,
				     u64 step, u64 sticky)
{
#pragma GCC unroll 16
	for (; n; n--, entry += step)
		hmm_put_entry(out++, entry, sticky);
}

/* Writes @n entries to @out, incrementing by @step. */
static __always_inline void hmm_fill_run(u64 *out, unsigned long n, u64 entry,
					 const u64 step)
{
	unsigned int i;

	/* Two instructions a page at most, as a huge page has many */
	for (; n >= HMM_FILL_UNROLL;
	     n -= HMM_FILL_UNROLL, out += HMM_FILL_UNROLL) {
#pragma GCC unroll 256
		for (i = 0; i < HMM_FILL_UNROLL; i++, entry += step)
			out[i] = entry;
	}
	for (; n; n--, entry += step)
		*out++ = entry;
}

/* Writes @n entries with one value to @out. */
static void hmm_fill_value(const struct hmm_encoding *enc, u64 *out, u64 value,
			   unsigned long n)
{
	if (likely(!enc->sticky))
		hmm_fill_run(out, n, value, 0);
	else
		hmm_fill_sticky(out, n, value, 0, enc->sticky);
}

static void hmm_set_orders(struct hmm_walk *w, unsigned long addr,
			   unsigned long end, u8 order)
{
	if (w->orders)
		memset(w->orders + hmm_index(w, addr), order,
		       (end - addr) >> PAGE_SHIFT);
}

/* Fills [addr, end), which lies in one leaf. */
static void hmm_fill(struct hmm_walk *w, unsigned long addr, unsigned long end,
		     const struct hmm_leaf *leaf)
{
	unsigned long n = (end - addr) >> PAGE_SHIFT;
	u64 *out = w->out + hmm_index(w, addr);

	hmm_set_orders(w, addr, end, leaf->order);
	if (leaf->kind >= HMM_LEAF_EMPTY)
		hmm_fill_value(&w->enc, out, leaf->value, n);
	else if (unlikely(w->enc.sticky))
		hmm_fill_sticky(out, n, hmm_encode(&w->enc, leaf),
				1ULL << w->enc.shift, w->enc.sticky);
	else
		hmm_fill_run(out, n, hmm_encode(&w->enc, leaf),
			     1ULL << w->enc.shift);
}

/* Returns true if @leaf does not satisfy @req: the address must be faulted. */
static bool hmm_need_fault(unsigned int req, const struct hmm_leaf *leaf)
{
	if (!req)
		return false;
	switch (leaf->kind) {
	case HMM_LEAF_MAPPED:
		return req & HMM_REQ_WRITE && !leaf->write;
	case HMM_LEAF_PRIVATE:
		return req & HMM_REQ_SYSTEM;
	default:
		return true;
	}
}

/*
 * Returns the first address of [addr, end), all in one leaf, that must be
 * faulted, or @end. A leaf that satisfies the union of all requests satisfies
 * each of them.
 */
static unsigned long hmm_first_missing(const struct hmm_walk *w,
				       unsigned long addr, unsigned long end,
				       const struct hmm_leaf *leaf)
{
	if (!hmm_need_fault(w->req, leaf))
		return end;
	if (!w->reqs)
		return addr;
	for (; addr < end; addr += PAGE_SIZE)
		if (hmm_need_fault(hmm_req(w, addr), leaf))
			break;
	return addr;
}

/*
 * Stops at @addr, whose request @leaf does not satisfy. A fault there can
 * change all of the page table from @resume on.
 */
static int hmm_stop(struct hmm_walk *w, struct vm_area_struct *vma,
		    unsigned long addr, unsigned long resume,
		    const struct hmm_leaf *leaf)
{
	w->failed = addr;
	if (leaf->kind == HMM_LEAF_BROKEN)
		return -EFAULT;
	if (hmm_req(w, addr) & HMM_REQ_WRITE && !(vma->vm_flags & VM_WRITE))
		return -EPERM;

	w->vma = vma;
	w->miss = addr;
	w->resume = max(w->start, resume);
	bitmap_zero(w->missing, MAX_PTRS_PER_PTE);
	__set_bit(0, w->missing);
	w->nr_missing = 1;
	return HMM_WALK_MISS;
}

/* Fills [addr, end) up to the first address that must be faulted. */
static noinline int hmm_walk_missing(struct hmm_walk *w,
				     struct vm_area_struct *vma,
				     unsigned long addr, unsigned long end,
				     unsigned long base,
				     const struct hmm_leaf *leaf)
{
	unsigned long miss = hmm_first_missing(w, addr, end, leaf);

	if (addr < miss)
		hmm_fill(w, addr, miss, leaf);
	if (miss == end)
		return 0;
	return hmm_stop(w, vma, miss, base, leaf);
}

/*
 * [addr, end) is one leaf, or a hole where a fault may make one. A fault on any
 * of it can invalidate all of it (a huge page is split or copied), so the walk
 * resumes at its first page: @base.
 */
static __always_inline int hmm_walk_leaf(struct hmm_walk *w,
					 struct vm_area_struct *vma,
					 unsigned long addr, unsigned long end,
					 unsigned long base,
					 const struct hmm_leaf *leaf)
{
	if (unlikely(hmm_need_fault(w->req, leaf)))
		return hmm_walk_missing(w, vma, addr, end, base, leaf);
	hmm_fill(w, addr, end, leaf);
	return 0;
}

/*
 * Lets others run. All entries before @addr have been read. Returns -EINTR at a
 * fatal signal, -EBUSY if one of them has to be read again after a collision.
 */
static int hmm_walk_pause(const struct hmm_walk *w, unsigned long addr)
{
	cond_resched();
	if (w->killable && fatal_signal_pending(current))
		return -EINTR;
	/* Pairs with hmm_mark_ranges() */
	return READ_ONCE(*w->cursor) < addr ? -EBUSY : 0;
}

/*
 * Walks any length of addresses that are all @leaf, which has no pfn, in steps
 * of @size, which a fault can change as one.
 */
static int hmm_walk_no_pfn(struct hmm_walk *w, struct vm_area_struct *vma,
			   unsigned long addr, unsigned long end,
			   unsigned long size, const struct hmm_leaf *leaf)
{
	unsigned long base, n;
	int ret;

	for (; addr < end; addr += n) {
		base = addr & ~(size - 1);
		n = min(end - addr, base + size - addr);
		ret = hmm_walk_leaf(w, vma, addr, addr + n, base, leaf);
		ret = ret ?: hmm_walk_pause(w, addr + n);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Returns true if the private memory at @pfn is the owner's. The page may
 * migrate meanwhile, and with the last page its struct page may go, so that is
 * not read. Memory that is being removed has no pagemap to be found, and is
 * nobody's.
 */
static bool hmm_is_own(const struct hmm_walk *w, unsigned long pfn)
{
	struct dev_pagemap *pagemap;
	bool owns;

	if (!w->owner)
		return false;
	pagemap = get_dev_pagemap(pfn, NULL);
	if (!pagemap)
		return false;
	owns = pagemap->owner == w->owner;
	put_dev_pagemap(pagemap);
	return owns;
}

/*
 * Classifies an entry that is not present; @leaf has its order and, by @offset,
 * its pfn. userfaultfd and PAGEMAP_SCAN set only the uffd-wp bit (@uffd_wp) of
 * such an entry: its type may still be writable.
 */
static void hmm_classify_swap(const struct hmm_walk *w, swp_entry_t entry,
			      unsigned long offset, bool uffd_wp,
			      struct hmm_leaf *leaf)
{
	leaf->kind = HMM_LEAF_EMPTY;
	leaf->value = w->enc.none;
	if (!non_swap_entry(entry) || is_migration_entry(entry) ||
	    is_device_exclusive_entry(entry))
		return;
	if (is_device_private_entry(entry)) {
		if (!hmm_is_own(w, swp_offset_pfn(entry)))
			return;
		leaf->kind = HMM_LEAF_PRIVATE;
		leaf->write = !uffd_wp &&
			      is_writable_device_private_entry(entry);
		leaf->pfn = swp_offset_pfn(entry) + offset;
		return;
	}
	if (is_pte_marker_entry(entry) &&
	    !(pte_marker_get(entry) & ~PTE_MARKER_UFFD_WP))
		return;
	/* Poison, a guard, or what a later kernel adds */
	leaf->kind = HMM_LEAF_BROKEN;
	leaf->value = w->poison;
}

static void hmm_classify_pte(const struct hmm_walk *w,
			     struct vm_area_struct *vma, unsigned long addr,
			     pte_t pte, struct hmm_leaf *leaf)
{
	*leaf = (struct hmm_leaf){ .kind = HMM_LEAF_EMPTY,
				   .value = w->enc.none };
	if (pte_none(pte))
		return;
	if (!pte_present(pte)) {
		hmm_classify_swap(w, pte_to_swp_entry(pte), 0,
				  pte_swp_uffd_wp(pte), leaf);
		return;
	}
	if (pte_protnone(pte))
		return;

	leaf->kind = HMM_LEAF_MAPPED;
	leaf->write = pte_write(pte);
	leaf->pfn = pte_pfn(pte);
	/* Some architectures make the zero page's entry special */
	if (hmm_pte_plain(pte) || is_zero_pfn(leaf->pfn) || pte_devmap(pte) ||
	    vm_normal_page(vma, addr, pte))
		return;
	leaf->kind = HMM_LEAF_BROKEN;
	leaf->value = w->enc.special;
}

/*
 * Writes @entry, of the plain entry @pte at @ptep, and those of the rest of its
 * contiguous block, @n at most, to @out. The rest is not read: architectures
 * that have such blocks change all entries of a block at once.
 *
 * Return: how many entries were written, at least 1.
 */
static __always_inline unsigned long
hmm_fill_block(pte_t *ptep, pte_t pte, u64 entry, u64 step, u64 *out,
	       unsigned long n, const u64 sticky)
{
	unsigned long i, block = pte_batch_hint(ptep, pte);

	hmm_put_entry(out, entry, sticky);
	n = min(n, block);
#pragma GCC unroll 8
	for (i = 1; i < n; i++) {
		entry += step;
		hmm_put_entry(out + i, entry, sticky);
	}
	return i;
}

/*
 * The hot loop: writes the plain entry @pte at @ptep, and those after it that
 * have the same bits but for the pfn, @n at most, to @out, with @bits added.
 * All entries of a batch are plain, and writable or not, like the first: only
 * the first is tested.
 *
 * @non_pfn_bits is all of the first entry but its pfn. Another entry less
 * @non_pfn_bits is a multiple of the pfn's lowest bit, and no larger than a pfn
 * can be, iff it has the same bits. Rotated, so that bits below the pfn come to
 * stand above it, one comparison tests both. No memory is above max_pfn, whose
 * bits are in the entry's pfn field; pages that a hotplug adds meanwhile only
 * end the batch.
 *
 * Without requests, empty entries between them belong to the batch. Reads of
 * single entries leave out what arm64's ptep_get() adds: whether others of the
 * block were accessed or are dirty.
 *
 * Return: how many entries were written to @out, at least 1.
 */
static __always_inline unsigned long
__hmm_fill_pte_batch(const struct hmm_walk *w, pte_t *ptep, pte_t pte, u64 bits,
		     u64 *out, unsigned long n, const u64 sticky)
{
	const unsigned int shift = w->enc.shift;
	const u64 limit = READ_ONCE(max_pfn);
	u64 pfn = pte_pfn(pte);
	const u64 non_pfn_bits = pte_val(pte) - (pfn << HMM_PTE_SHIFT);
	const u64 step = 1ULL << shift;
	unsigned long i, done;

	i = hmm_fill_block(ptep, pte, (pfn << shift) | bits, step, out, n,
			   sticky);
	for (; HMM_PTE_SHIFT && i < n; i += done) {
		pte = READ_ONCE(ptep[i]);
		pfn = ror64(pte_val(pte) - non_pfn_bits, HMM_PTE_SHIFT);
		done = 1;
		if (likely(pfn < limit))
			done = hmm_fill_block(ptep + i, pte,
					      (pfn << shift) | bits, step,
					      out + i, n - i, sticky);
		else if (pte_none(pte) && !w->req)
			hmm_put_entry(out + i, w->enc.none, sticky);
		else
			break;
	}
	return i;
}

static noinline unsigned long
hmm_fill_pte_batch_sticky(const struct hmm_walk *w, pte_t *ptep, pte_t pte,
			  u64 bits, u64 *out, unsigned long n)
{
	return __hmm_fill_pte_batch(w, ptep, pte, bits, out, n, w->enc.sticky);
}

/* The loop is compiled twice: encodings without sticky bits pay nothing. */
static __always_inline unsigned long
hmm_fill_pte_batch(const struct hmm_walk *w, pte_t *ptep, pte_t pte, u64 bits,
		   u64 *out, unsigned long n)
{
	if (unlikely(w->enc.sticky))
		return hmm_fill_pte_batch_sticky(w, ptep, pte, bits, out, n);
	return __hmm_fill_pte_batch(w, ptep, pte, bits, out, n, 0);
}

/*
 * Walks the batch of plain entries that starts at @addr; 0 entries if @addr
 * must be faulted. Entries that can't be written are a batch of one each if
 * requests differ and some are for writing.
 */
static __always_inline unsigned long
hmm_walk_batch(struct hmm_walk *w, pte_t *ptep, pte_t pte, unsigned long addr,
	       unsigned long end)
{
	unsigned long n = (end - addr) >> PAGE_SHIFT;
	u64 bits = w->enc.valid;

	if (pte_write(pte)) {
		bits |= w->enc.write;
	} else if (w->req & HMM_REQ_WRITE) {
		if (hmm_req(w, addr) & HMM_REQ_WRITE)
			return 0;
		n = 1;
	}
	return hmm_fill_pte_batch(w, ptep, pte, bits,
				  w->out + hmm_index(w, addr), n);
}

/* Empty or in swap: entries that a device cannot distinguish. */
static __always_inline bool hmm_pte_empty(pte_t pte)
{
	return pte_none(pte) ||
	       (!pte_present(pte) && !non_swap_entry(pte_to_swp_entry(pte)));
}

/*
 * Returns how many entries from @ptep on, @n at most, a device cannot
 * distinguish from @pte, the first of them: empty, or the same.
 */
static unsigned long hmm_count_equal(pte_t *ptep, pte_t pte, unsigned long n)
{
	unsigned long i = 1;

	if (hmm_pte_empty(pte))
		while (i < n && hmm_pte_empty(ptep_get_lockless(ptep + i)))
			i++;
	else
		while (i < n && pte_same(ptep_get_lockless(ptep + i), pte))
			i++;
	return i;
}

/*
 * Walks the entries that a device cannot distinguish from the one at @addr,
 * which is not plain: empty, zero page, marker. Ends at the first that must be
 * faulted.
 */
static unsigned long hmm_walk_equal(struct hmm_walk *w, pte_t *ptep, pte_t pte,
				    unsigned long addr, unsigned long end,
				    const struct hmm_leaf *leaf)
{
	unsigned long n;

	if (!w->reqs && hmm_need_fault(w->req, leaf))
		return 0;
	n = hmm_count_equal(ptep, pte, (end - addr) >> PAGE_SHIFT);
	end = hmm_first_missing(w, addr, addr + (n << PAGE_SHIFT), leaf);
	n = (end - addr) >> PAGE_SHIFT;
	hmm_fill_value(&w->enc, w->out + hmm_index(w, addr),
		       hmm_encode(&w->enc, leaf), n);
	return n;
}

/* Writes the empty entries from @ptep on, @n at most, to @out. No requests. */
static unsigned long hmm_fill_empty(const struct hmm_encoding *enc, pte_t *ptep,
				    u64 *out, unsigned long n)
{
	unsigned long i = 0;

	do {
		hmm_put_entry(out + i, enc->none, enc->sticky);
	} while (++i < n && hmm_pte_empty(ptep_get_lockless(ptep + i)));
	return i;
}

/*
 * Returns how many entries from @ptep on, @n at most, are plain and can be
 * written or not, as @pte, the first of them. They need the same faults.
 */
static unsigned long hmm_count_plain(pte_t *ptep, pte_t pte, unsigned long n)
{
	bool write = pte_write(pte);
	unsigned long i;

	for (i = 1; i < n; i++) {
		pte = ptep_get_lockless(ptep + i);
		if (!hmm_pte_plain(pte) || pte_write(pte) != write)
			break;
	}
	return i;
}

/*
 * A fault of a NUMA hint or of private memory may move more than its page: a
 * folio, or any pages that the owner chooses. All of the page table is read
 * again after such a fault; if it moves pages of another page table too, the
 * call ends with -EBUSY, and the next one finds them moved.
 */
static bool hmm_fault_moves(pte_t pte)
{
	if (pte_present(pte))
		return pte_protnone(pte);
	return !pte_none(pte) && is_device_private_entry(pte_to_swp_entry(pte));
}

/* Adds @n pages from @addr on, whose entry is @pte, to those to be faulted. */
static void hmm_add_missing(struct hmm_walk *w, unsigned long addr,
			    unsigned long n, pte_t pte)
{
	unsigned int first = (addr - w->miss) >> PAGE_SHIFT;

	bitmap_set(w->missing, first, n);
	w->nr_missing = first + n;
	if (hmm_fault_moves(pte))
		w->resume = max(w->start, min(w->resume, addr & PMD_MASK));
}

/*
 * Collects those of the @n pages from @addr on, all with the entry @pte, whose
 * request @leaf does not satisfy.
 *
 * Return: false if one of them can't be faulted.
 */
static bool hmm_collect_run(struct hmm_walk *w, unsigned long addr,
			    unsigned long n, pte_t pte,
			    const struct hmm_leaf *leaf)
{
	bool writable = w->vma->vm_flags & VM_WRITE;
	unsigned int req = w->req;

	for (; n; n -= w->reqs ? 1 : n, addr += PAGE_SIZE) {
		if (w->reqs)
			req = hmm_req(w, addr);
		if (!hmm_need_fault(req, leaf))
			continue;
		if (req & HMM_REQ_WRITE && !writable)
			return false;
		hmm_add_missing(w, addr, w->reqs ? 1 : n, pte);
	}
	return true;
}

/*
 * Collects the pages from @addr on, up to the end of the page table, that must
 * be faulted besides w->miss, to be faulted in the same round. The next walk
 * returns the error of a page that can't be faulted.
 */
static void hmm_collect_missing(struct hmm_walk *w, pte_t *ptep,
				unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf;
	unsigned long n;
	pte_t pte;

	for (; addr < end; addr += n << PAGE_SHIFT, ptep += n) {
		pte = ptep_get_lockless(ptep);
		n = (end - addr) >> PAGE_SHIFT;
		n = hmm_pte_plain(pte) ? hmm_count_plain(ptep, pte, n) :
					 hmm_count_equal(ptep, pte, n);
		hmm_classify_pte(w, w->vma, addr, pte, &leaf);
		if (!hmm_need_fault(w->req, &leaf) ||
		    leaf.kind == HMM_LEAF_BROKEN)
			continue;
		if (!hmm_collect_run(w, addr, n, pte, &leaf))
			break;
	}
}

/* Walks one page table. @ptep is the entry of @addr. */
static noinline int hmm_walk_ptes(struct hmm_walk *w,
				  struct vm_area_struct *vma, pte_t *ptep,
				  unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf;
	unsigned long n;
	pte_t pte;
	int ret;

	trace_hmm_walk_table(vma->vm_mm, addr, end);
	hmm_set_orders(w, addr, end, 0);
	for (; addr < end; addr += n << PAGE_SHIFT, ptep += n) {
		pte = ptep_get_lockless(ptep);
		if (likely(hmm_pte_plain(pte))) {
			n = hmm_walk_batch(w, ptep, pte, addr, end);
			if (likely(n))
				continue;
		} else if (!w->req && hmm_pte_empty(pte)) {
			n = hmm_fill_empty(&w->enc, ptep,
					   w->out + hmm_index(w, addr),
					   (end - addr) >> PAGE_SHIFT);
			continue;
		}
		hmm_classify_pte(w, vma, addr, pte, &leaf);
		n = hmm_walk_equal(w, ptep, pte, addr, end, &leaf);
		if (!n)
			break;
	}
	if (addr == end)
		return 0;

	ret = hmm_stop(w, vma, addr, addr, &leaf);
	if (ret == HMM_WALK_MISS) {
		hmm_add_missing(w, addr, 1, pte);
		if (w->most)
			end = min(end, addr + w->most * PAGE_SIZE);
		hmm_collect_missing(w, ptep + 1, addr + PAGE_SIZE, end);
	}
	return ret;
}

/* Walks addresses that no page table maps, at whatever level. */
static int hmm_walk_none(struct hmm_walk *w, struct vm_area_struct *vma,
			 unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf = { .kind = HMM_LEAF_EMPTY, .value = w->enc.none };
	unsigned long size = PMD_SIZE;

	if (!vma) {
		leaf.kind = HMM_LEAF_BROKEN;
		leaf.value = w->enc.error;
	} else if (is_vm_hugetlb_page(vma)) {
		size = huge_page_size(hstate_vma(vma));
	}
	/* A fault may make a huge page of this size, the next one copy it */
	return hmm_walk_no_pfn(w, vma, addr, end, size, &leaf);
}

static int hmm_walk_hole(unsigned long addr, unsigned long end, int depth,
			 struct mm_walk *walk)
{
	return hmm_walk_none(walk->private, walk->vma, addr, end);
}

static void hmm_classify_pmd(const struct hmm_walk *w,
			     struct vm_area_struct *vma, unsigned long addr,
			     pmd_t pmd, struct hmm_leaf *leaf)
{
	unsigned long offset = (addr & ~PMD_MASK) >> PAGE_SHIFT;

	*leaf = (struct hmm_leaf){ .kind = HMM_LEAF_EMPTY,
				   .value = w->enc.none };
	if (!pmd_present(pmd)) {
		hmm_classify_swap(w, pmd_to_swp_entry(pmd), offset,
				  pmd_swp_uffd_wp(pmd), leaf);
		if (leaf->kind == HMM_LEAF_PRIVATE)
			leaf->order = PMD_ORDER;
		return;
	}
	if (pmd_protnone(pmd))
		return;

	leaf->order = PMD_ORDER;
	leaf->kind = HMM_LEAF_MAPPED;
	leaf->write = pmd_write(pmd);
	leaf->pfn = pmd_pfn(pmd) + offset;
	/* Only VM_MIXEDMAP can have memory without struct pages */
	if (likely(!(vma->vm_flags & VM_MIXEDMAP)) || is_huge_zero_pmd(pmd) ||
	    pmd_devmap(pmd) || vm_normal_page_pmd(vma, addr, pmd))
		return;
	leaf->kind = HMM_LEAF_BROKEN;
	leaf->order = 0;
	leaf->value = w->enc.special;
}

static int hmm_walk_huge_pmd(struct hmm_walk *w, struct vm_area_struct *vma,
			     unsigned long addr, unsigned long end, pmd_t pmd)
{
	struct hmm_leaf leaf;

	hmm_classify_pmd(w, vma, addr, pmd, &leaf);
	return hmm_walk_leaf(w, vma, addr, end, addr & PMD_MASK, &leaf);
}

static noinline int hmm_walk_bad(struct hmm_walk *w, struct vm_area_struct *vma,
				 unsigned long addr, unsigned long end)
{
	struct hmm_leaf bad = { .kind = HMM_LEAF_BROKEN,
				.value = w->enc.error };

	return hmm_walk_leaf(w, vma, addr, end, addr, &bad);
}

/*
 * Page tables are read without their locks: a change from here on either is
 * part of an invalidation, which collides, or makes an entry more usable than
 * it was (filled, made writable, migrated to), which a walk may miss. arm64
 * takes out a block of contiguous PTEs and puts it back without an
 * invalidation: a walk may find the block empty, and a request then faults.
 */
static int hmm_walk_table(struct hmm_walk *w, struct vm_area_struct *vma,
			  pmd_t *pmdp, unsigned long addr, unsigned long end)
{
	pte_t *ptep;
	pmd_t pmd;
	int ret;

	for (;;) {
		pmd = pmdp_get_lockless(pmdp);
		if (pmd_none(pmd))
			return hmm_walk_none(w, vma, addr, end);
		/* Without huge leaves in the kernel such a PMD is bad */
		if (IS_ENABLED(CONFIG_PGTABLE_HAS_HUGE_LEAVES) &&
		    (!pmd_present(pmd) || pmd_leaf(pmd)))
			return hmm_walk_huge_pmd(w, vma, addr, end, pmd);
		if (pmd_bad(pmd))
			return hmm_walk_bad(w, vma, addr, end);
		/* Fails when the page table went away meanwhile: read again */
		ptep = pte_offset_map(pmdp, addr);
		if (ptep)
			break;
	}
	ret = hmm_walk_ptes(w, vma, ptep, addr, end);
	pte_unmap(ptep);
	return ret;
}

static int hmm_walk_pmd(pmd_t *pmdp, unsigned long addr, unsigned long end,
			struct mm_walk *walk)
{
	int ret;

	/* A huge page takes less time than a page table */
	if (!(addr & HMM_RESCHED_MASK) || !pmd_leaf(pmdp_get_lockless(pmdp))) {
		ret = hmm_walk_pause(walk->private, addr);
		if (ret)
			return ret;
	}
	return hmm_walk_table(walk->private, walk->vma, pmdp, addr, end);
}

#ifdef CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD
/* Without this callback the walk would split huge PUDs. */
static int hmm_walk_pud(pud_t *pudp, unsigned long addr, unsigned long end,
			struct mm_walk *walk)
{
	struct hmm_walk *w = walk->private;
	pud_t pud = pudp_get(pudp);
	struct hmm_leaf leaf = { .kind = HMM_LEAF_MAPPED,
				 .order = PUD_SHIFT - PAGE_SHIFT };
	int ret;

	if (!pud_present(pud) || !pud_leaf(pud))
		return 0;
	ret = hmm_walk_pause(w, addr);
	if (ret)
		return ret;
	walk->action = ACTION_CONTINUE;
	leaf.write = pud_write(pud);
	leaf.pfn = pud_pfn(pud) + ((addr & ~PUD_MASK) >> PAGE_SHIFT);
	if (!pud_devmap(pud)) {
		leaf.kind = HMM_LEAF_BROKEN;
		leaf.order = 0;
		leaf.value = w->enc.special;
	}
	return hmm_walk_leaf(w, walk->vma, addr, end, addr & PUD_MASK, &leaf);
}
#else
#define hmm_walk_pud NULL
#endif

#ifdef CONFIG_HUGETLB_PAGE
static int hmm_walk_hugetlb(pte_t *ptep, unsigned long hmask,
			    unsigned long addr, unsigned long end,
			    struct mm_walk *walk)
{
	struct hmm_walk *w = walk->private;
	struct hstate *h = hstate_vma(walk->vma);
	struct hmm_leaf leaf = { .kind = HMM_LEAF_EMPTY, .value = w->enc.none };
	unsigned long offset = (addr & ~hmask) >> PAGE_SHIFT;
	int ret = hmm_walk_pause(w, addr);
	pte_t pte;

	if (ret)
		return ret;
	pte = huge_ptep_get(walk->mm, addr & hmask, ptep);
	if (!huge_pte_none(pte) && !pte_present(pte)) {
		hmm_classify_swap(w, pte_to_swp_entry(pte), offset,
				  pte_swp_uffd_wp(pte), &leaf);
	} else if (pte_present(pte) && !pte_protnone(pte)) {
		leaf.kind = HMM_LEAF_MAPPED;
		leaf.write = huge_pte_write(pte);
		leaf.order = huge_page_order(h);
		leaf.pfn = pte_pfn(pte) + offset;
	}
	return hmm_walk_leaf(w, walk->vma, addr, end, addr & hmask, &leaf);
}
#else
#define hmm_walk_hugetlb NULL
#endif

/*
 * Secret memory is kept even from the kernel, and a shadow stack from the CPU's
 * stores: mirrors get neither, as pin_user_pages() gets neither.
 */
static bool hmm_vma_special(struct vm_area_struct *vma, bool strict)
{
	if (strict)
		return vma->vm_flags & (VM_IO | VM_PFNMAP | VM_SHADOW_STACK) ||
		       vma_is_secretmem(vma);
	return vma->vm_flags & (VM_IO | VM_PFNMAP);
}

/* Returns 0 to walk the VMA, 1 if its flags alone decided all its entries. */
static int hmm_walk_flags(struct hmm_walk *w, struct vm_area_struct *vma,
			  unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf = { .kind = HMM_LEAF_BROKEN };

	if (!(vma->vm_flags & VM_READ))
		leaf.value = w->enc.error;
	else if (hmm_vma_special(vma, w->strict))
		leaf.value = w->enc.special;
	else
		return 0;
	return hmm_walk_no_pfn(w, vma, addr, end, PMD_SIZE, &leaf) ?: 1;
}

static int hmm_walk_test(unsigned long addr, unsigned long end,
			 struct mm_walk *walk)
{
	return hmm_walk_flags(walk->private, walk->vma, addr, end);
}

static const struct mm_walk_ops hmm_walk_ops = {
	.pud_entry	= hmm_walk_pud,
	.pmd_entry	= hmm_walk_pmd,
	.pte_hole	= hmm_walk_hole,
	.hugetlb_entry	= hmm_walk_hugetlb,
	.test_walk	= hmm_walk_test,
	.walk_lock	= PGWALK_RDLOCK,
};

/* Returns the PMD of @addr; NULL if there is none or a huge PUD. */
static pmd_t *hmm_find_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pudp, pud;

	if (!pgd_present(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (!p4d_present(*p4d))
		return NULL;
	pudp = pud_offset(p4d, addr);
	pud = pudp_get(pudp);
	if (!pud_present(pud) || pud_leaf(pud))
		return NULL;
	return pmd_offset(pudp, addr);
}

/* Returns true if the entries of @vma depend on the page table alone. */
static bool hmm_vma_plain(struct vm_area_struct *vma, bool strict)
{
	return vma->vm_flags & VM_READ && !is_vm_hugetlb_page(vma) &&
	       !hmm_vma_special(vma, strict);
}

/*
 * Walks [from, end). Addresses in one mapping and under one PMD are walked
 * without walk_page_range(), which costs more than a few pages. The mmap lock
 * keeps the tables above PTEs in place.
 *
 * Return: 0; HMM_WALK_MISS if pages must be faulted; -EPERM, -EFAULT for the
 * request at w->failed; -EINTR; -EBUSY after a collision.
 */
int hmm_walk(struct hmm_walk *w, struct mm_struct *mm, unsigned long from)
{
	struct vm_area_struct *vma;
	pmd_t *pmdp;

	if ((from ^ (w->end - 1)) & PMD_MASK)
		goto far;
	vma = vma_lookup(mm, from);
	if (!vma || vma->vm_end < w->end || !hmm_vma_plain(vma, w->strict))
		goto far;
	pmdp = hmm_find_pmd(mm, from);
	if (pmdp)
		return hmm_walk_table(w, vma, pmdp, from, w->end);
far:
	return walk_page_range(mm, from, w->end, &hmm_walk_ops, w);
}

/*
 * Walks [from, end), which lies in @vma, whose lock is held. @vma has no huge
 * PUDs, and so is not of hugetlb. walk_page_range_vma() is not for this: it
 * wants the mmap lock.
 *
 * Return: as hmm_walk().
 */
int hmm_walk_vma(struct hmm_walk *w, struct vm_area_struct *vma,
		 unsigned long from)
{
	unsigned long addr, next;
	pmd_t *pmdp;
	int ret;

	ret = hmm_walk_flags(w, vma, from, w->end);
	if (ret)
		return min(ret, 0);
	for (addr = from; addr < w->end; addr = next) {
		ret = addr == from ? 0 : hmm_walk_pause(w, addr);
		if (ret)
			break;
		next = pmd_addr_end(addr, w->end);
		pmdp = hmm_find_pmd(vma->vm_mm, addr);
		ret = pmdp ? hmm_walk_table(w, vma, pmdp, addr, next) :
			     hmm_walk_none(w, vma, addr, next);
		if (ret)
			break;
	}
	return ret;
}

/* Maps the page table of @addr; NULL if there is none or a huge page. */
static __always_inline pte_t *hmm_map_table(struct mm_struct *mm,
					    unsigned long addr)
{
	pmd_t *pmdp = hmm_find_pmd(mm, addr);

	if (!pmdp || pmd_bad(pmdp_get_lockless(pmdp)))
		return NULL;
	return pte_offset_map(pmdp, addr);
}

/*
 * Returns the entry of @addr in @vma for a mirror; an empty one if there is
 * none, or if the result does not depend on it alone.
 */
pte_t hmm_walk_one(struct mm_struct *mm, struct vm_area_struct *vma,
		   unsigned long addr)
{
	pte_t pte, *ptep;

	if (!hmm_vma_plain(vma, true))
		return __pte(0);
	ptep = hmm_map_table(mm, addr);
	if (!ptep)
		return __pte(0);
	pte = ptep_get_lockless(ptep);
	pte_unmap(ptep);
	return pte;
}

/*
 * Walks all of @w, if its pages are plain, satisfy its requests, and lie in
 * @vma and in one page table. Does not sleep.
 */
bool hmm_walk_few(struct hmm_walk *w, struct mm_struct *mm,
		  struct vm_area_struct *vma)
{
	unsigned long addr = w->start, n = 1;
	pte_t pte, *ptep, *first;

	if ((addr ^ (w->end - 1)) & PMD_MASK || vma->vm_end < w->end ||
	    !hmm_vma_plain(vma, w->strict))
		return false;
	first = hmm_map_table(mm, addr);
	for (ptep = first; ptep && n && addr < w->end; ptep += n) {
		pte = ptep_get_lockless(ptep);
		n = hmm_pte_plain(pte) ?
		    hmm_walk_batch(w, ptep, pte, addr, w->end) : 0;
		addr += n << PAGE_SHIFT;
	}
	if (first)
		pte_unmap(first);
	return addr == w->end;
}
