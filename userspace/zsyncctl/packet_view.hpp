// What zsyncd says of filtered interfaces, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <zsyncctl/daemon.hpp>
#include <zsyncctl/wire.hpp>

namespace zsyncctl {

/// The properties of org.zsync1.PacketInterface.
struct InterfaceView {
    std::string name{};
    std::uint64_t ifindex = 0;
    std::string state{};
    std::string state_reason{};
    std::string mode{};
    std::string requested_mode{};
    bool adopted = false;
    std::uint64_t program_id = 0;
    std::uint64_t layout_version = 0;
    std::uint64_t rules = 0;
    std::uint64_t prefixes = 0;
    std::string default_verdict{};
    std::string malformed_verdict{};
    std::string rules_source{};
    std::uint64_t loaded_at_us = 0;
    /// Temporary rules, and when each expires.
    std::vector<std::pair<std::string, std::uint64_t>> temporary{};
    /// Sources of alerts that there was no room for among them.
    std::uint64_t sources_left_out = 0;
    /// Alerts of which too many came at once.
    std::uint64_t alerts_left_out = 0;

    /// False while there is nothing to filter: no counters, no rules in force.
    [[nodiscard]] bool has_filter() const { return !mode.empty(); }
};

/// The counters of an interface.
struct CounterView {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t passed = 0;
    std::uint64_t passed_bytes = 0;
    std::uint64_t dropped = 0;
    std::uint64_t dropped_bytes = 0;
    /// By reason, zeros included.
    std::vector<std::pair<std::string, std::uint64_t>> malformed{};

    [[nodiscard]] std::uint64_t malformed_packets() const;
};

struct RuleView {
    std::uint64_t index = 0;
    std::string text{};
    std::string name{};
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t limited = 0; ///< of the packets, what its limit dropped
};

/// The rules of an interface in their order, and what no rule matched.
struct RuleList {
    std::vector<RuleView> rules;
    RuleView fallback;
};

/// A place where packets meet rules: `out`, or `in /system.slice/nginx.service`.
struct HookView {
    std::string name{};
    std::string default_verdict{};
    std::uint64_t program_id = 0;
    std::uint64_t passed = 0;
    std::uint64_t passed_bytes = 0;
    std::uint64_t dropped = 0;
    std::uint64_t dropped_bytes = 0;
    /// Other counters by name, zeros included.
    std::vector<std::pair<std::string, std::uint64_t>> others{};
    RuleList list{};
};

/// A rule that limits.
struct LimitView {
    std::string hook{};
    std::string rule{};
    std::string name{};
    std::string rate{};
    std::string rate_now{};
    std::uint64_t passed = 0;
    std::uint64_t limited = 0;
    std::uint64_t keys = 0;
    /// Keys with most packets dropped, and how many.
    std::vector<std::pair<std::string, std::uint64_t>> most{};
};

/// What an interface sends of one kind; rates are bits a second.
struct ClassView {
    std::string name{};
    std::uint64_t guarantee = 0;
    std::uint64_t max = 0;
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t borrowed = 0; ///< of the bytes, beyond the guarantee
    std::uint64_t dropped = 0;
    std::uint64_t backlog_us = 0;
};
struct ShapeView {
    std::uint64_t rate = 0; ///< 0: no rules shape
    std::uint64_t horizon_us = 0;
    std::vector<ClassView> classes{};
};

InterfaceView interface_view(const Json& properties);
CounterView counter_view(const Json& stats_answer);
RuleList rule_list(const Json& list_answer);
std::vector<HookView> hook_views(const Json& hooks_answer);
std::vector<LimitView> limit_views(const Json& limits_answer);
ShapeView shape_view(const Json& classes_answer);
/// From the objects of the ObjectManager, sorted by name.
std::vector<InterfaceView> interface_views(const Json& managed_objects);

/// One interface's properties, counters, rules; a refusal says which interfaces are filtered.
Answer<InterfaceView> ask_interface(Daemon& daemon, const std::string& ifname);
Answer<CounterView> ask_counters(Daemon& daemon, const std::string& ifname);
Answer<RuleList> ask_rules(Daemon& daemon, const std::string& ifname);
/// The first is what the interface receives.
Answer<std::vector<HookView>> ask_hooks(Daemon& daemon, const std::string& ifname);

/// `refusal` of a call on an interface's object. Where there is no such object its words say so,
/// and its error is that of an unknown object.
Refusal explain_interface(Daemon& daemon, const std::string& ifname, Refusal refusal);

} // namespace zsyncctl
