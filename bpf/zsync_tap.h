/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the tap hands to userspace, a record a packet. Shared by both sides.
 */
#ifndef ZSYNC_TAP_H
#define ZSYNC_TAP_H

#include <linux/types.h>

/* Bytes of a packet that are always handed over: all headers, nearly always. */
#define ZSYNC_TAP_HEAD_BYTES 128
/* Bytes of a packet of a young flow: what its parsers want to see. */
#define ZSYNC_TAP_WHOLE_BYTES 1600
/* Packets of each direction of a flow that are handed over whole. */
#define ZSYNC_TAP_YOUNG_PACKETS 8
/* Cells in which young flows are told from old ones; a power of two. */
#define ZSYNC_TAP_CELLS 65536

enum zsync_tap_direction {
	ZSYNC_TAP_IN,
	ZSYNC_TAP_OUT,
};

struct zsync_tap_config {
	__u32 sample_every; /* one packet of so many is handed over; 1: all */
	__u32 whole_always; /* for a capture */
};

struct zsync_tap_record {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 wire_bytes;
	__u16 captured_bytes;
	__u8 direction;
	__u8 reserved;
	__u8 data[];
};

struct zsync_tap_stats {
	__u64 packets; /* seen */
	__u64 sampled; /* of these, to be handed over */
	__u64 lost; /* of these, without a place in the ring */
};

#endif
