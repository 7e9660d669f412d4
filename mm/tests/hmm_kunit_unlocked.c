// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of HMM mirrors: hmm_range_fault_unlocked().
 *
 * A stub records each take of the mmap lock with its reason. Where a call must
 * not need that lock, another thread holds it for writing. Faults under the
 * VMA's lock never call the test file, as it has no ->map_pages: those tests
 * take the mmap lock.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <trace/events/hmm.h>

#include "../hmm-internal.h"
#include "hmm_kunit.h"

#define HK_RW (PROT_READ | PROT_WRITE)

/* Takes of the mmap lock by calls of the test's thread, by reason. */
static unsigned int hk_takes[HMM_MMAP_TRIED + 1];

static int hk_lock_mmap(struct mm_struct *mm, const struct hmm_range *range,
			enum hmm_mmap_need need, bool wait)
{
	if (!wait && !mmap_read_trylock(mm))
		return -EBUSY;
	hk_takes[HMM_MMAP_NOT_NEEDED]++;
	hk_takes[need]++;
	return wait ? mmap_read_lock_killable(mm) : 0;
}

static int hk_unlocked_init(struct kunit *test)
{
	memset(hk_takes, 0, sizeof(hk_takes));
	kunit_activate_static_stub(test, hmm_lock_mmap, hk_lock_mmap);
	return hk_init(test);
}

/* Expect that the mmap lock was taken @n times since, and for @need alone. */
static void hk_expect_takes(struct kunit *test, unsigned int n,
			    enum hmm_mmap_need need)
{
	KUNIT_EXPECT_EQ(test, hk_takes[HMM_MMAP_NOT_NEEDED], n);
	KUNIT_EXPECT_EQ(test, hk_takes[need], n);
	memset(hk_takes, 0, sizeof(hk_takes));
}

/* Every fault of the test's thread goes through here. */
static long hk_unlocked_ms(struct kunit *test, struct hmm_range *range,
			   unsigned int flags, unsigned long ms)
{
	long ret = hmm_range_fault_unlocked(range, flags, ms);

	KUNIT_EXPECT_NE(test, ret, -EAGAIN);
	KUNIT_EXPECT_EQ(test, hk_valid(test, range), ret > 0);
	if (ret >= 0)
		KUNIT_EXPECT_EQ(test, ret,
				(range->end - range->start) >> PAGE_SHIFT);
	return ret;
}

static long hk_unlocked(struct kunit *test, struct hmm_range *range)
{
	struct hk *hk = test->priv;
	long ret = hk_unlocked_ms(test, range, 0, HK_LONG_MS);

	KUNIT_EXPECT_FALSE(test, rwsem_is_locked(&hk->mm->mmap_lock));
	return ret;
}

/* ---------------------------------------------------------------- the locks */

/* A thread that holds the mmap lock for writing. */
struct hk_writer {
	struct mm_struct *mm;
	struct completion held;
	struct completion release;
	bool gave_up;
	struct hk_thread *thread;
};

static void hk_writer_fn(void *arg)
{
	struct hk_writer *writer = arg;

	mmap_write_lock(writer->mm);
	complete(&writer->held);
	/* Bounded: a call that needs the lock must fail its test, not hang */
	if (!wait_for_completion_timeout(&writer->release,
					 msecs_to_jiffies(HK_WAKE_MS)))
		writer->gave_up = true;
	mmap_write_unlock(writer->mm);
}

static struct hk_writer *hk_writer(struct kunit *test)
{
	struct hk *hk = test->priv;
	struct hk_writer *writer;
	unsigned long held;

	writer = kunit_kzalloc(test, sizeof(*writer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, writer);
	writer->mm = hk->mm;
	init_completion(&writer->held);
	init_completion(&writer->release);
	writer->thread = hk_run(test, hk_writer_fn, writer);
	held = wait_for_completion_timeout(&writer->held,
					   msecs_to_jiffies(HK_LONG_MS));
	KUNIT_ASSERT_NE(test, held, 0);
	return writer;
}

/* Ends the writer; expects that all calls since returned before. */
static void hk_writer_end(struct kunit *test, struct hk_writer *writer)
{
	complete(&writer->release);
	KUNIT_EXPECT_TRUE(test, hk_thread_done(writer->thread, HK_LONG_MS));
	KUNIT_EXPECT_FALSE(test, writer->gave_up);
	hk_expect_takes(test, 0, HMM_MMAP_NOT_NEEDED);
}

static void hk_need_vma_locks(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_PER_VMA_LOCK))
		kunit_skip(test, "VMAs have no locks");
}

