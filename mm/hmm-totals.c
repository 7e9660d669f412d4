// SPDX-License-Identifier: GPL-2.0
/*
 * Totals of each HMM mirror, in /sys/kernel/debug/hmm:
 *
 *	enable	1 to count from zero, 0 to stop
 *	totals	a line for each mirror: its operations, and why they were made
 *		again
 *	why	the calls that each mirror was called for
 *
 * Probes of HMM's tracepoints do the counting, so there is no cost until it is
 * enabled. tools/mm/hmm-top reads these files.
 */
#include <linux/debugfs.h>
#include <linux/hmm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/stacktrace.h>
#include <trace/events/hmm.h>

#define HMM_TOTALS_MIRRORS	64
#define HMM_TOTALS_CAUSES	32
#define HMM_TOTALS_DEPTH	32

enum hmm_count {
	HMM_COUNT_RANGES,
	HMM_COUNT_FAULTS,
	HMM_COUNT_PAGES,
	HMM_COUNT_BUSY,
	HMM_COUNT_FAILED,
	HMM_COUNT_COLLISIONS,
	HMM_COUNT_CALLBACKS,
	HMM_COUNT_CALLBACK_NS,
	HMM_COUNT_WAITS,
	HMM_COUNT_WAIT_NS,
	/* By enum hmm_mmap_need, from 1 on */
	HMM_COUNT_MMAP,
	HMM_COUNTS = HMM_COUNT_MMAP + HMM_MMAP_TRIED,
};

#define HMM_COUNT_NAMES \
	"ranges faults pages busy failed collisions callbacks " \
	"callback_ns waits wait_ns no_vma_lock several_vmas huge_mapping " \
	"no_anon_vma tried"

/*
 * A call that makes invalidations: how often, and how many ranges these have
 * hit. The innermost function is the first.
 */
struct hmm_cause {
	unsigned long calls;
	unsigned long hits;
	enum mmu_notifier_event event;
	char comm[TASK_COMM_LEN];
	unsigned int depth;
	unsigned long stack[HMM_TOTALS_DEPTH];
};

/**
 * struct hmm_totals - totals of a mirror
 * @mirror: only compared; NULL after its end
 * @id: never used twice
 * @pid: its process, or 0 until that was the current one in an event
 * @comm: of @pid
 * @sync: its callback, which names the driver
 * @counts: the totals
 * @causes: the most frequent ones
 */
struct hmm_totals {
	const struct hmm_mirror *mirror;
	unsigned long id;
	pid_t pid;
	char comm[TASK_COMM_LEN];
	const void *sync;
	u64 counts[HMM_COUNTS];
	struct hmm_cause causes[HMM_TOTALS_CAUSES];
};

/* Allocated when it is first enabled, and kept. */
static struct hmm_totals *hmm_totals;
static unsigned long hmm_totals_ids;
static bool hmm_totals_on;
/* Protects hmm_totals_on */
static DEFINE_MUTEX(hmm_totals_mutex);
/* Protects the totals. Probes run with preemption off, and in interrupts. */
static DEFINE_RAW_SPINLOCK(hmm_totals_lock);

/* Begins the totals of a mirror, in the place of the oldest. */
static struct hmm_totals *hmm_totals_new(const struct hmm_mirror *mirror)
{
	struct hmm_totals *t, *oldest = hmm_totals;

	for (t = hmm_totals; t < hmm_totals + HMM_TOTALS_MIRRORS; t++)
		if (t->id < oldest->id)
			oldest = t;
	memset(oldest, 0, sizeof(*oldest));
	oldest->mirror = mirror;
	oldest->id = ++hmm_totals_ids;
	return oldest;
}

static struct hmm_totals *hmm_totals_of(const struct hmm_mirror *mirror,
					const struct mm_struct *mm)
{
	struct hmm_totals *t;

	lockdep_assert_held(&hmm_totals_lock);

	for (t = hmm_totals; t < hmm_totals + HMM_TOTALS_MIRRORS; t++)
		if (t->mirror == mirror)
			break;
	if (t == hmm_totals + HMM_TOTALS_MIRRORS)
		t = hmm_totals_new(mirror);
	if (!t->pid && mm && current->mm == mm &&
	    !(current->flags & PF_KTHREAD)) {
		t->pid = current->tgid;
		strscpy(t->comm, current->group_leader->comm);
	}
	return t;
}

