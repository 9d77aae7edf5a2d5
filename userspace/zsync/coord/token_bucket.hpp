// TokenBucket: permits that gather while nobody takes them.
#pragma once

#include <zsync/coord/rate.hpp>

#include <cstdint>

namespace zsync::coord {

/// A bucket that starts full of `burst` permits, loses what is taken and fills at `rate`. It counts
/// in whole permit-nanoseconds, so that no rate is rounded and nothing is lost over time.
class TokenBucket {
public:
    static Outcome<TokenBucket> create(Rate rate, std::uint64_t burst);

    [[nodiscard]] std::uint64_t capacity() const noexcept { return burst_; }
    [[nodiscard]] TimePoint ready_at(std::uint64_t count, TimePoint at) const noexcept;
    void take(std::uint64_t count, TimePoint at) noexcept;
    [[nodiscard]] bool is_fresh(TimePoint at) const noexcept { return level_at(at) == full(); }

    [[nodiscard]] Rate rate() const noexcept { return rate_; }
    /// From `at` on it fills with so many permits in the same time.
    void set_permits(std::uint64_t permits, TimePoint at) noexcept;
    /// Whole permits that are there.
    [[nodiscard]] std::uint64_t available(TimePoint at) const noexcept;

private:
    TokenBucket(Rate rate, std::uint64_t burst) noexcept
        : rate_(rate), burst_(burst), level_(full()) {}
    /// Permits times nanoseconds, as `level_`.
    [[nodiscard]] Wide full() const noexcept { return Wide{burst_} * rate_.per.count(); }
    [[nodiscard]] Wide level_at(TimePoint at) const noexcept;

    Rate rate_;
    std::uint64_t burst_;
    Wide level_;
    TimePoint last_{};
};

static_assert(RateAlgorithm<TokenBucket>);

} // namespace zsync::coord
