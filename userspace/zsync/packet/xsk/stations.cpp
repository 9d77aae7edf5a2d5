#include <zsync/packet/xsk/stations.hpp>

#include <algorithm>

namespace zsync::packet::xsk {

std::size_t StationTable::place_of(MacAddress station) const noexcept {
    // The finalizer of MurmurHash3 of what nobody else knows: every bit of it depends on all of the
    // station's, whatever the seed.
    std::uint64_t mixed = station ^ seed_;
    mixed = (mixed ^ mixed >> 33) * 0xff51afd7ed558ccdULL;
    mixed = (mixed ^ mixed >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return (mixed ^ mixed >> 33) % places;
}

void StationTable::learn(MacAddress station, std::uint8_t port) noexcept {
    auto& place = places_[place_of(station)];
    Station* oldest = place.data();
    for (Station& known : place) {
        if (known.address_and_port >> 1 == station) {
            known = {.address_and_port = station << 1 | port, .heard = ++now_};
            return;
        }
        if (known.heard < oldest->heard) {
            oldest = &known;
        }
    }
    if (oldest->address_and_port == 0) {
        ++size_;
    }
    *oldest = {.address_and_port = station << 1 | port, .heard = ++now_};
}

std::optional<std::uint8_t> StationTable::find(MacAddress station) const noexcept {
    for (const Station& known : places_[place_of(station)]) {
        if (known.address_and_port != 0 && known.address_and_port >> 1 == station) {
            return static_cast<std::uint8_t>(known.address_and_port & 1);
        }
    }
    return std::nullopt;
}

} // namespace zsync::packet::xsk