/* A range may lose its mirror: @mirror can be NULL. */
static void hmm_totals_add(const struct hmm_mirror *mirror,
			   const struct mm_struct *mm, enum hmm_count which,
			   u64 n)
{
	unsigned long flags;

	if (!mirror)
		return;
	raw_spin_lock_irqsave(&hmm_totals_lock, flags);
	hmm_totals_of(mirror, mm)->counts[which] += n;
	raw_spin_unlock_irqrestore(&hmm_totals_lock, flags);
}

/* Reads from a mirror that cannot go meanwhile. */
static void hmm_totals_read(const struct hmm_mirror *mirror,
			    const struct mm_struct *mm)
{
	struct hmm_totals *t;
	unsigned long flags;

	raw_spin_lock_irqsave(&hmm_totals_lock, flags);
	t = hmm_totals_of(mirror, mm);
	t->sync = mirror->ops->sync_cpu_device_pagetables;
	t->counts[HMM_COUNT_RANGES] = READ_ONCE(mirror->nr_ranges);
	raw_spin_unlock_irqrestore(&hmm_totals_lock, flags);
}

/* ------------------------------------------------------------------ probes */

static void hmm_totals_mirror(void *data, const struct mm_struct *mm,
			      const struct hmm_mirror *mirror)
{
	hmm_totals_read(mirror, mm);
}

static void hmm_totals_no_mirror(void *data, const struct mm_struct *mm,
				 const struct hmm_mirror *mirror)
{
	unsigned long flags;

	hmm_totals_read(mirror, mm);
	raw_spin_lock_irqsave(&hmm_totals_lock, flags);
	hmm_totals_of(mirror, mm)->mirror = NULL;
	raw_spin_unlock_irqrestore(&hmm_totals_lock, flags);
}

/* The start or the end of a registration. */
static void hmm_totals_range(void *data, const struct mm_struct *mm,
			     const struct hmm_range *range)
{
	hmm_totals_read(range->mirror, mm);
}

static void hmm_totals_finish(void *data, const struct hmm_mirror *mirror,
			      const struct mmu_notifier_range *update, u64 ns,
			      int ret)
{
	hmm_totals_add(mirror, update->mm, HMM_COUNT_CALLBACK_NS, ns);
}

static void hmm_totals_fault(void *data, const struct mm_struct *mm,
			     const struct hmm_range *range, unsigned int how,
			     int ret)
{
	const struct hmm_mirror *mirror = READ_ONCE(range->mirror);

	hmm_totals_add(mirror, mm, HMM_COUNT_FAULTS, 1);
	if (!ret)
		hmm_totals_add(mirror, mm, HMM_COUNT_PAGES,
			       (range->end - range->start) >> PAGE_SHIFT);
	else
		hmm_totals_add(mirror, mm, ret == -EBUSY ? HMM_COUNT_BUSY :
			       HMM_COUNT_FAILED, 1);
}

static void hmm_totals_mmap_lock(void *data, const struct mm_struct *mm,
				 const struct hmm_range *range,
				 enum hmm_mmap_need need)
{
	hmm_totals_add(READ_ONCE(range->mirror), mm, HMM_COUNT_MMAP + need - 1,
		       1);
}

static void hmm_totals_wait(void *data, const struct hmm_range *range, u64 ns,
			    bool done)
{
	const struct hmm_mirror *mirror = READ_ONCE(range->mirror);

	hmm_totals_add(mirror, NULL, HMM_COUNT_WAITS, 1);
	hmm_totals_add(mirror, NULL, HMM_COUNT_WAIT_NS, ns);
}

static bool hmm_cause_equal(const struct hmm_cause *a,
			    const struct hmm_cause *b)
{
	return a->event == b->event && a->depth == b->depth &&
	       !strcmp(a->comm, b->comm) &&
	       !memcmp(a->stack, b->stack, a->depth * sizeof(*a->stack));
}

