// PoolThread: a named thread that leaves signals to others.
#pragma once

#include <pthread.h>

namespace zsync {

/// A thread that receives no signals but the faults of what it runs (SIGSEGV, SIGBUS, ...): the
/// others are for the thread that asked for them. It may run where the process's first thread may,
/// whatever thread starts it. Starting one may fail, and that is no error but a reason to go on
/// with fewer. Joined at the end.
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
};

} // namespace zsync
