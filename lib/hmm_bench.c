// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmarks of HMM, compared with other parts of the kernel that do the same
 * work.
 *
 * A program prepares memory of its own and requests an operation on it. The
 * operation's *family* then sets up the mirrors, ranges and intervals that have
 * to exist, the operation runs for a number of rounds, each between two reads
 * of the cycle counter, and the family removes its setup.
 *
 * Under QEMU's -icount shift=0 with one CPU the counter is incremented by one
 * per instruction, so the results do not depend on the machine. The program
 * checks that with HMM_BENCH_LOOP.
 *
 * A new operation is a function and an entry of bench_ops[]. A new family, for
 * operations that need another setup, is a struct bench_family and a file of
 * its own, like hmm_bench_dma.c.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/hmm-interval.h>
#include <linux/hugetlb.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/pagewalk.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include "hmm_bench.h"

/* Limit of a wait for a range that is busy, in ms. */
#define BENCH_WAIT_MS	10000

static unsigned long bench_other(const struct bench *b, unsigned int i)
{
	return b->run->others_addr + 2 * i * PAGE_SIZE;
}

/* Set the entries that make the caller's request, for both APIs. */
static void bench_requests(struct bench *b, u64 request)
{
	unsigned long i;

	if (!b->run->stride)
		return;
	for (i = 0; i < b->run->npages; i++)
		b->pfns[i] = i % b->run->stride ? 0 : request;
}

/* ----------------------------------------------------------- mirror family */

#define BENCH_V		BIT_ULL(0)
#define BENCH_W		BIT_ULL(1)

static const u64 bench_flags[HMM_PFN_FLAG_MAX] = {
	[HMM_PFN_VALID]			= BENCH_V,
	[HMM_PFN_WRITE]			= BENCH_W,
	[HMM_PFN_DEVICE_PRIVATE]	= BIT_ULL(2),
};

static const u64 bench_values[HMM_PFN_VALUE_MAX] = {
	[HMM_PFN_ERROR]		= BIT_ULL(4),
	[HMM_PFN_NONE]		= 0,
	[HMM_PFN_SPECIAL]	= BIT_ULL(5),
};

static u64 bench_mirror_req(const struct bench *b)
{
	u64 req = 0;

	if (b->run->req & HMM_BENCH_READ)
		req |= BENCH_V;
	if (b->run->req & HMM_BENCH_WRITE)
		req |= BENCH_W;
	return req;
}

static int bench_sync(struct hmm_mirror *mirror,
		      const struct mmu_notifier_range *update)
{
	struct bench_mirror *dev =
		container_of(mirror, struct bench_mirror, mirror);

	spin_lock(&dev->lock);
	spin_unlock(&dev->lock);
	return 0;
}

static const struct hmm_mirror_ops bench_mirror_ops = {
	.sync_cpu_device_pagetables = bench_sync,
};

static void bench_range_init(struct bench *b, struct hmm_range *range,
			     unsigned long start, unsigned long end)
{
	range->start = start;
	range->end = end;
	range->pfns = b->pfns;
	range->flags = bench_flags;
	range->values = bench_values;
	range->pfn_shift = PAGE_SHIFT;
	range->default_flags = b->run->stride ? 0 : bench_mirror_req(b);
	range->pfn_flags_mask = b->run->stride ? BENCH_V | BENCH_W : 0;
}

static int bench_mirror_register(struct bench *b, struct bench_mirror *dev)
{
	int ret;

	mmap_write_lock(b->mm);
	ret = hmm_mirror_register(&dev->mirror, b->mm);
	mmap_write_unlock(b->mm);
	return ret;
}

static int bench_mirror_add(struct bench *b, struct bench_mirror *dev)
{
	int ret = bench_mirror_register(b, dev);

	if (ret)
		return ret;
	ret = hmm_range_register(&dev->range, &dev->mirror);
	if (ret)
		hmm_mirror_unregister(&dev->mirror);
	return ret;
}

