#include <zsync/core/text.hpp>
#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/interface_facts.hpp>

#include <bpf/libbpf.h>
#include <linux/netdev.h>

#include <algorithm>
#include <cstdint>
#include <format>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>
extern "C" {
#include <bpf/cookie.h>
}

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

bool challenges(const RuleSet& rules) {
    return std::ranges::any_of(rules.rules, [](const Rule& rule) {
        return rule.actions.challenge;
    });
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

Outcome<bool> interface_is_there(const std::string& name) {
    const auto found = interface_facts(name);
    if (!found && found.error().error != Error(PacketError::no_such_interface)) {
        return std::unexpected(found.error());
    }
    return found.has_value();
}

Outcome<bool> cgroup_is_there(const std::string& path) {
    const auto found = find_cgroup(path);
    if (!found && found.error().error != Error(PacketError::no_such_cgroup)) {
        return std::unexpected(found.error());
    }
    return found.has_value();
}

/// Names of one kind; each is looked up once.
template <class IsThere> class Lookup {
public:
    Lookup(std::set<std::string>& missing, IsThere is_there)
        : missing_(missing), is_there_(is_there) {}

    Outcome<bool> is_missing(const std::string& name) {
        if (!name.empty() && seen_.insert(name).second && !ZTRY(is_there_(name))) {
            missing_.insert(name);
        }
        return missing_.contains(name);
    }

private:
    std::set<std::string>& missing_;
    std::set<std::string> seen_;
    IsThere is_there_;
};

/// Takes hooks of cgroups that are not there out, and their rules.
void leave_out_hooks(RuleSet& rules, const std::set<std::string>& missing) {
    std::vector<Hook> hooks;
    std::vector<std::uint32_t> numbers{0};
    constexpr std::uint32_t none = UINT32_MAX;
    for (Hook& hook : rules.hooks) {
        const bool is_there = !missing.contains(hook.cgroup);
        if (is_there) {
            hooks.push_back(std::move(hook));
        }
        numbers.push_back(is_there ? static_cast<std::uint32_t>(hooks.size()) : none);
    }
    rules.hooks = std::move(hooks);
    for (Rule& rule : rules.rules) {
        rule.hook = numbers[rule.hook];
    }
    std::erase_if(rules.rules, [](const Rule& rule) { return rule.hook == none; });
}

} // namespace

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

/// A number of net.ipv4; 0 where the kernel has none.
int tcp_setting(const std::string& name) {
    int value = 0;
    return std::ifstream("/proc/sys/net/ipv4/" + name) >> value ? value : 0;
}

Outcome<void>
check_link_headers(const RuleSet& rules, const NameIds& names, const Receiver& receiver) {
    const auto& [ifname, driver, starts_at_network] = receiver;
    for (const Rule& rule : rules.rules) {
        if (rule.actions.challenge && starts_at_network) {
            return fail(
                PacketError::challenge_unavailable,
                std::format(
                    "rules challenge, but packets of {} have no Ethernet header to answer with: "
                    "challenge where they come into this host",
                    ifname
                )
            );
        }
        if (!rule.actions.redirect) {
            continue;
        }
        const std::string& target = *rule.actions.redirect;
        FoundPoint to;
        to.point.kind = HookKind::tcx_out;
        to.facts = ZTRY(interface_facts(names.interfaces.at(target)));
        if (starts_at_network || to.starts_at_network()) {
            return fail(
                PacketError::mode_unavailable,
                std::format(
                    "packets of {} have no Ethernet header, so none can be redirected between it "
                    "and another interface: route them",
                    starts_at_network ? ifname : target
                )
            );
        }
    }
    return {};
}

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

ChallengeTerms terms_of(std::uint32_t mtu) {
    ChallengeTerms terms{.cookies = tcp_setting("tcp_syncookies") != 0};
    terms.takes |= tcp_setting("tcp_window_scaling") != 0 ? ZSYNC_AGREED_SCALE_MASK : 0;
    terms.takes |= tcp_setting("tcp_sack") != 0 ? ZSYNC_AGREED_SACK : 0;
    terms.takes |= tcp_setting("tcp_timestamps") != 0 ? ZSYNC_AGREED_TIMESTAMPS : 0;
    constexpr std::uint32_t headers_ipv4 = 40;
    constexpr std::uint32_t mtu_min = 576;
    constexpr std::uint32_t mtu_max = 65'535;
    terms.mss = std::clamp(mtu, mtu_min, mtu_max) - headers_ipv4;
    return terms;
}

