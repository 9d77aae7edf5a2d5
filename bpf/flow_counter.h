/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The packet's side of the flow table; see flow.h. Programs that use it run with bottom halves off, so
 * that nothing comes in between on the same CPU.
 */
#ifndef ZSYNC_FLOW_COUNTER_H
#define ZSYNC_FLOW_COUNTER_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"

const volatile struct zsync_flow_seed flow_seed SEC(".rodata.flow_seed");

/* Made by user space, to measure and only while flows are counted; lines are aligned because the map can be
 * mapped.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_flow_line);
} flow_lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_flow);
} flow_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_flow_stats);
} flow_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ZSYNC_FLOW_FRAGMENTS);
	__type(key, __u32);
	__type(value, __u64);
} flow_fragments SEC(".maps");

/* One packet at the table, in a map for what scratch in generation.h says. */
struct zsync_flow_try {
	struct zsync_flow_key key;
	__u64 name;
	__u64 word; /* that the flow gets */
	__u32 lines[2];
	__u32 place;
	__u32 from_high; /* the higher endpoint has sent it */
	__u32 packets;
	__u32 bytes;
	__u32 dropped; /* by the filter */
	__u32 trusted; /* no stranger could have made it: it gets a place in flood mode as well */
	__u16 source_port;
	__u16 destination_port;
};

#define ZSYNC_FLOW_NO_PLACE 0xffffffffu
/* Tries to change a word; each that fails is another CPU's that succeeded. */
#define ZSYNC_FLOW_TRIES 16

#ifdef __clang__
#define ZSYNC_FLOW_UNROLL _Pragma("clang loop unroll(full)")
#endif

ZSYNC_INLINE void zsync_flow_key_of(struct zsync_flow_try *try, const struct zsync_address *source,
				    const struct zsync_address *destination, __u32 source_port,
				    __u32 destination_port)
{
	struct zsync_flow_key *key = &try->key;
	int from_high = source->high > destination->high;

	if (source->high == destination->high) {
		from_high = source->low > destination->low;
		if (source->low == destination->low)
			from_high = source_port > destination_port;
	}
	try->from_high = from_high;
	if (from_high) {
		key->low[0] = destination->high;
		key->low[1] = destination->low;
		key->high[0] = source->high;
		key->high[1] = source->low;
		key->low_port = destination_port;
		key->high_port = source_port;
	} else {
		key->low[0] = source->high;
		key->low[1] = source->low;
		key->high[0] = destination->high;
		key->high[1] = destination->low;
		key->low_port = source_port;
		key->high_port = destination_port;
	}
}

/* The way in a line that has the name, or as many as there are. */
ZSYNC_INLINE __u32 zsync_flow_way(const struct zsync_flow_line *line, __u64 name)
{
	__u32 i;

	ZSYNC_FLOW_UNROLL
	for (i = 0; i < ZSYNC_FLOW_WAYS; i++) {
		if (*(volatile __u64 *)&line->words[i] == name)
			break;
	}
	return i;
}

/* Leaves the flow's place in try->place, or ZSYNC_FLOW_NO_PLACE. */
ZSYNC_INLINE void zsync_flow_find(struct zsync_flow_try *try, __u32 lines)
{
	__u64 hash = zsync_flow_hash(&try->key, &flow_seed);
	__u64 name = zsync_flow_name(hash);
	struct zsync_flow_line *line;
	__u32 index = zsync_flow_line_of(hash, 0, lines);
	__u32 way;

	try->name = name;
	try->place = ZSYNC_FLOW_NO_PLACE;
	try->lines[0] = index;
	line = bpf_map_lookup_elem(&flow_lines, &index);
	if (!line)
		return;
	try->lines[1] = zsync_flow_line_of(hash, 1, lines);
	way = zsync_flow_way(line, name);
	if (way == ZSYNC_FLOW_WAYS) {
		if (!*(volatile __u64 *)&line->words[ZSYNC_FLOW_ELSEWHERE])
			return;
		index = try->lines[1];
		line = bpf_map_lookup_elem(&flow_lines, &index);
		if (!line)
			return;
		way = zsync_flow_way(line, name);
		if (way == ZSYNC_FLOW_WAYS)
			return;
	}
	try->place = index * ZSYNC_FLOW_WORDS + way;
}

/* Without a branch: the verifier would walk all their combinations. */
ZSYNC_INLINE __u32 zsync_flow_used_ways(const struct zsync_flow_line *line)
{
	__u32 used = 0;
	__u32 i;

	ZSYNC_FLOW_UNROLL
	for (i = 0; i < ZSYNC_FLOW_WAYS; i++)
		used += *(volatile __u64 *)&line->words[i] & ZSYNC_FLOW_USED;
	return used;
}

