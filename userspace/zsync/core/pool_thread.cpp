#include <zsync/core/pool_thread.hpp>

#include <csignal>
#include <utility>

namespace zsync {

bool PoolThread::start(const char* name, void* (*body)(void*), void* argument) noexcept {
    // A thread inherits the mask, so that there is no moment at which it would take one.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started_ = pthread_create(&thread_, nullptr, body, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (started_) {
        pthread_setname_np(thread_, name);
    }
    return started_;
}

void PoolThread::join() noexcept {
    if (std::exchange(started_, false)) {
        pthread_join(thread_, nullptr);
    }
}

} // namespace zsync
