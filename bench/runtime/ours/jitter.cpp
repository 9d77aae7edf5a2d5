// How late a real-time worker wakes: `jitter_zsync INTERVAL_US COUNT PRIORITY`, as cyclictest does.
#include <zsync/core/io.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>

#include <cstdio>
#include <cstdlib>
#include <vector>

using namespace zsync;

namespace {

using Microseconds = std::chrono::duration<double, std::micro>;

Task<Result<std::vector<Duration>>> sleep_often(Io io, Duration interval, std::size_t count) {
    std::vector<Duration> late(count); // touched here, before the first wait
    TimePoint due = io.now() + interval;
    for (Duration& by : late) {
        ZCO_CHECK(co_await io.sleep_until(due));
        const TimePoint woken = io.now();
        by = woken - due;
        while (due <= woken) { // the next one to come, as cyclictest does
            due += interval;
        }
    }
    co_return late;
}

int complain(const Fault& fault) {
    (void)std::fprintf(stderr, "jitter_zsync: %s\n", fault.message().c_str());
    return 1;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        (void)std::fprintf(stderr, "usage: jitter_zsync INTERVAL_US COUNT PRIORITY\n");
        return 2;
    }
    const std::chrono::microseconds interval(std::strtol(argv[1], nullptr, 10));
    const std::size_t count = std::strtoul(argv[2], nullptr, 10);
    const int priority = static_cast<int>(std::strtol(argv[3], nullptr, 10));
    const auto group = WorkerGroup::create({WorkerOptions{
        .name = "jitter",
        .scheduling =
            {.policy = Scheduling::Policy::fifo, .priority = priority, .lock_memory = true},
    }});
    if (!group) {
        return complain(group.error());
    }
    const auto here = Worker::create();
    if (!here) {
        return complain(here.error());
    }
    const Result<std::vector<Duration>> late =
        (*here)->run("jitter", (**group)[0].task("sleep", sleep_often, interval, count));
    if (!late) {
        return complain(late.error());
    }
    for (const Duration by : *late) {
        (void)std::printf("%.3f\n", Microseconds(by).count());
    }
    return 0;
}
