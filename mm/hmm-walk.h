/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page tables to entries: reads the CPU's page tables into an array of a
 * driver's encoding, and stops where a request is not satisfied. There is no
 * mirror and no range here.
 */
#ifndef MM_HMM_WALK_H
#define MM_HMM_WALK_H

#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/pgtable.h>

/* What an address asks for; HMM_ASK_READ is in every request. */
enum {
	HMM_ASK_READ	= 1 << 0,
	HMM_ASK_WRITE	= 1 << 1,
	HMM_ASK_SYSTEM	= 1 << 2,	/* not the owner's private memory */
};

/**
 * struct hmm_encoding - how entries are written and requests are read
 * @valid: bit of an entry that has a pfn; on input, of one that asks
 * @write: bits of an entry that may be written; on input, that asks for it
 * @private: bits of an entry with device private memory; on input, of one
 *	that wants it in system memory
 * @none: entry with nothing there
 * @error: entry that can't be used
 * @special: entry without a struct page
 * @shift: of the pfn
 */
struct hmm_encoding {
	u64 valid;
	u64 write;
	u64 private;
	u64 none;
	u64 error;
	u64 special;
	unsigned int shift;
};

/**
 * struct hmm_walk - one call of hmm_range_fault()
 * @enc: encoding of @out and @asks
 * @start: first address
 * @end: address after the last
 * @out: one entry a page, output
 * @orders: one order a page, output, or NULL
 * @asks: one entry a page, input; NULL if all ask for @ask
 * @ask_mask: bits of @asks that count
 * @ask_default: bits that every entry asks for besides @asks
 * @ask: in HMM_ASK_*, what every entry asks for where @asks is NULL, else
 *	what any of them does
 * @owner: of private memory that is used in place, or NULL
 * @fault_flags: for handle_mm_fault()
 * @vma: where the walk stopped
 * @missing: the pages from @miss on that must be faulted
 * @nr_missing: bits of @missing that are in use
 * @miss: address the walk stopped at
 * @resume: address from which the walk goes on after the faults
 * @failed: address that an error is about
 *
 * A walk fills @out and stops at the first address that has not got what it
 * asks for. The faults are made after it, with no page table lock held.
 */
struct hmm_walk {
	struct hmm_encoding enc;
	unsigned long start;
	unsigned long end;
	u64 *out;
	u8 *orders;
	const u64 *asks;
	u64 ask_mask;
	u64 ask_default;
	unsigned int ask;
	void *owner;
	unsigned int fault_flags;

	struct vm_area_struct *vma;
	DECLARE_BITMAP(missing, MAX_PTRS_PER_PTE);
	unsigned int nr_missing;
	unsigned long miss;
	unsigned long resume;
	unsigned long failed;
};

/* Ends a walk without an error, as walk_page_range() passes it through. */
#define HMM_WALK_MISS 1

static inline unsigned long hmm_index(const struct hmm_walk *w, unsigned long addr)
{
	return (addr - w->start) >> PAGE_SHIFT;
}

static inline unsigned int hmm_decode_ask(const struct hmm_encoding *enc, u64 request)
{
	unsigned int ask = HMM_ASK_READ;

	if (!(request & enc->valid))
		return 0;
	if (request & enc->write)
		ask |= HMM_ASK_WRITE;
	if (request & enc->private)
		ask |= HMM_ASK_SYSTEM;
	return ask;
}

static inline unsigned int hmm_ask(const struct hmm_walk *w, unsigned long addr)
{
	if (!w->asks)
		return w->ask;
	return hmm_decode_ask(&w->enc,
			      (w->asks[hmm_index(w, addr)] & w->ask_mask) |
			      w->ask_default);
}

/* Present, accessible, and without doubt backed by a struct page. */
static inline bool hmm_pte_plain(pte_t pte)
{
	return IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL) && pte_present(pte) &&
	       !pte_protnone(pte) && !pte_special(pte);
}

int hmm_walk(struct hmm_walk *w, struct mm_struct *mm, unsigned long from);
pte_t hmm_peek_pte(struct mm_struct *mm, unsigned long addr);

#endif /* MM_HMM_WALK_H */
