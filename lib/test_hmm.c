// SPDX-License-Identifier: GPL-2.0
/*
 * A dummy device that uses the memory of the process that opened it.
 *
 * Every open file of /dev/hmm_dmirrorN is a device context: a page table of
 * its own, and a mirror of the opener's address space that keeps the table
 * right. The device reads and writes through that table alone, as hardware
 * would; a page that is missing, or not writable where the device writes, is a
 * device fault, which calls hmm_range_fault_unlocked().
 *
 * A span of memory is processed in chunks of DMIRROR_CHUNK_PAGES. Only the
 * pages of a chunk that the table lacks are requested. When no page is missing
 * any more, the pages are used under the same hold of the mutex. The table has
 * no references to pages: an entry is good while the mutex is held, because the
 * CPU cannot take the page away before dmirror_sync() has had that mutex.
 *
 * All chunks of one request that have missing pages are one device fault. A
 * fault may wait, for swap or for a userfaultfd's server, until a fatal signal.
 *
 * Every device has memory of its own, DMIRROR_MEMORY bytes that the files of
 * it share: *private* memory, which the CPU cannot reach and whose data is
 * kept in pages of system memory; or *coherent* memory, which it can. Pages
 * migrate there and back: on request, because the CPU touches private memory,
 * or because the file that brought them is closed. Migration is an invalidation
 * like any other, also the device's own. So the device loses its entries of the
 * pages that move, and reads them again afterwards, which takes no fault.
 *
 * *Exclusive* access leaves a page where it is and takes it from the CPU until
 * the CPU touches it. A range cannot read such an entry of the CPU page table;
 * struct dmirror_claim replaces the range there. No file ends the exclusive
 * access of another: while a page of device memory is under exclusive access,
 * the device does not evict it. Closing a file returns to the CPU all pages
 * that the file has exclusive access to.
 *
 * Pages of device memory that are in use keep the module: their pagemap calls
 * into it when the last reference to a page is dropped. A module that cannot
 * be unloaded refuses at once; RELEASE, or the end of the process that has the
 * pages, makes it ready.
 *
 * Locks, outermost first:
 *
 *	mmap_lock of the opener
 *	  locks of the pages that move
 *	    struct dmirror::mutex (in the mirror's callbacks too)
 *	      xa_lock of struct dmirror::pt
 *	      the locks in hmm_range_register() and hmm_range_unregister()
 *	struct dmirror_device::lock (innermost)
 *
 * Reclaim runs the callbacks, so under the mutex memory is allocated only with
 * GFP_ATOMIC; and the mutex is never held while waiting for, or faulting, a
 * range, nor while touching the caller's own buffer.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hmm.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/rmap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "test_hmm_uapi.h"

#define DMIRROR_CHUNK_PAGES	64
#define DMIRROR_MEMORY	(256UL << 20)
#define DMIRROR_PAGES	(DMIRROR_MEMORY >> PAGE_SHIFT)
/* Attempts to migrate a page, or to take exclusive access to it */
#define DMIRROR_TRIES	16
/* Pages of device memory looked at with interrupts off */
#define DMIRROR_SCAN	4096UL
/* The longest time that a flush can take, in ms */
#define DMIRROR_FLUSH_MAX	10000
#define FNV64_BASIS	0xcbf29ce484222325ULL
#define FNV64_PRIME	0x100000001b3ULL

/*
 * An encoding that is unlike others: flags on both sides of the pfn, a pfn that
 * is not shifted by PAGE_SHIFT, a NONE that is not 0, an ERROR with all flags.
 */
#define DMIRROR_PFN_SHIFT	3
#define DMIRROR_VALID		BIT_ULL(0)
#define DMIRROR_PRIVATE		BIT_ULL(62)
#define DMIRROR_WRITE		BIT_ULL(63)
#define DMIRROR_NONE		BIT_ULL(1)
#define DMIRROR_SPECIAL		BIT_ULL(2)
#define DMIRROR_ERROR		(~0ULL)

static const u64 dmirror_flags[HMM_PFN_FLAG_MAX] = {
	[HMM_PFN_VALID]			= DMIRROR_VALID,
	[HMM_PFN_WRITE]			= DMIRROR_WRITE,
	[HMM_PFN_DEVICE_PRIVATE]	= DMIRROR_PRIVATE,
};

static const u64 dmirror_values[HMM_PFN_VALUE_MAX] = {
	[HMM_PFN_ERROR]		= DMIRROR_ERROR,
	[HMM_PFN_NONE]		= DMIRROR_NONE,
	[HMM_PFN_SPECIAL]	= DMIRROR_SPECIAL,
};

static unsigned long spm_addr_dev0;
module_param(spm_addr_dev0, ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev0,
		 "Physical address of reserved memory for the first coherent device; there are coherent devices if both addresses are given");

static unsigned long spm_addr_dev1;
module_param(spm_addr_dev1, ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev1,
		 "Physical address of reserved memory for the second coherent device");

/* With DMIRROR_BREAK_KEEP, each entry of a device page table holds its page. */
#define DMIRROR_BREAK_KEEP	BIT(0)
#define DMIRROR_BREAK_DIRTY	BIT(1)

static unsigned int break_rules;
module_param(break_rules, uint, 0444);
MODULE_PARM_DESC(break_rules,
		 "Rules that the devices break, for tests of the tests: 1 invalidations remove entries, 2 writes mark pages dirty");

/**
 * struct dmirror_slot - one page of device memory
 * @data: system page with the data of a private page
 * @context: file that brought it here, see struct dmirror; 0 until it has
 *	arrived, and as soon as it has left. Changed with the page locked
 * @exclusive: entries of device page tables with exclusive access to the page
 */
struct dmirror_slot {
	struct page	*data;
	u64		context;
	unsigned int	exclusive;
};

/**
 * struct dmirror_device - a device and its memory
 * @misc: its node
 * @pagemap: its memory; its address is also the memory's owner
 * @lock: protects all below
 * @slots: one for each page of the memory
 * @used: the pages that are in use
 * @nr_used: how many these are; the module has a reference while this is not 0
 * @nr_exclusive: sum of dmirror_slot->exclusive
 * @next: where to look for a free page
 */
struct dmirror_device {
	struct miscdevice	misc;
	struct dev_pagemap	pagemap;
	spinlock_t		lock;	/* protects all below */
	struct dmirror_slot	*slots;
	DECLARE_BITMAP(used, DMIRROR_PAGES);
	unsigned long		nr_used;
	unsigned long		nr_exclusive;
	unsigned long		next;
};

/**
 * struct dmirror - an open file: one device context
 * @mirror: of the opener's address space
 * @device: device of the file
 * @context: a number that is unique among all files ever opened, not 0
 * @fail_alloc: fail the allocation of the next pages to migrate
 * @mutex: taken by the callbacks; protects all below
 * @pt: the device page table, by page index of the address: value entries
 *	made by dmirror_pte(); those of exclusive access are marked
 * @mapped: entries in @pt
 * @faults: device faults so far
 * @invalidations: calls of dmirror_sync() so far that got the mutex
 * @dropped: entries that callbacks removed from @pt so far
 * @retries: ranges faulted again so far because of an invalidation
 * @locked: device faults call hmm_range_fault()
 * @ranges: ranges that are registered now
 * @claims: spans that are being taken for exclusive access
 * @flush: see &struct hmm_dmirror_flush
 * @flush_end: end of the last flush, in jiffies
 * @flushing: nothing has waited for it yet
 */
struct dmirror {
	struct hmm_mirror	mirror;
	struct dmirror_device	*device;
	u64			context;
	atomic_t		fail_alloc;
	struct mutex		mutex;	/* protects all below */
	struct xarray		pt;
	u64			mapped;
	u64			faults;
	u64			invalidations;
	u64			dropped;
	u64			retries;
	bool			locked;
	u64			ranges;
	struct list_head	claims;
	struct hmm_dmirror_flush flush;
	unsigned long		flush_end;
	bool			flushing;
};

/**
 * struct dmirror_claim - a span that is being taken for exclusive access
 * @list: entry of dmirror->claims
 * @start: first address
 * @end: address after the last
 * @task: task that takes it
 * @lost: another task has started to change the span since
 *
 * @task itself invalidates the span too, but only before it has a page: when
 * it faults the page, and when it takes it from the CPU.
 */
struct dmirror_claim {
	struct list_head	list;
	unsigned long		start;
	unsigned long		end;
	struct task_struct	*task;
	bool			lost;
};

/**
 * struct dmirror_job - a request that the device carries out on a span
 * @dmirror: context of the request
 * @addr: next address
 * @end: end of the span
 * @write: the device writes
 * @faulted: a page was missing, so that the request had its device fault
 * @pages: pages done so far
 * @user: rest of the caller's buffer
 * @buf: holds one chunk on its way between the caller and the memory
 */
struct dmirror_job {
	struct dmirror	*dmirror;
	unsigned long	addr;
	unsigned long	end;
	bool		write;
	bool		faulted;
	u64		pages;
	void __user	*user;
	void		*buf;
};

/* State of COMPUTE between two chunks. */
struct dmirror_digest {
	u64	checksum;
	u64	words;
	bool	in_word;
};

