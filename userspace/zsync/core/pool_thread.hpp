// PoolThread: a named thread that leaves signals to others.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <pthread.h>
#include <unistd.h>

namespace zsync {

/// The process in which it was made. A forked child has the memory of its parent's threads and none
/// of the threads: there is nobody to stop or join, and a lock that one of them held stays held. So
/// there a pool ends without touching either.
class HomeProcess {
public:
    [[nodiscard]] bool is_here() const noexcept { return process_ == ::getpid(); }

private:
    pid_t process_ = ::getpid();
};

/// A condition variable that pool threads wait on. It is not destroyed: once they are joined
/// nothing of it is left to be freed, and in a forked child its destructor would wait for threads
/// that are not there.
class PoolCondition {
public:
    PoolCondition() { std::construct_at(&condition_); }
    PoolCondition(const PoolCondition&) = delete;
    PoolCondition& operator=(const PoolCondition&) = delete;
    ~PoolCondition() {} // NOLINT(modernize-use-equals-default): the union's would be deleted

    std::condition_variable* operator->() noexcept { return &condition_; }

private:
    union {
        // NOLINTNEXTLINE(readability-identifier-naming): as private as the union is
        std::condition_variable condition_;
    };
};

/// A thread that receives no signals but the faults of what it runs (SIGSEGV, SIGBUS, ...): the
/// others are for the thread that asked for them. It may run where the process's first thread may,
/// whatever thread starts it. Starting one may fail, and that is no error but a reason to go on
/// with fewer. Joined at the end, by the process that started it.
class PoolThread {
public:
    PoolThread() noexcept = default;
    PoolThread(const PoolThread&) = delete;
    PoolThread& operator=(const PoolThread&) = delete;
    ~PoolThread() { join(); }

    /// Calls `body(argument)`. `name` has at most 15 characters. False when the system gives none.
    [[nodiscard]] bool start(const char* name, void* (*body)(void*), void* argument) noexcept;
    void join() noexcept;

private:
    static void* run(void* self) noexcept;

    void* (*body_)(void*) = nullptr;
    void* argument_ = nullptr;
    pthread_t thread_{};
    bool started_ = false;
    HomeProcess home_;
};

} // namespace zsync
