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

/* A packet as its clocks see it. */
struct zsync_shape_try {
	__u32 packets;
	__u32 bytes; /* on the wire */
	__u64 now;
	__u64 earliest; /* when its sender lets it go */
	__u32 flow; /* the hash of its flow */
};

/* Whether a packet of a flow that has nothing waiting may leave at once, ahead of others. */
ZSYNC_INLINE int zsync_shape_sparse(__u64 *own, __u64 *whole, __u64 now, __u64 own_cost,
				    __u64 whole_cost)
{
	__u64 behind = now - ZSYNC_SHAPE_SPARSE_CREDIT;

	if (zsync_shape_later(*(volatile __u64 *)own, *(volatile __u64 *)whole) > now)
		return 0;
	zsync_shape_take(own, behind, own_cost << ZSYNC_SHAPE_SPARSE_SHARE_LOG2);
	zsync_shape_take(whole, behind, whole_cost << ZSYNC_SHAPE_SPARSE_SHARE_LOG2);
	return 1;
}

/* When the packet of the class `index` may leave: ticks, or 0 when it would wait too long. */
ZSYNC_INLINE __u64 zsync_shape(__u32 index, const struct zsync_shape_try *try)
{
	const volatile struct zsync_shape_class *class = ZSYNC_SHAPE_CLASS_AT(index);
	__u32 flow_line = ZSYNC_SHAPE_SLOTS +
			  (try->flow / ZSYNC_SHAPE_FLOW_WORDS & (ZSYNC_SHAPE_FLOW_LINES - 1));
	__u32 whole_slot = ZSYNC_SHAPE_WHOLE;
	__u32 slot = class->slot;
	struct zsync_shape_clock *own = bpf_map_lookup_elem(&shape_clocks, &slot);
	struct zsync_shape_clock *whole = bpf_map_lookup_elem(&shape_clocks, &whole_slot);
	struct zsync_shape_flow_line *line = bpf_map_lookup_elem(&shape_clocks, &flow_line);
	__u64 now = try->now, bytes = try->bytes;
	__u64 whole_cost = bytes * ZSYNC_CONFIG.shape_cost >> ZSYNC_BYTE_COST_LOG2;
	__u64 guaranteed_cost = bytes * class->guaranteed_cost >> ZSYNC_BYTE_COST_LOG2;
	__u64 most_cost = bytes * class->most_cost >> ZSYNC_BYTE_COST_LOG2;
	__u64 behind = now - ZSYNC_SHAPE_CREDIT;
	__u64 horizon = ZSYNC_CONFIG.shape_horizon;
	__u64 guaranteed, borrowed, start, depart, sent, *flow;
	int is_guaranteed, is_sparse = 0;

	if (!own || !whole || !line)
		return 0;
	flow = &line->words[try->flow & (ZSYNC_SHAPE_FLOW_WORDS - 1)];
	sent = *(volatile __u64 *)flow;
	guaranteed = zsync_shape_later(*(volatile __u64 *)&own->guaranteed, behind);
	borrowed = zsync_shape_later(*(volatile __u64 *)&whole->most, behind);
	is_guaranteed = guaranteed_cost && guaranteed <= borrowed;
	start = is_guaranteed ? guaranteed : borrowed;
	depart = zsync_shape_later(start, *(volatile __u64 *)&own->most);
	/* Others wait no longer than the horizon, so what is ahead of twice that is not theirs. */
	if (depart > now && sent <= now && try->packets == 1 && depart <= now + 2 * horizon)
		is_sparse = zsync_shape_sparse(&own->sparse, &whole->sparse, now, most_cost,
					       whole_cost);
	if (zsync_shape_later(is_sparse ? now : depart, try->earliest) > now + horizon) {
		__sync_fetch_and_add(&own->dropped, try->packets);
		return 0;
	}
	if (is_guaranteed) {
		start = zsync_shape_take(&own->guaranteed, behind, guaranteed_cost);
		zsync_shape_take(&whole->most, behind, whole_cost);
	} else {
		start = zsync_shape_take(&whole->most, behind, whole_cost);
		__sync_fetch_and_add(&own->borrowed, bytes);
	}
	depart = zsync_shape_take(&own->most, is_sparse ? behind : start, most_cost);
	__sync_fetch_and_add(&own->packets, try->packets);
	__sync_fetch_and_add(&own->bytes, bytes);
	depart = zsync_shape_later(is_sparse ? now : depart, now);
	depart = zsync_shape_later(depart, try->earliest);
	sent = zsync_shape_later(sent, now) + (whole_cost << ZSYNC_SHAPE_SPARSE_FLOWS_LOG2);
	if (sent > now + horizon)
		sent = now + horizon;
	*(volatile __u64 *)flow = zsync_shape_later(sent, depart);
	return depart;
}

#endif
