// SPDX-License-Identifier: GPL-2.0
/*
 * HMM's walk: from the CPU's page tables to entries in a driver's encoding.
 *
 * Page tables are read without their locks. The caller holds the mmap lock,
 * which keeps mappings and the tables above PTEs in place, and detects (by the
 * cursor of mm/hmm.c) entries that changed after they were read.
 */
#include <linux/hugetlb.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagewalk.h>
#include <linux/sched/signal.h>
#include <linux/secretmem.h>
#include <linux/swapops.h>

#include "hmm-walk.h"

/* Of huge pages, each that lies at such a multiple lets others run */
#define HMM_RESCHED_MASK	(64 * PMD_SIZE - 1)
/* Entries of a huge page that are written without a test between */
#define HMM_COUNT_UP		128

/* The lowest bit of the pfn in a PTE; 0 where it is not in one piece: arm64 */
#ifdef PFN_PTE_SHIFT
#define HMM_PTE_SHIFT		PFN_PTE_SHIFT
#else
#define HMM_PTE_SHIFT		0
#endif

/* What stands in the CPU page table, as far as it matters to a device. */
enum hmm_leaf_kind {
	HMM_LEAF_MAPPED,	/* memory that CPU and device can use */
	HMM_LEAF_PRIVATE,	/* the owner's private memory */
	HMM_LEAF_EMPTY,		/* a fault may bring memory */
	HMM_LEAF_BROKEN,	/* a fault can't help */
};

/**
 * struct hmm_leaf - one entry of the CPU page table, of any size
 * @kind: what it is
 * @write: the CPU may write there
 * @order: of the mapping it belongs to
 * @pfn: of the first address that is looked at (MAPPED, PRIVATE)
 * @value: what the device gets (EMPTY, BROKEN)
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
	if (leaf->write)
		entry |= enc->write;
	if (leaf->kind == HMM_LEAF_PRIVATE)
		entry |= enc->private;
	return entry;
}

static void hmm_set_orders(struct hmm_walk *w, unsigned long addr,
			   unsigned long end, u8 order)
{
	if (w->orders)
		memset(w->orders + hmm_index(w, addr), order,
		       (end - addr) >> PAGE_SHIFT);
}

/* @n entries from @entry on, each @step more than the one before. */
static void hmm_count_up(u64 *out, unsigned long n, u64 entry, u64 step)
{
	unsigned int i;

	/* Two instructions a page, as a huge page has many */
	for (; n >= HMM_COUNT_UP; n -= HMM_COUNT_UP, out += HMM_COUNT_UP) {
#pragma GCC unroll 128
		for (i = 0; i < HMM_COUNT_UP; i++, entry += step)
			out[i] = entry;
	}
	for (; n; n--, entry += step)
		*out++ = entry;
}

/* [addr, end) lies in one leaf. */
static void hmm_fill(struct hmm_walk *w, unsigned long addr, unsigned long end,
		     const struct hmm_leaf *leaf)
{
	unsigned long n = (end - addr) >> PAGE_SHIFT;
	u64 *out = w->out + hmm_index(w, addr);

	hmm_set_orders(w, addr, end, leaf->order);
	if (leaf->kind >= HMM_LEAF_EMPTY)
		memset64(out, leaf->value, n);
	else
		hmm_count_up(out, n, hmm_encode(&w->enc, leaf),
			     1ULL << w->enc.shift);
}

/* The whole truth about who must be faulted. */
static bool hmm_unmet(unsigned int ask, const struct hmm_leaf *leaf)
{
	if (!ask)
		return false;
	switch (leaf->kind) {
	case HMM_LEAF_MAPPED:
		return ask & HMM_ASK_WRITE && !leaf->write;
	case HMM_LEAF_PRIVATE:
		return ask & HMM_ASK_SYSTEM;
	default:
		return true;
	}
}

/* The first address of [addr, end), all in one leaf, that is unmet; or end. */
static unsigned long hmm_first_unmet(const struct hmm_walk *w,
				     unsigned long addr, unsigned long end,
				     const struct hmm_leaf *leaf)
{
	/* Who asks for less than all of them together is met as well */
	if (!hmm_unmet(w->ask, leaf))
		return end;
	if (!w->asks)
		return addr;
	for (; addr < end; addr += PAGE_SIZE)
		if (hmm_unmet(hmm_ask(w, addr), leaf))
			break;
	return addr;
}

/*
 * Stop at @addr, whose request @leaf does not meet. A fault there can change
 * all of the page table from @resume on.
 */
