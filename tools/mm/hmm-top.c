// SPDX-License-Identifier: GPL-2.0
/*
 * hmm-top - shows the work of HMM mirrors, and what disturbs it
 *
 *	hmm-top [-d SECONDS] [-n SCREENS]
 *
 * prints, each SECONDS, a line for each process and device: its ranges, and in
 * a second the faults, the pages that they filled, the faults that returned
 * -EBUSY, the invalidations, and the collisions, where these hit a range; and
 * the parts of the time in the driver's callbacks and in waits for the end of an
 * invalidation.
 *
 *	hmm-top --why PID [-d SECONDS]
 *
 * waits for SECONDS and prints the calls that make the invalidations.
 *
 * Needs root and a kernel with CONFIG_HMM_TOTALS. The kernel counts only while
 * it runs, unless counting was on before.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIR "/sys/kernel/debug/hmm/"
#define MAX_MIRRORS 64
#define MAX_CAUSES 1024
#define MAX_LINE 8192
#define MAX_WORDS 64
#define PATH_FUNCTIONS 3

/* Columns of the file "totals"; there are more behind these. */
enum {
	RANGES, FAULTS, PAGES, BUSY, FAILED, COLLISIONS, CALLBACKS,
	CALLBACK_NS, WAITS, WAIT_NS, NO_VMA_LOCK, SEVERAL_VMAS, HUGE_MAPPING,
	NO_ANON_VMA, TRIED, COUNTS
};

struct mirror {
	unsigned long id;
	int pid;
	unsigned long long counts[COUNTS];
	char comm[64];
	char life[8];
	char device[64];
};

struct totals {
	struct mirror mirrors[MAX_MIRRORS];
	int nr;
	double time;
};

struct cause {
	unsigned long long calls;
	unsigned long long hits;
	char event[32];
	char comm[64];
	char call[64];
	char path[256];
};

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "hmm-top: %s: %s\n", what,
		errno ? strerror(errno) : "not as expected");
	exit(EXIT_FAILURE);
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);

	if (file)
		return file;
	if (errno == ENOENT)
		fprintf(stderr,
			"hmm-top: no CONFIG_HMM_TOTALS, or debugfs is not mounted\n");
	die(path);
	return NULL;
}

static void set_enabled(int on)
{
	FILE *file = open_file(DIR "enable", "w");

	if (fprintf(file, "%d\n", on) < 0 || fclose(file))
		die(DIR "enable");
}

static void disable(void)
{
	set_enabled(0);
}

/* Make the kernel count, until the end of this program if it does not yet. */
static void enable(void)
{
	FILE *file = open_file(DIR "enable", "r");
	int on;

	if (fscanf(file, "%d", &on) != 1)
		die(DIR "enable");
	fclose(file);
	if (on)
		return;
	set_enabled(1);
	atexit(disable);
}

/* Split @line at white space. Returns the number of words. */
static int split(char *line, char **words)
{
	int n = 0;

	for (char *word = strtok(line, "\n "); word && n < MAX_WORDS;
	     word = strtok(NULL, "\n "))
		words[n++] = word;
	return n;
}

