// epoch_time: a clock's time as a plain number.
#pragma once

#include <chrono>
#include <cstdint>

namespace zsync {

/// Whole units of the clock's time: since 1970 by the system's clock, which may be set, or since
/// the boot by std::chrono::steady_clock (CLOCK_MONOTONIC).
///
///     const std::uint64_t now_us = epoch_time<std::chrono::microseconds>();
template <class Unit, class SomeClock = std::chrono::system_clock>
[[nodiscard]] std::uint64_t epoch_time() noexcept {
    const auto now = SomeClock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<Unit>(now).count());
}

} // namespace zsync
