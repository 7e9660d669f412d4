// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the walk compared with two other walks of the
 * same memory, a slow and simple one and the one of the interval API, and the
 * orders it reports.
 *
 * That hmm.h and hmm-interval.h can both be included here is part of the test.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/hmm-interval.h>
#include <linux/huge_mm.h>
#include <linux/hugetlb.h>
#include <linux/memblock.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/prandom.h>
#include <linux/swapops.h>

#include "../hmm-walk.h"
#include "hmm_kunit.h"

#define HK_RW	(PROT_READ | PROT_WRITE)

/* ------------------------------------------------------------ the slow walk */

static u64 hk_slow_swap(pte_t pte)
{
	swp_entry_t entry = pte_to_swp_entry(pte);

	if (is_hwpoison_entry(entry))
		return HK_ERROR;
	if (is_pte_marker_entry(entry) &&
	    pte_marker_get(entry) & PTE_MARKER_POISONED)
		return HK_ERROR;
	return HK_NONE;
}

static u64 hk_slow_pte(pte_t pte)
{
	if (pte_none(pte))
		return HK_NONE;
	if (!pte_present(pte))
		return hk_slow_swap(pte);
	if (pte_protnone(pte))
		return HK_NONE;
	if (is_zero_pfn(pte_pfn(pte)))
		return hk_entry(pte_pfn(pte), HK_V);
	if (pte_special(pte))
		return HK_SPECIAL;
	return hk_entry(pte_pfn(pte), HK_V | (pte_write(pte) ? HK_W : 0));
}

static u64 hk_slow_pmd(pmd_t pmd, unsigned long addr)
{
	unsigned long pfn = pmd_pfn(pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT);

	if (pmd_protnone(pmd))
		return HK_NONE;
	return hk_entry(pfn, HK_V | (pmd_write(pmd) ? HK_W : 0));
}

/* Look one address up from the top level, by the table in hmm.rst. */
static u64 hk_slow(struct mm_struct *mm, unsigned long addr, u8 *order)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	pmd_t *pmd;

	*order = 0;
	if (!vma || !(vma->vm_flags & VM_READ))
		return HK_ERROR;
	if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		return HK_SPECIAL;
	pmd = hk_pmd(mm, addr);
	if (!pmd || pmd_none(*pmd) || !pmd_present(*pmd))
		return HK_NONE;
	if (pmd_leaf(*pmd)) {
		*order = HPAGE_PMD_ORDER;
		return hk_slow_pmd(*pmd, addr);
	}
	return hk_slow_pte(*pte_offset_kernel(pmd, addr));
}

/* ---------------------------------------------------------------- the arena */

#define HK_ARENA_PMDS	10
#define HK_ARENA_PAGES	(HK_ARENA_PMDS * HPAGE_PMD_NR)

/**
 * struct hk_arena - address space with every kind of mapping
 * @base: its start, aligned to a huge page
 * @byhand: pages of the first and of the sixth PMD whose entries the test has
 *	set itself and must restore
 * @saved: the entries before that
 * @poisoned: a page for hwpoison entries
 * @rnd: random state
 */
struct hk_arena {
	unsigned long base;
	DECLARE_BITMAP(byhand, 2 * HPAGE_PMD_NR);
	pte_t saved[2 * HPAGE_PMD_NR];
	struct page *poisoned;
	struct rnd_state rnd;
};

static unsigned long hk_arena_pmd(struct hk_arena *arena, int n)
{
	return arena->base + n * PMD_SIZE;
}

/* PMD 4: several mappings that start and end in one page table. */
static void hk_arena_holes(struct kunit *test, unsigned long addr)
{
	hk_remap(test, addr, HPAGE_PMD_NR, NULL, HK_RW);
	hk_remap(test, addr + 100 * PAGE_SIZE, 50, NULL, PROT_NONE);
	hk_remap(test, addr + 300 * PAGE_SIZE, 100, NULL, PROT_READ);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + 200 * PAGE_SIZE, 50 * PAGE_SIZE),
			0);
	hk_write(test, addr + 90 * PAGE_SIZE, 10);
	hk_read(test, addr + 180 * PAGE_SIZE, 20);
	hk_write(test, addr + 250 * PAGE_SIZE, 3);
	hk_read(test, addr + 310 * PAGE_SIZE, 20);
	hk_write(test, addr + 400 * PAGE_SIZE, 112);
}

/* PMD 6: mappings of a device, pages and special entries. PMD 7: only pfns. */
static void hk_arena_device(struct kunit *test, unsigned long addr)
{
	struct hk_file *mixed = hk_file(test, HK_FILE_PAGE, 16);
	struct hk_file *pfns = hk_file(test, HK_FILE_PAGE, 16);
	unsigned long special;
	int i;

	mixed->vm_flags = VM_MIXEDMAP;
	hk_remap(test, addr + 10 * PAGE_SIZE, 16, mixed->file, HK_RW);
	hk_read(test, addr + 12 * PAGE_SIZE, 4);
	special = page_to_pfn(mixed->pages[15]);
	for (i = 20; i < 24; i++)
		hk_set_pte(test, addr + i * PAGE_SIZE,
			   pte_mkspecial(pfn_pte(special, PAGE_SHARED)));
	pfns->vm_flags = VM_PFNMAP;
	hk_remap(test, addr + PMD_SIZE + 30 * PAGE_SIZE, 16, pfns->file, HK_RW);
	for (i = 0; i < 8; i++)
		vmf_insert_pfn(pfns->vma,
			       addr + PMD_SIZE + (30 + i) * PAGE_SIZE,
			       page_to_pfn(pfns->pages[i]));
}

