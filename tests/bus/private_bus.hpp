// PrivateBus: a dbus-daemon of a test's own.
#pragma once

#include <zsync/core/fd.hpp>

#include <sys/types.h>

#include <string>

namespace zsync::bus::test {

/// Starts dbus-daemon on a socket in a fresh folder, and ends both with itself. Needs no privilege.
class PrivateBus {
public:
    PrivateBus();
    PrivateBus(const PrivateBus&) = delete;
    PrivateBus& operator=(const PrivateBus&) = delete;
    ~PrivateBus();

    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    void start();
    void stop();
    /// From here on it reads nothing, until it is stopped.
    void freeze();

private:
    std::string folder_;
    std::string address_;
    pid_t daemon_ = -1;
};

} // namespace zsync::bus::test
