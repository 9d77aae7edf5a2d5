/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The packet's side of the action `limit`; see limit.h. The includer defines ZSYNC_CONFIG, and
 * ZSYNC_LIMIT_AT(i), the limit of that index.
 */
#ifndef ZSYNC_LIMITER_H
#define ZSYNC_LIMITER_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "limit_state.h"
#include "match.h"

/* Made only for rules that limit; lines are aligned because the map can be mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, union zsync_limit_line);
} limit_lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_limit_seen);
} limit_keys SEC(".maps");

/* One packet at the limiter. */
struct zsync_limit_try {
	__u64 now_ns;
	__u64 name;
	__u32 packets; /* of one skb, that are judged at once: all pass if the first does */
	__u32 bytes;
	__u32 slot; /* of the rule */
};

#define ZSYNC_NO_ENTRY 0xffffffffu
/* 1 when both names are the same, else 0, without a branch: which way a key is in cannot be
 * predicted.
 */
ZSYNC_INLINE __u32 zsync_is_same(__u64 a, __u64 b)
{
	__u64 difference = (a ^ b) << (64 - ZSYNC_NAME_OVER_SHIFT);

	return ~(difference | -difference) >> 63;
}

ZSYNC_INLINE __u32 zsync_limit_find(const union zsync_limit_line *line, __u64 name)
{
	__u32 in_0 = zsync_is_same(*(const volatile __u64 *)&line->entries[0].name, name);
	__u32 in_1 = zsync_is_same(*(const volatile __u64 *)&line->entries[1].name, name);
	__u32 in_2 = zsync_is_same(*(const volatile __u64 *)&line->entries[2].name, name);
	__u32 in_3 = zsync_is_same(*(const volatile __u64 *)&line->entries[3].name, name);

	if (!(in_0 | in_1 | in_2 | in_3))
		return ZSYNC_NO_ENTRY;
	return in_1 + 2 * in_2 + 3 * in_3;
}

/* Takes an entry that nobody has had, or with `used` one that is as new: before those that others may
 * come back to.
 */
ZSYNC_INLINE __u32 zsync_limit_claim(union zsync_limit_line *line, __u64 name, __u64 now_ns, int used)
{
	__u32 i;

	ZSYNC_UNROLL
	for (i = 0; i < ZSYNC_LIMIT_WAYS; i++) {
		__u64 *place = &line->entries[i].name;
		__u64 before = *(volatile __u64 *)place;
		__u64 state = *(volatile __u64 *)&line->entries[i].state;
		__u64 found;

		if (zsync_is_same(before, name))
			return i; /* another CPU was here first with the same key */
		if (used ? !zsync_limit_is_fresh(before, state, now_ns) : before != 0)
			continue;
		found = __sync_val_compare_and_swap(place, before, name);
		if (found == before) {
			/* What it held is nothing to its new key, unless it counted otherwise. */
			if ((before ^ name) & (ZSYNC_NAME_SLIDING | ZSYNC_NAME_WINDOW))
				__sync_val_compare_and_swap(&line->entries[i].state, state, 0);
			return i;
		}
		if (zsync_is_same(found, name))
			return i;
	}
	return ZSYNC_NO_ENTRY;
}

#define ZSYNC_IN_SECOND ZSYNC_LIMIT_WAYS

/* An entry for a new key: its number, with ZSYNC_IN_SECOND in the second line. */
ZSYNC_INLINE __u32 zsync_limit_place(union zsync_limit_line *first, union zsync_limit_line *second,
				     __u64 name, __u64 now_ns)
{
	__u32 way = zsync_limit_claim(first, name, now_ns, 0);

	if (way != ZSYNC_NO_ENTRY)
		return way;
	way = zsync_limit_claim(second, name, now_ns, 0);
	if (way != ZSYNC_NO_ENTRY)
		return way | ZSYNC_IN_SECOND;
	way = zsync_limit_claim(first, name, now_ns, 1);
	if (way != ZSYNC_NO_ENTRY)
		return way;
	way = zsync_limit_claim(second, name, now_ns, 1);
	if (way != ZSYNC_NO_ENTRY)
		return way | ZSYNC_IN_SECOND;
	return ZSYNC_NO_ENTRY;
}

