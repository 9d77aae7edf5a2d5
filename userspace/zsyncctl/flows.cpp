#include <cstdint>
#include <format>
#include <map>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/report_file.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    Daemon daemon = ZTRY(session.daemon());
    const auto answer = daemon.call_for_file({
        .path = packet_object(ifname),
        .interface = names::packet_interface,
        .name = "Flows",
        .reply_signature = "h",
    });
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    if (session.json()) {
        return print_report(session, answer->file);
    }
    session.print(flows_text(ZTRY(read_report(answer->file)), session.style()));
    return {};
}

std::string endpoint(const Json& flow, std::string_view address, std::string_view port) {
    std::string host = text_field(flow, address);
    if (!flow.contains(port)) {
        return host;
    }
    return host.contains(':') ? std::format("[{}]:{}", host, number_field(flow, port))
                              : std::format("{}:{}", host, number_field(flow, port));
}

/// Whom it is for, by what it carries; of a flow of questions, what was asked last.
std::string name_of(const Json& flow, const std::map<std::uint64_t, std::string>& asked) {
    for (const char* field : {"host", "server_name"}) {
        if (std::string name = text_field(flow, field); !name.empty()) {
            return name;
        }
    }
    const auto found = asked.find(flow.value("id", std::uint64_t{0}));
    return found == asked.end() ? "" : found->second;
}

/// By the flow that it was asked in.
std::map<std::uint64_t, std::string> last_questions(const Json& report) {
    std::map<std::uint64_t, std::string> asked;
    for (const Json& message :
         report.value("messages", Json::object()).value("list", Json::array())) {
        const Json questions = message.value("questions", Json::array());
        if (!questions.empty() && message.contains("flow")) {
            asked[message.value("flow", std::uint64_t{0})] = text_field(questions[0], "name");
        }
    }
    return asked;
}

} // namespace

std::string flows_text(const Json& report, const Style& style) {
    const Json flows = report.value("flows", Json::object()).value("list", Json::array());
    if (flows.empty()) {
        return "no flow is going on\n";
    }
    Table table(
        {{.title = "PROTOCOL"},
         {.title = "FROM"},
         {.title = "TO"},
         {.title = "STATE"},
         {.title = "PACKETS", .align = Align::right},
         {.title = "BYTES", .align = Align::right},
         {.title = "CARRIES"},
         {.title = "NAME"}}
    );
    const std::map<std::uint64_t, std::string> asked = last_questions(report);
    for (const Json& flow : flows) {
        const Json there = flow.value("to_responder", Json::object());
        const Json back = flow.value("to_initiator", Json::object());
        table.row(
            {text_field(flow, "protocol"),
             endpoint(flow, "source", "source_port"),
             endpoint(flow, "destination", "destination_port"),
             text_field(flow, "state"),
             number_field(there, "packets") + number_field(back, "packets"),
             number_field(there, "bytes") + number_field(back, "bytes"),
             text_field(flow, "application"),
             name_of(flow, asked)}
        );
    }
    return table.text(style);
}

constinit const Verb flows_verb{
    .path = "flows",
    .operands = "IFACE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show the flows on an analysed interface, the largest first",
    .details = "'packet analyse' begins the analysis. With --json everything that is known.",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
