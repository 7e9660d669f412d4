// SPDX-License-Identifier: GPL-2.0
/*
 * A complete driver on an HMM mirror: QEMU's "edu" PCI device copies between
 * its own buffer and the memory of a process, at addresses from the process.
 *
 * Each open file mirrors the address space of its opener. A request maps the
 * one or two pages that it needs, starts the transfer, and unmaps them. While
 * the transfer runs, the request is the device's *job*. If the CPU changes one
 * of these pages meanwhile, edu_sync() takes all of them from the engine before
 * it returns. The request then starts again with the pages that are mapped now.
 *
 * The engine takes 100 ms per transfer and cannot be stopped, but without bus
 * mastering its accesses are discarded. Bus mastering is enabled again only
 * after the engine has finished, as the rest of a stopped transfer would
 * otherwise reach memory.
 *
 * Locks:
 *
 *	engine			serializes use of the hardware
 *	  mmap_lock
 *	    lock		state that callbacks read and change
 *
 * A device with more than one transfer would have a table of jobs. If such a
 * table cannot be changed under a spinlock, a mutex protects it, for which a
 * non-blockable callback must use mutex_trylock().
 */
#include <linux/hmm.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include "edu_mirror_uapi.h"

#define EDU_VENDOR		0x1234
#define EDU_DEVICE		0x11e8

#define EDU_ID			0x00
#define EDU_ID_MASK		0xffff
#define EDU_ID_IS		0x00ed
#define EDU_DMA_SRC		0x80
#define EDU_DMA_DST		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_CMD		0x98
#define EDU_CMD_RUN		BIT(0)
#define EDU_CMD_STORE		BIT(1)
/* The device's buffer, as a device address */
#define EDU_BUFFER		0x40000

#define EDU_POLL_US		1000
#define EDU_TIMEOUT_US		(5 * USEC_PER_SEC)

/* EDU_MIRROR_MAX bytes span at most two pages. */
#define EDU_JOB_PAGES		2

static unsigned int dma_bits = 28;
module_param(dma_bits, uint, 0444);
MODULE_PARM_DESC(dma_bits,
		 "Address bits that the devices have, see their property dma_mask");

/* Entries like those of a page table; the flags are below the pfn. */
enum {
	EDU_PTE_VALID	= BIT(0),
	EDU_PTE_WRITE	= BIT(1),
	EDU_PTE_ERROR	= BIT(2),
	EDU_PTE_SPECIAL	= BIT(3),
};

static const u64 edu_flags[HMM_PFN_FLAG_MAX] = {
	[HMM_PFN_VALID] = EDU_PTE_VALID,
	[HMM_PFN_WRITE] = EDU_PTE_WRITE,
};

static const u64 edu_values[HMM_PFN_VALUE_MAX] = {
	[HMM_PFN_NONE] = 0,
	[HMM_PFN_ERROR] = EDU_PTE_ERROR,
	[HMM_PFN_SPECIAL] = EDU_PTE_SPECIAL,
};

/**
 * struct edu_job - a request while the hardware may access its pages
 * @file: the file of the request
 * @range: the pages
 * @pfns: for @range
 * @daddrs: DMA addresses of the pages
 * @addr: first byte
 * @len: number of bytes
 * @store: the device writes
 * @stopped: a callback has unmapped the pages
 */
struct edu_job {
	struct edu_file *file;
	struct hmm_range range;
	u64 pfns[EDU_JOB_PAGES];
	dma_addr_t daddrs[EDU_JOB_PAGES];
	unsigned long addr;
	unsigned long len;
	bool store;
	bool stopped;
};

/* A transfer in the format of the engine's registers. */
struct edu_transfer {
	u64 src;
	u64 dst;
	u64 count;
	u32 cmd;
};

/**
 * struct edu - a device; exists while the hardware does or a file is open
 * @ref: one for the hardware, one per file
 * @misc: its device node
 * @name: name of the node
 * @pdev: the hardware
 * @mmio: its registers
 * @engine: held while the registers are used; protects @last
 * @last: the last transfer
 * @lock: the driver's lock: taken by the callback, protects all below and the
 *	state of the job
 * @job: the engine's job, NULL if no page is mapped
 * @gone: the hardware must not be used; never cleared, also read without the
 *	lock
 */
struct edu {
	struct kref ref;
	struct miscdevice misc;
	char name[16];
	struct pci_dev *pdev;
	void __iomem *mmio;
	struct mutex engine;	/* see above */
	struct edu_transfer last;
	spinlock_t lock;	/* see above */
	struct edu_job *job;
	bool gone;
};

