// What it costs to answer a SYN with a cookie: a rule that challenges, a listening socket, and SYNs
// from random addresses, above a bare XDP_TX and above the same rule without the challenge.
// BPF_PROG_TEST_RUN, in turns within each round, medians.
#include "bench/packet/subject.hpp"
#include "tests/packet/frames.hpp"
#include "tests/packet/lab.hpp"

#include <zsync/packet/counters.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/rules.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/in.h>
#include <syn_source.skel.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <format>
#include <iostream>
#include <memory>
#include <string_view>
#include <vector>
extern "C" {
#include <bpf/cookie.h>
#include <linux/bpf.h>
}

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet;
using packet::test::Frame;
using packet::test::operator+;

namespace {

constexpr std::uint16_t port = 80;
constexpr std::uint32_t repeats = 1U << 18;
constexpr int rounds = 15;
constexpr double answered_ns_max = 400;

struct Destroy {
    void operator()(syn_source* skeleton) const { syn_source__destroy(skeleton); }
};

struct Loaded {
    explicit Loaded(std::string_view text) {
        const auto rules = parse_rules(text, "bench", read_regular_file);
        require(rules.has_value(), "parse the rule");
        Tables tables = must(compile(*rules, {.rules = {1}, .by_default = 0}));
        tables.config.challenge_takes =
            ZSYNC_AGREED_TIMESTAMPS | ZSYNC_AGREED_SACK | ZSYNC_AGREED_SCALE_MASK;
        tables.config.challenge_mss = 1460;
        program = must(load_program(tables, maps));
    }

    SharedMaps maps = must(create_shared_maps());
    LoadedProgram program;
};

/// A program that gets SYNs, and its nanoseconds for one.
class Answering {
public:
    Answering(const Frame& syn, int program) : skeleton_(syn_source__open_and_load()), syn_(syn) {
        require(skeleton_ != nullptr, "load the source of SYNs");
        require(syn.size() == sizeof skeleton_->bss->syn, "a SYN of that size");
        std::memcpy(skeleton_->bss->syn, syn.data(), syn.size());
        const std::uint32_t key = 0;
        const int target = program >= 0 ? program : bpf_program__fd(skeleton_->progs.bare_send);
        const int map = bpf_map__fd(skeleton_->maps.target);
        require(bpf_map_update_elem(map, &key, &target, BPF_ANY) == 0, "aim at the program");
    }

    void run() {
        LIBBPF_OPTS(
            bpf_test_run_opts,
            options,
            .data_in = syn_.data(),
            .data_size_in = static_cast<std::uint32_t>(syn_.size()),
            .repeat = static_cast<int>(repeats)
        );
        const int entry = bpf_program__fd(skeleton_->progs.syn_source);
        require(bpf_prog_test_run_opts(entry, &options) == 0, "BPF_PROG_TEST_RUN");
        ns.push_back(options.duration);
        returned = options.retval;
    }
    [[nodiscard]] std::uint64_t calls() const { return skeleton_->bss->calls; }

    std::vector<double> ns;
    std::uint32_t returned = 0;

private:
    std::unique_ptr<syn_source, Destroy> skeleton_;
    Frame syn_;
};

/// As Linux sends it: MSS, SACK, timestamps, window scale 7.
Frame syn_frame() {
    const Frame options{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7};
    Frame tcp(20);
    tcp[3] = port;
    tcp[12] = 10 << 4;
    tcp[13] = 2;
    return test::ethernet(0x0800) +
           test::ipv4({.destination = 0x7f000001, .protocol = IPPROTO_TCP}, tcp + options);
}

Fd listening_socket() {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    require(
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
            listen(fd.get(), 1) == 0,
        "listen"
    );
    return fd;
}

void measure() {
    test::Lab::enter();
    const Fd listener = listening_socket();
    const Loaded plain("pass proto tcp dport 80");
    const Loaded challenging("pass challenge proto tcp dport 80");
    const Frame syn = syn_frame();
    Answering bare(syn, -1);
    Answering without(syn, plain.program.fd.get());
    Answering with(syn, challenging.program.fd.get());
    const std::array<Answering*, 3> all{&bare, &without, &with};
    for (int round = 0; round < rounds; ++round) {
        for (Answering* const one : all) {
            one->run();
        }
    }
    const double answered = median(with.ns);
    print_limit(
        "SYN answered with a cookie, above a bare XDP_TX",
        answered - median(bare.ns),
        "ns added",
        answered_ns_max
    );
    const auto stats = read_stats(challenging.maps.stats);
    require(stats.has_value(), "read what was answered");
    std::cerr << std::format(
        "SYN answered: {:.1f} ns; bare XDP_TX {:.1f} ns, the rule without challenge {:.1f} ns; ran "
        "{} times, answered {}\n",
        answered,
        median(bare.ns),
        median(without.ns),
        with.calls(),
        stats->challenges_sent
    );
    require(
        with.returned == XDP_TX && stats->challenges_sent == with.calls() &&
            without.returned == XDP_PASS,
        "all was done"
    );
}

} // namespace

int main() { return run_bench(measure); }
