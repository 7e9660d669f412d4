// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA into and out of a region, one fact for each test.
 *
 * Each test runs with a pinned region, which is the control, and with one on
 * demand. The other end of a transfer is always pinned memory.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "pair.h"
#include "rxe-wqe.h"

#define PAGES		16UL
#define SIZE		(PAGES * PAGE)
#define GIB		0x40000000UL
#define LIMIT		120

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

/* Ways to move data between the region and the buffer. */
enum how {
	WRITE_TO, RECEIVE_INTO, READ_INTO,	/* these change the region */
	READ_FROM, SEND_FROM, WRITE_FROM,
	NR_HOW
};

FIXTURE(odp) {
	struct pair pair;
	int odp;			/* access flag of the region */
	unsigned char *region;
	unsigned char *buf;
	struct ibv_mr *mr;		/* of the region, from iova on */
	struct ibv_mr *buf_mr;
	uint64_t iova;
};

FIXTURE_VARIANT(odp) {
	bool pinned;
};

FIXTURE_VARIANT_ADD(odp, pinned) { .pinned = true };
FIXTURE_VARIANT_ADD(odp, on_demand) { .pinned = false };

#define TEST_ODP(name)	TEST_F_TIMEOUT(odp, name, LIMIT)

/* --- set up --- */

static struct ibv_mr *reg(FIXTURE_DATA(odp) *self, void *addr, size_t size,
			  uint64_t iova, int access)
{
	return ibv_reg_mr_iova(self->pair.pd, addr, size, iova,
			       access | self->odp);
}

/* Make @addr the region, which is addressed from @iova on. */
static void set_region(FIXTURE_DATA(odp) *self, void *addr, size_t size,
		       uint64_t iova)
{
	if (self->mr && ibv_dereg_mr(self->mr))
		fail("dereg_mr");
	self->region = addr;
	self->iova = iova;
	self->mr = reg(self, addr, size, iova, PAIR_ACCESS);
	if (!self->mr)
		fail("reg_mr");
}