Outcome<Challenges> check_challenges(const RuleSet& rules, const std::string& ifname, bool driver) {
    if (!challenges(rules)) {
        return Challenges{};
    }
    const InterfaceFacts found = ZTRY(interface_facts(ifname));
    const ChallengeTerms terms = terms_of(found.mtu);
    if (!terms.cookies) {
        return fail(
            PacketError::challenge_unavailable,
            "rules challenge, but net.ipv4.tcp_syncookies is 0, with which the kernel takes no "
            "connection that a cookie proves: set it to 1 (sysctl -w net.ipv4.tcp_syncookies=1, "
            "and in /etc/sysctl.d)"
        );
    }
    Challenges challenges{.answers_redirected = driver && found.kind == "veth"};
    if (challenges.answers_redirected && !ZTRY(takes_frames(ifname, found.ifindex))) {
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
    challenges.takes = terms.takes;
    challenges.mss = terms.mss;
    return challenges;
}

/// Why a rule alone cannot do what it says; nothing when it can, or its interface is not there.
Outcome<std::optional<std::string>> why_not(Rule rule, const Receiver& receiver) {
    RuleSet alone;
    alone.rules.push_back(std::move(rule));
    const auto checked = resolve_names(alone).and_then([&](const NameIds& names) {
        return check_actions(alone, names, receiver);
    });
    if (checked || checked.error().error == Error(PacketError::no_such_interface)) {
        return std::nullopt;
    }
    const Error& error = checked.error().error;
    if (error == Error(PacketError::mode_unavailable) ||
        error == Error(PacketError::challenge_unavailable)) {
        return checked.error().message();
    }
    return std::unexpected(checked.error());
}

Outcome<std::optional<std::string>>
why_not_redirected(const std::string& target, const Receiver& receiver) {
    Rule rule;
    rule.actions.redirect = target;
    return why_not(std::move(rule), receiver);
}

Outcome<std::optional<std::string>> why_not_challenged(const Receiver& receiver) {
    Rule rule;
    rule.actions.challenge = true;
    return why_not(std::move(rule), receiver);
}

Outcome<void> find_unfit_targets(
    const RuleSet& rules, const Receiver& receiver, std::map<std::string, std::string>& unfit
) {
    std::set<std::string> seen;
    for (const Rule& rule : rules.rules) {
        if (!rule.actions.redirect || !seen.insert(*rule.actions.redirect).second) {
            continue;
        }
        if (auto why = ZTRY(why_not_redirected(*rule.actions.redirect, receiver))) {
            unfit.emplace(*rule.actions.redirect, *std::move(why));
        }
    }
    return {};
}

std::string missing_words(const Hindrances& hindrances) {
    std::string words;
    const auto add = [&](std::string_view kind, const std::set<std::string>& names) {
        for (const std::string& name : names) {
            words +=
                std::format("{}the {} {}", words.empty() ? "" : " and ", kind, in_quotes(name));
        }
    };
    add("interface", hindrances.interfaces);
    add("cgroup", hindrances.cgroups);
    return words;
}

} // namespace

ChallengeTerms challenge_terms(const std::string& ifname) {
    return terms_of(interface_facts(ifname).value_or(InterfaceFacts{}).mtu);
}

bool Hindrances::any() const {
    return !interfaces.empty() || !cgroups.empty() || !targets.empty() || !challenge.empty();
}

bool Hindrances::is_one_over(const Receiver& receiver) const {
    const auto can = [](const Outcome<std::optional<std::string>>& why) { return why && !*why; };
    return std::ranges::any_of(
               interfaces,
               [](const std::string& name) { return interface_is_there(name).value_or(false); }
           ) ||
           std::ranges::any_of(
               cgroups,
               [](const std::string& path) { return cgroup_is_there(path).value_or(false); }
           ) ||
           std::ranges::any_of(
               targets,
               [&](const auto& target) { return can(why_not_redirected(target.first, receiver)); }
           ) ||
           (!challenge.empty() && can(why_not_challenged(receiver)));
}

std::string Hindrances::words() const {
    std::string words;
    const auto add = [&words](const std::string& more) {
        words += (words.empty() ? "" : "; ") + more;
    };
    if (const std::string missing = missing_words(*this); !missing.empty()) {
        add(std::format("rules that name {} are not in force until that is there", missing));
    }
    for (const auto& [target, why] : targets) {
        add(std::format("rules that redirect to {} drop instead: {}", in_quotes(target), why));
    }
    if (!challenge.empty()) {
        add("what rules challenge passes without: " + challenge);
    }
    return words;
}

Outcome<RulesHere> rules_here(RuleSet rules, const Receiver& receiver) {
    RulesHere here{.rules = std::move(rules), .hindrances = {}};
    Hindrances& found = here.hindrances;
    Lookup interfaces(found.interfaces, interface_is_there);
    Lookup cgroups(found.cgroups, cgroup_is_there);
    for (const Hook& hook : here.rules.hooks) {
        ZTRY(cgroups.is_missing(hook.cgroup));
    }
    ZTRY(find_unfit_targets(here.rules, receiver, found.targets));
    const auto challenges = [](const Rule& rule) { return rule.actions.challenge; };
    if (std::ranges::any_of(here.rules.rules, challenges)) {
        found.challenge = ZTRY(why_not_challenged(receiver)).value_or("");
    }
    std::vector<Rule> kept;
    for (Rule& rule : here.rules.rules) {
        if (ZTRY(interfaces.is_missing(rule.interface)) || ZTRY(cgroups.is_missing(rule.cgroup))) {
            continue;
        }
        if (rule.actions.redirect && (ZTRY(interfaces.is_missing(*rule.actions.redirect)) ||
                                      found.targets.contains(*rule.actions.redirect))) {
            rule.actions.redirect.reset();
            rule.verdict = Verdict::drop;
        }
        rule.actions.challenge = rule.actions.challenge && found.challenge.empty();
        kept.push_back(std::move(rule));
    }
    here.rules.rules = std::move(kept);
    leave_out_hooks(here.rules, found.cgroups);
    return here;
}

Outcome<void> check_rules_here(const RuleSet& rules, const Receiver& receiver) {
    const NameIds names = ZTRY(resolve_names(rules));
    for (const Hook& hook : rules.hooks) {
        if (!hook.cgroup.empty()) {
            ZTRY(find_cgroup(hook.cgroup));
        }
    }
    ZTRY(check_actions(rules, names, receiver));
    return {};
}

Outcome<Challenges>
check_actions(const RuleSet& rules, const NameIds& names, const Receiver& receiver) {
    ZTRY(check_link_headers(rules, names, receiver));
    if (receiver.driver) {
        ZTRY(check_redirects(rules, names));
    }
    return check_challenges(rules, receiver.ifname, receiver.driver);
}

} // namespace zsync::packet