static void present_memory_needs_no_mmap_lock(struct kunit *test)
{
	static const unsigned int sizes[] = { 1, 2, 16, 700 };
	unsigned long addr = hk_anon(test, 700);
	unsigned int i;

	hk_need_vma_locks(test);
	hk_write(test, addr, 700);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct hmm_range *range = hk_range(test, addr, sizes[i]);
		struct hk_writer *writer = hk_writer(test);

		hk_request(range, HK_V | HK_W);
		KUNIT_EXPECT_GT(test,
				hk_unlocked_ms(test, range, 0, HK_LONG_MS), 0);
		KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W), sizes[i]);
		hk_writer_end(test, writer);
		hmm_range_unregister(range);
	}
}

/* Huge pages, a hole in the page table, and no page table at all. */
static void snapshot_needs_no_mmap_lock(struct kunit *test)
{
	unsigned long addr = hk_huge(test, 3), n = 3 * HPAGE_PMD_NR;
	struct hmm_range *range = hk_range(test, addr, n);
	struct hk_writer *writer;
	u64 *pfns;

	hk_need_vma_locks(test);
	hk_write(test, addr, 1);
	pfns = kunit_kcalloc(test, n, sizeof(*pfns), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pfns);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_SNAPSHOT), n);
	memcpy(pfns, range->pfns, n * sizeof(*pfns));
	memset64(range->pfns, -1ULL, n);
	writer = hk_writer(test);
	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, HMM_FAULT_SNAPSHOT,
					     HK_LONG_MS), n);
	hk_writer_end(test, writer);
	KUNIT_EXPECT_MEMEQ(test, pfns, range->pfns, n * sizeof(*pfns));
	hmm_range_unregister(range);
}

/* The mapping has an anon_vma, as one page was touched before. */
static void anonymous_memory_is_faulted_without_mmap_lock(struct kunit *test)
{
	const unsigned long n = 2000;
	unsigned long addr = hk_anon(test, n);
	struct hmm_range *range = hk_range(test, addr, n);
	struct hk_writer *writer;

	hk_need_vma_locks(test);
	hk_write(test, addr + 1000 * PAGE_SIZE, 1);
	writer = hk_writer(test);
	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, 0, HK_LONG_MS), n);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 1);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, 0, HK_LONG_MS), n);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W), n);
	hk_writer_end(test, writer);
	hmm_range_unregister(range);
}

/*
 * Pages whose entries look fine, but whose mapping decides: the CPU could read
 * a mapping that may only be written.
 */
static void present_memory_without_permission_is_efault(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *one = hk_range(test, addr + 3 * PAGE_SIZE, 1);
	struct hmm_range *range = hk_range(test, addr, 4);

	hk_remap(test, addr + 3 * PAGE_SIZE, 1, NULL, PROT_WRITE);
	hk_write(test, addr, 4);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, one), -EFAULT);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EFAULT);
	KUNIT_EXPECT_EQ(test, range->pfns[3], HK_ERROR);
	hk_request(range, 0);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 4);
	KUNIT_EXPECT_EQ(test, range->pfns[3], HK_ERROR);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W), 3);
	hmm_range_unregister(range);
	hmm_range_unregister(one);
}

/* Neither side of the boundary may be read as if it were the other's. */
static void present_pages_of_two_page_tables(struct kunit *test)
{
	unsigned long first = hk_anon(test, 2 * HPAGE_PMD_NR);
	unsigned long addr = ALIGN(first + PAGE_SIZE, PMD_SIZE) - PAGE_SIZE;
	struct hmm_range *range = hk_range(test, addr, 2);
	unsigned int i;

	hk_write(test, addr, 2);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 2);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, range->pfns[i],
				hk_entry(hk_pfn(test, addr + i * PAGE_SIZE),
					 HK_V | HK_W));
	hmm_range_unregister(range);
}