/* Returns the entry of @new, or else the least frequent one for it. */
static struct hmm_cause *hmm_cause_find(struct hmm_totals *t,
					const struct hmm_cause *new)
{
	struct hmm_cause *cause, *least = t->causes;

	for (cause = t->causes; cause < t->causes + HMM_TOTALS_CAUSES; cause++)
		if (hmm_cause_equal(cause, new))
			return cause;
		else if (cause->calls + cause->hits < least->calls + least->hits)
			least = cause;
	*least = *new;
	return least;
}

static void hmm_totals_blame(const struct hmm_mirror *mirror,
			     const struct mmu_notifier_range *update,
			     unsigned int calls, unsigned int hits)
{
	struct hmm_cause new = { .event = update->event };
	struct hmm_cause *cause;
	unsigned long flags;

	strscpy(new.comm, current->comm);
	new.depth = stack_trace_save(new.stack, HMM_TOTALS_DEPTH, 0);
	raw_spin_lock_irqsave(&hmm_totals_lock, flags);
	cause = hmm_cause_find(hmm_totals_of(mirror, update->mm), &new);
	cause->calls += calls;
	cause->hits += hits;
	raw_spin_unlock_irqrestore(&hmm_totals_lock, flags);
}

static void hmm_totals_sync(void *data, const struct hmm_mirror *mirror,
			    const struct mmu_notifier_range *update, u64 ns,
			    int ret)
{
	hmm_totals_read(mirror, update->mm);
	hmm_totals_add(mirror, update->mm, HMM_COUNT_CALLBACKS, 1);
	hmm_totals_add(mirror, update->mm, HMM_COUNT_CALLBACK_NS, ns);
	hmm_totals_blame(mirror, update, 1, 0);
}

static void hmm_totals_hit(void *data, const struct mmu_notifier_range *update,
			   const struct hmm_range *range)
{
	hmm_totals_add(range->mirror, update->mm, HMM_COUNT_COLLISIONS, 1);
	hmm_totals_blame(range->mirror, update, 0, 1);
}

static const struct {
	struct tracepoint *event;
	void *probe;
} hmm_probes[] = {
	{ &__tracepoint_hmm_mirror_register, hmm_totals_mirror },
	{ &__tracepoint_hmm_mirror_unregister, hmm_totals_no_mirror },
	{ &__tracepoint_hmm_mirror_sync, hmm_totals_sync },
	{ &__tracepoint_hmm_mirror_finish, hmm_totals_finish },
	{ &__tracepoint_hmm_range_register, hmm_totals_range },
	{ &__tracepoint_hmm_range_unregister, hmm_totals_range },
	{ &__tracepoint_hmm_range_hit, hmm_totals_hit },
	{ &__tracepoint_hmm_range_fault, hmm_totals_fault },
	{ &__tracepoint_hmm_range_wait, hmm_totals_wait },
	{ &__tracepoint_hmm_mmap_lock, hmm_totals_mmap_lock },
};

/* ------------------------------------------------------------------- files */

static void hmm_totals_stop(unsigned int nr)
{
	while (nr--)
		tracepoint_probe_unregister(hmm_probes[nr].event,
					    hmm_probes[nr].probe, NULL);
	tracepoint_synchronize_unregister();
}

static int hmm_totals_start(void)
{
	const size_t size = array_size(HMM_TOTALS_MIRRORS, sizeof(*hmm_totals));
	unsigned int i;
	int ret = 0;

	if (!hmm_totals)
		hmm_totals = kvmalloc(size, GFP_KERNEL);
	if (!hmm_totals)
		return -ENOMEM;
	memset(hmm_totals, 0, size);
	for (i = 0; i < ARRAY_SIZE(hmm_probes) && !ret; i++)
		ret = tracepoint_probe_register(hmm_probes[i].event,
						hmm_probes[i].probe, NULL);
	if (ret)
		hmm_totals_stop(i - 1);
	return ret;
}

