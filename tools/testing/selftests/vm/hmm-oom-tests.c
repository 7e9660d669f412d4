// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the dummy device when memory runs out: the OOM reaper, which must
 * not block, meets a mirrored process; and device memory counts as the
 * process's.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdnoreturn.h>

#include "hmm-cgroup.h"
#include "hmm-edu.h"
#include "hmm-rig.h"

/* The limit of the cgroup, and the memory that breaks it. */
#define OOM_LIMIT	(16UL << 20)
#define OOM_SIZE	(64UL << 20)

/* Time of a flush: longer than the reaper waits and then tries. */
#define OOM_FLUSH_MS	10000

/* A busy machine may be too late for the reaper. */
#define OOM_TRIES	5

FIXTURE(oom)
{
	int	fd;
	int	log;
	long	device_pages;
};

static long device_pages(int fd)
{
	struct hmm_dmirror_stats stats;
	int err = hmm_stats(fd, &stats);

	return err ?: (long)stats.device_pages;
}

FIXTURE_SETUP(oom)
{
	self->fd = hmm_open(0);
	if (self->fd == -ENOENT)
		SKIP(return, NO_DEVICE);
	ASSERT_LE(0, self->fd);
	self->device_pages = device_pages(self->fd);
	ASSERT_LE(0, self->device_pages);
	self->log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->log);
	ASSERT_LE(0, lseek(self->log, 0, SEEK_END));
	ASSERT_EQ(0, cgroup_make(OOM_LIMIT, true));
}

FIXTURE_TEARDOWN(oom)
{
	EXPECT_EQ(0, cgroup_leave());
	EXPECT_EQ(0, close(self->log));
	EXPECT_EQ(0, close(self->fd));
}

