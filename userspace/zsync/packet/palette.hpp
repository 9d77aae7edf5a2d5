// Short names for the classes of one table of addresses.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace zsync::packet {

/// Gives each class a color, from 0 on in the order in which they are first asked for: tables store
/// colors, which take fewer bits, and keep the classes once.
class Palette {
public:
    std::uint32_t color_of(std::uint32_t class_id) {
        const auto [place, fresh] =
            colors_.try_emplace(class_id, static_cast<std::uint32_t>(classes_.size()));
        if (fresh) {
            classes_.push_back(class_id);
        }
        return place->second;
    }

    /// In the order of their colors.
    [[nodiscard]] const std::vector<std::uint32_t>& classes() const { return classes_; }

private:
    std::vector<std::uint32_t> classes_;
    std::unordered_map<std::uint32_t, std::uint32_t> colors_;
};

} // namespace zsync::packet
