// SPDX-License-Identifier: GPL-2.0
/*
 * Serves on-demand paging of RDMA with the base's walk (mm/hmm-stock.c) while
 * the parameter "stock" is set, else with that of the series. So both can be
 * measured in one boot. For kernels of tests only.
 */
#include <linux/export.h>
#include <linux/hmm-interval.h>
#include <linux/module.h>

int hmm_stock_range_fault_unlocked_timeout(struct hmm_interval_range *range,
					   unsigned long timeout);
int hmm_switch_range_fault(struct hmm_interval_range *range,
			   unsigned long timeout);

static bool stock;
module_param(stock, bool, 0600);

/* Calls of each walk; a measurement looks if the switch had an effect */
static ulong stock_calls, our_calls;
module_param(stock_calls, ulong, 0400);
module_param(our_calls, ulong, 0400);

int hmm_switch_range_fault(struct hmm_interval_range *range,
			   unsigned long timeout)
{
	if (READ_ONCE(stock)) {
		stock_calls++;
		return hmm_stock_range_fault_unlocked_timeout(range, timeout);
	}
	our_calls++;
	return hmm_interval_range_fault_unlocked_timeout(range, timeout);
}
EXPORT_SYMBOL_GPL(hmm_switch_range_fault);