static struct mm_struct *dmirror_mm(const struct dmirror *dmirror)
{
	return dmirror->mirror.hmm->mmu_notifier.mm;
}

/* An entry of the device page table and its parts. */
#define DMIRROR_PTE_WRITE	BIT(0)
#define DMIRROR_PTE_EXCLUSIVE	BIT(1)
#define DMIRROR_PTE_SHIFT	2

static void *dmirror_pte(unsigned long pfn, unsigned long bits)
{
	return xa_mk_value(pfn << DMIRROR_PTE_SHIFT | bits);
}

static struct page *dmirror_pte_page(const void *pte)
{
	return pfn_to_page(xa_to_value(pte) >> DMIRROR_PTE_SHIFT);
}

static bool dmirror_pte_allows(const void *pte, bool write)
{
	return pte && (!write || xa_to_value(pte) & DMIRROR_PTE_WRITE);
}

static bool dmirror_pte_exclusive(const void *pte)
{
	return pte && xa_to_value(pte) & DMIRROR_PTE_EXCLUSIVE;
}

/* Marks the entries that dmirror_pte_exclusive() is true for. */
#define DMIRROR_MARK_EXCLUSIVE	XA_MARK_0

/*
 * Pages of device memory
 */

static bool dmirror_is_private(const struct dmirror_device *device)
{
	return device->pagemap.type == MEMORY_DEVICE_PRIVATE;
}

static unsigned long dmirror_first_pfn(const struct dmirror_device *device)
{
	return PHYS_PFN(device->pagemap.range.start);
}

static struct dev_pagemap *dmirror_page_pagemap(const struct page *page)
{
	return page->pgmap;
}

static struct dmirror_device *dmirror_page_device(const struct page *page)
{
	return container_of(dmirror_page_pagemap(page), struct dmirror_device,
			    pagemap);
}

static bool dmirror_owns(const struct dmirror_device *device,
			 const struct page *page)
{
	return (is_device_private_page(page) ||
		is_device_coherent_page(page)) &&
	       dmirror_page_pagemap(page) == &device->pagemap;
}

/*
 * Returns the page with the data of @page. A device page must be held: by a
 * reference, or by an entry of a device page table, under its mutex.
 */
static struct page *dmirror_data(struct page *page)
{
	struct dmirror_device *device;

	if (!is_device_private_page(page))
		return page;
	device = dmirror_page_device(page);
	return device->slots[page_to_pfn(page) - dmirror_first_pfn(device)].data;
}

/*
 * The device page table
 */

static const struct dev_pagemap_ops dmirror_pagemap_ops;

/*
 * Counts an entry of exclusive access that is added (@by 1) or removed (-1). A
 * page of device memory is not evicted in between. The page is still there: the
 * caller has the mutex.
 */
static void dmirror_count_exclusive(const void *pte, int by)
{
	struct page *page = dmirror_pte_page(pte);
	struct dmirror_device *device;
	unsigned long flags;

	if (!is_device_coherent_page(page) ||
	    dmirror_page_pagemap(page)->ops != &dmirror_pagemap_ops)
		return;
	device = dmirror_page_device(page);
	spin_lock_irqsave(&device->lock, flags);
	device->slots[page_to_pfn(page) - dmirror_first_pfn(device)].exclusive +=
		by;
	device->nr_exclusive += by;
	spin_unlock_irqrestore(&device->lock, flags);
}

/* Counts the reference of an entry that is added (@by 1) or removed (-1). */
static void dmirror_count_kept(const void *pte, int by)
{
	if (!pte || !(break_rules & DMIRROR_BREAK_KEEP))
		return;
	if (by > 0)
		get_page(dmirror_pte_page(pte));
	else
		put_page(dmirror_pte_page(pte));
}

/* Stores @pte at @index, in place of an entry that may be there. */
static int dmirror_set_pte(struct dmirror *dmirror, unsigned long index,
			   void *pte)
{
	void *old;

	lockdep_assert_held(&dmirror->mutex);
	old = xa_store(&dmirror->pt, index, pte, GFP_ATOMIC);
	if (xa_is_err(old))
		return xa_err(old);
	dmirror->mapped += !old;
	dmirror_count_kept(pte, 1);
	dmirror_count_kept(old, -1);
	if (dmirror_pte_exclusive(old))
		dmirror_count_exclusive(old, -1);
	if (dmirror_pte_exclusive(pte)) {
		dmirror_count_exclusive(pte, 1);
		xa_set_mark(&dmirror->pt, index, DMIRROR_MARK_EXCLUSIVE);
	} else {
		xa_clear_mark(&dmirror->pt, index, DMIRROR_MARK_EXCLUSIVE);
	}
	return 0;
}

/* Removes the entries from the table, in one pass that lets others run. */
static void dmirror_drop(struct dmirror *dmirror, unsigned long first,
			 unsigned long last, bool may_sleep)
{
	XA_STATE(xas, &dmirror->pt, first);
	unsigned long n = 0;
	void *pte;

	lockdep_assert_held(&dmirror->mutex);
	xas_lock(&xas);
	xas_for_each(&xas, pte, last) {
		if (dmirror_pte_exclusive(pte))
			dmirror_count_exclusive(pte, -1);
		dmirror_count_kept(pte, -1);
		xas_store(&xas, NULL);
		if (++n % XA_CHECK_SCHED)
			continue;
		/* xas_pause() would skip entries: their node may be gone */
		xas_set(&xas, xas.xa_index + 1);
		xas_unlock(&xas);
		if (may_sleep)
			cond_resched();
		xas_lock(&xas);
	}
	xas_unlock(&xas);
	dmirror->mapped -= n;
	dmirror->dropped += n;
}

/*
 * The mirror's callbacks
 */

/*
 * [start, end) is about to change: claims of other tasks there are lost.
 */
static void dmirror_lose_claims(struct dmirror *dmirror, unsigned long start,
				unsigned long end)
{
	struct dmirror_claim *claim;

	lockdep_assert_held(&dmirror->mutex);
	list_for_each_entry(claim, &dmirror->claims, list)
		if (claim->task != current && claim->start < end &&
		    start < claim->end)
			claim->lost = true;
}

/* The clock of &struct hmm_dmirror_flush. */
static u64 dmirror_now(void)
{
	static atomic64_t now = ATOMIC64_INIT(0);

	return atomic64_inc_return(&now);
}

static void dmirror_start_flush(struct dmirror *dmirror)
{
	lockdep_assert_held(&dmirror->mutex);
	if (!dmirror->flush.ms)
		return;
	dmirror->flush.flushes++;
	dmirror->flush.started = dmirror_now();
	dmirror->flush.awaited = 0;
	dmirror->flushing = true;
	dmirror->flush_end = jiffies + msecs_to_jiffies(dmirror->flush.ms);
}

/* The second pass: returns when the flushes that sync started have ended. */
static void dmirror_sync_finish(struct hmm_mirror *mirror,
				const struct mmu_notifier_range *update)
{
	struct dmirror *dmirror = container_of(mirror, struct dmirror, mirror);
	long left = 0;

	/* dmirror_sync() has started no flush for it that takes time */
	if (!mmu_notifier_range_blockable(update))
		return;
	mutex_lock(&dmirror->mutex);
	if (dmirror->flushing)
		dmirror->flush.awaited = dmirror_now();
	dmirror->flushing = false;
	if (dmirror->flush.ms)
		left = dmirror->flush_end - jiffies;
	mutex_unlock(&dmirror->mutex);
	if (left > 0)
		schedule_timeout_uninterruptible(left);
}

static int dmirror_sync(struct hmm_mirror *mirror,
			const struct mmu_notifier_range *update)
{
	struct dmirror *dmirror = container_of(mirror, struct dmirror, mirror);
	bool blockable = mmu_notifier_range_blockable(update);
	u64 dropped;

	if (break_rules & DMIRROR_BREAK_KEEP)
		return 0;
	if (blockable)
		mutex_lock(&dmirror->mutex);
	else if (!mutex_trylock(&dmirror->mutex))
		return -EAGAIN;
	/* The second pass would have to sleep */
	if (!blockable && dmirror->flush.ms) {
		mutex_unlock(&dmirror->mutex);
		return -EAGAIN;
	}
	dmirror->invalidations++;
	dmirror_lose_claims(dmirror, update->start, update->end);
	dropped = dmirror->dropped;
	dmirror_drop(dmirror, update->start >> PAGE_SHIFT,
		     (update->end - 1) >> PAGE_SHIFT, blockable);
	if (dmirror->dropped != dropped)
		dmirror_start_flush(dmirror);
	mutex_unlock(&dmirror->mutex);
	return 0;
}

static void dmirror_release(struct hmm_mirror *mirror)
{
	struct dmirror *dmirror = container_of(mirror, struct dmirror, mirror);

	mutex_lock(&dmirror->mutex);
	dmirror_drop(dmirror, 0, ULONG_MAX, true);
	mutex_unlock(&dmirror->mutex);
}

static const struct hmm_mirror_ops dmirror_mirror_ops = {
	.release			= dmirror_release,
	.sync_cpu_device_pagetables	= dmirror_sync,
	.sync_finish			= dmirror_sync_finish,
};

/*
 * Ranges and device faults
 */

static int dmirror_range_register(struct dmirror *dmirror,
				  struct hmm_range *range)
{
	int err;

