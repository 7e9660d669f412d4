// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the result table, with at least one test per row.
 * The left column, not requested, is hk_snapshot(); the right column is
 * hk_request_page().
 *
 * Not tested here:
 *  - DAX: needs a persistent memory device;
 *  - device coherent memory: needs physical memory set aside at boot;
 *  - a swap entry, requested: there is no swap device before user space adds
 *    one. Not requested, it is tested with an entry set by hand;
 *  - memory served by userfaultfd: needs its file descriptor. The errors of
 *    such memory are tested in hmm_kunit_fault.c;
 *  - guard markers: kernels before 6.13 have none;
 *  - huge pages of a PUD: QEMU's CPU supports them, but none are reserved.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/hugetlb.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/swapops.h>

#include <asm/tlbflush.h>

#include "hmm_kunit.h"

#define HK_RW	(PROT_READ | PROT_WRITE)

/* The entry for an address at which the CPU has mapped a page. */
static u64 hk_present(struct kunit *test, unsigned long addr, u64 flags)
{
	unsigned long pfn = hk_pfn(test, addr);

	KUNIT_EXPECT_NE(test, pfn, -1UL);
	return hk_entry(pfn, flags);
}

/* Expect @request to return the page that the CPU then has, with @flags. */
static void hk_expect_present(struct kunit *test, unsigned long addr,
			      u64 request, u64 flags)
{
	u64 entry = 0;

	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, request, &entry), 1);
	KUNIT_EXPECT_EQ(test, entry, hk_present(test, addr, flags));
}

/* Expect that @addr can be neither read nor written. */
static void hk_expect_refusal(struct kunit *test, unsigned long addr)
{
	u64 entry;

	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V, &entry),
			-EFAULT);
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V | HK_W, &entry),
			-EFAULT);
}

/* -------------------------------------------------------------- none, 4 KiB */

static void none_without_page_table(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 2);

	hk_remap(test, addr, HPAGE_PMD_NR, NULL, HK_RW);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), -1UL);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
}

static void none_beside_a_page(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 3);

	hk_write(test, addr, 1);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE), HK_NONE);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr + PAGE_SIZE), -1UL);
	hk_expect_present(test, addr + PAGE_SIZE, HK_V, HK_V);
	hk_expect_present(test, addr + 2 * PAGE_SIZE, HK_V | HK_W, HK_V | HK_W);
}

static void present_page(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);

	hk_write(test, addr, 1);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr),
			hk_present(test, addr, HK_V | HK_W));
	hk_expect_present(test, addr, HK_V, HK_V | HK_W);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
}

static void present_page_that_may_not_be_written_yet(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hk_child *child;
	unsigned long pfn;

	hk_write(test, addr, 1);
	child = hk_fork(test);
	pfn = hk_pfn(test, addr);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), hk_entry(pfn, HK_V));
	hk_expect_present(test, addr, HK_V, HK_V);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), pfn);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
	KUNIT_EXPECT_NE(test, hk_pfn(test, addr), pfn);
	hk_reap(test, child);
}

static void present_page_of_a_read_only_mapping(struct kunit *test)
{
	struct file *file = hk_shmem_file(test, PAGE_SIZE);
	unsigned long shared = hk_map(test, file, PAGE_SIZE, HK_RW, MAP_SHARED);
	unsigned long addr =
		hk_map(test, file, PAGE_SIZE, PROT_READ, MAP_SHARED);
	u64 entry;

	hk_write(test, shared, 1);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	hk_expect_present(test, addr, HK_V, HK_V);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), hk_pfn(test, shared));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr),
			hk_present(test, addr, HK_V));
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V | HK_W, &entry),
			-EPERM);
}

static void page_of_a_shared_mapping(struct kunit *test)
{
	unsigned long addr =
		hk_map(test, NULL, 2 * PAGE_SIZE, HK_RW, MAP_SHARED);

	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr),
			hk_present(test, addr, HK_V | HK_W));
	hk_write(test, addr + PAGE_SIZE, 1);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE),
			hk_present(test, addr + PAGE_SIZE, HK_V | HK_W));
}

static void zero_page(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	u64 zero = hk_entry(page_to_pfn(ZERO_PAGE(addr)), HK_V);
	u64 entry;

	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V, &entry), 1);
	KUNIT_EXPECT_EQ(test, entry, zero);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), zero);
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V, &entry), 1);
	KUNIT_EXPECT_EQ(test, entry, zero);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
	KUNIT_EXPECT_NE(test, hk_pfn(test, addr), page_to_pfn(ZERO_PAGE(addr)));
}

