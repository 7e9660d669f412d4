/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Declarations shared by the KUnit tests of HMM mirrors.
 *
 * Every test has an address space of its own, attached to the test's thread,
 * and one mirror registered on it; struct hk holds both. hk_exit() undoes
 * everything that a test created through the helpers below, also if the test
 * was aborted, so that the next test starts from a clean state.
 */
#ifndef MM_TESTS_HMM_KUNIT_H
#define MM_TESTS_HMM_KUNIT_H

#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/completion.h>

struct hstate;

/*
 * The bits of an entry in the encoding of hk_range(), &hk_plain. Expected
 * entries are written in this encoding whatever the range uses.
 */
#define HK_V		BIT_ULL(0)
#define HK_W		BIT_ULL(1)
#define HK_P		BIT_ULL(2)
#define HK_NONE		0ULL
#define HK_ERROR	0x10ULL
#define HK_SPECIAL	0x20ULL
#define HK_SHIFT	12

/*
 * Upper bound of a wait for something that is immediate unless HMM is broken.
 */
#define HK_LONG_MS	10000

/*
 * Shorter than %HK_LONG_MS: a waiter with that time-out that should have been
 * woken, but only wakes at its time-out, is too late for this bound.
 */
#define HK_WAKE_MS	5000

/* Long enough for a thread that was woken by mistake to return. */
#define HK_SHORT_MS	100

struct hk_encoding {
	u64 flags[HMM_PFN_FLAG_MAX];
	u64 values[HMM_PFN_VALUE_MAX];
	u8 shift;
};

extern const struct hk_encoding hk_plain;
extern const struct hk_encoding hk_odd;

/**
 * struct hk_mirror - a driver whose callback does as the test sets
 * @mirror: the registered mirror
 * @list: entry of &hk.mirrors
 * @lock: the driver's lock
 * @calls: number of callbacks so far
 * @releases: number of releases so far
 * @events: a bit for each event seen
 * @ret: return value of the callback if it may block
 * @ret_nonblock: return value of the callback if it may not
 * @start: lowest address seen
 * @end: highest end seen
 * @watch: range whose validity the callback reads
 * @watch_valid: @watch was valid in a callback
 */
struct hk_mirror {
	struct hmm_mirror mirror;
	struct list_head list;
	spinlock_t lock; /* the driver's */
	atomic_t calls;
	atomic_t releases;
	unsigned long events;
	int ret;
	int ret_nonblock;
	unsigned long start;
	unsigned long end;
	struct hmm_range *watch;
	bool watch_valid;
};

/**
 * struct hk - fixture of every test
 * @test: the test
 * @mm: its address space
 * @dev: the mirror registered on it
 * @exited: hk_mm_exit() was called
 * @mirrors: every &struct hk_mirror
 * @invals: every &struct hk_inval that is open
 * @threads: every &struct hk_thread
 * @foreign: every &struct hk_foreign
 */
struct hk {
	struct kunit *test;
	struct mm_struct *mm;
	struct hk_mirror *dev;
	bool exited;
	struct list_head mirrors;
	struct list_head invals;
	struct list_head threads;
	struct list_head foreign;
};

/* An invalidation that the test holds open. */
struct hk_inval {
	struct mmu_notifier_range update;
	struct list_head list;
};

/* A thread that runs @fn once. */
struct hk_thread {
	struct list_head list;
	struct completion done;
	void (*fn)(void *arg);
	void *arg;
};

/* A place where a callback stops until the test lets it continue. */
struct hk_stop {
	struct completion entered;
	struct completion leave;
};

/* An invalidation of a page, or the end of a mirror, in another thread. */
struct hk_elsewhere {
	struct mm_struct *mm;
	unsigned long addr;
	struct hmm_mirror *mirror;
	struct hk_thread *thread;
};

/* A thread in hmm_range_wait_until_valid() or hmm_range_fault_unlocked(). */
struct hk_waiter {
	struct hmm_range *range;
	unsigned long ms;
	bool fault;
	bool result;
	long ret;
	struct hk_thread *thread;
};

