// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the totals in debugfs, and of hmm-top (tools/mm), which shows them,
 * while the dummy device reads memory that the process discards.
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "hmm-device.h"

#define DIR		"/sys/kernel/debug/hmm/"
#define NO_TOTALS	"no " DIR "enable, see CONFIG_HMM_TOTALS"
#define NO_TOP		"no hmm-top in $PATH"

#define ROUND_PAGES	4
#define ROUNDS		100
/* Far more runs of hmm-top than one needs to see a load */
#define RUNS		100

/* Columns of the file "totals" */
enum {
	PID = 1, FAULTS = 3, PAGES = 4, BUSY = 5, CALLBACKS = 8, LIFE = 18,
	COLUMNS = 20
};

/* Those that are read here. */
struct totals {
	unsigned long	faults;
	unsigned long	pages;
	unsigned long	busy;
	unsigned long	callbacks;
	char		life[8];
};

/* The pages are faulted by the device, and taken from it. */
static int one_round(struct rig *r)
{
	return hmm_cmd(r->fd, HMM_DMIRROR_READ, r->ptr, r->buf, ROUND_PAGES,
		       NULL) ?: rig_discard(r, r->ptr, ROUND_PAGES * PAGE);
}

static int rounds(struct rig *r)
{
	int err = 0;

	for (int i = 0; i < ROUNDS && !err; i++)
		err = one_round(r);
	return err;
}

/* Returns true if the line is of this process. */
static bool parse_totals(struct totals *t, char *line)
{
	char *words[COLUMNS];
	int n = 0;

	for (char *word = strtok(line, " "); word && n < COLUMNS;
	     word = strtok(NULL, " "))
		words[n++] = word;
	if (n < COLUMNS || atoi(words[PID]) != getpid())
		return false;
	t->faults = strtoul(words[FAULTS], NULL, 10);
	t->pages = strtoul(words[PAGES], NULL, 10);
	t->busy = strtoul(words[BUSY], NULL, 10);
	t->callbacks = strtoul(words[CALLBACKS], NULL, 10);
	snprintf(t->life, sizeof(t->life), "%s", words[LIFE]);
	return true;
}

/* Find this process in "totals": 0 or -ENOENT. */
static int find_totals(struct totals *t)
{
	FILE *file = fopen(DIR "totals", "re");
	char line[1024];
	int err = -ENOENT;

	while (err && file && fgets(line, sizeof(line), file))
		if (parse_totals(t, line))
			err = 0;
	if (file)
		fclose(file);
	return err;
}

/* Other memory of the process may change, too, between two calls. */
DEVICE_TEST(totals_are_those_of_the_device)
{
	struct hmm_dmirror_stats before, from, to;
	struct totals t;

	if (access(DIR, F_OK))
		SKIP(return, NO_TOTALS);
	ASSERT_EQ(0, hmm_stats(self->r.fd, &before));
	ASSERT_EQ(0, hmm_write_text(DIR "enable", "1"));
	ASSERT_EQ(0, hmm_stats(self->r.fd, &from));
	EXPECT_EQ(0, rounds(&self->r));
	EXPECT_EQ(0, hmm_stats(self->r.fd, &to));
	EXPECT_EQ(0, find_totals(&t));
	EXPECT_EQ(0, hmm_stats(self->r.fd, &self->r.stats));
	EXPECT_LE(to.invalidations - from.invalidations, t.callbacks);
	EXPECT_GE(self->r.stats.invalidations - before.invalidations,
		  t.callbacks);
	EXPECT_LE(ROUNDS, t.faults);
	EXPECT_LE(ROUNDS * ROUND_PAGES, t.pages);
	EXPECT_STREQ("live", t.life);

	close(self->r.fd);
	EXPECT_EQ(0, find_totals(&t));
	EXPECT_STREQ("gone", t.life);
	/* Another time counts from zero; without it nothing is counted */
	EXPECT_EQ(0, hmm_write_text(DIR "enable", "0"));
	EXPECT_EQ(0, hmm_write_text(DIR "enable", "1"));
	EXPECT_EQ(-ENOENT, find_totals(&t));
	EXPECT_EQ(0, hmm_write_text(DIR "enable", "0"));
	self->r.fd = hmm_open(0);
	ASSERT_LE(0, self->r.fd);
	EXPECT_EQ(0, rounds(&self->r));
	EXPECT_EQ(-ENOENT, find_totals(&t));
}