	lockdep_assert_held(&dmirror->mutex);
	range->flags = dmirror_flags;
	range->values = dmirror_values;
	range->default_flags = 0;
	range->pfn_flags_mask = DMIRROR_VALID | DMIRROR_WRITE | DMIRROR_PRIVATE;
	range->pfn_shift = DMIRROR_PFN_SHIFT;
	err = hmm_range_register(range, &dmirror->mirror);
	if (!err)
		dmirror->ranges++;
	return err;
}

static void dmirror_range_unregister(struct dmirror *dmirror,
				     struct hmm_range *range)
{
	lockdep_assert_held(&dmirror->mutex);
	hmm_range_unregister(range);
	dmirror->ranges--;
}

/* Takes a snapshot if @orders is not NULL. */
static long dmirror_fault_locked(struct dmirror *dmirror,
				 struct hmm_range *range, u8 *orders)
{
	struct mm_struct *mm = dmirror_mm(dmirror);
	long got;

	if (!hmm_range_wait_until_valid(range, HMM_RANGE_DEFAULT_TIMEOUT))
		return -EBUSY;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	if (orders)
		got = hmm_range_fault_orders(range, HMM_FAULT_SNAPSHOT, orders);
	else
		got = hmm_range_fault(range, HMM_FAULT_ALLOW_RETRY);
	/* With -EAGAIN the lock has been dropped */
	if (got != -EAGAIN)
		mmap_read_unlock(mm);
	return got;
}

/* Takes a snapshot if @orders is not NULL. Without the mutex. */
static int dmirror_range_fault(struct dmirror *dmirror, struct hmm_range *range,
			       u8 *orders)
{
	long want = (range->end - range->start) >> PAGE_SHIFT;
	long got;

	cond_resched();
	if (orders || READ_ONCE(dmirror->locked))
		got = dmirror_fault_locked(dmirror, range, orders);
	else
		got = hmm_range_fault_unlocked(range, 0,
					       HMM_RANGE_DEFAULT_TIMEOUT);
	if (got < 0)
		return got;
	return WARN_ON_ONCE(got != want) ? -EIO : 0;
}

/*
 * Called with the mutex taken again after dmirror_range_fault(). Returns 0 if
 * the entries can be used, -EAGAIN to fault once more, else the final error.
 */
static int dmirror_range_check(struct dmirror *dmirror, struct hmm_range *range,
			       int err)
{
	lockdep_assert_held(&dmirror->mutex);
	if (!err && hmm_range_valid(range))
		return 0;
	if (err && err != -EBUSY && err != -EAGAIN)
		return err;
	if (fatal_signal_pending(current))
		return -EINTR;
	dmirror->retries++;
	return -EAGAIN;
}

/*
 * Requests the pages of a range that the device page table lacks, in system
 * memory where @home has a bit. Returns the requests as a bit for each page.
 */
static u64 dmirror_request_missing(struct dmirror *dmirror,
				   struct hmm_range *range, bool write,
				   u64 home)
{
	u64 request = DMIRROR_VALID | (write ? DMIRROR_WRITE : 0);
	unsigned long first = range->start >> PAGE_SHIFT;
	unsigned long n = (range->end - range->start) >> PAGE_SHIFT;
	u64 requested = 0;

	lockdep_assert_held(&dmirror->mutex);
	while (n--) {
		void *pte = xa_load(&dmirror->pt, first + n);

		range->pfns[n] = 0;
		if (dmirror_pte_allows(pte, write))
			continue;
		range->pfns[n] = request;
		if (home & BIT_ULL(n))
			range->pfns[n] |= DMIRROR_PRIVATE;
		requested |= BIT_ULL(n);
	}
	return requested;
}

/* Puts entry @i of a valid range, which has a pfn, into the page table. */
static int dmirror_map(struct dmirror *dmirror, const struct hmm_range *range,
		       unsigned long i)
{
	u64 entry = range->pfns[i];
	void *pte = dmirror_pte(hmm_device_entry_to_pfn(range, entry),
				entry & DMIRROR_WRITE ? DMIRROR_PTE_WRITE : 0);

	return dmirror_set_pte(dmirror, (range->start >> PAGE_SHIFT) + i, pte);
}

/*
 * Maps the @requested pages of a valid range. Other pages may have been removed
 * from the table and the memory since.
 *
 * The device's own memory may come without the requested WRITE: the page is
 * shared after fork(), for instance. It can be copied only in system memory, so
 * it gets a bit in @home.
 */
