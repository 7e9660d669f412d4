// SPDX-License-Identifier: GPL-2.0
/*
 * Torture: CPUs change an address space in every way that a process can, while
 * devices use it through several mirrors. hmm-oracle.h knows which values each
 * word may have, and when an access must fail or must not.
 *
 *	hmm-torture [-n OPERATIONS] [-s SECONDS] [-r SEED] [-p] [-m]
 *
 * It ends with the first violation, after OPERATIONS of the devices, or after
 * SECONDS. The choices of each thread follow from SEED, which it prints, and
 * the order of the threads does not. -p first proves the oracle: devices that
 * break a rule (parameter break_rules of test_hmm) must be found out. -m also
 * takes memory of the machine offline and back.
 *
 * Pages move during the run, so after the start no thread lets the kernel
 * choose the address of a mapping: it could choose a hole in the memory that is
 * tested.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/prctl.h>

#include "../kselftest.h"
#include "hmm-edu.h"
#include "hmm-module.h"
#include "hmm-oracle.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_COLD
#define MADV_COLD		20
#endif
#define MADV_INSTALL_GUARD	102
#define MADV_REMOVE_GUARD	103

#define REGION_PAGES	16
#define BLOCK_REGIONS	2
#define NR_REGIONS	(NR_BLOCKS * BLOCK_REGIONS)
#define NR_SLOTS	(NR_REGIONS * REGION_PAGES)

#define NR_DEVICE_THREADS	5
#define NR_CPU_THREADS		1
#define NR_CHANGE_THREADS	2
#define NR_OTHER_THREADS	3
#define NR_THREADS		(NR_DEVICE_THREADS + NR_CPU_THREADS + \
				 NR_CHANGE_THREADS + NR_OTHER_THREADS)

/* Pages of one device request, at most. */
#define SPAN	8

/* A thread that does nothing for so long hangs. */
#define HANG_SECONDS	300

/* A block is one huge page of addresses; its regions are in it, not all of it. */
enum block_kind {
	BLOCK_ANON,
	BLOCK_THP,
	BLOCK_UFFD,
	BLOCK_COPY,
	BLOCK_SHARED,
	NR_BLOCKS,
};

/**
 * struct thread - a thread of the torture
 * @id: its handle
 * @number: from 1
 * @random: state of its random numbers
 * @progress: number of operations so far
 * @name: current operation
 * @fd: its device
 * @unit: number of that device
 * @scratch: addresses of a huge page for mappings that move
 * @buf: for a request
 */
struct thread {
	pthread_t	id;
	int		number;
	uint64_t	random;
	uint64_t	progress;
	const char	*name;
	int		fd;
	unsigned int	unit;
	char		*scratch;
	uint64_t	*buf;
};

enum {
	COUNT_READS,
	COUNT_WRITES,
	COUNT_MIGRATIONS,
	COUNT_EXCLUSIVE,
	COUNT_SNAPSHOTS,
	COUNT_DMA,
	COUNT_OTHERS,
	NR_DEVICE_COUNTS,
	COUNT_REFUSED = NR_DEVICE_COUNTS,
	COUNT_CPU,
	COUNT_CHANGES,
	COUNT_FORKS,
	COUNT_SERVED,
	NR_COUNTS,
};

static struct {
	struct slot	slots[NR_SLOTS];
	struct region	regions[NR_REGIONS];
	uint64_t	counts[NR_COUNTS];
	uint32_t	stop;
} *shared;

/* Values of @stop: the server of the userfaultfd is the last one to end. */
#define STOP_OTHERS	1
#define STOP_SERVER	2

static struct thread threads[NR_THREADS];
static char *blocks[NR_BLOCKS];
static int files[NR_BLOCKS];
static int uffd = -1;
static int dma = -1;
static bool with_hotplug;

static __thread struct thread *self;
static __thread sigjmp_buf fault_jump;
static __thread volatile sig_atomic_t fault_armed;

static void count(int which)
{
	__atomic_add_fetch(&shared->counts[which], 1, __ATOMIC_RELAXED);
}

static uint64_t counted(int which)
{
	return __atomic_load_n(&shared->counts[which], __ATOMIC_RELAXED);
}

static uint64_t device_operations(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < NR_DEVICE_COUNTS; i++)
		sum += counted(i);
	return sum;
}

