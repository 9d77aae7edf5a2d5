/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The frame of an skb as the wire has it, at the traffic control hooks of a device with Ethernet headers.
 * Two things of it may be out of a program's sight:
 *
 *   a tag     the outermost VLAN tag, which the kernel takes out of the frame and keeps beside it;
 *   the link  the whole Ethernet header of a received packet. Where Linux (seen from 6.12 to 6.18) copies
 *             an skb for XDP in generic mode, because it is cloned or has too little room in front, it
 *             forgets how long that header is (mac_len). TCX then begins the packet at the network
 *             header, and the link header is before data, and not in len.
 */
#ifndef ZSYNC_WHOLE_FRAME_H
#define ZSYNC_WHOLE_FRAME_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

enum {
	ZSYNC_ADDRESS_BYTES = 12, /* both of Ethernet: a tag comes behind them */
	ZSYNC_LINK_BYTES = 14,
	ZSYNC_TAG_BYTES = 4,
};

/* The kernel's: of it what is asked for here, found by BTF. */
struct sk_buff {
	unsigned char *head;
	unsigned char *data;
	__u16 mac_header; /* behind head */
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *context) __ksym;

/* Of a received packet: the bytes of its link header that are before what a program sees. */
ZSYNC_INLINE __u32 zsync_hidden_link_bytes(struct __sk_buff *skb)
{
	const struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);
	__u64 behind = kernel->data - kernel->head;

	return behind == (__u64)kernel->mac_header + ZSYNC_LINK_BYTES ? ZSYNC_LINK_BYTES : 0;
}

ZSYNC_INLINE __u32 zsync_hidden_tag_bytes(struct __sk_buff *skb)
{
	return skb->vlan_present ? ZSYNC_TAG_BYTES : 0;
}

/* Copies what is behind the link header, of which `at` bytes are there, up to `bytes` in all. */
ZSYNC_INLINE long zsync_copy_behind_link(struct __sk_buff *skb, __u32 hidden_link, __u8 *to,
					 const __u32 at, __u32 bytes)
{
	if (bytes <= at)
		return bytes < at ? -1 : 0;
	/* The compiler must not lose what the verifier has just learned. */
	asm volatile("" : "+r"(bytes));
	return bpf_skb_load_bytes(skb, ZSYNC_LINK_BYTES - hidden_link, to + at, bytes - at);
}

/* Copies the first `bytes` of the frame, of at most skb->len and what is hidden; 0 when it could. */
ZSYNC_INLINE long zsync_copy_frame(struct __sk_buff *skb, __u32 hidden_link, __u32 hidden_tag, __u8 *to,
				   __u32 bytes)
{
	long failed;

	if (!hidden_link && !hidden_tag)
		return bpf_skb_load_bytes(skb, 0, to, bytes);
	failed = hidden_link ? bpf_skb_load_bytes_relative(skb, 0, to, ZSYNC_LINK_BYTES,
							   BPF_HDR_START_MAC) :
			       bpf_skb_load_bytes(skb, 0, to, ZSYNC_LINK_BYTES);
	if (failed)
		return failed;
	if (!hidden_tag)
		return zsync_copy_behind_link(skb, hidden_link, to, ZSYNC_LINK_BYTES, bytes);
	*(__u16 *)(to + ZSYNC_LINK_BYTES + 2) = *(__u16 *)(to + ZSYNC_ADDRESS_BYTES);
	*(__u16 *)(to + ZSYNC_ADDRESS_BYTES) = skb->vlan_proto;
	*(__u16 *)(to + ZSYNC_ADDRESS_BYTES + 2) = ZSYNC_BE16((__u16)skb->vlan_tci);
	return zsync_copy_behind_link(skb, hidden_link, to, ZSYNC_LINK_BYTES + ZSYNC_TAG_BYTES,
				      bytes);
}

#endif
