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

#include "parse.h"
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

/* How many keys of the bucket are not above `address`, whose bits below the cell fill one lane: each
 * lane's subtraction leaves the guard bit that it borrows from only where the key is not above.
 */
ZSYNC_INLINE __u32 zsync_rank(__u32 bucket, __u32 words, __u32 words_min, __u64 address)
{
	__u64 guarded = address * ZSYNC_LANES | ZSYNC_LANES << 15;
	__u64 sum = 0;
	__u32 i;

	ZSYNC_UNROLL
	for (i = 0; i < ZSYNC_BUCKET_WORDS_MIN_MAX; i++) {
		if (i < words_min || i < words)
			sum += (guarded - ZSYNC_BUCKET(bucket + i)) >> 15 & ZSYNC_LANES;
	}
	for (i = ZSYNC_BUCKET_WORDS_MIN_MAX; i < ZSYNC_BUCKET_WORDS_MAX; i++) {
		if (i >= words)
			break;
		sum += (guarded - ZSYNC_BUCKET(bucket + i)) >> 15 & ZSYNC_LANES;
	}
	return sum * ZSYNC_LANES >> 48;
}

/* The class of an IPv4 address by its table of ranges. */
ZSYNC_INLINE __u32 zsync_range(int dimension, __u32 address)
{
	__u32 cell = ZSYNC_CELL(ZSYNC_CONFIG.root_ipv4[dimension] +
				(address >> (32 - ZSYNC_IPV4_ROOT_BITS)));
	__u32 below = address & ((1U << (32 - ZSYNC_IPV4_ROOT_BITS)) - 1);
	__u32 log2 = ZSYNC_CONFIG.class_bits_log2_ipv4[dimension];
	__u32 words, bucket, place;
	__u64 class_bits;

	if ((cell & (ZSYNC_LEAF | ZSYNC_TABLE)) == ZSYNC_TABLE) {
		cell = ZSYNC_CELL((cell & ~ZSYNC_TABLE) + (below >> 7));
		below &= 0x7f;
		if ((cell & (ZSYNC_LEAF | ZSYNC_TABLE)) == ZSYNC_TABLE)
			cell = ZSYNC_CELL((cell & ~ZSYNC_TABLE) + below);
	}
	if (cell & ZSYNC_LEAF)
		return cell & ~ZSYNC_LEAF;
	words = cell >> ZSYNC_BUCKET_SHIFT;
	bucket = cell & ((1U << ZSYNC_BUCKET_SHIFT) - 1);
	place = zsync_rank(bucket, words, ZSYNC_CONFIG.bucket_words_min_ipv4[dimension], below)
		<< log2;
	class_bits = ZSYNC_BUCKET(bucket + words + (place >> 6)) >> (place & 63);
	return ZSYNC_CELL(ZSYNC_CONFIG.palette_ipv4[dimension] +
			  (class_bits & ((1ULL << (1U << log2)) - 1)));
}

/* What is left of an IPv6 address, and the table that its next bits belong to. */
struct zsync_trie_place {
	__u64 high;
	__u64 low;
	__u64 shared;
	__u32 shared_bits;
	__u32 root_bits;
	__u32 blocks;
	__u32 otherwise; /* the class of what is in no prefix of the table */
};

ZSYNC_INLINE void zsync_take(struct zsync_trie_place *at, __u32 bits)
{
	at->high = at->high << bits | at->low >> (64 - bits);
	at->low <<= bits;
}

/* Not 0 where the address differs from the prefix, whose bits in `word` stand where those of `bits` do.
 * A prefix of no bits shifts by 64.
 */
ZSYNC_INLINE __u64 zsync_differs(__u64 bits, __u64 word)
{
	return (bits ^ word) >> 1 >> (word & ZSYNC_PREFIX_SHIFT_MASK);
}