/* ------------------------------------------------------------- huge mappings */

static void huge_page(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_huge(test, 1);
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR);
	unsigned long pfn, flags = HK_V | HK_W;

	/* A request for one page populates the whole huge page. */
	hk_expect_present(test, addr + 5 * PAGE_SIZE, HK_V | HK_W, flags);
	KUNIT_ASSERT_TRUE(test, pmd_trans_huge(*hk_pmd(hk->mm, addr)));
	pfn = hk_pfn(test, addr);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), hk_entry(pfn, flags));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PMD_SIZE - PAGE_SIZE),
			hk_entry(pfn + HPAGE_PMD_NR - 1, flags));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			HPAGE_PMD_NR);
	hk_expect_run(test, range, 0, HPAGE_PMD_NR, pfn, flags);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), HPAGE_PMD_NR);
	hk_expect_run(test, range, 0, HPAGE_PMD_NR, pfn, flags);
	hmm_range_unregister(range);
}

static void part_of_two_huge_pages(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 2);
	struct hmm_range *range =
		hk_range(test, addr + 100 * PAGE_SIZE, HPAGE_PMD_NR);

	hk_write(test, addr, 1);
	hk_write(test, addr + PMD_SIZE, 1);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), HPAGE_PMD_NR);
	hk_expect_run(test, range, 0, HPAGE_PMD_NR - 100,
		      hk_pfn(test, addr + 100 * PAGE_SIZE), HK_V | HK_W);
	hk_expect_run(test, range, HPAGE_PMD_NR - 100, 100,
		      hk_pfn(test, addr + PMD_SIZE), HK_V | HK_W);
	hmm_range_unregister(range);
}

/* A huge page that is mapped by small pages. */
static void huge_page_that_was_split(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_huge(test, 1);
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR);
	unsigned long pfn;

	hk_write(test, addr, 1);
	pfn = hk_pfn(test, addr);
	KUNIT_ASSERT_EQ(test,
			do_madvise(hk->mm, addr + 7 * PAGE_SIZE, PAGE_SIZE,
				   MADV_DONTNEED),
			0);
	KUNIT_EXPECT_FALSE(test, pmd_leaf(*hk_pmd(hk->mm, addr)));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			HPAGE_PMD_NR);
	hk_expect_run(test, range, 0, 7, pfn, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, range->pfns[7], HK_NONE);
	hk_expect_run(test, range, 8, HPAGE_PMD_NR - 8, pfn + 8, HK_V | HK_W);
	hmm_range_unregister(range);
}

static void huge_zero_page(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_huge(test, 1);
	unsigned long page = addr + 9 * PAGE_SIZE;
	unsigned long pfn;
	u64 entry;

	hk_expect_present(test, page, HK_V, HK_V);
	KUNIT_ASSERT_TRUE(test, is_huge_zero_pmd(*hk_pmd(hk->mm, addr)));
	pfn = hk_pfn(test, addr);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, page), hk_entry(pfn + 9, HK_V));
	KUNIT_EXPECT_EQ(test, hk_request_page(test, page, HK_V, &entry), 1);
	KUNIT_EXPECT_EQ(test, entry, hk_entry(pfn + 9, HK_V));
	hk_expect_present(test, page, HK_V | HK_W, HK_V | HK_W);
}

static void hugetlb_page(struct kunit *test)
{
	struct file *file = hk_hugetlb_file(test, 2);
	unsigned long addr =
		hk_map(test, file, 2 * PMD_SIZE, HK_RW, MAP_SHARED);
	unsigned long page = addr + PMD_SIZE + 9 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, page, 10);

	KUNIT_EXPECT_EQ(test, hk_snapshot(test, page), HK_NONE);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, page), -1UL);
	hk_expect_present(test, page, HK_V | HK_W, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, page),
			hk_present(test, page, HK_V | HK_W));
	/* An empty entry next to it, in the same page table. */
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 10);
	hk_expect_run(test, range, 0, 10, hk_pfn(test, page), HK_V | HK_W);
	hmm_range_unregister(range);
}

static void hugetlb_page_of_a_read_only_mapping(struct kunit *test)
{
	struct file *file = hk_hugetlb_file(test, 1);
	unsigned long addr =
		hk_map(test, file, PMD_SIZE, PROT_READ, MAP_SHARED);
	u64 entry;

	hk_expect_present(test, addr, HK_V, HK_V);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr),
			hk_present(test, addr, HK_V));
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V | HK_W, &entry),
			-EPERM);
}

