// SPDX-License-Identifier: GPL-2.0
/*
 * A fuzzer of the device nodes.
 *
 *	hmm-fuzz [-n CALLS] [-s SECONDS] [-r SEED]
 *
 * An input is a short list of calls: requests with valid and invalid numbers
 * and arguments, files that come and go or are passed on, and changes of the
 * memory that the arguments point to. A child runs it, while a second thread
 * of the child runs another one, and the child exits in the middle of it now
 * and then. With KCOV, inputs that reach new code are kept and varied. A test
 * passes if the kernel says nothing and every child ends.
 *
 * REPLAY of the edu device is left out: it does what a driver must not do.
 */
#define _GNU_SOURCE
#include <linux/kcov.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "../kselftest.h"
#include "hmm-edu.h"
#include "hmm-module.h"

#define NR_CALLS	12
#define NR_FILES	8
#define NR_INPUTS	4096

/* Inputs that a child runs before it ends. */
#define CHILD_INPUTS	64

/* Words of the trace of one thread, and bits of all code seen. */
#define TRACE_WORDS	(1 << 16)
#define SEEN_BITS	(1 << 20)

/* A child that takes longer hangs. */
#define HANG_SECONDS	300

enum {
	OP_REQUEST,
	OP_OPEN,
	OP_CLOSE,
	OP_PASS,
	OP_FORK,
	OP_MAP,
	OP_UNMAP,
	OP_PROTECT,
	OP_ADVISE,
	OP_MAP_DEVICE,
	OP_READ_WRITE,
	OP_EXIT,
	NR_OPS,
};

/* Each byte chooses from a table. */
struct call {
	uint8_t	op;
	uint8_t	file;
	uint8_t	request;
	uint8_t	arg;
	uint8_t	addr;
	uint8_t	npages;
	uint8_t	ptr;
	uint8_t	more;
};

struct input {
	struct call	calls[NR_CALLS];
};

/* In memory that all children share. */
static struct {
	uint64_t	seen[SEEN_BITS / 64];
	uint64_t	nr_seen;
	uint64_t	calls;
	uint64_t	accepted;
	uint32_t	nr_inputs;
	struct input	inputs[NR_INPUTS];
	double		progress;
} *shared;

/*
 * Memory of a child. A hole follows @arena and is inside it, so that spans,
 * buffers and arguments can end in one.
 */
#define ARENA_PAGES	256
#define HOLE_PAGE	200

static char *arena;
static int files[NR_FILES];
static glob_t nodes;

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/*
 * KCOV
 */

static __thread uint64_t *trace;

/* Trace this thread, if the kernel can. */
static void trace_open(void)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	trace = NULL;
	if (fd < 0 || ioctl(fd, KCOV_INIT_TRACE, TRACE_WORDS))
		return;
	trace = mmap(NULL, TRACE_WORDS * sizeof(*trace), FULL_ACCESS,
		     MAP_SHARED, fd, 0);
	if (trace == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		trace = NULL;
}

static void trace_start(void)
{
	if (trace)
		__atomic_store_n(&trace[0], 0, __ATOMIC_RELAXED);
}

/* Returns the number of places that no input has reached before. */
static unsigned int trace_count_new(void)
{
	uint64_t n = trace ? __atomic_load_n(&trace[0], __ATOMIC_RELAXED) : 0;
	unsigned int found = 0;

	for (uint64_t i = 1; i <= n && i < TRACE_WORDS; i++) {
		uint64_t hash = trace[i] * 0x9e3779b97f4a7c15 >> 44;
		uint64_t bit = 1ULL << hash % 64;
		uint64_t old = __atomic_fetch_or(&shared->seen[hash / 64], bit,
						 __ATOMIC_RELAXED);

		found += !(old & bit);
	}
	__atomic_add_fetch(&shared->nr_seen, found, __ATOMIC_RELAXED);
	return found;
}

