// The rules of one hook, and what the names in them stand for on this host.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace zsync::packet {

/// Of `rules` what is asked at a hook, as a rule set of its own with the hook's default verdict:
/// `hook` is 0 for what the interface receives, else a place in `RuleSet::hooks`, from 1.
[[nodiscard]] RuleSet rules_of_hook(const RuleSet& rules, std::uint32_t hook);

/// What the kernel calls the interfaces and cgroups that rules name.
struct NameIds {
    std::map<std::string, std::uint32_t> interfaces;
    std::map<std::string, std::uint64_t> cgroups;
};

/// Asks the kernel. `PacketError`: no_such_interface, no_such_cgroup. A name stands for what it
/// stood for then: a cgroup that is made again is another one.
[[nodiscard]] Outcome<NameIds> resolve_names(const RuleSet& rules);

/// Names in rules that stand for nothing on this host.
struct MissingNames {
    std::set<std::string> interfaces;
    std::set<std::string> cgroups;

    [[nodiscard]] bool any() const { return !interfaces.empty() || !cgroups.empty(); }
    /// Whether one of them stands for something by now.
    [[nodiscard]] bool has_come() const;
    /// `the interface eth1 and the cgroup /a`.
    [[nodiscard]] std::string words() const;
};

/// What of rules can be in force here.
struct RulesHere {
    RuleSet rules;
    MissingNames missing;
};

/// Leaves out what can match nothing: rules for packets of an interface or a cgroup that is not
/// there, and hooks of such a cgroup. A rule that redirects to an interface that is not there
/// drops, as it does when that goes away later.
[[nodiscard]] Outcome<RulesHere> rules_here(RuleSet rules);

/// Whether all that rules name is there, their hooks' cgroups too: `PacketError`:
/// no_such_interface, no_such_cgroup.
[[nodiscard]] Outcome<void> check_names(const RuleSet& rules);

/// Whether rules that need an Ethernet header have one: those that challenge answer with it, and
/// those that redirect send it on, to a device whose packets have one too. `starts_at_network`:
/// packets of this interface have none. `PacketError::challenge_unavailable`, `mode_unavailable`.
[[nodiscard]] Outcome<void> check_link_headers(
    const RuleSet& rules, const NameIds& names, const std::string& ifname, bool starts_at_network
);

/// Whether the devices that rules redirect to take the frames of a driver's XDP program: otherwise
/// they would be lost without a word. `PacketError::mode_unavailable`.
[[nodiscard]] Outcome<void> check_redirects(const RuleSet& rules, const NameIds& names);

/// What the answers to challenges say and how they leave: all 0 where no rule challenges.
struct Challenges {
    bool answers_redirected = false; ///< to the interface itself
    std::uint32_t takes = 0;         ///< `zsync_config::challenge_takes`
    std::uint32_t mss = 0;           ///< `zsync_config::challenge_mss`
};

/// Whether rules that challenge can: the host must take SYN cookies back, and with `driver`, when
/// the program runs in the driver, the answers must reach the other end of a veth.
/// `PacketError::challenge_unavailable`.
[[nodiscard]] Outcome<Challenges>
check_challenges(const RuleSet& rules, const std::string& ifname, bool driver);

} // namespace zsync::packet
