// Frames for packet tests, built header by header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace zsync::packet::test {

using Frame = std::vector<std::uint8_t>;

/// Appends bytes in network order.
Frame& put8(Frame& frame, std::uint8_t value);
Frame& put16(Frame& frame, std::uint16_t value);
Frame& put32(Frame& frame, std::uint32_t value);
Frame operator+(Frame a, const Frame& b);
/// "02 00 ff" as bytes.
Frame hex(std::string_view digits);
Frame zeros(std::size_t count);

Frame ethernet(std::uint16_t ethertype);
/// A tag whose payload is `ethertype`; it stands after an Ethernet header or tag that says 0x8100
/// or 0x88a8.
Frame vlan_tag(std::uint16_t vlan, std::uint16_t ethertype);

struct Ipv4 {
    std::uint32_t source = 0x0a000001;
    std::uint32_t destination = 0x0a000002;
    std::uint8_t protocol = 17;
    std::uint16_t fragment = 0;   ///< the field: flags and offset
    std::size_t option_bytes = 0; ///< a multiple of 4
    int total_length = -1;        ///< what the header says, if not the truth
    int version_and_words = -1;
};
Frame ipv4(const Ipv4& header, const Frame& payload);

struct Ipv6 {
    std::string_view source = "2001:db8::1";
    std::string_view destination = "2001:db8::2";
    std::uint8_t next = 17;
    int payload_length = -1; ///< what the header says, if not the truth
    std::uint8_t version = 6;
};
Frame ipv6(const Ipv6& header, const Frame& payload);
/// A hop-by-hop, routing or destination header of `words` 8-byte units.
Frame extension(std::uint8_t next, std::size_t words = 1);
Frame fragment_header(std::uint8_t next, std::uint16_t offset_bytes, bool more);

Frame tcp(
    std::uint16_t source, std::uint16_t destination, std::uint8_t flags, std::uint8_t words = 5
);
Frame udp(
    std::uint16_t source, std::uint16_t destination, std::size_t payload = 0, int length = -1
);
Frame sctp(std::uint16_t source, std::uint16_t destination);
Frame icmp_echo();
/// An ICMP or ICMPv6 header of 8 bytes.
Frame icmp(std::uint8_t type, std::uint8_t code);

} // namespace zsync::packet::test
