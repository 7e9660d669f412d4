/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of these drivers that are unrelated to HMM: files, arguments, and
 * copies between a page and a kernel buffer.
 *
 * Each driver has a struct compat_driver with its functions. A file is one
 * buffer in the memory of the process that opened it.
 */
#ifndef SELFTESTS_VM_COMPAT_H
#define SELFTESTS_VM_COMPAT_H

#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "compat_uapi.h"

/* Part of the tree that it is built in, so it does not taint the kernel. */
MODULE_INFO(intree, "Y");

/**
 * struct compat_file - an open file, embedded in a driver's own structure
 * @mm: mm of the opener, held by mmgrab() only
 * @start: start of the buffer
 * @end: end of the buffer, 0 if there is none yet
 * @faults: number of device faults of the current request
 */
struct compat_file {
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	u32 faults;
};

/**
 * struct compat_driver - one of the drivers
 * @misc: its device node
 * @size: size of the structure that starts with a struct compat_file
 * @open: open a file; @mm is set
 * @release: close a file; no other call is in progress
 * @buffer: set the buffer of a file
 * @copy: copy between @data and the buffer
 */
struct compat_driver {
	struct miscdevice misc;
	size_t size;
	int (*open)(struct compat_file *file);
	void (*release)(struct compat_file *file);
	int (*buffer)(struct compat_file *file);
	int (*copy)(struct compat_file *file, void *data, bool write);
};

static struct compat_driver compat_driver;

static inline void compat_copy_page(struct page *page, void *data, bool write)
{
	if (write) {
		memcpy_to_page(page, 0, data, PAGE_SIZE);
		set_page_dirty(page);
	} else {
		memcpy_from_page(data, page, 0, PAGE_SIZE);
	}
}

static int compat_buffer(struct compat_file *file, void __user *user)
{
	struct compat_buffer buffer;

	if (copy_from_user(&buffer, user, sizeof(buffer)))
		return -EFAULT;
	if (file->end || !PAGE_ALIGNED(buffer.addr) || !buffer.npages ||
	    buffer.npages > COMPAT_MAX_PAGES ||
	    buffer.addr >= TASK_SIZE - COMPAT_MAX_PAGES * PAGE_SIZE)
		return -EINVAL;
	file->start = buffer.addr;
	file->end = buffer.addr + buffer.npages * PAGE_SIZE;
	return compat_driver.buffer(file);
}

static int compat_copy(struct compat_file *file, void __user *user)
{
	unsigned long size = file->end - file->start;
	struct compat_copy copy;
	void *data;
	int ret = 0;

	if (copy_from_user(&copy, user, sizeof(copy)))
		return -EFAULT;
	if (!file->end || copy.write > 1)
		return -EINVAL;
	data = kvmalloc(size, GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	if (copy.write &&
	    copy_from_user(data, u64_to_user_ptr(copy.ptr), size))
		ret = -EFAULT;
	file->faults = 0;
	if (!ret)
		ret = compat_driver.copy(file, data, copy.write);
	copy.faults = file->faults;
	if (!ret && !copy.write &&
	    copy_to_user(u64_to_user_ptr(copy.ptr), data, size))
		ret = -EFAULT;
	kvfree(data);
	if (!ret && copy_to_user(user, &copy, sizeof(copy)))
		ret = -EFAULT;
	return ret;
}

/* One request at a time per file, which is all that the tests need. */
static long compat_ioctl(struct file *filp, unsigned int cmd,
			 unsigned long arg)
{
	struct compat_file *file = filp->private_data;
	int ret = -ENOTTY;

	if (current->mm != file->mm)
		return -EPERM;
	inode_lock(file_inode(filp));
	if (cmd == COMPAT_BUFFER)
		ret = compat_buffer(file, (void __user *)arg);
	else if (cmd == COMPAT_COPY)
		ret = compat_copy(file, (void __user *)arg);
	inode_unlock(file_inode(filp));
	return ret;
}

static int compat_open(struct inode *inode, struct file *filp)
{
	struct compat_file *file = kzalloc(compat_driver.size, GFP_KERNEL);
	int ret;

	if (!file)
		return -ENOMEM;
	file->mm = current->mm;
	mmgrab(file->mm);
	ret = compat_driver.open(file);
	if (!ret) {
		filp->private_data = file;
		return nonseekable_open(inode, filp);
	}
	mmdrop(file->mm);
	kfree(file);
	return ret;
}

/* The driver frees the file, now or later. */
static int compat_release(struct inode *inode, struct file *filp)
{
	struct compat_file *file = filp->private_data;
	struct mm_struct *mm = file->mm;

	compat_driver.release(file);
	mmdrop(mm);
	return 0;
}

static const struct file_operations compat_fops = {
	.owner		= THIS_MODULE,
	.open		= compat_open,
	.release	= compat_release,
	.unlocked_ioctl	= compat_ioctl,
};

static inline int compat_init(const char *name)
{
	compat_driver.misc = (struct miscdevice){
		.minor = MISC_DYNAMIC_MINOR,
		.name = name,
		.fops = &compat_fops,
		.mode = 0600,
	};
	return misc_register(&compat_driver.misc);
}

#endif /* SELFTESTS_VM_COMPAT_H */