static void keep_input(const struct input *input)
{
	uint32_t i = __atomic_fetch_add(&shared->nr_inputs, 1,
					__ATOMIC_RELAXED);

	/* One that is half copied is an input as well */
	shared->inputs[i % NR_INPUTS] = *input;
}

/*
 * Values
 */

#define TOP		(1ULL << 47)
#define TOP_5_LEVEL	(1ULL << 56)

static uint64_t value_addr(uint8_t choice)
{
	const uint64_t at = (uintptr_t)arena;
	const uint64_t values[] = {
		at, at, at + PAGE, at + 64 * PAGE, at + (HOLE_PAGE - 1) * PAGE,
		at + HOLE_PAGE * PAGE, at + (HOLE_PAGE + 1) * PAGE,
		at + (ARENA_PAGES - 1) * PAGE, at + ARENA_PAGES * PAGE,
		at + 1, at + PAGE - 1, 0, PAGE, 1, -PAGE, -2 * PAGE, -1ULL,
		TOP, TOP - PAGE, TOP - 2 * PAGE, TOP_5_LEVEL,
		TOP_5_LEVEL - PAGE, 0xffff888000000000, 0xffffffffff600000,
		1ULL << 63, ((uintptr_t)shared->inputs & -PAGE) + PAGE,
		(uintptr_t)next_random & -PAGE,
	};

	return values[choice % ARRAY_SIZE(values)];
}

static uint64_t value_npages(uint8_t choice)
{
	static const uint64_t values[] = {
		1, 1, 1, 2, 2, 3, 8, 63, 64, 65, 128, 199, 200, 201, 256, 257,
		1024, 0, 1ULL << 35, 1ULL << 44, (1ULL << 52) - 1, 1ULL << 52,
		(1ULL << 52) + 1, 1ULL << 63, -1ULL,
	};

	return values[choice % ARRAY_SIZE(values)];
}

/* An argument that ends in a hole, is not there, or cannot be written. */
static void *value_arg(uint8_t choice, void *mine, size_t size)
{
	struct iovec from = { .iov_base = mine, .iov_len = size };
	struct iovec to = { .iov_len = size };

	switch (choice % 16) {
	case 0:
		return NULL;
	case 1:
		return (void *)value_addr(choice / 16 + 11);
	case 2:
		to.iov_base = arena + HOLE_PAGE * PAGE - size / 2;
		break;
	case 3:
		to.iov_base = arena + HOLE_PAGE * PAGE - size;
		break;
	case 4:
		return (char *)next_random + choice / 16;
	default:
		return mine;
	}
	/* The other thread may have unmapped it, so the kernel copies it */
	process_vm_writev(getpid(), &from, 1, &to, 1, 0);
	return to.iov_base;
}

static const unsigned long requests[] = {
	HMM_DMIRROR_READ, HMM_DMIRROR_WRITE, HMM_DMIRROR_MIGRATE_TO_DEV,
	HMM_DMIRROR_MIGRATE_TO_SYS, HMM_DMIRROR_SNAPSHOT, HMM_DMIRROR_EXCLUSIVE,
	HMM_DMIRROR_CHECK_EXCLUSIVE, HMM_DMIRROR_RELEASE, HMM_DMIRROR_FLAGS,
	HMM_DMIRROR_READ_UNLOCKED, HMM_DMIRROR_COMPUTE, HMM_DMIRROR_STATS,
	HMM_DMIRROR_FLUSH, HMM_DMIRROR_FAULT_CALL, EDU_MIRROR_LOAD,
	EDU_MIRROR_STORE,
};

/* The number of a request, now and then a wrong one. */
static unsigned long value_request(const struct call *call)
{
	unsigned long request = requests[call->request % ARRAY_SIZE(requests)];

	switch (call->more % 32) {
	case 0:
		request ^= 1UL << call->request % 32;
		break;
	case 1:
		request = _IOC(call->arg % 4, 'H', call->request, call->npages);
		break;
	case 2:
		request |= 1UL << (32 + call->request % 32);
		break;
	}
	return (unsigned int)request == EDU_MIRROR_REPLAY ? 0 : request;
}

