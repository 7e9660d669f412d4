// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: results of hmm_range_fault(), the requests it
 * serves, and invalidations by its own faults.
 *
 * Kernel threads receive no fatal signals, so the test sets one pending by
 * hand. In place of memory served by userfaultfd it uses a file whose faults
 * behave like handle_userfault(). User space tests cover both as well.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/hugetlb.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "hmm_kunit.h"

#define HK_RW	(PROT_READ | PROT_WRITE)

/*
 * After -EPERM and -EFAULT the failing entry is ERROR and all others are NONE.
 */
static void hk_expect_failed_at(struct kunit *test, struct hmm_range *range,
				unsigned long failed)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long i, wrong = 0;

	for (i = 0; i < npages; i++)
		wrong += range->pfns[i] != (i == failed ? HK_ERROR : HK_NONE);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
}

/* Cycle through all kinds of requests, so that a lost one is noticed. */
static u64 hk_some_request(unsigned long i)
{
	static const u64 requests[] = { HK_V, HK_V | HK_W, 0, HK_W };

	return requests[i % ARRAY_SIZE(requests)];
}

static void hk_fill_requests(struct hmm_range *range)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long i;

	hk_request_each(range);
	for (i = 0; i < npages; i++)
		range->pfns[i] = hk_some_request(i);
}

static void hk_expect_requests_intact(struct kunit *test,
				      struct hmm_range *range)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long i, wrong = 0;

	for (i = 0; i < npages; i++)
		wrong += range->pfns[i] != hk_some_request(i);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
}

/* Expected results of those requests for untouched memory. */
static void hk_expect_requests_met(struct kunit *test, struct hmm_range *range)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned long i, wrong = 0;

	for (i = 0; i < npages; i++) {
		u64 request = hk_some_request(i);
		u64 entry = range->pfns[i];

		if (request & HK_V)
			wrong += (entry & (HK_V | HK_W)) != request;
		else
			wrong += entry != HK_NONE;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
}

/* ---------------------------------------------------------------- the errors */

static void unknown_flag_is_einval(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 1), 1);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, BIT(2)), -EINVAL);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, BIT(31)), -EINVAL);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range,
				       HMM_FAULT_SNAPSHOT | BIT(5)), -EINVAL);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT |
				       HMM_FAULT_ALLOW_RETRY), 1);
	hmm_range_unregister(range);
}

static void range_changed_since_is_einval(struct kunit *test)
{
	struct hmm_range *range = hk_range(test, hk_anon(test, 3), 2);

	range->end += PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EINVAL);
	range->end -= 2 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EINVAL);
	range->end += PAGE_SIZE;
	range->start += PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EINVAL);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	range->start -= PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2);
	hmm_range_unregister(range);
}

static void fault_of_read_only_mapping_is_eperm(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 8);
	struct hmm_range *range = hk_range(test, addr, 8);

	hk_remap(test, addr + 5 * PAGE_SIZE, 1, NULL, PROT_READ);
	hk_write(test, addr, 2);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EPERM);
	hk_expect_failed_at(test, range, 5);
	/* Read access is allowed. */
	hk_request(range, HK_V);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 8);
	KUNIT_EXPECT_EQ(test, range->pfns[5] & (HK_V | HK_W), HK_V);
	hmm_range_unregister(range);
}

static void fault_of_present_read_only_page_is_eperm(struct kunit *test)
{
	unsigned long addr =
		hk_map(test, NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE);
	u64 entry;

	hk_read(test, addr, 1);
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V | HK_W, &entry),
			-EPERM);
	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V, &entry), 1);
}

static void hk_expect_hole(struct kunit *test, unsigned long hole)
{
	unsigned long addr = hk_anon(test, 8);
	struct hmm_range *range = hk_range(test, addr, 8);

	KUNIT_ASSERT_EQ(test, vm_munmap(addr + hole * PAGE_SIZE, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, hole);
	hmm_range_unregister(range);
}

static void fault_of_hole_is_efault(struct kunit *test)
{
	hk_expect_hole(test, 0);
	hk_expect_hole(test, 3);
	hk_expect_hole(test, 7);
}

/* So many entries that they are written in more than one go. */
static void every_entry_of_a_long_range_is_none_after_efault(struct kunit *test)
{
	const unsigned long n = SZ_64K + 2;
	unsigned long addr = hk_anon(test, n);
	struct hmm_range *range = hk_range(test, addr, n);

	hk_request_each(range);
	memset64(range->pfns, BIT_ULL(40), n);
	range->pfns[1] = HK_V;
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + PAGE_SIZE, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, 1);
	hmm_range_unregister(range);
}