/* Run hmm-top and keep its output. Returns its exit status. */
static int run_top(const char *arguments, char *output, size_t size)
{
	char command[128];
	size_t used;
	FILE *pipe;
	int status;

	snprintf(command, sizeof(command), "hmm-top %s 2>&1", arguments);
	pipe = popen(command, "re");
	if (!pipe)
		return -errno;
	used = fread(output, 1, size - 1, pipe);
	output[used] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static bool has_top(void)
{
	return !system("command -v hmm-top >/dev/null");
}

struct load {
	struct rig	*r;
	bool		stop;
	int		err;
};

static void *run_load(void *arg)
{
	struct load *load = arg;

	while (!load->err && !__atomic_load_n(&load->stop, __ATOMIC_RELAXED))
		load->err = one_round(load->r);
	return NULL;
}

/* Returns true if the screen has a line of this process at work. */
static bool shows_load(const char *screen)
{
	unsigned int ranges, faults, pages, busy, invals;
	char device[32], name[32];
	int pid;

	for (; screen; screen = strchr(screen, '\n')) {
		screen += *screen == '\n';
		if (sscanf(screen, "%d %31s %31s %u %u %u %u %u", &pid, name,
			   device, &ranges, &faults, &pages, &busy,
			   &invals) == 8 && pid == getpid())
			return !strcmp(name, "hmm-top-tests") &&
			       !strcmp(device, HMM_MODULE) && faults &&
			       pages >= ROUND_PAGES && invals;
	}
	return false;
}

DEVICE_TEST(screen_shows_a_load)
{
	struct load load = { .r = &self->r };
	char screen[8192] = "", on[2] = "";
	bool shown = false;
	pthread_t thread;
	int fd;

	if (access(DIR, F_OK))
		SKIP(return, NO_TOTALS);
	if (!has_top())
		SKIP(return, NO_TOP);
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_load, &load));
	for (int i = 0; i < RUNS && !shown; i++) {
		EXPECT_EQ(0, run_top("-n 2 -d 0.2", screen, sizeof(screen)));
		shown = shows_load(screen);
	}
	__atomic_store_n(&load.stop, true, __ATOMIC_RELAXED);
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, load.err);
	EXPECT_TRUE(shown)
		TH_LOG("%s", screen);
	/* It has disabled what it enabled */
	fd = open(DIR "enable", O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(1, read(fd, on, 1));
	EXPECT_STREQ("0", on);
	close(fd);
}

DEVICE_TEST(why_names_the_call)
{
	char arguments[64], screen[8192];
	const char *line;

	if (access(DIR, F_OK))
		SKIP(return, NO_TOTALS);
	if (!has_top())
		SKIP(return, NO_TOP);
	ASSERT_EQ(0, hmm_write_text(DIR "enable", "1"));
	EXPECT_EQ(0, rounds(&self->r));
	snprintf(arguments, sizeof(arguments), "--why %d -d 0.1", getpid());
	EXPECT_EQ(0, run_top(arguments, screen, sizeof(screen)));
	EXPECT_EQ(0, hmm_write_text(DIR "enable", "0"));
	line = strstr(screen, " CALL\n");
	ASSERT_NE(NULL, line);
	/* The most frequent one */
	line = strchr(line, '\n') + 1;
	EXPECT_LE(ROUNDS, atoi(line));
	*strchrnul(line, '\n') = '\0';
	EXPECT_NE(NULL, strstr(line, " clear "));
	EXPECT_NE(NULL, strstr(line, " hmm-top-tests "));
	EXPECT_NE(NULL, strstr(line, " madvise(): "))
		TH_LOG("%s", screen);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
