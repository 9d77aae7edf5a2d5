// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What a device sends, counted into the flow table of what it receives. It is attached by TCX behind all
 * others while flows are counted, so it sees what they let go, and never decides.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "flow_counter.h"
#include "parse_skb.h"

const volatile struct {
	__u32 starts_at_network; /* the device's frames have no link header */
	__u32 lines; /* of the table */
} config SEC(".rodata.config");

struct scratch {
	struct zsync_packet packet;
	struct zsync_cursor cursor;
	struct zsync_flow_try flow;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#define VLAN_TAG_BYTES 4

/* A connection of this host, which only the host itself can have made: it begins it, or has more to say in
 * it than strangers make a host say.
 */
ZSYNC_INLINE int is_own(struct __sk_buff *skb, const struct zsync_packet *packet)
{
	return !skb->ingress_ifindex && packet->has_tcp_flags &&
	       !(packet->tcp_flags & ZSYNC_TCP_RST) &&
	       (packet->tcp_flags & (ZSYNC_TCP_SYN | ZSYNC_TCP_ACK)) !=
		       (ZSYNC_TCP_SYN | ZSYNC_TCP_ACK);
}

SEC("tcx/egress")
int zsync_flows_out(struct __sk_buff *skb)
{
	__u32 bytes = skb->wire_len > skb->len ? skb->wire_len : skb->len;
	__u32 packets = skb->gso_segs > 1 ? skb->gso_segs : 1;
	struct zsync_frame frame;
	struct scratch *room;
	__u32 zero = 0;
	__u32 reason;

	room = bpf_map_lookup_elem(&scratch, &zero);
	if (!room)
		return TCX_NEXT;
	reason = zsync_parse_skb(skb, config.starts_at_network, &room->packet, &room->cursor);
	if (reason)
		return TCX_NEXT;
	ZSYNC_MEET();
	if (skb->vlan_present) {
		room->packet.inner_vlan = room->packet.vlan;
		room->packet.vlan = skb->vlan_tci & 0xfff;
		bytes += packets * VLAN_TAG_BYTES;
	}
	room->flow.packets = packets;
	room->flow.bytes = bytes;
	room->flow.dropped = 0;
	room->flow.trusted = is_own(skb, &room->packet);
	frame = zsync_frame_of(skb);
	zsync_flow_count_packet(&frame, &room->packet, room->cursor.offset, &room->flow,
				config.lines);
	return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
