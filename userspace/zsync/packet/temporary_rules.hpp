// Rules that end by themselves.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace zsync::packet {

struct TemporaryRule {
    std::string text;                      ///< canonical, with its name
    std::uint64_t expires_realtime_us = 0; ///< in microseconds since 1970

    friend bool operator==(const TemporaryRule&, const TemporaryRule&) = default;
};

/// The canonical form of a text that is one rule and nothing else. `PacketError::invalid_rules`
/// says what is wrong with it. It cannot name sets, which are a file's.
[[nodiscard]] Outcome<std::string> canonical_rule(std::string_view text);

/// `rules` behind the temporary ones, the last of which comes first: what was added last decides.
/// Each text must come from `canonical_rule`.
[[nodiscard]] RuleSet
with_temporary(const RuleSet& rules, std::span<const TemporaryRule> temporary);

} // namespace zsync::packet
