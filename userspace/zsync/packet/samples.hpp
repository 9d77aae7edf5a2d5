// SampleReader: the packets that rules with `sample` copied.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/record_ring.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

namespace zsync::packet {

/// A copy of a packet, valid while it is visited.
struct Sample {
    std::uint64_t time_ns = 0; ///< since 1970
    std::uint32_t slot = 0;    ///< of the rule: `LiveRule::slot`
    Verdict verdict = Verdict::pass;
    std::uint32_t wire_bytes = 0;
    std::span<const std::uint8_t> bytes; ///< from the link header on, 1,600 at most
};

/// Reads the ring that the filter program fills. A ring has one reader at a time; without one it
/// fills up, and what then finds no place is counted in `InterfaceStats::samples_lost`.
///
///     SampleReader reader = ZTRY(filter.read_samples());
///     ZCO_CHECK(co_await io.poll(FdRef(reader.ready_fd()), POLLIN));
///     ZTRY(reader.take(64, [](const Sample& sample) { ... }));
///
/// Calls do not block. Needs CAP_BPF.
class SampleReader {
public:
    /// Reads `ring`; the descriptor is not kept.
    static Outcome<SampleReader> open(const Fd& ring);

    /// Readable while there are samples to take.
    [[nodiscard]] int ready_fd() const noexcept { return ring_.ready_fd(); }
    /// Visits at most `samples_max` samples, the oldest first; how many there were.
    Outcome<std::size_t>
    take(std::size_t samples_max, const std::function<void(const Sample&)>& visit);

private:
    explicit SampleReader(RecordRing ring) noexcept : ring_(std::move(ring)) {}

    RecordRing ring_;
};

} // namespace zsync::packet
