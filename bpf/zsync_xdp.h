/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the XDP program and userspace share: fixed-width types only, no pointers.
 *
 * ZSYNC_LAYOUT_VERSION changes whenever a counter, stats or limit record changes its meaning or size, so
 * that a newer zsyncd that finds an older program attached knows it cannot simply read its maps.
 */
#ifndef ZSYNC_XDP_H
#define ZSYNC_XDP_H

#include <linux/types.h>

#include "handover.h"

#define ZSYNC_LAYOUT_VERSION 10

/* A rule's cell: its counter slot, a bit for each action, and whether it drops. */
#define ZSYNC_SLOT_MASK 0xffffu
#define ZSYNC_ACTION_SHIFT 16
#define ZSYNC_DROP 0x80000000u

/* What a rule can do beyond its verdict, each with one argument: see act.h. */
enum zsync_action {
	ZSYNC_MARK, /* sets the packet's mark, where it has one */
	ZSYNC_LIMIT, /* drops what comes too fast; the argument is an index into `limits` */
	ZSYNC_SAMPLE, /* copies one packet of so many into the ring `samples` */
	ZSYNC_REDIRECT, /* sends the frame out of a device: its place in `targets` */
	ZSYNC_CHALLENGE, /* answers SYNs with cookies; the argument means nothing: see challenge.h */
	ZSYNC_CLASS, /* says which class the packet leaves by, an index into `classes`: see shape.h */
	ZSYNC_ACTIONS, /* at most 15: the bits of a rule's cell below ZSYNC_DROP */
};

#define ZSYNC_WORDS_MAX 64 /* 64-bit words of a rule bitmap: 4096 rules, one summary word */

/*
 * Addresses are looked up in tries of tables. All prefixes of a table begin with the same bits; the
 * bits behind those number its slots. A slot lists the prefixes that are longer, the longest first.
 *
 * Eight slots are one word, a block: the place of the first slot's words, and how many each has, so
 * that the words of slots stand side by side and a slot costs a byte.
 *
 * IPv6: one or two slots a prefix. A prefix is a word, or two: its next bits at the top, below them
 * its class as an index into a palette, its color, then whether it goes on in the word behind, and by
 * how much to shift what differs from an address so that nothing is left where they agree.
 *
 * IPv4: the tables' bits are 17, 8 and 7. Prefixes are lanes, four to a word: the next bits at the
 * top, at most 15, a one behind them, then zeros; unused lanes repeat the last. With more than two
 * colors a word with those of the lanes stands behind each. With two, what has one has the second.
 *
 * A first word without shift, or without first lane, is the head of a table for all of the slot, with
 * its own class for where it has none. Its words: that class and how many bits the table takes; its
 * first block; the bits that its prefixes share.
 *
 * In front of many IPv6 prefixes stands a sieve: see sieve.h.
 */
#define ZSYNC_IPV6_SLOT_BITS_MAX 19
#define ZSYNC_IPV4_SLOT_BITS 17, 8, 7
#define ZSYNC_SHARED_BITS_MAX 63 /* one less than a shift by a whole word */
#define ZSYNC_BLOCK_SLOTS 8
#define ZSYNC_BLOCK_SIZES_SHIFT 32
#define ZSYNC_BLOCK_SIZE_BITS 4
#define ZSYNC_SLOT_WORDS_MAX 15
#define ZSYNC_PREFIX_SHIFT_MASK 63
#define ZSYNC_PREFIX_CONTINUES 64
#define ZSYNC_PREFIX_COLOR_SHIFT 7
#define ZSYNC_PREFIX_BITS_MAX 57 /* above those; of a prefix's last word the color's bits less */
#define ZSYNC_LANE_BITS 16
#define ZSYNC_LANES_PER_WORD 4
#define ZSYNC_LANE_MASK 0xffff
#define ZSYNC_LANES 0x0001000100010001ULL
#define ZSYNC_LANE_TOPS 0x8000800080008000ULL
#define ZSYNC_HEAD_WORDS 3
#define ZSYNC_HEAD_SHARED_BITS_SHIFT 16
#define ZSYNC_HEAD_SLOT_BITS_SHIFT 24
#define ZSYNC_HEAD_CLASS_SHIFT 32

struct zsync_trie {
	__u64 shared; /* the bits that all prefixes begin with, as the lowest of the word */
	__u32 shared_bits; /* how many */
	__u32 slot_bits;
	__u32 blocks; /* the first one's place; ZSYNC_NO_TABLE: no prefixes */
	__u32 palette; /* its first cell */
	__u32 color_mask; /* 0: of IPv4 with two colors */
	__u32 sieve; /* its first word's place; ZSYNC_NO_TABLE: none */
	__u32 sieve_key_shift; /* leaves of the upper half of an address its key */
	__u32 sieve_word_shift; /* leaves of a key's hash its word's number */
};

/* The dimensions a rule can restrict. A packet has one class in each, and the class is the bitmap
 * of the rules that the dimension admits.
 */
enum zsync_dimension {
	ZSYNC_SOURCE,
	ZSYNC_DESTINATION,
	ZSYNC_SOURCE_PORT,
	ZSYNC_DESTINATION_PORT,
	ZSYNC_PROTOCOL,
	ZSYNC_TCP_FLAGS,
	ZSYNC_VLAN,
	ZSYNC_FRAGMENT,
	ZSYNC_ICMP,
	ZSYNC_LENGTH,
	ZSYNC_FRAME_DIMENSIONS, /* what a frame says of itself; sockets and devices say the others */
	ZSYNC_INTERFACE = ZSYNC_FRAME_DIMENSIONS,
	ZSYNC_CGROUP,
	ZSYNC_DIMENSIONS,
};