static struct hk_arena *hk_arena(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_arena *arena =
		kunit_kzalloc(test, sizeof(*arena), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, arena);
	prandom_seed_state(&arena->rnd, 0x686d6d);
	arena->poisoned = hk_alloc_page(test);
	arena->base = hk_huge(test, HK_ARENA_PMDS);
	/*
	 * 0: small pages. 1: huge. 2: the huge zero page. 3: huge, then split.
	 */
	hk_remap(test, arena->base, HPAGE_PMD_NR, NULL, HK_RW);
	hk_write(test, hk_arena_pmd(arena, 1), 1);
	hk_read(test, hk_arena_pmd(arena, 2), 1);
	hk_write(test, hk_arena_pmd(arena, 3), 1);
	KUNIT_ASSERT_EQ(test,
			do_madvise(hk->mm,
				   hk_arena_pmd(arena, 3) + 9 * PAGE_SIZE,
				   PAGE_SIZE, MADV_DONTNEED),
			0);
	hk_arena_holes(test, hk_arena_pmd(arena, 4));
	/*
	 * 5: shared memory. 8: a hugetlb page, unless huge pages are too large
	 * for a pool. 9: not populated.
	 */
	hk_remap(test, hk_arena_pmd(arena, 5), HPAGE_PMD_NR,
		 hk_shmem_file(test, PMD_SIZE), HK_RW);
	hk_arena_device(test, hk_arena_pmd(arena, 6));
	if (PAGE_SHIFT == 12 || default_hstate.free_huge_pages)
		hk_remap(test, hk_arena_pmd(arena, 8), 2 * HPAGE_PMD_NR,
			 hk_hugetlb_file(test, 2), HK_RW);
	hk_write(test, hk_arena_pmd(arena, 8), 1);
	return arena;
}

static unsigned long hk_arena_slot(struct hk_arena *arena, unsigned long i)
{
	if (i < HPAGE_PMD_NR)
		return arena->base + i * PAGE_SIZE;
	return hk_arena_pmd(arena, 5) + (i - HPAGE_PMD_NR) * PAGE_SIZE;
}

static void hk_arena_restore(struct kunit *test, struct hk_arena *arena,
			     unsigned long i)
{
	if (__test_and_clear_bit(i, arena->byhand))
		hk_set_pte(test, hk_arena_slot(arena, i), arena->saved[i]);
}

static pte_t hk_arena_pte(struct hk_arena *arena, int kind)
{
	switch (kind) {
	case 0:
		return make_pte_marker(PTE_MARKER_UFFD_WP);
	case 1:
		return make_pte_marker(PTE_MARKER_POISONED);
	case 2:
		return hk_poison_pte(arena->poisoned);
	default:
		return swp_entry_to_pte(swp_entry(0, kind * 77));
	}
}

/* Change the entry of one small page. */
static void hk_arena_change(struct kunit *test, struct hk_arena *arena)
{
	unsigned long i = prandom_u32_state(&arena->rnd) % (2 * HPAGE_PMD_NR);
	unsigned long addr = hk_arena_slot(arena, i);
	int kind = prandom_u32_state(&arena->rnd) % 8;
	struct hk *hk = test->priv;
	pte_t pte, old;

	hk_arena_restore(test, arena, i);
	if (kind == 5)
		hk_write(test, addr, 1);
	else if (kind == 6)
		hk_read(test, addr, 1);
	else if (kind == 7)
		do_madvise(hk->mm, addr, PAGE_SIZE, MADV_DONTNEED);
	if (kind >= 5)
		return;
	old = hk_set_pte(test, addr, __pte(0));
	if (pte_present(old))
		pte = pte_modify(old, PAGE_NONE);
	else
		pte = hk_arena_pte(arena, kind);
	hk_set_pte(test, addr, pte);
	arena->saved[i] = old;
	__set_bit(i, arena->byhand);
}

static void hk_arena_end(struct kunit *test, struct hk_arena *arena)
{
	unsigned long i, special = hk_arena_pmd(arena, 6);

	for (i = 0; i < 2 * HPAGE_PMD_NR; i++)
		hk_arena_restore(test, arena, i);
	for (i = 20; i < 24; i++)
		hk_set_pte(test, special + i * PAGE_SIZE, __pte(0));
}

static void hk_arena_compare(struct kunit *test, struct hmm_range *range,
			     u8 *orders)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	struct hk *hk = test->priv;
	unsigned long i;
	u64 want = 0;
	u8 order = 0;

	for (i = 0; i < npages; i++) {
		want = hk_slow(hk->mm, range->start + i * PAGE_SIZE, &order);
		if (range->pfns[i] != want || orders[i] != order)
			break;
	}
	KUNIT_EXPECT_EQ_MSG(test, i, npages,
			    "%lx: %llx order %u, the slow walk: %llx, %u",
			    range->start + i * PAGE_SIZE,
			    i < npages ? range->pfns[i] : 0,
			    i < npages ? orders[i] : 0, want, order);
}

/* An encoding with an order in each entry, and bits that a walk keeps. */
#define HK_STICKY	(BIT_ULL(60) | BIT_ULL(58))
static const struct hmm_encoding hk_interval_like = {
	.valid		= BIT_ULL(63),
	.write		= BIT_ULL(62),
	.error		= BIT_ULL(61),
	.special	= BIT_ULL(61),
	.order_unit	= BIT_ULL(52),
	.sticky		= HK_STICKY,
};

