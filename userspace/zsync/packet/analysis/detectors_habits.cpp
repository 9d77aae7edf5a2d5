// The detectors of what a source does over some time: scans, guesses, tunnels, beats, volume.
#include <zsync/packet/analysis/detector_words.hpp>
#include <zsync/packet/analysis/detectors.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <format>
#include <utility>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint64_t width_window_ns = 30 * second_ns;
constexpr std::uint64_t minute_ns = 60 * second_ns;
constexpr std::uint64_t login_payload_bytes_max = 8192;
constexpr std::uint64_t login_duration_max_ns = 30 * second_ns;
constexpr double tunnel_unique_share = 0.8;
constexpr double tunnel_label_bytes = 24;
constexpr double tunnel_data_share = 0.5;

/// Services that people log in to; databases are not among them, because programs without a
/// connection pool use them in the way of somebody who guesses.
constexpr std::array<std::uint16_t, 13> login_services{
    21, 22, 23, 110, 143, 445, 465, 587, 993, 995, 3389, 5900, 5985
};
/// Ports at which regular connections are how it should be: DNS, DHCP, NTP.
constexpr std::array<std::uint16_t, 5> regular_services{53, 67, 68, 123, 5353};

/// The domain that somebody registered, as far as two labels tell, and what stands before it.
std::pair<std::string_view, std::string_view> split_domain(std::string_view name) {
    const std::size_t last = name.rfind('.');
    const std::size_t before = last == std::string_view::npos || last == 0
                                   ? std::string_view::npos
                                   : name.rfind('.', last - 1);
    if (before == std::string_view::npos) {
        return {name, ""};
    }
    return {name.substr(before + 1), name.substr(0, before)};
}

bool carries_data(std::uint16_t type) {
    constexpr std::array<std::uint16_t, 4> types{10, 16, 25, 65399}; // NULL, TXT, KEY, PRIVATE
    return std::ranges::contains(types, type);
}

} // namespace

void Detectors::watch_ports(const Packet& packet, const Flow& flow) {
    const double threshold = options_.port_scan_ports;
    const Tuple& tuple = flow.tuple;
    if (threshold == 0 ||
        (tuple.protocol != ip_protocol::tcp && tuple.protocol != ip_protocol::udp)) {
        return;
    }
    WidthWindow& window = ports_[{.first = tuple.source, .second = tuple.destination}];
    if (window.renew(packet.time_ns, width_window_ns)) {
        window.different = {};
        window.answered = 0;
    }
    Hasher port(seed_);
    port.add(static_cast<std::uint64_t>(tuple.protocol) << 16U | tuple.destination_port);
    window.different.add(port.value());
    const std::uint64_t tried = window.different.count();
    const double in_vain = static_cast<double>(tried) - static_cast<double>(window.answered);
    if (in_vain >= threshold) {
        raise(
            AlertKind::port_scan,
            packet.time_ns,
            {.source = tuple.source, .destination = tuple.destination, .protocol = tuple.protocol},
            in_vain,
            threshold,
            std::format(
                "{} tried about {} ports of {} within {:.1f} s, {} flows came about",
                to_string(tuple.source),
                tried,
                to_string(tuple.destination),
                seconds(packet.time_ns - window.begin_ns),
                window.answered
            )
        );
    }
}

void Detectors::watch_hosts(
    std::uint64_t time_ns,
    const Address& source,
    const Address& destination,
    std::uint8_t protocol,
    std::uint16_t port
) {
    const double threshold = options_.sweep_hosts;
    if (threshold == 0) {
        return;
    }
    WidthWindow& window = hosts_[{.first = source, .port = port, .protocol = protocol}];
    if (window.renew(time_ns, width_window_ns)) {
        window.different = {};
        window.answered = 0;
    }
    window.different.add(hash_of(destination));
    const std::uint64_t tried = window.different.count();
    const double in_vain = static_cast<double>(tried) - static_cast<double>(window.answered);
    if (in_vain >= threshold) {
        raise(
            AlertKind::sweep,
            time_ns,
            {.source = source, .port = port, .protocol = protocol},
            in_vain,
            threshold,
            std::format(
                "{} tried about {} hosts by {}{} within {:.1f} s, {} answered",
                to_string(source),
                tried,
                protocol == 0 ? "arp" : name_of_protocol(protocol),
                port == 0 ? "" : std::format(" port {}", port),
                seconds(time_ns - window.begin_ns),
                window.answered
            )
        );
    }
}

