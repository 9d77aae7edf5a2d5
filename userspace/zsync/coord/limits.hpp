// Named limits of the limiters.
#pragma once

#include <zsync/core/timer_wheel.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace zsync::coord::limits {

/// Permits of a rate and of a burst: bytes a second of the fastest links, and room above.
constexpr std::uint64_t permits_max = 1'000'000'000'000;
/// The time that a rate's permits are for, and a sliding window's length.
constexpr Duration period_max = std::chrono::days(31);
/// How long an empty bucket may take to fill: what is longer is a mistake, and times stay far from
/// the clock's end.
constexpr Duration refill_max = std::chrono::days(366);
/// Permits of a sliding log, which remembers 8 bytes of each.
constexpr std::uint64_t sliding_log_permits_max = 65'536;
/// Tasks that wait at one limiter; one more is refused with `limit_reached`.
constexpr std::uint32_t limiter_waiters_max = 65'536;
/// What a late timer or a busy worker may take from a waiting task's schedule is given back, up to
/// this.
constexpr Duration limiter_lateness_max = std::chrono::milliseconds(4);
/// Keys of one table.
constexpr std::size_t limiter_keys_max = 16'777'216;
/// Buckets that keys without one of their own share.
constexpr std::size_t limiter_shared_max = 65'536;
/// Keys that are looked at, whether one can be forgotten, when a full table meets a new key.
constexpr std::size_t limiter_reclaim_tries = 8;

} // namespace zsync::coord::limits