/*
 * Calls. Their errors do not matter.
 */

union arg {
	struct hmm_dmirror_cmd		cmd;
	struct hmm_dmirror_compute	compute;
	struct hmm_dmirror_flush	flush;
	struct hmm_dmirror_fault_call	fault_call;
	struct edu_mirror_copy		copy;
	uint64_t			words[16];
};

static void fill_arg(union arg *arg, const struct call *call,
		     unsigned long request)
{
	memset(arg, call->more % 8 == 7 ? 0xff : 0, sizeof(*arg));
	if (request == HMM_DMIRROR_FLUSH) {
		/* A long flush would only cost time */
		arg->flush = (struct hmm_dmirror_flush){
			.ms = call->npages % 4 ? call->npages % 4 - 1 : 10001,
			.reserved = { 0, !(call->arg % 8) },
		};
	} else if (request == HMM_DMIRROR_FAULT_CALL) {
		arg->fault_call.locked = call->npages % 3;
		arg->fault_call.reserved = !(call->arg % 8);
	} else if (request == EDU_MIRROR_LOAD || request == EDU_MIRROR_STORE) {
		/* Few of those that work, which take the device 0.1 s */
		arg->copy.addr = value_addr(call->addr);
		arg->copy.len = call->npages % 16 ? 2049 + call->npages :
				1 + call->ptr * 8;
	} else {
		arg->cmd.addr = value_addr(call->addr);
		arg->cmd.ptr = value_addr(call->ptr);
		arg->cmd.npages = value_npages(call->npages);
		if (request == HMM_DMIRROR_COMPUTE)
			arg->compute.npages = arg->cmd.npages;
	}
}

static void do_request(const struct call *call)
{
	unsigned long request = value_request(call);
	union arg arg;
	void *at;

	fill_arg(&arg, call, request);
	at = value_arg(call->arg, &arg, _IOC_SIZE(request));
	if (!ioctl(files[call->file % NR_FILES], request, at))
		__atomic_add_fetch(&shared->accepted, 1, __ATOMIC_RELAXED);
}

/* Put a file in a place, and close the one that was there. */
static void put_file(uint8_t place, int fd)
{
	fd = __atomic_exchange_n(&files[place % NR_FILES], fd,
				 __ATOMIC_RELAXED);
	if (fd >= 0)
		close(fd);
}

static void do_open(const struct call *call)
{
	int fd;

	if (!nodes.gl_pathc)
		return;
	fd = open(nodes.gl_pathv[call->request % nodes.gl_pathc],
		  (call->more % 8 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	put_file(call->file, fd);
}

static void do_close(const struct call *call)
{
	put_file(call->file, -1);
}

/* Pass a file over a socket, and close one end, or both, or none before. */
static void do_pass(const struct call *call)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
	int ends[2], fd = files[call->file % NR_FILES];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(ends[0], &msg, MSG_DONTWAIT) == 1) {
		if (call->more & 1)
			do_close(call);
		if (call->more & 2 &&
		    recvmsg(ends[1], &msg, MSG_DONTWAIT) == 1 &&
		    header->cmsg_type == SCM_RIGHTS) {
			memcpy(&fd, CMSG_DATA(header), sizeof(fd));
			put_file(call->request, fd);
		}
	}
	close(ends[0]);
	close(ends[1]);
}

static void do_call(const struct call *call);

/* A child with the same files; it makes one request, and ends. */
static void do_fork(const struct call *call)
{
	struct call other = *call;
	pid_t pid = fork();

	if (pid > 0 && call->more & 4)
		kill(pid, SIGKILL);
	if (pid > 0)
		hmm_wait_child(pid);
	if (pid)
		return;
	other.op = call->more & 1 ? OP_REQUEST : OP_OPEN;
	do_call(&other);
	other.op = OP_REQUEST;
	do_call(&other);
	_exit(0);
}