static void fault_of_prot_none_is_efault(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);

	hk_remap(test, addr + 2 * PAGE_SIZE, 2, NULL, PROT_NONE);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, 2);
	/*
	 * Without read permission, the missing write permission is irrelevant.
	 */
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, 2);
	hmm_range_unregister(range);
}

/* A range over a file of four pages whose faults do as @mode sets. */
static void fault_that_raises_sigbus_is_efault(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_SIGBUS, 4);
	struct hmm_range *range = hk_file_range(test, hf);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, 0);
	hf->mode = HK_FILE_HWPOISON;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, 0);
	/* Beyond the end of the file. */
	hf->mode = HK_FILE_PAGE;
	hf->npages = 3;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, 3);
	hmm_range_unregister(range);
}

static void fault_without_memory_is_enomem(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_OOM, 4);
	struct hmm_range *range = hk_file_range(test, hf);

	hk_fill_requests(range);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -ENOMEM);
	hk_expect_requests_intact(test, range);
	hf->mode = HK_FILE_PAGE;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	hmm_range_unregister(range);
}

static void address_unmet_after_16_faults_is_ebusy(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_NOPAGE, 4);
	struct hmm_range *range = hk_file_range(test, hf);

	/* Request one page only, so that every fault is for it. */
	hk_request_each(range);
	range->pfns[2] = HK_V;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 16);
	KUNIT_EXPECT_EQ(test, range->pfns[2], HK_V);
	hf->mode = HK_FILE_PAGE;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_EQ(test, range->pfns[2] & HK_V, HK_V);
	hmm_range_unregister(range);
}

/* 16 faults are allowed. */
static void address_met_at_the_15th_fault_is_fine(struct kunit *test)
{
	struct hk_file *hf = hk_late_file(test, 15);
	unsigned long addr = hk_map_file(test, hf);
	u64 entry;

	KUNIT_EXPECT_EQ(test, hk_request_page(test, addr, HK_V, &entry), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 15);
}

/* hk_fault() checks the mmap lock in all of the following tests. */
static void fault_that_drops_the_lock_is_eagain(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_RETRY, 4);
	struct hmm_range *range = hk_file_range(test, hf);

	hk_fill_requests(range);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_ALLOW_RETRY),
			-EAGAIN);
	/* The walk must not continue once the lock has been dropped. */
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 1);
	hk_expect_requests_intact(test, range);
	hf->mode = HK_FILE_COMPLETED;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_ALLOW_RETRY),
			-EAGAIN);
	hk_expect_requests_intact(test, range);
	hf->mode = HK_FILE_PAGE;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_ALLOW_RETRY), 4);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void fault_drops_the_lock_only_if_allowed(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 4);
	struct hmm_range *range = hk_file_range(test, hf);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_FALSE(test, hf->fault_flags & FAULT_FLAG_ALLOW_RETRY);
	hmm_range_unregister(range);
}

static void memory_somebody_else_serves_is_eagain_or_efault(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_UFFD, 4);
	struct hmm_range *range = hk_file_range(test, hf);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), 4);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_NONE);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_ALLOW_RETRY),
			-EAGAIN);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EFAULT);
	hk_expect_failed_at(test, range, 0);
	hmm_range_unregister(range);
}

/* ---------------------------------------------------------------- requests */

static void requests_survive_ebusy(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 64);
	struct hmm_range *range = hk_range(test, addr, 64);
	struct hk_inval *inval;

	hk_fill_requests(range);
	inval = hk_start(test, addr + 60 * PAGE_SIZE, addr + 61 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	hk_expect_requests_intact(test, range);
	hk_end(inval);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 64);
	hk_expect_requests_met(test, range);
	hmm_range_unregister(range);
}

