// Named limits of the daemon.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace zsync::zsyncd::limits {

/// Jobs running at the same time.
constexpr std::size_t jobs_max = 128;
/// Captures replayed at the same time: each may hold its flow table and 64 MiB of report.
constexpr std::uint32_t replays_max = 2;
/// Captures at the same time: each has a ring of 4 MiB.
constexpr std::uint32_t captures_max = 16;
/// Interfaces that packets are taken from at the same time, queues of one, frames to receive into
/// for all of them (64 MiB), and entries of the rings that nothing is sent by.
constexpr std::uint32_t takes_max = 4;
constexpr std::uint32_t take_queues_max = 64;
constexpr std::uint32_t take_frames = 1U << 15;
constexpr std::uint32_t take_send_entries = 64;
/// How often a capture of samples looks whether the rules sample still.
constexpr std::uint64_t sampled_rules_check_ms = 500;
/// The longest that a capture may be asked to take; one without an end may take longer.
constexpr std::uint64_t capture_duration_us_max = std::uint64_t{366} * 24 * 3600 * 1'000'000;
/// How long the rest of a capture that is ended may take to be written, where it goes to a pipe: a
/// reader who has stopped reading keeps nobody.
constexpr std::chrono::milliseconds capture_end_patience{500};
/// When a pair is tried again that could not go on forwarding: an interface that was deleted may be
/// there again before its end is known.
constexpr std::chrono::seconds forward_retry_delay{1};
/// First and longest wait between attempts to reach a lost bus again.
constexpr std::chrono::milliseconds reconnect_delay_first{50};
constexpr std::chrono::milliseconds reconnect_delay_max{1000};
/// How long a message to the service manager may wait for it to listen, and how long the last one.
constexpr std::chrono::seconds notify_patience{5};
constexpr std::chrono::milliseconds notify_stopping_patience{200};

/// How often it is said, of each interface, that there is no room for sources of alerts.
constexpr std::chrono::seconds left_out_said_interval{60};

/// A task that holds the worker for longer is named in the log.
constexpr std::chrono::milliseconds stall_limit{100};

/// How long a predecessor may take to leave the bus, and between two looks.
constexpr std::chrono::milliseconds name_wait{2000};
constexpr std::chrono::milliseconds name_retry_delay{20};

} // namespace zsync::zsyncd::limits
