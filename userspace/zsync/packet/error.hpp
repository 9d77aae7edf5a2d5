// Errors of the packet subsystem.
#pragma once

#include <zsync/core/error.hpp>

#include <cstdint>

namespace zsync::packet {

enum class PacketError : std::uint16_t {
    /// A rule file is wrong; the diagnostics say where.
    invalid_rules,
    /// A saved desired state is not one this version can read.
    invalid_desired_state,
};

extern const ErrorDomain packet_errors;
constexpr const ErrorDomain& error_domain(PacketError) noexcept { return packet_errors; }

} // namespace zsync::packet
