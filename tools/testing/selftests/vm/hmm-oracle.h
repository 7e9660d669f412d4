/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An oracle for memory that CPUs and devices write and read at the same time.
 *
 * Memory is watched in slots of one page. A write gives all words of a slot the
 * slot's next version, and holds the slot's lock, so there is one writer at a
 * time. @started is the last version that a write has begun with, @done the
 * last one that a write has ended with and succeeded. Readers take no lock. One
 * that has read @done before, and reads @started after, may have seen these
 * versions and those in between, and nothing else.
 *
 * Discarding a slot makes it read as zeros, until a write that began after it
 * has ended. Discards are counted, not locked: a discard and a write at the
 * same time leave either.
 *
 * Slots are in regions. What takes a region's permissions or its mapping away,
 * and brings it back, is counted in four phases (see enum phase), and holds the
 * region's lock. An access that falls into one of them as a whole must succeed,
 * or must fail.
 *
 * All counters are sequentially consistent. They are in shared memory, so that
 * they are valid after fork() too.
 */
#ifndef SELFTESTS_VM_HMM_ORACLE_H
#define SELFTESTS_VM_HMM_ORACLE_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdnoreturn.h>

#include "hmm-util.h"

/* One word in each cache line of the smallest page is watched. */
#define WORDS		64
#define WORD_STEP	8

/* Events of a slot that are kept for a report. */
#define EVENTS		24

/* Versions between @done and @started that torn words are compared with. */
#define TORN_MAX	32

/* Of a region; the count goes on, so that each change has its own numbers. */
enum phase {
	PHASE_ON,
	PHASE_GOING,
	PHASE_OFF,
	PHASE_COMING,
};

/* The bits of region->access below the count. */
#define ACCESS_PHASE	3U
#define ACCESS_READABLE	4U
#define ACCESS_ONE	8U

struct event {
	double		time;
	const char	*name;
	uint32_t	version;
	int		thread;
	int		err;
};

/**
 * struct region - adjacent slots whose mapping changes together
 * @lock: held by the one who changes it
 * @access: count and phase, and if the change leaves it readable
 */
struct region {
	uint32_t	lock;
	uint32_t	access;
};

/**
 * struct slot - a page that is watched
 * @addr: its address
 * @region: the region that it is in
 * @id: its number, which is in its words
 * @lock: held by the writer
 * @started: last version of a write that has begun
 * @done: last version of a write that has ended
 * @discards: discards that have begun
 * @discarded: discards that have ended
 * @settled: discards that a write has ended after
 * @next: number of the next event
 * @events: the last events
 */
struct slot {
	char		*addr;
	struct region	*region;
	uint32_t	id;
	uint32_t	lock;
	uint32_t	started;
	uint32_t	done;
	uint32_t	discards;
	uint32_t	discarded;
	uint32_t	settled;
	uint32_t	next;
	struct event	events[EVENTS];
};

/**
 * struct window - the values that an access of a slot may see
 * @slot: the slot
 * @access: region->access when it was opened
 * @low: lowest version
 * @high: highest version
 * @settled: discards that it cannot see
 * @zeros: zeros may be seen
 */
struct window {
	struct slot	*slot;
	uint32_t	access;
	uint32_t	low;
	uint32_t	high;
	uint32_t	settled;
	bool		zeros;
};

/* The number of the calling thread, for reports. */
static __thread int oracle_thread;
static double oracle_start;

/* Prints the one violation and ends the process with this status. */
#define ORACLE_VIOLATION	3

#define oracle_get(_p)		__atomic_load_n(_p, __ATOMIC_SEQ_CST)
#define oracle_set(_p, _v)	__atomic_store_n(_p, _v, __ATOMIC_SEQ_CST)
#define oracle_add(_p, _v)	__atomic_add_fetch(_p, _v, __ATOMIC_SEQ_CST)