static int dmirror_install(struct dmirror *dmirror, struct hmm_range *range,
			   u64 requested, bool write, u64 *home)
{
	lockdep_assert_held(&dmirror->mutex);
	for (; requested; requested &= requested - 1) {
		unsigned int i = __ffs64(requested);
		u64 entry = range->pfns[i];
		bool denied = write && !(entry & DMIRROR_WRITE);
		int err;

		/* Else the fault would have failed */
		if (WARN_ON_ONCE(!hmm_device_entry_has_pfn(range, entry) ||
				 (denied && !(entry & DMIRROR_PRIVATE))))
			return -EIO;
		if (denied) {
			*home |= BIT_ULL(i);
			continue;
		}
		err = dmirror_map(dmirror, range, i);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Returns 0 with the mutex held and every page of the chunk in the device page
 * table, or an error without the mutex.
 */
static int dmirror_lock_chunk(struct dmirror_job *job, unsigned long end)
{
	u64 pfns[DMIRROR_CHUNK_PAGES];
	struct hmm_range range = {
		.start = job->addr,
		.end = end,
		.pfns = pfns,
	};
	struct dmirror *dmirror = job->dmirror;
	u64 requested, home = 0;
	int err = 0;

	BUILD_BUG_ON(BITS_PER_TYPE(requested) < DMIRROR_CHUNK_PAGES);
	mutex_lock(&dmirror->mutex);
	while (!err) {
		requested = dmirror_request_missing(dmirror, &range, job->write,
						    home);
		if (!requested)
			break;
		if (!range.hmm)
			err = dmirror_range_register(dmirror, &range);
		if (err)
			break;
		if (!job->faulted)
			dmirror->faults++;
		job->faulted = true;
		mutex_unlock(&dmirror->mutex);
		err = dmirror_range_fault(dmirror, &range, NULL);
		mutex_lock(&dmirror->mutex);
		err = dmirror_range_check(dmirror, &range, err);
		if (!err)
			err = dmirror_install(dmirror, &range, requested,
					      job->write, &home);
		else if (err == -EAGAIN)
			err = 0;
	}
	if (range.hmm)
		dmirror_range_unregister(dmirror, &range);
	if (err)
		mutex_unlock(&dmirror->mutex);
	return err;
}

/*
 * READ, WRITE and COMPUTE
 */

/* Moves a page between job->buf and the page that the device has at @addr. */
static void dmirror_copy_page(struct dmirror_job *job, unsigned long addr)
{
	void *pte = xa_load(&job->dmirror->pt, addr >> PAGE_SHIFT);
	struct page *page = dmirror_pte_page(pte);
	void *buf = job->buf + (addr - job->addr);

	lockdep_assert_held(&job->dmirror->mutex);
	if (!job->write) {
		memcpy_from_page(buf, dmirror_data(page), 0, PAGE_SIZE);
		return;
	}
	memcpy_to_page(dmirror_data(page), 0, buf, PAGE_SIZE);
	/* A writable CPU entry may be clean, reclaim would lose the data */
	if (!(break_rules & DMIRROR_BREAK_DIRTY))
		folio_mark_dirty(page_folio(page));
}

/* Returns the end of the chunk at job->addr. */
static unsigned long dmirror_chunk_end(const struct dmirror_job *job)
{
	unsigned long left = job->end - job->addr;

	return job->addr + min(left, DMIRROR_CHUNK_PAGES * PAGE_SIZE);
}

/* Copies a chunk, all of it in the device page table, from or to job->buf. */
static void dmirror_copy_pages(struct dmirror_job *job, unsigned long end)
{
	unsigned long addr;

	for (addr = job->addr; addr < end; addr += PAGE_SIZE)
		dmirror_copy_page(job, addr);
}

/* Copies one chunk from or to job->buf. Returns its size, or an error. */
static long dmirror_copy_chunk(struct dmirror_job *job)
{
	unsigned long end = dmirror_chunk_end(job);
	int err;

	err = dmirror_lock_chunk(job, end);
	if (err)
		return err;
	dmirror_copy_pages(job, end);
	mutex_unlock(&job->dmirror->mutex);
	return end - job->addr;
}

static void dmirror_job_advance(struct dmirror_job *job, unsigned long size)
{
	job->addr += size;
	job->user += size;
	job->pages += size >> PAGE_SHIFT;
	cond_resched();
}

static int dmirror_job_init(struct dmirror_job *job, u64 addr, u64 npages,
			    u64 user)
{
	unsigned long size;

	job->addr = addr;
	job->end = addr + (npages << PAGE_SHIFT);
	job->user = u64_to_user_ptr(user);
	size = dmirror_chunk_end(job) - job->addr;
	job->buf = kvmalloc(size, GFP_KERNEL);
	return job->buf ? 0 : -ENOMEM;
}

/*
 * Calls @chunk, which fills job->buf, for the whole span of @cmd, and copies
 * the result to the caller.
 */
static int dmirror_by_chunks(struct dmirror *dmirror,
			     struct hmm_dmirror_cmd *cmd,
			     long (*chunk)(struct dmirror_job *))
{
	struct dmirror_job job = { .dmirror = dmirror };
	long size;
	int err;

	err = dmirror_job_init(&job, cmd->addr, cmd->npages, cmd->ptr);
	while (!err && job.addr < job.end) {
		size = fatal_signal_pending(current) ? -EINTR : chunk(&job);
		if (size < 0)
			err = size;
		else if (copy_to_user(job.user, job.buf, size))
			err = -EFAULT;
		else
			dmirror_job_advance(&job, size);
	}
	cmd->cpages = job.pages;
	cmd->faults = job.faulted;
	kvfree(job.buf);
	return err;
}

static int dmirror_read(struct dmirror *dmirror, void *arg)
{
	return dmirror_by_chunks(dmirror, arg, dmirror_copy_chunk);
}

static int dmirror_write(struct dmirror *dmirror, void *arg)
{
	struct dmirror_job job = { .dmirror = dmirror, .write = true };
	struct hmm_dmirror_cmd *cmd = arg;
	long size;
	int err;

	err = dmirror_job_init(&job, cmd->addr, cmd->npages, cmd->ptr);
	while (!err && job.addr < job.end) {
		size = dmirror_chunk_end(&job) - job.addr;
		if (copy_from_user(job.buf, job.user, size))
			size = -EFAULT;
		else
			size = dmirror_copy_chunk(&job);
		if (size < 0)
			err = size;
		else
			dmirror_job_advance(&job, size);
	}
	cmd->cpages = job.pages;
	cmd->faults = job.faulted;
	kvfree(job.buf);
	return err;
}

/* As isspace() of the C locale; the kernel's own also knows Latin-1's. */
static bool dmirror_is_space(u8 c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void dmirror_digest(struct dmirror_digest *digest, const void *buf,
			   unsigned long size)
{
	const __le64 *word = buf;
	const u8 *byte = buf;
	const u8 *end = buf + size;

	for (; word < (const __le64 *)end; word++)
		digest->checksum =
			(digest->checksum ^ le64_to_cpup(word)) * FNV64_PRIME;
	for (; byte < end; byte++) {
		bool in_word = !dmirror_is_space(*byte);

		digest->words += in_word && !digest->in_word;
		digest->in_word = in_word;
	}
}

static int dmirror_compute(struct dmirror *dmirror, void *arg)
{
	struct dmirror_digest digest = { .checksum = FNV64_BASIS };
	struct dmirror_job job = { .dmirror = dmirror };
	struct hmm_dmirror_compute *cmd = arg;
	long size;
	int err;

	if (cmd->reserved[0] || cmd->reserved[1])
		return -EINVAL;
	err = dmirror_job_init(&job, cmd->addr, cmd->npages, 0);
	while (!err && job.addr < job.end) {
		/* Nothing else would see it while every page is there */
		size = fatal_signal_pending(current) ? -EINTR :
						       dmirror_copy_chunk(&job);
		if (size < 0) {
			err = size;
		} else {
			dmirror_digest(&digest, job.buf, size);
			dmirror_job_advance(&job, size);
		}
	}
	cmd->checksum = digest.checksum;
	cmd->words = digest.words;
	cmd->cpages = job.pages;
	cmd->faults = job.faulted;
	kvfree(job.buf);
	return err;
}

/*
 * SNAPSHOT
 */

/* Returns the bits of device memory, 0 for other memory. */
static u8 dmirror_prot_memory(const struct dmirror *dmirror,
			      const struct page *page)
{
	bool local = dmirror_owns(dmirror->device, page);

	if (is_device_private_page(page))
		return local ? HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL :
			       HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE;
	if (is_device_coherent_page(page))
		return local ? HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL :
			       HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE;
	return 0;
}

/*
 * Only the zero page of base size is reported as such: modules cannot recognise
 * the huge one.
 */
static u8 dmirror_prot(const struct dmirror *dmirror,
		       const struct hmm_range *range, u64 entry, u8 order)
{
	struct page *page = hmm_device_entry_to_page(range, entry);
	u8 prot;

	if (entry == DMIRROR_NONE)
		return HMM_DMIRROR_PROT_NONE;
	if (!page)
		return HMM_DMIRROR_PROT_ERROR;
	prot = entry & DMIRROR_WRITE ? HMM_DMIRROR_PROT_WRITE :
				       HMM_DMIRROR_PROT_READ;
	prot |= dmirror_prot_memory(dmirror, page);
	if (is_zero_pfn(page_to_pfn(page)))
		prot |= HMM_DMIRROR_PROT_ZERO;
	if (order + PAGE_SHIFT == PMD_SHIFT)
		prot |= HMM_DMIRROR_PROT_PMD;
	else if (order + PAGE_SHIFT == PUD_SHIFT)
		prot |= HMM_DMIRROR_PROT_PUD;
	return prot;
}

/* Registers and reads the range. Drops the mutex meanwhile. */
static int dmirror_range_snapshot(struct dmirror *dmirror,
				  struct hmm_range *range, u8 *orders)
{
	int err;

	err = dmirror_range_register(dmirror, range);
	if (err)
		return err;
	do {
		mutex_unlock(&dmirror->mutex);
		err = dmirror_range_fault(dmirror, range, orders);
		mutex_lock(&dmirror->mutex);
		err = dmirror_range_check(dmirror, range, err);
	} while (err == -EAGAIN);
	if (err)
		dmirror_range_unregister(dmirror, range);
	return err;
}

static int dmirror_snapshot_chunk(struct dmirror *dmirror,
				  struct hmm_range *range, u8 *prot)
{
	u8 orders[DMIRROR_CHUNK_PAGES];
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;
	int err;

	mutex_lock(&dmirror->mutex);
	err = dmirror_range_snapshot(dmirror, range, orders);
	if (!err) {
		for (i = 0; i < n; i++)
			prot[i] = dmirror_prot(dmirror, range, range->pfns[i],
					       orders[i]);
		dmirror_range_unregister(dmirror, range);
	}
	mutex_unlock(&dmirror->mutex);
	return err;
}

static int dmirror_snapshot(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_cmd *cmd = arg;
	unsigned long end = cmd->addr + (cmd->npages << PAGE_SHIFT);
	u8 __user *user = u64_to_user_ptr(cmd->ptr);
	u64 pfns[DMIRROR_CHUNK_PAGES] = {};
	u8 prot[DMIRROR_CHUNK_PAGES];
	struct hmm_range range = { .end = cmd->addr, .pfns = pfns };
	int err;

	for (cmd->cpages = 0; range.end < end; cond_resched()) {
		unsigned long n;

		if (fatal_signal_pending(current))
			return -EINTR;
		range.start = range.end;
		n = min((end - range.start) >> PAGE_SHIFT, DMIRROR_CHUNK_PAGES);
		range.end = range.start + (n << PAGE_SHIFT);
		err = dmirror_snapshot_chunk(dmirror, &range, prot);
		if (err)
			return err;
		if (copy_to_user(user, prot, n))
			return -EFAULT;
		user += n;
		cmd->cpages += n;
	}
	cmd->faults = 0;
	return 0;
}

/*
 * Device memory: its pages come and go
 */

/* Returns the number of a page that was free, DMIRROR_PAGES if none is. */
static unsigned long dmirror_take_slot(struct dmirror_device *device,
				       struct dmirror_slot slot)
{
	unsigned long flags, i;

	spin_lock_irqsave(&device->lock, flags);
	i = find_next_zero_bit(device->used, DMIRROR_PAGES, device->next);
	if (i == DMIRROR_PAGES)
		i = find_first_zero_bit(device->used, DMIRROR_PAGES);
	if (i < DMIRROR_PAGES) {
		__set_bit(i, device->used);
		/* The caller's file has a reference too */
		if (!device->nr_used++)
			__module_get(THIS_MODULE);
		device->next = i + 1;
		device->slots[i] = slot;
	}
	spin_unlock_irqrestore(&device->lock, flags);
	return i;
}

/*
 * Returns a page of device memory, locked; NULL if none is left. A full device
 * is no reason to kill a process.
 */
static struct page *dmirror_alloc(struct dmirror *dmirror)
{
	struct dmirror_device *device = dmirror->device;
	struct dmirror_slot slot = {};
	struct page *page;
	unsigned long i;

	if (dmirror_is_private(device)) {
		slot.data = alloc_page(GFP_HIGHUSER | __GFP_RETRY_MAYFAIL |
				       __GFP_NOWARN);
		if (!slot.data)
			return NULL;
	}
	i = dmirror_take_slot(device, slot);
	if (i == DMIRROR_PAGES) {
		if (slot.data)
			__free_page(slot.data);
		return NULL;
	}
	page = pfn_to_page(dmirror_first_pfn(device) + i);
	zone_device_page_init(page);
	return page;
}

/*
 * The last reference is gone. Any context, interrupts included. Without the
 * module reference this still returns into the module: memunmap_pages() waits
 * for the caller.
 */
static void dmirror_page_free(struct page *page)
{
	struct dmirror_device *device = dmirror_page_device(page);
	unsigned long i = page_to_pfn(page) - dmirror_first_pfn(device);
	struct page *data;
	unsigned long flags;

	spin_lock_irqsave(&device->lock, flags);
	data = device->slots[i].data;
	device->slots[i] = (struct dmirror_slot){};
	__clear_bit(i, device->used);
	if (!--device->nr_used)
		module_put(THIS_MODULE);
	spin_unlock_irqrestore(&device->lock, flags);
	if (data)
		__free_page(data);
}

static unsigned long dmirror_nr_used(struct dmirror_device *device)
{
	unsigned long flags, n;

	spin_lock_irqsave(&device->lock, flags);
	n = device->nr_used;
	spin_unlock_irqrestore(&device->lock, flags);
	return n;
}

static bool dmirror_has_exclusive(struct dmirror_device *device)
{
	unsigned long flags, n;

	spin_lock_irqsave(&device->lock, flags);
	n = device->nr_exclusive;
	spin_unlock_irqrestore(&device->lock, flags);
	return n;
}

/*
 * Migration
 *
 * The core migrates in three steps. The first leaves in src[] the pages that
 * are isolated from CPU and devices, locked, with MIGRATE set. The driver then
 * puts locked copies of them in dst[]. The third step restores pages that have
 * no copy, or that the second step rejected.
 */

static bool dmirror_can_move(unsigned long src)
{
	return src & MIGRATE_PFN_MIGRATE;
}

/* Copies into the device. A hole or the zero page becomes a page of zeros. */
static void dmirror_copy_in(struct dmirror *dmirror,
			    const struct migrate_vma *args)
{
	unsigned long i;

	for (i = 0; i < args->npages; i++) {
		struct page *from = migrate_pfn_to_page(args->src[i]);
		struct page *to;

		/* Only anonymous memory moves; a copy of another may not be ours */
		if (!dmirror_can_move(args->src[i]) ||
		    (from && !PageAnon(from)))
			continue;
		to = dmirror_alloc(dmirror);
		if (!to)
			continue;
		if (from)
			copy_highpage(dmirror_data(to), from);
		else
			clear_highpage(dmirror_data(to));
		args->dst[i] = migrate_pfn(page_to_pfn(to));
	}
}

/* Copies one page to system memory, into @to, which may be NULL. */
static unsigned long dmirror_copy_home(unsigned long src, struct page *to)
{
	if (!to)
		return 0;
	lock_page(to);
	copy_highpage(to, dmirror_data(migrate_pfn_to_page(src)));
	return migrate_pfn(page_to_pfn(to));
}

static void dmirror_copy_out(const struct migrate_vma *args)
{
	unsigned long i, addr = args->start;
	struct page *to;

	for (i = 0; i < args->npages; i++, addr += PAGE_SIZE) {
		if (!dmirror_can_move(args->src[i]) ||
		    !migrate_pfn_to_page(args->src[i]))
			continue;
		to = alloc_page_vma(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN,
				    args->vma, addr);
		args->dst[i] = dmirror_copy_home(args->src[i], to);
	}
}

static enum migrate_vma_direction
dmirror_select(const struct dmirror_device *device)
{
	return dmirror_is_private(device) ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE :
					    MIGRATE_VMA_SELECT_DEVICE_COHERENT;
}

/*
 * Between the second and the third step, marks the pages that have left. A task
 * that waits for the page's lock to move it too will see the mark.
 */
static void dmirror_left(struct dmirror_device *device,
			 const unsigned long *src, unsigned long n)
{
	unsigned long flags, i;
	struct page *page;

	spin_lock_irqsave(&device->lock, flags);
	for (i = 0; i < n; i++) {
		page = migrate_pfn_to_page(src[i]);
		if (page && dmirror_can_move(src[i]))
			device->slots[page_to_pfn(page) -
				      dmirror_first_pfn(device)].context = 0;
	}
	spin_unlock_irqrestore(&device->lock, flags);
}

/*
 * The CPU touches private memory. A page that cannot be moved now, because
 * another CPU does the same for instance, is left to the next fault.
 */
static vm_fault_t dmirror_migrate_to_ram(struct vm_fault *vmf)
{
	struct dmirror_device *device = dmirror_page_device(vmf->page);
	unsigned long src = 0, dst = 0;
	struct migrate_vma args = {
		.vma = vmf->vma,
		.start = vmf->address,
		.end = vmf->address + PAGE_SIZE,
		.src = &src,
		.dst = &dst,
		.pgmap_owner = device,
		.flags = dmirror_select(device),
		.fault_page = vmf->page,
	};
	vm_fault_t ret = 0;

	if (migrate_vma_setup(&args))
		return VM_FAULT_SIGBUS;
	dmirror_copy_out(&args);
	if (dmirror_can_move(src) && !dst)
		ret = VM_FAULT_OOM;
	migrate_vma_pages(&args);
	dmirror_left(device, &src, 1);
	migrate_vma_finalize(&args);
	return ret;
}

static const struct dev_pagemap_ops dmirror_pagemap_ops = {
	.page_free	= dmirror_page_free,
	.migrate_to_ram	= dmirror_migrate_to_ram,
};

/*
 * Returns true if page @i may be evicted, and @context brought it (0: any file
 * did). A page that is still arriving may be rejected, so no process may map it
 * yet. A page under exclusive access stays.
 */
static bool dmirror_evictable(const struct dmirror_device *device, u64 context,
			      unsigned long i)
{
	const struct dmirror_slot *slot = &device->slots[i];

	lockdep_assert_held(&device->lock);
	return slot->context && (!context || slot->context == context) &&
	       !slot->exclusive;
}

/*
 * Finds the next page from *@first on that may be evicted, and returns how many
 * follow each other there, DMIRROR_CHUNK_PAGES at most.
 */
static unsigned long dmirror_next_run(struct dmirror_device *device,
				      u64 context, unsigned long *first)
{
	unsigned long flags, i, end, n = 0;

	while (!n && *first < DMIRROR_PAGES) {
		end = min(*first + DMIRROR_SCAN, DMIRROR_PAGES);
		spin_lock_irqsave(&device->lock, flags);
		for_each_set_bit_from(*first, device->used, end)
			if (dmirror_evictable(device, context, *first))
				break;
		for (i = *first; i < end && n < DMIRROR_CHUNK_PAGES; i++, n++)
			if (!dmirror_evictable(device, context, i))
				break;
		spin_unlock_irqrestore(&device->lock, flags);
	}
	return n;
}

/* Returns true if the page, which is locked, has arrived and not left. */
static bool dmirror_is_here(struct dmirror_device *device, unsigned long i)
{
	unsigned long flags;
	bool here;

	spin_lock_irqsave(&device->lock, flags);
	here = dmirror_evictable(device, 0, i);
	spin_unlock_irqrestore(&device->lock, flags);
	return here;
}

/*
 * Evicts pages of device memory, whatever process maps them. The allocation may
 * not fail: only the device has their data.
 */
static void dmirror_evict_run(struct dmirror_device *device,
			      unsigned long first, unsigned long n)
{
	unsigned long src[DMIRROR_CHUNK_PAGES];
	unsigned long dst[DMIRROR_CHUNK_PAGES] = {};
	struct page *to;
	unsigned long i;

	migrate_device_range(src, dmirror_first_pfn(device) + first, n);
	for (i = 0; i < n; i++) {
		if (!dmirror_can_move(src[i]) ||
		    !dmirror_is_here(device, first + i))
			continue;
		to = alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_NOFAIL);
		dst[i] = dmirror_copy_home(src[i], to);
	}
	migrate_device_pages(src, dst, n);
	dmirror_left(device, src, n);
	migrate_device_finalize(src, dst, n);
}

/*
 * Evicts the pages that @context has brought, for 0 all, except those under
 * exclusive access. A page that is in use is tried a few times. Returns true if
 * none of them is left.
 */
static bool dmirror_evict(struct dmirror_device *device, u64 context)
{
	unsigned long first = 0, n;
	int tries = 0;

	for (;;) {
		n = dmirror_next_run(device, context, &first);
		if (n) {
			dmirror_evict_run(device, first, n);
			first += n;
			cond_resched();
			continue;
		}
		first = 0;
		if (!dmirror_next_run(device, context, &first))
			return true;
		if (++tries == DMIRROR_TRIES)
			return false;
		schedule_timeout_uninterruptible(1);
	}
}

/*
 * MIGRATE_TO_DEV, MIGRATE_TO_SYS and RELEASE
 */

/* Returns -EINVAL unless all of the span is mapped with read permission. */
static int dmirror_span_mapped(struct mm_struct *mm, unsigned long addr,
			       unsigned long end)
{
	struct vm_area_struct *vma;
	int err = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	while (!err && addr < end) {
		vma = vma_lookup(mm, addr);
		if (vma && vma->vm_flags & VM_READ)
			addr = vma->vm_end;
		else
			err = -EINVAL;
	}
	mmap_read_unlock(mm);
	return err;
}

/* Between the second and the third step, marks the pages that arrived. */
static void dmirror_arrived(struct dmirror *dmirror,
			    const struct migrate_vma *args)
{
	struct dmirror_device *device = dmirror->device;
	unsigned long flags, i;
	struct page *page;

	spin_lock_irqsave(&device->lock, flags);
	for (i = 0; i < args->npages; i++) {
		page = migrate_pfn_to_page(args->dst[i]);
		if (!page || !dmirror_can_move(args->src[i]))
			continue;
		device->slots[page_to_pfn(page) - dmirror_first_pfn(device)]
			.context = dmirror->context;
	}
	spin_unlock_irqrestore(&device->lock, flags);
}

/* Counts the pages that moved, between the second and the third step. */
static unsigned long dmirror_count_moved(const struct migrate_vma *args)
{
	unsigned long i, moved = 0;

	for (i = 0; i < args->npages; i++)
		moved += dmirror_can_move(args->src[i]);
	return moved;
}

/* Returns -EAGAIN if FLAGS made the allocation fail. */
static int dmirror_migrate(struct dmirror *dmirror, struct migrate_vma *args,
			   u64 *moved)
{
	bool fail;
	int err;

	err = migrate_vma_setup(args);
	if (err)
		return err;
	fail = atomic_xchg(&dmirror->fail_alloc, 0);
	if (!fail && args->flags & MIGRATE_VMA_SELECT_SYSTEM)
		dmirror_copy_in(dmirror, args);
	else if (!fail)
		dmirror_copy_out(args);
	migrate_vma_pages(args);
	if (args->flags & MIGRATE_VMA_SELECT_SYSTEM)
		dmirror_arrived(dmirror, args);
	else
		dmirror_left(dmirror->device, args->src, args->npages);
	*moved += dmirror_count_moved(args);
	migrate_vma_finalize(args);
	return fail ? -EAGAIN : 0;
}

/*
 * Migrates one chunk, or its part in one mapping. Returns the size, or an
 * error; a page that cannot be moved is no error.
 */
static long dmirror_migrate_chunk(struct dmirror_job *job,
				  enum migrate_vma_direction flags)
{
	struct mm_struct *mm = dmirror_mm(job->dmirror);
	unsigned long src[DMIRROR_CHUNK_PAGES], dst[DMIRROR_CHUNK_PAGES];
	struct migrate_vma args = {
		.start = job->addr,
		.src = src,
		.dst = dst,
		.pgmap_owner = job->dmirror->device,
		.flags = flags,
	};
	unsigned long end;
	int err = -EINVAL;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	args.vma = vma_lookup(mm, job->addr);
	if (args.vma && args.vma->vm_flags & VM_READ) {
		end = min(dmirror_chunk_end(job), args.vma->vm_end);
		args.end = end;
		err = dmirror_migrate(job->dmirror, &args, &job->pages);
	}
	mmap_read_unlock(mm);
	return err ?: end - job->addr;
}

/* Moves the pages of the span that can be moved; job->pages counts them. */
static int dmirror_migrate_span(struct dmirror_job *job,
				enum migrate_vma_direction flags)
{
	int err = dmirror_span_mapped(dmirror_mm(job->dmirror), job->addr,
				      job->end);

	while (!err && job->addr < job->end) {
		long size = fatal_signal_pending(current) ? -EINTR :
			    dmirror_migrate_chunk(job, flags);

		if (size >= 0)
			job->addr += size;
		else if (size != -EAGAIN)
			err = size;
		cond_resched();
	}
	return err;
}

static int dmirror_migrate_to_sys(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_cmd *cmd = arg;
	struct dmirror_job job = {
		.dmirror = dmirror,
		.addr = cmd->addr,
		.end = cmd->addr + (cmd->npages << PAGE_SHIFT),
	};
	int err;

	err = dmirror_migrate_span(&job, dmirror_select(dmirror->device));
	cmd->cpages = job.pages;
	cmd->faults = 0;
	return err;
}

/*
 * Returns 0 with the mutex held and every page of the chunk in the device page
 * table and the device's own memory. Returns an error without the mutex:
 * -ENOENT if a page is not in that memory.
 */
static int dmirror_lock_own(struct dmirror_job *job, unsigned long end)
{
	u64 pfns[DMIRROR_CHUNK_PAGES] = {};
	struct hmm_range range = {
		.start = job->addr,
		.end = end,
		.pfns = pfns,
	};
	unsigned long i, n = (end - job->addr) >> PAGE_SHIFT;
	struct dmirror *dmirror = job->dmirror;
	u8 orders[DMIRROR_CHUNK_PAGES];
	struct page *page;
	int err;

	mutex_lock(&dmirror->mutex);
	err = dmirror_range_snapshot(dmirror, &range, orders);
	if (err)
		goto err_unlock;
	for (i = 0; !err && i < n; i++) {
		page = hmm_device_entry_to_page(&range, pfns[i]);
		if (page && dmirror_owns(dmirror->device, page))
			err = dmirror_map(dmirror, &range, i);
		else
			err = -ENOENT;
	}
	dmirror_range_unregister(dmirror, &range);
	if (!err)
		return 0;
err_unlock:
	mutex_unlock(&dmirror->mutex);
	return err;
}

/* Reads one chunk of device memory. Returns its size, or an error. */
static long dmirror_read_own(struct dmirror_job *job)
{
	unsigned long end = dmirror_chunk_end(job);
	int err;

	err = dmirror_lock_own(job, end);
	if (err)
		return err;
	dmirror_copy_pages(job, end);
	mutex_unlock(&job->dmirror->mutex);
	return end - job->addr;
}

/* All pages that can be moved are, even if the request then fails (-ENOENT). */
static int dmirror_migrate_to_dev(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_cmd *cmd = arg;
	struct dmirror_job job = {
		.dmirror = dmirror,
		.addr = cmd->addr,
		.end = cmd->addr + (cmd->npages << PAGE_SHIFT),
	};
	int err;

	err = dmirror_migrate_span(&job, MIGRATE_VMA_SELECT_SYSTEM);
	if (err)
		return err;
	return dmirror_by_chunks(dmirror, cmd, dmirror_read_own);
}

/*
 * Evicts all of the device's memory. Pages that are in use, or that some file
 * has exclusive access to, stay: -EBUSY.
 */
static int dmirror_empty(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_cmd *cmd = arg;

	cmd->cpages = 0;
	cmd->faults = 0;
	if (!dmirror_evict(dmirror->device, 0) ||
	    dmirror_has_exclusive(dmirror->device))
		return -EBUSY;
	return 0;
}

static int dmirror_set_flags(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_cmd *cmd = arg;

	if (cmd->npages != HMM_DMIRROR_FLAG_FAIL_ALLOC)
		return -EINVAL;
	atomic_set(&dmirror->fail_alloc, 1);
	cmd->cpages = 0;
	cmd->faults = 0;
	return 0;
}

/*
 * EXCLUSIVE and CHECK_EXCLUSIVE
 */

static void dmirror_claim(struct dmirror *dmirror, struct dmirror_claim *claim)
{
	mutex_lock(&dmirror->mutex);
	list_add(&claim->list, &dmirror->claims);
	mutex_unlock(&dmirror->mutex);
}

static void dmirror_unclaim(struct dmirror *dmirror,
			    struct dmirror_claim *claim)
{
	mutex_lock(&dmirror->mutex);
	list_del(&claim->list);
	mutex_unlock(&dmirror->mutex);
}

/*
 * The callback marks the claim for changes that start from here on; wait for
 * those that started before.
 */
static int dmirror_claim_settle(struct dmirror *dmirror,
				const struct dmirror_claim *claim)
{
	u64 unused = 0;
	struct hmm_range range = {
		.start = claim->start,
		.end = claim->end,
		.pfns = &unused,
	};
	int err;

	mutex_lock(&dmirror->mutex);
	err = dmirror_range_register(dmirror, &range);
	mutex_unlock(&dmirror->mutex);
	if (err)
		return err;
	if (!hmm_range_wait_until_valid(&range, HMM_RANGE_DEFAULT_TIMEOUT))
		err = -EAGAIN;
	mutex_lock(&dmirror->mutex);
	dmirror_range_unregister(dmirror, &range);
	mutex_unlock(&dmirror->mutex);
	return err;
}

static void dmirror_put_exclusive(struct page **pages, long n)
{
	while (n--) {
		if (!pages[n])
			continue;
		unlock_page(pages[n]);
		put_page(pages[n]);
	}
}

/*
 * Returns 0 with all pages of the span locked and taken from the CPU, or an
 * error with none of them: -EAGAIN if one was not available.
 */
static int dmirror_take_exclusive(struct dmirror *dmirror,
				  const struct dmirror_claim *claim,
				  struct page **pages)
{
	long i, n, want = (claim->end - claim->start) >> PAGE_SHIFT;

	n = make_device_exclusive_range(dmirror_mm(dmirror), claim->start,
					claim->end, pages, dmirror->device);
	if (n < 0)
		return n;
	for (i = 0; i < n; i++)
		if (!pages[i])
			break;
	if (i == want)
		return 0;
	dmirror_put_exclusive(pages, n);
	/* Too few only if the next one can never be taken */
	return i < n ? -EAGAIN : -EFAULT;
}

/* Maps the pages in the device page table, unless the claim was lost. */
static int dmirror_map_exclusive(struct dmirror_job *job,
				 const struct dmirror_claim *claim,
				 struct page *const *pages)
{
	unsigned long index = claim->start >> PAGE_SHIFT;
	struct dmirror *dmirror = job->dmirror;
	int err;

	mutex_lock(&dmirror->mutex);
	err = claim->lost ? -EAGAIN : 0;
	for (; !err && index < claim->end >> PAGE_SHIFT; index++, pages++)
		err = dmirror_set_pte(dmirror, index,
				      dmirror_pte(page_to_pfn(*pages),
						  DMIRROR_PTE_WRITE |
						  DMIRROR_PTE_EXCLUSIVE));
	if (!err)
		dmirror_copy_pages(job, claim->end);
	mutex_unlock(&dmirror->mutex);
	return err;
}

static int dmirror_claim_pages(struct dmirror_job *job,
			       const struct dmirror_claim *claim)
{
	struct mm_struct *mm = dmirror_mm(job->dmirror);
	struct page *pages[DMIRROR_CHUNK_PAGES];
	int err;

	err = dmirror_claim_settle(job->dmirror, claim);
	if (err)
		return err;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	err = dmirror_take_exclusive(job->dmirror, claim, pages);
	if (!err) {
		err = dmirror_map_exclusive(job, claim, pages);
		/* Only from here on can a CPU that touches them have them */
		dmirror_put_exclusive(pages, (claim->end - claim->start) >>
					     PAGE_SHIFT);
	}
	mmap_read_unlock(mm);
	return err;
}

static int dmirror_try_exclusive(struct dmirror_job *job, unsigned long end)
{
	struct dmirror_claim claim = {
		.start = job->addr,
		.end = end,
		.task = current,
	};
	int err;

	dmirror_claim(job->dmirror, &claim);
	err = dmirror_claim_pages(job, &claim);
	dmirror_unclaim(job->dmirror, &claim);
	return err;
}

/*
 * Takes one chunk. Returns its size, or an error. Pages that others use are
 * tried again; pages that can never be taken (file memory, a huge page's tail)
 * end in -EBUSY.
 */
static long dmirror_exclusive_chunk(struct dmirror_job *job)
{
	unsigned long end = dmirror_chunk_end(job);
	int err, tries = 0;

	do {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (tries)
			schedule_timeout_uninterruptible(1);
		err = dmirror_try_exclusive(job, end);
	} while (err == -EAGAIN && ++tries < DMIRROR_TRIES);
	if (err == -EAGAIN)
		return -EBUSY;
	return err ?: end - job->addr;
}

static int dmirror_exclusive(struct dmirror *dmirror, void *arg)
{
	return dmirror_by_chunks(dmirror, arg, dmirror_exclusive_chunk);
}

static int dmirror_check_exclusive(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_cmd *cmd = arg;
	unsigned long index = cmd->addr >> PAGE_SHIFT;
	void *pte;

	mutex_lock(&dmirror->mutex);
	pte = xa_find(&dmirror->pt, &index, index + cmd->npages - 1,
		      DMIRROR_MARK_EXCLUSIVE);
	mutex_unlock(&dmirror->mutex);
	cmd->cpages = 0;
	cmd->faults = 0;
	return pte ? -EPERM : 0;
}

/* Requests the pages of a range that the device has exclusive access to. */
static void dmirror_ask_exclusive(struct dmirror *dmirror,
				  struct hmm_range *range)
{
	unsigned long first = range->start >> PAGE_SHIFT;
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;

	lockdep_assert_held(&dmirror->mutex);
	for (i = 0; i < n; i++)
		range->pfns[i] = xa_get_mark(&dmirror->pt, first + i,
					     DMIRROR_MARK_EXCLUSIVE) ?
					 DMIRROR_VALID : 0;
}

/*
 * One chunk of dmirror_return_exclusive(). The fault invalidates the pages that
 * it returns to the CPU, so the callback removes the device's entries.
 */
static void dmirror_return_piece(struct dmirror *dmirror, unsigned long index)
{
	u64 pfns[DMIRROR_CHUNK_PAGES];
	struct hmm_range range = {
		.start = index << PAGE_SHIFT,
		.end = (index + DMIRROR_CHUNK_PAGES) << PAGE_SHIFT,
		.pfns = pfns,
	};
	int err, tries = 0;

	mutex_lock(&dmirror->mutex);
	err = dmirror_range_register(dmirror, &range);
	if (err)
		goto out_unlock;
	do {
		dmirror_ask_exclusive(dmirror, &range);
		mutex_unlock(&dmirror->mutex);
		err = dmirror_range_fault(dmirror, &range, NULL);
		mutex_lock(&dmirror->mutex);
		err = dmirror_range_check(dmirror, &range, err);
	} while (err == -EAGAIN && ++tries < DMIRROR_TRIES);
	dmirror_range_unregister(dmirror, &range);
out_unlock:
	mutex_unlock(&dmirror->mutex);
}

/*
 * Returns to the CPU all pages that the file has exclusive access to, as a
 * touch would. A page that is not available now is left to the CPU's own touch.
 */
static void dmirror_return_exclusive(struct dmirror *dmirror)
{
	unsigned long index = 0;
	void *pte;

	for (;;) {
		mutex_lock(&dmirror->mutex);
		pte = xa_find(&dmirror->pt, &index, ULONG_MAX,
			      DMIRROR_MARK_EXCLUSIVE);
		mutex_unlock(&dmirror->mutex);
		if (!pte)
			return;
		dmirror_return_piece(dmirror, index);
		index += DMIRROR_CHUNK_PAGES;
	}
}

/*
 * The rest of the requests
 */

static int dmirror_stats(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_stats *stats = arg;

	if (stats->reserved)
		return -EINVAL;
	memset(stats, 0, sizeof(*stats));
	mutex_lock(&dmirror->mutex);
	stats->faults = dmirror->faults;
	stats->invalidations = dmirror->invalidations;
	stats->dropped = dmirror->dropped;
	stats->retries = dmirror->retries;
	stats->mapped = dmirror->mapped;
	stats->ranges = dmirror->ranges;
	stats->device_pages = dmirror_nr_used(dmirror->device);
	mutex_unlock(&dmirror->mutex);
	return 0;
}

static int dmirror_flush(struct dmirror *dmirror, void *arg)
{
	struct hmm_dmirror_flush *flush = arg;

	if (flush->reserved[0] || flush->reserved[1] ||
	    flush->ms > DMIRROR_FLUSH_MAX)
		return -EINVAL;
	mutex_lock(&dmirror->mutex);
	dmirror->flush.ms = flush->ms;
	*flush = dmirror->flush;
	mutex_unlock(&dmirror->mutex);
	return 0;
}

static int dmirror_fault_call(struct dmirror *dmirror, void *arg)
{
	const struct hmm_dmirror_fault_call *call = arg;

	if (call->locked > 1 || call->reserved)
		return -EINVAL;
	WRITE_ONCE(dmirror->locked, call->locked);
	return 0;
}

/**
 * struct dmirror_request - one row of the table of requests
 * @request: the whole ioctl number, so that direction and size must be right
 * @has_span: the argument begins with the address of a span; its length in
 *	pages is at @npages
 * @npages: offset of that length
 * @handler: gets a copy of the argument, which goes back to the caller if it
 *	returns 0
 */
struct dmirror_request {
	unsigned int	request;
	bool		has_span;
	size_t		npages;
	int		(*handler)(struct dmirror *dmirror, void *arg);
};

#define DMIRROR_CMD(_name, _handler) {					\
	.request = HMM_DMIRROR_##_name,					\
	.has_span = true,						\
	.npages = offsetof(struct hmm_dmirror_cmd, npages),		\
	.handler = _handler,						\
}

static const struct dmirror_request dmirror_requests[] = {
	DMIRROR_CMD(READ, dmirror_read),
	DMIRROR_CMD(WRITE, dmirror_write),
	DMIRROR_CMD(SNAPSHOT, dmirror_snapshot),
	DMIRROR_CMD(MIGRATE_TO_DEV, dmirror_migrate_to_dev),
	DMIRROR_CMD(MIGRATE_TO_SYS, dmirror_migrate_to_sys),
	DMIRROR_CMD(EXCLUSIVE, dmirror_exclusive),
	DMIRROR_CMD(CHECK_EXCLUSIVE, dmirror_check_exclusive),
	DMIRROR_CMD(RELEASE, dmirror_empty),
	DMIRROR_CMD(FLAGS, dmirror_set_flags),
	/* Every fault of this device may drop the mmap lock */
	DMIRROR_CMD(READ_UNLOCKED, dmirror_read),
	{
		.request = HMM_DMIRROR_COMPUTE,
		.has_span = true,
		.npages = offsetof(struct hmm_dmirror_compute, npages),
		.handler = dmirror_compute,
	},
	{
		.request = HMM_DMIRROR_STATS,
		.handler = dmirror_stats,
	},
	{
		.request = HMM_DMIRROR_FLUSH,
		.handler = dmirror_flush,
	},
	{
		.request = HMM_DMIRROR_FAULT_CALL,
		.handler = dmirror_fault_call,
	},
};

union dmirror_arg {
	u64				addr;
	struct hmm_dmirror_cmd		cmd;
	struct hmm_dmirror_compute	compute;
	struct hmm_dmirror_stats	stats;
	struct hmm_dmirror_flush	flush;
	struct hmm_dmirror_fault_call	fault_call;
};

static_assert(offsetof(struct hmm_dmirror_cmd, addr) == 0);
static_assert(offsetof(struct hmm_dmirror_compute, addr) == 0);

static const struct dmirror_request *dmirror_find_request(unsigned int request)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dmirror_requests); i++)
		if (dmirror_requests[i].request == request)
			return &dmirror_requests[i];
	return NULL;
}

