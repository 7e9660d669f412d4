/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Model of HMM for spin, to be read beside mm/hmm.c, mm/hmm-fault.c and
 * mm/hmm-unlocked.c: inlines have the names of the functions that they model.
 *
 * There are three pages. Device d follows a range of two of them, from page d
 * on, so each device has a page that the other one does not have. Device 0
 * uses hmm_range_fault() and hmm_range_wait_until_valid(), device 1
 * hmm_range_fault_unlocked(). Each registers its mirror and its range, faults
 * until it has programmed its page table, and unregisters both. Meanwhile
 * invalidators take pages away, each a few times. So every execution ends.
 *
 * Properties, as design.md numbers them:
 *
 *   P1  assert(!stale): the CPU's page table has not changed since an entry
 *       was read that a device programs. assert(!mapped): no device has an
 *       entry of the pages that an invalidation takes away
 *   P2  assert(hit): an overlapping invalidation is why a range is not valid,
 *       or a fault collided. assert(in_flight): one is why a range is busy
 *   P3  a waiter that nobody wakes is a deadlock
 *   P4  assert(!notifiers) at the end, and of the other counters
 *   P8  assert(budget): the unlocked fault reads no more than an invalidation
 *       costs. A fault that goes on without one is a cycle
 *
 * The cases are in harness/model/cases: sizes, and mistakes (each #ifdef below)
 * for which spin must find an error.
 */

/* Invalidations that the table keeps apart */
#ifndef TABLE
#define TABLE 1
#endif
#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef INVALIDATORS
#define INVALIDATORS 2
#endif
/* Device whose mirror another thread unregisters; DEVICES for none */
#ifndef ORPHAN
#define ORPHAN DEVICES
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

/*
 * The sections under ranges_lock or mirrors_sem. They are atomic, as all that a
 * lock protects is read under it, but for ->valid, which a section writes once.
 * -DL_START= leaves the lock of L_START out.
 */
#ifndef L_START			/* hmm_invalidate_start() */
#define L_START atomic
#endif
#ifndef L_END			/* hmm_invalidate_end() */
#define L_END atomic
#endif
#ifndef L_ATTACH		/* hmm_range_register() */
#define L_ATTACH atomic
#endif
#ifndef L_DETACH		/* hmm_range_unregister() */
#define L_DETACH atomic
#endif
#ifndef L_ORPHAN		/* hmm_orphan_ranges() */
#define L_ORPHAN atomic
#endif
#ifndef L_MIRRORS		/* hmm_add_mirror(), hmm_mirror_unregister() */
#define L_MIRRORS atomic
#endif
#ifndef L_CURSOR_START
#define L_CURSOR_START atomic
#endif
#ifndef L_ADVANCE
#define L_ADVANCE atomic
#endif
#ifndef L_RETREAT
#define L_RETREAT atomic
#endif
#ifndef L_SETTLE
#define L_SETTLE atomic
#endif
#ifndef L_WAIT			/* hmm_range_state() */
#define L_WAIT atomic
#endif
#ifndef L_U_START		/* hmm_unlocked_start() */
#define L_U_START atomic
#endif
#ifndef L_U_ADVANCE		/* hmm_unlocked_advance() */
#define L_U_ADVANCE atomic
#endif
#ifndef L_U_WAIT		/* hmm_unlocked_must_wait() */
#define L_U_WAIT atomic
#endif
#ifndef L_RELEASE		/* hmm_mark_all() */
#define L_RELEASE atomic
#endif

/* Each invalidator's page, 3 for all */
#ifndef SPANS
#define SPANS 31
#endif
#define SPAN(k)		((k) -> (SPANS) % 10 : (SPANS) / 10)

#define PAGES		3
#define FIRST(d)	(d)
#define LAST(d)		((d) + 2)
#define ENTRY(d, p)	((d) * PAGES + (p))

/* Keys of updates: the invalidators' and exit's, then the devices' */
#define KEY_EXIT	1
#define KEY_DEVICE	2
#define KEYS		4

#define MAX(a, b)	((a) > (b) -> (a) : (b))
#define MIN(a, b)	((a) < (b) -> (a) : (b))
#define overlap(s, e, s2, e2)	((s) < (e2) && (s2) < (e))

/* Results of a fault: 0, -EBUSY, or that the mm or the mirror is gone */
#define OK		0
#define BUSY		1
#define GONE		2

/* struct hmm; nr_ranges stands for the tree, nr_mirrors for the list */
byte notifiers, nr_inflight, nr_ranges, nr_mirrors;
typedef span { byte key, start, end };
span inflight[TABLE + 1];
span overflow;
byte nr_overflow;
bool dead;

/* struct hmm_range, and its waiter, of each device */
bool attached[DEVICES], valid[DEVICES], queued[DEVICES];
byte cursor[DEVICES];

/* struct hmm_mirror of each device */
bool listed[DEVICES], gone[DEVICES], unregistered[DEVICES];

/* The driver: its lock, its device's page table, and that it is not used */
bool driver_lock[DEVICES], closed[DEVICES];
bool mapped[DEVICES * PAGES];

/* The mm: its page table, in which a shared page is copied before a write */
bool present[PAGES], shared[PAGES];
byte mm_users = 1;

/* The notifier core: each update, and if its callbacks run */
span update[KEYS];
bool callbacks[KEYS];

/* For the assertions */
bool counted[KEYS], hit[DEVICES], stale[DEVICES * PAGES];
byte budget;

#define in_flight_of(k, s, e) \
	(counted[k] && overlap(update[k].start, update[k].end, s, e))
#define in_flight(s, e)	(in_flight_of(0, s, e) || in_flight_of(1, s, e) || \
			 in_flight_of(2, s, e) || in_flight_of(3, s, e))