void Detectors::arp(const Packet& packet) {
    constexpr std::uint16_t request = 1;
    constexpr std::uint16_t reply = 2;
    const Tuple& tuple = packet.tuple;
    if (packet.arp_operation == request && tuple.source != tuple.destination) {
        watch_hosts(packet.time_ns, tuple.source, tuple.destination, 0, 0);
    } else if (packet.arp_operation == reply) {
        if (WidthWindow* window = hosts_.find({.first = tuple.destination})) {
            ++window->answered;
        }
    }
}

void Detectors::watch_beats(const Packet& packet, const Flow& flow) {
    const double wanted = options_.beacon_connections;
    const Tuple& tuple = flow.tuple;
    if (wanted == 0 || std::ranges::contains(regular_services, tuple.destination_port) ||
        (tuple.protocol != ip_protocol::tcp && tuple.protocol != ip_protocol::udp)) {
        return;
    }
    Beats& beats = beats_[{
        .first = tuple.source,
        .second = tuple.destination,
        .port = tuple.destination_port,
        .protocol = tuple.protocol,
    }];
    if (packet.time_ns < beats.last_ns) {
        return; // time stepped back
    }
    const double interval = seconds(packet.time_ns - beats.last_ns);
    if (beats.last_ns != 0 && interval < options_.beacon_interval_seconds_min) {
        return; // another connection of the same beat
    }
    if (std::exchange(beats.last_ns, packet.time_ns) == 0) {
        return;
    }
    beats.intervals.push_back(interval);
    const auto compared = static_cast<std::size_t>(std::max(2.0, wanted - 1));
    while (beats.intervals.size() > std::min(compared, limits::beats_max)) {
        beats.intervals.pop_front();
    }
    if (beats.intervals.size() < std::min(compared, limits::beats_max)) {
        return;
    }
    const auto count = static_cast<double>(beats.intervals.size());
    double mean = 0;
    for (const double one : beats.intervals) {
        mean += one / count;
    }
    double variance = 0;
    for (const double one : beats.intervals) {
        variance += (one - mean) * (one - mean) / count;
    }
    const double jitter = std::sqrt(variance) / mean;
    if (jitter <= options_.beacon_jitter_max) {
        raise(
            AlertKind::beacon,
            packet.time_ns,
            {.source = tuple.source,
             .destination = tuple.destination,
             .port = tuple.destination_port,
             .protocol = tuple.protocol},
            jitter,
            options_.beacon_jitter_max,
            std::format(
                "{} connects to {} every {:.2f} s, {} times with a jitter of {:.1f} %",
                to_string(tuple.source),
                where(tuple.destination, tuple.destination_port),
                mean,
                beats.intervals.size() + 1,
                100 * jitter
            )
        );
    }
}

void Detectors::flow_answered(const Packet& /*packet*/, const Flow& flow) {
    const Tuple& tuple = flow.tuple;
    const bool is_tcp = tuple.protocol == ip_protocol::tcp;
    if (RateWindow* window =
            is_tcp ? syn_rates_.find({.first = tuple.destination, .port = tuple.destination_port})
                   : udp_rates_.find({.first = tuple.destination})) {
        ++window->answered;
    }
    if (WidthWindow* window = strangers_.find({.first = tuple.destination})) {
        ++window->answered;
    }
    if (WidthWindow* window = ports_.find({.first = tuple.source, .second = tuple.destination})) {
        ++window->answered;
    }
    if (WidthWindow* window = hosts_.find(
            {.first = tuple.source, .port = tuple.destination_port, .protocol = tuple.protocol}
        )) {
        ++window->answered;
    }
}

