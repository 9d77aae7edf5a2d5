// What a packet pays for being filtered: ours against xdp-filter's program with every feature, both
// over 9,000 exact IPv4 addresses, as time added to a program that only drops. BPF_PROG_TEST_RUN,
// a random source address each packet, the three in turn within each round, medians.
#include "bench/packet/subject.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/rule_maker.hpp"

#include <zsync/packet/filter.hpp>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <format>
#include <iostream>
#include <random>
#include <set>
#include <stdexcept>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

constexpr std::size_t addresses_count = 9000;
constexpr std::uint32_t repeats = 300'000;
constexpr int rounds = 15;
constexpr const char* peer_map = "/sys/fs/bpf/xdp-filter/filter_ipv4";

/// In network order, as they stand in a packet.
std::vector<std::uint32_t> random_addresses() {
    std::mt19937 random(7);
    std::set<std::uint32_t> addresses;
    while (addresses.size() < addresses_count) {
        addresses.insert(static_cast<std::uint32_t>(random()));
    }
    std::vector<std::uint32_t> shuffled(addresses.begin(), addresses.end());
    std::ranges::shuffle(shuffled, random);
    return shuffled;
}

std::uint32_t add_exact_set(RuleSet& rules, const std::vector<std::uint32_t>& addresses) {
    AddressSet set;
    for (const std::uint32_t address : addresses) {
        Prefix& prefix = set.emplace_back();
        prefix.length = 32;
        std::memcpy(prefix.address.data(), &address, sizeof(address));
    }
    std::ranges::sort(set);
    return add_set(rules, std::move(set));
}

RuleSet one_rule(const std::vector<std::uint32_t>& addresses) {
    RuleSet rules;
    add_rule(rules, Verdict::drop, "drop from @list").from = add_exact_set(rules, addresses);
    return rules;
}

/// The same behind rules that ask about everything a rule can ask about; none of them matches.
RuleSet every_dimension(const std::vector<std::uint32_t>& addresses) {
    RuleSet rules;
    const std::uint32_t nowhere =
        add_set(rules, test::addresses({"198.51.100.0/24", "2001:db8::/32"}));
    for (std::uint16_t i = 0; i < 100; ++i) {
        Rule& rule = add_rule(rules, Verdict::drop, std::format("drop unlikely {}", i));
        rule.to = nowhere;
        rule.protocol = static_cast<std::uint8_t>(i % 2 == 0 ? 6 : 17);
        rule.source_ports = {{.first = i, .last = static_cast<std::uint16_t>(i + 10)}};
        rule.destination_ports = {{.first = static_cast<std::uint16_t>(1000 + i), .last = 2000}};
        if (i % 2 == 0) {
            rule.tcp_flags = TcpFlagsMatch{.mask = 0x12, .value = 0x02};
        }
        if (i % 5 == 0) {
            rule.vlan = i;
        }
        rule.fragment = i % 7 == 0;
    }
    add_rule(rules, Verdict::drop, "drop from @list").from = add_exact_set(rules, addresses);
    return rules;
}

/// xdp-filter attached for real, its rules put in through its own pinned map: its command line
/// takes one rule a process.
Fd start_peer(const std::string& ifname, const std::vector<std::uint32_t>& addresses) {
    run(std::format("xdp-filter load -m native {}", ifname));
    run(std::format("xdp-filter ip 192.0.2.1 -m src"));
    const Fd map(bpf_obj_get(peer_map));
    require(static_cast<bool>(map), peer_map);
    std::vector<std::uint64_t> entry(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    in_addr known{};
    inet_aton("192.0.2.1", &known);
    require(bpf_map_lookup_elem(map.get(), &known, entry.data()) == 0, "xdp-filter's own rule");
    for (const std::uint32_t address : addresses) {
        require(
            bpf_map_update_elem(map.get(), &address, entry.data(), BPF_ANY) == 0,
            "rule for xdp-filter"
        );
    }
    for (const auto& pin :
         std::filesystem::directory_iterator("/sys/fs/bpf/xdp-filter/programs/" + ifname)) {
        return Fd(bpf_obj_get(pin.path().c_str()));
    }
    throw std::runtime_error("xdp-filter pinned no program");
}

/// Packets that xdp-filter's rules have counted.
std::uint64_t peer_hits(const std::vector<std::uint32_t>& addresses) {
    const Fd map(bpf_obj_get(peer_map));
    std::vector<std::uint64_t> entry(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    std::uint64_t hits = 0;
    for (const std::uint32_t address : addresses) {
        if (bpf_map_lookup_elem(map.get(), &address, entry.data()) == 0) {
            for (const std::uint64_t value : entry) {
                hits += value >> 6; // below: flags (COUNTER_SHIFT of xdp-filter)
            }
        }
    }
    return hits;
}

void compare(
    std::string_view what,
    Subject& baseline,
    Subject& ours,
    Subject& peer,
    const std::vector<std::uint32_t>& draw
) {
    const std::array<Subject*, 3> subjects{&baseline, &ours, &peer};
    run_in_turns(subjects, {.words = draw}, rounds, repeats);
    const double base = median(baseline.ns);
    const double added_ours = median(ours.ns) - base;
    const double added_peer = median(peer.ns) - base;
    print_ratio(what, added_ours, added_peer, "ns added", added_ours / added_peer, 0.6);
}

void measure() {
    const Lab& lab = Lab::enter();
    require(mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr) == 0, "mount bpffs");
    const std::vector<std::uint32_t> addresses = random_addresses();
    const Veth plain("zb0", "zb1");
    const Veth full("zb2", "zb3");
    const Veth theirs("zb4", "zb5");

    const Filter one =
        must(Filter::attach({.ifname = plain.name(), .bpf_dir = lab.bpf_dir()}, one_rule(addresses))
        );
    const Filter all = must(Filter::attach(
        {.ifname = full.name(), .bpf_dir = lab.bpf_dir()}, every_dimension(addresses)
    ));
    Subject baseline("drop", Fd());
    Subject ours("zsync", live_program(one, lab.bpf_dir()));
    Subject ours_all("zsync, every dimension", live_program(all, lab.bpf_dir()));
    Subject peer("xdp-filter", start_peer(theirs.name(), addresses));

    compare("packet cost, 9,000 addresses, hit", baseline, ours, peer, addresses);
    compare("packet cost, 9,000 addresses, miss", baseline, ours, peer, {});
    compare("packet cost, 9,000 + 100 rules, hit", baseline, ours_all, peer, addresses);
    compare("packet cost, 9,000 + 100 rules, miss", baseline, ours_all, peer, {});

    const std::uint64_t hits = one.rule_counts()->back().packets;
    const std::uint64_t hits_all = all.rule_counts()->back().packets;
    std::cerr << std::format(
        "baseline {:.1f} ns; runs: zsync {} (rule counted {}), every dimension {} ({}), "
        "xdp-filter {} ({})\n",
        median(baseline.ns),
        ours.calls(),
        hits,
        ours_all.calls(),
        hits_all,
        peer.calls(),
        peer_hits(addresses)
    );
    const std::uint64_t expected = std::uint64_t{rounds} * repeats;
    require(hits >= expected && hits_all >= expected, "every hit counted");
    test::run("xdp-filter unload " + theirs.name());
}

} // namespace

int main() { return run_bench(measure); }