/* An invalidation after the call hits the range, as after any fault. */
static void few_present_pages_are_followed(struct kunit *test)
{
	unsigned long addr = hk_anon(test, HMM_FEW_PAGES);
	struct hmm_range *range = hk_range(test, addr, HMM_FEW_PAGES);
	unsigned int i;

	hk_write(test, addr, HMM_FEW_PAGES);
	for (i = 0; i < HMM_FEW_PAGES; i++) {
		KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), HMM_FEW_PAGES);
		KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W),
				HMM_FEW_PAGES);
		hk_invalidate(test, addr + i * PAGE_SIZE,
			      addr + (i + 1) * PAGE_SIZE);
		KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	}
	hmm_range_unregister(range);
}

/* The same for one page, which has a path of its own. */
static void one_present_page_is_followed(struct kunit *test)
{
	struct file *file = hk_shmem_file(test, PAGE_SIZE);
	unsigned long addr = hk_anon(test, 1);
	unsigned long shared = hk_map(test, file, PAGE_SIZE, PROT_READ,
				      MAP_SHARED);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hmm_range *readable = hk_range(test, shared, 1);

	hk_write(test, addr, 1);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 1);
	KUNIT_EXPECT_EQ(test, range->pfns[0],
			hk_entry(hk_pfn(test, addr), HK_V | HK_W));
	hk_invalidate(test, addr, addr + PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	hmm_range_unregister(range);

	hk_read(test, shared, 1);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, readable), 1);
	KUNIT_EXPECT_EQ(test, readable->pfns[0],
			hk_entry(hk_pfn(test, shared), HK_V));
	hk_request(readable, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, readable), -EPERM);
	hmm_range_unregister(readable);
	hk_expect_takes(test, 0, HMM_MMAP_NOT_NEEDED);
}

static void hk_expect_need(struct kunit *test, unsigned long addr,
			   unsigned long npages, enum hmm_mmap_need need)
{
	struct hmm_range *range = hk_range(test, addr, npages);

	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), npages);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V | HK_W), npages);
	if (!IS_ENABLED(CONFIG_PER_VMA_LOCK))
		need = HMM_MMAP_NO_VMA_LOCK;
	hk_expect_takes(test, 1, need);
	hmm_range_unregister(range);
}

static void mmap_lock_is_taken_for_a_reason(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 8);
	unsigned long huge = hk_map(test, hk_hugetlb_file(test, 1), PMD_SIZE,
				    HK_RW, MAP_SHARED);
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 1);
	unsigned long file = hk_map_file(test, hf);

	/* The only fall-back for this memory: its first page. */
	hk_expect_need(test, addr, 8, HMM_MMAP_NO_ANON_VMA);
	hk_remap(test, addr + 4 * PAGE_SIZE, 4,
		 hk_shmem_file(test, 4 * PAGE_SIZE), HK_RW);
	/* The first write to a page of a file drops the lock. */
	hk_write(test, addr + 4 * PAGE_SIZE, 4);
	hk_expect_need(test, addr, 8, HMM_MMAP_SEVERAL_VMAS);
	hk_expect_need(test, huge, HPAGE_PMD_NR, HMM_MMAP_HUGE_MAPPING);
	/* A file that can be faulted under the mmap lock only. */
	hk_expect_need(test, file, 1, HMM_MMAP_TRIED);
}

/* ----------------------------------------------------------- a dropped lock */

/* The fault of @pgoff drops the lock, @drops times. */
struct hk_drop {
	struct hk_file *hf;
	pgoff_t pgoff;
	unsigned int drops;
	unsigned int seen;
	unsigned int tried;
	unsigned int tried_elsewhere;
};

static void hk_drop_fn(struct vm_fault *vmf, void *arg)
{
	struct hk_drop *drop = arg;
	bool tried = vmf->flags & FAULT_FLAG_TRIED;

	drop->hf->mode = HK_FILE_PAGE;
	if (vmf->pgoff != drop->pgoff) {
		drop->tried_elsewhere += tried;
		return;
	}
	drop->tried += tried;
	if (drop->seen++ < drop->drops)
		drop->hf->mode = HK_FILE_RETRY;
}

