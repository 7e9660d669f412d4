// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the test guest.
 *
 * The guest has three serial ports. Only the kernel writes to the console. The
 * boot options HMM_RESULT and HMM_OUTPUT, which the kernel puts into the
 * environment, name the result channel, which the verdict reads, and the port
 * for the output of the programs.
 *
 * /job/list has one step in each line:
 *
 *	module NAME		load a module, its parameters as booted
 *	kunit NAME		copy the results of a KUnit suite, run at boot
 *	ktap NAME COMMAND	run COMMAND, whose output is KTAP
 *	plain NAME COMMAND	run COMMAND, only its exit status counts
 *	live NAME COMMAND	the same, its output goes only to its port
 *	tty NAME COMMAND	the same, with that port as its terminal
 *	without leaks		do not scan for leaks at the end
 *
 * For each suite, the result channel gets "suite NAME KIND", the output with "|
 * " before each line, and "suite-end NAME exit|signal N". After all processes
 * have ended and the modules are unloaded, it gets "lockdep", "kmemleak" and
 * "taint", and last "done". If PID 1 stops before, "done" is missing and no
 * result counts as passed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define __noreturn	__attribute__((__noreturn__))
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define DEBUGFS		"/sys/kernel/debug"
#define KMEMLEAK	DEBUGFS "/kmemleak"
#define MAX_LINE	1024
#define MAX_MODULES	8

/* kmemleak does not report an object younger than five seconds. */
#define KMEMLEAK_AGE	6

/* Ten seconds in all */
#define UNLOAD_TRIES	1000
#define UNLOAD_US	10000

static int result_fd = -1;
static int output_fd = -1;
static int kmsg_fd = -1;

static char modules[MAX_MODULES][64];
static int nr_modules;
static bool without_leaks;

static void write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf += n;
		len -= n;
	}
}

static void vsay(int fd, const char *fmt, va_list ap)
{
	char line[MAX_LINE];
	int len = vsnprintf(line, sizeof(line) - 1, fmt, ap);

	if (len < 0)
		return;
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	write_all(fd, line, len);
}

static void __printf(1, 2) result(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(result_fd, fmt, ap);
	va_end(ap);
}

static void __printf(1, 2) klog(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(kmsg_fd, fmt, ap);
	va_end(ap);
}

/* QEMU runs with -no-reboot: a reboot ends the guest. */
static void __noreturn leave(void)
{
	klog("hmm-init: end");
	tcdrain(output_fd);
	tcdrain(result_fd);
	sync();
	reboot(RB_AUTOBOOT);
	_exit(1);
}

/* Report an error and end the guest without "done", so that the run is lost. */
static void __noreturn die(const char *what)
{
	const char *why = strerror(errno);

	klog("hmm-init: %s: %s", what, why);
	result("init-error %s: %s", what, why);
	leave();
}

static void mount_all(void)
{
	static const struct {
		const char *type;
		const char *dir;
	} mounts[] = {
		{ "proc", "/proc" },
		{ "sysfs", "/sys" },
		{ "devtmpfs", "/dev" },
		{ "tmpfs", "/tmp" },
		{ "tmpfs", "/dev/shm" },
		{ "debugfs", DEBUGFS },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mounts); i++) {
		mkdir(mounts[i].dir, 0755);
		if (!mount(mounts[i].type, mounts[i].dir, mounts[i].type, 0,
			   NULL) || errno == EBUSY)
			continue;
		/* There is no result channel yet. */
		if (kmsg_fd < 0)
			kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
		die(mounts[i].dir);
	}
}

/* The boot option @option names the port. */
static int open_port(const char *option)
{
	const char *name = getenv(option);
	struct termios tio;
	char path[64];
	int fd;

	if (!name)
		die(option);
	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || tcgetattr(fd, &tio))
		die(path);
	cfmakeraw(&tio);
	cfsetspeed(&tio, B115200);
	tio.c_cflag |= CLOCAL;
	if (tcsetattr(fd, TCSANOW, &tio) || fcntl(fd, F_SETFL, O_RDWR))
		die(path);
	return fd;
}

/*
 * Stdin, stdout and stderr of PID 1 are the console. Replace them, as only the
 * kernel may write to it.
 */
static void open_channels(void)
{
	int null;

	kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (kmsg_fd < 0)
		die("/dev/kmsg");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		die("/dev/null");
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	result_fd = open_port("HMM_RESULT");
	output_fd = open_port("HMM_OUTPUT");
	klog("hmm-init: start");
	result("hmm-results 1");
}

/* Read at most @size - 1 bytes as a string; returns @buf, or NULL on error. */
static char *read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	close(fd);
	buf[len] = '\0';
	return n < 0 ? NULL : buf;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = strlen(text);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text, len) == len;
	close(fd);
	return done;
}

