#include <algorithm>
#include <format>
#include <zsyncctl/packet_view.hpp>

namespace zsyncctl {

std::uint64_t CounterView::malformed_packets() const {
    std::uint64_t sum = 0;
    for (const auto& [reason, count] : malformed) {
        sum += count;
    }
    return sum;
}

InterfaceView interface_view(const Json& properties) {
    InterfaceView view{
        .name = text_field(properties, "Name"),
        .ifindex = number_field(properties, "Ifindex"),
        .state = text_field(properties, "State"),
        .state_reason = text_field(properties, "StateReason"),
        .mode = text_field(properties, "Mode"),
        .requested_mode = text_field(properties, "RequestedMode"),
        .adopted = flag_field(properties, "Adopted"),
        .program_id = number_field(properties, "ProgramId"),
        .layout_version = number_field(properties, "LayoutVersion"),
        .rules = number_field(properties, "RuleCount"),
        .prefixes = number_field(properties, "PrefixCount"),
        .default_verdict = text_field(properties, "DefaultVerdict"),
        .malformed_verdict = text_field(properties, "MalformedVerdict"),
        .rules_source = text_field(properties, "RulesSource"),
        .loaded_at_us = number_field(properties, "LoadTimestamp"),
    };
    view.sources_left_out = number_field(properties, "SourcesLeftOut");
    view.alerts_left_out = number_field(properties, "AlertsLeftOut");
    if (const auto rules = properties.find("TemporaryRules"); rules != properties.end()) {
        for (const Json& rule : *rules) {
            view.temporary.emplace_back(text_at(rule, 0), number_at(rule, 1));
        }
    }
    return view;
}

CounterView counter_view(const Json& stats_answer) {
    CounterView view{
        .packets = number_at(stats_answer, 0),
        .bytes = number_at(stats_answer, 1),
        .passed = number_at(stats_answer, 2),
        .passed_bytes = number_at(stats_answer, 3),
        .dropped = number_at(stats_answer, 4),
        .dropped_bytes = number_at(stats_answer, 5),
        .malformed = {},
    };
    if (stats_answer.size() > 6 && stats_answer[6].is_object()) {
        for (const auto& [reason, packets] : stats_answer[6].items()) {
            view.malformed.emplace_back(reason, packets.get<std::uint64_t>());
        }
    }
    return view;
}

RuleList rule_list(const Json& list_answer) {
    RuleList list;
    for (const Json& row : list_answer.at(0)) {
        RuleView rule{
            .index = number_at(row, 0),
            .text = text_at(row, 1),
            .name = text_at(row, 2),
            .packets = number_at(row, 3),
            .bytes = number_at(row, 4),
            .limited = number_at(row, 5),
        };
        // The last row is what no rule matched; no rule's own text begins with this word.
        if (rule.text.starts_with("default ")) {
            list.fallback = std::move(rule);
        } else {
            list.rules.push_back(std::move(rule));
        }
    }
    return list;
}

std::vector<HookView> hook_views(const Json& hooks_answer) {
    std::vector<HookView> views;
    for (const Json& row : hooks_answer.at(0)) {
        HookView view{
            .name = text_at(row, 0),
            .default_verdict = text_at(row, 1),
            .program_id = number_at(row, 2),
            .passed = number_at(row, 3),
            .passed_bytes = number_at(row, 4),
            .dropped = number_at(row, 5),
            .dropped_bytes = number_at(row, 6),
        };
        for (const auto& [name, packets] : row.at(7).items()) {
            view.others.emplace_back(name, packets.get<std::uint64_t>());
        }
        for (const Json& rule : row.at(8)) {
            view.list.rules.push_back(
                {.index = view.list.rules.size(),
                 .text = text_at(rule, 0),
                 .name = text_at(rule, 1),
                 .packets = number_at(rule, 2),
                 .bytes = number_at(rule, 3),
                 .limited = number_at(rule, 4)}
            );
        }
        if (!view.list.rules.empty()) {
            view.list.fallback = std::move(view.list.rules.back());
            view.list.rules.pop_back();
        }
        views.push_back(std::move(view));
    }
    return views;
}

std::vector<InterfaceView> interface_views(const Json& managed_objects) {
    std::vector<InterfaceView> views;
    for (const auto& [path, interfaces] : managed_objects.items()) {
        if (const auto found = interfaces.find(names::packet_interface);
            found != interfaces.end()) {
            views.push_back(interface_view(*found));
        }
    }
    std::ranges::sort(views, {}, &InterfaceView::name);
    return views;
}

Refusal explain_interface(Daemon& daemon, const std::string& ifname, Refusal refusal) {
    constexpr std::string_view not_attached = "org.zsync1.Error.NotAttached";
    const std::string_view error = refusal.bus_error;
    const bool may_be_missing = error == SD_BUS_ERROR_UNKNOWN_OBJECT ||
                                error == SD_BUS_ERROR_UNKNOWN_METHOD ||
                                error == SD_BUS_ERROR_UNKNOWN_INTERFACE || error == not_attached;
    if (!may_be_missing) {
        return refusal;
    }
    const auto objects = daemon.managed_objects();
    if (!objects) {
        return refusal;
    }
    const auto views = interface_views(*objects);
    if (std::ranges::contains(views, ifname, &InterfaceView::name)) {
        return refusal;
    }
    std::string others;
    for (const InterfaceView& view : views) {
        others += (others.empty() ? "" : ", ") + view.name;
    }
    refusal.bus_error = SD_BUS_ERROR_UNKNOWN_OBJECT;
    refusal.message = std::format(
        "no filter is attached to '{}' ({}); attach one with 'zsyncctl packet attach {}'",
        ifname,
        others.empty() ? "nor to any other interface" : "filtered are: " + others,
        ifname
    );
    return refusal;
}

Answer<InterfaceView> ask_interface(Daemon& daemon, const std::string& ifname) {
    auto properties = daemon.properties(packet_object(ifname), names::packet_interface);
    if (!properties) {
        return std::unexpected(explain_interface(daemon, ifname, properties.error()));
    }
    return interface_view(*properties);
}

Answer<CounterView> ask_counters(Daemon& daemon, const std::string& ifname) {
    auto answer = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = "Stats",
         .reply_signature = "tttttta{st}"}
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    return counter_view(*answer);
}

Answer<std::vector<HookView>> ask_hooks(Daemon& daemon, const std::string& ifname) {
    auto answer = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = "ListHooks",
         .reply_signature = "a(ssutttta{st}a(ssttt))"}
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    return hook_views(*answer);
}

Answer<RuleList> ask_rules(Daemon& daemon, const std::string& ifname) {
    auto answer = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = "ListRules",
         .reply_signature = "a(ussttt)"}
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    return rule_list(*answer);
}

} // namespace zsyncctl
