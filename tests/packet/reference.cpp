#include "tests/packet/reference.hpp"

#include <algorithm>
#include <set>

namespace zsync::packet::test {
namespace {

using Bytes = std::span<const std::uint8_t>;

struct Malformed {
    std::string reason;
};

unsigned word(Bytes bytes, std::size_t at) { return bytes[at] * 256U + bytes[at + 1]; }

void demand(bool holds, const char* reason) {
    if (!holds) {
        throw Malformed{reason};
    }
}

/// `whole`: the packet is not a fragment. `jumbo`: lengths may be left to the option.
void parse_transport(ReferencePacket& packet, Bytes payload, bool jumbo) {
    const bool whole = !packet.fragment;
    const bool ipv4 = packet.family == Family::ipv4;
    const auto has = [&](std::size_t bytes, const char* reason) {
        demand(payload.size() >= bytes, whole ? reason : "fragment_tiny");
    };
    const auto ports = [&] {
        packet.source_port = static_cast<std::uint16_t>(word(payload, 0));
        packet.destination_port = static_cast<std::uint16_t>(word(payload, 2));
    };
    if (packet.protocol == 6) {
        has(20, "tcp_short");
        const std::size_t header = std::size_t{payload[12]} / 16 * 4;
        demand(header >= 20, "tcp_data_offset");
        has(header, "tcp_data_offset");
        packet.tcp_flags = payload[13];
        ports();
    } else if (packet.protocol == 17) {
        has(8, "udp_short");
        const std::size_t length = word(payload, 4);
        const bool fits = length >= 8 && (length <= payload.size() || !whole);
        demand(fits || (jumbo && length == 0), "udp_length");
        ports();
    } else if (packet.protocol == 1 && ipv4) {
        has(8, "icmp_short");
        packet.icmp = static_cast<std::uint16_t>(word(payload, 0));
    } else if (packet.protocol == 58 && !ipv4) {
        has(8, "icmpv6_short");
        packet.icmp = static_cast<std::uint16_t>(word(payload, 0));
    } else if (packet.protocol == 132) {
        has(12, "sctp_short");
        ports();
    }
}

void check_fragment(
    const ReferencePacket& packet,
    std::size_t start,
    std::size_t header,
    std::size_t payload,
    bool more
) {
    demand(!more || payload % 8 == 0, "fragment_length");
    demand(start + header + payload <= 65535, "fragment_beyond");
    demand(!(packet.protocol == 6 && start == 8), "fragment_overlap");
}

void parse_ipv4(ReferencePacket& packet, Bytes bytes) {
    demand(bytes.size() >= 20, "ipv4_short");
    demand(bytes[0] / 16 == 4, "ipv4_version");
    const std::size_t header = std::size_t{bytes[0]} % 16 * 4;
    demand(header >= 20, "ipv4_header_length");
    std::size_t total = word(bytes, 2);
    if (total == 0 && bytes.size() > 65535) {
        total = bytes.size();
    }
    demand(total >= header && total <= bytes.size(), "ipv4_total_length");
    packet.family = Family::ipv4;
    packet.length = static_cast<std::uint32_t>(total);
    std::ranges::copy(bytes.subspan(12, 4), packet.source.begin());
    std::ranges::copy(bytes.subspan(16, 4), packet.destination.begin());
    packet.protocol = bytes[9];
    const Bytes payload = bytes.subspan(header, total - header);
    const std::size_t start = std::size_t{word(bytes, 6)} % 8192 * 8;
    const bool more = (bytes[6] & 0x20) != 0;
    if (start != 0 || more) {
        packet.fragment = true;
        check_fragment(packet, start, header, payload.size(), more);
    }
    if (start == 0) {
        parse_transport(packet, payload, false);
    }
}

void parse_ipv6(ReferencePacket& packet, Bytes bytes) {
    demand(bytes.size() >= 40, "ipv6_short");
    demand(bytes[0] / 16 == 6, "ipv6_version");
    std::size_t length = word(bytes, 4);
    const bool jumbo = length == 0 && bytes[6] == 0;
    if (jumbo) {
        length = bytes.size() - 40;
    }
    demand(length <= bytes.size() - 40, "ipv6_payload_length");
    packet.family = Family::ipv6;
    packet.length = static_cast<std::uint32_t>(40 + length);
    std::ranges::copy(bytes.subspan(8, 16), packet.source.begin());
    std::ranges::copy(bytes.subspan(24, 16), packet.destination.begin());
    packet.protocol = bytes[6];
    Bytes rest = bytes.subspan(40, length);
    std::size_t extensions = 0;
    bool fragment_seen = false;
    while (std::set<int>{0, 43, 44, 51, 60}.contains(packet.protocol)) {
        demand(extensions < 8, "ipv6_extension_depth");
        demand(packet.protocol != 0 || extensions == 0, "ipv6_extension_order");
        demand(rest.size() >= 8, "ipv6_extension_short");
        ++extensions;
        packet.authenticated |= packet.protocol == 51;
        const Bytes header = rest;
        if (packet.protocol == 44) {
            packet.protocol = header[0];
            rest = rest.subspan(8);
            demand(!fragment_seen, "ipv6_extension_order");
            fragment_seen = true;
            const std::size_t start = std::size_t{word(header, 2)} / 8 * 8;
            const bool more = header[3] % 2 == 1;
            if (start == 0 && !more) {
                continue;
            }
            packet.fragment = true;
            check_fragment(packet, start, 0, rest.size(), more);
            if (start != 0) {
                return;
            }
            continue;
        }
        const std::size_t size =
            packet.protocol == 51 ? (header[1] + 2U) * 4 : (header[1] + 1U) * 8;
        demand(rest.size() >= size, "ipv6_extension_short");
        packet.protocol = header[0];
        rest = rest.subspan(size);
    }
    parse_transport(packet, rest, jumbo);
}

void parse_frame(ReferencePacket& packet, Bytes frame) {
    demand(frame.size() >= 14, "ethernet_short");
    unsigned type = word(frame, 12);
    Bytes rest = frame.subspan(14);
    for (int tags = 0; type == 0x8100 || type == 0x88a8; ++tags) {
        demand(tags < 4, "vlan_depth");
        demand(rest.size() >= 4, "vlan_short");
        if (tags == 0) {
            packet.vlan = static_cast<std::uint16_t>(word(rest, 0) % 4096);
        }
        type = word(rest, 2);
        rest = rest.subspan(4);
    }
    if (type == 0x0800) {
        parse_ipv4(packet, rest);
    } else if (type == 0x86dd) {
        parse_ipv6(packet, rest);
    } else {
        packet.arp = type == 0x0806;
    }
}

bool contains(const Prefix& prefix, const std::array<std::uint8_t, 16>& address) {
    for (unsigned bit = 0; bit < prefix.length; ++bit) {
        const unsigned mask = 0x80U >> (bit % 8);
        if (((prefix.address[bit / 8] ^ address[bit / 8]) & mask) != 0) {
            return false;
        }
    }
    return true;
}

bool in_set(
    const RuleSet& rules,
    std::optional<std::uint32_t> set,
    const ReferencePacket& packet,
    const std::array<std::uint8_t, 16>& address,
    std::optional<std::uint16_t> port
) {
    if (!set) {
        return true;
    }
    return std::ranges::any_of(rules.address_sets[*set], [&](const Prefix& prefix) {
        return packet.family == prefix.family && contains(prefix, address) &&
               (!prefix.port || prefix.port == port);
    });
}

bool in_ranges(const std::vector<PortRange>& ranges, std::optional<std::uint16_t> port) {
    return ranges.empty() || std::ranges::any_of(ranges, [&](const PortRange& range) {
               return port && *port >= range.first && *port <= range.last;
           });
}

bool matches(const RuleSet& rules, const Rule& rule, const ReferencePacket& packet) {
    if (!in_set(rules, rule.from, packet, packet.source, packet.source_port) ||
        !in_set(rules, rule.to, packet, packet.destination, packet.destination_port)) {
        return false;
    }
    if (rule.protocol && (!packet.family || packet.protocol != *rule.protocol)) {
        return false;
    }
    if (!in_ranges(rule.source_ports, packet.source_port) ||
        !in_ranges(rule.destination_ports, packet.destination_port)) {
        return false;
    }
    if (rule.tcp_flags && (!packet.tcp_flags ||
                           (*packet.tcp_flags & rule.tcp_flags->mask) != rule.tcp_flags->value)) {
        return false;
    }
    if (!in_ranges(rule.icmp, packet.icmp)) {
        return false;
    }
    const auto length = static_cast<std::uint16_t>(std::min(packet.length, 65535U));
    if (!in_ranges(rule.length, packet.family ? std::optional(length) : std::nullopt)) {
        return false;
    }
    if (rule.vlan && packet.vlan != rule.vlan) {
        return false;
    }
    if (!rule.interface.empty() && packet.interface != rule.interface) {
        return false;
    }
    if (!rule.cgroup.empty() && packet.cgroup != rule.cgroup &&
        !packet.cgroup.starts_with(rule.cgroup + "/")) {
        return false;
    }
    return !rule.fragment || packet.fragment;
}

} // namespace

ReferencePacket reference_parse(std::span<const std::uint8_t> frame) {
    ReferencePacket packet;
    try {
        parse_frame(packet, frame);
    } catch (const Malformed& malformed) {
        packet.malformed = malformed.reason;
    }
    return packet;
}

std::size_t reference_match(const RuleSet& rules, const ReferencePacket& packet) {
    const auto found = std::ranges::find_if(rules.rules, [&](const Rule& rule) {
        return matches(rules, rule, packet);
    });
    return static_cast<std::size_t>(found - rules.rules.begin());
}

} // namespace zsync::packet::test
