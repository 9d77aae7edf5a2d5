#include <zsync/packet/analysis/dissect.hpp>

#include <algorithm>
#include <format>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint16_t ethertype_ipv4 = 0x0800;
constexpr std::uint16_t ethertype_arp = 0x0806;
constexpr std::uint16_t ethertype_vlan = 0x8100;
constexpr std::uint16_t ethertype_ipv6 = 0x86dd;
constexpr std::uint16_t ethertype_service_vlan = 0x88a8;
constexpr std::uint16_t ethertype_old_service_vlan = 0x9100;
constexpr unsigned vlan_tags_max = 4;
constexpr unsigned extensions_max = 8;

constexpr std::uint8_t next_hop_by_hop = 0;
constexpr std::uint8_t next_routing = 43;
constexpr std::uint8_t next_fragment = 44;
constexpr std::uint8_t next_authentication = 51;
constexpr std::uint8_t next_destination = 60;
constexpr std::uint8_t next_mobility = 135;

constexpr std::uint32_t bsd_families_v6[] = {10, 24, 28, 30}; // Linux, NetBSD, FreeBSD, Darwin

void malformed(Packet& packet, std::string_view problem) {
    packet.network = Network::malformed;
    packet.problem = problem;
}

Address address_of(ByteView bytes) {
    Address address;
    std::ranges::copy(bytes, address.bytes.begin());
    address.is_v6 = bytes.size() == 16;
    return address;
}

void read_tcp(Packet& packet, Cursor& in, std::uint32_t length) {
    packet.tuple.source_port = in.u16();
    packet.tuple.destination_port = in.u16();
    packet.tcp_sequence = in.u32();
    packet.tcp_acknowledgment = in.u32();
    const std::uint32_t header_bytes = (in.u8() >> 4U) * 4U;
    packet.tcp_flags = in.u8();
    in.skip(6);
    if (!in.ok()) {
        return malformed(packet, "ends inside the TCP header");
    }
    if (header_bytes < 20 || header_bytes > length) {
        return malformed(packet, "TCP data offset outside the packet");
    }
    in.skip(std::min<std::size_t>(header_bytes - 20, in.left()));
    packet.payload_bytes = length - header_bytes;
}

void read_udp(Packet& packet, Cursor& in, std::uint32_t length) {
    packet.tuple.source_port = in.u16();
    packet.tuple.destination_port = in.u16();
    const std::uint32_t udp_bytes = in.u16();
    in.skip(2);
    if (!in.ok()) {
        return malformed(packet, "ends inside the UDP header");
    }
    if ((udp_bytes < 8 && udp_bytes != 0) || udp_bytes > length) {
        return malformed(packet, "UDP length outside the packet");
    }
    packet.payload_bytes = (udp_bytes == 0 ? length : udp_bytes) - 8;
}

/// The start of the packet that an ICMP error quotes: its addresses, protocol and ports.
std::optional<Tuple> read_quoted(Cursor& in) {
    const ByteView rest = in.rest();
    if (rest.empty()) {
        return std::nullopt;
    }
    Tuple about;
    if (rest[0] >> 4U == 4) {
        const unsigned header_bytes = (in.u8() & 0xfU) * 4U;
        in.skip(8);
        about.protocol = in.u8();
        in.skip(2);
        about.source = address_of(in.take(4));
        about.destination = address_of(in.take(4));
        in.skip(std::max(header_bytes, 20U) - 20);
    } else {
        in.skip(6);
        about.protocol = in.u8();
        in.skip(1);
        about.source = address_of(in.take(16));
        about.destination = address_of(in.take(16));
    }
    const bool has_ports = about.protocol == ip_protocol::tcp ||
                           about.protocol == ip_protocol::udp ||
                           about.protocol == ip_protocol::sctp;
    if (has_ports) {
        about.source_port = in.u16();
        about.destination_port = in.u16();
    }
    return in.ok() && has_ports ? std::optional(about) : std::nullopt;
}

void read_icmp(Packet& packet, Cursor& in, std::uint32_t length) {
    packet.icmp_type = in.u8();
    packet.icmp_code = in.u8();
    in.skip(6); // checksum, and four bytes whose meaning is the type's
    if (!in.ok()) {
        return malformed(packet, "ends inside the ICMP header");
    }
    packet.payload_bytes = length - 8;
    const bool is_v6 = packet.tuple.protocol == ip_protocol::icmpv6;
    // Unreachable, source quench, redirect, time exceeded, parameter problem; with IPv6 all below
    // 128.
    constexpr std::uint8_t v4_errors[] = {3, 4, 5, 11, 12};
    const bool is_error =
        is_v6 ? packet.icmp_type < 128 : std::ranges::contains(v4_errors, packet.icmp_type);
    if (is_error) {
        Cursor quoted = in;
        packet.about = read_quoted(quoted);
    }
}

