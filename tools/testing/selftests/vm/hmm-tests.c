// SPDX-License-Identifier: GPL-2.0
/* Tests of the dummy device of lib/test_hmm.c with every kind of memory. */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "hmm-rig.h"

FIXTURE(mem)
{
	struct rig r;
};

FIXTURE_VARIANT(mem)
{
	struct kind kind;
};

FIXTURE_SETUP(mem)
{
	int err = rig_setup(&self->r, &variant->kind);

	if (rig_missing(err))
		SKIP(return, "%s", rig_missing(err));
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(mem)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

/* clang-format off */
FIXTURE_VARIANT_ADD(mem, anon) { .kind = KIND_ANON, };
FIXTURE_VARIANT_ADD(mem, thp) { .kind = KIND_THP, };
FIXTURE_VARIANT_ADD(mem, file_private) { .kind = KIND_COPY, };
FIXTURE_VARIANT_ADD(mem, anon_shared) { .kind = KIND_SHARED, };
FIXTURE_VARIANT_ADD(mem, tmpfs) { .kind = KIND_FILE, };
FIXTURE_VARIANT_ADD(mem, hugetlb) { .kind = KIND_HUGETLB, };
/* clang-format on */

#define MEM_TEST(_name) TEST_F_TIMEOUT(mem, _name, SECONDS)

MEM_TEST(read_sees_cpu_data)
{
	rig_fill(&self->r);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

MEM_TEST(read_again_takes_no_fault)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	memset(self->r.buf, 0, SIZE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(0, self->r.cmd.faults);
	test_stats();
	EXPECT_EQ(1, self->r.stats.faults);
	EXPECT_EQ(NPAGES, self->r.stats.mapped);
}

MEM_TEST(read_brings_untouched_memory)
{
	test_sees_zeros(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
	EXPECT_TRUE(hmm_page_present(self->r.ptr));
	EXPECT_TRUE(hmm_page_present(self->r.ptr + SIZE - PAGE));
}

MEM_TEST(write_reaches_cpu)
{
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

MEM_TEST(write_reaches_file_if_shared)
{
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	if (!self->r.kind.file)
		return;
	ASSERT_EQ(SIZE, pread(self->r.file, self->r.data, SIZE, 0));
	/* A private mapping does not change the file */
	if (!is_shared(&self->r))
		memset(self->r.buf, 0, SIZE);
	EXPECT_EQ(0, memcmp(self->r.data, self->r.buf, SIZE));
}

MEM_TEST(write_leaves_neighbours)
{
	const size_t first = 61, n = 70;

	rig_fill(&self->r);
	hmm_fill(self->r.buf, n * PAGE);
	memcpy(self->r.data + first * PAGE, self->r.buf, n * PAGE);
	test_write(self->r.ptr + first * PAGE, n);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

/* The copies that it makes invalidate the range that is being faulted. */
MEM_TEST(write_after_read_copies_in_one_fault)
{
	test_sees_zeros(self->r.ptr, NPAGES);
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
	test_stats();
	EXPECT_EQ(0, self->r.stats.retries);
}

MEM_TEST(compute_is_the_cpus_answer)
{
	const struct { size_t first, npages; } span[] = {
		{ 0, NPAGES }, { 0, 1 }, { 5, 1 }, { 63, 2 }, { 1, 64 },
		{ 17, 200 }, { NPAGES - 1, 1 }, { HALF_PAGES - 3, 7 },
	};

	rig_fill(&self->r);
	/* Words that span pages, and chunks of the device */
	memset(self->r.ptr + 3 * PAGE - 5, 'w', 10);
	memset(self->r.ptr + 64 * PAGE - 9, ' ', 9);
	memset(self->r.ptr + 70 * PAGE, '\n', 5 * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(span); i++) {
		char *addr = self->r.ptr + span[i].first * PAGE;
		size_t size = span[i].npages * PAGE;

		test_compute(addr, span[i].npages);
		EXPECT_EQ(span[i].npages, self->r.compute.cpages);
		EXPECT_EQ(hmm_cpu_checksum(addr, size),
			  self->r.compute.checksum);
		EXPECT_EQ(hmm_cpu_words(addr, size), self->r.compute.words);
		EXPECT_EQ(i == 0, self->r.compute.faults);
	}
}

MEM_TEST(compute_follows_changes_without_fault)
{
	uint64_t before;

	rig_fill(&self->r);
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.compute.faults);
	before = self->r.compute.checksum;

	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(0, self->r.compute.faults);
	EXPECT_EQ(before, self->r.compute.checksum);

	/* Same physical page, so nothing is invalidated */
	self->r.ptr[PAGE + 1] ^= 1;
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(0, self->r.compute.faults);
	EXPECT_NE(before, self->r.compute.checksum);
	EXPECT_EQ(hmm_cpu_checksum(self->r.ptr, SIZE),
		  self->r.compute.checksum);
}

MEM_TEST(compute_faults_only_what_is_missing)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, HALF));
	test_stats();
	EXPECT_EQ(NPAGES - HALF_PAGES, self->r.stats.mapped);
	EXPECT_EQ(HALF_PAGES, self->r.stats.dropped);
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.compute.faults);
	EXPECT_EQ(hmm_cpu_checksum(self->r.ptr, SIZE),
		  self->r.compute.checksum);
	/* The other half stayed mapped */
	test_stats();
	EXPECT_EQ(HALF_PAGES, self->r.stats.dropped);
}

