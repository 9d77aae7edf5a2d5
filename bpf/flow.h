/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The flow table: who talks to whom, both directions as one, counted where packets come and go.
 *
 * Flows live in a table of fixed size: lines of one cache line with seven names each, a name being a
 * keyed hash of what the flow is, and beside each name a record. A flow is in the first of its two lines,
 * or, if that is rather full, in the emptier one; a line's last word counts its flows that are elsewhere,
 * so one line is nearly always enough to know that a flow is not there. Names change by compare-and-swap
 * and counts by atomic adds, so packets on several CPUs are counted exactly.
 *
 * Programs only ever take free places. A flow that is over is *retired*, which hides its name from
 * programs; user space frees the place when no program can be using it any more, and by then has read
 * its last counts. So no flow is ever given up for another one.
 *
 * A flow that nobody has answered takes one of so many places (ZSYNC_FLOW_UNANSWERED_MAX) until somebody does. When
 * they are taken, or flows come too fast, the flood mode begins: packets of flows that have no place are
 * counted and forgotten, nearly always at the price of one cache line, until user space ends it.
 *
 * Here is what user space shares; flow_counter.h is the packet's side. Records and lines are pinned:
 * ZSYNC_LAYOUT_VERSION counts for them too.
 */
#ifndef ZSYNC_FLOW_H
#define ZSYNC_FLOW_H

#include <linux/types.h>

#include "parse.h"

#define ZSYNC_FLOW_WAYS 7
#define ZSYNC_FLOW_WORDS 8
#define ZSYNC_FLOW_ELSEWHERE ZSYNC_FLOW_WAYS /* the word that counts a line's flows in other lines */
/* From so many names on a line is rather full. All flows together fill four of seven; so 300 tables out of
 * 300 take them all, and a flood finds one line in ten with flows elsewhere. From five on it is one in a
 * hundred, but every twentieth table has no place for one of its last flows.
 */
#define ZSYNC_FLOW_WAYS_RATHER_FULL 3
/* Flows to a line, where the table has as many as it may; lines are a power of two. */
#define ZSYNC_FLOWS_OF_LINE 4

/* Bits of a name below the hash. */
#define ZSYNC_FLOW_USED 1ULL
#define ZSYNC_FLOW_RETIRED 2ULL
#define ZSYNC_FLOW_HASH (~3ULL)

/* Behind the lines of names: one of words that all share, and two of seed. */
#define ZSYNC_FLOW_SHARED_LINE(lines) (lines)
#define ZSYNC_FLOW_SEED_LINE(lines) ((lines) + 1)
#define ZSYNC_FLOW_ALL_LINES(lines) ((lines) + 3)

enum zsync_flow_shared {
	ZSYNC_FLOW_COUNT, /* places taken */
	ZSYNC_FLOW_UNANSWERED, /* of these, by flows that nobody has answered */
	ZSYNC_FLOW_FLOOD, /* 1: flood mode */
	/* Written by user space: */
	ZSYNC_FLOW_MAX, /* places that may be taken */
	ZSYNC_FLOW_UNANSWERED_MAX, /* of these, by flows that nobody has answered */
	ZSYNC_FLOW_PER_SECOND_MAX, /* flows that one CPU makes in a second, more or less: 2^30 ns */
};

struct zsync_flow_line {
	__u64 words[ZSYNC_FLOW_WORDS];
};

/* What makes a flow, the lower endpoint first. `ports` are of ICMP its conversation, twice. */
struct zsync_flow_key {
	__u64 low[2]; /* as struct zsync_address */
	__u64 high[2];
	__u16 low_port;
	__u16 high_port;
	__u16 vlan; /* 0: none */
	__u16 inner_vlan;
	__u8 protocol;
	__u8 network; /* enum zsync_network */
	__u8 reserved[6];
};

/* By how far a flow is; analysis/flow.hpp has the same in the same order. */
enum zsync_flow_state {
	ZSYNC_FLOW_NEW, /* no packet counted yet */
	ZSYNC_FLOW_UNANSWERED_STATE,
	ZSYNC_FLOW_ANSWERED,
	ZSYNC_FLOW_SYN_SENT,
	ZSYNC_FLOW_SYN_RECEIVED,
	ZSYNC_FLOW_MIDSTREAM,
	ZSYNC_FLOW_ESTABLISHED,
	ZSYNC_FLOW_CLOSING,
	ZSYNC_FLOW_CLOSED,
	ZSYNC_FLOW_RESET,
};

