#include <zsync/core/assert.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/palette.hpp>
#include <zsync/packet/trie.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <ranges>
#include <tuple>
#include <unordered_map>
extern "C" {
#include <bpf/sieve.h>
}

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
        entries.push_back({.address = prefix.address, .length = prefix.length, .color = class_id});
    }
    // Only when all are joined is known which classes are left.
    for (Entry& entry : entries) {
        entry.color = palette.color_of(entry.color);
    }
    return entries;
}

/// What both families share: tables of slots. How a slot lists its entries is the family's.
class TrieBuilder {
public:
    TrieBuilder(const std::vector<std::uint32_t>& classes, std::vector<std::uint64_t>& buckets)
        : classes_(classes), buckets_(buckets) {}
    TrieBuilder(const TrieBuilder&) = delete;
    TrieBuilder& operator=(const TrieBuilder&) = delete;
    virtual ~TrieBuilder() = default;

    /// `outside` is a color, as everywhere here.
    zsync_trie build(std::span<const Entry> entries, std::uint32_t outside) {
        const Layout layout = layout_of(entries, 0);
        zsync_trie trie{};
        trie.shared = layout.shared;
        trie.shared_bits = layout.shared_bits;
        trie.slot_bits = layout.slot_bits;
        trie.blocks = append_table(entries, layout, outside);
        trie.color_mask = color_mask();
        trie.sieve = ZSYNC_NO_TABLE;
        return trie;
    }

protected:
    /// Which bits of an address a table looks at: from `depth` on those that all entries share,
    /// then those that number its slots.
    struct Layout {
        unsigned depth;
        unsigned shared_bits;
        unsigned slot_bits;
        std::uint64_t shared;

        [[nodiscard]] unsigned end() const { return depth + shared_bits + slot_bits; }
    };

    /// Entries are longer than `depth`, agree in the bits before it, and are not none.
    [[nodiscard]] virtual Layout
    layout_of(std::span<const Entry> entries, unsigned depth) const = 0;

    /// The words of a slot, longest entries first; `color` is of what is in none of them, where it
    /// is not `outside`. False, with some of them there, when they do not fit.
    virtual bool append_words(
        std::span<const Entry> entries, unsigned depth, std::uint32_t color, std::uint32_t outside
    ) = 0;

    [[nodiscard]] virtual std::uint32_t color_mask() const = 0;

    const std::vector<std::uint32_t>& classes_;
    std::vector<std::uint64_t>& buckets_;

private:
    /// A slot's entries that get a table of their own, and where its head stands.
    struct Child {
        std::size_t head;
        std::span<const Entry> entries;
        std::uint32_t color;
    };

    /// The longer entries of each slot of a table, and the colors that the others give them.
    struct Slots {
        std::vector<std::span<const Entry>> longer;
        std::vector<std::uint32_t> colors;
        std::uint32_t outside;
    };

    /// Returns where its blocks begin. Slots of the color `outside` need no word to say so.
    std::uint32_t
    append_table(std::span<const Entry> entries, const Layout& layout, std::uint32_t outside) {
        const std::size_t count = std::size_t{1} << layout.slot_bits;
        Slots slots{
            .longer = std::vector<std::span<const Entry>>(count),
            .colors = std::vector<std::uint32_t>(count, outside),
            .outside = outside,
        };
        spread(entries, layout, slots);
        const std::size_t blocks = buckets_.size();
        buckets_.resize(blocks + std::max<std::size_t>(count / ZSYNC_BLOCK_SLOTS, 1));
        for (std::size_t first = 0; first < count; first += ZSYNC_BLOCK_SLOTS) {
            const std::uint64_t block = append_block(slots, first, layout.end());
            buckets_[blocks + first / ZSYNC_BLOCK_SLOTS] = block;
        }
        return static_cast<std::uint32_t>(blocks);
    }

