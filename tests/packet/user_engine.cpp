#include "tests/packet/user_engine.hpp"

#include <algorithm>
#include <array>
#include <format>

namespace {
thread_local const zsync::packet::Tables* tables_at_hand = nullptr;
}

#define ZSYNC_CONFIG (tables_at_hand->config)
#define ZSYNC_CELL(i) (tables_at_hand->cells.at((i) & ZSYNC_CONFIG.cells_mask))
#define ZSYNC_BUCKET(i) (tables_at_hand->buckets.at((i) & ZSYNC_CONFIG.buckets_mask))
#define ZSYNC_BITMAP(i) (tables_at_hand->bitmaps.at((i) & ZSYNC_CONFIG.bitmaps_mask))
extern "C" {
#include <bpf/match.h>
}

namespace zsync::packet::test {
namespace {

constexpr std::array<std::string_view, ZSYNC_MALFORMED_END> names{
    "",
#define ZSYNC_REASON(name, words) #name,
    ZSYNC_MALFORMED_REASONS(ZSYNC_REASON)
#undef ZSYNC_REASON
};

std::array<std::uint8_t, 16> bytes_of(const zsync_address& address) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::size_t i = 0; i < 8; ++i) {
        bytes[i] = static_cast<std::uint8_t>(address.high >> (56 - 8 * i));
        bytes[i + 8] = static_cast<std::uint8_t>(address.low >> (56 - 8 * i));
    }
    return bytes;
}

} // namespace

Parsed parse_linear(std::span<const std::uint8_t> head, std::size_t wire_bytes) {
    // The kernel's frames begin somewhere also when nothing is in them.
    static constexpr std::uint8_t somewhere = 0;
    const std::uint8_t* data = head.empty() ? &somewhere : head.data();
    const zsync_frame frame{data, data + head.size(), static_cast<std::uint32_t>(wire_bytes)};
    Parsed parsed;
    zsync_cursor cursor{};
    parsed.malformed = zsync_parse(&frame, &parsed.packet, &cursor);
    return parsed;
}

Parsed parse_bare(std::span<const std::uint8_t> packet) {
    static constexpr std::uint8_t somewhere = 0;
    const std::uint8_t* data = packet.empty() ? &somewhere : packet.data();
    const zsync_frame frame{data, data + packet.size(), static_cast<std::uint32_t>(packet.size())};
    Parsed parsed;
    zsync_cursor cursor{};
    parsed.malformed = zsync_parse_bare(&frame, &parsed.packet, &cursor);
    return parsed;
}

Parsed parse(std::span<const std::uint8_t> frame) { return parse_linear(frame, frame.size()); }

std::string_view reason_name(zsync_malformed reason) { return names.at(reason); }

std::size_t match(const Tables& tables, const zsync_packet& packet) {
    tables_at_hand = &tables;
    std::array<std::uint32_t, ZSYNC_DIMENSIONS> classes{};
    return zsync_match(&packet, classes.data());
}

std::uint32_t source_class(const Tables& tables, Family family, const zsync_address& address) {
    tables_at_hand = &tables;
    return family == Family::ipv4
               ? zsync_ipv4_class(ZSYNC_SOURCE, static_cast<std::uint32_t>(address.high >> 32))
               : zsync_ipv6_class(ZSYNC_SOURCE, address.high, address.low);
}

std::string difference(const Parsed& ours, const ReferencePacket& reference) {
    const zsync_packet& packet = ours.packet;
    if (reason_name(ours.malformed) != reference.malformed) {
        return std::format(
            "malformed '{}', should be '{}'", reason_name(ours.malformed), reference.malformed
        );
    }
    if (!reference.malformed.empty()) {
        return {};
    }
    const int network = reference.arp                      ? ZSYNC_NETWORK_ARP
                        : reference.family == Family::ipv4 ? ZSYNC_NETWORK_IPV4
                        : reference.family == Family::ipv6 ? ZSYNC_NETWORK_IPV6
                                                           : ZSYNC_NETWORK_OTHER;
    if (packet.network != network || packet.vlan != reference.vlan.value_or(ZSYNC_NO_VLAN)) {
        return std::format("network {} vlan {}", packet.network, packet.vlan);
    }
    if (!reference.family) {
        return {};
    }
    if (bytes_of(packet.source) != reference.source ||
        bytes_of(packet.destination) != reference.destination ||
        packet.protocol != reference.protocol) {
        return std::format("addresses or protocol {}", packet.protocol);
    }
    if (packet.length != std::min(reference.length, 65535U)) {
        return std::format("length {}", packet.length);
    }
    if ((packet.has_icmp != 0) != reference.icmp.has_value() ||
        (packet.has_icmp != 0 && packet.icmp != *reference.icmp)) {
        return std::format("ICMP {} {}", packet.has_icmp, packet.icmp);
    }
    if ((packet.fragment != 0) != reference.fragment ||
        (packet.has_ports != 0) != reference.source_port.has_value() ||
        (packet.has_tcp_flags != 0) != reference.tcp_flags.has_value()) {
        return std::format(
            "fragment {} ports {} flags {}", packet.fragment, packet.has_ports, packet.has_tcp_flags
        );
    }
    if ((packet.has_ports != 0 && (packet.source_port != *reference.source_port ||
                                   packet.destination_port != *reference.destination_port)) ||
        (packet.has_tcp_flags != 0 && packet.tcp_flags != *reference.tcp_flags)) {
        return std::format(
            "ports {} {} flags {}", packet.source_port, packet.destination_port, packet.tcp_flags
        );
    }
    return {};
}

} // namespace zsync::packet::test
