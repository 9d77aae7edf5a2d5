#include "packet_interface_object.hpp"

#include "jobs.hpp"
#include "packet_objects.hpp"
#include "read_text.hpp"

#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>

#include <algorithm>
#include <format>

namespace zsync::zsyncd {
namespace {

using packet::InterfaceView;
using Object = PacketInterfaceObject;

/// A property and the part of the view it shows.
struct Shown {
    const char* property;
    bool (*same)(const InterfaceView&, const InterfaceView&);
};

template <auto Member> constexpr bool same_member(const InterfaceView& a, const InterfaceView& b) {
    return a.*Member == b.*Member;
}

constexpr Shown shown_properties[] = {
    {.property = "Ifindex", .same = &same_member<&InterfaceView::ifindex>},
    {.property = "Mode", .same = &same_member<&InterfaceView::mode>},
    {.property = "RequestedMode", .same = &same_member<&InterfaceView::requested_mode>},
    {.property = "State", .same = &same_member<&InterfaceView::state>},
    {.property = "StateReason", .same = &same_member<&InterfaceView::reason>},
    {.property = "Adopted", .same = &same_member<&InterfaceView::adopted>},
    {.property = "ProgramId", .same = &same_member<&InterfaceView::program_id>},
    {.property = "LayoutVersion", .same = &same_member<&InterfaceView::layout_version>},
    {.property = "RuleCount", .same = &same_member<&InterfaceView::rules>},
    {.property = "PrefixCount", .same = &same_member<&InterfaceView::prefixes>},
    {.property = "DefaultVerdict", .same = &same_member<&InterfaceView::default_verdict>},
    {.property = "MalformedVerdict", .same = &same_member<&InterfaceView::malformed_verdict>},
    {.property = "RulesSource", .same = &same_member<&InterfaceView::rules_source>},
    {.property = "LoadTimestamp", .same = &same_member<&InterfaceView::load_realtime_us>},
    {.property = "TemporaryRules", .same = &same_member<&InterfaceView::temporary>},
};

PacketInterfaceObject::ChangeReply change_reply(const packet::SetCounts& counts, TimePoint begin) {
    const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
    return {counts.added, counts.removed, counts.size, static_cast<std::uint64_t>(taken.count())};
}

std::string default_text(packet::Verdict verdict) {
    return std::format("default {}", packet::name_of(verdict));
}

Object::HookRow hook_row(const packet::HookReading& reading) {
    const packet::InterfaceStats& stats = reading.stats;
    std::map<std::string, std::uint64_t> others{
        {"arp", stats.arp.packets},
        {"malformed", stats.malformed.packets},
        {"merged", stats.merged.packets},
        {"redirected", stats.redirected},
        {"challenges_sent", stats.challenges_sent},
        {"challenges_verified", stats.challenges_verified},
        {"challenges_refused", stats.challenges_refused},
        {"sampled", stats.sampled},
        {"samples_lost", stats.samples_lost},
        {"challenges_passed", stats.challenges_passed},
        {"unmarked", stats.unmarked},
        {"unjudged", stats.unjudged},
    };
    std::vector<Object::HookRuleRow> rules;
    for (std::size_t i = 0; i < reading.rules.size(); ++i) {
        const packet::LiveRule& rule = reading.rules[i];
        rules.emplace_back(
            rule.text,
            rule.name,
            reading.counts[i].packets,
            reading.counts[i].bytes,
            reading.counts[i].limited
        );
    }
    rules.emplace_back(
        default_text(reading.hook.default_verdict),
        "",
        reading.default_count.packets,
        reading.default_count.bytes,
        std::uint64_t{0}
    );
    return {
        packet::hook_name(reading.hook),
        std::string(packet::name_of(reading.hook.default_verdict)),
        reading.program_id,
        stats.passed.packets,
        stats.passed.bytes,
        stats.dropped.packets,
        stats.dropped.bytes,
        std::move(others),
        std::move(rules),
    };
}

} // namespace

const bus::Interface& PacketInterfaceObject::bus_interface() {
    static const auto interface =
        bus::InterfaceBuilder<Object>("org.zsync1.PacketInterface")
            .property<&Object::name>("Name", bus::Emits::constant)
            .property<&Object::ifindex>("Ifindex", bus::Emits::change)
            .property<&Object::mode>("Mode", bus::Emits::change)
            .property<&Object::requested_mode>("RequestedMode", bus::Emits::change)
            .property<&Object::state>("State", bus::Emits::change)
            .property<&Object::state_reason>("StateReason", bus::Emits::change)
            .property<&Object::adopted>("Adopted", bus::Emits::change)
            .property<&Object::program_id>("ProgramId", bus::Emits::change)
            .property<&Object::layout_version>("LayoutVersion", bus::Emits::change)
            .property<&Object::rule_count>("RuleCount", bus::Emits::change)
            .property<&Object::prefix_count>("PrefixCount", bus::Emits::change)
            .property<&Object::default_verdict>("DefaultVerdict", bus::Emits::change)
            .property<&Object::malformed_verdict>("MalformedVerdict", bus::Emits::change)
            .property<&Object::rules_source>("RulesSource", bus::Emits::change)
            .property<&Object::load_timestamp>("LoadTimestamp", bus::Emits::change)
            .property<&Object::temporary_rules>("TemporaryRules", bus::Emits::change)
            .property<&Object::sources_left_out>("SourcesLeftOut", bus::Emits::change)
            .property<&Object::alerts_left_out>("AlertsLeftOut", bus::Emits::change)
            .property<&Object::sample_every>("SampleEvery", bus::Emits::change)
            .method<&Object::load>(
                "Load", {"rules", "source_name", "options"}, {"rules", "prefixes", "usec"}
            )
            .method<&Object::check>(
                "Check", {"rules", "source_name", "options"}, {"rules", "prefixes"}
            )
            .method<&Object::change_set>(
                "ChangeSet",
                {"set", "add", "remove", "options"},
                {"added", "removed", "size", "usec"}
            )
            .method<&Object::replace_set>(
                "ReplaceSet",
                {"set", "prefixes", "source_name", "options"},
                {"added", "removed", "size", "usec"}
            )
            .method<&Object::add_rule>(
                "AddRule", {"rule", "duration_usec", "options"}, {"expires_usec"}
            )
            .method<&Object::remove_rule>("RemoveRule", {"rule", "options"}, {})
            .method<&Object::explain>(
                "Explain", {"packet", "options"}, {"verdict", "rule", "text", "name", "reasons"}
            )
            .method<&Object::list_rules>("ListRules", {}, {"rules"})
            .method<&Object::list_hooks>("ListHooks", {}, {"hooks"})
            .method<&Object::list_limits>("ListLimits", {"keys_max"}, {"limits"})
            .method<&Object::set_limit>("SetLimit", {"rule", "rate", "options"}, {"changed"})
            .method<&Object::list_classes>("ListClasses", {}, {"rate", "horizon_usec", "classes"})
            .method<&Object::set_class>("SetClass", {"name", "rates", "options"}, {"changed"})
            .method<&Object::set_shape>("SetShape", {"rates", "options"}, {"changed"})
            .method<&Object::stats>(
                "Stats",
                {},
                {"packets",
                 "bytes",
                 "passed_packets",
                 "passed_bytes",
                 "dropped_packets",
                 "dropped_bytes",
                 "malformed"}
            )
            .method<&Object::start_analysis>("StartAnalysis", {"options"}, {})
            .method<&Object::stop_analysis>("StopAnalysis", {"options"}, {})
            .method<&Object::capture>(
                "Capture", {"file", "condition", "options"}, {"packets", "bytes", "lost"}
            )
            .method<&Object::take>(
                "Take", {"file", "options"}, {"packets", "bytes", "lost", "mode"}
            )
            .method<&Object::flows>("Flows", {}, {"report"})
            .method<&Object::alerts>("Alerts", {}, {"report"})
            .signal(
                alert, {"kind", "time_usec", "source", "destination", "protocol", "port", "reason"}
            )
            .build();
    return interface;
}

PacketInterfaceObject::PacketInterfaceObject(PacketObjects& parent, packet::InterfaceView view)
    : parent_(parent), view_(std::move(view)),
      path_(bus::object_path(PacketObjects::path, view_.name)) {}

void PacketInterfaceObject::update(
    packet::InterfaceView view,
    std::uint32_t sample_every,
    std::uint64_t sources_left_out,
    std::uint64_t alerts_left_out,
    bus::Connection& connection
) {
    if (std::exchange(sources_left_out_, sources_left_out) != sources_left_out) {
        connection.properties_changed(path_, bus_interface(), {"SourcesLeftOut"});
    }
    if (std::exchange(alerts_left_out_, alerts_left_out) != alerts_left_out) {
        connection.properties_changed(path_, bus_interface(), {"AlertsLeftOut"});
    }
    if (std::exchange(sample_every_, sample_every) != sample_every) {
        connection.properties_changed(path_, bus_interface(), {"SampleEvery"});
    }
    const InterfaceView before = std::exchange(view_, std::move(view));
    for (const Shown& shown : shown_properties) {
        if (!shown.same(before, view_)) {
            connection.properties_changed(path_, bus_interface(), {shown.property});
        }
    }
}

Task<Outcome<PacketInterfaceObject::LoadReply>> PacketInterfaceObject::load(
    bus::CallContext call, Fd rules, std::string source_name, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(JobRegistry::Entry job, parent_.jobs().add("packet-load", view_.name));
    const TimePoint begin = Clock::now();
    ZCO_TRY(std::string text, co_await read_text(call.io(), std::move(rules)));
    ZCO_TRY(
        const packet::LoadReport report,
        job.end(co_await parent_.service().load(view_.name, std::move(text), std::move(source_name))
        )
    );
    parent_.publish();
    const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
    co_return LoadReply{report.rules, report.prefixes, static_cast<std::uint64_t>(taken.count())};
}

Task<Outcome<PacketInterfaceObject::CheckReply>> PacketInterfaceObject::check(
    bus::CallContext call, Fd rules, std::string source_name, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    // A rule file may name set files, which are read with the daemon's rights.
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(std::string text, co_await read_text(call.io(), std::move(rules)));
    ZCO_TRY(
        const packet::CheckReport report,
        co_await parent_.service().check(std::move(text), std::move(source_name))
    );
    co_return CheckReply{report.rules, report.prefixes};
}

Task<Outcome<PacketInterfaceObject::ChangeReply>> PacketInterfaceObject::change_set(
    bus::CallContext call,
    std::string set,
    std::vector<std::string> add,
    std::vector<std::string> remove,
    bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    const TimePoint begin = Clock::now();
    packet::SetChange change{.set = std::move(set), .add = {}, .remove = {}};
    ZCO_TRY(change.add, packet::parse_prefixes(add));
    ZCO_TRY(change.remove, packet::parse_prefixes(remove));
    ZCO_TRY(JobRegistry::Entry job, parent_.jobs().add("packet-set", view_.name));
    ZCO_TRY(
        const packet::SetReport report,
        job.end(co_await parent_.service().change_set(view_.name, std::move(change)))
    );
    parent_.publish();
    co_return change_reply(report.counts, begin);
}

Task<Outcome<PacketInterfaceObject::ChangeReply>> PacketInterfaceObject::replace_set(
    bus::CallContext call,
    std::string set,
    Fd prefixes,
    std::string source_name,
    bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    const TimePoint begin = Clock::now();
    ZCO_TRY(JobRegistry::Entry job, parent_.jobs().add("packet-set", view_.name));
    ZCO_TRY(std::string text, co_await read_text(call.io(), std::move(prefixes)));
    ZCO_TRY(
        const packet::SetReport report,
        job.end(co_await parent_.service().replace_set(
            view_.name, std::move(set), std::move(text), std::move(source_name)
        ))
    );
    parent_.publish();
    co_return change_reply(report.counts, begin);
}

std::vector<std::tuple<std::string, std::uint64_t>> PacketInterfaceObject::temporary_rules() const {
    std::vector<std::tuple<std::string, std::uint64_t>> rows;
    rows.reserve(view_.temporary.size());
    for (const packet::TemporaryRule& rule : view_.temporary) {
        rows.emplace_back(rule.text, rule.expires_realtime_us);
    }
    return rows;
}

Task<Outcome<std::uint64_t>> PacketInterfaceObject::add_rule(
    bus::CallContext call, std::string rule, std::uint64_t duration_us, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(
        const std::uint64_t expires_us,
        co_await parent_.service().add_rule(view_.name, std::move(rule), duration_us)
    );
    parent_.publish();
    co_return expires_us;
}

Task<Outcome<void>>
PacketInterfaceObject::remove_rule(bus::CallContext call, std::string rule, bus::Options options) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_CHECK(co_await parent_.service().remove_rule(view_.name, std::move(rule)));
    parent_.publish();
    co_return {};
}

