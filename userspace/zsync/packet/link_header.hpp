// What packets of a device begin with.
#pragma once

#include <cstdint>

namespace zsync::packet {

enum class LinkHeader : std::uint8_t {
    ethernet,
    none,    ///< an IP header, as of tun
    unknown, ///< something that is not read
};

/// By the device's ARPHRD_* (linux/if_arp.h).
[[nodiscard]] LinkHeader link_header(std::uint32_t link_type) noexcept;

} // namespace zsync::packet
