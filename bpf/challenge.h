/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The SYN-cookie challenge, for XDP: a SYN for a listening socket of this host is answered from here,
 * and the socket hears of a client only when his ACK brings the cookie back. Nothing is remembered.
 *
 * The cookie is the kernel's own, made and checked for the listening socket: making one tells the
 * socket to accept cookies. That the kernel makes one while the socket's queue has room, it wants
 * net.ipv4.tcp_syncookies at 2. The cookie carries the client's MSS. Window scaling, SACK and timestamps
 * are not agreed on, as they are not by any cookie without timestamps: what the stack would later decode
 * from a timestamp is shifted by a secret that programs cannot learn.
 *
 * The answer leaves by XDP_TX, but on a veth by redirection to itself: there XDP_TX wakes the other end
 * only if that has a program, and the answer would lie in its ring until something else does.
 *
 * Packets of a connection that there is find its socket and pass, as do those for no socket: a closed
 * port answers as it did, and what is forwarded is not challenged.
 */
#ifndef ZSYNC_CHALLENGE_H
#define ZSYNC_CHALLENGE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "generation.h"
#include "parse.h"

#define ZSYNC_IPV4_BYTES 20
#define ZSYNC_IPV6_BYTES 40
#define ZSYNC_TCP_BYTES 20
#define ZSYNC_TCP_BYTES_MAX 60
/* A TCP header with the option MSS and nothing else. */
#define ZSYNC_ANSWER_BYTES 24
/* What the client may send with his ACK: more than an initial congestion window of 10 segments. */
#define ZSYNC_ANSWER_WINDOW 29200
#define ZSYNC_ANSWER_HOPS 64
#define ZSYNC_TCP_SYN 0x02
#define ZSYNC_TCP_RST 0x04
#define ZSYNC_TCP_ACK 0x10
#define ZSYNC_TCP_OPTION_MSS 2

ZSYNC_INLINE void zsync_store16(__u8 *p, __u16 value)
{
	p[0] = value >> 8;
	p[1] = (__u8)value;
}

ZSYNC_INLINE void zsync_store32(__u8 *p, __u32 value)
{
	zsync_store16(p, value >> 16);
	zsync_store16(p + 2, (__u16)value);
}

