// A program to look into from outside: tasks of every kind that wait, in known places. Says "ready"
// when they do; ends when standard input does.
#include <zsync/core/future.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <chrono>
#include <cstdio>
#include <string>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

Task<Result<void>> innermost(Io io) {
    co_return co_await io.sleep_for(1h); // LINE: innermost
}

Task<Result<void>> middle(Io io) {
    co_return co_await innermost(io); // LINE: middle
}

Task<Result<void>> outer(Io io) {
    co_return co_await middle(io); // LINE: outer
}

[[gnu::noinline]] int wait_deep(Io io, int left) {
    volatile int kept = left;
    if (left == 0) {
        (void)io.sleep_for(1h).wait(); // LINE: fiber
        return kept;
    }
    return kept + wait_deep(io, left - 1);
}

Task<Result<void>> fibers(Io io) {
    auto deep = io.async("deep", &wait_deep, io, 3);
    (void)co_await deep; // LINE: future
    co_return {};
}

Task<Result<void>> read_input(Io io) {
    (void)co_await io.read(FdRef(0), Bytes(64)); // LINE: read
    co_return {};
}

Task<Result<void>> run(Io io, Io fiber_io) {
    Scope scope(io, "all");
    const std::string owned = std::string("chain ") + "of three";
    scope.spawn(owned, outer(io));
    scope.spawn("fibers", fibers(fiber_io));
    ZCO_CHECK(co_await io.sleep_for(1ms));
    std::puts("ready");
    std::fflush(stdout);
    auto input = io.async("input", read_input, io);
    (void)co_await input; // LINE: root
    scope.cancel();
    co_return co_await scope.join();
}

} // namespace

int main() {
    auto worker = Worker::create();
    if (!worker) {
        return 1;
    }
    (void)(*worker)->run("root", run((*worker)->io(), (*worker)->fiber_io()));
    return 0;
}
