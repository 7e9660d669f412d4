/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The checks of hmm-demo: requests to the CPU, the device and the kernel, and
 * the comparison of their results in same().
 *
 * The steps themselves are in hmm-demo.c.
 */
#ifndef HMM_DEMO_H
#define HMM_DEMO_H

#include <stdarg.h>
#include <stdnoreturn.h>

#include "hmm-edu.h"
#include "hmm-util.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MIB		1048576UL

/* Size of the largest part of the heap that a step uses, and its pages. */
#define PART_SIZE	(8 * MIB)
#define PART_PAGES	(PART_SIZE / PAGE_MIN)

/* Some memory of this process. */
struct span {
	unsigned char *start;
	size_t size;
};

/* Results of a computation over a span: FNV-1a of its words, and wc -w. */
struct answer {
	__u64 sum;
	__u64 words;
};

struct demo {
	int fd;
	int edu;
	struct span image;
	struct span heap;
	struct span hugetlb;
	struct span engine;	/* memory for edu's engine */
	struct span copy;	/* buffer of READ and WRITE */
	struct answer first;	/* of the image, from read() */
	struct answer sent;	/* of the memory that the engine read */
	__u64 iova;		/* address of the engine's last write */

	pid_t child;
	int to_child;

	/* of this step */
	char shown[9];
	__u64 words;
	__u64 pages;
	char note[100];
	char why[160];

	/* of all steps */
	__u64 read_pages;
	__u64 ok;
};

