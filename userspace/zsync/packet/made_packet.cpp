#include <zsync/core/text.hpp>
#include <zsync/packet/address_text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/made_packet.hpp>
#include <zsync/packet/rules_names.hpp>

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <format>
#include <string>

namespace zsync::packet {
namespace {

constexpr std::uint16_t source_port_unless_said = 49152; // the first dynamic port, RFC 6335
constexpr std::uint8_t hop_limit = 64;

std::unexpected<Fault> wrong(std::string words, std::string_view hint = {}) {
    return fail(
        PacketError::invalid_packet,
        hint.empty() ? std::move(words) : std::format("{}; {}", words, hint)
    );
}

template <class Number> std::optional<Number> number(std::string_view text, unsigned max) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole && value <= max ? std::optional(static_cast<Number>(value)) : std::nullopt;
}

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    while (true) {
        const std::size_t start = text.find_first_not_of(" \t");
        if (start == std::string_view::npos) {
            return words;
        }
        text.remove_prefix(start);
        const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
        words.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
}

struct End {
    Prefix address;
    std::optional<std::uint16_t> port;
};

/// `1.2.3.4`, `1.2.3.4:55`, `2001:db8::1`, `[2001:db8::1]:55`.
Outcome<End> parse_end(std::string_view text) {
    std::string_view address = text;
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos) {
            return wrong(in_quotes(text) + " has no ]");
        }
        address = text.substr(1, close - 1);
        port = text.substr(close + 1);
        has_port = !port.empty();
        if (has_port && !port.starts_with(':')) {
            return wrong(in_quotes(text) + " is no address", "write [ADDRESS]:PORT");
        }
        port.remove_prefix(has_port ? 1 : 0);
    } else if (std::ranges::count(text, ':') == 1) {
        address = text.substr(0, text.find(':'));
        port = text.substr(address.size() + 1);
        has_port = true;
    }
    End end;
    const auto prefix = parse_prefix(address);
    if (!prefix) {
        return wrong(prefix.error().words, prefix.error().hint);
    }
    if (prefix->length != (prefix->family == Family::ipv4 ? 32 : 128)) {
        return wrong(in_quotes(address) + " is no single address");
    }
    end.address = *prefix;
    if (has_port) {
        end.port = number<std::uint16_t>(port, 65535);
        if (!end.port) {
            return wrong(in_quotes(port) + " is no port");
        }
    }
    return end;
}

Outcome<std::uint8_t> parse_flags(std::string_view text) {
    std::uint8_t flags = 0;
    while (!text.empty()) {
        const std::string name = lower(text.substr(0, text.find(',')));
        text.remove_prefix(std::min(name.size() + 1, text.size()));
        const auto found = std::ranges::find(tcp_flag_words, name);
        if (found == tcp_flag_words.end()) {
            return wrong(
                in_quotes(name) + " is no TCP flag", "fin, syn, rst, psh, ack, urg, ece, cwr"
            );
        }
        flags |= static_cast<std::uint8_t>(1U << (found - tcp_flag_words.begin()));
    }
    return flags;
}

std::size_t transport_bytes(std::uint8_t protocol) {
    switch (protocol) {
    case IPPROTO_TCP:
        return 20;
    case IPPROTO_SCTP:
        return 12;
    case IPPROTO_UDP:
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
        return 8;
    default:
        return 0;
    }
}

/// IP header, fragment header and transport header.
std::size_t header_bytes(const MadePacket& packet) {
    const std::size_t ip = packet.family == Family::ipv4 ? 20 : 40;
    const std::size_t fragment = packet.family == Family::ipv6 && packet.fragment ? 8 : 0;
    return ip + fragment + transport_bytes(packet.protocol);
}

