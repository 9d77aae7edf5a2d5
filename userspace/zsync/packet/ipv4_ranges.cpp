#include <zsync/packet/ipv4_ranges.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/palette.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>

namespace zsync::packet {
namespace {

constexpr std::size_t keys_max = std::size_t{ZSYNC_BUCKET_WORDS_MAX} * ZSYNC_LANES_PER_WORD;
/// The words of keys of so many buckets of a hundred are read without asking how many there are.
constexpr std::size_t read_blindly_percent = 90;
/// 64-bit words of a cache line.
constexpr std::size_t line_words = 8;
constexpr unsigned below_root_bits = 32 - ZSYNC_IPV4_ROOT_BITS;
/// Bits that a cell of a root's table leaves, and how many cells that table has.
constexpr unsigned below_table_bits = 7;
static_assert(limits::ipv4_classes_max == std::size_t{1} << (1U << ZSYNC_CLASS_BITS_LOG2_MAX));

/// From `start` to where the next one starts, addresses have one class; `color` is what the class
/// is called in the palette.
struct Range {
    std::uint32_t start;
    std::uint32_t class_id;
    std::uint32_t color = 0;
};

/// Sweeps over sorted prefixes with a stack of those that are open, and gives the ranges between
/// their ends, neighbours of one class as one.
std::vector<Range>
ranges_of(std::span<const TriePrefix> prefixes, std::uint32_t outside, const JoinClass& join) {
    constexpr std::uint64_t end_of_all = std::uint64_t{1} << 32;
    struct Open {
        std::uint64_t end;
        std::uint32_t class_id;
    };
    std::vector<Range> ranges;
    ranges.reserve(2 * prefixes.size() + 1);
    std::vector<Open> open{{.end = end_of_all, .class_id = outside}};
    const auto begin = [&](std::uint64_t start, std::uint32_t class_id) {
        if (!ranges.empty() && ranges.back().start == start) {
            ranges.pop_back();
        }
        if (ranges.empty() || ranges.back().class_id != class_id) {
            ranges.push_back({.start = static_cast<std::uint32_t>(start), .class_id = class_id});
        }
    };
    const auto close_until = [&](std::uint64_t address) {
        while (open.size() > 1 && open.back().end <= address) {
            const std::uint64_t end = open.back().end;
            open.pop_back();
            if (end < end_of_all) {
                begin(end, open.back().class_id);
            }
        }
    };
    begin(0, outside);
    for (const TriePrefix& prefix : prefixes) {
        const std::uint64_t start = prefix.address.high >> 32;
        close_until(start);
        const std::uint32_t class_id = join(open.back().class_id, prefix.set);
        open.push_back({
            .end = start + (std::uint64_t{1} << (32 - prefix.length)),
            .class_id = class_id,
        });
        begin(start, class_id);
    }
    close_until(end_of_all);
    return ranges;
}

/// 1, 2, 4, 8 or 16 bits, as a power of two, for a color of a palette.
std::uint32_t color_bits_log2(std::size_t colors) {
    const auto bits = static_cast<unsigned>(std::bit_width(colors - 1));
    return static_cast<std::uint32_t>(std::bit_width(std::max(bits, 1U) - 1));
}

std::size_t words_for(std::size_t keys) {
    return (keys + ZSYNC_LANES_PER_WORD - 1) / ZSYNC_LANES_PER_WORD;
}

/// What most of the root's buckets need.
std::uint32_t usual_bucket_words(std::span<const Range> ranges) {
    std::array<std::size_t, ZSYNC_BUCKET_WORDS_MIN_MAX + 1> buckets{};
    std::size_t all = 0;
    for (std::size_t i = 0; i < ranges.size();) {
        const std::uint32_t slot = ranges[i].start >> below_root_bits;
        std::size_t keys = 0;
        for (; i < ranges.size() && ranges[i].start >> below_root_bits == slot; ++i) {
            keys += ranges[i].start != slot << below_root_bits ? 1 : 0;
        }
        if (keys > 0 && keys <= keys_max) {
            ++buckets[std::min<std::size_t>(words_for(keys), ZSYNC_BUCKET_WORDS_MIN_MAX)];
            ++all;
        }
    }
    std::uint32_t words = 1;
    for (std::size_t fit = buckets[1];
         words < ZSYNC_BUCKET_WORDS_MIN_MAX && fit * 100 < all * read_blindly_percent;
         fit += buckets[words]) {
        ++words;
    }
    return words;
}

class TableBuilder {
public:
    TableBuilder(
        std::span<const Range> ranges,
        std::uint32_t bits_log2,
        std::vector<std::uint32_t>& cells,
        std::vector<std::uint64_t>& buckets
    )
        : ranges_(ranges), bits_log2_(bits_log2), words_min_(usual_bucket_words(ranges)),
          cells_(cells), buckets_(buckets) {}

