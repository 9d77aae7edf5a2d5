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
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "cookie.h"
#include "handover.h"

const volatile struct zsync_handover_secret secret SEC(".rodata.secret");

#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define PORTS_BYTES 4

struct tcp_sock;

/* The kernel's. It must be a structure, though nothing of it is asked: the call's types are compared. */
struct sock {};

struct bpf_tcp_req_attrs {
	__u32 rcv_tsval;
	__u32 rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale;
	__u8 snd_wscale;
	__u8 ecn_ok;
	__u8 wscale_ok;
	__u8 sack_ok;
	__u8 tstamp_ok;
	__u8 usec_ts_ok;
	__u8 reserved[3];
};

extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *skb, struct sock *sk,
				   struct bpf_tcp_req_attrs *attrs, int attrs__sz) __ksym __weak;

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

/* The socket that the packet is for. The XDP program has made sure that its IP header has no options. */
static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	__u8 network[IPV6_BYTES + PORTS_BYTES];

	if (bpf_skb_load_bytes_relative(skb, 0, network, IPV4_BYTES + PORTS_BYTES, BPF_HDR_START_NET))
		return NULL;
	if (network[0] >> 4 == 4) {
		__builtin_memcpy(&tuple.ipv4.saddr, network + 12, 8);
		__builtin_memcpy(&tuple.ipv4.sport, network + IPV4_BYTES, PORTS_BYTES);
		return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	if (bpf_skb_load_bytes_relative(skb, 0, network, sizeof(network), BPF_HDR_START_NET))
		return NULL;
	__builtin_memcpy(tuple.ipv6.saddr, network + 8, 32);
	__builtin_memcpy(&tuple.ipv6.sport, network + IPV6_BYTES, PORTS_BYTES);
	return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* Gives the listening socket a request that this ACK completes. Where that cannot be, the ACK is one for
 * no connection, and the stack says so to who sent it.
 */
static __always_inline void request(struct __sk_buff *skb, struct bpf_tcp_req_attrs *attrs)
{
	struct bpf_sock *sk = socket_of(skb);

	if (!sk)
		return;
	if (sk->state == BPF_TCP_LISTEN) {
		struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

		if (tcp)
			bpf_sk_assign_tcp_reqsk(skb, (struct sock *)tcp, attrs, sizeof(*attrs));
	}
	bpf_sk_release(sk);
}

SEC("tcx/ingress")
int zsync_handover_in(struct __sk_buff *skb)
{
	const struct zsync_handover_record *left = record_of(skb);
	struct bpf_tcp_req_attrs attrs = {};
	__u8 does;

	if (!left)
		return TCX_NEXT;
	does = left->does;
	attrs.mss = left->mss;
	if (left->agreed & ZSYNC_AGREED_TIMESTAMPS) {
		attrs.tstamp_ok = 1;
		attrs.rcv_tsval = left->time;
		attrs.rcv_tsecr = left->echo;
		attrs.sack_ok = (left->agreed & ZSYNC_AGREED_SACK) != 0;
		if ((left->agreed & ZSYNC_AGREED_SCALE_MASK) != ZSYNC_AGREED_NO_SCALE) {
			attrs.wscale_ok = 1;
			attrs.snd_wscale = left->agreed & ZSYNC_AGREED_SCALE_MASK;
			attrs.rcv_wscale = ZSYNC_HANDOVER_SCALE;
		}
	}
	if (does & ZSYNC_HANDOVER_MARK)
		skb->mark = left->mark;
	if (does & ZSYNC_HANDOVER_REQUEST && bpf_ksym_exists(bpf_sk_assign_tcp_reqsk))
		request(skb, &attrs);
	return TCX_NEXT;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
