// Addresses with ports as the match engine looks them up: `bpf/endpoint.h`. Private to the packet
// subsystem.
#pragma once

#include <zsync/packet/palette.hpp>
#include <zsync/packet/trie.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace zsync::packet {

/// An address with a port, and the address set it stands in.
struct Endpoint {
    zsync_address address{};
    std::uint16_t port = 0;
    std::uint32_t set = 0;
};

struct EndpointTable {
    std::uint32_t root = 0;  ///< its first word, of IPv6 its first cell
    std::uint32_t mask = 0;  ///< of its entries
    std::uint32_t words = 0; ///< of IPv6: the first entry's
};

/// Appends the table of `endpoints`, all of one family, to `buckets`, and of IPv6 to `cells`. Each
/// has the class of its address, `outside` joined with the sets of the `prefixes` that cover it,
/// joined with those that name it. Sorts both. Entries have the class's color, of which `palette`
/// has 0 given to `outside`, which is no endpoint's. Nothing where they have more than
/// `limits::endpoint_classes_max` classes.
std::optional<EndpointTable> build_endpoint_table(
    std::span<Endpoint> endpoints,
    std::span<TriePrefix> prefixes,
    bool is_ipv6,
    std::uint32_t outside,
    const JoinClass& join,
    Palette& palette,
    std::vector<std::uint32_t>& cells,
    std::vector<std::uint64_t>& buckets
);

} // namespace zsync::packet
