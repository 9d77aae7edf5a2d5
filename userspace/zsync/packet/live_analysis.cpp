#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/live_analysis.hpp>

#include <algorithm>
#include <chrono>

namespace zsync::packet {
namespace {

void write_flow_counts(
    analysis::JsonWriter& json, const FlowCounts& counts, std::uint64_t contents_passed_over
) {
    json.new_line();
    json.key("flow_table");
    json.begin_object();
    json.field("flows", counts.created);
    json.field("living", counts.living);
    json.field("unanswered", counts.unanswered);
    json.field("timed_out", counts.timed_out);
    json.field("evicted", 0U); // the kernel gives up no flow for another one
    json.field("replaced", counts.replaced);
    json.field("refused", counts.refused);
    json.field("refused_bytes", counts.refused_bytes);
    json.field("refused_full", counts.refused_full);
    json.field("floods", counts.floods);
    json.field("in_flood", counts.in_flood);
    json.field("packets_without_flow", counts.refused + counts.stray);
    json.field("contents_passed_over", contents_passed_over);
    json.end_object();
}

analysis::FlowDirection
direction(const CountedDirection& counted, const analysis::FlowDirection* seen) {
    analysis::FlowDirection shown;
    shown.frame_bytes_min = 0;
    if (seen != nullptr) {
        shown = *seen;
    }
    shown.packets = counted.packets;
    shown.bytes = counted.bytes;
    return shown;
}

/// `seen` is what the tap's packets say of the same flow, if they do.
void write_counted(
    analysis::JsonWriter& json, const CountedFlow& counted, const analysis::Flow* seen
) {
    analysis::Flow flow;
    flow.tuple = counted.tuple;
    flow.id = counted.id;
    flow.first_ns = counted.first_ns;
    flow.last_ns = counted.last_ns;
    flow.state = counted.state;
    flow.icmp_type = counted.icmp_type;
    flow.icmp_code = counted.icmp_code;
    const bool is_reverse = seen != nullptr && seen->tuple.source != counted.tuple.source;
    const analysis::FlowDirection* there = seen == nullptr ? nullptr : &seen->to_responder;
    const analysis::FlowDirection* back = seen == nullptr ? nullptr : &seen->to_initiator;
    flow.to_responder = direction(counted.to_responder, is_reverse ? back : there);
    flow.to_initiator = direction(counted.to_initiator, is_reverse ? there : back);
    analysis::write_live_flow(
        json,
        flow,
        seen == nullptr ? nullptr : seen->content.get(),
        counted.to_responder.dropped + counted.to_initiator.dropped
    );
}

} // namespace

Outcome<std::unique_ptr<LiveAnalysis>> LiveAnalysis::start(
    std::uint32_t ifindex,
    const std::string& name,
    const TapOptions& tap,
    const analysis::AnalyserOptions& options,
    FlowReader flows
) {
    return std::make_unique<LiveAnalysis>(
        ZTRY(Tap::attach(ifindex, name, tap)), tap.sample_every, options, std::move(flows)
    );
}

LiveAnalysis::LiveAnalysis(
    Tap tap, std::uint32_t sample_every, const analysis::AnalyserOptions& options, FlowReader flows
)
    : tap_(std::move(tap)), sample_every_(sample_every), flows_(std::move(flows)),
      analyser_(options, *this) {}

void LiveAnalysis::alert(const analysis::Alert& alert) {
    if (fresh_.list.size() < analysis::limits::alerts_kept_max) {
        fresh_.list.push_back(alert);
    } else {
        ++fresh_.left_out;
    }
}

void LiveAnalysis::dns_message(
    const analysis::Flow& flow, const analysis::Packet& packet, const analysis::DnsMessage& message
) {
    std::string text;
    analysis::JsonWriter json(text);
    analysis::write_dns_message(json, flows_.id_of(packet.tuple), flow, packet, message);
    messages_.add(std::move(text));
}

void LiveAnalysis::dhcp_message(
    const analysis::Packet& packet, const analysis::DhcpMessage& message
) {
    std::string text;
    analysis::JsonWriter json(text);
    analysis::write_dhcp_message(json, packet, message);
    messages_.add(std::move(text));
}

Outcome<std::size_t> LiveAnalysis::work() {
    return tap_.take(limits::live_packets_per_turn, [this](const analysis::Frame& frame) {
        analyser_.add(frame);
    });
}

Outcome<void> LiveAnalysis::age() {
    const auto now_ns = epoch_time<std::chrono::nanoseconds, std::chrono::steady_clock>();
    ZTRY(flows_.age(now_ns, [](const CountedFlow&, analysis::FlowEnd) {}));
    return {};
}

Outcome<std::string> LiveAnalysis::report(std::string_view ifname) {
    const TapCounts counts = ZTRY(tap_.counts());
    ZTRY(age());
    analyser_.expire(epoch_time<std::chrono::nanoseconds, std::chrono::steady_clock>());
    std::string text;
    analysis::JsonWriter json(text);
    json.begin_object();
    json.new_line();
    json.field("ifname", ifname);
    json.new_line();
    json.key("tap");
    json.begin_object();
    json.field("sample_every", sample_every_);
    json.field("packets", counts.packets);
    json.field("sampled", counts.sampled);
    json.field("lost", counts.lost);
    json.end_object();
    write_flow_counts(json, ZTRY(flows_.counts()), analyser_.contents_passed_over());
    analyser_.write_figures(json, false);
    std::vector<CountedFlow> flows = flows_.flows();
    std::ranges::sort(flows, [](const CountedFlow& a, const CountedFlow& b) {
        const std::uint64_t bytes_a = a.to_responder.bytes + a.to_initiator.bytes;
        const std::uint64_t bytes_b = b.to_responder.bytes + b.to_initiator.bytes;
        return bytes_a != bytes_b ? bytes_a > bytes_b : a.id < b.id;
    });
    std::uint64_t left_out = 0;
    json.new_line();
    json.key("flows");
    json.begin_object();
    json.key("list");
    json.begin_array();
    for (const CountedFlow& flow : flows) {
        if (text.size() >= analysis::limits::report_bytes_max) {
            ++left_out;
            continue;
        }
        json.new_line();
        write_counted(json, flow, analyser_.flows().find_flow(flow.tuple, flow.icmp_type));
    }
    json.end_array();
    json.field("left_out", left_out);
    json.end_object();
    messages_.write(json);
    json.new_line();
    json.end_object();
    text += '\n';
    return text;
}

} // namespace zsync::packet
