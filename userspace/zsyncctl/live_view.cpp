#include <zsync/core/epoch_time.hpp>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <format>
#include <optional>
#include <unistd.h>
#include <zsyncctl/limits.hpp>
#include <zsyncctl/live_view.hpp>
#include <zsyncctl/number.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/screen.hpp>

namespace zsyncctl {
namespace {

struct Plan {
    std::uint64_t interval_us = 1'000'000;
    std::optional<std::uint64_t> count;
};

Plan plan_of(const Invocation& invocation) {
    Plan plan;
    if (const auto text = invocation.value("--interval")) {
        plan.interval_us =
            static_cast<std::uint64_t>(std::llround(number_of<double>(*text).value_or(1) * 1e6));
    }
    if (const auto text = invocation.value("--count")) {
        plan.count = number_of<std::uint64_t>(*text);
    }
    return plan;
}

/// The view itself: takes samples at even distances and shows each until it is told to end.
class LiveView {
public:
    LiveView(Session& session, Daemon daemon, LiveSource& source, const Plan& plan)
        : session_(session), daemon_(std::move(daemon)), source_(source), plan_(plan),
          full_screen_(!session.json() && isatty(STDOUT_FILENO) == 1),
          waiter_(full_screen_ && isatty(STDIN_FILENO) == 1) {
        daemon_.reply_timeout(limits::watch_reply_timeout);
    }

    Answer<void> run() {
        // The first sample is taken before the screen changes, so that a refusal stays readable.
        ZTRY(sample());
        std::optional<Screen> screen;
        if (full_screen_) {
            screen.emplace();
        }
        std::uint64_t next_us = monotonic_us();
        for (std::uint64_t shown = 1;; ++shown) {
            show();
            if (plan_.count && shown >= *plan_.count) {
                return {};
            }
            next_us += plan_.interval_us;
            if (!wait(next_us, screen)) {
                return {};
            }
            ZTRY(sample());
        }
    }

private:
    /// False when it is time to end.
    bool wait(std::uint64_t until_us, std::optional<Screen>& screen) {
        while (true) {
            switch (waiter_.wait_until(until_us)) {
            case Event::time:
                return true;
            case Event::quit:
                return false;
            case Event::key:
                source_.key(waiter_.key());
                show_again(screen);
                break;
            case Event::resized:
                show_again(screen);
                break;
            case Event::suspend:
                if (screen) {
                    screen->leave();
                }
                static_cast<void>(raise(SIGSTOP));
                if (screen) {
                    screen->enter();
                }
                show_again(screen);
                break;
            }
        }
    }

    Answer<void> sample() {
        const Answer<void> taken = source_.sample(daemon_);
        if (taken) {
            note_.clear();
            sampled_us_ = realtime_us();
            fresh_ = true;
            return {};
        }
        if (sampled_us_ == 0 || !is_absence(taken.error())) {
            return taken;
        }
        fresh_ = false;
        if (note_.empty() && !full_screen_) {
            static_cast<void>(
                std::fputs("zsyncctl: zsyncd is away; waiting for it to come back\n", stderr)
            );
        }
        note_ = source_.away_note();
        return {};
    }

    void show() {
        if (full_screen_) {
            show_page();
            return;
        }
        if (!fresh_) {
            return;
        }
        if (session_.json()) {
            session_.print(source_.document().dump() + '\n');
        } else {
            const auto lines = source_.lines(session_.style(), 0, 0);
            session_.print(time_text(sampled_us_) + '\n');
            for (const std::string& line : lines) {
                session_.print(line + '\n');
            }
            session_.print("\n");
        }
        static_cast<void>(std::fflush(stdout));
    }

    void show_again(const std::optional<Screen>& screen) {
        if (screen) {
            show_page();
        }
    }

    void show_page() {
        const auto [rows, columns] = Screen::size();
        const std::string_view keys = source_.keys_note();
        const std::string status = note_.empty() ? std::format(
                                                       "{}   every {:g} s, q ends{}{}",
                                                       time_text(sampled_us_),
                                                       static_cast<double>(plan_.interval_us) / 1e6,
                                                       keys.empty() ? "" : "; ",
                                                       keys
                                                   )
                                                 : note_;
        const Style& style = session_.style();
        std::vector<std::string> page{
            style.paint(shortened(status, columns), note_.empty() ? Tone::faint : Tone::warning)
        };
        for (std::string& line : source_.lines(style, rows > 1 ? rows - 1 : 1, columns)) {
            page.push_back(std::move(line));
        }
        Screen::show(page);
    }

    Session& session_;
    Daemon daemon_;
    LiveSource& source_;
    Plan plan_;
    bool full_screen_;
    Waiter waiter_;
    std::uint64_t sampled_us_ = 0;
    bool fresh_ = false;
    std::string note_;
};

} // namespace

std::uint64_t monotonic_us() {
    return zsync::epoch_time<std::chrono::microseconds, std::chrono::steady_clock>();
}

std::uint64_t realtime_us() { return zsync::epoch_time<std::chrono::microseconds>(); }

std::expected<void, UsageError> check_live(const Invocation& invocation) {
    if (const auto text = invocation.value("--interval")) {
        const auto seconds = number_of<double>(*text);
        if (!seconds || !(*seconds >= limits::watch_interval_seconds_min) ||
            *seconds > limits::watch_interval_seconds_max) {
            return std::unexpected(UsageError{
                .message = std::format("'{}' is no interval", *text),
                .hint = std::format(
                    "--interval takes seconds from {} to {}",
                    limits::watch_interval_seconds_min,
                    limits::watch_interval_seconds_max
                )
            });
        }
    }
    if (const auto text = invocation.value("--count")) {
        const auto count = number_of<std::uint64_t>(*text);
        if (!count || *count == 0) {
            return std::unexpected(UsageError{
                .message = std::format("'{}' is no count", *text),
                .hint = "--count takes a whole number from 1"
            });
        }
    }
    return {};
}

Answer<void> show_live(Session& session, LiveSource& source) {
    Daemon daemon = ZTRY(session.daemon());
    return LiveView(session, std::move(daemon), source, plan_of(session.invocation())).run();
}

} // namespace zsyncctl
