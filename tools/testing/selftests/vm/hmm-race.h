/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A race: a second thread repeats one change while the first thread tests.
 *
 *	ASSERT_EQ(0, race_start(&race, SECONDS, change, arg));
 *	for (k = 0; race_lasts(&race, k); k++)
 *		...
 *	ASSERT_EQ(0, race_stop(&race));
 */
#ifndef SELFTESTS_VM_HMM_RACE_H
#define SELFTESTS_VM_HMM_RACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "hmm-util.h"

/* Both threads do at least this many rounds, on a busy machine too. */
#define RACE_ROUNDS	10

/**
 * struct race - the second thread
 * @thread: its id
 * @arg: for @round
 * @round: the change; rounds are numbered from 1
 * @stop: set by the first thread to end the race
 * @rounds: number of rounds done; the first thread may read it at any time
 * @failed: the last error of @round
 * @end: time at which the race may end
 */
struct race {
	pthread_t	thread;
	void		*arg;
	int		(*round)(struct race *race, uint64_t k);
	bool		stop;
	uint64_t	rounds;
	int		failed;
	double		end;
};

static inline bool race_stopped(const struct race *race)
{
	return __atomic_load_n(&race->stop, __ATOMIC_ACQUIRE);
}

static inline uint64_t race_rounds(const struct race *race)
{
	return __atomic_load_n(&race->rounds, __ATOMIC_ACQUIRE);
}

static inline void *race_loop(void *arg)
{
	struct race *race = arg;
	uint64_t k = 0;

	while (!race_stopped(race)) {
		int err = race->round(race, ++k);

		if (err)
			race->failed = err;
		__atomic_store_n(&race->rounds, k, __ATOMIC_RELEASE);
	}
	return NULL;
}

static inline int race_start(struct race *race, double seconds,
			     int (*round)(struct race *race, uint64_t k),
			     void *arg)
{
	*race = (struct race){
		.arg = arg,
		.round = round,
		.end = hmm_now() + seconds,
	};
	return -pthread_create(&race->thread, NULL, race_loop, race);
}

/* @k is the number of rounds that the first thread has done. */
static inline bool race_lasts(const struct race *race, uint64_t k)
{
	return hmm_now() < race->end || k < RACE_ROUNDS ||
	       race_rounds(race) < RACE_ROUNDS;
}

/* Returns the last error of a round, or 0. */
static inline int race_stop(struct race *race)
{
	int err;

	__atomic_store_n(&race->stop, true, __ATOMIC_RELEASE);
	err = -pthread_join(race->thread, NULL);
	return err ?: race->failed;
}

#endif /* SELFTESTS_VM_HMM_RACE_H */
