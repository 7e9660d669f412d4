// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that uses mirrors as amdgpu's user pointers did in v5.4: one mirror
 * per address space, looked up by its mm, with a tree of the buffers in it; one
 * range on the heap per submission, registered from the lookup of the pages
 * until the job is committed; only the result of hmm_range_fault() is checked.
 * When the address space exits, a worker unregisters the mirror.
 *
 * Fixed here, compared with that driver: |- a mirror whose address space had no
 * buffers left stayed registered until | its exit, and kept the module's code;
 * it is now unregistered with the last | file as well.
 */
#include <linux/hmm.h>
#include <linux/interval_tree.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/workqueue.h>

#include "compat.h"

#define AMD_VALID	BIT_ULL(0)
#define AMD_WRITE	BIT_ULL(1)

/* The encoding has no bit for private memory. */
static const u64 amd_flags[HMM_PFN_FLAG_MAX] = {
	[HMM_PFN_VALID]			= AMD_VALID,
	[HMM_PFN_WRITE]			= AMD_WRITE,
	[HMM_PFN_DEVICE_PRIVATE]	= 0,
};

static const u64 amd_values[HMM_PFN_VALUE_MAX] = {
	[HMM_PFN_ERROR]		= ~1ULL,
	[HMM_PFN_NONE]		= 0,
	[HMM_PFN_SPECIAL]	= ~3ULL,
};

/**
 * struct amd_mn - an address space with buffers in it
 * @mirror: the mirror
 * @mm: its mm, the key of the lookup
 * @list: entry of amd_mns, under amd_mns_lock
 * @buffers: number of buffers that use it, under amd_mns_lock
 * @ref: one per buffer, one for the worker
 * @unregister: makes sure that @mirror is unregistered only once
 * @work: unregisters @mirror after the address space has exited
 * @lock: the driver's lock: held for writing while a job is committed, for
 *	reading by the callback; protects @objects
 * @objects: the buffers
 */
struct amd_mn {
	struct hmm_mirror mirror;
	struct mm_struct *mm;
	struct list_head list;
	unsigned int buffers;
	struct kref ref;
	struct mutex unregister;	/* see above */
	struct work_struct work;
	struct rw_semaphore lock;
	struct rb_root_cached objects;
};

/**
 * struct amd_bo - a buffer in user memory
 * @file: the file
 * @mn: its address space
 * @it: entry of the tree of @mn
 * @evicted: number of callbacks that overlapped it
 */
struct amd_bo {
	struct compat_file file;
	struct amd_mn *mn;
	struct interval_tree_node it;
	atomic_t evicted;
};

static LIST_HEAD(amd_mns);
static DEFINE_MUTEX(amd_mns_lock);
static struct workqueue_struct *amd_wq;

static int amd_sync(struct hmm_mirror *mirror,
		    const struct mmu_notifier_range *update)
{
	struct amd_mn *mn = container_of(mirror, struct amd_mn, mirror);
	struct interval_tree_node *it;

	if (mmu_notifier_range_blockable(update))
		down_read(&mn->lock);
	else if (!down_read_trylock(&mn->lock))
		return -EAGAIN;
	/* Jobs run under the lock, so there is no job to wait for */
	for (it = interval_tree_iter_first(&mn->objects, update->start,
					   update->end - 1);
	     it;
	     it = interval_tree_iter_next(it, update->start, update->end - 1))
		atomic_inc(&container_of(it, struct amd_bo, it)->evicted);
	up_read(&mn->lock);
	return 0;
}

static void amd_unregister(struct amd_mn *mn)
{
	mutex_lock(&mn->unregister);
	if (mn->mirror.hmm)
		hmm_mirror_unregister(&mn->mirror);
	mutex_unlock(&mn->unregister);
}

static void amd_mn_free(struct kref *ref)
{
	kfree(container_of(ref, struct amd_mn, ref));
}

static void amd_mn_work(struct work_struct *work)
{
	struct amd_mn *mn = container_of(work, struct amd_mn, work);

	amd_unregister(mn);
	kref_put(&mn->ref, amd_mn_free);
}

