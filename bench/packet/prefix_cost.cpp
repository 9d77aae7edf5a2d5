// What a packet pays for a long list of prefixes: from 1 to 1,000,000 of them, inside and outside
// of the list, against a program over the kernel's own LPM trie. BPF_PROG_TEST_RUN, another source
// address each packet, in turns, medians of the time above a program that only drops.
#include "bench/packet/loaded_list.hpp"
#include "bench/packet/prefix_lists.hpp"
#include "bench/packet/subject.hpp"
#include "tests/packet/lab.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <kernel_lpm.skel.h>

#include <array>
#include <format>
#include <iostream>
#include <memory>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet;

namespace {

constexpr std::size_t sources_count = std::size_t{1} << 18;
constexpr std::uint32_t repeats = sources_count;
constexpr int rounds = 11;
constexpr std::size_t million = 1'000'000;

class KernelLpm {
public:
    explicit KernelLpm(const AddressSet& set) : skeleton_(kernel_lpm__open_and_load()) {
        require(skeleton_ != nullptr, "load kernel_lpm");
        const bool is_ipv4 = set.front().family == Family::ipv4;
        const int map =
            bpf_map__fd(is_ipv4 ? skeleton_->maps.prefixes_ipv4 : skeleton_->maps.prefixes_ipv6);
        map_ = map;
        for (const Prefix& prefix : set) {
            const Key key{.length = prefix.length, .address = prefix.address};
            const std::uint64_t none = 0;
            require(bpf_map_update_elem(map, &key, &none, BPF_ANY) == 0, "LPM trie update");
        }
    }

    [[nodiscard]] Fd program() const {
        return Fd(dup(bpf_program__fd(skeleton_->progs.kernel_lpm)));
    }
    [[nodiscard]] std::uint64_t hits(const AddressSet& set) const {
        std::uint64_t sum = 0;
        for (const Prefix& prefix : set) {
            const Key key{.length = prefix.length, .address = prefix.address};
            std::uint64_t count = 0;
            if (bpf_map_lookup_elem(map_, &key, &count) == 0) {
                sum += count;
            }
        }
        return sum;
    }

private:
    struct Key {
        std::uint32_t length;
        std::array<std::uint8_t, 16> address;
    };
    struct Destroy {
        void operator()(kernel_lpm* skeleton) const { kernel_lpm__destroy(skeleton); }
    };
    std::unique_ptr<kernel_lpm, Destroy> skeleton_;
    int map_ = -1;
};

std::string name_of_list(std::size_t count, Family family) {
    const std::string number = count == million   ? "1,000,000"
                               : count == 100'000 ? "100,000"
                               : count == 1000    ? "1,000"
                                                  : "1";
    return std::format(
        "{} IPv{} prefix{}", number, family == Family::ipv4 ? 4 : 6, count == 1 ? "" : "es"
    );
}

struct Cost {
    double hit = 0;
    double miss = 0;
};

/// Also checks that every hit was counted as dropped, and no miss.
Cost cost_of(const AddressSet& set, bool with_peer) {
    const std::string list = name_of_list(set.size(), set.front().family);
    const LoadedList loaded(set);
    Subject baseline("drop", Fd());
    Subject ours("zsync", Fd(dup(loaded.program.fd.get())));
    std::vector<Subject*> subjects{&baseline, &ours};
    std::unique_ptr<KernelLpm> lpm;
    std::unique_ptr<Subject> peer;
    if (with_peer) {
        lpm = std::make_unique<KernelLpm>(set);
        peer = std::make_unique<Subject>("LPM trie", lpm->program());
        subjects.push_back(peer.get());
    }
    const auto added = [&](const Sources& draw, const char* where) {
        run_in_turns(subjects, draw, rounds, repeats);
        const double base = median(baseline.ns);
        const double added_ours = median(ours.ns) - base;
        if (peer) {
            const double added_peer = median(peer->ns) - base;
            print_ratio(
                std::format("{}, {}: against an LPM trie program", list, where),
                added_ours,
                added_peer,
                "ns added",
                added_ours / added_peer,
                0.1
            );
            print_limit(std::format("{}, {}", list, where), added_ours, "ns added", 60);
        }
        return added_ours;
    };
    Cost cost;
    cost.hit = added(inside(set, sources_count, 3), "hit");
    const std::uint64_t after_hits = loaded.dropped();
    cost.miss = added(outside(set, sources_count, 4), "miss");
    const std::uint64_t runs = std::uint64_t{rounds} * repeats;
    std::cerr << std::format(
        "{}: hit {:.1f} ns, miss {:.1f} ns above {:.1f} ns; ran {} times, dropped {}{}\n",
        list,
        cost.hit,
        cost.miss,
        median(baseline.ns),
        ours.calls(),
        loaded.dropped(),
        lpm ? std::format("; LPM ran {}, hit {}", peer->calls(), lpm->hits(set)) : ""
    );
    require(after_hits == runs && loaded.dropped() == runs, "every hit dropped, no miss");
    return cost;
}

void measure(Family family) {
    const auto list = [&](std::size_t count) { return random_prefixes(family, count, 42); };
    const Cost one = cost_of(list(1), false);
    cost_of(list(1000), false);
    cost_of(list(100'000), true);
    const Cost most = cost_of(list(million), false);
    const auto row = [&](const char* where, double few, double many) {
        print_ratio(
            std::format("{} against 1, {}", name_of_list(million, family), where),
            many,
            few,
            "ns added",
            many / few,
            3
        );
    };
    row("hit", one.hit, most.hit);
    row("miss", one.miss, most.miss);
}

} // namespace

int main() {
    return run_bench([] {
        packet::test::Lab::enter();
        measure(Family::ipv4);
        measure(Family::ipv6);
    });
}
