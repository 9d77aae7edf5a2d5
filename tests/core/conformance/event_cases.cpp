// Timers, intervals, readiness, futexes, processes, signals.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/clocks.hpp>
#include <zsync/core/interval.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/signals.hpp>

#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <poll.h>
#include <unistd.h>
#include <vector>

namespace zsync::conformance {
namespace {

/// A child that has ended, with this code or by this signal, and was not reaped.
Fd ended_child(int code, int signal = 0) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (signal != 0) {
            (void)::kill(::getpid(), signal);
        }
        ::_exit(code);
    }
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
    return Fd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
}

/// A child that goes on until its pipe is closed.
struct Child {
    explicit Child(Fd until) {
        const pid_t child = ::fork();
        if (child == 0) {
            // It has the pipe's other end as well, and so would never see it closed.
            (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
            char byte = 0;
            (void)!::read(until.get(), &byte, 1);
            ::_exit(3);
        }
        pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    }
    Fd pidfd;
};

void wake(const std::atomic<std::uint32_t>& word) {
    ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}
Task<Result<void>> wait_on(Io io, const std::atomic<std::uint32_t>& word, std::uint32_t value) {
    while (word.load() == value) {
        const Result<void> waited = co_await io.futex_wait(word, value);
        if (!waited && what(waited) != "EAGAIN") {
            co_return waited;
        }
    }
    co_return {};
}
Task<Result<void>> sleep_then_note(Io io, TimePoint deadline, int number, std::vector<int>& order) {
    ZCO_CHECK(co_await io.sleep_until(deadline));
    const RuntimeLock guard; // on threads the tasks share the vector
    order.push_back(number);
    co_return {};
}

} // namespace

ZSYNC_CASE(sleep, lasts_as_long_as_asked_and_never_ends_early, timer) {
    const TimePoint begun = io.now();
    ZCO_CHECK(co_await io.sleep_for(soon));
    EXPECT_GE(io.now(), begun + soon);
    co_return {};
}

ZSYNC_CASE(sleep, until_a_time_ends_at_it, timer) {
    const TimePoint deadline = io.now() + soon;
    ZCO_CHECK(co_await io.sleep_until(deadline));
    EXPECT_GE(io.now(), deadline);
    co_return {};
}

ZSYNC_CASE(sleep, until_the_past_ends_at_once, timer) {
    ZCO_CHECK(co_await io.sleep_until(io.now() - 1h));
    co_return {};
}

ZSYNC_CASE(sleep, for_no_time_ends, timer) {
    ZCO_CHECK(co_await io.sleep_for(0ns));
    ZCO_CHECK(co_await io.sleep_for(-1h));
    co_return {};
}