static bool dmirror_span_ok(u64 addr, u64 npages)
{
	unsigned long size, end;

	return PAGE_ALIGNED(addr) && npages &&
	       !check_shl_overflow(npages, PAGE_SHIFT, &size) &&
	       !check_add_overflow(addr, size, &end);
}

static long dmirror_ioctl(struct file *file, unsigned int cmd,
			  unsigned long uarg)
{
	const struct dmirror_request *request;
	struct dmirror *dmirror = file->private_data;
	void __user *user = (void __user *)uarg;
	union dmirror_arg arg = {};
	int err;

	if (current->mm != dmirror_mm(dmirror))
		return -EPERM;
	request = dmirror_find_request(cmd);
	if (!request)
		return -EINVAL;
	if (copy_from_user(&arg, user, _IOC_SIZE(cmd)))
		return -EFAULT;
	if (request->has_span &&
	    !dmirror_span_ok(arg.addr,
			     *(u64 *)((void *)&arg + request->npages)))
		return -EINVAL;
	err = request->handler(dmirror, &arg);
	if (err)
		return err;
	return copy_to_user(user, &arg, _IOC_SIZE(cmd)) ? -EFAULT : 0;
}

/*
 * The file
 */

/* Maps pages of system memory as a driver does: VM_MIXEDMAP. */
static int dmirror_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct dmirror *dmirror = file->private_data;
	unsigned long addr = vma->vm_start;
	int err = 0;

	if (current->mm != dmirror_mm(dmirror))
		return -EPERM;
	while (!err && addr < vma->vm_end) {
		struct page *page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);

		if (!page)
			return -ENOMEM;
		err = vm_insert_page(vma, addr, page);
		/* The mapping has a reference of its own, or there is none */
		put_page(page);
		addr += PAGE_SIZE;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return err;
}

