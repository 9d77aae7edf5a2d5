/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Addresses with ports that sets name, in a table with open addressing, one for each of IPv4 and IPv6.
 * An IPv4 entry is a word: address, port, and the color of its class, the place in a palette, which is
 * never 0, so an empty word is 0. Its place is the entry's hash, or one of the next
 * ZSYNC_ENDPOINT_STEPS_MAX - 1 entries.
 *
 * IPv6: three words, the address, then port and color, one behind the other without room between them. The
 * table is of cells: what numbers the three words, from 1 on, below a tag, bits of the hash. So an address
 * that is not there reads a cell, and of the much that the table is emptier than full only cells are wasted.
 */
#ifndef ZSYNC_ENDPOINT_H
#define ZSYNC_ENDPOINT_H

#include <linux/types.h>

#include "parse.h"

#define ZSYNC_ENDPOINT_STEPS_MAX 32
#define ZSYNC_ENDPOINT_WORDS_IPV6 3
#define ZSYNC_ENDPOINT_COLOR_BITS 16
#define ZSYNC_ENDPOINT_COLOR_MASK ((1U << ZSYNC_ENDPOINT_COLOR_BITS) - 1)
#define ZSYNC_ENDPOINT_TAG_SHIFT 21 /* of a cell and of the hash */
#define ZSYNC_ENDPOINT_NUMBER_MASK ((1U << ZSYNC_ENDPOINT_TAG_SHIFT) - 1)
/* Entries of a table. */
#define ZSYNC_ENDPOINT_BITS 24

/* Of an address as in struct zsync_address and a port. */
ZSYNC_INLINE __u32 zsync_endpoint_hash(__u64 high, __u64 low, __u16 port)
{
	__u64 hash = (high ^ port) * 0x9e3779b97f4a7c15ULL;

	hash = (hash ^ hash >> 32 ^ low) * 0xd6e8feb86659fd93ULL;
	hash ^= hash >> 32;
	return (hash * 0x9e3779b97f4a7c15ULL) >> 32;
}

#endif
