// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * zsync's XDP program: parse, match, count, act, verdict.
 *
 * One object is one generation of one interface's rules. Its tables are read-only arrays that
 * userspace sizes and fills before the load; its counters are maps that outlive generations. It
 * touches no kernel structure, so it needs no CO-RE relocation to load on any kernel from 6.12.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"
#include "zsync_xdp.h"

/* Read-only for the program and frozen by libbpf: the verifier knows its values. In a section of its
 * own because the compiler adds tables to .rodata.
 */
const volatile struct zsync_config config SEC(".rodata.config");

/* Resized before the load; each is the only variable of its section, so that it can be. */
const volatile __u32 cells[1] SEC(".rodata.cells");
const volatile struct zsync_node nodes[1] SEC(".rodata.nodes");
const volatile __u64 buckets[1] SEC(".rodata.buckets");
const volatile __u64 bitmaps[1] SEC(".rodata.bitmaps");

/* A slot a rule. Resized before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_stats);
} stats SEC(".maps");

/*
 * What is known of the packet at hand. In a map and not on the stack because the verifier does not
 * remember what is written to a map: ways that meet again look alike to it, and it walks on from
 * there once (7,300 instructions in all; on the stack 479,000, and half a second to load). Functions
 * of their own would do the same, but where returns are guarded against speculation (AMD's SRSO)
 * each call costs a packet 20 ns.
 */
struct scratch {
	struct zsync_packet packet;
	struct zsync_cursor cursor;
	__u32 classes[ZSYNC_DIMENSIONS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* Hides from the compiler that the arrays have one element: it would only ever read that one. */
#define RESIZED(array)                                 \
	({                                             \
		const volatile typeof(*(array)) *p = array; \
		asm("" : "+r"(p));                     \
		p;                                     \
	})

#define ZSYNC_CONFIG config
#define ZSYNC_CELL(i) RESIZED(cells)[(i) & config.cells_mask]
#define ZSYNC_NODE(i) (RESIZED(nodes) + ((i) & config.nodes_mask))
#define ZSYNC_BUCKET(i) RESIZED(buckets)[(i) & config.buckets_mask]
#define ZSYNC_BITMAP(i) RESIZED(bitmaps)[(i) & config.bitmaps_mask]

#define ZSYNC_CONTEXT struct xdp_md
#define ZSYNC_COPY(ctx, to, bytes) bpf_xdp_load_bytes(ctx, 0, to, bytes)

#include "match.h"
#include "act.h"

/* XDP runs with bottom halves off and each CPU has its own record: a plain add loses nothing. */
static __always_inline void count(struct zsync_counter *counter, __u32 bytes)
{
	counter->packets++;
	counter->bytes += bytes;
}

SEC("xdp.frags")
int zsync_xdp(struct xdp_md *ctx)
{
	struct zsync_frame frame = {
		.data = (const __u8 *)(long)ctx->data,
		.data_end = (const __u8 *)(long)ctx->data_end,
		.bytes = bpf_xdp_get_buff_len(ctx),
	};
	struct zsync_stats *interface;
	struct scratch *room;
	__u32 zero = 0, drop = 0;
	__u32 reason;

	interface = bpf_map_lookup_elem(&stats, &zero);
	room = bpf_map_lookup_elem(&scratch, &zero);
	if (!interface || !room)
		return XDP_ABORTED;
	reason = zsync_parse(&frame, &room->packet, &room->cursor);
	ZSYNC_MEET();
	if (reason) {
		interface->malformed_by[reason & ZSYNC_MALFORMED_COUNTERS]++;
		count(&interface->malformed, frame.bytes);
		drop = config.malformed_drop;
	} else if (room->packet.network == ZSYNC_NETWORK_ARP) {
		count(&interface->arp, frame.bytes);
	} else {
		__u32 rule = zsync_match(&room->packet, room->classes);
		__u32 cell = ZSYNC_CELL(config.rule_cells + rule);
		__u32 slot = cell & ZSYNC_SLOT_MASK;
		struct zsync_counter *counter = bpf_map_lookup_elem(&counters, &slot);

		if (counter)
			count(counter, frame.bytes);
		drop = cell & ZSYNC_DROP;
		if (config.actions) {
			struct zsync_hit hit = { rule, cell, frame.bytes, drop };

			zsync_act(ctx, interface, &hit);
			drop = hit.drop;
		}
	}
	if (drop) {
		count(&interface->dropped, frame.bytes);
		return XDP_DROP;
	}
	count(&interface->passed, frame.bytes);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
