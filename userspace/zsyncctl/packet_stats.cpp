#include <format>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    Daemon daemon = ZTRY(session.daemon());
    const InterfaceView view = ZTRY(ask_interface(daemon, ifname));
    CounterView counters;
    std::vector<HookView> hooks;
    if (view.has_filter()) {
        counters = ZTRY(ask_counters(daemon, ifname));
        hooks = ZTRY(ask_hooks(daemon, ifname));
    }
    session.print_either(
        stats_json(view, counters, hooks),
        stats_text(view, counters, session.style()) + hook_stats_text(hooks, session.style()) +
            temporary_text(view) + alerts_left_out_text(view)
    );
    return {};
}

} // namespace

Tone tone_of_state(std::string_view state) {
    if (state == "attached") {
        return Tone::good;
    }
    return state == "failed" ? Tone::bad : Tone::warning;
}

std::string interface_line(const InterfaceView& view, const Style& style) {
    std::string text = std::format(
        "{}: {}{}{}, {}",
        printable(view.name),
        style.paint(view.state, tone_of_state(view.state)),
        view.mode.empty() ? "" : ", ",
        view.mode,
        counted(view.rules, "rule")
    );
    if (!view.rules_source.empty()) {
        text += std::format(" from {}", printable(view.rules_source));
    }
    if (!view.state_reason.empty()) {
        text += std::format(" ({})", printable(view.state_reason));
    }
    return text + '\n';
}

Json stats_json(
    const InterfaceView& view, const CounterView& counters, const std::vector<HookView>& hooks
) {
    Json malformed = Json::object();
    for (const auto& [reason, packets] : counters.malformed) {
        malformed[reason] = packets;
    }
    return {
        {"ifname", view.name},
        {"ifindex", view.ifindex},
        {"state", view.state},
        {"state_reason", view.state_reason},
        {"mode", view.mode},
        {"requested_mode", view.requested_mode},
        {"adopted", view.adopted},
        {"program_id", view.program_id},
        {"layout_version", view.layout_version},
        {"rules", view.rules},
        {"prefixes", view.prefixes},
        {"default_verdict", view.default_verdict},
        {"malformed_verdict", view.malformed_verdict},
        {"rules_source", view.rules_source},
        {"loaded_at_us", view.loaded_at_us},
        {"packets", counters.packets},
        {"bytes", counters.bytes},
        {"passed", counters.passed},
        {"passed_bytes", counters.passed_bytes},
        {"dropped", counters.dropped},
        {"dropped_bytes", counters.dropped_bytes},
        {"malformed", std::move(malformed)},
        {"hooks", hook_stats_json(hooks)},
        {"temporary", temporary_json(view)},
        {"sources_left_out", view.sources_left_out},
        {"alerts_left_out", view.alerts_left_out},
    };
}

std::string stats_text(const InterfaceView& view, const CounterView& counters, const Style& style) {
    Table table({{""}, {"PACKETS", Align::right}, {"BYTES", Align::right}});
    table.row({"seen", counters.packets, counters.bytes});
    table.row({"passed", counters.passed, counters.passed_bytes});
    table.row(
        {Cell("dropped", counters.dropped != 0 ? Tone::bad : Tone::plain),
         counters.dropped,
         counters.dropped_bytes}
    );
    table.row({"malformed", counters.malformed_packets()});
    for (const auto& [reason, packets] : counters.malformed) {
        if (packets != 0) {
            table.row({"  " + reason, packets});
        }
    }
    std::string text = interface_line(view, style);
    text += std::format("default {}", view.default_verdict);
    text += std::format(", malformed {}", view.malformed_verdict);
    text += std::format(", {}", counted(view.prefixes, "prefix"));
    text += std::format(", loaded {}\n\n", time_text(view.loaded_at_us));
    return text + table.text(style);
}

Json temporary_json(const InterfaceView& view) {
    Json rows = Json::array();
    for (const auto& [rule, expires_us] : view.temporary) {
        rows.push_back({{"rule", rule}, {"expires_at_us", expires_us}});
    }
    return rows;
}

std::string temporary_text(const InterfaceView& view) {
    std::string text = view.temporary.empty() ? "" : "\ntemporary rules:\n";
    for (const auto& [rule, expires_us] : view.temporary) {
        text += std::format("  until {}: {}\n", time_text(expires_us), printable(rule));
    }
    if (view.sources_left_out > 0) {
        text += std::format(
            "\n{} sources of alerts are not dropped: there is no room among the temporary rules\n",
            view.sources_left_out
        );
    }
    return text;
}

std::string alerts_left_out_text(const InterfaceView& view) {
    if (view.alerts_left_out == 0) {
        return "";
    }
    return std::format(
        "\n{}: {} alerts more came at once than are told\n",
        printable(view.name),
        view.alerts_left_out
    );
}

Json hook_stats_json(const std::vector<HookView>& hooks) {
    Json rows = Json::array();
    for (const HookView& hook : hooks) {
        Json row{
            {"hook", hook.name},
            {"program_id", hook.program_id},
            {"rules", hook.list.rules.size()},
            {"default_verdict", hook.default_verdict},
            {"passed", hook.passed},
            {"passed_bytes", hook.passed_bytes},
            {"dropped", hook.dropped},
            {"dropped_bytes", hook.dropped_bytes},
        };
        for (const auto& [name, packets] : hook.others) {
            row[name] = packets;
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string hook_stats_text(const std::vector<HookView>& hooks, const Style& style) {
    std::string text;
    for (const HookView& hook : hooks) {
        const bool first = &hook == &hooks.front();
        Table table({{""}, {"PACKETS", Align::right}, {"BYTES", Align::right}});
        if (!first) {
            table.row({"passed", hook.passed, hook.passed_bytes});
            table.row(
                {Cell("dropped", hook.dropped != 0 ? Tone::bad : Tone::plain),
                 hook.dropped,
                 hook.dropped_bytes}
            );
        }
        bool others = false;
        for (const auto& [name, packets] : hook.others) {
            if (packets != 0 && !(first && name == "malformed") && name != "arp") {
                table.row({name, packets});
                others = true;
            }
        }
        if (!first || others) {
            text += std::format(
                "\n{}: {}, default {}\n",
                printable(hook.name),
                counted(hook.list.rules.size(), "rule"),
                hook.default_verdict
            );
            text += table.text(style);
        }
    }
    return text;
}

constinit const Verb packet_stats_verb{
    .path = "packet stats",
    .operands = "IFACE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show an interface's state, and what passed, was dropped or malformed",
    .details = "",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
