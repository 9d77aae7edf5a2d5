#include <array>
#include <ctime>
#include <format>
#include <string_view>
#include <zsyncctl/quantity.hpp>

namespace zsyncctl {

std::string duration_text(std::uint64_t milliseconds) {
    if (milliseconds < 1000) {
        return std::format("{} ms", milliseconds);
    }
    struct Unit {
        std::uint64_t seconds;
        std::string_view name;
    };
    constexpr std::array units{
        Unit{.seconds = 86400, .name = "d"},
        Unit{.seconds = 3600, .name = "h"},
        Unit{.seconds = 60, .name = "min"},
        Unit{.seconds = 1, .name = "s"}
    };
    std::uint64_t left = milliseconds / 1000;
    for (std::size_t i = 0; i < units.size(); ++i) {
        const std::uint64_t whole = left / units[i].seconds;
        if (whole == 0) {
            continue;
        }
        std::string text = std::format("{} {}", whole, units[i].name);
        left %= units[i].seconds;
        if (i + 1 < units.size() && left / units[i + 1].seconds != 0) {
            text += std::format(" {} {}", left / units[i + 1].seconds, units[i + 1].name);
        }
        return text;
    }
    return "0 s";
}

std::string latency_text(std::uint64_t microseconds) {
    const auto value = static_cast<double>(microseconds);
    if (microseconds < 1000) {
        return std::format("{} us", microseconds);
    }
    if (microseconds < 1'000'000) {
        return std::format("{:.1f} ms", value / 1e3);
    }
    return std::format("{:.2f} s", value / 1e6);
}

std::string size_text(std::uint64_t bytes) {
    if (bytes < 1024) {
        return std::format("{} B", bytes);
    }
    const double kib = static_cast<double>(bytes) / 1024;
    return kib < 1024 ? std::format("{:.1f} KiB", kib) : std::format("{:.1f} MiB", kib / 1024);
}

std::string rate_text(std::optional<double> per_second) {
    if (!per_second) {
        return "-";
    }
    double value = *per_second;
    if (value == 0) {
        return "0";
    }
    constexpr std::array<std::string_view, 5> prefixes{"", "k", "M", "G", "T"};
    std::size_t prefix = 0;
    // 999.5 would be shown as 1000
    while (value >= 999.5 && prefix + 1 < prefixes.size()) {
        value /= 1000;
        ++prefix;
    }
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return std::format("{:.{}f}{}", value, decimals, prefixes.at(prefix));
}

std::string time_text(std::uint64_t microseconds_since_epoch) {
    if (microseconds_since_epoch == 0) {
        return "never";
    }
    const auto seconds = static_cast<std::time_t>(microseconds_since_epoch / 1'000'000);
    std::tm fields{};
    if (localtime_r(&seconds, &fields) == nullptr) {
        return std::format("@{}", seconds);
    }
    std::array<char, 64> text{};
    const std::size_t bytes =
        std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S %Z", &fields);
    return {text.data(), bytes};
}

std::string counted(std::uint64_t count, std::string_view noun) {
    const std::string_view plural = noun.ends_with('x') ? "es" : "s";
    return std::format("{} {}{}", count, noun, count == 1 ? "" : plural);
}

} // namespace zsyncctl
