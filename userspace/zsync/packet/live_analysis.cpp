#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/live_analysis.hpp>

#include <algorithm>
#include <chrono>

namespace zsync::packet {
Outcome<std::unique_ptr<LiveAnalysis>> LiveAnalysis::start(
    std::uint32_t ifindex,
    const std::string& name,
    const TapOptions& tap,
    const analysis::AnalyserOptions& options
) {
    return std::make_unique<LiveAnalysis>(
        ZTRY(Tap::attach(ifindex, name, tap)), tap.sample_every, options
    );
}

LiveAnalysis::LiveAnalysis(
    Tap tap, std::uint32_t sample_every, const analysis::AnalyserOptions& options
)
    : tap_(std::move(tap)), sample_every_(sample_every), analyser_(options, *this) {}

void LiveAnalysis::alert(const analysis::Alert& alert) {
    if (fresh_.size() < analysis::limits::alerts_kept_max) {
        fresh_.push_back(alert);
    }
}

Outcome<std::size_t> LiveAnalysis::work() {
    return tap_.take(limits::live_packets_per_turn, [this](const analysis::Frame& frame) {
        analyser_.add(frame);
    });
}

Outcome<std::string> LiveAnalysis::report(std::string_view ifname) {
    const TapCounts counts = ZTRY(tap_.counts());
    analyser_.expire(epoch_time<std::chrono::nanoseconds>());
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
    analyser_.write_figures(json);
    std::vector<const analysis::Flow*> flows;
    analyser_.flows().for_each([&flows](const analysis::Flow& flow) { flows.push_back(&flow); });
    std::ranges::sort(flows, [](const analysis::Flow* a, const analysis::Flow* b) {
        const std::uint64_t bytes_a = a->to_responder.bytes + a->to_initiator.bytes;
        const std::uint64_t bytes_b = b->to_responder.bytes + b->to_initiator.bytes;
        return bytes_a != bytes_b ? bytes_a > bytes_b : a->id < b->id;
    });
    std::uint64_t left_out = 0;
    json.new_line();
    json.key("flows");
    json.begin_object();
    json.key("list");
    json.begin_array();
    for (const analysis::Flow* flow : flows) {
        if (text.size() >= analysis::limits::report_bytes_max) {
            ++left_out;
            continue;
        }
        json.new_line();
        analysis::write_flow(json, *flow, "");
    }
    json.end_array();
    json.field("left_out", left_out);
    json.end_object();
    json.new_line();
    json.end_object();
    text += '\n';
    return text;
}

} // namespace zsync::packet