static inline bool oracle_trylock(uint32_t *lock)
{
	return !__atomic_exchange_n(lock, 1, __ATOMIC_SEQ_CST);
}

static inline void oracle_unlock(uint32_t *lock)
{
	oracle_set(lock, 0);
}

static inline void oracle_event(struct slot *slot, const char *name,
				uint32_t version, int err)
{
	uint32_t n = oracle_add(&slot->next, 1) - 1;

	slot->events[n % EVENTS] = (struct event){
		.time = hmm_now() - oracle_start,
		.name = name,
		.version = version,
		.thread = oracle_thread,
		.err = err,
	};
}

/*
 * Reports
 */

static inline void oracle_print_slot(struct slot *slot)
{
	uint32_t end = oracle_get(&slot->next);
	uint32_t n = end > EVENTS ? end - EVENTS : 0;

	printf("# slot %u at %p: started %u, done %u, access %#x\n", slot->id,
	       slot->addr, oracle_get(&slot->started), oracle_get(&slot->done),
	       oracle_get(&slot->region->access));
	printf("# discards: begun %u, ended %u, settled %u\n",
	       oracle_get(&slot->discards), oracle_get(&slot->discarded),
	       oracle_get(&slot->settled));
	for (; n < end; n++) {
		const struct event *event = &slot->events[n % EVENTS];

		printf("# %12.6f thread %2d version %6u err %4d %s\n",
		       event->time, event->thread, event->version, event->err,
		       event->name);
	}
}

/* Name the violation, once, and end the process. */
static inline noreturn void oracle_violation(const struct window *window,
					     const char *name,
					     const char *format, ...)
{
	static uint32_t once;
	va_list ap;

	while (!oracle_trylock(&once))
		pause();
	printf("# VIOLATION by thread %d, %s: ", oracle_thread, name);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n# allowed: versions %u to %u%s, access %#x before\n",
	       window->low, window->high, window->zeros ? " and zeros" : "",
	       window->access);
	oracle_print_slot(window->slot);
	fflush(stdout);
	_exit(ORACLE_VIOLATION);
}

/*
 * Words
 */

static inline uint64_t oracle_word(const struct slot *slot, uint32_t version,
				   unsigned int i)
{
	return version | (uint64_t)slot->id << 32 | (uint64_t)i << 48 |
	       0xa5ULL << 56;
}

/* Fill a buffer with the words of a version; NULL as @slot for zeros. */
static inline void oracle_stamp(uint64_t *page, const struct slot *slot,
				uint32_t version)
{
	for (unsigned int i = 0; i < WORDS; i++)
		__atomic_store_n(&page[i * WORD_STEP],
				 slot ? oracle_word(slot, version, i) : 0,
				 __ATOMIC_RELAXED);
}

static inline bool oracle_byte_ok(const struct window *window, uint8_t byte,
				  unsigned int i, unsigned int shift)
{
	if (window->zeros && !byte)
		return true;
	for (uint32_t v = window->low; v <= window->high; v++)
		if (byte == (uint8_t)(oracle_word(window->slot, v, i) >> shift))
			return true;
	return false;
}

/* A copy is not atomic: a word may have bytes of several allowed versions. */
static inline bool oracle_torn_ok(const struct window *window, uint64_t word,
				  unsigned int i)
{
	if (window->low == window->high && !window->zeros)
		return false;
	if (window->high - window->low > TORN_MAX)
		return true;
	for (unsigned int shift = 0; shift < 64; shift += 8)
		if (!oracle_byte_ok(window, word >> shift, i, shift))
			return false;
	return true;
}

static inline bool oracle_word_ok(const struct window *window, uint64_t word,
				  unsigned int i)
{
	uint32_t version = word;

	if (word == oracle_word(window->slot, version, i) &&
	    version >= window->low && version <= window->high)
		return true;
	if (!word && window->zeros)
		return true;
	return oracle_torn_ok(window, word, i);
}