static void page_is_faulted_with_its_own_need(struct kunit *test)
{
	unsigned long zero = page_to_pfn(ZERO_PAGE(0));
	unsigned long addr = hk_anon(test, 6);
	struct hmm_range *range = hk_range(test, addr, 6);
	static const u64 requests[] = {
		HK_V, HK_V | HK_W, 0, HK_V, HK_W, HK_V | HK_W
	};

	hk_request_each(range);
	memcpy(range->pfns, requests, sizeof(requests));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 6);
	KUNIT_EXPECT_EQ(test, range->pfns[0], hk_entry(zero, HK_V));
	KUNIT_EXPECT_EQ(test, range->pfns[1] & (HK_V | HK_W), HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, range->pfns[2], HK_NONE);
	KUNIT_EXPECT_EQ(test, range->pfns[3], hk_entry(zero, HK_V));
	/* WRITE without VALID is no request. */
	KUNIT_EXPECT_EQ(test, range->pfns[4], HK_NONE);
	KUNIT_EXPECT_EQ(test, range->pfns[5] & (HK_V | HK_W), HK_V | HK_W);
	/* The CPU's page table matches: no other address was faulted. */
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr), zero);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr + 2 * PAGE_SIZE), -1UL);
	KUNIT_EXPECT_EQ(test, hk_pfn(test, addr + 4 * PAGE_SIZE), -1UL);
	hmm_range_unregister(range);
}

static void mask_selects_request_bits_of_entries(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);

	/* The default requests read access; entry 2 adds WRITE. */
	range->default_flags = HK_V;
	range->pfn_flags_mask = HK_W;
	range->pfns[2] = HK_W;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 4);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 1);
	KUNIT_EXPECT_EQ(test, range->pfns[2] & HK_W, HK_W);
	hmm_range_unregister(range);
}

static void entries_request_nothing_without_a_mask(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);

	memset64(range->pfns, HK_V | HK_W, 4);
	hk_request(range, 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 0);
	/* A default without VALID is no request either. */
	hk_request(range, HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 0);
	/* A mask of all ones includes the flags; other bits are no request. */
	memset64(range->pfns, ~(HK_V | HK_W | HK_P), 4);
	range->default_flags = 0;
	range->pfn_flags_mask = -1ULL;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 4);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 0);
	hmm_range_unregister(range);
}

static void unrequested_addresses_never_fail(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_SIGBUS, 1);
	unsigned long addr = hk_anon(test, 6);
	struct hmm_range *range = hk_range(test, addr, 6);

	hk_remap(test, addr + PAGE_SIZE, 1, NULL, PROT_NONE);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + 2 * PAGE_SIZE, PAGE_SIZE), 0);
	hk_remap(test, addr + 3 * PAGE_SIZE, 1, NULL, PROT_READ);
	hk_remap(test, addr + 4 * PAGE_SIZE, 1, hf->file, PROT_READ);
	hk_request_each(range);
	range->pfns[0] = HK_V | HK_W;
	range->pfns[3] = HK_V;
	range->pfns[5] = HK_V | HK_W;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 6);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, range->pfns[0] & (HK_V | HK_W), HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, range->pfns[1], HK_ERROR);
	KUNIT_EXPECT_EQ(test, range->pfns[2], HK_ERROR);
	KUNIT_EXPECT_EQ(test, range->pfns[3],
			hk_entry(page_to_pfn(ZERO_PAGE(0)), HK_V));
	KUNIT_EXPECT_EQ(test, range->pfns[4], HK_NONE);
	KUNIT_EXPECT_EQ(test, range->pfns[5] & (HK_V | HK_W), HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 0);
	hmm_range_unregister(range);
}

static void every_entry_is_filled(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 3);
	unsigned long npages = 3 * HPAGE_PMD_NR;
	struct hmm_range *range = hk_range(test, addr, npages);
	unsigned long i, left = 0;

	/* No page table in PMD 0, a few pages in PMD 1, a hole in PMD 2. */
	hk_remap(test, addr + PMD_SIZE + 7 * PAGE_SIZE, 9, NULL, HK_RW);
	hk_write(test, addr + PMD_SIZE + 8 * PAGE_SIZE, 3);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + 2 * PMD_SIZE, PMD_SIZE), 0);
	memset64(range->pfns, 0xdeadbeefULL << 32, npages);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			npages);
	for (i = 0; i < npages; i++)
		left += range->pfns[i] >> 32 == 0xdeadbeef;
	KUNIT_EXPECT_EQ(test, left, 0);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 3);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_ERROR), HPAGE_PMD_NR);
	hmm_range_unregister(range);
}

