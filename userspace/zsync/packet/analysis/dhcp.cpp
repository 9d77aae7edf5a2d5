#include <zsync/packet/analysis/dhcp.hpp>

#include <array>
#include <format>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint32_t magic_cookie = 0x63825363;

namespace option {
constexpr std::uint8_t pad = 0;
constexpr std::uint8_t host_name = 12;
constexpr std::uint8_t requested_address = 50;
constexpr std::uint8_t lease_time = 51;
constexpr std::uint8_t message_type = 53;
constexpr std::uint8_t server = 54;
constexpr std::uint8_t vendor_class = 60;
constexpr std::uint8_t end = 255;
} // namespace option

void read_option(DhcpMessage& dhcp, std::uint8_t code, ByteView value) {
    Cursor in(value);
    switch (code) {
    case option::message_type:
        dhcp.type = in.u8();
        break;
    case option::host_name:
        dhcp.host_name = as_text(value);
        break;
    case option::vendor_class:
        dhcp.vendor_class = as_text(value);
        break;
    case option::requested_address:
        dhcp.requested = Address::v4(in.u32());
        break;
    case option::server:
        dhcp.server = Address::v4(in.u32());
        break;
    case option::lease_time:
        dhcp.lease_seconds = in.u32();
        break;
    default:
        break;
    }
}

} // namespace

std::optional<DhcpMessage> parse_dhcp(ByteView message) {
    Cursor in(message);
    DhcpMessage dhcp;
    const std::uint8_t operation = in.u8();
    in.skip(1);
    const std::uint8_t hardware_bytes = in.u8();
    in.skip(1);
    dhcp.transaction = in.u32();
    in.skip(8); // seconds, flags, the client's own address
    dhcp.client_address = Address::v4(in.u32());
    in.skip(8); // next server, relay
    const ByteView hardware = in.take(16);
    in.skip(64 + 128); // server and file names
    if (in.u32() != magic_cookie || !in.ok() || (operation != 1 && operation != 2)) {
        return std::nullopt;
    }
    dhcp.is_reply = operation == 2;
    if (hardware_bytes == 6) {
        for (const std::uint8_t byte : hardware.first(6)) {
            dhcp.client_mac += std::format("{}{:02x}", dhcp.client_mac.empty() ? "" : ":", byte);
        }
    }
    while (in.left() > 0) {
        const std::uint8_t code = in.u8();
        if (code == option::pad) {
            continue;
        }
        if (code == option::end) {
            break;
        }
        const ByteView value = in.take(in.u8());
        if (!in.ok()) {
            return std::nullopt;
        }
        read_option(dhcp, code, value);
    }
    return dhcp.type != 0 ? std::optional(std::move(dhcp)) : std::nullopt;
}

std::string_view dhcp_type_name(std::uint8_t type) noexcept {
    constexpr std::array<std::string_view, 9> names{
        "", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"
    };
    return type < names.size() ? names[type] : "";
}

} // namespace zsync::packet::analysis