Task<Outcome<PacketInterfaceObject::ExplainReply>>
PacketInterfaceObject::explain(bus::CallContext call, std::string packet, bus::Options options) {
    ZCO_TRY(auto hook, options.take<std::string>("hook"));
    ZCO_CHECK(options.refuse_rest());
    // It loads a program, which takes as long as loading rules.
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(
        packet::Explanation explanation,
        co_await parent_.service().explain(
            view_.name, std::move(hook).value_or("in"), std::move(packet)
        )
    );
    co_return ExplainReply{
        std::string(packet::name_of(explanation.verdict)),
        explanation.rule ? static_cast<std::int32_t>(*explanation.rule) : -1,
        std::move(explanation.text),
        std::move(explanation.name),
        std::move(explanation.reasons),
    };
}

Task<Outcome<std::vector<PacketInterfaceObject::RuleRow>>>
PacketInterfaceObject::list_rules(bus::CallContext /*call*/) {
    ZCO_TRY(const packet::InterfaceReading reading, co_await parent_.service().read(view_.name));
    std::vector<RuleRow> rows;
    rows.reserve(reading.rules.size() + 1);
    for (std::size_t index = 0; index < reading.rules.size(); ++index) {
        const packet::LiveRule& rule = reading.rules[index];
        const packet::RuleCount& count = reading.counts[index];
        rows.emplace_back(
            static_cast<std::uint32_t>(index),
            rule.text,
            rule.name,
            count.packets,
            count.bytes,
            count.limited
        );
    }
    // What no rule matched comes last, as the rule file says it.
    rows.emplace_back(
        static_cast<std::uint32_t>(rows.size()),
        default_text(reading.default_verdict),
        "",
        reading.default_count.packets,
        reading.default_count.bytes,
        std::uint64_t{0}
    );
    co_return rows;
}

