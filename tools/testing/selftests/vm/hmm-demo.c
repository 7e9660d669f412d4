// SPDX-License-Identifier: GPL-2.0
/*
 * A demonstration of a device that works on the memory of a running process.
 *
 * This program opens the dummy device, which from then on mirrors the address
 * space of the program: the device has its own page table, which
 * hmm_range_fault() fills and invalidations empty. In each step of the table
 * at the end of this file the CPU changes memory, the device computes over
 * that memory or writes to it through its page table, and the CPU computes the
 * same on its own.
 *
 * Rules for the steps:
 *  - The device goes first. If the CPU went first, it would fault in the pages
 *    that the device is supposed to fault in.
 *  - If a step replaces pages but not their content, the device must get the
 *    result that the CPU had before the change.
 *  - The step verifies that the change happened: the kernel reports swapped,
 *    copied, huge or moved pages, and the device reports pages in its own
 *    memory. A step without effect is not ok.
 *  - The device's counters must match: no fault if its page table was still
 *    valid, an invalidation that dropped entries otherwise.
 *
 * The last steps use another device, edu, with an engine that does real DMA
 * through an IOMMU. Its driver maps a page for the duration of a transfer; when
 * the engine is made to continue after that, the IOMMU stops it.
 *
 * All comparisons are made by same().
 *
 * Exit status: 0 all steps ok, 1 a difference (the first one ends the run), 2
 * the machine lacks something that the demo needs.
 */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/wait.h>

#include "hmm-demo.h"

/* The file that the device computes over; without one, this program. */
#define DEFAULT_IMAGE	"/proc/self/exe"
#define HEAP_MIB	64

/* Moving or collapsing pages can fail for a moment; retry this often. */
#define PATIENCE	20

/* Missing from the C library's headers of some distributions. */
#define MPOL_PREFERRED	1
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

/* Offsets into the heap, in MiB, of the parts that only one step uses. */
enum {
	PART_WRITE	= 0,
	PART_FORK	= 4,
	PART_PROTECT	= 10,
	PART_UNMAP	= 12,
	PART_REMAP	= 16,
	PART_ZERO	= 18,
	PART_HUGE	= 20,
	PART_SWAP	= 28,
	PART_MOVE	= 36,
	PART_DEVICE	= 44,
};

/* The effect that a step must have on the device's page table. */
enum table {
	TABLE_NEW,	/* faulted in for the first time */
	TABLE_KEPT,	/* no fault, no entry dropped */
	TABLE_LOST,	/* entries dropped and faulted in again */
	TABLE_MOVED,	/* entries dropped; the new ones need no fault */
	TABLE_OTHER,	/* none, as the step uses another device */
};

struct step {
	const char *cpu;
	const char *device;	/* %llu is the number of words */
	enum table table;
	void (*run)(struct demo *d);
	bool huge;
};

static void compute_image(struct demo *d)
{
	device_finds(d, d->image, d->first);
}

static void fill_heap(struct demo *d)
{
	fill(d->heap, 1);
	device_finds(d, d->heap, cpu_compute(d->heap));
}

static void store_into_heap(struct demo *d)
{
	struct answer old = cpu_compute(d->heap), now;
	size_t i;

	for (i = 0; i < d->heap.size; i += 4 * PAGE)
		memcpy(d->heap.start + i + i / PAGE % 4000, " store ", 7);
	now = cpu_compute(d->heap);
	same(d, "the stores changed something", 1, old.sum != now.sum);
	device_finds(d, d->heap, now);
}

static void let_device_write(struct demo *d)
{
	device_writes(d, part(d, PART_WRITE, 4 * MIB), 2);
}

/* Parts of the forked heap, by their writer while the child exists. */
static struct span forked(struct demo *d, int third)
{
	return part(d, PART_FORK + 2 * third, 2 * MIB);
}

enum { BY_CHILD, BY_PARENT, BY_DEVICE };

