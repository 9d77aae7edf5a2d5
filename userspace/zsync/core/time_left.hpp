// How much time is left until a deadline.
#pragma once

#include <zsync/core/timer_wheel.hpp>

namespace zsync {

/// None once it is over, whatever deadline somebody gave: the difference of two times may not fit
/// into a duration, from one that a clock has shown to a later one it does.
[[nodiscard]] constexpr Duration time_left(TimePoint deadline, TimePoint now) noexcept {
    return deadline <= now ? Duration::zero() : deadline - now;
}

} // namespace zsync