static struct hmm_range *hk_dropping(struct kunit *test, struct hk_drop *drop,
				     pgoff_t pgoff, unsigned int drops)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 8);

	*drop = (struct hk_drop){ .hf = hf, .pgoff = pgoff, .drops = drops };
	hf->hook = hk_drop_fn;
	hf->hook_arg = drop;
	return hk_file_range(test, hf);
}

static void dropped_lock_goes_on_where_it_was(struct kunit *test)
{
	struct hk_drop drop;
	struct hmm_range *range = hk_dropping(test, &drop, 5, 2);

	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 8);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 8);
	/* Each page once, and the two faults that dropped the lock. */
	KUNIT_EXPECT_EQ(test, atomic_read(&drop.hf->calls), 10);
	/* All but the first were told that it has been dropped before. */
	KUNIT_EXPECT_EQ(test, drop.tried, 2);
	KUNIT_EXPECT_EQ(test, drop.tried_elsewhere, 0);
	hmm_range_unregister(range);
}

#define HK_SERVED	1000

/* Each page is served at its second fault, as one that userfaultfd serves. */
static void hk_serve(struct vm_fault *vmf, void *arg)
{
	struct hk_file *hf = arg;

	hf->mode = atomic_read(&hf->calls) % 2 ? HK_FILE_UFFD : HK_FILE_PAGE;
}

static void hk_count_read(void *arg)
{
	unsigned int *reads = arg;

	(*reads)++;
}

/*
 * The first and the last page are not requested; their entries show how often
 * they are read.
 */
static void pages_served_one_by_one_cost_one_walk(struct kunit *test)
{
	const unsigned long n = HK_SERVED + 2;
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, n);
	unsigned long addr = hk_map_file(test, hf);
	unsigned long last = addr + (n - 1) * PAGE_SIZE;
	struct hmm_range *range = hk_range(test, addr, n);
	unsigned int reads = 0;
	pte_t old, old_last, special;

	hk_write(test, addr, 1);
	hk_write(test, last, 1);
	special = pte_mkspecial(pfn_pte(hk_pfn(test, addr), PAGE_READONLY));
	old = hk_set_pte(test, addr, special);
	old_last = hk_set_pte(test, last, special);
	hk_request_each(range);
	memset64(range->pfns + 1, HK_V, HK_SERVED);
	atomic_set(&hf->calls, 0);
	hf->hook_arg = hf;
	hf->hook = hk_serve;
	hf->walk_arg = &reads;
	hf->walk_hook = hk_count_read;
	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, 0, ULONG_MAX), n);
	hf->walk_hook = NULL;
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), 2 * HK_SERVED);
	/* Once to collect missing pages before the first lock is dropped. */
	KUNIT_EXPECT_LE(test, reads, 3);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), HK_SERVED);
	hk_set_pte(test, addr, old);
	hk_set_pte(test, last, old_last);
	hmm_range_unregister(range);
}

/* The locked call is called again, and leaves the flag to that address. */
static void locked_call_is_tried_too(struct kunit *test)
{
	struct hk_drop drop;
	struct hmm_range *range = hk_dropping(test, &drop, 5, 1);

	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_ALLOW_RETRY),
			-EAGAIN);
	KUNIT_EXPECT_EQ(test, drop.tried, 0);
	KUNIT_EXPECT_EQ(test, hk_fault(test, range, HMM_FAULT_ALLOW_RETRY), 8);
	KUNIT_EXPECT_EQ(test, drop.seen, 2);
	KUNIT_EXPECT_EQ(test, drop.tried, 1);
	KUNIT_EXPECT_EQ(test, drop.tried_elsewhere, 0);
	hmm_range_unregister(range);
}

/* ------------------------------------------------------------ invalidations */