FIXTURE_SETUP(odp)
{
	pair_open(&self->pair);
	self->odp = variant->pinned ? 0 : IBV_ACCESS_ON_DEMAND;
	self->buf = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	self->buf_mr = ibv_reg_mr(self->pair.pd, self->buf, SIZE, PAIR_ACCESS);
	if (!self->buf_mr)
		fail("reg_mr");
	self->region = map(SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	set_region(self, self->region, SIZE, (uintptr_t)self->region);
	pair_connect(&self->pair, IBV_MTU_4096);
}

FIXTURE_TEARDOWN(odp)
{
	if (self->mr)
		EXPECT_EQ(ibv_dereg_mr(self->mr), 0);
	EXPECT_EQ(ibv_dereg_mr(self->buf_mr), 0);
	EXPECT_EQ(pair_close(&self->pair), 0);
}

/* --- transfers --- */

/* Move @len bytes at @offset of the region. Returns the status. */
static int move_data(FIXTURE_DATA(odp) *self, enum how how, size_t offset,
		     size_t len)
{
	static const enum ibv_wr_opcode opcodes[NR_HOW] = {
		IBV_WR_RDMA_WRITE, IBV_WR_SEND, IBV_WR_RDMA_READ,
		IBV_WR_RDMA_READ, IBV_WR_SEND, IBV_WR_RDMA_WRITE,
	};
	struct ibv_sge region = { self->iova + offset, len, self->mr->lkey };
	/* Within the buffer, also if @offset is outside the region. */
	struct ibv_sge buf = {
		(uintptr_t)self->buf + offset % (SIZE / 2), len,
		self->buf_mr->lkey,
	};
	bool local = how == READ_INTO || how == SEND_FROM || how == WRITE_FROM;
	bool send = opcodes[how] == IBV_WR_SEND;
	struct ibv_send_wr wr = {
		.opcode = opcodes[how],
		.sg_list = local ? &region : &buf,
		.num_sge = 1,
		.wr.rdma.remote_addr = local ? buf.addr : region.addr,
		.wr.rdma.rkey = local ? self->buf_mr->rkey : self->mr->rkey,
	};

	if (send)
		pair_post_receive(&self->pair, local ? &buf : &region);
	pair_post(&self->pair, &wr);
	return pair_wait(&self->pair, send);
}

/* Returns the status; *@old is the value before. */
static int atomic_op(FIXTURE_DATA(odp) *self, enum ibv_wr_opcode opcode,
		     size_t offset, uint64_t compare_add, uint64_t swap,
		     uint64_t *old)
{
	struct ibv_sge sge = {
		(uintptr_t)self->buf, sizeof(*old), self->buf_mr->lkey,
	};
	struct ibv_send_wr wr = {
		.opcode = opcode,
		.sg_list = &sge,
		.num_sge = 1,
		.wr.atomic.remote_addr = self->iova + offset,
		.wr.atomic.rkey = self->mr->rkey,
		.wr.atomic.compare_add = compare_add,
		.wr.atomic.swap = swap,
	};
	int status;

	pair_post(&self->pair, &wr);
	status = pair_wait(&self->pair, 0);
	memcpy(old, self->buf, sizeof(*old));
	return status;
}

/* Different in each byte of a page, and in each page. */
static void fill(unsigned char *p, size_t size, int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		p[i] = i + i / 251 + seed;
}

/* Move data, and compare the whole of both sides with what must be there. */
static int moved_wrong(FIXTURE_DATA(odp) *self, enum how how, size_t offset,
		       size_t len)
{
	static unsigned char from[SIZE], to[SIZE];
	bool into = how <= READ_INTO;
	unsigned char *source = into ? self->buf : self->region;
	unsigned char *sink = into ? self->region : self->buf;
	int status;

	fill(from, SIZE, 1);
	fill(to, SIZE, 2);
	memcpy(source, from, SIZE);
	memcpy(sink, to, SIZE);
	memcpy(to + offset, from + offset, len);
	status = move_data(self, how, offset, len);
	if (status)
		return status;
	return memcmp(source, from, SIZE) || memcmp(sink, to, SIZE) ? -1 : 0;
}

static void moves(struct __test_metadata *_metadata, FIXTURE_DATA(odp) *self,
		  enum how how, size_t offset, size_t len)
{
	EXPECT_EQ(moved_wrong(self, how, offset, len), 0)
		TH_LOG("way %d, %zu bytes at %zu", how, len, offset);
}

/* --- transfers in packets --- */

TEST_ODP(packets_of_a_part_of_a_page)
{
	enum how how;

	pair_connect(&self->pair, IBV_MTU_1024);
	for (how = 0; how < NR_HOW; how++) {
		moves(_metadata, self, how, 0, PAGE);
		moves(_metadata, self, how, 3 * PAGE, 2 * PAGE);
		moves(_metadata, self, how, 5 * PAGE + 17, 1000);
	}
}

TEST_ODP(packets_across_pages)
{
	enum how how;

	for (how = 0; how < NR_HOW; how++) {
		moves(_metadata, self, how, PAGE - 100, 200);
		moves(_metadata, self, how, 100, 3 * PAGE + 50);
	}
}

/* --- pages that the device has written to are dirty --- */

static void page_out(void *addr, size_t size)
{
	if (madvise(addr, size, MADV_PAGEOUT))
		fail("MADV_PAGEOUT");
}

/* The CPU gives the pages up lazily: only if dirty they are kept. */
static void free_lazily(FIXTURE_DATA(odp) *self)
{
	memset(self->region, 1, SIZE);
	if (madvise(self->region, SIZE, MADV_FREE))
		fail("MADV_FREE");
}

static void survives(struct __test_metadata *_metadata,
		     FIXTURE_DATA(odp) *self, enum how how)
{
	fill(self->buf, SIZE, 3);
	ASSERT_EQ(move_data(self, how, 0, SIZE), 0);
	ASSERT_EQ(memcmp(self->region, self->buf, SIZE), 0);
	page_out(self->region, SIZE);
	EXPECT_EQ(memcmp(self->region, self->buf, SIZE), 0);
}

TEST_ODP(page_out_after_write)
{
	free_lazily(self);
	survives(_metadata, self, WRITE_TO);
}

TEST_ODP(page_out_after_receive)
{
	free_lazily(self);
	survives(_metadata, self, RECEIVE_INTO);
}

TEST_ODP(page_out_after_read)
{
	free_lazily(self);
	survives(_metadata, self, READ_INTO);
}

/* The CPU only reads, so that its page table has no sign of a write. */
TEST_ODP(page_out_of_shared_memory)
{
	int fd = memfd_create("shared", MFD_CLOEXEC);
	volatile unsigned char *region;
	size_t i;

	ASSERT_EQ(ftruncate(fd, SIZE), 0);
	region = map(SIZE, MAP_SHARED, fd);
	for (i = 0; i < SIZE; i += PAGE)
		ASSERT_EQ(region[i], 0);
	set_region(self, (void *)region, SIZE, (uintptr_t)region);
	survives(_metadata, self, WRITE_TO);
}

static void atomic_survives(struct __test_metadata *_metadata,
			    FIXTURE_DATA(odp) *self, enum ibv_wr_opcode opcode)
{
	uint64_t old, now, add = 5, ones = 0x0101010101010101;
	bool swap = opcode == IBV_WR_ATOMIC_CMP_AND_SWP;
	size_t i;

	free_lazily(self);
	for (i = 0; i < SIZE; i += PAGE) {
		ASSERT_EQ(atomic_op(self, opcode, i + 8, swap ? ones : add,
				    ones + add, &old), 0);
		ASSERT_EQ(old, ones);
	}
	page_out(self->region, SIZE);
	for (i = 0; i < SIZE; i += PAGE) {
		memcpy(&now, self->region + i + 8, sizeof(now));
		EXPECT_EQ(now, ones + add);
	}
}

TEST_ODP(page_out_after_add)
{
	atomic_survives(_metadata, self, IBV_WR_ATOMIC_FETCH_AND_ADD);
}

TEST_ODP(page_out_after_swap)
{
	atomic_survives(_metadata, self, IBV_WR_ATOMIC_CMP_AND_SWP);
}

/* A request that moves nothing, to show where the send queue is. */
static void mark_queue(FIXTURE_DATA(odp) *self)
{
	struct ibv_sge sge = { (uintptr_t)self->buf, 8, self->buf_mr->lkey };
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_RDMA_READ,
		.sg_list = &sge,
		.num_sge = 1,
		.wr.rdma.remote_addr = sge.addr,
		.wr.rdma.rkey = self->buf_mr->rkey,
	};

	pair_post(&self->pair, &wr);
	if (pair_wait(&self->pair, 0))
		fail("a read failed");
}