static char *arena_at(const struct call *call)
{
	return arena + call->addr % ARENA_PAGES * PAGE;
}

/* At least one page, to the end of the arena at most. */
static size_t arena_size(const struct call *call)
{
	return (1 + call->npages % (ARENA_PAGES - call->addr % ARENA_PAGES)) *
	       PAGE;
}

static void do_map(const struct call *call)
{
	mmap(arena_at(call), arena_size(call), FULL_ACCESS,
	     MAP_FIXED | MAP_ANONYMOUS |
	     (call->more & 1 ? MAP_SHARED : MAP_PRIVATE), -1, 0);
}

static void do_protect(const struct call *call)
{
	mprotect(arena_at(call), arena_size(call), call->more & FULL_ACCESS);
}

static void do_advise(const struct call *call)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT, MADV_HUGEPAGE,
		MADV_MERGEABLE, MADV_DONTFORK, MADV_DOFORK, MADV_POPULATE_WRITE,
	};

	madvise(arena_at(call), arena_size(call),
		advice[call->more % ARRAY_SIZE(advice)]);
}

static void do_map_device(const struct call *call)
{
	mmap(arena_at(call), arena_size(call), FULL_ACCESS,
	     MAP_FIXED | (call->more & 1 ? MAP_SHARED : MAP_PRIVATE),
	     files[call->file % NR_FILES], 0);
}

static void do_read_write(const struct call *call)
{
	int fd = files[call->file % NR_FILES];

	if (call->more & 1)
		(void)!read(fd, arena_at(call), PAGE);
	else
		(void)!write(fd, arena_at(call), PAGE);
	lseek(fd, call->npages, SEEK_SET);
}

static void do_call(const struct call *call)
{
	__atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
	switch (call->op % 32) {
	case OP_OPEN:
		return do_open(call);
	case OP_CLOSE:
		return do_close(call);
	case OP_PASS:
		return do_pass(call);
	case OP_FORK:
		return call->more & 8 ? do_fork(call) : do_request(call);
	case OP_MAP:
		return do_map(call);
	case OP_UNMAP:
		munmap(arena_at(call), arena_size(call));
		return;
	case OP_PROTECT:
		return do_protect(call);
	case OP_ADVISE:
		return do_advise(call);
	case OP_MAP_DEVICE:
		return do_map_device(call);
	case OP_READ_WRITE:
		return do_read_write(call);
	case OP_EXIT:
		if (call->more < 4)
			_exit(0);
	}
	do_request(call);
}

/*
 * Inputs
 */

static void random_input(struct input *input, uint64_t *random)
{
	for (size_t i = 0; i < NR_CALLS; i++) {
		uint64_t bytes = next_random(random);

		memcpy(&input->calls[i], &bytes, sizeof(bytes));
	}
}

/* A new input, or one that was kept with a few bytes or calls changed. */
static void next_input(struct input *input, uint64_t *random)
{
	uint32_t n = __atomic_load_n(&shared->nr_inputs, __ATOMIC_RELAXED);
	const struct input *other;
	int changes = 1 + next_random(random) % 6;

	if (n > NR_INPUTS)
		n = NR_INPUTS;
	if (!n || !(next_random(random) % 8)) {
		random_input(input, random);
		return;
	}
	*input = shared->inputs[next_random(random) % n];
	other = &shared->inputs[next_random(random) % n];
	while (changes--) {
		uint64_t dice = next_random(random);

		if (dice % 4)
			((uint8_t *)input)[dice / 4 % sizeof(*input)] =
				dice >> 32;
		else
			input->calls[dice / 4 % NR_CALLS] =
				other->calls[dice / 64 % NR_CALLS];
	}
}

static void run_input(const struct input *input)
{
	trace_start();
	for (size_t i = 0; i < NR_CALLS; i++)
		do_call(&input->calls[i]);
	if (trace_count_new())
		keep_input(input);
}

