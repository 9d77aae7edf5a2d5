// What the reasons of alerts are put together from.
#pragma once

#include <zsync/packet/analysis/address.hpp>

#include <cstdint>
#include <format>
#include <string>

namespace zsync::packet::analysis {

constexpr std::uint64_t second_ns = 1'000'000'000;

inline double seconds(std::uint64_t ns) {
    return static_cast<double>(ns) / static_cast<double>(second_ns);
}

/// A host, and the port on it unless that is 0.
inline std::string where(const Address& address, std::uint16_t port) {
    return port == 0 ? to_string(address) : std::format("{} port {}", to_string(address), port);
}

} // namespace zsync::packet::analysis
