// Notify: a signal with memory of one.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <string_view>
#include <utility>

namespace zsync {

/// A signal with memory of one: `notify` before `wait` is not lost, several count as one.
class Notify {
public:
    /// Awaits to `Result<void>`: success, `canceled`, or `timed_out`.
    class Wait final : public QueueWait {
    public:
        explicit Wait(Notify& notify) noexcept : notify_(notify) {}
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return std::exchange(notify_.pending_, false);
        }
        bool suspend(PromiseBase& promise) noexcept {
            return suspend_in(notify_.waiting_, promise);
        }
        [[nodiscard]] Result<void> await_resume() const noexcept { return outcome(); }
        [[nodiscard]] std::string_view kind() const noexcept override { return "notify"; }

    private:
        bool try_without_waiting() noexcept override { return await_ready(); }

        Notify& notify_;
    };

    [[nodiscard]] Wait wait() noexcept { return Wait(*this); }

    /// Wakes the task that has waited longest; if nobody waits, the next `wait` goes through.
    void notify() noexcept {
        const RuntimeLock lock;
        if (!waiting_.wake_one()) {
            pending_ = true;
        }
    }
    /// Wakes all that wait, and is not remembered.
    void notify_all() noexcept {
        const RuntimeLock lock;
        waiting_.wake_all();
    }

private:
    WaitQueue waiting_;
    bool pending_ = false;
};

} // namespace zsync
