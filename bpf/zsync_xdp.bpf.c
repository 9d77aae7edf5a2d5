// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * zsync's XDP program: parse, match, count, verdict.
 *
 * One object is one generation of one interface's rules. Its tables are read-only arrays that
 * userspace sizes and fills before the load; its counters are maps that outlive generations. It
 * touches no kernel structure, so it needs no CO-RE relocation to load on any kernel from 6.12.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"
#include "zsync_xdp.h"

/* Read-only for the program and frozen by libbpf: the verifier knows its values. */
const volatile struct zsync_config config;

/* Resized before the load; each is the only variable of its section, so that it can be. */
const volatile __u32 cells[1] SEC(".rodata.cells");
const volatile struct zsync_node nodes[1] SEC(".rodata.nodes");
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
#define ZSYNC_BITMAP(i) RESIZED(bitmaps)[(i) & config.bitmaps_mask]
#define ZSYNC_WALK_IPV6(root, high, low) zsync_walk_ipv6(root, high, low)

__u32 zsync_walk_ipv6(__u32 root, __u64 high, __u64 low);

#include "match.h"

/* A function of its own: the verifier walks its long loop once, whatever calls it. */
__attribute__((noinline)) __u32 zsync_walk_ipv6(__u32 root, __u64 high, __u64 low)
{
	return zsync_walk(root, high, low, ZSYNC_IPV6_STEPS_MAX);
}

/* XDP runs with bottom halves off and each CPU has its own record: a plain add loses nothing. */
static __always_inline void count(struct zsync_counter *counter, __u32 bytes)
{
	counter->packets++;
	counter->bytes += bytes;
}

SEC("xdp.frags")
int zsync_xdp(struct xdp_md *ctx)
{
	const void *data = (const void *)(long)ctx->data;
	const void *data_end = (const void *)(long)ctx->data_end;
	struct zsync_packet packet = { .vlan = ZSYNC_NO_VLAN };
	__u32 bytes = bpf_xdp_get_buff_len(ctx);
	struct zsync_stats *interface;
	__u32 zero = 0, drop = 0;
	__u32 reason;

	interface = bpf_map_lookup_elem(&stats, &zero);
	if (!interface)
		return XDP_ABORTED;
	reason = zsync_parse(data, data_end, bytes, &packet);
	if (reason) {
		interface->malformed_by[reason & ZSYNC_MALFORMED_COUNTERS]++;
		count(&interface->malformed, bytes);
		drop = config.malformed_drop;
	} else if (packet.network == ZSYNC_NETWORK_ARP) {
		count(&interface->arp, bytes);
	} else {
		__u32 cell = ZSYNC_CELL(config.rule_cells + zsync_match(&packet));
		__u32 slot = cell & ~ZSYNC_DROP;
		struct zsync_counter *counter = bpf_map_lookup_elem(&counters, &slot);

		if (counter)
			count(counter, bytes);
		drop = cell & ZSYNC_DROP;
	}
	if (drop) {
		count(&interface->dropped, bytes);
		return XDP_DROP;
	}
	count(&interface->passed, bytes);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