static void fault_sleeps_until_the_invalidation_ends(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 2);
	struct hk_inval *other, *inval;
	struct hk_waiter *waiter;

	hk_write(test, addr, 4);
	other = hk_start(test, addr + 2 * PAGE_SIZE, addr + 4 * PAGE_SIZE);
	/* One that does not overlap the range does not delay it. */
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 2);
	inval = hk_start(test, addr + PAGE_SIZE, addr + 3 * PAGE_SIZE);
	waiter = hk_unlocked_start(test, range, ULONG_MAX);
	KUNIT_EXPECT_FALSE(test, hk_thread_done(waiter->thread, HK_SHORT_MS));
	hk_end(inval);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_EQ(test, waiter->ret, 2);
	KUNIT_EXPECT_TRUE(test, hk_valid(test, range));
	hk_end(other);
	hmm_range_unregister(range);
}

static void timeout_is_ebusy_and_keeps_requests(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 2);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);

	hk_request_each(range);
	range->pfns[0] = HK_V;
	range->pfns[1] = HK_V | HK_W;
	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, 0, 0), -EBUSY);
	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, 0, HK_SHORT_MS),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_V);
	KUNIT_EXPECT_EQ(test, range->pfns[1], HK_V | HK_W);
	hk_end(inval);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 2);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_W), 1);
	hmm_range_unregister(range);
}

/* The range needs the mmap lock, which another thread has for longer. */
static void no_wait_for_the_mmap_lock_begins_after_the_timeout(struct kunit *t)
{
	unsigned long addr = hk_anon(t, 2);
	struct hmm_range *range = hk_range(t, addr, 2);
	struct hk_writer *writer;

	hk_remap(t, addr, 1, NULL, PROT_READ);
	hk_read(t, addr, 2);
	writer = hk_writer(t);
	KUNIT_EXPECT_EQ(t, hk_unlocked_ms(t, range, 0, 0), -EBUSY);
	hk_writer_end(t, writer);
	/* One that is free is taken, whatever the time. */
	KUNIT_EXPECT_EQ(t, hk_unlocked_ms(t, range, 0, 0), 2);
	hmm_range_unregister(range);
}

#define HK_PATIENT_FAULTS	40

/* Without an invalidation to wait for, the call must neither end nor spin. */
static void unmet_address_is_tried_until_the_timeout(struct kunit *test)
{
	struct hk_file *hf = hk_late_file(test, 0);
	struct hmm_range *range = hk_file_range(test, hf);
	unsigned long jiffies_max = msecs_to_jiffies(HK_SHORT_MS);

	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, 0, HK_SHORT_MS),
			-EBUSY);
	KUNIT_EXPECT_LE(test, atomic_read(&hf->calls),
			HMM_FAULT_TRIES + jiffies_max + 3);
	atomic_set(&hf->calls, 0);
	hf->late = HK_PATIENT_FAULTS;
	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, 0, ULONG_MAX), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&hf->calls), HK_PATIENT_FAULTS);
	hmm_range_unregister(range);
}

static void mm_exit_wakes_a_fault_that_waits(struct kunit *test)
{
	struct hk *hk = test->priv;
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *range = hk_range(test, addr, 2);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_waiter *waiter = hk_unlocked_start(test, range, ULONG_MAX);

	/* A fault that waits is no user of the mm. */
	hk_mm_exit(hk);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_EQ(test, waiter->ret, -EFAULT);
	KUNIT_EXPECT_FALSE(test, hk_valid(test, range));
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_ERROR);
	hk_end(inval);
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked(range, 0, HK_LONG_MS),
			-EFAULT);
	hmm_range_unregister(range);
}

static void range_unregistered_while_waiting_is_einval(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);
	struct hk_waiter *waiter = hk_unlocked_start(test, range, ULONG_MAX);

	hmm_range_unregister(range);
	KUNIT_ASSERT_TRUE(test, hk_thread_done(waiter->thread, HK_WAKE_MS));
	KUNIT_EXPECT_EQ(test, waiter->ret, -EINVAL);
	hk_end(inval);
}

static unsigned long hk_late_start, hk_late_end;
static unsigned int hk_settled;

