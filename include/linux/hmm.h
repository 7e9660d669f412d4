/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heterogeneous memory management: a device that uses a process's addresses.
 *
 * A driver registers a *mirror* for an address space; its callback is called
 * before every change of the CPU page tables. For addresses the device wants it
 * registers a *range*, lets hmm_range_fault_unlocked() read or fault them,
 * takes the lock that its callback takes too, checks hmm_range_valid(), and
 * only then programs the device.
 *
 * Documentation/mm/hmm.rst has the model, the lock order and the pattern.
 */
#ifndef LINUX_HMM_H
#define LINUX_HMM_H

#include <linux/interval_tree.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/rwsem.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

struct device;
struct hmm_mirror;

/**
 * enum hmm_pfn_flag_e - index into &hmm_range.flags
 * @HMM_PFN_VALID: the entry has a pfn and may at least be read. Exactly one
 *	bit; on input, a request for the page
 * @HMM_PFN_WRITE: the CPU may write there; on input, a request for that. 0 for
 *	a device that never writes
 * @HMM_PFN_DEVICE_PRIVATE: the pfn is device private memory of the mirror's
 *	own owner; on input, a request to migrate it to system memory. 0 for a
 *	driver that has no such memory
 * @HMM_PFN_FLAG_MAX: length of the array
 *
 * The driver chooses which bits of an entry these are.
 */
enum hmm_pfn_flag_e {
	HMM_PFN_VALID = 0,
	HMM_PFN_WRITE,
	HMM_PFN_DEVICE_PRIVATE,
	HMM_PFN_FLAG_MAX
};

/**
 * enum hmm_pfn_value_e - index into &hmm_range.values
 * @HMM_PFN_ERROR: the address cannot be used: no mapping, no read permission,
 *	poisoned memory
 * @HMM_PFN_NONE: nothing there now, a fault may bring it
 * @HMM_PFN_SPECIAL: mapped without a struct page that could be used, I/O
 *	memory for instance. May be the same value as the error's
 * @HMM_PFN_VALUE_MAX: length of the array
 */
enum hmm_pfn_value_e {
	HMM_PFN_ERROR,
	HMM_PFN_NONE,
	HMM_PFN_SPECIAL,
	HMM_PFN_VALUE_MAX
};

#ifdef CONFIG_HMM_MIRROR
/* Invalidations that are kept apart; beyond that, spans enclose several. */
#define HMM_INFLIGHT_MAX 32
#define HMM_OVERFLOW_BUCKETS 16

/* An invalidation in flight of [start, end), identified by its @key. */
struct hmm_inflight {
	const struct mmu_notifier_range *key;
	unsigned long start;
	unsigned long end;
};

/* @count invalidations in flight, all of them within [start, end). */
struct hmm_overflow {
	unsigned long start;
	unsigned long end;
	unsigned int count;
};

/**
 * struct hmm - one address space that is mirrored
 * @mmu_notifier: subscription to invalidations and to mm exit; its ->mm is the
 *	address space, valid while a mirror is registered
 * @ranges_lock: leaf spinlock, taken with interrupts off. Protects @ranges,
 *	@notifiers, the private fields down to @dead, and in every range
 *	registered here all fields that the driver does not set
 * @ranges: every registered &struct hmm_range
 * @mirrors: every registered &struct hmm_mirror; callbacks read it under the
 *	SRCU of the notifier core
 * @mirrors_sem: held to change @mirrors
 * @wq: hmm_range_wait_until_valid() sleeps here
 * @notifiers: invalidations in flight
 *
 * Made by the first hmm_mirror_register() of an mm, freed after its last
 * hmm_mirror_unregister(). Drivers may read @mmu_notifier.mm and nothing else.
 */
