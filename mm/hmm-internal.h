/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of one of HMM's files that others call. KUnit tests replace those of
 * mm/hmm.c.
 */
#ifndef MM_HMM_INTERNAL_H
#define MM_HMM_INTERNAL_H

#include <kunit/static_stub.h>

struct hmm;
struct hmm_range;
struct hmm_walk;

void hmm_might_wait_invalidate(void);

int hmm_cursor_start(struct hmm *hmm, struct hmm_range *range, void **owner);
int hmm_cursor_advance(struct hmm *hmm, struct hmm_range *range,
		       unsigned long from);
void hmm_cursor_retreat(struct hmm *hmm, struct hmm_range *range,
			unsigned long to);
int hmm_cursor_settle(struct hmm *hmm, struct hmm_range *range);

int hmm_fault_missing(struct hmm_walk *w, unsigned int fault_flags);
u64 hmm_copy_entries(u64 *to, const u64 *from, unsigned long n);

#endif /* MM_HMM_INTERNAL_H */