static u64 hk_recode(u64 entry, u8 order)
{
	const struct hmm_encoding *enc = &hk_interval_like;

	if (entry == HK_NONE)
		return 0;
	if (entry == HK_ERROR || entry == HK_SPECIAL)
		return enc->error;
	return entry >> HK_SHIFT | enc->valid | order * enc->order_unit |
	       (entry & HK_W ? enc->write : 0);
}

/* Walk @range again, without a mirror, into @out with random bits. */
static void hk_arena_walk(struct kunit *test, struct hk_arena *arena,
			  struct hmm_range *range, u64 *out)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	struct hk *hk = test->priv;
	const unsigned long never = ULONG_MAX;
	struct hmm_walk w = {
		.enc		= hk_interval_like,
		.start		= range->start,
		.end		= range->end,
		.out		= out,
		.poison		= hk_interval_like.error,
		.cursor		= &never,
	};
	unsigned long i;
	u64 seed = prandom_u32_state(&arena->rnd);
	u64 want = 0;
	u8 order;

	for (i = 0; i < npages; i++)
		out[i] = (seed + i) * 0x9e3779b97f4a7c15ULL;
	mmap_read_lock(hk->mm);
	KUNIT_EXPECT_EQ(test, hmm_walk(&w, hk->mm, range->start), 0);
	mmap_read_unlock(hk->mm);
	for (i = 0; i < npages; i++) {
		want = hk_slow(hk->mm, range->start + i * PAGE_SIZE, &order);
		want = hk_recode(want, order);
		want |= (seed + i) * 0x9e3779b97f4a7c15ULL & HK_STICKY;
		if (out[i] != want)
			break;
	}
	KUNIT_EXPECT_EQ_MSG(test, i, npages, "entry is %llx, expected %llx",
			    i < npages ? out[i] : 0, want);
}

#define HK_ROUNDS	500

static void random_snapshots_match_a_slow_walk(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_arena *arena = hk_arena(test);
	/* One more page at either end, in another mapping or in none. */
	unsigned long first = arena->base - PAGE_SIZE;
	struct hmm_range *range =
		hk_range_alloc(test, first, HK_ARENA_PAGES + 2);
	u8 *orders = kunit_kzalloc(test, HK_ARENA_PAGES + 2, GFP_KERNEL);
	u64 *out = kunit_kcalloc(test, HK_ARENA_PAGES + 2, sizeof(*out),
				 GFP_KERNEL);
	int round, i;

	KUNIT_ASSERT_NOT_NULL(test, orders);
	KUNIT_ASSERT_NOT_NULL(test, out);
	for (round = 0; round < HK_ROUNDS; round++) {
		unsigned long from =
			prandom_u32_state(&arena->rnd) % (HK_ARENA_PAGES + 2);
		unsigned long len = HK_ARENA_PAGES + 2 - from;

		for (i = 0; i < 16; i++)
			hk_arena_change(test, arena);
		if (round % 8)
			len = 1 + prandom_u32_state(&arena->rnd) % len;
		range->start = first + from * PAGE_SIZE;
		range->end = range->start + len * PAGE_SIZE;
		KUNIT_EXPECT_EQ(test,
				hmm_range_register(range, &hk->dev->mirror), 0);
		KUNIT_EXPECT_EQ(test,
				hk_fault_orders(test, range, HMM_FAULT_SNAPSHOT,
						orders),
				len);
		hk_arena_compare(test, range, orders);
		hk_arena_walk(test, arena, range, out);
		hmm_range_unregister(range);
		if (test->status == KUNIT_FAILURE)
			break;
	}
	hk_arena_end(test, arena);
}

/* The seed is fixed, so that a failure can be reproduced. */
static void random_requests_match_a_slow_walk(struct kunit *test)
{
	unsigned long n = 2 * HPAGE_PMD_NR, i;
	unsigned long addr = hk_huge(test, 2);
	struct hmm_range *range = hk_range(test, addr, n);
	u8 *orders = kunit_kzalloc(test, n, GFP_KERNEL);
	u64 *requested = kunit_kcalloc(test, n, sizeof(*requested), GFP_KERNEL);
	struct rnd_state rnd;
	int round, wrong = 0;

	KUNIT_ASSERT_NOT_NULL(test, orders);
	KUNIT_ASSERT_NOT_NULL(test, requested);
	prandom_seed_state(&rnd, 20);
	hk_remap(test, addr, n / 2, NULL, HK_RW);
	hk_request_each(range);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < n; i++) {
			requested[i] = prandom_u32_state(&rnd) % 64 ? 0 : HK_V;
			if (requested[i] && round & 1)
				requested[i] |= HK_W;
			range->pfns[i] = requested[i];
		}
		KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, 0, orders),
				n);
		hk_arena_compare(test, range, orders);
		for (i = 0; i < n; i++)
			wrong += (range->pfns[i] & requested[i]) !=
				 requested[i];
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	hmm_range_unregister(range);
}

/* ------------------------------------------------------- runs of neighbours */

#define HK_RUN_ROUNDS	10000
#define HK_RUN_PAGES	48

/* The kinds of runs; those from %HK_RUN_NONE on are not plain entries. */
enum hk_run_kind {
	HK_RUN_NEXT,
	HK_RUN_SHUFFLED,
	HK_RUN_DESCENDING,
	HK_RUN_SAME,
	HK_RUN_MIXED,
	HK_RUN_NONE,
	HK_RUN_ZERO,
	HK_RUN_SPECIAL,
	HK_RUN_PROTNONE,
	HK_RUN_SWAPPED,
	HK_RUN_MARKER,
	HK_RUN_GUARD,
	HK_RUN_POISON,
	HK_RUN_MIGRATION,
	HK_RUN_KINDS
};

