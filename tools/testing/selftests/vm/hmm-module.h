/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel modules that a test loads and unloads.
 */
#ifndef SELFTESTS_VM_HMM_MODULE_H
#define SELFTESTS_VM_HMM_MODULE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Load a module from a file; 0 or -errno. */
static inline int hmm_module_load(const char *path, const char *params)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = 0;

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

/* Unload a module and load it with the boot line's parameters and @more. */
static inline int hmm_module_reload(const char *module, const char *more)
{
	char params[512], path[128];
	size_t used;

	if (syscall(SYS_delete_module, module, O_NONBLOCK))
		return -errno;
	hmm_module_params(module, params, sizeof(params));
	used = strlen(params);
	snprintf(params + used, sizeof(params) - used, "%s", more);
	snprintf(path, sizeof(path), "/modules/%s.ko", module);
	return hmm_module_load(path, params);
}

#endif /* SELFTESTS_VM_HMM_MODULE_H */
