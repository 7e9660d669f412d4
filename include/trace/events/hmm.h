/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of HMM mirrors: the life of mirrors and ranges, invalidations, the
 * ranges that they hit, the time in callbacks and in waits, the page tables
 * that are read, and results of faults. Together they show why a device's fault
 * was retried, and which task is the reason.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM hmm

#if !defined(_TRACE_HMM_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_HMM_H

#include <linux/hmm.h>
#include <linux/mmu_notifier.h>
#include <linux/tracepoint.h>

#ifndef HMM_MMAP_NEED
#define HMM_MMAP_NEED
/* Why hmm_range_fault_unlocked() takes the mmap lock. */
enum hmm_mmap_need {
	HMM_MMAP_NOT_NEEDED,
	HMM_MMAP_NO_VMA_LOCK,	/* the VMA could not be locked */
	HMM_MMAP_SEVERAL_VMAS,	/* the range is in more than one */
	HMM_MMAP_HUGE_MAPPING,	/* hugetlb or DAX */
	HMM_MMAP_NO_ANON_VMA,	/* a fault may have to make one */
	HMM_MMAP_TRIED,		/* a fault there has dropped a lock before */
};
#endif

/* Export the values, so that programs can decode them in raw traces. */
TRACE_DEFINE_ENUM(HMM_MMAP_NO_VMA_LOCK);
TRACE_DEFINE_ENUM(HMM_MMAP_SEVERAL_VMAS);
TRACE_DEFINE_ENUM(HMM_MMAP_HUGE_MAPPING);
TRACE_DEFINE_ENUM(HMM_MMAP_NO_ANON_VMA);
TRACE_DEFINE_ENUM(HMM_MMAP_TRIED);
TRACE_DEFINE_ENUM(MMU_NOTIFY_UNMAP);
TRACE_DEFINE_ENUM(MMU_NOTIFY_CLEAR);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_VMA);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_PAGE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_SOFT_DIRTY);
TRACE_DEFINE_ENUM(MMU_NOTIFY_RELEASE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_MIGRATE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_EXCLUSIVE);

#define hmm_show_event(event)						\
	__print_symbolic(event,						\
			 { MMU_NOTIFY_UNMAP, "unmap" },			\
			 { MMU_NOTIFY_CLEAR, "clear" },			\
			 { MMU_NOTIFY_PROTECTION_VMA, "protect vma" },	\
			 { MMU_NOTIFY_PROTECTION_PAGE, "protect page" }, \
			 { MMU_NOTIFY_SOFT_DIRTY, "soft dirty" },	\
			 { MMU_NOTIFY_RELEASE, "release" },		\
			 { MMU_NOTIFY_MIGRATE, "migrate" },		\
			 { MMU_NOTIFY_EXCLUSIVE, "exclusive" })

DECLARE_EVENT_CLASS(hmm_update,

	TP_PROTO(const struct mmu_notifier_range *update),

	TP_ARGS(update),

	TP_STRUCT__entry(
		__field(void *,		mm)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
		__field(int,		event)
		__field(bool,		blockable)
	),

	TP_fast_assign(
		__entry->mm		= update->mm;
		__entry->start		= update->start;
		__entry->end		= update->end;
		__entry->event		= update->event;
		__entry->blockable	= mmu_notifier_range_blockable(update);
	),

	TP_printk("mm=%p [0x%lx, 0x%lx) %s%s", __entry->mm, __entry->start,
		  __entry->end, hmm_show_event(__entry->event),
		  __entry->blockable ? "" : ", may not block")
);

DEFINE_EVENT(hmm_update, hmm_invalidate_start,

	TP_PROTO(const struct mmu_notifier_range *update),

	TP_ARGS(update)
);

DEFINE_EVENT(hmm_update, hmm_invalidate_end,

	TP_PROTO(const struct mmu_notifier_range *update),

	TP_ARGS(update)
);

/*
 * @update marks a range invalid: its entries are stale. If it was not valid
 * before, a fault was reading them. The current task makes the invalidation.
 */