struct hmm {
	struct mmu_notifier	mmu_notifier;
	spinlock_t		ranges_lock;	/* see above */
	struct list_head	ranges;
	struct list_head	mirrors;
	struct rw_semaphore	mirrors_sem;
	wait_queue_head_t	wq;
	long			notifiers;
	/* private: mirrors_sem protects; see mm/hmm-sync.c */
	unsigned long		epoch;
	/* private: ranges_lock protects, down to dead */
	struct rb_root_cached	tree;
	struct hmm_inflight	inflight[HMM_INFLIGHT_MAX];
	unsigned int		nr_inflight;
	unsigned int		nr_overflow;
	struct hmm_overflow	overflow[HMM_OVERFLOW_BUCKETS];
	bool			dead;
	/* private: life of the memory, see mm/hmm.c */
	struct kref		kref;
	struct rcu_head		rcu;
};
#else
struct hmm;
#endif

/**
 * struct hmm_range - addresses whose translation a driver wants
 * @hmm: set by hmm_range_register(), NULL while not registered
 * @list: entry of &hmm.ranges
 * @start: first address, page aligned (driver)
 * @end: address after the last, page aligned (driver)
 * @pfns: one entry a page, of the driver's own encoding (driver)
 * @flags: the driver's bits, indexed by &enum hmm_pfn_flag_e (driver)
 * @values: the driver's special entries, by &enum hmm_pfn_value_e (driver)
 * @default_flags: request that is added to every entry's, of @flags (driver)
 * @pfn_flags_mask: bits of each entry on input that are a request, too;
 *	the request is ``(pfns[i] & pfn_flags_mask) | default_flags``. Without
 *	VALID in it there is none (driver)
 * @pfn_shift: bits a pfn is shifted left by in an entry (driver)
 * @valid: see hmm_range_valid()
 *
 * The fields marked driver are set before hmm_range_register(); start and end
 * stay as they are until hmm_range_unregister(). Nothing else needs to be
 * initialised, so a range may live on the stack.
 */
struct hmm_range {
	struct hmm		*hmm;
	struct list_head	list;
	unsigned long		start;
	unsigned long		end;
	u64		*pfns;
	const u64		*flags;
	const u64		*values;
	u64		default_flags;
	u64		pfn_flags_mask;
	u8			pfn_shift;
	bool			valid;
	/* private: hmm->ranges_lock protects */
	unsigned long		cursor;
	unsigned long		tried;
	struct hmm_mirror	*mirror;
	struct interval_tree_node node;
};

/**
 * struct hmm_mirror_ops - what a driver does when an address space changes
 */
struct hmm_mirror_ops {
	/**
	 * @release: the address space goes away
	 *
	 * Optional. On return the device must not use any page of it any more.
	 * The mirror stays registered; hmm_mirror_unregister() must come from
	 * elsewhere, later. A mirror without this callback gets
	 * @sync_cpu_device_pagetables for all addresses instead, with the
	 * event MMU_NOTIFY_RELEASE.
	 *
	 * Context: may sleep; the notifier core's SRCU is held.
	 */
	void (*release)(struct hmm_mirror *mirror);

	/**
	 * @sync_cpu_device_pagetables: CPU page tables are about to change
	 *
	 * Takes the driver's lock, removes ``[update->start, update->end)``
	 * from the device's page table, and returns when the device can no
	 * longer use the pages, TLBs included. It is called for every change
	 * in the address space, not only for addresses of ranges.
	 *
	 * Before it returns, the driver marks each page dirty that the device
	 * may have written (folio_mark_dirty()). The CPU's entry may be clean
	 * although it is writable, as after MADV_FREE: reclaim drops a page
	 * that nobody marked dirty, and the device's data is lost.
	 *
	 * It may leave the device's page table alone only for an update whose
	 * event is MMU_NOTIFY_MIGRATE or MMU_NOTIFY_EXCLUSIVE and whose owner
	 * is not NULL and the driver's own, where the driver makes that update
	 * and mends its table as part of it. &mmu_notifier_range.owner is not
	 * defined for other events.
	 *
	 * Context: may sleep iff mmu_notifier_range_blockable(); reclaim and
	 * rmap locks may be held, so memory is allocated only with GFP_NOWAIT
	 * or GFP_ATOMIC. Must not call hmm_mirror_register(), _unregister(),
	 * hmm_range_fault(), hmm_range_fault_unlocked() or
	 * hmm_range_wait_until_valid().
	 * Return: 0, or -EAGAIN where it would have to sleep and may not.
	 */
	int (*sync_cpu_device_pagetables)(struct hmm_mirror *mirror,
					  const struct mmu_notifier_range *update);

