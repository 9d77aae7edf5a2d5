// Numbers with units behind them, as rules have them. Private to the packet subsystem.
#pragma once

#include <system_error>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <format>
#include <optional>
#include <string>
#include <string_view>

namespace zsync::packet {

struct Unit {
    std::string_view word;
    std::uint64_t value;
};
/// The largest first, so that a text has the shortest number.
inline constexpr std::array bit_units{
    Unit{.word = "gbit", .value = 1'000'000'000},
    Unit{.word = "mbit", .value = 1'000'000},
    Unit{.word = "kbit", .value = 1000},
    Unit{.word = "bit", .value = 1}
};

struct Quantity {
    std::uint64_t number = 0;
    std::string_view unit;
};

/// A number with a unit behind it; nothing where there is no number or it does not fit.
inline std::optional<Quantity> quantity_of(std::string_view text) {
    Quantity quantity;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), quantity.number);
    if (error != std::errc()) {
        return std::nullopt;
    }
    quantity.unit = text.substr(static_cast<std::size_t>(end - text.data()));
    return quantity;
}

template <std::size_t N>
const Unit* unit_of(const std::array<Unit, N>& units, std::string_view word) {
    const auto found = std::ranges::find(units, word, &Unit::word);
    return found == units.end() ? nullptr : &*found;
}

/// The number in the largest unit that it is a whole number of.
template <std::size_t N>
std::string in_units(const std::array<Unit, N>& units, std::uint64_t number) {
    const auto unit =
        std::ranges::find_if(units, [&](const Unit& one) { return number % one.value == 0; });
    return std::format("{}{}", number / unit->value, unit->word);
}

} // namespace zsync::packet
