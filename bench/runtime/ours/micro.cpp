// The small costs of zsync, and of bare C++20 coroutines in the same process (cases that begin with
// "bare.").
#include "bench/runtime/peers/micro.hpp"

#include "bench/runtime/peers/bare_coroutine.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/fiber_switch.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <memory>

using namespace zsync;

namespace {

[[gnu::noinline]] Task<std::uint64_t> child(std::uint64_t value) { co_return value + 1; }
Task<void> count_one(std::uint64_t* value) {
    ++*value;
    co_return;
}

Task<micro::Seconds> await_children(Io, std::uint64_t count) {
    std::uint64_t value = 0;
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        value = co_await child(value);
    }
    micro::opaque(value);
    co_return watch.elapsed();
}

Task<micro::Seconds> spawn_children(Io io, std::uint64_t count) {
    std::uint64_t value = 0;
    Scope scope(io, "children");
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        (void)scope.spawn("child", count_one(&value));
        (void)co_await scope.join();
    }
    micro::opaque(value);
    co_return watch.elapsed();
}

Task<void> yield_often(Io io, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        (void)co_await io.yield();
    }
}

Task<micro::Seconds> yield_of_two(Io io, std::uint64_t count) {
    Scope scope(io, "yielding");
    const micro::Stopwatch watch;
    (void)scope.spawn("first", yield_often(io, count / 2));
    (void)scope.spawn("second", yield_often(io, count / 2));
    (void)co_await scope.join();
    co_return watch.elapsed();
}

Task<void> bounce(Fiber* const* fiber) {
    for (;;) {
        (*fiber)->leave();
    }
    co_return;
}

/// There and back are two switches of stacks, and nothing else; `fiber_yield` has the rest.
micro::Seconds switch_stacks(std::uint64_t count) {
    static FiberPool pool;
    static Fiber* const fiber = pool.acquire(limits::fiber_stack_bytes);
    static PromiseBase& root = bounce(&fiber).release().promise();
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count / 2; ++i) {
        pool.enter(*fiber, root);
    }
    return watch.elapsed();
}

Task<micro::Seconds> timers(Io io, std::uint64_t count) {
    const TimePoint start = io.now();
    TimerWheel wheel(start);
    std::vector<std::unique_ptr<Timer>> live;
    live.reserve(micro::live_timers);
    for (std::uint64_t i = 0; i < micro::live_timers; ++i) {
        live.push_back(std::make_unique<Timer>());
        wheel.add(*live.back(), start + micro::time_away(i));
    }
    Timer probe;
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        wheel.add(probe, start + micro::time_away(micro::live_timers + i));
        wheel.remove(probe);
    }
    const micro::Seconds spent = watch.elapsed();
    for (const auto& timer : live) {
        wheel.remove(*timer);
    }
    co_return spent;
}

Task<void> produce(Channel<std::uint64_t>* channel, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        (void)co_await channel->send(i);
    }
}

Task<micro::Seconds> through_channel(Io io, std::uint64_t count) {
    Channel<std::uint64_t> channel(micro::channel_capacity);
    Scope scope(io, "producer");
    std::uint64_t sum = 0;
    const micro::Stopwatch watch;
    (void)scope.spawn("producer", produce(&channel, count));
    for (std::uint64_t i = 0; i < count; ++i) {
        sum += *co_await channel.receive();
    }
    micro::opaque(sum);
    const micro::Seconds spent = watch.elapsed();
    (void)co_await scope.join();
    co_return spent;
}

Task<micro::Seconds> lock_often(Io, std::uint64_t count) {
    Mutex mutex;
    std::uint64_t value = 0;
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto lock = co_await mutex.lock();
        micro::opaque(++value);
    }
    co_return watch.elapsed();
}

template <Task<micro::Seconds> (*body)(Io, std::uint64_t)>
micro::Seconds on_worker(std::uint64_t count) {
    static const auto worker = Worker::create();
    return (*worker)->run("micro", body((*worker)->io(), count));
}

/// The same program, each task a fiber.
template <Task<micro::Seconds> (*body)(Io, std::uint64_t)>
micro::Seconds on_fibers(std::uint64_t count) {
    static const auto worker = Worker::create();
    return (*worker)->fiber_io().run("micro", body((*worker)->fiber_io(), count));
}

constexpr micro::Case cases[] = {
    {.name = "await_child", .run = on_worker<await_children>},
    {.name = "spawn_join", .run = on_worker<spawn_children>},
    {.name = "yield", .run = on_worker<yield_of_two>},
    {.name = "fiber_switch", .run = switch_stacks},
    {.name = "fiber_yield", .run = on_fibers<yield_of_two>},
    {.name = "fiber_spawn_join", .run = on_fibers<spawn_children>},
    {.name = "timer", .run = on_worker<timers>},
    {.name = "channel", .run = on_worker<through_channel>},
    {.name = "mutex", .run = on_worker<lock_often>},
    {.name = "bare.await_child", .run = bare::await_child},
    {.name = "bare.spawn_join", .run = bare::spawn_join},
    {.name = "bare.yield", .run = bare::yield_of_two},
};

} // namespace

int main(int count, char** words) { return micro::run(cases, count, words); }
