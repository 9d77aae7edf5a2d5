// Cursor: reading numbers and pieces out of bytes that came from a stranger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace zsync::packet::analysis {

using ByteView = std::span<const std::uint8_t>;

inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Reads big-endian numbers from the front. A read beyond the end gives 0 or nothing and leaves the
/// cursor failed and at its end, so that a parser can read a whole structure and then ask `ok()`.
class Cursor {
public:
    explicit Cursor(ByteView bytes) noexcept : rest_(bytes), size_(bytes.size()) {}

    [[nodiscard]] std::uint8_t u8() noexcept { return static_cast<std::uint8_t>(number(1)); }
    [[nodiscard]] std::uint16_t u16() noexcept { return static_cast<std::uint16_t>(number(2)); }
    [[nodiscard]] std::uint32_t u24() noexcept { return static_cast<std::uint32_t>(number(3)); }
    [[nodiscard]] std::uint32_t u32() noexcept { return static_cast<std::uint32_t>(number(4)); }
    [[nodiscard]] std::uint64_t u64() noexcept { return number(8); }
    /// QUIC's variable-length integer (RFC 9000, section 16).
    [[nodiscard]] std::uint64_t varint() noexcept {
        const std::uint64_t first = number(1);
        const unsigned more = (1U << (first >> 6U)) - 1;
        std::uint64_t value = first & 0x3fU;
        for (unsigned i = 0; i < more; ++i) {
            value = value << 8U | number(1);
        }
        return value;
    }
    /// The next `count` bytes; none, and a failed cursor, where there are fewer.
    [[nodiscard]] ByteView take(std::uint64_t count) noexcept {
        if (count > rest_.size()) {
            return fail();
        }
        const ByteView taken = rest_.first(static_cast<std::size_t>(count));
        rest_ = rest_.subspan(static_cast<std::size_t>(count));
        return taken;
    }
    void skip(std::uint64_t count) noexcept { (void)take(count); }

    [[nodiscard]] bool ok() const noexcept { return ok_; }
    [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }
    [[nodiscard]] std::size_t offset() const noexcept { return size_ - rest_.size(); }
    [[nodiscard]] ByteView rest() const noexcept { return rest_; }

private:
    std::uint64_t number(std::size_t bytes) noexcept {
        std::uint64_t value = 0;
        for (const std::uint8_t byte : take(bytes)) {
            value = value << 8U | byte;
        }
        return value;
    }
    ByteView fail() noexcept {
        ok_ = false;
        rest_ = rest_.last(0);
        return {};
    }

    ByteView rest_;
    std::size_t size_;
    bool ok_ = true;
};

} // namespace zsync::packet::analysis