#define lives(d)	(attached[d] && !dead)

/* A user of the mm, without which it would go */
#ifdef EXIT
#define hmm_put_mm()	mm_users--
#else
#define hmm_put_mm()	skip
#endif

inline hmm_get_mm()
{
	atomic {
		if
		:: !mm_users -> ret = GONE
		:: else ->
#ifdef EXIT
			mm_users++;
#endif
			ret = OK
		fi
	}
}

/* Makes states equal that differ in values that nothing reads again. */
inline forget_span(which)
{
	which.key = 0;
	which.start = 0;
	which.end = 0
}

inline forget_entries(d)
{
	stale[ENTRY(d, FIRST(d))] = true;
	stale[ENTRY(d, FIRST(d) + 1)] = true
}

inline wake_up_all()
{
#ifndef NO_WAKE
	d_step {
		queued[0] = false;
		queued[DEVICES - 1] = false
	}
#else
	skip
#endif
}

/* ------------------------------------------------- invalidations in flight */

/* Stores in busy if an invalidation in flight overlaps [s, e). */
inline hmm_busy(s, e)
{
	d_step {
		busy = nr_overflow && overlap(overflow.start, overflow.end,
					      s, e);
		i = 0;
		do
		:: i < nr_inflight ->
			busy = busy || overlap(inflight[i].start,
					       inflight[i].end, s, e);
			i++
		:: else -> break
		od;
		i = 0;
#ifdef ALL_BUSY
		busy = notifiers > 0;
#endif
		assert(busy || !in_flight(s, e));
		assert(!busy || in_flight(s, e) || nr_overflow)
	}
}

inline hmm_overflow_add(k)
{
	if
	:: !nr_overflow ->
		overflow.start = update[k].start;
		overflow.end = update[k].end
	:: else ->
#ifndef NO_SPAN
		overflow.start = MIN(overflow.start, update[k].start);
		overflow.end = MAX(overflow.end, update[k].end)
#endif
	fi;
	nr_overflow++
}

/* In steps: another one may come between them if the lock is missing. */
inline hmm_inflight_add(k)
{
	n = notifiers;
	if
	:: nr_inflight == TABLE -> hmm_overflow_add(k)
	:: else ->
		i = nr_inflight;
		d_step {
			inflight[i].key = k;
			inflight[i].start = update[k].start;
			inflight[i].end = update[k].end
		}
		nr_inflight = i + 1
	fi;
	d_step {
		notifiers = n + 1;
		counted[k] = true;
		i = 0;
		n = 0
	}
}

inline hmm_inflight_find(k)
{
	i = 0;
	do
	:: i < nr_inflight && inflight[i].key != k -> i++
	:: else -> break
	od
}

