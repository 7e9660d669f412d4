// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: the memory of a test, its page tables, a file
 * whose page faults do as the test sets, and a forked child.
 */
#include <kunit/test.h>
#include <kunit/resource.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/shmem_fs.h>
#include <linux/swapops.h>
#include <linux/uaccess.h>

#include <asm/tlbflush.h>

#include "hmm_kunit.h"

/* ------------------------------------------------------------ user's memory */

unsigned long hk_map(struct kunit *test, struct file *file, unsigned long len,
		     unsigned long prot, unsigned long flags)
{
	unsigned long addr;

	if (!file)
		flags |= MAP_ANONYMOUS;
	addr = vm_mmap(file, 0, len, prot, flags, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	return addr;
}

unsigned long hk_anon(struct kunit *test, unsigned long npages)
{
	return hk_map(test, NULL, npages * PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE);
}

/* Replace a part of a mapping; by a shared mapping if there is a @file. */
void hk_remap(struct kunit *test, unsigned long addr, unsigned long npages,
	      struct file *file, unsigned long prot)
{
	unsigned long flags = MAP_FIXED;

	flags |= file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	KUNIT_ASSERT_EQ(test,
			vm_mmap(file, addr, npages * PAGE_SIZE, prot, flags, 0),
			addr);
}

/* Map @nr aligned huge pages' worth of memory with MADV_HUGEPAGE, untouched. */
unsigned long hk_huge(struct kunit *test, unsigned long nr)
{
	struct hk *hk = test->priv;
	unsigned long len = (nr + 1) * PMD_SIZE;
	unsigned long addr = hk_anon(test, len >> PAGE_SHIFT);

	KUNIT_ASSERT_EQ(test, do_madvise(hk->mm, addr, len, MADV_HUGEPAGE), 0);
	return ALIGN(addr, PMD_SIZE);
}

KUNIT_DEFINE_ACTION_WRAPPER(hk_fput, fput, struct file *);

static struct file *hk_keep_file(struct kunit *test, struct file *file)
{
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, hk_fput, file),
			0);
	return file;
}

struct file *hk_shmem_file(struct kunit *test, unsigned long len)
{
	return hk_keep_file(test,
			    shmem_file_setup("hmm-kunit", len, VM_NORESERVE));
}

struct file *hk_hugetlb_file_of(struct kunit *test, struct hstate *h,
				unsigned long nr)
{
	if (h->free_huge_pages < nr)
		kunit_skip(test, "no huge pages, boot with hugepages=16");
	return hk_keep_file(test,
			    hugetlb_file_setup(HUGETLB_ANON_FILE,
					       nr * huge_page_size(h),
					       VM_NORESERVE,
					       HUGETLB_ANONHUGE_INODE,
					       huge_page_shift(h)));
}

/* @nr huge pages of the size of a PMD. */
struct file *hk_hugetlb_file(struct kunit *test, unsigned long nr)
{
	return hk_hugetlb_file_of(test, &default_hstate, nr);
}

static void hk_put_page(void *page)
{
	put_page(page);
}

struct page *hk_alloc_page(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, hk_put_page, page), 0);
	return page;
}

void hk_write(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;

	for (i = 0; i < npages; i++, addr += PAGE_SIZE)
		if (put_user((u32)i, (u32 __user *)addr))
			break;
	KUNIT_ASSERT_EQ(test, i, npages);
}

void hk_read(struct kunit *test, unsigned long addr, unsigned long npages)
{
	unsigned long i;
	u32 value;

	for (i = 0; i < npages; i++, addr += PAGE_SIZE)
		if (copy_from_user(&value, (void __user *)addr, sizeof(value)))
			break;
	KUNIT_ASSERT_EQ(test, i, npages);
}

/* The level above PTEs, which holds huge mappings of both kinds. */
pmd_t *hk_pmd(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud) || pud_leaf(*pud))
		return NULL;
	return pmd_offset(pud, addr);
}

/* The pfn that the CPU has mapped at @addr, with any access; -1 if none. */
unsigned long hk_pfn(struct kunit *test, unsigned long addr)
{
	struct hk *hk = test->priv;
	pmd_t *pmd = hk_pmd(hk->mm, addr);
	pte_t pte;

	if (!pmd || !pmd_present(*pmd))
		return -1UL;
	if (pmd_leaf(*pmd))
		return pmd_pfn(*pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT);
	pte = *pte_offset_kernel(pmd, addr);
	return pte_present(pte) ? pte_pfn(pte) : -1UL;
}

struct folio *hk_folio(struct kunit *test, unsigned long addr)
{
	unsigned long pfn = hk_pfn(test, addr);

	KUNIT_ASSERT_NE(test, pfn, -1UL);
	return page_folio(pfn_to_page(pfn));
}

/*
 * Set a page table entry by hand and return the old one. The caller has to
 * restore the old one before the mm exits, to keep the mm's counters right.
 */
pte_t hk_set_pte(struct kunit *test, unsigned long addr, pte_t pte)
{
	struct hk *hk = test->priv;
	spinlock_t *ptl; /* of the page table */
	pte_t *ptep, old;

	mmap_read_lock(hk->mm);
	ptep = get_locked_pte(hk->mm, addr, &ptl);
	KUNIT_EXPECT_NOT_NULL(test, ptep);
	/* PAGE_TABLE_CHECK does not track pte_clear(). */
	old = ptep_get_and_clear(hk->mm, addr, ptep);
	if (!pte_none(pte))
		set_pte_at(hk->mm, addr, ptep, pte);
	pte_unmap_unlock(ptep, ptl);
	flush_tlb_mm(hk->mm);
	mmap_read_unlock(hk->mm);
	return old;
}

