/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * What the XDP program has decided about a packet that only an skb can bear. XDP has none yet, so it
 * writes a record in front of the packet, where the kernel keeps a few bytes from there to TCX;
 * zsync_handover.bpf.c, which is attached there while some rule needs it, reads it and does it.
 *
 * Every packet that passes then carries a record, one without anything to do too: what crosses several
 * devices of a host may still have the record of an earlier one before it. The token is of this
 * interface alone, so that no other's record counts.
 */
#ifndef ZSYNC_HANDOVER_H
#define ZSYNC_HANDOVER_H

#include <linux/types.h>

#define ZSYNC_HANDOVER_MARK 1
#define ZSYNC_HANDOVER_REQUEST 2

struct zsync_handover_record {
	__u32 token; /* 0: nothing is to be done */
	__u32 mark;
	/* Of a connection that a listening socket is to be handed: see cookie.h. */
	__u32 time; /* the ACK's timestamp, and what it echoes */
	__u32 echo;
	__u16 mss;
	__u8 agreed;
	__u8 does; /* bits of the above */
};

/*
 * The record is the end of so many bytes before the packet. Where Linux (seen from 6.12 to 6.18) copies an
 * skb for XDP in generic mode it forgets how long the link header is, and TCX then takes the network
 * header's place for the packet's: what it shows as the bytes before the packet lies by a link header
 * too far behind. With this much before the record it is in sight there too.
 */
#define ZSYNC_HANDOVER_LINK_BYTES 14
#define ZSYNC_HANDOVER_BYTES 36
#define ZSYNC_HANDOVER_AT (ZSYNC_HANDOVER_BYTES - sizeof(struct zsync_handover_record))

/* Kept as long as the program that reads records, over generations. */
struct zsync_handover_secret {
	__u64 cookie_key[2];
	__u32 token;
	__u32 reserved;
};

/* By how much this host shifts its windows in connections that are handed over: up to 64 MiB, in KiB. */
#define ZSYNC_HANDOVER_SCALE 10

#endif
