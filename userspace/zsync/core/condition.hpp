// Condition: waiting for what a mutex guards to change.
#pragma once

#include <zsync/core/mutex.hpp>

#include <string_view>

namespace zsync {

/// Waiting, with a mutex given up meanwhile, until another task signals that something changed.
///
///     ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
///     while (jobs.empty()) {
///         ZCO_CHECK(co_await changed.wait(lock));
///     }
///
/// A task that was signalled waits in the mutex's queue next, without running in between. All tasks
/// that wait at a time do so with the same mutex.
class Condition {
public:
    /// Awaits to `Result<void>`, and the mutex is locked again however it ends. Whoever was
    /// signalled reports success, so no signal goes to a task that gives up: a cancel or deadline
    /// that comes after the signal does not take it back.
    class Wait final : public QueueWait {
    public:
        Wait(Condition& condition, Mutex& mutex) noexcept : condition_(condition), mutex_(mutex) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        bool suspend(PromiseBase& promise) noexcept {
            return suspend_in(condition_.waiting_, promise);
        }
        [[nodiscard]] Result<void> await_resume() const noexcept { return outcome(); }
        [[nodiscard]] std::string_view kind() const noexcept override { return "condition"; }

    private:
        friend class Condition;
        bool try_without_waiting() noexcept override { return false; }
        void entered() noexcept override { mutex_.unlock(); }
        // Not before the mutex is locked again, which no cancel can cut short.
        void interrupted() noexcept override { lock_again(); }
        void lock_again() noexcept {
            mutex_.waiting_.move_here(*this);
            if (mutex_.take()) {
                mutex_.waiting_.wake(*this);
            }
        }

        Condition& condition_;
        Mutex& mutex_;
    };

    [[nodiscard]] Wait wait(Mutex::Lock& lock) noexcept {
        ZASSERT(lock.owns_lock(), "a condition is waited for with its mutex locked");
        return {*this, *lock.mutex_};
    }

    /// Wakes the task that has waited longest. With or without the mutex locked.
    void signal() noexcept {
        const RuntimeLock lock;
        if (QueueWait* first = waiting_.front()) {
            static_cast<Wait*>(first)->lock_again();
        }
    }
    void broadcast() noexcept {
        const RuntimeLock lock;
        while (!waiting_.empty()) {
            signal();
        }
    }

private:
    WaitQueue waiting_;
};

} // namespace zsync
