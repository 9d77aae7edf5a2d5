// Other rates for a shape or a class of it, without the rest of the rules.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <string>
#include <string_view>

namespace zsync::packet {

/// Gives the class `name` of the shape other rates: `guarantee 30mbit`, `max 50mbit`, or both; what
/// is not said stays. Returns the class as rules have it, `class NAME guarantee RATE max RATE`.
/// Whether the classes still fit the shape shows when the rules are parsed again. `PacketError`:
/// no_such_class, invalid_rules.
Outcome<std::string> change_class(RuleSet& rules, std::string_view name, std::string_view rates);

/// Gives the shape another rate, another horizon, or both: `80mbit`, `80mbit horizon 50ms`,
/// `horizon 50ms`; what is not said stays. A class that has no maximum of its own has the new rate
/// as its maximum. Returns the shape's line as rules have it, `shape RATE horizon TIME`. Whether
/// the classes still fit shows when the rules are parsed again. `PacketError`: no_such_class,
/// invalid_rules.
Outcome<std::string> change_shape(RuleSet& rules, std::string_view rates);

} // namespace zsync::packet