enum { ZSYNC_FLOW_LINE_FULL, ZSYNC_FLOW_CLAIMED, ZSYNC_FLOW_THERE };

ZSYNC_INLINE int zsync_flow_claim(struct zsync_flow_try *try, struct zsync_flow_line *line, __u32 index)
{
	__u64 name = try->name;
	__u32 i;

	for (i = 0; i < ZSYNC_FLOW_WAYS; i++) {
		__u64 *word = &line->words[i];
		__u64 found = *(volatile __u64 *)word;

		if (!found)
			found = __sync_val_compare_and_swap(word, 0, name);
		if (found && found != name)
			continue;
		try->place = index * ZSYNC_FLOW_WORDS + i;
		return found ? ZSYNC_FLOW_THERE : ZSYNC_FLOW_CLAIMED;
	}
	return ZSYNC_FLOW_LINE_FULL;
}

ZSYNC_INLINE int zsync_flow_place(struct zsync_flow_try *try)
{
	__u32 index[2] = { try->lines[0], try->lines[1] };
	struct zsync_flow_line *line[2];
	__u64 *elsewhere;
	__u32 used;
	int claimed;

	line[0] = bpf_map_lookup_elem(&flow_lines, &index[0]);
	line[1] = bpf_map_lookup_elem(&flow_lines, &index[1]);
	if (!line[0] || !line[1])
		return ZSYNC_FLOW_LINE_FULL;
	used = zsync_flow_used_ways(line[0]);
	if (used < ZSYNC_FLOW_WAYS_RATHER_FULL || index[0] == index[1] ||
	    zsync_flow_used_ways(line[1]) >= used)
		return zsync_flow_claim(try, line[0], index[0]);
	/* Said before it is so: who looks in between looks in vain in one line more. */
	elsewhere = &line[0]->words[ZSYNC_FLOW_ELSEWHERE];
	__sync_fetch_and_add(elsewhere, 1);
	claimed = zsync_flow_claim(try, line[1], index[1]);
	if (claimed != ZSYNC_FLOW_CLAIMED)
		__sync_fetch_and_add(elsewhere, -1);
	return claimed;
}

/* Whether this CPU has made more flows in this second than it may. */
ZSYNC_INLINE int zsync_flow_too_fast(struct zsync_flow_stats *stats, const __u64 *shared)
{
	__u64 second = bpf_ktime_get_coarse_ns() >> 30 << 32;
	__u64 window = stats->window;

	if ((window ^ second) >> 32)
		window = second;
	stats->window = window + 1;
	return (__u32)window >= *(const volatile __u64 *)&shared[ZSYNC_FLOW_PER_SECOND_MAX];
}

ZSYNC_INLINE void zsync_flow_begin_flood(struct zsync_flow_stats *stats, __u64 *shared)
{
	if (!__sync_val_compare_and_swap(&shared[ZSYNC_FLOW_FLOOD], 0, 1))
		stats->floods++;
}

/* Makes the flow, and says whether it has a place. Counts of what is there are taken before a place is,
 * so no CPU goes over a limit.
 */
ZSYNC_INLINE int zsync_flow_make(struct zsync_flow_try *try, struct zsync_flow_stats *stats,
				 __u64 *shared)
{
	struct zsync_flow *flow;
	__u32 place;
	int claimed;

	if (!try->trusted) {
		if (*(volatile __u64 *)&shared[ZSYNC_FLOW_FLOOD])
			return 0;
		if (zsync_flow_too_fast(stats, shared)) {
			zsync_flow_begin_flood(stats, shared);
			return 0;
		}
	}
	if (__sync_fetch_and_add(&shared[ZSYNC_FLOW_UNANSWERED], 1) >=
		    *(volatile __u64 *)&shared[ZSYNC_FLOW_UNANSWERED_MAX] &&
	    !try->trusted) {
		zsync_flow_begin_flood(stats, shared);
		goto give_back_unanswered;
	}
	if (__sync_fetch_and_add(&shared[ZSYNC_FLOW_COUNT], 1) >=
	    *(volatile __u64 *)&shared[ZSYNC_FLOW_MAX]) {
		stats->refused_full += try->packets;
		goto give_back;
	}
	claimed = zsync_flow_place(try);
	ZSYNC_MEET();
	if (claimed != ZSYNC_FLOW_CLAIMED) {
		__sync_fetch_and_add(&shared[ZSYNC_FLOW_COUNT], -1);
		__sync_fetch_and_add(&shared[ZSYNC_FLOW_UNANSWERED], -1);
		if (claimed == ZSYNC_FLOW_THERE)
			return 1; /* another CPU was here first with the same flow */
		stats->refused_full += try->packets;
		return 0;
	}
	place = try->place;
	flow = bpf_map_lookup_elem(&flow_records, &place);
	if (!flow)
		return 0;
	flow->key = try->key;
	flow->first_ns = bpf_ktime_get_ns();
	stats->created++;
	return 1;
give_back:
	__sync_fetch_and_add(&shared[ZSYNC_FLOW_COUNT], -1);
give_back_unanswered:
	__sync_fetch_and_add(&shared[ZSYNC_FLOW_UNANSWERED], -1);
	return 0;
}