struct edu_file {
	struct hmm_mirror mirror;
	struct edu *edu;
};

static struct mm_struct *edu_mm(const struct edu_file *ef)
{
	return ef->mirror.hmm->mmu_notifier.mm;
}

/*
 * The hardware
 */

static void edu_start(struct edu *edu, const struct edu_transfer *transfer)
{
	writeq(transfer->src, edu->mmio + EDU_DMA_SRC);
	writeq(transfer->dst, edu->mmio + EDU_DMA_DST);
	writeq(transfer->count, edu->mmio + EDU_DMA_COUNT);
	writel(transfer->cmd, edu->mmio + EDU_DMA_CMD);
}

/* A removed device reads as all ones, which means that it is running. */
static int edu_wait(struct edu *edu)
{
	u32 cmd;

	return readl_poll_timeout(edu->mmio + EDU_DMA_CMD, cmd,
				  !(cmd & EDU_CMD_RUN), EDU_POLL_US,
				  EDU_TIMEOUT_US);
}

/*
 * Take the pages from the engine. It may have written them, so they are marked
 * dirty: the process still owns them until the callback returns.
 */
static void edu_stop(struct edu *edu)
{
	struct edu_job *job = edu->job;

	lockdep_assert_held(&edu->lock);
	if (!job)
		return;
	pci_clear_master(edu->pdev);
	hmm_range_dma_unmap(&job->range, &edu->pdev->dev, job->daddrs,
			    job->store);
	job->stopped = true;
	edu->job = NULL;
}

/*
 * The mirror
 */

static int edu_sync(struct hmm_mirror *mirror,
		    const struct mmu_notifier_range *update)
{
	struct edu_file *ef = container_of(mirror, struct edu_file, mirror);
	struct edu *edu = ef->edu;
	struct edu_job *job;

	spin_lock(&edu->lock);
	job = edu->job;
	if (job && job->file == ef && update->start < job->range.end &&
	    job->range.start < update->end)
		edu_stop(edu);
	spin_unlock(&edu->lock);
	return 0;
}

/* No release: at mm exit edu_sync() is called for the whole address space */
static const struct hmm_mirror_ops edu_mirror_ops = {
	.sync_cpu_device_pagetables = edu_sync,
};

/*
 * Jobs
 */

static int edu_job_map(struct edu *edu, struct edu_job *job)
{
	long ret;

	/* edu_remove() takes the engine, so it waits for us if it runs now */
	if (READ_ONCE(edu->gone))
		return -ENODEV;
	ret = hmm_range_dma_map_unlocked(&job->range, &edu->pdev->dev,
					 job->daddrs, 0,
					 HMM_RANGE_DEFAULT_TIMEOUT);
	return ret < 0 ? ret : 0;
}

/* Publish the job to the callback, if it is still valid. */
static int edu_job_publish(struct edu *edu, struct edu_job *job)
{
	int ret = 0;

	spin_lock(&edu->lock);
	if (edu->gone)
		ret = -ENODEV;
	else if (!hmm_range_valid(&job->range))
		ret = -EAGAIN;
	else
		edu->job = job;
	if (ret)
		hmm_range_dma_unmap(&job->range, &edu->pdev->dev, job->daddrs,
				    false);
	spin_unlock(&edu->lock);
	return ret;
}

/* Transfer the part of the job that is in one page. */
static int edu_job_transfer(struct edu *edu, struct edu_job *job,
			    unsigned long done, unsigned long count)
{
	unsigned long addr = job->addr + done;
	u64 buffer = EDU_BUFFER + done;
	u64 iova = job->daddrs[(addr - job->range.start) >> PAGE_SHIFT] +
		   offset_in_page(addr);
	bool stopped;

	edu->last = (struct edu_transfer){
		.src = job->store ? buffer : iova,
		.dst = job->store ? iova : buffer,
		.count = count,
		.cmd = EDU_CMD_RUN | (job->store ? EDU_CMD_STORE : 0),
	};
	spin_lock(&edu->lock);
	stopped = job->stopped;
	if (!stopped)
		edu_start(edu, &edu->last);
	spin_unlock(&edu->lock);
	return stopped ? -EAGAIN : edu_wait(edu);
}

static int edu_job_run(struct edu *edu, struct edu_job *job)
{
	unsigned long done, n;
	int ret = 0;

	for (done = 0; !ret && done < job->len; done += n) {
		n = min(job->len - done,
			PAGE_SIZE - offset_in_page(job->addr + done));
		ret = edu_job_transfer(edu, job, done, n);
	}
	return ret;
}