/* Invalidate once, after everything was read, before it becomes valid. */
static int hk_settle_late(struct hmm *hmm, struct hmm_range *range)
{
	struct kunit *test = kunit_get_current_test();
	int ret;

	kunit_deactivate_static_stub(test, hmm_cursor_settle);
	if (!hk_settled++)
		hk_invalidate(test, hk_late_start, hk_late_end);
	ret = hmm_cursor_settle(hmm, range);
	kunit_activate_static_stub(test, hmm_cursor_settle, hk_settle_late);
	return ret;
}

/*
 * The read after a collision begins at the first page that was hit: entries
 * before it, overwritten by the test, are left alone.
 */
static void hk_expect_read_again(struct kunit *test, unsigned long addr,
				 unsigned long npages, unsigned long hit)
{
	struct hmm_range *range = hk_range(test, addr, npages);
	u64 *before;

	KUNIT_ASSERT_EQ(test, hk_unlocked(test, range), npages);
	before = kunit_kcalloc(test, npages, sizeof(u64), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	memcpy(before, range->pfns, npages * sizeof(u64));
	hk_late_start = addr + hit * PAGE_SIZE;
	hk_late_end = hk_late_start + PAGE_SIZE;
	hk_settled = 0;
	kunit_activate_static_stub(test, hmm_cursor_settle, hk_settle_late);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), npages);
	kunit_deactivate_static_stub(test, hmm_cursor_settle);
	KUNIT_EXPECT_EQ(test, hk_settled, 2);
	KUNIT_EXPECT_MEMEQ(test, before, range->pfns, npages * sizeof(u64));
	hmm_range_unregister(range);
}

static void collision_is_no_error(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 600);

	hk_write(test, addr, 600);
	/* One page more than are read while no invalidation can start. */
	hk_expect_read_again(test, addr, HMM_FEW_PAGES + 1, 0);
	hk_expect_read_again(test, addr, 600, 0);
	hk_expect_read_again(test, addr, 600, 599);
}

static unsigned int hk_reads;

/* Called for each special entry that is read; invalidates at one of them. */
struct hk_during {
	struct kunit *test;
	unsigned int at;
	unsigned long start;
	unsigned long end;
};

static void hk_during_fn(void *arg)
{
	struct hk_during *during = arg;

	if (hk_reads++ == during->at)
		hk_invalidate_nonblock(during->test, during->start,
				       during->end);
}

#define HK_TABLES	8

/*
 * A range of HK_TABLES page tables, the first entry of each special. The walk
 * calls back at those. While table @at is read, table @hit is invalidated; all
 * tables from @hit on are read again, and the rest only once.
 */
static void hk_expect_reads(struct kunit *test, struct hk_file *hf,
			    struct hmm_range *range, unsigned int at,
			    unsigned int hit, unsigned int reads)
{
	struct hk_during during = {
		.test = test,
		.at = at,
		.start = range->start + hit * PMD_SIZE,
		.end = range->start + hit * PMD_SIZE + PAGE_SIZE,
	};

	hk_reads = 0;
	hf->walk_arg = &during;
	hf->walk_hook = hk_during_fn;
	KUNIT_EXPECT_GT(test, hk_unlocked_ms(test, range, HMM_FAULT_SNAPSHOT,
					     HK_LONG_MS), 0);
	hf->walk_hook = NULL;
	KUNIT_EXPECT_EQ_MSG(test, hk_reads, reads, "at %u, hit %u", at, hit);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_SPECIAL);
}

static void collision_costs_what_was_hit(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 1);
	unsigned long len = HK_TABLES * PMD_SIZE;
	unsigned long addr =
		hk_map(test, hf->file, len + PMD_SIZE, HK_RW, MAP_SHARED);
	struct hmm_range *range;
	pte_t old[HK_TABLES], special;
	unsigned long i;

	hk_write(test, addr, 1);
	special = pte_mkspecial(pfn_pte(hk_pfn(test, addr), PAGE_READONLY));
	addr = ALIGN(addr + PAGE_SIZE, PMD_SIZE);
	range = hk_range(test, addr, len >> PAGE_SHIFT);
	for (i = 0; i < HK_TABLES; i++)
		old[i] = hk_set_pte(test, addr + i * PMD_SIZE, special);
	/* Hit behind: the walk stops at the next table, and reads two again. */
	hk_expect_reads(test, hf, range, 4, 3, HK_TABLES + 2);
	/* The table that is being read. */
	hk_expect_reads(test, hf, range, 4, 4, HK_TABLES + 1);
	/* Hit ahead: the walk goes on up to it, and reads it twice. */
	hk_expect_reads(test, hf, range, 1, 6, HK_TABLES + 1);
	/* The last table, and the first one. */
	hk_expect_reads(test, hf, range, 7, 7, HK_TABLES + 1);
	hk_expect_reads(test, hf, range, 7, 0, 2 * HK_TABLES);
	/* Outside of the range. */
	hk_expect_reads(test, hf, range, 4, HK_TABLES, HK_TABLES);
	for (i = 0; i < HK_TABLES; i++)
		hk_set_pte(test, addr + i * PMD_SIZE, old[i]);
	hmm_range_unregister(range);
}