Task<Outcome<std::vector<PacketInterfaceObject::HookRow>>>
PacketInterfaceObject::list_hooks(bus::CallContext /*call*/) {
    ZCO_TRY(packet::InterfaceReading reading, co_await parent_.service().read(view_.name));
    const packet::Hook receiving{
        .cgroup = {},
        .direction = packet::Direction::in,
        .default_verdict = reading.default_verdict,
    };
    std::vector<HookRow> rows;
    rows.push_back(hook_row(
        {.hook = receiving,
         .program_id = view_.program_id,
         .stats = std::move(reading.stats),
         .rules = std::move(reading.rules),
         .counts = std::move(reading.counts),
         .default_count = reading.default_count}
    ));
    for (const packet::HookReading& hook : reading.hooks) {
        rows.push_back(hook_row(hook));
    }
    co_return rows;
}

Task<Outcome<std::vector<PacketInterfaceObject::LimitRow>>>
PacketInterfaceObject::list_limits(bus::CallContext /*call*/, std::uint32_t keys_max) {
    ZCO_TRY(
        const std::vector<packet::LimitReading> readings,
        co_await parent_.service().read_limits(
            view_.name, std::min(keys_max, packet::limits::limit_keys_shown_max)
        )
    );
    std::vector<LimitRow> rows;
    rows.reserve(readings.size());
    for (const packet::LimitReading& reading : readings) {
        std::vector<std::tuple<std::string, std::uint64_t>> most;
        most.reserve(reading.keys.most.size());
        for (const packet::LimitedKey& key : reading.keys.most) {
            most.emplace_back(key.text, key.limited);
        }
        rows.emplace_back(
            reading.hook,
            reading.rule,
            reading.name,
            std::string(packet::limit_rate(reading.rule)),
            reading.rate_now,
            reading.passed,
            reading.limited,
            reading.keys.keys,
            std::move(most)
        );
    }
    co_return rows;
}

