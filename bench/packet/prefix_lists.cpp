#include "bench/packet/prefix_lists.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <set>

namespace zsync::bench {
namespace {

using Address = std::array<std::uint8_t, 16>;

void append(Sources& sources, const Address& address) {
    std::array<std::uint32_t, 4> words{};
    std::memcpy(words.data(), address.data(), sizeof(words));
    sources.words.insert(sources.words.end(), words.begin(), words.begin() + sources.address_words);
}

Sources no_sources(const packet::AddressSet& set) {
    return {.words = {}, .address_words = set.front().family == packet::Family::ipv4 ? 1U : 4U};
}

} // namespace

packet::AddressSet random_prefixes(packet::Family family, std::size_t count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    packet::AddressSet set;
    set.reserve(count + count / 8);
    while (set.size() < count) {
        for (std::size_t i = set.size(); i < count + count / 64; ++i) {
            packet::Prefix& prefix = set.emplace_back();
            prefix.family = family;
            const std::array<std::uint64_t, 2> bits{random(), random()};
            if (family == packet::Family::ipv4) {
                prefix.length = i % 2 == 0 ? 32 : 24;
            } else {
                prefix.length = i % 3 == 0 ? 128 : i % 3 == 1 ? 64 : 48;
            }
            std::memcpy(prefix.address.data(), bits.data(), prefix.length / 8);
            if (family == packet::Family::ipv6) {
                prefix.address[0] = static_cast<std::uint8_t>(0x20 | (prefix.address[0] & 0x1f));
            }
        }
        std::ranges::sort(set);
        const auto [first, last] = std::ranges::unique(set);
        set.erase(first, last);
    }
    std::ranges::shuffle(set, random);
    set.resize(count);
    std::ranges::sort(set);
    return set;
}

Sources inside(const packet::AddressSet& set, std::size_t count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Sources sources = no_sources(set);
    for (std::size_t i = 0; i < count; ++i) {
        const packet::Prefix& prefix = set[random() % set.size()];
        Address address = prefix.address;
        for (std::size_t byte = prefix.length / 8; byte < 16; ++byte) {
            address[byte] = static_cast<std::uint8_t>(random());
        }
        append(sources, address);
    }
    return sources;
}

Sources outside(const packet::AddressSet& set, std::size_t count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Sources sources = no_sources(set);
    const bool is_ipv4 = set.front().family == packet::Family::ipv4;
    std::set<std::uint8_t> lengths;
    for (const packet::Prefix& prefix : set) {
        lengths.insert(prefix.length);
    }
    const auto covered = [&](const Address& address) {
        return std::ranges::any_of(lengths, [&](std::uint8_t length) {
            packet::Prefix candidate{
                .family = set.front().family, .length = length, .address = address
            };
            std::fill(candidate.address.begin() + length / 8, candidate.address.end(), 0);
            return std::ranges::binary_search(set, candidate);
        });
    };
    while (sources.words.size() < count * sources.address_words) {
        Address address{};
        const std::array<std::uint64_t, 2> bits{random(), random()};
        std::memcpy(address.data(), bits.data(), is_ipv4 ? 4 : 16);
        if (!is_ipv4) {
            std::memcpy(address.data(), set[random() % set.size()].address.data(), 5);
        }
        if (covered(address)) {
            continue;
        }
        append(sources, address);
    }
    return sources;
}

} // namespace zsync::bench
