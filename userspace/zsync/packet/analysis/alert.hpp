// Alert: something in the traffic that a person should know of, and why it is thought so.
#pragma once

#include <zsync/packet/analysis/address.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace zsync::packet::analysis {

enum class AlertKind : std::uint8_t {
    syn_flood,
    udp_flood,
    icmp_flood,
    reflection,
    amplification,
    port_scan,
    sweep,
    brute_force,
    dns_tunnel,
    beacon,
    volume_anomaly,
    spoofed_sources,
    bogon_source,
    count,
};

/// `syn_flood` and so on: also the name of its table in the configuration.
[[nodiscard]] std::string_view name_of(AlertKind kind) noexcept;

/// Who does what to whom. What an alert has no use for is zero.
struct AlertSubject {
    Address source{};
    Address destination{};
    std::uint16_t port = 0; ///< of the destination, or of the service that is misused
    std::uint8_t protocol = 0;
    std::string domain{}; ///< of a DNS tunnel

    friend bool operator==(const AlertSubject&, const AlertSubject&) = default;
};

/// An address of a subject in words; empty where it has none.
[[nodiscard]] std::string shown(const Address& address);

struct Alert {
    AlertKind kind = AlertKind::syn_flood;
    std::uint64_t time_ns = 0; ///< of the packet that made it certain
    AlertSubject subject{};
    double value = 0;     ///< what was measured
    double threshold = 0; ///< what it had to reach
    std::string reason;   ///< the measurement in words
    /// How often the same was seen since the last alert about it.
    std::uint64_t repeats = 0;
};

} // namespace zsync::packet::analysis
