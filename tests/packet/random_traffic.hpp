// Random rule sets and random frames that have a fair chance to meet.
#pragma once

#include "tests/packet/frames.hpp"

#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace zsync::packet::test {

/// Names that rules may ask for.
struct Places {
    std::vector<std::string> interfaces;
    std::vector<std::string> cgroups;
};

class RandomTraffic {
public:
    explicit RandomTraffic(std::uint64_t seed) : random_(seed) {}

    /// Up to `rules_max` rules over prefixes, addresses with ports, ports, protocols, flags, VLANs
    /// and fragments drawn from small pools. Rule texts are unique.
    RuleSet rules(std::size_t rules_max, const Places& places = {});
    /// Some come from or go to addresses with ports of the last rules. Mostly well-formed; one in
    /// eight is cut, lengthened or has bytes changed.
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
    std::vector<PortRange> icmp_ranges();
    std::vector<PortRange> length_ranges();
    struct End {
        std::array<std::uint8_t, 16> address{};
        std::uint16_t port = 0;
    };
    End end(Family family);
    Frame transport(std::uint8_t protocol, std::uint16_t source, std::uint16_t destination);
    Frame ipv4_packet();
    Frame ipv6_packet();

    std::mt19937_64 random_;
    std::vector<Prefix> endpoints_; ///< of the last rules
};

} // namespace zsync::packet::test
