#include <zsync/core/assert.hpp>
#include <zsync/packet/palette.hpp>
#include <zsync/packet/trie.hpp>

#include <algorithm>
#include <bit>
#include <ranges>
#include <tuple>

namespace zsync::packet {
namespace {

constexpr unsigned address_bits = 128;

/// `count` bits (at most 63) of a 128-bit number from bit `depth` on, zeros beyond its end.
std::uint64_t bits_at(const zsync_address& address, unsigned depth, unsigned count) {
    std::uint64_t top = 0;
    if (depth == 0) {
        top = address.high;
    } else if (depth < 64) {
        top = address.high << depth | address.low >> (64 - depth);
    } else if (depth < 128) {
        top = address.low << (depth - 64);
    }
    return count == 0 ? 0 : top >> (64 - count);
}

unsigned common_bits(const zsync_address& a, const zsync_address& b) {
    const int high = std::countl_zero(a.high ^ b.high);
    return static_cast<unsigned>(high < 64 ? high : 64 + std::countl_zero(a.low ^ b.low));
}

/// The addresses that begin with `length` bits of `address` have this color, but for those of
/// longer entries.
struct Entry {
    zsync_address address;
    std::uint8_t length;
    std::uint32_t color;
};

/// Whether all addresses of `inner`, which is not shorter, are addresses of `outer`.
bool covers(const TriePrefix& outer, const TriePrefix& inner) {
    return common_bits(outer.address, inner.address) >= outer.length;
}

/// Joins each of the sorted prefixes with those that cover it, and leaves out what changes nothing.
std::vector<Entry> entries_of(
    std::span<const TriePrefix> prefixes,
    std::uint32_t outside,
    const JoinClass& join,
    Palette& palette
) {
    struct Open {
        const TriePrefix* prefix;
        std::uint32_t class_id;
    };
    std::vector<Entry> entries;
    entries.reserve(prefixes.size());
    std::vector<Open> open;
    for (const TriePrefix& prefix : prefixes) {
        while (!open.empty() && !covers(*open.back().prefix, prefix)) {
            open.pop_back();
        }
        const std::uint32_t around = open.empty() ? outside : open.back().class_id;
        const std::uint32_t class_id = join(around, prefix.set);
        if (class_id == around) {
            continue;
        }
        if (!open.empty() && open.back().prefix->length == prefix.length) {
            open.pop_back(); // the same prefix, of another set
            entries.pop_back();
        }
        open.push_back({.prefix = &prefix, .class_id = class_id});
        entries.push_back({
            .address = prefix.address,
            .length = prefix.length,
            .color = palette.color_of(class_id),
        });
    }
    return entries;
}

class TrieBuilder {
public:
    TrieBuilder(const std::vector<std::uint32_t>& classes, std::vector<std::uint64_t>& buckets)
        : classes_(classes), buckets_(buckets),
          color_bits_(std::max(1U, static_cast<unsigned>(std::bit_width(classes.size() - 1)))) {}

    /// `outside` is a color, as everywhere here.
    Ipv6Table build(std::span<const Entry> entries, std::uint32_t outside) {
        const Layout layout = layout_of(entries, 0, address_bits - entry_bits_max());
        return {
            .root = append_table(entries, layout, outside),
            .root_bits = layout.root_bits,
            .shared_bits = layout.shared_bits,
            .shared = layout.shared,
            .color_bits = color_bits_,
        };
    }

private:
    /// Which bits of an address a table looks at: from `depth` on those that all entries share,
    /// then those that number its slots.
    struct Layout {
        unsigned depth;
        unsigned shared_bits;
        unsigned root_bits;
        std::uint64_t shared;

        [[nodiscard]] unsigned end() const { return depth + shared_bits + root_bits; }
    };

    /// A slot's entries that get a table of their own, and where its head stands.
    struct Child {
        std::size_t head;
        std::span<const Entry> entries;
        std::uint32_t color;
    };

    /// So long may an entry be behind its table's bits.
    [[nodiscard]] unsigned entry_bits_max() const {
        return 2 * ZSYNC_PREFIX_BITS_MAX - color_bits_;
    }

    /// Entries are longer than `depth`, agree in the bits before it, and are not none. The table
    /// goes to bit `end_min` at least, if it may have so many slots.
    static Layout layout_of(std::span<const Entry> entries, unsigned depth, unsigned end_min) {
        const unsigned shortest = std::ranges::min(entries, {}, &Entry::length).length;
        const unsigned agree =
            common_bits(entries.front().address, entries.back().address); // they are sorted
        const unsigned shared_bits = std::min<unsigned>(
            std::min({agree, shortest, address_bits - 1}) - depth, ZSYNC_IPV6_SHARED_BITS_MAX
        );
        const unsigned usual = static_cast<unsigned>(std::bit_width(entries.size())) + 1;
        const unsigned root_bits = std::min<unsigned>(
            std::max(usual, end_min - std::min(end_min, depth + shared_bits)),
            ZSYNC_IPV6_ROOT_BITS_MAX
        );
        return {
            .depth = depth,
            .shared_bits = shared_bits,
            .root_bits = std::min(root_bits, address_bits - depth - shared_bits),
            .shared = bits_at(entries.front().address, depth, shared_bits),
        };
    }

