/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Parsing an skb at a traffic control hook, for programs that look and never judge.
 */
#ifndef ZSYNC_PARSE_SKB_H
#define ZSYNC_PARSE_SKB_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

/* All headers of nearly every packet, for when they are not where a program can look. */
#define ZSYNC_PULL_BYTES 512

ZSYNC_INLINE struct zsync_frame zsync_frame_of(struct __sk_buff *skb)
{
	return (struct zsync_frame){
		.data = (const __u8 *)(long)skb->data,
		.data_end = (const __u8 *)(long)skb->data_end,
		.bytes = skb->len,
	};
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_linear(struct __sk_buff *skb, int starts_at_network,
						     struct zsync_packet *packet,
						     struct zsync_cursor *cursor)
{
	struct zsync_frame frame = zsync_frame_of(skb);
	enum zsync_malformed reason;

	zsync_parse_begin(packet, cursor);
	if (starts_at_network) {
		zsync_name_network(packet, ZSYNC_BE16((__u16)skb->protocol));
		cursor->offset = 0;
		cursor->bytes = frame.bytes;
	} else {
		reason = zsync_parse_link(&frame, packet, cursor);
		if (reason)
			return reason;
		ZSYNC_MEET();
	}
	return zsync_parse_network(&frame, packet, cursor);
}

/* zsync_parse() of an skb, whose headers are brought to where a program can look if they are not there. */
ZSYNC_INLINE enum zsync_malformed zsync_parse_skb(struct __sk_buff *skb, int starts_at_network,
						  struct zsync_packet *packet,
						  struct zsync_cursor *cursor)
{
	enum zsync_malformed reason = zsync_parse_linear(skb, starts_at_network, packet, cursor);

	if (reason != ZSYNC_MALFORMED_headers_split)
		return reason;
	bpf_skb_pull_data(skb, skb->len < ZSYNC_PULL_BYTES ? skb->len : ZSYNC_PULL_BYTES);
	return zsync_parse_linear(skb, starts_at_network, packet, cursor);
}

#endif