inline hmm_inflight_del(k)
{
	n = notifiers;
	hmm_inflight_find(k);
	if
	:: i == nr_inflight ->
		assert(nr_overflow);
		nr_overflow--;
		if
		:: !nr_overflow -> forget_span(overflow)
		:: else
		fi
	:: else ->
		nr_inflight--;
		d_step {
			inflight[i].key = inflight[nr_inflight].key;
			inflight[i].start = inflight[nr_inflight].start;
			inflight[i].end = inflight[nr_inflight].end;
			forget_span(inflight[nr_inflight])
		}
	fi;
	d_step {
		notifiers = n - 1;
		counted[k] = false;
		i = 0;
		n = 0
	}
}

inline hmm_mark_ranges(k)
{
	m = 0;
	do
	:: m == DEVICES -> break
	:: m < DEVICES && !(attached[m] &&
	   overlap(update[k].start, update[k].end, FIRST(m), LAST(m))) -> m++
	:: m < DEVICES && attached[m] &&
	   overlap(update[k].start, update[k].end, FIRST(m), LAST(m)) ->
		at = MAX(update[k].start, FIRST(m));
		hit[m] = true;
		if
		:: m == 1 -> budget = budget + LAST(1) - at
		:: else
		fi;
		if
		:: at < cursor[m] -> cursor[m] = at; valid[m] = false
		:: else
		fi;
		m++
	od;
	m = 0;
	at = 0
}

/*
 * Removes the entries under the driver's lock. Without blockable this may be
 * either kind of invalidation, so it waits for the lock or fails.
 */
inline sync_cpu_device_pagetables(k, d, blockable)
{
	assert(!unregistered[d]);
	atomic {
		if
#ifndef NO_CALLBACK_LOCK
		:: !blockable && driver_lock[d] -> failed = true
		:: !driver_lock[d] ->
#else
		:: true ->
#endif
			p = update[k].start;
			do
			:: p < update[k].end ->
				mapped[ENTRY(d, p)] = false;
				p++
			:: else -> break
			od;
			p = 0
		fi
	}
}

inline hmm_call_mirrors(k, blockable)
{
	if
	:: listed[0] -> sync_cpu_device_pagetables(k, 0, blockable)
	:: !listed[0]
	fi;
#if DEVICES > 1
	if
	:: !failed && listed[1] -> sync_cpu_device_pagetables(k, 1, blockable)
	:: failed || !listed[1]
	fi
#endif
}

inline hmm_invalidate_start(k, blockable)
{
#ifdef LATE_MARK
	hmm_call_mirrors(k, blockable);
#endif
	L_START {
		hmm_inflight_add(k);
		hmm_mark_ranges(k)
	};
#ifndef LATE_MARK
	hmm_call_mirrors(k, blockable);
#endif
	atomic {
		/* They end */
		callbacks[k] = false;
		/* One that may not block fails if any subscriber fails */
		if
		:: !blockable -> failed = true
		:: true
		fi
	}
}

/* No device has a page of the update. */
inline no_device_has(k)
{
	p = update[k].start;
	do
	:: p < update[k].end ->
		assert(!mapped[ENTRY(0, p)]);
		assert(!mapped[ENTRY(DEVICES - 1, p)]);
		p++
	:: else -> break
	od;
	p = 0
}

inline hmm_invalidate_end(k)
{
	L_END {
		if
		:: !failed -> no_device_has(k)
		:: else
		fi;
		hmm_inflight_del(k);
#ifdef V54
		if
		:: attached[0] && !in_flight(FIRST(0), LAST(0)) ->
			valid[0] = true
		:: else
		fi;
#endif
		skip
	};
	wake_up_all()
}

/* Changes the CPU's page table. Entries that were read before are stale. */
inline change_page_table(k, kept)
{
	atomic {
		no_device_has(k);
		p = update[k].start;
		do
		:: p < update[k].end ->
			present[p] = kept;
			shared[p] = false;
			stale[ENTRY(0, p)] = true;
			stale[ENTRY(DEVICES - 1, p)] = true;
			p++
		:: else -> break
		od;
		p = 0
	}
}