/**
 * struct hk_runs - a page table whose entries map no real memory
 * @base: its first address
 * @poisoned: a page for hwpoison entries
 * @rnd: random state
 *
 * The entries bypass all accounting of pages, and are cleared before anything
 * else uses the page table.
 */
struct hk_runs {
	unsigned long base;
	struct page *poisoned;
	struct rnd_state rnd;
};

static void hk_run_set(struct kunit *test, struct hk_runs *runs, int i,
		       pte_t pte)
{
	struct hk *hk = test->priv;
	unsigned long addr = runs->base + i * PAGE_SIZE;

	set_pte(pte_offset_kernel(hk_pmd(hk->mm, addr), addr), pte);
}

/* A pfn whose run never includes the zero page; some runs cross max_pfn. */
static unsigned long hk_run_pfn(struct hk_runs *runs)
{
	unsigned long pfn = prandom_u32_state(&runs->rnd) % max_pfn;

	if (prandom_u32_state(&runs->rnd) % 16 == 0)
		pfn = max_pfn - prandom_u32_state(&runs->rnd) % HK_RUN_PAGES;
	if (page_to_pfn(ZERO_PAGE(0)) - pfn < HK_RUN_PAGES)
		pfn += HK_RUN_PAGES;
	return pfn;
}

/* Vary the bits that may differ between neighbouring plain entries. */
static pte_t hk_run_mix(struct hk_runs *runs, pte_t pte)
{
	u32 bits = prandom_u32_state(&runs->rnd);

	if (bits % 4 == 0)
		pte = pte_mkold(pte);
	if (bits / 4 % 4 == 0)
		pte = pte_mkclean(pte);
	if (bits / 16 % 4 == 0)
		pte = pte_wrprotect(pte);
	return pte;
}

static swp_entry_t hk_run_migration(int i, unsigned long pfn)
{
	return i & 1 ? make_readable_migration_entry(pfn) :
		       make_writable_migration_entry(pfn);
}

static pte_t hk_run_odd(struct hk_runs *runs, enum hk_run_kind kind, int i,
			unsigned long pfn, pgprot_t prot)
{
	switch (kind) {
	case HK_RUN_ZERO:
		return pte_mkspecial(pfn_pte(page_to_pfn(ZERO_PAGE(0)),
					     PAGE_READONLY));
	case HK_RUN_SPECIAL:
		return pte_mkspecial(pfn_pte(pfn + i, prot));
	case HK_RUN_PROTNONE:
		return pfn_pte(pfn + i, PAGE_NONE);
	case HK_RUN_SWAPPED:
		return swp_entry_to_pte(swp_entry(0, pfn + i));
	case HK_RUN_MARKER:
		return make_pte_marker(PTE_MARKER_UFFD_WP);
	case HK_RUN_GUARD:
		return make_pte_marker(PTE_MARKER_POISONED);
	case HK_RUN_POISON:
		return hk_poison_pte(runs->poisoned);
	case HK_RUN_MIGRATION:
		return swp_entry_to_pte(hk_run_migration(i, pfn + i));
	default:
		return __pte(0);
	}
}

static pte_t hk_run_pte(struct hk_runs *runs, enum hk_run_kind kind, int i,
			unsigned long pfn, pgprot_t prot)
{
	switch (kind) {
	case HK_RUN_NEXT:
		return pfn_pte(pfn + i, prot);
	case HK_RUN_SHUFFLED:
		return pfn_pte(pfn + i * 37 % HK_RUN_PAGES, prot);
	case HK_RUN_DESCENDING:
		return pfn_pte(pfn + HK_RUN_PAGES - 1 - i, prot);
	case HK_RUN_SAME:
		return pfn_pte(pfn, prot);
	case HK_RUN_MIXED:
		return hk_run_mix(runs, pfn_pte(pfn + i, prot));
	default:
		return hk_run_odd(runs, kind, i, pfn, prot);
	}
}

/* Change the entries of a run; the last entry of the table is a real page. */
static void hk_run_change(struct kunit *test, struct hk_runs *runs)
{
	u32 at = prandom_u32_state(&runs->rnd) % (HPAGE_PMD_NR - 1);
	u32 n = 1 + prandom_u32_state(&runs->rnd) % (HK_RUN_PAGES - 1);
	enum hk_run_kind kind = prandom_u32_state(&runs->rnd) % HK_RUN_KINDS;
	pgprot_t prot = n & 1 ? PAGE_SHARED : PAGE_READONLY;
	unsigned long pfn = hk_run_pfn(runs);
	u32 i;

	for (i = 0; i < n && at + i < HPAGE_PMD_NR - 1; i++)
		hk_run_set(test, runs, at + i,
			   hk_run_pte(runs, kind, i, pfn, prot));
}

/* Make requests that the entries satisfy, so that nothing is faulted. */
static void hk_run_request(struct kunit *test, struct hk_runs *runs,
			   struct hmm_range *range)
{
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;
	struct hk *hk = test->priv;
	u64 met;
	u8 order;

	for (i = 0; i < n; i++) {
		met = hk_slow(hk->mm, range->start + i * PAGE_SIZE, &order);
		range->pfns[i] = 0;
		if (met & HK_V && prandom_u32_state(&runs->rnd) & 1)
			range->pfns[i] = met & (HK_V | HK_W);
	}
}