static int bench_mirror_alloc(struct bench *b)
{
	unsigned int i, n = max(b->run->devices, 1);

	b->mirrors = kcalloc(n, sizeof(*b->mirrors), GFP_KERNEL);
	b->ranges = kvcalloc(b->run->others, sizeof(*b->ranges), GFP_KERNEL);
	if (!b->mirrors || !b->ranges)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		spin_lock_init(&b->mirrors[i].lock);
		b->mirrors[i].mirror.ops = &bench_mirror_ops;
		bench_range_init(b, &b->mirrors[i].range, b->start, b->end);
	}
	return 0;
}

int bench_mirror_setup(struct bench *b)
{
	unsigned int i, n = max(b->run->devices, 1);
	int ret = bench_mirror_alloc(b);

	for (i = 0; i < n && !ret; i++) {
		ret = bench_mirror_add(b, &b->mirrors[i]);
		b->nr_devices += !ret;
	}
	for (i = 0; i < b->run->others && !ret; i++) {
		bench_range_init(b, &b->ranges[i], bench_other(b, i),
				 bench_other(b, i) + PAGE_SIZE);
		ret = hmm_range_register(&b->ranges[i], &b->mirrors[0].mirror);
		b->nr_others += !ret;
		if (i % 1024 == 0)
			cond_resched();
	}
	return ret;
}

static void bench_mirror_unregister_all(struct bench *b)
{
	while (b->nr_others)
		hmm_range_unregister(&b->ranges[--b->nr_others]);
	while (b->nr_devices) {
		struct bench_mirror *dev = &b->mirrors[--b->nr_devices];

		if (dev->range.hmm)
			hmm_range_unregister(&dev->range);
		hmm_mirror_unregister(&dev->mirror);
	}
}

void bench_mirror_teardown(struct bench *b)
{
	bench_mirror_unregister_all(b);
	kvfree(b->ranges);
	kfree(b->mirrors);
}

static void bench_mirror_count(struct bench *b)
{
	unsigned long i;

	for (i = 0; i < b->run->npages; i++) {
		b->run->valid += !!(b->pfns[i] & BENCH_V);
		b->run->writable += !!(b->pfns[i] & BENCH_W);
	}
}

static const struct bench_family bench_mirror_family = {
	.setup		= bench_mirror_setup,
	.teardown	= bench_mirror_teardown,
	.count		= bench_mirror_count,
};

static int bench_mirror_before(struct bench *b)
{
	bench_requests(b, bench_mirror_req(b));
	return 0;
}

static int bench_mirror_fault(struct bench *b)
{
	long ret = hmm_range_fault(&b->mirrors[0].range, 0);

	b->run->calls = 1;
	if (ret < 0)
		return ret;
	return hmm_range_valid(&b->mirrors[0].range) ? 0 : -EBUSY;
}

static int bench_mirror_unlocked(struct bench *b)
{
	long ret = hmm_range_fault_unlocked(&b->mirrors[0].range, 0,
					    BENCH_WAIT_MS);

	b->run->calls = 1;
	return ret < 0 ? ret : 0;
}

/* Callers without that call do it in these steps. */
static int bench_mirror_locked(struct bench *b)
{
	struct hmm_range *range = &b->mirrors[0].range;
	long ret;

	b->run->calls = 1;
	if (!hmm_range_wait_until_valid(range, BENCH_WAIT_MS))
		return -ETIME;
	if (mmap_read_lock_killable(b->mm))
		return -EINTR;
	ret = hmm_range_fault(range, 0);
	mmap_read_unlock(b->mm);
	return ret < 0 ? ret : 0;
}

static int bench_mirror_drop(struct bench *b)
{
	bench_requests(b, bench_mirror_req(b));
	if (b->mirrors[0].range.hmm)
		hmm_range_unregister(&b->mirrors[0].range);
	return 0;
}

static int bench_mirror_range_register(struct bench *b)
{
	return hmm_range_register(&b->mirrors[0].range, &b->mirrors[0].mirror);
}

static int bench_mirror_range_unregister(struct bench *b)
{
	hmm_range_unregister(&b->mirrors[0].range);
	return 0;
}

static void bench_mirror_range_reregister(struct bench *b)
{
	/* A failure shows in the next round, as its range is not registered */
	bench_mirror_range_register(b);
}