/* --------------------------------------------------------- migration entries */

struct hk_faulter {
	struct kunit *test;
	struct hmm_range *range;
	long ret;
};

static void hk_faulter_fn(void *arg)
{
	struct hk_faulter *faulter = arg;

	faulter->ret = hk_fault(faulter->test, faulter->range, 0);
}

static bool hk_folio_awaited(void *folio)
{
	return folio_test_waiters(folio);
}

/*
 * The page at @addr is under migration. It is NONE if not requested; a request
 * waits for the end of the migration and returns the same page.
 */
static void hk_expect_migration(struct kunit *test, unsigned long addr)
{
	struct hmm_range *range = hk_range(test, addr, 1);
	unsigned long pfn = hk_pfn(test, addr);
	struct folio *folio = hk_folio(test, addr);
	struct hk_faulter *faulter;
	struct hk_thread *thread;

	faulter = kunit_kzalloc(test, sizeof(*faulter), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, faulter);
	faulter->test = test;
	faulter->range = range;
	folio_get(folio);
	folio_lock(folio);
	try_to_migrate(folio, 0);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), -1UL);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	hk_request(range, HK_V | HK_W);
	thread = hk_run(test, hk_faulter_fn, faulter);
	KUNIT_EXPECT_TRUE(test, hk_poll(hk_folio_awaited, folio));
	KUNIT_EXPECT_FALSE(test, hk_thread_done(thread, HK_SHORT_MS));
	remove_migration_ptes(folio, folio, 0);
	folio_unlock(folio);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(thread, HK_LONG_MS));
	folio_put(folio);
	KUNIT_EXPECT_EQ(test, faulter->ret, 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, range->pfns[0], hk_entry(pfn, HK_V | HK_W));
	hmm_range_unregister(range);
}

static void page_under_migration(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);

	hk_write(test, addr, 1);
	hk_expect_migration(test, addr);
}

static void huge_page_under_migration(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 1);

	hk_write(test, addr, 1);
	hk_expect_migration(test, addr + 3 * PAGE_SIZE);
}

static void hugetlb_page_under_migration(struct kunit *test)
{
	struct file *file = hk_hugetlb_file(test, 1);
	unsigned long addr = hk_map(test, file, PMD_SIZE, HK_RW, MAP_PRIVATE);

	hk_write(test, addr, 1);
	hk_expect_migration(test, addr + 3 * PAGE_SIZE);
}

/* ------------------------------------------------------ other non-present ones */

static void swapped_out_page(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2);

	hk_write(test, addr, 1);
	hk_set_pte(test, addr + PAGE_SIZE,
		   swp_entry_to_pte(swp_entry(0, 12345)));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE), HK_NONE);
	hk_set_pte(test, addr + PAGE_SIZE, __pte(0));
}

/* The entry that NUMA balancing sets to detect the next access. */
static void protnone_page(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	pte_t old;

	hk_write(test, addr, 1);
	old = hk_set_pte(test, addr, __pte(0));
	hk_set_pte(test, addr, pte_modify(old, PAGE_NONE));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
	/* The same with a read request. */
	old = hk_set_pte(test, addr, __pte(0));
	hk_set_pte(test, addr, pte_modify(old, PAGE_NONE));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	hk_expect_present(test, addr, HK_V, HK_V | HK_W);
}

static void protnone_huge_page(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_huge(test, 1);
	spinlock_t *ptl; /* of the page table */
	pmd_t *pmd;

	hk_write(test, addr, 1);
	pmd = hk_pmd(hk->mm, addr);
	KUNIT_ASSERT_TRUE(test, pmd_trans_huge(*pmd));
	ptl = pmd_lock(hk->mm, pmd);
	set_pmd_at(hk->mm, addr, pmd, pmd_modify(*pmd, PAGE_NONE));
	spin_unlock(ptl);
	flush_tlb_mm(hk->mm);
	KUNIT_EXPECT_TRUE(test, pmd_protnone(*pmd));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE), HK_NONE);
	hk_expect_present(test, addr + PAGE_SIZE, HK_V | HK_W, HK_V | HK_W);
}