/* Wait until the cgroup has less than a tenth of its limit. */
static bool memory_is_back(void)
{
	double end = hmm_now() + 60;

	while (cgroup_number("memory.current", "") > (long)OOM_LIMIT / 10) {
		if (hmm_now() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/**
 * struct victim - a process whose memory a device uses when it is killed
 * @memory: a page that is mapped in the device
 * @fd: the device, which flushes slowly
 * @other: another file of the device
 * @more: memory that breaks the limit
 * @free: nothing keeps the device from answering when memory runs out
 * @phase: what the threads wait for: they start while nothing holds the mmap
 *	lock
 */
struct victim {
	char	*memory;
	int	fd;
	int	other;
	char	*more;
	bool	free;
	int	phase;
};

enum {
	PHASE_DISCARD = 1,
	PHASE_OTHERS,
};

static void await_phase(struct victim *victim, int phase)
{
	while (__atomic_load_n(&victim->phase, __ATOMIC_ACQUIRE) < phase)
		sched_yield();
}

static void next_phase(struct victim *victim)
{
	__atomic_add_fetch(&victim->phase, 1, __ATOMIC_RELEASE);
}

/* Waits for the flush and cannot be killed meanwhile. */
static void *discard(void *arg)
{
	struct victim *victim = arg;

	await_phase(victim, PHASE_DISCARD);
	madvise(victim->memory, PAGE, MADV_DONTNEED);
	return NULL;
}

/* A mirror's end waits for the callbacks that run. */
static void *unregister(void *arg)
{
	struct victim *victim = arg;

	await_phase(victim, PHASE_OTHERS);
	close(victim->other);
	return NULL;
}

/* A fault, with its range, waits for the end of the invalidation. */
static void *fault(void *arg)
{
	struct victim *victim = arg;
	static char buf[PAGE_MAX];

	await_phase(victim, PHASE_OTHERS);
	hmm_cmd(victim->fd, HMM_DMIRROR_READ, victim->memory, buf, 1, NULL);
	return NULL;
}

/* Returns when a thread is in the second pass of an invalidation, or -errno. */
static int start_discard(struct victim *victim)
{
	struct hmm_dmirror_flush flush;
	int err = hmm_flush(victim->fd, OOM_FLUSH_MS, &flush);

	next_phase(victim);
	while (!err && !flush.awaited)
		err = hmm_flush(victim->fd, OOM_FLUSH_MS, &flush);
	return err;
}

static char *map_memory(size_t size)
{
	char *ptr = mmap(NULL, size, FULL_ACCESS, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	return ptr == MAP_FAILED ? NULL : ptr;
}

static int start_threads(struct victim *victim)
{
	pthread_t thread;

	return -pthread_create(&thread, NULL, discard, victim) ?:
	       -pthread_create(&thread, NULL, unregister, victim) ?:
	       -pthread_create(&thread, NULL, fault, victim);
}

/* Uses more memory than there is; is killed. */
static noreturn void victim_main(struct victim *victim)
{
	struct hmm_dmirror_flush flush;
	static char buf[PAGE_MAX];
	int err;

	victim->fd = hmm_open(0);
	victim->other = hmm_open(0);
	victim->memory = map_memory(PAGE);
	victim->more = map_memory(OOM_SIZE);
	if (!victim->memory || !victim->more)
		_exit(1);
	memset(victim->memory, 1, PAGE);
	err = cgroup_join() ?:
	      start_threads(victim) ?:
	      hmm_cmd(victim->fd, HMM_DMIRROR_READ, victim->memory, buf, 1,
		      NULL) ?:
	      start_discard(victim) ?:
	      (victim->free ? hmm_flush(victim->fd, 0, &flush) : 0);
	next_phase(victim);
	for (size_t i = 0; !err && i < OOM_SIZE; i += PAGE)
		victim->more[i] = 1;
	_exit(1);
}

/* Returns true if the log has @format with the victim's pid. */
static bool kill_victim(struct __test_metadata *_metadata, int log, bool free,
			const char *format)
{
	struct victim victim = { .free = free };
	char text[64];
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		victim_main(&victim);
	ASSERT_EQ(256 + SIGKILL, hmm_wait_child(pid));
	snprintf(text, sizeof(text), format, pid);
	return edu_log_has(log, text, 0.5);
}

/*
 * The victim's driver is busy all the time that the reaper tries: it gives up.
 */
TEST_F_TIMEOUT(oom, reaper_gives_up_on_a_busy_driver, SECONDS)
{
	int tries = 0;

	ASSERT_TRUE(edu_log("hmm-expect", "invoked oom-killer"));
	ASSERT_TRUE(edu_log("hmm-expect", "unable to reap pid"));
	while (++tries <= OOM_TRIES)
		if (kill_victim(_metadata, self->log, false,
				"oom_reaper: unable to reap pid:%d "))
			break;
	EXPECT_LE(tries, OOM_TRIES);
	ASSERT_TRUE(edu_log("hmm-expect-end", "unable to reap pid"));
	ASSERT_TRUE(edu_log("hmm-expect-end", "invoked oom-killer"));
	EXPECT_TRUE(memory_is_back());
	EXPECT_LE(1, cgroup_number("memory.events", "oom_kill "));
	EXPECT_EQ(self->device_pages, device_pages(self->fd));
}

/*
 * An invalidation is in flight, a mirror is about to be unregistered and a
 * fault waits with its range: none of them keeps the reaper from the memory.
 */
TEST_F_TIMEOUT(oom, reaper_reaps_beside_an_invalidation, SECONDS)
{
	int tries = 0;

	ASSERT_TRUE(edu_log("hmm-expect", "invoked oom-killer"));
	while (++tries <= OOM_TRIES)
		if (kill_victim(_metadata, self->log, true,
				"oom_reaper: reaped process %d "))
			break;
	EXPECT_LE(tries, OOM_TRIES);
	ASSERT_TRUE(edu_log("hmm-expect-end", "invoked oom-killer"));
	EXPECT_TRUE(memory_is_back());
	EXPECT_LE(1, cgroup_number("memory.events", "oom_kill "));
	EXPECT_EQ(self->device_pages, device_pages(self->fd));
}

#define CHUNK	(64 * PAGE)

/* Move memory to the device and use more. Returns the bytes that were moved. */
static size_t use_device_memory(int fd, char *buf, size_t size)
{
	char *ptr = map_memory(size);
	size_t done = 0;

	for (; ptr && done < size; done += CHUNK) {
		memset(ptr + done, 1, CHUNK);
		if (hmm_cmd(fd, HMM_DMIRROR_MIGRATE_TO_DEV, ptr + done, buf,
			    64, NULL))
			break;
	}
	return done;
}

/* Device memory is charged to the process and cannot be reclaimed. */
TEST_F_TIMEOUT(oom, device_memory_counts, SECONDS)
{
	char *buf = malloc(CHUNK);
	pid_t pid;
	int fd;

	ASSERT_NE(NULL, buf);
	ASSERT_TRUE(edu_log("hmm-expect", "invoked oom-killer"));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		fd = hmm_open(0);
		memset(buf, 0, CHUNK);
		if (fd >= 0 && !cgroup_join())
			use_device_memory(fd, buf, OOM_SIZE);
		_exit(1);
	}
	EXPECT_EQ(256 + SIGKILL, hmm_wait_child(pid));
	ASSERT_TRUE(edu_log("hmm-expect-end", "invoked oom-killer"));
	EXPECT_TRUE(memory_is_back());
	EXPECT_EQ(1, cgroup_number("memory.events", "oom_kill "));
	EXPECT_EQ(self->device_pages, device_pages(self->fd));
	free(buf);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