Task<
    Outcome<std::tuple<std::uint64_t, std::uint64_t, std::vector<PacketInterfaceObject::ClassRow>>>>
PacketInterfaceObject::list_classes(bus::CallContext /*call*/) {
    ZCO_TRY(const packet::ShapeReading reading, co_await parent_.service().read_shape(view_.name));
    std::vector<ClassRow> rows;
    rows.reserve(reading.classes.size());
    for (const packet::ClassReading& one : reading.classes) {
        rows.emplace_back(
            one.name,
            one.guarantee,
            one.max,
            one.packets,
            one.bytes,
            one.borrowed,
            one.dropped,
            static_cast<std::uint64_t>(
                std::chrono::duration_cast<std::chrono::microseconds>(one.backlog).count()
            )
        );
    }
    co_return std::tuple{reading.rate, std::uint64_t{reading.horizon_ms} * 1000, std::move(rows)};
}

Task<Outcome<std::string>> PacketInterfaceObject::set_class(
    bus::CallContext call, std::string name, std::string rates, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(
        std::string changed,
        co_await parent_.service().change_class(view_.name, std::move(name), std::move(rates))
    );
    parent_.publish();
    co_return changed;
}

Task<Outcome<std::string>>
PacketInterfaceObject::set_shape(bus::CallContext call, std::string rates, bus::Options options) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(
        std::string changed, co_await parent_.service().change_shape(view_.name, std::move(rates))
    );
    parent_.publish();
    co_return changed;
}

