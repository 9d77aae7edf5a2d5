/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The SYN-cookie challenge, for XDP: a SYN for a listening socket of this host is answered from here,
 * and the socket hears of a client only when his ACK brings the cookie back. Nothing is remembered.
 *
 * The cookie is ours: see cookie.h. Who brings a good one back is handed over to TCX with what was agreed
 * on, and from there to the listening socket, as a request that its ACK completes (Linux 6.9,
 * bpf_sk_assign_tcp_reqsk): see handover.h. So window scaling, SACK and timestamps are what client and
 * host would have agreed on; without timestamps there is no room to remember any of it. The kernel
 * takes such requests unless net.ipv4.tcp_syncookies is 0.
 *
 * The answer leaves by XDP_TX, but on a veth by redirection to itself: there XDP_TX wakes the other end
 * only if that has a program, and the answer would lie in its ring until something else does.
 *
 * Packets of a connection that there is find its socket and pass, as do those for no socket: a closed
 * port answers as it did, and what is forwarded is not challenged. Neither are SYNs for sockets of
 * MPTCP, which the kernel lets no program hand requests to.
 */
#ifndef ZSYNC_CHALLENGE_H
#define ZSYNC_CHALLENGE_H

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "cookie.h"
#include "generation.h"
#include "parse.h"

#define ZSYNC_IPV4_BYTES 20
#define ZSYNC_IPV6_BYTES 40
#define ZSYNC_TCP_BYTES 20
#define ZSYNC_TCP_BYTES_MAX 60
/* A TCP header with the option MSS, and with all that can be agreed on. */
#define ZSYNC_ANSWER_BYTES 24
#define ZSYNC_LONG_ANSWER_BYTES 40
/* What the client may send with his ACK: more than an initial congestion window of 10 segments. */
#define ZSYNC_ANSWER_WINDOW 29200
#define ZSYNC_ANSWER_HOPS 64
/* Behind Ethernet and one tag: TCX finds the headers of that. */
#define ZSYNC_CHALLENGE_LINK_BYTES_MAX 18
#define ZSYNC_TCP_SYN 0x02
#define ZSYNC_TCP_RST 0x04
#define ZSYNC_TCP_ACK 0x10
#define ZSYNC_TCP_OPTION_END 0
#define ZSYNC_TCP_OPTION_NOP 1
#define ZSYNC_TCP_OPTION_MSS 2
#define ZSYNC_TCP_OPTION_SCALE 3
#define ZSYNC_TCP_OPTION_SACK 4
#define ZSYNC_TCP_OPTION_TIMESTAMPS 8
#define ZSYNC_TCP_OPTION_TIMESTAMPS_BYTES 10
/* Of a client that says none. */
#define ZSYNC_MSS_USUAL 536
#define ZSYNC_MSS_USUAL_IPV6 1220

/* A socket of which is asked whether it is MPTCP's. */
struct tcp_sock {
	_Bool is_mptcp;
} __attribute__((preserve_access_index));

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

/* Reads the options of a TCP header of `bytes`, which has room behind its end. */
ZSYNC_INLINE void zsync_read_options(struct zsync_challenge *room, __u32 bytes)
{
	struct zsync_tcp_options *read = &room->options;

	read->mss = 0;
	read->scale = ZSYNC_AGREED_NO_SCALE;
	read->sack = 0;
	read->timestamps = 0;
	room->at = ZSYNC_TCP_BYTES;
	while (ZSYNC_MAY_LOOP()) {
		const __u8 *option;
		__u32 size = 1;
		__u32 at;

		ZSYNC_MEET();
		at = room->at;
		if (at >= bytes)
			break;
		option = room->transport + (at & (ZSYNC_CHALLENGE_HEADER_BYTES - 1));
		if (option[0] == ZSYNC_TCP_OPTION_END)
			break;
		if (option[0] != ZSYNC_TCP_OPTION_NOP) {
			size = option[1];
			if (size < 2 || at + size > bytes)
				break;
			if (option[0] == ZSYNC_TCP_OPTION_MSS && size == 4)
				read->mss = zsync_load16(option + 2);
			if (option[0] == ZSYNC_TCP_OPTION_SCALE && size == 3)
				read->scale = option[2] > ZSYNC_SCALE_MAX ? ZSYNC_SCALE_MAX :
									    option[2];
			if (option[0] == ZSYNC_TCP_OPTION_SACK && size == 2)
				read->sack = 1;
			if (option[0] == ZSYNC_TCP_OPTION_TIMESTAMPS &&
			    size == ZSYNC_TCP_OPTION_TIMESTAMPS_BYTES) {
				read->timestamps = 1;
				read->time = zsync_load32(option + 2);
				read->echo = zsync_load32(option + 6);
			}
		}
		room->at = at + size;
	}
}

ZSYNC_INLINE void zsync_peers(const struct zsync_packet *packet, __u32 client_number,
			      struct zsync_cookie_peers *peers)
{
	peers->addresses[0] = packet->source.high;
	peers->addresses[1] = packet->source.low;
	peers->addresses[2] = packet->destination.high;
	peers->addresses[3] = packet->destination.low;
	peers->ports = (__u32)packet->source_port << 16 | packet->destination_port;
	peers->client_number = client_number;
	peers->ipv6 = packet->network != ZSYNC_NETWORK_IPV4;
}