    /// Returns where its blocks begin. Slots of the color `outside` need no word to say so.
    std::uint32_t
    append_table(std::span<const Entry> entries, const Layout& layout, std::uint32_t outside) {
        const std::size_t slots = std::size_t{1} << layout.root_bits;
        std::vector<std::uint32_t> colors(slots, outside);
        std::vector<std::span<const Entry>> longer(slots);
        spread(entries, layout, colors, longer);
        const std::size_t blocks = buckets_.size();
        buckets_.resize(blocks + std::max<std::size_t>(slots / ZSYNC_BLOCK_SLOTS, 1));
        for (std::size_t first = 0; first < slots; first += ZSYNC_BLOCK_SLOTS) {
            std::vector<Child> children;
            std::uint64_t block = buckets_.size();
            for (std::size_t i = 0; i < ZSYNC_BLOCK_SLOTS && first + i < slots; ++i) {
                const std::size_t slot = first + i;
                const std::size_t place = buckets_.size();
                if (!append_words(longer[slot], layout.end(), colors[slot], outside)) {
                    buckets_.resize(place + ZSYNC_HEAD_WORDS);
                    children.push_back({place, longer[slot], colors[slot]});
                }
                block |= std::uint64_t{buckets_.size() - place}
                         << (ZSYNC_BLOCK_SIZES_SHIFT + i * ZSYNC_BLOCK_SIZE_BITS);
            }
            buckets_[blocks + first / ZSYNC_BLOCK_SLOTS] = block;
            for (const Child& child : children) {
                append_child(child, layout.end());
            }
        }
        return static_cast<std::uint32_t>(blocks);
    }

    /// Deals entries out to slots: those that end here color the slots that they cover.
    static void spread(
        std::span<const Entry> entries,
        const Layout& layout,
        std::span<std::uint32_t> colors,
        std::span<std::span<const Entry>> longer
    ) {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const Entry& entry = entries[i];
            const auto slot =
                bits_at(entry.address, layout.depth + layout.shared_bits, layout.root_bits);
            if (entry.length <= layout.end()) {
                // Sorted by address, then length: what it lies in came before.
                std::ranges::fill(
                    colors.subspan(slot, std::size_t{1} << (layout.end() - entry.length)),
                    entry.color
                );
                continue;
            }
            std::span<const Entry>& in_slot = longer[slot];
            in_slot = in_slot.empty() ? entries.subspan(i, 1)
                                      : std::span(in_slot.data(), in_slot.size() + 1);
        }
    }

    /// The words of a slot, longest entries first; `color` is of what is in none of them. False,
    /// with some of them there, when they do not fit.
    bool append_words(
        std::span<const Entry> entries, unsigned depth, std::uint32_t color, std::uint32_t outside
    ) {
        const std::size_t end = buckets_.size() + ZSYNC_SLOT_WORDS_MAX;
        for (const Entry& entry : entries | std::views::reverse) {
            if (!append_entry(entry, depth) || buckets_.size() > end) {
                return false;
            }
        }
        if (color != outside) {
            buckets_.push_back(prefix_word({}, 0, 0, color));
        }
        return buckets_.size() <= end;
    }

    /// False when it is too long for two words.
    bool append_entry(const Entry& entry, unsigned depth) {
        unsigned bits = entry.length - depth;
        if (bits > entry_bits_max()) {
            return false;
        }
        if (bits > ZSYNC_PREFIX_BITS_MAX - color_bits_) {
            const unsigned bits_here = std::min<unsigned>(bits, ZSYNC_PREFIX_BITS_MAX);
            buckets_.push_back(
                prefix_word(entry.address, depth, bits_here, 0) | ZSYNC_PREFIX_CONTINUES
            );
            depth += bits_here;
            bits -= bits_here;
        }
        buckets_.push_back(prefix_word(entry.address, depth, bits, entry.color));
        return true;
    }

    static std::uint64_t
    prefix_word(const zsync_address& address, unsigned depth, unsigned bits, std::uint32_t color) {
        const std::uint64_t value = bits_at(address, depth, bits) << (63 - bits) << 1;
        return value | std::uint64_t{color} << ZSYNC_PREFIX_COLOR_SHIFT | (63 - bits);
    }

    void append_child(const Child& child, unsigned depth) {
        const Layout layout = layout_of(child.entries, depth, 0);
        const std::uint32_t blocks = append_table(child.entries, layout, child.color);
        buckets_[child.head] = std::uint64_t{classes_[child.color]} << ZSYNC_HEAD_CLASS_SHIFT |
                               layout.root_bits << ZSYNC_HEAD_ROOT_BITS_SHIFT |
                               layout.shared_bits << ZSYNC_HEAD_SHARED_BITS_SHIFT;
        buckets_[child.head + 1] = blocks;
        buckets_[child.head + 2] = layout.shared;
    }

    const std::vector<std::uint32_t>& classes_;
    std::vector<std::uint64_t>& buckets_;
    unsigned color_bits_;
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
    std::vector<std::uint64_t>& buckets
) {
    sort_prefixes(prefixes);
    Palette palette;
    const std::uint32_t outside_color = palette.color_of(outside);
    const std::vector<Entry> entries = entries_of(prefixes, outside, join, palette);
    ZASSERT(!entries.empty(), "a set changes the class of its addresses");
    const std::vector<std::uint32_t>& classes = palette.classes();
    Ipv6Table table = TrieBuilder(classes, buckets).build(entries, outside_color);
    table.palette = static_cast<std::uint32_t>(cells.size());
    cells.insert(cells.end(), classes.begin(), classes.end());
    return table;
}

} // namespace zsync::packet