Task<Outcome<std::string>> PacketInterfaceObject::set_limit(
    bus::CallContext call, std::string rule, std::string rate, bus::Options options
) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_TRY(
        std::string changed,
        co_await parent_.service().change_limit(view_.name, std::move(rule), std::move(rate))
    );
    parent_.publish();
    co_return changed;
}

Task<Outcome<void>>
PacketInterfaceObject::start_analysis(bus::CallContext call, bus::Options options) {
    ZCO_TRY(const auto sample_every, options.take<std::uint32_t>("sample_every"));
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_CHECK(co_await parent_.analyses().start(view_, sample_every.value_or(1), true));
    parent_.publish();
    co_return {};
}

Task<Outcome<void>>
PacketInterfaceObject::stop_analysis(bus::CallContext call, bus::Options options) {
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    ZCO_CHECK(co_await parent_.analyses().stop(view_.name));
    parent_.publish();
    co_return {};
}

Task<Outcome<CaptureReply>> PacketInterfaceObject::capture(
    bus::CallContext call, Fd file, std::string condition, bus::Options options
) {
    ZCO_TRY(const auto count, options.take<std::uint64_t>("count"));
    ZCO_TRY(const auto duration_us, options.take<std::uint64_t>("duration_usec"));
    ZCO_TRY(auto sampled_hook, options.take<std::string>("samples"));
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    if (sampled_hook && !condition.empty()) {
        co_return fail(
            CoreError::invalid_argument,
            "samples are captured without conditions: the rules have chosen them"
        );
    }
    if (sampled_hook && sampled_hook->empty()) {
        co_return fail(CoreError::invalid_argument, "samples names a hook, such as 'in'");
    }
    CaptureRequest request{
        .ifname = view_.name,
        .condition = std::move(condition),
        .sampled_hook = std::move(sampled_hook).value_or(std::string()),
        .packets_max = count.value_or(0),
        .duration_us = duration_us.value_or(0),
    };
    co_return co_await parent_.captures().run(
        call.io(), &parent_.jobs(), std::move(request), std::move(file)
    );
}

Task<Outcome<TakeReply>>
PacketInterfaceObject::take(bus::CallContext call, Fd file, bus::Options options) {
    ZCO_TRY(const auto count, options.take<std::uint64_t>("count"));
    ZCO_TRY(const auto duration_us, options.take<std::uint64_t>("duration_usec"));
    ZCO_TRY(const auto force, options.take<bool>("force"));
    ZCO_CHECK(options.refuse_rest());
    ZCO_CHECK(co_await bus::authorize(call, manage_packet_action));
    TakeRequest request{
        .ifname = view_.name,
        .force = force.value_or(false),
        .packets_max = count.value_or(0),
        .duration_us = duration_us.value_or(0),
    };
    co_return co_await parent_.takes().run(
        call.io(), &parent_.jobs(), std::move(request), std::move(file)
    );
}

Task<Outcome<Fd>> PacketInterfaceObject::flows(bus::CallContext /*call*/) {
    co_return co_await parent_.analyses().flows(view_.name);
}

Task<Outcome<Fd>> PacketInterfaceObject::alerts(bus::CallContext /*call*/) {
    co_return co_await parent_.analyses().alerts(view_.name);
}

Task<Outcome<PacketInterfaceObject::StatsReply>>
PacketInterfaceObject::stats(bus::CallContext /*call*/) {
    ZCO_TRY(const packet::InterfaceReading reading, co_await parent_.service().read(view_.name));
    const packet::InterfaceStats& stats = reading.stats;
    std::map<std::string, std::uint64_t> malformed;
    for (const packet::InterfaceStats::Reason& reason : stats.malformed_by) {
        malformed.emplace(reason.name, reason.packets);
    }
    co_return StatsReply{
        stats.passed.packets + stats.dropped.packets,
        stats.passed.bytes + stats.dropped.bytes,
        stats.passed.packets,
        stats.passed.bytes,
        stats.dropped.packets,
        stats.dropped.bytes,
        std::move(malformed),
    };
}

} // namespace zsync::zsyncd