ZSYNC_INLINE void zsync_flow_add(struct zsync_flow *flow, const struct zsync_flow_try *try)
{
	struct zsync_flow_count *count = &flow->from[try->from_high & 1];

	__sync_fetch_and_add(&count->packets, try->packets);
	__sync_fetch_and_add(&count->bytes, try->bytes);
	if (try->dropped)
		__sync_fetch_and_add(&count->dropped, try->packets);
	flow->last_ns = bpf_ktime_get_coarse_ns(); /* to the tick, at a third of the price */
}

/* Brings the flow's word on. */
ZSYNC_INLINE void zsync_flow_step(struct zsync_flow *flow, struct zsync_flow_try *try,
				  const struct zsync_packet *packet, __u64 *shared)
{
	int i;

	for (i = 0; i < ZSYNC_FLOW_TRIES; i++) {
		__u64 before = *(volatile __u64 *)&flow->word;
		__u64 after;

		try->word = zsync_flow_next(before, packet, try->from_high);
		ZSYNC_MEET();
		after = try->word;
		if (after == before)
			return;
		if (__sync_val_compare_and_swap(&flow->word, before, after) != before)
			continue;
		if ((before ^ after) & ZSYNC_FLOW_WAS_ANSWERED)
			__sync_fetch_and_add(&shared[ZSYNC_FLOW_UNANSWERED], -1);
		return;
	}
}