static int hmm_totals_enable(void *data, u64 on)
{
	int ret = 0;

	guard(mutex)(&hmm_totals_mutex);
	if (!!on == hmm_totals_on)
		return 0;
	if (on)
		ret = hmm_totals_start();
	else
		hmm_totals_stop(ARRAY_SIZE(hmm_probes));
	if (!ret)
		hmm_totals_on = on;
	return ret;
}

static int hmm_totals_enabled(void *data, u64 *on)
{
	*on = hmm_totals_on;
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(hmm_enable_fops, hmm_totals_enabled,
			 hmm_totals_enable, "%llu\n");

static void hmm_totals_line(struct seq_file *m, const struct hmm_totals *t)
{
	unsigned int i;

	seq_printf(m, "%lu %d ", t->id, t->pid);
	for (i = 0; i < HMM_COUNTS; i++)
		seq_printf(m, "%llu ", t->counts[i]);
	seq_escape(m, t->pid ? t->comm : "-", " \t\n\\");
	seq_printf(m, " %s %ps\n", t->mirror ? "live" : "gone", t->sync);
}

static void hmm_why_lines(struct seq_file *m, const struct hmm_totals *t)
{
	static const char * const events[] = {
		[MMU_NOTIFY_UNMAP] = "unmap",
		[MMU_NOTIFY_CLEAR] = "clear",
		[MMU_NOTIFY_PROTECTION_VMA] = "protect-vma",
		[MMU_NOTIFY_PROTECTION_PAGE] = "protect-page",
		[MMU_NOTIFY_SOFT_DIRTY] = "soft-dirty",
		[MMU_NOTIFY_RELEASE] = "release",
		[MMU_NOTIFY_MIGRATE] = "migrate",
		[MMU_NOTIFY_EXCLUSIVE] = "exclusive",
	};
	const struct hmm_cause *cause = t->causes;
	unsigned int i;

	for (; cause < t->causes + HMM_TOTALS_CAUSES; cause++) {
		if (!cause->depth)
			break;
		seq_printf(m, "%lu %d %lu %lu %s ", t->id, t->pid, cause->calls,
			   cause->hits, events[cause->event]);
		seq_escape(m, cause->comm, " \t\n\\");
		for (i = 0; i < cause->depth; i++)
			seq_printf(m, " %ps", (void *)cause->stack[i]);
		seq_putc(m, '\n');
	}
}

/* Prints a copy of the totals of each mirror. */
static int hmm_totals_each(struct seq_file *m,
			   void (*print)(struct seq_file *m,
					 const struct hmm_totals *t))
{
	struct hmm_totals *t, *copy;

	guard(mutex)(&hmm_totals_mutex);
	if (!hmm_totals)
		return 0;
	copy = kmalloc(sizeof(*copy), GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	for (t = hmm_totals; t < hmm_totals + HMM_TOTALS_MIRRORS; t++) {
		scoped_guard(raw_spinlock_irqsave, &hmm_totals_lock)
			memcpy(copy, t, sizeof(*copy));
		if (copy->id)
			print(m, copy);
	}
	kfree(copy);
	return 0;
}

static int hmm_totals_show(struct seq_file *m, void *v)
{
	seq_puts(m, "mirror pid " HMM_COUNT_NAMES " comm life callback\n");
	return hmm_totals_each(m, hmm_totals_line);
}
DEFINE_SHOW_ATTRIBUTE(hmm_totals);

static int hmm_why_show(struct seq_file *m, void *v)
{
	seq_puts(m, "mirror pid calls hits event comm functions\n");
	return hmm_totals_each(m, hmm_why_lines);
}
DEFINE_SHOW_ATTRIBUTE(hmm_why);

static int __init hmm_totals_init(void)
{
	struct dentry *dir = debugfs_create_dir("hmm", NULL);

	debugfs_create_file_unsafe("enable", 0600, dir, NULL, &hmm_enable_fops);
	debugfs_create_file("totals", 0400, dir, NULL, &hmm_totals_fops);
	debugfs_create_file("why", 0400, dir, NULL, &hmm_why_fops);
	return 0;
}
late_initcall(hmm_totals_init);