static bool parse_mirror(struct mirror *m, char *line)
{
	char *words[MAX_WORDS], *word;
	int n = split(line, words);

	if (n < 2 + COUNTS + 3)
		return false;
	m->id = strtoul(words[0], NULL, 10);
	m->pid = atoi(words[1]);
	for (int i = 0; i < COUNTS; i++)
		m->counts[i] = strtoull(words[2 + i], NULL, 10);
	snprintf(m->comm, sizeof(m->comm), "%s", words[2 + COUNTS]);
	snprintf(m->life, sizeof(m->life), "%s", words[3 + COUNTS]);
	/* The driver's module, or its callback if that is built in */
	word = words[n - 1] + (*words[n - 1] == '[');
	snprintf(m->device, sizeof(m->device), "%.*s", (int)strcspn(word, "]"),
		 word);
	return true;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void read_totals(struct totals *t)
{
	FILE *file = open_file(DIR "totals", "r");
	char line[MAX_LINE];

	t->nr = 0;
	t->time = now();
	/* The first line has the names of the columns */
	if (!fgets(line, sizeof(line), file))
		die(DIR "totals");
	while (t->nr < MAX_MIRRORS && fgets(line, sizeof(line), file))
		if (parse_mirror(&t->mirrors[t->nr], line))
			t->nr++;
	fclose(file);
}

static void pause_for(double seconds)
{
	struct timespec ts = {
		.tv_sec = seconds,
		.tv_nsec = (seconds - (long)seconds) * 1e9,
	};

	nanosleep(&ts, NULL);
}

/* -------------------------------------------------------------- the screen */

static const struct mirror *find(const struct totals *t, unsigned long id)
{
	static const struct mirror none;

	for (int i = 0; i < t->nr; i++)
		if (t->mirrors[i].id == id)
			return &t->mirrors[i];
	return &none;
}

static void print_mirror(const struct mirror *m, const struct mirror *before,
			 double seconds)
{
	static const int rates[] = { FAULTS, PAGES, BUSY, CALLBACKS,
				     COLLISIONS };
	static const int times[] = { CALLBACK_NS, WAIT_NS };

	printf("%7d %-15.15s %-13.13s %6llu", m->pid, m->comm, m->device,
	       m->counts[RANGES]);
	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
		printf(" %9.0f",
		       (m->counts[rates[i]] - before->counts[rates[i]]) /
			       seconds);
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		printf(" %7.1f%%",
		       (m->counts[times[i]] - before->counts[times[i]]) /
			       seconds / 1e7);
	printf("\n");
}

static void print_screen(const struct totals *new, const struct totals *old)
{
	int live = 0;

	for (int i = 0; i < new->nr; i++)
		live += !strcmp(new->mirrors[i].life, "live");
	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	printf("hmm-top: %d mirrors, in %.1f s\n", live, new->time - old->time);
	printf("%7s %-15s %-13s %6s %9s %9s %9s %9s %9s %8s %8s\n", "PID",
	       "COMMAND", "DEVICE", "RANGES", "FAULTS/s", "PAGES/s", "BUSY/s",
	       "INVAL/s", "COLLIDE/s", "CALLBACK", "WAIT");
	for (int i = 0; i < new->nr; i++)
		if (!strcmp(new->mirrors[i].life, "live"))
			print_mirror(&new->mirrors[i],
				     find(old, new->mirrors[i].id),
				     new->time - old->time);
	fflush(stdout);
}

static void show_screens(double seconds, long screens)
{
	static struct totals totals[2];

	read_totals(&totals[0]);
	for (long i = 0; !stopped && (!screens || i < screens); i++) {
		pause_for(seconds);
		read_totals(&totals[!(i & 1)]);
		print_screen(&totals[!(i & 1)], &totals[i & 1]);
	}
}

/* --------------------------------------------------------------------- why */

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

/* Functions between the entry from user space and the call's own. */
static bool is_entry(const char *name)
{
	return starts(name, "entry_SYSCALL") || starts(name, "do_syscall_") ||
	       starts(name, "x64_sys_call") || starts(name, "el0") ||
	       starts(name, "do_el0") || starts(name, "invoke_syscall");
}

/* Name the call of a stack, of which @outer is the outermost function. */
static void name_call(struct cause *c, char **frames, int outer)
{
	static const char *const prefixes[] = {
		"__x64_sys_", "__arm64_sys_", "__se_sys_",
		"__do_sys_",  "ksys_",	      "do_",
	};
	const char *name = frames[outer], *parens = "";
	bool entry = is_entry(name);

	while (outer && is_entry(name))
		name = frames[--outer];
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (starts(name, prefixes[i])) {
			name += strlen(prefixes[i]);
			break;
		}
	if (strstr(name, "page_fault") || strstr(name, "mem_abort"))
		name = "page fault";
	else if (starts(name, "ret_from_fork") || starts(name, "kthread"))
		name = "kernel thread";
	else if (entry)
		parens = "()";
	snprintf(c->call, sizeof(c->call), "%s%s", name, parens);
}

/* Keep the innermost functions of those that invalidate. */
static void name_path(struct cause *c, char **frames, int n)
{
	size_t used = 0;
	int i = 0, left = PATH_FUNCTIONS;

	while (i < n - 1 && !strstr(frames[i], "invalidate_range_start"))
		i++;
	for (i++; left && i < n && !is_entry(frames[i]); i++) {
		/* The name of a module */
		if (*frames[i] == '[' || used >= sizeof(c->path))
			continue;
		used += snprintf(c->path + used, sizeof(c->path) - used, "%s%s",
				 used ? " < " : "", frames[i]);
		left--;
	}
}

static bool parse_cause(struct cause *c, char *line, int pid)
{
	char *words[MAX_WORDS];
	int n = split(line, words);

	if (n < 7 || atoi(words[1]) != pid)
		return false;
	memset(c, 0, sizeof(*c));
	c->calls = strtoull(words[2], NULL, 10);
	c->hits = strtoull(words[3], NULL, 10);
	snprintf(c->event, sizeof(c->event), "%s", words[4]);
	snprintf(c->comm, sizeof(c->comm), "%s", words[5]);
	name_call(c, words + 6, n - 7);
	name_path(c, words + 6, n - 6);
	return true;
}

/* Add @c to the cause of the same call. Returns the number of causes. */
static int add_cause(struct cause *causes, int nr, const struct cause *c)
{
	for (int i = 0; i < nr; i++)
		if (!strcmp(causes[i].call, c->call) &&
		    !strcmp(causes[i].event, c->event) &&
		    !strcmp(causes[i].comm, c->comm)) {
			causes[i].calls += c->calls;
			causes[i].hits += c->hits;
			return nr;
		}
	if (nr < MAX_CAUSES)
		causes[nr++] = *c;
	return nr;
}

static int by_calls(const void *a, const void *b)
{
	const struct cause *x = a, *y = b;

	return x->calls < y->calls ? 1 : x->calls > y->calls ? -1 : 0;
}

static int read_causes(struct cause *causes, int pid)
{
	FILE *file = open_file(DIR "why", "r");
	char line[MAX_LINE];
	struct cause c;
	int nr = 0;

	while (fgets(line, sizeof(line), file))
		if (parse_cause(&c, line, pid))
			nr = add_cause(causes, nr, &c);
	fclose(file);
	qsort(causes, nr, sizeof(*causes), by_calls);
	return nr;
}

static void print_totals_of(int pid)
{
	static struct totals t;

	read_totals(&t);
	for (int i = 0; i < t.nr; i++) {
		const struct mirror *m = &t.mirrors[i];
		const unsigned long long *n = m->counts;

		if (m->pid != pid)
			continue;
		printf("%s, %s: %llu faults, %llu busy, %llu failed, ", m->comm,
		       m->device, n[FAULTS], n[BUSY], n[FAILED]);
		printf("%llu waits, %llu collisions\n", n[WAITS],
		       n[COLLISIONS]);
		printf("mmap lock: no VMA lock %llu, several VMAs %llu, ",
		       n[NO_VMA_LOCK], n[SEVERAL_VMAS]);
		printf("huge mapping %llu, no anon_vma %llu, tried %llu\n",
		       n[HUGE_MAPPING], n[NO_ANON_VMA], n[TRIED]);
	}
}

static void show_why(double seconds, int pid)
{
	static struct cause causes[MAX_CAUSES];
	unsigned long long all = 0;
	int nr;

	pause_for(seconds);
	print_totals_of(pid);
	nr = read_causes(causes, pid);
	for (int i = 0; i < nr; i++)
		all += causes[i].calls;
	printf("%8s %4s %8s  %-12s %-15s %s\n", "INVAL", "%", "COLLIDE",
	       "EVENT", "TASK", "CALL");
	for (int i = 0; i < nr; i++)
		printf("%8llu %4.0f %8llu  %-12s %-15s %s: %s\n",
		       causes[i].calls, all ? 100.0 * causes[i].calls / all : 0,
		       causes[i].hits, causes[i].event, causes[i].comm,
		       causes[i].call, causes[i].path);
}

static void die_usage(void)
{
	fprintf(stderr, "usage: hmm-top [-d SECONDS] [-n SCREENS]\n"
			"       hmm-top --why PID [-d SECONDS]\n");
	exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "why", required_argument, NULL, 'w' }, {}
	};
	double seconds = 1;
	long screens = 0;
	int opt, pid = 0;

	while ((opt = getopt_long(argc, argv, "d:n:", options, NULL)) != -1)
		if (opt == 'd')
			seconds = atof(optarg);
		else if (opt == 'n')
			screens = atol(optarg);
		else if (opt == 'w')
			pid = atoi(optarg);
		else
			die_usage();
	if (optind != argc || seconds <= 0)
		die_usage();
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	enable();
	if (pid)
		show_why(seconds, pid);
	else
		show_screens(seconds, screens);
	return EXIT_SUCCESS;
}