/* A flow's word: its state, the TCP flags seen by direction, who began, and its first ICMP type and
 * code.
 */
#define ZSYNC_FLOW_STATE_MASK 0xffULL
#define ZSYNC_FLOW_FLAGS_SHIFT(from_high) ((from_high) ? 16 : 8)
#define ZSYNC_FLOW_BEGAN_HIGH (1ULL << 24)
#define ZSYNC_FLOW_WAS_ANSWERED (1ULL << 25) /* it is out of the room of unanswered ones */
#define ZSYNC_FLOW_ICMP_SHIFT 32

struct zsync_flow_count {
	__u64 packets;
	__u64 bytes;
	__u64 dropped; /* of the packets, by the filter */
};

/* Two cache lines: what says who it is, and what each packet changes. */
struct zsync_flow {
	struct zsync_flow_key key;
	__u64 first_ns; /* CLOCK_MONOTONIC */
	__u64 reserved;
	__u64 word;
	__u64 last_ns; /* to the kernel's tick, 1 to 10 ms */
	struct zsync_flow_count from[2]; /* the lower endpoint, the higher one */
};

/* One record a CPU. Each packet that is one of a flow's is counted there or here. */
struct zsync_flow_stats {
	__u64 created;
	__u64 replaced; /* retired: the ports of a closed connection were used again */
	__u64 refused; /* packets of flows that have no place: flood mode */
	__u64 refused_bytes;
	__u64 refused_full; /* of `refused`, because ZSYNC_FLOW_MAX are there or both lines are full */
	__u64 floods; /* times that the flood mode began */
	__u64 stray; /* fragments whose first one was not seen */
	__u64 stray_bytes;
	__u64 window; /* a second's number, and flows made in it: 32 bits each */
};

/* Places for the ports of first fragments: a tag above, both ports below. */
#define ZSYNC_FLOW_FRAGMENTS 1024

/* Keys of two NH hashes (Black et al., "UMAC", CRYPTO 1999), the second one word on, and where the last
 * step begins: the first 7.
 */
struct zsync_flow_seed {
	__u64 words[2 * ZSYNC_FLOW_WORDS];
};

ZSYNC_INLINE __u64 zsync_flow_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0xd6e8feb86659fd93ULL;
	return hash ^ hash >> 32;
}

ZSYNC_INLINE __u64 zsync_flow_product(__u64 word, __u64 key)
{
	return (__u64)((__u32)word + (__u32)key) * (__u32)((word >> 32) + (key >> 32));
}

/*
 * Whoever does not know the seed finds no two keys with the same hash but by chance, whichever he
 * chooses: that is NH's promise, for 2^-32 with each of the two. Its products do not wait for each other.
 */
ZSYNC_INLINE __u64 zsync_flow_hash(const struct zsync_flow_key *key,
				   const volatile struct zsync_flow_seed *seed)
{
	__u64 what = (__u64)key->low_port << 48 | (__u64)key->high_port << 32 |
		     (__u64)key->protocol << 24 | (__u64)key->vlan << 12 | key->inner_vlan;
	__u64 first = zsync_flow_product(what, seed->words[0]);
	__u64 second = zsync_flow_product(what, seed->words[1]);

	if (key->network == ZSYNC_NETWORK_IPV6) {
		first += zsync_flow_product(key->low[0], seed->words[1]) +
			 zsync_flow_product(key->low[1], seed->words[2]) +
			 zsync_flow_product(key->high[0], seed->words[3]) +
			 zsync_flow_product(key->high[1], seed->words[4]);
		second += zsync_flow_product(key->low[0], seed->words[2]) +
			  zsync_flow_product(key->low[1], seed->words[3]) +
			  zsync_flow_product(key->high[0], seed->words[4]) +
			  zsync_flow_product(key->high[1], seed->words[5]);
	} else {
		__u64 both = key->low[0] | key->high[0] >> 32;

		first += zsync_flow_product(both, seed->words[1]);
		second += zsync_flow_product(both, seed->words[2]);
	}
	return zsync_flow_mix(zsync_flow_mix(seed->words[6] ^ key->network, first), second);
}

ZSYNC_INLINE __u64 zsync_flow_name(__u64 hash)
{
	return (hash & ZSYNC_FLOW_HASH) | ZSYNC_FLOW_USED;
}

/* The two lines of a hash, or of a name, in a table of so many. */
ZSYNC_INLINE __u32 zsync_flow_line_of(__u64 hash, int second, __u32 lines)
{
	return hash >> (second ? 40 : 8) & (lines - 1);
}

