// Capture: the packets of an interface that a rule's conditions match, to be written to a file.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/capture_reader.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/samples.hpp>
#include <zsync/packet/tap.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace zsync::packet {

struct CaptureCounts {
    std::uint64_t matched = 0; ///< packets that were to be captured
    std::uint64_t lost = 0;    ///< of these, because the ring was full
};

/// Copies of packets of both directions, attached by TCX beside the filter: what it lets pass, and
/// what the host sends; up to `limits::capture_bytes` of each. With conditions the same match
/// engine as the filter's decides in the kernel which packets are copied, so the others cost no
/// copy; without, every packet is, ARP and malformed ones too. What AF_XDP forwards never comes
/// here.
///
/// Nothing is pinned: the capture ends with this object. Needs CAP_BPF and CAP_NET_ADMIN. Calls
/// block for a short time only, one at a time.
class Capture {
public:
    /// `condition` is what a rule of zsync-rules(5) has after its verdict (`proto udp dport 53`);
    /// empty for all packets. `PacketError::invalid_rules` says what is wrong with it.
    static Outcome<Capture> start(const std::string& ifname, const std::string& condition);

    /// Readable while there are packets to take.
    [[nodiscard]] int ready_fd() const noexcept;
    [[nodiscard]] analysis::LinkType link_type() const noexcept { return link_type_; }
    /// Visits at most `packets_max` packets; how many there were.
    Outcome<std::size_t>
    take(std::size_t packets_max, const std::function<void(const analysis::Frame&)>& visit);
    [[nodiscard]] Outcome<CaptureCounts> counts() const;

private:
    Capture() = default;

    analysis::LinkType link_type_ = analysis::LinkType::ethernet;
    std::optional<Tap> tap_; ///< without conditions
    SharedMaps maps_;        ///< with
    std::array<Fd, 2> links_;
    std::optional<SampleReader> samples_;
};

} // namespace zsync::packet