/* Reclaim, migration and others that do not wait for the mmap lock. */
proctype invalidator(byte k)
{
	byte at, i, m, n, p, round;
	bool failed;

	do
	:: atomic {
		round < ROUNDS -> round++;
		if
		:: SPAN(k) == 3 -> update[k].end = PAGES
		:: else ->
			update[k].start = SPAN(k);
			update[k].end = SPAN(k) + 1
		fi;
		callbacks[k] = true
	   };
		hmm_invalidate_start(k, false);
		if
		:: !failed ->
			change_page_table(k, false);
			hmm_invalidate_end(k)
		:: failed ->
#ifndef NO_UNDO
			hmm_invalidate_end(k)
#else
			counted[k] = false
#endif
		fi;
		d_step {
			failed = false;
			forget_span(update[k])
		}
	:: round == ROUNDS -> break
	od
}

/* ------------------------------------------------------ mirrors and ranges */

inline hmm_mirror_register(d)
{
	L_MIRRORS {
		n = nr_mirrors;
		listed[d] = true;
		nr_mirrors = n + 1
	};
	n = 0
}

inline hmm_range_register(d)
{
	L_ATTACH {
		if
		:: gone[d] || dead -> ret = GONE
		:: else ->
			n = nr_ranges;
			attached[d] = true;
			nr_ranges = n + 1
		fi
	};
	n = 0
}

inline hmm_range_detach(d)
{
	if
	:: attached[d] ->
		n = nr_ranges;
		attached[d] = false;
		valid[d] = false;
		nr_ranges = n - 1;
		n = 0;
		cursor[d] = 0;
		hit[d] = false
	:: else
	fi
}

inline hmm_range_unregister(d)
{
	L_DETACH {
		hmm_range_detach(d)
	}
}

inline hmm_orphan_ranges(d)
{
	L_ORPHAN {
		gone[d] = true;
#ifndef NO_ORPHANS
		hmm_range_detach(d)
#endif
	};
	wake_up_all()
}


inline hmm_mirror_unregister(d)
{
	hmm_orphan_ranges(d);
	L_MIRRORS {
		n = nr_mirrors;
		listed[d] = false;
		nr_mirrors = n - 1
	};
	atomic {
		/* mmu_notifier_synchronize() */
#ifndef NO_SRCU
		!callbacks[0] && !callbacks[1] && !callbacks[2] &&
		!callbacks[3] ->
#endif
		unregistered[d] = true;
		n = 0
	}
}

/* ------------------------------------------------------------------ cursor */

inline hmm_cursor_start(d)
{
	L_CURSOR_START {
		cursor[d] = FIRST(d);
		hmm_busy(FIRST(d), LAST(d));
		if
		:: !attached[d] -> ret = GONE
		:: attached[d] && busy -> ret = BUSY
		:: else -> cursor[d] = LAST(d)
		fi
	}
}

inline hmm_cursor_advance(d, from)
{
	L_ADVANCE {
		hmm_busy(from, LAST(d));
#ifdef EAGER
		busy = false;
#endif
		if
		:: cursor[d] >= from && !busy -> cursor[d] = LAST(d)
		:: else -> ret = BUSY
		fi
	}
}

inline hmm_cursor_retreat(d, to)
{
#ifndef NO_RETREAT
	L_RETREAT {
		at = MIN(cursor[d], to);
		cursor[d] = at
	};
	at = 0
#else
	skip
#endif
}

inline hmm_cursor_settle(d)
{
	L_SETTLE {
#ifdef DEAD_VALID
		busy = cursor[d] < LAST(d) || !attached[d];
#else
		busy = cursor[d] < LAST(d) || !attached[d] || dead;
#endif
		assert(!busy || hit[d] || dead || gone[d]);
		valid[d] = !busy;
		ret = (busy -> BUSY : OK)
	}
}

inline hmm_unlocked_start(d)
{
	L_U_START {
		if
		:: !attached[d] || dead || !mm_users -> ret = GONE
		:: else ->
			hmm_get_mm();
			advanced = !notifiers;
			cursor[d] = (advanced -> LAST(d) : FIRST(d))
		fi
	}
}

inline hmm_unlocked_advance(d)
{
	L_U_ADVANCE {
		from = cursor[d];
		hmm_busy(from, LAST(d));
#ifdef EAGER
		busy = false;
#endif
		if
		:: !attached[d] || dead -> ret = GONE
		:: lives(d) && busy -> ret = BUSY
		:: else -> cursor[d] = LAST(d)
		fi
	}
}

