// SPDX-License-Identifier: GPL-2.0
/*
 * make ends with 2 whatever has failed. `make test` has more to say than that,
 * and `make guest` is to end as the guest's command did. When make loads this
 * object it ends at once, with the status in its variable HMM_STATUS, and without
 * the file STATUS that this came from.
 */
#include <stdlib.h>
#include <gnumake.h>

int plugin_is_GPL_compatible;

int make_exit(const gmk_floc *floc);

int make_exit(const gmk_floc *floc)
{
	int status = atoi(gmk_expand("$(HMM_STATUS)"));

	(void)floc;
	gmk_expand("$(shell rm -f $(STATUS))");
	exit(status);
}
