// 64-byte frames from one veth pair to another by AF_XDP sockets: through zsync's forwarder and
// through dpdk-testpmd with net_af_xdp (io forwarding, the leanest that it has), each on pairs of
// its own. One generator on one processor, faster than either; the forwarder alone on another one,
// the other forwarder stopped meanwhile; frames counted at the far end. In turns, medians.
#include "bench/packet/child.hpp"
#include "bench/packet/subject.hpp"
#include "tests/packet/frame_counter.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/processor.hpp"

#include <zsync/core/signals.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/packet/xsk/forwarder.hpp>
#include <zsync/packet/xsk/redirect.hpp>

#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <format>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet::test;
namespace xsk = zsync::packet::xsk;

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int rounds = 16;
constexpr auto turn_time = 400ms;
/// Of a turn before it is measured: rings fill.
constexpr auto lead_time = 100ms;
constexpr auto start_time_max = 20s;
constexpr unsigned generator_cpu = 0;
constexpr unsigned forwarder_cpu = 1;

/// A forwarder's process, in this network namespace.
class ForwarderProcess {
public:
    explicit ForwarderProcess(const std::function<void()>& run)
        : input_(must(pipe())), child_([&] {
              ::dup2(input_.first.get(), STDIN_FILENO);
              ::dup2(STDERR_FILENO, STDOUT_FILENO); // rows are this process's
              run();
          }) {
        require(child_.pid() >= 0, "fork");
        input_.first.reset();
    }
    ForwarderProcess(const ForwarderProcess&) = delete;
    ForwarderProcess& operator=(const ForwarderProcess&) = delete;
    ~ForwarderProcess() { input_.second.reset(); } // testpmd ends with its input, not by SIGTERM
    void pause() const { ::kill(child_.pid(), SIGSTOP); }
    void go_on() const { ::kill(child_.pid(), SIGCONT); }
    void require_alive(const std::string& name) const {
        require(
            ::waitpid(child_.pid(), nullptr, WNOHANG) == 0,
            name + " has ended; what it said is above"
        );
    }

private:
    using Pipe = std::pair<Fd, Fd>;

    static Outcome<Pipe> pipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
            return fail(os_error(errno), "pipe");
        }
        return Pipe(ends[0], ends[1]);
    }

    Pipe input_; ///< its writing end is kept open
    Child child_;
};

/// Four ends of two veth pairs; frames come in at `first.peer` and are counted at `second.peer`.
struct Path {
    explicit Path(const std::string& mark)
        : first(mark + "0", mark + "1"), second(mark + "2", mark + "3") {}
    Veth first;
    Veth second;
    LiveSource source{first.peer()};
    FrameCounter counter{second.peer()};
};

/// A forwarder at work on a path of its own.
class Subject {
public:
    Subject(std::string name, const Path& path, const std::function<void()>& run)
        : name_(std::move(name)), path_(path), child_(run) {}

    /// Returns when it forwards.
    void wait() const {
        const auto deadline = Clock::now() + start_time_max;
        const std::uint64_t before = path_.counter.frames();
        while (path_.counter.frames() == before) {
            child_.require_alive(name_);
            require(Clock::now() < deadline, name_ + " forwards nothing");
            path_.source.send(64);
            std::this_thread::sleep_for(20ms);
        }
        child_.pause();
    }

    void run() {
        child_.go_on();
        const LiveStream stream(path_.source, generator_cpu);
        std::this_thread::sleep_for(lead_time);
        const std::uint64_t before = path_.counter.frames();
        const auto start = Clock::now();
        std::this_thread::sleep_for(turn_time);
        const std::uint64_t came = path_.counter.frames() - before;
        const auto end = Clock::now();
        child_.require_alive(name_);
        child_.pause();
        forwarded_ += came;
        ns_.push_back(
            std::chrono::duration<double, std::nano>(end - start).count() /
            static_cast<double>(came)
        );
    }