static void device_exclusive_page(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 1);
	struct page *page = NULL;
	unsigned long pfn;
	int ret;

	hk_write(test, addr, 1);
	pfn = hk_pfn(test, addr);
	mmap_read_lock(hk->mm);
	ret = make_device_exclusive_range(hk->mm, addr, addr + PAGE_SIZE, &page,
					  hk);
	mmap_read_unlock(hk->mm);
	KUNIT_ASSERT_EQ(test, ret, 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	unlock_page(page);
	put_page(page);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	/* The snapshots did not end the exclusive access. */
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), -1UL);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), pfn);
}

static void userfaultfd_write_protect_marker(struct kunit *test)
{
	unsigned long addr =
		hk_map(test, NULL, 2 * PAGE_SIZE, HK_RW, MAP_SHARED);

	hk_set_pte(test, addr, make_pte_marker(PTE_MARKER_UFFD_WP));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
}

static void poison_marker(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);

	hk_set_pte(test, addr, make_pte_marker(PTE_MARKER_POISONED));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_ERROR);
	hk_expect_refusal(test, addr);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_ERROR);
	hk_set_pte(test, addr, __pte(0));
}

static void hugetlb_poison_marker(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct file *file = hk_hugetlb_file(test, 2);
	unsigned long addr =
		hk_map(test, file, 2 * PMD_SIZE, HK_RW, MAP_SHARED);
	unsigned long marked = addr + PMD_SIZE;
	pte_t *ptep;

	/*
	 * The PMD of @marked could be in a page table that does not exist yet.
	 */
	hk_write(test, addr, 1);
	hk_write(test, marked, 1);
	KUNIT_ASSERT_EQ(test,
			do_madvise(hk->mm, marked, PMD_SIZE, MADV_DONTNEED), 0);
	ptep = (pte_t *)hk_pmd(hk->mm, marked);
	KUNIT_ASSERT_NOT_NULL(test, ptep);
	set_huge_pte_at(hk->mm, marked, ptep,
			make_pte_marker(PTE_MARKER_POISONED), PMD_SIZE);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, marked + PAGE_SIZE), HK_ERROR);
	hk_expect_refusal(test, marked + PAGE_SIZE);
	huge_pte_clear(hk->mm, marked, ptep, PMD_SIZE);
}

static void poisoned_page(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct page *page = hk_alloc_page(test);

	hk_set_pte(test, addr, hk_poison_pte(page));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_ERROR);
	hk_expect_refusal(test, addr);
	hk_set_pte(test, addr, __pte(0));
}

/* --------------------------------------------------------- special, no memory */

static void special_pte(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 2);
	unsigned long addr, pfn = page_to_pfn(hf->pages[0]);

	hf->vm_flags = VM_MIXEDMAP;
	addr = hk_map(test, hf->file, 2 * PAGE_SIZE, HK_RW, MAP_SHARED);
	hk_set_pte(test, addr, pte_mkspecial(pfn_pte(pfn, PAGE_SHARED)));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_SPECIAL);
	hk_expect_refusal(test, addr);
	hk_set_pte(test, addr, __pte(0));
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 0);
}

static void pfn_mapping(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 2);
	unsigned long addr;

	hf->vm_flags = VM_PFNMAP;
	addr = hk_map(test, hf->file, 2 * PAGE_SIZE, HK_RW, MAP_SHARED);
	/*
	 * Compare here, as sparse rejects a vm_fault_t as an integer argument.
	 */
	KUNIT_ASSERT_TRUE(test, vmf_insert_pfn(hf->vma, addr,
					       page_to_pfn(hf->pages[0])) ==
					VM_FAULT_NOPAGE);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_SPECIAL);
	hk_expect_refusal(test, addr);
	/* Not mapped yet, but everything in such a VMA is special. */
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE), HK_SPECIAL);
	hk_expect_refusal(test, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 0);
}

static void io_mapping(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 1);
	unsigned long addr;

	hf->vm_flags = VM_IO;
	addr = hk_map(test, hf->file, PAGE_SIZE, HK_RW, MAP_SHARED);
	hk_read(test, addr, 1);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_SPECIAL);
	hk_expect_refusal(test, addr);
}

