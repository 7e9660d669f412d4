// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmarks of HMM, compared with the interval API and other calls that do the
 * same work.
 *
 *	hmm-bench count		instructions; the guest runs under -icount
 *	hmm-bench wall		ratios of time, waits under load, and how the
 *				speed grows with a second CPU
 *
 * It prints one line per result, tab separated:
 *
 *	count	ROW SIDE UNIT VALUE CALLS
 *	wall	ROW MEDIAN LOW HIGH ROUNDS	(ours to stock)
 *	load	THREADS SIDE MEDIAN LATE WORST	(microseconds)
 *	hold	THREADS SIDE MEDIAN LATE WORST	(the same, other load)
 *	map	THREADS SIDE MEDIAN LATE WORST	(the same, other load)
 *	scale	CPUS SIDE PAGES			(a second)
 *
 * Each row is measured in a process of its own, as registrations leave traces
 * in an address space. The memory is checked before the measurement and the
 * results after it: the program fails if either differs from the row.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../../lib/hmm_bench_uapi.h"

#include "hmm-pages.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

#define MIB64		16384UL

#define READ		HMM_BENCH_READ
#define WRITE		(HMM_BENCH_READ | HMM_BENCH_WRITE)

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static int bench_fd;

/* ------------------------------------------------------------------- memory */