static int bench_mirror_take(struct bench *b)
{
	int ret = bench_mirror_range_register(b);

	if (ret)
		return ret;
	ret = bench_mirror_fault(b);
	hmm_range_unregister(&b->mirrors[0].range);
	return ret;
}

/*
 * Wait between two faults. A fault right after the last one would mostly hit a
 * pause of the load, since the last one has waited for the start of that pause.
 */
static void bench_device_pause(void)
{
	usleep_range(300, 700);
}

static int bench_mirror_idle(struct bench *b)
{
	bench_device_pause();
	return bench_mirror_drop(b);
}

/* A driver's handler of a page fault of its device. */
static __always_inline int bench_mirror_handle(struct bench *b,
					       int (*fault)(struct bench *b))
{
	struct bench_mirror *dev = &b->mirrors[0];
	unsigned int calls = 0;
	bool valid;
	int ret = bench_mirror_range_register(b);

	if (ret)
		return ret;
	do {
		ret = fault(b);
		calls++;
		spin_lock(&dev->lock);
		valid = hmm_range_valid(&dev->range);
		spin_unlock(&dev->lock);
	} while (!ret && !valid);
	hmm_range_unregister(&dev->range);
	b->run->calls = calls;
	return ret;
}

static int bench_mirror_device(struct bench *b)
{
	return bench_mirror_handle(b, bench_mirror_unlocked);
}

/* Starts over at -EBUSY, as drivers do. */
static int bench_mirror_locked_again(struct bench *b)
{
	int ret;

	do {
		ret = bench_mirror_locked(b);
	} while (ret == -EBUSY);
	return ret;
}

static int bench_locked_device(struct bench *b)
{
	return bench_mirror_handle(b, bench_mirror_locked_again);
}

static int bench_mirror_discard(struct bench *b)
{
	return do_madvise(b->mm, b->start, b->end - b->start, MADV_DONTNEED);
}

static int bench_mirror_away(struct bench *b)
{
	bench_mirror_unregister_all(b);
	return 0;
}

static int bench_mirror_only(struct bench *b)
{
	return hmm_mirror_register(&b->mirrors[0].mirror, b->mm);
}

static void bench_mirror_only_undo(struct bench *b)
{
	hmm_mirror_unregister(&b->mirrors[0].mirror);
}

static int bench_mirror_only_before(struct bench *b)
{
	bench_mirror_away(b);
	return bench_mirror_register(b, &b->mirrors[0]);
}

static int bench_mirror_unregister(struct bench *b)
{
	hmm_mirror_unregister(&b->mirrors[0].mirror);
	return 0;
}

static int bench_mirror_wait(struct bench *b)
{
	return hmm_range_wait_until_valid(&b->mirrors[0].range,
					  BENCH_WAIT_MS) ? 0 : -ETIME;
}

/* --------------------------------------------------------- interval family */

static bool bench_invalidate(struct mmu_interval_notifier *interval,
			     const struct mmu_notifier_range *update,
			     unsigned long seq)
{
	struct bench_interval *dev =
		container_of(interval, struct bench_interval, interval);

	spin_lock(&dev->lock);
	mmu_interval_set_seq(interval, seq);
	spin_unlock(&dev->lock);
	return true;
}

/* For the intervals at other addresses. */
static bool bench_invalidate_other(struct mmu_interval_notifier *interval,
				   const struct mmu_notifier_range *update,
				   unsigned long seq)
{
	mmu_interval_set_seq(interval, seq);
	return true;
}

static const struct mmu_interval_notifier_ops bench_interval_ops = {
	.invalidate = bench_invalidate,
};

static const struct mmu_interval_notifier_ops bench_other_ops = {
	.invalidate = bench_invalidate_other,
};

static int bench_interval_insert(struct bench *b, struct bench_interval *dev)
{
	return mmu_interval_notifier_insert(&dev->interval, b->mm, b->start,
					    b->end - b->start,
					    &bench_interval_ops);
}