/* The class of an IPv6 address: goes from table to table, then through the prefixes of a slot. */
ZSYNC_INLINE __u32 zsync_walk(int dimension, __u64 high, __u64 low)
{
	struct zsync_trie_place at = {
		.high = high,
		.low = low,
		.shared = ZSYNC_CONFIG.shared_ipv6[dimension],
		.shared_bits = ZSYNC_CONFIG.shared_bits_ipv6[dimension],
		.root_bits = ZSYNC_CONFIG.root_bits_ipv6[dimension],
		.blocks = ZSYNC_CONFIG.root_ipv6[dimension],
		.otherwise = ZSYNC_CONFIG.absent[dimension],
	};
	__u32 place = 0, words = 0, i;

	while (ZSYNC_MAY_LOOP()) {
		__u32 slot, shift, sizes, before;
		__u64 block, head;

		if (at.shared_bits) {
			if (at.high >> (64 - at.shared_bits) != at.shared)
				return at.otherwise;
			zsync_take(&at, at.shared_bits);
		}
		slot = at.high >> (64 - at.root_bits);
		zsync_take(&at, at.root_bits);
		block = ZSYNC_BUCKET(at.blocks + slot / ZSYNC_BLOCK_SLOTS);
		sizes = block >> ZSYNC_BLOCK_SIZES_SHIFT;
		shift = slot % ZSYNC_BLOCK_SLOTS * ZSYNC_BLOCK_SIZE_BITS;
		words = sizes >> shift & ZSYNC_SLOT_WORDS_MAX;
		before = sizes & ((1U << shift) - 1);
		before = (before & 0x0f0f0f0f) + (before >> 4 & 0x0f0f0f0f);
		place = (__u32)block + (before * 0x01010101U >> 24);
		if (!words)
			return at.otherwise;
		head = ZSYNC_BUCKET(place);
		if (head & ZSYNC_PREFIX_SHIFT_MASK)
			break;
		at.shared_bits = head >> ZSYNC_HEAD_SHARED_BITS_SHIFT & 0xff;
		at.root_bits = head >> ZSYNC_HEAD_ROOT_BITS_SHIFT & 0xff;
		at.otherwise = head >> ZSYNC_HEAD_CLASS_SHIFT;
		at.blocks = ZSYNC_BUCKET(place + 1);
		at.shared = ZSYNC_BUCKET(place + 2);
	}
	for (i = 0; i < ZSYNC_SLOT_WORDS_MAX && i < words; i++) {
		__u64 word = ZSYNC_BUCKET(place + i);
		__u64 differs = zsync_differs(at.high, word);

		if (word & ZSYNC_PREFIX_CONTINUES) {
			i++;
			word = ZSYNC_BUCKET(place + i);
			differs |= zsync_differs(at.high << ZSYNC_PREFIX_BITS_MAX |
							 at.low >> (64 - ZSYNC_PREFIX_BITS_MAX),
						 word);
		}
		if (!differs)
			return ZSYNC_CELL(ZSYNC_CONFIG.palette_ipv6[dimension] +
					  (word >> ZSYNC_PREFIX_COLOR_SHIFT &
					   ZSYNC_CONFIG.color_mask_ipv6[dimension]));
	}
	return at.otherwise;
}

ZSYNC_INLINE __u32 zsync_address_class(int dimension, const struct zsync_packet *packet,
				       const struct zsync_address *address)
{
	if (packet->network == ZSYNC_NETWORK_IPV4 &&
	    ZSYNC_CONFIG.root_ipv4[dimension] != ZSYNC_NO_TABLE)
		return zsync_range(dimension, address->high >> 32);
	if (packet->network == ZSYNC_NETWORK_IPV6 &&
	    ZSYNC_CONFIG.root_ipv6[dimension] != ZSYNC_NO_TABLE)
		return zsync_walk(dimension, address->high, address->low);
	return ZSYNC_CONFIG.absent[dimension];
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
	if (ZSYNC_CONFIG.used[ZSYNC_DESTINATION])
		classes[ZSYNC_DESTINATION] =
			zsync_address_class(ZSYNC_DESTINATION, packet, &packet->destination);
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
