// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA into and out of memory that moves.
 *
 *	odp-moving [OPTION]... DEVICE.NETNS DEVICE.NETNS
 *
 *	-r N	rounds
 *	-o N	operations of each end in a round
 *	-s N	seed
 *	-m N	path MTU
 *	-b	transfers begin and end at any byte, not only at pages
 *	-i	the region's iova is not its address
 *	-n	nothing moves
 *	-p	the region is pinned, not on demand
 *	-f	another test: the peer writes to pages after MADV_FREE, and then
 *		they are paged out
 *
 * Two processes, the ends, each in its own network namespace and with its own
 * device, register a region on demand and connect two RC queue pairs. In each
 * round both ends send, write, read and add to the other's region at once,
 * while a thread of each moves that end's region: fork, page out, collapse and
 * split of huge pages, NUMA nodes, mprotect. Then each end compares its whole
 * region with a copy that was computed without RDMA.
 *
 * End e works only on half e of both regions, so the result does not depend on
 * the order of the ends. All operations follow from the seed: each end computes
 * those of both.
 *
 * Exit: 0 if all is as computed, 1 if not or on an error, 4 if the device does
 * not page on demand.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connect.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#define MPOL_MF_MOVE	(1 << 1)

#define __noreturn	__attribute__((__noreturn__))
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PAGE		4096UL
#define HUGE		(2UL << 20)
#define HALF		HUGE
#define REGION		(2 * HALF)
#define MAX_OPS		64
#define MAX_LEN		(4 * PAGE)
#define IOVA		0x10000000UL
#define ACCESS		(IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | \
			 IBV_ACCESS_REMOTE_ATOMIC)
#define EXIT_SKIP	4

/* The options. */
static struct {
	int rounds;
	int ops;
	unsigned int seed;
	enum ibv_mtu mtu;
	bool pinned;
	bool bytes;
	bool iova;
	bool lazyfree;
	bool still;
} opt = { .rounds = 100, .ops = 8, .seed = 1, .mtu = IBV_MTU_4096 };

enum op_kind { OP_WRITE, OP_READ, OP_SEND, OP_ADD, NR_KINDS };

static const char * const op_names[] = { "write", "read", "send", "add" };

/* @local and @remote are offsets in the regions of the sender and its peer. */
struct op {
	enum op_kind kind;
	size_t local;
	size_t remote;
	size_t len;
	uint64_t add;
};

/* An end tells its peer this much, once. */
struct address {
	uint32_t qpn;
	uint32_t rkey;
	uint64_t base;
	union ibv_gid gid;
};

static int me, sock;
static unsigned char *region, *shadow[2];
static struct ibv_context *ctx;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_qp *qp;
static struct ibv_mr *mr;
static struct address mine, peer;
static atomic_bool stop;

static void __noreturn __printf(1, 2) fail(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	fflush(stdout);
	printf("# end %d: ", me);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(err ? ": %s\n" : "\n", strerror(err));
	fflush(stdout);
	_exit(1);
}

/* xorshift*: the same sequence at both ends, and one of its own per thread. */
static uint64_t next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dUL) >> 8;
}

static uint64_t seed_of(int round, int end, int use)
{
	uint64_t state = opt.seed * 0x9e3779b97f4a7c15UL;
	int i;

	state += round * 0x100000001b3UL + end * 8 + use + 1;
	for (i = 0; i < 8; i++)
		next(&state);
	return state;
}

/* --- the operations, and what they do to the copies --- */

static struct op make_op(uint64_t *state, int end)
{
	struct op op = { .kind = next(state) % NR_KINDS };
	size_t unit = opt.bytes ? 1 : PAGE;

	op.len = (1 + next(state) % (MAX_LEN / unit)) * unit;
	op.local = next(state) % ((HALF - op.len) / unit + 1) * unit;
	op.remote = next(state) % ((HALF - op.len) / unit + 1) * unit;
	op.add = next(state);
	if (op.kind == OP_ADD) {
		op.len = sizeof(op.add);
		op.local &= -op.len;
		op.remote &= -op.len;
	}
	op.local += end * HALF;
	op.remote += end * HALF;
	return op;
}