/* ------------------------------------------- invalidations during a fault */

/**
 * struct hk_hook - an invalidation during a fault
 * @test: the test
 * @pgoff: the page of the file whose fault invalidates
 * @start: start of the invalidation
 * @end: end of the invalidation
 * @keep: leave it open
 * @inval: the invalidation that was left open
 * @fired: number of calls
 */
struct hk_hook {
	struct kunit *test;
	pgoff_t pgoff;
	unsigned long start;
	unsigned long end;
	bool keep;
	struct hk_inval *inval;
	int fired;
};

static void hk_hook_fn(struct vm_fault *vmf, void *arg)
{
	struct hk_hook *hook = arg;
	struct hk_inval *inval;

	if (vmf->pgoff != hook->pgoff || hook->fired++)
		return;
	inval = hk_start(hook->test, hook->start, hook->end);
	if (hook->keep)
		hook->inval = inval;
	else
		hk_end(inval);
}

/*
 * Eight pages of a file. All but the last are mapped, so the walk has read them
 * when the fault of the last one calls the hook.
 */
static struct hmm_range *hk_hooked(struct kunit *test, struct hk_hook *hook)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 8);
	struct hmm_range *range = hk_file_range(test, hf);

	hk_read(test, range->start, 7);
	memset(hook, 0, sizeof(*hook));
	hook->test = test;
	hook->pgoff = 7;
	hook->start = range->start;
	hook->end = range->start + PAGE_SIZE;
	hf->hook = hk_hook_fn;
	hf->hook_arg = hook;
	return range;
}

static void invalidation_of_what_was_read_is_ebusy(struct kunit *test)
{
	struct hk_hook hook;
	struct hmm_range *range = hk_hooked(test, &hook);

	hk_fill_requests(range);
	range->pfns[7] = HK_V;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, hook.fired, 1);
	KUNIT_EXPECT_EQ(test, range->pfns[7], HK_V);
	range->pfns[7] = hk_some_request(7);
	hk_expect_requests_intact(test, range);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 8);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void invalidation_of_what_is_faulted_is_no_collision(struct kunit *test)
{
	struct hk_hook hook;
	struct hmm_range *range = hk_hooked(test, &hook);

	hook.start = range->end - PAGE_SIZE;
	hook.end = range->end;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 8);
	KUNIT_EXPECT_EQ(test, hook.fired, 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void invalidation_beside_the_range_is_no_collision(struct kunit *test)
{
	struct hk_hook hook;
	struct hmm_range *range = hk_hooked(test, &hook);

	hook.start = range->end;
	hook.end = range->end + PAGE_SIZE;
	hook.keep = true;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 8);
	KUNIT_EXPECT_EQ(test, hook.fired, 1);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_end(hook.inval);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hmm_range_unregister(range);
}

static void invalidation_that_stays_open_is_ebusy(struct kunit *test)
{
	struct hk_hook hook;
	struct hmm_range *range = hk_hooked(test, &hook);

	hook.start = range->end - PAGE_SIZE;
	hook.end = range->end;
	hook.keep = true;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, hook.fired, 1);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_end(hook.inval);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_expect_idle(test, range);
	hmm_range_unregister(range);
}

/* ------------------------------------------- its own faults don't collide (P7) */

/* Write-fault every page of @range in one call. */
static void hk_expect_written(struct kunit *test, struct hmm_range *range)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	struct hk *hk = test->priv;

	atomic_set(&hk->dev->calls, 0);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), npages);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W), npages);
	/* One copy per page and, at either end, the split of a huge page. */
	KUNIT_EXPECT_LE(test, atomic_read(&hk->dev->calls), npages + 16);
}

/*
 * Write-fault every second page in one call and make the request @even for the
 * others. The result must match a snapshot.
 */
