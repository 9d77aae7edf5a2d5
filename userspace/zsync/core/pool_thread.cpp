#include <zsync/core/frame_pool.hpp>
#include <zsync/core/pool_thread.hpp>

#include <csignal>
#include <sched.h>
#include <unistd.h>
#include <utility>

namespace zsync {

void* PoolThread::run(void* self) noexcept {
    const auto& thread = *static_cast<const PoolThread*>(self);
    frame_pool.clear_at_thread_exit();
    return thread.body_(thread.argument_);
}

bool PoolThread::start(const char* name, void* (*body)(void*), void* argument) noexcept {
    body_ = body;
    argument_ = argument;
    // A thread inherits the mask, so that there is no moment at which it would take one.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    // What a call itself causes is its own: blocked, it would end the process past any handler.
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
        sigdelset(&all, fault);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);
    // The processor that a worker is bound to is not where its helpers have to be.
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    cpu_set_t usable;
    if (::sched_getaffinity(::getpid(), sizeof usable, &usable) == 0) {
        pthread_attr_setaffinity_np(&attributes, sizeof usable, &usable);
    }
    started_ = pthread_create(&thread_, &attributes, &run, this) == 0;
    if (!started_) {
        // Where a seccomp filter keeps affinities as they are, no worker is bound to a processor.
        started_ = pthread_create(&thread_, nullptr, &run, this) == 0;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (started_) {
        pthread_setname_np(thread_, name);
    }
    return started_;
}

void PoolThread::join() noexcept {
    if (std::exchange(started_, false) && home_.is_here()) {
        pthread_join(thread_, nullptr);
    }
}

} // namespace zsync