/*
 * The first page is hit when the second one is read, and the third one is
 * missing: after its fault the first two are read again.
 */
static void collision_before_a_fault_is_kept(struct kunit *test)
{
	struct hk_file *hf = hk_file(test, HK_FILE_PAGE, 3);
	struct hmm_range *range = hk_file_range(test, hf);
	unsigned long addr = range->start;
	struct hk_during during = {
		.test = test,
		.start = addr,
		.end = addr + PAGE_SIZE,
	};
	pte_t old;

	hk_write(test, addr, 2);
	old = hk_set_pte(test, addr + PAGE_SIZE,
			 pte_mkspecial(pfn_pte(hk_pfn(test, addr),
					       PAGE_READONLY)));
	hk_request_each(range);
	range->pfns[0] = HK_V;
	range->pfns[2] = HK_V;
	hk_reads = 0;
	hf->walk_arg = &during;
	hf->walk_hook = hk_during_fn;
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 3);
	hf->walk_hook = NULL;
	KUNIT_EXPECT_EQ(test, hk_reads, 2);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_V), 2);
	hk_set_pte(test, addr + PAGE_SIZE, old);
	hmm_range_unregister(range);
}

/* ------------------------------------------------------------------- errors */

static void errors_are_those_of_the_locked_call(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 4);
	struct hmm_range *range = hk_range(test, addr, 4);
	struct hmm_range *other = hk_range_alloc(test, addr, 1);

	KUNIT_EXPECT_EQ(test, hk_unlocked_ms(test, range, BIT(2), HK_LONG_MS),
			-EINVAL);
	KUNIT_EXPECT_EQ(test,
			hk_unlocked_ms(test, range, HMM_FAULT_ALLOW_RETRY,
				       HK_LONG_MS),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked(NULL, 0, 0), -EINVAL);
	other->hmm = NULL;
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked(other, 0, 0), -EINVAL);
	hk_remap(test, addr + 2 * PAGE_SIZE, 1, NULL, PROT_READ);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EPERM);
	KUNIT_EXPECT_EQ(test, range->pfns[2], HK_ERROR);
	KUNIT_EXPECT_EQ(test, range->pfns[1], HK_NONE);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + 3 * PAGE_SIZE, PAGE_SIZE), 0);
	hk_request(range, HK_V);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EFAULT);
	KUNIT_EXPECT_EQ(test, range->pfns[3], HK_ERROR);
	/* No entry requests anything. */
	hk_request_each(range);
	memset64(range->pfns, 0, 4);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 4);
	KUNIT_EXPECT_EQ(test, range->pfns[3], HK_ERROR);
	hmm_range_unregister(range);
}

static void one_mapping_without_permission(struct kunit *test)
{
	unsigned long addr =
		hk_map(test, NULL, 4 * PAGE_SIZE, PROT_READ, MAP_PRIVATE);
	struct hmm_range *range = hk_range(test, addr, 4);

	hk_read(test, addr, 1);
	hk_request(range, HK_V | HK_W);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EPERM);
	KUNIT_EXPECT_EQ(test, range->pfns[0], HK_ERROR);
	hmm_range_unregister(range);
	memset(hk_takes, 0, sizeof(hk_takes));

	addr = hk_map(test, NULL, 4 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE);
	range = hk_range(test, addr, 4);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EFAULT);
	hk_request(range, 0);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 4);
	KUNIT_EXPECT_EQ(test, hk_count(range, HK_ERROR), 4);
	hmm_range_unregister(range);
	if (IS_ENABLED(CONFIG_PER_VMA_LOCK))
		hk_expect_takes(test, 0, HMM_MMAP_NOT_NEEDED);
}