/* The child: return 0 if its memory is private and the device rejects it. */
static int be_child(struct demo *d, int to_parent, int from_parent)
{
	struct answer theirs[] = {
		cpu_compute(forked(d, BY_PARENT)),
		cpu_compute(forked(d, BY_DEVICE)),
	};
	struct answer mine, unused;
	char byte = 0;

	fill(forked(d, BY_CHILD), 3);
	mine = cpu_compute(forked(d, BY_CHILD));
	if (write(to_parent, &byte, 1) != 1 || read(from_parent, &byte, 1) != 1)
		return 1;
	d->why[0] = '\0';
	same_answer(d, mine, cpu_compute(forked(d, BY_CHILD)));
	same_answer(d, theirs[0], cpu_compute(forked(d, BY_PARENT)));
	same_answer(d, theirs[1], cpu_compute(forked(d, BY_DEVICE)));
	if (d->why[0])
		return 2;
	return device_compute(d, forked(d, BY_CHILD), &unused) == EPERM ? 0 : 3;
}

/* All of the heap becomes shared, so the device loses all of its entries. */
static void fork_child(struct demo *d)
{
	struct answer old = cpu_compute(d->heap);
	int up[2], down[2];
	char byte;

	if (!done(d, "pipe()", pipe(up)) || !done(d, "pipe()", pipe(down)))
		return;
	d->child = fork();
	if (d->child == 0) {
		close(up[0]);
		close(down[1]);
		_exit(be_child(d, up[1], down[0]));
	}
	close(up[1]);
	close(down[0]);
	d->to_child = down[1];
	done(d, "fork()", d->child);
	same(d, "the child has written", 1, read(up[0], &byte, 1));
	close(up[0]);
	device_finds(d, d->heap, old);
}

static void write_shared(struct demo *d)
{
	struct span s = forked(d, BY_PARENT);

	replaced(d, s, true);
	fill(s, 4);
	device_finds(d, s, cpu_compute(s));
	same(d, "pages copied on write", nr_pages(s), replaced(d, s, false));
}

static void device_writes_shared(struct demo *d)
{
	struct span s = forked(d, BY_DEVICE);
	int status = -1;

	replaced(d, s, true);
	device_writes(d, s, 5);
	same(d, "pages copied on write", nr_pages(s), replaced(d, s, false));

	same(d, "the child was woken", 1, write(d->to_child, "", 1));
	close(d->to_child);
	waitpid(d->child, &status, 0);
	same(d, "the child's status (2: its memory changed, 3: may use device)",
	     0, WIFEXITED(status) ? WEXITSTATUS(status) : 255);
}

static void protect_read(struct demo *d)
{
	struct span s = part(d, PART_PROTECT, 2 * MIB);
	struct answer old = cpu_compute(s);

	done(d, "mprotect()", mprotect(s.start, s.size, PROT_READ));
	fill(sub(d->copy, 0, s.size), 6);
	device_finds(d, s, old);
	refused(d, "errno of the device's write", EPERM, device_write(d, s));
	device_finds(d, s, old);
}

static void protect_none(struct demo *d)
{
	struct span s = part(d, PART_PROTECT, 2 * MIB);

	done(d, "mprotect()", mprotect(s.start, s.size, PROT_NONE));
	device_barred(d, s);
}

static void protect_nothing(struct demo *d)
{
	struct span s = part(d, PART_PROTECT, 2 * MIB);

	done(d, "mprotect()",
	     mprotect(s.start, s.size, PROT_READ | PROT_WRITE));
	device_writes(d, s, 7);
}

static void unmap(struct demo *d)
{
	struct span s = part(d, PART_UNMAP, 4 * MIB);

	done(d, "munmap()", munmap(s.start, s.size));
	device_barred(d, s);
}

