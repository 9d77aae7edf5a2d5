#include <zsync/core/epoch_time.hpp>

#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <poll.h>
#include <unistd.h>
#include <zsyncctl/screen.hpp>

namespace zsyncctl {
namespace {

constexpr std::string_view other_screen = "\x1b[?1049h\x1b[?25l"; // and hide the cursor
constexpr std::string_view first_screen = "\x1b[?25h\x1b[?1049l";

void put(std::string_view text) {
    static_cast<void>(std::fwrite(text.data(), 1, text.size(), stdout));
    static_cast<void>(std::fflush(stdout));
}

Event event_of(std::uint32_t signal) {
    switch (signal) {
    case SIGWINCH:
        return Event::resized;
    case SIGTSTP:
        return Event::suspend;
    default:
        return Event::quit;
    }
}

} // namespace

Screen::Screen() { enter(); }

Screen::~Screen() { leave(); }

void Screen::enter() {
    if (entered_) {
        return;
    }
    entered_ = true;
    quiet_keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    if (quiet_keys_) {
        termios quiet = before_;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        quiet.c_cc[VMIN] = 1;
        quiet.c_cc[VTIME] = 0;
        quiet_keys_ = tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) == 0;
    }
    put(other_screen);
}

void Screen::leave() {
    if (!entered_) {
        return;
    }
    entered_ = false;
    put(first_screen);
    if (quiet_keys_) {
        static_cast<void>(tcsetattr(STDIN_FILENO, TCSADRAIN, &before_));
    }
}

void Screen::show(std::span<const std::string> lines) {
    std::string page = "\x1b[H";
    for (std::size_t i = 0; i < lines.size(); ++i) {
        page += (i == 0 ? "" : "\r\n") + lines[i] + "\x1b[K";
    }
    put(page + "\x1b[J");
}

Screen::Size Screen::size() {
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
        return {};
    }
    return {.rows = size.ws_row, .columns = size.ws_col};
}

char take_key(std::string_view& typed) {
    struct Sequence {
        std::string_view bytes;
        char key;
    };
    // Of terminals that follow xterm, in both of their modes.
    static constexpr std::array sequences{
        Sequence{.bytes = "\x1b[A", .key = keys::up},
        Sequence{.bytes = "\x1bOA", .key = keys::up},
        Sequence{.bytes = "\x1b[B", .key = keys::down},
        Sequence{.bytes = "\x1bOB", .key = keys::down},
        Sequence{.bytes = "\x1b[5~", .key = keys::page_up},
        Sequence{.bytes = "\x1b[6~", .key = keys::page_down},
        Sequence{.bytes = "\x1b[H", .key = keys::home},
        Sequence{.bytes = "\x1bOH", .key = keys::home},
        Sequence{.bytes = "\x1b[1~", .key = keys::home},
        Sequence{.bytes = "\x1b[F", .key = keys::end},
        Sequence{.bytes = "\x1bOF", .key = keys::end},
        Sequence{.bytes = "\x1b[4~", .key = keys::end},
    };
    constexpr char escape = 0x1b;
    if (typed.front() != escape) {
        const char key = typed.front();
        typed.remove_prefix(1);
        return key >= ' ' && key < 0x7f ? key : '\0';
    }
    for (const Sequence& sequence : sequences) {
        if (typed.starts_with(sequence.bytes)) {
            typed.remove_prefix(sequence.bytes.size());
            return sequence.key;
        }
    }
    // An unknown sequence ends with a letter or a tilde (ECMA-48, 5.4).
    std::size_t length = 1;
    if (typed.size() > 1 && (typed[1] == '[' || typed[1] == 'O')) {
        length = 2;
        while (length < typed.size() && (typed[length] < '@' || typed[length] > '~')) {
            ++length;
        }
        length = std::min(length + 1, typed.size());
    }
    typed.remove_prefix(length);
    return 0;
}

Waiter::Waiter(bool keys) : keys_(keys) {
    sigset_t wanted{};
    sigemptyset(&wanted);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP}) {
        sigaddset(&wanted, signal);
    }
    pthread_sigmask(SIG_BLOCK, &wanted, &before_);
    signals_ = zsync::Fd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
}

Waiter::~Waiter() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

Event Waiter::wait_until(std::uint64_t monotonic_us) {
    while (true) {
        while (!typed_.empty()) {
            if (const Event event = next_key(); event != Event::time) {
                return event;
            }
        }
        const std::uint64_t now =
            zsync::epoch_time<std::chrono::microseconds, std::chrono::steady_clock>();
        const std::uint64_t left = monotonic_us > now ? monotonic_us - now : 0;
        const timespec timeout{
            .tv_sec = static_cast<time_t>(left / 1'000'000),
            .tv_nsec = static_cast<long>(left % 1'000'000) * 1000,
        };
        std::array<pollfd, 2> watched{
            pollfd{.fd = signals_.get(), .events = POLLIN, .revents = 0},
            pollfd{.fd = keys_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
        };
        if (ppoll(watched.data(), watched.size(), &timeout, nullptr) == 0) {
            return Event::time;
        }
        signalfd_siginfo signal{};
        if (read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
            return event_of(signal.ssi_signo);
        }
        if (watched[1].revents != 0) {
            std::array<char, 64> read_now{};
            const ssize_t got = read(STDIN_FILENO, read_now.data(), read_now.size());
            keys_ = got > 0;
            if (keys_) {
                typed_.assign(read_now.data(), static_cast<std::size_t>(got));
            }
        }
    }
}

/// `time` where the bytes were nothing that anybody waits for.
Event Waiter::next_key() {
    constexpr char ctrl_d = 4;
    if (typed_.front() == ctrl_d) {
        return Event::quit;
    }
    std::string_view left = typed_;
    key_ = take_key(left);
    typed_.erase(0, typed_.size() - left.size());
    if (key_ == 'q') {
        return Event::quit;
    }
    return key_ != 0 ? Event::key : Event::time;
}

} // namespace zsyncctl
