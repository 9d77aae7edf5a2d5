#include <zsync/packet/analysis/analyser.hpp>
#include <zsync/packet/analysis/json_writer.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <format>

namespace zsync::packet::analysis {
namespace {

void write_share(JsonWriter& json, std::string_view name, const Share& share) {
    if (share.packets == 0) {
        return;
    }
    json.new_line();
    json.begin_object();
    json.field("protocol", name);
    json.field("packets", share.packets);
    json.field("bytes", share.bytes);
    json.end_object();
}

} // namespace

Analyser::Analyser(const AnalyserOptions& options, TrafficObserver& observer)
    : observer_(observer), seed_(options.seed), flows_(options.flows, *this, options.seed),
      inspector_(*this), detectors_(options.detectors, seed_, observer), senders_(seed_),
      receivers_(seed_), sources_(seed_) {}

void Analyser::count_size(std::uint32_t bytes) noexcept {
    const auto width = static_cast<std::size_t>(std::bit_width(bytes >> 6U));
    ++sizes_[std::min(width, sizes_.size() - 1)];
    // Welford's way to a variance in one pass.
    const double before = bytes - size_mean_;
    size_mean_ += before / static_cast<double>(total_.packets);
    size_deviation_ += before * (bytes - size_mean_);
}

void Analyser::add(const Frame& frame) {
    const Packet packet = dissect(frame);
    if (total_.packets == 0) {
        first_ns_ = frame.time_ns;
    }
    if (packet.time_ns >= newest_ns_) {
        newest_ns_ = packet.time_ns;
        last_ns_ = frame.time_ns;
    }
    total_.add(frame.wire_bytes);
    count_size(frame.wire_bytes);
    detectors_.frame(packet.time_ns, frame.wire_bytes, packet.epoch_ns);
    switch (packet.network) {
    case Network::arp:
        detectors_.arp(packet);
        return arp_.add(frame.wire_bytes);
    case Network::other:
        return other_.add(frame.wire_bytes);
    case Network::malformed:
        ++problems_[packet.problem];
        return malformed_.add(frame.wire_bytes);
    case Network::ip:
        break;
    }
    const Tuple& tuple = packet.tuple;
    protocols_[tuple.protocol].add(frame.wire_bytes);
    senders_.add(tuple.source, frame.wire_bytes);
    receivers_.add(tuple.destination, frame.wire_bytes);
    source_spread_.add(AddressHash{seed_}(tuple.source));
    destination_spread_.add(AddressHash{seed_}(tuple.destination));
    Hasher port(seed_);
    port.add(tuple.destination_port);
    port_spread_.add(port.value());

    const FlowTable::Touched touched = flows_.add(packet);
    detectors_.packet(packet, touched);
    if (touched.flow == nullptr) {
        return without_flow_.add(frame.wire_bytes);
    }
    if (touched.is_new) {
        sources_.flow_began(
            tuple.source, tuple.destination, tuple.protocol, tuple.destination_port
        );
    }
    inspector_.inspect(*touched.flow, packet, touched.to_responder);
}

void Analyser::flow_ended(Flow& flow, FlowEnd end) {
    if (flow.content && !flow.content->application.empty()) {
        Share& share = applications_[flow.content->application];
        share.packets += flow.to_responder.packets + flow.to_initiator.packets;
        share.bytes += flow.to_responder.bytes + flow.to_initiator.bytes;
    }
    observer_.flow_ended(flow, end);
    inspector_.flow_ended(flow);
}

void Analyser::dns_message(const Flow& flow, const Packet& packet, const DnsMessage& message) {
    if (flow.content && flow.content->application == "dns") {
        detectors_.dns_message(packet, message);
    }
    observer_.dns_message(flow, packet, message);
}

void Analyser::dhcp_message(const Packet& packet, const DhcpMessage& message) {
    observer_.dhcp_message(packet, message);
}

void Analyser::write_protocols(JsonWriter& json) const {
    json.new_line();
    json.key("protocols");
    json.begin_array();
    for (std::size_t number = 0; number < protocols_.size(); ++number) {
        write_share(json, name_of_protocol(static_cast<std::uint8_t>(number)), protocols_[number]);
    }
    write_share(json, "arp", arp_);
    write_share(json, "other", other_);
    write_share(json, "malformed", malformed_);
    json.end_array();
    json.new_line();
    json.key("applications");
    json.begin_array();
    for (const auto& [name, share] : applications_) {
        write_share(json, name, share);
    }
    json.end_array();
    json.new_line();
    json.key("malformed");
    json.begin_object();
    for (const auto& [problem, packets] : problems_) {
        json.field(problem, packets);
    }
    json.end_object();
}

void Analyser::write_sizes(JsonWriter& json) const {
    json.new_line();
    json.key("frame_sizes");
    json.begin_object();
    json.field("mean_bytes", size_mean_);
    const double count = static_cast<double>(std::max<std::uint64_t>(total_.packets, 1));
    json.field("standard_deviation_bytes", std::sqrt(size_deviation_ / count));
    json.key("below_bytes"); // the last class has no upper end
    json.begin_object();
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
        const bool is_last = i + 1 == sizes_.size();
        json.field(is_last ? "more" : std::format("{}", 64U << i), sizes_[i]);
    }
    json.end_object();
    json.end_object();
    json.new_line();
    json.key("spread");
    json.begin_object();
    json.field("source_addresses", source_spread_.normalised_entropy());
    json.field("destination_addresses", destination_spread_.normalised_entropy());
    json.field("destination_ports", port_spread_.normalised_entropy());
    json.end_object();
}

