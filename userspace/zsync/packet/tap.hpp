// Tap: copies of the packets of an interface, both directions, while somebody looks at them.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/capture_reader.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace zsync::packet {

struct TapOptions {
    std::uint32_t sample_every = 1; ///< one packet of so many
    /// `limits::capture_bytes` of every packet. Else `limits::live_packet_bytes` of those that the
    /// parsers want, the first of each flow and all of DNS and DHCP, and the headers of others.
    bool for_capture = false;
};

/// Packets of both directions since the tap was attached.
struct TapCounts {
    std::uint64_t packets = 0;
    std::uint64_t sampled = 0; ///< of these, to be handed over
    std::uint64_t lost = 0;    ///< of these, because the ring was full
};

/// Two BPF programs attached by TCX (`bpf/zsync_tap.bpf.c`) and the ring that they fill. Nothing is
/// pinned: the tap ends with this object. It sees what the filter lets pass and what the host
/// sends; what GRO or GSO has merged is one packet.
///
/// Needs CAP_BPF and CAP_NET_ADMIN. Calls block for a short time only.
class Tap {
public:
    static Outcome<Tap>
    attach(std::uint32_t ifindex, const std::string& name, const TapOptions& options);
    Tap(Tap&&) noexcept;
    Tap& operator=(Tap&&) noexcept;
    ~Tap();

    /// Readable while there are packets to take.
    [[nodiscard]] int ready_fd() const noexcept;
    /// Visits at most `packets_max` packets; how many there were.
    Outcome<std::size_t>
    take(std::size_t packets_max, const std::function<void(const analysis::Frame&)>& visit);
    [[nodiscard]] Outcome<TapCounts> counts() const;

private:
    struct State;
    explicit Tap(std::unique_ptr<State> state) noexcept;

    std::unique_ptr<State> state_;
};

} // namespace zsync::packet
