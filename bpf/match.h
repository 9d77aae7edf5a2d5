/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The match engine's packet side: from a parsed packet to the index of the first rule that matches.
 *
 * Each dimension maps the packet to a class, the bitmap of the rules that it admits; the rule is
 * the first bit set in the AND of all of them (Lakshman and Stiliadis, SIGCOMM 1998). With more
 * than 64 rules each bitmap begins with a summary word, one bit for each word that is not zero, and
 * only the words that all summaries share are looked at (Baboescu and Varghese, SIGCOMM 2001).
 *
 * The includer defines ZSYNC_CONFIG, ZSYNC_CELL(i), ZSYNC_BUCKET(i) and ZSYNC_BITMAP(i), so that
 * userspace runs the same code over the same tables. Where packets are known by more than their
 * frames, ZSYNC_HOOK_DIMENSIONS is ZSYNC_DIMENSIONS, and the includer fills in the other classes.
 */
#ifndef ZSYNC_MATCH_H
#define ZSYNC_MATCH_H

#include "endpoint.h"
#include "parse.h"
#include "sieve.h"
#include "zsync_xdp.h"

#ifndef ZSYNC_HOOK_DIMENSIONS
#define ZSYNC_HOOK_DIMENSIONS ZSYNC_FRAME_DIMENSIONS
#endif

/* Unrolled, each test of `used` is a branch of its own, which the verifier can remove. */
#ifdef __bpf__
#define ZSYNC_UNROLL _Pragma("unroll")
#else
#define ZSYNC_UNROLL
#endif

/* BPF has no instruction for these; clang expands them to shifts and masks. */
#define ZSYNC_POPCOUNT(x) ((__u32)__builtin_popcountll(x))
#define ZSYNC_FIRST_BIT(x) ZSYNC_POPCOUNT(((x) & -(x)) - 1)

/* Ends a loop, if it comes round some millions of times. Each round that the verifier meets is to it as
 * the one before, so that it need not walk through them all: for loops whose end is sure, but not from
 * a count. The instruction is `may_goto`, which assemblers know for newer processors only.
 */
#ifdef __bpf__
#define ZSYNC_MAY_LOOP()                                                                         \
	({                                                                                       \
		__label__ zsync_out, zsync_on;                                                   \
		int zsync_goes_on = 1;                                                           \
												 \
		asm volatile goto("1: .byte 0xe5; .byte 0;"                                      \
				  ".long ((%l[zsync_out] - 1b - 8) / 8) & 0xffff; .short 0"      \
				  : : : : zsync_out);                                            \
		goto zsync_on;                                                                   \
zsync_out:                                                                                       \
		zsync_goes_on = 0;                                                               \
zsync_on:                                                                                        \
		zsync_goes_on;                                                                   \
	})
#else
#define ZSYNC_MAY_LOOP() 1
#endif

/* The words of the slot that an address lies in, and what is left of the address. */
struct zsync_slot {
	__u64 high;
	__u64 low;
	__u32 place;
	__u32 words;
	__u32 otherwise; /* the class of what is in none of the slot's prefixes */
};

ZSYNC_INLINE void zsync_take(struct zsync_slot *slot, __u32 bits)
{
	slot->high = slot->high << bits | slot->low >> (64 - bits);
	slot->low <<= bits;
}

/* Goes from table to table until a slot has prefixes or nothing. `head_mask` is what the first of a
 * slot's words has bits of, unless it is the head of a table.
 */
ZSYNC_INLINE void zsync_find_slot(const volatile struct zsync_trie *trie, __u64 head_mask,
				  struct zsync_slot *slot)
{
	__u64 shared = trie->shared;
	__u32 shared_bits = trie->shared_bits;
	__u32 slot_bits = trie->slot_bits;
	__u32 blocks = trie->blocks;

