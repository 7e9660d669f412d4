// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of what fails once: in each request to the dummy device, and in faults
 * by the benchmark device, every allocation fails in turn; and, where the kernel
 * can do that, every copy from or to user space. The request returns the error
 * that is documented for that, or succeeds without what failed; the next request
 * works, and no range is left.
 *
 * DMA is left to hmm-edu-tests: an allocation of the DMA debugger that fails
 * turns it off, in all tests that follow.
 */
#define _GNU_SOURCE
#include "hmm-rig.h"

#include "../../../../lib/hmm_bench_uapi.h"

#include "hmm-fail.h"

#define BENCH_NODE	"/dev/hmm_bench"

/* More allocations than any request here makes. */
#define MOST		2000

/* Pages of a request: more than there are requests on the stack. */
#define FAIL_PAGES	20
#define FAIL_SIZE	(FAIL_PAGES * PAGE)

/* Errors that a request may return: a bit each. */
#define MAY_ENOMEM	0x1
#define MAY_EFAULT	0x2

static bool fail_allowed(int err, int may)
{
	switch (err) {
	case 0:
		return true;
	case -ENOMEM:
		return may & MAY_ENOMEM;
	case -EFAULT:
		return may & MAY_EFAULT;
	}
	return false;
}

/**
 * struct failing - a request of which each part fails
 * @before: prepares memory for the request; may be NULL
 * @call: the request; returns 0 or -errno
 * @after: checks the memory after the request, given its result; may be NULL
 * @may: errors that are documented
 */
struct failing {
	int (*before)(struct rig *r);
	int (*call)(struct rig *r);
	int (*after)(struct rig *r, int err);
	int may;
};

/* New pages, without page tables, with new data. */
static int fail_fresh(struct rig *r)
{
	int err = munmap(r->ptr, r->size) ? -errno : rig_map(r);

	if (err)
		return err;
	hmm_fill(r->data, FAIL_SIZE);
	memcpy(r->buf, r->data, FAIL_SIZE);
	return 0;
}

static int fail_filled(struct rig *r)
{
	int err = fail_fresh(r);

	memcpy(r->ptr, r->data, FAIL_SIZE);
	return err;
}

static int fail_cmd(struct rig *r, unsigned long request)
{
	return hmm_cmd(r->fd, request, r->ptr, r->buf, FAIL_PAGES, &r->cmd);
}

/* The CPU has lost nothing, whatever failed. */
static int fail_kept(struct rig *r, int err)
{
	(void)err;
	return memcmp(r->ptr, r->data, FAIL_SIZE) ? -EINVAL : 0;
}

static int fail_on_device(struct rig *r)
{
	return fail_filled(r) ?: fail_cmd(r, HMM_DMIRROR_MIGRATE_TO_DEV);
}

/* The next one to be opened is the first mirror of the process. */
static int fail_closed(struct rig *r)
{
	return close(r->fd) ? -errno : 0;
}

static int call_open(struct rig *r)
{
	r->fd = hmm_open(0);
	return r->fd < 0 ? r->fd : 0;
}

static int after_open(struct rig *r, int err)
{
	return err ? call_open(r) : 0;
}

static int call_read(struct rig *r)
{
	return fail_cmd(r, HMM_DMIRROR_READ);
}

static int after_read(struct rig *r, int err)
{
	if (!err && memcmp(r->buf, r->data, FAIL_SIZE))
		return -EINVAL;
	return fail_kept(r, err);
}

static int call_write(struct rig *r)
{
	return fail_cmd(r, HMM_DMIRROR_WRITE);
}

/* A write that failed may have written a part. */
static int after_write(struct rig *r, int err)
{
	return err ? 0 : fail_kept(r, err);
}

static int call_snapshot(struct rig *r)
{
	return fail_cmd(r, HMM_DMIRROR_SNAPSHOT);
}

static int call_compute(struct rig *r)
{
	return hmm_compute(r->fd, r->ptr, FAIL_PAGES, &r->compute);
}

static int call_to_device(struct rig *r)
{
	return fail_cmd(r, HMM_DMIRROR_MIGRATE_TO_DEV);
}

static int call_exclusive(struct rig *r)
{
	return fail_cmd(r, HMM_DMIRROR_EXCLUSIVE);
}

