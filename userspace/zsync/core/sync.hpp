// Notify, Mutex and Channel: tasks of one worker waiting for each other, never blocking its thread.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/suspension.hpp>
#include <zsync/core/task.hpp>
#include <zsync/core/task_record.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

namespace zsync {

class WaitQueue;

/// One task waiting in a `WaitQueue`. Ends when woken, cancelled, or past its deadline; a wait that
/// was woken never reports anything else, so no wake-up is lost.
class QueueWait : public TimedSuspension, public Awaitable {
public:
    bool suspend(PromiseBase& promise) noexcept;
    void interrupt(CoreError reason) noexcept final;
    [[nodiscard]] std::string_view kind() const noexcept final { return kind_; }

protected:
    QueueWait(WaitQueue& queue, const char* kind) noexcept : queue_(queue), kind_(kind) {}
    ~QueueWait() = default;

    void set_deadline(TimePoint deadline) noexcept { wait_until_ = deadline; }
    [[nodiscard]] bool was_woken() const noexcept { return !failure_; }
    [[nodiscard]] const std::optional<Error>& failure() const noexcept { return failure_; }
    /// Looks once more, under the runtime lock, whether there is anything to wait for.
    virtual bool try_without_waiting() noexcept = 0;

private:
    friend class WaitQueue;
    void end() noexcept;

    WaitQueue& queue_;
    QueueWait* previous_ = nullptr;
    QueueWait* next_ = nullptr;
    std::optional<TimePoint> wait_until_;
    std::optional<Error> failure_;
    const char* kind_;
    bool queued_ = false;
};

/// Waiting tasks in order of arrival; what the other primitives are made of.
class WaitQueue {
public:
    WaitQueue() = default;
    WaitQueue(const WaitQueue&) = delete;
    WaitQueue& operator=(const WaitQueue&) = delete;
    ~WaitQueue();

    /// Wakes the task that has waited longest. False if nobody waits.
    bool wake_one() noexcept;
    void wake_all() noexcept;
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

private:
    friend class QueueWait;
    void push(QueueWait& wait) noexcept;
    void remove(QueueWait& wait) noexcept;

    QueueWait* first_ = nullptr;
    QueueWait* last_ = nullptr;
};

/// A signal with memory of one: `notify` before `wait` is not lost, several count as one.
class Notify {
public:
    void notify() noexcept {
        const RuntimeLock lock;
        if (!waiting_.wake_one()) {
            pending_ = true;
        }
    }

    /// Awaits to `Result<void>`: success, `canceled`, or `timed_out`.
    class Wait final : public QueueWait {
    public:
        explicit Wait(Notify& notify) noexcept
            : QueueWait(notify.waiting_, "notify"), notify_(notify) {}
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return std::exchange(notify_.pending_, false);
        }
        [[nodiscard]] Result<void> await_resume() const noexcept {
            return failure() ? Result<void>(fail(*failure())) : Result<void>();
        }
        [[nodiscard]] Wait&& until(TimePoint deadline) && noexcept {
            set_deadline(deadline);
            return std::move(*this);
        }

    private:
        bool try_without_waiting() noexcept override { return await_ready(); }

        Notify& notify_;
    };
    [[nodiscard]] Wait wait() noexcept { return Wait(*this); }

private:
    WaitQueue waiting_;
    bool pending_ = false;
};

/// Mutual exclusion between tasks, first come first served.
class Mutex {
public:
    /// Unlocks at the end of its life.
    class [[nodiscard]] Lock {
    public:
        explicit Lock(Mutex& mutex) noexcept : mutex_(&mutex) {}
        Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Lock& operator=(Lock&&) = delete;
        ~Lock() {
            if (mutex_ != nullptr) {
                mutex_->unlock();
            }
        }

    private:
        Mutex* mutex_;
    };

    /// Awaits to `Result<Lock>`.
    class Acquire final : public QueueWait {
    public:
        explicit Acquire(Mutex& mutex) noexcept
            : QueueWait(mutex.waiting_, "mutex"), mutex_(mutex) {}
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return !std::exchange(mutex_.locked_, true);
        }
        // Woken means that the mutex was handed over locked.
        [[nodiscard]] Result<Lock> await_resume() const noexcept {
            return failure() ? Result<Lock>(fail(*failure())) : Result<Lock>(Lock(mutex_));
        }

    private:
        bool try_without_waiting() noexcept override { return await_ready(); }

        Mutex& mutex_;
    };
    [[nodiscard]] Acquire lock() noexcept { return Acquire(*this); }

private:
    void unlock() noexcept {
        const RuntimeLock lock;
        if (!waiting_.wake_one()) {
            locked_ = false;
        }
    }

    WaitQueue waiting_;
    bool locked_ = false;
};

/// A bounded queue between tasks. Closing it lets receivers drain what is in it.
template <class T> class Channel {
public:
    explicit Channel(std::size_t capacity) noexcept : capacity_(capacity) {}

    /// Puts a value without waiting. False when the channel is full or closed; `value` is then
    /// kept.
    [[nodiscard]] bool try_send(T& value) {
        if (closed_ || values_.size() >= capacity_) {
            return false;
        }
        values_.push_back(std::move(value));
        not_empty_.notify();
        return true;
    }

    /// The next value; `closed` once the channel is closed and empty.
    Task<Result<T>> receive() {
        while (values_.empty()) {
            if (closed_) {
                co_return fail(CoreError::closed);
            }
            ZCO_CHECK(co_await not_empty_.wait());
        }
        T value = std::move(values_.front());
        values_.pop_front();
        not_full_.notify();
        if (!values_.empty() || closed_) {
            not_empty_.notify();
        }
        co_return value;
    }

    /// Puts a value, waiting for room; `closed` when the channel is closed.
    Task<Result<void>> send(T value) {
        while (!try_send(value)) {
            if (closed_) {
                co_return fail(CoreError::closed);
            }
            ZCO_CHECK(co_await not_full_.wait());
        }
        if (values_.size() < capacity_) {
            not_full_.notify();
        }
        co_return {};
    }

    void close() noexcept {
        closed_ = true;
        not_empty_.notify();
        not_full_.notify();
    }

    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

private:
    std::deque<T> values_;
    std::size_t capacity_;
    Notify not_empty_;
    Notify not_full_;
    bool closed_ = false;
};

} // namespace zsync
