// Changes to one named set of the rules in force, without the rule file.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

struct SetChange {
    std::string set;      ///< as rules call it, without the `@`
    AddressSet add;       ///< in any order; what is there already stays
    AddressSet remove;    ///< what is not there is no error
    bool replace = false; ///< the set becomes `add`
};

struct SetCounts {
    std::uint64_t added = 0;   ///< that were not there before
    std::uint64_t removed = 0; ///< that were
    std::uint64_t size = 0;    ///< prefixes in the set after the change
};

/// Each text as a prefix; `PacketError::invalid_prefix` names the first that is none.
[[nodiscard]] Outcome<AddressSet> parse_prefixes(const std::vector<std::string>& texts);

/// A set file's text; `PacketError::invalid_rules` with a line for each mistake.
[[nodiscard]] Outcome<AddressSet> parse_prefix_list(std::string_view text, std::string_view source);

/// Applies `change` to the set of its name, and to no other set that had the same prefixes.
/// `rules` must come from `parse_rules`. `PacketError::no_such_set` when no rule uses such a set of
/// addresses, `PacketError::invalid_prefix` for a prefix that is both added and removed.
[[nodiscard]] Outcome<SetCounts> change_set(RuleSet& rules, SetChange change);

} // namespace zsync::packet