/* The old data must not reappear in the new mapping. */
static void map_again(struct demo *d)
{
	struct span s = part(d, PART_UNMAP, 4 * MIB);
	void *at;

	at = mmap(s.start, s.size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (!same(d, "address of the new mapping", (uintptr_t)s.start,
		  (uintptr_t)at))
		return;
	fill(s, 8);
	device_finds(d, s, cpu_compute(s));
	device_copies(d, s);
}

static void remap(struct demo *d)
{
	struct span s = part(d, PART_REMAP, 2 * MIB), away = s;
	struct answer old = cpu_compute(s);

	away.start = mmap(NULL, s.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	same(d, "mremap() moves", (uintptr_t)away.start,
	     (uintptr_t)mremap(s.start, s.size, s.size,
			       MREMAP_MAYMOVE | MREMAP_FIXED, away.start));
	device_barred(d, s);
	device_finds(d, away, old);
	same(d, "mremap() moves back", (uintptr_t)s.start,
	     (uintptr_t)mremap(away.start, s.size, s.size,
			       MREMAP_MAYMOVE | MREMAP_FIXED, s.start));
	device_barred(d, away);
	device_finds(d, s, old);
}

static void drop(struct demo *d)
{
	struct span s = part(d, PART_ZERO, 2 * MIB);
	struct answer zero;

	memset(d->copy.start, 0, s.size);
	zero = cpu_compute(sub(d->copy, 0, s.size));
	done(d, "MADV_DONTNEED", madvise(s.start, s.size, MADV_DONTNEED));
	device_finds(d, s, zero);
	device_copies(d, s);
}

/* Write first: pages write-protected by fork() cannot be collapsed. */
static void make_huge(struct demo *d)
{
	struct span s = part(d, PART_HUGE, 8 * MIB);
	struct answer old;
	int i, ret = -1;

	fill(s, 9);
	old = cpu_compute(s);
	same(d, "pages in huge pages before", 0, huge_pages(s));
	done(d, "MADV_HUGEPAGE", madvise(s.start, s.size, MADV_HUGEPAGE));
	for (i = 0; ret && i < PATIENCE; i++)
		ret = madvise(s.start, s.size, MADV_COLLAPSE);
	done(d, "MADV_COLLAPSE", ret);
	device_finds(d, s, old);
	same(d, "pages in huge pages", nr_pages(s), huge_pages(s));
	same(d, "huge pages in the snapshot", nr_pages(s),
	     device_shows(d, s, HMM_DMIRROR_PROT_PMD, HMM_DMIRROR_PROT_PMD));
}

/* A page with another protection splits its huge page. */
static void split_huge(struct demo *d)
{
	struct span s = part(d, PART_HUGE, 8 * MIB);
	struct answer old = cpu_compute(s);
	size_t i, access = HMM_DMIRROR_PROT_READ | HMM_DMIRROR_PROT_WRITE;

	for (i = 5 * PAGE; i < s.size; i += HUGE)
		done(d, "mprotect()",
		     mprotect(s.start + i, PAGE, PROT_READ));
	device_finds(d, s, old);
	same(d, "huge pages in the snapshot", 0,
	     device_shows(d, s, HMM_DMIRROR_PROT_PMD, HMM_DMIRROR_PROT_PMD));
	same(d, "read-only pages in the snapshot", s.size / HUGE,
	     device_shows(d, s, access, HMM_DMIRROR_PROT_READ));

	/* Make it one mapping again, and keep khugepaged away from it. */
	done(d, "MADV_NOHUGEPAGE", madvise(s.start, s.size, MADV_NOHUGEPAGE));
	done(d, "mprotect()",
	     mprotect(s.start, s.size, PROT_READ | PROT_WRITE));
	same(d, "pages in huge pages", 0, huge_pages(s));
}

static void use_hugetlb(struct demo *d)
{
	struct span s = d->hugetlb;

	fill(s, 10);
	device_finds(d, s, cpu_compute(s));
	same(d, "huge pages in the snapshot", nr_pages(s),
	     device_shows(d, s, HMM_DMIRROR_PROT_PMD, HMM_DMIRROR_PROT_PMD));
	device_writes(d, s, 11);
}

static void drop_hugetlb(struct demo *d)
{
	done(d, "munmap()", munmap(d->hugetlb.start, d->hugetlb.size));
	device_barred(d, d->hugetlb);
}

static void swap_out(struct demo *d)
{
	struct span s = part(d, PART_SWAP, 8 * MIB);
	struct answer old = cpu_compute(s);

	same(d, "pages swapped out", nr_pages(s),
	     hmm_swap_out(s.start, nr_pages(s)));
	same(d, "pages the snapshot leaves out", nr_pages(s),
	     device_shows(d, s, 0xff, HMM_DMIRROR_PROT_NONE));
	device_finds(d, s, old);
	same(d, "pages still swapped out", 0,
	     hmm_pages_out(s.start, nr_pages(s)));
}

static void move_node(struct demo *d)
{
	struct span s = part(d, PART_MOVE, 8 * MIB);
	struct answer old = cpu_compute(s);
	size_t moved = 0;
	int i;

	same(d, "pages on node 0", nr_pages(s),
	     hmm_pages_on_node(s.start, nr_pages(s), 0, false));
	for (i = 0; moved < nr_pages(s) && i < PATIENCE; i++)
		moved = hmm_move_pages(s.start, nr_pages(s), 1);
	same(d, "pages on node 1", nr_pages(s), moved);
	device_finds(d, s, old);
}

/* Device and snapshot must agree on the number of pages in device memory. */
static void in_device(struct demo *d, struct span s, size_t want)
{
	same(d, "pages of device memory in use", want,
	     device_stats(d).device_pages);
	same(d, "pages the snapshot shows in device memory", want,
	     device_shows(d, s, 0xf0, HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL));
}

/* Write first: pages shared by fork() would be read-only in the device. */
static void move_to_device(struct demo *d)
{
	struct span s = part(d, PART_DEVICE, 4 * MIB);
	struct answer old;
	__u64 pages = 0;

	fill(s, 12);
	old = cpu_compute(s);
	same(d, "errno of the migration", 0,
	     device_copy(d, HMM_DMIRROR_MIGRATE_TO_DEV, s, d->copy.start,
			 &pages));
	in_device(d, s, nr_pages(s));
	device_finds(d, s, old);
}

/* An access of the CPU would migrate the pages back. */
static void write_in_device(struct demo *d)
{
	struct span s = part(d, PART_DEVICE, 4 * MIB);
	struct span from = sub(d->copy, 0, s.size);

	fill(from, 13);
	same(d, "errno of the device's write", 0, device_write(d, s));
	in_device(d, s, nr_pages(s));
	device_finds(d, s, cpu_compute(from));
}

static void come_home(struct demo *d)
{
	struct span s = part(d, PART_DEVICE, 4 * MIB);
	struct span from = sub(d->copy, 0, s.size);

	fill(from, 13);
	same_answer(d, cpu_compute(from), cpu_compute(s));
	in_device(d, s, 0);
	device_finds(d, s, cpu_compute(from));
}

static void compute_heap(struct demo *d)
{
	struct answer got = {};

	same(d, "errno of the device's computation", 0,
	     device_compute(d, d->heap, &got));
	same_answer(d, cpu_compute(d->heap), got);
}

/* Print the start of the engine's memory and its address. */
static void note_engine(struct demo *d, const char *did,
			const struct edu_mirror_copy *copy)
{
	snprintf(d->note, sizeof(d->note), "the engine %s at IOVA %#llx: %.36s",
		 did, copy->iova, d->engine.start);
	for (char *c = strchr(d->note, '\n'); c; c = strchr(c, '\n'))
		*c = ' ';
	d->pages = 1;
}

static void engine_reads(struct demo *d)
{
	struct edu_mirror_copy copy;

	fill(d->engine, 14);
	d->sent = cpu_compute(d->engine);
	same(d, "errno of the engine's read", 0,
	     -edu_load(d->edu, d->engine.start, d->engine.size, &copy));
	same_answer(d, d->sent, cpu_compute(d->engine));
	note_engine(d, "has read", &copy);
}

/* The old words can only come back through the engine. */
static void engine_writes(struct demo *d)
{
	struct edu_mirror_copy copy;

	fill(d->engine, 15);
	same(d, "the CPU wrote other words", 1,
	     cpu_compute(d->engine).sum != d->sent.sum);
	same(d, "errno of the engine's write", 0,
	     -edu_store(d->edu, d->engine.start, d->engine.size, &copy));
	same_answer(d, d->sent, cpu_compute(d->engine));
	note_engine(d, "wrote", &copy);
	/* The transfer that is repeated without the mapping */
	same(d, "errno of the engine's last write", 0,
	     -edu_store(d->edu, d->engine.start, EDU_WORD, &copy));
	d->iova = copy.iova;
}

/* The address is no longer mapped, and no memory of the process may change. */
static void engine_is_stopped(struct demo *d)
{
	struct answer want;

	done(d, "munmap()", munmap(d->engine.start, PAGE));
	fill(d->copy, 16);
	want = cpu_compute(d->copy);
	same(d, "the IOMMU reported a fault at the old address", 1,
	     edu_replay_faults(d->edu, d->iova));
	same_answer(d, want, cpu_compute(d->copy));
	snprintf(d->note, sizeof(d->note),
		 "the IOMMU stopped the engine at IOVA %#llx", d->iova);
}

/* clang-format off */
static const struct step steps[] = {
	{ "maps the kernel's image, a file", "%llu words",
	  TABLE_NEW, compute_image },
	{ "does nothing", "%llu words, no fault",
	  TABLE_KEPT, compute_image },
	{ "writes words all over the heap", "%llu words",
	  TABLE_NEW, fill_heap },
	{ "stores into every 4th page of it", "%llu words, no fault",
	  TABLE_KEPT, store_into_heap },
	{ "lets the device write, then reads", "has written %llu words",
	  TABLE_KEPT, let_device_write },
	{ "forks, the child writes its own", "the parent's words still",
	  TABLE_LOST, fork_child },
	{ "writes what the child shares", "the words in the copy",
	  TABLE_LOST, write_shared },
	{ "lets the device write there too", "has written to a copy",
	  TABLE_LOST, device_writes_shared },
	{ "mprotect(), to read only", "may read, may not write",
	  TABLE_LOST, protect_read },
	{ "mprotect(), no access", "may do nothing",
	  TABLE_LOST, protect_none },
	{ "mprotect(), to read and write", "has written",
	  TABLE_NEW, protect_nothing },
	{ "munmap()", "nothing there",
	  TABLE_LOST, unmap },
	{ "maps new memory, same address", "the new words",
	  TABLE_NEW, map_again },
	{ "mremap(), away and back", "same words, moved twice",
	  TABLE_LOST, remap },
	{ "MADV_DONTNEED", "zeroes",
	  TABLE_LOST, drop },
	{ "writes, makes pages huge", "the words, in huge pages",
	  TABLE_LOST, make_huge, true },
	{ "protects a bit of each, they split", "same words, small pages",
	  TABLE_LOST, split_huge, true },
	{ "writes words to hugetlb pages", "same words, and writes",
	  TABLE_NEW, use_hugetlb, true },
	{ "munmap() of the hugetlb pages", "nothing there",
	  TABLE_LOST, drop_hugetlb, true },
	{ "swaps 8 MiB out to zram", "same words, faulted in",
	  TABLE_LOST, swap_out },
	{ "moves 8 MiB to NUMA node 1", "same words, on node 1",
	  TABLE_LOST, move_node },
	{ "moves 4 MiB into the device", "same words, its memory",
	  TABLE_MOVED, move_to_device },
	{ "lets the device write there", "has written, over there",
	  TABLE_KEPT, write_in_device },
	{ "touches them, they come back", "has written these words",
	  TABLE_LOST, come_home },
	{ "looks at the whole heap again", "%llu words",
	  TABLE_NEW, compute_heap },
	{ "left the kernel's image alone", "%llu words, no fault",
	  TABLE_KEPT, compute_image },
	{ "lets edu's engine read by DMA", "has them in its buffer",
	  TABLE_OTHER, engine_reads },
	{ "writes others, lets it write", "has brought them back",
	  TABLE_OTHER, engine_writes },
	{ "munmap(), lets it write once more", "stopped by the IOMMU",
	  TABLE_OTHER, engine_is_stopped },
};

/* clang-format on */
static void check_table(struct demo *d, enum table want,
			const struct hmm_dmirror_stats *delta)
{
	if (want == TABLE_OTHER)
		return;
	if (want == TABLE_KEPT) {
		same(d, "device faults", 0, delta->faults);
		same(d, "entries the device lost", 0, delta->dropped);
		return;
	}
	same(d, "the device faulted", want != TABLE_MOVED, delta->faults > 0);
	if (want != TABLE_NEW) {
		same(d, "there was an invalidation", 1,
		     delta->invalidations > 0);
		same(d, "the device lost entries", 1, delta->dropped > 0);
	}
}

static void print_step(struct demo *d, size_t nr,
		       const struct hmm_dmirror_stats *delta)
{
	const struct step *step = &steps[nr];
	char saw[64];

	snprintf(saw, sizeof(saw), step->device, d->words);
	printf("%2zu %-34s %-24s %-8s %5llu %6llu %5llu %5llu %s\n",
	       nr + 1, step->cpu, saw, d->shown, d->pages, delta->faults,
	       delta->invalidations, delta->dropped, d->why[0] ? "no" : "ok");
	if (d->note[0])
		printf("   %s\n", d->note);
	if (d->why[0])
		printf("   not ok: %s\n", d->why);
}

static struct hmm_dmirror_stats since(struct demo *d,
				      const struct hmm_dmirror_stats *before)
{
	struct hmm_dmirror_stats now = device_stats(d);

	now.faults -= before->faults;
	now.invalidations -= before->invalidations;
	now.dropped -= before->dropped;
	return now;
}

static bool run_step(struct demo *d, size_t nr)
{
	struct hmm_dmirror_stats before = device_stats(d), delta;

	if (steps[nr].huge && hmm_too_huge()) {
		printf("%2zu %-34s left out: " TOO_HUGE "\n", nr + 1,
		       steps[nr].cpu);
		return true;
	}
	d->pages = 0;
	d->words = 0;
	d->note[0] = '\0';
	d->why[0] = '\0';
	snprintf(d->shown, sizeof(d->shown), "-");
	steps[nr].run(d);
	delta = since(d, &before);
	check_table(d, steps[nr].table, &delta);
	print_step(d, nr, &delta);
	return !d->why[0];
}

static bool file_contains(const char *path, const char *text)
{
	int fd = open(path, O_RDONLY);
	char content[4096];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, content, sizeof(content) - 1);
	close(fd);
	content[n > 0 ? n : 0] = '\0';
	return strstr(content, text);
}

/*
 * Prefer node 0, so that the step that moves memory to node 1 moves it. The
 * policy also disables automatic NUMA balancing for it, which would invalidate
 * entries of the device from time to time.
 */
static void check_machine(void)
{
	unsigned long node0 = 1;

	if (!file_contains("/proc/swaps", "zram"))
		cannot_start("no swap on zram, see mkswap and swapon");
	if (!file_contains("/sys/kernel/mm/transparent_hugepage/enabled", "madv"))
		cannot_start("no transparent huge pages");
	if (file_contains("/sys/kernel/mm/transparent_hugepage/enabled", "[never]"))
		cannot_start("boot with transparent_hugepage=madvise");
	if (access("/sys/devices/system/node/node1", F_OK))
		cannot_start("only one NUMA node");
	if (access("/proc/self/pagemap", R_OK))
		cannot_start("/proc/self/pagemap: %s", strerror(errno));
	if (syscall(SYS_set_mempolicy, MPOL_PREFERRED, &node0, 8))
		cannot_start("set_mempolicy(): %s", strerror(errno));
}

static struct span map_memory(const char *what, size_t size, int flags)
{
	struct span s = { .size = size };

	s.start = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (s.start == MAP_FAILED)
		cannot_start("%zu MiB %s: %s", size / MIB, what,
			     strerror(errno));
	return s;
}

/*
 * Write the buffer once and exclude it from fork(): a first write may cause an
 * invalidation, and only those of the steps must be counted.
 */
static void map_heap(struct demo *d, size_t mib)
{
	size_t off;

	d->copy = map_memory("of buffer", PART_SIZE, 0);
	memset(d->copy.start, ' ', d->copy.size);
	if (madvise(d->copy.start, d->copy.size, MADV_DONTFORK))
		cannot_start("MADV_DONTFORK: %s", strerror(errno));
	d->engine = sub(map_memory("for the engine", PAGE, 0), 0,
			EDU_MIRROR_MAX);
	if (!hmm_too_huge())
		d->hugetlb = map_memory("of hugetlb pages, see vm.nr_hugepages",
					2 * HUGE, MAP_HUGETLB);
	d->heap = map_memory("of heap", mib * MIB + HUGE, 0);
	off = -(uintptr_t)d->heap.start % HUGE;
	d->heap = sub(d->heap, off, mib * MIB);
	if (madvise(d->heap.start, d->heap.size, MADV_NOHUGEPAGE))
		cannot_start("MADV_NOHUGEPAGE: %s", strerror(errno));
}

/* Read the image with read(), not through the mapping that the device uses. */
static void read_image(struct demo *d, const char *path, int fd, size_t size)
{
	struct span s = map_memory("for the image", d->image.size, 0);
	size_t got = 0;
	ssize_t n;

	while (got < size) {
		n = read(fd, s.start + got, size - got);
		if (n <= 0)
			cannot_start("%s: %s", path,
				     n ? strerror(errno) : "too short");
		got += n;
	}
	d->first = cpu_compute(s);
	munmap(s.start, s.size);
}

static void map_image(struct demo *d, const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !st.st_size)
		cannot_start("%s: %s", path,
			     fd < 0 ? strerror(errno) : "is empty");
	d->image.size = (st.st_size + PAGE - 1) & -PAGE;
	d->image.start =
		mmap(NULL, d->image.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (d->image.start == MAP_FAILED)
		cannot_start("%s: mmap(): %s", path, strerror(errno));
	read_image(d, path, fd, st.st_size);
	close(fd);
}

static void print_head(struct demo *d, const char *image)
{
	puts("hmm-demo: /dev/hmm_dmirror0 mirrors this process. In each step the");
	puts("CPU changes memory, then the device, through its own page");
	puts("table, computes a checksum and counts words, or writes; the");
	puts("CPU does the sum again. The answer is the checksum's end.");
	printf("Image %s: %zu KiB. Heap: %zu MiB.\n\n", image,
	       d->image.size >> 10, d->heap.size / MIB);
	printf("%2s %-34s %-24s %-8s %5s %6s %5s %5s %s\n", "", "the CPU",
	       "the device then saw", "answer", "pages", "faults", "inval",
	       "lost", "ok");
}

static void print_sum(struct demo *d, size_t ran,
		      const struct hmm_dmirror_stats *before)
{
	struct hmm_dmirror_stats all = since(d, before);

	printf("\nhmm-demo: %zu steps, %llu ok, %llu different; ",
	       ran, d->ok, ran - d->ok);
	printf("the device read %llu MiB in %llu faults, %llu invalidations\n",
	       d->read_pages * PAGE / MIB, all.faults, all.invalidations);
}

static noreturn void print_help(void)
{
	printf("usage: hmm-demo [--mib N] [--image FILE], N from %d on\n",
	       HEAP_MIB);
	exit(2);
}

static void parse(char **argv, size_t *mib, const char **image)
{
	char *end = "";

	for (argv++; *argv; argv += 2) {
		if (!strcmp(*argv, "--mib") && argv[1])
			*mib = strtoul(argv[1], &end, 10);
		else if (!strcmp(*argv, "--image") && argv[1])
			*image = argv[1];
		else
			print_help();
	}
	if (*end || *mib < HEAP_MIB || *mib > 65536)
		print_help();
}

int main(int argc, char **argv)
{
	static char output[BUFSIZ];
	static struct demo d;
	struct hmm_dmirror_stats before;
	const char *image = DEFAULT_IMAGE;
	size_t mib = HEAP_MIB, ran = 0;

	(void)argc;
	parse(argv, &mib, &image);
	setvbuf(stdout, output, _IOLBF, sizeof(output));
	check_machine();
	d.fd = hmm_open(0);
	if (d.fd < 0)
		cannot_start(HMM_NODE ": %s", strerror(-d.fd));
	d.edu = edu_open(EDU);
	if (d.edu < 0)
		cannot_start("the edu device: %s", strerror(-d.edu));
	map_image(&d, image);
	map_heap(&d, mib);
	before = device_stats(&d);
	print_head(&d, image);
	while (ran < ARRAY_SIZE(steps) && d.ok == ran)
		d.ok += run_step(&d, ran++);
	print_sum(&d, ran, &before);
	return d.ok == ARRAY_SIZE(steps) ? 0 : 1;
}
