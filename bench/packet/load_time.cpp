// From a rule file on disk to packets that meet its rules: prefixes in a file of their own, read,
// parsed, compiled, verified and switched to; and the same prefixes through `nft -f`.
#include "bench/packet/prefix_lists.hpp"
#include "bench/packet/subject.hpp"
#include "tests/packet/lab.hpp"

#include <zsync/packet/address_text.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/rules.hpp>

#include <chrono>
#include <format>
#include <fstream>
#include <iostream>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Half IPv4, half IPv6; another list for another seed.
struct Lists {
    Lists(std::size_t count, std::uint64_t seed)
        : ipv4(random_prefixes(Family::ipv4, count / 2, seed)),
          ipv6(random_prefixes(Family::ipv6, count / 2, seed)) {}
    AddressSet ipv4;
    AddressSet ipv6;
};

std::string text_of(const AddressSet& set, std::string_view separator) {
    std::string text;
    for (const Prefix& prefix : set) {
        append_prefix(text, prefix);
        text += separator;
    }
    return text;
}

void write_rule_file(const std::string& folder, const Lists& lists) {
    std::ofstream(folder + "/list.txt") << text_of(lists.ipv4, "\n") << text_of(lists.ipv6, "\n");
    std::ofstream(folder + "/rules.txt")
        << "default pass\nset big file \"" << folder << "/list.txt\"\n"
        << "drop proto tcp flags syn,!ack dport 22\ndrop from @big\n";
}

/// As its users write it: interval sets that nft merges, at the first hook it has.
void write_nft_file(const std::string& folder, const std::string& ifname, const Lists& lists) {
    const auto set = [](std::string_view name, std::string_view type, const std::string& text) {
        return std::format(
            "set {} {{ type {}; flags interval; auto-merge; elements = {{ {} }} }}\n",
            name,
            type,
            text
        );
    };
    std::ofstream(folder + "/list.nft")
        << "table netdev t\ndelete table netdev t\ntable netdev t {\n"
        << set("v4", "ipv4_addr", text_of(lists.ipv4, ",\n"))
        << set("v6", "ipv6_addr", text_of(lists.ipv6, ",\n"))
        << "chain c { type filter hook ingress device " << ifname << " priority 0;\n"
        << "ip saddr @v4 counter drop\nip6 saddr @v6 counter drop\n}\n}\n";
}

RuleSet read_rules(const std::string& folder) {
    const std::string path = folder + "/rules.txt";
    auto rules = parse_rules(must(read_regular_file(path)), path, read_regular_file);
    if (!rules) {
        throw std::runtime_error(join_messages(rules.error()));
    }
    return *std::move(rules);
}

struct Times {
    std::vector<double> parse;
    std::vector<double> compile;
    std::vector<double> whole;
};

void load_once(Filter& filter, const std::string& folder, std::size_t count, Times& times) {
    const auto start = Clock::now();
    const RuleSet rules = read_rules(folder);
    times.parse.push_back(ms_since(start));
    const LoadReport report = must(filter.load(rules));
    times.whole.push_back(
        times.parse.back() + std::chrono::duration<double, std::milli>(report.visible_after).count()
    );
    if (report.prefixes != count) {
        throw std::runtime_error(std::format("{} prefixes", report.prefixes));
    }
    const auto at = Clock::now();
    (void)must(compile(rules, {.rules = {1, 2}, .by_default = 0}));
    times.compile.push_back(ms_since(at));
}

void tell(std::size_t count, const Times& times) {
    std::cerr << std::format(
        "{} prefixes: {:.1f} ms; parse {:.1f}, compile {:.1f}, the rest is the kernel's\n",
        count,
        median(times.whole),
        median(times.parse),
        median(times.compile)
    );
}

void measure() {
    const Lab& lab = Lab::enter();
    const std::string& folder = lab.scratch_dir();
    const Veth veth("zb0", "zb1");
    const Veth theirs("zb2", "zb3");
    Filter filter =
        must(Filter::attach({.ifname = veth.name(), .bpf_dir = lab.bpf_dir()}, RuleSet{}));

    constexpr std::size_t some = 10'000;
    Times times;
    for (std::uint64_t round = 1; round <= 9; ++round) {
        write_rule_file(folder, Lists(some, round));
        load_once(filter, folder, some, times);
    }
    tell(some, times);
    print_limit("10,000 prefixes, file to visible", median(times.whole), "ms", 100);

    constexpr std::size_t many = 100'000;
    times = {};
    std::vector<double> nft;
    for (std::uint64_t round = 1; round <= 5; ++round) {
        const Lists lists(many, round);
        write_rule_file(folder, lists);
        write_nft_file(folder, theirs.name(), lists);
        load_once(filter, folder, many, times);
        const auto start = Clock::now();
        packet::test::run("nft -f " + folder + "/list.nft");
        nft.push_back(ms_since(start));
    }
    tell(many, times);
    print_ratio(
        "100,000 prefixes, file to visible, against nft -f",
        median(times.whole),
        median(nft),
        "ms",
        median(times.whole) / median(nft),
        0.25
    );

    constexpr std::size_t most = 1'000'000;
    times = {};
    write_rule_file(folder, Lists(most, 1));
    for (int round = 0; round < 3; ++round) {
        load_once(filter, folder, most, times);
    }
    tell(most, times);
    print_limit("1,000,000 prefixes, file to visible", median(times.whole), "ms", 2500);
}

} // namespace

int main() { return run_bench(measure); }