static int bench_interval_setup(struct bench *b)
{
	unsigned int i, n = max(b->run->devices, 1);
	int ret = 0;

	b->intervals = kcalloc(n, sizeof(*b->intervals), GFP_KERNEL);
	b->others = kvcalloc(b->run->others, sizeof(*b->others), GFP_KERNEL);
	if (!b->intervals || !b->others)
		return -ENOMEM;
	for (i = 0; i < n && !ret; i++) {
		spin_lock_init(&b->intervals[i].lock);
		ret = bench_interval_insert(b, &b->intervals[i]);
		b->nr_devices += !ret;
	}
	for (i = 0; i < b->run->others && !ret; i++) {
		ret = mmu_interval_notifier_insert(&b->others[i], b->mm,
						   bench_other(b, i), PAGE_SIZE,
						   &bench_other_ops);
		b->nr_others += !ret;
		if (i % 1024 == 0)
			cond_resched();
	}
	return ret;
}

static void bench_interval_teardown(struct bench *b)
{
	while (b->nr_others)
		mmu_interval_notifier_remove(&b->others[--b->nr_others]);
	while (b->nr_devices) {
		struct bench_interval *dev = &b->intervals[--b->nr_devices];

		if (dev->interval.mm)
			mmu_interval_notifier_remove(&dev->interval);
	}
	kvfree(b->others);
	kfree(b->intervals);
}

static void bench_interval_count(struct bench *b)
{
	unsigned long i;

	for (i = 0; i < b->run->npages; i++) {
		b->run->valid += !!(b->pfns[i] & HMM_INTERVAL_PFN_VALID);
		b->run->writable += !!(b->pfns[i] & HMM_INTERVAL_PFN_WRITE);
	}
}

static const struct bench_family bench_interval_family = {
	.setup		= bench_interval_setup,
	.teardown	= bench_interval_teardown,
	.count		= bench_interval_count,
};

static u64 bench_interval_req(const struct bench *b)
{
	u64 req = 0;

	if (b->run->req & HMM_BENCH_READ)
		req |= HMM_INTERVAL_PFN_REQ_FAULT;
	if (b->run->req & HMM_BENCH_WRITE)
		req |= HMM_INTERVAL_PFN_REQ_WRITE;
	return req;
}

static int bench_interval_before(struct bench *b)
{
	bench_requests(b, bench_interval_req(b));
	return 0;
}

static void bench_interval_range(struct bench *b,
				 struct hmm_interval_range *range)
{
	*range = (struct hmm_interval_range){
		.notifier = &b->intervals[0].interval,
		.start = b->start,
		.end = b->end,
		.hmm_pfns = (unsigned long *)b->pfns,
		.default_flags = b->run->stride ? 0 : bench_interval_req(b),
		.pfn_flags_mask = b->run->stride ?
				  HMM_INTERVAL_PFN_REQ_FAULT |
						  HMM_INTERVAL_PFN_REQ_WRITE :
					  0,
	};
}

/* Starts over at -EBUSY, as drivers do. */
static __always_inline int
bench_interval_call(struct bench *b,
		    int (*fault)(struct hmm_interval_range *range))
{
	struct mmu_interval_notifier *interval = &b->intervals[0].interval;
	struct hmm_interval_range range;
	int ret;

	bench_interval_range(b, &range);
	b->run->calls = 0;
	do {
		range.notifier_seq = mmu_interval_read_begin(interval);
		ret = fault(&range);
		b->run->calls++;
	} while (ret == -EBUSY);
	if (ret)
		return ret;
	return mmu_interval_read_retry(interval, range.notifier_seq) ? -EBUSY :
								       0;
}

static int bench_interval_fault(struct bench *b)
{
	return bench_interval_call(b, hmm_interval_range_fault);
}

int (*bench_stock_range_fault)(struct hmm_interval_range *range) =
	hmm_interval_range_fault;

static int bench_stock_fault(struct bench *b)
{
	return bench_interval_call(b, bench_stock_range_fault);
}

static int bench_interval_drop(struct bench *b)
{
	bench_requests(b, bench_interval_req(b));
	if (b->intervals[0].interval.mm)
		mmu_interval_notifier_remove(&b->intervals[0].interval);
	b->intervals[0].interval.mm = NULL;
	return 0;
}

static int bench_interval_insert_locked(struct bench *b)
{
	return mmu_interval_notifier_insert_locked(&b->intervals[0].interval,
						   b->mm, b->start,
						   b->end - b->start,
						   &bench_interval_ops);
}

