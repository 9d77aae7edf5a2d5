// PacketSource: where the packets of a capture come from.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/capture_reader.hpp>
#include <zsync/packet/analysis/capture_writer.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace zsync::packet {

struct CaptureCounts {
    std::uint64_t matched = 0; ///< packets that were to be captured
    std::uint64_t lost = 0;    ///< of these, because the ring was full
};

/// Copies of packets that wait in a ring of the kernel's. Calls block for a short time only, one at
/// a time; so does the end of it.
class PacketSource {
public:
    using Visit = std::function<void(const analysis::Frame&, const analysis::PacketNote&)>;

    virtual ~PacketSource() = default;

    /// Readable while there are packets to take.
    [[nodiscard]] virtual int ready_fd() const noexcept = 0;
    [[nodiscard]] virtual analysis::LinkType link_type() const noexcept = 0;
    /// Visits at most `packets_max` packets; how many the ring gave.
    virtual Outcome<std::size_t> take(std::size_t packets_max, const Visit& visit) = 0;
    /// Since it began.
    [[nodiscard]] virtual Outcome<CaptureCounts> counts() const = 0;

protected:
    PacketSource() = default;
    PacketSource(const PacketSource&) = default;
    PacketSource(PacketSource&&) = default;
    PacketSource& operator=(const PacketSource&) = default;
    PacketSource& operator=(PacketSource&&) = default;
};

} // namespace zsync::packet
