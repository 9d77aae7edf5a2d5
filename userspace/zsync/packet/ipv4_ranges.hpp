// The IPv4 address tables of the match engine: prefixes to rule classes, in the cells and buckets
// that `zsync_range` of `bpf/match.h` reads.
#pragma once

#include <zsync/packet/trie.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace zsync::packet {

struct Ipv4Table {
    std::uint32_t root = 0;    ///< its first cell
    std::uint32_t palette = 0; ///< the first cell of its palette
    std::uint32_t class_bits_log2 = 0;
    std::uint32_t bucket_words_min = 1;
};

/// Appends the table of `prefixes`, all IPv4, to `cells` and `buckets`. An address ends with
/// `outside` joined with the set of every prefix that covers it. Sorts `prefixes`. Takes time in
/// the order of their number. Nothing where they make more than `limits::ipv4_classes_max`
/// different classes.
std::optional<Ipv4Table> build_ipv4_table(
    std::span<TriePrefix> prefixes,
    std::uint32_t outside,
    const JoinClass& join,
    std::vector<std::uint32_t>& cells,
    std::vector<std::uint64_t>& buckets
);

} // namespace zsync::packet
