// Frames that cross a veth and are dropped there, as fast as the kernel makes them, each from
// another address of a list of 100,000: by zsync, by a program that only drops, and by nftables at
// netdev ingress. One generator, in turns, medians of all that a frame costs. Then the same of the
// flow table while 200,000 forged sources fill it.
#include "bench/packet/prefix_lists.hpp"
#include "bench/packet/subject.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/rule_maker.hpp"

#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/address_text.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/flow_reader.hpp>
#include <zsync/packet/limits.hpp>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <format>
#include <fstream>
#include <iostream>
#include <memory>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t entries = 100'000;
constexpr std::uint32_t frames = 400'000;
constexpr int rounds = 9;

/// One receiver at the end of a veth of its own.
class Receiver {
public:
    Receiver(const Veth& veth, const Sources& sources) : veth_(veth), source_(veth.peer()) {
        source_.draw_from(sources.words);
    }

    void run() {
        const std::uint64_t before = arrived();
        const auto start = Clock::now();
        source_.send(frames);
        const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
        ns_.push_back(ns / static_cast<double>(arrived() - before));
    }
    [[nodiscard]] double ns() const { return median(ns_); }
    [[nodiscard]] std::uint64_t arrived() const { return frames_arrived(veth_.name()); }

private:
    const Veth& veth_;
    LiveSource source_;
    std::vector<double> ns_;
};

/// A program of the kind that zsync's is, and nothing in it.
class BareDrop {
public:
    explicit BareDrop(const Veth& veth) {
        const std::array<bpf_insn, 2> code{{
            {.code = BPF_ALU64 | BPF_MOV | BPF_K,
             .dst_reg = 0,
             .src_reg = 0,
             .off = 0,
             .imm = XDP_DROP},
            {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
        }};
        LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_XDP_HAS_FRAGS);
        program_ = Fd(
            bpf_prog_load(BPF_PROG_TYPE_XDP, "bare_drop", "GPL", code.data(), code.size(), &options)
        );
        require(static_cast<bool>(program_), "load a bare drop");
        link_ = Fd(bpf_link_create(
            program_.get(), static_cast<int>(if_nametoindex(veth.name().c_str())), BPF_XDP, nullptr
        ));
        require(static_cast<bool>(link_), "attach a bare drop");
    }

private:
    Fd program_;
    Fd link_;
};

/// One set of nftables at the first hook that it has.
class NftSet {
public:
    NftSet(
        const Lab& lab, const Veth& veth, std::string name, std::string flags, const AddressSet& set
    )
        : name_(std::move(name)) {
        // Without XDP a veth takes frames from XDP only where it may merge them.
        packet::test::run("ethtool -K " + veth.name() + " gro on");
        const std::string file = lab.scratch_dir() + "/" + name_ + ".nft";
        {
            std::ofstream out(file);
            out << "table netdev " << name_ << " {\nset s { type ipv4_addr; " << flags
                << "elements = {";
            std::string text;
            for (const Prefix& prefix : set) {
                append_prefix(text, prefix);
                text += ",\n";
            }
            out << text << "} }\nchain c { type filter hook ingress device " << veth.name()
                << " priority 0;\nip saddr @s counter drop\n}\n}\n";
        }
        packet::test::run("nft -f " + file);
    }

    [[nodiscard]] std::uint64_t dropped() const {
        const std::string text = output_of("nft list chain netdev " + name_ + " c");
        constexpr std::string_view word = "counter packets ";
        return std::stoull(text.substr(text.find(word) + word.size()));
    }

private:
    std::string name_;
};

/// 100,000 addresses, none of them a prefix.
AddressSet exact_addresses() {
    AddressSet set = random_prefixes(Family::ipv4, entries, 42);
    for (Prefix& prefix : set) {
        prefix.length = 32;
    }
    return set;
}

