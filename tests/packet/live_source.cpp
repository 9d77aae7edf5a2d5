#include "tests/packet/live_source.hpp"

#include "tests/packet/frames.hpp"
#include "tests/packet/processor.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <live_source.skel.h>
#include <net/if.h>
#include <system_error>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iterator>
#include <limits>
#include <pthread.h>
#include <stdexcept>

namespace zsync::packet::test {
namespace {

struct Destroy {
    void operator()(live_source* skeleton) const { live_source__destroy(skeleton); }
};

constexpr std::uint32_t batch = 64;
constexpr std::uint32_t paced_min = 25'000;

} // namespace

struct LiveSource::Program {
    std::unique_ptr<live_source, Destroy> skeleton{live_source__open_and_load()};
};

LiveSource::LiveSource(const std::string& ifname) : program_(std::make_unique<Program>()) {
    if (!program_->skeleton) {
        throw std::system_error(errno, std::generic_category(), "load live_source");
    }
    program_->skeleton->bss->ifindex = if_nametoindex(ifname.c_str());
}

LiveSource::~LiveSource() = default;

void LiveSource::draw_from(std::span<const std::uint32_t> addresses) const {
    auto& memory = *program_->skeleton->bss;
    if (addresses.size() > std::size(memory.addresses)) {
        throw std::length_error("more addresses than live_source.bpf.c holds");
    }
    std::ranges::copy(addresses, std::begin(memory.addresses));
    memory.addresses_count = static_cast<std::uint32_t>(addresses.size());
}

void LiveSource::pace(std::uint32_t packets_per_second) const {
    if (packets_per_second != 0 && packets_per_second < paced_min) {
        throw std::length_error("slower than live_source.bpf.c can wait");
    }
    program_->skeleton->bss->interval_ns =
        packets_per_second == 0 ? 0 : 1'000'000'000 / packets_per_second;
}

void LiveSource::send(std::uint32_t packets) const {
    const Frame frame = ethernet(0x0800) + ipv4({.source = 0x0a000000}, udp(4000, 5000, 22));
    LIBBPF_OPTS(
        bpf_test_run_opts,
        options,
        .data_in = frame.data(),
        .data_size_in = static_cast<std::uint32_t>(frame.size()),
        .repeat = static_cast<int>(packets),
        .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
        .batch_size = batch
    );
    const int program = bpf_program__fd(program_->skeleton->progs.live_source);
    if (bpf_prog_test_run_opts(program, &options) != 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), "BPF_PROG_TEST_RUN");
    }
}

LiveStream::LiveStream(const LiveSource& source, std::optional<unsigned> cpu) {
    struct sigaction ignore_but_wake{};
    ignore_but_wake.sa_handler = [](int) {};
    sigaction(SIGUSR1, &ignore_but_wake, nullptr);
    thread_ = std::thread([this, &source, cpu] {
        if (cpu) {
            stay_on(*cpu);
        }
        while (!stopping_) {
            source.send(std::numeric_limits<std::int32_t>::max());
        }
        stopped_ = true;
    });
}

LiveStream::~LiveStream() {
    stopping_ = true;
    // Again and again: one that comes before the system call begins ends nothing.
    while (!stopped_) {
        pthread_kill(thread_.native_handle(), SIGUSR1);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    thread_.join();
}

} // namespace zsync::packet::test
