// LeakyBucket: permits at even distances, by one point in time.
#pragma once

#include <zsync/coord/rate.hpp>

#include <cstdint>

namespace zsync::coord {

/// The generic cell rate algorithm (ITU-T I.371, the virtual scheduling algorithm): the whole state
/// is the time at which the next permit would be due if permits came evenly; they may come early
/// by as much as `burst` allows. With a burst of 1 permits leave at even distances. Decides exactly
/// as a token bucket of the same rate and burst does.
class LeakyBucket {
public:
    static Outcome<LeakyBucket> create(Rate rate, std::uint64_t burst = 1);

    [[nodiscard]] std::uint64_t capacity() const noexcept { return burst_; }
    [[nodiscard]] TimePoint ready_at(std::uint64_t count, TimePoint at) const noexcept;
    void take(std::uint64_t count, TimePoint at) noexcept;
    [[nodiscard]] bool is_fresh(TimePoint at) const noexcept { return due_ <= scaled(at); }

    [[nodiscard]] Rate rate() const noexcept { return rate_; }

private:
    LeakyBucket(Rate rate, std::uint64_t burst) noexcept
        : rate_(rate), burst_(burst), due_(scaled(TimePoint::min())) {}
    /// A point in time in units of 1 ns / permits, in which a permit takes `per` whole units.
    [[nodiscard]] Wide scaled(TimePoint at) const noexcept {
        return Wide{at.time_since_epoch().count()} * rate_.permits;
    }

    Rate rate_;
    std::uint64_t burst_;
    Wide due_;
};

static_assert(RateAlgorithm<LeakyBucket>);

} // namespace zsync::coord
