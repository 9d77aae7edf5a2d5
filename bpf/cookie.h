/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * SYN cookies: what a SYN-ACK says so that the ACK alone tells who was asked, and what was agreed on. No
 * kernel type in here, so that tests run it in userspace.
 *
 * The number of the SYN-ACK: a keyed hash, the largest MSS of a table that the client takes, and in which
 * of four periods of 69 s it was made, of which this one and the last are good. The lowest bits of its
 * timestamp say what else the client offered, as Linux's own cookies do; they are hashed with the
 * addresses, ports and the client's number, so that nobody can change them. Clients without timestamps
 * get an MSS and nothing else.
 *
 * The hash is SipHash-2-4 (Aumasson, Bernstein: SipHash, a fast short-input PRF), of which 27 bits are
 * kept: of 2^28 ACKs that are made up one is taken for good.
 */
#ifndef ZSYNC_COOKIE_H
#define ZSYNC_COOKIE_H

#include "parse.h"

#define ZSYNC_COOKIE_PERIOD_SHIFT 36 /* of nanoseconds: 69 s */
#define ZSYNC_COOKIE_PERIOD_MASK 3
#define ZSYNC_COOKIE_MSS_SHIFT 2
#define ZSYNC_COOKIE_MSS_MASK 7
#define ZSYNC_COOKIE_HASH_SHIFT 5

/* What is agreed on besides the MSS: the lowest bits of a timestamp. */
#define ZSYNC_AGREED_SCALE_MASK 0xf
#define ZSYNC_AGREED_NO_SCALE 0xf /* no window scaling */
#define ZSYNC_AGREED_SACK 0x10
#define ZSYNC_AGREED_BITS 0x3f
/* Not in the timestamp but by its being there. */
#define ZSYNC_AGREED_TIMESTAMPS 0x40

#define ZSYNC_SCALE_MAX 14 /* RFC 7323, 2.3 */

struct zsync_cookie_key {
	__u64 words[2];
};

/* Who speaks to whom, in the order that is hashed. */
struct zsync_cookie_peers {
	__u64 addresses[4]; /* of IPv4 the first and the third */
	__u32 ports; /* the client's above the server's */
	__u32 client_number; /* of the SYN */
	__u32 ipv6;
};

/* What a TCP header's options say. */
struct zsync_tcp_options {
	__u32 mss;
	__u32 scale; /* ZSYNC_AGREED_NO_SCALE: none */
	__u32 sack;
	__u32 timestamps;
	__u32 time; /* the other end's, and what it echoes */
	__u32 echo;
};

struct zsync_siphash {
	__u64 v0, v1, v2, v3;
};

ZSYNC_INLINE __u64 zsync_rotate(__u64 x, const int bits)
{
	return x << bits | x >> (64 - bits);
}

