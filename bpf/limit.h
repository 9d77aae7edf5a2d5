/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The action `limit`: how many of a rule's packets pass, for each key alone.
 *
 * Keys live in a table of fixed size: lines of one cache line with four entries each, an entry being
 * a name, which is a keyed hash of rule and key, and one word of state, which changes by
 * compare-and-swap, so that packets on several CPUs are counted exactly. A key may be in either of
 * two lines. An entry is taken over by another key only when it is as a new one would be, so nobody
 * gets rid of a used-up limit by bringing in other keys. A key that finds no entry shares one word
 * with others of its rule, of which there are a few, chosen by the hash: a flood of keys limits
 * itself, and touches no key that has an entry.
 *
 * gcra, token: the state is the time at which the next packet would be due if packets came
 * evenly (GCRA, ITU-T I.371), in ticks of 1/16 ns. It decides as a token bucket does.
 * adaptive: the same, but a packet's cost is read from a word of the rule's slot.
 * sliding: a window's number, and what came in the one before and in it.
 *
 * Entries are found by the rule's text, without its rate and burst, and not by its place, so they go on
 * over loads and over a change of the rate.
 * Here is what user space shares; limit_state.h has the arithmetic, limiter.h the packet's side.
 */
#ifndef ZSYNC_LIMIT_H
#define ZSYNC_LIMIT_H

#include <linux/types.h>

#include "parse.h"

#define ZSYNC_TICKS_PER_NS_LOG2 4
/* A byte's cost has more bits than a tick: 16 below it. */
#define ZSYNC_BYTE_COST_LOG2 16

enum zsync_limit_algorithm {
	ZSYNC_LIMIT_GCRA,
	ZSYNC_LIMIT_SLIDING,
	ZSYNC_LIMIT_ADAPTIVE, /* gcra at the rate that user space has written */
};

/* What a rule's packets are told apart by: bits of zsync_limit.key. */
enum zsync_limit_key_part {
	ZSYNC_LIMIT_BY_SOURCE = 1,
	ZSYNC_LIMIT_BY_DESTINATION = 2,
	ZSYNC_LIMIT_BY_DPORT = 4,
	ZSYNC_LIMIT_BY_FLOW = 8, /* ports and protocol, with both addresses */
	ZSYNC_LIMIT_BY_CGROUP = 16, /* the socket's; alone */
	ZSYNC_LIMIT_BY_INTERFACE = 32, /* alone */
};
#define ZSYNC_LIMIT_BY_PLACE (ZSYNC_LIMIT_BY_CGROUP | ZSYNC_LIMIT_BY_INTERFACE)

/* Sliding windows, by number: their lengths are in nanoseconds / 1024. */
enum zsync_limit_window {
	ZSYNC_LIMIT_SECOND,
	ZSYNC_LIMIT_MINUTE,
	ZSYNC_LIMIT_HOUR,
	ZSYNC_LIMIT_DAY,
};
#define ZSYNC_WINDOW_SECOND 976563ULL
#define ZSYNC_WINDOW_MINUTE 58593750ULL
#define ZSYNC_WINDOW_HOUR 3515625000ULL
#define ZSYNC_WINDOW_DAY 84375000000ULL
/* A sliding state, from the lowest bit: what came in the window; what came in the former one, packed; and
 * the window's number. The number goes round in four years of the shortest windows, so that a state
 * that long nobody came back to is not taken for the present one's.
 */
#define ZSYNC_WINDOW_COUNT_BITS 24
#define ZSYNC_WINDOW_COUNT_MAX ((1U << ZSYNC_WINDOW_COUNT_BITS) - 1)
#define ZSYNC_WINDOW_FORMER_BITS 13
#define ZSYNC_WINDOW_FORMER_MASK ((1U << ZSYNC_WINDOW_FORMER_BITS) - 1)
#define ZSYNC_WINDOW_NUMBER_SHIFT (ZSYNC_WINDOW_COUNT_BITS + ZSYNC_WINDOW_FORMER_BITS)
#define ZSYNC_WINDOW_NUMBER_MASK ((1U << (64 - ZSYNC_WINDOW_NUMBER_SHIFT)) - 1)
/* By so many windows a CPU that took its time later may be ahead. */
#define ZSYNC_WINDOWS_AHEAD_MAX 16