/* A request that the library does not have, the last of these queue pairs. */
static int raw_op(FIXTURE_DATA(odp) *self, const struct rxe_op *op)
{
	mark_queue(self);
	if (rxe_post(self->pair.qp[0], PAIR_WR_ID, self->mr->rkey, op))
		fail("no queue of the device is mapped");
	return pair_wait(&self->pair, 0);
}

static int atomic_write(FIXTURE_DATA(odp) *self, size_t offset, uint64_t value)
{
	struct rxe_op op = {
		.opcode = RXE_ATOMIC_WRITE,
		.addr = self->iova + offset,
		.len = sizeof(value),
		.value = value,
	};

	return raw_op(self, &op);
}

TEST_ODP(page_out_after_atomic_write)
{
	uint64_t now, value = 0x123456789abcdef;
	size_t i;

	free_lazily(self);
	for (i = 0; i < SIZE; i += PAGE) {
		pair_connect(&self->pair, IBV_MTU_4096);
		ASSERT_EQ(atomic_write(self, i + 16, value), 0);
	}
	page_out(self->region, SIZE);
	for (i = 0; i < SIZE; i += PAGE) {
		memcpy(&now, self->region + i + 16, sizeof(now));
		EXPECT_EQ(now, value);
	}
}

/* --- iova --- */

#define OTHER_IOVA	0x10000000UL

TEST_ODP(iova_that_is_not_the_address)
{
	enum how how;
	uint64_t old;

	set_region(self, self->region, SIZE, OTHER_IOVA);
	for (how = 0; how < NR_HOW; how++)
		moves(_metadata, self, how, 2 * PAGE + 10, 3 * PAGE);
	memset(self->region, 1, SIZE);
	EXPECT_EQ(atomic_op(self, IBV_WR_ATOMIC_FETCH_AND_ADD, PAGE + 8, 5, 0,
			    &old), 0);
	EXPECT_EQ(old, 0x0101010101010101);
	EXPECT_EQ(self->region[PAGE + 8], 6);
	EXPECT_EQ(atomic_write(self, 3 * PAGE, 7), 0);
	EXPECT_EQ(self->region[3 * PAGE], 7);
}

/* The region starts within a page. */
TEST_ODP(iova_of_a_part_of_a_page)
{
	static unsigned char old[PAGE];

	memset(self->region, 1, SIZE);
	set_region(self, self->region + 100, 2 * PAGE, OTHER_IOVA + 100);
	memcpy(old, self->region, 100);
	fill(self->buf, SIZE, 4);
	EXPECT_EQ(move_data(self, WRITE_TO, 0, 2 * PAGE), 0);
	EXPECT_EQ(memcmp(self->region, self->buf, 2 * PAGE), 0);
	EXPECT_EQ(memcmp(self->region - 100, old, 100), 0);
	EXPECT_EQ(self->region[2 * PAGE], 1);
}

