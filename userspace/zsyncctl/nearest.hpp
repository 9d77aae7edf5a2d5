// The word that was probably meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace zsyncctl {

/// Typing errors between two words: letters missing, too many, wrong, or two exchanged.
std::size_t typing_distance(std::string_view a, std::string_view b);

/// The candidate that `word` is likely a mistyped form of, or empty where none is near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

} // namespace zsyncctl