void Analyser::write_talkers(JsonWriter& json, std::string_view name, const TopTalkers& talkers)
    const {
    json.new_line();
    json.key(name);
    json.begin_object();
    json.field("error_bytes_max", talkers.error_bytes_max());
    json.key("list");
    json.begin_array();
    for (const TopTalkers::Talker& talker : talkers.top(limits::talkers_listed_max)) {
        json.new_line();
        json.begin_object();
        json.field("address", to_string(talker.address));
        json.field("bytes", talker.bytes);
        json.field("packets", talker.packets);
        json.field("error_bytes", talker.error_bytes);
        json.end_object();
    }
    json.end_array();
    json.end_object();
}

void Analyser::write_sources(JsonWriter& json) const {
    json.new_line();
    json.key("sources");
    json.begin_object();
    json.field("forgotten", sources_.forgotten());
    json.field("standard_error", DistinctCounter::standard_error);
    json.key("list");
    json.begin_array();
    for (const SourceTable::Row& row : sources_.widest(limits::talkers_listed_max)) {
        json.new_line();
        json.begin_object();
        json.field("address", to_string(row.address));
        json.field("flows", row.flows);
        json.field("destinations", row.destinations);
        json.field("ports", row.ports);
        json.end_object();
    }
    json.end_array();
    json.end_object();
}

void Analyser::write_flow_counts(JsonWriter& json) const {
    const FlowTable::Counts& counts = flows_.counts();
    json.new_line();
    json.key("flow_table");
    json.begin_object();
    json.field("flows", counts.created);
    json.field("timed_out", counts.timed_out);
    json.field("evicted", counts.evicted);
    json.field("refused", counts.refused);
    json.field("floods", counts.floods);
    json.field("packets_without_flow", without_flow_.packets);
    json.field("contents_passed_over", inspector_.passed_over());
    json.end_object();
}

void Analyser::write_figures(JsonWriter& json, bool own_flows) const {
    json.new_line();
    json.field("packets", total_.packets);
    json.field("bytes", total_.bytes);
    json.field("first_us", first_ns_ / 1000);
    json.field("last_us", last_ns_ / 1000);
    if (own_flows) {
        write_flow_counts(json);
    }
    write_protocols(json);
    write_sizes(json);
    write_talkers(json, "top_senders", senders_);
    write_talkers(json, "top_receivers", receivers_);
    write_sources(json);
}