	while (ZSYNC_MAY_LOOP()) {
		__u32 number, shift, sizes, before;
		__u64 block, head;

		if (shared_bits) {
			if (slot->high >> (64 - shared_bits) != shared) {
				slot->words = 0;
				break;
			}
			zsync_take(slot, shared_bits);
		}
		number = slot->high >> (64 - slot_bits);
		zsync_take(slot, slot_bits);
		block = ZSYNC_BUCKET(blocks + number / ZSYNC_BLOCK_SLOTS);
		sizes = block >> ZSYNC_BLOCK_SIZES_SHIFT;
		shift = number % ZSYNC_BLOCK_SLOTS * ZSYNC_BLOCK_SIZE_BITS;
		slot->words = sizes >> shift & ZSYNC_SLOT_WORDS_MAX;
		if (!slot->words)
			break;
		before = sizes & ((1U << shift) - 1);
		before = (before & 0x0f0f0f0f) + (before >> 4 & 0x0f0f0f0f);
		slot->place = (__u32)block + (before * 0x01010101U >> 24);
		head = ZSYNC_BUCKET(slot->place);
		if (head & head_mask)
			break;
		shared_bits = head >> ZSYNC_HEAD_SHARED_BITS_SHIFT & 0xff;
		slot_bits = head >> ZSYNC_HEAD_SLOT_BITS_SHIFT & 0xff;
		slot->otherwise = head >> ZSYNC_HEAD_CLASS_SHIFT;
		blocks = ZSYNC_BUCKET(slot->place + 1);
		shared = ZSYNC_BUCKET(slot->place + 2);
	}
}

/* Has the top bit of each lane that `address`, the same in all, is not in. */
ZSYNC_INLINE __u64 zsync_lanes_differ(__u64 lanes, __u64 address)
{
	__u64 bits = ~(lanes ^ (lanes - ZSYNC_LANES)); /* of each lane those above its last one */
	__u64 differs = (lanes ^ address) & bits;

	return (differs | ((differs & ~ZSYNC_LANE_TOPS) + ~ZSYNC_LANE_TOPS)) & ZSYNC_LANE_TOPS;
}

ZSYNC_INLINE __u32 zsync_ipv4_class(int dimension, __u32 address)
{
	const volatile struct zsync_trie *trie = &ZSYNC_CONFIG.ipv4[dimension];
	struct zsync_slot slot = { (__u64)address << 32, 0, 0, 0, ZSYNC_CONFIG.absent[dimension] };
	__u64 lane, differ = ZSYNC_LANE_TOPS;
	__u32 i;

	zsync_find_slot(trie, ZSYNC_LANE_MASK, &slot);
	lane = (slot.high >> (64 - ZSYNC_LANE_BITS)) * ZSYNC_LANES;
	if (!trie->color_mask) {
		/* No way out of the loop that waits for what it reads. */
		for (i = 0; i < ZSYNC_SLOT_WORDS_MAX && i < slot.words; i++)
			differ &= zsync_lanes_differ(ZSYNC_BUCKET(slot.place + i), lane);
		return differ == ZSYNC_LANE_TOPS ? slot.otherwise :
						   ZSYNC_CELL(trie->palette + 1);
	}
	for (i = 0; i < ZSYNC_SLOT_WORDS_MAX && i < slot.words; i += 2) {
		__u64 same = ZSYNC_LANE_TOPS ^
			     zsync_lanes_differ(ZSYNC_BUCKET(slot.place + i), lane);

		if (same) {
			__u64 colors = ZSYNC_BUCKET(slot.place + i + 1);

			colors >>= ZSYNC_FIRST_BIT(same) - (ZSYNC_LANE_BITS - 1);
			return ZSYNC_CELL(trie->palette + (colors & trie->color_mask));
		}
	}
	return slot.otherwise;
}

/* Not 0 where the address differs from the prefix, whose bits in `word` stand where those of `bits` do.
 * A prefix of no bits shifts by 64.
 */
