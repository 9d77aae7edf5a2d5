// Suspension: the base of everything a task can wait for.
#pragma once

#include <zsync/core/error.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <coroutine>
#include <cstdint>
#include <source_location>
#include <string_view>

namespace zsync {

struct PromiseBase;
class TaskRecord;
class Worker;

/// A point where a task waits. It lives in the awaiting coroutine's frame, or on the stack of a
/// fiber or thread, and stays where it is, with every buffer in it, until the wait has ended: an
/// interruption is a request, after which the wait goes on until the event's own end is known.
class Suspension { // NOLINT(*-member-init): see its constructor
public:
    // NOLINTNEXTLINE(*-member-init): `promise_`, see there
    Suspension() noexcept = default;
    Suspension(const Suspension&) = delete;
    Suspension& operator=(const Suspension&) = delete;

    /// Asks the wait to end early, with this reason: `canceled`, `timed_out`, or `deadlock`. It
    /// ends by its own path, possibly with success.
    virtual void interrupt(CoreError reason) noexcept = 0;
    /// A word for people: what is waited for.
    [[nodiscard]] virtual std::string_view kind() const noexcept = 0;

protected:
    ~Suspension() = default;

    /// Enters the wait. False when a cancel is to be delivered here: it has been taken, the task
    /// must not wait.
    [[nodiscard]] bool begin(PromiseBase& promise) noexcept;
    /// As `begin`, for waits that must not be cut short: a pending cancel stays pending.
    void begin_regardless(PromiseBase& promise) noexcept;
    /// Gives the processor to others until `wake`. To be returned from `await_suspend`: true
    /// suspends a coroutine; tasks with a stack of their own wait in here, and then go on.
    [[nodiscard]] bool park() noexcept;
    /// Ends the wait; the task runs in its turn. Defined with `Executor`.
    inline void wake() noexcept;
    /// The task has waited on its own thread, and goes on. Under the runtime lock.
    void end_here() noexcept;
    /// Ends the wait and runs the task at once. Only from its worker's own loop.
    void resume_inline() noexcept;

    [[nodiscard]] TaskRecord& task() const noexcept;
    /// The frame that waits, or has waited.
    [[nodiscard]] const PromiseBase& frame() const noexcept { return *promise_; }

private:
    friend class TaskRecord;
    friend class ThreadExecutor;
    friend class Worker;
    void park_here() noexcept;
    static void wake_thread(TaskRecord& record) noexcept;

    PromiseBase* promise_; ///< set by `begin`: each wait would write it twice
};

/// A suspension that may also end because its time has come.
class TimedSuspension : public Suspension, public Timer {
public:
    /// The deadline is over. Called with the timer taken out of its wheel.
    virtual void expired() noexcept { interrupt(CoreError::timed_out); }

protected:
    TimedSuspension() noexcept = default;
    ~TimedSuspension() = default;

    /// After `begin`.
    void arm(TimePoint at) noexcept;
    void disarm() noexcept {
        if (armed()) {
            remove_timer();
        }
    }

private:
    void remove_timer() noexcept;
};

/// A wait for other tasks, whose cancel is theirs. They may wait for others again, to any depth, so
/// whoever cancels the first asks them all one after another, and not each from within the last.
class CancelRelay : public Suspension { // NOLINT(*-member-init): see its constructor
protected:
    // NOLINTNEXTLINE(*-member-init): `next_relay_` is set by `relay`
    CancelRelay() noexcept = default;
    ~CancelRelay() = default;

    /// Calls `pass_on`: at once, or when that of another, which has led here, has returned. Under
    /// the runtime lock, and once in a wait.
    void relay() noexcept;

private:
    virtual void pass_on() noexcept = 0;

    CancelRelay* next_relay_;
};

/// The innermost frame of the current task that is known to wait on its own stack. Aborts, with
/// the place, in a stackless coroutine and outside of any task.
PromiseBase& waiting_frame(std::source_location here) noexcept;

/// What every awaitable operation shares: `co_await` in a coroutine, and `wait()`, which does the
/// same in a fiber or on a thread of its own.
///
///     Result<void> slept = co_await io.sleep_for(1s);
///     Result<void> slept = io.sleep_for(1s).wait();
///
/// In a stackless coroutine there is no stack to wait on: `wait` aborts there and says so. An
/// operation has `await_ready`, `suspend` (begins the wait; true when a coroutine has to suspend)
/// and `await_resume`.
class Awaitable {
public:
    template <class Self, class Promise>
    bool await_suspend(this Self& self, std::coroutine_handle<Promise> waiter) noexcept {
        return self.suspend(waiter.promise());
    }

    template <class Self>
    auto wait(this Self&& self, std::source_location here = std::source_location::current())
        -> decltype(self.await_resume()) {
        if (!self.await_ready()) {
            self.suspend(waiting_frame(here));
        }
        return self.await_resume();
    }

protected:
    ~Awaitable() = default;
};

} // namespace zsync