/*
 * The engine has finished, or has timed out. The data of a job that a callback
 * has stopped is invalid, no matter how much was transferred.
 */
static int edu_job_finish(struct edu *edu, struct edu_job *job, int ret)
{
	spin_lock(&edu->lock);
	if (ret == -ETIMEDOUT) {
		WRITE_ONCE(edu->gone, true);
		edu_stop(edu);
		ret = -EIO;
	} else if (job->stopped) {
		if (!edu->gone)
			pci_set_master(edu->pdev);
		ret = edu->gone ? -ENODEV : -EAGAIN;
	} else {
		hmm_range_dma_unmap(&job->range, &edu->pdev->dev, job->daddrs,
				    job->store);
		edu->job = NULL;
	}
	spin_unlock(&edu->lock);
	return ret;
}

static int edu_job_try(struct edu *edu, struct edu_job *job)
{
	int ret;

	job->stopped = false;
	ret = edu_job_map(edu, job);
	if (!ret)
		ret = edu_job_publish(edu, job);
	if (ret)
		return ret;
	ret = edu_job_run(edu, job);
	return edu_job_finish(edu, job, ret);
}

/* Retry until the job is done, fails for good, or the caller is killed. */
static int edu_job_do(struct edu *edu, struct edu_job *job, u32 *retries)
{
	int ret;

	ret = hmm_range_register(&job->range, &job->file->mirror);
	if (ret)
		return ret;
	*retries = 0;
	for (;;) {
		ret = edu_job_try(edu, job);
		if (ret != -EAGAIN && ret != -EBUSY)
			break;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		(*retries)++;
		cond_resched();
	}
	hmm_range_unregister(&job->range);
	return ret;
}

static int edu_copy(struct edu_file *ef, struct edu_mirror_copy *copy,
		    bool store)
{
	unsigned long addr = copy->addr, end;
	struct edu *edu = ef->edu;
	struct edu_job job = {
		.file = ef,
		.addr = addr,
		.len = copy->len,
		.store = store,
	};
	int ret;

	if (!copy->len || copy->len > EDU_MIRROR_MAX || addr != copy->addr ||
	    check_add_overflow(addr, copy->len + PAGE_SIZE, &end))
		return -EINVAL;
	job.range = (struct hmm_range){
		.start = addr & PAGE_MASK,
		.end = PAGE_ALIGN(addr + copy->len),
		.pfns = job.pfns,
		.flags = edu_flags,
		.values = edu_values,
		.default_flags = EDU_PTE_VALID | (store ? EDU_PTE_WRITE : 0),
		.pfn_shift = PAGE_SHIFT,
	};
	if (mutex_lock_killable(&edu->engine))
		return -EINTR;
	ret = edu_job_do(edu, &job, &copy->retries);
	if (!ret)
		copy->iova = store ? edu->last.dst : edu->last.src;
	mutex_unlock(&edu->engine);
	return ret;
}

/* Without a job no page is mapped, so this transfer has to fail. */
static int edu_replay(struct edu *edu)
{
	int ret = 0;

	if (mutex_lock_killable(&edu->engine))
		return -EINTR;
	spin_lock(&edu->lock);
	if (edu->gone)
		ret = -ENODEV;
	else if (!edu->last.count)
		ret = -ENODATA;
	else
		edu_start(edu, &edu->last);
	spin_unlock(&edu->lock);
	if (!ret)
		ret = edu_wait(edu);
	mutex_unlock(&edu->engine);
	return ret;
}

/*
 * Files
 */

static void edu_free(struct kref *ref)
{
	struct edu *edu = container_of(ref, struct edu, ref);

	mutex_destroy(&edu->engine);
	kfree(edu);
}

static long edu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct edu_file *ef = file->private_data;
	void __user *user = (void __user *)arg;
	struct edu_mirror_copy copy;
	int ret;

	/* A file inherited by another process still mirrors its opener */
	if (current->mm != edu_mm(ef))
		return -EPERM;
	if (cmd == EDU_MIRROR_REPLAY)
		return edu_replay(ef->edu);
	if (cmd != EDU_MIRROR_LOAD && cmd != EDU_MIRROR_STORE)
		return -ENOTTY;
	if (copy_from_user(&copy, user, sizeof(copy)))
		return -EFAULT;
	ret = edu_copy(ef, &copy, cmd == EDU_MIRROR_STORE);
	if (!ret && copy_to_user(user, &copy, sizeof(copy)))
		ret = -EFAULT;
	return ret;
}

