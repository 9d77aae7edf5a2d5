#include <zsync/coord/leaky_bucket.hpp>

#include <algorithm>

namespace zsync::coord {

Outcome<LeakyBucket> LeakyBucket::create(Rate rate, std::uint64_t burst) {
    ZTRY(check_rate(rate, burst));
    return LeakyBucket(rate, burst);
}

TimePoint LeakyBucket::ready_at(std::uint64_t count, TimePoint at) const noexcept {
    const Wide now = scaled(at);
    const Wide early = (Wide{burst_} - count) * rate_.per.count();
    const Wide missing = std::max(due_, now) - early - now;
    if (missing <= 0) {
        return at;
    }
    return at + Duration(static_cast<Duration::rep>((missing + rate_.permits - 1) / rate_.permits));
}

void LeakyBucket::take(std::uint64_t count, TimePoint at) noexcept {
    due_ = std::max(due_, scaled(at)) + Wide{count} * rate_.per.count();
}

} // namespace zsync::coord