static void make_ops(struct op *ops, int round, int end)
{
	uint64_t state = seed_of(round, end, 0);
	int i;

	for (i = 0; i < opt.ops; i++)
		ops[i] = make_op(&state, end);
}

/* Do to the copies what @op of @end does to the regions. */
static void apply(const struct op *op, int end)
{
	unsigned char *local = shadow[end] + op->local;
	unsigned char *remote = shadow[!end] + op->remote;
	uint64_t value;

	switch (op->kind) {
	case OP_WRITE:
	case OP_SEND:
		memcpy(remote, local, op->len);
		break;
	case OP_READ:
		memcpy(local, remote, op->len);
		break;
	default:
		memcpy(&value, remote, sizeof(value));
		memcpy(local, &value, sizeof(value));
		value += op->add;
		memcpy(remote, &value, sizeof(value));
	}
}

/* The CPU writes to a part of @end's half before a round. */
static void scribble(unsigned char *to, int round, int end)
{
	uint64_t state = seed_of(round, end, 1);
	size_t offset = next(&state) % (HALF - 4 * MAX_LEN);
	size_t i;

	to += end * HALF + offset;
	for (i = 0; i < 4 * MAX_LEN; i++)
		to[i] = next(&state);
}

static void apply_round(int round)
{
	struct op ops[MAX_OPS];
	int end, i;

	for (end = 0; end < 2; end++) {
		scribble(shadow[end], round, end);
		make_ops(ops, round, end);
		for (i = 0; i < opt.ops; i++)
			apply(&ops[i], end);
	}
}

static void print_ops(int round)
{
	struct op ops[MAX_OPS];
	int end, i;

	for (end = 0; end < 2; end++) {
		make_ops(ops, round, end);
		for (i = 0; i < opt.ops; i++)
			printf("# end %d %s local %#zx remote %#zx len %zu\n",
			       end, op_names[ops[i].kind], ops[i].local,
			       ops[i].remote, ops[i].len);
	}
}

static void compare(int round)
{
	size_t i, wrong = 0, first = 0;

	if (!memcmp(region, shadow[me], REGION))
		return;
	for (i = REGION; i--;) {
		if (region[i] == shadow[me][i])
			continue;
		first = i;
		wrong++;
	}
	if (!opt.lazyfree)
		print_ops(round);
	errno = 0;
	fail("round %d: %zu bytes are not as computed, the first at %#zx",
	     round, wrong, first);
}

/* --- the ends meet --- */

static void exchange(const void *out, void *in, size_t len)
{
	if (write(sock, out, len) != (ssize_t)len)
		fail("write to the peer");
	if (recv(sock, in, len, MSG_WAITALL) != (ssize_t)len)
		fail("the peer is gone");
}

static void meet(void)
{
	char c = 0;

	exchange(&c, &c, 1);
}

/* --- RDMA --- */

static void enter_netns(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		fail("%s", path);
	close(fd);
}

static void open_device(const char *name)
{
	struct ibv_device_attr_ex attr;

	ctx = open_rdma(name);
	if (!ctx)
		fail("no device %s", name);
	if (ibv_query_device_ex(ctx, NULL, &attr))
		fail("query_device_ex");
	if (!opt.pinned && !(attr.odp_caps.general_caps & IBV_ODP_SUPPORT)) {
		printf("# %s does not page on demand\n", name);
		fflush(stdout);
		_exit(EXIT_SKIP);
	}
}

