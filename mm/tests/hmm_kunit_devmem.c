// SPDX-License-Identifier: GPL-2.0
/*
 * Device memory for the KUnit tests of HMM mirrors: struct pages without memory
 * behind them.
 */
#include <kunit/test.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>

#include "hmm_kunit.h"

static void hk_devmem_page_free(struct page *page)
{
}

static void hk_devmem_copy_home(struct migrate_vma *args)
{
	unsigned long i;

	for (i = 0; i < args->npages; i++) {
		struct page *page;

		if (!(args->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		page = alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_ZERO);
		if (!page)
			continue;
		lock_page(page);
		args->dst[i] = migrate_pfn(page_to_pfn(page));
	}
}

static vm_fault_t hk_devmem_to_ram(struct vm_fault *vmf)
{
	struct dev_pagemap *pgmap = vmf->page->pgmap;
	struct hk_devmem *mem = container_of(pgmap, struct hk_devmem, pgmap);
	unsigned long around = mem->around ? HK_DEVMEM_AROUND * PAGE_SIZE : 0;
	unsigned long src[2 * HK_DEVMEM_AROUND + 1] = {};
	unsigned long dst[2 * HK_DEVMEM_AROUND + 1] = {};
	unsigned long addr = vmf->address & PAGE_MASK;
	struct migrate_vma args = {
		.vma = vmf->vma,
		.start = max(addr - around, vmf->vma->vm_start),
		.end = min(addr + around + PAGE_SIZE, vmf->vma->vm_end),
		.src = src,
		.dst = dst,
		.pgmap_owner = pgmap->owner,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.fault_page = vmf->page,
	};

	if (migrate_vma_setup(&args))
		return VM_FAULT_SIGBUS;
	hk_devmem_copy_home(&args);
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	return 0;
}

static const struct dev_pagemap_ops hk_devmem_ops = {
	.page_free = hk_devmem_page_free,
	.migrate_to_ram = hk_devmem_to_ram,
};

/* Runs after the mm, the last user of the pages, has exited. */
static void hk_devmem_drop(void *arg)
{
	struct hk_devmem *mem = arg;

	memunmap_pages(&mem->pgmap);
	release_mem_region(mem->res->start, resource_size(mem->res));
}

static struct hk_devmem *hk_devmem_of(struct kunit *test, enum memory_type type,
				      void *owner)
{
	struct hk_devmem *mem = kunit_kzalloc(test, sizeof(*mem), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mem);
	mem->res =
		request_free_mem_region(&iomem_resource, PMD_SIZE, "hmm-kunit");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mem->res);
	mem->pgmap.type = type;
	mem->pgmap.range.start = mem->res->start;
	mem->pgmap.range.end = mem->res->end;
	mem->pgmap.nr_range = 1;
	mem->pgmap.ops = &hk_devmem_ops;
	mem->pgmap.owner = owner;
	mem->next = PHYS_PFN(mem->res->start);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, memremap_pages(&mem->pgmap,
							  numa_mem_id()));
	KUNIT_ASSERT_EQ(test,
			kunit_add_action_or_reset(test, hk_devmem_drop, mem),
			0);
	return mem;
}

/* Device private memory with the pgmap owner @owner. */
struct hk_devmem *hk_devmem(struct kunit *test, void *owner)
{
	return hk_devmem_of(test, MEMORY_DEVICE_PRIVATE, owner);
}

/* Device memory that the CPU can map, without memory behind the pages. */
struct hk_devmem *hk_busmem(struct kunit *test, enum memory_type type)
{
	return hk_devmem_of(test, type,
			    type == MEMORY_DEVICE_COHERENT ? test : NULL);
}

/* The entry that maps a page of hk_busmem() for the CPU. */
pte_t hk_devmem_pte(struct hk_devmem *mem, unsigned long pfn, pgprot_t prot)
{
	pte_t pte = pfn_pte(pfn, prot);

	if (mem->pgmap.type != MEMORY_DEVICE_COHERENT)
		pte = pte_mkdevmap(pte);
	return pte;
}

/* Move the page at @addr to the device. Returns its pfn there. */
unsigned long hk_to_device(struct kunit *test, struct hk_devmem *mem,
			   unsigned long addr)
{
	struct hk *hk = test->priv;
	unsigned long src = 0, dst = 0;
	struct migrate_vma args = {
		.start = addr,
		.end = addr + PAGE_SIZE,
		.src = &src,
		.dst = &dst,
		.pgmap_owner = mem->pgmap.owner,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	unsigned long pfn = mem->next++;

	mmap_read_lock(hk->mm);
	args.vma = vma_lookup(hk->mm, addr);
	KUNIT_EXPECT_EQ(test, migrate_vma_setup(&args), 0);
	KUNIT_EXPECT_EQ(test, args.cpages, 1);
	if (args.cpages) {
		zone_device_page_init(pfn_to_page(pfn));
		dst = migrate_pfn(pfn);
	}
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	mmap_read_unlock(hk->mm);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), -1UL);
	return pfn;
}
