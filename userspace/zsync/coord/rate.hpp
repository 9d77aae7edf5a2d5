// Rate: so many permits in so much time, and the whole numbers that limiters count in.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <concepts>
#include <cstdint>

namespace zsync::coord {

/// So many permits (calls, connections, bytes) in so much time: `{1000, 1s}`.
struct Rate {
    constexpr Rate(std::uint64_t count, Duration time) noexcept : permits(count), per(time) {}

    std::uint64_t permits;
    Duration per;

    friend bool operator==(const Rate&, const Rate&) = default;
};

/// Holds permits multiplied by nanoseconds without rounding: 10^12 permits times 292 years fit.
using Wide = __int128;

/// Says what is wrong with a rate, or with the burst that goes with it: `invalid_argument` with
/// words.
[[nodiscard]] Outcome<void> check_rate(Rate rate, std::uint64_t burst);

/// Decides when permits may be had. Plain state without a clock, a lock or a wait: the time is an
/// argument, and never goes back from one call to the next.
template <class A>
concept RateAlgorithm =
    std::copyable<A> && requires(A changed, const A& asked, std::uint64_t count, TimePoint at) {
        /// The most permits that can be had at once.
        { asked.capacity() } -> std::same_as<std::uint64_t>;
        /// The first time from `at` on when `count` permits, at most `capacity()`, may be taken.
        { asked.ready_at(count, at) } -> std::same_as<TimePoint>;
        /// Takes what is ready.
        { changed.take(count, at) } -> std::same_as<void>;
        /// Nothing would be lost if a new one took its place.
        { asked.is_fresh(at) } -> std::same_as<bool>;
    };

/// A limiter whose rate moves is told when a task was held back.
template <class A>
concept NoticesHoldingBack = requires(A changed, TimePoint at) { changed.held_back(at); };

} // namespace zsync::coord
