#include <zsync/packet/analysis/detector_words.hpp>
#include <zsync/packet/analysis/detectors.hpp>

#include <algorithm>
#include <array>
#include <format>
#include <utility>

namespace zsync::packet::analysis {
namespace {

/// How long an answer may take before a burst is called a flood: peers are that far away at most.
constexpr std::uint64_t answer_patience_ns = second_ns / 5;
/// A flood is answered less often than one time in this many.
constexpr std::uint64_t answered_divisor = 4;
constexpr double amplification_factor = 10;

/// Services that send long answers to short questions over UDP.
constexpr std::array<std::uint16_t, 6> amplifiers{19, 53, 123, 389, 1900, 11211};
bool is_multicast(const Address& address) {
    return address.is_v6 ? address.bytes[0] == 0xff
                         : address.bytes[0] >> 4U == 14 || address.v4_number() == 0xffffffff;
}

bool is_loopback(const Address& address) {
    if (!address.is_v6) {
        return address.bytes[0] == 127;
    }
    Address one{.bytes = {}, .is_v6 = true};
    one.bytes[15] = 1;
    return address == one;
}

bool is_unspecified(const Address& address) {
    return std::ranges::all_of(address.bytes, [](std::uint8_t byte) { return byte == 0; });
}

/// Why a packet cannot come from where it says, or empty. RFC 6890, RFC 1122 section 3.2.1.3.
std::string_view why_bogon(const Packet& packet) {
    const Address& source = packet.tuple.source;
    const Address& destination = packet.tuple.destination;
    if (is_multicast(source)) {
        return "a multicast or broadcast address";
    }
    if (is_loopback(source) && !is_loopback(destination)) {
        return "a loopback address outside its host";
    }
    if (is_unspecified(source)) {
        // A host that has no address yet may ask for one, and listen to groups.
        return is_multicast(destination) ? "" : "the unspecified address";
    }
    if (!source.is_v6 && source.bytes[0] == 0) {
        return "an address of this network (0.0.0.0/8)";
    }
    if (!source.is_v6 && source.bytes[0] >= 240) {
        return "a reserved address (240.0.0.0/4)";
    }
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (source.is_v6 && std::ranges::equal(mapped, std::span(source.bytes).first(mapped.size()))) {
        return "an IPv4-mapped address";
    }
    const bool has_ports = packet.tuple.source_port != 0;
    if (source == destination && has_ports &&
        packet.tuple.source_port == packet.tuple.destination_port && !is_loopback(source)) {
        return "its own destination";
    }
    return "";
}

} // namespace

std::string shown(const Address& address) {
    return address == Address{} ? std::string() : to_string(address);
}

std::string_view name_of(AlertKind kind) noexcept {
    constexpr std::array<std::string_view, static_cast<std::size_t>(AlertKind::count)> names{
        "syn_flood",
        "udp_flood",
        "icmp_flood",
        "reflection",
        "amplification",
        "port_scan",
        "sweep",
        "brute_force",
        "dns_tunnel",
        "beacon",
        "volume_anomaly",
        "spoofed_sources",
        "bogon_source",
    };
    return names[static_cast<std::size_t>(kind)];
}

std::size_t Detectors::KeyHash::operator()(const Key& key) const noexcept {
    Hasher hasher(seed);
    hasher.add(key.first);
    hasher.add(key.second);
    hasher.add(static_cast<std::uint64_t>(key.port) << 8U | key.protocol);
    return hasher.value();
}

std::size_t Detectors::DomainHash::operator()(const DomainKey& key) const noexcept {
    Hasher hasher(seed);
    hasher.add(key.client);
    for (const char c : key.domain) {
        hasher.add(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
    }
    return hasher.value();
}

Detectors::Detectors(const DetectorOptions& options, std::uint64_t seed, AlertObserver& observer)
    : options_(options), seed_(seed), observer_(observer),
      syn_rates_(limits::detector_entries_max, {seed}),
      udp_rates_(limits::detector_entries_max, {seed}),
      icmp_rates_(limits::detector_entries_max, {seed}),
      reflected_(limits::detector_entries_max, {seed}),
      amplified_(limits::detector_entries_max, {seed}),
      bogons_(limits::detector_entries_max, {seed}), logins_(limits::detector_entries_max, {seed}),
      ports_(limits::detector_entries_max, {seed}), hosts_(limits::detector_entries_max, {seed}),
      strangers_(limits::detector_entries_max, {seed}),
      beats_(limits::detector_entries_max, {seed}),
      domains_(limits::detector_entries_max, DomainHash{seed}), told_(limits::told_max, {}) {}

std::uint64_t Detectors::hash_of(const Address& address) const noexcept {
    return AddressHash{seed_}(address);
}

void Detectors::raise(
    AlertKind kind,
    std::uint64_t time_ns,
    AlertSubject subject,
    double value,
    double threshold,
    std::string reason
) {
    Hasher hasher(seed_);
    hasher.add(static_cast<std::uint64_t>(kind) << 32U | subject.port << 8U | subject.protocol);
    hasher.add(subject.source);
    hasher.add(subject.destination);
    hasher.add(std::hash<std::string>{}(subject.domain));
    Told& told = told_[hasher.value()];
    const auto quiet_ns = static_cast<std::uint64_t>(options_.quiet_seconds * 1e9);
    if (told.time_ns != 0 && time_ns < told.time_ns + quiet_ns) {
        ++told.held_back;
        return;
    }
    told.time_ns = time_ns;
    observer_.alert({
        .kind = kind,
        .time_ns = time_ns + epoch_ns_,
        .subject = std::move(subject),
        .value = value,
        .threshold = threshold,
        .reason = std::move(reason),
        .repeats = std::exchange(told.held_back, 0),
    });
}

void Detectors::follow_clock(std::uint64_t now_ns) {
    if (now_ns + limits::clock_step_ns >= newest_ns_) {
        newest_ns_ = std::max(newest_ns_, now_ns);
        return;
    }
    newest_ns_ = now_ns;
    for (auto* table :
         {&syn_rates_, &udp_rates_, &icmp_rates_, &reflected_, &amplified_, &bogons_, &logins_}) {
        table->clear();
    }
    for (auto* table : {&ports_, &hosts_, &strangers_}) {
        table->clear();
    }
    beats_.clear();
    domains_.clear();
    told_.clear();
    volume_.begin_interval_anew();
}

void Detectors::packet(const Packet& packet, const FlowTable::Touched& touched) {
    follow_clock(packet.time_ns);
    watch_source(packet);
    if (touched.flow == nullptr || touched.to_responder) { // answers are no flood
        watch_icmp(packet);
    }
    if (touched.flow == nullptr) {
        return;
    }
    const Flow& flow = *touched.flow;
    if (packet.tuple.protocol != flow.tuple.protocol) {
        return; // an ICMP error about the flow
    }
    if (touched.became_answered) {
        flow_answered(packet, flow);
    }
    if (touched.became_closed) {
        flow_closed(packet, flow);
    }
    if (flow.tuple.protocol == ip_protocol::udp) {
        watch_udp(packet, touched);
        watch_reflection(packet, touched);
    }
    if (!touched.is_new || is_multicast(flow.tuple.destination)) {
        return;
    }
    watch_syns(packet, flow);
    watch_strangers(packet, flow);
    watch_ports(packet, flow);
    watch_beats(packet, flow);
    const std::uint8_t protocol = flow.tuple.protocol;
    const bool is_echo = (protocol == ip_protocol::icmp && flow.icmp_type == 8) ||
                         (protocol == ip_protocol::icmpv6 && flow.icmp_type == 128);
    if (is_echo || protocol == ip_protocol::tcp || protocol == ip_protocol::udp) {
        watch_hosts(
            packet.time_ns,
            flow.tuple.source,
            flow.tuple.destination,
            protocol,
            flow.tuple.destination_port
        );
    }
}

void Detectors::watch_source(const Packet& packet) {
    if (options_.bogon_packets_per_second == 0) {
        return;
    }
    const std::string_view why = why_bogon(packet);
    if (why.empty()) {
        return;
    }
    RateWindow& window = bogons_[{.first = packet.tuple.destination}];
    if (window.renew(packet.time_ns, second_ns)) {
        window.count = 0;
    }
    if (static_cast<double>(++window.count) >= options_.bogon_packets_per_second) {
        raise(
            AlertKind::bogon_source,
            packet.time_ns,
            // One alert a destination: forged sources are all different.
            {.destination = packet.tuple.destination, .protocol = packet.tuple.protocol},
            static_cast<double>(window.count),
            options_.bogon_packets_per_second,
            std::format("{} is {}", to_string(packet.tuple.source), why)
        );
    }
}

void Detectors::watch_icmp(const Packet& packet) {
    const std::uint8_t protocol = packet.tuple.protocol;
    if (options_.icmp_flood_per_second == 0 ||
        (protocol != ip_protocol::icmp && protocol != ip_protocol::icmpv6)) {
        return;
    }
    RateWindow& window = icmp_rates_[{.first = packet.tuple.destination}];
    if (window.renew(packet.time_ns, second_ns)) {
        window.count = 0;
    }
    if (static_cast<double>(++window.count) >= options_.icmp_flood_per_second) {
        raise(
            AlertKind::icmp_flood,
            packet.time_ns,
            {.destination = packet.tuple.destination, .protocol = protocol},
            static_cast<double>(window.count),
            options_.icmp_flood_per_second,
            std::format(
                "{} ICMP packets to {} within {:.3f} s",
                window.count,
                to_string(packet.tuple.destination),
                seconds(packet.time_ns - window.begin_ns)
            )
        );
    }
}

void Detectors::watch_syns(const Packet& packet, const Flow& flow) {
    const double threshold = options_.syn_flood_per_second;
    if (threshold == 0 || flow.state != FlowState::syn_sent) {
        return;
    }
    const Tuple& tuple = flow.tuple;
    RateWindow& window = syn_rates_[{.first = tuple.destination, .port = tuple.destination_port}];
    const std::uint64_t now = packet.time_ns;
    const bool is_judged = window.reached_ns != 0 && now >= window.reached_ns + answer_patience_ns;
    if (is_judged && window.answered * answered_divisor < window.count) {
        raise(
            AlertKind::syn_flood,
            now,
            {.destination = tuple.destination,
             .port = tuple.destination_port,
             .protocol = tuple.protocol},
            static_cast<double>(window.count),
            threshold,
            std::format(
                "{} connections begun to {} within {:.3f} s, {} came about",
                window.count,
                where(tuple.destination, tuple.destination_port),
                seconds(now - window.begin_ns),
                window.answered
            )
        );
    }
    if (is_judged || (window.reached_ns == 0 && window.renew(now, second_ns))) {
        window = {};
        window.begin_ns = now;
    }
    if (static_cast<double>(++window.count) >= threshold && window.reached_ns == 0) {
        window.reached_ns = now;
    }
}

void Detectors::watch_udp(const Packet& packet, const FlowTable::Touched& touched) {
    const double threshold = options_.udp_flood_per_second;
    const Flow& flow = *touched.flow;
    if (threshold == 0 || flow.state != FlowState::unanswered ||
        is_multicast(flow.tuple.destination)) {
        return;
    }
    RateWindow& window = udp_rates_[{.first = flow.tuple.destination}];
    const std::uint64_t now = packet.time_ns;
    const bool is_judged = window.reached_ns != 0 && now >= window.reached_ns + answer_patience_ns;
    if (is_judged && window.answered * answered_divisor < window.count) {
        raise(
            AlertKind::udp_flood,
            now,
            {.destination = flow.tuple.destination, .protocol = ip_protocol::udp},
            static_cast<double>(window.count),
            threshold,
            std::format(
                "{} UDP packets to {} within {:.3f} s, {} of their flows answered",
                window.count,
                to_string(flow.tuple.destination),
                seconds(now - window.begin_ns),
                window.answered
            )
        );
    }
    if (is_judged || (window.reached_ns == 0 && window.renew(now, second_ns))) {
        window = {};
        window.begin_ns = now;
    }
    if (static_cast<double>(++window.count) >= threshold && window.reached_ns == 0) {
        window.reached_ns = now;
    }
}

void Detectors::watch_strangers(const Packet& packet, const Flow& flow) {
    const double threshold = options_.spoofed_sources_per_second;
    if (threshold == 0) {
        return;
    }
    WidthWindow& window = strangers_[{.first = flow.tuple.destination}];
    const std::uint64_t now = packet.time_ns;
    const auto different = static_cast<double>(window.different.count());
    const bool is_judged = window.reached_ns != 0 && now >= window.reached_ns + answer_patience_ns;
    if (is_judged && static_cast<double>(window.answered * answered_divisor) < different) {
        raise(
            AlertKind::spoofed_sources,
            now,
            {.destination = flow.tuple.destination, .protocol = flow.tuple.protocol},
            different,
            threshold,
            std::format(
                "about {:.0f} sources appeared at {} within {:.3f} s, {} of their flows came about",
                different,
                to_string(flow.tuple.destination),
                seconds(now - window.begin_ns),
                window.answered
            )
        );
    }
    if (is_judged || (window.reached_ns == 0 && window.renew(now, second_ns))) {
        window = {};
        window.begin_ns = now;
    }
    window.different.add(hash_of(flow.tuple.source));
    if (window.reached_ns == 0 && static_cast<double>(window.different.count()) >= threshold) {
        window.reached_ns = now;
    }
}

void Detectors::watch_reflection(const Packet& packet, const FlowTable::Touched& touched) {
    const Flow& flow = *touched.flow;
    const Tuple& tuple = flow.tuple;
    const bool from_service = std::ranges::contains(amplifiers, tuple.source_port);
    const bool to_service = std::ranges::contains(amplifiers, tuple.destination_port);
    if (from_service && !to_service && flow.state == FlowState::unanswered &&
        options_.reflection_per_second > 0) {
        RateWindow& window = reflected_[{.first = tuple.destination, .port = tuple.source_port}];
        if (window.renew(packet.time_ns, second_ns)) {
            window.count = window.bytes = 0;
        }
        window.bytes += packet.wire_bytes;
        if (static_cast<double>(++window.count) >= options_.reflection_per_second) {
            raise(
                AlertKind::reflection,
                packet.time_ns,
                {.destination = tuple.destination,
                 .port = tuple.source_port,
                 .protocol = tuple.protocol},
                static_cast<double>(window.count),
                options_.reflection_per_second,
                std::format(
                    "{} answers from port {} ({} bytes) to {}, which has not asked, within {:.3f} "
                    "s",
                    window.count,
                    tuple.source_port,
                    window.bytes,
                    to_string(tuple.destination),
                    seconds(packet.time_ns - window.begin_ns)
                )
            );
        }
    }
    if (!to_service || options_.amplification_per_second == 0) {
        return;
    }
    RateWindow& window = amplified_[{.first = tuple.source, .port = tuple.destination_port}];
    if (window.renew(packet.time_ns, second_ns)) {
        window.count = window.answered = window.bytes = 0;
    }
    if (touched.to_responder) {
        ++window.count;
        window.bytes += packet.wire_bytes;
        return;
    }
    window.answered += packet.wire_bytes; // bytes, here
    const auto asked = static_cast<double>(window.bytes);
    const auto got = static_cast<double>(window.answered);
    if (static_cast<double>(window.count) >= options_.amplification_per_second &&
        got >= amplification_factor * asked) {
        raise(
            AlertKind::amplification,
            packet.time_ns,
            {.source = tuple.destination,
             .destination = tuple.source,
             .port = tuple.destination_port,
             .protocol = tuple.protocol},
            static_cast<double>(window.count),
            options_.amplification_per_second,
            std::format(
                "{} questions in the name of {} within {:.3f} s got {:.1f} times their bytes back "
                "from "
                "port {}",
                window.count,
                to_string(tuple.source),
                seconds(packet.time_ns - window.begin_ns),
                got / asked,
                tuple.destination_port
            )
        );
    }
}

} // namespace zsync::packet::analysis