static void copy_lines(FILE *file)
{
	char line[MAX_LINE - 8];

	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		result("| %s", line);
	}
}

/* Kill all processes but PID 1 and the kernel threads. */
static void stop_all(void)
{
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static void close_terminal(void)
{
	struct termios tio;

	/* The shell used it as a terminal; make it a plain channel again. */
	if (tcgetattr(output_fd, &tio))
		return;
	cfmakeraw(&tio);
	tcsetattr(output_fd, TCSADRAIN, &tio);
}

static void open_terminal(void)
{
	struct termios tio;

	if (tcgetattr(output_fd, &tio))
		die("the output port");
	tio.c_iflag |= ICRNL | IXON;
	tio.c_oflag |= OPOST | ONLCR;
	tio.c_lflag |= ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN;
	tio.c_cc[VINTR] = 3;
	tio.c_cc[VEOF] = 4;
	tio.c_cc[VERASE] = 127;
	tio.c_cc[VKILL] = 21;
	tio.c_cc[VSUSP] = 26;
	if (tcsetattr(output_fd, TCSANOW, &tio))
		die("the output port");
}

static void __noreturn run_child(const char *command, int out,
				 bool terminal)
{
	setsid();
	if (terminal) {
		dup2(out, 0);
		ioctl(0, TIOCSCTTY, 1);
	}
	dup2(out, 1);
	dup2(out, 2);
	if (chdir("/files"))
		_exit(126);
	execl("/bin/busybox", "sh", "-c", command, NULL);
	_exit(127);
}

static pid_t start(const char *command, int out, bool terminal)
{
	pid_t pid = fork();

	if (!pid)
		run_child(command, out, terminal);
	if (pid < 0)
		die("fork");
	return pid;
}

struct capture {
	char line[MAX_LINE - 8];
	size_t len;
	bool continued;
};

/* Split a long line: the following parts begin with "+ ". */
static void capture_flush(struct capture *cap, bool line_ends)
{
	cap->line[cap->len] = '\0';
	result("%c %s", cap->continued ? '+' : '|', cap->line);
	cap->continued = !line_ends;
	cap->len = 0;
}

static void capture_add(struct capture *cap, const char *buf, size_t len)
{
	size_t i;

	write_all(output_fd, buf, len);
	for (i = 0; i < len; i++) {
		if (buf[i] == '\n') {
			capture_flush(cap, true);
			continue;
		}
		if (cap->len == sizeof(cap->line) - 1)
			capture_flush(cap, false);
		cap->line[cap->len++] = buf[i];
	}
}

/*
 * Read the output of a suite until its first process is dead and the pipe is
 * empty. A process that the suite leaves behind may hold the pipe open for
 * ever, so do not wait for the end of file.
 */
static void capture_output(int pipe_fd, int pid_fd)
{
	struct capture cap = { .len = 0 };
	struct pollfd fds[2] = {
		{ .fd = pipe_fd, .events = POLLIN },
		{ .fd = pid_fd, .events = POLLIN },
	};
	char buf[4096];
	ssize_t n;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[0].revents) {
			n = read(pipe_fd, buf, sizeof(buf));
			if (n <= 0)
				break;
			capture_add(&cap, buf, n);
		} else if (fds[1].revents) {
			break;
		}
	}
	if (cap.len || cap.continued)
		capture_flush(&cap, true);
}

static int run_captured(const char *command)
{
	int fds[2], pid_fd, status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		die("pipe");
	pid = start(command, fds[1], false);
	close(fds[1]);
	pid_fd = syscall(SYS_pidfd_open, pid, 0);
	if (pid_fd < 0)
		die("pidfd_open");
	capture_output(fds[0], pid_fd);
	close(fds[0]);
	close(pid_fd);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return status;
}

static int run_direct(const char *command, bool terminal)
{
	int status;
	pid_t pid;

	if (terminal)
		open_terminal();
	pid = start(command, output_fd, terminal);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	tcdrain(output_fd);
	if (terminal)
		close_terminal();
	return status;
}

static void result_status(const char *name, int status, time_t begin)
{
	result("suite-end %s %s %d seconds %ld", name,
	       WIFEXITED(status) ? "exit" : "signal",
	       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
	       (long)(time(NULL) - begin));
}

static void run_suite(const char *kind, const char *name, const char *command)
{
	time_t begin = time(NULL);
	int status;

	/* A WARN_ONCE that fired in one suite may have to fire in the next. */
	if (!write_file(DEBUGFS "/clear_warn_once", "1"))
		die("clear_warn_once");
	klog("hmm-init: suite %s", name);
	result("suite %s %s", name, kind);
	if (!strcmp(kind, "ktap") || !strcmp(kind, "plain"))
		status = run_captured(command);
	else
		status = run_direct(command, !strcmp(kind, "tty"));
	stop_all();
	result_status(name, status, begin);
}

