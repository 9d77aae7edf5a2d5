#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include <array>
#include <cstdio>
#include <ctime>
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

std::uint64_t now_us() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1000;
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
        const std::uint64_t now = now_us();
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
        constexpr char ctrl_d = 4;
        char key = 0;
        if (watched[1].revents != 0) {
            const ssize_t got = read(STDIN_FILENO, &key, 1);
            if (got == 1 && (key == 'q' || key == ctrl_d)) {
                return Event::quit;
            }
            keys_ = got == 1;
        }
    }
}

} // namespace zsyncctl