static noreturn void cannot_start(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("hmm-demo: cannot start: ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	exit(2);
}

/*
 * All comparisons go through here. The first difference of a step is kept;
 * later ones are only its consequences.
 */
static bool same(struct demo *d, const char *what, __u64 want, __u64 got)
{
	if (want == got)
		return true;
	if (!d->why[0])
		snprintf(d->why, sizeof(d->why),
			 "%s: expected %llu (%#llx), found %llu (%#llx)", what,
			 want, want, got, got);
	return false;
}

static void same_answer(struct demo *d, struct answer want, struct answer got)
{
	same(d, "checksum", want.sum, got.sum);
	same(d, "words", want.words, got.words);
	snprintf(d->shown, sizeof(d->shown), "%08llx", got.sum & 0xffffffff);
	d->words = got.words;
}

/* A system call that must not fail. */
static bool done(struct demo *d, const char *what, long ret)
{
	return same(d, what, 0, ret < 0 ? errno : 0);
}

static struct span sub(struct span s, size_t from, size_t size)
{
	return (struct span){ s.start + from, size };
}

static struct span part(struct demo *d, size_t mib, size_t size)
{
	return sub(d->heap, mib * MIB, size);
}

static size_t nr_pages(struct span s)
{
	return s.size / PAGE;
}

/* The results of the CPU, which has its own implementation. */
static struct answer cpu_compute(struct span s)
{
	return (struct answer){
		.sum = hmm_cpu_checksum(s.start, s.size),
		.words = hmm_cpu_words(s.start, s.size),
	};
}

/* Letters from a to p; eight bytes contain one space or end of line. */
static void fill(struct span s, __u64 seed)
{
	__u64 *word = (__u64 *)s.start;
	size_t i;

	seed = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (i = 0; i < s.size / sizeof(*word); i++) {
		unsigned int gap;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		gap = seed >> 61 << 3;
		word[i] =
			(seed & 0x0f0f0f0f0f0f0f0fULL) + 0x6161616161616161ULL;
		word[i] &= ~(0xffULL << gap);
		word[i] |= (seed & 1 << 4 ? '\n' : ' ') * (1ULL << gap);
	}
}

/* Requests to the device. They return 0 or an errno. */
static int device_compute(struct demo *d, struct span s, struct answer *answer)
{
	struct hmm_dmirror_compute cmd;
	int err = hmm_compute(d->fd, s.start, nr_pages(s), &cmd);

	if (err)
		return -err;
	same(d, "pages computed over", nr_pages(s), cmd.cpages);
	d->pages += cmd.cpages;
	d->read_pages += cmd.cpages;
	*answer = (struct answer){ cmd.checksum, cmd.words };
	return 0;
}

static int device_copy(struct demo *d, unsigned long request, struct span s,
		       void *buffer, __u64 *pages)
{
	struct hmm_dmirror_cmd cmd;
	int err = hmm_cmd(d->fd, request, s.start, buffer, nr_pages(s), &cmd);

	if (err)
		return -err;
	same(d, "pages worked on", nr_pages(s), cmd.cpages);
	*pages += cmd.cpages;
	return 0;
}

static int device_read(struct demo *d, struct span s)
{
	__u64 pages = 0;
	int err = device_copy(d, HMM_DMIRROR_READ, s, d->copy.start, &pages);

	d->pages += pages;
	d->read_pages += pages;
	return err;
}

static int device_write(struct demo *d, struct span s)
{
	return device_copy(d, HMM_DMIRROR_WRITE, s, d->copy.start, &d->pages);
}

static struct hmm_dmirror_stats device_stats(struct demo *d)
{
	struct hmm_dmirror_stats stats;
	int err = hmm_stats(d->fd, &stats);

	if (err)
		cannot_start("no statistics: %s", strerror(-err));
	return stats;
}

/* The number of pages in a snapshot with @value in the bits of @mask. */
static size_t device_shows(struct demo *d, struct span s, int mask, int value)
{
	static unsigned char shown[PART_PAGES];
	__u64 pages = 0;
	size_t i, count = 0;
	int err;

	err = device_copy(d, HMM_DMIRROR_SNAPSHOT, s, shown, &pages);
	same(d, "errno of the snapshot", 0, err);
	for (i = 0; i < pages; i++)
		count += (shown[i] & mask) == value;
	return count;
}

/* Let the device compute over @s; its results must be those of the CPU. */
static void device_finds(struct demo *d, struct span s, struct answer want)
{
	struct answer got = {};

	same(d, "errno of the device's computation", 0,
	     device_compute(d, s, &got));
	same_answer(d, want, got);
}

/* Let the device read @s; all bytes must be those of the CPU. */
static void device_copies(struct demo *d, struct span s)
{
	same(d, "errno of the device's read", 0, device_read(d, s));
	same(d, "all bytes read are those of the CPU", 0,
	     !!memcmp(d->copy.start, s.start, s.size));
}

/* Let the device write words to @s; the CPU must read them. */
static void device_writes(struct demo *d, struct span s, __u64 seed)
{
	struct span from = sub(d->copy, 0, s.size);

	fill(from, seed);
	same(d, "errno of the device's write", 0, device_write(d, s));
	same_answer(d, cpu_compute(from), cpu_compute(s));
}

static void refused(struct demo *d, const char *what, int want, int err)
{
	const char *name = strerrorname_np(err);

	same(d, what, want, err);
	snprintf(d->shown, sizeof(d->shown), "%s", name ? name : "no error");
}

/* All requests of the device for @s must fail. */
static void device_barred(struct demo *d, struct span s)
{
	struct answer unused;

	refused(d, "errno of the device's write", EFAULT, device_write(d, s));
	refused(d, "errno of the device's read", EFAULT, device_read(d, s));
	refused(d, "errno of the device's computation", EFAULT,
		device_compute(d, s, &unused));
}

/*
 * The number of pages of @s that are not the physical pages of the last call
 * with @remember; with @remember they are kept for the next call.
 */
static size_t replaced(struct demo *d, struct span s, bool remember)
{
	static uint64_t before[PART_PAGES], now[PART_PAGES];
	size_t i, count = 0;

	same(d, "errno of reading pagemap", 0,
	     -hmm_read_pagemap(s.start, nr_pages(s), now));
	for (i = 0; i < nr_pages(s); i++)
		count += (before[i] & PM_PFN) != (now[i] & PM_PFN);
	if (remember)
		memcpy(before, now, sizeof(before));
	return count;
}

/* The number of pages in transparent huge pages, of the mapping at @s. */
static size_t huge_pages(struct span s)
{
	return hmm_smaps(s.start, "AnonHugePages:") * 1024 / PAGE;
}

#endif /* HMM_DEMO_H */
