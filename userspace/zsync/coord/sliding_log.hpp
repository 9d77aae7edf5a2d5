// SlidingLog: so many permits in any window, exactly.
#pragma once

#include <zsync/coord/rate.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zsync::coord {

/// Remembers when each of the last `rate.permits` permits was taken, 8 bytes of each: no window of
/// `rate.per`, wherever it begins, ever has more. A question costs one look, for any count.
class SlidingLog {
public:
    /// At most `sliding_log_permits_max` permits.
    static Outcome<SlidingLog> create(Rate rate);

    [[nodiscard]] std::uint64_t capacity() const noexcept { return taken_.size(); }
    [[nodiscard]] TimePoint ready_at(std::uint64_t count, TimePoint at) const noexcept;
    void take(std::uint64_t count, TimePoint at) noexcept;
    [[nodiscard]] bool is_fresh(TimePoint at) const noexcept {
        return ready_at(capacity(), at) == at;
    }

    [[nodiscard]] Rate rate() const noexcept { return {taken_.size(), per_}; }

private:
    explicit SlidingLog(Rate rate) : per_(rate.per), taken_(rate.permits, long_ago) {}

    static constexpr TimePoint long_ago = TimePoint::min();
    Duration per_;
    std::vector<TimePoint> taken_; ///< a ring
    std::size_t oldest_ = 0;
};

static_assert(RateAlgorithm<SlidingLog>);

} // namespace zsync::coord