static void copy_kunit(const char *name)
{
	char path[256];
	FILE *file;

	result("suite %s kunit", name);
	snprintf(path, sizeof(path), DEBUGFS "/kunit/%s/results", name);
	file = fopen(path, "re");
	if (file) {
		copy_lines(file);
		fclose(file);
	}
	result("suite-end %s exit %d seconds 0", name, file ? 0 : 1);
}

/* modprobe takes the module's parameters from the boot line. */
static void load_module(const char *name)
{
	char command[128];

	if (nr_modules == MAX_MODULES)
		die("too many modules");
	snprintf(modules[nr_modules++], sizeof(modules[0]), "%s", name);
	snprintf(command, sizeof(command), "modprobe %s", name);
	if (run_direct(command, false)) {
		errno = 0;
		die(command);
	}
}

/* A process that has exited may hold its module for a moment longer. */
static int unload_module(const char *name)
{
	int tries;

	for (tries = 0; tries < UNLOAD_TRIES; tries++) {
		if (!syscall(SYS_delete_module, name, O_NONBLOCK))
			return 0;
		if (errno != EWOULDBLOCK)
			break;
		usleep(UNLOAD_US);
	}
	return -1;
}

static void unload_modules(void)
{
	while (nr_modules) {
		const char *name = modules[--nr_modules];

		if (!unload_module(name))
			continue;
		result("rmmod %s: %s", name, strerror(errno));
	}
}

static void do_step(char *line)
{
	char *kind = strsep(&line, " ");
	char *name = strsep(&line, " ");

	if (!name)
		die("a step without a name in /job/list");
	if (!strcmp(kind, "without") && !strcmp(name, "leaks"))
		without_leaks = true;
	else if (!strcmp(kind, "module"))
		load_module(name);
	else if (!strcmp(kind, "kunit"))
		copy_kunit(name);
	else if (line)
		run_suite(kind, name, line);
	else
		die("a step without a command in /job/list");
}

static void do_job(void)
{
	char job[16384], *line, *next = job;

	if (!read_file("/job/list", job, sizeof(job)))
		die("/job/list");
	while ((line = strsep(&next, "\n")))
		if (*line)
			do_step(line);
}

static void report_lockdep(void)
{
	char stats[8192], *found = NULL;

	if (read_file("/proc/lockdep_stats", stats, sizeof(stats)))
		found = strstr(stats, "debug_locks:");
	if (found)
		result("lockdep %d", atoi(found + strlen("debug_locks:")));
	else
		result("lockdep off");
}

static int count_leaks(bool report)
{
	char line[MAX_LINE - 8];
	FILE *file = fopen(KMEMLEAK, "re");
	int found = 0;

	if (!file)
		die(KMEMLEAK);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (report)
			result("| %s", line);
		found += !strncmp(line, "unreferenced object", 19);
	}
	fclose(file);
	return found;
}

/*
 * The first scan takes checksums, the second reports unreferenced objects that
 * have not changed since. It may miss a pointer that was moved meanwhile, so an
 * object must also be found by a third scan.
 */
static void report_kmemleak(void)
{
	int i;

	if (without_leaks) {
		result("kmemleak skipped");
		return;
	}
	for (i = 0; i < 3; i++) {
		if (!write_file(KMEMLEAK, "scan")) {
			result("kmemleak off");
			return;
		}
		if (i == 0)
			sleep(KMEMLEAK_AGE);
		else if (!count_leaks(false))
			break;
	}
	result("kmemleak %d", count_leaks(true));
}

static void report_taint(void)
{
	char taint[64];

	if (!read_file("/proc/sys/kernel/tainted", taint, sizeof(taint)))
		die("/proc/sys/kernel/tainted");
	taint[strcspn(taint, "\n")] = '\0';
	result("taint %s", taint);
}

static void prepare(void)
{
	int status;

	setenv("PATH", "/bin:/sbin", 1);
	setenv("HOME", "/", 1);
	mkdir("/files", 0755);
	status = run_direct(". /etc/setup", false);
	errno = 0;
	if (status)
		die("/etc/setup failed");
	/* report_kmemleak() scans; a scan during a test only costs time. */
	write_file(KMEMLEAK, "scan=off");
}

int main(void)
{
	if (getpid() != 1) {
		fprintf(stderr, "init: for the test guest, as PID 1\n");
		return 1;
	}
	mount_all();
	open_channels();
	prepare();
	do_job();
	stop_all();
	unload_modules();
	report_lockdep();
	report_kmemleak();
	report_taint();
	result("done");
	leave();
}