MEM_TEST(snapshot_writable)
{
	rig_fill(&self->r);
	test_all_prot(HMM_DMIRROR_PROT_WRITE | self->r.kind.level, self->r.ptr,
		      NPAGES);
}

MEM_TEST(snapshot_faults_nothing)
{
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	EXPECT_FALSE(hmm_page_present(self->r.ptr));
	EXPECT_FALSE(hmm_page_present(self->r.ptr + SIZE - PAGE));
	test_all_prot(HMM_DMIRROR_PROT_NONE, self->r.ptr, NPAGES);
	EXPECT_EQ(0, self->r.cmd.faults);
}

MEM_TEST(snapshot_read_only)
{
	rig_fill(&self->r);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_READ));
	test_all_prot(HMM_DMIRROR_PROT_READ | self->r.kind.level, self->r.ptr,
		      NPAGES);
}

MEM_TEST(prot_none_is_refused)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_NONE));
	test_all_prot(HMM_DMIRROR_PROT_ERROR, self->r.ptr, NPAGES);
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_err_read(EFAULT, self->r.ptr + SIZE - PAGE, 1);
	test_err_write(EFAULT, self->r.ptr, NPAGES);
	test_err_compute(EFAULT, self->r.ptr, NPAGES);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, FULL_ACCESS));
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

MEM_TEST(write_to_read_only_is_refused)
{
	rig_fill(&self->r);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_READ));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	hmm_fill(self->r.buf, SIZE);
	test_err_write(EPERM, self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, FULL_ACCESS));
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

MEM_TEST(mprotect_takes_write_from_device)
{
	hmm_fill(self->r.buf, SIZE);
	memcpy(self->r.data, self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	ASSERT_EQ(0, mprotect(self->r.ptr, SIZE, PROT_READ));
	hmm_fill(self->r.buf, SIZE);
	test_err_write(EPERM, self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.data, SIZE));
}

MEM_TEST(hole_is_refused)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, munmap(self->r.ptr, HALF));
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_err_read(EFAULT, self->r.ptr + HALF - PAGE, 2);
	test_err_write(EFAULT, self->r.ptr, 1);
	test_err_compute(EFAULT, self->r.ptr, NPAGES);
	test_all_prot(HMM_DMIRROR_PROT_ERROR, self->r.ptr, HALF_PAGES);
	test_snapshot(self->r.ptr, NPAGES);
	EXPECT_EQ(HALF_PAGES, count_prot(&self->r, HMM_DMIRROR_PROT_ERROR));
	test_all_prot(HMM_DMIRROR_PROT_WRITE | self->r.kind.level,
		      self->r.ptr + HALF, HALF_PAGES);
	test_sees(self->r.ptr + HALF, self->r.data + HALF, HALF_PAGES);
}