    [[nodiscard]] const std::vector<double>& ns() const { return ns_; }
    [[nodiscard]] std::string words() const {
        return std::format(
            "{} forwarded {} frames, {:.2f} million a second", name_, forwarded_, 1e3 / median(ns_)
        );
    }

private:
    std::string name_;
    const Path& path_;
    ForwarderProcess child_;
    std::vector<double> ns_;
    std::uint64_t forwarded_ = 0;
};

Task<Outcome<void>> forward(Io io, SignalSet signals, std::string first, std::string second) {
    ZCO_TRY(const auto from, xsk::Redirect::attach(first));
    ZCO_TRY(const auto to, xsk::Redirect::attach(second));
    ZCO_TRY(const auto forwarder, co_await xsk::Forwarder::open(io, {.ports = {first, second}}));
    for (const auto& socket : forwarder->sockets(0)) {
        ZCO_CHECK(from.enter(*socket));
    }
    for (const auto& socket : forwarder->sockets(1)) {
        ZCO_CHECK(to.enter(*socket));
    }
    auto running = io.async([](xsk::Forwarder& it) { return it.run(); }, std::ref(*forwarder));
    (void)co_await signals.next(io);
    (void)co_await running.cancel();
    const xsk::ForwardStatus status = forwarder->status();
    std::cerr << std::format(
        "zsync: {}; {} forwarded, {} found no room; {} frames: {} free, {} receiving, {} sending, "
        "which {}\n",
        name_of(status.copy_modes[0]),
        status.ports[0].forwarded,
        status.ports[0].lost,
        status.balance.frames,
        status.balance.free,
        status.balance.receiving,
        status.balance.sending,
        status.balance.adds_up ? "adds up" : "DOES NOT ADD UP"
    );
    co_return {};
}

void run_zsync(const Path& path) {
    stay_on(forwarder_cpu);
    auto signals = SignalSet::create({SIGTERM});
    auto worker = must(Worker::create());
    require(signals.has_value(), "signals");
    const auto done = worker->run(
        "forward", forward(worker->io(), *std::move(signals), path.first.name(), path.second.name())
    );
    if (!done) {
        std::cerr << done.error().message() << '\n';
    }
    ::_exit(done ? 0 : 1);
}

void run_testpmd(const Path& path) {
    const std::string lcores = std::format("0@{},1@{}", generator_cpu, forwarder_cpu);
    const std::string in = "net_af_xdp0,iface=" + path.first.name();
    const std::string out = "net_af_xdp1,iface=" + path.second.name();
    ::execlp(
        "dpdk-testpmd",
        "dpdk-testpmd",
        "--no-huge",
        "--no-pci",
        "--no-telemetry",
        "--no-shconf",
        "-m",
        "512",
        "--log-level=lib.eal:4",
        "--lcores",
        lcores.c_str(),
        "--vdev",
        in.c_str(),
        "--vdev",
        out.c_str(),
        "--",
        "--forward-mode=io",
        "--total-num-mbufs=32768",
        "--auto-start",
        nullptr
    );
    std::perror("dpdk-testpmd (of dpdk-dev, with librte-net-af-xdp25)");
}

void measure() {
    require(std::thread::hardware_concurrency() >= 2, "two processors");
    (void)Lab::enter();
    stay_on(generator_cpu);
    const Path our_path("zf");
    const Path peer_path("zp");
    Subject zsync("zsync", our_path, [&] { run_zsync(our_path); });
    Subject testpmd("testpmd", peer_path, [&] { run_testpmd(peer_path); });
    zsync.wait();
    testpmd.wait();
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
        // ABBA: neither is always the one that begins.
        for (Subject* subject :
             round % 2 == 0 ? std::array{&zsync, &testpmd} : std::array{&testpmd, &zsync}) {
            subject->run();
        }
        ratios.push_back(zsync.ns().back() / testpmd.ns().back());
    }
    std::cerr << std::format("forward: {}; {}\n", zsync.words(), testpmd.words());
    print_ratio(
        "AF_XDP forward, 64 bytes, copy mode, against testpmd",
        median(zsync.ns()),
        median(testpmd.ns()),
        "ns a frame",
        median(ratios),
        1.0
    );
}

} // namespace

int main() { return run_bench(measure); }
