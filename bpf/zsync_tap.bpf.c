// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * zsync's tap: copies of packets for the traffic analysis.
 *
 * It is attached by TCX in both directions while an interface is analysed, and not there otherwise:
 * the filter's own program pays nothing for it. It sees what the filter lets pass, and what the host
 * sends, and never decides: TCX_NEXT goes on to whatever else is attached.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"
#include "parse_skb.h"
#include "whole_frame.h"
#include "zsync_tap.h"

const volatile struct zsync_tap_config config SEC(".rodata.config");

/* Resized before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_tap_stats);
} tap_stats SEC(".maps");

/* The flow that used a cell last (24 bits of its hash), and how many packets it has had (8 bits).
 * Two CPUs may lose a count to each other: then one packet more is handed over whole.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ZSYNC_TAP_CELLS);
	__type(key, __u32);
	__type(value, __u32);
} young SEC(".maps");

struct scratch {
	struct zsync_packet packet;
	struct zsync_cursor cursor;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

enum {
	PORT_DNS = 53,
	PORT_DHCP_SERVER = 67,
	PORT_DHCP_CLIENT = 68,
	PORT_MDNS = 5353,
	PORT_LLMNR = 5355,
};

static __always_inline int is_message_port(__u16 port)
{
	return port == PORT_DNS || port == PORT_DHCP_SERVER || port == PORT_DHCP_CLIENT ||
	       port == PORT_MDNS || port == PORT_LLMNR;
}

/* Packets that are nothing but headers don't count, so that a connection is young until it has spoken. */
static __always_inline int is_young(struct __sk_buff *skb, __u32 hidden_link,
				    const struct zsync_packet *packet)
{
	__u32 hash = bpf_get_hash_recalc(skb);
	__u32 cell = hash & (ZSYNC_TAP_CELLS - 1);
	__u32 *value = bpf_map_lookup_elem(&young, &cell);
	__u32 mark = hash & 0xffffff00;
	int begins = packet->has_tcp_flags && (packet->tcp_flags & ZSYNC_TCP_SYN);
	__u32 count;

	if (!value)
		return 1;
	if (begins || (*value & 0xffffff00) != mark)
		*value = mark;
	count = *value & 0xff;
	if (skb->len + hidden_link <= ZSYNC_TAP_HEAD_BYTES || count >= ZSYNC_TAP_YOUNG_PACKETS)
		return 0;
	*value = mark | (count + 1);
	return 1;
}

/* Whether the parsers want to see more than the headers. In a flow of messages each one is an event of its
 * own, however old the flow: a tunnel through DNS is one flow for hours.
 */
static __always_inline int has_wanted_content(struct __sk_buff *skb, __u32 hidden_link)
{
	__u32 zero = 0;
	struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
	const struct zsync_packet *packet;

	if (!room)
		return 0;
	packet = &room->packet;
	if (zsync_parse_skb(skb, config.starts_at_network || hidden_link, &room->packet,
			    &room->cursor))
		return 0;
	ZSYNC_MEET();
	if (packet->has_ports &&
	    (is_message_port(packet->source_port) || is_message_port(packet->destination_port)))
		return 1;
	return is_young(skb, hidden_link, packet);
}

/* What of the frame is out of sight. */
struct hidden {
	__u32 link;
	__u32 tag;
};

static __always_inline struct hidden hidden_bytes(struct __sk_buff *skb, __u8 direction)
{
	struct hidden hidden = {};

	if (config.starts_at_network)
		return hidden;
	if (direction == ZSYNC_TAP_IN)
		hidden.link = zsync_hidden_link_bytes(skb);
	hidden.tag = zsync_hidden_tag_bytes(skb);
	return hidden;
}

/* `room` is a constant, as the ring buffer wants it; so each size is a copy of this. */
static __always_inline int hand_over(struct __sk_buff *skb, __u8 direction, struct hidden hidden,
				     const __u32 room, struct zsync_tap_stats *stats)
{
	__u32 packets = skb->gso_segs > 1 ? skb->gso_segs : 1;
	__u32 bytes = skb->len + hidden.link + hidden.tag;
	struct zsync_tap_record *record;

	if (bytes > room)
		bytes = room;
	record = bpf_ringbuf_reserve(&records, sizeof(*record) + room, 0);
	if (!record) {
		stats->lost++;
		return TCX_NEXT;
	}
	/* Two comparisons, which the compiler must not make one: the verifier would not see that it leaves
	 * out zero.
	 */
	asm volatile("" : "+r"(bytes));
	if (bytes == 0)
		goto discard;
	asm volatile("" : "+r"(bytes));
	if (bytes > room || zsync_copy_frame(skb, hidden.link, hidden.tag, record->data, bytes))
		goto discard;
	record->time_ns = bpf_ktime_get_ns();
	/* With segments to come wire_len has their headers; on the way in it lacks the link header. */
	record->wire_bytes = skb->wire_len > skb->len ? skb->wire_len : skb->len;
	record->wire_bytes += packets * hidden.tag + hidden.link;
	record->captured_bytes = bytes;
	record->direction = direction;
	record->reserved = 0;
	bpf_ringbuf_submit(record, 0);
	return TCX_NEXT;
discard:
	bpf_ringbuf_discard(record, 0);
	return TCX_NEXT;
}

static __always_inline int tap(struct __sk_buff *skb, __u8 direction)
{
	__u32 zero = 0;
	struct zsync_tap_stats *stats = bpf_map_lookup_elem(&tap_stats, &zero);
	struct hidden hidden;
	__u32 bytes;
	int wanted;

	if (!stats)
		return TCX_NEXT;
	stats->packets++;
	if (config.sample_every > 1 && bpf_get_prandom_u32() % config.sample_every != 0)
		return TCX_NEXT;
	stats->sampled++;
	hidden = hidden_bytes(skb, direction);
	wanted = config.for_capture || has_wanted_content(skb, hidden.link);
	bytes = skb->len + hidden.link + hidden.tag;
	if (bytes <= ZSYNC_TAP_HEAD_BYTES || !wanted)
		return hand_over(skb, direction, hidden, ZSYNC_TAP_HEAD_BYTES, stats);
	if (bytes <= ZSYNC_TAP_SHORT_BYTES)
		return hand_over(skb, direction, hidden, ZSYNC_TAP_SHORT_BYTES, stats);
	if (bytes <= ZSYNC_TAP_WIRE_BYTES || config.for_capture)
		return hand_over(skb, direction, hidden, ZSYNC_TAP_WIRE_BYTES, stats);
	return hand_over(skb, direction, hidden, ZSYNC_TAP_MERGED_BYTES, stats);
}

SEC("tcx/ingress")
int tap_in(struct __sk_buff *skb)
{
	return tap(skb, ZSYNC_TAP_IN);
}

SEC("tcx/egress")
int tap_out(struct __sk_buff *skb)
{
	return tap(skb, ZSYNC_TAP_OUT);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
