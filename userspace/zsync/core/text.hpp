// Text that came from outside, made safe and useful in messages for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace zsync {

/// One decoded UTF-8 sequence.
struct CodePoint {
    std::uint32_t value = 0;
    std::uint32_t bytes = 0;
};

/// The code point at the start of `text`, or nothing where the bytes are no UTF-8 (RFC 3629: no
/// overlong forms, no surrogates, nothing over U+10FFFF).
[[nodiscard]] std::optional<CodePoint> decode_utf8(std::string_view text);

/// Offset of the first byte that is no UTF-8, or npos.
[[nodiscard]] std::size_t find_invalid_utf8(std::string_view text);

/// Control characters, line separators and the bidirectional overrides, which make a terminal show
/// something other than what is there.
[[nodiscard]] bool is_unprintable(std::uint32_t code_point);

/// `text` with everything unprintable or invalid as `\xNN`, cut after `bytes_max` bytes with "...".
[[nodiscard]] std::string printable(std::string_view text, std::size_t bytes_max = 1024);

/// `printable` in single quotes, short enough for a sentence.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// ASCII lower case.
[[nodiscard]] std::string lower(std::string_view text);

/// The candidate a person most likely meant: the one fewest edits away, at most two (one in a
/// word of four bytes); empty where none is near.
[[nodiscard]] std::string_view
closest(std::string_view word, std::span<const std::string_view> candidates);

/// "did you mean X", or nothing.
[[nodiscard]] std::string
did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

} // namespace zsync