/* What of a SYN's offer the host takes, for a cookie: nothing where nothing could be remembered. */
ZSYNC_INLINE __u32 zsync_agree(const struct zsync_tcp_options *offer)
{
	__u32 agreed = ZSYNC_AGREED_TIMESTAMPS;

	if (!offer->timestamps || !(config.challenge_takes & ZSYNC_AGREED_TIMESTAMPS))
		return 0;
	agreed |= config.challenge_takes & ZSYNC_AGREED_SCALE_MASK ? offer->scale :
								     ZSYNC_AGREED_NO_SCALE;
	if (offer->sack)
		agreed |= config.challenge_takes & ZSYNC_AGREED_SACK;
	return agreed;
}

/* The SYN-ACK behind the network header, without its checksum; how long it is. */
ZSYNC_INLINE __u32 zsync_write_answer(struct zsync_challenge *room, const struct zsync_packet *packet,
				      __u64 now)
{
	const __u8 *syn = room->transport;
	__u8 *answer = room->answer;
	struct zsync_tcp_options *offer = &room->options;
	__u32 ipv6 = packet->network != ZSYNC_NETWORK_IPV4;
	__u32 agreed = zsync_agree(offer);
	__u32 bytes = agreed ? ZSYNC_LONG_ANSWER_BYTES : ZSYNC_ANSWER_BYTES;
	__u32 mss = offer->mss ? offer->mss : ipv6 ? ZSYNC_MSS_USUAL_IPV6 : ZSYNC_MSS_USUAL;
	__u32 cookie;

	zsync_peers(packet, zsync_load32(syn + 4), &room->peers);
	cookie = zsync_cookie_make(&room->key, &room->peers, now, mss, agreed);
	zsync_store16(answer, zsync_load16(syn + 2));
	zsync_store16(answer + 2, zsync_load16(syn));
	zsync_store32(answer + 4, cookie);
	zsync_store32(answer + 8, zsync_load32(syn + 4) + 1);
	answer[12] = bytes / 4 << 4;
	answer[13] = ZSYNC_TCP_SYN | ZSYNC_TCP_ACK;
	zsync_store16(answer + 14, ZSYNC_ANSWER_WINDOW);
	zsync_store32(answer + 16, 0);
	answer[20] = ZSYNC_TCP_OPTION_MSS;
	answer[21] = 4;
	zsync_store16(answer + 22, ipv6 ? config.challenge_mss - 20 : config.challenge_mss);
	if (!agreed)
		return bytes;
	answer[24] = agreed & ZSYNC_AGREED_SACK ? ZSYNC_TCP_OPTION_SACK : ZSYNC_TCP_OPTION_NOP;
	answer[25] = agreed & ZSYNC_AGREED_SACK ? 2 : ZSYNC_TCP_OPTION_NOP;
	answer[26] = ZSYNC_TCP_OPTION_TIMESTAMPS;
	answer[27] = ZSYNC_TCP_OPTION_TIMESTAMPS_BYTES;
	zsync_store32(answer + 28, zsync_cookie_timestamp(now, agreed));
	zsync_store32(answer + 32, offer->time);
	answer[36] = ZSYNC_TCP_OPTION_NOP;
	if ((agreed & ZSYNC_AGREED_SCALE_MASK) == ZSYNC_AGREED_NO_SCALE) {
		answer[37] = ZSYNC_TCP_OPTION_NOP;
		answer[38] = ZSYNC_TCP_OPTION_NOP;
		answer[39] = ZSYNC_TCP_OPTION_NOP;
	} else {
		answer[37] = ZSYNC_TCP_OPTION_SCALE;
		answer[38] = 3;
		answer[39] = ZSYNC_HANDOVER_SCALE;
	}
	return bytes;
}

/* Puts an answer of `bytes`, a constant, in the place of the SYN behind a network header; 0 when done. */
ZSYNC_INLINE int zsync_place_answer(struct xdp_md *ctx, const struct zsync_packet *packet,
				    __u32 transport, struct zsync_challenge *room, const __u32 bytes)
{
	__u32 sum = ZSYNC_PROTOCOL_TCP + bytes;
	__u8 *ip = room->network;

	if (bpf_xdp_adjust_tail(ctx, (int)(transport + bytes) - (int)bpf_xdp_get_buff_len(ctx)))
		return -1;
	if (packet->network == ZSYNC_NETWORK_IPV4) {
		zsync_swap(ip + 12, ip + 16, 4);
		ip[1] = 0;
		zsync_store16(ip + 2, ZSYNC_IPV4_BYTES + bytes);
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
		zsync_store16(ip + 4, bytes);
		ip[7] = ZSYNC_ANSWER_HOPS;
		sum += zsync_sum(ip + 8, 32);
		if (bpf_xdp_store_bytes(ctx, transport - ZSYNC_IPV6_BYTES, ip, ZSYNC_IPV6_BYTES))
			return -1;
	}
	sum += zsync_sum(room->answer, bytes);
	zsync_store16(room->answer + 16, zsync_checksum(sum));
	if (bpf_xdp_store_bytes(ctx, transport, room->answer, bytes) ||
	    bpf_xdp_load_bytes(ctx, 0, room->link, sizeof(room->link)))
		return -1;
	zsync_swap(room->link, room->link + 6, 6);
	return bpf_xdp_store_bytes(ctx, 0, room->link, sizeof(room->link)) ? -1 : 0;
}

