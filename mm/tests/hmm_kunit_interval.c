// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the interval API, a layer over HMM's walk and faults: its
 * sequence number, its entries, and its results.
 */
#include <kunit/test.h>
#include <linux/hmm-interval.h>
#include <linux/huge_mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/signal.h>

#include "hmm_kunit.h"

#define HK_RW		(PROT_READ | PROT_WRITE)
#define HK_IV		HMM_INTERVAL_PFN_VALID
#define HK_IW		HMM_INTERVAL_PFN_WRITE
#define HK_IE		HMM_INTERVAL_PFN_ERROR
#define HK_READ		HMM_INTERVAL_PFN_REQ_FAULT
#define HK_WRITE	(HMM_INTERVAL_PFN_REQ_FAULT | HMM_INTERVAL_PFN_REQ_WRITE)
/* Faults of one page after which a mirror has given up for long */
#define HK_PATIENCE	100
/* Faults of one page after which the call gives up when its number has moved */
#define HK_MOVED_TRIES	4

/* A range of @npages pages from @addr on with a request for all of them. */
static struct hmm_interval_range *hk_interval(struct kunit *test,
					      unsigned long addr,
					      unsigned long npages,
					      unsigned long request)
{
	struct hmm_interval_range *range;
	struct hk_foreign *notifier;

	range = kunit_kzalloc(test, sizeof(*range), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range);
	range->hmm_pfns = kunit_kcalloc(test, npages, sizeof(*range->hmm_pfns),
					GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, range->hmm_pfns);
	notifier = hk_foreign_interval(test, addr, npages << PAGE_SHIFT);
	range->notifier = &notifier->interval;
	range->start = addr;
	range->end = addr + (npages << PAGE_SHIFT);
	range->default_flags = request;
	return range;
}

/* A call with the number that the range has. */
static int hk_call(struct kunit *test, struct hmm_interval_range *range)
{
	struct hk *hk = test->priv;
	int ret;

	mmap_read_lock(hk->mm);
	ret = hmm_interval_range_fault(range);
	mmap_read_unlock(hk->mm);
	return ret;
}

static int hk_begin_call(struct kunit *test, struct hmm_interval_range *range)
{
	range->notifier_seq = mmu_interval_read_begin(range->notifier);
	return hk_call(test, range);
}

static bool hk_moved(struct hmm_interval_range *range)
{
	return mmu_interval_check_retry(range->notifier, range->notifier_seq);
}

static unsigned long hk_entries(struct hmm_interval_range *range,
				unsigned long flags)
{
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long found = 0;

	for (i = 0; i < n; i++)
		found += (range->hmm_pfns[i] & (HK_IV | HK_IW | HK_IE)) ==
			 flags;
	return found;
}

static void call_returns_0_and_all_entries(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 3);
	struct hmm_interval_range *range = hk_interval(test, addr, 3, 0);

	hk_write(test, addr, 1);
	hk_read(test, addr + PAGE_SIZE, 1);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0],
			hk_pfn(test, addr) | HK_IV | HK_IW);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[1],
			hk_pfn(test, addr + PAGE_SIZE) | HK_IV);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[2], 0);
	range->default_flags = HK_READ;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, hk_entries(range, 0), 0);
	KUNIT_EXPECT_FALSE(test, hk_moved(range));
}

static void arguments_are_checked(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_interval_range *range = hk_interval(test, addr, 4, HK_READ);

	range->end = range->start;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EINVAL);
	range->end = range->start - PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EINVAL);
	range->end = addr + 2 * PAGE_SIZE + 1;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EINVAL);
	range->end = addr + 2 * PAGE_SIZE;
	range->start = addr + 8;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EINVAL);
	range->start = addr;
	KUNIT_EXPECT_EQ(test, hk_entries(range, 0), 2);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
}

/* The input stays, and nothing is faulted. */
static void number_that_moved_is_busy_before_a_walk(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 2);
	unsigned long addr = hk_map_file(test, hf);
	struct hmm_interval_range *range = hk_interval(test, addr, 2, 0);
	struct hk_inval *inval;

	range->pfn_flags_mask = HK_WRITE;
	range->hmm_pfns[1] = HK_READ;
	range->notifier_seq = mmu_interval_read_begin(range->notifier);
	hk_invalidate(test, addr + PAGE_SIZE, addr + 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_call(test, range), -EBUSY);
	range->notifier_seq = mmu_interval_read_begin(range->notifier);
	inval = hk_start(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_call(test, range), -EBUSY);
	hk_end(inval);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0], 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[1], HK_READ);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 1);
}

struct hk_hit {
	struct kunit *test;
	unsigned long addr;
	unsigned int left;
};

static void hk_hit_now(void *arg)
{
	struct hk_hit *hit = arg;

	if (!hit->left)
		return;
	hit->left--;
	hk_invalidate_nonblock(hit->test, hit->addr, hit->addr + PAGE_SIZE);
}

static void hk_hit_in_fault(struct vm_fault *vmf, void *arg)
{
	hk_hit_now(arg);
}