static void hk_write_every_second(struct kunit *test, struct hmm_range *range,
				  u64 even)
{
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	u64 *pfns = kunit_kcalloc(test, npages, sizeof(*pfns), GFP_KERNEL);
	unsigned long i, wrong = 0;

	KUNIT_ASSERT_NOT_NULL(test, pfns);
	hk_request_each(range);
	for (i = 0; i < npages; i++)
		range->pfns[i] = i & 1 ? HK_V | HK_W : even;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), npages);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	memcpy(pfns, range->pfns, npages * sizeof(*pfns));
	for (i = 0; i < npages; i++) {
		u64 want = i & 1 ? HK_V | HK_W : HK_V;

		wrong += (pfns[i] & want) != want;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			npages);
	KUNIT_EXPECT_MEMEQ(test, pfns, range->pfns, npages * sizeof(*pfns));
}

/* The same, and no other page may have become writable. */
static void hk_expect_every_second(struct kunit *test, struct hmm_range *range,
				   u64 even)
{
	hk_write_every_second(test, range, even);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W),
			(range->end - range->start) / (2 * PAGE_SIZE));
}

#define HK_ZERO_PAGES	16384

static void write_over_zero_pages_is_one_call(struct kunit *test)
{
	unsigned long addr = hk_anon(test, HK_ZERO_PAGES);
	struct hmm_range *range = hk_range(test, addr, HK_ZERO_PAGES);
	unsigned long i, zero = 0;

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), HK_ZERO_PAGES);
	for (i = 0; i < HK_ZERO_PAGES; i++)
		zero += range->pfns[i] ==
			hk_entry(page_to_pfn(ZERO_PAGE(0)), HK_V);
	KUNIT_EXPECT_EQ(test, zero, HK_ZERO_PAGES);
	hk_expect_written(test, range);
	hmm_range_unregister(range);
}

static void every_second_write_over_zero_pages_is_one_call(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2048);
	struct hmm_range *range = hk_range(test, addr, 2048);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2048);
	hk_expect_every_second(test, range, 0);
	KUNIT_EXPECT_EQ(test, range->pfns[2],
			hk_entry(page_to_pfn(ZERO_PAGE(0)), HK_V));
	hmm_range_unregister(range);
	/* The same, with read requests for the other pages. */
	addr = hk_anon(test, 2048);
	range = hk_range(test, addr, 2048);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2048);
	hk_expect_every_second(test, range, HK_V);
	KUNIT_EXPECT_EQ(test, range->pfns[2],
			hk_entry(page_to_pfn(ZERO_PAGE(0)), HK_V));
	hmm_range_unregister(range);
}

static void write_over_a_files_private_mapping_is_one_call(struct kunit *test)
{
	const unsigned long n = 4096;
	struct file *file = hk_shmem_file(test, n * PAGE_SIZE);
	unsigned long shared =
		hk_map(test, file, n * PAGE_SIZE, HK_RW, MAP_SHARED);
	unsigned long addr =
		hk_map(test, file, n * PAGE_SIZE, HK_RW, MAP_PRIVATE);
	struct hmm_range *range = hk_range(test, addr, n);
	unsigned long pfn;

	hk_write(test, shared, n);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), n);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 0);
	pfn = hk_pfn(test, shared + 5 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, range->pfns[5], hk_entry(pfn, HK_V));
	hk_expect_written(test, range);
	/* Each page was copied. */
	KUNIT_EXPECT_NE(test, range->pfns[5] >> HK_SHIFT, pfn);
	hmm_range_unregister(range);
}

static void write_over_pages_shared_with_a_child_is_one_call(struct kunit *test)
{
	const unsigned long n = 1024;
	unsigned long addr = hk_anon(test, n);
	struct hmm_range *range = hk_range(test, addr, n);
	struct hk_child *child;
	unsigned long pfn;

	hk_write(test, addr, n);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), n);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), n);
	pfn = hk_pfn(test, addr);
	child = hk_fork(test);
	/* fork() write-protected the pages, with an invalidation. */
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), n);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 0);
	hk_expect_written(test, range);
	KUNIT_EXPECT_NE(test, range->pfns[0] >> HK_SHIFT, pfn);
	hk_reap(test, child);
	hmm_range_unregister(range);
}

static void every_second_write_beside_a_child_is_one_call(struct kunit *test)
{
	const unsigned long n = 1024;
	unsigned long addr = hk_anon(test, n);
	struct hmm_range *range = hk_range(test, addr, n);
	struct hk_child *child;
	unsigned long pfn;

	hk_write(test, addr, n);
	pfn = hk_pfn(test, addr);
	child = hk_fork(test);
	hk_expect_every_second(test, range, 0);
	/* The other pages are still shared with the child. */
	KUNIT_EXPECT_EQ(test, range->pfns[0], hk_entry(pfn, HK_V));
	hk_reap(test, child);
	hmm_range_unregister(range);
}

