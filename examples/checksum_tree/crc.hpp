// The checksum of cksum(1), POSIX.1-2017.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

class Crc {
public:
    void add(std::span<const std::byte> bytes) noexcept;
    /// Of all bytes added. Once, at the end.
    [[nodiscard]] std::uint32_t finish() noexcept;
    [[nodiscard]] std::uint64_t length() const noexcept { return length_; }

private:
    std::uint32_t state_ = 0;
    std::uint64_t length_ = 0;
};