    /// Deals entries out to slots: those that end here color the slots that they cover.
    static void spread(std::span<const Entry> entries, const Layout& layout, Slots& slots) {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const Entry& entry = entries[i];
            const auto slot =
                bits_at(entry.address, layout.depth + layout.shared_bits, layout.slot_bits);
            if (entry.length <= layout.end()) {
                // Sorted by address, then length: what it lies in came before.
                std::ranges::fill(
                    std::span(slots.colors)
                        .subspan(slot, std::size_t{1} << (layout.end() - entry.length)),
                    entry.color
                );
                continue;
            }
            std::span<const Entry>& in_slot = slots.longer[slot];
            in_slot = in_slot.empty() ? entries.subspan(i, 1)
                                      : std::span(in_slot.data(), in_slot.size() + 1);
        }
    }

    /// Returns the block of up to eight slots.
    std::uint64_t append_block(const Slots& slots, std::size_t first, unsigned depth) {
        if (const auto color = only_color(slots, first)) {
            return block_of_color(*color, slots.outside);
        }
        std::vector<Child> children;
        std::uint64_t block = buckets_.size();
        for (std::size_t i = 0; i < ZSYNC_BLOCK_SLOTS && first + i < slots.longer.size(); ++i) {
            const std::size_t place = buckets_.size();
            const std::span<const Entry> longer = slots.longer[first + i];
            const std::uint32_t color = slots.colors[first + i];
            if ((!longer.empty() || color != slots.outside) &&
                !append_words(longer, depth, color, slots.outside)) {
                buckets_.resize(place + ZSYNC_HEAD_WORDS);
                children.push_back({place, longer, color});
            }
            block |= size_in_block(i, buckets_.size() - place);
        }
        for (const Child& child : children) {
            append_child(child, depth);
        }
        return block;
    }

    static std::uint64_t size_in_block(std::size_t slot, std::size_t words) {
        return std::uint64_t{words} << (ZSYNC_BLOCK_SIZES_SHIFT + slot * ZSYNC_BLOCK_SIZE_BITS);
    }

    /// Of eight slots without longer entries that have the same one.
    static std::optional<std::uint32_t> only_color(const Slots& slots, std::size_t first) {
        if (first + ZSYNC_BLOCK_SLOTS > slots.longer.size()) {
            return std::nullopt;
        }
        const std::uint32_t color = slots.colors[first];
        for (std::size_t i = first; i < first + ZSYNC_BLOCK_SLOTS; ++i) {
            if (!slots.longer[i].empty() || slots.colors[i] != color) {
                return std::nullopt;
            }
        }
        return color;
    }

    /// All such blocks of one color share their words: a short prefix covers many.
    std::uint64_t block_of_color(std::uint32_t color, std::uint32_t outside) {
        if (color == outside) {
            return 0;
        }
        const auto [known, fresh] = blocks_of_color_.try_emplace(color);
        if (fresh) {
            known->second = buckets_.size();
            for (std::size_t i = 0; i < ZSYNC_BLOCK_SLOTS; ++i) {
                const std::size_t place = buckets_.size();
                append_words({}, 0, color, outside);
                known->second |= size_in_block(i, buckets_.size() - place);
            }
        }
        return known->second;
    }

    void append_child(const Child& child, unsigned depth) {
        const Layout layout = layout_of(child.entries, depth);
        const std::uint32_t blocks = append_table(child.entries, layout, child.color);
        buckets_[child.head] = std::uint64_t{classes_[child.color]} << ZSYNC_HEAD_CLASS_SHIFT |
                               std::uint64_t{layout.slot_bits} << ZSYNC_HEAD_SLOT_BITS_SHIFT |
                               std::uint64_t{layout.shared_bits} << ZSYNC_HEAD_SHARED_BITS_SHIFT;
        buckets_[child.head + 1] = blocks;
        buckets_[child.head + 2] = layout.shared;
    }

    std::unordered_map<std::uint32_t, std::uint64_t> blocks_of_color_;
};