ZSYNC_INLINE __u64 zsync_differs(__u64 bits, __u64 word)
{
	return (bits ^ word) >> 1 >> (word & ZSYNC_PREFIX_SHIFT_MASK);
}

ZSYNC_INLINE __u32 zsync_ipv6_class(int dimension, __u64 high, __u64 low)
{
	const volatile struct zsync_trie *trie = &ZSYNC_CONFIG.ipv6[dimension];
	struct zsync_slot slot = { high, low, 0, 0, ZSYNC_CONFIG.absent[dimension] };
	__u32 i;

	if (trie->sieve != ZSYNC_NO_TABLE) {
		__u64 hash = zsync_sieve_hash(high >> trie->sieve_key_shift);
		__u64 bits = zsync_sieve_bits(hash);
		__u32 word = hash >> trie->sieve_word_shift;

		if ((ZSYNC_BUCKET(trie->sieve + word) & bits) != bits)
			return slot.otherwise;
	}
	zsync_find_slot(trie, ZSYNC_PREFIX_SHIFT_MASK, &slot);
	for (i = 0; i < ZSYNC_SLOT_WORDS_MAX && i < slot.words; i++) {
		__u64 word = ZSYNC_BUCKET(slot.place + i);
		__u64 differs = zsync_differs(slot.high, word);

		if (word & ZSYNC_PREFIX_CONTINUES) {
			i++;
			word = ZSYNC_BUCKET(slot.place + i);
			differs |= zsync_differs(slot.high << ZSYNC_PREFIX_BITS_MAX |
							 slot.low >> (64 - ZSYNC_PREFIX_BITS_MAX),
						 word);
		}
		if (!differs)
			return ZSYNC_CELL(trie->palette +
					  (word >> ZSYNC_PREFIX_COLOR_SHIFT & trie->color_mask));
	}
	return slot.otherwise;
}

ZSYNC_INLINE __u32 zsync_address_class(int dimension, const struct zsync_packet *packet,
				       const struct zsync_address *address)
{
	if (packet->network == ZSYNC_NETWORK_IPV4 &&
	    ZSYNC_CONFIG.ipv4[dimension].blocks != ZSYNC_NO_TABLE)
		return zsync_ipv4_class(dimension, address->high >> 32);
	if (packet->network == ZSYNC_NETWORK_IPV6 &&
	    ZSYNC_CONFIG.ipv6[dimension].blocks != ZSYNC_NO_TABLE)
		return zsync_ipv6_class(dimension, address->high, address->low);
	return ZSYNC_CONFIG.absent[dimension];
}

