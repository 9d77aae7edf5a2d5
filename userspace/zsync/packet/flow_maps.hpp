// The flow table's maps, and what fills them with what a device sends. Private to the packet
// subsystem.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/flow_options.hpp>

extern "C" {
#include <bpf/flow.h>
}

#include <cstdint>
#include <string>

namespace zsync::packet {

/// The table (`bpf/flow.h`), and the link of the program that counts what the device sends.
struct FlowMaps {
    Fd lines;
    Fd records;
    Fd stats;
    Fd fragments;
    Fd out;

    explicit operator bool() const { return static_cast<bool>(out); }
};

/// The lines of a table for so many flows: 278 bytes for each flow, and a power of two.
[[nodiscard]] std::uint32_t flow_lines_for(std::uint32_t flows_max) noexcept;
/// The lines of this one.
[[nodiscard]] Result<std::uint32_t> flow_lines_of(const FlowMaps& maps);

/// An empty table that never grows, and the program attached behind all others of the device's
/// sending side. `PacketError`: not_permitted, program_refused.
Outcome<FlowMaps> count_sent(
    std::uint32_t ifindex,
    const std::string& ifname,
    bool starts_at_network,
    const analysis::FlowOptions& options
);

/// The seed of the table's hash.
Result<zsync_flow_seed> read_flow_seed(const FlowMaps& maps);

} // namespace zsync::packet