    Ipv4Table build() {
        Ipv4Table table{.class_bits_log2 = bits_log2_, .bucket_words_min = words_min_};
        table.root = append_table(0, 32, ZSYNC_IPV4_ROOT_BITS);
        return table;
    }

private:
    /// Cells for the next `bits` of the 2^`space_bits` addresses from `start` on. Ranges are taken
    /// in order, so `at_` is the one that `start` lies in.
    std::uint32_t append_table(std::uint32_t start, unsigned space_bits, unsigned bits) {
        const auto first = static_cast<std::uint32_t>(cells_.size());
        const std::size_t count = std::size_t{1} << bits;
        const unsigned below = space_bits - bits;
        cells_.resize(first + count);
        for (std::size_t i = 0; i < count; ++i) {
            const auto from = static_cast<std::uint32_t>(start + (i << below));
            const std::uint32_t cell = cell_for(from, below);
            cells_[first + i] = cell;
        }
        return first;
    }

    std::uint32_t cell_for(std::uint32_t start, unsigned space_bits) {
        while (at_ + 1 < ranges_.size() && ranges_[at_ + 1].start <= start) {
            ++at_;
        }
        const std::uint32_t last = start + static_cast<std::uint32_t>((1ULL << space_bits) - 1);
        std::size_t end = at_ + 1;
        while (end < ranges_.size() && ranges_[end].start <= last && end - at_ <= keys_max + 1) {
            ++end;
        }
        const std::size_t keys = end - at_ - 1;
        if (keys == 0) {
            return ZSYNC_LEAF | ranges_[at_].class_id;
        }
        // A whole table for the last bits is no bigger than a bucket that lists most of them.
        const std::size_t fit = space_bits == below_table_bits ? keys_max / 2 : keys_max;
        if (keys > fit) {
            const unsigned bits =
                space_bits == below_root_bits ? space_bits - below_table_bits : space_bits;
            return ZSYNC_TABLE | append_table(start, space_bits, bits);
        }
        return append_bucket(start, ranges_.subspan(at_, keys + 1));
    }

    std::uint32_t append_bucket(std::uint32_t start, std::span<const Range> ranges) {
        const std::size_t keys = ranges.size() - 1;
        const std::size_t key_words = std::max<std::size_t>(words_for(keys), words_min_);
        const std::size_t class_words = ((ranges.size() << bits_log2_) + 63) / 64;
        const std::size_t words = key_words + class_words;
        if (const std::size_t used = buckets_.size() % line_words;
            words <= line_words && used + words > line_words) {
            buckets_.resize(buckets_.size() + line_words - used);
        }
        const std::size_t place = buckets_.size();
        buckets_.resize(place + key_words, ZSYNC_LANE_UNUSED * ZSYNC_LANES);
        buckets_.resize(place + key_words + class_words);
        for (std::size_t i = 0; i < keys; ++i) {
            const unsigned shift = i % ZSYNC_LANES_PER_WORD * 16;
            std::uint64_t& word = buckets_[place + i / ZSYNC_LANES_PER_WORD];
            word &= ~(std::uint64_t{0xffff} << shift);
            word |= std::uint64_t{ranges[i + 1].start - start} << shift;
        }
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            const std::size_t bit = i << bits_log2_;
            buckets_[place + key_words + bit / 64] |= std::uint64_t{ranges[i].color} << bit % 64;
        }
        return static_cast<std::uint32_t>(key_words << ZSYNC_BUCKET_SHIFT | place);
    }

    std::span<const Range> ranges_;
    std::uint32_t bits_log2_;
    std::uint32_t words_min_;
    std::vector<std::uint32_t>& cells_;
    std::vector<std::uint64_t>& buckets_;
    std::size_t at_ = 0;
};

} // namespace

std::optional<Ipv4Table> build_ipv4_table(
    std::span<TriePrefix> prefixes,
    std::uint32_t outside,
    const JoinClass& join,
    std::vector<std::uint32_t>& cells,
    std::vector<std::uint64_t>& buckets
) {
    sort_prefixes(prefixes);
    std::vector<Range> ranges = ranges_of(prefixes, outside, join);
    Palette palette;
    for (Range& range : ranges) {
        range.color = palette.color_of(range.class_id);
    }
    const std::vector<std::uint32_t>& classes = palette.classes();
    if (classes.size() > limits::ipv4_classes_max) {
        return std::nullopt;
    }
    Ipv4Table table = TableBuilder(ranges, color_bits_log2(classes.size()), cells, buckets).build();
    table.palette = static_cast<std::uint32_t>(cells.size());
    cells.insert(cells.end(), classes.begin(), classes.end());
    return table;
}

} // namespace zsync::packet
