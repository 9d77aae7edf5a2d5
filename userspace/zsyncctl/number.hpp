// Numbers as people type them.
#pragma once

#include <system_error>

#include <charconv>
#include <optional>
#include <string_view>

namespace zsyncctl {

/// The number that all of `text` is; nothing if it is none, or does not fit.
template <class Number> std::optional<Number> number_of(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                    : std::nullopt;
}

} // namespace zsyncctl