/* Callers compare the number themselves, under their lock. */
static void last_walk_is_not_checked(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 1);
	unsigned long addr = hk_anon(test, 2);
	struct hk_hit hit = { test, addr + PAGE_SIZE, 1 };
	struct hmm_interval_range *range = hk_interval(test, addr, 2, 0);
	pte_t special, old;

	hk_remap(test, addr, 1, hf->file, HK_RW);
	hk_write(test, addr, 1);
	special = pte_mkspecial(pfn_pte(hk_pfn(test, addr), PAGE_READONLY));
	old = hk_set_pte(test, addr, special);
	hf->walk_arg = &hit;
	hf->walk_hook = hk_hit_now;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, hit.left, 0);
	KUNIT_EXPECT_TRUE(test, hk_moved(range));
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0], HK_IE);
	hf->walk_hook = NULL;
	hk_set_pte(test, addr, old);
}

/* A fault that moves the number: the other pages are faulted all the same. */
static void number_that_moves_in_a_fault_costs_one_more_call(struct kunit *test)
{
	const unsigned long npages = 3 * HPAGE_PMD_NR;
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, npages);
	unsigned long addr = hk_map_file(test, hf);
	struct hk_hit hit = { test, addr, 2 };
	struct hmm_interval_range *range =
		hk_interval(test, addr, npages, HK_READ);

	hf->hook = hk_hit_in_fault;
	hf->hook_arg = &hit;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EBUSY);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), npages);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), npages);
	KUNIT_EXPECT_EQ(test, hk_entries(range, 0), 0);
}

static void copies_cost_one_more_call(struct kunit *test)
{
	const unsigned long npages = 4 * HPAGE_PMD_NR;
	unsigned long addr = hk_anon(test, npages);
	struct hmm_interval_range *range =
		hk_interval(test, addr, npages, HK_WRITE);

	hk_read(test, addr, npages);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EBUSY);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, hk_entries(range, HK_IV | HK_IW), npages);
}

/* A request for reading copies nothing. */
static void reading_makes_no_copy(struct kunit *test)
{
	const unsigned long npages = 2 * HPAGE_PMD_NR;
	struct file *file = hk_shmem_file(test, npages << PAGE_SHIFT);
	unsigned long addr =
		hk_map(test, file, npages << PAGE_SHIFT, HK_RW, MAP_PRIVATE);
	struct hmm_interval_range *range =
		hk_interval(test, addr, npages, HK_READ);

	hk_read(test, addr, npages);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_FALSE(test, hk_moved(range));
	KUNIT_EXPECT_EQ(test, hk_entries(range, HK_IV), npages);
}

/* Also no fatal signal ends it: callers have never seen -EINTR. */
static void faults_have_no_limit_while_the_number_holds(struct kunit *test)
{
	struct hk_file *hf = hk_late_file(test, HK_PATIENCE);
	unsigned long addr = hk_map_file(test, hf);
	struct hmm_interval_range *range = hk_interval(test, addr, 1, HK_READ);

	sigaddset(&current->pending.signal, SIGKILL);
	set_thread_flag(TIF_SIGPENDING);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	sigdelset(&current->pending.signal, SIGKILL);
	clear_thread_flag(TIF_SIGPENDING);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), HK_PATIENCE);
	KUNIT_EXPECT_EQ(test, hk_entries(range, 0), 0);
}

static void number_that_moves_without_progress_is_busy(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_NOPAGE, 1);
	unsigned long addr = hk_map_file(test, hf);
	struct hk_hit hit = { test, addr, 1 };
	struct hmm_interval_range *range = hk_interval(test, addr, 1, HK_READ);

	hf->hook = hk_hit_in_fault;
	hf->hook_arg = &hit;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EBUSY);
	/* The first fault moves it. */
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 1 + HK_MOVED_TRIES);
}

/* Output before the address that failed, the requests from there on. */
static void error_leaves_the_input_after_it(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 8), i;
	struct hmm_interval_range *range = hk_interval(test, addr, 8, 0);

	hk_remap(test, addr + 5 * PAGE_SIZE, 1, NULL, PROT_NONE);
	range->pfn_flags_mask = HK_WRITE;
	for (i = 0; i < 8; i++)
		range->hmm_pfns[i] = i == 1 ? 0 : HK_READ;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EFAULT);
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_EQ(test, range->hmm_pfns[i] & HK_WRITE,
				i == 1 ? 0 : HK_IV);
	KUNIT_EXPECT_NE(test, range->hmm_pfns[0], HK_READ);
	for (i = 5; i < 8; i++)
		KUNIT_EXPECT_EQ(test, range->hmm_pfns[i], HK_READ);
	range->pfn_flags_mask = 0;
	hk_remap(test, addr + 2 * PAGE_SIZE, 1, NULL, PROT_READ);
	range->default_flags = HK_WRITE;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EPERM);
}

