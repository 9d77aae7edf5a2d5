// SignalSet: signals as events on the ring.
#pragma once

#include <zsync/core/io.hpp>

#include <initializer_list>

namespace zsync {

/// Blocks signals for this thread, and those it starts, and receives them one by one (signalfd(2)).
/// Make it before any other thread is started.
class SignalSet {
public:
    /// EINVAL: a number that no signal has.
    static Result<SignalSet> create(std::initializer_list<int> signals);

    /// The number of the next signal.
    Task<Result<int>> next(Io io);

private:
    explicit SignalSet(Fd fd) noexcept : fd_(std::move(fd)) {}
    Fd fd_;
};

} // namespace zsync
