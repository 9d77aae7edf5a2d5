/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Judging an skb: on its way out of a device, or on its way to or from a socket.
 *
 * An skb may stand for many packets that GSO will cut, or that GRO has put together. It is judged
 * once, by its headers and, for `length`, by the length of its segments, and counted as its segments.
 */
#ifndef ZSYNC_JUDGE_SKB_H
#define ZSYNC_JUDGE_SKB_H

#define ZSYNC_HOOK_DIMENSIONS ZSYNC_DIMENSIONS
#define ZSYNC_CONTEXT struct __sk_buff
#ifndef ZSYNC_FRAME_BYTES
#define ZSYNC_FRAME_BYTES(ctx) ((ctx)->len)
#define ZSYNC_COPY(ctx, to, bytes) bpf_skb_load_bytes(ctx, 0, to, bytes)
#endif
#define ZSYNC_SET_MARK(ctx, hit, value) ((ctx)->mark = (value))
#define ZSYNC_MERGED
#define ZSYNC_PACKETS(hit) ((hit)->packets)
#define ZSYNC_COUNTED_BYTES(hit) ((hit)->counted_bytes)

#include "generation.h"
#include "match.h"
#include "act.h"
#ifdef ZSYNC_HAS_SHAPE
#include "shaper.h"
#endif

/* Classes by the ids of cgroups and the indexes of interfaces. Only there while a rule asks; resized
 * before the load, filled before the program runs.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} names SEC(".maps");

ZSYNC_INLINE __u32 class_of_interface(__u32 ifindex)
{
	__u64 key = ZSYNC_INTERFACE_KEY | ifindex;
	__u32 *class = bpf_map_lookup_elem(&names, &key);

	return class ? *class : config.absent[ZSYNC_INTERFACE];
}

/* The class of the socket's cgroup: that of its nearest ancestor, or itself, that a rule names. */
ZSYNC_INLINE __u32 class_of_cgroup(struct __sk_buff *skb)
{
	__u32 found = config.absent[ZSYNC_CGROUP];
	int level;

	for (level = 0; level < ZSYNC_CGROUP_LEVELS_MAX; level++) {
		__u64 key = bpf_skb_ancestor_cgroup_id(skb, level);
		__u32 *class;

		if (!key)
			break;
		class = bpf_map_lookup_elem(&names, &key);
		if (class)
			found = *class;
	}
	return found;
}

/* The length of each packet that the skb stands for, but the last, by its own header. */
ZSYNC_INLINE void cut_length(struct __sk_buff *skb, const struct zsync_frame *frame,
			     struct scratch *room, __u32 network)
{
	__u32 header = 8;
	const __u8 *p;

	if (!skb->gso_size)
		return;
	if (room->packet.protocol == ZSYNC_PROTOCOL_TCP) {
		p = zsync_at(frame, room->cursor.offset, 20);
		if (!p)
			return;
		header = (p[12] >> 4) * 4;
	}
	room->packet.length = room->cursor.offset - network + header + skb->gso_size;
}

ZSYNC_INLINE enum zsync_malformed parse_skb(struct __sk_buff *skb, struct scratch *room,
					    int starts_at_network)
{
	struct zsync_frame frame = {
		.data = (const __u8 *)(long)skb->data,
		.data_end = (const __u8 *)(long)skb->data_end,
		.bytes = skb->len,
	};
	enum zsync_malformed reason;
	__u32 network = 0;

	zsync_parse_begin(&room->packet, &room->cursor);
	if (starts_at_network) {
		zsync_name_network(&room->packet, ZSYNC_BE16((__u16)skb->protocol));
		room->cursor.offset = 0;
		room->cursor.bytes = frame.bytes;
	} else {
		reason = zsync_parse_link(&frame, &room->packet, &room->cursor);
		if (reason)
			return reason;
		ZSYNC_MEET();
		network = room->cursor.offset;
	}
	reason = zsync_parse_network(&frame, &room->packet, &room->cursor);
	ZSYNC_MEET();
	if (!reason && config.used[ZSYNC_LENGTH])
		cut_length(skb, &frame, room, network);
	return reason;
}

