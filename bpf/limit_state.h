/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * How the state of a limit's key changes: one word, by compare-and-swap. No maps and no clock, so that
 * userspace runs the same code; see limit.h.
 */
#ifndef ZSYNC_LIMIT_STATE_H
#define ZSYNC_LIMIT_STATE_H

#include "limit.h"

/* Tries to change a word; each that fails is another CPU's that succeeded. */
#define ZSYNC_LIMIT_TRIES 16

ZSYNC_INLINE __u64 zsync_window_length(__u32 window)
{
	return window == ZSYNC_LIMIT_SECOND ? ZSYNC_WINDOW_SECOND :
	       window == ZSYNC_LIMIT_MINUTE ? ZSYNC_WINDOW_MINUTE :
	       window == ZSYNC_LIMIT_HOUR   ? ZSYNC_WINDOW_HOUR :
					      ZSYNC_WINDOW_DAY;
}

/* A former window's count: up to 511 as it is, above that its first 9 bits, rounded up, and how many are
 * left out. The error delays what the present window admits by less than 1/256 of it, and never
 * admits more.
 */
ZSYNC_INLINE __u64 zsync_pack_former(__u64 count)
{
	__u64 high = count >> 9, left_out = 0;

	if (high >> 8) {
		left_out = 8;
		high >>= 8;
	}
	if (high >> 4) {
		left_out += 4;
		high >>= 4;
	}
	if (high >> 2) {
		left_out += 2;
		high >>= 2;
	}
	if (high >> 1) {
		left_out += 1;
		high >>= 1;
	}
	left_out += high;
	/* The first of the 9 bits is known, and counts one up in the number above the others. */
	return (left_out << 8) + ((count + (1ULL << left_out) - 1) >> left_out);
}

ZSYNC_INLINE __u64 zsync_unpack_former(__u64 packed)
{
	__u64 power = packed >> 8;

	return power ? (256 | (packed & 255)) << (power - 1) : packed;
}

/* How many windows lie between the state's and `window`; none too when the state's is ahead. */
ZSYNC_INLINE __u64 zsync_windows_since(__u64 state, __u64 window)
{
	__u64 since = (window - (state >> ZSYNC_WINDOW_NUMBER_SHIFT)) & ZSYNC_WINDOW_NUMBER_MASK;

	return since > ZSYNC_WINDOW_NUMBER_MASK - ZSYNC_WINDOWS_AHEAD_MAX ? 0 : since;
}

/* Whether nothing would be lost if another key took the entry. */
ZSYNC_INLINE int zsync_limit_is_fresh(__u64 name, __u64 state, __u64 now_ns)
{
	if (!(name & ZSYNC_NAME_SLIDING))
		return state <= now_ns << ZSYNC_TICKS_PER_NS_LOG2;
	return zsync_windows_since(state, (now_ns >> 10) / zsync_window_length(
								   name & ZSYNC_NAME_WINDOW)) >= 2;
}

/* Whether a packet comes before its time; if not, its time is taken. */
ZSYNC_INLINE int zsync_gcra(__u64 *state, __u64 now, __u64 first, __u64 cost, __u64 burst)
{
	int i;

	for (i = 0; i < ZSYNC_LIMIT_TRIES; i++) {
		__u64 before = *(volatile __u64 *)state;
		__u64 due = before > now ? before : now;

		if (due + first > now + burst)
			return 1;
		if (__sync_val_compare_and_swap(state, before, due + cost) == before)
			return 0;
	}
	return 1;
}

/* Whether a packet is over what a window takes, `most`; if not, it is counted. */
ZSYNC_INLINE int zsync_sliding(__u64 *state, __u64 now_ns, __u64 length, __u64 first, __u64 cost,
			       __u64 most)
{
	__u64 window = (now_ns >> 10) / length;
	__u64 left = length - ((now_ns >> 10) - window * length);
	int i;

	for (i = 0; i < ZSYNC_LIMIT_TRIES; i++) {
		__u64 before = *(volatile __u64 *)state;
		__u64 since = zsync_windows_since(before, window);
		__u64 number = window & ZSYNC_WINDOW_NUMBER_MASK;
		__u64 former = before >> ZSYNC_WINDOW_COUNT_BITS & ZSYNC_WINDOW_FORMER_MASK;
		__u64 present = before & ZSYNC_WINDOW_COUNT_MAX;
		__u64 covered = left;

		if (since) {
			former = since == 1 ? zsync_pack_former(present) : 0;
			present = 0;
		} else if (before >> ZSYNC_WINDOW_NUMBER_SHIFT != number) {
			/* Another CPU's clock is ahead: this is as its window's first packet. */
			number = before >> ZSYNC_WINDOW_NUMBER_SHIFT;
			covered = length;
		}
		if (present + first > most ||
		    zsync_unpack_former(former) * covered >= (most - present - first + 1) * length)
			return 1;
		present += cost;
		if (present > ZSYNC_WINDOW_COUNT_MAX)
			present = ZSYNC_WINDOW_COUNT_MAX;
		if (__sync_val_compare_and_swap(state, before,
						number << ZSYNC_WINDOW_NUMBER_SHIFT |
							former << ZSYNC_WINDOW_COUNT_BITS |
							present) == before)
			return 0;
	}
	return 1;
}

#endif