static int bench_interval_remove(struct bench *b)
{
	mmu_interval_notifier_remove(&b->intervals[0].interval);
	b->intervals[0].interval.mm = NULL;
	return 0;
}

static void bench_interval_again(struct bench *b)
{
	if (bench_interval_insert(b, &b->intervals[0]))
		b->intervals[0].interval.mm = NULL;
}

static int bench_stock_take(struct bench *b)
{
	int ret = bench_interval_insert_locked(b);

	if (ret)
		return ret;
	ret = bench_stock_fault(b);
	bench_interval_remove(b);
	return ret;
}

static int bench_interval_idle(struct bench *b)
{
	bench_device_pause();
	return bench_interval_drop(b);
}

static int bench_stock_device(struct bench *b)
{
	struct bench_interval *dev = &b->intervals[0];
	struct hmm_interval_range range;
	bool retry;
	int ret = bench_interval_insert(b, dev);

	if (ret)
		return ret;
	bench_interval_range(b, &range);
	b->run->calls = 0;
	do {
		range.notifier_seq = mmu_interval_read_begin(&dev->interval);
		mmap_read_lock(b->mm);
		ret = bench_stock_range_fault(&range);
		mmap_read_unlock(b->mm);
		b->run->calls++;
		spin_lock(&dev->lock);
		retry = mmu_interval_read_retry(&dev->interval,
						range.notifier_seq);
		spin_unlock(&dev->lock);
	} while (ret == -EBUSY || (!ret && retry));
	bench_interval_remove(b);
	return ret;
}

static int bench_interval_read_begin(struct bench *b)
{
	mmu_interval_read_begin(&b->intervals[0].interval);
	return 0;
}

/* ----------------------------------------------------------- invalidations */

static void bench_invalidate_page(struct bench *b, unsigned long addr)
{
	struct mmu_notifier_range update;

	mmu_notifier_range_init(&update, MMU_NOTIFY_CLEAR, 0, b->mm, addr,
				addr + PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&update);
	mmu_notifier_invalidate_range_end(&update);
}

static int bench_hit(struct bench *b)
{
	bench_invalidate_page(b, b->start);
	return 0;
}

static int bench_miss(struct bench *b)
{
	bench_invalidate_page(b, b->end);
	return 0;
}

/* An invalidation only has work to do if the range is valid. */
static int bench_mirror_hit_before(struct bench *b)
{
	unsigned int i;
	long ret = 0;

	if (!b->run->devices)
		return bench_mirror_away(b);
	mmap_read_lock(b->mm);
	for (i = 0; i < b->nr_devices && ret >= 0; i++)
		ret = hmm_range_fault(&b->mirrors[i].range, HMM_FAULT_SNAPSHOT);
	mmap_read_unlock(b->mm);
	return ret < 0 ? ret : 0;
}

static void bench_mirror_hit_after(struct bench *b)
{
	unsigned int i;

	for (i = 0; i < b->nr_devices; i++)
		b->stale += hmm_range_valid(&b->mirrors[i].range);
}

static int bench_interval_hit_before(struct bench *b)
{
	return b->run->devices ? 0 : bench_interval_drop(b);
}

/* -------------------------------------------------- neither of the families */

static int bench_walk_pmd(pmd_t *pmdp, unsigned long addr, unsigned long end,
			  struct mm_walk *walk)
{
	struct bench *b = walk->private;
	u64 *out = b->pfns + ((addr - b->start) >> PAGE_SHIFT);
	unsigned long i, n = (end - addr) >> PAGE_SHIFT;
	pmd_t pmd = pmdp_get_lockless(pmdp);
	pte_t *ptep;

	if (pmd_leaf(pmd)) {
		memset64(out, pmd_val(pmd), n);
		return 0;
	}
	ptep = pte_offset_map(pmdp, addr);
	if (!ptep)
		return 0;
	for (i = 0; i < n; i++)
		out[i] = pte_val(ptep_get_lockless(ptep + i));
	pte_unmap(ptep);
	return 0;
}

static int bench_walk_hole(unsigned long addr, unsigned long end, int depth,
			   struct mm_walk *walk)
{
	struct bench *b = walk->private;

