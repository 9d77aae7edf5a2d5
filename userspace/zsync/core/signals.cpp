#include <zsync/core/signals.hpp>

#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

namespace zsync {

Result<SignalSet> SignalSet::create(std::initializer_list<int> signals) {
    sigset_t mask;
    sigemptyset(&mask);
    for (const int signal : signals) {
        if (sigaddset(&mask, signal) != 0) {
            return fail(os_error(errno));
        }
    }
    if (const int error = pthread_sigmask(SIG_BLOCK, &mask, nullptr); error != 0) {
        return fail(os_error(error));
    }
    Fd fd(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) {
        return fail(os_error(errno));
    }
    return SignalSet(std::move(fd));
}

// Every signal of the process wakes who waits here, the ticks of a watched worker too; a read that
// was woken in vain so often would wait in a thread of the kernel's from then on.
Task<Result<int>> SignalSet::next(Io io) {
    for (;;) {
        ZCO_CHECK(co_await io.poll(fd_, POLLIN));
        signalfd_siginfo info{};
        if (::read(fd_.get(), &info, sizeof info) == sizeof info) {
            co_return static_cast<int>(info.ssi_signo);
        }
        if (errno != EAGAIN && errno != EINTR) {
            co_return fail(os_error(errno));
        }
    }
}

} // namespace zsync