	/**
	 * @sync_finish: the device can no longer use the pages
	 *
	 * Optional. Where it is set, @sync_cpu_device_pagetables removes the
	 * entries, but only starts the flush of the device's TLBs, and this
	 * callback returns when that flush has ended. It is called when all
	 * mirrors have had their first callback for @update, so that several
	 * devices flush at once; and for each mirror whose first callback
	 * returned 0, also if that of another mirror returned -EAGAIN. Pages
	 * that the device may write to until the flush has ended are marked
	 * dirty before this returns.
	 *
	 * Context: as @sync_cpu_device_pagetables.
	 */
	void (*sync_finish)(struct hmm_mirror *mirror,
			    const struct mmu_notifier_range *update);
};

/**
 * struct hmm_encoding - how entries are written and requests are read
 * @valid: bit of an entry with a pfn; on input, of an entry with a request
 * @write: bits of an entry that may be written; on input, a request for that
 * @private: bits of an entry with private memory; on input, a request for
 *	system memory instead
 * @none: entry without memory
 * @error: entry that can't be used
 * @special: entry without a struct page
 * @shift: of the pfn
 * @order_unit: entry's part for each order of its mapping; 0 for none
 * @sticky: bits that are kept from input to output
 */
struct hmm_encoding {
	u64 valid;
	u64 write;
	u64 private;
	u64 none;
	u64 error;
	u64 special;
	unsigned int shift;
	u64 order_unit;
	u64 sticky;
};

/**
 * struct hmm_mirror - a driver's subscription to one address space
 * @hmm: set by hmm_mirror_register(), NULL after hmm_mirror_unregister()
 * @ops: callbacks (driver)
 * @list: entry of &hmm.mirrors
 * @dev_private_owner: &dev_pagemap.owner of the device private memory that
 *	this driver can use in place; NULL, which matches no memory, where it
 *	has none. Zero it where there is no need for it (driver)
 */
struct hmm_mirror {
	struct hmm			*hmm;
	const struct hmm_mirror_ops	*ops;
	struct list_head		list;
	void				*dev_private_owner;
	/* private: hmm->ranges_lock protects */
	unsigned long			nr_ranges;
	bool				gone;
	struct hmm_encoding		checked;
	u64				checked_flags;
	/* private: hmm->mirrors_sem protects */
	unsigned long			left;
};

/**
 * struct hmm_dma_batch - a range that is mapped for DMA as one
 *
 * Written by hmm_range_dma_map_batch(), read by hmm_range_dma_unmap_batch();
 * zeroed memory is a batch that is not mapped. The driver protects it with
 * what protects the arrays of the range.
 */
struct hmm_dma_batch {
	/* private: the pages that the device may only read, or write too */
	struct sg_table readable;
	struct sg_table writable;
	/* private: how many there are, and that each is mapped by itself */
	unsigned long mapped;
	bool by_page;
};

/*
 * HMM_FAULT_ALLOW_RETRY - let a fault drop the mmap lock, see -EAGAIN of
 *	hmm_range_fault(); needed for memory that userfaultfd serves
 * HMM_FAULT_SNAPSHOT - ask for nothing, whatever the entries say
 */
#define HMM_FAULT_ALLOW_RETRY		BIT(0)
#define HMM_FAULT_SNAPSHOT		BIT(1)

/*
 * A time-out in ms for hmm_range_fault_unlocked() and
 * hmm_range_wait_until_valid() that suits most.
 */
#define HMM_RANGE_DEFAULT_TIMEOUT 1000

#ifdef CONFIG_HMM_MIRROR
int hmm_mirror_register(struct hmm_mirror *mirror, struct mm_struct *mm);
void hmm_mirror_unregister(struct hmm_mirror *mirror);

