// How many flows are kept, and for how long. Every field is a key of zsyncd.toml(5).
#pragma once

#include <zsync/packet/analysis/limits.hpp>

#include <array>
#include <cstdint>
#include <string_view>

namespace zsync::packet::analysis {

/// The limits of a flow table, and how long flows stay in it without a packet.
struct FlowOptions {
    /// Flows at a time, and of these such that nobody has answered yet.
    std::uint32_t flows_max = limits::flows_usual;
    std::uint32_t unanswered_max = limits::flows_usual / 2;
    /// Flows that one CPU makes in a second before flood mode begins; of the kernel's table alone.
    std::uint32_t new_per_second_max = limits::new_flows_per_second_usual;
    /// TCP without the answer to its SYN or without the end of its handshake.
    std::uint32_t half_open_seconds = 5;
    std::uint32_t half_open_in_flood_seconds = 1;
    /// TCP whose beginning was not seen, or one direction alone.
    std::uint32_t tcp_midstream_seconds = 60;
    std::uint32_t tcp_seconds = 600;
    std::uint32_t tcp_closed_seconds = 10;
    /// Without a connection, and nobody has answered.
    std::uint32_t unanswered_seconds = 30;
    std::uint32_t udp_seconds = 120;
    std::uint32_t icmp_seconds = 60;
    std::uint32_t other_seconds = 120;
    /// Answered ones without a connection, while three quarters of the table are taken; likewise.
    std::uint32_t answered_when_full_seconds = 10;

    friend bool operator==(const FlowOptions&, const FlowOptions&) = default;
};

/// A field as the configuration names it, with the values it may have.
struct FlowOption {
    std::string_view name;
    std::uint32_t FlowOptions::* value;
    std::uint32_t min;
    std::uint32_t max;
};

consteval FlowOption flow_option(
    std::string_view name, std::uint32_t FlowOptions::* value, std::uint32_t min, std::uint32_t max
) {
    return {.name = name, .value = value, .min = min, .max = max};
}

inline constexpr std::array flow_option_list{
    flow_option("flows_max", &FlowOptions::flows_max, limits::flows_min, limits::flows_max),
    flow_option("unanswered_max", &FlowOptions::unanswered_max, 1, limits::flows_max),
    flow_option(
        "new_per_second_max", &FlowOptions::new_per_second_max, 1, limits::new_flows_per_second_max
    ),
    flow_option("half_open_seconds", &FlowOptions::half_open_seconds, 1, limits::flow_seconds_max),
    flow_option(
        "half_open_in_flood_seconds",
        &FlowOptions::half_open_in_flood_seconds,
        1,
        limits::flow_seconds_max
    ),
    flow_option(
        "tcp_midstream_seconds", &FlowOptions::tcp_midstream_seconds, 1, limits::flow_seconds_max
    ),
    flow_option("tcp_seconds", &FlowOptions::tcp_seconds, 1, limits::flow_seconds_max),
    flow_option(
        "tcp_closed_seconds", &FlowOptions::tcp_closed_seconds, 1, limits::flow_seconds_max
    ),
    flow_option(
        "unanswered_seconds", &FlowOptions::unanswered_seconds, 1, limits::flow_seconds_max
    ),
    flow_option("udp_seconds", &FlowOptions::udp_seconds, 1, limits::flow_seconds_max),
    flow_option("icmp_seconds", &FlowOptions::icmp_seconds, 1, limits::flow_seconds_max),
    flow_option("other_seconds", &FlowOptions::other_seconds, 1, limits::flow_seconds_max),
    flow_option(
        "answered_when_full_seconds",
        &FlowOptions::answered_when_full_seconds,
        1,
        limits::flow_seconds_max
    ),
};

} // namespace zsync::packet::analysis
