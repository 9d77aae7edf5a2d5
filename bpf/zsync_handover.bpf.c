// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Does to received packets what the XDP program has left to do in the record before them: see
 * handover.h. Attached to what a device receives, before all others, so that these see it done.
 *
 * It does not write to the packet: where something else holds the packet too, as a tcpdump does, the
 * kernel would copy it first, and forget what is before it.
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "handover.h"

const volatile struct zsync_handover_secret secret SEC(".rodata.secret");

/* The record for this packet, or NULL. */
static __always_inline const struct zsync_handover_record *record_of(const struct __sk_buff *skb)
{
	const __u8 *before = (const __u8 *)(long)skb->data_meta;
	const struct zsync_handover_record *left = (const void *)(before + ZSYNC_HANDOVER_AT);

	if (before + ZSYNC_HANDOVER_BYTES > (const __u8 *)(long)skb->data)
		return NULL;
	if (left->token == secret.token)
		return left;
	left = (const void *)(before + ZSYNC_HANDOVER_AT - ZSYNC_HANDOVER_LINK_BYTES);
	return left->token == secret.token ? left : NULL;
}

SEC("tcx/ingress")
int zsync_handover_in(struct __sk_buff *skb)
{
	const struct zsync_handover_record *left = record_of(skb);

	if (left)
		skb->mark = left->mark;
	return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