/* `bytes` is a constant. */
ZSYNC_INLINE void zsync_swap(__u8 *a, __u8 *b, const __u32 bytes)
{
	__u32 i;

	ZSYNC_UNROLL
	for (i = 0; i < bytes; i++) {
		__u8 byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

/* The sum of 16-bit words, as the Internet checksum adds them; `bytes` is a constant. */
ZSYNC_INLINE __u32 zsync_sum(const __u8 *p, const __u32 bytes)
{
	__u32 sum = 0;
	__u32 i;

	ZSYNC_UNROLL
	for (i = 0; i < bytes; i += 2)
		sum += zsync_load16(p + i);
	return sum;
}

ZSYNC_INLINE __u16 zsync_checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* The socket that the packet is for, which the caller releases, or NULL. */
ZSYNC_INLINE struct bpf_sock *zsync_socket_of(struct xdp_md *ctx,
					      const struct zsync_packet *packet)
{
	struct bpf_sock_tuple key = {};

	if (packet->network == ZSYNC_NETWORK_IPV4) {
		key.ipv4.saddr = ZSYNC_BE32((__u32)(packet->source.high >> 32));
		key.ipv4.daddr = ZSYNC_BE32((__u32)(packet->destination.high >> 32));
		key.ipv4.sport = ZSYNC_BE16(packet->source_port);
		key.ipv4.dport = ZSYNC_BE16(packet->destination_port);
		return bpf_skc_lookup_tcp(ctx, &key, sizeof(key.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	key.ipv6.saddr[0] = ZSYNC_BE32((__u32)(packet->source.high >> 32));
	key.ipv6.saddr[1] = ZSYNC_BE32((__u32)packet->source.high);
	key.ipv6.saddr[2] = ZSYNC_BE32((__u32)(packet->source.low >> 32));
	key.ipv6.saddr[3] = ZSYNC_BE32((__u32)packet->source.low);
	key.ipv6.daddr[0] = ZSYNC_BE32((__u32)(packet->destination.high >> 32));
	key.ipv6.daddr[1] = ZSYNC_BE32((__u32)packet->destination.high);
	key.ipv6.daddr[2] = ZSYNC_BE32((__u32)(packet->destination.low >> 32));
	key.ipv6.daddr[3] = ZSYNC_BE32((__u32)packet->destination.low);
	key.ipv6.sport = ZSYNC_BE16(packet->source_port);
	key.ipv6.dport = ZSYNC_BE16(packet->destination_port);
	return bpf_skc_lookup_tcp(ctx, &key, sizeof(key.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* The SYN-ACK behind the network header, without its checksum. */
ZSYNC_INLINE void zsync_write_answer(const __u8 *syn, __u8 *answer, __s64 cookie)
{
	zsync_store16(answer, zsync_load16(syn + 2));
	zsync_store16(answer + 2, zsync_load16(syn));
	zsync_store32(answer + 4, (__u32)cookie);
	zsync_store32(answer + 8, zsync_load32(syn + 4) + 1);
	answer[12] = ZSYNC_ANSWER_BYTES / 4 << 4;
	answer[13] = ZSYNC_TCP_SYN | ZSYNC_TCP_ACK;
	zsync_store16(answer + 14, ZSYNC_ANSWER_WINDOW);
	zsync_store32(answer + 16, 0);
	answer[20] = ZSYNC_TCP_OPTION_MSS;
	answer[21] = 4;
	zsync_store16(answer + 22, (__u16)(cookie >> 32));
}

/* Turns the frame with a SYN into the frame with its answer; 0 when done. */
ZSYNC_INLINE int zsync_answer(struct xdp_md *ctx, const struct zsync_packet *packet, __u32 transport,
			      struct zsync_challenge *room, __s64 cookie)
{
	__u32 sum = ZSYNC_PROTOCOL_TCP + ZSYNC_ANSWER_BYTES;
	__u8 *ip = room->network;

	if (bpf_xdp_adjust_tail(ctx, (int)(transport + ZSYNC_ANSWER_BYTES) -
					     (int)bpf_xdp_get_buff_len(ctx)))
		return -1;
	zsync_write_answer(room->transport, room->answer, cookie);
	if (packet->network == ZSYNC_NETWORK_IPV4) {
		zsync_swap(ip + 12, ip + 16, 4);
		ip[1] = 0;
		zsync_store16(ip + 2, ZSYNC_IPV4_BYTES + ZSYNC_ANSWER_BYTES);
		zsync_store32(ip + 4, 0x4000); /* no id, may not be fragmented */
		ip[8] = ZSYNC_ANSWER_HOPS;
		zsync_store16(ip + 10, 0);
		zsync_store16(ip + 10, zsync_checksum(zsync_sum(ip, ZSYNC_IPV4_BYTES)));
		sum += zsync_sum(ip + 12, 8);
		if (bpf_xdp_store_bytes(ctx, transport - ZSYNC_IPV4_BYTES, ip, ZSYNC_IPV4_BYTES))
			return -1;
	} else {
		zsync_swap(ip + 8, ip + 24, 16);
		zsync_store32(ip, 0x60000000);
		zsync_store16(ip + 4, ZSYNC_ANSWER_BYTES);
		ip[7] = ZSYNC_ANSWER_HOPS;
		sum += zsync_sum(ip + 8, 32);
		if (bpf_xdp_store_bytes(ctx, transport - ZSYNC_IPV6_BYTES, ip, ZSYNC_IPV6_BYTES))
			return -1;
	}
	sum += zsync_sum(room->answer, ZSYNC_ANSWER_BYTES);
	zsync_store16(room->answer + 16, zsync_checksum(sum));
	if (bpf_xdp_store_bytes(ctx, transport, room->answer, ZSYNC_ANSWER_BYTES) ||
	    bpf_xdp_load_bytes(ctx, 0, room->link, sizeof(room->link)))
		return -1;
	zsync_swap(room->link, room->link + 6, 6);
	return bpf_xdp_store_bytes(ctx, 0, room->link, sizeof(room->link)) ? -1 : 0;
}

/* Copies the headers that the kernel wants to see. The number of bytes of TCP's, or 0: it must follow
 * the network header at once, and in one piece.
 */
ZSYNC_INLINE __u32 zsync_copy_headers(struct xdp_md *ctx, const struct zsync_packet *packet,
				      const struct zsync_cursor *cursor,
				      struct zsync_challenge *room)
{
	__u32 transport = cursor->offset;
	__u32 bytes;

	if (packet->fragment)
		return 0;
	if (packet->network == ZSYNC_NETWORK_IPV4) {
		if (packet->length - cursor->bytes != ZSYNC_IPV4_BYTES ||
		    bpf_xdp_load_bytes(ctx, transport - ZSYNC_IPV4_BYTES, room->network,
				       ZSYNC_IPV4_BYTES))
			return 0;
	} else {
		if (packet->length - cursor->bytes != ZSYNC_IPV6_BYTES ||
		    bpf_xdp_load_bytes(ctx, transport - ZSYNC_IPV6_BYTES, room->network,
				       ZSYNC_IPV6_BYTES))
			return 0;
	}
	if (bpf_xdp_load_bytes(ctx, transport, room->transport, ZSYNC_TCP_BYTES))
		return 0;
	bytes = room->transport[12] >> 2 & 0x3c;
	asm volatile("" : "+r"(bytes));
	if (bytes < ZSYNC_TCP_BYTES || bytes > ZSYNC_TCP_BYTES_MAX)
		return 0;
	return bpf_xdp_load_bytes(ctx, transport, room->transport, bytes) ? 0 : bytes;
}

/* What becomes of a packet that its rule challenges and passes: XDP_PASS, XDP_DROP, or XDP_TX with the
 * answer in its place.
 */
ZSYNC_INLINE int zsync_challenge(struct xdp_md *ctx, struct zsync_stats *stats,
				 const struct zsync_packet *packet,
				 const struct zsync_cursor *cursor, struct zsync_challenge *room)
{
	__u8 kind = packet->tcp_flags & (ZSYNC_TCP_SYN | ZSYNC_TCP_RST | ZSYNC_TCP_ACK);
	__u32 network_bytes = packet->network == ZSYNC_NETWORK_IPV4 ? ZSYNC_IPV4_BYTES :
								      ZSYNC_IPV6_BYTES;
	int action = XDP_DROP;
	struct bpf_sock *sk;
	__u32 bytes;

	if (!packet->has_tcp_flags || (kind != ZSYNC_TCP_SYN && kind != ZSYNC_TCP_ACK))
		return XDP_PASS;
	sk = zsync_socket_of(ctx, packet);
	if (!sk)
		return XDP_PASS;
	if (sk->state != BPF_TCP_LISTEN) {
		bpf_sk_release(sk);
		return XDP_PASS;
	}
	bytes = zsync_copy_headers(ctx, packet, cursor, room);
	if (bytes >= ZSYNC_TCP_BYTES && bytes <= ZSYNC_TCP_BYTES_MAX) {
		if (kind == ZSYNC_TCP_SYN) {
			__s64 cookie = bpf_tcp_gen_syncookie(sk, (void *)room->network, network_bytes,
							     (void *)room->transport, bytes);

			if (cookie > 0 &&
			    !zsync_answer(ctx, packet, cursor->offset, room, cookie))
				action = XDP_TX;
		} else if (!bpf_tcp_check_syncookie(sk, (void *)room->network, network_bytes,
						    (void *)room->transport, bytes)) {
			action = XDP_PASS;
		}
	}
	bpf_sk_release(sk);
	if (action == XDP_TX)
		stats->challenges_sent++;
	else if (action == XDP_PASS)
		stats->challenges_verified++;
	else
		stats->challenges_refused++;
	return action;
}

#endif
