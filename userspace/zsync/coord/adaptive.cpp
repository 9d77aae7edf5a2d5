#include <zsync/coord/adaptive.hpp>
#include <zsync/coord/limits.hpp>

#include <algorithm>
#include <format>

namespace zsync::coord {

Outcome<Adaptive> Adaptive::create(const Options& options) {
    ZTRY(check_rate({options.least, options.per}, options.burst));
    if (options.least > options.most) {
        return fail(
            CoreError::invalid_argument,
            std::format("the least rate {} is above the most {}", options.least, options.most)
        );
    }
    if (options.increase == 0 || options.increase > limits::permits_max ||
        options.decrease_percent == 0 || options.decrease_percent > 99) {
        return fail(
            CoreError::invalid_argument,
            std::format(
                "a rate that rises by {} and falls to {} percent does not adapt",
                options.increase,
                options.decrease_percent
            )
        );
    }
    if (options.interval <= Duration::zero() || options.interval > limits::period_max) {
        return fail(
            CoreError::invalid_argument,
            std::format("an interval of {} to adapt in", options.interval)
        );
    }
    return Adaptive(options, ZTRY(TokenBucket::create({options.most, options.per}, options.burst)));
}

void Adaptive::pass_time(TimePoint at) noexcept {
    if (at - began_ < options_.interval) {
        return;
    }
    if (held_back_ && !congested_) {
        const std::uint64_t raised = bucket_.rate().permits + options_.increase;
        bucket_.set_permits(std::min(raised, options_.most), at);
    }
    began_ = at - (at - began_) % options_.interval;
    held_back_ = false;
    congested_ = false;
}

void Adaptive::congested(TimePoint at) noexcept {
    pass_time(at);
    if (congested_) {
        return;
    }
    congested_ = true;
    const Wide left = Wide{bucket_.rate().permits} * options_.decrease_percent / 100;
    bucket_.set_permits(std::max(static_cast<std::uint64_t>(left), options_.least), at);
}

} // namespace zsync::coord
