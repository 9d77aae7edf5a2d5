// StationTable: who was heard at which port of a forwarder.
#pragma once

#include <zsync/packet/xsk/limits.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace zsync::packet::xsk {

/// An Ethernet address in the low 48 bits, the first byte the highest.
using MacAddress = std::uint64_t;

/// Learns from the source addresses of packets where stations are, `limits::stations_max` at most.
/// A place of the table is shared by few, of whom the one heard least recently makes room, so that
/// made-up addresses cost neither memory nor time.
class StationTable {
public:
    /// `seed` decides which stations share a place: one that nobody can guess.
    explicit StationTable(std::uint64_t seed) : seed_(seed), places_(places) {}

    /// Heard at a port (0 or 1).
    void learn(MacAddress station, std::uint8_t port) noexcept;
    /// The port where it was heard last.
    [[nodiscard]] std::optional<std::uint8_t> find(MacAddress station) const noexcept;
    /// How many are known.
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

private:
    static constexpr std::size_t ways = 4;
    static constexpr std::size_t places = limits::stations_max / ways;
    struct Station {
        std::uint64_t address_and_port = 0; ///< `address << 1 | port`; 0 is none
        std::uint64_t heard = 0;
    };

    [[nodiscard]] std::size_t place_of(MacAddress station) const noexcept;

    std::uint64_t seed_;
    std::uint64_t now_ = 0; ///< stations learnt so far
    std::uint32_t size_ = 0;
    std::vector<std::array<Station, ways>> places_;
};

} // namespace zsync::packet::xsk
