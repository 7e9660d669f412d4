/* SPDX-License-Identifier: GPL-2.0 */
/* Parts of mm/hmm.c that mm/hmm-fault.c calls and KUnit tests replace. */
#ifndef MM_HMM_INTERNAL_H
#define MM_HMM_INTERNAL_H

#include <kunit/static_stub.h>

struct hmm;
struct hmm_range;

void hmm_might_wait_invalidate(void);

int hmm_cursor_start(struct hmm *hmm, struct hmm_range *range, void **owner);
int hmm_cursor_advance(struct hmm *hmm, struct hmm_range *range,
		       unsigned long from);
void hmm_cursor_retreat(struct hmm *hmm, struct hmm_range *range,
			unsigned long to);
int hmm_cursor_settle(struct hmm *hmm, struct hmm_range *range);

#endif /* MM_HMM_INTERNAL_H */