static int edu_open(struct inode *inode, struct file *file)
{
	struct edu *edu = container_of(file->private_data, struct edu, misc);
	struct mm_struct *mm = current->mm;
	struct edu_file *ef;
	int ret;

	if (!mm)
		return -EINVAL;
	ef = kzalloc_obj(*ef);
	if (!ef)
		return -ENOMEM;
	ef->edu = edu;
	ef->mirror.ops = &edu_mirror_ops;
	ret = mmap_write_lock_killable(mm);
	if (ret)
		goto err_free;
	ret = hmm_mirror_register(&ef->mirror, mm);
	mmap_write_unlock(mm);
	if (ret)
		goto err_free;
	/*
	 * misc_deregister() waits for us, so the reference of the hardware
	 * exists
	 */
	kref_get(&edu->ref);
	file->private_data = ef;
	return nonseekable_open(inode, file);

err_free:
	kfree(ef);
	return ret;
}

static int edu_release(struct inode *inode, struct file *file)
{
	struct edu_file *ef = file->private_data;

	hmm_mirror_unregister(&ef->mirror);
	kref_put(&ef->edu->ref, edu_free);
	kfree(ef);
	return 0;
}

static const struct file_operations edu_fops = {
	.owner		= THIS_MODULE,
	.open		= edu_open,
	.release	= edu_release,
	.unlocked_ioctl	= edu_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

/* Probe and removal */

static int edu_probe_hardware(struct edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	edu->mmio = pcim_iomap_region(pdev, 0, KBUILD_MODNAME);
	if (IS_ERR(edu->mmio))
		return PTR_ERR(edu->mmio);
	if ((readl(edu->mmio + EDU_ID) & EDU_ID_MASK) != EDU_ID_IS)
		return -ENODEV;
	/* Beyond the reach of the device only an IOMMU helps */
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(dma_bits));
	if (ret) {
		dev_info(&pdev->dev,
			 "left alone: %u address bits do not reach all memory, and no IOMMU is before the device\n",
			 dma_bits);
		return -ENODEV;
	}
	/* A transfer that an earlier driver started must not reach memory */
	ret = edu_wait(edu);
	if (ret)
		return ret;
	pci_set_master(pdev);
	return 0;
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	static atomic_t devices = ATOMIC_INIT(-1);
	struct edu *edu;
	int ret;

	edu = kzalloc_obj(*edu);
	if (!edu)
		return -ENOMEM;
	kref_init(&edu->ref);
	mutex_init(&edu->engine);
	spin_lock_init(&edu->lock);
	edu->pdev = pdev;
	ret = edu_probe_hardware(edu);
	if (ret)
		goto err_put;

	snprintf(edu->name, sizeof(edu->name), "edu_mirror%d",
		 atomic_inc_return(&devices));
	edu->misc.minor = MISC_DYNAMIC_MINOR;
	edu->misc.name = edu->name;
	edu->misc.fops = &edu_fops;
	edu->misc.parent = &pdev->dev;
	edu->misc.mode = 0600;
	ret = misc_register(&edu->misc);
	if (ret)
		goto err_clear_master;
	pci_set_drvdata(pdev, edu);
	return 0;

err_clear_master:
	pci_clear_master(pdev);
err_put:
	kref_put(&edu->ref, edu_free);
	return ret;
}

/* Files may be open, and a transfer may be in progress. */
static void edu_remove(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	misc_deregister(&edu->misc);
	spin_lock(&edu->lock);
	WRITE_ONCE(edu->gone, true);
	edu_stop(edu);
	spin_unlock(&edu->lock);
	/*
	 * The holder of the engine may still map pages and read the registers
	 */
	mutex_lock(&edu->engine);
	pci_clear_master(pdev);
	mutex_unlock(&edu->engine);
	kref_put(&edu->ref, edu_free);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name		= KBUILD_MODNAME,
	.id_table	= edu_ids,
	.probe		= edu_probe,
	.remove		= edu_remove,
};

static int __init edu_init(void)
{
	if (!dma_bits || dma_bits > 64)
		return -EINVAL;
	return pci_register_driver(&edu_driver);
}

static void __exit edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
	/*
	 * Wait until the freed subscription can no longer call into the module
	 */
	mmu_notifier_synchronize();
}

module_init(edu_init);
module_exit(edu_exit);
MODULE_DESCRIPTION("QEMU's edu device on the memory of a process, a sample of HMM mirrors");
MODULE_LICENSE("GPL");
