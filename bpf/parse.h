/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The packet parser: one source for the BPF program, the unit tests and the fuzzers.
 *
 * It reads the linear part of a frame, [data, data_end), of a frame that is frame_bytes long on
 * the wire (longer than the linear part for multi-buffer frames), and says either what the packet
 * is or why it is malformed. Everything is read through zsync_at(), which is also the check that
 * the verifier wants to see. Lengths are compared as numbers first, so that a reason never depends
 * on trailing Ethernet padding.
 */
#ifndef ZSYNC_PARSE_H
#define ZSYNC_PARSE_H

#include <linux/types.h>

#define ZSYNC_INLINE static inline __attribute__((always_inline))

/* Tags looked through; a frame with more is malformed (vlan_depth). */
#define ZSYNC_VLAN_TAGS_MAX 4
/* IPv6 extension headers looked through; a packet with more is malformed (ipv6_extension_depth). */
#define ZSYNC_IPV6_EXTENSIONS_MAX 8

/* X(name, words): the order is part of the counter layout, so new reasons go to the end. */
#define ZSYNC_MALFORMED_REASONS(X)                                                     \
	X(ethernet_short, "frame shorter than an Ethernet header")                     \
	X(vlan_short, "frame ends inside a VLAN tag")                                  \
	X(vlan_depth, "more than 4 VLAN tags")                                         \
	X(ipv4_short, "frame ends inside the IPv4 header")                             \
	X(ipv4_version, "IPv4 ethertype without IP version 4")                         \
	X(ipv4_header_length, "IPv4 header length below 5 words")                      \
	X(ipv4_total_length, "IPv4 total length outside header and frame")             \
	X(ipv6_short, "frame ends inside the IPv6 header")                             \
	X(ipv6_version, "IPv6 ethertype without IP version 6")                         \
	X(ipv6_payload_length, "IPv6 payload longer than the frame")                   \
	X(ipv6_extension_short, "payload ends inside an IPv6 extension header")        \
	X(ipv6_extension_depth, "more than 8 IPv6 extension headers")                  \
	X(ipv6_extension_order, "misplaced hop-by-hop or second fragment header")      \
	X(fragment_length, "fragment before the last not a multiple of 8 bytes")       \
	X(fragment_beyond, "fragment ends beyond 65535 bytes")                         \
	X(fragment_tiny, "first fragment without its whole transport header")          \
	X(fragment_overlap, "fragment that would overwrite a TCP header (RFC 1858)")   \
	X(tcp_short, "payload ends inside the TCP header")                             \
	X(tcp_data_offset, "TCP data offset below 5 words or beyond the payload")      \
	X(udp_short, "payload ends inside the UDP header")                             \
	X(udp_length, "UDP length below 8 or beyond the payload")                      \
	X(icmp_short, "payload ends inside the ICMP header")                           \
	X(icmpv6_short, "payload ends inside the ICMPv6 header")                       \
	X(sctp_short, "payload ends inside the SCTP header")                           \
	X(headers_split, "headers not in the frame's first buffer")

enum zsync_malformed {
	ZSYNC_WELL_FORMED,
#define ZSYNC_REASON(name, words) ZSYNC_MALFORMED_##name,
	ZSYNC_MALFORMED_REASONS(ZSYNC_REASON)
#undef ZSYNC_REASON
		ZSYNC_MALFORMED_END,
};

enum zsync_network {
	ZSYNC_NETWORK_OTHER,
	ZSYNC_NETWORK_ARP,
	ZSYNC_NETWORK_IPV4,
	ZSYNC_NETWORK_IPV6,
};

#define ZSYNC_NO_VLAN 0xffff

/* An address as a number, first byte on top, so that its leading bits are the key's leading bits.
 * IPv4 fills the upper half of `high`.
 */
struct zsync_address {
	__u64 high;
	__u64 low;
};

