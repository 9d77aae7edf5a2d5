// RuntimeLock: mutual exclusion for tasks that run on threads of their own.
#pragma once

#include <atomic>
#include <mutex>
#include <utility>

namespace zsync {

/// Guards what tasks share with each other through the runtime: wait queues, scopes, futures, task
/// records. Tasks of one worker need no lock, so this is one load and a branch until the first
/// executor with threads is made; from then on all of them share one recursive mutex, held for
/// tens of nanoseconds and never over a wait or a system call.
class RuntimeLock {
public:
    /// Whether there are threads to exclude.
    [[nodiscard]] static bool is_needed() noexcept {
        return threaded_.load(std::memory_order_relaxed) != 0;
    }

    RuntimeLock() noexcept : held_(is_needed()) {
        if (held_) [[unlikely]] {
            mutex().lock();
            ++depth_;
        }
    }
    RuntimeLock(const RuntimeLock&) = delete;
    RuntimeLock& operator=(const RuntimeLock&) = delete;
    ~RuntimeLock() {
        if (held_) [[unlikely]] {
            --depth_;
            mutex().unlock();
        }
    }

    static std::recursive_mutex& mutex() noexcept;

    /// Gives the lock up for as long as it lives: a fiber leaves its thread to others while it
    /// waits.
    class Released {
    public:
        Released() noexcept : depth_(std::exchange(RuntimeLock::depth_, 0)) {
            for (int n = 0; n < depth_; ++n) {
                mutex().unlock();
            }
        }
        Released(const Released&) = delete;
        Released& operator=(const Released&) = delete;
        ~Released() {
            for (int n = 0; n < depth_; ++n) {
                mutex().lock();
            }
            RuntimeLock::depth_ = depth_;
        }

    private:
        int depth_;
    };

    /// Counts executors with threads.
    class Threaded {
    public:
        Threaded() noexcept { threaded_.fetch_add(1, std::memory_order_relaxed); }
        Threaded(const Threaded&) = delete;
        Threaded& operator=(const Threaded&) = delete;
        ~Threaded() { threaded_.fetch_sub(1, std::memory_order_relaxed); }
    };

private:
    inline static constinit std::atomic<int> threaded_{0};
    inline static thread_local constinit int depth_ = 0; ///< times this thread holds it
    bool held_;
};

} // namespace zsync
