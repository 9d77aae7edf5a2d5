// A packet made from a line of text, to ask what the rules do with it.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace zsync::packet {

struct MadePacket {
    Family family = Family::ipv4;
    std::array<std::uint8_t, 16> source{};
    std::array<std::uint8_t, 16> destination{};
    std::uint8_t protocol = 0;
    std::uint16_t source_port = 0;      ///< of TCP, UDP and SCTP
    std::uint16_t destination_port = 0; ///< the same
    std::uint8_t tcp_flags = 2;         ///< SYN
    std::uint16_t icmp = 0;             ///< type and code, `type << 8 | code`
    std::optional<std::uint16_t> vlan;
    std::uint16_t length = 0; ///< of the IP packet
    bool fragment = false;    ///< the first part of a packet that has more
};

/// `PROTO SOURCE[:PORT] > DESTINATION[:PORT] [CONDITION VALUE ...]`, with `flags`, `icmp`,
/// `length`, `vlan` and `fragment` as rules have them:
///
///     tcp 1.2.3.4:55 > 10.0.0.1:22 flags syn,ack
///     udp [2001:db8::1]:53 > [2001:db8::2]:4000 vlan 7
///     icmpv6 2001:db8::1 > 2001:db8::2 icmp echo-request
///
/// Without a source port it is 49152, a TCP packet without flags has SYN, an ICMP packet without a
/// type is an echo request. `PacketError::invalid_packet` says what is wrong with the text.
[[nodiscard]] Outcome<MadePacket> parse_made_packet(std::string_view text);

/// The Ethernet frame of the packet, payload and checksums zero.
[[nodiscard]] std::vector<std::uint8_t> frame_of(const MadePacket& packet);

} // namespace zsync::packet