	memset64(b->pfns + ((addr - b->start) >> PAGE_SHIFT), 0,
		 (end - addr) >> PAGE_SHIFT);
	return 0;
}

static int bench_walk_hugetlb(pte_t *ptep, unsigned long hmask,
			      unsigned long addr, unsigned long end,
			      struct mm_walk *walk)
{
	struct bench *b = walk->private;
	pte_t pte = huge_ptep_get(walk->mm, addr, ptep);

	memset64(b->pfns + ((addr - b->start) >> PAGE_SHIFT), pte_val(pte),
		 (end - addr) >> PAGE_SHIFT);
	return 0;
}

static const struct mm_walk_ops bench_walk_ops = {
	.pmd_entry	= bench_walk_pmd,
	.pte_hole	= bench_walk_hole,
	.hugetlb_entry	= bench_walk_hugetlb,
	.walk_lock	= PGWALK_RDLOCK,
};

static int bench_walk_copy(struct bench *b)
{
	return walk_page_range(b->mm, b->start, b->end, &bench_walk_ops, b);
}

static int bench_mm_fault(struct bench *b)
{
	unsigned int flags = FAULT_FLAG_REMOTE;
	struct vm_area_struct *vma = vma_lookup(b->mm, b->start);
	unsigned long addr;

	if (b->run->req & HMM_BENCH_WRITE)
		flags |= FAULT_FLAG_WRITE;
	if (!vma || vma->vm_end < b->end)
		return -EFAULT;
	for (addr = b->start; addr < b->end; addr += PAGE_SIZE)
		if (handle_mm_fault(vma, addr, flags, NULL) & VM_FAULT_ERROR)
			return -EFAULT;
	return 0;
}

static int bench_pin(struct bench *b)
{
	unsigned int gup = b->run->req & HMM_BENCH_WRITE ? FOLL_WRITE : 0;
	int n = pin_user_pages_fast(b->start, b->run->npages, gup, b->pages);

	if (n < 0)
		return n;
	b->nr_pinned = n;
	return n == b->run->npages ? 0 : -EFAULT;
}

static int bench_unpin(struct bench *b)
{
	unpin_user_pages(b->pages, b->nr_pinned);
	b->run->valid = b->nr_pinned;
	b->nr_pinned = 0;
	return 0;
}

static void bench_unpin_after(struct bench *b)
{
	bench_unpin(b);
}

static int bench_rest(struct bench *b)
{
	usleep_range(10000, 10100);
	return 0;
}

/* With the mmap lock held. */
static int bench_hold(struct bench *b)
{
	return bench_rest(b);
}

static int bench_nothing(struct bench *b)
{
	return 0;
}

/* Two instructions a round */
#ifdef CONFIG_ARM64
#define BENCH_LOOP	"1: subs %0, %0, #1\n\tb.ne 1b"
#else
#define BENCH_LOOP	"1: dec %0\n\tjnz 1b"
#endif

static int bench_loop(struct bench *b)
{
	unsigned long n = b->run->npages;

	asm volatile(BENCH_LOOP : "+r" (n) : : "cc");
	return 0;
}

/* -------------------------------------------------------------- the request */

