// Addresses of hosts in flows and reports.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace zsync::packet::analysis {

/// An IPv4 address (the first four bytes) or an IPv6 address.
struct Address {
    std::array<std::uint8_t, 16> bytes{};
    bool is_v6 = false;

    friend auto operator<=>(const Address&, const Address&) = default;

    /// An IPv4 address from its number, as 0x7f000001.
    [[nodiscard]] static Address v4(std::uint32_t number) noexcept {
        Address address;
        for (unsigned i = 0; i < 4; ++i) {
            address.bytes[i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
        }
        return address;
    }
    [[nodiscard]] std::uint32_t v4_number() const noexcept {
        return static_cast<std::uint32_t>(bytes[0]) << 24U | bytes[1] << 16U | bytes[2] << 8U |
               bytes[3];
    }
};

/// As inet_ntop(3) writes it.
[[nodiscard]] std::string to_string(const Address& address);

/// Mixes words into a hash; the seed keeps strangers from choosing colliding keys.
class Hasher {
public:
    explicit Hasher(std::uint64_t seed) noexcept : state_(seed) {}
    void add(std::uint64_t word) noexcept {
        // A multiply of 128 bits folded in half (Wang Yi's wyhash mixes so).
        const auto product = static_cast<unsigned __int128>(state_ ^ word) * 0xa0761d6478bd642fULL;
        state_ = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
        state_ += 0x9e3779b97f4a7c15ULL;
    }
    void add(const Address& address) noexcept {
        std::array<std::uint64_t, 2> words{};
        std::memcpy(words.data(), address.bytes.data(), sizeof words);
        add(words[0] ^ (address.is_v6 ? 1 : 0));
        add(words[1]);
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return state_ ^ state_ >> 32U; }

private:
    std::uint64_t state_;
};

/// A hash of addresses that others cannot predict.
struct AddressHash {
    std::uint64_t seed = 0;
    std::size_t operator()(const Address& address) const noexcept {
        Hasher hasher(seed);
        hasher.add(address);
        return hasher.value();
    }
};

} // namespace zsync::packet::analysis
