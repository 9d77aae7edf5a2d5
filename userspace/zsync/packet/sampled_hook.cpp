#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/counters.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/sampled_hook.hpp>

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <chrono>
#include <format>

namespace zsync::packet {
namespace {

Outcome<CaptureCounts> sampled(const Fd& stats) {
    const InterfaceStats counted = ZTRY(read_stats(stats));
    return CaptureCounts{.matched = counted.sampled, .lost = counted.samples_lost};
}

} // namespace

Outcome<SampledHook> SampledHook::open(const Filter& filter, analysis::LinkType link_type) {
    SampledHook hook(ZTRY(filter.read_samples()), ZTRY(filter.stats_map()));
    hook.link_type_ = link_type;
    hook.kind_ = filter.hook();
    hook.read_rules(filter);
    hook.at_start_ = ZTRY(sampled(hook.stats_));
    hook.opened_ns_ = epoch_time<std::chrono::nanoseconds>();
    return hook;
}

void SampledHook::read_rules(const Filter& filter) {
    program_id_ = filter.program_id();
    // Packets of earlier rules may be waiting still, so these stay where no other has their slot.
    for (const LiveRule& rule : filter.live_rules()) {
        comments_.insert_or_assign(
            rule.slot, rule.name.empty() ? rule.text : std::format("{}: {}", rule.name, rule.text)
        );
    }
}

Outcome<void> SampledHook::follow(const Filter& filter) {
    if (filter.program_id() == program_id_) {
        return {};
    }
    SampleReader reader = ZTRY(filter.read_samples());
    Fd stats = ZTRY(filter.stats_map());
    const CaptureCounts at_start = ZTRY(sampled(stats));
    before_ = ZTRY(counts());
    at_start_ = at_start;
    reader_ = std::move(reader);
    stats_ = std::move(stats);
    read_rules(filter);
    return {};
}

Outcome<std::size_t> SampledHook::take(std::size_t packets_max, const Visit& visit) {
    return reader_.take(packets_max, [&](const Sample& sample) {
        if (sample.time_ns < opened_ns_) {
            return;
        }
        const analysis::Frame frame{
            .time_ns = sample.time_ns,
            .link_type = link_type_,
            .wire_bytes = sample.wire_bytes,
            .bytes = sample.bytes,
        };
        visit(frame, note_of(sample));
    });
}

analysis::PacketNote SampledHook::note_of(const Sample& sample) const {
    using analysis::PacketNote;
    const auto comment = comments_.find(sample.slot);
    const bool drops = sample.verdict == Verdict::drop;
    PacketNote note{.comment = comment == comments_.end() ? std::string_view() : comment->second};
    switch (kind_) {
    case HookKind::xdp:
        note.judge = PacketNote::Judge::xdp;
        note.verdict = drops ? XDP_DROP : XDP_PASS;
        break;
    case HookKind::tcx_out:
        note.judge = PacketNote::Judge::tc;
        note.verdict = drops ? TC_ACT_SHOT : TC_ACT_OK;
        break;
    case HookKind::cgroup_in:
    case HookKind::cgroup_out:
        break; // the format has no name for them
    }
    return note;
}

Outcome<CaptureCounts> SampledHook::counts() const {
    const CaptureCounts now = ZTRY(sampled(stats_));
    return CaptureCounts{
        .matched = before_.matched + now.matched - at_start_.matched,
        .lost = before_.lost + now.lost - at_start_.lost,
    };
}

} // namespace zsync::packet
