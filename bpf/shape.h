/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Shaping: when each packet that a device sends may leave, by its departure time (EDT), which the
 * qdisc fq holds it until.
 *
 * The whole and each class have clocks: a clock is the time at which the next packet would leave if
 * all went on without a break at the clock's rate. A packet takes its time of a clock by
 * compare-and-swap, so no two CPUs get the same one. Each packet takes a time of
 *
 *   guaranteed  its class's, at the guaranteed rate, if that is no later than the whole's: it leaves
 *               then, and charges the whole without waiting for it;
 *   whole       else the whole's: it borrows what others leave;
 *   most        its class's at its maximum, from the earlier one on.
 *
 * The guarantees together are no more than the whole, so what they charge never makes it late for
 * good; and what is guaranteed never waits for what was lent.
 *
 * Within all that, flows that send little go first: what stands in a queue is what flows that send much
 * have put there. A packet that would wait, of a flow that has nothing waiting and sends less than a
 * 64th of the whole, leaves at once and charges each clock as if it had waited, so the others wait for it.
 * All such packets together take a time of clocks that run at an eighth of the class's maximum and of the
 * whole, so rates hold, and many flows of one packet each gain no more than that. What GSO will cut is no
 * packet of such a flow. A flow has nothing waiting once the last time that it was given
 * has come, so its packets stay in order.
 *
 * A clock may be behind by ZSYNC_SHAPE_CREDIT: what a sender or a timer was late is made up for. A
 * packet that would wait longer than the horizon is dropped, and charges nothing.
 *
 * Clocks are found by the class's name, so they go on over loads. Here is what user space shares;
 * shaper.h is the packet's side.
 */
#ifndef ZSYNC_SHAPE_H
#define ZSYNC_SHAPE_H

#include <linux/types.h>

#include "limit.h"

/* Ticks, as of limits: 5 ms. */
#define ZSYNC_SHAPE_CREDIT (5000000ULL << ZSYNC_TICKS_PER_NS_LOG2)

/* Of the rate, what packets of sparse flows may take at once; and one flow, to be one. */
#define ZSYNC_SHAPE_SPARSE_SHARE_LOG2 3
#define ZSYNC_SHAPE_SPARSE_FLOWS_LOG2 6
/* How far behind their clocks may be: an eighth of it is what the whole sends too early by them. */
#define ZSYNC_SHAPE_SPARSE_CREDIT (4 * ZSYNC_SHAPE_CREDIT)

/* Constant for the life of a generation. Costs are ticks of a byte, with ZSYNC_BYTE_COST_LOG2. */
struct zsync_shape_class {
	__u64 guaranteed_cost; /* 0: nothing is guaranteed */
	__u64 most_cost;
	__u32 slot; /* of its clocks */
	__u32 reserved;
};

/* The first slot is the whole's. Behind those of all classes, ZSYNC_SHAPE_SLOTS, are words of flows: until
 * when each is no sparse one, by its hash.
 */
#define ZSYNC_SHAPE_WHOLE 0
#define ZSYNC_SHAPE_SLOTS 129
#define ZSYNC_SHAPE_FLOW_LINES 512
#define ZSYNC_SHAPE_FLOW_WORDS 8

/* Of the whole `most` is the clock. */
struct zsync_shape_clock {
	__u64 guaranteed; /* ticks */
	__u64 most;
	__u64 packets; /* that were given a time, and their bytes on the wire */
	__u64 bytes;
	__u64 dropped; /* that would have waited too long */
	__u64 borrowed; /* bytes, of those sent */
	__u64 sparse; /* as the others, of what sparse flows send at once */
	__u64 reserved;
};

struct zsync_shape_flow_line {
	__u64 words[ZSYNC_SHAPE_FLOW_WORDS];
};

#endif
