// The IPv6 address tries of the match engine: prefixes to rule classes, in the words that
// `zsync_walk` of `bpf/match.h` walks.
#pragma once

#include <zsync/packet/rule_set.hpp>

#include <bpf/zsync_xdp.h>

#include <cstdint>
#include <functional>
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

struct Ipv6Table {
    std::uint32_t root = 0; ///< the first word of its blocks
    std::uint32_t root_bits = 0;
    std::uint32_t shared_bits = 0; ///< that all prefixes begin with
    std::uint64_t shared = 0;      ///< those bits, as the lowest of the word
    std::uint32_t palette = 0;     ///< the first cell of its palette
    std::uint32_t color_bits = 0;
};

/// Appends the trie of `prefixes`, all IPv6, to `cells` and `buckets`. A walk ends with the class
/// of the address: `outside` joined with the set of every prefix that covers it. Sorts `prefixes`.
/// Takes time in the order of prefixes times their depth.
Ipv6Table build_trie(
    std::span<TriePrefix> prefixes,
    std::uint32_t outside,
    const JoinClass& join,
    std::vector<std::uint32_t>& cells,
    std::vector<std::uint64_t>& buckets
);

} // namespace zsync::packet
