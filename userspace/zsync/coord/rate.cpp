#include <zsync/coord/limits.hpp>
#include <zsync/coord/rate.hpp>

#include <format>

namespace zsync::coord {

Outcome<void> check_rate(Rate rate, std::uint64_t burst) {
    const auto refuse = [](std::string words) {
        return fail(CoreError::invalid_argument, std::move(words));
    };
    if (rate.permits == 0 || rate.permits > limits::permits_max) {
        return refuse(
            std::format("a rate has 1 to {} permits, not {}", limits::permits_max, rate.permits)
        );
    }
    if (rate.per <= Duration::zero() || rate.per > limits::period_max) {
        return refuse(std::format(
            "a rate's time is from 1ns to {}, not {}",
            std::chrono::duration_cast<std::chrono::days>(limits::period_max),
            rate.per
        ));
    }
    if (burst == 0 || burst > limits::permits_max) {
        return refuse(std::format("a burst has 1 to {} permits, not {}", limits::permits_max, burst)
        );
    }
    if (Wide{burst} * rate.per.count() > Wide{limits::refill_max.count()} * rate.permits) {
        return refuse(std::format(
            "{} permits at {} in {} take longer than {}: a smaller burst or a higher rate",
            burst,
            rate.permits,
            rate.per,
            std::chrono::duration_cast<std::chrono::days>(limits::refill_max)
        ));
    }
    return {};
}

} // namespace zsync::coord
