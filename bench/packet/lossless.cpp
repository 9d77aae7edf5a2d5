// What AF_XDP sockets lose at 70 % of the most that they receive and forward, 64-byte frames on
// veth pairs, which have copy mode alone: the most is taken under a generator that is faster, then
// it is held to 70 % of that, a frame at a time.
#include "bench/packet/subject.hpp"
#include "tests/packet/frame_counter.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/processor.hpp"
#include "tests/packet/xsk_threads.hpp"

#include <chrono>
#include <format>
#include <functional>
#include <iostream>
#include <thread>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet::test;

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto lead_time = 100ms;
constexpr auto overload_time = 500ms;
constexpr std::uint32_t paced_frames = 2'000'000;
constexpr double share = 0.7;
constexpr unsigned generator_cpu = 0;
constexpr unsigned receiver_cpu = 1;
constexpr std::uint32_t receive_entries = 8192; // as the forwarder has

/// Frames a second that `count` grows by while more than that is offered.
std::uint32_t most(const LiveSource& source, const std::function<std::uint64_t()>& count) {
    source.pace(0);
    const LiveStream stream(source, generator_cpu);
    std::this_thread::sleep_for(lead_time);
    const std::uint64_t before = count();
    const auto start = Clock::now();
    std::this_thread::sleep_for(overload_time);
    const std::chrono::duration<double> took = Clock::now() - start;
    return static_cast<std::uint32_t>(static_cast<double>(count() - before) / took.count());
}

/// Sends at `share` of `most`; how many a second that was.
double send_paced(const LiveSource& source, std::uint32_t most) {
    source.pace(static_cast<std::uint32_t>(share * most));
    const auto start = Clock::now();
    source.send(paced_frames);
    const std::chrono::duration<double> took = Clock::now() - start;
    return paced_frames / took.count();
}

/// What happened to the frames of one paced run.
struct Run {
    std::uint32_t most;    ///< a second
    double sent;           ///< the same
    std::uint64_t arrived; ///< at the interface; the link itself has room for 256
    std::uint64_t came;    ///< through
};

void print(std::string_view what, const Run& run) {
    require(run.came <= run.arrived, "no frame comes twice");
    std::cerr << std::format(
        "{}: {:.2f} million a second at most; of {} made at {:.2f}, {} arrived and {} came "
        "through\n",
        what,
        run.most / 1e6,
        paced_frames,
        run.sent / 1e6,
        run.arrived,
        run.came
    );
    print_limit(
        std::format("AF_XDP {}, copy mode, at 70 % of its most, of 2,000,000", what),
        static_cast<double>(run.arrived - run.came),
        "frames lost",
        0
    );
}

void measure() {
    require(std::thread::hardware_concurrency() >= 2, "two processors");
    (void)Lab::enter();
    stay_on(generator_cpu); // whatever runs on the receiver's costs it a slice of milliseconds
    {
        const Veth veth("zl0", "zl1");
        const LiveSource source(veth.peer());
        std::uint32_t rate = 0;
        {
            const ReceivingThread receiver(veth.name(), receive_entries, receiver_cpu);
            rate = most(source, [&] { return receiver.received(); });
        }
        ReceivingThread receiver(veth.name(), receive_entries, receiver_cpu);
        const std::uint64_t before = frames_arrived(veth.name());
        const double sent = send_paced(source, rate);
        std::this_thread::sleep_for(lead_time); // the link has room for some
        const std::uint64_t arrived = frames_arrived(veth.name()) - before;
        const ReceiveReport report = receiver.stop();
        const packet::xsk::SocketStats& stats = report.stats;
        require(report.open.adds_up && report.closed.adds_up, "the frames add up");
        require(
            stats.received + stats.lost_ring_full + stats.lost_no_frame + stats.lost_other ==
                arrived,
            "what the kernel lost, it counted"
        );
        print("receive", {rate, sent, arrived, stats.received});
    }
    {
        const Veth first("zl0", "zl1");
        const Veth second("zl2", "zl3");
        const FrameCounter counter(second.peer());
        const LiveSource source(first.peer());
        ForwardingThread forwarder(first.name(), second.name(), receiver_cpu);
        const std::uint32_t rate = most(source, [&] { return counter.frames(); });
        std::this_thread::sleep_for(lead_time); // what is in its rings goes first
        const std::uint64_t before = counter.frames();
        const std::uint64_t arrived_before = frames_arrived(first.name());
        const double sent = send_paced(source, rate);
        std::this_thread::sleep_for(lead_time);
        const std::uint64_t arrived = frames_arrived(first.name()) - arrived_before;
        const packet::xsk::ForwardStatus status = forwarder.stop();
        require(status.balance.adds_up, "the frames add up");
        print("forward", {rate, sent, arrived, counter.frames() - before});
    }
}

} // namespace

int main() { return run_bench(measure); }
