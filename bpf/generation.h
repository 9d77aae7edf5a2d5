/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the programs of all hooks are made of: one generation's read-only tables, which userspace
 * sizes and fills before the load, and the counters, which outlive generations.
 */
#ifndef ZSYNC_GENERATION_H
#define ZSYNC_GENERATION_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "cookie.h"
#include "limit.h"
#include "parse.h"
#include "shape.h"
#include "zsync_xdp.h"
#ifdef ZSYNC_HAS_FLOWS
#include "flow_counter.h"
#endif

/* Read-only for the program and frozen by libbpf: the verifier knows its values. In a section of its
 * own because the compiler adds tables to .rodata.
 */
const volatile struct zsync_config config SEC(".rodata.config");

/* Resized before the load; each is the only variable of its section, so that it can be. */
const volatile __u32 cells[1] SEC(".rodata.cells");
const volatile __u64 buckets[1] SEC(".rodata.buckets");
const volatile __u64 bitmaps[1] SEC(".rodata.bitmaps");
const volatile struct zsync_limit limits[1] SEC(".rodata.limits");
#ifdef ZSYNC_HAS_SHAPE
const volatile struct zsync_shape_class classes[1] SEC(".rodata.classes");
#endif

/* A slot a rule. Resized before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_rule_counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct zsync_stats);
} stats SEC(".maps");

/* A packet and the rule that it matched. */
struct zsync_hit {
	__u32 rule; /* index */
	__u32 cell;
	__u32 bytes; /* of the packet */
	__u32 drop; /* the verdict, which an action may change */
	__u32 redirected; /* until the program's end, else 0 */
#ifdef ZSYNC_MARKS_LATER
	__u32 marked; /* until the program's end, else 0: it leaves with `mark` */
	__u32 mark;
#endif
#ifdef ZSYNC_MERGED
	__u32 packets; /* that it stands for, and their bytes on the wire */
	__u32 counted_bytes;
#endif
};

/* More than a TCP header, and a power of two. */
#define ZSYNC_CHALLENGE_HEADER_BYTES 64

/* Room for a challenge: the headers of the packet, and of the answer. */
struct zsync_challenge {
	__u8 link[12];
	__u8 network[40];
	__u8 transport[ZSYNC_CHALLENGE_HEADER_BYTES + 16]; /* what an option may seem to have */
	__u8 answer[40];
	struct zsync_tcp_options options;
	__u32 at; /* which byte of them is next: each way through them is the same to the verifier */
	struct zsync_cookie_peers peers;
	struct zsync_cookie_key key;
	__u32 answered; /* until the program's end, else 0 */
	struct zsync_handover_record left; /* likewise what it does */
};

/*
 * What is known of the packet at hand. In a map and not on the stack because the verifier does not
 * remember what is written to a map: ways that meet again look alike to it, and it walks on from
 * there once (7,300 instructions in all; on the stack 479,000, and half a second to load). Functions
 * of their own would do the same, but where returns are guarded against speculation (AMD's SRSO)
 * each call costs a packet 20 ns.
 */
struct scratch {
	struct zsync_packet packet;
	struct zsync_cursor cursor;
	__u32 classes[ZSYNC_DIMENSIONS];
	struct zsync_hit hit;
	__u32 taken;
#ifdef ZSYNC_HAS_CHALLENGE
	struct zsync_challenge challenge;
#endif
#ifdef ZSYNC_HAS_FLOWS
	struct zsync_flow_try flow;
#endif
};

/* Of these there are as many a CPU as programs can be under way on it. */
#ifndef ZSYNC_SCRATCHES
#define ZSYNC_SCRATCHES 1
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ZSYNC_SCRATCHES);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* Hides from the compiler that the arrays have one element: it would only ever read that one. */
#define RESIZED(array)                                 \
	({                                             \
		const volatile typeof(*(array)) *p = array; \
		asm("" : "+r"(p));                     \
		p;                                     \
	})

#define ZSYNC_CONFIG config
#define ZSYNC_CELL(i) RESIZED(cells)[(i) & config.cells_mask]
#define ZSYNC_BUCKET(i) RESIZED(buckets)[(i) & config.buckets_mask]
#define ZSYNC_BITMAP(i) RESIZED(bitmaps)[(i) & config.bitmaps_mask]
#define ZSYNC_LIMIT_AT(i) (RESIZED(limits) + ((i) & config.limits_mask))
#define ZSYNC_SHAPE_CLASS_AT(i) (RESIZED(classes) + ((i) & config.classes_mask))

/* Each CPU has its own record. Where nothing can come in between on the same CPU, a plain add loses
 * nothing; otherwise the includer says how to add.
 */
#ifndef ZSYNC_ADD
#define ZSYNC_ADD(to, value) (*(to) += (value))
#endif

ZSYNC_INLINE void count(struct zsync_counter *counter, __u32 packets, __u32 bytes)
{
	ZSYNC_ADD(&counter->packets, packets);
	ZSYNC_ADD(&counter->bytes, bytes);
}

#endif
