// The flow table's maps, and what fills them with what a device sends. Private to the packet
// subsystem.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>

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

/// An empty table of 18 MiB that never grows, and the program attached behind all others of the
/// device's sending side. `PacketError`: not_permitted, program_refused.
Outcome<FlowMaps>
count_sent(std::uint32_t ifindex, const std::string& ifname, bool starts_at_network);

/// The seed of the table's hash.
Result<zsync_flow_seed> read_flow_seed(const FlowMaps& maps);

} // namespace zsync::packet
