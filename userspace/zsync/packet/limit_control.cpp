#include <zsync/packet/limit_control.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>

#include <algorithm>
#include <utility>

namespace zsync::packet {

bool is_congested(
    const Limit& limit, const CongestionReading& before, const CongestionReading& now
) {
    switch (limit.signal) {
    case LimitSignal::drops:
        return now.drops > before.drops;
    case LimitSignal::queue:
        return now.queue_packets >= limit.threshold;
    case LimitSignal::cpu:
        return now.cpu_all > before.cpu_all && (now.cpu_busy - before.cpu_busy) * 100 >=
                                                   (now.cpu_all - before.cpu_all) * limit.threshold;
    }
    std::unreachable();
}

std::uint64_t next_rate(const Limit& limit, std::uint64_t rate, bool congested) {
    if (congested) {
        return std::max(limit.floor, rate / 2);
    }
    const std::uint64_t more = std::max<std::uint64_t>(limit.rate / limits::limit_adapt_steps, 1);
    return std::min(limit.rate, rate + more);
}

bool LimitControl::adapts(const Filter& filter) {
    return std::ranges::any_of(filter.live_rules(), [](const LiveRule& rule) {
        return adaptive_limit(rule.text).has_value();
    });
}

Outcome<void> LimitControl::step(std::uint32_t ifindex, const std::vector<const Filter*>& filters) {
    const CongestionReading now = ZTRY(read_congestion(ifindex));
    const std::optional<CongestionReading> before = std::exchange(before_, now);
    if (!before) {
        return {};
    }
    std::map<std::uint32_t, std::vector<Adaptive>> generations;
    for (const Filter* filter : filters) {
        auto known = generations_.extract(filter->program_id());
        std::vector<Adaptive> limits;
        if (known) {
            limits = std::move(known.mapped());
        } else {
            for (const LiveRule& rule : filter->live_rules()) {
                if (const auto limit = adaptive_limit(rule.text)) {
                    limits.push_back({rule.slot, *limit});
                }
            }
        }
        for (const auto& [slot, limit] : limits) {
            const std::uint64_t rate = ZTRY(filter->limit_rate(slot, limit));
            const std::uint64_t next = next_rate(limit, rate, is_congested(limit, *before, now));
            if (next != rate) {
                ZTRY(filter->set_limit_rate(slot, limit, next));
            }
        }
        generations.emplace(filter->program_id(), std::move(limits));
    }
    generations_ = std::move(generations);
    return {};
}

} // namespace zsync::packet
