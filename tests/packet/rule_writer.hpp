// Rule files of drawn rule sets, as somebody might write them.
#pragma once

#include "tests/packet/random_traffic.hpp"

#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/rule_set.hpp>

#include <string>
#include <string_view>

namespace zsync::packet::test {

/// Changes what the language has no words for at the hook: ports without a protocol that has some,
/// flags without TCP, addresses that cannot meet, and the like.
void make_writable(RuleSet& rules, HookKind hook, RandomTraffic& traffic);

/// The file for one hook; `cgroup` of those of sockets. Words come in any order and case, numbers
/// and lists in one of the ways that mean the same.
std::string
write_rules(const RuleSet& rules, HookKind hook, std::string_view cgroup, RandomTraffic& traffic);

/// The rules of the hook that the parser reads from such a file. Throws where it refuses.
RuleSet
read_back(const RuleSet& rules, HookKind hook, std::string_view cgroup, RandomTraffic& traffic);

} // namespace zsync::packet::test
