// SPDX-License-Identifier: GPL-2.0
/*
 * Compares hmm_interval_range_fault() of the series with the base's function of
 * that name, which the test kernel has as well (mm/hmm-stock.c).
 *
 * A round builds the same random address space twice, at *left* and at *right*.
 * It compares snapshots of left by both functions. Then the base's function
 * serves a random request at left, and ours the same request at right; results
 * and entries are compared, with pfns left out. A snapshot of right by the
 * base's function then gives the pfns and orders that ours must have returned.
 *
 * The differences that are meant are functions named meant_*(), each with its
 * reason; all others fail the round, which is printed with its seed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <linux/userfaultfd.h>

#include "hmm-rig.h"
#include "hmm_diff.h"

#ifndef DIFF_ROUNDS
#define DIFF_ROUNDS	10000
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

/* Addresses around a boundary of page tables, or around a huge page */
#define EDGE		48UL
#define MOST		(2 * EDGE + PAGE_MAX / 8)
#define SPACE		(4 * HUGE)

#define V		(1ULL << 63)
#define W		(1ULL << 62)
#define E		(1ULL << 61)
/* Requests are made of the same bits */
#define REQ_READ	V
#define REQ_WRITE	W
/* Bits that a later base keeps from input to output */
#define MAYBE_STICKY	(7ULL << 58)

static const char *const PCI_MEMORY = "/sys/bus/pci/devices/*/resource0";

static uint64_t seed;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static unsigned int below(unsigned int n)
{
	return (random64() >> 32) % n;
}

static bool one_in(unsigned int n)
{
	return !below(n);
}

/**
 * struct test - what a round needs
 * @diff: node of the comparison
 * @device: own private memory, another's, and coherent memory
 * @io: mappable memory of a PCI device, or -1
 * @uffd: a userfaultfd
 * @compared: entries
 * @meant: entries that differ, for a reason that is known
 * @own: a page of private memory of the first device, for its owner
 * @sticky: bits that the base keeps
 */
struct test {
	int diff;
	int device[3];
	int io;
	int uffd;
	unsigned long compared;
	unsigned long meant;
	char *own;
	uint64_t sticky;
};

static struct test t;

/*
 * Kinds of memory. A function makes @n pages at @p, where nothing is mapped; it
 * returns false if it could not.
 */

static bool map(char *p, size_t n, int prot, int flags, int fd)
{
	return mmap(p, n * PAGE, prot, flags | MAP_FIXED, fd, 0) == p;
}

