// The address tries of the match engine: prefixes to rule classes, in the words that
// `zsync_ipv4_class` and `zsync_ipv6_class` of `bpf/match.h` read.
#pragma once

#include <zsync/packet/rule_set.hpp>

#include <bpf/zsync_xdp.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

extern "C" {
#include <bpf/parse.h>
}

namespace zsync::packet {

/// A prefix as the leading bits of a 128-bit number, and the address set it stands in.
struct TriePrefix {
    zsync_address address{};
    std::uint8_t length = 0;
    std::uint32_t set = 0;
};

/// The number that `zsync_parse` makes of a packet's address.
TriePrefix trie_prefix(const Prefix& prefix, std::uint32_t set);

/// By address, then length, then set. Does nothing to what is in order.
void sort_prefixes(std::span<TriePrefix> prefixes);

/// `join(class, set)` is the class of an address of `class` that also lies in a prefix of `set`.
using JoinClass = std::function<std::uint32_t(std::uint32_t class_id, std::uint32_t set)>;

/// Appends the trie of `prefixes`, all of `family` and not none, to `cells` and `buckets`. An
/// address ends with `outside` joined with the set of every prefix that covers it. Sorts
/// `prefixes`. Takes time in the order of prefixes times the tables on their way. Nothing where
/// IPv4 prefixes make more than `limits::ipv4_classes_max` different classes.
std::optional<zsync_trie> build_trie(
    Family family,
    std::span<TriePrefix> prefixes,
    std::uint32_t outside,
    const JoinClass& join,
    std::vector<std::uint32_t>& cells,
    std::vector<std::uint64_t>& buckets
);

} // namespace zsync::packet
