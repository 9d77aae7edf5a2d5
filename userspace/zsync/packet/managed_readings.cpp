// What a ManagedInterface tells of its filters.
#include <zsync/core/text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/managed_interface.hpp>
#include <zsync/packet/rules_names.hpp>

#include <algorithm>
#include <format>

namespace zsync::packet {
namespace {

/// Appends a reading of each rule of `filter` that limits.
Outcome<void> add_limits(
    std::vector<LimitReading>& readings,
    const std::string& hook,
    const Filter& filter,
    std::size_t keys_max
) {
    LimitTable table = ZTRY(filter.read_limits(keys_max));
    const std::vector<RuleCount> counts = ZTRY(filter.rule_counts());
    const std::vector<LiveRule>& rules = filter.live_rules();
    for (std::size_t i = 0; i < rules.size(); ++i) {
        if (limit_rate(rules[i].text).empty()) {
            continue;
        }
        // A table is read while packets come: one that was counted may not be counted as limited
        // yet.
        const std::uint64_t limited = std::min(counts[i].limited, counts[i].packets);
        const std::string_view rate = limit_rate(rules[i].text);
        std::string rate_now(rate.substr(0, rate.find(' ')));
        if (const auto adaptive = adaptive_limit(rules[i].text)) {
            rate_now = rate_text(*adaptive, ZTRY(filter.limit_rate(rules[i].slot, *adaptive)));
        }
        readings.push_back(
            {.hook = hook,
             .rule = rules[i].text,
             .name = rules[i].name,
             .rate_now = std::move(rate_now),
             .passed = counts[i].packets - limited,
             .limited = limited,
             .keys = table.rules[limit_id(rules[i].text)]}
        );
    }
    return {};
}

} // namespace

Outcome<InterfaceReading> ManagedInterface::read() const {
    if (!filter_) {
        return not_attached();
    }
    InterfaceReading reading;
    reading.stats = ZTRY(filter_->stats());
    reading.rules = filter_->live_rules();
    reading.counts = ZTRY(filter_->rule_counts());
    reading.default_verdict = filter_->default_verdict();
    reading.default_count = ZTRY(filter_->default_count());
    for (const auto& [hook, filter, wanted] : hooks_.attached()) {
        reading.hooks.push_back(
            {.hook = hook,
             .program_id = filter.program_id(),
             .stats = ZTRY(filter.stats()),
             .rules = filter.live_rules(),
             .counts = ZTRY(filter.rule_counts()),
             .default_count = ZTRY(filter.default_count())}
        );
        reading.hooks.back().hook.default_verdict = filter.default_verdict();
    }
    return reading;
}

Outcome<std::vector<LimitReading>> ManagedInterface::read_limits(std::size_t keys_max) const {
    if (!filter_) {
        return not_attached();
    }
    std::vector<LimitReading> readings;
    ZTRY(add_limits(readings, "in", *filter_, keys_max));
    for (const auto& [hook, filter, wanted] : hooks_.attached()) {
        ZTRY(add_limits(readings, hook_name(hook), filter, keys_max));
    }
    return readings;
}

Outcome<const Filter*> ManagedInterface::filter_at(std::string_view hook) const {
    if (!filter_) {
        return not_attached();
    }
    if (hook == "in") {
        return &*filter_;
    }
    for (const auto& [of, filter, wanted] : hooks_.attached()) {
        if (hook_name(of) == hook) {
            return &filter;
        }
    }
    return no_rules_at(hook);
}

std::unexpected<Fault> ManagedInterface::no_rules_at(std::string_view hook) const {
    std::string others;
    for (const auto& [of, filter, wanted] : hooks_.attached()) {
        others += std::format(", '{}'", hook_name(of));
    }
    return fail(
        PacketError::no_such_hook,
        std::format(
            "{} has no rules at the hook '{}'; it has some at 'in'{}",
            desired_.name,
            printable(hook),
            others
        )
    );
}

Outcome<SampledHook> ManagedInterface::read_samples(std::string_view hook) const {
    const Filter* const filter = ZTRY(filter_at(hook));
    const auto link_type =
        filter->starts_at_network() ? analysis::LinkType::raw : analysis::LinkType::ethernet;
    return SampledHook::open(*filter, link_type);
}

Outcome<std::size_t> ManagedInterface::take_samples(
    std::string_view hook,
    SampledHook& samples,
    std::size_t packets_max,
    const PacketSource::Visit& visit
) const {
    ZTRY(samples.follow(*ZTRY(filter_at(hook))));
    return samples.take(packets_max, visit);
}

Outcome<ShapeReading> ManagedInterface::read_shape() const {
    if (!filter_) {
        return not_attached();
    }
    for (const auto& [hook, filter, wanted] : hooks_.attached()) {
        if (filter.hook() == HookKind::tcx_out) {
            return filter.read_shape();
        }
    }
    return ShapeReading{};
}

} // namespace zsync::packet