/* A subscriber to the mm beside HMM. */
struct hk_foreign {
	struct list_head list;
	struct mmu_notifier mn;
	struct mmu_interval_notifier interval;
	bool is_interval;
	int ret;
	int ret_nonblock;
	atomic_t calls;
};

enum hk_file_mode {
	HK_FILE_PAGE,
	HK_FILE_NOPAGE,
	HK_FILE_RETRY,
	HK_FILE_COMPLETED,
	HK_FILE_UFFD,
	HK_FILE_OOM,
	HK_FILE_SIGBUS,
	HK_FILE_HWPOISON,
};

/**
 * struct hk_file - a file whose page faults do as the test sets
 * @mode: result of a fault
 * @vm_flags: set in each mapping of it
 * @vma: the last mapping made
 * @pages: mapped by %HK_FILE_PAGE
 * @npages: number of @pages
 * @calls: number of faults so far
 * @late: the fault that brings a page, see hk_late_file(); 0 for none
 * @fault_flags: all FAULT_FLAG_* seen
 * @hook: called in each fault
 * @hook_arg: for @hook
 * @walk_hook: called during the walk, for each special entry that is read
 * @walk_arg: for @walk_hook
 * @file: the open file
 */
struct hk_file {
	enum hk_file_mode mode;
	unsigned long vm_flags;
	struct vm_area_struct *vma;
	struct page **pages;
	unsigned long npages;
	atomic_t calls;
	int late;
	unsigned int fault_flags;
	void (*hook)(struct vm_fault *vmf, void *arg);
	void *hook_arg;
	void (*walk_hook)(void *arg);
	void *walk_arg;
	struct file *file;
};

/* A forked child that shares all pages and sleeps until hk_reap(). */
struct hk_child {
	struct completion go;
	struct completion gone;
};

/**
 * struct hk_devmem - a device's own memory, which the CPU cannot reach
 * @pgmap: provides its struct pages
 * @res: physical addresses that nothing else uses
 * @next: the page to be used next
 * @around: a fault migrates up to %HK_DEVMEM_AROUND pages on either side of
 *	the faulting page as well
 */
struct hk_devmem {
	struct dev_pagemap pgmap;
	struct resource *res;
	unsigned long next;
	bool around;
};

#define HK_DEVMEM_AROUND 16

static inline u64 hk_entry(unsigned long pfn, u64 flags)
{
	return ((u64)pfn << HK_SHIFT) | flags;
}

int hk_init(struct kunit *test);
void hk_exit(struct kunit *test);
void hk_mm_exit(struct hk *hk);

/* Delimit, in the kernel log, a WARN that the test provokes. */
void hk_expect_warn(const char *text);
void hk_expect_end(const char *text);

int hk_sync(struct hmm_mirror *mirror,
	    const struct mmu_notifier_range *update);
void hk_release(struct hmm_mirror *mirror);
struct hk_mirror *hk_mirror_alloc(struct kunit *test);
int hk_mirror_register(struct kunit *test, struct hk_mirror *dev);
struct hk_mirror *hk_mirror(struct kunit *test);

struct hmm_range *hk_range_alloc(struct kunit *test, unsigned long addr,
				 unsigned long npages);
struct hmm_range *hk_range(struct kunit *test, unsigned long addr,
			   unsigned long npages);
void hk_encode(struct hmm_range *range, const struct hk_encoding *encoding);
void hk_request(struct hmm_range *range, u64 request);
void hk_request_each(struct hmm_range *range);
long hk_fault_orders(struct kunit *test, struct hmm_range *range,
		     unsigned int flags, u8 *orders);
long hk_fault(struct kunit *test, struct hmm_range *range, unsigned int flags);
bool hk_valid(struct kunit *test, struct hmm_range *range);
u64 hk_snapshot(struct kunit *test, unsigned long addr);
long hk_request_page(struct kunit *test, unsigned long addr, u64 request,
		     u64 *entry);
