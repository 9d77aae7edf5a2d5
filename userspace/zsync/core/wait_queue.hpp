// WaitQueue: tasks that wait for each other, in order of arrival; what all synchronisation is made
// of.
#pragma once

#include <zsync/core/assert.hpp>
#include <zsync/core/executor.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/suspension.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <cstdint>
#include <string_view>
#include <utility>

namespace zsync {

class WaitQueue;

/// One task waiting in a `WaitQueue`. Ends when it is woken, cancelled, or past its deadline. A
/// wait that was woken never reports anything else, so no wake-up, and nothing handed over with it,
/// is lost: a cancel that comes meanwhile stays pending.
///
/// A primitive derives its awaiters from it. `await_ready` is the path without contention: it takes
/// the runtime lock, and what it takes besides is kept in the awaiter, because another thread may
/// come in before `await_resume`. `suspend` names the queue, and `try_without_waiting` looks once
/// more under the lock.
class QueueWait : public TimedSuspension, public Awaitable { // NOLINT(*-member-init): see there
public:
    void interrupt(CoreError reason) noexcept final;

    /// The wait ends with `timed_out` at `deadline`; what is waited for is not affected.
    template <class Self>
    [[nodiscard]] Self&& until(this Self&& self, TimePoint deadline) noexcept {
        self.due = deadline;
        self.QueueWait::has_deadline_ = true;
        return std::forward<Self>(self);
    }

protected:
    // NOLINTNEXTLINE(*-member-init): what is set when it has to wait
    QueueWait() noexcept = default;
    ~QueueWait() = default;

    /// The body of an awaiter's `suspend`.
    bool suspend_in(WaitQueue& queue, PromiseBase& promise) noexcept;
    /// The same for a wait that no cancel cuts short.
    bool suspend_regardless_in(WaitQueue& queue, PromiseBase& promise) noexcept;

    /// There is nothing to wait for after all: the wait ends with success.
    [[nodiscard]] virtual bool try_without_waiting() noexcept = 0;
    /// It waits in its queue, and the task is about to leave the processor.
    virtual void entered() noexcept {}
    /// It has left its queue without being woken. Ends the wait, at once or, when something is to
    /// be won back first, later.
    virtual void interrupted() noexcept { wake(); }

    /// Ends a wait that has not begun, with an error.
    void refuse(CoreError reason) noexcept {
        reason_ = reason;
        failed_ = true;
    }
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    [[nodiscard]] CoreError reason() const noexcept { return reason_; }
    [[nodiscard]] Result<void> outcome() const noexcept {
        if (failed_) [[unlikely]] {
            return fail(reason_);
        }
        return {};
    }

private:
    friend class WaitQueue;
    bool wait_in(WaitQueue& queue) noexcept;
    void leave_queue() noexcept;

    enum class Phase : std::uint8_t {
        waiting,   ///< may be interrupted
        committed, ///< in a queue where only its turn ends it
    };

    // What is not given a value here gets it when the wait begins: most never do.
    WaitQueue* queue_;
    QueueWait* previous_;
    QueueWait* next_;
    CoreError reason_;
    Phase phase_;
    bool has_deadline_ = false;
    bool failed_ = false;
    bool regardless_ = false;
};

/// Waiting tasks in order of arrival. Every call is made under a `RuntimeLock`.
class WaitQueue {
public:
    WaitQueue() = default;
    WaitQueue(const WaitQueue&) = delete;
    WaitQueue& operator=(const WaitQueue&) = delete;
    ~WaitQueue() { ZASSERT(first_ == nullptr, "nobody waits in a queue that ends"); }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    /// Who has waited longest; null if nobody waits.
    [[nodiscard]] QueueWait* front() const noexcept { return first_; }
    /// Ends one wait with success.
    void wake(QueueWait& wait) noexcept;
    /// Wakes the task that has waited longest. False if nobody waits.
    bool wake_one() noexcept {
        if (first_ == nullptr) [[likely]] {
            return false;
        }
        wake(*first_);
        return true;
    }
    void wake_all() noexcept {
        while (wake_one()) {
        }
    }
    /// Ends every wait with an error.
    void fail_all(CoreError reason) noexcept;
    /// Takes a wait out of whatever queue it is in and puts it at the end of this one, where
    /// nothing but its turn ends it.
    void move_here(QueueWait& wait) noexcept;

private:
    friend class QueueWait;
    void push(QueueWait& wait) noexcept;
    void remove(QueueWait& wait) noexcept;

    QueueWait* first_ = nullptr;
    QueueWait* last_ = nullptr;
};

} // namespace zsync