static bool map_anon(char *p, size_t n, int prot)
{
	return map(p, n, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static bool touch_write(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i * PAGE] = i;
	return true;
}

static bool touch_read(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cpu_read(p + i * PAGE);
	return true;
}

static bool hole(char *p, size_t n)
{
	return true;
}

static bool untouched(char *p, size_t n)
{
	return map_anon(p, n, FULL_ACCESS);
}

static bool untouched_read_only(char *p, size_t n)
{
	return map_anon(p, n, PROT_READ);
}

static bool no_access(char *p, size_t n)
{
	return untouched(p, n) && touch_write(p, n) &&
	       !mprotect(p, n * PAGE, PROT_NONE);
}

static bool write_only(char *p, size_t n)
{
	return map_anon(p, n, PROT_WRITE);
}

static bool exec_only(char *p, size_t n)
{
	return map_anon(p, n, PROT_EXEC);
}

static bool written(char *p, size_t n)
{
	return untouched(p, n) && touch_write(p, n);
}

static bool every_second(char *p, size_t n)
{
	if (!untouched(p, n))
		return false;
	for (size_t i = 0; i < n; i += 2)
		p[i * PAGE] = 1;
	return true;
}

static bool read_only(char *p, size_t n)
{
	return written(p, n) && !mprotect(p, n * PAGE, PROT_READ);
}

static bool zero_pages(char *p, size_t n)
{
	return untouched(p, n) && touch_read(p, n);
}

static bool from_file(char *p, size_t n, int flags, bool touch)
{
	int fd = memfd_create("hmm-diff", 0);
	bool ok = fd >= 0 && !ftruncate(fd, n * PAGE) &&
		  map(p, n, FULL_ACCESS, flags, fd);

	if (fd >= 0)
		close(fd);
	return ok && (!touch || touch_read(p, n));
}

static bool file_private(char *p, size_t n)
{
	return from_file(p, n, MAP_PRIVATE, true);
}

static bool file_shared(char *p, size_t n)
{
	return from_file(p, n, MAP_SHARED, true) && touch_write(p, n / 2);
}

static bool file_untouched(char *p, size_t n)
{
	return from_file(p, n, MAP_PRIVATE, false);
}

static bool file_shared_untouched(char *p, size_t n)
{
	return from_file(p, n, MAP_SHARED, false);
}

static bool swapped(char *p, size_t n)
{
	return written(p, n) && hmm_swap_out(p, n) == n;
}

static bool secret(char *p, size_t n)
{
	int fd = syscall(SYS_memfd_secret, 0);
	bool ok;

	if (fd < 0)
		return false;
	ok = !ftruncate(fd, n * PAGE) &&
	     map(p, n, FULL_ACCESS, MAP_SHARED, fd) && touch_write(p, n);
	close(fd);
	return ok;
}

static bool device_memory(char *p, size_t n)
{
	return map(p, n, FULL_ACCESS, MAP_SHARED, t.io);
}

static bool guards(char *p, size_t n)
{
	/* A base without guards has such pages untouched */
	return untouched(p, n) && (!madvise(p, n * PAGE, MADV_GUARD_INSTALL) ||
				   errno == EINVAL);
}

/* Marks of pages that are not there. */
__attribute__((unused)) static bool uffd_markers(char *p, size_t n)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)p, .len = n * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = reg.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return from_file(p, n, MAP_SHARED, false) &&
	       !ioctl(t.uffd, UFFDIO_REGISTER, &reg) &&
	       !ioctl(t.uffd, UFFDIO_WRITEPROTECT, &wp);
}

static bool on_device(char *p, size_t n, unsigned int device)
{
	struct hmm_dmirror_cmd cmd;
	char *buf = malloc(n * PAGE);
	bool ok = buf && written(p, n) &&
		  !hmm_cmd(t.device[device], HMM_DMIRROR_MIGRATE_TO_DEV, p, buf,
			   n, &cmd) && cmd.cpages == n;

	free(buf);
	return ok;
}

static bool private_own(char *p, size_t n)
{
	return on_device(p, n, 0);
}

/* Own private memory that the CPU could not write to. */
static bool private_own_read_only(char *p, size_t n)
{
	return on_device(p, n, 0) && !mprotect(p, n * PAGE, PROT_READ) &&
	       !mprotect(p, n * PAGE, FULL_ACCESS);
}

static bool private_other(char *p, size_t n)
{
	return on_device(p, n, 1);
}

static bool coherent(char *p, size_t n)
{
	return t.device[2] < 0 ? written(p, n) : on_device(p, n, 2);
}

static bool exclusive(char *p, size_t n)
{
	struct hmm_dmirror_cmd cmd;
	char *buf = malloc(n * PAGE);
	bool ok = buf && written(p, n) &&
		  !hmm_cmd(t.device[0], HMM_DMIRROR_EXCLUSIVE, p, buf, n, &cmd);

	free(buf);
	return ok;
}

static void no_action(int signal)
{
}

/* The madvise() sends SIGBUS. */
static bool poisoned(char *p, size_t n)
{
	struct sigaction action = { .sa_handler = no_action }, old;
	bool ok = written(p, n) && !sigaction(SIGBUS, &action, &old) &&
		  !madvise(p + n / 2 * PAGE, PAGE, MADV_HWPOISON);

	sigaction(SIGBUS, &old, NULL);
	return ok;
}

/* Huge kinds: @p is aligned to a huge page, @n is one. */

static bool thp(char *p, size_t n)
{
	return untouched(p, n) && !madvise(p, n * PAGE, MADV_HUGEPAGE) &&
	       touch_write(p, 1) && hmm_smaps(p, "AnonHugePages:") > 0;
}

static bool thp_read_only(char *p, size_t n)
{
	return thp(p, n) && !mprotect(p, n * PAGE, PROT_READ);
}