static bool stopped(void)
{
	return oracle_get(&shared->stop) >= STOP_OTHERS;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* A number below @n. */
static unsigned int random_below(unsigned int n)
{
	return next_random(&self->random) % n;
}

static noreturn void die(const char *name)
{
	printf("# %s: %s\n", name, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/*
 * Memory
 */

static enum block_kind kind_of(const struct region *region)
{
	return (region - shared->regions) / BLOCK_REGIONS;
}

static struct slot *slots_of(const struct region *region)
{
	return &shared->slots[(region - shared->regions) * REGION_PAGES];
}

static char *start_of(const struct region *region)
{
	return slots_of(region)->addr;
}

static struct region *random_region(void)
{
	return &shared->regions[random_below(NR_REGIONS)];
}

static int map_flags(enum block_kind kind)
{
	int type = kind == BLOCK_SHARED ? MAP_SHARED : MAP_PRIVATE;

	return type | MAP_FIXED | (files[kind] < 0 ? MAP_ANONYMOUS : 0);
}

static void register_uffd(char *at, size_t size, bool on)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)at, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	/* An error leaves it as it is */
	if (on)
		ioctl(uffd, UFFDIO_REGISTER, &reg);
	else
		ioctl(uffd, UFFDIO_UNREGISTER, &reg.range);
}

/* Map new memory of the block's kind at @at. */
static int map_fresh(enum block_kind kind, char *at, size_t size)
{
	if (mmap(at, size, FULL_ACCESS, map_flags(kind), files[kind],
		 files[kind] < 0 ? 0 : at - blocks[kind]) == MAP_FAILED)
		return -errno;
	if (kind == BLOCK_THP)
		madvise(at, size, MADV_HUGEPAGE);
	if (kind == BLOCK_SHARED)
		return madvise(at, size, MADV_REMOVE) ? -errno : 0;
	if (kind == BLOCK_UFFD)
		register_uffd(at, size, true);
	return 0;
}

/*
 * The CPU's accesses
 */

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	if (fault_armed)
		siglongjmp(fault_jump, 1);
	printf("# signal %d at %p\n", signal, info->si_addr);
	fflush(stdout);
	_exit(1);
}

