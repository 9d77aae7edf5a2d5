// Another rate for a rule that limits, without the rule file.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <string>
#include <string_view>

namespace zsync::packet {

/// Gives the rules with the canonical text `rule` another rate, `500/s`, or rate and burst, `500/s
/// burst 50`; what they limit by, and how, stays. Returns their new text. `rules` must come from
/// `parse_rules`. `PacketError::no_such_rule` when no rule has the text or it limits nothing,
/// `PacketError::invalid_rules` for what is no rate.
[[nodiscard]] Outcome<std::string>
change_limit(RuleSet& rules, std::string_view rule, std::string_view rate);

} // namespace zsync::packet