bool is_icmp(std::uint8_t protocol) {
    return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/// `flags`, `icmp`, `length`, `vlan` and `fragment`, from `words` on.
Outcome<void> parse_conditions(MadePacket& packet, std::span<const std::string_view> words) {
    std::optional<std::uint16_t> length;
    while (!words.empty()) {
        const std::string name = lower(words[0]);
        words = words.subspan(1);
        if (name == "fragment") {
            packet.fragment = true;
            continue;
        }
        if (words.empty()) {
            return wrong(in_quotes(name) + " stands at the end without a value");
        }
        const std::string_view value = words[0];
        words = words.subspan(1);
        if (name == "flags" && packet.protocol == IPPROTO_TCP) {
            packet.tcp_flags = ZTRY(parse_flags(value));
        } else if (name == "icmp" && is_icmp(packet.protocol)) {
            const auto range = parse_icmp(value, packet.protocol);
            if (!range) {
                return wrong(range.error().words, range.error().hint);
            }
            packet.icmp = range->first;
        } else if (name == "length") {
            length = number<std::uint16_t>(value, 65535);
            if (!length) {
                return wrong(in_quotes(value) + " is no length");
            }
        } else if (name == "vlan") {
            packet.vlan = number<std::uint16_t>(value, 4095);
            if (!packet.vlan) {
                return wrong(in_quotes(value) + " is no VLAN id");
            }
        } else {
            return wrong(
                std::format("{} says nothing about this packet", in_quotes(name)),
                "flags goes with tcp, icmp with icmp and icmpv6; length, vlan and fragment with all"
            );
        }
    }
    std::size_t bytes = header_bytes(packet);
    if (packet.fragment) {
        // Every part but the last has a multiple of 8 bytes.
        const std::size_t ip = packet.family == Family::ipv4 ? 20 : 48;
        bytes = ip + (bytes - ip + 7) / 8 * 8;
        if (length && *length >= ip && (*length - ip) % 8 != 0) {
            return wrong(std::format("a first fragment of {} bytes cannot be", *length));
        }
    }
    if (length && *length < bytes) {
        return wrong(std::format("{} bytes do not hold its headers of {}", *length, bytes));
    }
    packet.length = length.value_or(static_cast<std::uint16_t>(bytes));
    return {};
}

void put16(std::vector<std::uint8_t>& out, std::size_t value) {
    out.push_back(static_cast<std::uint8_t>(value >> 8));
    out.push_back(static_cast<std::uint8_t>(value));
}

void put_transport(std::vector<std::uint8_t>& out, const MadePacket& packet, std::size_t payload) {
    const std::size_t start = out.size();
    if (is_icmp(packet.protocol)) {
        put16(out, packet.icmp);
    } else if (transport_bytes(packet.protocol) > 0) {
        put16(out, packet.source_port);
        put16(out, packet.destination_port);
    }
    out.resize(start + payload);
    if (packet.protocol == IPPROTO_TCP) {
        out[start + 12] = 5 << 4; // header words
        out[start + 13] = packet.tcp_flags;
    } else if (packet.protocol == IPPROTO_UDP) {
        out[start + 4] = static_cast<std::uint8_t>(payload >> 8);
        out[start + 5] = static_cast<std::uint8_t>(payload);
    }
}

void put_ipv4(std::vector<std::uint8_t>& out, const MadePacket& packet) {
    out.insert(out.end(), {0x45, 0});
    put16(out, packet.length);
    put16(out, 0);
    put16(out, packet.fragment ? 0x2000 : 0);
    out.insert(out.end(), {hop_limit, packet.protocol, 0, 0});
    out.insert(out.end(), packet.source.begin(), packet.source.begin() + 4);
    out.insert(out.end(), packet.destination.begin(), packet.destination.begin() + 4);
    put_transport(out, packet, packet.length - 20U);
}

void put_ipv6(std::vector<std::uint8_t>& out, const MadePacket& packet) {
    out.insert(out.end(), {0x60, 0, 0, 0});
    put16(out, packet.length - 40U);
    const std::uint8_t next = packet.fragment ? std::uint8_t{IPPROTO_FRAGMENT} : packet.protocol;
    out.insert(out.end(), {next, hop_limit});
    out.insert(out.end(), packet.source.begin(), packet.source.end());
    out.insert(out.end(), packet.destination.begin(), packet.destination.end());
    if (packet.fragment) {
        out.insert(out.end(), {packet.protocol, 0, 0, 1, 0, 0, 0, 1});
    }
    put_transport(out, packet, packet.length - (packet.fragment ? 48U : 40U));
}

} // namespace

Outcome<MadePacket> parse_made_packet(std::string_view text) {
    constexpr std::string_view form = "write PROTO SOURCE[:PORT] > DESTINATION[:PORT]";
    const std::vector<std::string_view> words = words_of(text);
    if (words.size() < 4 || words[2] != ">") {
        return wrong(in_quotes(text) + " is no packet", form);
    }
    MadePacket packet;
    const std::string name = lower(words[0]);
    const auto protocol = protocol_of(name);
    const auto numbered = protocol ? protocol : number<std::uint8_t>(name, 255);
    if (!numbered) {
        return wrong(
            in_quotes(words[0]) + " is no protocol", "tcp, udp, icmp, icmpv6, sctp or a number"
        );
    }
    packet.protocol = *numbered;
    const End source = ZTRY(parse_end(words[1]));
    const End destination = ZTRY(parse_end(words[3]));
    if (source.address.family != destination.address.family) {
        return wrong("no packet goes between an IPv4 and an IPv6 address");
    }
    packet.family = source.address.family;
    packet.source = source.address.address;
    packet.destination = destination.address.address;
    if (has_ports(packet.protocol)) {
        if (!destination.port) {
            return wrong(in_quotes(words[3]) + " has no port", form);
        }
        packet.source_port = source.port.value_or(source_port_unless_said);
        packet.destination_port = *destination.port;
    } else if (source.port || destination.port) {
        return wrong(protocol_text(packet.protocol) + " has no ports");
    }
    // A chain of extension headers is not made: only what follows it can be asked about.
    constexpr std::array extensions{0, 43, 44, 51, 60};
    if (packet.family == Family::ipv6 && std::ranges::contains(extensions, int{packet.protocol})) {
        return wrong(std::format("{} is an IPv6 extension header", packet.protocol));
    }
    packet.icmp = packet.protocol == IPPROTO_ICMPV6 ? 128 << 8 : 8 << 8;
    ZTRY(parse_conditions(packet, std::span(words).subspan(4)));
    return packet;
}

std::vector<std::uint8_t> frame_of(const MadePacket& packet) {
    std::vector<std::uint8_t> frame(12);
    if (packet.vlan) {
        put16(frame, 0x8100);
        put16(frame, *packet.vlan);
    }
    put16(frame, packet.family == Family::ipv4 ? 0x0800 : 0x86dd);
    if (packet.family == Family::ipv4) {
        put_ipv4(frame, packet);
    } else {
        put_ipv6(frame, packet);
    }
    return frame;
}

} // namespace zsync::packet