/* The cost that an adaptive limit has by now. */
ZSYNC_INLINE __u64 zsync_limit_cost(const volatile struct zsync_limit *limit, __u32 slot)
{
	__u32 index = ZSYNC_LIMIT_LINES + slot / ZSYNC_LIMIT_COSTS_PER_LINE;
	union zsync_limit_line *line = bpf_map_lookup_elem(&limit_lines, &index);
	__u64 cost = 0;

	if (line)
		cost = *(volatile __u64 *)&line->words[slot & (ZSYNC_LIMIT_COSTS_PER_LINE - 1)];
	return cost ? cost : limit->cost;
}

ZSYNC_INLINE int zsync_limit_decide(__u64 *state, const volatile struct zsync_limit *limit,
				   const struct zsync_limit_try *try)
{
	__u32 packets = try->packets;
	__u64 cost = packets, first = 1, each = limit->cost, burst = limit->burst_cost;

	if (limit->in_bytes) {
		cost = try->bytes;
		first = packets > 1 ? cost / packets : cost;
	}
	if (ZSYNC_CONFIG.limits_sliding && limit->algorithm == ZSYNC_LIMIT_SLIDING)
		return zsync_sliding(state, try->now_ns, zsync_window_length(limit->window), first,
				     cost, limit->burst);
	if (ZSYNC_CONFIG.limits_adaptive && limit->algorithm == ZSYNC_LIMIT_ADAPTIVE)
		each = zsync_limit_cost(limit, try->slot);
	cost *= each;
	first *= each;
	if (limit->in_bytes) {
		cost >>= ZSYNC_BYTE_COST_LOG2;
		first >>= ZSYNC_BYTE_COST_LOG2;
	}
	/* An adaptive burst is a time; at the lowest rates it is one packet. */
	if (ZSYNC_CONFIG.limits_adaptive && burst < first && limit->algorithm == ZSYNC_LIMIT_ADAPTIVE)
		burst = first;
	return zsync_gcra(state, try->now_ns << ZSYNC_TICKS_PER_NS_LOG2, first, cost, burst);
}

/* What a packet's key is made of, without what is the rule's alone. */
ZSYNC_INLINE void zsync_limit_key_of(struct zsync_limit_key *key,
				     const volatile struct zsync_limit *limit,
				     const struct zsync_packet *packet, __u64 place)
{
	__u32 parts = limit->key & ZSYNC_CONFIG.limit_parts;
	__u64 mask[2] = { 0, 0 }, ports = packet->network;

	if (packet->network == ZSYNC_NETWORK_IPV4) {
		mask[0] = (__u64)limit->ipv4_mask << 32;
	} else if (packet->network == ZSYNC_NETWORK_IPV6) {
		mask[0] = limit->ipv6_mask[0];
		mask[1] = limit->ipv6_mask[1];
	}
	key->source[0] = parts & ZSYNC_LIMIT_BY_SOURCE ? packet->source.high & mask[0] : 0;
	key->source[1] = parts & ZSYNC_LIMIT_BY_SOURCE ? packet->source.low & mask[1] : 0;
	key->destination[0] = parts & ZSYNC_LIMIT_BY_DESTINATION ? packet->destination.high & mask[0] : 0;
	key->destination[1] = parts & ZSYNC_LIMIT_BY_DESTINATION ? packet->destination.low & mask[1] : 0;
	if (packet->has_ports) {
		if (parts & (ZSYNC_LIMIT_BY_DPORT | ZSYNC_LIMIT_BY_FLOW))
			ports |= (__u64)packet->destination_port << 32;
		if (parts & ZSYNC_LIMIT_BY_FLOW)
			ports |= (__u64)packet->source_port << 48;
	}
	if (parts & ZSYNC_LIMIT_BY_FLOW && packet->network != ZSYNC_NETWORK_OTHER)
		ports |= (__u64)packet->protocol << 16;
	if (parts & ZSYNC_LIMIT_BY_PLACE)
		key->source[0] = place;
	key->ports = ports;
}