/// `length` is what the IP header says that follows; `in` has at most that.
void read_transport(Packet& packet, Cursor in, std::uint32_t length) {
    packet.payload_bytes = length;
    if (!packet.is_later_fragment) {
        const bool whole_header_missing = length < 8;
        switch (packet.tuple.protocol) {
        case ip_protocol::tcp:
            read_tcp(packet, in, length);
            break;
        case ip_protocol::udp:
            read_udp(packet, in, packet.is_fragment ? 0xffff : length);
            packet.payload_bytes = std::min(packet.payload_bytes, length - std::min(length, 8U));
            break;
        case ip_protocol::icmp:
        case ip_protocol::icmpv6:
            if (whole_header_missing) {
                return malformed(packet, "ends inside the ICMP header");
            }
            read_icmp(packet, in, length);
            break;
        case ip_protocol::sctp:
            packet.tuple.source_port = in.u16();
            packet.tuple.destination_port = in.u16();
            in.skip(8);
            if (!in.ok()) {
                return malformed(packet, "ends inside the SCTP header");
            }
            packet.payload_bytes = length - 12;
            break;
        default:
            break;
        }
    }
    packet.payload = in.rest().first(std::min<std::size_t>(in.left(), packet.payload_bytes));
}

void read_ipv4(Packet& packet, Cursor in) {
    const ByteView all = in.rest();
    const std::uint8_t first = in.u8();
    in.skip(1);
    const std::uint32_t total_bytes = in.u16();
    packet.fragment_id = in.u16();
    const std::uint16_t fragment = in.u16();
    packet.hop_limit = in.u8();
    packet.tuple.protocol = in.u8();
    in.skip(2);
    packet.tuple.source = address_of(in.take(4));
    packet.tuple.destination = address_of(in.take(4));
    const std::uint32_t header_bytes = (first & 0xfU) * 4U;
    if (!in.ok()) {
        return malformed(packet, "ends inside the IPv4 header");
    }
    if (first >> 4U != 4 || header_bytes < 20) {
        return malformed(packet, "IPv4 version or header length is wrong");
    }
    // Total length 0 is what a sending host captures of a packet that its card cuts up (TSO).
    const auto length = total_bytes == 0 ? static_cast<std::uint32_t>(all.size()) : total_bytes;
    if (length < header_bytes || all.size() < header_bytes) {
        return malformed(packet, "IPv4 total length outside the packet");
    }
    packet.network = Network::ip;
    packet.is_later_fragment = (fragment & 0x1fffU) != 0;
    packet.is_fragment = (fragment & 0x3fffU) != 0;
    const ByteView body =
        all.first(std::min<std::size_t>(all.size(), length)).subspan(header_bytes);
    read_transport(packet, Cursor(body), length - header_bytes);
}

void read_arp(Packet& packet, Cursor in) {
    packet.network = Network::arp;
    const std::uint16_t hardware = in.u16();
    const std::uint16_t network = in.u16();
    const std::uint16_t lengths = in.u16();
    const std::uint16_t operation = in.u16();
    in.skip(6);
    const ByteView sender = in.take(4);
    in.skip(6);
    const ByteView target = in.take(4);
    constexpr std::uint16_t ethernet = 1;
    constexpr std::uint16_t mac_and_ipv4 = 0x0604;
    if (in.ok() && hardware == ethernet && network == ethertype_ipv4 && lengths == mac_and_ipv4) {
        packet.arp_operation = operation;
        packet.tuple.source = address_of(sender);
        packet.tuple.destination = address_of(target);
    }
}

bool is_extension(std::uint8_t next) {
    return next == next_hop_by_hop || next == next_routing || next == next_fragment ||
           next == next_authentication || next == next_destination || next == next_mobility;
}

void read_ipv6(Packet& packet, Cursor in) {
    const std::uint32_t version = in.u32() >> 28U;
    std::uint32_t length = in.u16();
    std::uint8_t next = in.u8();
    packet.hop_limit = in.u8();
    packet.tuple.source = address_of(in.take(16));
    packet.tuple.destination = address_of(in.take(16));
    if (!in.ok() || version != 6) {
        return malformed(packet, in.ok() ? "IPv6 version is wrong" : "ends inside the IPv6 header");
    }
    if (length == 0) { // a jumbogram, or cut up by the card later
        length = static_cast<std::uint32_t>(in.left());
    }
    packet.network = Network::ip;
    in = Cursor(in.rest().first(std::min<std::size_t>(in.left(), length)));
    for (unsigned i = 0; is_extension(next) && !packet.is_later_fragment; ++i) {
        if (i == extensions_max) {
            return malformed(packet, "more than 8 IPv6 extension headers");
        }
        const std::uint8_t kind = next;
        const std::size_t before = in.offset();
        next = in.u8();
        const std::uint8_t units = in.u8();
        if (kind == next_fragment) {
            const std::uint16_t fragment = in.u16();
            packet.fragment_id = in.u32();
            packet.is_later_fragment = (fragment & 0xfff8U) != 0;
            packet.is_fragment = packet.is_later_fragment || (fragment & 1U) != 0;
        } else {
            in.skip(kind == next_authentication ? units * 4U + 6U : units * 8U + 6U);
        }
        const std::size_t read = in.offset() - before;
        if (!in.ok() || read > length) {
            return malformed(packet, "ends inside an IPv6 extension header");
        }
        length -= static_cast<std::uint32_t>(read);
    }
    packet.tuple.protocol = next;
    read_transport(packet, in, length);
}

