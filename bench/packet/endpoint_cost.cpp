// What a packet pays for a list of addresses with ports: from 1 to 100,000 of them, inside and
// outside of the list, against a program over the kernel's own hash map. BPF_PROG_TEST_RUN, another
// source address each packet, in turns, medians of the time above a program that only drops.
#include "bench/packet/loaded_list.hpp"
#include "bench/packet/prefix_lists.hpp"
#include "bench/packet/subject.hpp"
#include "tests/packet/lab.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <kernel_hash.skel.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <format>
#include <iostream>
#include <memory>
#include <random>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet;

namespace {

constexpr std::size_t sources_count = std::size_t{1} << 18;
constexpr std::uint32_t repeats = sources_count;
constexpr int rounds = 11;
/// Of the packets that the programs are given.
constexpr std::uint16_t source_port = 4000;

/// Different addresses, each with that port.
AddressSet random_endpoints(Family family, std::size_t count) {
    std::mt19937_64 random(42);
    AddressSet set;
    while (set.size() < count) {
        for (std::size_t i = set.size(); i < count; ++i) {
            Prefix& prefix = set.emplace_back();
            prefix.family = family;
            prefix.length = family == Family::ipv4 ? 32 : 128;
            const std::array<std::uint64_t, 2> bits{random(), random()};
            std::memcpy(prefix.address.data(), bits.data(), prefix.length / 8);
            prefix.port = source_port;
        }
        std::ranges::sort(set);
        const auto [first, last] = std::ranges::unique(set);
        set.erase(first, last);
    }
    return set;
}

class KernelHash {
public:
    explicit KernelHash(const AddressSet& set)
        : is_ipv4_(set.front().family == Family::ipv4), skeleton_(kernel_hash__open()) {
        require(skeleton_ != nullptr, "open kernel_hash");
        bpf_map* const map =
            is_ipv4_ ? skeleton_->maps.endpoints_ipv4 : skeleton_->maps.endpoints_ipv6;
        const auto entries = static_cast<std::uint32_t>(set.size());
        require(bpf_map__set_max_entries(map, entries) == 0, "size kernel_hash");
        require(kernel_hash__load(skeleton_.get()) == 0, "load kernel_hash");
        map_ = bpf_map__fd(map);
        for (const Prefix& prefix : set) {
            const std::uint64_t none = 0;
            const Key key = key_of(prefix);
            require(bpf_map_update_elem(map_, key.data(), &none, BPF_ANY) == 0, "hash update");
        }
    }
    [[nodiscard]] Fd program() const {
        return Fd(dup(bpf_program__fd(skeleton_->progs.kernel_hash)));
    }
    [[nodiscard]] std::uint64_t hits(const AddressSet& set) const {
        std::uint64_t sum = 0;
        for (const Prefix& prefix : set) {
            std::uint64_t count = 0;
            const Key key = key_of(prefix);
            require(bpf_map_lookup_elem(map_, key.data(), &count) == 0, "hash lookup");
            sum += count;
        }
        return sum;
    }

private:
    /// Address, port, two bytes of nothing.
    using Key = std::array<std::uint8_t, 20>;
    [[nodiscard]] Key key_of(const Prefix& prefix) const {
        const std::size_t address_bytes = is_ipv4_ ? 4 : 16;
        const std::uint16_t port = htons(*prefix.port);
        Key key{};
        std::memcpy(key.data(), prefix.address.data(), address_bytes);
        std::memcpy(key.data() + address_bytes, &port, sizeof port);
        return key;
    }
    struct Destroy {
        void operator()(kernel_hash* skeleton) const { kernel_hash__destroy(skeleton); }
    };
    bool is_ipv4_;
    std::unique_ptr<kernel_hash, Destroy> skeleton_;
    int map_ = -1;
};

void measure(std::size_t count, Family family) {
    const AddressSet set = random_endpoints(family, count);
    const std::string list = std::format(
        "{} IPv{} address:port", count == 1 ? "1" : "100,000", family == Family::ipv4 ? 4 : 6
    );
    const LoadedList loaded(set);
    const KernelHash hash(set);
    Subject baseline("drop", Fd());
    Subject ours("zsync", Fd(dup(loaded.program.fd.get())));
    Subject peer("hash map", hash.program());
    const std::array<Subject*, 3> subjects{&baseline, &ours, &peer};
    const auto row = [&](const char* where, const Sources& draw) {
        run_in_turns(subjects, draw, rounds, repeats);
        const double base = median(baseline.ns);
        const double added_ours = median(ours.ns) - base;
        const double added_peer = median(peer.ns) - base;
        print_ratio(
            std::format("{}, {}: against a hash map program", list, where),
            added_ours,
            added_peer,
            "ns added",
            added_ours / added_peer,
            1
        );
        print_limit(std::format("{}, {}", list, where), added_ours, "ns added", 60);
    };
    AddressSet addresses = set;
    for (Prefix& address : addresses) {
        address.port.reset();
    }
    row("hit", inside(addresses, sources_count, 3));
    const std::uint64_t after_hits = loaded.dropped();
    row("miss", outside(addresses, sources_count, 4));
    const std::uint64_t runs = std::uint64_t{rounds} * repeats;
    std::cerr << std::format(
        "{}: ran {} times, dropped {}; hash map ran {}, hit {}\n",
        list,
        ours.calls(),
        loaded.dropped(),
        peer.calls(),
        hash.hits(set)
    );
    require(after_hits == runs && loaded.dropped() == runs, "every hit dropped, no miss");
}

} // namespace

int main() {
    return run_bench([] {
        packet::test::Lab::enter();
        for (const Family family : {Family::ipv4, Family::ipv6}) {
            measure(1, family);
            measure(100'000, family);
        }
    });
}