static int hmm_stop(struct hmm_walk *w, struct vm_area_struct *vma,
		    unsigned long addr, unsigned long resume,
		    const struct hmm_leaf *leaf)
{
	w->failed = addr;
	if (leaf->kind == HMM_LEAF_BROKEN)
		return -EFAULT;
	if (hmm_ask(w, addr) & HMM_ASK_WRITE && !(vma->vm_flags & VM_WRITE))
		return -EPERM;

	w->vma = vma;
	w->miss = addr;
	w->resume = max(w->start, resume);
	bitmap_zero(w->missing, MAX_PTRS_PER_PTE);
	__set_bit(0, w->missing);
	w->nr_missing = 1;
	return HMM_WALK_MISS;
}

/* What is before the place to resume from must be filled. */
static noinline int hmm_walk_unmet(struct hmm_walk *w,
				   struct vm_area_struct *vma,
				   unsigned long addr, unsigned long end,
				   unsigned long base,
				   const struct hmm_leaf *leaf)
{
	unsigned long unmet = hmm_first_unmet(w, addr, end, leaf);

	if (addr < unmet)
		hmm_fill(w, addr, unmet, leaf);
	if (unmet == end)
		return 0;
	return hmm_stop(w, vma, unmet, base, leaf);
}

/*
 * A piece of the address space that is one leaf, or a hole where a fault may
 * make one. A fault on any of it can invalidate all of it (a huge page is
 * split or copied), so the walk resumes at its first page: @base.
 */
static __always_inline int hmm_walk_leaf(struct hmm_walk *w,
					 struct vm_area_struct *vma,
					 unsigned long addr, unsigned long end,
					 unsigned long base,
					 const struct hmm_leaf *leaf)
{
	/* Who asks for less than all of them together is met as well */
	if (unlikely(hmm_unmet(w->ask, leaf)))
		return hmm_walk_unmet(w, vma, addr, end, base, leaf);
	hmm_fill(w, addr, end, leaf);
	return 0;
}

/*
 * Any length of addresses that are all @leaf, which has no pfn. Goes by pieces
 * of @size, which a fault can change as one.
 */
