/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before the base's own tests when they are compiled: their limits of
 * time are for real hardware, and an emulated CPU on a busy machine is many
 * times slower. kselftest_harness.h waits for a test with alarm(), or on newer
 * bases with poll(); both wait HMM_PATIENCE times as long, so that only a hang
 * fails. A poll() without a limit stays without one.
 */
#include <poll.h>
#include <unistd.h>

#define alarm(seconds)		alarm((seconds) * HMM_PATIENCE)
#define poll(fds, n, ms)	poll(fds, n, (ms) * HMM_PATIENCE)
