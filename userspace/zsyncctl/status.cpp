#include <format>
#include <zsyncctl/live_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<StatusView> ask_status(Daemon& daemon) {
    const Json manager = ZTRY(daemon.properties(names::root, names::manager));
    const Json objects = ZTRY(daemon.managed_objects());
    const std::uint64_t started_us = number_field(manager, "StartTimestampMonotonic");
    StatusView status{
        .version = text_field(manager, "Version"),
        .pid = number_field(manager, "Pid"),
        .uptime_ms = (monotonic_us() - started_us) / 1000,
        .interfaces = {},
    };
    for (InterfaceView& view : interface_views(objects)) {
        // An interface may be detached between the two calls.
        std::optional<CounterView> counters;
        if (view.has_filter()) {
            if (auto answer = ask_counters(daemon, view.name)) {
                counters = std::move(*answer);
            }
        }
        status.interfaces.push_back({std::move(view), std::move(counters)});
    }
    return status;
}

Answer<void> run(Session& session) {
    Daemon daemon = ZTRY(session.daemon());
    const StatusView status = ZTRY(ask_status(daemon));
    session.print_either(status_json(status), status_text(status, session.style()));
    return {};
}

} // namespace

Json status_json(const StatusView& status) {
    Json interfaces = Json::array();
    for (const auto& [view, counters] : status.interfaces) {
        const CounterView counted = counters.value_or(CounterView{});
        interfaces.push_back(
            {{"ifname", view.name},
             {"ifindex", view.ifindex},
             {"state", view.state},
             {"state_reason", view.state_reason},
             {"mode", view.mode},
             {"rules", view.rules},
             {"prefixes", view.prefixes},
             {"rules_source", view.rules_source},
             {"packets", counted.packets},
             {"bytes", counted.bytes},
             {"passed", counted.passed},
             {"dropped", counted.dropped},
             {"malformed", counted.malformed_packets()}}
        );
    }
    return {
        {"version", status.version},
        {"pid", status.pid},
        {"uptime_ms", status.uptime_ms},
        {"interfaces", std::move(interfaces)},
    };
}

std::string status_text(const StatusView& status, const Style& style) {
    std::string text = std::format(
        "{} {}, pid {}, up {}\n",
        style.paint("zsyncd", Tone::title),
        printable(status.version),
        status.pid,
        duration_text(status.uptime_ms)
    );
    if (status.interfaces.empty()) {
        return text + "no interface is filtered; 'zsyncctl packet attach IFACE' begins\n";
    }
    Table table(
        {{"INTERFACE"},
         {"STATE"},
         {"MODE"},
         {"RULES", Align::right},
         {"PREFIXES", Align::right},
         {"PACKETS", Align::right},
         {"DROPPED", Align::right},
         {"LOADED FROM"}}
    );
    std::string reasons;
    for (const auto& [view, counters] : status.interfaces) {
        const CounterView counted = counters.value_or(CounterView{});
        table.row(
            {view.name,
             Cell(view.state, tone_of_state(view.state)),
             view.mode.empty() ? "-" : view.mode,
             view.rules,
             view.prefixes,
             counted.packets,
             Cell(std::to_string(counted.dropped), counted.dropped != 0 ? Tone::bad : Tone::plain),
             view.rules_source}
        );
        if (!view.state_reason.empty()) {
            reasons += std::format("{}: {}\n", printable(view.name), printable(view.state_reason));
        }
    }
    return text + '\n' + table.text(style) + reasons;
}

constinit const Verb status_verb{
    .path = "status",
    .operands = "",
    .operands_min = 0,
    .operands_max = 0,
    .summary = "Show the daemon and every interface that it filters",
    .details = "",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
