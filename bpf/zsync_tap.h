/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the tap hands to userspace, a record a packet. Shared by both sides.
 */
#ifndef ZSYNC_TAP_H
#define ZSYNC_TAP_H

#include <linux/types.h>

/* Bytes of a packet that are always handed over: all headers, nearly always. */
#define ZSYNC_TAP_HEAD_BYTES 128
/* Bytes of a packet that is handed over for its content: of a short one, of one as a wire has them, and of
 * one that GRO or GSO has merged. A TLS ClientHello with a post-quantum key share takes more than a packet
 * of a wire, and comes as one merged packet.
 */
#define ZSYNC_TAP_SHORT_BYTES 512
#define ZSYNC_TAP_WIRE_BYTES 1600
#define ZSYNC_TAP_MERGED_BYTES 4096
/* Packets of a flow that are handed over for their content: of each direction of a connection, since the
 * host's own packets have a hash of their own; of both directions together elsewhere. SYN begins anew.
 */
#define ZSYNC_TAP_YOUNG_PACKETS 8
/* Cells in which young flows are told from old ones; a power of two. */
#define ZSYNC_TAP_CELLS 65536

enum zsync_tap_direction {
	ZSYNC_TAP_IN,
	ZSYNC_TAP_OUT,
};

struct zsync_tap_config {
	__u32 sample_every; /* one packet of so many is handed over; 1: all */
	__u32 for_capture; /* up to ZSYNC_TAP_WIRE_BYTES of every packet */
	__u32 starts_at_network; /* the device's frames have no link header */
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
