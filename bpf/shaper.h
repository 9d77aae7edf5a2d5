/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The packet's side of shaping; see shape.h. The includer defines ZSYNC_CONFIG and
 * ZSYNC_SHAPE_CLASS_AT(i).
 */
#ifndef ZSYNC_SHAPER_H
#define ZSYNC_SHAPER_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "shape.h"

/* Shared by generations; only there while a rule set shapes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_shape_clock);
} shape_clocks SEC(".maps");

/* Tries to change a clock; each that fails is another CPU's that succeeded. */
#define ZSYNC_SHAPE_TRIES 16

/* Takes `cost` of the clock's time, from `earliest` on: when that begins. */
ZSYNC_INLINE __u64 zsync_shape_take(__u64 *clock, __u64 earliest, __u64 cost)
{
	__u64 before, start;
	int i;

	for (i = 0; i < ZSYNC_SHAPE_TRIES; i++) {
		before = *(volatile __u64 *)clock;
		start = before > earliest ? before : earliest;
		if (__sync_val_compare_and_swap(clock, before, start + cost) == before)
			return start;
	}
	/* So many others took theirs meanwhile that the clock is not behind. */
	return __sync_fetch_and_add(clock, cost);
}

ZSYNC_INLINE __u64 zsync_shape_later(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

/* When the packet of `bytes` on the wire and of the class `index` may leave: ticks, or 0 when it
 * would wait too long. `earliest` is when its sender lets it go.
 */
ZSYNC_INLINE __u64 zsync_shape(__u32 index, __u32 packets, __u32 bytes, __u64 now, __u64 earliest)
{
	const volatile struct zsync_shape_class *class = ZSYNC_SHAPE_CLASS_AT(index);
	__u32 whole_slot = ZSYNC_SHAPE_WHOLE;
	__u32 slot = class->slot;
	struct zsync_shape_clock *own = bpf_map_lookup_elem(&shape_clocks, &slot);
	struct zsync_shape_clock *whole = bpf_map_lookup_elem(&shape_clocks, &whole_slot);
	__u64 whole_cost = bytes * ZSYNC_CONFIG.shape_cost >> ZSYNC_BYTE_COST_LOG2;
	__u64 guaranteed_cost = bytes * class->guaranteed_cost >> ZSYNC_BYTE_COST_LOG2;
	__u64 behind = now - ZSYNC_SHAPE_CREDIT;
	__u64 guaranteed, borrowed, start, depart;
	int is_guaranteed;

	if (!own || !whole)
		return 0;
	guaranteed = zsync_shape_later(*(volatile __u64 *)&own->guaranteed, behind);
	borrowed = zsync_shape_later(*(volatile __u64 *)&whole->most, behind);
	is_guaranteed = guaranteed_cost && guaranteed <= borrowed;
	start = is_guaranteed ? guaranteed : borrowed;
	depart = zsync_shape_later(start, *(volatile __u64 *)&own->most);
	if (zsync_shape_later(depart, earliest) > now + ZSYNC_CONFIG.shape_horizon) {
		__sync_fetch_and_add(&own->dropped, packets);
		return 0;
	}
	if (is_guaranteed) {
		start = zsync_shape_take(&own->guaranteed, behind, guaranteed_cost);
		zsync_shape_take(&whole->most, behind, whole_cost);
	} else {
		start = zsync_shape_take(&whole->most, behind, whole_cost);
		__sync_fetch_and_add(&own->borrowed, bytes);
	}
	depart = zsync_shape_take(&own->most, start,
				  bytes * class->most_cost >> ZSYNC_BYTE_COST_LOG2);
	__sync_fetch_and_add(&own->packets, packets);
	__sync_fetch_and_add(&own->bytes, bytes);
	return zsync_shape_later(zsync_shape_later(depart, earliest), now);
}

#endif