ZSYNC_INLINE int zsync_flow_is_error(const struct zsync_packet *packet)
{
	__u32 type = packet->icmp >> 8;

	return packet->network == ZSYNC_NETWORK_IPV4 && packet->protocol == ZSYNC_PROTOCOL_ICMP &&
	       packet->has_icmp && (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

ZSYNC_INLINE int zsync_flow_has_ports(__u32 protocol)
{
	return protocol == ZSYNC_PROTOCOL_TCP || protocol == ZSYNC_PROTOCOL_UDP ||
	       protocol == ZSYNC_PROTOCOL_SCTP;
}

/* Counts an ICMP error, whose header is at `offset`, into the flow that it is about, if that is there. */
ZSYNC_INLINE int zsync_flow_count_error(const struct zsync_frame *frame, struct zsync_flow_try *try,
					__u32 offset, __u32 lines)
{
	struct zsync_address source = {}, destination = {};
	const __u8 *p = zsync_at(frame, offset + 8, 20);
	struct zsync_flow *flow;
	__u32 header, place;

	if (!p || p[0] >> 4 != 4 || !zsync_flow_has_ports(p[9]))
		return 0;
	header = (p[0] & 0xf) * 4;
	source.high = (__u64)zsync_load32(p + 12) << 32;
	destination.high = (__u64)zsync_load32(p + 16) << 32;
	try->key.protocol = p[9];
	p = zsync_at(frame, offset + 8 + (header < 20 ? 20 : header), 4);
	if (!p)
		return 0;
	zsync_flow_key_of(try, &source, &destination, zsync_load16(p), zsync_load16(p + 2));
	ZSYNC_MEET();
	zsync_flow_find(try, lines);
	ZSYNC_MEET();
	place = try->place;
	flow = bpf_map_lookup_elem(&flow_records, &place);
	if (!flow)
		return 0;
	try->from_high = !try->from_high; /* it goes to who sent what it is about */
	zsync_flow_add(flow, try);
	return 1;
}

/* Remembers the ports of a first fragment, or its ICMP conversation, or recalls them for another one. */
ZSYNC_INLINE int zsync_flow_recall_ports(struct zsync_flow_try *try, const struct zsync_packet *packet)
{
	__u64 word = (__u64)try->source_port << 16 | try->destination_port;
	__u64 hash, *place;
	__u32 index;

	hash = zsync_flow_mix(flow_seed.words[6], packet->source.high ^ packet->protocol);
	hash = zsync_flow_mix(hash, packet->source.low);
	hash = zsync_flow_mix(hash, packet->destination.high);
	hash = zsync_flow_mix(hash, packet->destination.low ^ packet->fragment_id);
	index = hash & (ZSYNC_FLOW_FRAGMENTS - 1);
	place = bpf_map_lookup_elem(&flow_fragments, &index);
	if (!place)
		return 0;
	hash = hash >> 32 << 32;
	if (packet->has_ports || packet->has_icmp) {
		*(volatile __u64 *)place = hash | word;
		return 1;
	}
	word = *(volatile __u64 *)place;
	if ((word ^ hash) >> 32 || !word)
		return 0;
	try->source_port = word >> 16;
	try->destination_port = word;
	return 1;
}

/* Counts a packet into its flow, which is made if there is none, in a table of so many lines. `transport` is
 * where its transport header is in the frame. The includer fills in packets, bytes, dropped and trusted of *try.
 */
ZSYNC_INLINE void zsync_flow_count_packet(const struct zsync_frame *frame,
					  const struct zsync_packet *packet, __u32 transport,
					  struct zsync_flow_try *try, __u32 lines)
{
	__u32 shared_line = ZSYNC_FLOW_SHARED_LINE(lines), zero = 0, place;
	struct zsync_flow_stats *stats;
	struct zsync_flow_line *line;
	struct zsync_flow *flow;
	__u64 *shared;

	if (packet->network != ZSYNC_NETWORK_IPV4 && packet->network != ZSYNC_NETWORK_IPV6)
		return;
	stats = bpf_map_lookup_elem(&flow_stats, &zero);
	line = bpf_map_lookup_elem(&flow_lines, &shared_line);
	if (!stats || !line)
		return;
	shared = line->words;
	try->key.network = packet->network;
	try->key.vlan = packet->vlan == ZSYNC_NO_VLAN ? 0 : packet->vlan;
	try->key.inner_vlan = packet->inner_vlan == ZSYNC_NO_VLAN ? 0 : packet->inner_vlan;
	ZSYNC_MEET();
	if (zsync_flow_is_error(packet) && zsync_flow_count_error(frame, try, transport, lines))
		return;
	ZSYNC_MEET();
	try->source_port = packet->has_ports ? packet->source_port : 0;
	try->destination_port = packet->has_ports ? packet->destination_port : 0;
	if (packet->has_icmp) {
		try->source_port = zsync_flow_icmp(packet->network, packet->icmp >> 8);
		try->destination_port = try->source_port;
	}
	if (packet->fragment &&
	    (zsync_flow_has_ports(packet->protocol) || packet->protocol == ZSYNC_PROTOCOL_ICMP ||
	     packet->protocol == ZSYNC_PROTOCOL_ICMPV6) &&
	    !zsync_flow_recall_ports(try, packet)) {
		stats->stray += try->packets;
		stats->stray_bytes += try->bytes;
		return;
	}
	ZSYNC_MEET();
	try->key.protocol = packet->protocol;
	zsync_flow_key_of(try, &packet->source, &packet->destination, try->source_port,
			  try->destination_port);
	ZSYNC_MEET();
	zsync_flow_find(try, lines);
	ZSYNC_MEET();
	place = try->place;
	flow = bpf_map_lookup_elem(&flow_records, &place);
	if (flow && packet->has_tcp_flags && zsync_flow_opens(packet->tcp_flags) &&
	    (flow->word & ZSYNC_FLOW_STATE_MASK) >= ZSYNC_FLOW_CLOSED) {
		__u32 index = place / ZSYNC_FLOW_WORDS;

		line = bpf_map_lookup_elem(&flow_lines, &index);
		if (line && __sync_val_compare_and_swap(&line->words[place & (ZSYNC_FLOW_WORDS - 1)],
							try->name,
							try->name | ZSYNC_FLOW_RETIRED) == try->name)
			stats->replaced++;
		flow = 0;
	}
	ZSYNC_MEET();
	if (!flow) {
		if (!zsync_flow_make(try, stats, shared)) {
			stats->refused += try->packets;
			stats->refused_bytes += try->bytes;
			return;
		}
		ZSYNC_MEET();
		place = try->place;
		flow = bpf_map_lookup_elem(&flow_records, &place);
		if (!flow)
			return;
	}
	zsync_flow_step(flow, try, packet, shared);
	zsync_flow_add(flow, try);
}

#endif