/* The type under which a request and its reply are one flow. */
ZSYNC_INLINE __u32 zsync_flow_icmp(__u32 network, __u32 type)
{
	if (network == ZSYNC_NETWORK_IPV4)
		return type == 0			      ? 8 :
		       type == 9			      ? 10 :
		       type == 14 || type == 16 || type == 18 ? type - 1 :
								type;
	return type == 129 || type == 134 || type == 136 || type == 140 || type == 145 || type == 147 ?
		       type - 1 :
		       type;
}

enum {
	ZSYNC_TCP_FIN = 0x01,
	ZSYNC_TCP_SYN = 0x02,
	ZSYNC_TCP_RST = 0x04,
	ZSYNC_TCP_ACK = 0x10,
};

ZSYNC_INLINE int zsync_flow_opens(__u32 flags)
{
	return (flags & (ZSYNC_TCP_SYN | ZSYNC_TCP_ACK)) == ZSYNC_TCP_SYN;
}

/* Where a TCP flow is after a packet with `flags`, when the other end has sent `others`. */
ZSYNC_INLINE __u32 zsync_flow_next_tcp(__u32 state, __u32 flags, __u32 others, int to_responder)
{
	int is_syn = flags & ZSYNC_TCP_SYN;

	if (flags & ZSYNC_TCP_RST)
		return ZSYNC_FLOW_RESET;
	if (state == ZSYNC_FLOW_CLOSED || state == ZSYNC_FLOW_RESET)
		return state;
	if (flags & ZSYNC_TCP_FIN)
		return others & ZSYNC_TCP_FIN ? ZSYNC_FLOW_CLOSED : ZSYNC_FLOW_CLOSING;
	if (state == ZSYNC_FLOW_NEW)
		return zsync_flow_opens(flags) ? ZSYNC_FLOW_SYN_SENT : ZSYNC_FLOW_MIDSTREAM;
	if (state == ZSYNC_FLOW_SYN_SENT) {
		if (to_responder)
			return is_syn ? state : (__u32)ZSYNC_FLOW_MIDSTREAM; /* the answer took another way */
		return is_syn ? ZSYNC_FLOW_SYN_RECEIVED : ZSYNC_FLOW_ESTABLISHED;
	}
	if (state == ZSYNC_FLOW_SYN_RECEIVED)
		return to_responder && !is_syn ? (__u32)ZSYNC_FLOW_ESTABLISHED : state;
	if (state == ZSYNC_FLOW_MIDSTREAM)
		return to_responder ? state : (__u32)ZSYNC_FLOW_ESTABLISHED;
	return state;
}

/* A flow's word after a packet. */
ZSYNC_INLINE __u64 zsync_flow_next(__u64 word, const struct zsync_packet *packet, int from_high)
{
	__u32 state = word & ZSYNC_FLOW_STATE_MASK;
	int to_responder;

	if (state == ZSYNC_FLOW_NEW) {
		word = from_high ? ZSYNC_FLOW_BEGAN_HIGH : 0;
		if (packet->has_icmp)
			word |= (__u64)packet->icmp << ZSYNC_FLOW_ICMP_SHIFT;
	}
	to_responder = !(word & ZSYNC_FLOW_BEGAN_HIGH) == !from_high;
	if (packet->protocol == ZSYNC_PROTOCOL_TCP) {
		if (packet->has_tcp_flags) {
			__u32 others = word >> ZSYNC_FLOW_FLAGS_SHIFT(!from_high) & 0xff;

			state = zsync_flow_next_tcp(state, packet->tcp_flags, others, to_responder);
			word |= (__u64)packet->tcp_flags << ZSYNC_FLOW_FLAGS_SHIFT(from_high);
		} else if (state == ZSYNC_FLOW_NEW) {
			state = ZSYNC_FLOW_MIDSTREAM;
		}
	} else {
		if (!to_responder)
			state = ZSYNC_FLOW_ANSWERED;
		else if (state == ZSYNC_FLOW_NEW)
			state = ZSYNC_FLOW_UNANSWERED_STATE;
	}
	if (state == ZSYNC_FLOW_ANSWERED || state == ZSYNC_FLOW_ESTABLISHED)
		word |= ZSYNC_FLOW_WAS_ANSWERED;
	return (word & ~ZSYNC_FLOW_STATE_MASK) | state;
}

#endif
