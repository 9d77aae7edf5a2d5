// LiveAnalysis: the traffic analysis on an interface.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/analyser.hpp>
#include <zsync/packet/analysis/messages.hpp>
#include <zsync/packet/flow_reader.hpp>
#include <zsync/packet/tap.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace zsync::packet {

/// The flow table of the kernel, which counts every packet, and a tap with the analyser that it
/// feeds, which looks into packets. What is shown as a flow, and its packets and bytes, is the
/// kernel's; the analyser's own flows are what content and detectors hang on.
///
/// Calls block for a short time only, one at a time.
class LiveAnalysis final : private analysis::TrafficObserver {
public:
    static Outcome<std::unique_ptr<LiveAnalysis>> start(
        std::uint32_t ifindex,
        const std::string& name,
        const TapOptions& tap,
        const analysis::AnalyserOptions& options,
        FlowReader flows
    );
    LiveAnalysis(
        Tap tap,
        std::uint32_t sample_every,
        const analysis::AnalyserOptions& options,
        FlowReader flows
    );

    [[nodiscard]] int ready_fd() const noexcept { return tap_.ready_fd(); }
    /// Analyses what has come, `limits::live_packets_per_turn` packets at most.
    Outcome<std::size_t> work();
    /// Ends flows of the kernel's table whose time is over: every `limits::flow_age_interval_ms`.
    Outcome<void> age();
    /// Takes other thresholds.
    void configure(const analysis::DetectorOptions& options) { analyser_.configure(options); }
    /// Takes other limits and times of flows, and the kernel's table that was opened with them.
    void configure(const analysis::FlowOptions& options, FlowReader flows) {
        flows_ = std::move(flows);
        analyser_.configure(options);
    }
    /// The alerts since the last call, and how many more there were than are kept.
    struct Alerts {
        std::vector<analysis::Alert> list;
        std::uint64_t left_out = 0;
    };
    [[nodiscard]] Alerts take_alerts() { return std::exchange(fresh_, {}); }

    /// The flows that are going on, the last messages, and the figures, as JSON: what `zsyncctl
    /// flows` prints.
    [[nodiscard]] Outcome<std::string> report(std::string_view ifname);

private:
    void flow_ended(const analysis::Flow& /*flow*/, analysis::FlowEnd /*end*/) override {}
    void dns_message(
        const analysis::Flow& flow,
        const analysis::Packet& packet,
        const analysis::DnsMessage& message
    ) override;
    void
    dhcp_message(const analysis::Packet& packet, const analysis::DhcpMessage& message) override;
    void alert(const analysis::Alert& alert) override;

    Tap tap_;
    std::uint32_t sample_every_;
    FlowReader flows_;
    Alerts fresh_;
    analysis::RecentMessages messages_;
    analysis::Analyser analyser_;
};

} // namespace zsync::packet