/* Map the huge zero page at @nr PMDs. */
static unsigned long hk_huge_zero(struct kunit *test, unsigned long nr)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_huge(test, nr);
	unsigned long i;

	for (i = 0; i < nr; i++) {
		hk_read(test, addr + i * PMD_SIZE, 1);
		KUNIT_ASSERT_TRUE(test,
				  is_huge_zero_pmd(*hk_pmd(hk->mm, addr +
							   i * PMD_SIZE)));
	}
	return addr;
}

static void write_over_the_huge_zero_page_is_one_call(struct kunit *test)
{
	unsigned long addr = hk_huge_zero(test, 2);
	struct hmm_range *range = hk_range(test, addr, 2 * HPAGE_PMD_NR);

	hk_expect_written(test, range);
	hmm_range_unregister(range);
}

static void write_to_part_of_the_huge_zero_page_is_one_call(struct kunit *test)
{
	unsigned long addr = hk_huge_zero(test, 3) + 5 * PAGE_SIZE;
	unsigned long n = 2 * HPAGE_PMD_NR + 20;
	struct hmm_range *range = hk_range(test, addr, n);

	hk_expect_written(test, range);
	hmm_range_unregister(range);
}

/* Kernels differ: a write to one page may replace the whole huge zero page. */
static void every_second_write_over_the_huge_zero_page(struct kunit *test)
{
	unsigned long addr = hk_huge_zero(test, 2) + 3 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR + 10);

	hk_write_every_second(test, range, 0);
	hmm_range_unregister(range);
	addr = hk_huge_zero(test, 2);
	range = hk_range(test, addr, 2 * HPAGE_PMD_NR);
	hk_write_every_second(test, range, HK_V);
	hmm_range_unregister(range);
}

/* Huge pages shared with a child; a write splits, then copies them. */
static unsigned long hk_shared_thp(struct kunit *test, unsigned long nr,
				   struct hk_child **child)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_huge(test, nr);
	unsigned long i;

	for (i = 0; i < nr; i++) {
		hk_write(test, addr + i * PMD_SIZE, 1);
		KUNIT_ASSERT_TRUE(test, pmd_trans_huge(*hk_pmd(hk->mm, addr +
							       i * PMD_SIZE)));
	}
	*child = hk_fork(test);
	return addr;
}

static void write_over_shared_thp_is_one_call(struct kunit *test)
{
	struct hk_child *child;
	unsigned long addr = hk_shared_thp(test, 2, &child);
	struct hmm_range *range = hk_range(test, addr, 2 * HPAGE_PMD_NR);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2 * HPAGE_PMD_NR);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 0);
	hk_expect_written(test, range);
	hk_reap(test, child);
	hmm_range_unregister(range);
}

static void write_to_part_of_shared_thp_is_one_call(struct kunit *test)
{
	struct hk_child *child;
	unsigned long addr = hk_shared_thp(test, 3, &child) + 9 * PAGE_SIZE;
	unsigned long n = 2 * HPAGE_PMD_NR + 30;
	struct hmm_range *range = hk_range(test, addr, n);

	hk_expect_written(test, range);
	hk_reap(test, child);
	hmm_range_unregister(range);
}

static void every_second_write_over_shared_thp(struct kunit *test)
{
	struct hk_child *child;
	unsigned long addr = hk_shared_thp(test, 2, &child) + 7 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR + 40);

	hk_expect_every_second(test, range, 0);
	hk_reap(test, child);
	hmm_range_unregister(range);
}

/* Two huge pages of a hugetlb file, mapped privately and only read so far. */
static unsigned long hk_private_hugetlb(struct kunit *test)
{
	struct file *file = hk_hugetlb_file(test, 2);
	unsigned long shared =
		hk_map(test, file, 2 * PMD_SIZE, HK_RW, MAP_SHARED);
	unsigned long addr =
		hk_map(test, file, 2 * PMD_SIZE, HK_RW, MAP_PRIVATE);

	hk_write(test, shared, 2 * HPAGE_PMD_NR);
	hk_read(test, addr, 2 * HPAGE_PMD_NR);
	KUNIT_ASSERT_EQ(test, hk_pfn(test, addr), hk_pfn(test, shared));
	return addr;
}

