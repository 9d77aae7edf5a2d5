#include "tests/packet/frames.hpp"

#include <arpa/inet.h>

#include <cctype>
#include <string>

namespace zsync::packet::test {

Frame& put8(Frame& frame, std::uint8_t value) {
    frame.push_back(value);
    return frame;
}

Frame& put16(Frame& frame, std::uint16_t value) {
    return put8(
        put8(frame, static_cast<std::uint8_t>(value >> 8)), static_cast<std::uint8_t>(value)
    );
}

Frame& put32(Frame& frame, std::uint32_t value) {
    return put16(
        put16(frame, static_cast<std::uint16_t>(value >> 16)), static_cast<std::uint16_t>(value)
    );
}

Frame operator+(Frame a, const Frame& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

Frame hex(std::string_view digits) {
    Frame frame;
    std::string pair;
    for (const char c : digits) {
        if (std::isxdigit(static_cast<unsigned char>(c)) != 0) {
            pair += c;
        }
        if (pair.size() == 2) {
            frame.push_back(static_cast<std::uint8_t>(std::stoul(pair, nullptr, 16)));
            pair.clear();
        }
    }
    return frame;
}

Frame zeros(std::size_t count) { return Frame(count); }

Frame ethernet(std::uint16_t ethertype) {
    Frame frame = hex("02 00 00 00 00 02  02 00 00 00 00 01");
    return put16(frame, ethertype);
}

Frame vlan_tag(std::uint16_t vlan, std::uint16_t ethertype) {
    Frame frame;
    return put16(put16(frame, vlan), ethertype);
}

Frame ipv4(const Ipv4& header, const Frame& payload) {
    const std::size_t header_bytes = 20 + header.option_bytes;
    Frame frame;
    put8(
        frame,
        static_cast<std::uint8_t>(
            header.version_and_words >= 0 ? header.version_and_words : 0x40 | header_bytes / 4
        )
    );
    put8(frame, 0);
    put16(
        frame,
        static_cast<std::uint16_t>(
            header.total_length >= 0 ? static_cast<std::size_t>(header.total_length)
                                     : header_bytes + payload.size()
        )
    );
    put16(frame, 0x1234);
    put16(frame, header.fragment);
    put8(frame, 64);
    put8(frame, header.protocol);
    put16(frame, 0);
    put32(frame, header.source);
    put32(frame, header.destination);
    return frame + Frame(header.option_bytes, 1) + payload;
}

Frame ipv6(const Ipv6& header, const Frame& payload) {
    Frame frame;
    put32(frame, std::uint32_t{header.version} << 28);
    put16(
        frame,
        static_cast<std::uint16_t>(
            header.payload_length >= 0 ? static_cast<std::size_t>(header.payload_length)
                                       : payload.size()
        )
    );
    put8(frame, header.next);
    put8(frame, 64);
    for (const std::string_view text : {header.source, header.destination}) {
        Frame address(16);
        inet_pton(AF_INET6, std::string(text).c_str(), address.data());
        frame = std::move(frame) + address;
    }
    return frame + payload;
}

Frame extension(std::uint8_t next, std::size_t words) {
    Frame frame(words * 8);
    frame[0] = next;
    frame[1] = static_cast<std::uint8_t>(words - 1);
    return frame;
}

Frame fragment_header(std::uint8_t next, std::uint16_t offset_bytes, bool more) {
    Frame frame;
    put8(put8(frame, next), 0);
    put16(frame, static_cast<std::uint16_t>((offset_bytes & 0xfff8) | (more ? 1 : 0)));
    return put32(frame, 0x01020304);
}

Frame tcp(std::uint16_t source, std::uint16_t destination, std::uint8_t flags, std::uint8_t words) {
    Frame frame;
    put16(put16(frame, source), destination);
    put32(put32(frame, 1), 2);
    put8(put8(frame, static_cast<std::uint8_t>(words << 4)), flags);
    put16(put16(put16(frame, 1000), 0), 0);
    return frame + zeros(words > 5 ? (words - 5U) * 4 : 0);
}

Frame udp(std::uint16_t source, std::uint16_t destination, std::size_t payload, int length) {
    Frame frame;
    put16(put16(frame, source), destination);
    put16(
        frame,
        static_cast<std::uint16_t>(length >= 0 ? static_cast<std::size_t>(length) : 8 + payload)
    );
    put16(frame, 0);
    return frame + zeros(payload);
}

Frame sctp(std::uint16_t source, std::uint16_t destination) {
    Frame frame;
    put16(put16(frame, source), destination);
    return put32(put32(frame, 7), 0);
}

Frame icmp(std::uint8_t type, std::uint8_t code) {
    Frame frame = icmp_echo();
    frame[0] = type;
    frame[1] = code;
    return frame;
}

Frame icmp_echo() { return hex("08 00 00 00 00 01 00 01"); }

} // namespace zsync::packet::test