#ifdef ZSYNC_HAS_SHAPE
/* Gives the skb the time that its class may leave at, for the qdisc fq; whether it is to be dropped. */
ZSYNC_INLINE int shape_skb(struct __sk_buff *skb, __u32 class, __u32 packets, __u32 bytes)
{
	struct zsync_shape_try try = {
		.packets = packets,
		.bytes = bytes,
		.now = bpf_ktime_get_ns() << ZSYNC_TICKS_PER_NS_LOG2,
		.flow = bpf_get_hash_recalc(skb),
	};
	__u64 depart;

	/* TCP says when it wants to send, of this clock alone. */
	if (skb->tstamp_type == BPF_SKB_CLOCK_MONOTONIC)
		try.earliest = skb->tstamp << ZSYNC_TICKS_PER_NS_LOG2;
	depart = zsync_shape(class, &try);
	if (!depart)
		return 1;
	skb->tstamp = depart >> ZSYNC_TICKS_PER_NS_LOG2;
	return 0;
}
#endif

/* Whether the skb is to be dropped. `reason` is what its parser said. */
ZSYNC_INLINE int judge_skb(struct __sk_buff *skb, struct zsync_stats *hook, struct scratch *room,
			   __u32 reason)
{
	__u32 packets = skb->gso_segs > 1 ? skb->gso_segs : 1;
	/* With segments to come wire_len has their headers. */
	__u32 bytes = ZSYNC_WIRE_BYTES(skb);
	__u32 drop = 0;
#ifdef ZSYNC_HAS_SHAPE
	__u32 class = 0;
#endif

	if (packets > 1)
		count(&hook->merged, 1, skb->len);
	if (reason) {
		ZSYNC_ADD(&hook->malformed_by[reason & ZSYNC_MALFORMED_COUNTERS], packets);
		count(&hook->malformed, packets, bytes);
		drop = config.malformed_drop;
	} else if (room->packet.network == ZSYNC_NETWORK_ARP) {
		count(&hook->arp, packets, bytes);
	} else {
		struct zsync_rule_counter *counter;
		__u32 rule, cell, slot;

		if (config.used[ZSYNC_INTERFACE])
			room->classes[ZSYNC_INTERFACE] = class_of_interface(ZSYNC_IFINDEX(skb));
		if (config.used[ZSYNC_CGROUP])
			room->classes[ZSYNC_CGROUP] = class_of_cgroup(skb);
		rule = zsync_match(&room->packet, room->classes);
		cell = ZSYNC_CELL(config.rule_cells + rule);
		slot = cell & ZSYNC_SLOT_MASK;
		counter = bpf_map_lookup_elem(&counters, &slot);
		if (!counter)
			return 1;
		count(&counter->matched, packets, bytes);
		drop = cell & ZSYNC_DROP;
		if (config.actions) {
			room->hit = (struct zsync_hit){
				rule, cell, ZSYNC_FRAME_BYTES(skb), drop, 0, packets, bytes
			};
			zsync_act(skb, hook, counter, &room->packet, &room->hit);
			ZSYNC_MEET();
			drop = room->hit.drop;
#ifdef ZSYNC_HAS_SHAPE
			if (zsync_does(&room->hit, ZSYNC_CLASS))
				class = zsync_argument(&room->hit, ZSYNC_CLASS);
#endif
		}
	}
#ifdef ZSYNC_HAS_SHAPE
	if (config.shapes && !drop && room->packet.network != ZSYNC_NETWORK_ARP)
		drop = shape_skb(skb, class, packets, bytes);
#endif
	if (drop)
		count(&hook->dropped, packets, bytes);
	else
		count(&hook->passed, packets, bytes);
	return drop != 0;
}

#endif
