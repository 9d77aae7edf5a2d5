// Signs that packets come faster than the host can take or send them.
#pragma once

#include <zsync/core/result.hpp>

#include <cstdint>

namespace zsync::packet {

/// One reading; counters only grow.
struct CongestionReading {
    /// Packets dropped because a queue was full: the device's receive ring (`rx_missed_errors`),
    /// its sending side (`tx_dropped`), its root qdisc, and the backlog between driver and stack
    /// (/proc/net/softnet_stat). Not `rx_dropped`, where packets of unknown protocols are as well.
    std::uint64_t drops = 0;
    std::uint32_t queue_packets = 0; ///< that wait in the root qdisc
    std::uint64_t cpu_busy = 0;      ///< ticks of all processors, of /proc/stat
    std::uint64_t cpu_all = 0;
};

/// Asks rtnetlink in the caller's network namespace, and /proc. Blocks.
Outcome<CongestionReading> read_congestion(std::uint32_t ifindex);

} // namespace zsync::packet
