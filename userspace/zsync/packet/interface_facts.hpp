// What the kernel says of a network interface, as far as a packet filter cares.
#pragma once

#include <zsync/core/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace zsync::packet {

/// How an XDP program is attached.
enum class XdpMode : std::uint8_t { none, native, generic, offload };

struct InterfaceFacts {
    std::string name;
    std::uint32_t ifindex = 0;
    std::uint32_t mtu = 0;
    std::uint32_t link_type = 0; ///< ARPHRD_*
    /// The driver's kind (`veth`, `bond`); empty for hardware.
    std::string kind;
    /// The interface that this one is a port of, or 0, and that one's kind.
    std::uint32_t master_ifindex = 0;
    std::string master_kind;
    XdpMode xdp_mode = XdpMode::none;
    std::uint32_t xdp_program_id = 0;
};

/// Asks rtnetlink (RTM_GETLINK, rtnetlink(7)) in the caller's network namespace. Fails with
/// `PacketError::no_such_interface`, or with the system's error.
Outcome<InterfaceFacts> interface_facts(std::string_view name);
Outcome<InterfaceFacts> interface_facts(std::uint32_t ifindex);

} // namespace zsync::packet
