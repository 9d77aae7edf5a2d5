// What rules with `limit` keep in the kernel: each key's state, and who is over.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct zsync_limit;

namespace zsync::packet {

/// The maps of limits, which go on over loads and restarts. A key's state is found by the text of
/// its rule without rate and burst, so a rule that stays, or only gets another rate, keeps it.
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

/// The rate that an adaptive limit has by now, as `Limit::rate`; its own until one is written.
Result<void>
write_rate(const LimitMaps& maps, std::uint32_t slot, const Limit& limit, std::uint64_t rate);
Result<std::uint64_t> read_rate(const LimitMaps& maps, std::uint32_t slot, const Limit& limit);

/// Limits that have got another rate: nobody waits longer for them than their burst takes to fill,
/// whatever was owed under a slower one. Milliseconds.
Result<void> forgive(const LimitMaps& maps, std::span<const zsync_limit> changed);

/// What a rule's states are kept by: its text without rate and burst, so that they go on over loads
/// and over a change of the rate.
std::uint64_t limit_name(std::string_view rule_text);
/// The same in 32 bits, by which keys are shown: two rules in 4 billion have the same.
std::uint32_t limit_id(std::string_view rule_text);
/// How the packet program sees the limit of a rule with that text, but for the table's seed.
zsync_limit compile_limit(std::string_view rule_text, const Limit& limit);

/// A key that has a state of its own, and how many of its packets were dropped.
struct LimitedKey {
    std::string text; ///< `10.0.0.0/24`, `port 53`, `tcp 10.0.0.1:5 > 10.0.0.2:80`, `all`
    std::uint64_t limited = 0;
};

/// The keys of one rule.
struct LimitedKeys {
    std::uint32_t keys = 0;       ///< that have or had a state of their own
    std::vector<LimitedKey> most; ///< those with most packets dropped, the first with most
};

struct LimitTable {
    std::uint32_t keys = 0; ///< of all rules, those included that are gone
    std::unordered_map<std::uint32_t, LimitedKeys> rules; ///< by `limit_id`
};

/// Reads the whole table: milliseconds. At most `keys_max` keys of each rule.
Outcome<LimitTable> read_limits(const LimitMaps& maps, std::size_t keys_max);

} // namespace zsync::packet
