// FlowReader: the flows of an interface as the kernel has counted them.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/flow_table.hpp>
#include <zsync/packet/flow_maps.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace zsync::packet {

/// One direction of a flow. Bytes are those of whole frames.
struct CountedDirection {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t dropped = 0;  ///< of the packets, by the filter
    std::uint8_t tcp_flags = 0; ///< all that were seen
};

struct CountedFlow {
    std::uint64_t id = 0;  ///< from 53 bits of its hash
    analysis::Tuple tuple; ///< as the initiator's packets have it
    analysis::FlowState state = analysis::FlowState::unanswered;
    std::uint64_t first_ns = 0; ///< since 1970, as is `last_ns`
    std::uint64_t last_ns = 0;  ///< to the kernel's tick, 1 to 10 ms
    std::uint8_t icmp_type = 0; ///< of its first packet
    std::uint8_t icmp_code = 0;
    CountedDirection to_responder;
    CountedDirection to_initiator;
};

struct FlowCounts {
    std::uint64_t living = 0;
    std::uint64_t unanswered = 0; ///< of these
    bool in_flood = false;
    std::uint64_t created = 0;
    std::uint64_t timed_out = 0;
    std::uint64_t replaced = 0;      ///< closed ones whose ports were used again
    std::uint64_t refused = 0;       ///< packets of flows that got no place
    std::uint64_t refused_bytes = 0; ///< theirs
    std::uint64_t refused_full = 0;  ///< of `refused`, for want of any place; others in flood mode
    std::uint64_t floods = 0;        ///< times that flood mode began
    std::uint64_t stray = 0;         ///< fragments whose first one was not seen
    std::uint64_t stray_bytes = 0;
};

/// Reads the flow table where it is, in mapped memory: the names of 65,536 flows in a tenth of a
/// millisecond, and the records of those that are taken, without a system call for any. Every
/// packet is counted once: in a flow that is living or was told as ended, as refused, or as stray.
///
/// Calls take milliseconds, so coroutines make them on an offload thread. One reader a table; it is
/// used by one thread at a time.
class FlowReader {
public:
    using Visit = std::function<void(const CountedFlow&, analysis::FlowEnd)>;

    /// Has the table's limits be those of `options` from here on, and ends flows by its times.
    static Outcome<FlowReader> open(const FlowMaps& maps, const analysis::FlowOptions& options);
    FlowReader(FlowReader&&) noexcept;
    FlowReader& operator=(FlowReader&&) noexcept;
    ~FlowReader();

    /// Ends flows whose time is over at `now_ns` (CLOCK_MONOTONIC), visits each with its last
    /// counts, and ends flood mode once half of the room for unanswered flows is free. Nobody else
    /// frees places, so this is called at least every `limits::flow_age_interval_ms`. Waits for the
    /// programs that are running when some flow ends.
    Outcome<std::size_t> age(std::uint64_t now_ns, const Visit& visit);
    /// The id of the flow that packets with this tuple are counted into. Not of ICMP, whose flows
    /// have more to them.
    [[nodiscard]] std::uint64_t id_of(const analysis::Tuple& tuple) const noexcept;
    /// The flows that are going on, in no order.
    [[nodiscard]] std::vector<CountedFlow> flows() const;
    [[nodiscard]] Result<FlowCounts> counts() const;

private:
    struct State;
    explicit FlowReader(std::unique_ptr<State> state) noexcept;

    std::unique_ptr<State> state_;
};

} // namespace zsync::packet
