#include <zsync/packet/trie.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>

namespace zsync::packet {
namespace {

/// `count` bits (1 to 63) of a 128-bit number from bit `depth` on, zeros beyond its end.
std::uint64_t bits_at(const zsync_address& address, unsigned depth, unsigned count) {
    std::uint64_t top = 0;
    if (depth == 0) {
        top = address.high;
    } else if (depth < 64) {
        top = address.high << depth | address.low >> (64 - depth);
    } else if (depth < 128) {
        top = address.low << (depth - 64);
    }
    return top >> (64 - count);
}

unsigned common_bits(const zsync_address& a, const zsync_address& b) {
    const int high = std::countl_zero(a.high ^ b.high);
    return static_cast<unsigned>(high < 64 ? high : 64 + std::countl_zero(a.low ^ b.low));
}

class TrieBuilder {
public:
    TrieBuilder(
        const JoinClass& join, std::vector<std::uint32_t>& cells, std::vector<zsync_node>& nodes
    )
        : join_(join), cells_(cells), nodes_(nodes) {}

    Ipv6Table build(std::span<const TriePrefix> prefixes, std::uint32_t outside) {
        const unsigned shared = shared_bits(prefixes);
        const unsigned root_bits = std::clamp<unsigned>(
            static_cast<unsigned>(std::bit_width(prefixes.size())) + 1,
            ZSYNC_IPV6_ROOT_BITS_MIN,
            ZSYNC_IPV6_ROOT_BITS_MAX
        );
        return {
            .root = build_root(prefixes, outside, shared, root_bits),
            .root_bits = root_bits,
            .shared_bits = shared,
            .shared = shared == 0 ? 0 : prefixes.front().address.high >> (64 - shared),
        };
    }

private:
    static unsigned shared_bits(std::span<const TriePrefix> prefixes) {
        const unsigned shortest = std::ranges::min(prefixes, {}, &TriePrefix::length).length;
        const unsigned agree =
            common_bits(prefixes.front().address, prefixes.back().address); // they are sorted
        return std::min({agree, shortest, unsigned{ZSYNC_IPV6_SHARED_BITS_MAX}});
    }

    std::uint32_t build_root(
        std::span<const TriePrefix> prefixes,
        std::uint32_t outside,
        unsigned shared,
        unsigned root_bits
    ) {
        const unsigned slots = 1U << root_bits;
        const auto root = static_cast<std::uint32_t>(cells_.size());
        std::vector<std::uint32_t> classes(slots, outside);
        std::vector<std::span<const TriePrefix>> children(slots);
        spread(prefixes, shared, root_bits, classes, children);
        cells_.resize(root + slots);
        for (unsigned slot = 0; slot < slots; ++slot) {
            const std::uint32_t cell = cell_for(children[slot], shared + root_bits, classes[slot]);
            cells_[root + slot] = cell;
        }
        return root;
    }

    /// Deals `prefixes` out to the slots of a node of `stride` bits: those that end within the
    /// stride join the classes of the slots they cover, the others go to the child below.
    void spread(
        std::span<const TriePrefix> prefixes,
        unsigned depth,
        unsigned stride,
        std::span<std::uint32_t> classes,
        std::span<std::span<const TriePrefix>> children
    ) {
        for (std::size_t i = 0; i < prefixes.size(); ++i) {
            const TriePrefix& prefix = prefixes[i];
            const auto slot = bits_at(prefix.address, depth, stride);
            if (prefix.length <= depth + stride) {
                const std::size_t covered = std::size_t{1} << (depth + stride - prefix.length);
                cover(classes.subspan(slot, covered), prefix.set);
                continue;
            }
            // Sorted by address, then length: what is longer than the stride is contiguous.
            std::span<const TriePrefix>& child = children[slot];
            child =
                child.empty() ? prefixes.subspan(i, 1) : std::span(child.data(), child.size() + 1);
        }
    }

    void cover(std::span<std::uint32_t> classes, std::uint32_t set) {
        std::uint32_t from = classes.front();
        std::uint32_t to = join_(from, set);
        for (std::uint32_t& class_id : classes) {
            if (class_id != from) {
                from = class_id;
                to = join_(from, set);
            }
            class_id = to;
        }
    }

    /// A leaf when nothing is left to tell apart, else a new node.
    std::uint32_t
    cell_for(std::span<const TriePrefix> prefixes, unsigned depth, std::uint32_t class_id) {
        if (prefixes.empty()) {
            return ZSYNC_LEAF | class_id;
        }
        const auto index = static_cast<std::uint32_t>(nodes_.size());
        nodes_.emplace_back();
        fill(index, prefixes, depth, class_id);
        return index;
    }

