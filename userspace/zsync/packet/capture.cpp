#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/capture.hpp>
#include <zsync/packet/counters.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/interface_facts.hpp>
#include <zsync/packet/rules.hpp>

#include <bpf/bpf.h>

#include <cerrno>
#include <format>

namespace zsync::packet {
namespace {

/// The one rule of a capture: what has these conditions is copied, all of it, and nothing decided.
Outcome<RuleSet> rule_of(const std::string& condition) {
    if (condition.find_first_of("\n\r{};#") != std::string::npos) {
        return fail(
            PacketError::invalid_rules, "the conditions of a capture are those of one rule"
        );
    }
    auto rules = parse_rules(
        std::format("pass {} sample 1/1\n", condition),
        "capture",
        [](const std::string& path) {
            return Outcome<std::string>(
                fail(PacketError::invalid_rules, std::format("a capture reads no file ({})", path))
            );
        }
    );
    if (!rules) {
        return fail(PacketError::invalid_rules, join_messages(rules.error()));
    }
    if (rules->rules.size() != 1 || !rules->hooks.empty()) {
        return fail(
            PacketError::invalid_rules, "the conditions of a capture are those of one rule"
        );
    }
    return *std::move(rules);
}

} // namespace

Outcome<Capture> Capture::start(const std::string& ifname, const std::string& condition) {
    Capture capture;
    const InterfaceFacts facts = ZTRY(interface_facts(ifname));
    const FoundPoint found{
        .point = {.kind = HookKind::tcx_out, .ifname = ifname, .cgroup = {}},
        .facts = facts,
        .cgroup = {}
    };
    if (found.starts_at_network()) {
        capture.link_type_ = analysis::LinkType::raw;
    }
    if (condition.empty()) {
        capture.tap_ =
            ZTRY(Tap::attach(facts.ifindex, ifname, {.sample_every = 1, .for_capture = true}));
        return capture;
    }
    const RuleSet rules = ZTRY(rule_of(condition));
    CounterSlots slots;
    slots.rules = {1};
    Tables tables = ZTRY(compile(rules, slots, ZTRY(resolve_names(rules))));
    tables.config.starts_at_network = found.starts_at_network() ? 1 : 0;
    capture.maps_ = ZTRY(create_shared_maps());
    // A program each, because one keeps what it knows of a packet where the other would find it.
    for (std::size_t way = 0; way < 2; ++way) {
        tables.config.receives = way == 0 ? 1 : 0;
        const LoadedProgram program = ZTRY(load_program(tables, capture.maps_, HookKind::tcx_out));
        capture.links_[way] = Fd(bpf_link_create(
            program.fd.get(),
            static_cast<int>(facts.ifindex),
            way == 0 ? BPF_TCX_INGRESS : BPF_TCX_EGRESS,
            nullptr
        ));
        if (!capture.links_[way]) {
            const int error = errno;
            return fail(
                os_error(error),
                std::format("cannot attach to {}: {}", ifname, os_error(error).message())
            );
        }
    }
    capture.samples_ = ZTRY(SampleReader::open(capture.maps_.samples));
    return capture;
}

int Capture::ready_fd() const noexcept {
    return tap_ ? tap_->ready_fd() : samples_.value().ready_fd();
}

Outcome<std::size_t> Capture::take(std::size_t packets_max, const Visit& visit) {
    if (tap_) {
        return tap_->take(packets_max, [&](const analysis::Frame& frame) { visit(frame, {}); });
    }
    return samples_.value().take(packets_max, [&](const Sample& sample) {
        const analysis::Frame frame{
            .time_ns = sample.time_ns,
            .link_type = link_type_,
            .wire_bytes = sample.wire_bytes,
            .bytes = sample.bytes,
        };
        visit(frame, {});
    });
}

Outcome<CaptureCounts> Capture::counts() const {
    if (tap_) {
        const TapCounts counts = ZTRY(tap_->counts());
        return CaptureCounts{.matched = counts.sampled, .lost = counts.lost};
    }
    const InterfaceStats stats = ZTRY(read_stats(maps_.stats));
    return CaptureCounts{.matched = stats.sampled, .lost = stats.samples_lost};
}

} // namespace zsync::packet