TRACE_EVENT(hmm_range_hit,

	TP_PROTO(const struct mmu_notifier_range *update,
		 const struct hmm_range *range),

	TP_ARGS(update, range),

	TP_STRUCT__entry(
		__field(void *,		mm)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
		__field(int,		event)
		__field(bool,		valid)
	),

	TP_fast_assign(
		__entry->mm	= update->mm;
		__entry->start	= range->start;
		__entry->end	= range->end;
		__entry->event	= update->event;
		__entry->valid	= range->valid;
	),

	TP_printk("mm=%p [0x%lx, 0x%lx) was %s, %s", __entry->mm,
		  __entry->start, __entry->end,
		  __entry->valid ? "valid" : "not valid",
		  hmm_show_event(__entry->event))
);

DECLARE_EVENT_CLASS(hmm_mirror_life,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_mirror *mirror),

	TP_ARGS(mm, mirror),

	TP_STRUCT__entry(
		__field(const void *,	mm)
		__field(const void *,	mirror)
		__field(const void *,	sync)
	),

	TP_fast_assign(
		__entry->mm	= mm;
		__entry->mirror	= mirror;
		__entry->sync	= mirror->ops->sync_cpu_device_pagetables;
	),

	TP_printk("mm=%p mirror=%p %ps", __entry->mm, __entry->mirror,
		  __entry->sync)
);

DEFINE_EVENT(hmm_mirror_life, hmm_mirror_register,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_mirror *mirror),

	TP_ARGS(mm, mirror)
);

DEFINE_EVENT(hmm_mirror_life, hmm_mirror_unregister,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_mirror *mirror),

	TP_ARGS(mm, mirror)
);

/* A mirror's callback returned @ret after @ns. */
DECLARE_EVENT_CLASS(hmm_callback,

	TP_PROTO(const struct hmm_mirror *mirror,
		 const struct mmu_notifier_range *update, u64 ns, int ret),

	TP_ARGS(mirror, update, ns, ret),

	TP_STRUCT__entry(
		__field(const void *,	mm)
		__field(const void *,	mirror)
		__field(const void *,	sync)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
		__field(u64,		ns)
		__field(int,		ret)
	),

	TP_fast_assign(
		__entry->mm	= update->mm;
		__entry->mirror	= mirror;
		__entry->sync	= mirror->ops->sync_cpu_device_pagetables;
		__entry->start	= update->start;
		__entry->end	= update->end;
		__entry->ns	= ns;
		__entry->ret	= ret;
	),

	TP_printk("mm=%p mirror=%p [0x%lx, 0x%lx) %ps: %d after %llu ns",
		  __entry->mm, __entry->mirror, __entry->start, __entry->end,
		  __entry->sync, __entry->ret, __entry->ns)
);

DEFINE_EVENT(hmm_callback, hmm_mirror_sync,

	TP_PROTO(const struct hmm_mirror *mirror,
		 const struct mmu_notifier_range *update, u64 ns, int ret),

	TP_ARGS(mirror, update, ns, ret)
);

/* The second pass; @ret is 0. */
DEFINE_EVENT(hmm_callback, hmm_mirror_finish,

	TP_PROTO(const struct hmm_mirror *mirror,
		 const struct mmu_notifier_range *update, u64 ns, int ret),

	TP_ARGS(mirror, update, ns, ret)
);

DECLARE_EVENT_CLASS(hmm_range_life,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_range *range),

	TP_ARGS(mm, range),

	TP_STRUCT__entry(
		__field(const void *,	mm)
		__field(const void *,	mirror)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
	),

	TP_fast_assign(
		__entry->mm	= mm;
		__entry->mirror	= range->mirror;
		__entry->start	= range->start;
		__entry->end	= range->end;
	),

	TP_printk("mm=%p mirror=%p [0x%lx, 0x%lx)", __entry->mm,
		  __entry->mirror, __entry->start, __entry->end)
);

