// Clocks: waits by another clock than that of `Io::now`.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/task.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <chrono>
#include <concepts>

namespace zsync {

/// CLOCK_BOOTTIME: goes on while the machine is suspended, which `Io::now` does not.
struct BootClock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<BootClock>;
    static constexpr bool is_steady = true;
    [[nodiscard]] static time_point now() noexcept;
};

/// A point of a clock that a task can wait by: the executor's own, the wall's, or `BootClock`.
template <class T>
concept Moment = std::same_as<T, TimePoint> || std::same_as<T, BootClock::time_point> ||
                 std::same_as<T, std::chrono::system_clock::time_point>;

/// Waits until the wall clock shows `time`, however that is set meanwhile: what is to happen at six
/// in the morning.
///
///     ZCO_CHECK(co_await sleep_until(io, std::chrono::system_clock::from_time_t(at)));
///
/// Fails as `Io::sleep_until` does, and with the system's error where there is no descriptor for
/// the timer (timerfd_create(2)). In a simulation, which has no other clock than its own, as much
/// of that passes as is left now.
[[nodiscard]] Task<Result<void>> sleep_until(Io io, std::chrono::system_clock::time_point time);
/// The same by a clock that counts the time in which the machine was suspended: what must not last
/// longer because a lid was closed.
[[nodiscard]] Task<Result<void>> sleep_until(Io io, BootClock::time_point time);
/// `Io::sleep_until`, for code that takes any of the clocks.
[[nodiscard]] Task<Result<void>> sleep_until(Io io, TimePoint time);

} // namespace zsync