void measure() {
    const Lab& lab = Lab::enter();
    const AddressSet prefixes = random_prefixes(Family::ipv4, entries, 42);
    const AddressSet addresses = exact_addresses();
    const Sources draw = inside(prefixes, std::size_t{1} << 18, 3);
    const Sources exact = inside(addresses, std::size_t{1} << 18, 3);

    const Veth ours("zb0", "zb1");
    const Veth bare("zb2", "zb3");
    const Veth nft_exact("zb4", "zb5");
    const Veth nft_prefixes("zb6", "zb7");
    Filter filter =
        must(Filter::attach({.ifname = ours.name(), .bpf_dir = lab.bpf_dir()}, RuleSet{}));
    RuleSet rules;
    add_rule(rules, Verdict::drop, "drop from @list").from = add_set(rules, prefixes);
    (void)must(filter.load(rules));
    const BareDrop drop(bare);
    const NftSet by_address(lab, nft_exact, "exact", "", addresses);
    const NftSet by_prefix(lab, nft_prefixes, "prefixes", "flags interval; auto-merge; ", prefixes);

    Receiver zsync(ours, draw);
    Receiver nothing(bare, draw);
    Receiver hash(nft_exact, exact);
    Receiver interval(nft_prefixes, draw);
    const std::uint64_t before = zsync.arrived();
    const std::uint64_t dropped_before = filter.stats()->dropped.packets;
    for (int round = 0; round < rounds; ++round) {
        for (Receiver* receiver : {&zsync, &nothing, &hash, &interval}) {
            receiver->run();
        }
    }
    const std::uint64_t dropped = filter.stats()->dropped.packets - dropped_before;
    std::cerr << std::format(
        "live frames: {} arrived, {} dropped by zsync; nft dropped {} and {}\n",
        zsync.arrived() - before,
        dropped,
        by_address.dropped(),
        by_prefix.dropped()
    );
    require(dropped == zsync.arrived() - before, "every frame that arrived is counted as dropped");
    const auto row = [&](std::string_view peer, const Receiver& receiver, double goal) {
        print_ratio(
            std::format("live frames dropped, 100,000 entries, against {}", peer),
            zsync.ns(),
            receiver.ns(),
            "ns a frame",
            zsync.ns() / receiver.ns(),
            goal
        );
    };
    row("a bare drop", nothing, 1 / 0.85);
    row("nft, addresses", hash, 1 / 2.5);
    row("nft, prefixes", interval, 1 / 4.0);
}

constexpr std::size_t forged_sources = 200'000;

/// Different addresses of 10.0.0.0/8, in network order.
Sources forged() {
    Sources sources;
    for (std::uint32_t i = 0; i < forged_sources; ++i) {
        // An odd factor visits each of the 2^24 once.
        sources.words.push_back(__builtin_bswap32(0x0a000000U | (i * 0x9e3779b1U & 0xffffffU)));
    }
    return sources;
}

/// Our program drops every frame and counts it into the flow table, which is aged between the
/// rounds as zsyncd does it. Its places are a fixed number; in flood mode most frames find them
/// taken.
void measure_flows() {
    const Lab& lab = Lab::enter();
    const Sources draw = forged();
    const Veth ours("zb8", "zb9");
    const Veth plain("zb10", "zb11");
    const Veth bare("zb12", "zb13");
    RuleSet rules;
    rules.default_verdict = Verdict::drop;
    Filter filter = must(Filter::attach({.ifname = ours.name(), .bpf_dir = lab.bpf_dir()}, rules));
    filter.count_flows(true);
    (void)must(filter.load(rules));
    FlowReader reader = must(FlowReader::open(filter.flow_maps(), {}));
    const Filter without =
        must(Filter::attach({.ifname = plain.name(), .bpf_dir = lab.bpf_dir()}, rules));
    const BareDrop drop(bare);

    Receiver counting(ours, draw);
    Receiver dropping(plain, draw);
    Receiver nothing(bare, draw);
    const std::uint64_t before = counting.arrived();
    const std::uint64_t dropped_before = filter.stats()->dropped.packets;
    std::uint64_t in_flows = 0;
    std::uint64_t living_max = 0;
    const auto add = [&in_flows](const CountedFlow& flow, analysis::FlowEnd = {}) {
        in_flows += flow.to_responder.packets;
    };
    for (int round = 0; round < rounds; ++round) {
        for (Receiver* receiver : {&counting, &dropping, &nothing}) {
            receiver->run();
        }
        living_max = std::max(living_max, reader.counts()->living);
        (void
        )must(reader.age(epoch_time<std::chrono::nanoseconds, std::chrono::steady_clock>(), add));
    }
    const std::uint64_t arrived = counting.arrived() - before;
    const FlowCounts counts = reader.counts().value();
    for (const CountedFlow& flow : reader.flows()) {
        add(flow);
    }
    std::cerr << std::format(
        "flow table: {} arrived, {} dropped; {} in {} flows (at most {} at a time), {} refused; {} "
        "floods\n",
        arrived,
        filter.stats()->dropped.packets - dropped_before,
        in_flows,
        counts.created,
        living_max,
        counts.refused,
        counts.floods
    );
    require(
        filter.stats()->dropped.packets - dropped_before == arrived,
        "every frame that arrived is dropped"
    );
    require(in_flows + counts.refused == arrived, "every frame is in a flow or refused");
    require(
        living_max <= analysis::FlowOptions{}.unanswered_max, "unanswered flows stay in their room"
    );
    const auto row = [&](std::string_view peer, const Receiver& receiver, double goal) {
        print_ratio(
            std::format("flow table under 200,000 spoofed sources, against {}", peer),
            counting.ns(),
            receiver.ns(),
            "ns a frame",
            counting.ns() / receiver.ns(),
            goal
        );
    };
    row("a bare drop", nothing, 1 / 0.7);
    row("our drop without it", dropping, 1 / 0.7);
}

} // namespace

int main() {
    return run_bench([] {
        measure_flows();
        measure();
    });
}
