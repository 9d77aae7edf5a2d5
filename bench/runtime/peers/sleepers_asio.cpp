// Many sleeping coroutines on Boost.Asio: `sleepers_asio COUNT` prints one JSON object with the
// bytes of each and the milliseconds to start all, to wake all after their common deadline, and to
// cancel all.
#include "bench/runtime/peers/memory.hpp"
#include "bench/runtime/peers/micro.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <vector>

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

namespace {

constexpr std::chrono::seconds near(3);
constexpr std::chrono::hours far_away(1);

struct Herd {
    asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE};
    std::vector<Timer*> timers;
    std::uint64_t ended = 0;
};

/// A timer of its own each, in the frame; the herd knows them for the sake of cancelling.
asio::awaitable<void, Executor> sleeper(Herd* herd, Clock::time_point deadline) {
    Timer timer(herd->context.get_executor(), deadline);
    herd->timers.push_back(&timer);
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable_t<Executor>{}));
    ++herd->ended;
}

/// Starts them; each is asleep when this returns.
void start(Herd& herd, std::uint64_t count, Clock::time_point deadline) {
    herd.timers.clear();
    herd.ended = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        asio::co_spawn(herd.context, sleeper(&herd, deadline), asio::detached);
    }
    while (herd.timers.size() != count) {
        herd.context.poll();
    }
}

double ms(Clock::duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
}

} // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): a peer that cannot go on ends loudly
int main(int word_count, char** words) {
    const std::uint64_t count = word_count == 2 ? std::strtoull(words[1], nullptr, 10) : 0;
    if (count == 0) {
        (void)std::fprintf(stderr, "usage: sleepers_asio COUNT\n");
        return 2;
    }
    Herd herd;
    herd.timers.reserve(count);
    const std::uint64_t before = bench::resident_bytes();
    const Clock::time_point begin = Clock::now();
    const Clock::time_point deadline = begin + near;
    start(herd, count, deadline);
    const double spawn_ms = ms(Clock::now() - begin);
    const std::uint64_t bytes = bench::resident_bytes() - before;
    if (Clock::now() >= deadline) {
        (void)std::fprintf(stderr, "the deadline passed while tasks were started\n");
        return 1;
    }
    herd.context.run();
    const double wake_ms = ms(Clock::now() - deadline);
    herd.context.restart();
    start(herd, count, Clock::now() + far_away);
    const Clock::time_point cancel = Clock::now();
    for (Timer* timer : herd.timers) {
        timer->cancel();
    }
    herd.context.run();
    const double cancel_ms = ms(Clock::now() - cancel);
    bench::print_sleepers(bytes, count, spawn_ms, wake_ms, cancel_ms);
    return herd.ended == count ? 0 : 1;
}