TEST_ODP(iova_that_wraps_around)
{
	set_region(self, self->region, SIZE, -PAGE);
	moves(_metadata, self, WRITE_TO, PAGE - 100, 200);
	moves(_metadata, self, READ_FROM, PAGE - 100, 200);
}

TEST_ODP(accesses_outside_fail)
{
	set_region(self, self->region + PAGE, PAGE, OTHER_IOVA);
	memset(self->region - PAGE, 1, 3 * PAGE);
	EXPECT_EQ(move_data(self, WRITE_TO, -8, 16), IBV_WC_REM_ACCESS_ERR);
	pair_connect(&self->pair, IBV_MTU_4096);
	EXPECT_EQ(move_data(self, WRITE_TO, PAGE - 8, 16),
		  IBV_WC_REM_ACCESS_ERR);
	pair_connect(&self->pair, IBV_MTU_4096);
	EXPECT_EQ(move_data(self, READ_FROM, -OTHER_IOVA - 8, 16),
		  IBV_WC_REM_ACCESS_ERR);
	EXPECT_EQ(self->region[-8], 1);
	EXPECT_EQ(self->region[PAGE - 8], 1);
}

/* --- advice --- */

static int advise(FIXTURE_DATA(odp) *self, uint64_t advice, uint32_t flags,
		  uint64_t addr, uint32_t len)
{
	struct ibv_sge sge = { addr, len, self->mr->lkey };

	return pair_advise(&self->pair, advice, flags, &sge);
}

static int prefetch(FIXTURE_DATA(odp) *self, uint32_t flags, size_t offset,
		    uint32_t len)
{
	return advise(self, IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE, flags,
		      self->iova + offset, len);
}

/* Returns a bit for each page of the region that is present. */
static unsigned int present(FIXTURE_DATA(odp) *self)
{
	unsigned char vec[PAGES];
	unsigned int bits = 0, i;

	if (mincore(self->region, SIZE, vec))
		fail("mincore");
	for (i = 0; i < PAGES; i++)
		bits |= (vec[i] & 1U) << i;
	return bits;
}

static void discard(FIXTURE_DATA(odp) *self)
{
	if (madvise(self->region, SIZE, MADV_DONTNEED))
		fail("MADV_DONTNEED");
}

/* Advice is only for regions on demand. */
TEST_ODP(advice)
{
	int want = variant->pinned ? EINVAL : 0;

	discard(self);
	EXPECT_EQ(prefetch(self, PAIR_SYNC, 2 * PAGE, 3 * PAGE), want);
	EXPECT_EQ(present(self), variant->pinned ? 0 : 0x1c);
}

TEST_ODP(advice_without_waiting)
{
	int want = variant->pinned ? EINVAL : 0;

	discard(self);
	EXPECT_EQ(prefetch(self, 0, 2 * PAGE, 3 * PAGE), want);
	while (!variant->pinned && present(self) != 0x1c)
		sched_yield();
}

TEST_ODP(advice_by_iova)
{
	int want = variant->pinned ? EINVAL : 0;

	discard(self);
	set_region(self, self->region, SIZE, OTHER_IOVA);
	discard(self);
	EXPECT_EQ(prefetch(self, PAIR_SYNC, 2 * PAGE, 3 * PAGE), want);
	EXPECT_EQ(present(self), variant->pinned ? 0 : 0x1c);
	discard(self);
	EXPECT_EQ(prefetch(self, 0, 5 * PAGE, PAGE), want);
	while (!variant->pinned && present(self) != 0x20)
		sched_yield();
}

TEST_ODP(advice_outside)
{
	int want = variant->pinned ? EINVAL : EFAULT;
	uint32_t flags;

	set_region(self, self->region, PAGE + 100, (uintptr_t)self->region);
	for (flags = 0; flags <= PAIR_SYNC; flags++) {
		EXPECT_EQ(prefetch(self, flags, PAGE + 50, 100), want);
		EXPECT_EQ(prefetch(self, flags, 2 * PAGE, PAGE), want);
		EXPECT_EQ(prefetch(self, flags, -self->iova - PAGE, 2 * PAGE),
			  want);
		EXPECT_EQ(prefetch(self, flags, 0, -1), want);
	}
}

/* A region that the device may not write to can be prefetched for reads. */
TEST_ODP(advice_for_reads_only)
{
	int want = variant->pinned ? EINVAL : 0;
	uint32_t flags;

	ASSERT_EQ(ibv_dereg_mr(self->mr), 0);
	discard(self);
	self->mr = reg(self, self->region, SIZE, self->iova,
		       IBV_ACCESS_REMOTE_READ);
	ASSERT_NE(self->mr, NULL);
	for (flags = 0; flags <= PAIR_SYNC; flags++) {
		EXPECT_EQ(advise(self, IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH,
				 flags, self->iova, PAGE), want);
		EXPECT_EQ(prefetch(self, flags, 0, PAGE), want ?: EPERM);
	}
}

