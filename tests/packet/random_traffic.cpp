#include "tests/packet/random_traffic.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <format>

namespace zsync::packet::test {

/// Few different bytes, so that addresses share prefixes of every length.
std::array<std::uint8_t, 16> RandomTraffic::address(Family family) {
    static constexpr std::array<std::uint8_t, 4> bytes{10, 0, 1, 255};
    std::array<std::uint8_t, 16> result{};
    const std::size_t size = family == Family::ipv4 ? 4 : 16;
    for (std::size_t i = 0; i < size; ++i) {
        result[i] = i + 1 == size || chance(6) ? static_cast<std::uint8_t>(below(256))
                                               : bytes[below(bytes.size())];
    }
    return result;
}

Prefix RandomTraffic::prefix() {
    Prefix result;
    result.family = chance(2) ? Family::ipv4 : Family::ipv6;
    const unsigned whole = result.family == Family::ipv4 ? 32 : 128;
    result.length = static_cast<std::uint8_t>(chance(4) ? whole : below(whole + 1));
    result.address = address(result.family);
    for (unsigned bit = result.length; bit < 128; ++bit) {
        result.address[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
    }
    return result;
}

std::uint16_t RandomTraffic::port() {
    return static_cast<std::uint16_t>(chance(3) ? below(65536) : below(40));
}

std::uint8_t RandomTraffic::protocol() {
    static constexpr std::array<std::uint8_t, 8> known{6, 6, 17, 17, 1, 58, 132, 47};
    return chance(20) ? static_cast<std::uint8_t>(below(256)) : known[below(known.size())];
}

std::vector<PortRange> RandomTraffic::port_ranges() {
    std::vector<PortRange> ranges;
    std::uint32_t from = 0;
    for (std::uint64_t count = 1 + below(3); count > 0; --count) {
        const std::uint32_t first = from + static_cast<std::uint32_t>(below(20));
        const std::uint32_t last =
            first + static_cast<std::uint32_t>(chance(5) ? below(65536) : below(10));
        if (last > 65535) {
            ranges.push_back({static_cast<std::uint16_t>(first), 65535});
            break;
        }
        ranges.push_back({static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)});
        if (last + 2 > 65000) {
            break;
        }
        from = last + 2;
    }
    return ranges;
}

/// Of whole types and of one code, up to three.
std::vector<PortRange> RandomTraffic::icmp_ranges() {
    std::vector<PortRange> ranges;
    std::uint64_t type = below(10);
    for (std::uint64_t count = 1 + below(3); count > 0; --count) {
        const auto first = static_cast<std::uint16_t>(type << 8);
        const auto code = static_cast<std::uint16_t>(first | below(4));
        ranges.push_back(
            chance(2) ? PortRange{first, static_cast<std::uint16_t>(first | 0xff)}
                      : PortRange{code, code}
        );
        type += 1 + below(4);
    }
    return ranges;
}

std::vector<PortRange> RandomTraffic::length_ranges() {
    std::vector<PortRange> ranges;
    std::uint64_t from = below(80);
    for (std::uint64_t count = 1 + below(3); count > 0; --count) {
        const std::uint64_t first = from + below(20);
        const std::uint64_t last = first + below(40);
        ranges.push_back({static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)});
        from = last + 2;
    }
    return ranges;
}

RuleSet RandomTraffic::rules(std::size_t rules_max, const Places& places) {
    RuleSet set;
    set.default_verdict = chance(2) ? Verdict::pass : Verdict::drop;
    set.malformed_verdict = chance(2) ? Verdict::pass : Verdict::drop;
    const std::uint64_t address_sets = 1 + below(6);
    endpoints_.clear();
    const bool with_ports = chance(2);
    for (std::uint64_t i = 0; i < address_sets; ++i) {
        AddressSet addresses;
        for (std::uint64_t count = below(chance(4) ? 300 : 12); count > 0; --count) {
            addresses.push_back(prefix());
        }
        for (std::uint64_t count = with_ports && chance(2) ? below(12) : 0; count > 0; --count) {
            Prefix& added = addresses.emplace_back();
            added.family = chance(2) ? Family::ipv4 : Family::ipv6;
            added.length = added.family == Family::ipv4 ? 32 : 128;
            // Others of one address, and other sets' too.
            const bool again = !endpoints_.empty() && chance(2);
            added = again ? endpoints_[below(endpoints_.size())] : added;
            added.address = again ? added.address : address(added.family);
            added.port = again && chance(2) ? added.port : port();
            endpoints_.push_back(added);
        }
        std::ranges::sort(addresses);
        const auto [first, last] = std::ranges::unique(addresses);
        addresses.erase(first, last);
        set.address_sets.push_back(std::move(addresses));
    }
    const auto some_set = [&] { return static_cast<std::uint32_t>(below(address_sets)); };
    const std::uint64_t rules = below(rules_max + 1);
    // A rarely asked dimension must not be asked by all the rule sets, or it is never left out.
    const std::uint64_t rarity = 2 + below(12);
    const bool samples = chance(2);
    const bool challenges = chance(4);
    const bool marks = chance(2);
    for (std::uint64_t i = 0; i < rules; ++i) {
        Rule& rule = set.rules.emplace_back();
        rule.text = std::format("rule {}", i);
        rule.verdict = chance(2) ? Verdict::pass : Verdict::drop;
        if (samples && chance(12)) {
            rule.actions.sample = 1;
        }
        if (marks && chance(3)) {
            rule.actions.mark = static_cast<std::uint32_t>(below(UINT32_MAX));
        }
        // Does nothing to packets for no socket, which these are.
        rule.actions.challenge = challenges && rule.verdict == Verdict::pass && chance(3);
        if (chance(2)) {
            rule.from = some_set();
        }
        if (chance(rarity)) {
            rule.to = some_set();
        }
        if (chance(3)) {
            rule.protocol = protocol();
        }
        if (chance(rarity)) {
            rule.source_ports = port_ranges();
        }
        if (chance(3)) {
            rule.destination_ports = port_ranges();
        }
        if (chance(rarity)) {
            rule.tcp_flags.emplace();
            rule.tcp_flags->mask = static_cast<std::uint8_t>(below(256));
            rule.tcp_flags->value = static_cast<std::uint8_t>(below(256) & rule.tcp_flags->mask);
        }
        if (chance(rarity)) {
            rule.vlan = static_cast<std::uint16_t>(chance(10) ? 4095 : below(6));
        }
        rule.fragment = chance(rarity);
        if (chance(rarity)) {
            rule.icmp = icmp_ranges();
        }
        if (chance(rarity)) {
            rule.length = length_ranges();
        }
        if (!places.interfaces.empty() && chance(rarity)) {
            rule.interface = places.interfaces[below(places.interfaces.size())];
        }
        if (!places.cgroups.empty() && chance(rarity)) {
            rule.cgroup = places.cgroups[below(places.cgroups.size())];
        }
    }
    return set;
}