ZSYNC_INLINE void zsync_sip_round(struct zsync_siphash *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = zsync_rotate(s->v1, 13) ^ s->v0;
	s->v3 = zsync_rotate(s->v3, 16) ^ s->v2;
	s->v0 = zsync_rotate(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = zsync_rotate(s->v1, 17) ^ s->v2;
	s->v3 = zsync_rotate(s->v3, 21) ^ s->v0;
	s->v2 = zsync_rotate(s->v2, 32);
}

ZSYNC_INLINE void zsync_sip_word(struct zsync_siphash *s, __u64 word)
{
	s->v3 ^= word;
	zsync_sip_round(s);
	zsync_sip_round(s);
	s->v0 ^= word;
}

ZSYNC_INLINE void zsync_sip_begin(struct zsync_siphash *s, const struct zsync_cookie_key *key)
{
	s->v0 = key->words[0] ^ 0x736f6d6570736575ULL;
	s->v1 = key->words[1] ^ 0x646f72616e646f6dULL;
	s->v2 = key->words[0] ^ 0x6c7967656e657261ULL;
	s->v3 = key->words[1] ^ 0x7465646279746573ULL;
}

/* `bytes` of the words before, which are whole ones. */
ZSYNC_INLINE __u64 zsync_sip_end(struct zsync_siphash *s, __u64 bytes)
{
	zsync_sip_word(s, bytes << 56);
	s->v2 ^= 0xff;
	zsync_sip_round(s);
	zsync_sip_round(s);
	zsync_sip_round(s);
	zsync_sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* MSS that cookies can say. Those of IPv6 are at least 1220, what the smallest MTU leaves. */
ZSYNC_INLINE __u16 zsync_cookie_mss(__u32 place, __u32 ipv6)
{
	switch (place & ZSYNC_COOKIE_MSS_MASK) {
	case 0:
		return ipv6 ? 1220 : 536;
	case 1:
		return ipv6 ? 1280 : 1220;
	case 2:
		return 1300;
	case 3:
		return 1360;
	case 4:
		return 1400;
	case 5:
		return 1440;
	case 6:
		return ipv6 ? 4096 : 1460;
	default:
		return 8900;
	}
}

/* The largest that is not above `mss`; the smallest where none is. */
ZSYNC_INLINE __u32 zsync_cookie_mss_place(__u32 mss, __u32 ipv6)
{
	__u32 found = 0;
	__u32 i;

	for (i = 1; i <= ZSYNC_COOKIE_MSS_MASK; i++)
		if (zsync_cookie_mss(i, ipv6) <= mss)
			found = i;
	return found;
}

ZSYNC_INLINE __u32 zsync_cookie_hash(const struct zsync_cookie_key *key,
				     const struct zsync_cookie_peers *peers, __u32 period,
				     __u32 place, __u32 agreed)
{
	struct zsync_siphash s;

	zsync_sip_begin(&s, key);
	zsync_sip_word(&s, peers->addresses[0]);
	zsync_sip_word(&s, peers->addresses[2]);
	if (peers->ipv6) {
		zsync_sip_word(&s, peers->addresses[1]);
		zsync_sip_word(&s, peers->addresses[3]);
	}
	zsync_sip_word(&s, (__u64)peers->ports << 32 | peers->client_number);
	zsync_sip_word(&s, (__u64)period << 32 | place << 8 | agreed);
	return zsync_sip_end(&s, peers->ipv6 ? 48 : 32) >> 32 << ZSYNC_COOKIE_HASH_SHIFT;
}

/* The number of a SYN-ACK. `mss` is the client's, `agreed` all that ZSYNC_AGREED_... say. */
ZSYNC_INLINE __u32 zsync_cookie_make(const struct zsync_cookie_key *key,
				     const struct zsync_cookie_peers *peers, __u64 now_ns, __u32 mss,
				     __u32 agreed)
{
	__u32 period = now_ns >> ZSYNC_COOKIE_PERIOD_SHIFT;
	__u32 place = zsync_cookie_mss_place(mss, peers->ipv6);

	return zsync_cookie_hash(key, peers, period, place, agreed) |
	       place << ZSYNC_COOKIE_MSS_SHIFT | (period & ZSYNC_COOKIE_PERIOD_MASK);
}

/* The MSS that a cookie says, or 0: it is none of ours, or too old. */
ZSYNC_INLINE __u32 zsync_cookie_check(const struct zsync_cookie_key *key,
				      const struct zsync_cookie_peers *peers, __u64 now_ns,
				      __u32 cookie, __u32 agreed)
{
	__u32 now = now_ns >> ZSYNC_COOKIE_PERIOD_SHIFT;
	__u32 age = (now - cookie) & ZSYNC_COOKIE_PERIOD_MASK;
	__u32 place = cookie >> ZSYNC_COOKIE_MSS_SHIFT & ZSYNC_COOKIE_MSS_MASK;

	if (age > 1 || (zsync_cookie_hash(key, peers, now - age, place, agreed) ^ cookie) >>
			       ZSYNC_COOKIE_HASH_SHIFT)
		return 0;
	return zsync_cookie_mss(place, peers->ipv6);
}

/* The timestamp of a SYN-ACK, at most what the clock says, in ms. */
ZSYNC_INLINE __u32 zsync_cookie_timestamp(__u64 now_ns, __u32 agreed)
{
	__u32 now = (__u32)(now_ns / 1000000);
	__u32 time = (now & ~(__u32)ZSYNC_AGREED_BITS) | (agreed & ZSYNC_AGREED_BITS);

	return time > now ? time - (ZSYNC_AGREED_BITS + 1) : time;
}

#endif
