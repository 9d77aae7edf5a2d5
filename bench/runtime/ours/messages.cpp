// What values and calls from one worker to another cost: `messages_zsync COUNT`.
#include <zsync/core/inbox.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/port.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>

#include <cstdio>
#include <cstdlib>
#include <sched.h>

using namespace zsync;

namespace {

constexpr std::size_t port_places = 64;
constexpr int calls_at_once = 64;

Task<Result<void>> send_all(Io /*io*/, PortSender<std::uint64_t> values, std::uint64_t count) {
    for (std::uint64_t n = 0; n < count; ++n) {
        ZCO_CHECK(co_await values.send(n));
    }
    co_return {};
}

std::uint64_t next(Io /*io*/, std::uint64_t n) { return n + 1; }

Task<Result<std::uint64_t>> call_often(Io /*io*/, WorkerAddress there, std::uint64_t count) {
    std::uint64_t sum = 0;
    for (std::uint64_t n = 0; n < count; ++n) {
        ZCO_TRY(const std::uint64_t got, co_await there.call("next", next, n));
        sum += got - n;
    }
    co_return sum;
}

void report(const char* what, std::uint64_t count, Duration took, std::uint64_t bells) {
    (void)std::printf(
        "%s %.1f ns, %.5f system calls to wake the other, each\n",
        what,
        static_cast<double>(took.count()) / static_cast<double>(count),
        static_cast<double>(bells) / static_cast<double>(count)
    );
}

Task<Result<void>> measure(Io io, WorkerGroup& group, std::uint64_t count) {
    const WorkerAddress there = group[0];
    ZCO_TRY(const WorkerAddress here, static_cast<Worker&>(io.executor()).address());
    const auto bells = [&] { return here.inbox()->bells() + there.inbox()->bells(); };
    {
        ZCO_TRY(auto port, Port<std::uint64_t>::create(io, port_places));
        const std::uint64_t bells_before = bells();
        const TimePoint begin = io.now();
        auto sending = there.async(io, "send", send_all, port.sender(), count);
        std::uint64_t expected = 0;
        while (Result<std::uint64_t> value = co_await port.receive()) {
            if (*value != expected++) {
                co_return fail(CoreError::invalid_argument);
            }
        }
        report("port", expected, io.now() - begin, bells() - bells_before);
        ZCO_CHECK(co_await sending);
    }
    const std::uint64_t bells_before = bells();
    const TimePoint begin = io.now();
    JoinSet<Result<std::uint64_t>> callers(io);
    for (int n = 0; n < calls_at_once; ++n) {
        callers.spawn(call_often, io, there, count / calls_at_once);
    }
    std::uint64_t calls = 0;
    while (auto called = co_await callers.next()) {
        ZCO_CHECK(*called);
        calls += **called;
    }
    report("call", calls, io.now() - begin, bells() - bells_before);
    co_return {};
}

bool run(const char* how, Duration busy_poll, std::uint64_t count) {
    const auto group = WorkerGroup::create({{.cpu = 1, .busy_poll = busy_poll}});
    const auto worker = Worker::create();
    if (!group || !worker) {
        (void)std::fprintf(stderr, "messages_zsync: no workers\n");
        return false;
    }
    (*worker)->busy_poll(busy_poll);
    (void)std::printf("%s:\n", how);
    const Io io = (*worker)->io();
    return io.run("measure", measure(io, **group, count)).has_value();
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        (void)std::fprintf(stderr, "usage: messages_zsync COUNT\n");
        return 2;
    }
    const std::uint64_t count = std::strtoull(argv[1], nullptr, 10);
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (::sched_setaffinity(0, sizeof first, &first) != 0) {
        std::perror("messages_zsync");
        return 1;
    }
    const bool done =
        run("workers that sleep at once", {}, count) &&
        run("workers that poll for 50 us first", std::chrono::microseconds(50), count);
    return done ? 0 : 1;
}
