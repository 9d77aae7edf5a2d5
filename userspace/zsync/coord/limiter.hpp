// Limiter: tasks that wait for their turn at a rate.
#pragma once

#include <zsync/coord/limits.hpp>
#include <zsync/coord/rate.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/wait_queue.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace zsync::coord {

struct LimiterStats {
    std::uint64_t granted = 0;   ///< permits
    std::uint64_t held_back = 0; ///< times that somebody had to wait or was refused
    std::uint32_t waiting = 0;   ///< tasks
};

/// Lets tasks through at a rate, first come first served: a task that wants many permits is not
/// overtaken by others that want few.
///
///     Limiter calls(io, ZTRY(TokenBucket::create({1000, 1s}, 50)));
///     ZCO_CHECK(co_await calls.acquire());
///     ZCO_CHECK(co_await bytes.acquire(buffer.size()).until(io.now() + 5s));
///
/// Timers are late, by up to a millisecond on a plain worker. A wait that ended late is counted as
/// if it had ended in time, so that lateness costs no rate, not even to a single task in a loop
/// with a burst of 1: a window of any length t sees at most `rate * (t + lateness) + burst`, with
/// `lateness` never over `limiter_lateness_max`.
///
/// Belongs to one executor, as every synchronisation does.
template <RateAlgorithm A> class Limiter {
public:
    Limiter(Io io, A algorithm) : io_(io), algorithm_(std::move(algorithm)) {}
    Limiter(const Limiter&) = delete;
    Limiter& operator=(const Limiter&) = delete;

    /// Awaits to `Result<void>`: all permits, or an error and none. `canceled` and `timed_out`
    /// leave the queue, and whoever is next is served from then on; `invalid_argument` for more
    /// than could ever be had at once, `limit_reached` for one waiting task too many.
    class Acquire final : public QueueWait {
    public:
        Acquire(Limiter& limiter, std::uint64_t count) noexcept : limiter_(limiter), count_(count) {
            const RuntimeLock lock;
            ++limiter_.acquiring_;
        }
        Acquire(const Acquire&) = delete;
        Acquire& operator=(const Acquire&) = delete;
        ~Acquire() {
            const RuntimeLock lock;
            --limiter_.acquiring_;
        }
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return limiter_.take_in_turn(count_);
        }
        bool suspend(PromiseBase& promise) noexcept {
            if (const auto reason = limiter_.why_never(count_)) {
                refuse(*reason);
                return false;
            }
            return suspend_in(limiter_.waiting_, promise);
        }
        [[nodiscard]] Result<void> await_resume() const noexcept { return outcome(); }
        // The timer of whoever is first is for its turn, if that comes before its deadline.
        void expired() noexcept override {
            const RuntimeLock lock;
            limiter_.serve_late(due);
            if (deadline_ && *deadline_ <= limiter_.io_.now()) {
                interrupt(CoreError::timed_out); // unless it has just been served
            }
        }
        [[nodiscard]] std::string_view kind() const noexcept override { return "limiter"; }

    private:
        friend class Limiter;
        bool try_without_waiting() noexcept override { return false; }
        void entered() noexcept override {
            deadline_ = armed() ? std::optional(due) : std::nullopt;
            ++limiter_.stats_.waiting;
            limiter_.notice_holding_back();
            if (limiter_.waiting_.front() == this) {
                limiter_.serve();
            }
        }
        void interrupted() noexcept override {
            --limiter_.stats_.waiting;
            wake();
            limiter_.serve();
        }
        void wait_for_turn(TimePoint turn) noexcept {
            const TimePoint at = deadline_ ? std::min(*deadline_, turn) : turn;
            if (!armed() || due != at) {
                disarm();
                arm(at);
            }
        }

        Limiter& limiter_;
        std::uint64_t count_;
        std::optional<TimePoint> deadline_;
    };

    /// Waits for `count` permits at once.
    [[nodiscard]] Acquire acquire(std::uint64_t count = 1) noexcept { return {*this, count}; }
    /// Never waits. False when there are not enough permits, or others wait.
    [[nodiscard]] bool try_acquire(std::uint64_t count = 1) noexcept {
        const RuntimeLock lock;
        const bool taken = take_in_turn(count);
        if (!taken) {
            notice_holding_back();
        }
        return taken;
    }
    /// Tells an algorithm whose rate adapts that there is too much.
    void congested() noexcept
        requires requires(A changed, TimePoint at) { changed.congested(at); }
    {
        const RuntimeLock lock;
        algorithm_.congested(pass_time(io_.now()));
    }

    [[nodiscard]] const A& algorithm() const noexcept { return algorithm_; }
    [[nodiscard]] LimiterStats stats() const noexcept {
        const RuntimeLock lock;
        return stats_;
    }

private:
    template <class, RateAlgorithm, class> friend class KeyedLimiter;

    /// The time that permits are counted by: the clock's, less what the last timer was late.
    TimePoint pass_time(TimePoint now) noexcept {
        return counted_ = std::max(counted_, now - late_);
    }

    [[nodiscard]] bool take_in_turn(std::uint64_t count) noexcept {
        if (!waiting_.empty() || count > algorithm_.capacity()) {
            return false;
        }
        return take(count, io_.now());
    }
    /// False, and nothing changed, before their time has come.
    bool take(std::uint64_t count, TimePoint now) noexcept {
        const TimePoint turn = algorithm_.ready_at(count, pass_time(now));
        if (turn > now) {
            return false;
        }
        counted_ = turn;
        algorithm_.take(count, turn);
        stats_.granted += count;
        return true;
    }
    /// Lets go whose turn has come, and sets the timer of who is first then.
    void serve() noexcept {
        const TimePoint now = io_.now();
        while (auto* first = static_cast<Acquire*>(waiting_.front())) {
            if (!take(first->count_, now)) {
                first->wait_for_turn(algorithm_.ready_at(first->count_, counted_));
                return;
            }
            --stats_.waiting;
            waiting_.wake(*first);
        }
    }
    /// A timer that was due at `due` has come.
    void serve_late(TimePoint due) noexcept {
        late_ = std::clamp(io_.now() - due, Duration::zero(), limits::limiter_lateness_max);
        serve();
    }
    [[nodiscard]] std::optional<CoreError> why_never(std::uint64_t count) const noexcept {
        const RuntimeLock lock;
        if (count > algorithm_.capacity()) {
            return CoreError::invalid_argument;
        }
        if (stats_.waiting == limits::limiter_waiters_max) {
            return CoreError::limit_reached;
        }
        return std::nullopt;
    }
    void notice_holding_back() noexcept {
        ++stats_.held_back;
        if constexpr (NoticesHoldingBack<A>) {
            algorithm_.held_back(pass_time(io_.now()));
        }
    }
    /// Nobody would notice if it began anew.
    [[nodiscard]] bool is_fresh() noexcept {
        return acquiring_ == 0 && algorithm_.is_fresh(pass_time(io_.now()));
    }

    Io io_;
    A algorithm_;
    WaitQueue waiting_;
    TimePoint counted_{}; ///< the last time that permits were counted at
    Duration late_{};
    LimiterStats stats_;
    std::uint32_t acquiring_ = 0; ///< awaitables that refer to it
};

} // namespace zsync::coord
