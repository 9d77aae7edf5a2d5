// DNS messages (RFC 1035): what was asked, and what came back.
#pragma once

#include <zsync/packet/analysis/cursor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet::analysis {

struct DnsQuestion {
    std::string name; ///< without the last dot; other bytes than printable ASCII as `\DDD`
    std::uint16_t type = 0;
};

struct DnsRecord {
    std::string name;
    std::uint16_t type = 0;
    std::uint32_t ttl_seconds = 0;
    std::uint16_t data_bytes = 0;
    std::string data; ///< the address or name of A, AAAA, NS, CNAME, PTR and MX; else empty
};

struct DnsMessage {
    std::uint16_t id = 0;
    bool is_response = false;
    std::uint8_t opcode = 0;
    std::uint8_t rcode = 0;
    bool is_truncated = false;
    std::vector<DnsQuestion> questions;
    std::vector<DnsRecord> answers;
    std::uint16_t answer_count = 0; ///< as the header says
};

/// Reads a message without the length that TCP puts before it. Nothing where header or questions
/// are wrong; answers end where they cannot be read. Names follow compression only backwards, so
/// loops end.
[[nodiscard]] std::optional<DnsMessage> parse_dns(ByteView message);

/// `A`, `TXT`, or `TYPE65534` (RFC 3597).
[[nodiscard]] std::string dns_type_name(std::uint16_t type);
/// `NOERROR`, `NXDOMAIN`, or the number.
[[nodiscard]] std::string dns_rcode_name(std::uint8_t rcode);

} // namespace zsync::packet::analysis
