// From a rule file on disk to packets that meet its rules: 10,000 prefixes in a file of their own,
// read, parsed, compiled, verified and switched to.
#include "bench/report.hpp"
#include "tests/packet/lab.hpp"

#include <zsync/packet/engine.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/rules.hpp>

#include <chrono>
#include <format>
#include <fstream>
#include <iostream>
#include <random>
#include <stdexcept>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

constexpr int prefixes_count = 10'000;
constexpr int rounds = 9;

/// Half IPv4 of 16 to 32 bits, half IPv6 of 32 to 128 bits; another list for another seed.
void write_rule_file(const std::string& folder, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::ofstream list(folder + "/list.txt");
    for (int i = 0; i < prefixes_count; ++i) {
        if (i % 2 == 0) {
            const auto length = 16 + random() % 17;
            const auto address =
                static_cast<std::uint32_t>(random() >> (32 - length) << (32 - length));
            list << std::format(
                "{}.{}.{}.{}/{}\n",
                address >> 24,
                address >> 16 & 255,
                address >> 8 & 255,
                address & 255,
                length
            );
        } else {
            const auto length = 32 + 16 * (random() % 7);
            list << std::format("2001:{:x}", random() % 65536);
            for (unsigned bits = 32; bits < length; bits += 16) {
                list << std::format(":{:x}", 1 + random() % 65535);
            }
            list << (length < 128 ? "::/" : "/") << length << '\n';
        }
    }
    std::ofstream rules(folder + "/rules.txt");
    rules << "default pass\nset big file \"" << folder << "/list.txt\"\n"
          << "drop proto tcp flags syn,!ack dport 22\ndrop from @big\n";
}

template <class T> T must(Outcome<T> outcome) {
    if (!outcome) {
        throw std::runtime_error(outcome.error().message());
    }
    return *std::move(outcome);
}

RuleSet read_rules(const std::string& folder) {
    const std::string path = folder + "/rules.txt";
    auto rules = parse_rules(must(read_regular_file(path)), path, read_regular_file);
    if (!rules) {
        throw std::runtime_error(join_messages(rules.error()));
    }
    return *std::move(rules);
}

double ms_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
}

void measure() {
    const Lab& lab = Lab::enter();
    const Veth veth("zb0", "zb1");
    Filter filter =
        must(Filter::attach({.ifname = veth.name(), .bpf_dir = lab.bpf_dir()}, RuleSet{}));
    std::vector<double> parse;
    std::vector<double> compiled;
    std::vector<double> whole;
    for (int round = 0; round < rounds; ++round) {
        write_rule_file(lab.scratch_dir(), static_cast<std::uint32_t>(round + 1));
        const auto start = std::chrono::steady_clock::now();
        const RuleSet rules = read_rules(lab.scratch_dir());
        parse.push_back(ms_since(start));
        const auto at = std::chrono::steady_clock::now();
        (void)must(compile(rules, {.rules = {1, 2}, .by_default = 0}));
        const double compile_ms = ms_since(at);
        compiled.push_back(compile_ms);
        const LoadReport report = must(filter.load(rules));
        if (report.prefixes < prefixes_count * 9 / 10) {
            throw std::runtime_error(std::format("only {} prefixes", report.prefixes));
        }
        whole.push_back(
            parse.back() + std::chrono::duration<double, std::milli>(report.visible_after).count()
        );
    }
    const Fd program = live_program(filter, lab.bpf_dir());
    std::cerr << std::format(
        "load: parse {:.1f} ms, compile {:.1f} ms, the rest is the kernel's ({} instructions "
        "verified)\n",
        bench::median(parse),
        bench::median(compiled),
        verified_instructions(program)
    );
    bench::print_limit("10,000 prefixes, file to visible", bench::median(whole), "ms", 100);
}

} // namespace

int main() {
    try {
        measure();
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