/* --- long regions; a pinned one of that length takes all memory --- */

static size_t long_size(bool pinned, size_t size)
{
	return pinned ? SIZE : size;
}

static void *map_long(size_t size)
{
	return map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

static void use_last_page(struct __test_metadata *_metadata,
			  FIXTURE_DATA(odp) *self, size_t size)
{
	fill(self->buf, PAGE, 5);
	self->region += size - PAGE;
	self->iova += size - PAGE;
	EXPECT_EQ(move_data(self, WRITE_TO, 0, PAGE), 0);
	EXPECT_EQ(memcmp(self->region, self->buf, PAGE), 0);
}

TEST_ODP(region_of_3_gib)
{
	size_t size = long_size(variant->pinned, 3 * GIB);
	void *p = map_long(size);

	set_region(self, p, size, (uintptr_t)p);
	use_last_page(_metadata, self, size);
}

TEST_ODP(region_of_5_gib)
{
	size_t size = long_size(variant->pinned, 5 * GIB);
	void *p = map_long(size);

	set_region(self, p, size, (uintptr_t)p);
	use_last_page(_metadata, self, size);
}

TEST_ODP(advice_of_3_gib)
{
	int want = variant->pinned ? EINVAL : 0;
	size_t size = long_size(variant->pinned, 3 * GIB);
	void *p = map_long(size);

	set_region(self, p, size, (uintptr_t)p);
	EXPECT_EQ(advise(self, IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
			 PAIR_SYNC, self->iova, size), want);
}

/* --- flushes --- */

static int flush(FIXTURE_DATA(odp) *self, uint8_t level, uint32_t len)
{
	struct rxe_op op = {
		.opcode = RXE_FLUSH,
		.addr = self->iova,
		.len = len,
		.type = RXE_FLUSH_PERSISTENT,
		.level = level,
	};

	pair_connect(&self->pair, IBV_MTU_4096);
	return raw_op(self, &op);
}

/* Returns false if there is no such region, as is right. */
static bool persistent_region(FIXTURE_DATA(odp) *self, void *addr, size_t size)
{
	if (ibv_dereg_mr(self->mr))
		fail("dereg_mr");
	self->iova = (uintptr_t)addr;
	self->mr = reg(self, addr, size, self->iova, PAIR_ACCESS | PAIR_FLUSH);
	return self->mr;
}

/* The memory of the guest does not persist. */
TEST_ODP(persistent_flush)
{
	if (!persistent_region(self, self->region, SIZE))
		return;
	memset(self->region, 1, SIZE);
	EXPECT_EQ(flush(self, RXE_FLUSH_RANGE, PAGE), IBV_WC_REM_ACCESS_ERR);
	EXPECT_EQ(flush(self, RXE_FLUSH_REGION, 0), IBV_WC_REM_ACCESS_ERR);
}

/* The CPU cannot read the region either, so that the flush ends soon. */
TEST_ODP(persistent_flush_of_4_gib)
{
	size_t size = long_size(variant->pinned, 4 * GIB);
	void *p = map_long(size);

	ASSERT_EQ(mprotect(p, size, PROT_NONE), 0);
	if (!persistent_region(self, p, size))
		return;
	EXPECT_EQ(flush(self, RXE_FLUSH_REGION, 0), IBV_WC_REM_ACCESS_ERR);
}

/* --- memory that the kernel cannot reach --- */

/* Nothing maps it but the process, so no region can have it. */
TEST_ODP(secret_memory)
{
	int fd = syscall(SYS_memfd_secret, 0);
	unsigned char *p;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, SIZE), 0);
	p = map(SIZE, MAP_SHARED, fd);
	memset(p, 1, SIZE);
	ASSERT_EQ(ibv_dereg_mr(self->mr), 0);
	self->mr = reg(self, p, SIZE, (uintptr_t)p, PAIR_ACCESS);
	if (!self->mr)
		return;
	self->region = p;
	self->iova = (uintptr_t)p;
	EXPECT_EQ(move_data(self, WRITE_TO, 0, PAGE), IBV_WC_REM_ACCESS_ERR);
	pair_connect(&self->pair, IBV_MTU_4096);
	EXPECT_EQ(move_data(self, READ_FROM, 0, PAGE), IBV_WC_REM_ACCESS_ERR);
	EXPECT_EQ(p[0], 1);
}

TEST_HARNESS_MAIN