/* The class of an address with a port that some set names; for others `otherwise`, that of the address. */
ZSYNC_INLINE __u32 zsync_endpoint_class(int dimension, const struct zsync_packet *packet,
					const struct zsync_address *address, __u16 port,
					__u32 otherwise)
{
	__u64 high = address->high, low = address->low, word;
	__u32 root, mask, hash, at;

	if (!packet->has_ports)
		return otherwise;
	if (packet->network == ZSYNC_NETWORK_IPV4 &&
	    ZSYNC_CONFIG.endpoints_ipv4[dimension] != ZSYNC_NO_TABLE) {
		root = ZSYNC_CONFIG.endpoints_ipv4[dimension];
		mask = ZSYNC_CONFIG.endpoints_mask_ipv4[dimension];
		at = zsync_endpoint_hash(high, 0, port) & mask;
		/* There are more entries than endpoints, so an empty one ends the search. */
		while (ZSYNC_MAY_LOOP()) {
			word = ZSYNC_BUCKET(root + at);
			if (!word)
				break;
			if (word >> ZSYNC_ENDPOINT_COLOR_BITS == (high >> 16 | port))
				return ZSYNC_CELL(ZSYNC_CONFIG.palette_endpoints[dimension] +
						  (word & ZSYNC_ENDPOINT_COLOR_MASK));
			at = (at + 1) & mask;
		}
	} else if (packet->network == ZSYNC_NETWORK_IPV6 &&
		   ZSYNC_CONFIG.endpoints_ipv6[dimension] != ZSYNC_NO_TABLE) {
		root = ZSYNC_CONFIG.endpoints_ipv6[dimension];
		mask = ZSYNC_CONFIG.endpoints_mask_ipv6[dimension];
		hash = zsync_endpoint_hash(high, low, port);
		at = hash & mask;
		while (ZSYNC_MAY_LOOP()) {
			__u32 cell = ZSYNC_CELL(root + at), entry;

			if (!cell)
				break;
			at = (at + 1) & mask;
			if ((cell ^ hash) >> ZSYNC_ENDPOINT_TAG_SHIFT)
				continue;
			entry = ZSYNC_CONFIG.endpoints_words_ipv6[dimension] +
				((cell & ZSYNC_ENDPOINT_NUMBER_MASK) - 1) * ZSYNC_ENDPOINT_WORDS_IPV6;
			word = ZSYNC_BUCKET(entry + 2);
			/* One branch for all: each is a way of its own to the verifier. */
			if (!((word >> ZSYNC_ENDPOINT_COLOR_BITS ^ port) |
			      (ZSYNC_BUCKET(entry) ^ high) | (ZSYNC_BUCKET(entry + 1) ^ low)))
				return ZSYNC_CELL(ZSYNC_CONFIG.palette_endpoints[dimension] +
						  (word & ZSYNC_ENDPOINT_COLOR_MASK));
		}
	}
	return otherwise;
}

ZSYNC_INLINE int zsync_has_endpoints(int dimension)
{
	return ZSYNC_CONFIG.endpoints_ipv4[dimension] != ZSYNC_NO_TABLE ||
	       ZSYNC_CONFIG.endpoints_ipv6[dimension] != ZSYNC_NO_TABLE;
}

/* The class of a 16-bit number, if the packet has such a number. */
ZSYNC_INLINE __u32 zsync_number_class(int dimension, int present, __u16 number)
{
	__u32 page;

	if (!present)
		return ZSYNC_CONFIG.absent[dimension];
	page = ZSYNC_CELL(ZSYNC_CONFIG.pages[dimension] + (number >> 8));
	return ZSYNC_CELL(page + (number & 0xff));
}

