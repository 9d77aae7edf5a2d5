// Many sleeping tasks on zsync: `sleepers_zsync COUNT`, as its peers.
#include "bench/runtime/peers/memory.hpp"

#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <cstdlib>

using namespace zsync;

namespace {

constexpr std::chrono::seconds near(3);
constexpr std::chrono::hours far_away(1);

Task<void> sleeper(Io io, TimePoint deadline, std::uint64_t* asleep) {
    ++*asleep;
    (void)co_await io.sleep_until(deadline);
    --*asleep;
}

/// Returns when each is asleep.
Task<void>
start(Io io, Scope* scope, std::uint64_t count, TimePoint deadline, std::uint64_t* asleep) {
    for (std::uint64_t i = 0; i < count; ++i) {
        (void)scope->spawn("sleeper", sleeper(io, deadline, asleep));
    }
    while (*asleep != count) {
        (void)co_await io.yield();
    }
}

double ms(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

Task<int> measure(Io io, std::uint64_t count) {
    Scope scope(io, "sleepers");
    std::uint64_t asleep = 0;
    const std::uint64_t before = bench::resident_bytes();
    const TimePoint begin = Clock::now();
    const TimePoint deadline = begin + near;
    co_await start(io, &scope, count, deadline, &asleep);
    const double spawn_ms = ms(Clock::now() - begin);
    const std::uint64_t bytes = bench::resident_bytes() - before;
    if (Clock::now() >= deadline) {
        (void)std::fprintf(stderr, "the deadline passed while tasks were started\n");
        co_return 1;
    }
    (void)co_await scope.join();
    const double wake_ms = ms(Clock::now() - deadline);
    co_await start(io, &scope, count, Clock::now() + far_away, &asleep);
    const TimePoint cancel = Clock::now();
    scope.cancel();
    (void)co_await scope.join();
    bench::print_sleepers(bytes, count, spawn_ms, wake_ms, ms(Clock::now() - cancel));
    co_return asleep == 0 ? 0 : 1;
}

} // namespace

int main(int word_count, char** words) {
    const std::uint64_t count = word_count == 2 ? std::strtoull(words[1], nullptr, 10) : 0;
    auto worker = Worker::create();
    if (count == 0 || !worker) {
        (void)std::fprintf(stderr, "usage: sleepers_zsync COUNT\n");
        return 2;
    }
    return (*worker)->run("sleepers", measure((*worker)->io(), count));
}