/* The mirror cannot be unregistered from its callback. */
static void amd_release(struct hmm_mirror *mirror)
{
	struct amd_mn *mn = container_of(mirror, struct amd_mn, mirror);

	kref_get(&mn->ref);
	queue_work(amd_wq, &mn->work);
}

static const struct hmm_mirror_ops amd_mirror_ops = {
	.release			= amd_release,
	.sync_cpu_device_pagetables	= amd_sync,
};

static struct amd_mn *amd_mn_new(struct mm_struct *mm)
{
	struct amd_mn *mn = kzalloc_obj(*mn);
	int ret;

	if (!mn)
		return ERR_PTR(-ENOMEM);
	mn->mm = mm;
	mn->objects = RB_ROOT_CACHED;
	kref_init(&mn->ref);
	mutex_init(&mn->unregister);
	init_rwsem(&mn->lock);
	INIT_WORK(&mn->work, amd_mn_work);
	mn->mirror.ops = &amd_mirror_ops;
	ret = hmm_mirror_register(&mn->mirror, mm);
	if (ret) {
		kfree(mn);
		return ERR_PTR(ret);
	}
	list_add(&mn->list, &amd_mns);
	return mn;
}

/* Return the mirror of @mm, and create it if there is none yet. */
static struct amd_mn *amd_mn_get(struct mm_struct *mm)
{
	struct amd_mn *mn;

	mutex_lock(&amd_mns_lock);
	if (mmap_write_lock_killable(mm)) {
		mutex_unlock(&amd_mns_lock);
		return ERR_PTR(-EINTR);
	}
	list_for_each_entry(mn, &amd_mns, list) {
		if (mn->mm != mm)
			continue;
		kref_get(&mn->ref);
		goto out_unlock;
	}
	mn = amd_mn_new(mm);
out_unlock:
	if (!IS_ERR(mn))
		mn->buffers++;
	mmap_write_unlock(mm);
	mutex_unlock(&amd_mns_lock);
	return mn;
}

static void amd_mn_put(struct amd_mn *mn)
{
	bool last;

	mutex_lock(&amd_mns_lock);
	last = !--mn->buffers;
	if (last)
		list_del_init(&mn->list);
	mutex_unlock(&amd_mns_lock);
	if (last)
		amd_unregister(mn);
	kref_put(&mn->ref, amd_mn_free);
}

static struct hmm_range *amd_range_new(struct amd_bo *bo, bool write)
{
	unsigned long n = (bo->file.end - bo->file.start) >> PAGE_SHIFT;
	struct hmm_range *range = kzalloc_obj(*range);

	if (!range)
		return NULL;
	range->flags = amd_flags;
	range->values = amd_values;
	range->pfn_shift = PAGE_SHIFT;
	range->default_flags = AMD_VALID | (write ? AMD_WRITE : 0);
	range->start = bo->file.start;
	range->end = bo->file.end;
	range->pfns = kvmalloc_array(n, sizeof(*range->pfns), GFP_KERNEL);
	if (range->pfns)
		return range;
	kfree(range);
	return NULL;
}

static void amd_range_free(struct hmm_range *range)
{
	if (range)
		kvfree(range->pfns);
	kfree(range);
}

/* Look up the pages of a submission. The range stays registered. */
static int amd_get_user_pages(struct amd_bo *bo, struct hmm_range *range,
			      struct page **pages)
{
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;
	struct mm_struct *mm = bo->file.mm;
	struct vm_area_struct *vma;
	long ret = -EPERM;

