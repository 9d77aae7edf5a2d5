// Suspension: the base of everything a task can wait for.
#pragma once

#include <coroutine>
#include <string_view>

namespace zsync {

struct PromiseBase;
class TaskRecord;

/// A point where a task waits. It lives in the awaiting coroutine's frame, so the frame, and every
/// buffer in it, stays where it is until the suspension has ended: a cancel is a request, after
/// which the wait goes on until the event's own end is known.
class Suspension {
public:
    Suspension() = default;
    Suspension(const Suspension&) = delete;
    Suspension& operator=(const Suspension&) = delete;

    /// Asks the wait to end early. It ends by its own path, possibly with success.
    virtual void request_cancel() noexcept = 0;
    /// A word for people: what is waited for.
    [[nodiscard]] virtual std::string_view kind() const noexcept = 0;

protected:
    ~Suspension() = default;

    /// Enters the wait. False when a cancel is pending: it has been taken, the task must not
    /// suspend.
    [[nodiscard]] bool enter(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept;
    /// As `enter`, for waits that must not be cut short: a pending cancel stays pending.
    void enter_regardless(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept;
    /// Ends the wait; the task runs in its turn.
    void wake() noexcept;
    /// Ends the wait and runs the task at once. Only from the worker's own loop.
    void resume_inline() noexcept;

    [[nodiscard]] TaskRecord& task() const noexcept { return *task_; }

private:
    TaskRecord* task_ = nullptr;
    std::coroutine_handle<> waiter_;
};

} // namespace zsync
