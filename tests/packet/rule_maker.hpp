// Rule sets for tests, without the rule language.
#pragma once

#include <zsync/packet/rule_set.hpp>

#include <string_view>

namespace zsync::packet::test {

/// "10.0.0.0/8", "2001:db8::/32", "192.0.2.1".
Prefix prefix(std::string_view text);
AddressSet addresses(std::initializer_list<std::string_view> texts);

/// Adds a set, and gives its index.
std::uint32_t add_set(RuleSet& rules, AddressSet set);
/// Adds a rule with `text` as its canonical text, and gives it to be filled in.
Rule& add_rule(RuleSet& rules, Verdict verdict, std::string_view text);

} // namespace zsync::packet::test
