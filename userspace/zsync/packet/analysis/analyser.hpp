// Analyser: what traffic is, from its packets, offline and live.
#pragma once

#include <zsync/packet/analysis/content.hpp>
#include <zsync/packet/analysis/detectors.hpp>
#include <zsync/packet/analysis/dissect.hpp>
#include <zsync/packet/analysis/flow_table.hpp>
#include <zsync/packet/analysis/sketch.hpp>
#include <zsync/packet/analysis/source_table.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <string_view>

namespace zsync::packet::analysis {

class JsonWriter;

/// Told of what happens in the traffic, as it happens.
class TrafficObserver : public ContentObserver, public AlertObserver {
public:
    virtual void flow_ended(const Flow& flow, FlowEnd end) = 0;

protected:
    ~TrafficObserver() = default;
};

struct AnalyserOptions {
    FlowOptions flows{};
    DetectorOptions detectors{};
    std::uint64_t seed = 0; ///< of all hashes; random where strangers choose the keys
};

/// Packets and bytes of one kind.
struct Share {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;

    void add(std::uint32_t wire_bytes) noexcept {
        ++packets;
        bytes += wire_bytes;
    }
};

/// The flow table, the parsers and the sketches, fed packet by packet.
class Analyser final : private FlowObserver, private ContentObserver {
public:
    Analyser(const AnalyserOptions& options, TrafficObserver& observer);

    /// Counts a frame. Time comes from the frames alone; steps back are borne, and where frames
    /// have the time of a clock that nobody sets, only what is shown follows the other one.
    void add(const Frame& frame);
    /// Ends flows whose time is over, where no packet says how late it is: by `Packet::time_ns`.
    void expire(std::uint64_t now_ns) { flows_.expire(now_ns); }
    /// Takes other thresholds, and other limits and times of flows.
    void configure(const DetectorOptions& options) { detectors_.configure(options); }
    void configure(const FlowOptions& options) noexcept { flows_.configure(options); }
    /// Ends all flows.
    void finish() { flows_.finish(); }

    /// Writes the figures as fields of the object that `json` is in, without those of flows with
    /// `own_flows` false, where somebody else counts these.
    void write_figures(JsonWriter& json, bool own_flows = true) const;
    /// Flows whose content was not looked at for want of room.
    [[nodiscard]] std::uint64_t contents_passed_over() const noexcept {
        return inspector_.passed_over();
    }

    [[nodiscard]] const FlowTable& flows() const noexcept { return flows_; }
    [[nodiscard]] std::uint64_t first_ns() const noexcept { return first_ns_; }
    [[nodiscard]] std::uint64_t last_ns() const noexcept { return last_ns_; }

private:
    /// Frame sizes by powers of two, from below 64 to 65,536 and above.
    static constexpr std::size_t size_classes = 12;

    void flow_ended(Flow& flow, FlowEnd end) override;
    void dns_message(const Flow& flow, const Packet& packet, const DnsMessage& message) override;
    void dhcp_message(const Packet& packet, const DhcpMessage& message) override;
    void count_size(std::uint32_t bytes) noexcept;
    void write_protocols(JsonWriter& json) const;
    void write_sizes(JsonWriter& json) const;
    void write_talkers(JsonWriter& json, std::string_view name, const TopTalkers& talkers) const;
    void write_sources(JsonWriter& json) const;
    void write_flow_counts(JsonWriter& json) const;

    TrafficObserver& observer_;
    std::uint64_t seed_;
    FlowTable flows_;
    ContentInspector inspector_;
    Detectors detectors_;
    TopTalkers senders_;
    TopTalkers receivers_;
    SourceTable sources_;
    SpreadMeter source_spread_;
    SpreadMeter destination_spread_;
    SpreadMeter port_spread_;

    Share total_;
    Share arp_;
    Share other_;
    Share malformed_;
    Share without_flow_;                 ///< refused by the table, or fragments without their first
    std::array<Share, 256> protocols_{}; ///< by IP protocol number
    std::map<std::string_view, std::uint64_t> problems_;
    std::map<std::string_view, Share> applications_; ///< of flows that have ended
    std::array<std::uint64_t, size_classes> sizes_{};
    double size_mean_ = 0;
    double size_deviation_ = 0; ///< sum of squared deviations from the mean
    std::uint64_t first_ns_ = 0;
    std::uint64_t last_ns_ = 0;
    std::uint64_t newest_ns_ = 0; ///< when that was by `Packet::time_ns`
};

/// An alert as a JSON object; the fields are those of zsyncctl(1).
void write_alert(JsonWriter& json, const Alert& alert);

/// A flow as a JSON object; the fields are those of zsyncctl(1).
void write_flow(JsonWriter& json, const Flow& flow, std::string_view end);
/// The same of a flow that is going on, whose content another one has; `dropped` of its packets are
/// ones that the filter dropped.
void write_live_flow(
    JsonWriter& json, const Flow& flow, const FlowContent* content, std::uint64_t dropped
);

} // namespace zsync::packet::analysis