/* A page has a fast path that needs no walk, except with @orders. */
static void hk_run_page(struct kunit *test, struct hmm_range *range,
			unsigned int flags, u8 *orders)
{
	u64 entry;

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, flags), 1);
	entry = range->pfns[0];
	KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, HMM_FAULT_SNAPSHOT,
					      orders), 1);
	KUNIT_EXPECT_EQ(test, range->pfns[0], entry);
}

static void hk_run_round(struct kunit *test, struct hk_runs *runs,
			 struct hmm_range *range, u8 *orders)
{
	u32 from = prandom_u32_state(&runs->rnd) % HPAGE_PMD_NR;
	u32 n = 1 + prandom_u32_state(&runs->rnd) % (2 * HK_RUN_PAGES);
	unsigned int flags = from & 1 ? 0 : HMM_FAULT_SNAPSHOT;
	struct hk *hk = test->priv;

	hk_run_change(test, runs);
	n = from % 8 < 2 ? 1 : min_t(u32, n, HPAGE_PMD_NR - from);
	range->start = runs->base + from * PAGE_SIZE;
	range->end = range->start + n * PAGE_SIZE;
	hk_run_request(test, runs, range);
	KUNIT_EXPECT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	if (n == 1)
		hk_run_page(test, range, flags, orders);
	else
		KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, flags,
						      orders), n);
	hk_arena_compare(test, range, orders);
	hmm_range_unregister(range);
}

/* Allow special entries in the mapping. */
static void hk_mix(struct kunit *test, unsigned long addr)
{
	struct hk *hk = test->priv;

	mmap_write_lock(hk->mm);
	vm_flags_set(vma_lookup(hk->mm, addr), VM_MIXEDMAP);
	mmap_write_unlock(hk->mm);
}

static void runs_of_entries_match_a_slow_walk(struct kunit *test)
{
	struct hk_runs *runs = kunit_kzalloc(test, sizeof(*runs), GFP_KERNEL);
	u8 *orders = kunit_kzalloc(test, HPAGE_PMD_NR, GFP_KERNEL);
	struct hmm_range *range;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, runs);
	KUNIT_ASSERT_NOT_NULL(test, orders);
	prandom_seed_state(&runs->rnd, 0x72756e73);
	runs->poisoned = hk_alloc_page(test);
	runs->base = hk_huge(test, 1);
	hk_remap(test, runs->base, HPAGE_PMD_NR, NULL, HK_RW);
	hk_mix(test, runs->base);
	hk_write(test, runs->base + PMD_SIZE - PAGE_SIZE, 1);
	range = hk_range_alloc(test, runs->base, HPAGE_PMD_NR);
	hk_request_each(range);

	for (i = 0; i < HK_RUN_ROUNDS; i++) {
		hk_run_round(test, runs, range, orders);
		if (test->status == KUNIT_FAILURE)
			break;
	}
	for (i = 0; i < HPAGE_PMD_NR - 1; i++)
		hk_run_set(test, runs, i, __pte(0));
}

/* A PMD that is neither empty, nor huge, nor a table: broken like a hole. */
static void bad_page_table_is_an_error(struct kunit *test)
{
	const unsigned long nowhere = BIT(MAX_PHYSMEM_BITS - PAGE_SHIFT - 1);
	pmd_t bad = pfn_pmd(nowhere, PAGE_READONLY);
	unsigned long addr = hk_huge(test, 1);
	struct hmm_range *range = hk_range(test, addr, 2);
	struct hk *hk = test->priv;
	pmd_t *pmdp, old;
	u64 snapshot;

	if (!pmd_bad(bad) || pmd_leaf(bad))
		kunit_skip(test, "that is a table on this architecture");
	hk_write(test, addr, 1);
	pmdp = hk_pmd(hk->mm, addr);
	old = pmdp_get(pmdp);
	set_pmd(pmdp, bad);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), 2);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_ERROR), 2);
	snapshot = hk_snapshot(test, addr);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	set_pmd(pmdp, old);
	KUNIT_EXPECT_EQ(test, snapshot, HK_ERROR);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_ERROR);
	hmm_range_unregister(range);
}

/* The pagemap of private memory goes before the process's entries for it. */
static void private_memory_without_a_pagemap_is_nobodys(struct kunit *test)
{
	const unsigned long nowhere = BIT(MAX_PHYSMEM_BITS - PAGE_SHIFT - 1);
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 2);
	struct hk *hk = test->priv;
	swp_entry_t gone = make_readable_device_private_entry(nowhere);
	pte_t old;

	hk_write(test, addr, 2);
	old = hk_set_pte(test, addr, swp_entry_to_pte(gone));
	hk->dev->mirror.dev_private_owner = hk;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), 2);
	hk_set_pte(test, addr, old);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_NONE);
	KUNIT_EXPECT_EQ(test, range->pfns[1],
			hk_entry(hk_pfn(test, addr + PAGE_SIZE), HK_V | HK_W));
	hmm_range_unregister(range);
}

/* ------------------------------------------------------------------- orders */

static struct hmm_range *hk_expect_orders(struct kunit *test,
					  unsigned long addr, unsigned long n,
					  u8 order)
{
	struct hmm_range *range = hk_range(test, addr, n);
	u8 *orders = kunit_kzalloc(test, n, GFP_KERNEL);
	unsigned long i, wrong = 0;

	KUNIT_ASSERT_NOT_NULL(test, orders);
	memset(orders, 0xee, n);
	KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, 0, orders), n);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), n);
	for (i = 0; i < n; i++)
		wrong += orders[i] != order;
	KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "order %u, not %u", orders[0],
			    order);
	hmm_range_unregister(range);
	return range;
}

