// A document as bytes: a header line, then the content.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace zsync::store {

/// The format this version writes; it reads no other.
inline constexpr std::uint32_t format_version = 1;

/// CRC-32C (RFC 3720, appendix B.4).
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

/// `zsync-store 1 LENGTH CRC32C\n` and the content. Length is decimal, the checksum eight hex
/// digits over the content.
[[nodiscard]] std::string encode_document(std::string_view content);

/// The content of an encoded document, or in words what is wrong with it. Every single changed,
/// missing or added byte is found.
[[nodiscard]] std::expected<std::string_view, std::string> decode_document(std::string_view bytes);

} // namespace zsync::store
