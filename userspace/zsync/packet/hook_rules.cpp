#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/interface_facts.hpp>

#include <bpf/libbpf.h>
#include <linux/netdev.h>

#include <algorithm>
#include <format>
#include <fstream>
#include <optional>

namespace zsync::packet {

RuleSet rules_of_hook(const RuleSet& rules, std::uint32_t hook) {
    RuleSet own;
    own.default_verdict = hook == 0 ? rules.default_verdict : rules.hooks[hook - 1].default_verdict;
    own.malformed_verdict = rules.malformed_verdict;
    if (hook != 0 &&
        rules.hooks[hook - 1] ==
            Hook{
                .cgroup = {}, .direction = Direction::out, .default_verdict = own.default_verdict
            }) {
        own.shape = rules.shape;
    }
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

namespace {

/// Whether the device sends what a driver's XDP program gives it; on a veth, whether its other end
/// takes it.
Outcome<bool> takes_frames(const std::string& name, std::uint32_t ifindex) {
    LIBBPF_OPTS(bpf_xdp_query_opts, facts);
    const int failed = bpf_xdp_query(static_cast<int>(ifindex), 0, &facts);
    if (failed != 0) {
        return fail(os_error(-failed), std::format("cannot ask {} for its abilities", name));
    }
    return (facts.feature_flags & NETDEV_XDP_ACT_NDO_XMIT) != 0;
}

} // namespace

Outcome<void> check_redirects(const RuleSet& rules, const NameIds& names) {
    for (const Rule& rule : rules.rules) {
        if (!rule.actions.redirect) {
            continue;
        }
        const std::string& name = *rule.actions.redirect;
        if (!ZTRY(takes_frames(name, names.interfaces.at(name)))) {
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

Outcome<bool> check_challenges(const RuleSet& rules, const std::string& ifname, bool driver) {
    if (std::ranges::none_of(rules.rules, [](const Rule& rule) {
            return rule.actions.challenge;
        })) {
        return false;
    }
    int mode = 0;
    if (!(std::ifstream("/proc/sys/net/ipv4/tcp_syncookies") >> mode) || mode != 2) {
        return fail(
            PacketError::challenge_unavailable,
            std::format(
                "rules challenge, but net.ipv4.tcp_syncookies is {}, with which the kernel makes "
                "no cookies on demand: set it to 2 (sysctl -w net.ipv4.tcp_syncookies=2, and in "
                "/etc/sysctl.d)",
                mode
            )
        );
    }
    const InterfaceFacts found = ZTRY(interface_facts(ifname));
    const bool by_redirection = driver && found.kind == "veth";
    if (by_redirection && !ZTRY(takes_frames(ifname, found.ifindex))) {
        return fail(
            PacketError::challenge_unavailable,
            std::format(
                "rules challenge, but {}'s answers would not reach the other end of this veth: "
                "give that end an XDP program or GRO, or attach {} in generic mode",
                ifname,
                ifname
            )
        );
    }
    return by_redirection;
}

} // namespace zsync::packet