static void order_of_small_pages_is_0(struct kunit *test)
{
	unsigned long n = HPAGE_PMD_NR + 2;

	hk_expect_orders(test, hk_anon(test, n), n, 0);
}

static void order_of_huge_pages_is_a_pmds(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 2), n = HPAGE_PMD_NR + 2;

	/* The huge zero page first, then other huge pages. */
	hk_expect_orders(test, addr + 7 * PAGE_SIZE, n, HPAGE_PMD_ORDER);
	addr = hk_huge(test, 2);
	hk_write(test, addr, 1);
	hk_write(test, addr + PMD_SIZE, 1);
	hk_expect_orders(test, addr + 7 * PAGE_SIZE, n, HPAGE_PMD_ORDER);
}

static void hk_expect_hugetlb(struct kunit *test, struct hstate *h)
{
	struct file *file = hk_hugetlb_file_of(test, h, 2);
	unsigned long n = pages_per_huge_page(h), size = huge_page_size(h);
	unsigned long addr = hk_map(test, file, 2 * size, HK_RW, MAP_SHARED);
	struct hmm_range *range;

	hk_write(test, addr, 1);
	hk_write(test, addr + size, 1);
	range = hk_expect_orders(test, addr + 7 * PAGE_SIZE, n + 2,
				 huge_page_order(h));
	hk_expect_run(test, range, 0, n - 7, hk_pfn(test, addr) + 7,
		      HK_V | HK_W);
	hk_expect_run(test, range, n - 7, 9, hk_pfn(test, addr + size),
		      HK_V | HK_W);
}

/* Some architectures have more sizes: of contiguous PTEs and of PMDs. */
static void order_of_hugetlb_pages_is_theirs(struct kunit *test)
{
	unsigned int sizes = 0;
	struct hstate *h;

	for_each_hstate(h) {
		if (h->free_huge_pages < 2)
			continue;
		hk_expect_hugetlb(test, h);
		sizes++;
	}
	if (!sizes)
		kunit_skip(test, "no huge pages, boot with hugepages=16");
}

static void order_of_a_split_huge_page_is_0(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_huge(test, 1);
	struct hmm_range *range = hk_range(test, addr, 3);
	u8 orders[3] = { 0xee, 0xee, 0xee };

	hk_write(test, addr, 1);
	KUNIT_ASSERT_EQ(test, do_madvise(hk->mm, addr + PAGE_SIZE, PAGE_SIZE,
					 MADV_DONTNEED), 0);
	KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, HMM_FAULT_SNAPSHOT,
					      orders), 3);
	KUNIT_EXPECT_EQ(test, range->pfns[1], HK_NONE);
	KUNIT_EXPECT_EQ(test, orders[0], 0);
	KUNIT_EXPECT_EQ(test, orders[2], 0);
	hmm_range_unregister(range);
}

/*
 * A huge page of a mixed mapping is like any other, and memory without struct
 * pages is special, without an order.
 */
static void order_of_special_huge_pages_is_0(struct kunit *test)
{
	const unsigned long nowhere = BIT(MAX_PHYSMEM_BITS - PAGE_SHIFT - 1);
	unsigned long addr = hk_huge(test, 1);
	struct hmm_range *range = hk_range(test, addr, 2);
	u8 orders[2] = { 0xee, 0xee };
	struct hk *hk = test->priv;
	pmd_t *pmdp, old, special;

	KUNIT_ASSERT_FALSE(test, pfn_valid(nowhere));
	hk_write(test, addr, 1);
	hk_mix(test, addr);
	KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, 0, orders), 2);
	KUNIT_EXPECT_EQ(test, orders[1], HPAGE_PMD_ORDER);
	hk_expect_run(test, range, 0, 2, hk_pfn(test, addr), HK_V | HK_W);

	pmdp = hk_pmd(hk->mm, addr);
	old = pmdp_get(pmdp);
	special = pmd_mkhuge(pfn_pmd(nowhere, PAGE_READONLY));
	set_pmd(pmdp, pmd_mkspecial(special));
	KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, HMM_FAULT_SNAPSHOT,
					      orders), 2);
	set_pmd(pmdp, old);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_SPECIAL);
	KUNIT_EXPECT_EQ(test, range->pfns[1], HK_SPECIAL);
	KUNIT_EXPECT_EQ(test, orders[0], 0);
	KUNIT_EXPECT_EQ(test, orders[1], 0);
	hmm_range_unregister(range);
}

