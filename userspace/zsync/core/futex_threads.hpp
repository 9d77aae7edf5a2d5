// FutexThreads: where waits on futexes are done that no ring does.
#pragma once

#include <zsync/core/limits.hpp>
#include <zsync/core/operation_threads.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace zsync {

/// Waits on futexes, many on one thread: futex_waitv(2) takes `limits::futexes_per_thread_max` of
/// them and the one that interrupts it. The kernel tells of one that was woken, though several may
/// have been; so all that a thread waits for end then, most without a wake, which a futex's waiter
/// must expect. No wake is lost.
class FutexThreads {
public:
    /// `ended` takes jobs that have ended, on any thread.
    explicit FutexThreads(OperationThreads& ended) noexcept;
    FutexThreads(const FutexThreads&) = delete;
    FutexThreads& operator=(const FutexThreads&) = delete;
    ~FutexThreads();

    /// False when no thread can be had.
    [[nodiscard]] bool submit(OperationJob& job) noexcept;
    /// Asks for the end of a job, which ends by itself as always.
    void stop(OperationJob& job) noexcept;

private:
    class Member;
    OperationThreads& ended_;
    std::vector<std::unique_ptr<Member>> members_;
};

} // namespace zsync