static int dmirror_open(struct inode *inode, struct file *file)
{
	static atomic64_t contexts = ATOMIC64_INIT(0);
	struct mm_struct *mm = current->mm;
	struct dmirror *dmirror;
	int err;

	/* A kernel thread has no memory to mirror */
	if (!mm)
		return -EINVAL;
	dmirror = kzalloc_obj(*dmirror);
	if (!dmirror)
		return -ENOMEM;
	/* misc_open() stored its struct there */
	dmirror->device =
		container_of(file->private_data, struct dmirror_device, misc);
	dmirror->context = atomic64_inc_return(&contexts);
	mutex_init(&dmirror->mutex);
	xa_init(&dmirror->pt);
	INIT_LIST_HEAD(&dmirror->claims);
	dmirror->mirror.ops = &dmirror_mirror_ops;
	dmirror->mirror.dev_private_owner = dmirror->device;

	err = mmap_write_lock_killable(mm);
	if (err)
		goto err_free;
	err = hmm_mirror_register(&dmirror->mirror, mm);
	mmap_write_unlock(mm);
	if (err)
		goto err_free;

	file->private_data = dmirror;
	return nonseekable_open(inode, file);

err_free:
	kfree(dmirror);
	return err;
}

static int dmirror_close(struct inode *inode, struct file *file)
{
	struct dmirror *dmirror = file->private_data;

	dmirror_return_exclusive(dmirror);
	/* While the callbacks keep the entries right: their pages are counted */
	mutex_lock(&dmirror->mutex);
	dmirror_drop(dmirror, 0, ULONG_MAX, true);
	mutex_unlock(&dmirror->mutex);
	hmm_mirror_unregister(&dmirror->mirror);
	/* No callback runs from here on, and the file has no other user */
	WARN_ON_ONCE(dmirror->ranges || dmirror->mapped ||
		     !xa_empty(&dmirror->pt) || !list_empty(&dmirror->claims));
	/* A page that cannot be evicted stays, and so does the module */
	dmirror_evict(dmirror->device, dmirror->context);
	mutex_destroy(&dmirror->mutex);
	kfree(dmirror);
	return 0;
}