void hk_expect_run(struct kunit *test, struct hmm_range *range,
		   unsigned long first, unsigned long n, unsigned long pfn,
		   u64 flags);
unsigned long hk_count(struct hmm_range *range, u64 flags);

struct hk_inval *hk_start(struct kunit *test, unsigned long start,
			  unsigned long end);
int hk_start_nonblock(struct kunit *test, struct mmu_notifier_range *update,
		      unsigned long start, unsigned long end);
void hk_end(struct hk_inval *inval);
void hk_invalidate(struct kunit *test, unsigned long start, unsigned long end);
void hk_invalidate_nonblock(struct kunit *test, unsigned long start,
			    unsigned long end);
void hk_expect_idle(struct kunit *test, struct hmm_range *range);
long hk_in_flight(struct hmm *hmm);

struct hk_thread *hk_run(struct kunit *test, void (*fn)(void *arg), void *arg);
bool hk_thread_done(struct hk_thread *thread, unsigned int ms);
struct hk_waiter *hk_wait_start(struct kunit *test, struct hmm_range *range,
				unsigned long ms);
struct hk_waiter *hk_unlocked_start(struct kunit *test, struct hmm_range *range,
				    unsigned long ms);
bool hk_poll(bool (*cond)(void *arg), void *arg);
void hk_stop_init(struct hk_stop *stop);
void hk_stop_here(struct hk_stop *stop);
bool hk_stop_entered(struct hk_stop *stop);
struct hk_elsewhere *hk_invalidate_elsewhere(struct kunit *test,
					     unsigned long addr);
struct hk_elsewhere *hk_unregister_elsewhere(struct kunit *test,
					     struct hmm_mirror *mirror);

struct hk_foreign *hk_foreign_list(struct kunit *test);
struct hk_foreign *hk_foreign_interval(struct kunit *test, unsigned long start,
				       unsigned long len);

unsigned long hk_map(struct kunit *test, struct file *file, unsigned long len,
		     unsigned long prot, unsigned long flags);
unsigned long hk_anon(struct kunit *test, unsigned long npages);
void hk_remap(struct kunit *test, unsigned long addr, unsigned long npages,
	      struct file *file, unsigned long prot);
unsigned long hk_huge(struct kunit *test, unsigned long nr);
struct file *hk_shmem_file(struct kunit *test, unsigned long len);
struct file *hk_hugetlb_file_of(struct kunit *test, struct hstate *h,
				unsigned long nr);
struct file *hk_hugetlb_file(struct kunit *test, unsigned long nr);
struct hk_file *hk_file(struct kunit *test, enum hk_file_mode mode,
			unsigned long npages);
struct hk_file *hk_late_file(struct kunit *test, int late);
unsigned long hk_map_file(struct kunit *test, struct hk_file *hf);
struct hmm_range *hk_file_range(struct kunit *test, struct hk_file *hf);
void hk_write(struct kunit *test, unsigned long addr, unsigned long npages);
void hk_read(struct kunit *test, unsigned long addr, unsigned long npages);
unsigned long hk_pfn(struct kunit *test, unsigned long addr);
pmd_t *hk_pmd(struct mm_struct *mm, unsigned long addr);
pte_t hk_set_pte(struct kunit *test, unsigned long addr, pte_t pte);
struct page *hk_alloc_page(struct kunit *test);
pte_t hk_poison_pte(struct page *page);
struct folio *hk_folio(struct kunit *test, unsigned long addr);
struct hk_child *hk_fork(struct kunit *test);
void hk_reap(struct kunit *test, struct hk_child *child);

struct hk_devmem *hk_devmem(struct kunit *test, void *owner);
struct hk_devmem *hk_busmem(struct kunit *test, enum memory_type type);
pte_t hk_devmem_pte(struct hk_devmem *mem, unsigned long pfn, pgprot_t prot);
unsigned long hk_to_device(struct kunit *test, struct hk_devmem *mem,
			   unsigned long addr);

#endif /* MM_TESTS_HMM_KUNIT_H */
