// One list behind one rule, loaded as a generation of its own.
#pragma once

#include "bench/packet/subject.hpp"
#include "tests/packet/rule_maker.hpp"

#include <zsync/packet/counters.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/program.hpp>

#include <cstdint>

namespace zsync::bench {

struct LoadedList {
    explicit LoadedList(const packet::AddressSet& set) {
        packet::RuleSet rules;
        packet::test::add_rule(rules, packet::Verdict::drop, "drop from @list").from =
            packet::test::add_set(rules, set);
        maps = must(packet::create_shared_maps());
        program = must(packet::load_program(
            must(packet::compile(rules, {.rules = {1}, .by_default = 0})), maps
        ));
    }

    [[nodiscard]] std::uint64_t dropped() const {
        return packet::read_stats(maps.stats)->dropped.packets;
    }

    packet::SharedMaps maps;
    packet::LoadedProgram program;
};

} // namespace zsync::bench