static void *map(size_t npages, int flags, int fd)
{
	size_t size = npages * PAGE;
	char *addr;

	/* Whole huge pages, aligned to their size. */
	size = (size + HUGE - 1) & ~(HUGE - 1);
	addr = mmap(NULL, size + HUGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (addr == MAP_FAILED)
		err(1, "mmap");
	addr = mmap(hmm_huge_align(addr), size, FULL_ACCESS, flags | MAP_FIXED,
		    fd, 0);
	if (addr == MAP_FAILED)
		err(1, "mmap of %zu pages", npages);
	return addr;
}

static char *map_anon(size_t npages)
{
	return map(npages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void advise(void *addr, size_t npages, int advice)
{
	if (madvise(addr, npages * PAGE, advice))
		err(1, "madvise %d of %zu pages", advice, npages);
}

/*
 * The number of pages that physically follow the page before them, not counting
 * pages at the start of a huge page.
 */
static size_t count_next(const void *addr, size_t npages, size_t *where)
{
	uint64_t *words = calloc(npages, sizeof(*words));
	size_t i, n = 0;

	if (!words)
		err(1, "calloc");
	errno = -hmm_read_pagemap(addr, npages, words);
	if (errno)
		err(1, "pagemap");
	for (i = 1; i < npages; i++) {
		if (i % 512 == 0 ||
		    (words[i] & PM_PFN) != (words[i - 1] & PM_PFN) + 1)
			continue;
		*where = i;
		n++;
	}
	free(words);
	return n;
}

static unsigned long huge_kib(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long kib = 0;
	char line[256];

	if (!file)
		err(1, "smaps_rollup");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static char *make_thp(size_t npages)
{
	char *addr = map_anon(npages);

	advise(addr, npages, MADV_HUGEPAGE);
	advise(addr, npages, MADV_POPULATE_WRITE);
	if (huge_kib() != npages * PAGE / 1024)
		errx(1, "no huge pages: %lu KiB", huge_kib());
	return addr;
}

/* Split huge pages: small pages that are physically contiguous. */
static char *make_contiguous(size_t npages)
{
	size_t all = (npages + 511) & ~511UL, i, where;
	char *addr = make_thp(all);

	for (i = 0; i < all; i += 512)
		if (mprotect(addr + i * PAGE, PAGE, PROT_READ) ||
		    mprotect(addr + i * PAGE, PAGE, PROT_READ | PROT_WRITE))
			err(1, "mprotect");
	for (i = 0; i < all; i++)
		((volatile char *)addr)[i * PAGE] = 1;
	if (huge_kib() || count_next(addr, all, &where) != all / 512 * 511)
		errx(1, "the pages are not small ones in a row");
	return addr;
}

/* Touch the pages in an order that is unrelated to their addresses. */
static char *make_shuffled(size_t npages)
{
	char *addr = map_anon(npages);
	size_t i, where, tries;

	for (i = 0; i < npages; i++)
		addr[(i * 10007 + 5) % npages * PAGE] = 1;
	for (tries = 0; count_next(addr, npages, &where); tries++) {
		size_t far = (where + npages / 2) % npages;

		if (tries == 1000)
			errx(1, "pages cannot be shuffled");
		/* The page that is freed last is allocated first. */
		advise(addr + far * PAGE, 1, MADV_DONTNEED);
		advise(addr + where * PAGE, 1, MADV_DONTNEED);
		addr[far * PAGE] = 1;
		addr[where * PAGE] = 1;
	}
	if (hmm_count_pagemap(addr, npages, PM_PRESENT) != npages)
		errx(1, "pages are missing");
	return addr;
}

static char *make_half(size_t npages)
{
	char *addr = map_anon(npages);
	size_t i;

	for (i = 0; i < npages; i += 2)
		addr[i * PAGE] = 1;
	if (hmm_count_pagemap(addr, npages, PM_PRESENT) != npages / 2)
		errx(1, "not half of the pages are there");
	return addr;
}

static char *make_empty(size_t npages)
{
	return map_anon(npages);
}

static char *make_zero(size_t npages)
{
	char *addr = map_anon(npages);

	advise(addr, npages, MADV_POPULATE_READ);
	return addr;
}

static char *make_hugetlb(size_t npages)
{
	char *addr = map(npages, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);

	advise(addr, npages, MADV_POPULATE_WRITE);
	return addr;
}

static char *make_file(size_t npages)
{
	int fd = memfd_create("hmm-bench", MFD_CLOEXEC);
	char *addr;

	if (fd < 0 || ftruncate(fd, npages * PAGE))
		err(1, "memfd");
	addr = map(npages, MAP_SHARED, fd);
	close(fd);
	advise(addr, npages, MADV_POPULATE_WRITE);
	return addr;
}

static char *make_swapped(size_t npages)
{
	char *addr = map_anon(npages);
	size_t i, tries;

	/* zram does not store pages that repeat one word. */
	for (i = 0; i < npages; i++)
		*(size_t *)(addr + i * PAGE) = i + 1;
	for (tries = 0; tries < 50; tries++) {
		advise(addr, npages, MADV_PAGEOUT);
		if (hmm_count_pagemap(addr, npages, PM_SWAPPED) == npages)
			return addr;
	}
	errx(1, "pages do not go out to swap");
}

/* Resident pages of a file that only a write to this mapping copies. */
static char *make_private_file(size_t npages)
{
	int fd = memfd_create("hmm-bench", MFD_CLOEXEC);
	char *addr;

	if (fd < 0 || ftruncate(fd, npages * PAGE) ||
	    fallocate(fd, 0, 0, npages * PAGE))
		err(1, "memfd");
	addr = map(npages, MAP_PRIVATE, fd);
	close(fd);
	advise(addr, npages, MADV_POPULATE_READ);
	return addr;
}

static void drop(char *addr, size_t npages)
{
	size_t size = (npages * PAGE + HUGE - 1) & ~(HUGE - 1);

	if (munmap(addr, size))
		err(1, "munmap");
}

/* --------------------------------------------------------------------- rows */

enum unit { PER_PAGE, PER_CALL };

/* The pages that must be present after the measurement. */
enum found { ANY, NONE, HALF, ALL };

/**
 * struct row - one line of the table
 * @name: name of the row
 * @make: prepares the memory
 * @npages: size of the memory
 * @unit: divisor of the count
 * @rounds: number of rounds
 * @fresh: each round changes the memory and needs new memory
 * @amid: half of the other ranges are before the memory; otherwise all are
 *	behind it, where a search ends sooner
 * @run: the rest of the request
 * @ours: operation of the mirror API; in this and the following 0 means none
 * @stock: operation of the interval API, with its walk of before
 * @limit: operation that is a lower limit
 * @pin: operation to compare with
 * @valid: pages that @ours and @stock must find
 * @writable: pages that they must find writable
 */
struct row {
	const char *name;
	char *(*make)(size_t npages);
	size_t npages;
	enum unit unit;
	unsigned int rounds;
	bool fresh;
	bool amid;
	struct hmm_bench_run run;
	enum hmm_bench_op ours;
	enum hmm_bench_op stock;
	enum hmm_bench_op limit;
	enum hmm_bench_op pin;
	enum found valid;
	enum found writable;
};

/* clang-format off */
#define FAULTS		.ours = HMM_BENCH_MIRROR_FAULT, \
			.stock = HMM_BENCH_STOCK_FAULT
#define WALKS		FAULTS, .limit = HMM_BENCH_WALK_COPY
#define PINS		WALKS, .pin = HMM_BENCH_PIN
#define MM_FAULTS	FAULTS, .limit = HMM_BENCH_MM_FAULT
#define TAKES		.ours = HMM_BENCH_MIRROR_TAKE, \
			.stock = HMM_BENCH_STOCK_TAKE
#define HITS		.ours = HMM_BENCH_MIRROR_INVALIDATE, \
			.stock = HMM_BENCH_INTERVAL_INVALIDATE, \
			.limit = HMM_BENCH_INTERVAL_MISS

#define SIZE_ROW(n) \
	{ "size-" #n, make_contiguous, n, PER_CALL, 9, \
	  .run = { .req = READ }, PINS, .valid = ALL }
#define UNLOCKS		.ours = HMM_BENCH_MIRROR_UNLOCKED, \
			.stock = HMM_BENCH_MIRROR_LOCKED, .valid = ALL
#define UNLOCKED_ROW(n) \
	{ "unlocked-" #n, make_contiguous, n, PER_CALL, 99, \
	  .run = { .req = READ }, UNLOCKS }
#define UNLOCKED_FAULT_ROW(n) \
	{ "unlocked-fault-" #n, make_empty, n, PER_CALL, 9, true, \
	  .run = { .req = WRITE }, UNLOCKS }
#define HIT_ROW(n) \
	{ "invalidate-ranges-" #n, make_contiguous, 1, PER_CALL, 99, \
	  .run = { .devices = 1, .others = (n) - 1 }, HITS }
#define AMID_ROW(n) \
	{ "invalidate-amid-" #n, make_contiguous, 1, PER_CALL, 99, \
	  .amid = true, .run = { .devices = 1, .others = (n) - 1 }, \
	  .ours = HMM_BENCH_MIRROR_INVALIDATE, \
	  .stock = HMM_BENCH_INTERVAL_INVALIDATE }
#define TAKE_ROW(n) \
	{ "take-ranges-" #n, make_contiguous, 1, PER_CALL, 99, \
	  .run = { .req = READ, .others = (n) - 1 }, TAKES, .valid = ALL }
#define MIRRORS_ROW(n) \
	{ "invalidate-mirrors-" #n, make_contiguous, 1, PER_CALL, 99, \
	  .run = { .devices = n }, HITS }

#define DMA_ROW(name, make, how, beside, what) \
	{ name, make, 512, PER_PAGE, 9, \
	  .run = { .req = WRITE }, \
	  .ours = HMM_BENCH_##how##_##what, \
	  .stock = HMM_BENCH_##beside##_##what }

static const struct row rows[] = {
	{ "snapshot-contiguous", make_contiguous, MIB64, PER_PAGE, 5,
	  PINS, .valid = ALL, .writable = ALL },
	{ "snapshot-shuffled", make_shuffled, MIB64, PER_PAGE, 5,
	  PINS, .valid = ALL, .writable = ALL },
	{ "request-contiguous", make_contiguous, MIB64, PER_PAGE, 5,
	  .run = { .req = WRITE }, PINS, .valid = ALL, .writable = ALL },
	{ "request-shuffled", make_shuffled, MIB64, PER_PAGE, 5,
	  .run = { .req = WRITE }, PINS, .valid = ALL, .writable = ALL },
	{ "snapshot-thp", make_thp, MIB64, PER_PAGE, 5,
	  PINS, .valid = ALL, .writable = ALL },
	{ "snapshot-empty", make_empty, MIB64, PER_PAGE, 5, WALKS,
	  .valid = NONE },
	{ "take-page", make_contiguous, 1, PER_CALL, 99,
	  .run = { .req = READ }, TAKES, .valid = ALL },
	{ "fault-empty", make_empty, MIB64, PER_PAGE, 3, true,
	  .run = { .req = WRITE }, MM_FAULTS, .valid = ALL, .writable = ALL },
	{ "fault-zero", make_zero, MIB64, PER_PAGE, 3, true,
	  .run = { .req = WRITE }, MM_FAULTS, .valid = ALL, .writable = ALL },
	{ "fault-zero-32", make_zero, MIB64 / 2, PER_PAGE, 3, true,
	  .run = { .req = WRITE }, MM_FAULTS, .valid = ALL, .writable = ALL },
	{ "copy-file", make_private_file, MIB64, PER_PAGE, 3, true,
	  .run = { .req = WRITE }, MM_FAULTS, .valid = ALL, .writable = ALL },
	{ "copy-file-32", make_private_file, MIB64 / 2, PER_PAGE, 3, true,
	  .run = { .req = WRITE }, MM_FAULTS, .valid = ALL, .writable = ALL },
	{ "read-file-32", make_private_file, MIB64 / 2, PER_PAGE, 3, true,
	  .run = { .req = READ }, WALKS, .valid = ALL, .writable = NONE },
	HIT_ROW(10),
	HIT_ROW(10000),
	HIT_ROW(100000),

	{ "each-contiguous", make_contiguous, MIB64, PER_PAGE, 5,
	  .run = { .req = WRITE, .stride = 1 }, WALKS, .valid = ALL,
	  .writable = ALL },
	{ "each-shuffled", make_shuffled, MIB64, PER_PAGE, 5,
	  .run = { .req = WRITE, .stride = 1 }, WALKS, .valid = ALL,
	  .writable = ALL },
	{ "each-second", make_shuffled, MIB64, PER_PAGE, 5,
	  .run = { .req = WRITE, .stride = 2 }, WALKS, .valid = ALL,
	  .writable = ALL },
	{ "snapshot-half", make_half, MIB64, PER_PAGE, 5, WALKS,
	  .valid = HALF, .writable = HALF },
	{ "fault-half", make_half, MIB64, PER_PAGE, 3, true,
	  .run = { .req = WRITE }, FAULTS, .valid = ALL, .writable = ALL },
	{ "snapshot-zero", make_zero, MIB64, PER_PAGE, 5, WALKS, .valid = ALL,
	  .writable = NONE },
	{ "snapshot-hugetlb", make_hugetlb, MIB64, PER_PAGE, 5, WALKS,
	  .valid = ALL, .writable = ALL },
	{ "snapshot-file", make_file, MIB64, PER_PAGE, 5, PINS, .valid = ALL,
	  .writable = ALL },
	{ "snapshot-swapped", make_swapped, MIB64, PER_PAGE, 5, WALKS,
	  .valid = NONE },
	{ "fault-swapped", make_swapped, MIB64 / 16, PER_PAGE, 3, true,
	  .run = { .req = READ }, MM_FAULTS, .valid = ALL },

	SIZE_ROW(1),
	SIZE_ROW(16),
	SIZE_ROW(512),
	SIZE_ROW(16384),
	SIZE_ROW(262144),
	/* Beside a wait, the mmap lock and hmm_range_fault() */
	UNLOCKED_ROW(1),
	UNLOCKED_ROW(16),
	UNLOCKED_ROW(512),
	UNLOCKED_FAULT_ROW(1),
	UNLOCKED_FAULT_ROW(16),
	UNLOCKED_FAULT_ROW(512),

	TAKE_ROW(1),
	TAKE_ROW(10),
	TAKE_ROW(100),
	TAKE_ROW(1000),
	TAKE_ROW(10000),
	TAKE_ROW(100000),
	HIT_ROW(1),
	HIT_ROW(100),
	HIT_ROW(1000),
	AMID_ROW(10),
	AMID_ROW(10000),
	AMID_ROW(100000),
	MIRRORS_ROW(0),
	MIRRORS_ROW(1),
	MIRRORS_ROW(4),
	MIRRORS_ROW(16),
	MIRRORS_ROW(64),
	{ "range-register", make_empty, 1, PER_CALL, 99,
	  .ours = HMM_BENCH_MIRROR_RANGE_REGISTER,
	  .stock = HMM_BENCH_INTERVAL_INSERT },
	{ "range-unregister", make_empty, 1, PER_CALL, 99,
	  .ours = HMM_BENCH_MIRROR_RANGE_UNREGISTER,
	  .stock = HMM_BENCH_INTERVAL_REMOVE },
	{ "mirror-register", make_empty, 1, PER_CALL, 99,
	  .ours = HMM_BENCH_MIRROR_REGISTER },
	{ "mirror-unregister", make_empty, 1, PER_CALL, 99,
	  .ours = HMM_BENCH_MIRROR_UNREGISTER },
	{ "wait", make_empty, 1, PER_CALL, 99,
	  .ours = HMM_BENCH_MIRROR_WAIT,
	  .stock = HMM_BENCH_INTERVAL_READ_BEGIN },

	/*
	 * 2 MiB, behind the IOMMU in strict mode, compared with the plain loop
	 */
	DMA_ROW("batch-shuffled", make_shuffled, BATCH, PLAIN, BOTH),
	DMA_ROW("batch-contiguous", make_contiguous, BATCH, PLAIN, BOTH),
	DMA_ROW("batch-thp", make_thp, BATCH, PLAIN, BOTH),
	DMA_ROW("dma-shuffled", make_shuffled, DMA, PLAIN, BOTH),
	DMA_ROW("dma-thp", make_thp, DMA, PLAIN, BOTH),
	DMA_ROW("batch-map-shuffled", make_shuffled, BATCH, PLAIN, MAP),
	DMA_ROW("batch-unmap-shuffled", make_shuffled, BATCH, PLAIN, UNMAP),
	DMA_ROW("batch-map-thp", make_thp, BATCH, PLAIN, MAP),
	DMA_ROW("batch-unmap-thp", make_thp, BATCH, PLAIN, UNMAP),
};

/* clang-format on */
static void request(struct hmm_bench_run *run)
{
	if (ioctl(bench_fd, HMM_BENCH_RUN, run))
		err(1, "operation %u on %llu pages", run->op, run->npages);
}

static void check_found(const struct row *row, const char *what,
			enum found want, size_t got)
{
	if (want == ANY || (want == NONE && got == 0) ||
	    (want == HALF && got == row->npages / 2) ||
	    (want == ALL && got == row->npages))
		return;
	errx(1, "%s: %zu of %zu pages are %s", row->name, got, row->npages,
	     what);
}

/* Check that the measured operation has done its work. */
static void check_run(const struct row *row, const struct hmm_bench_run *run)
{
	if (run->op != row->ours && run->op != row->stock &&
	    run->op != HMM_BENCH_INTERVAL_FAULT)
		return;
	check_found(row, "there", row->valid, run->valid);
	check_found(row, "writable", row->writable, run->writable);
}

static struct hmm_bench_run run_on(const struct row *row, char *addr,
				   enum hmm_bench_op op, unsigned int rounds)
{
	struct hmm_bench_run run = row->run;

	run.op = op;
	run.addr = (uintptr_t)addr;
	run.npages = row->npages;
	run.rounds = rounds;
	/* The other ranges do not include the page itself. */
	run.others_addr = run.addr + 2 * PAGE;
	if (row->amid && run.others % 2)
		run.others_addr -= run.others * PAGE;
	request(&run);
	check_run(row, &run);
	return run;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return values[n / 2];
}

static struct hmm_bench_run run_fresh(const struct row *row,
				      enum hmm_bench_op op)
{
	char *addr = row->make(row->npages);
	struct hmm_bench_run run = run_on(row, addr, op, 1);

	drop(addr, row->npages);
	return run;
}

/* -------------------------------------------------------------------- count */

/* The cost of the measurement itself. */
static double count_nothing(void)
{
	struct hmm_bench_run run = {
		.op = HMM_BENCH_NOTHING,
		.npages = 1,
		.rounds = 99,
	};

	request(&run);
	return run.median;
}

/*
 * Check that a cycle is an instruction, as under -icount shift=0. The loops are
 * short enough that most rounds have no timer interrupt.
 */
static void check_cycles(void)
{
	const uint64_t few = 1000, many = 101000;
	struct hmm_bench_run run = {
		.op = HMM_BENCH_LOOP,
		.npages = few,
		.rounds = 9,
	};
	double one;

	request(&run);
	one = run.median;
	run.npages = many;
	request(&run);
	one = (run.median - one) / (2 * (many - few));
	printf("cycles\t%.5f\tan instruction\n", one);
	if (one < 0.9999 || one > 1.0001)
		errx(1, "%.5f cycles an instruction: is this -icount shift=0?",
		     one);
}

/* Prefix of the rows of the interval API, before and after */
#define THROUGH		"interval-"

static const char *count_only;

static bool is_counted(const char *prefix, const char *name)
{
	char both[64];

	snprintf(both, sizeof(both), "%s%s", prefix, name);
	return !count_only || strstr(both, count_only);
}

static void print_count(const struct row *row, const char *prefix,
			const char *side, double cycles,
			unsigned long long calls)
{
	if (!is_counted(prefix, row->name))
		return;
	printf("count\t%s%s\t%s\t%s\t%.2f\t%llu\n", prefix, row->name, side,
	       row->unit == PER_PAGE ? "page" : "call",
	       row->unit == PER_PAGE ? cycles / row->npages : cycles, calls);
	fflush(stdout);
}

static bool is_fault(const struct row *row)
{
	return row->ours == HMM_BENCH_MIRROR_FAULT && row->unit == PER_PAGE;
}

static void count_side(const struct row *row, const char *side, char *addr,
		       enum hmm_bench_op op)
{
	bool through = op == HMM_BENCH_INTERVAL_FAULT;
	struct hmm_bench_run run = {};
	double values[16], cycles;
	unsigned int i;

	if (!op)
		return;
	if (row->fresh) {
		for (i = 0; i < row->rounds; i++) {
			run = run_fresh(row, op);
			values[i] = run.median;
		}
		cycles = median(values, row->rounds);
	} else {
		run = run_on(row, addr, op, row->rounds);
		cycles = run.median;
	}
	cycles -= count_nothing();
	print_count(row, through ? THROUGH : "", side, cycles, run.calls);
	if (is_fault(row) && !through && op != row->ours)
		print_count(row, THROUGH, side, cycles, run.calls);
}

/*
 * The interval API comes last: once it was used, all other calls cost a little
 * more. The limit of an invalidation is one of the interval API as well.
 */
static void count_row(const struct row *row)
{
	bool late = row->limit == HMM_BENCH_INTERVAL_MISS;
	char *addr = row->fresh ? NULL : row->make(row->npages);

	count_side(row, "ours", addr, row->ours);
	if (!late)
		count_side(row, "limit", addr, row->limit);
	count_side(row, "pin", addr, row->pin);
	if (row->pin)
		count_side(row, "unpin", addr, HMM_BENCH_UNPIN);
	if (is_fault(row))
		count_side(row, "ours", addr, HMM_BENCH_INTERVAL_FAULT);
	count_side(row, "stock", addr, row->stock);
	if (late)
		count_side(row, "limit", addr, row->limit);
}

/* --------------------------------------------------------------------- wall */

#define WALL_ROUNDS	41

static const char *const wall_rows[] = {
	"snapshot-contiguous", "snapshot-shuffled", "request-contiguous",
	"request-shuffled", "snapshot-thp", "snapshot-empty", "take-page",
	"each-shuffled", "fault-empty", "fault-zero", "invalidate-ranges-10",
	"invalidate-ranges-10000",
};

static bool is_wall_row(const struct row *row)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wall_rows); i++)
		if (!strcmp(wall_rows[i], row->name))
			return true;
	return false;
}

/* Alternate, so that disturbances affect both sides. */
static void wall_row(const struct row *row)
{
	size_t i, n = row->fresh ? WALL_ROUNDS / 4 : WALL_ROUNDS;
	unsigned int rounds = row->npages == 1 ? 200 : 1;
	double ratios[WALL_ROUNDS], ours, stock;
	char *addr = row->fresh ? NULL : row->make(row->npages);

	for (i = 0; i < n; i++) {
		if (row->fresh) {
			ours = run_fresh(row, row->ours).median;
			stock = run_fresh(row, row->stock).median;
		} else {
			ours = run_on(row, addr, row->ours, rounds).median;
			stock = run_on(row, addr, row->stock, rounds).median;
		}
		ratios[i] = ours / stock;
	}
	ours = median(ratios, n);
	printf("wall\t%s\t%.3f\t%.3f\t%.3f\t%zu\n", row->name, ours,
	       ratios[n / 10], ratios[n - 1 - n / 10], n);
	fflush(stdout);
}

/* --------------------------------------------------------------------- load */

#define LOAD_ROUNDS	300
#define LOAD_TABLES	256UL
#define LOAD_PAGES	(LOAD_TABLES * 512)
#define LOAD_TOUCHED	16
#define LOAD_RANGES	64
#define LOAD_THREADS	4

static atomic_bool load_stop;
static atomic_ulong load_done;

/* Write a page in each of @tables page tables of @addr. */
static void touch_tables(char *addr, size_t tables)
{
	for (size_t i = 0; i < tables; i++)
		addr[i * 512 * PAGE] = 1;
}

/*
 * Free a few pages as an allocator does: with one call for a large part of its
 * heap, of which only little is in use. The page tables remain, and walking
 * them takes most of the thread's time. An invalidation is in flight all the
 * while, of memory that the device's fault does not touch.
 */
static void *load(void *arg)
{
	char *heap = arg;

	touch_tables(heap, LOAD_TABLES);
	while (!atomic_load(&load_stop)) {
		touch_tables(heap, LOAD_TOUCHED);
		advise(heap, LOAD_PAGES, MADV_DONTNEED);
		atomic_fetch_add(&load_done, 1);
	}
	return NULL;
}

/* Hold the mmap lock for writing, half of the time. */
static void *hold(void *arg)
{
	struct hmm_bench_run run = {
		.op = HMM_BENCH_HOLD,
		.npages = 1,
		.rounds = 1,
	};

	(void)arg;
	while (!atomic_load(&load_stop)) {
		request(&run);
		atomic_fetch_add(&load_done, 1);
	}
	return NULL;
}

/* Map, touch and unmap memory, each under the mmap lock. */
static void *map_and_unmap(void *arg)
{
	size_t size = LOAD_TOUCHED * PAGE;
	char *addr;

	(void)arg;
	while (!atomic_load(&load_stop)) {
		addr = mmap(NULL, size, FULL_ACCESS,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (addr == MAP_FAILED || munmap(addr, size))
			err(1, "mmap");
		atomic_fetch_add(&load_done, 1);
	}
	return NULL;
}

/* The counter that the device uses. */
static uint64_t cycle_counter(void)
{
#ifdef __aarch64__
	uint64_t count;

	asm volatile("isb; mrs %0, cntvct_el0" : "=r"(count));
	return count;
#else
	return __builtin_ia32_rdtsc();
#endif
}

static double cycles_per_us(void)
{
	struct timespec from, to;
	uint64_t begin;
	double us;

	clock_gettime(CLOCK_MONOTONIC, &from);
	begin = cycle_counter();
	do {
		clock_gettime(CLOCK_MONOTONIC, &to);
		us = (to.tv_sec - from.tv_sec) * 1e6 +
		     (to.tv_nsec - from.tv_nsec) / 1e3;
	} while (us < 200000);
	return (cycle_counter() - begin) / us;
}

/* The device also has ranges in the memory that the first thread unmaps. */
static void load_side(const char *what, const char *side, enum hmm_bench_op op,
		      char *addr, unsigned int threads, char *unmapped)
{
	struct hmm_bench_run run = {
		.op = op,
		.addr = (uintptr_t)addr,
		.npages = 16,
		.rounds = LOAD_ROUNDS,
		.req = READ,
		.others = LOAD_RANGES,
		.others_addr = (uintptr_t)unmapped,
	};
	double us = cycles_per_us();

	request(&run);
	if (run.valid != run.npages)
		errx(1, "load: %llu of %llu pages", run.valid, run.npages);
	printf("%s\t%u\t%s\t%.1f\t%.1f\t%.1f\n", what, threads, side,
	       run.median / us, run.late / us, run.worst / us);
	fflush(stdout);
}

static void load_with(const char *what, void *(*call)(void *),
		      unsigned int threads)
{
	char *addr = make_contiguous(16);
	char *unmapped = map_anon(LOAD_THREADS * LOAD_PAGES);
	pthread_t ids[LOAD_THREADS];
	unsigned int i;

	atomic_store(&load_stop, false);
	atomic_store(&load_done, 0);
	for (i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, call,
				   unmapped + i * LOAD_PAGES * PAGE))
			errx(1, "pthread_create");
	/* Wait until all threads are running. */
	while (atomic_load(&load_done) < 2 * threads)
		sched_yield();
	load_side(what, "ours", HMM_BENCH_MIRROR_DEVICE, addr, threads,
		  unmapped);
	load_side(what, "locked", HMM_BENCH_LOCKED_DEVICE, addr, threads,
		  unmapped);
	load_side(what, "stock", HMM_BENCH_STOCK_DEVICE, addr, threads,
		  unmapped);
	atomic_store(&load_stop, true);
	for (i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	drop(unmapped, LOAD_THREADS * LOAD_PAGES);
}

/* -------------------------------------------------------------------- scale */

#define SCALE_PAGES	4096UL
#define SCALE_ROUNDS	31
#define SCALE_CPUS	2

/* A thread on a CPU of its own, with memory and a device of its own. */
struct scale {
	pthread_t thread;
	pthread_barrier_t *start;
	enum hmm_bench_op op;
	unsigned int cpu;
	double pages;
};

static void *scale_thread(void *arg)
{
	struct scale *s = arg;
	struct hmm_bench_run run = {
		.op = s->op,
		.npages = SCALE_PAGES,
		.rounds = SCALE_ROUNDS,
		.req = WRITE,
	};
	double us = cycles_per_us();
	cpu_set_t cpu;
	char *addr;

	CPU_ZERO(&cpu);
	CPU_SET(s->cpu, &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu))
		err(1, "CPU %u", s->cpu);
	addr = map_anon(SCALE_PAGES);
	/* The first write makes what only the mmap lock allows to be made */
	addr[0] = 1;
	run.addr = (uintptr_t)addr;
	pthread_barrier_wait(s->start);
	request(&run);
	if (run.writable != run.npages)
		errx(1, "scale: %llu of %llu pages", run.writable, run.npages);
	s->pages = run.npages * us * 1e6 / run.median;
	drop(addr, SCALE_PAGES);
	return NULL;
}

static void scale_cpus(const char *side, enum hmm_bench_op op,
		       unsigned int cpus)
{
	struct scale threads[SCALE_CPUS];
	pthread_barrier_t start;
	double pages = 0;
	unsigned int i;

	pthread_barrier_init(&start, NULL, cpus);
	for (i = 0; i < cpus; i++) {
		threads[i] = (struct scale){
			.start = &start,
			.op = op,
			.cpu = i,
		};
		if (pthread_create(&threads[i].thread, NULL, scale_thread,
				   &threads[i]))
			errx(1, "pthread_create");
	}
	for (i = 0; i < cpus; i++) {
		pthread_join(threads[i].thread, NULL);
		pages += threads[i].pages;
	}
	pthread_barrier_destroy(&start);
	printf("scale\t%u\t%s\t%.0f\n", cpus, side, pages);
	fflush(stdout);
}

/* --------------------------------------------------------------------- main */

static void load_all(const struct row *row)
{
	(void)row;
	load_with("load", load, 0);
	load_with("load", load, 1);
	load_with("load", load, 2);
	load_with("load", load, LOAD_THREADS);
	load_with("hold", hold, 1);
	load_with("map", map_and_unmap, 1);
	load_with("map", map_and_unmap, 2);
	load_with("map", map_and_unmap, LOAD_THREADS);
}

static void scale_all(const struct row *row)
{
	unsigned int cpus;

	(void)row;
	for (cpus = 1; cpus <= SCALE_CPUS; cpus++) {
		scale_cpus("ours", HMM_BENCH_UNLOCKED_AGAIN, cpus);
		scale_cpus("locked", HMM_BENCH_LOCKED_AGAIN, cpus);
	}
}

/* Run @fn in a process of its own. Return false if it failed. */
static bool alone(void (*fn)(const struct row *row), const struct row *row)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		fn(row);
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (!status)
		return true;
	warnx("%s failed", row ? row->name : fn == load_all ? "load" : "scale");
	return false;
}

static bool count_all(void)
{
	bool good = true;
	size_t i;

	check_cycles();
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (is_counted("", rows[i].name) ||
		    (is_fault(&rows[i]) && is_counted(THROUGH, rows[i].name)))
			good &= alone(count_row, &rows[i]);
	return good;
}

static bool wall_all(void)
{
	bool good = true;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (is_wall_row(&rows[i]))
			good &= alone(wall_row, &rows[i]);
	good &= alone(load_all, NULL);
	return alone(scale_all, NULL) && good;
}

int main(int argc, char **argv)
{
	bench_fd = open("/dev/hmm_bench", O_RDWR | O_CLOEXEC);
	if (bench_fd < 0)
		err(1, "/dev/hmm_bench");
	if (argc >= 2 && !strcmp(argv[1], "count")) {
		count_only = argv[2];
		return !count_all();
	}
	if (argc == 2 && !strcmp(argv[1], "wall"))
		return !wall_all();
	errx(2, "usage: hmm-bench count [ROWS]|wall");
}