MEM_TEST(new_mapping_is_seen)
{
	rig_fill(&self->r);
	test_compute(self->r.ptr, NPAGES);
	ASSERT_EQ(0, munmap(self->r.ptr, SIZE));
	test_stats();
	EXPECT_EQ(0, self->r.stats.mapped);
	EXPECT_EQ(NPAGES, self->r.stats.dropped);
	ASSERT_EQ(0, rig_map(&self->r));
	rig_fill(&self->r);
	test_compute(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.compute.faults);
	EXPECT_EQ(hmm_cpu_checksum(self->r.data, SIZE),
		  self->r.compute.checksum);
}

MEM_TEST(discarded_memory_is_zero)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(0, rig_discard(&self->r, self->r.ptr, SIZE));
	test_sees_zeros(self->r.ptr, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

MEM_TEST(mremap_takes_it_along)
{
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(self->r.spare,
		  mremap(self->r.ptr, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			 self->r.spare));
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_sees(self->r.spare, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
}

MEM_TEST(moved_to_another_node)
{
	int from, to;

	rig_fill(&self->r);
	from = hmm_page_node(self->r.ptr);
	ASSERT_LE(0, from);
	to = !from;
	if (access(to ? "/sys/devices/system/node/node1" :
			"/sys/devices/system/node/node0",
		   F_OK))
		SKIP(return, "machine has one NUMA node");
	test_read(self->r.ptr, NPAGES);
	ASSERT_EQ(NPAGES, hmm_move_pages(self->r.ptr, NPAGES, to));
	test_sees(self->r.ptr, self->r.data, NPAGES);
	EXPECT_EQ(1, self->r.cmd.faults);
	hmm_fill(self->r.buf, SIZE);
	test_write(self->r.ptr, NPAGES);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
}

/*
 * Children
 */

#define CHILDS_BYTE 0x5a

/* In the child of fork_keeps_both_right: 0 if the memory is as expected. */
static int check_in_child(struct rig *r)
{
	if (memcmp(r->ptr, is_shared(r) ? r->buf : r->data, r->size))
		return 1;
	/* The parent sees this only if the memory is shared */
	memset(r->ptr, CHILDS_BYTE, r->size);
	return 0;
}

MEM_TEST(fork_keeps_both_right)
{
	int pipes[2];
	pid_t pid;

	rig_fill(&self->r);
	memcpy(self->r.buf, self->r.data, SIZE);
	test_write(self->r.ptr, NPAGES);
	/* The child has this data too, but it is not written yet */
	hmm_fill(self->r.buf, SIZE);
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(pipes[1]);
		await(pipes[0]);
		_exit(check_in_child(&self->r));
	}
	/* The device writes while the pages are shared with the child */
	test_write(self->r.ptr, NPAGES);
	test_stats();
	EXPECT_EQ(0, self->r.stats.retries);
	EXPECT_EQ(0, memcmp(self->r.ptr, self->r.buf, SIZE));
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, hmm_wait_child(pid));
	memcpy(self->r.data, self->r.buf, SIZE);
	if (is_shared(&self->r))
		memset(self->r.data, CHILDS_BYTE, SIZE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* fork() write-protects private mappings, for the device as well. */
MEM_TEST(fork_takes_write_from_device)
{
	uint8_t want = is_shared(&self->r) ? HMM_DMIRROR_PROT_WRITE :
					     HMM_DMIRROR_PROT_READ;
	int pipes[2];
	pid_t pid;

	rig_fill(&self->r);
	test_write(self->r.ptr, NPAGES);
	ASSERT_EQ(0, pipe(pipes));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(pipes[1]);
		await(pipes[0]);
		_exit(0);
	}
	test_all_prot(want | self->r.kind.level, self->r.ptr, NPAGES);
	close(pipes[1]);
	EXPECT_EQ(0, hmm_wait_child(pid));
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
