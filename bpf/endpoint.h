/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Addresses with ports that sets name, in a table of words with open addressing, a table for each of
 * IPv4 and IPv6. An IPv4 entry is one word: address, port, and the color of its class, the place in a
 * palette, which is never 0, so an empty word is 0. An IPv6 entry is three: the address, then port and color.
 * Its place is the entry's hash, or one of the next ZSYNC_ENDPOINT_STEPS_MAX - 1 entries.
 */
#ifndef ZSYNC_ENDPOINT_H
#define ZSYNC_ENDPOINT_H

#include <linux/types.h>

#include "parse.h"

#define ZSYNC_ENDPOINT_STEPS_MAX 32
#define ZSYNC_ENDPOINT_WORDS_IPV6 3
#define ZSYNC_ENDPOINT_COLOR_BITS 16
#define ZSYNC_ENDPOINT_COLOR_MASK ((1U << ZSYNC_ENDPOINT_COLOR_BITS) - 1)
/* Entries of a table: the hash has so many bits. */
#define ZSYNC_ENDPOINT_BITS 24

/* Of an address as in struct zsync_address and a port. */
ZSYNC_INLINE __u32 zsync_endpoint_hash(__u64 high, __u64 low, __u16 port)
{
	__u64 hash = (high ^ port) * 0x9e3779b97f4a7c15ULL;

	hash = (hash ^ hash >> 32 ^ low) * 0xd6e8feb86659fd93ULL;
	hash ^= hash >> 32;
	return (hash * 0x9e3779b97f4a7c15ULL) >> (64 - ZSYNC_ENDPOINT_BITS);
}

#endif
