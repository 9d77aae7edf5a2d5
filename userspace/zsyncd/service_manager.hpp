// ServiceManager: what the service tells systemd, sd_notify(3), without blocking the worker.
#pragma once

#include <zsync/core/io.hpp>

#include <optional>
#include <string>

namespace zsync::zsyncd {

/// Sends state to the socket of NOTIFY_SOCKET; does nothing where there is none.
class ServiceManager {
public:
    /// Reads the environment once, before other threads start.
    explicit ServiceManager(Io io);

    /// Serving, with one line for people; given up after `patience`.
    Task<void> ready(std::string status, Duration patience);
    /// `canceled` if the caller was cancelled while the manager did not listen.
    Task<Result<void>> reloading();
    Task<void> stopping();
    /// Tells that the worker's loop turns, from that loop, twice as often as the manager asks for
    /// (WATCHDOG_USEC). Ends when cancelled, or at once if nobody asks.
    Task<void> feed_watchdog();

private:
    Task<Result<void>> say(std::string state, Duration patience);

    Io io_;
    Fd socket_;
    std::optional<Duration> watchdog_period_;
};

} // namespace zsync::zsyncd
