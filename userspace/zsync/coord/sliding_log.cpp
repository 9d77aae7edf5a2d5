#include <zsync/coord/limits.hpp>
#include <zsync/coord/sliding_log.hpp>

#include <algorithm>
#include <format>

namespace zsync::coord {

Outcome<SlidingLog> SlidingLog::create(Rate rate) {
    ZTRY(check_rate(rate, 1));
    if (rate.permits > limits::sliding_log_permits_max) {
        return fail(
            CoreError::invalid_argument,
            std::format(
                "a sliding log remembers at most {} permits, not {}: a sliding window needs no "
                "memory",
                limits::sliding_log_permits_max,
                rate.permits
            )
        );
    }
    return SlidingLog(rate);
}

TimePoint SlidingLog::ready_at(std::uint64_t count, TimePoint at) const noexcept {
    if (count == 0) {
        return at;
    }
    // The youngest of the `count` that have to leave the window.
    const TimePoint last = taken_[(oldest_ + count - 1) % taken_.size()];
    return last == long_ago ? at : std::max(at, last + per_);
}

void SlidingLog::take(std::uint64_t count, TimePoint at) noexcept {
    for (std::uint64_t n = 0; n < count; ++n) {
        taken_[oldest_] = at;
        oldest_ = oldest_ + 1 == taken_.size() ? 0 : oldest_ + 1;
    }
}

} // namespace zsync::coord
