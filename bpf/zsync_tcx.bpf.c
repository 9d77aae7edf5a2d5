// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * zsync's program for what a device sends, by TCX: parse, match, count, act, verdict.
 *
 * It runs with bottom halves off, so nothing comes in between on the same CPU.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "whole_frame.h"
#include "zsync_xdp.h"

#define ZSYNC_STARTS_AT_NETWORK config.starts_at_network
/* Captures alone look at what is received, which may hide its link header. */
#define HIDDEN_LINK_BYTES(skb) \
	(config.receives && !config.starts_at_network ? zsync_hidden_link_bytes(skb) : 0)
/* Samples alone show it. */
#define HIDDEN_TAG_BYTES(skb)                                              \
	(config.actions >> ZSYNC_SAMPLE & 1 && !config.starts_at_network ? \
		 zsync_hidden_tag_bytes(skb) :                             \
		 0)
#define ZSYNC_FRAME_BYTES(skb) ((skb)->len + HIDDEN_LINK_BYTES(skb) + HIDDEN_TAG_BYTES(skb))
#define ZSYNC_COPY(skb, to, bytes) \
	zsync_copy_frame(skb, HIDDEN_LINK_BYTES(skb), HIDDEN_TAG_BYTES(skb), to, bytes)
#define ZSYNC_WIRE_BYTES(skb) ((skb)->wire_len > (skb)->len ? (skb)->wire_len : (skb)->len)
/* Where a forwarded packet came in; a packet of this host has none. */
#define ZSYNC_IFINDEX(skb) ((skb)->ingress_ifindex)
#define ZSYNC_HAS_SHAPE

#include "judge_skb.h"

/* All headers of nearly every packet, for when they are not where a program can look. */
#define PULL_BYTES 512

SEC("tcx/egress")
int zsync_tcx(struct __sk_buff *skb)
{
	struct zsync_stats *hook;
	struct scratch *room;
	int at_network;
	__u32 zero = 0;
	__u32 reason;

	hook = bpf_map_lookup_elem(&stats, &zero);
	room = bpf_map_lookup_elem(&scratch, &zero);
	if (!hook || !room)
		return TCX_DROP;
	at_network = config.starts_at_network || HIDDEN_LINK_BYTES(skb);
	reason = parse_skb(skb, room, at_network);
	if (reason == ZSYNC_MALFORMED_headers_split) {
		bpf_skb_pull_data(skb, skb->len < PULL_BYTES ? skb->len : PULL_BYTES);
		reason = parse_skb(skb, room, at_network);
	}
	if (config.used[ZSYNC_VLAN] && skb->vlan_present)
		room->packet.vlan = skb->vlan_tci & 0xfff;
	return judge_skb(skb, hook, room, reason) ? TCX_DROP : TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