void Detectors::flow_closed(const Packet& packet, const Flow& flow) {
    const double threshold = options_.brute_force_connections;
    const Tuple& tuple = flow.tuple;
    const bool is_login = flow.was_established &&
                          std::ranges::contains(login_services, tuple.destination_port) &&
                          flow.to_responder.payload_bytes > 0 &&
                          flow.to_responder.payload_bytes <= login_payload_bytes_max &&
                          flow.to_initiator.payload_bytes <= login_payload_bytes_max &&
                          flow.last_ns - flow.first_ns <= login_duration_max_ns;
    if (threshold == 0 || !is_login) {
        return;
    }
    RateWindow& window = logins_[{
        .first = tuple.source,
        .second = tuple.destination,
        .port = tuple.destination_port,
    }];
    if (window.renew(packet.time_ns, minute_ns)) {
        window.count = 0;
    }
    if (static_cast<double>(++window.count) >= threshold) {
        raise(
            AlertKind::brute_force,
            packet.time_ns,
            {.source = tuple.source,
             .destination = tuple.destination,
             .port = tuple.destination_port,
             .protocol = tuple.protocol},
            static_cast<double>(window.count),
            threshold,
            std::format(
                "{} connected to {} {} times within {:.1f} s, shortly and with little to say",
                to_string(tuple.source),
                where(tuple.destination, tuple.destination_port),
                window.count,
                seconds(packet.time_ns - window.begin_ns)
            )
        );
    }
}

void Detectors::dns_message(const Packet& packet, const DnsMessage& message) {
    const double threshold = options_.dns_tunnel_questions;
    if (threshold == 0 || message.is_response || message.questions.empty()) {
        return;
    }
    const DnsQuestion& question = message.questions.front();
    const auto [domain, labels] = split_domain(question.name);
    // Reverse names are long, and different, by their nature.
    if (labels.empty() || domain.ends_with(".arpa") || domain == "in-addr.arpa") {
        return;
    }
    TunnelWindow& window = domains_[{.client = packet.tuple.source, .domain = std::string(domain)}];
    if (window.renew(packet.time_ns, minute_ns)) {
        window.names = {};
        window.questions = window.label_bytes = window.data_types = 0;
    }
    Hasher hasher(seed_);
    for (const char c : labels) {
        hasher.add(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
    }
    window.names.add(hasher.value());
    ++window.questions;
    window.label_bytes += labels.size();
    window.data_types += carries_data(question.type) ? 1 : 0;
    const auto questions = static_cast<double>(window.questions);
    if (questions < threshold) {
        return;
    }
    const double unique = static_cast<double>(window.names.count()) / questions;
    const double label_bytes = static_cast<double>(window.label_bytes) / questions;
    const double data = static_cast<double>(window.data_types) / questions;
    if (unique < tunnel_unique_share ||
        (label_bytes < tunnel_label_bytes && data < tunnel_data_share)) {
        return;
    }
    raise(
        AlertKind::dns_tunnel,
        packet.time_ns,
        {.source = packet.tuple.source,
         .destination = packet.tuple.destination,
         .port = packet.tuple.destination_port,
         .protocol = packet.tuple.protocol,
         .domain = std::string(domain)},
        questions,
        threshold,
        std::format(
            "{} asked {} times about {} within {:.1f} s: {:.0f} % different, {:.0f} bytes before "
            "the "
            "domain, {:.0f} % of types that carry data",
            to_string(packet.tuple.source),
            window.questions,
            domain,
            seconds(packet.time_ns - window.begin_ns),
            100 * std::min(unique, 1.0),
            label_bytes,
            100 * data
        )
    );
}

void Detectors::frame(std::uint64_t time_ns, std::uint32_t wire_bytes, std::uint64_t epoch_ns) {
    follow_clock(time_ns);
    epoch_ns_ = epoch_ns;
    if (options_.volume_deviations == 0) {
        return;
    }
    const auto anomaly = volume_.add(
        time_ns,
        wire_bytes,
        static_cast<std::uint64_t>(options_.volume_interval_seconds * 1e9),
        options_.volume_intervals_learned,
        options_.volume_deviations,
        epoch_ns
    );
    if (anomaly) {
        raise(
            AlertKind::volume_anomaly,
            time_ns,
            {},
            anomaly->deviations,
            options_.volume_deviations,
            std::format(
                "{:.0f} bytes within {:.0f} s where {:.0f} are usual: {:.1f} deviations above",
                anomaly->bytes,
                options_.volume_interval_seconds,
                anomaly->usual_bytes,
                anomaly->deviations
            )
        );
    }
}

} // namespace zsync::packet::analysis