/* One rule's limit, constant for the life of a generation. */
struct zsync_limit {
	__u64 start; /* of the hash of keys: of the rule's text, without rate and burst, and the seed */
	__u64 cost; /* ticks of a packet, or of a byte with ZSYNC_BYTE_COST_LOG2 */
	__u64 burst_cost; /* ticks */
	__u64 burst; /* packets or bytes; sliding: as many as a window takes */
	__u64 ipv6_mask[2];
	__u32 ipv4_mask;
	__u32 id; /* of the same text, for people */
	__u8 algorithm;
	__u8 key;
	__u8 in_bytes;
	__u8 window;
	__u32 shown; /* goes into keys */
};

/* What a key's `shown` says: the parts that it is made of, and the bits of its addresses. */
#define ZSYNC_SHOWN(parts, ipv4_bits, ipv6_bits) ((parts) | (ipv4_bits) << 8 | (ipv6_bits) << 16)

/* What an entry stands for, for people. Numbers are as in struct zsync_packet. */
struct zsync_limit_key {
	__u64 source[2]; /* or where it is: a cgroup's id, an interface's index */
	__u64 destination[2];
	__u64 ports; /* source, destination, protocol, network: 16 bits each */
	__u32 id;
	__u32 shown;
};

#define ZSYNC_LIMIT_WAYS 4
#define ZSYNC_LIMIT_LINES 32768
/* Behind them costs that user space has written: a word for each slot, 0 for none. */
#define ZSYNC_LIMIT_COST_LINES 1025
#define ZSYNC_LIMIT_COSTS_PER_LINE 8
/* Behind those, for every slot: words that a rule's keys share which find no entry: two lines of eight. */
#define ZSYNC_LIMIT_SHARED_LINES 2
#define ZSYNC_LIMIT_SHARED_MASK 7

/* Bits of a name: below the hash, what it takes to see whether the entry is as new. */
#define ZSYNC_NAME_USED 8ULL
#define ZSYNC_NAME_SLIDING 4ULL
#define ZSYNC_NAME_WINDOW 3ULL
#define ZSYNC_NAME_HASH 0x00fffffffffffff0ULL
/* Above it the packets over the limit since they were last added to zsync_limit_seen.limited, which
 * is in another cache line.
 */
#define ZSYNC_NAME_OVER_SHIFT 56
#define ZSYNC_NAME_OVER_MAX 255

union zsync_limit_line {
	struct {
		__u64 name;
		__u64 state;
	} entries[ZSYNC_LIMIT_WAYS];
	__u64 words[2 * ZSYNC_LIMIT_WAYS];
};

/* Beside each entry; not read on a packet's way. */
struct zsync_limit_seen {
	struct zsync_limit_key key;
	__u64 limited; /* without those in the name */
	__u64 start; /* of the hash of its rule's keys */
};

#define ZSYNC_LIMIT_SHARED_LINE(slot) \
	(ZSYNC_LIMIT_LINES + ZSYNC_LIMIT_COST_LINES + (slot) * ZSYNC_LIMIT_SHARED_LINES)
/* Last: one with the hash's seed. */
#define ZSYNC_LIMIT_SEED_LINE(slots) ZSYNC_LIMIT_SHARED_LINE(slots)

ZSYNC_INLINE __u64 zsync_limit_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0xd6e8feb86659fd93ULL;
	return hash ^ hash >> 32;
}

/* Of a rule's key. `start` is the mix of seed and rule. Nothing that is always the same is mixed in: an
 * IPv4 source takes one multiplication.
 */
ZSYNC_INLINE __u64 zsync_limit_hash(const struct zsync_limit_key *key, __u32 parts, __u64 start)
{
	__u64 network = key->ports & 0xffff;
	__u64 hash = start;

	if (parts & ZSYNC_LIMIT_BY_SOURCE) {
		hash = zsync_limit_mix(hash, key->source[0] ^ network);
		if (network == ZSYNC_NETWORK_IPV6)
			hash = zsync_limit_mix(hash, key->source[1]);
	}
	if (parts & ZSYNC_LIMIT_BY_DESTINATION) {
		hash = zsync_limit_mix(hash, key->destination[0] ^ network);
		if (network == ZSYNC_NETWORK_IPV6)
			hash = zsync_limit_mix(hash, key->destination[1]);
	}
	if (parts & (ZSYNC_LIMIT_BY_DPORT | ZSYNC_LIMIT_BY_FLOW))
		hash = zsync_limit_mix(hash, key->ports);
	if (parts & ZSYNC_LIMIT_BY_PLACE)
		hash = zsync_limit_mix(hash, key->source[0]);
	return hash;
}

#endif