static const struct file_operations dmirror_fops = {
	.owner		= THIS_MODULE,
	.open		= dmirror_open,
	.release	= dmirror_close,
	.mmap		= dmirror_mmap,
	.unlocked_ioctl	= dmirror_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

/*
 * Devices come and go
 */

static const char * const dmirror_names[] = {
	"hmm_dmirror0", "hmm_dmirror1", "hmm_dmirror2", "hmm_dmirror3",
};

static struct dmirror_device dmirror_devices[ARRAY_SIZE(dmirror_names)];
static int dmirror_nr_devices;

/* Reserves unused addresses without memory behind them. */
static int dmirror_find_private(struct dev_pagemap *pagemap)
{
	struct resource *res;

	res = request_free_mem_region(&iomem_resource, DMIRROR_MEMORY,
				      KBUILD_MODNAME);
	if (IS_ERR(res))
		return PTR_ERR(res);
	pagemap->type = MEMORY_DEVICE_PRIVATE;
	pagemap->range.start = res->start;
	pagemap->range.end = res->end;
	return 0;
}

static void dmirror_release_memory(struct dmirror_device *device)
{
	if (dmirror_is_private(device))
		release_mem_region(device->pagemap.range.start, DMIRROR_MEMORY);
	kvfree(device->slots);
}

/* Adds private memory if @spm is 0, else the coherent memory at @spm. */
static int dmirror_add_memory(struct dmirror_device *device, unsigned long spm)
{
	struct dev_pagemap *pagemap = &device->pagemap;
	void *at;
	int err = 0;

	memset(pagemap, 0, sizeof(*pagemap));
	pagemap->type = MEMORY_DEVICE_COHERENT;
	pagemap->range.start = spm;
	pagemap->range.end = spm + DMIRROR_MEMORY - 1;
	pagemap->nr_range = 1;
	pagemap->ops = &dmirror_pagemap_ops;
	pagemap->owner = device;
	device->slots =
		kvcalloc(DMIRROR_PAGES, sizeof(*device->slots), GFP_KERNEL);
	if (!device->slots)
		return -ENOMEM;
	if (!spm)
		err = dmirror_find_private(pagemap);
	if (err) {
		kvfree(device->slots);
		return err;
	}
	at = memremap_pages(pagemap, numa_node_id());
	if (!IS_ERR(at))
		return 0;
	dmirror_release_memory(device);
	return PTR_ERR(at);
}

/* No page is in use, or the module would not have got here. */
static void dmirror_remove_memory(struct dmirror_device *device)
{
	memunmap_pages(&device->pagemap);
	dmirror_release_memory(device);
}

static int dmirror_add_device(const char *name, unsigned long spm)
{
	struct dmirror_device *device = &dmirror_devices[dmirror_nr_devices];
	int err;

	spin_lock_init(&device->lock);
	err = dmirror_add_memory(device, spm);
	if (err)
		return err;
	device->misc = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR,
		.name = name,
		.fops = &dmirror_fops,
		.mode = 0600,
	};
	err = misc_register(&device->misc);
	if (err)
		dmirror_remove_memory(device);
	else
		dmirror_nr_devices++;
	return err;
}