	bo->file.faults++;
	hmm_range_register(range, &bo->mn->mirror);
	hmm_range_wait_until_valid(range, HMM_RANGE_DEFAULT_TIMEOUT);
	mmap_read_lock(mm);
	vma = find_vma(mm, range->start);
	if (vma && range->start >= vma->vm_start)
		ret = hmm_range_fault(range, 0);
	mmap_read_unlock(mm);
	if (ret < 0)
		goto err_unregister;
	for (i = 0; i < n; i++) {
		pages[i] = hmm_device_entry_to_page(range, range->pfns[i]);
		if (!pages[i]) {
			ret = -ENOMEM;
			goto err_unregister;
		}
	}
	return 0;

err_unregister:
	/* The result of the registration was not checked */
	if (range->hmm)
		hmm_range_unregister(range);
	return ret;
}

/* Check the range for the last time and unregister it. */
static bool amd_get_user_pages_done(struct hmm_range *range)
{
	bool valid = hmm_range_valid(range);

	hmm_range_unregister(range);
	return valid;
}

/* Commit the job, which runs immediately here. */
static int amd_submit(struct amd_bo *bo, struct hmm_range *range,
		      struct page **pages, void *data, bool write)
{
	unsigned long i, n = (range->end - range->start) >> PAGE_SHIFT;
	int ret = 0;

	down_write(&bo->mn->lock);
	if (!amd_get_user_pages_done(range))
		ret = -EAGAIN;
	for (i = 0; !ret && i < n; i++)
		compat_copy_page(pages[i], data + i * PAGE_SIZE, write);
	up_write(&bo->mn->lock);
	return ret;
}

static int amd_copy(struct compat_file *file, void *data, bool write)
{
	struct amd_bo *bo = container_of(file, struct amd_bo, file);
	unsigned long n = (file->end - file->start) >> PAGE_SHIFT;
	struct hmm_range *range = amd_range_new(bo, write);
	struct page **pages = kvmalloc_array(n, sizeof(*pages), GFP_KERNEL);
	int ret = -ENOMEM;

	while (range && pages) {
		ret = amd_get_user_pages(bo, range, pages);
		if (!ret)
			ret = amd_submit(bo, range, pages, data, write);
		/* In amdgpu user space had to submit again */
		if (ret != -EAGAIN && ret != -EBUSY)
			break;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
	}
	kvfree(pages);
	amd_range_free(range);
	return ret;
}

static int amd_open(struct compat_file *file)
{
	return 0;
}

/* Make a buffer of a user pointer. */
static int amd_buffer(struct compat_file *file)
{
	struct amd_bo *bo = container_of(file, struct amd_bo, file);
	struct amd_mn *mn = amd_mn_get(file->mm);

	if (IS_ERR(mn)) {
		file->end = 0;
		return PTR_ERR(mn);
	}
	bo->mn = mn;
	bo->it.start = file->start;
	bo->it.last = file->end - 1;
	down_write(&mn->lock);
	interval_tree_insert(&bo->it, &mn->objects);
	up_write(&mn->lock);
	return 0;
}

static void amd_close(struct compat_file *file)
{
	struct amd_bo *bo = container_of(file, struct amd_bo, file);

	if (bo->mn) {
		down_write(&bo->mn->lock);
		interval_tree_remove(&bo->it, &bo->mn->objects);
		up_write(&bo->mn->lock);
		amd_mn_put(bo->mn);
	}
	kfree(bo);
}

static struct compat_driver compat_driver = {
	.size		= sizeof(struct amd_bo),
	.open		= amd_open,
	.release	= amd_close,
	.buffer		= amd_buffer,
	.copy		= amd_copy,
};

static int __init amd_init(void)
{
	int ret;

	amd_wq = alloc_workqueue("hmm_compat_amdgpu", WQ_UNBOUND, 0);
	if (!amd_wq)
		return -ENOMEM;
	ret = compat_init("hmm_compat_amdgpu");
	if (ret)
		destroy_workqueue(amd_wq);
	return ret;
}

static void __exit amd_exit(void)
{
	misc_deregister(&compat_driver.misc);
	destroy_workqueue(amd_wq);
	mmu_notifier_synchronize();
}

module_init(amd_init);
module_exit(amd_exit);
MODULE_DESCRIPTION("HMM mirrors as amdgpu used them in v5.4, for tests only");
MODULE_LICENSE("GPL");
