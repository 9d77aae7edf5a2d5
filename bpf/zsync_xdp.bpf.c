// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * zsync's XDP program: parse, match, count, act, verdict.
 *
 * One object is one generation of one interface's rules. Its tables are read-only arrays that
 * userspace sizes and fills before the load; its counters are maps that outlive generations. Of
 * kernel structures it touches one field, relocated at the load, which is on any kernel from 6.12
 * that describes its types (CONFIG_DEBUG_INFO_BTF).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define ZSYNC_HAS_CHALLENGE

#define ZSYNC_HAS_FLOWS

#define ZSYNC_MARKS_LATER

#include "generation.h"

#define ZSYNC_CONTEXT struct xdp_md
#define ZSYNC_COPY(ctx, to, bytes) bpf_xdp_load_bytes(ctx, 0, to, bytes)
#define ZSYNC_STARTS_AT_NETWORK config.starts_at_network
#define ZSYNC_HAS_REDIRECT
#define ZSYNC_SET_MARK(ctx, hit, value) ((hit)->marked = 1, (hit)->mark = (value))
#define ZSYNC_PACKETS(hit) 1
#define ZSYNC_COUNTED_BYTES(hit) ((hit)->bytes)

/* AF_XDP sockets by queue, shared by generations. Resized before the load, and not made where
 * nothing goes to sockets.
 */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

#include "match.h"
#include "act.h"
#include "challenge.h"

/* What the kernel knows of a frame, of which this is all that is asked. */
struct xdp_buff {
	__u32 flags;
} __attribute__((preserve_access_index));

enum xdp_buff_flags {
	XDP_FLAGS_HAS_FRAGS = 1,
};

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

/* The helper's call costs a packet 9 ns where returns are guarded against speculation, so it is made
 * only for a frame in several buffers. The cast is no call: the verifier makes it a move.
 */
ZSYNC_INLINE __u32 zsync_frame_bytes(struct xdp_md *ctx)
{
	const struct xdp_buff *frame = bpf_cast_to_kern_ctx(ctx);

	if (frame->flags & bpf_core_enum_value(enum xdp_buff_flags, XDP_FLAGS_HAS_FRAGS))
		return bpf_xdp_get_buff_len(ctx);
	return ctx->data_end - ctx->data;
}

/* Rules with one of these leave records before packets. */
#define HANDS_OVER (config.actions & (1U << ZSYNC_MARK | 1U << ZSYNC_CHALLENGE))

/* Writes what handover.h says before a packet that passes; whether something that is to be done has found
 * no room there: such a packet must not go on.
 */
ZSYNC_INLINE int zsync_hand_over(struct xdp_md *ctx, const struct scratch *room)
{
	const struct zsync_handover_record *request = &room->challenge.left;
	__u8 does = room->hit.marked ? ZSYNC_HANDOVER_MARK : 0;
	struct zsync_handover_record *left;
	__u8 *before;

	if (config.actions >> ZSYNC_CHALLENGE & 1)
		does |= request->does;
	if (bpf_xdp_adjust_meta(ctx, -ZSYNC_HANDOVER_BYTES))
		return does;
	before = (__u8 *)(long)ctx->data_meta;
	if (before + ZSYNC_HANDOVER_BYTES > (__u8 *)(long)ctx->data)
		return does;
	/* GRO compares all of it. */
	__builtin_memset(before, 0, ZSYNC_HANDOVER_BYTES);
	left = (struct zsync_handover_record *)(before + ZSYNC_HANDOVER_AT);
	if (!does)
		return 0;
	if (does & ZSYNC_HANDOVER_REQUEST)
		*left = *request;
	left->token = config.handover.token;
	left->mark = room->hit.mark;
	left->does = does;
	return 0;
}

SEC("xdp.frags")
int zsync_xdp(struct xdp_md *ctx)
{
	struct zsync_frame frame = {
		.data = (const __u8 *)(long)ctx->data,
		.data_end = (const __u8 *)(long)ctx->data_end,
		.bytes = zsync_frame_bytes(ctx),
	};
	struct zsync_stats *interface;
	struct scratch *room;
	__u32 zero = 0, drop = 0;
	__u32 reason;

	interface = bpf_map_lookup_elem(&stats, &zero);
	room = bpf_map_lookup_elem(&scratch, &zero);
	if (!interface || !room)
		return XDP_ABORTED;
	reason = config.starts_at_network ?
			 zsync_parse_bare(&frame, &room->packet, &room->cursor) :
			 zsync_parse(&frame, &room->packet, &room->cursor);
	ZSYNC_MEET();
	if (reason) {
		interface->malformed_by[reason & ZSYNC_MALFORMED_COUNTERS]++;
		count(&interface->malformed, 1, frame.bytes);
		drop = config.malformed_drop;
	} else if (room->packet.network == ZSYNC_NETWORK_ARP) {
		count(&interface->arp, 1, frame.bytes);
	} else {
		__u32 rule = zsync_match(&room->packet, room->classes);
		__u32 cell = ZSYNC_CELL(config.rule_cells + rule);
		__u32 slot = cell & ZSYNC_SLOT_MASK;
		struct zsync_rule_counter *counter = bpf_map_lookup_elem(&counters, &slot);

		if (!counter)
			return XDP_ABORTED;
		count(&counter->matched, 1, frame.bytes);
		drop = cell & ZSYNC_DROP;
		if (config.actions) {
			room->hit = (struct zsync_hit){ rule, cell, frame.bytes, drop, 0, 0, 0 };
			zsync_act(ctx, interface, counter, &room->packet, &room->hit);
			ZSYNC_MEET();
			drop = room->hit.drop;
			if (zsync_does(&room->hit, ZSYNC_CHALLENGE) && !drop) {
				int action = zsync_challenge(ctx, interface, &room->packet,
							     &room->cursor, &room->challenge);

				room->challenge.answered = action == XDP_TX;
				drop = action != XDP_PASS;
			}
		}
	}
	if (HANDS_OVER) {
		if (!drop && zsync_hand_over(ctx, room)) {
			interface->unmarked++;
			drop = 1;
		}
		room->hit.marked = 0;
		room->challenge.left.does = 0;
	}
	if (config.flow_lines && !reason) {
		/* A challenge may have moved the frame. */
		struct zsync_frame judged = {
			.data = (const __u8 *)(long)ctx->data,
			.data_end = (const __u8 *)(long)ctx->data_end,
		};

		room->flow.packets = 1;
		room->flow.bytes = frame.bytes;
		room->flow.dropped = drop;
		room->flow.trusted = 0;
		zsync_flow_count_packet(&judged, &room->packet, room->cursor.offset, &room->flow,
					config.flow_lines);
		ZSYNC_MEET();
	}
	if (drop) {
		count(&interface->dropped, 1, frame.bytes);
		if (config.actions >> ZSYNC_CHALLENGE & 1 && room->challenge.answered) {
			room->challenge.answered = 0;
			if (config.answers_redirected)
				return bpf_redirect(ctx->ingress_ifindex, 0);
			return XDP_TX;
		}
		return XDP_DROP;
	}
	count(&interface->passed, 1, frame.bytes);
	if (config.actions >> ZSYNC_REDIRECT & 1 && room->hit.redirected) {
		room->hit.redirected = 0;
		interface->redirected++;
		return XDP_REDIRECT;
	}
	if (config.to_sockets)
		return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