/* Whether a packet is over its rule's limit. `place` is the part of its key that no header says. */
ZSYNC_INLINE int zsync_limit_over(const volatile struct zsync_limit *limit,
				  const struct zsync_packet *packet, __u64 place, __u32 packets,
				  __u32 bytes, __u32 slot)
{
	struct zsync_limit_try try = { .packets = packets, .bytes = bytes, .slot = slot };
	struct zsync_limit_key key;
	union zsync_limit_line *line;
	struct zsync_limit_seen *seen;
	__u32 index, way, other;
	__u64 hash;
	int over;

	/* First: asking the clock waits for all that was begun, and what comes behind it waits for nobody. */
	try.now_ns = bpf_ktime_get_ns();
	zsync_limit_key_of(&key, limit, packet, place);
	hash = zsync_limit_hash(&key, limit->key & ZSYNC_CONFIG.limit_parts, limit->start);
	try.name = (hash & ZSYNC_NAME_HASH) | ZSYNC_NAME_USED;
	if (ZSYNC_CONFIG.limits_sliding && limit->algorithm == ZSYNC_LIMIT_SLIDING)
		try.name |= ZSYNC_NAME_SLIDING | limit->window;
	index = hash >> 4 & (ZSYNC_LIMIT_LINES - 1);
	other = hash >> 40 & (ZSYNC_LIMIT_LINES - 1);
	line = bpf_map_lookup_elem(&limit_lines, &index);
	if (!line)
		return 1;
	way = zsync_limit_find(line, try.name);
	if (way == ZSYNC_NO_ENTRY) {
		union zsync_limit_line *second = bpf_map_lookup_elem(&limit_lines, &other);

		if (!second)
			return 1;
		way = zsync_limit_find(second, try.name);
		if (way == ZSYNC_NO_ENTRY) {
			__u32 taken = zsync_limit_place(line, second, try.name, try.now_ns);

			if (taken & ZSYNC_IN_SECOND) {
				index = other;
				line = second;
			}
			way = taken == ZSYNC_NO_ENTRY ? taken : taken & ~ZSYNC_IN_SECOND;
			if (way != ZSYNC_NO_ENTRY) {
				__u32 at = index * ZSYNC_LIMIT_WAYS + way;

				seen = bpf_map_lookup_elem(&limit_keys, &at);
				if (seen) {
					/* Made once more, so that it need not be kept for what comes rarely. */
					zsync_limit_key_of(&seen->key, limit, packet, place);
					seen->key.id = limit->id;
					seen->key.shown = limit->shown;
					seen->limited = 0;
					seen->start = limit->start;
				}
			}
		} else {
			index = other;
			line = second;
		}
	}
	if (way == ZSYNC_NO_ENTRY) {
		index = ZSYNC_LIMIT_SHARED_LINE(slot) + (hash >> 60 & 1);
		line = bpf_map_lookup_elem(&limit_lines, &index);
		if (!line)
			return 1;
		return zsync_limit_decide(&line->words[hash >> 57 & ZSYNC_LIMIT_SHARED_MASK], limit,
					 &try);
	}
	way &= ZSYNC_LIMIT_WAYS - 1;
	over = zsync_limit_decide(&line->entries[way].state, limit, &try);
	if (over) {
		__u64 before = __sync_fetch_and_add(&line->entries[way].name,
						    (__u64)packets << ZSYNC_NAME_OVER_SHIFT);
		__u64 sum = (before >> ZSYNC_NAME_OVER_SHIFT) + packets;

		if (sum > ZSYNC_NAME_OVER_MAX) {
			index = index * ZSYNC_LIMIT_WAYS + way;
			seen = bpf_map_lookup_elem(&limit_keys, &index);
			if (seen)
				__sync_fetch_and_add(&seen->limited,
						     sum & ~(__u64)ZSYNC_NAME_OVER_MAX);
		}
	}
	return over;
}

#endif
