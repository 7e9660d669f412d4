/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The compiler includes this before the base's tests, whose time limits are
 * made for real hardware: an emulated CPU on a busy machine is many times
 * slower. kselftest_harness.h waits for a test with alarm(), newer bases with
 * poll(). Multiply both limits by HMM_PATIENCE, so that only a hang fails. A
 * negative limit of poll() stays negative.
 */
#include <poll.h>
#include <unistd.h>

#define alarm(seconds)		alarm((seconds) * HMM_PATIENCE)
#define poll(fds, n, ms)	poll(fds, n, (ms) * HMM_PATIENCE)
