// What a frame says, down to where its payload begins.
#pragma once

#include <zsync/packet/analysis/address.hpp>
#include <zsync/packet/analysis/capture_reader.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace zsync::packet::analysis {

/// IP protocol numbers that are told apart.
namespace ip_protocol {
constexpr std::uint8_t icmp = 1;
constexpr std::uint8_t tcp = 6;
constexpr std::uint8_t udp = 17;
constexpr std::uint8_t icmpv6 = 58;
constexpr std::uint8_t sctp = 132;
} // namespace ip_protocol

/// `tcp`, `udp`, `icmp` or the number.
[[nodiscard]] std::string name_of_protocol(std::uint8_t protocol);

/// TCP flag bits (RFC 9293).
namespace tcp_flag {
constexpr std::uint8_t fin = 0x01;
constexpr std::uint8_t syn = 0x02;
constexpr std::uint8_t rst = 0x04;
constexpr std::uint8_t psh = 0x08;
constexpr std::uint8_t ack = 0x10;
} // namespace tcp_flag

enum class Network : std::uint8_t {
    ip,
    arp,
    other,     ///< neither IP nor ARP
    malformed, ///< it says IP and cannot be that; `problem` says why
};

/// Two endpoints and how they talk, as one direction has them.
struct Tuple {
    Address source;
    Address destination;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint8_t protocol = 0;
    /// The tags outside and inside, 0 where there are none.
    std::array<std::uint16_t, 2> vlans{};

    friend bool operator==(const Tuple&, const Tuple&) = default;
};

/// One packet. `payload` is what was captured of the transport's payload; it borrows the frame.
struct Packet {
    std::uint64_t time_ns = 0;  ///< by a clock that nobody sets, where the frame has such a time
    std::uint64_t epoch_ns = 0; ///< what is added to it for the time since 1970
    std::uint32_t wire_bytes = 0;
    Network network = Network::other;
    std::string_view problem{}; ///< why it is malformed
    Tuple tuple{};
    std::uint8_t hop_limit = 0;
    bool is_fragment = false;
    /// A fragment but the first: it has no ports, unless the first was seen.
    bool is_later_fragment = false;
    std::uint32_t fragment_id = 0;

    std::uint16_t arp_operation = 0; ///< with ARP, whose addresses are the tuple's

    std::uint8_t tcp_flags = 0;
    std::uint32_t tcp_sequence = 0;
    std::uint32_t tcp_acknowledgment = 0;

    std::uint8_t icmp_type = 0;
    std::uint8_t icmp_code = 0;
    /// The packet that an ICMP error is about, as its sender made it.
    std::optional<Tuple> about{};

    ByteView payload{};
    std::uint32_t payload_bytes = 0; ///< on the wire
};

/// Reads Ethernet, VLAN tags (4 at most), IPv4 and IPv6 with their options and extension headers,
/// TCP, UDP, SCTP, ICMP and ICMPv6. Never fails: what cannot be read is malformed and says why.
///
/// It is not `bpf/parse.h`, which serves one hook: captures start with other headers as well, are
/// cut short, and their payload and TCP numbers matter.
[[nodiscard]] Packet dissect(const Frame& frame);

} // namespace zsync::packet::analysis
