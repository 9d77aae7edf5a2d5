// What the detectors take for an attack. Every threshold is a key of zsyncd.toml(5).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace zsync::packet::analysis {

/// Thresholds; 0 switches a detector off.
struct DetectorOptions {
    /// TCP connections begun a second towards one port of a host, of which fewer than a quarter
    /// come about.
    double syn_flood_per_second = 200;
    /// UDP packets a second towards a host in flows that it does not answer.
    double udp_flood_per_second = 1000;
    /// ICMP packets a second towards a host that are no answers.
    double icmp_flood_per_second = 200;
    /// Answers a second of amplifying services (DNS, NTP, memcached, SSDP, CLDAP, chargen) to a
    /// host that has not asked.
    double reflection_per_second = 50;
    /// Questions a second of a host to such a service whose answers are ten times as long.
    double amplification_per_second = 100;
    /// Ports of a host that one source tries within half a minute without getting a connection.
    double port_scan_ports = 20;
    /// Hosts that one source tries at one port, by echo or by ARP within half a minute, in vain.
    double sweep_hosts = 20;
    /// Short connections of a source to one login service within a minute.
    double brute_force_connections = 15;
    /// Questions of a client about one domain within a minute, nearly all of them different and
    /// either long or of types that carry data.
    double dns_tunnel_questions = 30;
    /// Connections of a source to one port of a host at intervals that hardly differ.
    double beacon_connections = 10;
    double beacon_interval_seconds_min = 5;
    /// Standard deviation of the intervals over their mean.
    double beacon_jitter_max = 0.1;
    /// How many deviations above its usual volume an interval must be.
    double volume_deviations = 6;
    double volume_interval_seconds = 60;
    /// Intervals after which something is usual.
    double volume_intervals_learned = 60;
    /// Sources a second that appear at one host without ever being heard of again.
    double spoofed_sources_per_second = 200;
    /// Packets of sources that cannot be, a second.
    double bogon_packets_per_second = 1;
    /// The same is not told again before.
    double quiet_seconds = 60;
    /// How long packets of an alert's source are dropped where it is filtered; 0: not at all.
    double drop_source_seconds = 0;

    friend bool operator==(const DetectorOptions&, const DetectorOptions&) = default;
};

/// A threshold as the configuration names it, with the values it may have.
struct DetectorOption {
    std::string_view name;
    double DetectorOptions::* value;
    double min;
    double max;
};

consteval DetectorOption
detector_option(std::string_view name, double DetectorOptions::* value, double min, double max) {
    return {.name = name, .value = value, .min = min, .max = max};
}

inline constexpr std::array detector_option_list{
    detector_option("syn_flood_per_second", &DetectorOptions::syn_flood_per_second, 0, 1e9),
    detector_option("udp_flood_per_second", &DetectorOptions::udp_flood_per_second, 0, 1e9),
    detector_option("icmp_flood_per_second", &DetectorOptions::icmp_flood_per_second, 0, 1e9),
    detector_option("reflection_per_second", &DetectorOptions::reflection_per_second, 0, 1e9),
    detector_option("amplification_per_second", &DetectorOptions::amplification_per_second, 0, 1e9),
    detector_option("port_scan_ports", &DetectorOptions::port_scan_ports, 0, 65536),
    detector_option("sweep_hosts", &DetectorOptions::sweep_hosts, 0, 1e6),
    detector_option("brute_force_connections", &DetectorOptions::brute_force_connections, 0, 1e6),
    detector_option("dns_tunnel_questions", &DetectorOptions::dns_tunnel_questions, 0, 1e6),
    detector_option("beacon_connections", &DetectorOptions::beacon_connections, 0, 1e6),
    detector_option(
        "beacon_interval_seconds_min", &DetectorOptions::beacon_interval_seconds_min, 0.01, 86400
    ),
    detector_option("beacon_jitter_max", &DetectorOptions::beacon_jitter_max, 0.001, 1),
    detector_option("volume_deviations", &DetectorOptions::volume_deviations, 0, 1000),
    detector_option("volume_interval_seconds", &DetectorOptions::volume_interval_seconds, 1, 3600),
    detector_option("volume_intervals_learned", &DetectorOptions::volume_intervals_learned, 2, 1e6),
    detector_option(
        "spoofed_sources_per_second", &DetectorOptions::spoofed_sources_per_second, 0, 1e9
    ),
    detector_option("bogon_packets_per_second", &DetectorOptions::bogon_packets_per_second, 0, 1e9),
    detector_option("quiet_seconds", &DetectorOptions::quiet_seconds, 0, 86400),
    detector_option("drop_source_seconds", &DetectorOptions::drop_source_seconds, 0, 31536000),
};

} // namespace zsync::packet::analysis
