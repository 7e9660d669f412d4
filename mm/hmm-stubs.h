/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of mm/hmm.c that KUnit tests put others in the place of, to come
 * between two steps of it.
 */
#ifndef MM_HMM_STUBS_H
#define MM_HMM_STUBS_H

#include <kunit/static_stub.h>
#include <kunit/visibility.h>

struct hmm;
struct hmm_range;

#if IS_ENABLED(CONFIG_KUNIT)
int hmm_cursor_settle(struct hmm *hmm, struct hmm_range *range);
#endif

#endif /* MM_HMM_STUBS_H */
