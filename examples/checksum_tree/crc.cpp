#include "crc.hpp"

#include <array>

namespace {

constexpr std::uint32_t polynomial = 0x04c11db7;

constexpr auto table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t byte = 0; byte < made.size(); ++byte) {
        std::uint32_t value = byte << 24;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value & 0x80000000) != 0 ? value << 1 ^ polynomial : value << 1;
        }
        made[byte] = value;
    }
    return made;
}();

constexpr std::uint32_t step(std::uint32_t state, std::uint8_t byte) {
    return state << 8 ^ table[(state >> 24 ^ byte) & 0xff];
}

} // namespace

void Crc::add(std::span<const std::byte> bytes) noexcept {
    for (const std::byte byte : bytes) {
        state_ = step(state_, static_cast<std::uint8_t>(byte));
    }
    length_ += bytes.size();
}

std::uint32_t Crc::finish() noexcept {
    for (std::uint64_t left = length_; left != 0; left >>= 8) {
        state_ = step(state_, static_cast<std::uint8_t>(left));
    }
    return ~state_;
}
