// SlidingWindow: so many permits in any window, estimated from two counts.
#pragma once

#include <zsync/coord/rate.hpp>

#include <cstdint>

namespace zsync::coord {

/// Counts permits in windows that stand side by side, and takes what lies in the sliding window for
/// the count of the present one and the part of the former one that it still covers. A key costs
/// two numbers; the estimate is exact where permits come evenly. Where all of a window's permits
/// came at its end, a sliding window may see up to twice as many: `SlidingLog` never does.
class SlidingWindow {
public:
    /// At most `rate.permits` in each time of `rate.per`.
    static Outcome<SlidingWindow> create(Rate rate);

    [[nodiscard]] std::uint64_t capacity() const noexcept { return rate_.permits; }
    [[nodiscard]] TimePoint ready_at(std::uint64_t count, TimePoint at) const noexcept;
    void take(std::uint64_t count, TimePoint at) noexcept;
    [[nodiscard]] bool is_fresh(TimePoint at) const noexcept;

    [[nodiscard]] Rate rate() const noexcept { return rate_; }

private:
    struct Counts {
        Duration::rep window = 0; ///< since the clock's epoch
        std::uint64_t former = 0;
        std::uint64_t present = 0;
    };
    explicit SlidingWindow(Rate rate) noexcept : rate_(rate) {}
    [[nodiscard]] Counts counts_at(TimePoint at) const noexcept;

    Rate rate_;
    Counts counts_;
};

static_assert(RateAlgorithm<SlidingWindow>);

} // namespace zsync::coord
