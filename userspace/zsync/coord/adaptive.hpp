// Adaptive: a token bucket that looks for the rate that something else can bear.
#pragma once

#include <zsync/coord/token_bucket.hpp>

#include <cstdint>

namespace zsync::coord {

/// Additive increase, multiplicative decrease (Chiu and Jain, 1989), of a token bucket's rate
/// between two bounds. The caller says when there is too much: at a drop, when a queue is above its
/// mark, when a processor is above its share. The rate then falls, at once and once in an
/// interval. It rises after each interval without such a sign in which somebody was held back: an
/// interval in which nobody wanted more says nothing about what could be borne.
class Adaptive {
public:
    struct Options {
        std::uint64_t least = 1; ///< permits
        std::uint64_t most = 1;  ///< permits; it starts here
        Duration per{};          ///< the time that they are for
        std::uint64_t burst = 1;
        std::uint64_t increase = 1;          ///< permits more after an interval
        std::uint32_t decrease_percent = 50; ///< what is left of the rate, 1 to 99
        Duration interval{};
    };
    static Outcome<Adaptive> create(const Options& options);

    [[nodiscard]] std::uint64_t capacity() const noexcept { return bucket_.capacity(); }
    [[nodiscard]] TimePoint ready_at(std::uint64_t count, TimePoint at) const noexcept {
        return bucket_.ready_at(count, at);
    }
    void take(std::uint64_t count, TimePoint at) noexcept {
        pass_time(at);
        bucket_.take(count, at);
    }
    [[nodiscard]] bool is_fresh(TimePoint at) const noexcept {
        return bucket_.rate().permits == options_.most && bucket_.is_fresh(at);
    }
    /// Somebody wanted more than there was.
    void held_back(TimePoint at) noexcept {
        pass_time(at);
        held_back_ = true;
    }
    /// There is too much.
    void congested(TimePoint at) noexcept;

    [[nodiscard]] Rate rate() const noexcept { return bucket_.rate(); }

private:
    Adaptive(const Options& options, TokenBucket bucket) noexcept
        : options_(options), bucket_(bucket) {}
    void pass_time(TimePoint at) noexcept;

    Options options_;
    TokenBucket bucket_;
    TimePoint began_{}; ///< of the present interval
    bool held_back_ = false;
    bool congested_ = false;
};

static_assert(RateAlgorithm<Adaptive> && NoticesHoldingBack<Adaptive>);

} // namespace zsync::coord
