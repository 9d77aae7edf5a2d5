// What rules with `limit` keep in the kernel: each key's state, and who is over.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct zsync_limit;

namespace zsync::packet {

/// The maps of limits, which go on over loads and restarts. A key's state is found by the text of
/// its rule, so a rule that stays keeps it.
struct LimitMaps {
    Fd lines; ///< states
    Fd keys;  ///< who they are of

    explicit operator bool() const { return static_cast<bool>(lines); }
};

Outcome<LimitMaps> create_limit_maps();
/// The seed that states are found by.
Result<std::uint64_t> limit_seed(const LimitMaps& maps);
/// A rule gets a slot that another one had.
Result<void> forget_slot(const LimitMaps& maps, std::uint32_t slot);

/// How the packet program sees the limit of a rule that has one.
zsync_limit compile_limit(const Rule& rule);
std::uint32_t limit_id(std::string_view rule_text);

/// A key that has a state of its own, and how many of its packets were dropped.
struct LimitedKey {
    std::uint32_t id = 0; ///< `limit_id` of its rule
    std::string text;     ///< `10.0.0.0/24`, `port 53`, `tcp 10.0.0.1:5 > 10.0.0.2:80`, `all`
    std::uint64_t limited = 0;
};

struct LimitReading {
    std::uint32_t keys = 0;       ///< that have or had a state of their own
    std::vector<LimitedKey> most; ///< those with most packets dropped, at most so many in all
};

/// Reads the whole table: milliseconds.
Outcome<LimitReading> read_limits(const LimitMaps& maps, std::size_t keys_max);

} // namespace zsync::packet
