#include <zsync/core/signals.hpp>

#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <pthread.h>

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
    Fd fd(::signalfd(-1, &mask, SFD_CLOEXEC));
    if (!fd) {
        return fail(os_error(errno));
    }
    return SignalSet(std::move(fd));
}

Task<Result<int>> SignalSet::next(Io io) {
    auto [count, buffer] = co_await io.read(fd_, Bytes(sizeof(signalfd_siginfo)));
    ZCO_CHECK(count);
    signalfd_siginfo info{};
    std::memcpy(&info, buffer.data(), sizeof info);
    co_return static_cast<int>(info.ssi_signo);
}

} // namespace zsync
