// What a limit costs a packet: a rule with one against the same rule without, 64,000 sources that
// are told apart, random order. BPF_PROG_TEST_RUN, in turns within each round, medians.
#include "bench/packet/subject.hpp"
#include "tests/packet/lab.hpp"

#include <zsync/packet/engine.hpp>
#include <zsync/packet/limit_table.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/rules.hpp>

#include <algorithm>
#include <array>
#include <format>
#include <iostream>
#include <random>
#include <string>

using namespace zsync;
using namespace zsync::bench;
using namespace zsync::packet;

namespace {

constexpr std::size_t keys_count = 64'000;
constexpr std::size_t draws_count = std::size_t{1} << 18;
constexpr std::uint32_t repeats = draws_count;
constexpr int rounds = 15;

/// Random sources in a random order, each at least once.
Sources random_sources() {
    std::mt19937 random(17);
    std::vector<std::uint32_t> keys(keys_count);
    for (std::uint32_t& key : keys) {
        key = static_cast<std::uint32_t>(random());
    }
    Sources sources;
    sources.words = keys;
    while (sources.words.size() < draws_count) {
        sources.words.push_back(keys[random() % keys_count]);
    }
    std::ranges::shuffle(sources.words, random);
    return sources;
}

struct Loaded {
    explicit Loaded(std::string_view text) {
        const auto rules = parse_rules(text, "bench", read_regular_file);
        require(rules.has_value(), "parse the rule");
        program = must(load_program(must(compile(*rules, {.rules = {1}, .by_default = 0})), maps));
    }
    [[nodiscard]] RuleCount count() const { return (*read_counters(maps.counters))[1]; }

    SharedMaps maps = must(create_shared_maps());
    LoadedProgram program;
};

void measure(std::string_view what, std::string_view limit, std::size_t keys = keys_count) {
    const Loaded plain("pass length 1-65535");
    const Loaded limited(std::format("pass {} length 1-65535", limit));
    Subject without("without", Fd(dup(plain.program.fd.get())));
    Subject with("with", Fd(dup(limited.program.fd.get())));
    const std::array<Subject*, 2> subjects{&without, &with};
    const Sources sources = random_sources();
    run_in_turns(subjects, sources, 1, repeats); // every key has come once
    without.ns.clear();
    with.ns.clear();
    run_in_turns(subjects, sources, rounds, repeats);
    const double added = median(with.ns) - median(without.ns);
    print_limit(what, added, "ns added", 60);
    const RuleCount count = limited.count();
    const LimitTable reading = must(read_limits(limited.maps.limits, 1));
    std::cerr << std::format(
        "{}: {:.1f} ns above {:.1f} ns; ran {} times, matched {}, limited {}, keys {}\n",
        what,
        added,
        median(without.ns),
        with.calls(),
        count.packets,
        count.limited,
        reading.keys
    );
    require(
        count.packets == with.calls() && (keys == 1 || reading.keys > keys_count * 98 / 100),
        "all was done"
    );
}

} // namespace

int main() {
    return run_bench([] {
        packet::test::Lab::enter();
        measure("limiter added cost, 64,000 keys", "limit 1000/s by source");
        measure("limiter added cost, 64,000 keys, all over", "limit 1/h burst 1 by source");
        measure("limiter added cost, 64,000 keys, sliding", "limit 1000/s by source sliding");
        measure("limiter added cost, one key", "limit 1000/s", 1);
    });
}