ZSYNC_CASE(sleep, for_the_longest_time_lasts_until_it_is_canceled, beside | timer) {
    ZCO_TRY(auto sleeping, io.concurrent([io]() -> Task<Result<void>> {
        co_return co_await io.sleep_for(Duration::max());
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(sleeping.is_finished());
    EXPECT_IS(co_await sleeping.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(sleep, is_a_cancellation_point_also_when_it_is_over, nothing) {
    io.recancel();
    EXPECT_IS(co_await io.sleep_for(0ns), "Canceled");
    EXPECT_IS(io.check_cancel(), "ok");
    co_return {};
}

ZSYNC_CASE(sleep, can_be_canceled, beside | timer) {
    ZCO_TRY(auto sleeping, io.concurrent(sleep_long, io));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await sleeping.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(sleep, of_many_end_in_the_order_of_their_deadlines, beside | timer) {
    std::vector<int> order;
    std::vector<Future<Result<void>>> sleepers;
    const TimePoint base = io.now() + 5ms;
    for (const int number : {3, 1, 2, 0}) {
        ZCO_TRY(
            auto one,
            io.concurrent(sleep_then_note, io, base + number * 8ms, number, std::ref(order))
        );
        sleepers.push_back(std::move(one));
    }
    for (auto& one : sleepers) {
        EXPECT_IS(co_await one, "ok");
    }
    if (io.kind() == TaskKind::thread) { // which is the kernel's to run
        std::ranges::sort(order);
    }
    EXPECT_EQ(order, (std::vector{0, 1, 2, 3}));
    co_return {};
}

ZSYNC_CASE(sleep, of_many_for_one_deadline_all_end, beside | timer) {
    std::vector<int> order;
    std::vector<Future<Result<void>>> sleepers;
    for (int n = 0; n < 20; ++n) {
        ZCO_TRY(auto one, io.concurrent(sleep_then_note, io, io.now() + soon, n, std::ref(order)));
        sleepers.push_back(std::move(one));
    }
    for (auto& one : sleepers) {
        EXPECT_IS(co_await one, "ok");
    }
    EXPECT_EQ(order.size(), 20U);
    co_return {};
}

ZSYNC_CASE(sleep, waits_on_a_stack, stack | timer) {
    auto sleeping = io.async([io] { return io.sleep_for(soon).wait(); });
    co_return co_await sleeping;
}

ZSYNC_CASE(clock, never_goes_back, nothing) {
    TimePoint last = io.now();
    for (int n = 0; n < 100; ++n) {
        ZCO_CHECK(co_await io.yield());
        const TimePoint now = io.now();
        EXPECT_GE(now, last);
        last = now;
    }
    co_return {};
}

namespace {

/// By a clock of the machine, of which a simulation takes what is left.
template <class OtherClock> Task<Result<void>> wait_by(Io io) {
    const TimePoint begun = io.now();
    ZCO_CHECK(co_await sleep_until(io, OtherClock::now() + soon));
    EXPECT_GE(io.now() - begun, soon / 2);
    ZCO_CHECK(co_await sleep_until(io, OtherClock::now() - 1h));
    ZCO_CHECK(co_await sleep_until(io, typename OtherClock::time_point{}));
    io.recancel();
    EXPECT_IS(co_await sleep_until(io, OtherClock::now() - 1h), "Canceled");
    co_return {};
}

} // namespace

ZSYNC_CASE(clock, of_the_wall_is_waited_by, timer) {
    ZCO_CHECK(co_await wait_by<std::chrono::system_clock>(io));
    co_return {};
}

ZSYNC_CASE(clock, that_counts_suspension_is_waited_by, timer) {
    ZCO_CHECK(co_await wait_by<BootClock>(io));
    EXPECT_GE(BootClock::now().time_since_epoch(), Clock::now().time_since_epoch() - 1s);
    co_return {};
}

ZSYNC_CASE(interval, of_the_longest_period_never_ticks, timer) {
    Interval never(io, Duration::max());
    TIMES_OUT(co_await never.tick().until(io.now() + soon));
    never.reset();
    TIMES_OUT(co_await never.tick().until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(interval, ticks_at_multiples_of_its_period, timer) {
    const TimePoint start = io.now();
    Interval ticks(io, 1ms);
    for (int n = 1; n <= 3; ++n) {
        ZCO_TRY(const TimePoint due, co_await ticks.tick());
        EXPECT_GE(due, start + n * 1ms);
        EXPECT_GE(io.now(), due);
    }
    co_return {};
}

ZSYNC_CASE(interval, makes_up_for_missed_ticks_in_a_burst, timer) {
    Interval ticks(io, 1ms, MissedTicks::burst);
    ZCO_TRY(const TimePoint first, co_await ticks.tick());
    ZCO_CHECK(co_await io.sleep_for(3500us));
    for (int n = 1; n <= 3; ++n) {
        EXPECT_EQ(co_await ticks.tick(), first + n * 1ms);
    }
    co_return {};
}

ZSYNC_CASE(interval, goes_on_a_period_after_a_late_tick_when_told_to, timer) {
    Interval ticks(io, 1ms, MissedTicks::delay);
    ZCO_CHECK(co_await ticks.tick());
    ZCO_CHECK(co_await io.sleep_for(3500us));
    const TimePoint late = io.now();
    ZCO_CHECK(co_await ticks.tick());
    ZCO_TRY(const TimePoint next, co_await ticks.tick());
    EXPECT_GE(next, late + 1ms);
    co_return {};
}

ZSYNC_CASE(interval, skips_missed_ticks_and_keeps_its_rhythm_when_told_to, timer) {
    Interval ticks(io, 1ms, MissedTicks::skip);
    ZCO_TRY(const TimePoint first, co_await ticks.tick());
    ZCO_CHECK(co_await io.sleep_for(3500us));
    ZCO_TRY(const TimePoint late, co_await ticks.tick());
    ZCO_TRY(const TimePoint next, co_await ticks.tick());
    EXPECT_GE(next - late, 2ms);
    EXPECT_EQ((next - first) % 1ms, 0ns);
    co_return {};
}

ZSYNC_CASE(interval, can_be_reset, timer) {
    Interval ticks(io, 1ms);
    ZCO_CHECK(co_await io.sleep_for(2ms));
    const TimePoint now = io.now();
    ticks.reset();
    ZCO_TRY(const TimePoint due, co_await ticks.tick());
    EXPECT_GE(due, now + 1ms);
    co_return {};
}

ZSYNC_CASE(interval, a_deadline_takes_no_tick_away, timer) {
    const TimePoint start = io.now();
    Interval ticks(io, 50ms);
    TIMES_OUT(co_await ticks.tick().until(start + 1ms));
    ZCO_TRY(const TimePoint due, co_await ticks.tick());
    EXPECT_LE(due, io.now());
    co_return {};
}

ZSYNC_CASE(interval, a_cancel_takes_no_tick_away, beside | timer) {
    Interval ticks(io, 200ms); // long after a busy machine has come to rest
    ZCO_TRY(auto waiting, io.concurrent([&]() -> Task<std::string> {
        co_return what(co_await ticks.tick());
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await waiting.cancel(), "Canceled");
    EXPECT_IS(co_await ticks.tick(), "ok");
    co_return {};
}

ZSYNC_CASE(deadline, in_the_past_ends_a_wait_at_once, timer) {
    const auto pair = pipe_pair();
    TIMES_OUT(co_await io.read(pair.a, Bytes(4)).until(io.now() - 1h));
    co_return {};
}

ZSYNC_CASE(deadline, far_away_is_no_hindrance, timer) {
    const auto pair = pipe_pair();
    put(pair.b, "here");
    const auto got = co_await io.read(pair.a, Bytes(4)).until(io.now() + 24h * 365);
    ZCO_CHECK(got.count);
    EXPECT_EQ(text_of(got), "here");
    co_return {};
}

ZSYNC_CASE(deadline, never_passes_early, timer) {
    const auto pair = pipe_pair();
    const TimePoint deadline = io.now() + soon;
    TIMES_OUT(co_await io.read(pair.a, Bytes(4)).until(deadline));
    EXPECT_GE(io.now(), deadline);
    co_return {};
}

ZSYNC_CASE(deadline, leaves_the_descriptor_usable, timer) {
    const auto pair = pipe_pair();
    for (int n = 0; n < 3; ++n) {
        TIMES_OUT(co_await io.read(pair.a, Bytes(4)).until(io.now() + 1ms));
    }
    put(pair.b, "kept");
    EXPECT_EQ(text_of(co_await io.read(pair.a, Bytes(4))), "kept");
    co_return {};
}

ZSYNC_CASE(deadline, and_cancel_at_once_give_one_of_the_two, beside | timer) {
    const auto pair = pipe_pair();
    ZCO_TRY(auto reading, io.concurrent([&, io]() -> Task<std::string> {
        co_return what(co_await io.read(pair.a, Bytes(4)).until(io.now() + 1ms));
    }));
    ZCO_CHECK(co_await io.sleep_for(1ms));
    const std::string outcome = co_await reading.cancel();
    EXPECT_TRUE(outcome == "Canceled" || outcome == "TimedOut") << outcome;
    co_return {};
}

ZSYNC_CASE(poll, tells_that_a_descriptor_is_readable, nothing) {
    const auto pair = pipe_pair();
    put(pair.b, "x");
    EXPECT_EQ(co_await io.poll(pair.a, POLLIN), static_cast<std::uint32_t>(POLLIN));
    co_return {};
}

ZSYNC_CASE(poll, tells_that_a_descriptor_is_writable, nothing) {
    const auto pair = pipe_pair();
    EXPECT_EQ(co_await io.poll(pair.b, POLLOUT), static_cast<std::uint32_t>(POLLOUT));
    co_return {};
}

ZSYNC_CASE(poll, tells_of_a_hang_up_unasked, nothing) {
    auto pair = pipe_pair();
    pair.b.reset();
    ZCO_TRY(const std::uint32_t events, co_await io.poll(pair.a, POLLIN));
    EXPECT_NE(events & POLLHUP, 0U);
    co_return {};
}

ZSYNC_CASE(poll, takes_no_byte, nothing) {
    const auto pair = pipe_pair();
    put(pair.b, "kept");
    ZCO_CHECK(co_await io.poll(pair.a, POLLIN));
    EXPECT_EQ(take(pair.a), "kept");
    co_return {};
}

ZSYNC_CASE(poll, of_no_descriptor_is_ebadf, nothing) {
    const Fd none;
    EXPECT_IS(co_await io.poll(none, POLLIN), "EBADF");
    co_return {};
}

ZSYNC_CASE(poll, waits_until_it_is_ready, beside) {
    const auto pair = pipe_pair();
    ZCO_TRY(auto polling, io.concurrent([&, io]() -> Task<Result<std::uint32_t>> {
        co_return co_await io.poll(pair.a, POLLIN);
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(polling.is_finished());
    put(pair.b, "x");
    EXPECT_EQ(co_await polling, static_cast<std::uint32_t>(POLLIN));
    co_return {};
}

ZSYNC_CASE(poll, times_out, timer) {
    const auto pair = pipe_pair();
    TIMES_OUT(co_await io.poll(pair.a, POLLIN).until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(poll, can_be_canceled, beside) {
    const auto pair = pipe_pair();
    ZCO_TRY(auto polling, io.concurrent([&, io]() -> Task<std::string> {
        co_return what(co_await io.poll(pair.a, POLLIN));
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await polling.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(poll, by_two_tasks_tells_both, beside) {
    const auto pair = pipe_pair();
    struct Body {
        static Task<Result<std::uint32_t>> poll(Io io, FdRef fd) {
            co_return co_await io.poll(fd, POLLIN);
        }
    };
    ZCO_TRY(auto a, io.concurrent(Body::poll, io, FdRef(pair.a)));
    ZCO_TRY(auto b, io.concurrent(Body::poll, io, FdRef(pair.a)));
    ZCO_CHECK(co_await at_rest(io));
    put(pair.b, "x");
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(futex, with_another_value_is_eagain, nothing) {
    const std::atomic<std::uint32_t> word = 1;
    EXPECT_IS(co_await io.futex_wait(word, 2), "EAGAIN");
    co_return {};
}

ZSYNC_CASE(futex, is_woken, beside) {
    std::atomic<std::uint32_t> word = 1;
    ZCO_TRY(auto waiting, io.concurrent(wait_on, io, std::cref(word), 1U));
    ZCO_CHECK(co_await at_rest(io));
    word = 2;
    while (!waiting.is_finished()) {
        wake(word);
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_IS(co_await waiting, "ok");
    co_return {};
}

ZSYNC_CASE(futex, by_the_beginning_of_time_times_out, timer) {
    const std::atomic<std::uint32_t> word = 1;
    TIMES_OUT(co_await io.futex_wait(word, 1).until(TimePoint::min()));
    co_return {};
}

ZSYNC_CASE(futex, times_out, timer) {
    const std::atomic<std::uint32_t> word = 1;
    TIMES_OUT(co_await io.futex_wait(word, 1).until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(futex, can_be_canceled, beside) {
    const std::atomic<std::uint32_t> word = 1;
    ZCO_TRY(auto waiting, io.concurrent(wait_on, io, std::cref(word), 1U));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(futex, waits_by_many_hinder_nobody, beside | writing) {
    std::atomic<std::uint32_t> word = 1;
    std::vector<Future<Result<void>>> waiting;
    for (int n = 0; n < 12; ++n) { // more than there are threads for blocking operations
        ZCO_TRY(auto one, io.concurrent(wait_on, io, std::cref(word), 1U));
        waiting.push_back(std::move(one));
    }
    ZCO_CHECK(co_await at_rest(io));
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    ZCO_CHECK(co_await io.fsync(file));
    word = 2;
    for (auto& one : waiting) {
        while (!one.is_finished()) {
            wake(word);
            ZCO_CHECK(co_await io.yield());
        }
        EXPECT_IS(co_await one, "ok");
    }
    co_return {};
}

ZSYNC_CASE(process, tells_its_exit_code, nothing) {
    const Fd child = ended_child(7);
    ZCO_TRY(const ExitStatus status, co_await io.wait_exit(child));
    EXPECT_EQ(status.code, 7);
    EXPECT_EQ(status.signal, 0);
    co_return {};
}

ZSYNC_CASE(process, tells_the_signal_that_ended_it, nothing) {
    const Fd child = ended_child(0, SIGTERM);
    ZCO_TRY(const ExitStatus status, co_await io.wait_exit(child));
    EXPECT_EQ(status.code, -1);
    EXPECT_EQ(status.signal, SIGTERM);
    co_return {};
}

ZSYNC_CASE(process, is_reaped_once, nothing) {
    const Fd child = ended_child(0);
    ZCO_CHECK(co_await io.wait_exit(child));
    EXPECT_IS(co_await io.wait_exit(child), "ECHILD");
    co_return {};
}

ZSYNC_CASE(process, that_is_nobodys_child_is_echild, nothing) {
    const Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    EXPECT_IS(co_await io.wait_exit(self), "ECHILD");
    co_return {};
}

ZSYNC_CASE(process, is_waited_for, beside | outside) {
    auto gate = pipe_pair();
    Child child(std::move(gate.a));
    ZCO_TRY(auto waiting, io.concurrent([&, io]() -> Task<Result<ExitStatus>> {
        co_return co_await io.wait_exit(child.pidfd);
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(waiting.is_finished());
    put(gate.b, "x");
    const Result<ExitStatus> status = co_await waiting;
    EXPECT_EQ(status.value_or(ExitStatus{}).code, 3);
    co_return {};
}

ZSYNC_CASE(process, times_out_and_is_still_there, timer | outside) {
    auto gate = pipe_pair();
    Child child(std::move(gate.a));
    const std::string outcome = what(co_await io.wait_exit(child.pidfd).until(io.now() + soon));
    put(gate.b, "x");
    if (outcome == "Unsupported") {
        EXPECT_IS(co_await io.wait_exit(child.pidfd), "ok");
        co_return fail(CoreError::unsupported);
    }
    EXPECT_EQ(outcome, "TimedOut");
    EXPECT_EQ((co_await io.wait_exit(child.pidfd)).value_or(ExitStatus{}).code, 3);
    co_return {};
}

ZSYNC_CASE(process, a_canceled_wait_leaves_it_to_be_reaped, beside | outside) {
    auto gate = pipe_pair();
    Child child(std::move(gate.a));
    ZCO_TRY(auto waiting, io.concurrent([&, io]() -> Task<std::string> {
        co_return what(co_await io.wait_exit(child.pidfd));
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await waiting.cancel(), "Canceled");
    put(gate.b, "x");
    EXPECT_EQ((co_await io.wait_exit(child.pidfd)).value_or(ExitStatus{}).code, 3);
    co_return {};
}

ZSYNC_CASE(signals, are_received_one_by_one, nothing) {
    ZCO_TRY(SignalSet signals, SignalSet::create({SIGUSR1, SIGUSR2}));
    (void)::raise(SIGUSR1);
    EXPECT_EQ(co_await signals.next(io), SIGUSR1);
    (void)::raise(SIGUSR2);
    EXPECT_EQ(co_await signals.next(io), SIGUSR2);
    co_return {};
}

ZSYNC_CASE(signals, of_a_number_that_none_has_are_refused, nothing) {
    EXPECT_IS(SignalSet::create({SIGUSR1, 999}), "EINVAL");
    EXPECT_IS(SignalSet::create({0}), "EINVAL");
    co_return {};
}

ZSYNC_CASE(signals, a_canceled_wait_loses_none, nothing) {
    ZCO_TRY(SignalSet signals, SignalSet::create({SIGUSR1}));
    (void)::raise(SIGUSR1);
    io.recancel();
    EXPECT_IS(co_await signals.next(io), "Canceled");
    EXPECT_EQ(co_await signals.next(io), SIGUSR1);
    co_return {};
}

} // namespace zsync::conformance
