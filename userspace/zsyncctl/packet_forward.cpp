#include <algorithm>
#include <array>
#include <format>
#include <string>
#include <vector>
#include <zsyncctl/input_file.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{
        .name = "--rewrite",
        .help = "packets leave with the address of the port that they leave by as their source"
    },
    Option{.name = "--off", .help = "end the forwarding"},
};

constexpr const char* manage_right = "org.zsync1.manage-packet";

std::expected<void, UsageError> check(const Invocation& invocation) {
    const std::size_t operands = invocation.operands.size();
    if (operands == 1) {
        return std::unexpected(UsageError{
            .message = "one interface alone does not forward", .hint = "name two, or none"
        });
    }
    const bool off = invocation.has("--off");
    if ((off && operands != 2) || (off && invocation.has("--rewrite")) ||
        (operands == 0 && invocation.has("--rewrite"))) {
        return std::unexpected(UsageError{
            .message = "these options and operands don't go together",
            .hint = "'packet forward A B [RULES] [--rewrite]', 'packet forward A B --off', or none"
        });
    }
    return {};
}

Answer<void> list(Session& session) {
    Daemon daemon = ZTRY(session.daemon());
    const Json answer = ZTRY(daemon.call(
        {.path = names::packet_root,
         .interface = names::packet,
         .name = "ListForwards",
         .reply_signature = "a(ssssba{st})"}
    ));
    Json rows = Json::array();
    Table table(
        {{.title = "FROM"},
         {.title = "TO"},
         {.title = "MODE"},
         {.title = "FORWARDED", .align = Align::right},
         {.title = "LOCAL", .align = Align::right},
         {.title = "UNWANTED", .align = Align::right},
         {.title = "LOST", .align = Align::right}}
    );
    for (const Json& row : answer.at(0)) {
        const std::array<std::string, 2> ports{text_at(row, 0), text_at(row, 1)};
        const Json& counts = row.at(5);
        const bool waits = counts.empty();
        rows.push_back(
            {{"first", ports[0]},
             {"second", ports[1]},
             {"first_mode", text_at(row, 2)},
             {"second_mode", text_at(row, 3)},
             {"forwarding", !waits},
             {"rewrite", row.at(4)},
             {"counts", counts}}
        );
        constexpr std::array<std::string_view, 2> prefixes{"first_", "second_"};
        for (std::size_t port = 0; port < 2; ++port) {
            const auto count = [&](std::string_view name) -> Cell {
                if (waits) {
                    return "-";
                }
                return number_field(counts, std::string(prefixes[port]) + std::string(name));
            };
            table.row(
                {ports[port],
                 ports[1 - port],
                 text_at(row, 2 + port),
                 count("forwarded"),
                 count("local"),
                 count("unwanted"),
                 count("lost")}
            );
        }
    }
    session.print_either(rows, rows.empty() ? "nothing forwards\n" : table.text(session.style()));
    return {};
}

/// Filters an interface that is not filtered yet; whether it had to.
Answer<bool> attach(Daemon& daemon, const std::string& ifname) {
    const std::vector<InterfaceView> filtered = interface_views(ZTRY(daemon.managed_objects()));
    if (std::ranges::contains(filtered, ifname, &InterfaceView::name)) {
        return false;
    }
    ZTRY(daemon.call(
        {.path = names::packet_root,
         .interface = names::packet,
         .name = "Attach",
         .reply_signature = "o",
         .right = manage_right},
        "ssa{sv}",
        ifname.c_str(),
        "auto",
        0
    ));
    return true;
}

void detach(Daemon& daemon, const std::string& ifname) {
    (void)daemon.call(
        {.path = names::packet_root,
         .interface = names::packet,
         .name = "Detach",
         .reply_signature = "",
         .right = manage_right},
        "sa{sv}",
        ifname.c_str(),
        0
    );
}

Answer<void> load(Daemon& daemon, const std::string& ifname, const InputFile& file) {
    const auto loaded = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = "Load",
         .reply_signature = "utt",
         .right = manage_right},
        "hsa{sv}",
        file.fd.get(),
        file.source_name.c_str(),
        0
    );
    if (!loaded) {
        return std::unexpected(explain_interface(daemon, ifname, loaded.error()));
    }
    return {};
}

/// What was done to ports before they forward.
struct Begun {
    std::vector<std::string> attached;
    std::vector<std::string> loaded;
};

Answer<void> start_ports(
    Session& session, Daemon& daemon, const std::array<std::string, 2>& ports, Begun& begun
) {
    for (const std::string& port : ports) {
        if (ZTRY(attach(daemon, port))) {
            begun.attached.push_back(port);
        }
    }
    if (session.invocation().operands.size() == 3) {
        for (const std::string& port : ports) {
            // Opened for each: what was read is read to its end.
            const InputFile file = ZTRY(open_input_file(session.operand(2), rule_input));
            ZTRY(load(daemon, port, file));
            begun.loaded.push_back(port);
        }
    }
    const int rewrite = session.invocation().has("--rewrite") ? 1 : 0;
    ZTRY(daemon.call(
        {.path = names::packet_root,
         .interface = names::packet,
         .name = "StartForward",
         .reply_signature = "",
         .right = manage_right},
        "ssa{sv}",
        ports[0].c_str(),
        ports[1].c_str(),
        1,
        "rewrite_addresses",
        "b",
        rewrite
    ));
    return {};
}

Answer<void> start(Session& session, Daemon& daemon) {
    const std::array<std::string, 2> ports{session.operand(0), session.operand(1)};
    Begun begun;
    if (Answer<void> started = start_ports(session, daemon, ports, begun); !started) {
        for (const std::string& port : begun.attached) {
            detach(daemon, port);
            std::erase(begun.loaded, port);
        }
        for (const std::string& port : begun.loaded) {
            started.error().message += std::format(
                "; {} has the rules of {} by now", printable(port), printable(session.operand(2))
            );
        }
        return started;
    }
    session.print_either(
        {{"first", ports[0]}, {"second", ports[1]}, {"forwarding", true}},
        std::format("{} and {} forward\n", printable(ports[0]), printable(ports[1]))
    );
    return {};
}

Answer<void> run(Session& session) {
    if (session.invocation().operands.empty()) {
        return list(session);
    }
    Daemon daemon = ZTRY(session.daemon());
    if (!session.invocation().has("--off")) {
        return start(session, daemon);
    }
    ZTRY(daemon.call(
        {.path = names::packet_root,
         .interface = names::packet,
         .name = "StopForward",
         .reply_signature = "",
         .right = manage_right},
        "ssa{sv}",
        session.operand(0).c_str(),
        session.operand(1).c_str(),
        0
    ));
    session.print_either(
        {{"first", session.operand(0)}, {"second", session.operand(1)}, {"forwarding", false}},
        std::format(
            "{} and {} no longer forward\n",
            printable(session.operand(0)),
            printable(session.operand(1))
        )
    );
    return {};
}

} // namespace

constinit const Verb packet_forward_verb{
    .path = "packet forward",
    .operands = "[A B [RULES]]",
    .operands_min = 0,
    .operands_max = 3,
    .summary = "Forward packets between two interfaces, or show what forwards",
    .details =
        "Joins the interfaces as a bridge of two ports does, by AF_XDP sockets behind their\n"
        "filters: what the rules of one pass leaves by the other. Interfaces that are not "
        "filtered\n"
        "are attached; with RULES, a rule file, both load it first. Goes on until '--off'; "
        "after\n"
        "a restart of zsyncd, and when an interface that was deleted is there again, it begins "
        "again.",
    .options = options,
    .check = check,
    .run = run,
};

} // namespace zsyncctl