static void make_region(void)
{
	unsigned char *map;
	int access = IBV_ACCESS_LOCAL_WRITE | ACCESS;
	int end;

	map = mmap(NULL, REGION + HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		fail("mmap");
	region = (unsigned char *)(((uintptr_t)map + HUGE - 1) & -HUGE);
	for (end = 0; end < 2; end++) {
		shadow[end] = calloc(1, REGION);
		if (!shadow[end])
			fail("calloc");
	}
	if (!opt.pinned)
		access |= IBV_ACCESS_ON_DEMAND;
	mine.base = opt.iova ? IOVA : (uintptr_t)region;
	mr = ibv_reg_mr_iova(pd, region, REGION, mine.base, access);
	if (!mr)
		fail("reg_mr_iova");
	mine.rkey = mr->rkey;
}

static void make_qp(void)
{
	struct ibv_qp_init_attr init = {
		.qp_type = IBV_QPT_RC,
		.cap = { MAX_OPS, MAX_OPS, 1, 1 },
	};

	pd = ibv_alloc_pd(ctx);
	cq = ibv_create_cq(ctx, 2 * MAX_OPS, NULL, NULL, 0);
	if (!pd || !cq)
		fail("alloc_pd, create_cq");
	init.send_cq = cq;
	init.recv_cq = cq;
	qp = ibv_create_qp(pd, &init);
	if (!qp)
		fail("create_qp");
	mine.qpn = qp->qp_num;
}

static void set_up(const char *device)
{
	struct connection to = { .mtu = opt.mtu, .access = ACCESS };

	open_device(device);
	to.sgid_index = find_gid(ctx, &mine.gid);
	if (to.sgid_index < 0)
		fail("no GID of an IPv4 address");
	make_qp();
	make_region();
	exchange(&mine, &peer, sizeof(peer));
	to.qpn = peer.qpn;
	to.gid = peer.gid;
	if (connect_qp(qp, &to))
		fail("connect_qp");
	meet();
}

static void post_recv(const struct op *op)
{
	struct ibv_sge sge = { mine.base + op->remote, op->len, mr->lkey };
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;

	if (ibv_post_recv(qp, &wr, &bad))
		fail("post_recv");
}

static int sends_done, recvs_done;

/* An end that has failed sends nothing any more. */
static void check_peer(void)
{
	char c;

	if (!recv(sock, &c, 1, MSG_PEEK | MSG_DONTWAIT))
		fail("the peer is gone");
}

static void poll_one(void)
{
	struct ibv_wc wc;
	int n = ibv_poll_cq(cq, 1, &wc);

	if (n < 0)
		fail("poll_cq");
	if (!n) {
		check_peer();
		sched_yield();
		return;
	}
	errno = 0;
	if (wc.status != IBV_WC_SUCCESS)
		fail("a %s ended with status %d, %s",
		     wc.opcode & IBV_WC_RECV ? "receive" : "request",
		     wc.status, ibv_wc_status_str(wc.status));
	if (wc.opcode & IBV_WC_RECV)
		recvs_done++;
	else
		sends_done++;
}

static void post_and_wait(const struct op *op)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ, IBV_WR_SEND,
		IBV_WR_ATOMIC_FETCH_AND_ADD,
	};
	struct ibv_sge sge = { mine.base + op->local, op->len, mr->lkey };
	struct ibv_send_wr *bad, wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = opcodes[op->kind],
		.send_flags = IBV_SEND_SIGNALED,
	};
	int due = sends_done + 1;

	if (op->kind == OP_ADD) {
		wr.wr.atomic.remote_addr = peer.base + op->remote;
		wr.wr.atomic.rkey = peer.rkey;
		wr.wr.atomic.compare_add = op->add;
	} else {
		wr.wr.rdma.remote_addr = peer.base + op->remote;
		wr.wr.rdma.rkey = peer.rkey;
	}
	if (ibv_post_send(qp, &wr, &bad))
		fail("post_send");
	while (sends_done < due)
		poll_one();
}

static void traffic(int round)
{
	struct op ops[MAX_OPS];
	int i, due = recvs_done;

	make_ops(ops, round, !me);
	for (i = 0; i < opt.ops; i++) {
		if (ops[i].kind != OP_SEND)
			continue;
		post_recv(&ops[i]);
		due++;
	}
	scribble(region, round, me);
	meet();
	make_ops(ops, round, me);
	for (i = 0; i < opt.ops; i++)
		post_and_wait(&ops[i]);
	while (recvs_done < due)
		poll_one();
	meet();
}

/* --- the movers: each keeps the content of @start to @start + @len --- */

static uint64_t sum_of(const unsigned char *p, size_t len)
{
	const uint64_t *words = (const uint64_t *)p;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < len / sizeof(*words); i++)
		sum = sum * 31 + words[i];
	return sum;
}

/* Only the mover's thread uses these. */
static int child_pipe = -1;
static pid_t child;

