/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What stands in front of many IPv6 prefixes, so that addresses in none of them are known by one read
 * of a table eight times as small: a Bloom filter whose keys are the first bits of addresses, and
 * which keeps all bits of a key in one word (Putze, Sanders and Singler, WEA 2007). Of other addresses
 * it lets one in thirty through, to be looked up.
 */
#ifndef ZSYNC_SIEVE_H
#define ZSYNC_SIEVE_H

#include <linux/types.h>

#include "parse.h"

/* Its top bits number the key's word. */
ZSYNC_INLINE __u64 zsync_sieve_hash(__u64 key)
{
	return key * 0x9e3779b97f4a7c15ULL;
}

/* What a key has in its word: bits that its hash names below those that number the word. */
ZSYNC_INLINE __u64 zsync_sieve_bits(__u64 hash)
{
	return 1ULL << (hash >> 38 & 63) | 1ULL << (hash >> 32 & 63) | 1ULL << (hash >> 26 & 63);
}

#endif