void read_by_version(Packet& packet, Cursor in) {
    if (in.left() == 0) {
        return malformed(packet, "no IP header");
    }
    if (in.rest()[0] >> 4U == 4) {
        return read_ipv4(packet, in);
    }
    read_ipv6(packet, in);
}

void read_ethertype(Packet& packet, Cursor in, std::uint16_t type) {
    for (unsigned tags = 0; type == ethertype_vlan || type == ethertype_service_vlan ||
                            type == ethertype_old_service_vlan;
         ++tags) {
        if (tags == vlan_tags_max) {
            return malformed(packet, "more than 4 VLAN tags");
        }
        const std::uint16_t tag = in.u16();
        if (tags < packet.tuple.vlans.size()) {
            packet.tuple.vlans[tags] = tag & 0xfffU;
        }
        type = in.u16();
        if (!in.ok()) {
            return malformed(packet, "ends inside a VLAN tag");
        }
    }
    switch (type) {
    case ethertype_ipv4:
        return read_ipv4(packet, in);
    case ethertype_ipv6:
        return read_ipv6(packet, in);
    case ethertype_arp:
        return read_arp(packet, in);
    default:
        packet.network = Network::other;
        break;
    }
}

void read_loopback(Packet& packet, Cursor in, LinkType type) {
    std::uint32_t family = in.u32();
    if (!in.ok()) {
        return malformed(packet, "ends inside the loopback header");
    }
    // The family is in the byte order of the machine that wrote it, which is told by its size.
    if (type == LinkType::null && family > 0xffffU) {
        family = __builtin_bswap32(family);
    }
    if (family == 2) {
        return read_ipv4(packet, in);
    }
    if (std::ranges::contains(bsd_families_v6, family)) {
        return read_ipv6(packet, in);
    }
    packet.network = Network::other;
}

} // namespace

std::string name_of_protocol(std::uint8_t protocol) {
    struct Name {
        std::uint8_t number;
        std::string_view name;
    };
    constexpr std::array names{
        Name{.number = ip_protocol::icmp, .name = "icmp"},
        Name{.number = 2, .name = "igmp"},
        Name{.number = 4, .name = "ipip"},
        Name{.number = ip_protocol::tcp, .name = "tcp"},
        Name{.number = ip_protocol::udp, .name = "udp"},
        Name{.number = 41, .name = "ipv6"},
        Name{.number = 47, .name = "gre"},
        Name{.number = 50, .name = "esp"},
        Name{.number = 51, .name = "ah"},
        Name{.number = ip_protocol::icmpv6, .name = "icmpv6"},
        Name{.number = 89, .name = "ospf"},
        Name{.number = 112, .name = "vrrp"},
        Name{.number = ip_protocol::sctp, .name = "sctp"},
    };
    const auto found = std::ranges::find(names, protocol, &Name::number);
    return found != names.end() ? std::string(found->name) : std::format("{}", protocol);
}

Packet dissect(const Frame& frame) {
    Packet packet{
        .time_ns = frame.time_ns - frame.epoch_ns,
        .epoch_ns = frame.epoch_ns,
        .wire_bytes = frame.wire_bytes,
    };
    Cursor in(frame.bytes);
    switch (frame.link_type) {
    case LinkType::ethernet:
        in.skip(12);
        break;
    case LinkType::linux_sll:
        in.skip(14);
        break;
    case LinkType::linux_sll2: {
        const std::uint16_t type = in.u16();
        in.skip(18);
        if (!in.ok()) {
            malformed(packet, "ends inside the cooked header");
            return packet;
        }
        read_ethertype(packet, in, type);
        return packet;
    }
    case LinkType::null:
    case LinkType::loop:
        read_loopback(packet, in, frame.link_type);
        return packet;
    case LinkType::ipv4:
        read_ipv4(packet, in);
        return packet;
    case LinkType::ipv6:
        read_ipv6(packet, in);
        return packet;
    case LinkType::raw:
    case LinkType::raw_bsd:
    case LinkType::raw_openbsd:
        read_by_version(packet, in);
        return packet;
    }
    const std::uint16_t type = in.u16();
    if (!in.ok()) {
        malformed(packet, "ends inside the link header");
        return packet;
    }
    read_ethertype(packet, in, type);
    return packet;
}

} // namespace zsync::packet::analysis
