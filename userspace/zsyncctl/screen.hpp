// A full-screen view that leaves the terminal as it was.
#pragma once

#include <zsync/core/fd.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <termios.h>

namespace zsyncctl {

/// Shows whole pages on the terminal's other screen. Its destructor brings the first one back.
class Screen {
public:
    Screen();
    ~Screen();
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    void enter();
    void leave();
    /// Replaces the page without flicker: each line is overwritten, and what was below is cleared.
    static void show(std::span<const std::string> lines);

    struct Size {
        std::size_t rows = 24;
        std::size_t columns = 80;
    };
    [[nodiscard]] static Size size();

private:
    bool entered_ = false;
    bool quiet_keys_ = false; ///< typed characters are not shown
    termios before_{};
};

/// What interrupts waiting.
enum class Event : unsigned char { time, quit, resized, suspend };

/// Waits for the time, for SIGINT, SIGTERM and SIGHUP (quit), for SIGTSTP and SIGWINCH, and for the
/// keys q and Ctrl-D. The signals are blocked as long as it lives, so none can fall between two
/// waits.
class Waiter {
public:
    /// `keys`: whether standard input is a keyboard to read from.
    explicit Waiter(bool keys);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    /// Waits until `monotonic_us`.
    Event wait_until(std::uint64_t monotonic_us);

private:
    zsync::Fd signals_;
    bool keys_;
    sigset_t before_{};
};

} // namespace zsyncctl
