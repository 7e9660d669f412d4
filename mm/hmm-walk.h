/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page tables to entries: reads the CPU's page tables into an array of some
 * encoding, and stops at the first address whose request is not satisfied.
 * Works on a struct hmm_encoding; there is no mirror and no range here.
 */
#ifndef MM_HMM_WALK_H
#define MM_HMM_WALK_H

#include <linux/bitmap.h>
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/pgtable.h>

/* The request of an address; HMM_REQ_READ is in every request. */
enum {
	HMM_REQ_READ	= 1 << 0,
	HMM_REQ_WRITE	= 1 << 1,
	HMM_REQ_SYSTEM	= 1 << 2,	/* not the owner's private memory */
};

/**
 * struct hmm_walk - a walk, and the state that it stopped in
 * @enc: encoding of @out and @reqs
 * @start: first address
 * @end: address after the last
 * @out: one entry a page, output
 * @orders: one order a page, output, or NULL
 * @reqs: one entry a page, input; NULL if every request is @req
 * @req_mask: bits of @reqs that count
 * @req_default: bits that every request has besides @reqs
 * @req: union of all requests, in HMM_REQ_*
 * @owner: of the private memory that is used in place; NULL matches none
 * @poison: entry of poison and of guards
 * @strict: secret memory and shadow stacks are special too
 * @killable: a fatal signal ends the walk and the faults
 * @cursor: entries before it hold. The walk may stop when it has read all of
 *	them, which are fewer than it was to read after a collision
 * @most: pages to fault in one round at most; 0 for no limit
 * @vma: mapping that the walk stopped in
 * @missing: the pages from @miss on that must be faulted
 * @nr_missing: bits of @missing that are in use
 * @miss: address the walk stopped at
 * @resume: address from which the walk continues after the faults
 * @failed: address that an error is about, or whose fault dropped the lock
 * @tried: address whose fault dropped the lock before and may not do so again
 *
 * A walk fills @out and stops at the first address that must be faulted. The
 * faults are made after it, with no page table lock held.
 */
struct hmm_walk {
	struct hmm_encoding enc;
	unsigned long start;
	unsigned long end;
	u64 *out;
	u8 *orders;
	const u64 *reqs;
	u64 req_mask;
	u64 req_default;
	unsigned int req;
	void *owner;
	u64 poison;
	bool strict;
	bool killable;
	const unsigned long *cursor;
	unsigned int most;

	struct vm_area_struct *vma;
	DECLARE_BITMAP(missing, MAX_PTRS_PER_PTE);
	unsigned int nr_missing;
	unsigned long miss;
	unsigned long resume;
	unsigned long failed;
	unsigned long tried;
};

/* Stops a walk without an error, as walk_page_range() passes it through. */
#define HMM_WALK_MISS 1

static inline unsigned long hmm_index(const struct hmm_walk *w,
				      unsigned long addr)
{
	return (addr - w->start) >> PAGE_SHIFT;
}

static inline unsigned int hmm_decode_req(const struct hmm_encoding *enc,
					  u64 request)
{
	unsigned int req = HMM_REQ_READ;

	if (!(request & enc->valid))
		return 0;
	if (request & enc->write)
		req |= HMM_REQ_WRITE;
	if (request & enc->private)
		req |= HMM_REQ_SYSTEM;
	return req;
}

/* Returns the request of @addr. */
static inline unsigned int hmm_req(const struct hmm_walk *w, unsigned long addr)
{
	if (!w->reqs)
		return w->req;
	return hmm_decode_req(&w->enc,
			      (w->reqs[hmm_index(w, addr)] & w->req_mask) |
			      w->req_default);
}

/*
 * Writes an entry. @sticky is &hmm_encoding.sticky, or a constant 0 in code
 * that is only for encodings without such bits.
 */
static __always_inline void hmm_put_entry(u64 *out, u64 entry, u64 sticky)
{
	if (__builtin_constant_p(sticky) && !sticky)
		*out = entry;
	else
		*out = entry | (*out & sticky);
}

/*
 * The lowest bit of the pfn in a PTE; 0 if entries are not filled in batches:
 * the pfn is not in one piece (arm64 with 52 bits), or, with 32 bits,
 * PFN_PTE_SHIFT may be of one word of the entry only (MIPS).
 */
#if defined(PFN_PTE_SHIFT) && defined(CONFIG_64BIT)
#define HMM_PTE_SHIFT		PFN_PTE_SHIFT
#elif defined(CONFIG_ARM64_PA_BITS_48)
#define HMM_PTE_SHIFT		PAGE_SHIFT
#else
#define HMM_PTE_SHIFT		0
#endif

/* Present, accessible, and backed by a struct page. */
static inline bool hmm_pte_plain(pte_t pte)
{
	return IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL) && pte_present(pte) &&
	       !pte_protnone(pte) && !pte_special(pte);
}

int hmm_walk(struct hmm_walk *w, struct mm_struct *mm, unsigned long from);
int hmm_walk_vma(struct hmm_walk *w, struct vm_area_struct *vma,
		 unsigned long from);
pte_t hmm_walk_one(struct mm_struct *mm, struct vm_area_struct *vma,
		   unsigned long addr);
bool hmm_walk_few(struct hmm_walk *w, struct mm_struct *mm,
		  struct vm_area_struct *vma);

#endif /* MM_HMM_WALK_H */