struct zsync_packet {
	struct zsync_address source; /* valid for IP */
	struct zsync_address destination; /* valid for IP */
	__u16 source_port; /* valid with has_ports */
	__u16 destination_port; /* valid with has_ports */
	__u16 vlan; /* outermost tag's id, or ZSYNC_NO_VLAN */
	__u16 inner_vlan; /* the next one's, or ZSYNC_NO_VLAN */
	__u16 icmp; /* type << 8 | code, valid with has_icmp */
	__u16 length; /* of the IP packet by its own header, at most 65535; valid for IP */
	__u8 network; /* enum zsync_network */
	__u8 protocol; /* valid for IP */
	__u8 tcp_flags; /* valid with has_tcp_flags */
	__u8 has_ports;
	__u8 has_tcp_flags;
	__u8 has_icmp;
	__u8 fragment; /* part of a fragmented packet, the first part included */
	__u32 fragment_id; /* valid with fragment */
};

/* Numbers of IEEE 802 and IANA, here because their uapi headers do not all compile for every user. */
enum {
	ZSYNC_ETHERTYPE_IPV4 = 0x0800,
	ZSYNC_ETHERTYPE_ARP = 0x0806,
	ZSYNC_ETHERTYPE_VLAN = 0x8100,
	ZSYNC_ETHERTYPE_QINQ = 0x88a8,
	ZSYNC_ETHERTYPE_IPV6 = 0x86dd,
	ZSYNC_PROTOCOL_HOP_BY_HOP = 0,
	ZSYNC_PROTOCOL_ICMP = 1,
	ZSYNC_PROTOCOL_TCP = 6,
	ZSYNC_PROTOCOL_UDP = 17,
	ZSYNC_PROTOCOL_ROUTING = 43,
	ZSYNC_PROTOCOL_FRAGMENT = 44,
	ZSYNC_PROTOCOL_AUTHENTICATION = 51,
	ZSYNC_PROTOCOL_ICMPV6 = 58,
	ZSYNC_PROTOCOL_DESTINATION = 60,
	ZSYNC_PROTOCOL_SCTP = 132,
};

/* The linear part of the frame and the frame's whole length. */
struct zsync_frame {
	const __u8 *data;
	const __u8 *data_end;
	__u32 bytes;
};

/* What is left of the packet: where the next header starts and how much of the payload remains. */
struct zsync_cursor {
	__u32 offset;
	__u32 bytes;
	__u8 protocol;
	__u8 jumbo; /* IPv6 payload length 0: lengths of the transport header may be 0 too */
	__u8 transport; /* a transport header follows */
	__u8 fragments; /* fragment headers met */
};

/* Where ways meet again: values come from memory from here on, which the verifier knows nothing
 * about, so that it need not walk on from here once for each way.
 */
#ifdef __bpf__
#define ZSYNC_MEET() asm volatile("" ::: "memory")
#else
#define ZSYNC_MEET() ((void)0)
#endif

/* No header starts as far as this from the frame's first byte: 14 + 4 tags + 40 + 8 extensions of
 * 2048. The verifier wants it said at each access.
 */
#define ZSYNC_OFFSET_MASK 0x7fff

#ifdef __bpf__
#define ZSYNC_LOAD(type, p) (*(const type *)(p))
#else
#define ZSYNC_LOAD(type, p)                                     \
	({                                                      \
		type zsync_loaded;                              \
		__builtin_memcpy(&zsync_loaded, p, sizeof(type)); \
		zsync_loaded;                                   \
	})
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ZSYNC_BE16(x) __builtin_bswap16(x)
#define ZSYNC_BE32(x) __builtin_bswap32(x)
#define ZSYNC_BE64(x) __builtin_bswap64(x)
#else
#define ZSYNC_BE16(x) (x)
#define ZSYNC_BE32(x) (x)
#define ZSYNC_BE64(x) (x)
#endif

ZSYNC_INLINE __u16 zsync_load16(const __u8 *p)
{
	return ZSYNC_BE16(ZSYNC_LOAD(__u16, p));
}

ZSYNC_INLINE __u32 zsync_load32(const __u8 *p)
{
	return ZSYNC_BE32(ZSYNC_LOAD(__u32, p));
}

/* Two halves, because the verifier's pointers into a packet are only known to be 4-byte loads
 * apart and 32-bit loads are never split by a cache line that the header does not cross.
 */
