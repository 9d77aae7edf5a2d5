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

/// Where rules for received packets are asked.
struct Receiver {
    std::string ifname;
    bool driver = true;             ///< the program runs in the driver
    bool starts_at_network = false; ///< packets have no Ethernet header
};

/// What keeps rules from being in force as they are written, for the time being.
struct Hindrances {
    std::set<std::string> interfaces;           ///< that rules name and that are not there
    std::set<std::string> cgroups;              ///< likewise
    std::map<std::string, std::string> targets; ///< that nothing can be redirected to, and why
    std::string challenge;                      ///< why nothing can be challenged; empty: it can

    [[nodiscard]] bool any() const;
    /// Whether one of them is there no more.
    [[nodiscard]] bool is_one_over(const Receiver& receiver) const;
    /// `rules that name the interface eth1 are not in force until that is there`.
    [[nodiscard]] std::string words() const;
};

/// What of rules can be in force here.
struct RulesHere {
    RuleSet rules;
    Hindrances hindrances;
};

/// Leaves out what can match nothing: rules for packets of an interface or a cgroup that is not
/// there, and hooks of such a cgroup. A rule that redirects to an interface that is not there, or
/// takes nothing, drops, as it does when that goes away later. What cannot be challenged passes:
/// the rule allows it, and a host that takes no connection is not better off for it.
[[nodiscard]] Outcome<RulesHere> rules_here(RuleSet rules, const Receiver& receiver);

/// Whether nothing keeps rules from being in force as they are. `PacketError`: no_such_interface,
/// no_such_cgroup, mode_unavailable, challenge_unavailable.
[[nodiscard]] Outcome<void> check_rules_here(const RuleSet& rules, const Receiver& receiver);

/// What of the host and of a device answers to challenges are made for. Anybody may change it at
/// any time, and after that answers would promise clients what the kernel takes no connection with.
struct ChallengeTerms {
    bool cookies = false;    ///< the kernel takes connections that a cookie proves
    std::uint32_t takes = 0; ///< `zsync_config::challenge_takes`
    std::uint32_t mss = 0;   ///< `zsync_config::challenge_mss`

    friend bool operator==(const ChallengeTerms&, const ChallengeTerms&) = default;
};

/// Those of a device by now.
[[nodiscard]] ChallengeTerms challenge_terms(const std::string& ifname);
[[nodiscard]] bool challenges(const RuleSet& rules);

/// What the answers to challenges say and how they leave: all 0 where no rule challenges.
struct Challenges {
    bool answers_redirected = false; ///< to the interface itself
    std::uint32_t takes = 0;         ///< `zsync_config::challenge_takes`
    std::uint32_t mss = 0;           ///< `zsync_config::challenge_mss`
};

/// Whether rules can do what they say. Those that challenge and those that redirect need an
/// Ethernet header, the latter in the other interface's packets too, and that must take the frames
/// of a driver's XDP program: otherwise they would be lost without a word. For challenges the host
/// must take SYN cookies back, and where the program runs in the driver, the answers must reach the
/// other end of a veth. `PacketError::challenge_unavailable`, `mode_unavailable`.
[[nodiscard]] Outcome<Challenges>
check_actions(const RuleSet& rules, const NameIds& names, const Receiver& receiver);

} // namespace zsync::packet