/* The entry that a memory failure puts in place of @page. */
pte_t hk_poison_pte(struct page *page)
{
	swp_entry_t entry;

	lock_page(page);
	entry = make_hwpoison_entry(page);
	unlock_page(page);
	return swp_entry_to_pte(entry);
}

/* ------------------------------------------------------------ a test file */

static vm_fault_t hk_file_drop_lock(struct vm_fault *vmf, vm_fault_t ret)
{
	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	release_fault_lock(vmf);
	return ret;
}

static vm_fault_t hk_file_page(struct hk_file *hf, struct vm_fault *vmf)
{
	if (vmf->pgoff >= hf->npages)
		return VM_FAULT_SIGBUS;
	vmf->page = hf->pages[vmf->pgoff];
	get_page(vmf->page);
	return 0;
}

static vm_fault_t hk_file_fault(struct vm_fault *vmf)
{
	struct hk_file *hf = vmf->vma->vm_private_data;

	atomic_inc(&hf->calls);
	hf->fault_flags |= vmf->flags;
	if (hf->hook)
		hf->hook(vmf, hf->hook_arg);
	switch (hf->mode) {
	case HK_FILE_PAGE:
		return hk_file_page(hf, vmf);
	case HK_FILE_NOPAGE:
		return VM_FAULT_NOPAGE;
	case HK_FILE_RETRY:
	case HK_FILE_UFFD:
		return hk_file_drop_lock(vmf, VM_FAULT_RETRY);
	case HK_FILE_COMPLETED:
		return hk_file_drop_lock(vmf,
					 VM_FAULT_COMPLETED | VM_FAULT_NOPAGE);
	case HK_FILE_OOM:
		return VM_FAULT_OOM;
	case HK_FILE_HWPOISON:
		return VM_FAULT_HWPOISON;
	case HK_FILE_SIGBUS:
		break;
	}
	return VM_FAULT_SIGBUS;
}

/* Called by vm_normal_page(), that is during a walk. */
static struct page *hk_file_special_page(struct vm_area_struct *vma,
					 unsigned long addr)
{
	struct hk_file *hf = vma->vm_private_data;

	if (hf->walk_hook)
		hf->walk_hook(hf->walk_arg);
	return NULL;
}

static const struct vm_operations_struct hk_file_vm_ops = {
	.fault = hk_file_fault,
	.find_special_page = hk_file_special_page,
};

static int hk_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct hk_file *hf = file->private_data;

	vma->vm_ops = &hk_file_vm_ops;
	vma->vm_private_data = hf;
	vm_flags_set(vma, hf->vm_flags);
	hf->vma = vma;
	return 0;
}

static const struct file_operations hk_file_fops = {
	.mmap = hk_file_mmap,
};

struct hk_file *hk_file(struct kunit *test, enum hk_file_mode mode,
			unsigned long npages)
{
	struct hk_file *hf = kunit_kzalloc(test, sizeof(*hf), GFP_KERNEL);
	unsigned long i;

	KUNIT_ASSERT_NOT_NULL(test, hf);
	hf->mode = mode;
	hf->npages = npages;
	hf->pages = kunit_kcalloc(test, npages, sizeof(*hf->pages), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, hf->pages);
	for (i = 0; i < npages; i++)
		hf->pages[i] = hk_alloc_page(test);
	hf->file = anon_inode_getfile("hmm-kunit", &hk_file_fops, hf, O_RDWR);
	hk_keep_file(test, hf->file);
	return hf;
}

static void hk_late_fault(struct vm_fault *vmf, void *arg)
{
	struct hk_file *hf = arg;

	hf->mode = atomic_read(&hf->calls) == hf->late ? HK_FILE_PAGE :
							 HK_FILE_NOPAGE;
}

/* A file of one page, which only the fault number @late brings. */
struct hk_file *hk_late_file(struct kunit *test, int late)
{
	struct hk_file *hf = hk_file(test, HK_FILE_NOPAGE, 1);

	hf->late = late;
	hf->hook = hk_late_fault;
	hf->hook_arg = hf;
	return hf;
}

unsigned long hk_map_file(struct kunit *test, struct hk_file *hf)
{
	return hk_map(test, hf->file, hf->npages * PAGE_SIZE,
		      PROT_READ | PROT_WRITE, MAP_SHARED);
}

struct hmm_range *hk_file_range(struct kunit *test, struct hk_file *hf)
{
	return hk_range(test, hk_map_file(test, hf), hf->npages);
}

/* ---------------------------------------------------------- a forked child */

static int hk_child_fn(void *arg)
{
	struct hk_child *child = arg;

	wait_for_completion(&child->go);
	complete_all(&child->gone);
	do_exit(0);
}

static void hk_child_end(void *arg)
{
	struct hk_child *child = arg;

	complete_all(&child->go);
	wait_for_completion(&child->gone);
}

/*
 * Fork the thread: its address space is copied and its pages are shared
 * copy-on-write. The child stays in the kernel. It needs no wait(), as kernel
 * threads ignore SIGCHLD.
 */
struct hk_child *hk_fork(struct kunit *test)
{
	struct hk_child *child =
		kunit_kzalloc(test, sizeof(*child), GFP_KERNEL);
	struct kernel_clone_args args = {
		.exit_signal = SIGCHLD,
		.fn = hk_child_fn,
		.fn_arg = child,
	};
	pid_t pid;

	KUNIT_ASSERT_NOT_NULL(test, child);
	init_completion(&child->go);
	init_completion(&child->gone);
	pid = kernel_clone(&args);
	KUNIT_ASSERT_GT(test, pid, 0);
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, hk_child_end, child),
			0);
	return child;
}

void hk_reap(struct kunit *test, struct hk_child *child)
{
	hk_child_end(child);
}