/* ------------------------------------------------------------------- waits */

inline hmm_range_wait_until_valid(d)
{
	do
	:: queued[d] = true;
		L_WAIT {
			hmm_busy(FIRST(d), LAST(d));
			if
			:: !lives(d) -> ret = GONE
			:: lives(d) && busy -> ret = BUSY
			:: else -> ret = OK
			fi;
			assert(ret || !in_flight(FIRST(d), LAST(d)))
		};
		if
		:: ret == BUSY -> !queued[d]
		:: else -> break
		fi
	od;
	queued[d] = false
}

/* Not a user of the mm meanwhile: the invalidation may take its time. */
inline hmm_unlocked_wait(d)
{
	hmm_put_mm();
	do
	:: queued[d] = true;
		L_U_WAIT {
			hmm_busy(cursor[d], LAST(d));
			busy = busy && lives(d);
			assert(busy || !lives(d) ||
			       !in_flight(cursor[d], LAST(d)))
		};
#ifdef POLL
		break
#else
		if
		:: busy -> !queued[d]
		:: else -> break
		fi
#endif
	od;
	queued[d] = false;
	hmm_get_mm()
}

/* ------------------------------------------------------------------ faults */

/* Reads entries up to a page that must be faulted, which is miss. */
inline hmm_walk(d, from)
{
	miss = from;
	do
	:: atomic {
		miss < LAST(d) && present[miss] && !shared[miss] ->
		stale[ENTRY(d, miss)] = false;
		if
		:: d == 1 -> assert(budget); budget--
		:: else
		fi;
		miss++
	   }
	:: atomic {
		miss == LAST(d) || !present[miss] || shared[miss] -> break
	   }
	od
}

/* A copy is an invalidation, by the task that faults. */
inline handle_mm_fault(k)
{
	if
	:: shared[miss] ->
		atomic {
			callbacks[k] = true;
			update[k].start = miss;
			update[k].end = miss + 1
		};
		hmm_invalidate_start(k, true);
		change_page_table(k, true);
		hmm_invalidate_end(k);
		d_step {
			forget_span(update[k])
		}
	:: else -> present[miss] = true
	fi
}

/* hmm_walk_and_fault(). The fast path for one page is not a user of the mm. */
inline hmm_range_fault(d, k)
{
	d_step {
		valid[d] = false;
		hit[d] = false;
		forget_entries(d)
	};
#ifndef FAST
	hmm_get_mm();
#endif
	if
	:: ret == GONE
	:: ret != GONE ->
		ret = OK;
		hmm_cursor_start(d);
		from = FIRST(d);
		do
		:: ret != OK -> break
		:: ret == OK ->
			hmm_walk(d, from);
			if
			:: miss == LAST(d) -> hmm_cursor_settle(d); break
			:: else ->
				hmm_cursor_retreat(d, miss);
				handle_mm_fault(k);
				from = miss;
				hmm_cursor_advance(d, from)
			fi
		od;
#ifndef FAST
		hmm_put_mm();
#endif
		miss = 0;
		from = 0
	fi
}

/* hmm_unlocked_rounds() */
inline hmm_range_fault_unlocked(d, k)
{
	d_step {
		valid[d] = false;
		hit[d] = false;
		forget_entries(d);
		budget = LAST(d) - FIRST(d)
	};
	hmm_unlocked_start(d);
	from = FIRST(d);
	do
	:: ret == GONE -> break
	:: ret != GONE ->
		ret = OK;
		if
		:: !advanced -> hmm_unlocked_advance(d)
		:: advanced -> advanced = false
		fi;
#ifdef FROM_START
		from = FIRST(d);
#endif
		if
		:: ret == GONE -> hmm_put_mm(); break
		:: ret == BUSY -> hmm_unlocked_wait(d)
		:: ret == OK ->
			hmm_walk(d, from);
			if
			:: miss < LAST(d) ->
				hmm_cursor_retreat(d, miss);
				handle_mm_fault(k)
			:: miss == LAST(d) ->
				hmm_cursor_settle(d);
				if
				:: ret == OK -> hmm_put_mm(); break
				:: else
				fi
			fi
		fi
	od;
	miss = 0;
	from = 0;
	budget = 0
}

