// Durations, rates and points in time as people read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace zsyncctl {

/// The two largest units: `350 ms`, `12 s`, `2 min 5 s`, `3 h 4 min`, `8 d 1 h`.
std::string duration_text(std::uint64_t milliseconds);

/// A duration of one operation: `870 us`, `12.3 ms`, `1.25 s`.
std::string latency_text(std::uint64_t microseconds);

/// A rate with three significant digits and a decimal prefix: `0`, `4.20`, `98.1`, `12.3k`,
/// `1.25M`;
/// `-` where it is not known.
std::string rate_text(std::optional<double> per_second);

/// `812 B`, `3.4 KiB`, `1.2 MiB`.
std::string size_text(std::uint64_t bytes);

/// Local date and time of a point in microseconds since 1970, or `never` for 0.
std::string time_text(std::uint64_t microseconds_since_epoch);

/// `1 rule`, `2 rules`, `1 prefix`, `2 prefixes`.
std::string counted(std::uint64_t count, std::string_view noun);

} // namespace zsyncctl