static void *second_thread(void *arg)
{
	uint64_t random = *(uint64_t *)arg ^ 0x5851f42d4c957f2d;
	struct input input;

	trace_open();
	for (;;) {
		next_input(&input, &random);
		run_input(&input);
	}
	return NULL;
}

static noreturn void child(uint64_t random)
{
	struct input input;
	pthread_t thread;

	trace_open();
	arena = mmap(NULL, (ARENA_PAGES + 1) * PAGE, FULL_ACCESS,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		_exit(1);
	munmap(arena + HOLE_PAGE * PAGE, PAGE);
	munmap(arena + ARENA_PAGES * PAGE, PAGE);
	for (int i = 0; i < NR_FILES; i++)
		files[i] = i < NR_FILES / 2 ? hmm_open(i % 2) : -1;
	if (pthread_create(&thread, NULL, second_thread, &random))
		_exit(1);
	for (int i = 0; i < CHILD_INPUTS; i++) {
		next_input(&input, &random);
		run_input(&input);
	}
	_exit(0);
}

/* Returns 0, or the status of a child that did not end as it should. */
static int run_child(uint64_t random)
{
	double end = hmm_now() + HANG_SECONDS;
	pid_t pid = fork();
	int status;

	if (!pid)
		child(random);
	while (pid > 0 && !waitpid(pid, &status, WNOHANG)) {
		if (hmm_now() > end) {
			printf("# HANG: child %d\n", pid);
			return -1;
		}
		poll(NULL, 0, 1);
	}
	/* Memory that an input has taken away may be the child's own */
	if (pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) != SIGSEGV &&
	    WTERMSIG(status) != SIGBUS)
		return status;
	return pid < 0 ? -1 : 0;
}

/* All files are closed: no device memory is in use. */
static long device_pages(void)
{
	struct hmm_dmirror_stats stats = {};
	int fd = hmm_open(0);
	int err = fd < 0 ? fd : hmm_stats(fd, &stats);

	close(fd);
	return err ?: (long)stats.device_pages;
}

static int run_children(uint64_t calls, double seconds, uint64_t seed)
{
	double start = hmm_now();
	uint64_t random = seed;
	long before = device_pages(), after;
	int status = 0;

	while (!status && shared->calls < calls && hmm_now() - start < seconds)
		status = run_child(next_random(&random));
	after = device_pages();
	printf("hmm-fuzz: seed %" PRIu64 ": %" PRIu64 " calls, %" PRIu64
	       " accepted, %" PRIu64 " places of code, %u inputs kept in %.0f s",
	       seed, shared->calls, shared->accepted, shared->nr_seen,
	       shared->nr_inputs, hmm_now() - start);
	printf("; status %#x, device pages %ld and %ld\n", status, before,
	       after);
	return status || before != after;
}

int main(int argc, char **argv)
{
	uint64_t calls = 1000000, seed = time(NULL) % 999999 + 1;
	double seconds = 1e9;
	int option;

	while ((option = getopt(argc, argv, "n:r:s:")) != -1) {
		if (option == 'n')
			calls = strtoull(optarg, NULL, 10);
		else if (option == 'r')
			seed = strtoull(optarg, NULL, 10);
		else if (option == 's')
			seconds = strtod(optarg, NULL);
		else
			return 2;
	}
	if (!hmm_module_need(HMM_MODULE, HMM_NODE)) {
		printf("hmm-fuzz: no " HMM_NODE "\n");
		return KSFT_SKIP;
	}
	glob("/dev/hmm_dmirror*", 0, NULL, &nodes);
	glob("/dev/edu_mirror*", GLOB_APPEND, NULL, &nodes);
	shared = mmap(NULL, sizeof(*shared), FULL_ACCESS,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	printf("# seed %" PRIu64 "\n", seed);
	fflush(stdout);
	return run_children(calls, seconds, seed) ? 1 : 0;
}
