/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel modules that a test loads and unloads. They are searched for in the
 * directory $HMM_MODULES, in the program's own and in that of the running
 * kernel, and in the directories below these.
 */
#ifndef SELFTESTS_VM_HMM_MODULE_H
#define SELFTESTS_VM_HMM_MODULE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The search of hmm_module_find(), for the callback of nftw(). */
static struct {
	char name[NAME_MAX + 1];
	char path[PATH_MAX];
} hmm_module_search;

static inline int hmm_module_visit(const char *path, const struct stat *st,
				   int type, struct FTW *ftw)
{
	(void)st;
	if (type != FTW_F || strcmp(path + ftw->base, hmm_module_search.name))
		return 0;
	snprintf(hmm_module_search.path, sizeof(hmm_module_search.path), "%s",
		 path);
	return 1;
}

static inline bool hmm_module_in(const char *dir)
{
	char real[PATH_MAX];

	/* Links below @dir are not followed: build/ is one, to the source */
	return dir && realpath(dir, real) &&
	       nftw(real, hmm_module_visit, 16, FTW_PHYS) == 1;
}

/* Find the file of a module. Returns its path, or NULL if there is none. */
static inline const char *hmm_module_find(const char *module)
{
	char self[PATH_MAX] = "", kernel[128];
	struct utsname uts;

	snprintf(hmm_module_search.name, sizeof(hmm_module_search.name),
		 "%s.ko", module);
	uname(&uts);
	snprintf(kernel, sizeof(kernel), "/lib/modules/%s", uts.release);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0)
		*strrchr(self, '/') = '\0';
	if (hmm_module_in(getenv("HMM_MODULES")) || hmm_module_in(self) ||
	    hmm_module_in(kernel))
		return hmm_module_search.path;
	return NULL;
}

/* Load a module; 0, -ENOENT if its file is not found, or another -errno. */
static inline int hmm_module_load(const char *module, const char *params)
{
	const char *path = hmm_module_find(module);
	int fd, err = 0;

	if (!path)
		return -ENOENT;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, params, 0))
		err = -errno;
	close(fd);
	return err;
}

/* Copy the parameters that the boot line sets for a module to @params. */
static inline void hmm_module_params(const char *module, char *params,
				     size_t size)
{
	char line[4096] = "", *word, *next = line;
	FILE *file = fopen("/proc/cmdline", "re");
	size_t len = strlen(module);

	params[0] = '\0';
	if (file && !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		fclose(file);
	while ((word = strsep(&next, "\n "))) {
		size_t used = strlen(params);

		if (!strncmp(word, module, len) && word[len] == '.')
			snprintf(params + used, size - used, "%s ",
				 word + len + 1);
	}
}

/*
 * Load a module, with the boot line's parameters, unless the device @node
 * exists. Returns true if the node exists then.
 */
static inline bool hmm_module_need(const char *module, const char *node)
{
	char params[512];

	if (!access(node, F_OK))
		return true;
	hmm_module_params(module, params, sizeof(params));
	return !hmm_module_load(module, params) && !access(node, F_OK);
}

/* Unload a module and load it with the boot line's parameters and @more. */
static inline int hmm_module_reload(const char *module, const char *more)
{
	char params[512];
	size_t used;

	if (!hmm_module_find(module))
		return -ENOENT;
	if (syscall(SYS_delete_module, module, O_NONBLOCK))
		return -errno;
	hmm_module_params(module, params, sizeof(params));
	used = strlen(params);
	snprintf(params + used, sizeof(params) - used, "%s", more);
	return hmm_module_load(module, params);
}

#endif /* SELFTESTS_VM_HMM_MODULE_H */