static void mixed_mapping_of_pages(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 2);
	unsigned long addr;

	hf->vm_flags = VM_MIXEDMAP;
	addr = hk_map(test, hf->file, 2 * PAGE_SIZE, HK_RW, MAP_SHARED);
	KUNIT_ASSERT_EQ(test, vm_insert_page(hf->vma, addr, hf->pages[0]), 0);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr),
			hk_entry(page_to_pfn(hf->pages[0]), HK_V | HK_W));
	hk_expect_present(test, addr, HK_V | HK_W, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE), HK_NONE);
	hk_expect_present(test, addr + PAGE_SIZE, HK_V | HK_W, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr + PAGE_SIZE),
			page_to_pfn(hf->pages[1]));
}

static void mapping_without_read_permission(struct kunit *test)
{
	unsigned long addr =
		hk_map(test, NULL, 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE);

	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_ERROR);
	hk_expect_refusal(test, addr);
	/* A device cannot read memory that is write-only. */
	hk_remap(test, addr, 1, NULL, PROT_WRITE);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_ERROR);
	hk_expect_refusal(test, addr);
}

static void no_mapping(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 3);

	hk_write(test, addr, 3);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + PAGE_SIZE, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE), HK_ERROR);
	hk_expect_refusal(test, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, TASK_SIZE - 2 * PAGE_SIZE),
			HK_ERROR);
	hk_expect_refusal(test, TASK_SIZE - 2 * PAGE_SIZE);
}

/* ------------------------------------------------------- device private memory */

static void device_private_page_of_ones_own(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 1);
	u64 entry, there;

	hk->dev->mirror.dev_private_owner = hk;
	hk_write(test, addr, 1);
	there = hk_entry(hk_to_device(test, mem, addr), HK_V | HK_W | HK_P);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), there);
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V, &entry), 1);
	KUNIT_EXPECT_EQ(test, entry, there);
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V | HK_W, &entry),
			1);
	KUNIT_EXPECT_EQ(test, entry, there);
	/* A request with PRIVATE migrates it back, in the same call. */
	hk_expect_present(test, addr, HK_V | HK_P, HK_V | HK_W);
}

static void device_private_page_that_may_not_be_written(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 1);
	struct hk_child *child;
	u64 entry, there;

	hk->dev->mirror.dev_private_owner = hk;
	hk_write(test, addr, 1);
	/* The page also moves for the child, and is write-protected in both. */
	child = hk_fork(test);
	there = hk_entry(hk_to_device(test, mem, addr), HK_V | HK_P);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), there);
	/* It is not migrated; the driver has to check WRITE. */
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V | HK_W, &entry),
			1);
	KUNIT_EXPECT_EQ(test, entry, there);
	hk_expect_present(test, addr, HK_V | HK_W | HK_P, HK_V | HK_W);
	hk_reap(test, child);
}

/* As PAGEMAP_SCAN does: a separate bit, in an entry that stays writable. */
static void device_private_page_that_userfaultfd_protects(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 1);
	u64 entry, there;
	pte_t *ptep, old;

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_USERFAULTFD_WP))
		kunit_skip(test, "no userfaultfd write protection here");
	hk->dev->mirror.dev_private_owner = hk;
	hk_write(test, addr, 1);
	there = hk_entry(hk_to_device(test, mem, addr), HK_V | HK_P);
	/* Not set_pte_at(): PAGE_TABLE_CHECK warns about such an entry. */
	ptep = pte_offset_kernel(hk_pmd(hk->mm, addr), addr);
	old = ptep_get(ptep);
	set_pte(ptep, pte_swp_mkuffd_wp(old));
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), there);
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V | HK_W, &entry),
			1);
	KUNIT_EXPECT_EQ(test, entry, there);
	set_pte(ptep, old);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), there | HK_W);
}

/* Without the flag, such an entry would look like ordinary memory. */
static void device_private_page_without_a_flag_is_nobodys(struct kunit *test)
{
	const struct hk_encoding encoding = {
		.flags = { HK_V, HK_W, 0 },
		.values = { HK_ERROR, HK_NONE, HK_SPECIAL },
		.shift = HK_SHIFT,
	};
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range_alloc(test, addr, 2);

	hk->dev->mirror.dev_private_owner = hk;
	hk_write(test, addr, 2);
	hk_to_device(test, mem, addr);
	hk_encode(range, &encoding);
	KUNIT_ASSERT_EQ(test, hmm_range_register(range, &hk->dev->mirror), 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), 2);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_NONE);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2);
	KUNIT_EXPECT_EQ(test, range->pfns[0],
			hk_entry(hk_pfn(test, addr), HK_V | HK_W));
	hmm_range_unregister(range);
}

