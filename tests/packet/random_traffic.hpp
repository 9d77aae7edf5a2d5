// Random rule sets and random frames that have a fair chance to meet.
#pragma once

#include "tests/packet/frames.hpp"

#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <random>

namespace zsync::packet::test {

class RandomTraffic {
public:
    explicit RandomTraffic(std::uint64_t seed) : random_(seed) {}

    /// Up to `rules_max` rules over prefixes, ports, protocols, flags, VLANs and fragments drawn
    /// from small pools. Rule texts are unique.
    RuleSet rules(std::size_t rules_max);
    /// Mostly well-formed; one in eight is cut, lengthened or has bytes changed.
    Frame frame();

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool chance(std::uint64_t in) { return below(in) == 0; }
    /// From the pools that rules and frames draw from.
    std::array<std::uint8_t, 16> address(Family family);
    std::uint16_t port();

private:
    Prefix prefix();
    std::uint8_t protocol();
    std::vector<PortRange> port_ranges();
    Frame transport(std::uint8_t protocol);
    Frame ipv4_packet();
    Frame ipv6_packet();

    std::mt19937_64 random_;
};

} // namespace zsync::packet::test