class Ipv4Builder final : public TrieBuilder {
public:
    using TrieBuilder::TrieBuilder;

private:
    [[nodiscard]] Layout
    layout_of(std::span<const Entry> /*entries*/, unsigned depth) const override {
        Layout layout{.depth = 0, .shared_bits = 0, .slot_bits = 0, .shared = 0};
        for (const unsigned bits : {ZSYNC_IPV4_SLOT_BITS}) {
            layout.depth = layout.end();
            layout.slot_bits = bits;
            if (layout.depth == depth) {
                break;
            }
        }
        return layout;
    }

    bool append_words(
        std::span<const Entry> entries, unsigned depth, std::uint32_t color, std::uint32_t outside
    ) override {
        const std::size_t words_per_group = color_mask() == 0 ? 1 : 2;
        const std::size_t lanes_max = ZSYNC_SLOT_WORDS_MAX / words_per_group * ZSYNC_LANES_PER_WORD;
        lanes_.clear();
        if (entries.size() > lanes_max) {
            return false;
        }
        for (const Entry& entry : entries | std::views::reverse) {
            const unsigned bits = entry.length - depth;
            lanes_.push_back({
                .bits = (bits_at(entry.address, depth, bits) << 1 | 1)
                        << (ZSYNC_LANE_BITS - 1 - bits),
                .color = entry.color,
            });
        }
        if (color != outside) {
            lanes_.push_back({.bits = 1U << (ZSYNC_LANE_BITS - 1), .color = color});
        }
        while (lanes_.size() % ZSYNC_LANES_PER_WORD != 0) {
            lanes_.push_back(lanes_.back());
        }
        for (std::size_t i = 0; i < lanes_.size(); i += ZSYNC_LANES_PER_WORD) {
            std::uint64_t bits = 0;
            std::uint64_t colors = 0;
            for (std::size_t lane = 0; lane < ZSYNC_LANES_PER_WORD; ++lane) {
                bits |= lanes_[i + lane].bits << lane * ZSYNC_LANE_BITS;
                colors |= lanes_[i + lane].color << lane * ZSYNC_LANE_BITS;
            }
            buckets_.push_back(bits);
            if (words_per_group == 2) {
                buckets_.push_back(colors);
            }
        }
        return lanes_.size() <= lanes_max;
    }

    [[nodiscard]] std::uint32_t color_mask() const override {
        return classes_.size() <= 2 ? 0 : ZSYNC_LANE_MASK;
    }

    struct Lane {
        std::uint64_t bits;
        std::uint64_t color;
    };
    std::vector<Lane> lanes_; ///< of the slot at hand
};

class Ipv6Builder final : public TrieBuilder {
public:
    using TrieBuilder::TrieBuilder;

private:
    /// So long may an entry be behind its table's bits.
    [[nodiscard]] unsigned entry_bits_max() const {
        return 2 * ZSYNC_PREFIX_BITS_MAX - color_bits_;
    }

    [[nodiscard]] Layout layout_of(std::span<const Entry> entries, unsigned depth) const override {
        const unsigned shortest = std::ranges::min(entries, {}, &Entry::length).length;
        const unsigned agree =
            common_bits(entries.front().address, entries.back().address); // they are sorted
        const unsigned shared_bits = std::min<unsigned>(
            std::min({agree, shortest, address_bits - 1}) - depth, ZSYNC_SHARED_BITS_MAX
        );
        auto slot_bits = static_cast<unsigned>(std::bit_width(entries.size()));
        if (depth == 0 && shared_bits + entry_bits_max() < address_bits) {
            // So that two words hold what is left of a whole address.
            slot_bits = std::max(slot_bits, address_bits - entry_bits_max() - shared_bits);
        }
        return {
            .depth = depth,
            .shared_bits = shared_bits,
            .slot_bits = std::min(
                {slot_bits, unsigned{ZSYNC_IPV6_SLOT_BITS_MAX}, address_bits - depth - shared_bits}
            ),
            .shared = bits_at(entries.front().address, depth, shared_bits),
        };
    }