static const struct bench_op bench_ops[HMM_BENCH_DMA_FIRST] = {
	[HMM_BENCH_LOOP] = { .run = bench_loop },
	[HMM_BENCH_NOTHING] = { .run = bench_nothing },

	[HMM_BENCH_MIRROR_FAULT] = {
		&bench_mirror_family, BENCH_MMAP_READ,
		bench_mirror_before, bench_mirror_fault,
	},
	[HMM_BENCH_MIRROR_UNLOCKED] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_before, bench_mirror_unlocked,
	},
	[HMM_BENCH_MIRROR_LOCKED] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_before, bench_mirror_locked,
	},
	[HMM_BENCH_INTERVAL_FAULT] = {
		&bench_interval_family, BENCH_MMAP_READ,
		bench_interval_before, bench_interval_fault,
	},
	[HMM_BENCH_STOCK_FAULT] = {
		&bench_interval_family, BENCH_MMAP_READ,
		bench_interval_before, bench_stock_fault,
	},
	[HMM_BENCH_WALK_COPY] = {
		.lock = BENCH_MMAP_READ, .run = bench_walk_copy,
	},
	[HMM_BENCH_MM_FAULT] = {
		.family = &bench_mirror_family, .lock = BENCH_MMAP_READ,
		.run = bench_mm_fault,
	},
	[HMM_BENCH_PIN] = { .run = bench_pin, .after = bench_unpin_after },
	[HMM_BENCH_UNPIN] = { .before = bench_pin, .run = bench_unpin },

	[HMM_BENCH_MIRROR_TAKE] = {
		&bench_mirror_family, BENCH_MMAP_WRITE,
		bench_mirror_drop, bench_mirror_take,
	},
	[HMM_BENCH_STOCK_TAKE] = {
		&bench_interval_family, BENCH_MMAP_WRITE,
		bench_interval_drop, bench_stock_take,
	},
	[HMM_BENCH_MIRROR_DEVICE] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_idle, bench_mirror_device,
	},
	[HMM_BENCH_LOCKED_DEVICE] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_idle, bench_locked_device,
	},
	[HMM_BENCH_UNLOCKED_AGAIN] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_discard, bench_mirror_unlocked,
	},
	[HMM_BENCH_LOCKED_AGAIN] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_discard, bench_mirror_locked,
	},
	[HMM_BENCH_STOCK_DEVICE] = {
		&bench_interval_family, BENCH_UNLOCKED,
		bench_interval_idle, bench_stock_device,
	},

	[HMM_BENCH_MIRROR_RANGE_REGISTER] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_drop, bench_mirror_range_register,
	},
	[HMM_BENCH_INTERVAL_INSERT] = {
		&bench_interval_family, BENCH_MMAP_WRITE,
		bench_interval_drop, bench_interval_insert_locked,
	},
	[HMM_BENCH_MIRROR_RANGE_UNREGISTER] = {
		.family = &bench_mirror_family,
		.run = bench_mirror_range_unregister,
		.after = bench_mirror_range_reregister,
	},
	[HMM_BENCH_INTERVAL_REMOVE] = {
		.family = &bench_interval_family,
		.run = bench_interval_remove,
		.after = bench_interval_again,
	},
	[HMM_BENCH_MIRROR_REGISTER] = {
		&bench_mirror_family, BENCH_MMAP_WRITE,
		bench_mirror_away, bench_mirror_only, bench_mirror_only_undo,
	},
	[HMM_BENCH_MIRROR_UNREGISTER] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_only_before, bench_mirror_unregister,
	},
	[HMM_BENCH_MIRROR_WAIT] = {
		.family = &bench_mirror_family, .run = bench_mirror_wait,
	},
	[HMM_BENCH_INTERVAL_READ_BEGIN] = {
		.family = &bench_interval_family,
		.run = bench_interval_read_begin,
	},

	[HMM_BENCH_MIRROR_INVALIDATE] = {
		&bench_mirror_family, BENCH_UNLOCKED,
		bench_mirror_hit_before, bench_hit, bench_mirror_hit_after,
	},
	[HMM_BENCH_INTERVAL_INVALIDATE] = {
		&bench_interval_family, BENCH_UNLOCKED,
		bench_interval_hit_before, bench_hit,
	},
	[HMM_BENCH_INTERVAL_MISS] = {
		.family = &bench_interval_family, .run = bench_miss,
	},
	[HMM_BENCH_HOLD] = {
		.lock = BENCH_MMAP_WRITE, .before = bench_rest,
		.run = bench_hold,
	},
};

static void bench_lock(struct bench *b)
{
	if (b->op->lock == BENCH_MMAP_READ)
		mmap_read_lock(b->mm);
	else if (b->op->lock == BENCH_MMAP_WRITE)
		mmap_write_lock(b->mm);
}

static void bench_unlock(struct bench *b)
{
	if (b->op->lock == BENCH_MMAP_READ)
		mmap_read_unlock(b->mm);
	else if (b->op->lock == BENCH_MMAP_WRITE)
		mmap_write_unlock(b->mm);
}