RandomTraffic::End RandomTraffic::end(Family family) {
    End drawn{.address = address(family), .port = port()};
    if (!endpoints_.empty() && chance(3)) {
        const Prefix& endpoint = endpoints_[below(endpoints_.size())];
        if (endpoint.family == family) {
            drawn.address = endpoint.address;
            drawn.port = chance(4) ? drawn.port : endpoint.port.value_or(0);
        }
    }
    return drawn;
}

Frame RandomTraffic::transport(
    std::uint8_t protocol, std::uint16_t source, std::uint16_t destination
) {
    switch (protocol) {
    case 6:
        return tcp(
            source,
            destination,
            static_cast<std::uint8_t>(below(256)),
            static_cast<std::uint8_t>(5 + below(11))
        );
    case 17:
        return udp(source, destination, below(30));
    case 132:
        return sctp(source, destination);
    default:
        return icmp(static_cast<std::uint8_t>(below(12)), static_cast<std::uint8_t>(below(4))) +
               zeros(below(20));
    }
}

Frame RandomTraffic::ipv4_packet() {
    Ipv4 header;
    const auto number = [](const End& end) {
        std::uint32_t value = 0;
        std::memcpy(&value, end.address.data(), 4);
        return ntohl(value);
    };
    const End from = end(Family::ipv4);
    const End to = end(Family::ipv4);
    header.source = number(from);
    header.destination = number(to);
    header.protocol = protocol();
    header.option_bytes = chance(4) ? 4 * below(11) : 0;
    Frame payload = transport(header.protocol, from.port, to.port);
    if (chance(4)) {
        payload.resize((payload.size() + 7) / 8 * 8);
        header.fragment =
            static_cast<std::uint16_t>((chance(2) ? below(8192) : 0) | (chance(2) ? 0x2000 : 0));
    }
    return ipv4(header, payload);
}

Frame RandomTraffic::ipv6_packet() {
    const std::uint8_t upper = protocol();
    const End from = end(Family::ipv6);
    const End to = end(Family::ipv6);
    Frame payload = transport(upper, from.port, to.port);
    std::uint8_t next = upper;
    if (chance(4)) {
        payload.resize((payload.size() + 7) / 8 * 8);
        payload = fragment_header(
                      next, static_cast<std::uint16_t>(chance(2) ? below(8192) * 8 : 0), chance(2)
                  ) +
                  payload;
        next = 44;
    }
    while (chance(3)) {
        static constexpr std::array<std::uint8_t, 4> kinds{0, 43, 60, 60};
        const std::uint8_t kind = kinds[below(kinds.size())];
        payload = extension(next, 1 + below(4)) + payload;
        next = kind;
    }
    Frame packet = ipv6({.next = next}, payload);
    std::ranges::copy(from.address, packet.begin() + 8);
    std::ranges::copy(to.address, packet.begin() + 24);
    return packet;
}

Frame RandomTraffic::frame() {
    const std::uint64_t kind = below(20);
    const std::uint16_t type = kind < 9     ? 0x0800
                               : kind < 18  ? 0x86dd
                               : kind == 18 ? 0x0806
                                            : 0x88cc;
    Frame payload = kind < 9 ? ipv4_packet() : kind < 18 ? ipv6_packet() : zeros(46);
    std::uint16_t outer = type;
    while (chance(4)) {
        payload = vlan_tag(static_cast<std::uint16_t>(below(6) | below(8) << 13), outer) + payload;
        outer = chance(2) ? 0x8100 : 0x88a8;
    }
    Frame result = ethernet(outer) + payload;
    if (chance(3)) {
        result.resize(std::max<std::size_t>(result.size(), 60)); // padding
    }
    if (chance(8)) {
        switch (below(3)) {
        case 0:
            result.resize(below(result.size()));
            break;
        case 1:
            result.resize(result.size() + below(20));
            break;
        default:
            for (std::uint64_t changes = 1 + below(4); changes > 0; --changes) {
                result[12 + below(result.size() - 12)] = static_cast<std::uint8_t>(below(256));
            }
        }
    }
    return result;
}

} // namespace zsync::packet::test