ZSYNC_INLINE __u64 zsync_load64(const __u8 *p)
{
	return (__u64)zsync_load32(p) << 32 | zsync_load32(p + 4);
}

/* The bytes [offset, offset + size) if they are in the linear part, else NULL. */
ZSYNC_INLINE const __u8 *zsync_at(const struct zsync_frame *frame, __u32 offset, __u32 size)
{
	const __u8 *p = frame->data + (offset & ZSYNC_OFFSET_MASK);

	return p + size > frame->data_end ? 0 : p;
}

ZSYNC_INLINE void zsync_name_network(struct zsync_packet *packet, __u16 ethertype)
{
	if (ethertype == ZSYNC_ETHERTYPE_IPV4)
		packet->network = ZSYNC_NETWORK_IPV4;
	else if (ethertype == ZSYNC_ETHERTYPE_IPV6)
		packet->network = ZSYNC_NETWORK_IPV6;
	else if (ethertype == ZSYNC_ETHERTYPE_ARP)
		packet->network = ZSYNC_NETWORK_ARP;
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_link(const struct zsync_frame *frame,
						   struct zsync_packet *packet,
						   struct zsync_cursor *cursor)
{
	const __u8 *p = zsync_at(frame, 0, 14);
	__u16 ethertype;
	__u32 offset = 14;
	__u32 i;

	if (frame->bytes < 14)
		return ZSYNC_MALFORMED_ethernet_short;
	if (!p)
		return ZSYNC_MALFORMED_headers_split;
	ethertype = zsync_load16(p + 12);
	for (i = 0; i <= ZSYNC_VLAN_TAGS_MAX; i++) {
		if (ethertype != ZSYNC_ETHERTYPE_VLAN && ethertype != ZSYNC_ETHERTYPE_QINQ)
			break;
		if (i == ZSYNC_VLAN_TAGS_MAX)
			return ZSYNC_MALFORMED_vlan_depth;
		if (frame->bytes < offset + 4)
			return ZSYNC_MALFORMED_vlan_short;
		p = zsync_at(frame, offset, 4);
		if (!p)
			return ZSYNC_MALFORMED_headers_split;
		if (i == 0)
			packet->vlan = zsync_load16(p) & 0xfff;
		else if (i == 1)
			packet->inner_vlan = zsync_load16(p) & 0xfff;
		ethertype = zsync_load16(p + 2);
		offset += 4;
	}
	zsync_name_network(packet, ethertype);
	cursor->offset = offset;
	cursor->bytes = frame->bytes - offset;
	return ZSYNC_WELL_FORMED;
}

/* Judges one fragment: `start` is its place in the whole payload, `header` what the IPv4 header
 * adds to the whole packet's length.
 */
ZSYNC_INLINE enum zsync_malformed zsync_check_fragment(const struct zsync_cursor *cursor,
						       __u32 start, __u32 header, __u32 more)
{
	if (more && cursor->bytes % 8 != 0)
		return ZSYNC_MALFORMED_fragment_length;
	if (start + header + cursor->bytes > 65535)
		return ZSYNC_MALFORMED_fragment_beyond;
	if (start == 8 && cursor->protocol == ZSYNC_PROTOCOL_TCP)
		return ZSYNC_MALFORMED_fragment_overlap;
	return ZSYNC_WELL_FORMED;
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_ipv4(const struct zsync_frame *frame,
						   struct zsync_packet *packet,
						   struct zsync_cursor *cursor)
{
	const __u8 *p = zsync_at(frame, cursor->offset, 20);
	__u32 header, total, start, more;

	if (cursor->bytes < 20)
		return ZSYNC_MALFORMED_ipv4_short;
	if (!p)
		return ZSYNC_MALFORMED_headers_split;
	if (p[0] >> 4 != 4)
		return ZSYNC_MALFORMED_ipv4_version;
	header = (p[0] & 0xf) * 4;
	if (header < 20)
		return ZSYNC_MALFORMED_ipv4_header_length;
	total = zsync_load16(p + 2);
	/* BIG TCP: the kernel's own super-packets beyond 64 KiB carry 0. */
	if (total == 0 && cursor->bytes > 65535)
		total = cursor->bytes;
	if (total < header || total > cursor->bytes)
		return ZSYNC_MALFORMED_ipv4_total_length;
	packet->length = total > 65535 ? 65535 : total;
	packet->source.high = (__u64)zsync_load32(p + 12) << 32;
	packet->source.low = 0;
	packet->destination.high = (__u64)zsync_load32(p + 16) << 32;
	packet->destination.low = 0;
	packet->protocol = p[9];
	start = (__u32)(zsync_load16(p + 6) & 0x1fff) * 8;
	more = p[6] & 0x20;
	cursor->offset += header;
	cursor->bytes = total - header;
	cursor->protocol = p[9];
	cursor->transport = start == 0;
	if (!start && !more)
		return ZSYNC_WELL_FORMED;
	packet->fragment = 1;
	packet->fragment_id = zsync_load16(p + 4);
	return zsync_check_fragment(cursor, start, header, more);
}

ZSYNC_INLINE int zsync_is_extension(__u8 protocol)
{
	return protocol == ZSYNC_PROTOCOL_HOP_BY_HOP || protocol == ZSYNC_PROTOCOL_ROUTING ||
	       protocol == ZSYNC_PROTOCOL_FRAGMENT || protocol == ZSYNC_PROTOCOL_AUTHENTICATION ||
	       protocol == ZSYNC_PROTOCOL_DESTINATION;
}

/* Walks the extension headers. A fragment other than the first ends the walk: what follows it is
 * payload, not headers.
 */
ZSYNC_INLINE enum zsync_malformed zsync_parse_extensions(const struct zsync_frame *frame,
							 struct zsync_packet *packet,
							 struct zsync_cursor *cursor)
{
	__u32 i;

	for (i = 0; i <= ZSYNC_IPV6_EXTENSIONS_MAX; i++) {
		const __u8 *p;
		__u32 length;
		__u8 kind;

		ZSYNC_MEET();
		kind = cursor->protocol;
		if (!zsync_is_extension(kind))
			break;
		if (i == ZSYNC_IPV6_EXTENSIONS_MAX)
			return ZSYNC_MALFORMED_ipv6_extension_depth;
		if (kind == ZSYNC_PROTOCOL_HOP_BY_HOP && i != 0)
			return ZSYNC_MALFORMED_ipv6_extension_order;
		if (cursor->bytes < 8)
			return ZSYNC_MALFORMED_ipv6_extension_short;
		p = zsync_at(frame, cursor->offset, 8);
		if (!p)
			return ZSYNC_MALFORMED_headers_split;
		length = ((__u32)p[1] + 1) * 8;
		if (kind == ZSYNC_PROTOCOL_FRAGMENT)
			length = 8;
		else if (kind == ZSYNC_PROTOCOL_AUTHENTICATION)
			length = ((__u32)p[1] + 2) * 4;
		if (length > cursor->bytes)
			return ZSYNC_MALFORMED_ipv6_extension_short;
		cursor->protocol = p[0];
		cursor->offset += length;
		cursor->bytes -= length;
		if (kind == ZSYNC_PROTOCOL_FRAGMENT) {
			__u32 place = zsync_load16(p + 2);
			enum zsync_malformed reason;

			if (cursor->fragments++)
				return ZSYNC_MALFORMED_ipv6_extension_order;
			/* RFC 6946: offset 0 and no more is a whole packet, not a fragment. */
			if (!(place & 0xfff9))
				continue;
			packet->fragment = 1;
			packet->fragment_id = zsync_load32(p + 4);
			reason = zsync_check_fragment(cursor, place & 0xfff8, 0, place & 1);
			if (reason)
				return reason;
			if (place & 0xfff8) {
				cursor->transport = 0;
				break;
			}
		}
	}
	packet->protocol = cursor->protocol;
	return ZSYNC_WELL_FORMED;
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_ipv6(const struct zsync_frame *frame,
						   struct zsync_packet *packet,
						   struct zsync_cursor *cursor)
{
	const __u8 *p = zsync_at(frame, cursor->offset, 40);
	__u32 payload;

	if (cursor->bytes < 40)
		return ZSYNC_MALFORMED_ipv6_short;
	if (!p)
		return ZSYNC_MALFORMED_headers_split;
	if (p[0] >> 4 != 6)
		return ZSYNC_MALFORMED_ipv6_version;
	payload = zsync_load16(p + 4);
	packet->length = payload + 40 > 65535 ? 65535 : payload + 40;
	/* RFC 2675: a jumbogram says 0 here and its length in a hop-by-hop option. */
	if (payload == 0 && p[6] == ZSYNC_PROTOCOL_HOP_BY_HOP) {
		payload = cursor->bytes - 40;
		packet->length = payload + 40 > 65535 ? 65535 : payload + 40;
		cursor->jumbo = 1;
	}
	if (payload > cursor->bytes - 40)
		return ZSYNC_MALFORMED_ipv6_payload_length;
	packet->source.high = zsync_load64(p + 8);
	packet->source.low = zsync_load64(p + 16);
	packet->destination.high = zsync_load64(p + 24);
	packet->destination.low = zsync_load64(p + 32);
	cursor->protocol = p[6];
	cursor->offset += 40;
	cursor->bytes = payload;
	cursor->transport = 1;
	return zsync_parse_extensions(frame, packet, cursor);
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_tcp(const struct zsync_frame *frame,
						  struct zsync_packet *packet,
						  const struct zsync_cursor *cursor)
{
	const __u8 *p = zsync_at(frame, cursor->offset, 20);
	__u32 header;

	if (cursor->bytes < 20)
		return packet->fragment ? ZSYNC_MALFORMED_fragment_tiny : ZSYNC_MALFORMED_tcp_short;
	if (!p)
		return ZSYNC_MALFORMED_headers_split;
	header = (p[12] >> 4) * 4;
	if (header < 20)
		return ZSYNC_MALFORMED_tcp_data_offset;
	if (header > cursor->bytes)
		return packet->fragment ? ZSYNC_MALFORMED_fragment_tiny :
					  ZSYNC_MALFORMED_tcp_data_offset;
	packet->tcp_flags = p[13];
	packet->has_tcp_flags = 1;
	packet->source_port = zsync_load16(p);
	packet->destination_port = zsync_load16(p + 2);
	packet->has_ports = 1;
	return ZSYNC_WELL_FORMED;
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_udp(const struct zsync_frame *frame,
						  struct zsync_packet *packet,
						  const struct zsync_cursor *cursor)
{
	const __u8 *p = zsync_at(frame, cursor->offset, 8);
	__u32 length;

	if (cursor->bytes < 8)
		return packet->fragment ? ZSYNC_MALFORMED_fragment_tiny : ZSYNC_MALFORMED_udp_short;
	if (!p)
		return ZSYNC_MALFORMED_headers_split;
	length = zsync_load16(p + 4);
	/* A first fragment's length speaks of the whole datagram; RFC 2675: a jumbogram's is 0. */
	if (!(length == 0 && cursor->jumbo) &&
	    (length < 8 || (length > cursor->bytes && !packet->fragment)))
		return ZSYNC_MALFORMED_udp_length;
	packet->source_port = zsync_load16(p);
	packet->destination_port = zsync_load16(p + 2);
	packet->has_ports = 1;
	return ZSYNC_WELL_FORMED;
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_icmp(const struct zsync_frame *frame,
						   struct zsync_packet *packet,
						   const struct zsync_cursor *cursor,
						   enum zsync_malformed too_short)
{
	const __u8 *p = zsync_at(frame, cursor->offset, 8);

	if (cursor->bytes < 8)
		return packet->fragment ? ZSYNC_MALFORMED_fragment_tiny : too_short;
	if (!p)
		return ZSYNC_MALFORMED_headers_split;
	packet->icmp = zsync_load16(p);
	packet->has_icmp = 1;
	return ZSYNC_WELL_FORMED;
}

ZSYNC_INLINE enum zsync_malformed zsync_parse_transport(const struct zsync_frame *frame,
							struct zsync_packet *packet,
							const struct zsync_cursor *cursor)
{
	const __u8 *p;

	switch (cursor->protocol) {
	case ZSYNC_PROTOCOL_TCP:
		return zsync_parse_tcp(frame, packet, cursor);
	case ZSYNC_PROTOCOL_UDP:
		return zsync_parse_udp(frame, packet, cursor);
	case ZSYNC_PROTOCOL_ICMP:
		if (packet->network != ZSYNC_NETWORK_IPV4)
			return ZSYNC_WELL_FORMED;
		return zsync_parse_icmp(frame, packet, cursor, ZSYNC_MALFORMED_icmp_short);
	case ZSYNC_PROTOCOL_ICMPV6:
		if (packet->network != ZSYNC_NETWORK_IPV6)
			return ZSYNC_WELL_FORMED;
		return zsync_parse_icmp(frame, packet, cursor, ZSYNC_MALFORMED_icmpv6_short);
	case ZSYNC_PROTOCOL_SCTP:
		if (cursor->bytes < 12)
			return packet->fragment ? ZSYNC_MALFORMED_fragment_tiny :
						  ZSYNC_MALFORMED_sctp_short;
		p = zsync_at(frame, cursor->offset, 12);
		if (!p)
			return ZSYNC_MALFORMED_headers_split;
		packet->source_port = zsync_load16(p);
		packet->destination_port = zsync_load16(p + 2);
		packet->has_ports = 1;
		return ZSYNC_WELL_FORMED;
	default:
		return ZSYNC_WELL_FORMED;
	}
}

ZSYNC_INLINE void zsync_parse_begin(struct zsync_packet *packet, struct zsync_cursor *cursor)
{
	packet->vlan = ZSYNC_NO_VLAN;
	packet->inner_vlan = ZSYNC_NO_VLAN;
	packet->network = ZSYNC_NETWORK_OTHER;
	packet->has_ports = 0;
	packet->has_tcp_flags = 0;
	packet->has_icmp = 0;
	packet->fragment = 0;
	cursor->jumbo = 0;
	cursor->transport = 0;
	cursor->fragments = 0;
}

/* What begins behind the link header: packet->network says what that is. */
ZSYNC_INLINE enum zsync_malformed zsync_parse_network(const struct zsync_frame *frame,
						      struct zsync_packet *packet,
						      struct zsync_cursor *cursor)
{
	enum zsync_malformed reason = ZSYNC_WELL_FORMED;

	if (packet->network == ZSYNC_NETWORK_IPV4)
		reason = zsync_parse_ipv4(frame, packet, cursor);
	else if (packet->network == ZSYNC_NETWORK_IPV6)
		reason = zsync_parse_ipv6(frame, packet, cursor);
	if (reason)
		return reason;
	ZSYNC_MEET();
	if (!cursor->transport)
		return ZSYNC_WELL_FORMED;
	return zsync_parse_transport(frame, packet, cursor);
}

/* Fills *packet or says why it cannot. *cursor is room to work in. */
ZSYNC_INLINE enum zsync_malformed zsync_parse(const struct zsync_frame *frame,
					      struct zsync_packet *packet,
					      struct zsync_cursor *cursor)
{
	enum zsync_malformed reason;

	zsync_parse_begin(packet, cursor);
	reason = zsync_parse_link(frame, packet, cursor);
	if (reason)
		return reason;
	ZSYNC_MEET();
	return zsync_parse_network(frame, packet, cursor);
}

/* The same of a device whose packets have no link header, so that only their first byte says what they
 * are.
 */
ZSYNC_INLINE enum zsync_malformed zsync_parse_bare(const struct zsync_frame *frame,
						   struct zsync_packet *packet,
						   struct zsync_cursor *cursor)
{
	const __u8 *p = zsync_at(frame, 0, 1);

	zsync_parse_begin(packet, cursor);
	if (!p)
		return ZSYNC_MALFORMED_headers_split;
	if (p[0] >> 4 == 4)
		packet->network = ZSYNC_NETWORK_IPV4;
	else if (p[0] >> 4 == 6)
		packet->network = ZSYNC_NETWORK_IPV6;
	cursor->offset = 0;
	cursor->bytes = frame->bytes;
	return zsync_parse_network(frame, packet, cursor);
}

#endif