/* Sums up its memory before and after the parent's close of the pipe. */
static void __noreturn watch_memory(int fd, const unsigned char *start,
				    size_t len)
{
	uint64_t sum = sum_of(start, len);
	char c;

	while (read(fd, &c, 1) < 0)
		;
	_exit(sum != sum_of(start, len));
}

static void reap_child(void)
{
	int status;

	if (child_pipe < 0)
		return;
	close(child_pipe);
	child_pipe = -1;
	if (waitpid(child, &status, 0) != child)
		fail("waitpid");
	errno = 0;
	if (status)
		fail("a child saw its memory change: %#x", status);
}

/*
 * After a fork, a device that writes must write to the parent's copy of the
 * page: the child looks for a change until the next fork.
 */
static bool move_fork(unsigned char *start, size_t len)
{
	int fds[2];

	reap_child();
	if (pipe2(fds, O_CLOEXEC))
		fail("pipe");
	child = fork();
	if (child < 0)
		fail("fork");
	if (!child) {
		close(fds[1]);
		watch_memory(fds[0], start, len);
	}
	close(fds[0]);
	child_pipe = fds[1];
	return true;
}

static bool move_pageout(unsigned char *start, size_t len)
{
	if (madvise(start, len, MADV_PAGEOUT))
		fail("MADV_PAGEOUT");
	return true;
}

/* Pages that are in use at the moment cannot be collapsed. */
static bool move_collapse(unsigned char *start, size_t len)
{
	(void)len;
	start = (unsigned char *)((uintptr_t)start & -HUGE);
	if (!madvise(start, HUGE, MADV_COLLAPSE))
		return true;
	if (errno != EAGAIN && errno != EBUSY && errno != ENOMEM &&
	    errno != EINVAL)
		fail("MADV_COLLAPSE");
	return false;
}

static bool move_split(unsigned char *start, size_t len)
{
	char line[64];
	int fd = open("/sys/kernel/debug/split_huge_pages",
		      O_WRONLY | O_CLOEXEC);
	bool split;

	if (fd < 0)
		fail("split_huge_pages");
	snprintf(line, sizeof(line), "%d,0x%lx,0x%lx", getpid(),
		 (unsigned long)start, (unsigned long)start + len);
	split = write(fd, line, strlen(line)) > 0;
	close(fd);
	return split;
}

static bool move_mprotect(unsigned char *start, size_t len)
{
	const int prot = PROT_READ | PROT_WRITE;

	if (mprotect(start, len, prot | PROT_EXEC) ||
	    mprotect(start, len, prot))
		fail("mprotect");
	return true;
}

static bool move_node(unsigned char *start, size_t len)
{
	static int node;
	void *pages[64];
	int nodes[ARRAY_SIZE(pages)], status[ARRAY_SIZE(pages)];
	size_t i, n = len / PAGE, moved = 0;

	if (n > ARRAY_SIZE(pages))
		n = ARRAY_SIZE(pages);
	node = !node;
	for (i = 0; i < n; i++) {
		pages[i] = start + i * PAGE;
		nodes[i] = node;
	}
	if (syscall(SYS_move_pages, 0, n, pages, nodes, status,
		    MPOL_MF_MOVE) < 0)
		fail("move_pages");
	for (i = 0; i < n; i++)
		moved += status[i] == node;
	return moved;
}

static struct mover {
	const char *name;
	bool (*move)(unsigned char *start, size_t len);
	unsigned long moved;
} movers[] = {
	{ "fork", move_fork, 0 },
	{ "pageout", move_pageout, 0 },
	{ "collapse", move_collapse, 0 },
	{ "split", move_split, 0 },
	{ "mprotect", move_mprotect, 0 },
	{ "node", move_node, 0 },
};

static void *move(void *arg)
{
	uint64_t state = seed_of(0, me, 2);
	size_t start, len;
	struct mover *mover;

	while (!stop) {
		mover = &movers[next(&state) % ARRAY_SIZE(movers)];
		len = (1 + next(&state) % (REGION / PAGE)) * PAGE;
		start = next(&state) % ((REGION - len) / PAGE + 1) * PAGE;
		mover->moved += mover->move(region + start, len);
	}
	reap_child();
	return arg;
}

