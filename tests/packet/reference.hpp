// What the packet filter should do, written a second time and as simply as possible: an independent
// parser and a matcher that tries one rule after the other. Tests and fuzzers compare.
#pragma once

#include <zsync/packet/rule_set.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace zsync::packet::test {

struct ReferencePacket {
    std::string malformed; ///< the reason's name, or empty
    bool arp = false;
    std::optional<Family> family;
    std::array<std::uint8_t, 16> source{};
    std::array<std::uint8_t, 16> destination{};
    std::uint8_t protocol = 0;
    std::optional<std::uint16_t> source_port;
    std::optional<std::uint16_t> destination_port;
    std::optional<std::uint8_t> tcp_flags;
    std::optional<std::uint16_t> vlan;
    bool fragment = false;
    bool authenticated = false;        ///< by an IPv6 extension header, behind which it was read on
    std::optional<std::uint16_t> icmp; ///< type and code
    std::uint32_t length = 0;          ///< what the IP header says, for IP
    std::string interface;             ///< what no header says: where it is
    std::string cgroup;                ///< its socket's
};

ReferencePacket reference_parse(std::span<const std::uint8_t> frame);

/// The index of the first rule that matches, or the number of rules.
std::size_t reference_match(const RuleSet& rules, const ReferencePacket& packet);

} // namespace zsync::packet::test