/* Ancestors of a socket's cgroup that are compared with the rules', counted from the root. */
#define ZSYNC_CGROUP_LEVELS_MAX 32
/* Bit of a key of `names` that makes it an interface's index, not a cgroup's id. */
#define ZSYNC_INTERFACE_KEY (1ULL << 63)

/* The cell index of an absent table. */
#define ZSYNC_NO_TABLE 0xffffffffu

/*
 * Constant for the life of a generation and read-only for the program, so the verifier removes the
 * code of every dimension that the rule set leaves alone.
 *
 * Indexes into `cells` and `bitmaps` are masked with sizes that are powers of two: the mask is the
 * bound that the verifier needs, and no branch.
 */
struct zsync_config {
	__u64 summary; /* one bit for each word of a bitmap */
	struct zsync_trie ipv4[2]; /* by ZSYNC_SOURCE, ZSYNC_DESTINATION */
	struct zsync_trie ipv6[2];
	__u32 rules; /* count; the cell rule_cells + rules is the default's */
	__u32 words; /* 64-bit words of a bitmap, without the summary */
	__u32 rule_cells;
	__u32 malformed_drop;
	__u32 starts_at_network; /* the device's frames have no link header */
	__u32 receives; /* a program for what a device sends is at what it receives, for a capture */
	__u32 cells_mask;
	__u32 buckets_mask;
	__u32 bitmaps_mask;
	__u32 used[ZSYNC_DIMENSIONS]; /* 0: no rule restricts this dimension */
	__u32 absent[ZSYNC_DIMENSIONS]; /* class of a packet that has no such thing */
	__u32 fragment_class;
	/* Addresses with ports: see endpoint.h. Masks are of entries. */
	__u32 endpoints_ipv4[2];
	__u32 endpoints_mask_ipv4[2];
	__u32 endpoints_ipv6[2]; /* of cells */
	__u32 endpoints_mask_ipv6[2];
	__u32 endpoints_words_ipv6[2]; /* the first entry's */
	__u32 palette_endpoints[2];
	/* Of ports, ICMP and length: 256 cells, each the first cell of a page of 256 classes. */
	__u32 pages[ZSYNC_DIMENSIONS];
	__u32 protocol_classes; /* 256 cells */
	__u32 tcp_flags_classes; /* 256 cells */
	__u32 vlan_classes; /* 4096 cells */
	__u32 to_sockets; /* what passes goes to AF_XDP sockets, where there are some */
	__u32 actions; /* a bit for each that some rule has */
	__u32 arguments[ZSYNC_ACTIONS]; /* a cell for each rule */
	__u32 limits_mask; /* see limit.h */
	__u32 limit_parts; /* what keys are made of, of all rules that limit */
	__u32 limits_sliding; /* some rule has such a limit */
	__u32 limits_adaptive; /* likewise */
	__u32 challenge_takes; /* what of a SYN's offer the host takes: ZSYNC_AGREED_... of cookie.h */
	__u32 challenge_mss; /* that the device takes, of IPv4 */
	__u32 answers_redirected; /* answers to challenges leave by redirection: see challenge.h */
	struct zsync_handover_secret handover; /* see handover.h */
	__u32 flow_lines; /* of the flow table that packets are counted into, or none: see flow.h */
	__u32 shapes; /* packets leave at times of their own: see shape.h */
	__u32 classes_mask; /* of those classes; the first is of packets that no rule gives another */
	__u64 shape_cost; /* of the whole: ticks of a byte, with ZSYNC_BYTE_COST_LOG2 */
	__u64 shape_horizon; /* ticks that a packet may wait */
};

struct zsync_counter {
	__u64 packets;
	__u64 bytes;
};

/* A rule's. */
struct zsync_rule_counter {
	struct zsync_counter matched;
	__u64 limited; /* packets that it dropped because they came too fast */
};

#define ZSYNC_MALFORMED_COUNTERS 63

/* One record a CPU for the whole interface. passed + dropped is every packet seen. */
struct zsync_stats {
	struct zsync_counter passed;
	struct zsync_counter dropped;
	struct zsync_counter arp; /* passed without asking the rules */
	struct zsync_counter malformed;
	__u64 malformed_by[ZSYNC_MALFORMED_COUNTERS + 1]; /* by enum zsync_malformed */
	__u64 sampled; /* chosen by `sample` */
	__u64 samples_lost; /* of these, without a place in the ring */
	struct zsync_counter merged; /* of what GSO or GRO had merged: once here, segments elsewhere */
	__u64 unjudged; /* dropped for want of room to judge them in */
	__u64 redirected; /* of those passed, sent out of another device */
	__u64 challenges_sent; /* SYNs of those dropped: answered with a cookie */
	__u64 challenges_verified; /* ACKs of those passed: they brought a cookie back */
	__u64 challenges_refused; /* of those dropped: ACKs without a cookie, SYNs without an answer */
	__u64 challenges_passed; /* SYNs and ACKs for MPTCP, which is not challenged */
	__u64 unmarked; /* of those dropped: their driver has no room for a record before a packet */
};

/* Bytes of a sampled packet that fit a small record: all headers, nearly always. */
#define ZSYNC_SAMPLE_HEAD_BYTES 128
/* Bytes of a longer one that are copied. */
#define ZSYNC_SAMPLE_BYTES_MAX 1600

/* A packet in the ring `samples`. */
struct zsync_sample {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 wire_bytes;
	__u16 captured_bytes;
	__u16 slot; /* of the rule's counter */
	__u8 drop; /* its verdict */
	__u8 starts_at_network; /* without link header */
	__u8 reserved[6];
	__u8 data[];
};

#endif
