#include <zsync/core/text.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <format>

namespace zsync {
namespace {

constexpr std::size_t quoted_bytes_max = 48;
constexpr std::size_t guess_bytes_max = 64;
constexpr std::size_t short_word_bytes_max = 4; // with two edits a short word is any other

std::uint8_t byte_at(std::string_view text, std::size_t index) {
    return static_cast<std::uint8_t>(text[index]);
}

/// Edits between two short words: insert, remove, replace or swap neighbours.
std::size_t edits_between(std::string_view a, std::string_view b) {
    std::array<std::array<std::size_t, guess_bytes_max + 1>, 3> rows{};
    for (std::size_t j = 0; j <= b.size(); ++j) {
        rows[0][j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        auto& row = rows[i % 3];
        const auto& above = rows[(i + 2) % 3];
        const auto& above_that = rows[(i + 1) % 3];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) {
                row[j] = std::min(row[j], above_that[j - 2] + 1);
            }
        }
    }
    return rows[a.size() % 3][b.size()];
}

} // namespace

std::optional<CodePoint> decode_utf8(std::string_view text) {
    if (text.empty()) {
        return std::nullopt;
    }
    const std::uint8_t first = byte_at(text, 0);
    if (first < 0x80) {
        return CodePoint{.value = first, .bytes = 1};
    }
    const std::uint32_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
    if (length == 0 || first > 0xf4 || text.size() < length) {
        return std::nullopt;
    }
    std::uint32_t value = first & (0x7fU >> length);
    for (std::uint32_t i = 1; i < length; ++i) {
        const std::uint8_t next = byte_at(text, i);
        if ((next & 0xc0) != 0x80) {
            return std::nullopt;
        }
        value = value << 6 | (next & 0x3f);
    }
    constexpr std::array<std::uint32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < smallest[length] || surrogate || value > 0x10ffff) {
        return std::nullopt;
    }
    return CodePoint{.value = value, .bytes = length};
}

std::size_t find_invalid_utf8(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        std::uint64_t eight = 0;
        if (text.size() - at >= sizeof(eight)) {
            std::memcpy(&eight, text.data() + at, sizeof(eight));
            if ((eight & 0x8080808080808080U) == 0) {
                at += sizeof(eight);
                continue;
            }
        }
        const auto point = decode_utf8(text.substr(at));
        if (!point) {
            return at;
        }
        at += point->bytes;
    }
    return std::string_view::npos;
}

bool is_unprintable(std::uint32_t c) {
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    const bool separator = c == 0x2028 || c == 0x2029;
    const bool bidirectional = c == 0x061c || c == 0x200e || c == 0x200f ||
                               (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return control || separator || bidirectional || c == 0xfeff;
}

std::string printable(std::string_view text, std::size_t bytes_max) {
    std::string out;
    std::size_t at = 0;
    while (at < text.size()) {
        if (out.size() >= bytes_max) {
            return out + "...";
        }
        const auto point = decode_utf8(text.substr(at));
        const std::uint32_t length = point ? point->bytes : 1;
        if (point && !is_unprintable(point->value)) {
            out += text.substr(at, length);
        } else {
            for (std::uint32_t i = 0; i < length; ++i) {
                out += std::format("\\x{:02x}", byte_at(text, at + i));
            }
        }
        at += length;
    }
    return out;
}

std::string in_quotes(std::string_view text) {
    return "'" + printable(text, quoted_bytes_max) + "'";
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    return out;
}

std::string_view closest(std::string_view word, std::span<const std::string_view> candidates) {
    if (word.size() > guess_bytes_max) {
        return {};
    }
    std::string_view best;
    const std::size_t edits_max = word.size() <= short_word_bytes_max ? 1 : 2;
    std::size_t best_edits = std::min(edits_max + 1, word.size());
    const std::string lowered = lower(word);
    for (const std::string_view candidate : candidates) {
        if (candidate.size() > guess_bytes_max) {
            continue;
        }
        const std::size_t edits = edits_between(lowered, lower(candidate));
        if (edits < best_edits) {
            best = candidate;
            best_edits = edits;
        }
    }
    return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
    const std::string_view guess = closest(word, candidates);
    return guess.empty() ? std::string() : "did you mean " + std::string(guess);
}

} // namespace zsync
