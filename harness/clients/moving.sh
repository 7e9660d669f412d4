#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# RDMA into and out of memory that moves, ROUNDS times, see odp-moving.c. The
# last tests are for one thing each, with memory that stays where it is.

set -euo pipefail
. ./ends.sh

moving()
{
	./odp-moving "$@" rxe-a.a rxe-b.b
}

# The control: pinned memory has none of the faults of the others.
pinned()
{
	moving -p -b -m 1024 -r "$ROUNDS"
}

# A packet has whole pages.
pages()
{
	moving -m 4096 -r "$ROUNDS"
}

bytes()
{
	moving -b -m 1024 -r "$ROUNDS"
}

still_bytes()
{
	moving -n -b -m 1024 -r 10
}

lazy_free()
{
	moving -f -r 3
}

other_iova()
{
	moving -i -b -m 1024 -r 10
}

two_ends
wait_until active rxe-a
wait_until active rxe-b
results pinned pages bytes still_bytes lazy_free other_iova
