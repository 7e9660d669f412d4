// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the dummy device with pages that are swapped out, split or
 * collapsed.
 */
#define _GNU_SOURCE
#include "hmm-rig.h"

/* Missing from the C library's headers of some distributions. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

/*
 * Memory that can be swapped out
 */

FIXTURE(swap)
{
	struct rig r;
};

FIXTURE_VARIANT(swap)
{
	struct kind kind;
};

FIXTURE_SETUP(swap)
{
	int err = rig_setup(&self->r, &variant->kind);

	if (rig_missing(err))
		SKIP(return, "%s", rig_missing(err));
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(swap)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

FIXTURE_VARIANT_ADD(swap, anon) { .kind = KIND_ANON, };
FIXTURE_VARIANT_ADD(swap, thp) { .kind = KIND_THP, };
FIXTURE_VARIANT_ADD(swap, anon_shared) { .kind = KIND_SHARED, };
FIXTURE_VARIANT_ADD(swap, tmpfs) { .kind = KIND_FILE, };

#define SWAP_TEST(_name) TEST_F_TIMEOUT(swap, _name, SECONDS)

/*
 * pagemap and mincore() show that it is not in memory, smaps that it is in
 * swap.
 */
#define test_swap_out() do {						      \
	ASSERT_EQ(NPAGES, hmm_swap_out(self->r.ptr, NPAGES));		      \
	ASSERT_EQ(SIZE / 1024, hmm_smaps(self->r.ptr, "Swap:"));	      \
} while (0)

SWAP_TEST(swapped_out_is_none)
{
	rig_fill(&self->r);
	test_swap_out();
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	ASSERT_EQ(SIZE / 1024, hmm_smaps(self->r.ptr, "Swap:"));
}

SWAP_TEST(read_swaps_in)
{
	rig_fill(&self->r);
	test_swap_out();
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

SWAP_TEST(write_swaps_in)
{
	rig_fill(&self->r);
	test_swap_out();
	hmm_fill(self->r.buf, PAGE);
	memcpy(self->r.data + 9 * PAGE, self->r.buf, PAGE);
	test_write(self->r.ptr + 9 * PAGE, 1);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

SWAP_TEST(swap_out_takes_pages_from_device)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	test_swap_out();
	test_stats();
	EXPECT_EQ(0, self->r.stats.mapped);
	EXPECT_EQ(NPAGES, self->r.stats.dropped);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* Pages that only the device wrote must be dirty. */
SWAP_TEST(device_write_survives_swap)
{
	/* Mapped by read faults of the CPU: clean, even where writable */
	for (size_t i = 0; i < SIZE; i += PAGE)
		ASSERT_EQ(0, cpu_read(self->r.ptr + i));
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	test_swap_out();
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));

	test_swap_out();
	test_read(self->r.ptr, NPAGES);
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	test_swap_out();
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

/* After MADV_FREE, reclaim drops pages unless they are dirty. */
SWAP_TEST(device_write_survives_madv_free)
{
	rig_fill(&self->r);
	/* MADV_FREE fails for shared memory, which is only written here */
	ASSERT_EQ(is_shared(&self->r) ? -1 : 0,
		  madvise(self->r.ptr, SIZE, MADV_FREE));
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	ASSERT_EQ(NPAGES, hmm_swap_out(self->r.ptr, NPAGES));
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

/* Splitting and collapsing of huge pages */

FIXTURE(thp)
{
	struct rig r;
};

FIXTURE_SETUP(thp)
{
	static const struct kind kind = KIND_THP;
	int err = rig_setup(&self->r, &kind);

	if (rig_missing(err))
		SKIP(return, "%s", rig_missing(err));
	ASSERT_EQ(0, err);
	rig_fill(&self->r);
	ASSERT_EQ(SIZE / 1024, hmm_smaps(self->r.ptr, "AnonHugePages:"));
	test_all_prot(HMM_DMIRROR_PROT_WRITE | HMM_DMIRROR_PROT_PMD,
		      self->r.ptr, NPAGES);
	test_read(self->r.ptr, NPAGES);
}

FIXTURE_TEARDOWN(thp)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

#define THP_TEST(_name) TEST_F_TIMEOUT(thp, _name, SECONDS)

/* The first huge page must be split, and the second one unchanged. */
#define test_first_is_split() do {					      \
	test_snapshot(self->r.ptr, NPAGES);				      \
	for (size_t _i = 0; _i < NPAGES; _i++)				      \
		ASSERT_EQ(_i >= HALF_PAGES,				      \
			  !!(self->r.buf[_i] & HMM_DMIRROR_PROT_PMD));	      \
} while (0)

THP_TEST(mprotect_splits)
{
	char *page = self->r.ptr + 100 * PAGE;

	ASSERT_EQ(0, mprotect(page, PAGE, PROT_READ));
	test_first_is_split();
	EXPECT_EQ(1, count_prot(&self->r, HMM_DMIRROR_PROT_READ));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	test_err_write(EPERM, page, 1);
	test_write(page + PAGE, 1);
}

THP_TEST(munmap_splits)
{
	char *page = self->r.ptr + 100 * PAGE;

	ASSERT_EQ(0, munmap(page, PAGE));
	test_snapshot(self->r.ptr, HALF_PAGES);
	EXPECT_EQ(1, count_prot(&self->r, HMM_DMIRROR_PROT_ERROR));
	EXPECT_EQ(HALF_PAGES - 1, count_prot(&self->r, HMM_DMIRROR_PROT_WRITE));
	test_err_read(EFAULT, page, 1);
	test_sees(self->r.ptr, self->r.data, 100);
	test_sees(page + PAGE, self->r.data + 101 * PAGE, NPAGES - 101);
}

THP_TEST(discard_splits)
{
	char *page = self->r.ptr + 100 * PAGE;

	ASSERT_EQ(0, madvise(page, PAGE, MADV_DONTNEED));
	memset(self->r.data + 100 * PAGE, 0, PAGE);
	test_snapshot(self->r.ptr, HALF_PAGES);
	EXPECT_EQ(1, count_prot(&self->r, HMM_DMIRROR_PROT_NONE));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	test_first_is_split();
}

THP_TEST(collapse_is_seen)
{
	/* Split the mapping; then give all pages the same access again */
	ASSERT_EQ(0, mprotect(self->r.ptr + PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->r.ptr + PAGE, PAGE, FULL_ACCESS));
	test_read(self->r.ptr, NPAGES);
	test_first_is_split();
	ASSERT_EQ(0, madvise(self->r.ptr, HUGE, MADV_COLLAPSE));
	test_snapshot(self->r.ptr, NPAGES);
	EXPECT_EQ(NPAGES, count_prot(&self->r, HMM_DMIRROR_PROT_PMD |
					       HMM_DMIRROR_PROT_WRITE));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