    /// Prefixes are longer than `depth`, agree in the bits before it, and are not none.
    void fill(
        std::uint32_t index,
        std::span<const TriePrefix> prefixes,
        unsigned depth,
        std::uint32_t class_id
    ) {
        const unsigned shortest = std::ranges::min(prefixes, {}, &TriePrefix::length).length;
        const unsigned longest = std::ranges::max(prefixes, {}, &TriePrefix::length).length;
        const unsigned agree =
            std::min(common_bits(prefixes.front().address, prefixes.back().address), shortest);
        const bool ends = agree == longest;
        if (ends || agree - depth >= ZSYNC_STRIDE_BITS) {
            fill_path(index, prefixes, depth, agree, class_id);
        } else {
            fill_branch(index, prefixes, depth, class_id);
        }
    }

    void fill_path(
        std::uint32_t index,
        std::span<const TriePrefix> prefixes,
        unsigned depth,
        unsigned agree,
        std::uint32_t class_id
    ) {
        const unsigned bits = std::min<unsigned>(agree - depth, ZSYNC_PATH_BITS_MAX);
        const std::uint64_t expected = bits_at(prefixes.front().address, depth, bits);
        std::uint32_t inside = class_id;
        while (!prefixes.empty() && prefixes.front().length == depth + bits) {
            inside = join_(inside, prefixes.front().set);
            prefixes = prefixes.subspan(1);
        }
        const std::uint32_t child = cell_for(prefixes, depth + bits, inside);
        nodes_[index] = zsync_node{
            .mask = expected,
            .runs = std::uint64_t{class_id} << 32 | bits,
            .first = ZSYNC_PATH,
            .second = child,
        };
    }

    void fill_branch(
        std::uint32_t index,
        std::span<const TriePrefix> prefixes,
        unsigned depth,
        std::uint32_t class_id
    ) {
        constexpr unsigned slots = 1U << ZSYNC_STRIDE_BITS;
        std::array<std::uint32_t, slots> classes{};
        std::array<std::span<const TriePrefix>, slots> children{};
        classes.fill(class_id);
        spread(prefixes, depth, ZSYNC_STRIDE_BITS, classes, children);

        zsync_node node{};
        node.first = static_cast<std::uint32_t>(cells_.size());
        node.second = static_cast<std::uint32_t>(nodes_.size());
        for (unsigned slot = 0; slot < slots; ++slot) {
            if (!children[slot].empty()) {
                node.mask |= 1ULL << slot;
            } else if (node.runs == 0 || cells_.back() != classes[slot]) {
                node.runs |= 1ULL << slot;
                cells_.push_back(classes[slot]);
            }
        }
        nodes_[index] = node;
        nodes_.resize(nodes_.size() + static_cast<std::size_t>(std::popcount(node.mask)));
        std::uint32_t child = node.second;
        for (unsigned slot = 0; slot < slots; ++slot) {
            if (!children[slot].empty()) {
                fill(child++, children[slot], depth + ZSYNC_STRIDE_BITS, classes[slot]);
            }
        }
    }

    const JoinClass& join_;
    std::vector<std::uint32_t>& cells_;
    std::vector<zsync_node>& nodes_;
};

} // namespace

TriePrefix trie_prefix(const Prefix& prefix, std::uint32_t set) {
    TriePrefix result{.length = prefix.length, .set = set};
    for (std::size_t i = 0; i < 8; ++i) {
        result.address.high = result.address.high << 8 | prefix.address[i];
        result.address.low = result.address.low << 8 | prefix.address[i + 8];
    }
    return result;
}

void sort_prefixes(std::span<TriePrefix> prefixes) {
    const auto order = [](const TriePrefix& prefix) {
        return std::tuple(prefix.address.high, prefix.address.low, prefix.length, prefix.set);
    };
    // One set's prefixes come in order, and most rule files have one big set.
    if (!std::ranges::is_sorted(prefixes, {}, order)) {
        std::ranges::sort(prefixes, {}, order);
    }
}

Ipv6Table build_trie(
    std::span<TriePrefix> prefixes,
    std::uint32_t outside,
    const JoinClass& join,
    std::vector<std::uint32_t>& cells,
    std::vector<zsync_node>& nodes
) {
    sort_prefixes(prefixes);
    return TrieBuilder(join, cells, nodes).build(prefixes, outside);
}

} // namespace zsync::packet