static void write_over_private_hugetlb_is_one_call(struct kunit *test)
{
	unsigned long addr = hk_private_hugetlb(test);
	struct hmm_range *range = hk_range(test, addr, 2 * HPAGE_PMD_NR);
	unsigned long pfn = hk_pfn(test, addr);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), 2 * HPAGE_PMD_NR);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 0);
	hk_expect_written(test, range);
	KUNIT_EXPECT_NE(test, range->pfns[0] >> HK_SHIFT, pfn);
	hmm_range_unregister(range);
}

static void write_to_part_of_private_hugetlb_is_one_call(struct kunit *test)
{
	unsigned long addr = hk_private_hugetlb(test) + 11 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR);

	hk_expect_written(test, range);
	hmm_range_unregister(range);
}

/* The huge page is copied as a whole, so every entry becomes writable. */
static void every_second_write_over_private_hugetlb(struct kunit *test)
{
	unsigned long addr = hk_private_hugetlb(test) + 11 * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, addr, HPAGE_PMD_NR);
	unsigned long i;

	hk_request_each(range);
	for (i = 0; i < HPAGE_PMD_NR; i++)
		range->pfns[i] = i & 1 ? HK_V | HK_W : 0;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, 0), HPAGE_PMD_NR);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W), HPAGE_PMD_NR);
	hmm_range_unregister(range);
}

static void write_over_hugetlb_shared_with_a_child(struct kunit *test)
{
	struct file *file = hk_hugetlb_file(test, 2);
	unsigned long addr =
		hk_map(test, file, 2 * PMD_SIZE, HK_RW, MAP_PRIVATE);
	struct hmm_range *range = hk_range(test, addr, 2 * HPAGE_PMD_NR);
	struct hk_child *child;

	hk_expect_written(test, range);
	child = hk_fork(test);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			2 * HPAGE_PMD_NR);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 0);
	hk_expect_written(test, range);
	hk_reap(test, child);
	hmm_range_unregister(range);
}

/* All kinds of memory, side by side, in one range. */
static void write_over_a_mixture_is_one_call(struct kunit *test)
{
	struct hk_child *child;
	unsigned long addr = hk_shared_thp(test, 4, &child);
	unsigned long zero = addr + PMD_SIZE;
	unsigned long n = 4 * HPAGE_PMD_NR - 6;
	struct hmm_range *range = hk_range(test, addr + 3 * PAGE_SIZE, n);

	hk_remap(test, zero, HPAGE_PMD_NR / 2, NULL, HK_RW);
	hk_read(test, zero, HPAGE_PMD_NR / 4);
	hk_expect_written(test, range);
	hk_reap(test, child);
	hmm_range_unregister(range);
}

static void hk_kill(void *arg)
{
	sigaddset(&current->pending.signal, SIGKILL);
	set_thread_flag(TIF_SIGPENDING);
}

static void hk_unkill(void)
{
	sigdelset(&current->pending.signal, SIGKILL);
	clear_thread_flag(TIF_SIGPENDING);
}

/* A signal becomes pending while the page before @next is read. */
static void hk_expect_killed(struct kunit *test, unsigned long next,
			     unsigned long npages)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 1);
	unsigned long addr = next - PAGE_SIZE;
	struct hmm_range *range = hk_range(test, addr, 1 + npages);
	pte_t old;

	hk_remap(test, addr, 1, hf->file, HK_RW);
	hk_write(test, addr, 1);
	old = hk_set_pte(test, addr,
			 pte_mkspecial(pfn_pte(hk_pfn(test, addr),
					       PAGE_READONLY)));
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			1 + npages);
	hf->walk_hook = hk_kill;
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT),
			-EINTR);
	hf->walk_hook = NULL;
	hk_unkill();
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hk_set_pte(test, addr, old);
	hmm_range_unregister(range);
}