static inline const char *oracle_kind(const struct window *window,
				      uint64_t word, unsigned int i, bool cpu)
{
	if (word && word != oracle_word(window->slot, word, i))
		return "a word of other memory";
	if ((uint32_t)word > window->high)
		return "a version that nobody has written";
	return cpu ? "a lost write" : "a stale read";
}

/*
 * Accesses
 */

static inline struct window oracle_open(struct slot *slot)
{
	struct window window = { .slot = slot };

	window.access = oracle_get(&slot->region->access);
	window.low = oracle_get(&slot->done);
	window.settled = oracle_get(&slot->settled);
	return window;
}

static inline void oracle_close(struct window *window)
{
	window->zeros = oracle_get(&window->slot->discards) > window->settled;
	window->high = oracle_get(&window->slot->started);
}

/* A reader has read the first @n words since the window was opened. */
static inline void oracle_check_words(struct window *window, const char *name,
				      const uint64_t *page, unsigned int n,
				      bool cpu)
{
	oracle_close(window);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t word = page[i * WORD_STEP];

		if (!oracle_word_ok(window, word, i))
			oracle_violation(window, name,
					 "%s: word %u at %p has %#" PRIx64
					 ", version %u",
					 oracle_kind(window, word, i, cpu), i,
					 window->slot->addr +
					 i * WORD_STEP * sizeof(word),
					 word, (uint32_t)word);
	}
}

static inline void oracle_check(struct window *window, const char *name,
				const uint64_t *page, bool cpu)
{
	oracle_check_words(window, name, page, WORDS, cpu);
}

/* True if the region was in this phase, and no other, since the window. */
static inline bool oracle_all_in(const struct window *window, enum phase phase)
{
	return (window->access & ACCESS_PHASE) == phase &&
	       oracle_get(&window->slot->region->access) == window->access;
}

/*
 * An access has ended with @err, which an access of memory that is there does
 * not do, and one of memory that is not there must do.
 */
static inline void oracle_check_err(struct window *window, const char *name,
				    int err, bool write)
{
	bool readable = window->access & ACCESS_READABLE;

	oracle_close(window);
	if (err && oracle_all_in(window, PHASE_ON))
		oracle_violation(window, name,
				 "error %d, but the memory was there", err);
	if (!err && (write || !readable) && oracle_all_in(window, PHASE_OFF))
		oracle_violation(window, name,
				 "an access after an invalidation: the memory was %s",
				 readable ? "read-only" : "not there");
}

/**
 * struct store - a write of a slot, with its lock
 * @window: of the write as an access
 * @version: of the write
 * @discards: before it
 * @quiet: no discard was under way before it
 * @zeros: the write is of zeros, so it is a discard as well
 */
struct store {
	struct window	window;
	uint32_t	version;
	uint32_t	discards;
	bool		quiet;
	bool		zeros;
};

static inline void oracle_begin(struct store *store, struct slot *slot,
				bool zeros)
{
	*store = (struct store){ .window = oracle_open(slot), .zeros = zeros };
	store->discards = oracle_get(&slot->discards);
	store->quiet = oracle_get(&slot->discarded) == store->discards;
	store->version = oracle_get(&slot->started) + 1;
	if (zeros)
		oracle_add(&slot->discards, 1);
	oracle_set(&slot->started, store->version);
}

/* A write that failed may have written all the same, or a part. */
static inline void oracle_end(struct store *store, const char *name, int err)
{
	struct slot *slot = store->window.slot;

	if (store->zeros)
		oracle_add(&slot->discarded, 1);
	if (!err && store->zeros) {
		oracle_set(&slot->done, store->version);
	} else if (!err && store->quiet &&
		   oracle_get(&slot->discards) == store->discards) {
		oracle_set(&slot->done, store->version);
		oracle_set(&slot->settled, store->discards);
	}
	oracle_event(slot, name, store->version, err);
}

#endif /* SELFTESTS_VM_HMM_ORACLE_H */