static bool thp_split(char *p, size_t n)
{
	return thp(p, n) && !mprotect(p + (n / 2) * PAGE, PAGE, PROT_READ);
}

static bool huge_zero(char *p, size_t n)
{
	return untouched(p, n) && !madvise(p, n * PAGE, MADV_HUGEPAGE) &&
	       touch_read(p, 1);
}

static bool hugetlb_untouched(char *p, size_t n)
{
	return map(p, n, FULL_ACCESS,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
}

static bool hugetlb(char *p, size_t n)
{
	return hugetlb_untouched(p, n) && touch_write(p, 1);
}

static bool hugetlb_read_only(char *p, size_t n)
{
	return hugetlb(p, n) && !mprotect(p, n * PAGE, PROT_READ);
}

struct maker {
	const char *name;
	bool (*make)(char *p, size_t n);
	/* One in so many is made */
	unsigned int rare;
};

#define KIND(make)	{ #make, make, 1 }
#define RARE(make, n)	{ #make, make, n }

static const struct maker small_kinds[] = {
	KIND(hole), KIND(untouched), KIND(untouched_read_only),
	KIND(no_access), KIND(write_only), KIND(exec_only), KIND(written),
	KIND(every_second), KIND(read_only), KIND(zero_pages),
	KIND(file_private), KIND(file_shared), KIND(file_untouched),
	KIND(file_shared_untouched),
	KIND(secret), KIND(device_memory), KIND(guards),
	KIND(private_own), KIND(private_own_read_only), KIND(private_other),
	KIND(coherent), KIND(exclusive), RARE(swapped, 4), RARE(poisoned, 200),
#ifndef DIFF_DEBUG
	/*
	 * With DEBUG_VM, handle_userfault() prints the stack of a fault that
	 * may not wait, as all of these are.
	 */
	KIND(uffd_markers),
#endif
};

static const struct maker huge_kinds[] = {
	KIND(thp), KIND(thp_read_only), KIND(thp_split), KIND(huge_zero),
	KIND(hugetlb), KIND(hugetlb_untouched), KIND(hugetlb_read_only),
	KIND(untouched), KIND(hole), KIND(no_access),
};

/**
 * struct piece - pages of one kind
 * @kind: their kind
 * @at: number of the first
 * @n: how many
 */
struct piece {
	const struct maker *kind;
	size_t at;
	size_t n;
};

/**
 * struct plan - an address space, and a request
 * @pieces: its pieces, in order
 * @nr: how many
 * @npages: pages of all
 * @first: offset of the first page from a huge page boundary
 * @owner: the first device makes the request
 * @flags: for all pages
 * @mask: bits of @input that count
 * @input: one entry a page
 */
struct plan {
	struct piece pieces[2 * EDGE + 1];
	size_t nr;
	size_t npages;
	size_t first;
	bool owner;
	uint64_t flags;
	uint64_t mask;
	uint64_t input[MOST];
};

static void add_piece(struct plan *plan, const struct maker *kind, size_t n)
{
	plan->pieces[plan->nr++] = (struct piece){ kind, plan->npages, n };
	plan->npages += n;
}

static void add_small(struct plan *plan, size_t pages)
{
	while (pages) {
		const struct maker *kind;
		size_t n = 1 + below(12);

		do
			kind = &small_kinds[below(ARRAY_SIZE(small_kinds))];
		while (!one_in(kind->rare));
		n = n < pages ? n : pages;
		add_piece(plan, kind, n);
		pages -= n;
	}
}

/*
 * Meant: ours looks at the requests of all pages of a hugetlb page, the base
 * only at the first one's: a write request of another can be left unmet, without
 * an error. So all pages of one get the same request here.
 */
static void request_hugetlb(struct plan *plan, const struct piece *piece)
{
	uint64_t *input = plan->input + piece->at;

	if (strncmp(piece->kind->name, "hugetlb", 7))
		return;
	for (size_t i = 1; i < piece->n; i++)
		input[i] = (input[i] & t.sticky) | (input[0] & ~t.sticky);
}

static void plan_request(struct plan *plan)
{
	static const uint64_t request[] = {
		0, REQ_READ, REQ_WRITE, REQ_READ | REQ_WRITE,
	};
	bool each = one_in(2);

	plan->owner = !one_in(3);
	plan->flags = one_in(3) ? 0 : request[below(4)];
	plan->mask = each ? request[below(4)] : 0;
	if (one_in(8))
		plan->mask |= random64() & t.sticky;
	for (size_t i = 0; i < plan->npages; i++)
		plan->input[i] = request[one_in(3) ? below(4) : 0] |
				 (random64() & t.sticky);
	for (size_t i = 0; i < plan->nr; i++)
		request_hugetlb(plan, &plan->pieces[i]);
}

static void plan_round(struct plan *plan)
{
	plan->nr = 0;
	plan->npages = 0;
	plan->first = HUGE / PAGE - EDGE;
	add_small(plan, EDGE);
	if (!hmm_too_huge() && one_in(4))
		add_piece(plan, &huge_kinds[below(ARRAY_SIZE(huge_kinds))],
			  HUGE / PAGE);
	add_small(plan, EDGE);
	plan_request(plan);
}

/* Returns the first page; NULL if a piece could not be made. */
static char *build(const struct plan *plan, char *space)
{
	char *first = space + plan->first * PAGE;

	for (size_t i = 0; i < plan->nr; i++) {
		const struct piece *piece = &plan->pieces[i];

		if (!piece->kind->make(first + piece->at * PAGE, piece->n))
			return NULL;
	}
	return first;
}

static void clear(char *space)
{
	munmap(space, SPACE);
}

static const struct maker *kind_of(const struct plan *plan, size_t page)
{
	size_t i = 0;

	while (plan->pieces[i].at + plan->pieces[i].n <= page)
		i++;
	return plan->pieces[i].kind;
}

static uint64_t request_of(const struct plan *plan, size_t page)
{
	return (plan->input[page] & plan->mask) | plan->flags;
}

/* Calls a function, whose entries replace those in @entries. */
static int call(const struct plan *plan, char *first, bool ours,
		bool snapshot, uint64_t *entries, struct hmm_diff_run *run)
{
	*run = (struct hmm_diff_run){
		.addr = (uintptr_t)first,
		.npages = plan->npages,
		.entries = (uintptr_t)entries,
		.default_flags = snapshot ? 0 : plan->flags,
		.pfn_flags_mask = snapshot ? 0 : plan->mask,
		.owner_of = plan->owner ? (uintptr_t)t.own : 0,
		.ours = ours,
	};
	memcpy(entries, plan->input, plan->npages * sizeof(*entries));
	return ioctl(t.diff, HMM_DIFF_RUN, run) ? -errno : 0;
}

/*
 * Meant: ours returns 0 for an entry without VALID; the base leaves a pfn or an
 * order in it, for a NUMA hint and for hugetlb memory that is not there. No
 * caller may use either.
 */
static bool meant_nothing_is_nothing(uint64_t base, uint64_t ours)
{
	return !(base & (V | E)) && !(ours & ~t.sticky);
}

/*
 * Meant: ours faults a page with its own need. The base faults all pages of a
 * hole, or up to the end of a page table, with the need of any of them.
 */
static bool meant_own_need(uint64_t base, uint64_t ours, uint64_t request)
{
	if (!(base & V))
		return false;
	if (!(request & REQ_READ))
		return !(ours & V) || !(ours & W);
	return !(request & REQ_WRITE) && ours & V && !(ours & W);
}

/*
 * Meant: ours leaves the owner's private memory in place whatever is missing
 * beside it. The base faults it too, up to the end of a page table, which
 * migrates it; the copy may then be written.
 */
static bool meant_owner_keeps(const struct plan *plan, size_t page,
			      uint64_t base, uint64_t ours)
{
	return plan->owner && kind_of(plan, page)->make ==
	       private_own_read_only && base & V && (ours & (V | W)) == V;
}

/*
 * Meant: the base fails for pages beside a missing one that nobody requested, if
 * they cannot be faulted. Ours leaves them alone, and may fail for a later page.
 */
static bool meant_not_requested(const struct plan *plan, int base, int ours)
{
	if (base != -EFAULT || ours == -EFAULT)
		return false;
	for (size_t i = 0; i < plan->npages; i++)
		if ((kind_of(plan, i)->make == guards ||
		     kind_of(plan, i)->make == poisoned) &&
		    !(request_of(plan, i) & REQ_READ))
			return true;
	return false;
}

static bool same_snapshot(uint64_t base, uint64_t ours)
{
	return base == ours || meant_nothing_is_nothing(base, ours);
}

/* Two spaces are compared, so pfns and orders are left out. */
static bool same_request(const struct plan *plan, size_t page, uint64_t base,
			 uint64_t ours)
{
	const uint64_t bits = V | W | E | t.sticky;

	if (!((base ^ ours) & bits))
		return true;
	if ((base ^ ours) & t.sticky)
		return false;
	return meant_own_need(base, ours, request_of(plan, page)) ||
	       meant_owner_keeps(plan, page, base, ours);
}

static bool differ(const struct plan *plan, size_t page, const char *when,
		   uint64_t base, uint64_t ours)
{
	fprintf(stderr,
		"# %s: page %zu, %s, request %llx, %s: base %llx, ours %llx\n",
		when, page, kind_of(plan, page)->name,
		(unsigned long long)request_of(plan, page),
		plan->owner ? "owner" : "no owner", (unsigned long long)base,
		(unsigned long long)ours);
	return false;
}

static bool compare(const struct plan *plan, const char *when, size_t n,
		    const uint64_t *base, const uint64_t *ours, bool snapshot)
{
	for (size_t i = 0; i < n; i++) {
		bool same = snapshot ?
			same_snapshot(base[i], ours[i]) :
			same_request(plan, i, base[i], ours[i]);

		if (!same)
			return differ(plan, i, when, base[i], ours[i]);
		t.meant += base[i] != ours[i] && snapshot;
	}
	t.compared += n;
	return true;
}

static bool snapshots(const struct plan *plan, char *first)
{
	static uint64_t base[MOST], ours[MOST];
	struct hmm_diff_run run;

	if (call(plan, first, false, true, base, &run) || run.ret ||
	    call(plan, first, true, true, ours, &run) || run.ret) {
		fprintf(stderr, "# a snapshot failed: %d\n", run.ret);
		return false;
	}
	return compare(plan, "snapshot", plan->npages, base, ours, true);
}

/*
 * Entries that have their own requests have outputs before the page that
 * failed, and their input from there on. Returns the number of outputs.
 */
static size_t outputs(const struct plan *plan, const uint64_t *entries)
{
	size_t n = plan->npages;

	while (n && entries[n - 1] == plan->input[n - 1])
		n--;
	return n;
}

static bool requests(const struct plan *plan, char *left, char *right)
{
	static uint64_t base[MOST], ours[MOST], now[MOST];
	struct hmm_diff_run b, o, after;
	size_t n = plan->npages;

	if (call(plan, left, false, false, base, &b) ||
	    call(plan, right, true, false, ours, &o))
		return false;
	if ((b.ret != o.ret && !meant_not_requested(plan, b.ret, o.ret)) ||
	    (o.ret && o.ret != -EFAULT && o.ret != -EPERM)) {
		fprintf(stderr, "# base returned %d, ours %d\n", b.ret, o.ret);
		return false;
	}
	if (o.calls > 2) {
		fprintf(stderr, "# ours took %u calls\n", o.calls);
		return false;
	}
	if (b.ret)
		n = outputs(plan, base);
	if (!compare(plan, "request", n, base, ours, false))
		return false;
	if (o.ret)
		return true;
	if (call(plan, right, false, true, now, &after) || after.ret)
		return false;
	return compare(plan, "request, seen by the base", plan->npages, now,
		       ours, true);
}

static void print_plan(const struct plan *plan, unsigned long round,
		       uint64_t from)
{
	fprintf(stderr, "# round %lu, seed %#llx, flags %llx, mask %llx\n",
		round, (unsigned long long)from,
		(unsigned long long)plan->flags,
		(unsigned long long)plan->mask);
	for (size_t i = 0; i < plan->nr; i++)
		fprintf(stderr, "# %zu: %zu of %s\n", plan->pieces[i].at,
			plan->pieces[i].n, plan->pieces[i].kind->name);
}

FIXTURE(diff)
{
	char *left;
	char *right;
};

static int open_io(void)
{
	glob_t found;
	int fd = -1;

	if (glob(PCI_MEMORY, 0, NULL, &found))
		return -1;
	for (size_t i = 0; i < found.gl_pathc && fd < 0; i++) {
		void *p;

		fd = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		p = mmap(NULL, 12 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
		if (p != MAP_FAILED) {
			munmap(p, 12 * PAGE);
			continue;
		}
		close(fd);
		fd = -1;
	}
	globfree(&found);
	return fd;
}

static char *reserve(void)
{
	char *p = mmap(NULL, SPACE + HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Nothing else is mapped here while the addresses are free */
	munmap(p, SPACE + HUGE);
	return hmm_huge_align(p);
}

/* Returns the bits that the base's function keeps of a page of its input. */
static uint64_t find_sticky(char *p)
{
	struct plan plan = { .npages = 1, .input = { MAYBE_STICKY } };
	struct hmm_diff_run run;
	uint64_t entry;

	if (call(&plan, p, false, true, &entry, &run))
		return ~0ULL;
	return entry & MAYBE_STICKY;
}

static int open_uffd(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	return fd >= 0 && !ioctl(fd, UFFDIO_API, &api) ? fd : -1;
}

FIXTURE_SETUP(diff)
{
	char *page;

	t.diff = open(HMM_DIFF_NODE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, t.diff);
	for (unsigned int i = 0; i < ARRAY_SIZE(t.device); i++)
		t.device[i] = hmm_open(i);
	ASSERT_LE(0, t.device[0]);
	ASSERT_LE(0, t.device[1]);
	t.io = open_io();
	ASSERT_LE(0, t.io);
	t.uffd = open_uffd();
	ASSERT_LE(0, t.uffd);
	page = mmap(NULL, PAGE, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	ASSERT_NE(MAP_FAILED, page);
	t.sticky = find_sticky(page);
	ASSERT_TRUE(private_own(page, 1));
	t.own = page;
	self->left = reserve();
	ASSERT_NE(NULL, self->left);
	ASSERT_NE(MAP_FAILED, mmap(self->left, SPACE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				   0));
	self->right = reserve();
	ASSERT_NE(NULL, self->right);
	clear(self->left);
}

FIXTURE_TEARDOWN(diff)
{
	clear(self->left);
	clear(self->right);
	for (unsigned int i = 0; i < ARRAY_SIZE(t.device); i++)
		close(t.device[i]);
	close(t.uffd);
	close(t.io);
	close(t.diff);
}

/* False: the round differs. Spaces that could not be built do not count. */
static bool run_round(struct plan *plan, char *left, char *right, bool *built)
{
	char *l, *r;
	bool same = true;

	plan_round(plan);
	l = build(plan, left);
	r = build(plan, right);
	*built = l && r;
	if (*built)
		same = snapshots(plan, l) && requests(plan, l, r);
	clear(left);
	clear(right);
	return same;
}

TEST_F_TIMEOUT(diff, base_and_ours_are_the_same, 3000)
{
	static struct plan plan;
	unsigned long rounds = 0, failed = 0;
	const char *from = getenv("HMM_DIFF_SEED");

	seed = from ? strtoull(from, NULL, 0) : 0x9e3779b97f4a7c15;
	while (rounds < DIFF_ROUNDS) {
		uint64_t before = seed;
		bool built;

		if (!run_round(&plan, self->left, self->right, &built)) {
			print_plan(&plan, rounds, before);
			ASSERT_TRUE(false);
		}
		rounds += built;
		if (built && rounds % 1000 == 0)
			fprintf(stderr, "# %lu rounds\n", rounds);
		failed += !built;
		ASSERT_GT(DIFF_ROUNDS / 2 + 100, failed);
	}
	printf("# %lu rounds, %lu entries compared, %lu differ as is meant, %lu spaces not built\n",
	       rounds, t.compared, t.meant, failed);
	EXPECT_LT(0, t.meant);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
