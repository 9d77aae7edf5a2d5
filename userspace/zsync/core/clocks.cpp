#include <zsync/core/clocks.hpp>
#include <zsync/core/error.hpp>
#include <zsync/core/fd.hpp>
#include <zsync/core/worker.hpp>

#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <poll.h>

namespace zsync {
namespace {

using std::chrono::nanoseconds;

bool is_simulated(Io io) noexcept {
    return io.kind() != TaskKind::thread &&
           static_cast<const Worker&>(io.executor()).is_simulated();
}

template <class At> Task<Result<void>> sleep_by(Io io, clockid_t clock, At time, At now) {
    if (is_simulated(io)) {
        // The difference of any two times may not fit into a duration.
        co_return co_await io.sleep_for(time <= now ? nanoseconds::zero() : time - now);
    }
    const Fd timer(::timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer) {
        co_return fail(os_error(errno));
    }
    // A time of 0 would disarm it.
    const nanoseconds at = std::max(nanoseconds(time.time_since_epoch()), nanoseconds(1));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
    const itimerspec when{
        .it_interval = {},
        .it_value = {.tv_sec = seconds.count(), .tv_nsec = (at - seconds).count()},
    };
    if (::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0) {
        co_return fail(os_error(errno));
    }
    // The deadline is never reached, but an executor without a clock refuses it.
    ZCO_CHECK(co_await io.poll(timer, POLLIN).until(io.now() + std::chrono::years(100)));
    co_return {};
}

} // namespace

BootClock::time_point BootClock::now() noexcept {
    timespec now{};
    (void)::clock_gettime(CLOCK_BOOTTIME, &now);
    return time_point(std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec));
}

Task<Result<void>> sleep_until(Io io, std::chrono::system_clock::time_point time) {
    return sleep_by(io, CLOCK_REALTIME, time, std::chrono::system_clock::now());
}

Task<Result<void>> sleep_until(Io io, BootClock::time_point time) {
    return sleep_by(io, CLOCK_BOOTTIME, time, BootClock::now());
}

Task<Result<void>> sleep_until(Io io, TimePoint time) { co_return co_await io.sleep_until(time); }

} // namespace zsync