static void fatal_signal_is_eintr(struct kunit *test)
{
	unsigned long addr = hk_anon(test, 1);
	struct hmm_range *range = hk_range(test, addr, 1);
	struct hk_inval *inval = hk_start(test, addr, addr + PAGE_SIZE);

	/* Kernel threads receive no fatal signals. */
	sigaddset(&current->pending.signal, SIGKILL);
	set_thread_flag(TIF_SIGPENDING);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EINTR);
	hk_end(inval);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EINTR);
	sigdelset(&current->pending.signal, SIGKILL);
	clear_thread_flag(TIF_SIGPENDING);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 1);
	hmm_range_unregister(range);
}

/*
 * A task that waits for an invalidation that it makes itself waits for ever.
 * The warning comes even where this call does not have to wait.
 */
static void fault_in_an_own_invalidation_is_a_warning(struct kunit *test)
{
	const char *text = "fault during an invalidation by the same task";
	unsigned long addr = hk_anon(test, 2);
	struct hmm_range *hit = hk_range(test, addr, 1);
	struct hmm_range *range = hk_range(test, addr + PAGE_SIZE, 1);
	struct hk *hk = test->priv;
	struct mmu_notifier_range update;

	mmu_notifier_range_init(&update, MMU_NOTIFY_CLEAR, 0, hk->mm, addr,
				addr + PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&update);
	hk_expect_warn(text);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), -EINVAL);
	hk_expect_end(text);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, hit), -EINVAL);
	mmu_notifier_invalidate_range_end(&update);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, hit), 1);
	KUNIT_EXPECT_EQ(test, hk_unlocked(test, range), 1);
	hmm_range_unregister(hit);
	hmm_range_unregister(range);
}

static struct kunit_case hk_unlocked_cases[] = {
	KUNIT_CASE(present_memory_needs_no_mmap_lock),
	KUNIT_CASE(snapshot_needs_no_mmap_lock),
	KUNIT_CASE(anonymous_memory_is_faulted_without_mmap_lock),
	KUNIT_CASE(present_memory_without_permission_is_efault),
	KUNIT_CASE(present_pages_of_two_page_tables),
	KUNIT_CASE(few_present_pages_are_followed),
	KUNIT_CASE(one_present_page_is_followed),
	KUNIT_CASE(mmap_lock_is_taken_for_a_reason),
	KUNIT_CASE(dropped_lock_goes_on_where_it_was),
	KUNIT_CASE(pages_served_one_by_one_cost_one_walk),
	KUNIT_CASE(locked_call_is_tried_too),
	KUNIT_CASE(fault_sleeps_until_the_invalidation_ends),
	KUNIT_CASE(timeout_is_ebusy_and_keeps_requests),
	KUNIT_CASE(no_wait_for_the_mmap_lock_begins_after_the_timeout),
	KUNIT_CASE(unmet_address_is_tried_until_the_timeout),
	KUNIT_CASE(mm_exit_wakes_a_fault_that_waits),
	KUNIT_CASE(range_unregistered_while_waiting_is_einval),
	KUNIT_CASE(collision_is_no_error),
	KUNIT_CASE(collision_costs_what_was_hit),
	KUNIT_CASE(collision_before_a_fault_is_kept),
	KUNIT_CASE(errors_are_those_of_the_locked_call),
	KUNIT_CASE(one_mapping_without_permission),
	KUNIT_CASE(fatal_signal_is_eintr),
	KUNIT_CASE(fault_in_an_own_invalidation_is_a_warning),
	{}
};

static struct kunit_suite hk_unlocked_suite = {
	.name = "hmm_unlocked",
	.init = hk_unlocked_init,
	.exit = hk_exit,
	.test_cases = hk_unlocked_cases,
};

kunit_test_suite(hk_unlocked_suite);
