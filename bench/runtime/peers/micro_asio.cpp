// The small costs of Boost.Asio with C++20 awaitables: one thread, no locks, unerased executors.
#include "bench/runtime/peers/micro.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <vector>

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
template <class T> using Awaitable = asio::awaitable<T, Executor>;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
using Channel =
    asio::experimental::channel<Executor, void(boost::system::error_code, std::uint64_t)>;

namespace {

constexpr asio::use_awaitable_t<Executor> await_it{};
/// Handlers of cancelled timers are let run after this many.
constexpr std::uint64_t timers_a_poll = 64;

Awaitable<std::uint64_t> child(std::uint64_t value) {
    micro::opaque(value);
    co_return value + 1;
}

Awaitable<void> await_children(std::uint64_t count) {
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        value = co_await child(value);
    }
    micro::opaque(value);
}

Awaitable<void> spawn_children(std::uint64_t count) {
    const Executor executor = co_await asio::this_coro::executor;
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        value = co_await asio::co_spawn(executor, child(value), await_it);
    }
    micro::opaque(value);
}

Awaitable<void> yield_often(std::uint64_t count) {
    const Executor executor = co_await asio::this_coro::executor;
    for (std::uint64_t i = 0; i < count; ++i) {
        co_await asio::post(executor, await_it);
    }
}

Awaitable<void> produce(Channel* channel, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        co_await channel->async_send(boost::system::error_code(), i, await_it);
    }
}

Awaitable<void> consume(Channel* channel, std::uint64_t count) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        sum += co_await channel->async_receive(await_it);
    }
    micro::opaque(sum);
}

template <class... Body> micro::Seconds run(Body... bodies) {
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    const micro::Stopwatch watch;
    (asio::co_spawn(context, std::move(bodies), asio::detached), ...);
    context.run();
    return watch.elapsed();
}

micro::Seconds channel(std::uint64_t count) {
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    Channel channel(context.get_executor(), micro::channel_capacity);
    const micro::Stopwatch watch;
    asio::co_spawn(context, produce(&channel, count), asio::detached);
    asio::co_spawn(context, consume(&channel, count), asio::detached);
    context.run();
    return watch.elapsed();
}

micro::Seconds timer(std::uint64_t count) {
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    const auto ignore = [](const boost::system::error_code&) {};
    const Clock::time_point start = Clock::now();
    std::vector<Timer> live;
    live.reserve(micro::live_timers);
    for (std::uint64_t i = 0; i < micro::live_timers; ++i) {
        live.emplace_back(context.get_executor(), start + micro::time_away(i)).async_wait(ignore);
    }
    Timer probe(context.get_executor());
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        probe.expires_at(start + micro::time_away(micro::live_timers + i));
        probe.async_wait(ignore);
        probe.cancel();
        if (i % timers_a_poll == 0) {
            context.poll();
        }
    }
    return watch.elapsed();
}

constexpr micro::Case cases[] = {
    {.name = "await_child", .run = [](std::uint64_t count) { return run(await_children(count)); }},
    {.name = "spawn_join", .run = [](std::uint64_t count) { return run(spawn_children(count)); }},
    {.name = "yield",
     .run = [](std::uint64_t count) { return run(yield_often(count / 2), yield_often(count / 2)); }
    },
    {.name = "timer", .run = timer},
    {.name = "channel", .run = channel},
};

} // namespace

int main(int count, char** words) { return micro::run(cases, count, words); }