static void fatal_signal_ends_a_walk(struct kunit *test)
{
	unsigned long len = 4 * PMD_SIZE;
	unsigned long addr = ALIGN(hk_anon(test, 5 * PMD_SIZE >> PAGE_SHIFT),
				   PMD_SIZE);
	struct file *file = hk_hugetlb_file(test, 2);

	/* A page table follows, then a hole, then two huge pages of hugetlb. */
	hk_write(test, addr + PMD_SIZE, 1);
	hk_expect_killed(test, addr + PMD_SIZE, 1);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr, len), 0);
	hk_remap(test, addr, PMD_SIZE >> PAGE_SHIFT, NULL, HK_RW);
	hk_expect_killed(test, addr + PMD_SIZE, len / 4 >> PAGE_SHIFT);
	hk_remap(test, addr + PMD_SIZE, 2 * PMD_SIZE >> PAGE_SHIFT, file,
		 HK_RW);
	hk_write(test, addr + PMD_SIZE, 1);
	hk_expect_killed(test, addr + PMD_SIZE, 2 * PMD_SIZE >> PAGE_SHIFT);
}

static struct kunit_case hk_fault_cases[] = {
	KUNIT_CASE(unknown_flag_is_einval),
	KUNIT_CASE(range_changed_since_is_einval),
	KUNIT_CASE(fault_of_read_only_mapping_is_eperm),
	KUNIT_CASE(fault_of_present_read_only_page_is_eperm),
	KUNIT_CASE(fault_of_hole_is_efault),
	KUNIT_CASE(every_entry_of_a_long_range_is_none_after_efault),
	KUNIT_CASE(fault_of_prot_none_is_efault),
	KUNIT_CASE(fault_that_raises_sigbus_is_efault),
	KUNIT_CASE(fault_without_memory_is_enomem),
	KUNIT_CASE(address_unmet_after_16_faults_is_ebusy),
	KUNIT_CASE(address_met_at_the_15th_fault_is_fine),
	KUNIT_CASE(fatal_signal_ends_a_walk),
	KUNIT_CASE(fault_that_drops_the_lock_is_eagain),
	KUNIT_CASE(fault_drops_the_lock_only_if_allowed),
	KUNIT_CASE(memory_somebody_else_serves_is_eagain_or_efault),
	KUNIT_CASE(requests_survive_ebusy),
	KUNIT_CASE(page_is_faulted_with_its_own_need),
	KUNIT_CASE(mask_selects_request_bits_of_entries),
	KUNIT_CASE(entries_request_nothing_without_a_mask),
	KUNIT_CASE(unrequested_addresses_never_fail),
	KUNIT_CASE(every_entry_is_filled),
	KUNIT_CASE(invalidation_of_what_was_read_is_ebusy),
	KUNIT_CASE(invalidation_of_what_is_faulted_is_no_collision),
	KUNIT_CASE(invalidation_beside_the_range_is_no_collision),
	KUNIT_CASE(invalidation_that_stays_open_is_ebusy),
	KUNIT_CASE_SLOW(write_over_zero_pages_is_one_call),
	KUNIT_CASE(every_second_write_over_zero_pages_is_one_call),
	KUNIT_CASE(write_over_a_files_private_mapping_is_one_call),
	KUNIT_CASE(write_over_pages_shared_with_a_child_is_one_call),
	KUNIT_CASE(every_second_write_beside_a_child_is_one_call),
	KUNIT_CASE(write_over_the_huge_zero_page_is_one_call),
	KUNIT_CASE(write_to_part_of_the_huge_zero_page_is_one_call),
	KUNIT_CASE(every_second_write_over_the_huge_zero_page),
	KUNIT_CASE(write_over_shared_thp_is_one_call),
	KUNIT_CASE(write_to_part_of_shared_thp_is_one_call),
	KUNIT_CASE(every_second_write_over_shared_thp),
	KUNIT_CASE(write_over_private_hugetlb_is_one_call),
	KUNIT_CASE(write_to_part_of_private_hugetlb_is_one_call),
	KUNIT_CASE(every_second_write_over_private_hugetlb),
	KUNIT_CASE(write_over_hugetlb_shared_with_a_child),
	KUNIT_CASE(write_over_a_mixture_is_one_call),
	{}
};

static struct kunit_suite hk_fault_suite = {
	.name = "hmm_fault",
	.init = hk_init,
	.exit = hk_exit,
	.test_cases = hk_fault_cases,
};

kunit_test_suite(hk_fault_suite);