/* The same for a huge PUD, which no test maps in any other way. */
static void special_huge_pud_is_not_split(struct kunit *test)
{
	const unsigned long nowhere = BIT(MAX_PHYSMEM_BITS - PAGE_SHIFT - 1);
	unsigned long low = hk_map(test, NULL, 2 * PUD_SIZE, PROT_READ,
				   MAP_PRIVATE | MAP_NORESERVE);
	unsigned long addr = ALIGN(low + PAGE_SIZE, PUD_SIZE);
	struct hmm_range *range = hk_range(test, addr, 2);
	u8 orders[2] = { 0xee, 0xee };
	struct hk *hk = test->priv;
	pud_t *pudp, pud;

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD))
		kunit_skip(test, "there are no huge PUDs");
	/* The PUDs of both are in one table. */
	hk_read(test, low, 1);
	hk_mix(test, addr);
	pudp = pud_offset(p4d_offset(pgd_offset(hk->mm, addr), addr), addr);
	KUNIT_ASSERT_TRUE(test, pud_none(*pudp));
	pud = pud_mkhuge(pfn_pud(nowhere, PAGE_READONLY));
	set_pud(pudp, pud_mkspecial(pud));
	KUNIT_EXPECT_EQ(test, hk_fault_orders(test, range, HMM_FAULT_SNAPSHOT,
					      orders), 2);
	KUNIT_EXPECT_TRUE(test, pud_leaf(*pudp));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	pud_clear(pudp);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_ERROR);
	KUNIT_EXPECT_EQ(test, orders[0], 0);
	KUNIT_EXPECT_EQ(test, orders[1], 0);
	hmm_range_unregister(range);
}

/* --------------------------------------------------------- the interval API */

static bool hk_interval_invalidate(struct mmu_interval_notifier *interval,
				   const struct mmu_notifier_range *update,
				   unsigned long seq)
{
	mmu_interval_set_seq(interval, seq);
	return true;
}

static const struct mmu_interval_notifier_ops hk_interval_ops = {
	.invalidate = hk_interval_invalidate,
};

/* One call of the interval API. Nothing invalidates at the same time. */
static long hk_interval_fault(struct kunit *test, unsigned long start,
			      unsigned long end, unsigned long *pfns,
			      unsigned long request)
{
	struct hk *hk = test->priv;
	struct mmu_interval_notifier interval = {};
	struct hmm_interval_range range = {
		.notifier = &interval,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
		.default_flags = request,
	};
	long ret;

	ret = mmu_interval_notifier_insert(&interval, hk->mm, start,
					   end - start, &hk_interval_ops);
	KUNIT_EXPECT_EQ(test, ret, 0);
	if (ret)
		return ret;
	do {
		range.notifier_seq = mmu_interval_read_begin(&interval);
		mmap_read_lock(hk->mm);
		ret = hmm_interval_range_fault(&range);
		mmap_read_unlock(hk->mm);
	} while (ret == -EBUSY);
	mmu_interval_notifier_remove(&interval);
	return ret;
}

static u64 hk_from_interval(unsigned long pfn)
{
	u64 flags = HK_V;

	if (pfn & HMM_INTERVAL_PFN_ERROR)
		return HK_ERROR;
	if (!(pfn & HMM_INTERVAL_PFN_VALID))
		return HK_NONE;
	if (pfn & HMM_INTERVAL_PFN_WRITE)
		flags |= HK_W;
	return hk_entry(pfn & ~HMM_INTERVAL_PFN_FLAGS, flags);
}

static void hk_expect_agree(struct kunit *test, struct hmm_range *range,
			    const unsigned long *pfns)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long i;
	u64 ours = 0, theirs = 0;

	for (i = 0; i < npages; i++) {
		theirs = hk_from_interval(pfns[i]);
		ours = range->pfns[i];
		/* The interval API has no special value. */
		if (ours == HK_SPECIAL)
			ours = HK_ERROR;
		if (ours != theirs)
			break;
	}
	KUNIT_EXPECT_EQ_MSG(test, i, npages, "page %lu: %llx, theirs %llx", i,
			    ours, theirs);
}

static void interval_api_sees_the_same_of_anything(struct kunit *test)
{
	struct hk_arena *arena = hk_arena(test);
	struct hmm_range *range = hk_range(test, arena->base, HK_ARENA_PAGES);
	unsigned long *pfns =
		kunit_kcalloc(test, HK_ARENA_PAGES, sizeof(*pfns), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pfns);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			HK_ARENA_PAGES);
	KUNIT_EXPECT_EQ(test, hk_interval_fault(test, range->start, range->end,
						pfns, 0), 0);
	hk_expect_agree(test, range, pfns);
	hmm_range_unregister(range);
	hk_arena_end(test, arena);
}

static void interval_api_gets_the_same_pages(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 4);
	unsigned long n = 3 * HPAGE_PMD_NR;
	struct hmm_range *range = hk_range(test, addr + 5 * PAGE_SIZE, n);
	unsigned long *pfns = kunit_kcalloc(test, n, sizeof(*pfns), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pfns);
	hk_remap(test, addr + PMD_SIZE, HPAGE_PMD_NR, NULL, HK_RW);
	hk_read(test, addr + PMD_SIZE, 99);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), n);
	KUNIT_EXPECT_EQ(test,
			hk_interval_fault(test, range->start, range->end, pfns,
					  HMM_INTERVAL_PFN_REQ_FAULT),
			0);
	hk_expect_agree(test, range, pfns);
	/*
	 * Fault by the interval API, then by the mirror. The faults of the
	 * former invalidate the range of the latter.
	 */
	KUNIT_EXPECT_EQ(test,
			hk_interval_fault(test, range->start, range->end, pfns,
					  HMM_INTERVAL_PFN_REQ_FAULT |
						  HMM_INTERVAL_PFN_REQ_WRITE),
			0);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), n);
	hk_expect_agree(test, range, pfns);
	hmm_range_unregister(range);
}

/* The number of entries in the contiguous block that begins at @addr. */
static unsigned long hk_block(struct kunit *test, unsigned long addr)
{
	struct hk *hk = test->priv;
	pmd_t *pmd = hk_pmd(hk->mm, addr);
	pte_t *ptep;

	if (!pmd || !pmd_present(*pmd) || pmd_leaf(*pmd))
		return 1;
	ptep = pte_offset_kernel(pmd, addr);
	return pte_batch_hint(ptep, ptep_get(ptep));
}

