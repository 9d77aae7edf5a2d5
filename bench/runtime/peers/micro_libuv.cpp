// The small costs of libuv: a timer started and stopped among a million.
#include "bench/runtime/peers/micro.hpp"

#include <uv.h>
#include <vector>

namespace {

void ignore(uv_timer_t*) {}

/// libuv counts milliseconds.
std::uint64_t away_ms(std::uint64_t serial) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(micro::time_away(serial)).count()
    );
}

micro::Seconds timer(std::uint64_t count) {
    uv_loop_t loop;
    uv_loop_init(&loop);
    std::vector<uv_timer_t> live(micro::live_timers);
    for (std::uint64_t i = 0; i < micro::live_timers; ++i) {
        uv_timer_init(&loop, &live[i]);
        uv_timer_start(&live[i], ignore, away_ms(i), 0);
    }
    uv_timer_t probe;
    uv_timer_init(&loop, &probe);
    const micro::Stopwatch watch;
    for (std::uint64_t i = 0; i < count; ++i) {
        uv_timer_start(&probe, ignore, away_ms(micro::live_timers + i), 0);
        uv_timer_stop(&probe);
    }
    return watch.elapsed(); // the loop ends with the process
}

constexpr micro::Case cases[] = {{.name = "timer", .run = timer}};

} // namespace

int main(int count, char** words) { return micro::run(cases, count, words); }
