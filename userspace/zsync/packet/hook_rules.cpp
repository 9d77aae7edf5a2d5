#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/interface_facts.hpp>

#include <bpf/libbpf.h>
#include <linux/netdev.h>

#include <format>
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
        for (const std::string& name : {rule.interface, rule.actions.redirect.value_or("")}) {
            if (!name.empty() && !ids.interfaces.contains(name)) {
                ids.interfaces.emplace(name, ZTRY(interface_facts(name)).ifindex);
            }
        }
        if (!rule.cgroup.empty() && !ids.cgroups.contains(rule.cgroup)) {
            ids.cgroups.emplace(rule.cgroup, ZTRY(find_cgroup(rule.cgroup)).id);
        }
    }
    return ids;
}

Outcome<void> check_redirects(const RuleSet& rules, const NameIds& names) {
    for (const Rule& rule : rules.rules) {
        if (!rule.actions.redirect) {
            continue;
        }
        const std::string& name = *rule.actions.redirect;
        LIBBPF_OPTS(bpf_xdp_query_opts, facts);
        const int failed = bpf_xdp_query(static_cast<int>(names.interfaces.at(name)), 0, &facts);
        if (failed != 0) {
            return fail(os_error(-failed), std::format("cannot ask {} for its abilities", name));
        }
        if ((facts.feature_flags & NETDEV_XDP_ACT_NDO_XMIT) == 0) {
            return fail(
                PacketError::mode_unavailable,
                std::format(
                    "{} takes no frames from a driver's XDP program, so none can be redirected to "
                    "it: {}attach this interface in generic mode",
                    name,
                    interface_facts(name).value_or(InterfaceFacts{}).kind == "veth"
                        ? "give the other end of this veth an XDP program or GRO, or "
                        : ""
                )
            );
        }
    }
    return {};
}

} // namespace zsync::packet
