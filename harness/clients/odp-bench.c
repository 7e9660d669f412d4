// SPDX-License-Identifier: GPL-2.0
/*
 * Times on-demand paging, with our walk and with the base's in turn (the kernel
 * has a switch, stock/hmm_switch.c). Prints KTAP, with a time for each walk and
 * their ratio. A test fails if it could not be measured; no time fails.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <time.h>

#include "pair.h"

#define PARAMETERS	"/sys/module/hmm_switch/parameters/"
#define ROUNDS		9
#define PAGES		1024UL
#define SIZE		(PAGES * PAGE)

static struct pair pair;
static unsigned char *region, *buf;
static struct ibv_mr *mr, *buf_mr;

/* --- the states of the memory before a fault --- */

static void advise_memory(int advice)
{
	if (madvise(region, SIZE, advice))
		fail("madvise");
}

/* The device's entries go, the process's pages stay. */
static void make_present(void)
{
	memset(region, 1, SIZE);
	if (mprotect(region, SIZE, PROT_READ) ||
	    mprotect(region, SIZE, PROT_READ | PROT_WRITE))
		fail("mprotect");
}

static void make_absent(void)
{
	advise_memory(MADV_DONTNEED);
}

static void make_swapped(void)
{
	memset(region, 1, SIZE);
	advise_memory(MADV_PAGEOUT);
}

/* --- the work --- */

static bool read_pages(void)
{
	struct ibv_sge sge = { (uintptr_t)buf, PAGE, buf_mr->lkey };
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_RDMA_READ,
		.sg_list = &sge,
		.num_sge = 1,
		.wr.rdma.rkey = mr->rkey,
	};
	size_t i;

	for (i = 0; i < SIZE; i += PAGE) {
		wr.wr.rdma.remote_addr = (uintptr_t)region + i;
		pair_post(&pair, &wr);
		if (pair_wait(&pair, 0) || buf[0] != region[i])
			return false;
	}
	return true;
}

static bool prefetch(void)
{
	struct ibv_sge sge = { (uintptr_t)region, SIZE, mr->lkey };

	return !pair_advise(&pair, IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE,
			    PAIR_SYNC, &sge);
}

static const struct row {
	const char *name;
	const char *text;
	void (*before)(void);
	bool (*work)(void);
} rows[] = {
	{ "read_present", "remote read, page present", make_present,
	  read_pages },
	{ "read_absent", "remote read, page not present", make_absent,
	  read_pages },
	{ "read_swapped", "remote read, page swapped out", make_swapped,
	  read_pages },
	{ "fault_present", "device fault, page present", make_present,
	  prefetch },
	{ "fault_absent", "device fault, page not present", make_absent,
	  prefetch },
	{ "fault_swapped", "device fault, page swapped out", make_swapped,
	  prefetch },
};

#define NR_ROWS		(sizeof(rows) / sizeof(rows[0]))

/* --- measuring --- */

static void select_walk(bool stock)
{
	int fd = open(PARAMETERS "stock", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, stock ? "1" : "0", 1) != 1)
		fail(PARAMETERS "stock");
	close(fd);
}

static unsigned long calls(bool stock)
{
	FILE *f = fopen(stock ? PARAMETERS "stock_calls" :
				PARAMETERS "our_calls", "re");
	unsigned long n;

	if (!f || fscanf(f, "%lu", &n) != 1)
		fail(PARAMETERS "*_calls");
	fclose(f);
	return n;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* Returns microseconds for each page, or a negative number. */
static double measure(const struct row *row, bool stock)
{
	unsigned long before;
	double start, time;
	bool good;

	row->before();
	select_walk(stock);
	before = calls(stock);
	start = now();
	good = row->work();
	time = now() - start;
	return good && calls(stock) != before ? time / PAGES : -1;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double nth(double *values, double part)
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	return values[(size_t)((ROUNDS - 1) * part + 0.5)];
}

static bool run(const struct row *row)
{
	double ours[ROUNDS], stock[ROUNDS], ratio[ROUNDS];
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ours[i] = measure(row, false);
		stock[i] = measure(row, true);
		if (ours[i] <= 0 || stock[i] <= 0)
			return false;
		ratio[i] = ours[i] / stock[i];
	}
	printf("# time\t%s\t%.1f\t%.1f\t%.0f\t%.2f\t%.2f\t%.2f\n", row->text,
	       nth(ours, 0.5), nth(stock, 0.5), 1e6 / nth(ours, 0.5),
	       nth(ratio, 0.5), nth(ratio, 0.1), nth(ratio, 0.9));
	return true;
}

static void set_up(void)
{
	const int access = PAIR_ACCESS | IBV_ACCESS_ON_DEMAND;

	pair_open(&pair);
	region = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	buf = map(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (madvise(region, SIZE, MADV_NOHUGEPAGE))
		fail("MADV_NOHUGEPAGE");
	mr = ibv_reg_mr(pair.pd, region, SIZE, access);
	buf_mr = ibv_reg_mr(pair.pd, buf, PAGE, PAIR_ACCESS);
	if (!mr || !buf_mr)
		fail("reg_mr");
	pair_connect(&pair, IBV_MTU_4096);
}

int main(void)
{
	bool all = true, good;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%zu\n", NR_ROWS);
	set_up();
	for (i = 0; i < NR_ROWS; i++) {
		good = run(&rows[i]);
		printf("%s %zu %s\n", good ? "ok" : "not ok", i + 1,
		       rows[i].name);
		all = all && good;
	}
	select_walk(false);
	return !all;
}
