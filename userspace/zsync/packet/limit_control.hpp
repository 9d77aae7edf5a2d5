// Adaptive limits: slower while there is congestion, faster again when there is none.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/congestion.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace zsync::packet {

/// Whether the limit's signal says so of the time between two readings.
[[nodiscard]] bool
is_congested(const Limit& limit, const CongestionReading& before, const CongestionReading& now);

/// The rate behind one step: half of it when congested, never below the floor; otherwise more by a
/// constant share of the limit's own rate, never above that. Additive increase and multiplicative
/// decrease, after Chiu and Jain (1989), is what lets limits of several hosts before one bottleneck
/// end up with equal shares.
[[nodiscard]] std::uint64_t next_rate(const Limit& limit, std::uint64_t rate, bool congested);

/// Steps the adaptive limits of an interface's filters. Calls block; one at a time.
class LimitControl {
public:
    /// Whether a rule of `filter` has an adaptive limit.
    [[nodiscard]] static bool adapts(const Filter& filter);

    /// One step, `limit_adapt_interval_ms` behind the one before. The first only looks.
    Outcome<void> step(std::uint32_t ifindex, const std::vector<const Filter*>& filters);

private:
    struct Adaptive {
        std::uint32_t slot = 0;
        Limit limit;
    };
    /// The adaptive limits of a generation, by its program: rules are read once.
    std::map<std::uint32_t, std::vector<Adaptive>> generations_;
    std::optional<CongestionReading> before_;
};

} // namespace zsync::packet
