// A full-screen view that leaves the terminal as it was.
#pragma once

#include <zsync/core/fd.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
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
enum class Event : unsigned char { time, quit, resized, suspend, key };

/// Keys that are not letters.
namespace keys {
constexpr char up = 1;
constexpr char down = 2;
constexpr char page_up = 3;
constexpr char page_down = 4;
constexpr char home = 5;
constexpr char end = 6;
} // namespace keys

/// The first key of what a terminal sent; takes it from `typed`. 0 for an escape sequence that is
/// none of `keys`, and for bytes of a character beyond ASCII.
char take_key(std::string_view& typed);

/// Waits for the time, for SIGINT, SIGTERM and SIGHUP (quit), for SIGTSTP and SIGWINCH, and for
/// keys: q and Ctrl-D quit, others are told. The signals are blocked as long as it lives, so none
/// can fall between two waits.
class Waiter {
public:
    /// `keys`: whether standard input is a keyboard to read from.
    explicit Waiter(bool keys);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    /// Waits until `monotonic_us`.
    Event wait_until(std::uint64_t monotonic_us);
    /// The key of the last `Event::key`: a letter, or one of `keys`.
    [[nodiscard]] char key() const { return key_; }

private:
    [[nodiscard]] Event next_key();

    std::string typed_;
    char key_ = 0;
    zsync::Fd signals_;
    bool keys_;
    sigset_t before_{};
};

} // namespace zsyncctl
