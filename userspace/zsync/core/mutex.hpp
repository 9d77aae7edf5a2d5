// Mutex: mutual exclusion between tasks.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <string_view>
#include <utility>

namespace zsync {

/// Mutual exclusion between tasks, first come first served: whoever has waited longest gets the
/// mutex handed over locked. May be held over a wait, which a lock of threads must not be.
///
///     ZCO_TRY(const Mutex::Lock lock, co_await mutex.lock());
class Mutex {
public:
    /// Unlocks at the end of its life.
    class [[nodiscard]] Lock {
    public:
        Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Lock& operator=(Lock&& other) noexcept {
            Lock old(std::move(*this));
            mutex_ = std::exchange(other.mutex_, nullptr);
            return *this;
        }
        Lock(const Lock&) = delete;
        Lock& operator=(const Lock&) = delete;
        ~Lock() { unlock(); }

        /// Unlocks before the end of its life.
        void unlock() noexcept {
            if (mutex_ != nullptr) {
                std::exchange(mutex_, nullptr)->unlock();
            }
        }
        [[nodiscard]] bool owns_lock() const noexcept { return mutex_ != nullptr; }

    private:
        friend class Mutex;
        friend class Condition;
        explicit Lock(Mutex* mutex) noexcept : mutex_(mutex) {}

        Mutex* mutex_;
    };

    /// Awaits to `Result<Lock>`: `canceled` and `timed_out` leave the queue.
    class Acquire final : public QueueWait {
    public:
        explicit Acquire(Mutex& mutex) noexcept : mutex_(mutex) {}
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return mutex_.take();
        }
        bool suspend(PromiseBase& promise) noexcept { return suspend_in(mutex_.waiting_, promise); }
        // Woken means that the mutex was handed over locked.
        [[nodiscard]] Result<Lock> await_resume() const noexcept {
            if (failed()) [[unlikely]] {
                return fail(reason());
            }
            return Lock(&mutex_);
        }
        [[nodiscard]] std::string_view kind() const noexcept override { return "mutex"; }

    private:
        bool try_without_waiting() noexcept override { return mutex_.take(); }

        Mutex& mutex_;
    };

    [[nodiscard]] Acquire lock() noexcept { return Acquire(*this); }
    /// Never waits: a lock that may own nothing.
    [[nodiscard]] Lock try_lock() noexcept {
        const RuntimeLock lock;
        return Lock(take() ? this : nullptr);
    }

private:
    friend class Condition;
    [[nodiscard]] bool take() noexcept { return !std::exchange(locked_, true); }
    void unlock() noexcept {
        const RuntimeLock lock;
        if (!waiting_.wake_one()) [[likely]] {
            locked_ = false;
        }
    }

    WaitQueue waiting_;
    bool locked_ = false;
};

} // namespace zsync