int hmm_range_register(struct hmm_range *range, struct hmm_mirror *mirror);
void hmm_range_unregister(struct hmm_range *range);
bool hmm_range_wait_until_valid(struct hmm_range *range, unsigned long timeout);

long hmm_range_fault(struct hmm_range *range, unsigned int flags);
long hmm_range_fault_orders(struct hmm_range *range, unsigned int flags,
			    u8 *orders);
long hmm_range_fault_unlocked(struct hmm_range *range, unsigned int flags,
			      unsigned long timeout);

long hmm_range_dma_map(struct hmm_range *range, struct device *device,
		       dma_addr_t *daddrs, unsigned int flags);
long hmm_range_dma_map_unlocked(struct hmm_range *range, struct device *device,
				dma_addr_t *daddrs, unsigned int flags,
				unsigned long timeout);
long hmm_range_dma_unmap(struct hmm_range *range, struct device *device,
			 dma_addr_t *daddrs, bool dirty);
long hmm_range_dma_map_batch(struct hmm_range *range, struct device *device,
			     dma_addr_t *daddrs, struct hmm_dma_batch *batch,
			     unsigned int flags);
long hmm_range_dma_unmap_batch(struct hmm_range *range, struct device *device,
			       dma_addr_t *daddrs, struct hmm_dma_batch *batch,
			       bool dirty);

/**
 * hmm_range_valid() - check that the entries of the last fault still hold
 * @range: a registered range
 *
 * An invalidation marks the ranges it overlaps before it calls the mirrors.
 * So under the driver's lock one of two things holds of every invalidation:
 * it has marked @range and this function returns false; or its callback has not
 * had the driver's lock yet, and will remove what the driver programs now.
 *
 * Context: under the lock that sync_cpu_device_pagetables() takes. Does not
 * sleep.
 * Return: true iff the last hmm_range_fault() succeeded and no invalidation
 * that started after an entry was read overlaps that entry. Once false, only
 * another hmm_range_fault() makes it true. False when the range is not
 * registered, and after mm exit.
 */
static inline bool hmm_range_valid(struct hmm_range *range)
{
	/* Pairs with the stores under ranges_lock, through the driver's lock */
	return READ_ONCE(range->valid);
}
#else
static inline int hmm_mirror_register(struct hmm_mirror *mirror,
				      struct mm_struct *mm)
{
	return -EOPNOTSUPP;
}

static inline void hmm_mirror_unregister(struct hmm_mirror *mirror)
{
}

static inline int hmm_range_register(struct hmm_range *range,
				     struct hmm_mirror *mirror)
{
	return -EOPNOTSUPP;
}

static inline void hmm_range_unregister(struct hmm_range *range)
{
}

static inline bool hmm_range_wait_until_valid(struct hmm_range *range,
					      unsigned long timeout)
{
	return false;
}

static inline long hmm_range_fault(struct hmm_range *range, unsigned int flags)
{
	return -EOPNOTSUPP;
}

static inline long hmm_range_fault_orders(struct hmm_range *range,
					  unsigned int flags, u8 *orders)
{
	return -EOPNOTSUPP;
}

static inline long hmm_range_fault_unlocked(struct hmm_range *range,
					    unsigned int flags,
					    unsigned long timeout)
{
	return -EOPNOTSUPP;
}

static inline long hmm_range_dma_map(struct hmm_range *range,
				     struct device *device,
				     dma_addr_t *daddrs, unsigned int flags)
{
	return -EOPNOTSUPP;
}

static inline long hmm_range_dma_map_unlocked(struct hmm_range *range,
					      struct device *device,
					      dma_addr_t *daddrs,
					      unsigned int flags,
					      unsigned long timeout)
{
	return -EOPNOTSUPP;
}

static inline long hmm_range_dma_unmap(struct hmm_range *range,
				       struct device *device,
				       dma_addr_t *daddrs, bool dirty)
{
	return -EOPNOTSUPP;
}

