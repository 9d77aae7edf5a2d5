// Rule bitmaps, each stored once: the classes of the match engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

namespace zsync::packet {

/// A set of rules, by index.
using RuleBits = std::vector<std::uint64_t>;

/// Interns rule bitmaps in one array, in the layout that `zsync_match` reads: the words, behind a
/// summary word when there is more than one. A class is named by its offset in that array.
class RuleClasses {
public:
    explicit RuleClasses(std::size_t rules);

    RuleClasses(const RuleClasses&) = delete;
    RuleClasses& operator=(const RuleClasses&) = delete;

    [[nodiscard]] RuleBits none() const { return RuleBits(words_); }
    [[nodiscard]] std::uint32_t words() const { return static_cast<std::uint32_t>(words_); }

    /// The class of `bits`.
    std::uint32_t intern(std::span<const std::uint64_t> bits);
    /// The class of the rules of `class_id` and of `more`.
    std::uint32_t join(std::uint32_t class_id, std::span<const std::uint64_t> more);

    [[nodiscard]] std::size_t bytes() const { return array_.size() * sizeof(std::uint64_t); }
    [[nodiscard]] std::vector<std::uint64_t> take() && { return std::move(array_); }

private:
    [[nodiscard]] std::span<const std::uint64_t> bits_of(std::uint32_t class_id) const;
    /// The class of the bitmap that was just appended, which goes again if it is there already.
    std::uint32_t keep_last();

    struct Hash {
        const RuleClasses* classes;
        std::size_t operator()(std::uint32_t class_id) const;
    };
    struct Equal {
        const RuleClasses* classes;
        bool operator()(std::uint32_t a, std::uint32_t b) const;
    };

    std::size_t words_;
    std::size_t stride_;
    std::vector<std::uint64_t> array_;
    std::unordered_set<std::uint32_t, Hash, Equal> known_;
};

inline void set_rule(RuleBits& bits, std::size_t rule) {
    bits[rule / 64] |= std::uint64_t{1} << (rule % 64);
}

inline void flip_rule(RuleBits& bits, std::size_t rule) {
    bits[rule / 64] ^= std::uint64_t{1} << (rule % 64);
}

} // namespace zsync::packet