/* Pinned pages stay in place, so most movers cannot move them. */
static void report_moves(void)
{
	size_t i;

	printf("# end %d moved:", me);
	for (i = 0; i < ARRAY_SIZE(movers); i++)
		printf(" %s %lu", movers[i].name, movers[i].moved);
	printf("\n");
	errno = 0;
	for (i = 0; i < ARRAY_SIZE(movers) && !opt.pinned; i++)
		if (!movers[i].moved)
			fail("nothing was moved by %s", movers[i].name);
}

/* --- the tests --- */

static void run_rounds(void)
{
	pthread_t thread;
	int round;

	if (!opt.still && pthread_create(&thread, NULL, move, NULL))
		fail("pthread_create");
	for (round = 0; round < opt.rounds; round++) {
		traffic(round);
		apply_round(round);
		compare(round);
	}
	stop = true;
	if (opt.still)
		return;
	pthread_join(thread, NULL);
	compare(round);
	report_moves();
}

/*
 * The CPU gives its pages up lazily, the peer writes to them, and reclaim takes
 * them: what the peer wrote must have made them dirty.
 */
static void run_lazyfree(void)
{
	struct op op = { .kind = OP_WRITE, .len = PAGE };
	int round;

	for (round = 0; round < opt.rounds; round++) {
		memset(region, round, REGION);
		memset(region + me * HALF, 0x80 | round, HALF);
		if (madvise(region + !me * HALF, HALF, MADV_FREE))
			fail("MADV_FREE");
		meet();
		for (op.local = 0; op.local < HALF; op.local += PAGE) {
			op.remote = op.local + me * HALF;
			op.local += me * HALF;
			post_and_wait(&op);
			op.local -= me * HALF;
		}
		meet();
		if (madvise(region, REGION, MADV_PAGEOUT))
			fail("MADV_PAGEOUT");
		memset(shadow[me], 0x80 | round, REGION);
		compare(round);
	}
}

static int run_end(char *name)
{
	char *netns = strchr(name, '.');

	errno = 0;
	if (!netns)
		fail("usage: odp-moving [OPTION]... DEVICE.NETNS DEVICE.NETNS");
	*netns++ = '\0';
	enter_netns(netns);
	set_up(name);
	if (opt.lazyfree)
		run_lazyfree();
	else
		run_rounds();
	meet();
	fflush(stdout);
	return 0;
}

static enum ibv_mtu mtu_of(int bytes)
{
	enum ibv_mtu mtu;

	for (mtu = IBV_MTU_256; mtu <= IBV_MTU_4096; mtu++)
		if (bytes == 128 << mtu)
			return mtu;
	fail("%d is no path MTU", bytes);
}

static void set_option(int c)
{
	const struct {
		char c;
		bool *flag;
	} flags[] = {
		{ 'p', &opt.pinned },
		{ 'b', &opt.bytes },
		{ 'i', &opt.iova },
		{ 'f', &opt.lazyfree },
		{ 'n', &opt.still },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].c == c)
			*flags[i].flag = true;
	if (c == 'r')
		opt.rounds = atoi(optarg);
	else if (c == 'o')
		opt.ops = atoi(optarg);
	else if (c == 's')
		opt.seed = atoi(optarg);
	else if (c == 'm')
		opt.mtu = mtu_of(atoi(optarg));
	else if (c == '?')
		exit(1);
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "r:o:s:m:pbifn")) != -1)
		set_option(c);
	errno = 0;
	if (optind + 2 != argc || opt.rounds < 1 || opt.ops < 1 ||
	    opt.ops > MAX_OPS)
		fail("usage: odp-moving [OPTION]... DEVICE.NETNS DEVICE.NETNS");
}

/* The worse of the two ends' results. A skip of one is a skip of both. */
static int wait_ends(void)
{
	int i, status, worst = 0;

	for (i = 0; i < 2; i++) {
		if (wait(&status) < 0)
			fail("wait");
		status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		if (!worst || status == EXIT_SKIP)
			worst = status;
	}
	return worst;
}

int main(int argc, char **argv)
{
	int fds[2];

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		fail("socketpair");
	for (me = 0; me < 2; me++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (!pid) {
			sock = fds[me];
			close(fds[!me]);
			exit(run_end(argv[optind + me]));
		}
	}
	close(fds[0]);
	close(fds[1]);
	return wait_ends();
}
