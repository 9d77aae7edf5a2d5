// DHCP for IPv4 (RFC 2131): who asks for an address, and who gives one.
#pragma once

#include <zsync/packet/analysis/address.hpp>
#include <zsync/packet/analysis/cursor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace zsync::packet::analysis {

struct DhcpMessage {
    bool is_reply = false;
    std::uint8_t type = 0; ///< option 53
    std::uint32_t transaction = 0;
    std::string client_mac;
    Address client_address{}; ///< `yiaddr`, what the client is given
    Address requested{};      ///< option 50
    Address server{};         ///< option 54
    std::uint32_t lease_seconds = 0;
    std::string host_name;    ///< option 12
    std::string vendor_class; ///< option 60
};

/// Reads a message; nothing where it is none of DHCP's.
[[nodiscard]] std::optional<DhcpMessage> parse_dhcp(ByteView message);

/// `discover`, `offer` and so on, or empty.
[[nodiscard]] std::string_view dhcp_type_name(std::uint8_t type) noexcept;

} // namespace zsync::packet::analysis