static int bench_round(struct bench *b, u64 *cycles)
{
	cycles_t begin;
	int ret = 0;

	if (b->op->before)
		ret = b->op->before(b);
	if (ret)
		return ret;
	bench_lock(b);
	begin = get_cycles();
	ret = b->op->run(b);
	*cycles = get_cycles() - begin;
	bench_unlock(b);
	if (b->op->after)
		b->op->after(b);
	return ret;
}

static int bench_compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static int bench_rounds(struct bench *b)
{
	struct hmm_bench_run *run = b->run;
	unsigned int i, n = run->rounds;
	u64 *cycles;
	int ret = 0;

	cycles = kvcalloc(n, sizeof(*cycles), GFP_KERNEL);
	if (!cycles)
		return -ENOMEM;
	for (i = 0; i < n && !ret; i++) {
		ret = fatal_signal_pending(current) ? -EINTR :
		      bench_round(b, &cycles[i]);
		cond_resched();
	}
	sort(cycles, n, sizeof(*cycles), bench_compare, NULL);
	run->best = cycles[0];
	run->median = cycles[n / 2];
	run->late = cycles[n * 99 / 100];
	run->worst = cycles[n - 1];
	kvfree(cycles);
	/*
	 * The range stayed valid in spite of an invalidation: the result is
	 * wrong
	 */
	return ret ?: b->stale ? -EILSEQ : 0;
}

static int bench_measure(struct bench *b)
{
	const struct bench_family *family = b->op->family;
	int ret = 0;

	if (family)
		ret = family->setup(b);
	if (!ret)
		ret = bench_rounds(b);
	if (!ret && family && family->count)
		family->count(b);
	if (family)
		family->teardown(b);
	return ret;
}

static int bench_check(const struct hmm_bench_run *run)
{
	unsigned long len = run->npages << PAGE_SHIFT;

	if (run->op >= HMM_BENCH_OPS || !run->rounds || !run->npages ||
	    run->rounds > HMM_BENCH_MAX_ROUNDS ||
	    run->npages > HMM_BENCH_MAX_PAGES ||
	    run->devices > HMM_BENCH_MAX_DEVICES ||
	    run->others > HMM_BENCH_MAX_OTHERS ||
	    run->req & ~(HMM_BENCH_READ | HMM_BENCH_WRITE))
		return -EINVAL;
	if (!PAGE_ALIGNED(run->addr) || !PAGE_ALIGNED(run->others_addr) ||
	    run->addr > TASK_SIZE - len - PAGE_SIZE ||
	    run->others_addr > TASK_SIZE - 2 * run->others * PAGE_SIZE)
		return -EINVAL;
	return 0;
}

static int bench_run(struct hmm_bench_run *run)
{
	struct bench b = {
		.run = run,
		.mm = current->mm,
		.start = run->addr,
		.end = run->addr + (run->npages << PAGE_SHIFT),
	};
	int ret = bench_check(run);

	if (ret)
		return ret;
	run->calls = 0;
	run->valid = 0;
	run->writable = 0;
	if (run->op < HMM_BENCH_DMA_FIRST)
		b.op = &bench_ops[run->op];
	else
		b.op = &bench_dma_ops[run->op - HMM_BENCH_DMA_FIRST];
	b.pfns = kvcalloc(run->npages, sizeof(*b.pfns), GFP_KERNEL);
	b.pages = kvcalloc(run->npages, sizeof(*b.pages), GFP_KERNEL);
	ret = b.pfns && b.pages ? bench_measure(&b) : -ENOMEM;
	kvfree(b.pages);
	kvfree(b.pfns);
	return ret;
}

static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct hmm_bench_run run;
	int ret;

	if (cmd != HMM_BENCH_RUN)
		return -ENOTTY;
	if (copy_from_user(&run, (void __user *)arg, sizeof(run)))
		return -EFAULT;
	ret = bench_run(&run);
	if (!ret && copy_to_user((void __user *)arg, &run, sizeof(run)))
		ret = -EFAULT;
	return ret;
}

static const struct file_operations bench_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= bench_ioctl,
	.llseek		= noop_llseek,
};

static struct miscdevice bench_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "hmm_bench",
	.fops	= &bench_fops,
	.mode	= 0600,
};

builtin_misc_device(bench_device);