static int hmm_walk_long(struct hmm_walk *w, struct vm_area_struct *vma,
			 unsigned long addr, unsigned long end,
			 unsigned long size, const struct hmm_leaf *leaf)
{
	unsigned long base, n;
	int ret;

	for (; addr < end; addr += n) {
		base = addr & ~(size - 1);
		n = min(end - addr, base + size - addr);
		ret = hmm_walk_leaf(w, vma, addr, addr + n, base, leaf);
		if (ret)
			return ret;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/*
 * Is private memory at @pfn the mirror's own? The page may go home under us,
 * and with the last of them its struct page: so that is not looked at. Memory
 * that is about to go has no pagemap to be found, and is nobody's.
 */
static bool hmm_owns(const struct hmm_walk *w, unsigned long pfn)
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

/* Entries that are not present; @leaf has its order and, by offset, its pfn. */
static void hmm_classify_swap(const struct hmm_walk *w, swp_entry_t entry,
			      unsigned long offset, struct hmm_leaf *leaf)
{
	leaf->kind = HMM_LEAF_EMPTY;
	leaf->value = w->enc.none;
	if (!non_swap_entry(entry) || is_migration_entry(entry) ||
	    is_device_exclusive_entry(entry))
		return;
	if (is_device_private_entry(entry)) {
		if (!hmm_owns(w, swp_offset_pfn(entry)))
			return;
		leaf->kind = HMM_LEAF_PRIVATE;
		leaf->write = is_writable_device_private_entry(entry);
		leaf->pfn = swp_offset_pfn(entry) + offset;
		return;
	}
	if (is_pte_marker_entry(entry) &&
	    !(pte_marker_get(entry) & ~PTE_MARKER_UFFD_WP))
		return;
	/* Poison, a guard, or what a later kernel adds */
	leaf->kind = HMM_LEAF_BROKEN;
	leaf->value = w->enc.error;
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
		hmm_classify_swap(w, pte_to_swp_entry(pte), 0, leaf);
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
 * The heart: writes the plain entry @pte at @ptep, and those after it that are
 * alike, @n at most, to @out, with @bits added. Alike are entries that differ
 * in the pfn alone: what is true of the first, that it is plain and whether it
 * may be written, is true of all, and needs no look at any of them.
 *
 * @alike is all of the first entry but its pfn. What is left of another one
 * without that is a multiple of the pfn's lowest bit, and no more than a pfn
 * can be, iff it is alike; turned round, so that bits below the pfn come to
 * stand above it, one comparison tells both. No memory is above max_pfn, whose
 * bits are in the entry's pfn field; what a hotplug adds meanwhile only ends
 * the run.
 *
 * Where nobody asks for anything, gaps between them belong to the run.
 *
 * Return: how many were written to @out, at least 1.
 */
static unsigned long hmm_take_alike(const struct hmm_walk *w, pte_t *ptep,
				    pte_t pte, u64 bits, u64 *out,
				    unsigned long n)
{
	const unsigned int shift = w->enc.shift;
	const u64 limit = READ_ONCE(max_pfn);
	u64 pfn = pte_pfn(pte);
	const u64 alike = pte_val(pte) - (pfn << HMM_PTE_SHIFT);
	unsigned long i = 0;

	out[0] = (pfn << shift) | bits;
	if (!HMM_PTE_SHIFT)
		return 1;
	while (++i < n) {
		pte = ptep_get_lockless(ptep + i);
		pfn = ror64(pte_val(pte) - alike, HMM_PTE_SHIFT);
		if (likely(pfn < limit))
			out[i] = (pfn << shift) | bits;
		else if (pte_none(pte) && !w->ask)
			out[i] = w->enc.none;
		else
			break;
	}
	return i;
}

/*
 * The run of plain entries that starts at @addr, 0 entries if it is unmet.
 * Where pages that can't be written are asked for one by one, and some for
 * writing, it ends with the first.
 */
static unsigned long hmm_walk_run(struct hmm_walk *w, pte_t *ptep, pte_t pte,
				  unsigned long addr, unsigned long end)
{
	unsigned long n = (end - addr) >> PAGE_SHIFT;
	u64 bits = w->enc.valid;

	if (pte_write(pte)) {
		bits |= w->enc.write;
	} else if (w->ask & HMM_ASK_WRITE) {
		if (hmm_ask(w, addr) & HMM_ASK_WRITE)
			return 0;
		n = 1;
	}
	return hmm_take_alike(w, ptep, pte, bits, w->out + hmm_index(w, addr),
			      n);
}

/* Nothing is there, or only in swap: no two such entries need be the same. */
static __always_inline bool hmm_pte_empty(pte_t pte)
{
	return pte_none(pte) ||
	       (!pte_present(pte) && !non_swap_entry(pte_to_swp_entry(pte)));
}

/*
 * How many entries from @ptep on, @n at most, are to a device what @pte is,
 * that of @ptep: empty, or the same.
 */
static unsigned long hmm_count_same(pte_t *ptep, pte_t pte, unsigned long n)
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
 * The run of entries that are to a device the same as the one at @addr, which
 * is not plain: empty, zero page, marker. Ends where a request is unmet.
 */
static unsigned long hmm_walk_same(struct hmm_walk *w, pte_t *ptep, pte_t pte,
				   unsigned long addr, unsigned long end,
				   const struct hmm_leaf *leaf)
{
	unsigned long n;

	if (!w->asks && hmm_unmet(w->ask, leaf))
		return 0;
	n = hmm_count_same(ptep, pte, (end - addr) >> PAGE_SHIFT);
	end = hmm_first_unmet(w, addr, addr + (n << PAGE_SHIFT), leaf);
	n = (end - addr) >> PAGE_SHIFT;
	memset64(w->out + hmm_index(w, addr), hmm_encode(&w->enc, leaf), n);
	return n;
}

/* The empty entries from @ptep on, @n at most, where nobody asks. */
static unsigned long hmm_take_empty(pte_t *ptep, u64 none, u64 *out,
				    unsigned long n)
{
	unsigned long i = 0;

	do {
		out[i] = none;
	} while (++i < n && hmm_pte_empty(ptep_get_lockless(ptep + i)));
	return i;
}

/*
 * A fault of a NUMA hint or of private memory may move more than its page: a
 * folio, or what else the owner sees fit. All of the page table is read again
 * after such a fault; where it moves pages of another one too, the call ends
 * with -EBUSY, and the next one finds them moved.
 */
static bool hmm_fault_moves(pte_t pte)
{
	if (pte_present(pte))
		return pte_protnone(pte);
	return !pte_none(pte) && is_device_private_entry(pte_to_swp_entry(pte));
}

/* Add @n pages from @addr on, whose entry is @pte, to those to be faulted. */
static void hmm_note_missing(struct hmm_walk *w, unsigned long addr,
			     unsigned long n, pte_t pte)
{
	unsigned int first = (addr - w->miss) >> PAGE_SHIFT;

	bitmap_set(w->missing, first, n);
	w->nr_missing = first + n;
	if (hmm_fault_moves(pte))
		w->resume = max(w->start, min(w->resume, addr & PMD_MASK));
}

/*
 * Note which of the @n pages from @addr on, all with the entry @pte, are
 * missing: all of them, or each one that asks for more than @leaf.
 *
 * Return: false if one of them can't be faulted.
 */
static bool hmm_note_run(struct hmm_walk *w, unsigned long addr,
			 unsigned long n, pte_t pte,
			 const struct hmm_leaf *leaf)
{
	bool writable = w->vma->vm_flags & VM_WRITE;
	unsigned int ask = w->ask;

	for (; n; n -= w->asks ? 1 : n, addr += PAGE_SIZE) {
		if (w->asks)
			ask = hmm_ask(w, addr);
		if (!hmm_unmet(ask, leaf))
			continue;
		if (ask & HMM_ASK_WRITE && !writable)
			return false;
		hmm_note_missing(w, addr, w->asks ? 1 : n, pte);
	}
	return true;
}

/*
 * The walk has stopped at w->miss: note what else is missing from @addr on, up
 * to the end of the page table, to be faulted in the same round. What can't be
 * faulted is left to the walk that comes after.
 */
static void hmm_note_rest(struct hmm_walk *w, pte_t *ptep, unsigned long addr,
			  unsigned long end)
{
	struct hmm_leaf leaf;
	unsigned long n;
	pte_t pte;

	for (; addr < end; addr += n << PAGE_SHIFT, ptep += n) {
		pte = ptep_get_lockless(ptep);
		n = hmm_count_same(ptep, pte, (end - addr) >> PAGE_SHIFT);
		hmm_classify_pte(w, w->vma, addr, pte, &leaf);
		/* What meets all that is asked for meets each request */
		if (!hmm_unmet(w->ask, &leaf) || leaf.kind == HMM_LEAF_BROKEN)
			continue;
		if (!hmm_note_run(w, addr, n, pte, &leaf))
			break;
	}
}

/* One page table. @ptep is the entry of @addr. */
static noinline int hmm_walk_ptes(struct hmm_walk *w,
				  struct vm_area_struct *vma, pte_t *ptep,
				  unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf;
	unsigned long n;
	pte_t pte;
	int ret;

	hmm_set_orders(w, addr, end, 0);
	for (; addr < end; addr += n << PAGE_SHIFT, ptep += n) {
		pte = ptep_get_lockless(ptep);
		if (likely(hmm_pte_plain(pte))) {
			n = hmm_walk_run(w, ptep, pte, addr, end);
			if (likely(n))
				continue;
		} else if (!w->ask && hmm_pte_empty(pte)) {
			n = hmm_take_empty(ptep, w->enc.none,
					   w->out + hmm_index(w, addr),
					   (end - addr) >> PAGE_SHIFT);
			continue;
		}
		hmm_classify_pte(w, vma, addr, pte, &leaf);
		n = hmm_walk_same(w, ptep, pte, addr, end, &leaf);
		if (!n)
			break;
	}
	if (addr == end)
		return 0;

	ret = hmm_stop(w, vma, addr, addr, &leaf);
	if (ret == HMM_WALK_MISS) {
		hmm_note_missing(w, addr, 1, pte);
		hmm_note_rest(w, ptep + 1, addr + PAGE_SIZE, end);
	}
	return ret;
}

/* Nothing is mapped, by whatever level of page tables. */
static int hmm_walk_none(struct hmm_walk *w, struct vm_area_struct *vma,
			 unsigned long addr, unsigned long end)
{
	struct hmm_leaf leaf = { .kind = HMM_LEAF_EMPTY,
				 .value = w->enc.none };
	unsigned long size = PMD_SIZE;

	if (!vma) {
		leaf.kind = HMM_LEAF_BROKEN;
		leaf.value = w->enc.error;
	} else if (is_vm_hugetlb_page(vma)) {
		size = huge_page_size(hstate_vma(vma));
	}
	/* A fault may make a huge page of this size, the next one copy it */
	return hmm_walk_long(w, vma, addr, end, size, &leaf);
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
		hmm_classify_swap(w, pmd_to_swp_entry(pmd), offset, leaf);
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
	/* Only a mapping of this kind can have memory without struct pages */
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
 * it was (filled, made writable, migrated to), which a fault may miss.
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
		/* Where there are none, one is bad */
		if (IS_ENABLED(CONFIG_PGTABLE_HAS_HUGE_LEAVES) &&
		    (!pmd_present(pmd) || pmd_leaf(pmd)))
			return hmm_walk_huge_pmd(w, vma, addr, end, pmd);
		if (pmd_bad(pmd))
			return hmm_walk_bad(w, vma, addr, end);
		/* Fails when the page table went away meanwhile: look again */
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
	/* A huge page is done with sooner than a page table */
	if (!(addr & HMM_RESCHED_MASK) || !pmd_leaf(pmdp_get_lockless(pmdp))) {
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
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

	if (!pud_present(pud) || !pud_leaf(pud))
		return 0;
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
	struct hmm_leaf leaf = { .kind = HMM_LEAF_EMPTY,
				 .value = w->enc.none };
	unsigned long offset = (addr & ~hmask) >> PAGE_SHIFT;
	pte_t pte;

	cond_resched();
	pte = huge_ptep_get(walk->mm, addr & hmask, ptep);
	if (!huge_pte_none(pte) && !pte_present(pte)) {
		hmm_classify_swap(w, pte_to_swp_entry(pte), offset, &leaf);
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
 * Devices are kept from what the kernel keeps even itself from, or the CPU's
 * stores, just as pin_user_pages() does.
 */
static bool hmm_vma_special(struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_IO | VM_PFNMAP | VM_SHADOW_STACK) ||
	       vma_is_secretmem(vma);
}

/* What can be said of a whole VMA. 0 to walk it, 1 when that was all. */
static int hmm_walk_test(unsigned long addr, unsigned long end,
			 struct mm_walk *walk)
{
	struct hmm_walk *w = walk->private;
	struct hmm_leaf leaf = { .kind = HMM_LEAF_BROKEN };

	if (!(walk->vma->vm_flags & VM_READ))
		leaf.value = w->enc.error;
	else if (hmm_vma_special(walk->vma))
		leaf.value = w->enc.special;
	else
		return 0;
	return hmm_walk_long(w, walk->vma, addr, end, PMD_SIZE, &leaf) ?: 1;
}

static const struct mm_walk_ops hmm_walk_ops = {
	.pud_entry	= hmm_walk_pud,
	.pmd_entry	= hmm_walk_pmd,
	.pte_hole	= hmm_walk_hole,
	.hugetlb_entry	= hmm_walk_hugetlb,
	.test_walk	= hmm_walk_test,
	.walk_lock	= PGWALK_RDLOCK,
};

/* The way to the PMD of @addr; NULL if it is not there or a huge PUD is. */
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

/* The mapping of @addr, if a page table is all that can be said of it. */
static struct vm_area_struct *hmm_find_vma(struct mm_struct *mm,
					   unsigned long addr)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	if (!vma || !(vma->vm_flags & VM_READ) || is_vm_hugetlb_page(vma) ||
	    hmm_vma_special(vma))
		return NULL;
	return vma;
}

/*
 * Walks [from, end). What lies in one mapping and under one PMD is found
 * without the callbacks: the way there costs more than a few pages. The mmap
 * lock keeps the tables above PTEs in place.
 */
int hmm_walk(struct hmm_walk *w, struct mm_struct *mm, unsigned long from)
{
	struct vm_area_struct *vma;
	pmd_t *pmdp;

	if ((from ^ (w->end - 1)) & PMD_MASK)
		goto far;
	vma = hmm_find_vma(mm, from);
	if (!vma || vma->vm_end < w->end)
		goto far;
	pmdp = hmm_find_pmd(mm, from);
	if (pmdp)
		return hmm_walk_table(w, vma, pmdp, from, w->end);
far:
	return walk_page_range(mm, from, w->end, &hmm_walk_ops, w);
}

/* The entry of @addr in its page table; none if there is no such table. */
pte_t hmm_peek_pte(struct mm_struct *mm, unsigned long addr)
{
	pte_t pte = __pte(0);
	pmd_t *pmdp;
	pte_t *ptep;

	if (!hmm_find_vma(mm, addr))
		return pte;
	pmdp = hmm_find_pmd(mm, addr);
	if (!pmdp || pmd_bad(pmdp_get_lockless(pmdp)))
		return pte;
	ptep = pte_offset_map(pmdp, addr);
	if (ptep) {
		pte = ptep_get_lockless(ptep);
		pte_unmap(ptep);
	}
	return pte;
}
