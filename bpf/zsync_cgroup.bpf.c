// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * zsync's programs for the sockets of a cgroup: parse, match, count, act, verdict.
 *
 * A socket's packet starts at its network header. What a task sends is judged with interrupts on,
 * and a softirq, or another task, may come in between on the same CPU and run the same program: so
 * counters are added to in one step, and room to work in is taken and given back.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "zsync_xdp.h"

#define ZSYNC_ADD(to, value) __sync_fetch_and_add(to, value)
#define ZSYNC_SCRATCHES 8
#define ZSYNC_STARTS_AT_NETWORK 1
#define ZSYNC_WIRE_BYTES(skb) ((skb)->len)
#define ZSYNC_IFINDEX(skb) ((skb)->ifindex)

#include "judge_skb.h"

static __always_inline int judge(struct __sk_buff *skb)
{
	struct scratch *room = 0;
	struct zsync_stats *hook;
	__u32 zero = 0;
	__u32 i;
	int drop;

	hook = bpf_map_lookup_elem(&stats, &zero);
	if (!hook)
		return 0;
	for (i = 0; i < ZSYNC_SCRATCHES; i++) {
		__u32 place = i;

		room = bpf_map_lookup_elem(&scratch, &place);
		if (!room)
			return 0;
		if (!__sync_lock_test_and_set(&room->taken, 1))
			break;
	}
	if (i == ZSYNC_SCRATCHES || !room) {
		ZSYNC_ADD(&hook->unjudged, 1);
		count(&hook->dropped, 1, skb->len);
		return 0;
	}
	drop = judge_skb(skb, hook, room, parse_skb(skb, room, 1));
	__sync_lock_test_and_set(&room->taken, 0);
	return !drop;
}

SEC("cgroup_skb/egress")
int zsync_cgroup_out(struct __sk_buff *skb)
{
	return judge(skb);
}

SEC("cgroup_skb/ingress")
int zsync_cgroup_in(struct __sk_buff *skb)
{
	return judge(skb);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