namespace {

void write_direction(JsonWriter& json, std::string_view name, const FlowDirection& direction) {
    json.key(name);
    json.begin_object();
    json.field("packets", direction.packets);
    json.field("bytes", direction.bytes);
    json.field("payload_bytes", direction.payload_bytes);
    json.field("frame_bytes_min", direction.packets > 0 ? direction.frame_bytes_min : 0U);
    json.field("frame_bytes_max", direction.frame_bytes_max);
    json.key("payload_entropy");
    if (direction.payload_entropy < 0) {
        json.null();
    } else {
        json.value(static_cast<double>(direction.payload_entropy));
    }
    json.end_object();
}

void write_content(JsonWriter& json, const FlowContent& content) {
    json.field("application", content.application);
    if (content.client) {
        json.field("server_name", content.client->server_name);
        json.key("alpn");
        json.begin_array();
        for (const std::string& protocol : content.client->alpn) {
            json.value(protocol);
        }
        json.end_array();
        json.field("ja4", content.client->ja4);
    }
    if (content.request) {
        json.field("method", content.request->method);
        json.field("target", content.request->target);
        json.field("version", content.request->version);
        json.field("host", content.request->host);
    }
}

} // namespace

void write_alert(JsonWriter& json, const Alert& alert) {
    const AlertSubject& subject = alert.subject;
    json.begin_object();
    json.field("kind", name_of(alert.kind));
    json.field("time_us", alert.time_ns / 1000);
    json.field("source", shown(subject.source));
    json.field("destination", shown(subject.destination));
    json.field("protocol", subject.protocol == 0 ? "" : name_of_protocol(subject.protocol));
    json.field("port", subject.port);
    json.field("domain", subject.domain);
    json.field("value", alert.value);
    json.field("threshold", alert.threshold);
    json.field("repeats", alert.repeats);
    json.field("reason", alert.reason);
    json.end_object();
}

namespace {

void write_flow_facts(JsonWriter& json, const Flow& flow, std::string_view end) {
    json.field("id", flow.id);
    json.field("protocol", name_of_protocol(flow.tuple.protocol));
    json.field("source", to_string(flow.tuple.source));
    json.field("destination", to_string(flow.tuple.destination));
    const bool is_icmp =
        flow.tuple.protocol == ip_protocol::icmp || flow.tuple.protocol == ip_protocol::icmpv6;
    if (is_icmp) {
        json.field("icmp_type", static_cast<unsigned>(flow.icmp_type));
        json.field("icmp_code", static_cast<unsigned>(flow.icmp_code));
    } else {
        json.field("source_port", flow.tuple.source_port);
        json.field("destination_port", flow.tuple.destination_port);
    }
    if (flow.tuple.vlans[0] != 0) {
        json.field("vlan", flow.tuple.vlans[0]);
    }
    json.field("state", name_of(flow.state));
    json.field("end", end);
    json.field("first_us", flow.first_ns / 1000);
    json.field("last_us", flow.last_ns / 1000);
    write_direction(json, "to_responder", flow.to_responder);
    write_direction(json, "to_initiator", flow.to_initiator);
}

void write_flow_content(JsonWriter& json, const FlowContent* content) {
    if (content != nullptr && !content->application.empty()) {
        write_content(json, *content);
    }
}

} // namespace

void write_flow(JsonWriter& json, const Flow& flow, std::string_view end) {
    json.begin_object();
    write_flow_facts(json, flow, end);
    write_flow_content(json, flow.content.get());
    json.end_object();
}

void write_live_flow(
    JsonWriter& json, const Flow& flow, const FlowContent* content, std::uint64_t dropped
) {
    json.begin_object();
    write_flow_facts(json, flow, "");
    json.field("dropped", dropped);
    write_flow_content(json, content);
    json.end_object();
}

} // namespace zsync::packet::analysis