static int call_mmap(struct rig *r)
{
	void *at = mmap(NULL, FAIL_SIZE, FULL_ACCESS, MAP_SHARED, r->fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	return munmap(at, FAIL_SIZE) ? -errno : 0;
}

/* An operation of the benchmark device, by a descriptor that it keeps. */
static int call_bench(struct rig *r, unsigned int op, unsigned int stride)
{
	static int fd = -1;
	struct hmm_bench_run run = {
		.addr = (uintptr_t)r->ptr,
		.npages = FAIL_PAGES,
		.op = op,
		.rounds = 1,
		.req = HMM_BENCH_READ | HMM_BENCH_WRITE,
		.stride = stride,
	};

	if (fd < 0)
		fd = open(BENCH_NODE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return ioctl(fd, HMM_BENCH_RUN, &run) ? -errno : 0;
}

static int call_locked_fault(struct rig *r)
{
	return call_bench(r, HMM_BENCH_MIRROR_FAULT, 0);
}

static int call_fault_each(struct rig *r)
{
	return call_bench(r, HMM_BENCH_MIRROR_FAULT, 2);
}

static int call_unlocked_each(struct rig *r)
{
	return call_bench(r, HMM_BENCH_MIRROR_UNLOCKED, 2);
}

static int call_interval(struct rig *r)
{
	return call_bench(r, HMM_BENCH_INTERVAL_FAULT, 0);
}

static int call_interval_each(struct rig *r)
{
	return call_bench(r, HMM_BENCH_INTERVAL_FAULT, 2);
}

FIXTURE(fail)
{
	struct rig r;
	int nth;
};

FIXTURE_VARIANT(fail)
{
	struct kind kind;
	struct failing f;
};

FIXTURE_VARIANT_ADD(fail, open)
{
	.kind = KIND_ANON,
	.f.before = fail_closed,
	.f.call = call_open,
	.f.after = after_open,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, read)
{
	.kind = KIND_ANON,
	.f.before = fail_filled,
	.f.call = call_read,
	.f.after = after_read,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, read_file)
{
	.kind = KIND_FILE,
	.f.before = fail_filled,
	.f.call = call_read,
	.f.after = after_read,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, write)
{
	.kind = KIND_ANON,
	.f.before = fail_fresh,
	.f.call = call_write,
	.f.after = after_write,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, write_huge)
{
	.kind = KIND_THP,
	.f.before = fail_fresh,
	.f.call = call_write,
	.f.after = after_write,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, write_hugetlb)
{
	.kind = KIND_HUGETLB,
	.f.before = fail_fresh,
	.f.call = call_write,
	.f.after = after_write,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, write_file)
{
	.kind = KIND_FILE,
	.f.before = fail_fresh,
	.f.call = call_write,
	.f.after = after_write,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, write_copy)
{
	.kind = KIND_COPY,
	.f.before = fail_fresh,
	.f.call = call_write,
	.f.after = after_write,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, snapshot)
{
	.kind = KIND_ANON,
	.f.before = fail_filled,
	.f.call = call_snapshot,
	.f.after = fail_kept,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, compute)
{
	.kind = KIND_ANON,
	.f.before = fail_filled,
	.f.call = call_compute,
	.f.after = fail_kept,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, to_device)
{
	.kind = KIND_ANON,
	.f.before = fail_filled,
	.f.call = call_to_device,
	.f.after = fail_kept,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, read_device)
{
	.kind = KIND_ANON,
	.f.before = fail_on_device,
	.f.call = call_read,
	.f.after = after_read,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, exclusive)
{
	.kind = KIND_ANON,
	.f.before = fail_filled,
	.f.call = call_exclusive,
	.f.after = fail_kept,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, mmap)
{
	.kind = KIND_ANON,
	.f.call = call_mmap,
	.f.may = MAY_ENOMEM,
};

FIXTURE_VARIANT_ADD(fail, locked_fault)
{
	.kind = KIND_ANON,
	.f.before = fail_fresh,
	.f.call = call_locked_fault,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, fault_each)
{
	.kind = KIND_ANON,
	.f.before = fail_fresh,
	.f.call = call_fault_each,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, unlocked_each)
{
	.kind = KIND_ANON,
	.f.before = fail_fresh,
	.f.call = call_unlocked_each,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, interval)
{
	.kind = KIND_ANON,
	.f.before = fail_fresh,
	.f.call = call_interval,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_VARIANT_ADD(fail, interval_each)
{
	.kind = KIND_ANON,
	.f.before = fail_fresh,
	.f.call = call_interval_each,
	.f.may = MAY_ENOMEM | MAY_EFAULT,
};

FIXTURE_SETUP(fail)
{
	int err;

	if (access(FAIL_NTH, W_OK))
		SKIP(return, NO_FAIL_NTH);
	err = rig_setup(&self->r, &variant->kind);
	if (rig_missing(err))
		SKIP(return, "%s", rig_missing(err));
	ASSERT_EQ(0, err);
	self->nth = fail_open();
	ASSERT_LE(0, self->nth);
}

FIXTURE_TEARDOWN(fail)
{
	EXPECT_EQ(0, close(self->nth));
	EXPECT_EQ(0, rig_teardown(&self->r));
}

/* Only what the device owes to an unfinished request may be left. */
static int fail_idle(struct rig *r)
{
	int err = hmm_stats(r->fd, &r->stats);

	return err ?: r->stats.ranges ? -EBUSY : 0;
}

TEST_F_TIMEOUT(fail, each_once, SECONDS)
{
	const struct failing *f = &variant->f;
	int i, err, failed = 0, errors = 0;
	bool unused = false;

	/* Memory that later requests find allocated */
	if (f->before)
		ASSERT_EQ(0, f->before(&self->r));
	ASSERT_EQ(0, f->call(&self->r));
	for (i = 1; i < MOST && !unused; i++) {
		if (f->before)
			ASSERT_EQ(0, f->before(&self->r));
		ASSERT_TRUE(fail_nth(self->nth, i));
		err = f->call(&self->r);
		unused = fail_unused(self->nth);
		ASSERT_TRUE(fail_allowed(err, unused ? 0 : f->may))
			TH_LOG("failure %d: error %d", i, err);
		if (f->after)
			ASSERT_EQ(0, f->after(&self->r, err));
		ASSERT_EQ(0, fail_idle(&self->r));
		failed += !unused;
		errors += !!err;
	}
	ASSERT_TRUE(unused);
	EXPECT_LT(0, failed);
	TH_LOG("%d failures, %d errors", failed, errors);
	if (f->before)
		ASSERT_EQ(0, f->before(&self->r));
	EXPECT_EQ(0, f->call(&self->r));
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
