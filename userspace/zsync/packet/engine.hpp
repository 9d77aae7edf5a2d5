// The match engine's userspace side: a rule set becomes the tables that `bpf/match.h` reads.
//
// Everything outside of this file and `bpf/match.h` treats the tables as bytes to load, so another
// engine can take their place.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/rule_set.hpp>

#include <bpf/zsync_xdp.h>
extern "C" {
#include <bpf/limit.h>
#include <bpf/shape.h>
}

#include <cstdint>
#include <span>
#include <vector>

namespace zsync::packet {

/// The class of a cgroup or an interface: a key of the map `names` and its value.
struct NameClass {
    std::uint64_t key = 0;
    std::uint32_t class_id = 0;
};

/// One generation's tables. Each array's size is a power of two and its mask is in `config`.
struct Tables {
    zsync_config config{};
    std::vector<std::uint32_t> cells;
    std::vector<std::uint64_t> buckets;
    std::vector<std::uint64_t> bitmaps;
    std::vector<zsync_limit> limits;
    std::vector<zsync_shape_class> classes;
    std::vector<NameClass> names;
    std::vector<std::uint32_t> targets; ///< interfaces that rules redirect to, by their indexes
};

/// Where each rule counts: one slot a rule, in the order of the rules, and the default verdict's.
struct CounterSlots {
    std::vector<std::uint32_t> rules;
    std::uint32_t by_default = 0;
    std::vector<std::uint32_t> classes{
    }; ///< of the shape, if there is one: where their clocks are; else from 1
};

/// Compiles the rules of one hook. `names` has every interface and cgroup that they name. Fails
/// with `PacketError::rule_set_too_big`, in words, beyond a limit of `limits.hpp`. Deterministic;
/// touches nothing but memory.
Outcome<Tables> compile(const RuleSet& rules, const CounterSlots& slots, const NameIds& names = {});

/// Prefixes in all address sets together.
std::size_t prefix_count(const RuleSet& rules);

} // namespace zsync::packet