/* As after any error, the page that failed is still a request. */
static void fault_without_memory_is_enomem(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_OOM, 2);
	unsigned long addr = hk_anon(test, 4);
	struct hmm_interval_range *range = hk_interval(test, addr, 4, 0);

	hk_remap(test, addr + 2 * PAGE_SIZE, 2, hf->file, HK_RW);
	hk_write(test, addr, 2);
	range->pfn_flags_mask = HK_WRITE;
	memset_l(range->hmm_pfns, HK_READ, 4);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -ENOMEM);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[1],
			hk_pfn(test, addr + PAGE_SIZE) | HK_IV | HK_IW);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[2], HK_READ);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[3], HK_READ);
	hf->mode = HK_FILE_PAGE;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
}

static void each_page_is_faulted_with_its_own_need(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 6);
	unsigned long addr = hk_map_file(test, hf);
	struct hmm_interval_range *range = hk_interval(test, addr, 6, 0);

	range->pfn_flags_mask = HK_WRITE;
	range->hmm_pfns[1] = HK_READ;
	range->hmm_pfns[4] = HK_READ;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 2);
	KUNIT_EXPECT_FALSE(test, hf->fault_flags & FAULT_FLAG_WRITE);
	KUNIT_EXPECT_EQ(test, hk_entries(range, 0), 4);
}

static void entries_have_the_order_of_their_mapping(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 1), i;
	struct hmm_interval_range *range =
		hk_interval(test, addr + PAGE_SIZE, HPAGE_PMD_NR - 1, HK_READ);

	hk_write(test, addr, 1);
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	for (i = 0; i < HPAGE_PMD_NR - 1; i++)
		if (range->hmm_pfns[i] !=
		    ((hk_pfn(test, addr) + i + 1) | HK_IV | HK_IW |
		     ((unsigned long)HPAGE_PMD_ORDER
		      << HMM_INTERVAL_PFN_ORDER_SHIFT)))
			break;
	KUNIT_EXPECT_EQ(test, i, HPAGE_PMD_NR - 1);
	KUNIT_EXPECT_EQ(test, hmm_interval_pfn_to_map_order(range->hmm_pfns[0]),
			HPAGE_PMD_ORDER);
}

/* Returned as it is, also where WRITE is requested and it may not be written */
static void own_private_memory_stays(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_devmem *mem = hk_devmem(test, hk);
	unsigned long addr = hk_anon(test, 1);
	struct hmm_interval_range *range = hk_interval(test, addr, 1, HK_WRITE);
	struct hk_child *child;
	unsigned long there;

	hk_write(test, addr, 1);
	child = hk_fork(test);
	there = hk_to_device(test, mem, addr);
	range->dev_private_owner = hk;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0], there | HK_IV);
	/* Another's is migrated, and an owner that is NULL has none. */
	range->dev_private_owner = test;
	range->default_flags = 0;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0], 0);
	range->dev_private_owner = NULL;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0], 0);
	range->default_flags = HK_READ;
	while (hk_begin_call(test, range) == -EBUSY)
		;
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0], hk_pfn(test, addr) | HK_IV);
	hk_reap(test, child);
}

static void poison_is_empty_and_special_an_error(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 1);
	unsigned long addr = hk_anon(test, 3);
	struct hmm_interval_range *range = hk_interval(test, addr, 3, 0);
	pte_t old;

	hf->vm_flags = VM_PFNMAP;
	hk_remap(test, addr, 1, hf->file, HK_RW);
	hk_write(test, addr + PAGE_SIZE, 1);
	old = hk_set_pte(test, addr + PAGE_SIZE,
			 hk_poison_pte(hk_alloc_page(test)));
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[0], HK_IE);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[1], 0);
	KUNIT_EXPECT_EQ(test, range->hmm_pfns[2], 0);
	range->default_flags = HK_READ;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EFAULT);
	range->start += PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, hk_begin_call(test, range), -EFAULT);
	hk_set_pte(test, addr + PAGE_SIZE, old);
}

static struct kunit_case hk_interval_cases[] = {
	KUNIT_CASE(call_returns_0_and_all_entries),
	KUNIT_CASE(arguments_are_checked),
	KUNIT_CASE(number_that_moved_is_busy_before_a_walk),
	KUNIT_CASE(last_walk_is_not_checked),
	KUNIT_CASE(number_that_moves_in_a_fault_costs_one_more_call),
	KUNIT_CASE(copies_cost_one_more_call),
	KUNIT_CASE(reading_makes_no_copy),
	KUNIT_CASE(faults_have_no_limit_while_the_number_holds),
	KUNIT_CASE(number_that_moves_without_progress_is_busy),
	KUNIT_CASE(error_leaves_the_input_after_it),
	KUNIT_CASE(fault_without_memory_is_enomem),
	KUNIT_CASE(each_page_is_faulted_with_its_own_need),
	KUNIT_CASE(entries_have_the_order_of_their_mapping),
	KUNIT_CASE(own_private_memory_stays),
	KUNIT_CASE(poison_is_empty_and_special_an_error),
	{}
};

static struct kunit_suite hk_interval_suite = {
	.name = "hmm_interval",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_interval_cases,
};

kunit_test_suite(hk_interval_suite);