static void dmirror_remove_devices(void)
{
	while (dmirror_nr_devices) {
		struct dmirror_device *device;

		device = &dmirror_devices[--dmirror_nr_devices];
		misc_deregister(&device->misc);
		dmirror_remove_memory(device);
	}
}

static bool dmirror_spm_ok(void)
{
	unsigned long low = min(spm_addr_dev0, spm_addr_dev1);
	unsigned long high = max(spm_addr_dev0, spm_addr_dev1);

	return IS_ALIGNED(low | high, memremap_compat_align()) &&
	       high - low >= DMIRROR_MEMORY && high + DMIRROR_MEMORY > high;
}

static int __init dmirror_init(void)
{
	const unsigned long spm[] = { 0, 0, spm_addr_dev0, spm_addr_dev1 };
	int i, err = 0, n = ARRAY_SIZE(spm);

	if (!spm_addr_dev0 || !spm_addr_dev1)
		n = 2;
	if (n == 2 && (spm_addr_dev0 || spm_addr_dev1))
		pr_warn("coherent devices need both spm_addr_dev0 and spm_addr_dev1\n");
	if (n > 2 && !dmirror_spm_ok()) {
		pr_err("spm_addr_dev0 and spm_addr_dev1 must be aligned and apart\n");
		return -EINVAL;
	}
	for (i = 0; !err && i < n; i++)
		err = dmirror_add_device(dmirror_names[i], spm[i]);
	if (err)
		dmirror_remove_devices();
	return err;
}

static void __exit dmirror_exit(void)
{
	dmirror_remove_devices();
	/* Wait for SRCU callbacks that hmm_mirror_unregister() left */
	mmu_notifier_synchronize();
}

module_init(dmirror_init);
module_exit(dmirror_exit);
MODULE_DESCRIPTION("Dummy device on HMM's mirror API, for tests only");
MODULE_LICENSE("GPL");
