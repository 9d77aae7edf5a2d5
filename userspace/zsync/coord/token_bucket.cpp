#include <zsync/coord/token_bucket.hpp>

#include <algorithm>

namespace zsync::coord {

Outcome<TokenBucket> TokenBucket::create(Rate rate, std::uint64_t burst) {
    ZTRY(check_rate(rate, burst));
    return TokenBucket(rate, burst);
}

Wide TokenBucket::level_at(TimePoint at) const noexcept {
    const Wide elapsed =
        std::max<Wide>(Wide{at.time_since_epoch().count()} - last_.time_since_epoch().count(), 0);
    return std::min(full(), level_ + elapsed * rate_.permits);
}

TimePoint TokenBucket::ready_at(std::uint64_t count, TimePoint at) const noexcept {
    const Wide missing = Wide{count} * rate_.per.count() - level_at(at);
    if (missing <= 0) {
        return at;
    }
    const Wide wait = (missing + rate_.permits - 1) / rate_.permits;
    return std::max(at, last_) + Duration(static_cast<Duration::rep>(wait));
}

void TokenBucket::take(std::uint64_t count, TimePoint at) noexcept {
    level_ = level_at(at) - Wide{count} * rate_.per.count();
    last_ = std::max(last_, at);
}

void TokenBucket::set_permits(std::uint64_t permits, TimePoint at) noexcept {
    take(0, at);
    rate_.permits = permits;
}

std::uint64_t TokenBucket::available(TimePoint at) const noexcept {
    return static_cast<std::uint64_t>(level_at(at) / rate_.per.count());
}

} // namespace zsync::coord