DEFINE_EVENT(hmm_range_life, hmm_range_register,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_range *range),

	TP_ARGS(mm, range)
);

DEFINE_EVENT(hmm_range_life, hmm_range_unregister,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_range *range),

	TP_ARGS(mm, range)
);

/*
 * A call waited for @ns for the end of invalidations. @done is false if the
 * time was up, the task is killed, or the range or its mm is gone.
 */
TRACE_EVENT(hmm_range_wait,

	TP_PROTO(const struct hmm_range *range, u64 ns, bool done),

	TP_ARGS(range, ns, done),

	TP_STRUCT__entry(
		__field(unsigned long,	start)
		__field(unsigned long,	end)
		__field(u64,		ns)
		__field(bool,		done)
	),

	TP_fast_assign(
		__entry->start	= range->start;
		__entry->end	= range->end;
		__entry->ns	= ns;
		__entry->done	= done;
	),

	TP_printk("[0x%lx, 0x%lx) %s after %llu ns", __entry->start,
		  __entry->end, __entry->done ? "done" : "failed", __entry->ns)
);

/*
 * @ret is 0 if all of the range was read, else the error of hmm_range_fault().
 */
TRACE_EVENT(hmm_range_fault,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_range *range,
		 unsigned int flags, int ret),

	TP_ARGS(mm, range, flags, ret),

	TP_STRUCT__entry(
		__field(void *,		mm)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
		__field(unsigned int,	flags)
		__field(int,		ret)
	),

	TP_fast_assign(
		__entry->mm	= (void *)mm;
		__entry->start	= range->start;
		__entry->end	= range->end;
		__entry->flags	= flags;
		__entry->ret	= ret;
	),

	TP_printk("mm=%p [0x%lx, 0x%lx) %s: %d", __entry->mm, __entry->start,
		  __entry->end,
		  __print_flags(__entry->flags, "|",
				{ HMM_FAULT_ALLOW_RETRY, "allow retry" },
				{ HMM_FAULT_SNAPSHOT, "snapshot" }),
		  __entry->ret)
);

/* The walk reads the entries of [start, end), all in one page table. */
TRACE_EVENT(hmm_walk_table,

	TP_PROTO(const struct mm_struct *mm, unsigned long start,
		 unsigned long end),

	TP_ARGS(mm, start, end),

	TP_STRUCT__entry(
		__field(void *,		mm)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
	),

	TP_fast_assign(
		__entry->mm	= (void *)mm;
		__entry->start	= start;
		__entry->end	= end;
	),

	TP_printk("mm=%p [0x%lx, 0x%lx)", __entry->mm, __entry->start,
		  __entry->end)
);

/* hmm_range_fault_unlocked() takes the mmap lock. */
TRACE_EVENT(hmm_mmap_lock,

	TP_PROTO(const struct mm_struct *mm, const struct hmm_range *range,
		 enum hmm_mmap_need need),

	TP_ARGS(mm, range, need),

	TP_STRUCT__entry(
		__field(void *,		mm)
		__field(unsigned long,	start)
		__field(unsigned long,	end)
		__field(int,		need)
	),

	TP_fast_assign(
		__entry->mm	= (void *)mm;
		__entry->start	= range->start;
		__entry->end	= range->end;
		__entry->need	= need;
	),

	TP_printk("mm=%p [0x%lx, 0x%lx) %s", __entry->mm, __entry->start,
		  __entry->end,
		  __print_symbolic(__entry->need,
				   { HMM_MMAP_NO_VMA_LOCK, "no vma lock" },
				   { HMM_MMAP_SEVERAL_VMAS, "several vmas" },
				   { HMM_MMAP_HUGE_MAPPING, "huge mapping" },
				   { HMM_MMAP_NO_ANON_VMA, "no anon_vma" },
				   { HMM_MMAP_TRIED, "tried before" }))
);

#endif /* _TRACE_HMM_H */

/* Must be outside of the include guard */
#include <trace/define_trace.h>