/* ----------------------------------------------------------------- drivers */

/* Programs the device under the driver's lock if the range is valid. */
inline program(d)
{
#ifndef NO_PROGRAM_LOCK
	atomic { !driver_lock[d] -> driver_lock[d] = true };
#endif
#ifndef NO_RECHECK
	if
	:: !valid[d] -> assert(hit[d] || dead || gone[d])
	:: atomic {
		valid[d] && closed[d] -> assert(!unregistered[d])
	   }
	:: else ->
#endif
		p = FIRST(d);
		do
		:: d_step {
			p < LAST(d) ->
			assert(!stale[ENTRY(d, p)]);
			mapped[ENTRY(d, p)] = true;
			p++
		   }
		:: p == LAST(d) -> break
		od;
		p = 0;
		done = true;
#ifndef NO_RECHECK
	fi;
#endif
	driver_lock[d] = false
}

/* Stops the device, and unregisters its range under the driver's lock. */
inline stop(d)
{
	atomic {
		!driver_lock[d] ->
		driver_lock[d] = true;
		mapped[ENTRY(d, FIRST(d))] = false;
		mapped[ENTRY(d, FIRST(d) + 1)] = false;
		forget_entries(d)
	};
	hmm_range_unregister(d);
	driver_lock[d] = false
}

proctype device(byte d, k)
{
	byte at, from, i, m, miss, n, p, ret;
	bool advanced, busy, done, failed;

	hmm_mirror_register(d);
	hmm_range_register(d);
	do
	:: ret == GONE || done -> break
	:: else ->
		if
		:: d == 0 -> hmm_range_fault(d, k)
		:: d == 1 -> hmm_range_fault_unlocked(d, k)
		fi;
		if
		:: ret == BUSY -> hmm_range_wait_until_valid(d)
		:: ret == OK -> program(d)
		:: ret == GONE
		fi
	od;
	stop(d);
	if
	:: d == ORPHAN
	:: else -> hmm_mirror_unregister(d)
	fi
}

/* ---------------------------------------------------------------- the rest */

/*
 * Another thread stops device d for good, and unregisters its mirror before its
 * range, which is a bug of the driver's.
 */
proctype unregister(byte d)
{
	byte n;

	atomic {
		listed[d] && !driver_lock[d] ->
		closed[d] = true;
		mapped[ENTRY(d, FIRST(d))] = false;
		mapped[ENTRY(d, FIRST(d) + 1)] = false
	};
	hmm_mirror_unregister(d)
}

/* The process ends: hmm_release(), and its pages go without an invalidation. */
proctype exit_mmap()
{
	byte n, p;
	bool failed;

	mm_users--;
	!mm_users;
	callbacks[KEY_EXIT] = true;
	L_RELEASE {
		n = nr_ranges;
		dead = true;
		valid[0] = false;
		valid[DEVICES - 1] = false;
		nr_ranges = n
	};
	n = 0;
	wake_up_all();
	update[KEY_EXIT].end = PAGES;
	hmm_call_mirrors(KEY_EXIT, true);
	callbacks[KEY_EXIT] = false;
	change_page_table(KEY_EXIT, false)
}

init {
	byte k;

	atomic {
		do
		:: k < PAGES ->
			present[k] = true;
			stale[ENTRY(0, k)] = true;
			stale[ENTRY(DEVICES - 1, k)] = true;
#ifdef COW
			if
			:: shared[k] = true
			:: shared[k] = false
			fi;
#endif
			k++
		:: else -> break
		od;
		k = 0;
		do
		:: k < INVALIDATORS -> run invalidator(k); k++
		:: else -> break
		od;
		k = 0;
		do
		:: k < DEVICES -> run device(k, KEY_DEVICE + k); k++
		:: else -> break
		od;
		k = 0;
#if ORPHAN < DEVICES
		run unregister(ORPHAN);
#endif
#ifdef EXIT
		run exit_mmap();
#endif
	}
	_nr_pr == 1;
	assert(!notifiers && !nr_inflight && !nr_overflow && !nr_ranges &&
	       !nr_mirrors)
}
