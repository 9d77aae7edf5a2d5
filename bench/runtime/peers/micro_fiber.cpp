// The small costs of Boost.Fiber, and of the bare Boost.Context switch under it. Stacks are pooled.
#include "bench/runtime/peers/micro.hpp"

#include <boost/context/fiber.hpp>
#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>
#include <mutex>

namespace fibers = boost::fibers;

namespace {

fibers::pooled_fixedsize_stack stacks(16384);

template <class Body> fibers::fiber start(Body body) {
    return fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, std::move(body));
}

micro::Seconds spawn_join(std::uint64_t count) {
    std::uint64_t value = 0;
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        start([&] { ++value; }).join();
    }
    micro::opaque(value);
    return watch.elapsed();
}

micro::Seconds yield_of_two(std::uint64_t count) {
    const auto yield_often = [half = count / 2] {
        for (std::uint64_t i = 0; i < half; ++i) {
            boost::this_fiber::yield();
        }
    };
    const micro::Stopwatch watch;
    fibers::fiber first = start(yield_often);
    fibers::fiber second = start(yield_often);
    first.join();
    second.join();
    return watch.elapsed();
}

/// There and back are two switches.
micro::Seconds context_switch(std::uint64_t count) {
    boost::context::fiber other([](boost::context::fiber&& back) {
        while (true) {
            back = std::move(back).resume();
        }
        return std::move(back);
    });
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count / 2; ++i) {
        other = std::move(other).resume();
    }
    return watch.elapsed();
}

micro::Seconds channel(std::uint64_t count) {
    fibers::buffered_channel<std::uint64_t> channel(micro::channel_capacity);
    std::uint64_t sum = 0;
    const micro::Stopwatch watch;
    fibers::fiber producer = start([&] {
        for (std::uint64_t i = 0; i < count; ++i) {
            channel.push(i);
        }
        channel.close();
    });
    std::uint64_t value = 0;
    while (channel.pop(value) == fibers::channel_op_status::success) {
        sum += value;
    }
    producer.join();
    micro::opaque(sum);
    return watch.elapsed();
}

micro::Seconds mutex(std::uint64_t count) {
    fibers::mutex mutex;
    std::uint64_t value = 0;
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::lock_guard lock(mutex);
        micro::opaque(++value);
    }
    return watch.elapsed();
}

constexpr micro::Case cases[] = {
    {.name = "fiber_switch", .run = context_switch},
    {.name = "fiber_yield", .run = yield_of_two},
    {.name = "fiber_spawn_join", .run = spawn_join},
    {.name = "channel", .run = channel},
    {.name = "mutex", .run = mutex},
};

} // namespace

int main(int count, char** words) { return micro::run(cases, count, words); }
