// Scheduling: how the kernel schedules a worker's thread.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <cstdint>

namespace zsync {

/// A policy of the kernel's for one thread (sched(7)), and what else keeps it from waiting.
struct Scheduling {
    enum class Policy : std::uint8_t {
        fair,        ///< SCHED_OTHER: a share of the time
        fifo,        ///< SCHED_FIFO: before everything of lower priority, until it sleeps
        round_robin, ///< SCHED_RR: the same, in slices among those of one priority
        deadline,    ///< SCHED_DEADLINE: `runtime` in every `period`, by `deadline`
    };

    Policy policy = Policy::fair;
    int priority = 0;    ///< of `fifo` and `round_robin`: 1 to 99
    Duration runtime{};  ///< of `deadline`
    Duration deadline{}; ///< of `deadline`; the period by default
    Duration period{};   ///< of `deadline`
    /// Keeps the whole process in memory (mlockall(2)) and touches beforehand what the worker is
    /// going to use, so that nothing it does later faults a page in or goes to the heap.
    bool lock_memory = false;

    [[nodiscard]] bool is_real_time() const noexcept { return policy != Policy::fair; }
    /// The part of a processor that it may take: 1, or `runtime` / `period`.
    [[nodiscard]] double capacity() const noexcept {
        return policy == Policy::deadline
                   ? static_cast<double>(runtime.count()) / static_cast<double>(period.count())
                   : 1.0;
    }

    /// What is wrong with the figures, before the kernel is asked.
    [[nodiscard]] Outcome<void> check() const;
    /// Puts the calling thread under it. The kernel's refusals come in words: which privilege is
    /// missing, or that its own admission (SCHED_DEADLINE) finds no room. Threads that this one
    /// makes do not inherit it. Timers of the thread are exact from here on.
    [[nodiscard]] Outcome<void> apply() const;
};

/// mlockall(2), and touches the calling thread's stack and its pool of frames as far as
/// `limits::prefault_stack_bytes` and `limits::prefault_frames` say. Pages that are mapped later
/// stay in memory once touched.
[[nodiscard]] Outcome<void> lock_memory();

} // namespace zsync
