// How many frames a second `zsyncctl packet capture` has in its file without losing one, by copies
// (a program of TCX and a ring) and taken by AF_XDP (`--take`): zsyncd and zsyncctl as they are
// installed, 64-byte frames on a veth, which has copy mode alone. Of each way the most is taken
// under a generator that is faster; then less and less is sent, a frame at a time, until each frame
// that arrived is there.
#include "bench/packet/private_zsyncd.hpp"
#include "bench/packet/subject.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/processor.hpp"

#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <format>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <thread>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet::test;

namespace {

using namespace std::chrono_literals;

constexpr auto overload_time = 800ms;
constexpr const char* capture_seconds = "2.5"; // what is sent takes less
constexpr int rounds = 3;
constexpr double step = 0.9; // of one pace, to the next
constexpr std::uint32_t slowest = 25'000;
constexpr unsigned generator_cpu = 0;
constexpr unsigned zsyncd_cpu = 1;

/// What is in a pcapng file, by its blocks.
struct Contents {
    std::uint64_t packets = 0;
    double seconds = 0;     ///< from the first to the last
    std::uint64_t lost = 0; ///< by its last block
};

Contents contents_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const auto word = [&](std::size_t at) {
        std::uint32_t value = 0;
        require(at + sizeof value <= text.size(), "the file is whole");
        std::memcpy(&value, text.data() + at, sizeof value);
        return value;
    };
    constexpr std::uint32_t packet_block = 6;
    constexpr std::uint32_t statistics_block = 5;
    constexpr std::uint16_t dropped_option = 5;
    Contents contents;
    std::uint64_t first_ns = 0;
    bool ended = false;
    for (std::size_t at = 0; at < text.size(); at += word(at + 4)) {
        require(word(at + 4) >= 12, "a block has a length");
        const std::uint64_t time_ns = std::uint64_t{word(at + 12)} << 32 | word(at + 16);
        if (word(at) == packet_block) {
            first_ns = contents.packets++ == 0 ? time_ns : first_ns;
            contents.seconds = static_cast<double>(time_ns - first_ns) / 1e9;
        } else if (word(at) == statistics_block) {
            ended = true;
            for (std::size_t option = at + 20; (word(option) & 0xffff) != 0;
                 option += 4 + (word(option) >> 16)) {
                if ((word(option) & 0xffff) == dropped_option) {
                    contents.lost = word(option + 4);
                }
            }
        }
    }
    require(ended, "the file has its last block");
    return contents;
}

/// What became of the frames of one run.
struct Run {
    std::uint64_t arrived = 0;
    Contents file;
    [[nodiscard]] bool lossless() const { return file.packets == arrived && file.lost == 0; }
    /// Frames in the file, a second.
    [[nodiscard]] double rate() const { return static_cast<double>(file.packets) / file.seconds; }
};

void print(std::string_view name, std::string_view how, const Run& run) {
    std::cerr << std::format(
        "{}, {}: {} arrived, {} in the file, {} counted as lost, {:.3f} million a second\n",
        name,
        how,
        run.arrived,
        run.file.packets,
        run.file.lost,
        run.rate() / 1e6
    );
}

class Bench {
public:
    explicit Bench(const Lab& lab)
        : lab_(lab), zsyncd_({.bpf_dir = lab.bpf_dir(), .prepare = [] { stay_on(zsyncd_cpu); }}) {
        require(
            ::setenv("ZSYNC_BUS_ADDRESS", zsyncd_.bus_address().c_str(), 1) == 0, "environment"
        );
        const std::string attach =
            std::format("{} packet attach {} --mode native", built("zsyncctl"), veth_.name());
        std::string said;
        zsyncd_.wait_until(
            [&] {
                said = output_of(attach + " 2>&1 && echo attached");
                return said.ends_with("attached\n");
            },
            &said
        );
    }

    /// Sends while a capture runs.
    Run capture(bool takes, const std::function<void()>& send) {
        const std::string path = lab_.scratch_dir() + "/capture.pcapng";
        std::filesystem::remove(path);
        Run run;
        int status = -1;
        {
            const pid_t client = ::fork();
            if (client == 0) {
                const std::string program = built("zsyncctl");
                std::vector<const char*> words{"zsyncctl", "--json", "packet", "capture"};
                words.push_back(veth_.name().c_str());
                if (takes) {
                    words.push_back("--take");
                }
                words.insert(words.end(), {"-w", path.c_str(), "--for", capture_seconds, nullptr});
                ::dup2(STDERR_FILENO, STDOUT_FILENO);
                ::execv(program.c_str(), const_cast<char* const*>(words.data()));
                ::_exit(127);
            }
            require(client > 0, "fork");
            wait_for("the capture", [&] {
                std::error_code none;
                return std::filesystem::file_size(path, none) > 0 && !none;
            });
            const std::uint64_t before = frames_arrived(veth_.name());
            send();
            require(::waitpid(client, &status, 0) == client, "wait");
            run.arrived = frames_arrived(veth_.name()) - before;
        }
        require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "zsyncctl packet capture");
        run.file = contents_of(path);
        require(run.file.packets <= run.arrived, "no frame comes twice");
        return run;
    }

    /// Frames a second in the file, the most of which nothing was lost.
    double lossless(bool takes, const char* name) {
        source_.pace(0);
        Run run = capture(takes, [this] {
            const LiveStream stream(source_, generator_cpu);
            std::this_thread::sleep_for(overload_time);
        });
        print(name, "as fast as they are made", run);
        for (double rate = run.rate(); !run.lossless(); rate *= step) {
            require(rate >= slowest, std::string(name) + ": some is lost at any rate");
            const auto paced = static_cast<std::uint32_t>(rate);
            source_.pace(paced);
            run = capture(takes, [&] { source_.send(paced); });
            print(name, std::format("paced for {}", paced), run);
        }
        return run.rate();
    }

private:
    const Lab& lab_;
    Veth veth_{"zl0", "zl1"};
    LiveSource source_{veth_.peer()};
    PrivateZsyncd zsyncd_;
};

void measure() {
    require(std::thread::hardware_concurrency() >= 2, "two processors");
    const Lab& lab = Lab::enter();
    // What the host itself has to say on a link is no part of it.
    packet::test::run(
        "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
    );
    stay_on(generator_cpu);
    Bench bench(lab);
    std::vector<double> taken;
    std::vector<double> copied;
    for (int round = 0; round < rounds; ++round) {
        taken.push_back(1e9 / bench.lossless(true, "taken by AF_XDP, copy mode"));
        copied.push_back(1e9 / bench.lossless(false, "copied"));
    }
    print_ratio(
        "captured without loss, 64 bytes: AF_XDP, copy mode, against copies",
        median(taken),
        median(copied),
        "ns a frame",
        median(taken) / median(copied),
        1
    );
}

} // namespace

int main() { return run_bench(measure); }
