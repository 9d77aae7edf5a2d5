#include <zsync/store/document.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <format>
#include <optional>

namespace zsync::store {
namespace {

constexpr std::string_view magic = "zsync-store ";
constexpr std::size_t header_bytes_max = 64;

constexpr auto crc_table = [] {
    constexpr std::uint32_t polynomial = 0x82f63b78; // reflected Castagnoli
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
        }
        table[byte] = crc;
    }
    return table;
}();

std::string header_of(std::string_view content) {
    return std::format("{}{} {} {:08x}\n", magic, format_version, content.size(), crc32c(content));
}

/// The format version a header claims, for the words only.
std::optional<std::uint32_t> version_of(std::string_view header) {
    std::uint32_t version = 0;
    const std::string_view digits = header.substr(magic.size());
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), version);
    return error == std::errc() && *end == ' ' ? std::optional(version) : std::nullopt;
}

} // namespace

std::uint32_t crc32c(std::string_view bytes) {
    std::uint32_t crc = ~0U;
    for (const char c : bytes) {
        crc = crc_table[(crc ^ static_cast<std::uint8_t>(c)) & 0xff] ^ (crc >> 8);
    }
    return ~crc;
}

std::string encode_document(std::string_view content) {
    std::string bytes = header_of(content);
    bytes += content;
    return bytes;
}

std::expected<std::string_view, std::string> decode_document(std::string_view bytes) {
    const auto damaged = [](std::string words) { return std::unexpected(std::move(words)); };
    const std::size_t newline = bytes.substr(0, header_bytes_max).find('\n');
    if (!bytes.starts_with(magic) || newline == std::string_view::npos) {
        return damaged(bytes.empty() ? "it is empty" : "it has no header");
    }
    const std::string_view header = bytes.substr(0, newline + 1);
    const std::string_view content = bytes.substr(newline + 1);
    const auto version = version_of(header);
    if (!version) {
        return damaged("its header is damaged");
    }
    if (*version != format_version) {
        return damaged(
            std::format("its format {} is unknown, {} is known", *version, format_version)
        );
    }
    // The header of this content is the only right one: one comparison checks length and checksum.
    if (header != header_of(content)) {
        return damaged("its length or checksum is wrong");
    }
    return content;
}

} // namespace zsync::store
