// Named limits of the command line.
#pragma once

#include <chrono>
#include <cstddef>

namespace zsyncctl::limits {

/// Bytes of rules taken from standard input or a pipe. More than the daemon takes, so that it is
/// the daemon that says what its limit is.
constexpr std::size_t spooled_bytes_max = std::size_t{64} << 20;

/// Bytes of a capture taken from standard input or a pipe; a file may have any size.
constexpr std::size_t spooled_capture_bytes_max = std::size_t{1} << 30;

/// How long a reply may take: a person may have to type a password for polkit first.
constexpr std::chrono::seconds reply_timeout{60};

/// The same for what a live view reads, so that Ctrl-C is never far away.
constexpr std::chrono::seconds watch_reply_timeout{2};

/// How long a capture may take; Ctrl-C ends it in the daemon as well.
constexpr std::chrono::hours replay_timeout{24};

/// How long a capture may be asked to take, and how long a reply to it may take.
constexpr double capture_seconds_max = 86'400;
constexpr std::chrono::hours capture_timeout{24 * 365};

/// Seconds between two tables of a live view.
constexpr double watch_interval_seconds_min = 0.1;
constexpr double watch_interval_seconds_max = 3600;

} // namespace zsyncctl::limits