static void device_private_page_of_another(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 2);

	/* The owner NULL matches no memory. */
	hk->dev->mirror.dev_private_owner = NULL;
	hk_write(test, addr, 2);
	hk_to_device(test, mem, addr);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr), HK_NONE);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), -1UL);
	hk_expect_present(test, addr, HK_V, HK_V | HK_W);
	hk->dev->mirror.dev_private_owner = test;
	hk_to_device(test, mem, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_snapshot(test, addr + PAGE_SIZE), HK_NONE);
	hk_expect_present(test, addr + PAGE_SIZE, HK_V | HK_W, HK_V | HK_W);
}

/* Each copy back to RAM invalidates the faulting range. */
static void device_private_pages_come_back_in_one_call(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 64);
	struct hmm_range *range = hk_range(test, addr, 64);
	int i;

	hk_write(test, addr, 64);
	for (i = 0; i < 64; i += 2)
		hk_to_device(test, mem, addr + i * PAGE_SIZE);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 64);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W), 64);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_P), 0);
	hmm_range_unregister(range);
}

/* A driver may migrate more pages than requested, also pages already read. */
static void device_private_pages_come_back_with_others(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 64);
	struct hmm_range *range = hk_range(test, addr, 64);
	int i;

	hk->dev->mirror.dev_private_owner = hk;
	mem->around = true;
	hk_write(test, addr, 64);
	for (i = 0; i < 64; i++)
		hk_to_device(test, mem, addr + i * PAGE_SIZE);
	/*
	 * Only this page is requested; the pages before it have been read by
	 * then.
	 */
	hk_request_each(range);
	range->pfns[40] = HK_V | HK_P;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 64);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_P),
			64 - 2 * HK_DEVMEM_AROUND - 1);
	KUNIT_EXPECT_EQ(test, range->pfns[40],
			hk_entry(hk_pfn(test, addr + 40 * PAGE_SIZE),
				 HK_V | HK_W));
	KUNIT_EXPECT_EQ(test, range->pfns[39],
			hk_entry(hk_pfn(test, addr + 39 * PAGE_SIZE),
				 HK_V | HK_W));
	hmm_range_unregister(range);
}

static struct kunit_case hk_table_cases[] = {
	KUNIT_CASE(none_without_page_table),
	KUNIT_CASE(none_beside_a_page),
	KUNIT_CASE(present_page),
	KUNIT_CASE(present_page_that_may_not_be_written_yet),
	KUNIT_CASE(present_page_of_a_read_only_mapping),
	KUNIT_CASE(page_of_a_shared_mapping),
	KUNIT_CASE(zero_page),
	KUNIT_CASE(huge_page),
	KUNIT_CASE(part_of_two_huge_pages),
	KUNIT_CASE(huge_page_that_was_split),
	KUNIT_CASE(huge_zero_page),
	KUNIT_CASE(hugetlb_page),
	KUNIT_CASE(hugetlb_page_of_a_read_only_mapping),
	KUNIT_CASE(page_under_migration),
	KUNIT_CASE(huge_page_under_migration),
	KUNIT_CASE(hugetlb_page_under_migration),
	KUNIT_CASE(swapped_out_page),
	KUNIT_CASE(protnone_page),
	KUNIT_CASE(protnone_huge_page),
	KUNIT_CASE(device_exclusive_page),
	KUNIT_CASE(userfaultfd_write_protect_marker),
	KUNIT_CASE(poison_marker),
	KUNIT_CASE(hugetlb_poison_marker),
	KUNIT_CASE(poisoned_page),
	KUNIT_CASE(special_pte),
	KUNIT_CASE(pfn_mapping),
	KUNIT_CASE(io_mapping),
	KUNIT_CASE(mixed_mapping_of_pages),
	KUNIT_CASE(mapping_without_read_permission),
	KUNIT_CASE(no_mapping),
	KUNIT_CASE(device_private_page_of_ones_own),
	KUNIT_CASE(device_private_page_that_may_not_be_written),
	KUNIT_CASE(device_private_page_that_userfaultfd_protects),
	KUNIT_CASE(device_private_page_without_a_flag_is_nobodys),
	KUNIT_CASE(device_private_page_of_another),
	KUNIT_CASE(device_private_pages_come_back_in_one_call),
	KUNIT_CASE(device_private_pages_come_back_with_others),
	{}
};

static struct kunit_suite hk_table_suite = {
	.name = "hmm_table",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_table_cases,
};

kunit_test_suite(hk_table_suite);
