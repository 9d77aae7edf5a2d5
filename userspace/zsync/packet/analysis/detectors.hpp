// Detectors: attacks, found in what the analysis knows of flows.
#pragma once

#include <zsync/packet/analysis/alert.hpp>
#include <zsync/packet/analysis/content.hpp>
#include <zsync/packet/analysis/detector_options.hpp>
#include <zsync/packet/analysis/flow_table.hpp>
#include <zsync/packet/analysis/recent_table.hpp>
#include <zsync/packet/analysis/sketch.hpp>
#include <zsync/packet/analysis/volume_baseline.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet::analysis {

/// Told of alerts as they are found.
class AlertObserver {
public:
    virtual void alert(const Alert& alert) = 0;

protected:
    ~AlertObserver() = default;
};

/// Keeps counts by host, port and pair in bounded tables and raises an alert when one reaches its
/// threshold. Time is that of the packets; when it goes back by more than a minute, all is counted
/// and told anew, because windows of a time to come would never end. The same alert about the same
/// subject is held back for `quiet_seconds` and then says how often it would have been raised.
class Detectors {
public:
    Detectors(const DetectorOptions& options, std::uint64_t seed, AlertObserver& observer);

    /// Takes other thresholds; what was counted stays.
    void configure(const DetectorOptions& options) { options_ = options; }

    /// Each IP packet, with its flow if it has one.
    void packet(const Packet& packet, const FlowTable::Touched& touched);
    /// Each ARP packet.
    void arp(const Packet& packet);
    void dns_message(const Packet& packet, const DnsMessage& message);
    /// Every frame first, for the volume. `epoch_ns` is what makes its time one since 1970, by
    /// which alerts are told and hours are known.
    void frame(std::uint64_t time_ns, std::uint32_t wire_bytes, std::uint64_t epoch_ns = 0);

private:
    /// A host, port and protocol, or two hosts; what is not used is zero.
    struct Key {
        Address first{};
        Address second{};
        std::uint16_t port = 0;
        std::uint8_t protocol = 0;

        friend bool operator==(const Key&, const Key&) = default;
    };
    struct KeyHash {
        std::uint64_t seed = 0;
        std::size_t operator()(const Key& key) const noexcept;
    };
    /// Counts of a window that starts with its first event.
    struct Window {
        std::uint64_t begin_ns = 0;

        /// True when the window is over and begins anew; its owner clears its counts.
        bool renew(std::uint64_t now_ns, std::uint64_t length_ns) noexcept {
            if (begin_ns != 0 && now_ns < begin_ns + length_ns) {
                return false;
            }
            begin_ns = now_ns;
            return true;
        }
    };
    struct RateWindow : Window {
        std::uint64_t count = 0;
        std::uint64_t answered = 0;
        std::uint64_t bytes = 0;
        std::uint64_t reached_ns = 0; ///< when the threshold was; 0: not yet
    };
    struct WidthWindow : Window {
        DistinctCounter different;
        std::uint64_t answered = 0;
        std::uint64_t reached_ns = 0;
    };
    struct TunnelWindow : Window {
        DistinctCounter names;
        std::uint64_t questions = 0;
        std::uint64_t label_bytes = 0;
        std::uint64_t data_types = 0;
    };
    struct Beats {
        std::uint64_t last_ns = 0;
        std::deque<double> intervals;
    };
    template <class Value> using Table = RecentTable<Key, Value, KeyHash>;
    struct DomainKey {
        Address client{};
        std::string domain;

        friend bool operator==(const DomainKey&, const DomainKey&) = default;
    };
    struct DomainHash {
        std::uint64_t seed = 0;
        std::size_t operator()(const DomainKey& key) const noexcept;
    };
    struct Told {
        std::uint64_t time_ns = 0;
        std::uint64_t held_back = 0;
    };

    void follow_clock(std::uint64_t now_ns);
    void raise(
        AlertKind kind,
        std::uint64_t time_ns,
        AlertSubject subject,
        double value,
        double threshold,
        std::string reason
    );
    [[nodiscard]] std::uint64_t hash_of(const Address& address) const noexcept;
    void watch_source(const Packet& packet);
    void watch_syns(const Packet& packet, const Flow& flow);
    void watch_udp(const Packet& packet, const FlowTable::Touched& touched);
    void watch_icmp(const Packet& packet);
    void watch_strangers(const Packet& packet, const Flow& flow);
    void watch_reflection(const Packet& packet, const FlowTable::Touched& touched);
    void watch_ports(const Packet& packet, const Flow& flow);
    void watch_hosts(
        std::uint64_t time_ns,
        const Address& source,
        const Address& destination,
        std::uint8_t protocol,
        std::uint16_t port
    );
    void watch_beats(const Packet& packet, const Flow& flow);
    void flow_answered(const Packet& packet, const Flow& flow);
    void flow_closed(const Packet& packet, const Flow& flow);

    DetectorOptions options_;
    std::uint64_t seed_;
    AlertObserver& observer_;
    Table<RateWindow> syn_rates_;
    Table<RateWindow> udp_rates_;
    Table<RateWindow> icmp_rates_;
    Table<RateWindow> reflected_;
    Table<RateWindow> amplified_;
    Table<RateWindow> bogons_;
    Table<RateWindow> logins_;
    Table<WidthWindow> ports_;
    Table<WidthWindow> hosts_;
    Table<WidthWindow> strangers_;
    Table<Beats> beats_;
    RecentTable<DomainKey, TunnelWindow, DomainHash> domains_;
    RecentTable<std::uint64_t, Told, std::hash<std::uint64_t>> told_;
    VolumeBaseline volume_;
    std::uint64_t newest_ns_ = 0; ///< of all packets
    std::uint64_t epoch_ns_ = 0;  ///< of the last frame
};

} // namespace zsync::packet::analysis