/* Copy the watched words of a page; -EFAULT if a fault comes in between. */
static int cpu_copy(uint64_t *to, const uint64_t *from)
{
	if (sigsetjmp(fault_jump, 0)) {
		fault_armed = 0;
		return -EFAULT;
	}
	fault_armed = 1;
	for (unsigned int i = 0; i < WORDS * WORD_STEP; i += WORD_STEP)
		__atomic_store_n(&to[i],
				 __atomic_load_n(&from[i], __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
	fault_armed = 0;
	return 0;
}

/* A read since the window was opened. */
static void cpu_check_window(struct window *window, const char *name)
{
	int err = cpu_copy(self->buf, (uint64_t *)window->slot->addr);

	oracle_check_err(window, name, err, false);
	if (!err)
		oracle_check(window, name, self->buf, true);
	count(err ? COUNT_REFUSED : COUNT_CPU);
}

static void cpu_check(struct slot *slot, const char *name)
{
	struct window window = oracle_open(slot);

	cpu_check_window(&window, name);
}

static void cpu_write(struct slot *slot)
{
	bool zeros = !random_below(16);
	struct store store;
	int err;

	if (!oracle_trylock(&slot->lock))
		return;
	oracle_begin(&store, slot, zeros);
	oracle_stamp(self->buf, zeros ? NULL : slot, store.version);
	err = cpu_copy((uint64_t *)slot->addr, self->buf);
	oracle_check_err(&store.window, "the CPU's write", err, true);
	oracle_end(&store, zeros ? "CPU writes zeros" : "CPU writes", err);
	oracle_unlock(&slot->lock);
	count(err ? COUNT_REFUSED : COUNT_CPU);
}

static void cpu_step(void)
{
	struct slot *slot = &shared->slots[random_below(NR_SLOTS)];

	self->name = "CPU access";
	if (random_below(2))
		cpu_check(slot, "the CPU's read");
	else
		cpu_write(slot);
}

/*
 * The devices' accesses
 */

/* A span of slots in one region. */
struct span {
	struct slot	*first;
	unsigned int	n;
	struct window	windows[SPAN];
};

static struct span random_span(unsigned int most)
{
	struct span span = { .n = 1 + random_below(most) };
	unsigned int first = random_below(REGION_PAGES - span.n + 1);

	span.first = slots_of(random_region()) + first;
	for (unsigned int i = 0; i < span.n; i++)
		span.windows[i] = oracle_open(span.first + i);
	return span;
}

static int request_span(struct span *span, unsigned long request)
{
	return hmm_cmd(self->fd, request, span->first->addr, self->buf, span->n,
		       NULL);
}

/* @strict: there is no reason to fail but the memory. */
static void check_span(struct span *span, const char *name, int err, bool write,
		       bool strict)
{
	for (unsigned int i = 0; i < span->n; i++) {
		/* Another page of the span may have been the reason */
		if (!err || (strict && span->n == 1))
			oracle_check_err(&span->windows[i], name, err, write);
		if (!err)
			oracle_check(&span->windows[i], name,
				     self->buf + i * PAGE / 8, false);
	}
}

static void device_read(void)
{
	struct span span = random_span(SPAN);
	int err = request_span(&span, HMM_DMIRROR_READ);

	check_span(&span, "the device's read", err, false, true);
	count(err ? COUNT_REFUSED : COUNT_READS);
}

static void device_write(void)
{
	struct slot *slot = &shared->slots[random_below(NR_SLOTS)];
	bool zeros = !random_below(16);
	struct store store;
	int err;

	if (!oracle_trylock(&slot->lock))
		return;
	oracle_begin(&store, slot, zeros);
	oracle_stamp(self->buf, zeros ? NULL : slot, store.version);
	err = hmm_cmd(self->fd, HMM_DMIRROR_WRITE, slot->addr, self->buf, 1,
		      NULL);
	oracle_check_err(&store.window, "the device's write", err, true);
	oracle_end(&store, zeros ? "device writes zeros" : "device writes",
		   err);
	oracle_unlock(&slot->lock);
	count(err ? COUNT_REFUSED : COUNT_WRITES);
}

static void device_migrate(bool back)
{
	struct span span = random_span(SPAN);
	int err;

	if (back) {
		err = request_span(&span, HMM_DMIRROR_MIGRATE_TO_SYS);
		oracle_event(span.first, "migrate to system", span.n, err);
	} else {
		err = request_span(&span, HMM_DMIRROR_MIGRATE_TO_DEV);
		oracle_event(span.first, "migrate to device", span.n, err);
		check_span(&span, "the device's read of its memory", err, false,
			   false);
	}
	count(err ? COUNT_REFUSED : COUNT_MIGRATIONS);
}

static void device_exclusive(void)
{
	struct span span = random_span(2);
	int err = request_span(&span, HMM_DMIRROR_EXCLUSIVE);

	oracle_event(span.first, "exclusive access", span.n, err);
	check_span(&span, "the device's exclusive read", err, true, false);
	count(err ? COUNT_REFUSED : COUNT_EXCLUSIVE);
}

static void check_prot(struct window *window, uint8_t prot)
{
	bool readable = window->access & ACCESS_READABLE;

	if (prot == HMM_DMIRROR_PROT_ERROR) {
		oracle_check_err(window, "the snapshot", -EFAULT, false);
	} else if (oracle_all_in(window, PHASE_OFF) &&
		   (!readable || prot & HMM_DMIRROR_PROT_WRITE)) {
		oracle_close(window);
		oracle_violation(window, "the snapshot",
				 "access %#x to memory that is %s", prot,
				 readable ? "read-only" : "not there");
	}
}

static void device_snapshot(void)
{
	struct span span = random_span(SPAN);
	uint8_t *prot = (uint8_t *)self->buf;
	int err = request_span(&span, HMM_DMIRROR_SNAPSHOT);

	for (unsigned int i = 0; !err && i < span.n; i++)
		check_prot(&span.windows[i], prot[i]);
	count(err ? COUNT_REFUSED : COUNT_SNAPSHOTS);
}

static void device_fault_call(void)
{
	struct hmm_dmirror_fault_call call = { .locked = random_below(2) };

	if (ioctl(self->fd, HMM_DMIRROR_FAULT_CALL, &call))
		die("FAULT_CALL");
	count(COUNT_OTHERS);
}

static void device_renew(void)
{
	close(self->fd);
	self->fd = hmm_open(self->unit);
	if (self->fd < 0)
		die("open");
	count(COUNT_OTHERS);
}

static void device_evict(void)
{
	struct span span = random_span(1);

	request_span(&span, HMM_DMIRROR_RELEASE);
	count(COUNT_OTHERS);
}

static void device_step(void)
{
	unsigned int dice = random_below(1000);

	self->name = "device operation";
	if (dice < 480)
		device_read();
	else if (dice < 760)
		device_write();
	else if (dice < 840)
		device_snapshot();
	else if (dice < 890)
		device_migrate(false);
	else if (dice < 910)
		device_migrate(true);
	else if (dice < 960)
		device_exclusive();
	else if (dice < 996)
		device_fault_call();
	else if (dice < 999)
		device_renew();
	else
		device_evict();
}

/*
 * Changes that take memory away
 */

static void region_event(struct region *region, const char *name, int err)
{
	for (unsigned int i = 0; i < REGION_PAGES; i++)
		oracle_event(slots_of(region) + i, name, 0, err);
}

static void next_phase(struct region *region)
{
	oracle_add(&region->access,
		   (region->access & ACCESS_PHASE) == PHASE_COMING ?
			   ACCESS_ONE - PHASE_COMING :
			   1);
}

static void begin_change(struct region *region, bool readable)
{
	uint32_t access = region->access & ~ACCESS_READABLE;

	oracle_set(&region->access, access | (readable ? ACCESS_READABLE : 0));
	next_phase(region);
}

/* Leave others time to use memory that is not there. */
static void linger(void)
{
	for (int i = random_below(4); i > 0; i--)
		sched_yield();
}

static void change_protect(struct region *region)
{
	bool readable = random_below(2);
	size_t size = REGION_PAGES * PAGE;

	begin_change(region, readable);
	if (mprotect(start_of(region), size, readable ? PROT_READ : PROT_NONE))
		die("mprotect");
	region_event(region, readable ? "mprotect R" : "mprotect NONE", 0);
	next_phase(region);
	linger();
	next_phase(region);
	if (mprotect(start_of(region), size, FULL_ACCESS))
		die("mprotect");
	next_phase(region);
	region_event(region, "mprotect RW", 0);
}

/* Move @size from @from to the scratch addresses and back. */
static int move_there_and_back(struct region *region, unsigned int n,
			       char *from, size_t size)
{
	char *to = self->scratch + (from - blocks[kind_of(region)]);
	unsigned int i;
	bool away;

	for (i = 0; i < n; i++)
		begin_change(region + i, false);
	away = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) !=
	       MAP_FAILED;
	for (i = 0; away && i < n; i++)
		next_phase(region + i);
	if (away)
		linger();
	for (i = 0; i < n; i++)
		oracle_add(&region[i].access, away ? 1 : 2);
	if (away && mremap(to, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			   from) == MAP_FAILED)
		die("mremap");
	for (i = 0; i < n; i++)
		next_phase(region + i);
	return away ? 0 : -EFAULT;
}

static void change_move(struct region *region)
{
	int err = move_there_and_back(region, 1, start_of(region),
				      REGION_PAGES * PAGE);

	region_event(region, "mremap", err);
}

static void discard_begin(struct region *region, struct store *stores,
			  bool *locked)
{
	for (unsigned int i = 0; i < REGION_PAGES; i++) {
		struct slot *slot = slots_of(region) + i;

		locked[i] = oracle_trylock(&slot->lock);
		if (locked[i])
			oracle_begin(&stores[i], slot, true);
		else
			oracle_add(&slot->discards, 1);
	}
}

static void discard_end(struct region *region, struct store *stores,
			const bool *locked, const char *name, int err)
{
	for (unsigned int i = 0; i < REGION_PAGES; i++) {
		struct slot *slot = slots_of(region) + i;

		if (locked[i]) {
			oracle_end(&stores[i], name, err);
			oracle_unlock(&slot->lock);
		} else {
			oracle_add(&slot->discarded, 1);
			oracle_event(slot, name, 0, err);
		}
	}
}

/* New memory, with or without a hole meanwhile. */
static int remap_region(struct region *region, bool hole)
{
	size_t size = REGION_PAGES * PAGE;
	int err;

	begin_change(region, false);
	if (hole && munmap(start_of(region), size))
		die("munmap");
	if (hole) {
		next_phase(region);
		linger();
	}
	oracle_add(&region->access, hole ? 1 : 2);
	err = map_fresh(kind_of(region), start_of(region), size);
	if (err)
		die("mmap");
	next_phase(region);
	return err;
}

static int guard_region(struct region *region)
{
	size_t size = REGION_PAGES * PAGE;
	int err;

	begin_change(region, false);
	err = madvise(start_of(region), size, MADV_INSTALL_GUARD) ? -errno : 0;
	if (!err) {
		next_phase(region);
		linger();
	}
	oracle_add(&region->access, err ? 2 : 1);
	if (!err && madvise(start_of(region), size, MADV_REMOVE_GUARD))
		die("guard");
	next_phase(region);
	return err;
}

static int drop_region(struct region *region)
{
	int advice = kind_of(region) == BLOCK_SHARED ? MADV_REMOVE :
						       MADV_DONTNEED;

	return madvise(start_of(region), REGION_PAGES * PAGE, advice) ? -errno :
									0;
}

static void change_discard(struct region *region, unsigned int which)
{
	static const char * const names[] = {
		"munmap and mmap",
		"mmap",
		"guard pages",
		"discard",
	};
	struct store stores[REGION_PAGES];
	bool locked[REGION_PAGES];
	int err;

	/* Guard pages keep what is in a file */
	if (which == 2 && kind_of(region) == BLOCK_SHARED)
		which = 3;
	discard_begin(region, stores, locked);
	if (which < 2)
		err = remap_region(region, !which);
	else if (which == 2)
		err = guard_region(region);
	else
		err = drop_region(region);
	discard_end(region, stores, locked, names[which], err);
}

/* The kernel may discard it at any time before the next write. */
static void change_free(struct region *region)
{
	int err = 0;

	for (unsigned int i = 0; i < REGION_PAGES; i++)
		oracle_add(&slots_of(region)[i].discards, 1);
	if (madvise(start_of(region), REGION_PAGES * PAGE, MADV_FREE))
		err = -errno;
	for (unsigned int i = 0; i < REGION_PAGES; i++)
		oracle_add(&slots_of(region)[i].discarded, 1);
	region_event(region, "MADV_FREE", err);
}

/*
 * Changes that keep memory and its content
 */

static void change_node(struct region *region)
{
	size_t n =
		hmm_move_pages(start_of(region), REGION_PAGES, random_below(2));

	region_event(region, "move_pages", n);
}

static void change_advice(struct region *region)
{
	static const struct {
		int		advice;
		const char	*name;
	} all[] = {
		{ MADV_PAGEOUT, "MADV_PAGEOUT" },
		{ MADV_PAGEOUT, "MADV_PAGEOUT" },
		{ MADV_PAGEOUT, "MADV_PAGEOUT" },
		{ MADV_COLD, "MADV_COLD" },
		{ MADV_WILLNEED, "MADV_WILLNEED" },
	};
	unsigned int i = random_below(ARRAY_SIZE(all));
	int err = 0;

	if (madvise(start_of(region), REGION_PAGES * PAGE, all[i].advice))
		err = -errno;
	region_event(region, all[i].name, err);
}

static void change_collapse(struct region *region)
{
	char *block = blocks[kind_of(region)];
	int err = madvise(block, HUGE, MADV_COLLAPSE) ? -errno : 0;

	region_event(region, "MADV_COLLAPSE", err);
}

static void change_protect_uffd(struct region *region)
{
	struct uffdio_writeprotect wp = {
		.range = {
			.start = (uintptr_t)start_of(region),
			.len = REGION_PAGES * PAGE,
		},
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int err;

	if (kind_of(region) != BLOCK_UFFD)
		return;
	register_uffd(start_of(region), REGION_PAGES * PAGE, random_below(8));
	err = ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
	region_event(region, "UFFDIO_WRITEPROTECT", err);
}

static void change_soft_dirty(struct region *region)
{
	int err = hmm_write_text("/proc/self/clear_refs", "4");

	region_event(region, "clear soft-dirty", err);
}

/*
 * fork(), exec() and exit()
 */

/* The device reads until the process ends. */
static void *child_loop(void *arg)
{
	struct thread *thread = arg;

	for (;;)
		hmm_cmd(thread->fd, HMM_DMIRROR_READ, blocks[BLOCK_ANON],
			thread->buf, SPAN, NULL);
	return NULL;
}

/* The child's memory is its own: it sees the parent's at the fork. */
static void child_check(struct span *span)
{
	int fd = self->fd, err;
	uint64_t word;

	if (fd >= 0 && hmm_cmd(fd, HMM_DMIRROR_READ, span->first->addr,
			       self->buf, 1, NULL) != -EPERM)
		oracle_violation(&span->windows[0], "the child",
				 "the parent's device serves it");
	for (unsigned int i = 0; i < span->n; i++)
		cpu_check_window(&span->windows[i], "the child's read");
	self->fd = hmm_open(random_below(2));
	if (self->fd < 0)
		die("open");
	err = request_span(span, HMM_DMIRROR_READ);
	check_span(span, "the device's read for the child", err, false, true);
	memset(self->buf, 0x5c, PAGE);
	err = hmm_cmd(self->fd, HMM_DMIRROR_WRITE, span->first->addr, self->buf,
		      1, NULL);
	word = self->buf[1];
	if (!err && !cpu_copy(self->buf, (uint64_t *)span->first->addr) &&
	    self->buf[0] != word)
		oracle_violation(&span->windows[0], "the child's read",
				 "it lost its device's write");
}

/*
 * In the child the slots of the parent go on: windows that opened before the
 * fork and close after it are right for memory that is the child's own.
 */
static noreturn void child(struct span *span)
{
	char *const argv[] = { "hmm-torture", "-e", NULL };
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	child_check(span);
	if (random_below(2) && pthread_create(&thread, NULL, child_loop, self))
		die("pthread_create");
	if (random_below(2))
		execv("/proc/self/exe", argv);
	_exit(0);
}

static void change_fork(struct region *region)
{
	struct span span = { .first = slots_of(region), .n = SPAN };
	pid_t pid;
	int status;

	if (kind_of(region) == BLOCK_SHARED || kind_of(region) == BLOCK_UFFD)
		return;
	for (unsigned int i = 0; i < span.n; i++)
		span.windows[i] = oracle_open(span.first + i);
	self->name = "fork";
	pid = fork();
	if (!pid)
		child(&span);
	status = pid < 0 ? 1 : hmm_wait_child(pid);
	if (status)
		_exit(status == ORACLE_VIOLATION ? status : 1);
	region_event(region, "fork", 0);
	count(COUNT_FORKS);
}

/*
 * Choice of a change
 */

/* Both regions of a block, as a whole huge page. */
static void change_move_block(struct region *region)
{
	struct region *first =
		&shared->regions[kind_of(region) * BLOCK_REGIONS];
	struct region *other = region == first ? first + 1 : first;
	int err;

	/* Some kernels move one mapping and then refuse another one there */
	if (kind_of(region) == BLOCK_UFFD || !oracle_trylock(&other->lock))
		return;
	err = move_there_and_back(first, BLOCK_REGIONS, blocks[kind_of(region)],
				  HUGE);
	region_event(first, "mremap of the block", err);
	region_event(first + 1, "mremap of the block", err);
	oracle_unlock(&other->lock);
}

/* With the region's lock. */
static void change_locked(struct region *region, unsigned int dice)
{
	if (dice < 10)
		change_protect(region);
	else if (dice < 16)
		change_move(region);
	else if (dice < 20)
		change_move_block(region);
	else if (dice < 36)
		change_discard(region, dice % 4);
	else
		change_free(region);
}

static void change_step(void)
{
	struct region *region = random_region();
	unsigned int dice = random_below(100);

	self->name = "change";
	if (dice < 40) {
		if (!oracle_trylock(&region->lock))
			return;
		change_locked(region, dice);
		oracle_unlock(&region->lock);
	} else if (dice < 75) {
		change_advice(region);
	} else if (dice < 82) {
		change_node(region);
	} else if (dice < 86) {
		change_collapse(region);
	} else if (dice < 94) {
		change_protect_uffd(region);
	} else if (dice < 95) {
		change_soft_dirty(region);
	} else if (dice < 97) {
		change_fork(region);
	}
	count(COUNT_CHANGES);
}

/*
 * Memory of the machine that comes and goes
 */

static void offline(const char *name)
{
	char path[300];
	int err;

	snprintf(path, sizeof(path), "/sys/devices/system/memory/%s/state",
		 name);
	self->name = "memory hotplug";
	err = hmm_write_text(path, "offline");
	if (!err)
		count(COUNT_CHANGES);
	if (!err && hmm_write_text(path, "online"))
		die("online");
}

/* The second half of the blocks has the most free memory. */
static void hotplug_step(void)
{
	static char names[64][32];
	static unsigned int n;
	struct dirent *entry;
	DIR *dir;

	self->name = "idle";
	dir = n ? NULL : opendir("/sys/devices/system/memory");
	while (dir && n < ARRAY_SIZE(names) && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "memory", 6) &&
		    isdigit((unsigned char)entry->d_name[6]))
			snprintf(names[n++], sizeof(names[0]), "%.31s",
				 entry->d_name);
	if (dir)
		closedir(dir);
	if (n && with_hotplug && !random_below(10))
		offline(names[n / 2 + random_below(n - n / 2)]);
	else
		poll(NULL, 0, 200);
}

/*
 * DMA: a PCI device reads a slot, and writes it to memory of this thread
 */

#define DMA_WORDS	(EDU_MIRROR_MAX / sizeof(uint64_t) / WORD_STEP)

static void dma_copy(void)
{
	struct slot *slot = &shared->slots[random_below(NR_SLOTS)];
	uint64_t *page = (uint64_t *)self->scratch;
	struct window window = oracle_open(slot);
	int err;

	err = edu_load(dma, slot->addr, EDU_MIRROR_MAX, NULL);
	if (err) {
		count(COUNT_REFUSED);
		return;
	}
	oracle_check_err(&window, "the device's load", err, false);
	oracle_close(&window);
	/* Clean and in swap: the device must dirty it */
	madvise(page, PAGE, MADV_PAGEOUT);
	cpu_read(self->scratch);
	err = edu_store(dma, page, EDU_MIRROR_MAX, NULL);
	if (err)
		die("the device's store");
	madvise(page, PAGE, MADV_PAGEOUT);
	oracle_check_words(&window, "the device's store", page, DMA_WORDS,
			   true);
	count(COUNT_DMA);
}

static void dma_step(void)
{
	self->name = "DMA";
	if (dma < 0)
		poll(NULL, 0, 200);
	else
		dma_copy();
}

static void dma_open(struct thread *thread)
{
	dma = edu_open(EDU_WIDE);
	if (dma >= 0 &&
	    mmap(thread->scratch, PAGE, FULL_ACCESS,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
}

/*
 * The userfaultfd's server: missing pages are zeros
 */

static void serve(const struct uffd_msg *msg)
{
	struct uffdio_range range = {
		.start = msg->arg.pagefault.address & -PAGE,
		.len = PAGE,
	};
	struct uffdio_writeprotect wp = { .range = range };
	struct uffdio_zeropage zero = { .range = range };
	int ret;

	do {
		if (msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
			ret = ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
		else
			ret = ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
	} while (ret && errno == EAGAIN && !stopped());
	/* It is gone, or somebody was faster: let the fault look again */
	if (ret)
		ioctl(uffd, UFFDIO_WAKE, &range);
	count(COUNT_SERVED);
}

static void serve_step(void)
{
	struct pollfd poll_fd = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	self->name = "idle";
	if (poll(&poll_fd, 1, 100) <= 0)
		return;
	if (read(uffd, &msg, sizeof(msg)) == sizeof(msg) &&
	    msg.event == UFFD_EVENT_PAGEFAULT)
		serve(&msg);
}

static void open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api))
		die("userfaultfd");
}

/*
 * The run
 */

static void *thread_main(void *arg)
{
	static void (*const others[NR_OTHER_THREADS])(void) = {
		dma_step,
		hotplug_step,
		serve_step,
	};
	void (*step)(void) = device_step;
	int number;

	self = arg;
	oracle_thread = self->number;
	number = self->number - 1 - NR_DEVICE_THREADS;
	if (number >= NR_CPU_THREADS + NR_CHANGE_THREADS)
		step = others[number - NR_CPU_THREADS - NR_CHANGE_THREADS];
	else if (number >= NR_CPU_THREADS)
		step = change_step;
	else if (number >= 0)
		step = cpu_step;
	while (oracle_get(&shared->stop) <
	       (step == serve_step ? STOP_SERVER : STOP_OTHERS)) {
		step();
		__atomic_add_fetch(&self->progress, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void map_blocks(void)
{
	size_t size = HUGE * (NR_BLOCKS + NR_THREADS + 1);
	char *at = mmap(NULL, size, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		die("mmap");
	at = hmm_huge_align(at);
	for (int kind = 0; kind < NR_BLOCKS; kind++, at += HUGE) {
		blocks[kind] = at;
		files[kind] = -1;
		if (kind == BLOCK_COPY || kind == BLOCK_SHARED)
			files[kind] = memfd_create("hmm-torture", MFD_CLOEXEC);
		if (files[kind] >= 0 && ftruncate(files[kind], HUGE))
			die("ftruncate");
		if (map_fresh(kind, at, HUGE))
			die("mmap");
	}
	for (int i = 0; i < NR_THREADS; i++, at += HUGE)
		threads[i].scratch = at;
}

static void map_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), FULL_ACCESS,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	for (unsigned int i = 0; i < NR_SLOTS; i++) {
		unsigned int region = i / REGION_PAGES;
		size_t at = region % BLOCK_REGIONS * (HUGE / BLOCK_REGIONS) +
			    i % REGION_PAGES * PAGE;

		shared->slots[i] = (struct slot){
			.addr = blocks[region / BLOCK_REGIONS] + at,
			.region = &shared->regions[region],
			.id = i,
			.discards = 1,
			.discarded = 1,
		};
	}
}

static void start_thread(int i, uint64_t seed)
{
	static const unsigned int units[NR_DEVICE_THREADS] = { 0, 0, 1, 2, 3 };
	struct thread *thread = &threads[i];

	thread->number = i + 1;
	thread->random = seed + (uint64_t)i * 0x632be59bd9b4e019;
	thread->name = "start";
	thread->fd = -1;
	thread->unit = i < NR_DEVICE_THREADS ? units[i] : 0;
	thread->buf = aligned_alloc(PAGE, SPAN * PAGE);
	if (i < NR_THREADS - NR_OTHER_THREADS)
		thread->fd = hmm_open(thread->unit);
	/* Without coherent devices */
	if (thread->fd == -ENOENT)
		thread->fd = hmm_open(thread->unit %= 2);
	if (!thread->buf ||
	    (thread->fd < 0 && i < NR_THREADS - NR_OTHER_THREADS))
		die("open");
	memset(thread->buf, 0, SPAN * PAGE);
}

/* Ends the process if a thread has not gone on for too long. */
static void watch_threads(void)
{
	static uint64_t progress[NR_THREADS];
	static double since[NR_THREADS];

	for (int i = 0; i < NR_THREADS; i++) {
		uint64_t now =
			__atomic_load_n(&threads[i].progress, __ATOMIC_RELAXED);

		if (now != progress[i] || !since[i])
			since[i] = hmm_now();
		progress[i] = now;
		if (hmm_now() - since[i] < HANG_SECONDS)
			continue;
		printf("# HANG: thread %d: %s\n", i + 1, threads[i].name);
		fflush(stdout);
		_exit(1);
	}
}

/* Returns the number of devices that have ranges or entries left. */
static int check_empty(void)
{
	struct hmm_dmirror_stats stats;
	int left = 0;

	for (int kind = 0; kind < NR_BLOCKS; kind++)
		munmap(blocks[kind], HUGE);
	for (int i = 0; i < NR_THREADS; i++) {
		if (threads[i].fd < 0)
			continue;
		if (hmm_stats(threads[i].fd, &stats) || stats.ranges ||
		    stats.mapped)
			left++;
		close(threads[i].fd);
	}
	return left;
}

/* All but the server have ended: each word has one value, or is zero. */
static void check_all(void)
{
	self = &threads[0];
	for (unsigned int i = 0; i < NR_SLOTS; i++) {
		struct slot *slot = &shared->slots[i];
		struct window window = oracle_open(slot);
		int err;

		cpu_check(slot, "the CPU's last read");
		err = hmm_cmd(self->fd, HMM_DMIRROR_READ, slot->addr, self->buf,
			      1, NULL);
		oracle_check_err(&window, "the device's last read", err, false);
		oracle_check(&window, "the device's last read", self->buf,
			     false);
	}
}

/* Only a signal ends the offlining of memory with pages that cannot move. */
static void interrupt_hotplug(void)
{
	pthread_kill(threads[NR_THREADS - 2].id, SIGUSR1);
}

static void end_all(void)
{
	oracle_set(&shared->stop, STOP_OTHERS);
	while (pthread_tryjoin_np(threads[NR_THREADS - 2].id, NULL)) {
		interrupt_hotplug();
		poll(NULL, 0, 10);
	}
	for (int i = 0; i < NR_THREADS - 2; i++)
		pthread_join(threads[i].id, NULL);
	check_all();
	oracle_set(&shared->stop, STOP_SERVER);
	pthread_join(threads[NR_THREADS - 1].id, NULL);
}

static void run(uint64_t operations, double seconds)
{
	int ticks = 0;

	for (int i = 0; i < NR_THREADS; i++)
		if (pthread_create(&threads[i].id, NULL, thread_main,
				   &threads[i]))
			die("pthread_create");
	while (device_operations() < operations &&
	       hmm_now() - oracle_start < seconds) {
		poll(NULL, 0, 200);
		watch_threads();
		if (!(++ticks % 32))
			interrupt_hotplug();
	}
	end_all();
}

static void print_counts(uint64_t seed, int left)
{
	printf("hmm-torture: seed %" PRIu64 ": %" PRIu64
	       " device operations (%" PRIu64 " reads, %" PRIu64
	       " writes, %" PRIu64 " migrations, %" PRIu64
	       " exclusive, %" PRIu64 " snapshots, %" PRIu64 " DMA), %" PRIu64
	       " refused, %" PRIu64 " of CPUs, %" PRIu64 " changes, %" PRIu64
	       " forks, %" PRIu64
	       " served; %d devices with entries left, 0 violations in %.0f s\n",
	       seed, device_operations(), counted(COUNT_READS),
	       counted(COUNT_WRITES), counted(COUNT_MIGRATIONS),
	       counted(COUNT_EXCLUSIVE), counted(COUNT_SNAPSHOTS),
	       counted(COUNT_DMA), counted(COUNT_REFUSED), counted(COUNT_CPU),
	       counted(COUNT_CHANGES), counted(COUNT_FORKS),
	       counted(COUNT_SERVED), left, hmm_now() - oracle_start);
}

static void on_interrupt(int signal)
{
	(void)signal;
}

static void catch_signals(void)
{
	struct sigaction interrupt = { .sa_handler = on_interrupt };
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGUSR1, &interrupt, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static int torture(uint64_t operations, double seconds, uint64_t seed)
{
	int left;

	/* No memory from mmap() for malloc() */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	catch_signals();
	open_uffd();
	map_blocks();
	map_shared();
	for (int i = 0; i < NR_THREADS; i++)
		start_thread(i, seed);
	dma_open(&threads[NR_THREADS - NR_OTHER_THREADS]);
	printf("# seed %" PRIu64 "\n", seed);
	fflush(stdout);
	oracle_start = hmm_now();
	run(operations, seconds);
	left = check_empty();
	print_counts(seed, left);
	return left ? 1 : 0;
}

/*
 * The proof: a device that breaks a rule is found out
 */

/* Returns the status of a torture of devices that break a rule. */
static int torture_broken(int rule, uint64_t seed)
{
	char param[32];
	pid_t pid;
	int err;

	snprintf(param, sizeof(param), "break_rules=%d", rule);
	err = hmm_module_reload(HMM_MODULE, param);
	if (err)
		return err;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		with_hotplug = false;
		_exit(torture(UINT64_MAX, 60, seed));
	}
	return hmm_wait_child(pid);
}

static int prove(uint64_t seed)
{
	static const struct {
		int		rule;
		const char	*name;
	} rules[] = {
		{ 1, "a callback that keeps its entries" },
		{ 2, "a device that does not dirty" },
	};
	int failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		double start = hmm_now();
		int status = torture_broken(rules[i].rule, seed);
		bool found = status == ORACLE_VIOLATION;

		printf("hmm-torture: %s is %sfound out (%d) in %.1f s\n",
		       rules[i].name, found ? "" : "NOT ", status,
		       hmm_now() - start);
		failed += !found;
	}
	if (hmm_module_reload(HMM_MODULE, ""))
		die("cannot load " HMM_MODULE);
	return failed;
}

/* The child that exec() has made. */
static int exec_child(void)
{
	char *page = aligned_alloc(PAGE, PAGE);
	int fd = hmm_open(0);

	if (!page || fd < 0)
		return 1;
	memset(page, 0, PAGE);
	return hmm_cmd(fd, HMM_DMIRROR_READ, page, page, 1, NULL) ? 1 : 0;
}

/* Settings of the machine that change memory on their own. */
static struct {
	const char	*path;
	long		value;
} knobs[] = {
	{ "/proc/sys/kernel/numa_balancing", 1 },
	{ "/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms", 50 },
	{ "/sys/kernel/debug/sched/numa_balancing/scan_period_max_ms", 200 },
	{ "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
	  100 },
};

static void set_knobs(void)
{
	/* A kernel without the setting does not have the change */
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		FILE *file = fopen(knobs[i].path, "re");
		long old;

		if (!file)
			continue;
		if (fscanf(file, "%ld", &old) == 1) {
			hmm_write_number(knobs[i].path, knobs[i].value);
			knobs[i].value = old;
		}
		fclose(file);
	}
}

int main(int argc, char **argv)
{
	uint64_t operations = 1000000, seed = time(NULL) % 999999 + 1;
	double seconds = 1e9;
	bool proof = false;
	int option, failed = 0;

	while ((option = getopt(argc, argv, "emn:pr:s:")) != -1) {
		if (option == 'e')
			return exec_child();
		else if (option == 'm')
			with_hotplug = true;
		else if (option == 'n')
			operations = strtoull(optarg, NULL, 10);
		else if (option == 'p')
			proof = true;
		else if (option == 'r')
			seed = strtoull(optarg, NULL, 10);
		else if (option == 's')
			seconds = strtod(optarg, NULL);
		else
			return 2;
	}
	if (!hmm_module_need(HMM_MODULE, HMM_NODE)) {
		printf("hmm-torture: no " HMM_NODE "\n");
		return 4;
	}
	set_knobs();
	if (proof)
		failed = prove(seed);
	if (!failed)
		failed = torture(operations, seconds, seed);
	set_knobs();
	return failed ? 1 : 0;
}
