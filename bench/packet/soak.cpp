// A hundred million frames through a forwarder, more offered than it can take, and then where all
// the frames of its pool are. Some minutes.
#include "bench/packet/subject.hpp"
#include "tests/packet/frame_counter.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/xsk_threads.hpp"

#include <chrono>
#include <format>
#include <iostream>
#include <thread>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet::test;

namespace {

constexpr std::uint64_t frames = 100'000'000;
constexpr std::chrono::milliseconds look_interval{20};

void measure() {
    (void)Lab::enter();
    const Veth first("zs0", "zs1");
    const Veth second("zs2", "zs3");
    const FrameCounter counter(second.peer());
    ForwardingThread forwarder(first.name(), second.name());
    const auto start = std::chrono::steady_clock::now();
    {
        const LiveSource source(first.peer());
        const LiveStream stream(source);
        while (counter.frames() < frames) {
            std::this_thread::sleep_for(look_interval);
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    const packet::xsk::ForwardStatus status = forwarder.stop();
    const packet::xsk::UmemBalance& balance = status.balance;
    std::cerr << std::format(
        "soak: {} forwarded in {:.0f} s, {} counted at the far end, {} came and found no room; "
        "{} frames: {} free, {} receiving, {} sending, {} held, which {}\n",
        status.ports[0].forwarded,
        took.count(),
        counter.frames(),
        status.ports[0].lost,
        balance.frames,
        balance.free,
        balance.receiving,
        balance.sending,
        balance.held,
        balance.adds_up ? "adds up" : "DOES NOT ADD UP"
    );
    require(balance.adds_up, "both ways of counting agree");
    require(status.ports[0].forwarded == counter.frames(), "what was forwarded has arrived");
    print_limit(
        "AF_XDP forward, 100,000,000: frames not back in their pool",
        static_cast<double>(balance.frames) - balance.free - balance.receiving,
        "frames",
        0
    );
}

} // namespace

int main() { return run_bench(measure); }
