// Interval: something to be done again and again.
#pragma once

#include <zsync/core/assert.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/runtime_lock.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace zsync {

/// What an interval does about ticks that passed while nobody waited.
enum class MissedTicks : std::uint8_t {
    burst, ///< makes up for every one, as fast as they are taken
    delay, ///< goes on one period after the late one was taken
    skip,  ///< goes on with the next one that is still to come; the rhythm stays
};

/// Ticks once every `period`, the first time one period after it was made.
///
///     Interval ticks(io, 1s, MissedTicks::skip);
///     while (co_await ticks.tick()) { report(); }
class Interval {
public:
    Interval(Io io, Duration period, MissedTicks missed = MissedTicks::burst) noexcept
        : io_(io), period_(period), next_(later(io.now(), period)), missed_(missed) {
        ZASSERT(period > Duration::zero(), "an interval has a period");
    }

    /// Awaits to `Result<TimePoint>`: when the tick was due. An error takes no tick away.
    class Tick final : public TimedSuspension, public Awaitable {
    public:
        explicit Tick(Interval& interval) noexcept : interval_(interval) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        bool suspend(PromiseBase& promise) noexcept {
            const RuntimeLock lock;
            if (!begin(promise)) {
                failure_ = CoreError::canceled;
                return false;
            }
            arm(deadline_ ? std::min(*deadline_, interval_.next_) : interval_.next_);
            return park();
        }
        [[nodiscard]] Result<TimePoint> await_resume() const noexcept {
            if (failure_) {
                return fail(*failure_);
            }
            return interval_.take();
        }
        /// Ends with `timed_out` if no tick is due by then.
        [[nodiscard]] Tick&& until(TimePoint deadline) && noexcept {
            deadline_ = deadline;
            return std::move(*this);
        }
        void interrupt(CoreError reason) noexcept override {
            const RuntimeLock lock;
            if (reason == CoreError::canceled && (!armed() || !task().take_cancel())) {
                return; // it has been woken, or is protected
            }
            failure_ = reason;
            disarm();
            wake();
        }
        void expired() noexcept override {
            const RuntimeLock lock;
            if (deadline_ && *deadline_ < interval_.next_) {
                failure_ = CoreError::timed_out;
            }
            wake();
        }
        [[nodiscard]] std::string_view kind() const noexcept override { return "interval"; }

    private:
        Interval& interval_;
        std::optional<TimePoint> deadline_;
        std::optional<CoreError> failure_;
    };

    /// The next tick; one that is overdue comes at once.
    [[nodiscard]] Tick tick() noexcept { return Tick(*this); }
    /// The next tick comes one period from here.
    void reset() noexcept { next_ = later(io_.now(), period_); }
    [[nodiscard]] Duration period() const noexcept { return period_; }

private:
    TimePoint take() noexcept {
        const TimePoint due = next_;
        next_ = later(next_, period_);
        const TimePoint now = io_.now();
        if (next_ <= now && missed_ == MissedTicks::delay) {
            next_ = later(now, period_);
        } else if (next_ <= now && missed_ == MissedTicks::skip) {
            next_ += period_ * ((now - next_) / period_ + 1);
        }
        return due;
    }

    Io io_;
    Duration period_;
    TimePoint next_;
    MissedTicks missed_;
};

} // namespace zsync
