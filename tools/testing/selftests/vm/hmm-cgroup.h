/* SPDX-License-Identifier: GPL-2.0 */
/* A cgroup with a limit of memory, and its numbers. */
#ifndef SELFTESTS_VM_HMM_CGROUP_H
#define SELFTESTS_VM_HMM_CGROUP_H

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "hmm-util.h"

#define CGROUP		"/tmp/hmm-tests-cgroup"
#define LIMITED		CGROUP "/limited"

/*
 * Make a cgroup that may have @limit bytes, and no swap if @resident. Each call
 * returns 0 or -errno.
 */
static inline int cgroup_make(size_t limit, bool resident)
{
	if (mkdir(CGROUP, 0755) || mount("none", CGROUP, "cgroup2", 0, NULL))
		return -errno;
	return hmm_write_text(CGROUP "/cgroup.subtree_control", "+memory") ?:
	       (mkdir(LIMITED, 0755) ? -errno : 0) ?:
	       hmm_write_number(LIMITED "/memory.max", limit) ?:
	       (resident ? hmm_write_text(LIMITED "/memory.swap.max", "0") : 0);
}

/* Move the calling process to it. */
static inline int cgroup_join(void)
{
	return hmm_write_text(LIMITED "/cgroup.procs", "0");
}

/* Move the calling process out of it, and remove it. */
static inline int cgroup_leave(void)
{
	int err = hmm_write_text(CGROUP "/cgroup.procs", "0");

	if (!err && (rmdir(LIMITED) || umount(CGROUP) || rmdir(CGROUP)))
		err = -errno;
	return err;
}

/* The number after @name in one of its files; -1 if it is not there. */
static inline long cgroup_number(const char *file, const char *name)
{
	char path[128], line[128];
	size_t len = strlen(name);
	long number = -1;
	FILE *lines;

	snprintf(path, sizeof(path), LIMITED "/%s", file);
	lines = fopen(path, "re");
	while (lines && number < 0 && fgets(line, sizeof(line), lines))
		if (!strncmp(line, name, len))
			number = strtol(line + len, NULL, 10);
	if (lines)
		fclose(lines);
	return number;
}

#endif /* SELFTESTS_VM_HMM_CGROUP_H */