/*
 * A split huge page has blocks of entries that the walk does not read one by
 * one. A range begins inside the first block; a hole, so that it is no block
 * any more, is in the second.
 */
static void contiguous_blocks_end_where_others_begin(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 1);
	unsigned long pfn, hole, n = HPAGE_PMD_NR - 6;
	struct hmm_range *range;

	hk_write(test, addr, HPAGE_PMD_NR);
	hk_remap(test, addr + PMD_SIZE - PAGE_SIZE, 1, NULL, HK_RW);
	hole = hk_block(test, addr) + 4;
	if (hole == 5)
		kunit_skip(test, "no contiguous blocks here");
	pfn = hk_pfn(test, addr);
	hk_remap(test, addr + hole * PAGE_SIZE, 1, NULL, HK_RW);
	range = hk_range(test, addr + 5 * PAGE_SIZE, n);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), n);
	hole -= 5;
	hk_expect_run(test, range, 0, hole, pfn + 5, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, range->pfns[hole], HK_NONE);
	hk_expect_run(test, range, hole + 1, n - hole - 1, pfn + hole + 6,
		      HK_V | HK_W);
	hmm_range_unregister(range);
}

#define HK_FOLD_ROUNDS	2000
/* Two misses each, and two rounds at once: less than a fault's 16 tries. */
#define HK_FOLDS	3

/* An entry of a block, which is removed and set again in each round. */
struct hk_folding {
	struct kunit *test;
	unsigned long addr;
	pte_t pte;
	int round;
};

/* No invalidation is sent: to a mirror nothing changes. */
static void hk_fold(void *arg)
{
	struct hk_folding *f = arg;
	int round, last = 0, i;

	while ((round = READ_ONCE(f->round)) >= 0) {
		for (i = 0; round != last && i < HK_FOLDS; i++)
			hk_set_pte(f->test, f->addr, f->pte);
		last = round;
		cond_resched();
	}
}

/* Each entry of a snapshot is the page's, or NONE while its block changes. */
static void hk_expect_run_or_none(struct kunit *test, struct hmm_range *range,
				  unsigned long n, unsigned long pfn)
{
	unsigned long i, wrong = 0;

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), n);
	for (i = 0; i < n; i++)
		wrong += range->pfns[i] != HK_NONE &&
			 range->pfns[i] != hk_entry(pfn + i, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/*
 * A block is unfolded and folded when one of its entries goes and comes. That
 * takes out its other entries for a moment, of which no mirror hears.
 */
static void requests_are_met_while_blocks_fold(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 1), n, pfn;
	struct hk_folding f = { .test = test };
	struct hk_thread *thread;
	struct hmm_range *range;
	int i;

	hk_write(test, addr, HPAGE_PMD_NR);
	hk_remap(test, addr + PMD_SIZE - PAGE_SIZE, 1, NULL, HK_RW);
	n = hk_block(test, addr) - 1;
	if (!n)
		kunit_skip(test, "no contiguous blocks here");
	pfn = hk_pfn(test, addr);
	f.addr = addr + n * PAGE_SIZE;
	f.pte = hk_set_pte(test, f.addr, __pte(0));
	KUNIT_EXPECT_EQ(test, hk_block(test, addr), 1);
	hk_set_pte(test, f.addr, f.pte);
	KUNIT_EXPECT_EQ(test, hk_block(test, addr), n + 1);

	range = hk_range(test, addr, n);
	hk_request(range, HK_V | HK_W);
	thread = hk_run(test, hk_fold, &f);
	for (i = 1; i < HK_FOLD_ROUNDS && test->status == KUNIT_SUCCESS; i++) {
		WRITE_ONCE(f.round, i);
		KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), n);
		hk_expect_run(test, range, 0, n, pfn, HK_V | HK_W);
		hk_expect_run_or_none(test, range, n, pfn);
	}
	WRITE_ONCE(f.round, -1);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(thread, HK_LONG_MS));
	hmm_range_unregister(range);
}

static struct kunit_case hk_walk_cases[] = {
	KUNIT_CASE_SLOW(random_snapshots_match_a_slow_walk),
	KUNIT_CASE_SLOW(runs_of_entries_match_a_slow_walk),
	KUNIT_CASE(random_requests_match_a_slow_walk),
	KUNIT_CASE(bad_page_table_is_an_error),
	KUNIT_CASE(private_memory_without_a_pagemap_is_nobodys),
	KUNIT_CASE(order_of_small_pages_is_0),
	KUNIT_CASE(order_of_huge_pages_is_a_pmds),
	KUNIT_CASE(order_of_hugetlb_pages_is_theirs),
	KUNIT_CASE(order_of_a_split_huge_page_is_0),
	KUNIT_CASE(order_of_special_huge_pages_is_0),
	KUNIT_CASE(special_huge_pud_is_not_split),
	KUNIT_CASE(contiguous_blocks_end_where_others_begin),
	KUNIT_CASE(requests_are_met_while_blocks_fold),
	KUNIT_CASE(interval_api_sees_the_same_of_anything),
	KUNIT_CASE(interval_api_gets_the_same_pages),
	{}
};

static struct kunit_suite hk_walk_suite = {
	.name = "hmm_walk",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_walk_cases,
};

kunit_test_suite(hk_walk_suite);
