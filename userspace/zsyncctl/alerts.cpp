#include <algorithm>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/report_file.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

/// The alerts of one interface, each with its name.
Answer<Json> ask_alerts(Daemon& daemon, const std::string& ifname) {
    const auto answer = daemon.call_for_file({
        .path = packet_object(ifname),
        .interface = names::packet_interface,
        .name = "Alerts",
        .reply_signature = "h",
    });
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    Json alerts = ZTRY(read_report(answer->file)).value("alerts", Json::array());
    for (Json& alert : alerts) {
        alert["ifname"] = ifname;
    }
    return alerts;
}

/// The interfaces that are analysed.
Answer<std::vector<InterfaceView>> analysed(Daemon& daemon) {
    std::vector<InterfaceView> found;
    const Json objects = ZTRY(daemon.managed_objects());
    for (const auto& [path, interfaces] : objects.items()) {
        const Json properties = interfaces.value(names::packet_interface, Json::object());
        if (number_field(properties, "SampleEvery") > 0) {
            found.push_back(interface_view(properties));
        }
    }
    return found;
}

Answer<void> run(Session& session) {
    Daemon daemon = ZTRY(session.daemon());
    std::vector<InterfaceView> views;
    if (session.invocation().operands.empty()) {
        views = ZTRY(analysed(daemon));
    } else {
        views.push_back(ZTRY(ask_interface(daemon, session.operand(0))));
    }
    if (views.empty()) {
        return refuse("no interface is analysed; 'zsyncctl packet analyse IFACE' begins");
    }
    std::vector<Json> found;
    std::string left_out;
    for (const InterfaceView& view : views) {
        for (Json& alert : ZTRY(ask_alerts(daemon, view.name))) {
            found.push_back(std::move(alert));
        }
        left_out += alerts_left_out_text(view);
    }
    std::ranges::stable_sort(found, {}, [](const Json& alert) {
        return number_field(alert, "time_us");
    });
    const Json alerts(std::move(found));
    session.print_either(alerts, alerts_text(alerts, session.style()) + left_out);
    return {};
}

} // namespace

std::string alerts_text(const Json& alerts, const Style& style) {
    if (alerts.empty()) {
        return "no alert\n";
    }
    Table table({{.title = "TIME"}, {.title = "INTERFACE"}, {.title = "ALERT"}, {.title = "REASON"}}
    );
    for (const Json& alert : alerts) {
        table.row(
            {time_text(number_field(alert, "time_us")),
             text_field(alert, "ifname"),
             Cell(text_field(alert, "kind"), Tone::bad),
             text_field(alert, "reason")}
        );
    }
    return table.text(style);
}

constinit const Verb alerts_verb{
    .path = "alerts",
    .operands = "[IFACE]",
    .operands_min = 0,
    .operands_max = 1,
    .summary = "Show what looked like an attack, on one or all analysed interfaces",
    .details =
        "The last ones since the analysis began. Each is in the journal and on the bus, too.",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
