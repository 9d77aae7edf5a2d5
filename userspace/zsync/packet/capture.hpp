// Capture: the packets of an interface that a rule's conditions match, to be written to a file.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/packet_source.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/samples.hpp>
#include <zsync/packet/tap.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace zsync::packet {

/// Copies of packets of both directions, attached by TCX beside the filter: what it lets pass, and
/// what the host sends; up to `limits::capture_bytes` of each. With conditions the same match
/// engine as the filter's decides in the kernel which packets are copied, so the others cost no
/// copy; without, every packet is, ARP and malformed ones too. What AF_XDP forwards never comes
/// here.
///
/// Nothing is pinned: the capture ends with this object. Needs CAP_BPF and CAP_NET_ADMIN.
class Capture final : public PacketSource {
public:
    /// `condition` is what a rule of zsync-rules(5) has after its verdict (`proto udp dport 53`);
    /// empty for all packets. `PacketError::invalid_rules` says what is wrong with it.
    static Outcome<Capture> start(const std::string& ifname, const std::string& condition);

    [[nodiscard]] int ready_fd() const noexcept override;
    [[nodiscard]] analysis::LinkType link_type() const noexcept override { return link_type_; }
    Outcome<std::size_t> take(std::size_t packets_max, const Visit& visit) override;
    [[nodiscard]] Outcome<CaptureCounts> counts() const override;

private:
    Capture() = default;

    analysis::LinkType link_type_ = analysis::LinkType::ethernet;
    std::optional<Tap> tap_; ///< without conditions
    SharedMaps maps_;        ///< with
    std::array<Fd, 2> links_;
    std::optional<SampleReader> samples_;
};

} // namespace zsync::packet