static inline long hmm_range_dma_map_batch(struct hmm_range *range,
					   struct device *device,
					   dma_addr_t *daddrs,
					   struct hmm_dma_batch *batch,
					   unsigned int flags)
{
	return -EOPNOTSUPP;
}

static inline long hmm_range_dma_unmap_batch(struct hmm_range *range,
					     struct device *device,
					     dma_addr_t *daddrs,
					     struct hmm_dma_batch *batch,
					     bool dirty)
{
	return -EOPNOTSUPP;
}

static inline bool hmm_range_valid(struct hmm_range *range)
{
	return false;
}
#endif /* CONFIG_HMM_MIRROR */

/* The encoding that a driver set in @range. */
static inline struct hmm_encoding
hmm_range_encoding(const struct hmm_range *range)
{
	return (struct hmm_encoding){
		.valid		= range->flags[HMM_PFN_VALID],
		.write		= range->flags[HMM_PFN_WRITE],
		.private	= range->flags[HMM_PFN_DEVICE_PRIVATE],
		.none		= range->values[HMM_PFN_NONE],
		.error		= range->values[HMM_PFN_ERROR],
		.special	= range->values[HMM_PFN_SPECIAL],
		.shift		= range->pfn_shift,
	};
}

/* A value may have the VALID bit, so it is compared as a whole. */
static inline bool hmm_encoding_has_pfn(const struct hmm_encoding *enc,
					u64 entry)
{
	return entry & enc->valid && entry != enc->none &&
	       entry != enc->error && entry != enc->special;
}

/* Flags may lie above the pfn as well as below. */
static inline unsigned long hmm_encoding_pfn(const struct hmm_encoding *enc,
					     u64 entry)
{
	return (entry & ~(enc->valid | enc->write | enc->private)) >>
	       enc->shift;
}

static inline bool hmm_device_entry_has_pfn(const struct hmm_range *range,
					    u64 entry)
{
	const struct hmm_encoding enc = hmm_range_encoding(range);

	return hmm_encoding_has_pfn(&enc, entry);
}

/**
 * hmm_device_entry_to_pfn() - the pfn in an entry
 * @range: whose encoding it is
 * @entry: an element of &hmm_range.pfns
 *
 * Context: any.
 * Return: the pfn, -1UL for an entry that has none.
 */
static inline unsigned long
hmm_device_entry_to_pfn(const struct hmm_range *range, u64 entry)
{
	const struct hmm_encoding enc = hmm_range_encoding(range);

	if (!hmm_encoding_has_pfn(&enc, entry))
		return -1UL;
	return hmm_encoding_pfn(&enc, entry);
}

/**
 * hmm_device_entry_to_page() - the page in an entry
 * @range: whose encoding it is
 * @entry: an element of &hmm_range.pfns
 *
 * Context: any. No reference is taken: the page is the range's only while
 * hmm_range_valid() under the driver's lock.
 * Return: the page, NULL for an entry that has none.
 */
static inline struct page *
hmm_device_entry_to_page(const struct hmm_range *range, u64 entry)
{
	if (!hmm_device_entry_has_pfn(range, entry))
		return NULL;
	return pfn_to_page(hmm_device_entry_to_pfn(range, entry));
}

/**
 * hmm_device_entry_from_pfn() - an entry for a pfn
 * @range: whose encoding to use
 * @pfn: page frame number
 *
 * Context: any.
 * Return: a valid, read-only entry.
 */
static inline u64 hmm_device_entry_from_pfn(const struct hmm_range *range,
					    unsigned long pfn)
{
	return ((u64)pfn << range->pfn_shift) | range->flags[HMM_PFN_VALID];
}

/**
 * hmm_device_entry_from_page() - an entry for a page
 * @range: whose encoding to use
 * @page: the page
 *
 * Context: any.
 * Return: a valid, read-only entry.
 */
static inline u64 hmm_device_entry_from_page(const struct hmm_range *range,
					     struct page *page)
{
	return hmm_device_entry_from_pfn(range, page_to_pfn(page));
}

#endif /* LINUX_HMM_H */