    bool append_words(
        std::span<const Entry> entries, unsigned depth, std::uint32_t color, std::uint32_t outside
    ) override {
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

    [[nodiscard]] std::uint32_t color_mask() const override { return (1U << color_bits_) - 1; }

    const unsigned color_bits_ =
        std::max(1U, static_cast<unsigned>(std::bit_width(classes_.size() - 1)));
};

/// With fewer keys the tables are small enough to be asked at once.
constexpr std::size_t sieve_keys_min = 4096;
/// At most so many, so that a key has eight to sixteen of the sieve's bits.
constexpr std::size_t sieve_keys_per_word = 8;

/// As many of the upper half's bits as a key can have, so that prefixes which are shorter, and have
/// many keys each, add at most a fourth to the number of keys.
unsigned sieve_key_bits(std::span<const Entry> entries) {
    std::array<std::size_t, address_bits + 1> entries_of_length{};
    for (const Entry& entry : entries) {
        ++entries_of_length[entry.length];
    }
    std::size_t shorter = 0;
    std::size_t keys_of_shorter = 0;
    unsigned bits = 0;
    while (bits < 63) {
        shorter += entries_of_length[bits];
        keys_of_shorter = 2 * keys_of_shorter + 2 * entries_of_length[bits];
        if (keys_of_shorter > shorter + entries.size() / 4) {
            break;
        }
        ++bits;
    }
    return bits;
}

/// The different values of the first `key_bits` bits of addresses in `entries`, which are sorted.
std::vector<std::uint64_t> sieve_keys(std::span<const Entry> entries, unsigned key_bits) {
    std::vector<std::uint64_t> keys;
    keys.reserve(entries.size() + entries.size() / 4);
    std::uint64_t next = 0;
    for (const Entry& entry : entries) {
        const std::uint64_t first = bits_at(entry.address, 0, key_bits);
        const std::uint64_t count = entry.length < key_bits ? 1ULL << (key_bits - entry.length) : 1;
        for (std::uint64_t key = std::max(first, next); key < first + count; ++key) {
            keys.push_back(key);
        }
        next = std::max(next, first + count);
    }
    return keys;
}

/// Where it would let nearly everything through there is none.
void append_sieve(
    std::span<const Entry> entries, zsync_trie& trie, std::vector<std::uint64_t>& buckets
) {
    const unsigned key_bits = sieve_key_bits(entries);
    if (key_bits <= trie.shared_bits) {
        return;
    }
    const std::vector<std::uint64_t> keys = sieve_keys(entries, key_bits);
    if (keys.size() < sieve_keys_min || keys.size() >> (key_bits - trie.shared_bits - 2) != 0) {
        return;
    }
    const std::size_t words = std::bit_ceil(keys.size()) / sieve_keys_per_word;
    trie.sieve = static_cast<std::uint32_t>(buckets.size());
    trie.sieve_key_shift = 64 - key_bits;
    trie.sieve_word_shift = 64 - static_cast<std::uint32_t>(std::countr_zero(words));
    buckets.resize(buckets.size() + words);
    for (const std::uint64_t key : keys) {
        const std::uint64_t hash = zsync_sieve_hash(key);
        buckets[trie.sieve + (hash >> trie.sieve_word_shift)] |= zsync_sieve_bits(hash);
    }
}

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

std::optional<zsync_trie> build_trie(
    Family family,
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
    if (family == Family::ipv4 && classes.size() > limits::ipv4_classes_max) {
        return std::nullopt;
    }
    zsync_trie trie = family == Family::ipv4
                          ? Ipv4Builder(classes, buckets).build(entries, outside_color)
                          : Ipv6Builder(classes, buckets).build(entries, outside_color);
    trie.palette = static_cast<std::uint32_t>(cells.size());
    cells.insert(cells.end(), classes.begin(), classes.end());
    if (family == Family::ipv6) {
        append_sieve(entries, trie, buckets);
    }
    return trie;
}

} // namespace zsync::packet