/* Turns the frame with a SYN into the frame with its answer; 0 when done. */
ZSYNC_INLINE int zsync_answer(struct xdp_md *ctx, const struct zsync_packet *packet, __u32 transport,
			      struct zsync_challenge *room)
{
	if (zsync_write_answer(room, packet, bpf_ktime_get_coarse_ns()) == ZSYNC_ANSWER_BYTES)
		return zsync_place_answer(ctx, packet, transport, room, ZSYNC_ANSWER_BYTES);
	return zsync_place_answer(ctx, packet, transport, room, ZSYNC_LONG_ANSWER_BYTES);
}

/* Whether an ACK brings a cookie back; what was agreed on is then left to be handed over. */
ZSYNC_INLINE int zsync_verify(const struct zsync_packet *packet, struct zsync_challenge *room)
{
	const struct zsync_tcp_options *options = &room->options;
	struct zsync_handover_record *left = &room->left;
	__u32 agreed = 0;
	__u32 mss;

	if (options->timestamps)
		agreed = ZSYNC_AGREED_TIMESTAMPS | (options->echo & ZSYNC_AGREED_BITS);
	zsync_peers(packet, zsync_load32(room->transport + 4) - 1, &room->peers);
	mss = zsync_cookie_check(&room->key, &room->peers, bpf_ktime_get_coarse_ns(),
				 zsync_load32(room->transport + 8) - 1, agreed);
	if (!mss)
		return 0;
	left->mss = mss;
	left->agreed = agreed;
	left->time = options->time;
	left->echo = options->echo;
	left->does = ZSYNC_HANDOVER_REQUEST;
	return 1;
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
		    transport > ZSYNC_CHALLENGE_LINK_BYTES_MAX + ZSYNC_IPV4_BYTES ||
		    bpf_xdp_load_bytes(ctx, transport - ZSYNC_IPV4_BYTES, room->network,
				       ZSYNC_IPV4_BYTES))
			return 0;
	} else {
		if (packet->length - cursor->bytes != ZSYNC_IPV6_BYTES ||
		    transport > ZSYNC_CHALLENGE_LINK_BYTES_MAX + ZSYNC_IPV6_BYTES ||
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

/* Whether MPTCP listens by the socket. */
ZSYNC_INLINE int zsync_is_mptcp(struct bpf_sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	return tcp && bpf_core_field_exists(tcp->is_mptcp) && tcp->is_mptcp;
}

/* What becomes of a packet that its rule challenges and passes: XDP_PASS, XDP_DROP, or XDP_TX with the
 * answer in its place.
 */
ZSYNC_INLINE int zsync_challenge(struct xdp_md *ctx, struct zsync_stats *stats,
				 const struct zsync_packet *packet,
				 const struct zsync_cursor *cursor, struct zsync_challenge *room)
{
	__u8 kind = packet->tcp_flags & (ZSYNC_TCP_SYN | ZSYNC_TCP_RST | ZSYNC_TCP_ACK);
	int action = XDP_DROP;
	struct bpf_sock *sk;
	int listens, mptcp;
	__u32 bytes;

	if (!packet->has_tcp_flags || (kind != ZSYNC_TCP_SYN && kind != ZSYNC_TCP_ACK))
		return XDP_PASS;
	sk = zsync_socket_of(ctx, packet);
	if (!sk)
		return XDP_PASS;
	listens = sk->state == BPF_TCP_LISTEN;
	mptcp = listens && zsync_is_mptcp(sk);
	bpf_sk_release(sk);
	if (!listens)
		return XDP_PASS;
	if (mptcp) {
		stats->challenges_passed++;
		return XDP_PASS;
	}
	bytes = zsync_copy_headers(ctx, packet, cursor, room);
	ZSYNC_MEET();
	if (bytes >= ZSYNC_TCP_BYTES && bytes <= ZSYNC_TCP_BYTES_MAX) {
		room->key = (struct zsync_cookie_key){ { config.handover.cookie_key[0],
							 config.handover.cookie_key[1] } };
		zsync_read_options(room, bytes);
		ZSYNC_MEET();
		if (kind == ZSYNC_TCP_SYN) {
			if (!zsync_answer(ctx, packet, cursor->offset, room))
				action = XDP_TX;
		} else if (zsync_verify(packet, room)) {
			action = XDP_PASS;
		}
	}
	if (action == XDP_TX)
		stats->challenges_sent++;
	else if (action == XDP_PASS)
		stats->challenges_verified++;
	else
		stats->challenges_refused++;
	return action;
}

#endif
