#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/interface_facts.hpp>

#include <optional>

namespace zsync::packet {

RuleSet rules_of_hook(const RuleSet& rules, std::uint32_t hook) {
    RuleSet own;
    own.default_verdict = hook == 0 ? rules.default_verdict : rules.hooks[hook - 1].default_verdict;
    own.malformed_verdict = rules.malformed_verdict;
    std::vector<std::optional<std::uint32_t>> numbers(rules.address_sets.size());
    for (const Rule& rule : rules.rules) {
        if (rule.hook != hook) {
            continue;
        }
        Rule& copy = own.rules.emplace_back(rule);
        copy.hook = 0;
        for (std::optional<std::uint32_t>* set : {&copy.from, &copy.to}) {
            if (!*set) {
                continue;
            }
            std::optional<std::uint32_t>& number = numbers[**set];
            if (!number) {
                number = static_cast<std::uint32_t>(own.address_sets.size());
                own.address_sets.push_back(rules.address_sets[**set]);
            }
            *set = number;
        }
    }
    return own;
}

Outcome<NameIds> resolve_names(const RuleSet& rules) {
    NameIds ids;
    for (const Rule& rule : rules.rules) {
        if (!rule.interface.empty() && !ids.interfaces.contains(rule.interface)) {
            ids.interfaces.emplace(rule.interface, ZTRY(interface_facts(rule.interface)).ifindex);
        }
        if (!rule.cgroup.empty() && !ids.cgroups.contains(rule.cgroup)) {
            ids.cgroups.emplace(rule.cgroup, ZTRY(find_cgroup(rule.cgroup)).id);
        }
    }
    return ids;
}

} // namespace zsync::packet