/* The class of the packet in every dimension of its frame that some rule restricts. */
ZSYNC_INLINE void zsync_classify(const struct zsync_packet *packet,
				 __u32 classes[ZSYNC_DIMENSIONS])
{
	int ip = packet->network == ZSYNC_NETWORK_IPV4 || packet->network == ZSYNC_NETWORK_IPV6;

	if (ZSYNC_CONFIG.used[ZSYNC_SOURCE])
		classes[ZSYNC_SOURCE] =
			zsync_address_class(ZSYNC_SOURCE, packet, &packet->source);
	if (ZSYNC_CONFIG.used[ZSYNC_SOURCE] && zsync_has_endpoints(ZSYNC_SOURCE))
		classes[ZSYNC_SOURCE] =
			zsync_endpoint_class(ZSYNC_SOURCE, packet, &packet->source,
					     packet->source_port, classes[ZSYNC_SOURCE]);
	if (ZSYNC_CONFIG.used[ZSYNC_DESTINATION])
		classes[ZSYNC_DESTINATION] =
			zsync_address_class(ZSYNC_DESTINATION, packet, &packet->destination);
	if (ZSYNC_CONFIG.used[ZSYNC_DESTINATION] && zsync_has_endpoints(ZSYNC_DESTINATION))
		classes[ZSYNC_DESTINATION] =
			zsync_endpoint_class(ZSYNC_DESTINATION, packet, &packet->destination,
					     packet->destination_port,
					     classes[ZSYNC_DESTINATION]);
	if (ZSYNC_CONFIG.used[ZSYNC_SOURCE_PORT])
		classes[ZSYNC_SOURCE_PORT] =
			zsync_number_class(ZSYNC_SOURCE_PORT, packet->has_ports, packet->source_port);
	if (ZSYNC_CONFIG.used[ZSYNC_DESTINATION_PORT])
		classes[ZSYNC_DESTINATION_PORT] =
			zsync_number_class(ZSYNC_DESTINATION_PORT, packet->has_ports,
					   packet->destination_port);
	if (ZSYNC_CONFIG.used[ZSYNC_PROTOCOL])
		classes[ZSYNC_PROTOCOL] =
			ip ? ZSYNC_CELL(ZSYNC_CONFIG.protocol_classes + packet->protocol) :
			     ZSYNC_CONFIG.absent[ZSYNC_PROTOCOL];
	if (ZSYNC_CONFIG.used[ZSYNC_TCP_FLAGS])
		classes[ZSYNC_TCP_FLAGS] =
			packet->has_tcp_flags ?
				ZSYNC_CELL(ZSYNC_CONFIG.tcp_flags_classes + packet->tcp_flags) :
				ZSYNC_CONFIG.absent[ZSYNC_TCP_FLAGS];
	if (ZSYNC_CONFIG.used[ZSYNC_VLAN])
		classes[ZSYNC_VLAN] = packet->vlan != ZSYNC_NO_VLAN ?
					      ZSYNC_CELL(ZSYNC_CONFIG.vlan_classes + packet->vlan) :
					      ZSYNC_CONFIG.absent[ZSYNC_VLAN];
	if (ZSYNC_CONFIG.used[ZSYNC_FRAGMENT])
		classes[ZSYNC_FRAGMENT] = packet->fragment ? ZSYNC_CONFIG.fragment_class :
							     ZSYNC_CONFIG.absent[ZSYNC_FRAGMENT];
	if (ZSYNC_CONFIG.used[ZSYNC_ICMP])
		classes[ZSYNC_ICMP] =
			zsync_number_class(ZSYNC_ICMP, packet->has_icmp, packet->icmp);
	if (ZSYNC_CONFIG.used[ZSYNC_LENGTH])
		classes[ZSYNC_LENGTH] = zsync_number_class(ZSYNC_LENGTH, ip, packet->length);
}

/* Word `word` of the AND of all used classes, starting from `bits`. */
ZSYNC_INLINE __u64 zsync_and(const __u32 classes[ZSYNC_DIMENSIONS], __u32 word, __u64 bits)
{
	int i;

	ZSYNC_UNROLL
	for (i = 0; i < ZSYNC_HOOK_DIMENSIONS; i++) {
		if (ZSYNC_CONFIG.used[i])
			bits &= ZSYNC_BITMAP(classes[i] + word);
	}
	return bits;
}

/* The index of the first rule that matches, or the number of rules when none does. `classes` is
 * room to work in.
 */
ZSYNC_INLINE __u32 zsync_match(const struct zsync_packet *packet, __u32 classes[ZSYNC_DIMENSIONS])
{
	__u64 candidates, bits;

	if (ZSYNC_CONFIG.rules == 0)
		return 0;
	zsync_classify(packet, classes);
	candidates = zsync_and(classes, 0, ZSYNC_CONFIG.summary);
	if (ZSYNC_CONFIG.words == 1)
		return candidates ? ZSYNC_FIRST_BIT(candidates) : ZSYNC_CONFIG.rules;
	while (candidates && ZSYNC_MAY_LOOP()) {
		__u32 word = ZSYNC_FIRST_BIT(candidates);

		bits = zsync_and(classes, 1 + word, ~0ULL);
		if (bits)
			return word * 64 + ZSYNC_FIRST_BIT(bits);
		candidates &= candidates - 1;
	}
	return ZSYNC_CONFIG.rules;
}

#endif
