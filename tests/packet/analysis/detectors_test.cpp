// Thresholds at their limit, and what a learned baseline calls unusual.
#include <zsync/packet/analysis/analyser.hpp>
#include <zsync/packet/analysis/detectors.hpp>
#include <zsync/packet/analysis/flow_table.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <vector>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t hour_ns = 3600 * second_ns;

class Recorder final : public AlertObserver, public FlowObserver {
public:
    void alert(const Alert& alert) override { alerts.push_back(alert); }
    void flow_ended(Flow& /*flow*/, FlowEnd /*end*/) override {}
    [[nodiscard]] std::size_t count(AlertKind kind) const {
        return static_cast<std::size_t>(std::ranges::count(alerts, kind, &Alert::kind));
    }
    std::vector<Alert> alerts;
};

/// A flow table and the detectors behind it.
struct Watch {
    explicit Watch(const DetectorOptions& options = {}) : detectors(options, 1, recorder) {}

    void send(const Packet& packet) { detectors.packet(packet, flows.add(packet)); }

    Recorder recorder;
    FlowTable flows{{}, recorder};
    Detectors detectors;
};

Packet tcp(std::uint32_t source, std::uint16_t port, std::uint64_t time_ns) {
    Packet packet{.time_ns = time_ns, .wire_bytes = 60, .network = Network::ip};
    packet.tuple = {
        .source = Address::v4(source),
        .destination = Address::v4(0x0a000001),
        .source_port = 40000,
        .destination_port = port,
        .protocol = ip_protocol::tcp,
    };
    packet.tcp_flags = tcp_flag::syn;
    return packet;
}

Packet answer(Packet packet) {
    std::swap(packet.tuple.source, packet.tuple.destination);
    std::swap(packet.tuple.source_port, packet.tuple.destination_port);
    packet.tcp_flags = tcp_flag::syn | tcp_flag::ack;
    return packet;
}

TEST(PortScan, one_port_fewer_than_the_threshold_is_none) {
    for (const std::uint16_t ports : {19, 20}) {
        Watch watch;
        for (std::uint16_t port = 1; port <= ports; ++port) {
            watch.send(tcp(0x0a000002, port, second_ns + port));
        }
        EXPECT_EQ(watch.recorder.count(AlertKind::port_scan), ports == 20 ? 1U : 0U) << ports;
    }
}

TEST(PortScan, ports_that_answer_do_not_count) {
    Watch watch;
    for (std::uint16_t port = 1; port <= 200; ++port) {
        const Packet syn = tcp(0x0a000002, port, second_ns + port);
        watch.send(syn);
        watch.send(answer(syn));
        Packet ack = syn;
        ack.tcp_flags = tcp_flag::ack;
        watch.send(ack);
    }
    EXPECT_TRUE(watch.recorder.alerts.empty());
}

TEST(SynFlood, a_busy_server_far_away_has_none) {
    Watch watch;
    // 2000 connections a second from one proxy, each of which comes about 100 ms later.
    std::vector<Packet> sent;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        const std::uint64_t now = second_ns + i * second_ns / 2000;
        Packet syn = tcp(0x0a000002 + i / 60'000, 443, now);
        syn.tuple.source_port = static_cast<std::uint16_t>(1024 + i);
        sent.push_back(syn);
        watch.send(syn);
        if (i >= 200) {
            Packet earlier = sent[i - 200];
            earlier.time_ns = now;
            watch.send(answer(earlier));
            earlier.tcp_flags = tcp_flag::ack;
            watch.send(earlier);
        }
    }
    EXPECT_TRUE(watch.recorder.alerts.empty()) << watch.recorder.alerts[0].reason;
}

TEST(Clock, that_is_set_back_neither_hides_an_attack_nor_makes_one) {
    Watch watch;
    std::uint32_t source = 0xc0000000;
    const auto flood = [&](std::uint64_t begin_ns) {
        for (std::uint32_t i = 0; i < 1000; ++i) {
            watch.send(tcp(source++, 80, begin_ns + i * (second_ns / 1000)));
        }
        return watch.recorder.count(AlertKind::syn_flood);
    };
    EXPECT_EQ(flood(10 * hour_ns), 1U);
    EXPECT_EQ(flood(10 * hour_ns + 2 * second_ns), 1U); // told just before
    EXPECT_EQ(flood(9 * hour_ns), 2U);
    // Few a second, and many in all.
    watch.recorder.alerts.clear();
    for (std::uint32_t i = 0; i < 1000; ++i) {
        watch.send(tcp(0xc1000000 + i, 81, 8 * hour_ns + i * (second_ns / 10)));
        watch.detectors.frame(8 * hour_ns + i * (second_ns / 10), 100);
    }
    EXPECT_TRUE(watch.recorder.alerts.empty()) << watch.recorder.alerts[0].reason;
}

TEST(Clock, that_is_set_anywhere_changes_nothing_but_what_is_shown_of_frames_with_another_one) {
    struct Alerts final : TrafficObserver {
        void alert(const Alert& alert) override { alerts.push_back(alert); }
        void flow_ended(const Flow& /*flow*/, FlowEnd /*end*/) override { ++ended; }
        void dns_message(const Flow&, const Packet&, const DnsMessage&) override {}
        void dhcp_message(const Packet&, const DhcpMessage&) override {}
        std::vector<Alert> alerts;
        std::uint64_t ended = 0;
    };
    constexpr std::uint64_t minute_ns = 60 * second_ns;
    constexpr std::uint64_t epoch_ns = 400'000 * hour_ns;
    constexpr std::uint64_t month_ns = 720 * hour_ns;
    for (const std::uint64_t step_ns : {std::uint64_t{0}, month_ns, 0 - month_ns}) {
        Alerts observer;
        Analyser analyser({}, observer);
        const auto send = [&](std::uint64_t minute, std::uint32_t bytes, std::uint64_t set_ns) {
            const std::array<std::uint8_t, 14> arp{};
            analyser.add({
                .time_ns = hour_ns + minute * minute_ns + epoch_ns + set_ns,
                .wire_bytes = bytes,
                .bytes = arp,
                .epoch_ns = epoch_ns + set_ns,
            });
        };
        for (std::uint64_t minute = 0; minute < 70; ++minute) {
            send(minute, 60'000, minute < 65 ? 0 : step_ns);
        }
        EXPECT_TRUE(observer.alerts.empty()) << observer.alerts[0].reason;
        send(70, 180'000, step_ns);
        ASSERT_EQ(observer.alerts.size(), 1U) << step_ns;
        EXPECT_EQ(observer.alerts[0].time_ns, hour_ns + 70 * minute_ns + epoch_ns + step_ns);
        EXPECT_EQ(observer.alerts[0].time_ns, analyser.last_ns());
        EXPECT_DOUBLE_EQ(observer.alerts[0].value, 40) << "the usual was forgotten";
    }
}

TEST(SynFlood, is_told_within_a_quarter_of_a_second_of_the_threshold) {
    Watch watch;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        watch.send(tcp(0xc0000000 + i, 80, second_ns + i * (second_ns / 1000)));
    }
    ASSERT_EQ(watch.recorder.count(AlertKind::syn_flood), 1U);
    const auto found = std::ranges::find(watch.recorder.alerts, AlertKind::syn_flood, &Alert::kind);
    const std::uint64_t reached_ns = second_ns + 199 * (second_ns / 1000);
    EXPECT_LE(found->time_ns - reached_ns, second_ns / 4);
}

TEST(Quiet, the_same_alert_comes_again_after_a_minute_and_says_how_often_it_was_held_back) {
    Watch watch;
    for (std::uint64_t second = 1; second <= 62; ++second) {
        for (std::uint64_t i = 0; i < 200; ++i) {
            Packet echo = tcp(0x0a000002, 0, second * second_ns + i);
            echo.tuple.source_port = 0;
            echo.tuple.protocol = ip_protocol::icmp;
            echo.icmp_type = 8;
            watch.send(echo);
        }
    }
    ASSERT_EQ(watch.recorder.count(AlertKind::icmp_flood), 2U);
    EXPECT_EQ(watch.recorder.alerts[0].repeats, 0U);
    EXPECT_EQ(watch.recorder.alerts[1].repeats, 59U);
}

/// Minutes of 60,000 bytes each, then one of `bytes`, through the detectors.
std::vector<Alert>
alerts_of_volume(std::uint64_t minutes, std::uint32_t bytes, const DetectorOptions& options = {}) {
    Watch watch(options);
    constexpr std::uint64_t begin_ns = 100 * hour_ns;
    for (std::uint64_t minute = 0; minute < minutes; ++minute) {
        watch.detectors.frame(begin_ns + minute * 60 * second_ns, 60'000);
    }
    watch.detectors.frame(begin_ns + minutes * 60 * second_ns, bytes);
    return watch.recorder.alerts;
}

TEST(Volume, an_interval_of_three_times_the_usual_raises_one_alert_once_that_is_learned) {
    EXPECT_TRUE(alerts_of_volume(60, 179'999).empty());
    EXPECT_TRUE(alerts_of_volume(59, 180'000).empty());
    EXPECT_TRUE(alerts_of_volume(60, 180'000, {.volume_deviations = 0}).empty());
    const std::vector<Alert> alerts = alerts_of_volume(60, 180'000);
    ASSERT_EQ(alerts.size(), 1U);
    EXPECT_EQ(alerts[0].kind, AlertKind::volume_anomaly);
    EXPECT_EQ(alerts[0].time_ns, 101 * hour_ns);
    EXPECT_EQ(alerts[0].threshold, 6);
    // The deviation of what is always the same is a twentieth of it.
    EXPECT_DOUBLE_EQ(alerts[0].value, 40);
    EXPECT_EQ(
        alerts[0].reason, "180000 bytes within 60 s where 60000 are usual: 40.0 deviations above"
    );
}

/// Bytes of a minute that differ by the hour, as an office has them, give or take a tenth.
double office_bytes(std::uint64_t minute, std::mt19937& random) {
    const double hour = static_cast<double>(minute / 60 % 24);
    const double level = 1e6 * (1.2 - std::cos(hour / 24 * 2 * 3.14159265));
    return level * std::normal_distribution<>(1, 0.1)(random);
}

std::vector<double> anomalies_of_a_week(std::uint64_t attack_minute, double attack_factor) {
    std::mt19937 random(42);
    VolumeBaseline baseline;
    std::vector<double> found;
    for (std::uint64_t minute = 0; minute < std::uint64_t{7} * 24 * 60; ++minute) {
        double bytes = office_bytes(minute, random);
        bytes *= minute == attack_minute ? attack_factor : 1;
        for (int part = 0; part < 10; ++part) { // a frame of a tenth each
            const std::uint64_t now =
                (minute * 60 + static_cast<std::uint64_t>(part) * 6) * second_ns + hour_ns;
            const auto anomaly =
                baseline.add(now, static_cast<std::uint32_t>(bytes / 10), 60 * second_ns, 60, 6);
            if (anomaly) {
                found.push_back(static_cast<double>(minute));
            }
        }
    }
    return found;
}

TEST(Volume, a_week_with_its_days_and_nights_is_ordinary) {
    EXPECT_TRUE(anomalies_of_a_week(0, 1).empty());
}

TEST(Volume, four_times_the_usual_of_a_night_hour_is_an_anomaly_though_less_than_a_day_has) {
    // At midnight four times the usual is less than what is usual at noon.
    const std::uint64_t third_midnight = 3 * 24 * 60 + 30;
    const auto found = anomalies_of_a_week(third_midnight, 4);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0], static_cast<double>(third_midnight));
}

TEST(Volume, a_pause_of_a_month_is_passed_in_no_time) {
    VolumeBaseline baseline;
    (void)baseline.add(second_ns, 100, second_ns, 2, 6);
    (void)baseline.add(std::uint64_t{30} * 24 * hour_ns, 100, second_ns, 2, 6);
}

} // namespace
} // namespace zsync::packet::analysis
