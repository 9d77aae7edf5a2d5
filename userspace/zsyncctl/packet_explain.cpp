#include <array>
#include <format>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{.name = "--hook", .value = "HOOK", .help = "in (the default), out, or a cgroup's"},
};

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    const std::string packet = session.operands_from(1);
    const std::string hook = session.invocation().value("--hook").value_or("in");
    Daemon daemon = ZTRY(session.daemon());
    const auto answer = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = "Explain",
         .reply_signature = "sissas",
         .right = "org.zsync1.manage-packet"},
        "sa{sv}",
        packet.c_str(),
        1,
        "hook",
        "s",
        hook.c_str()
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    const Json& said = *answer;
    const std::string verdict = text_at(said, 0);
    const auto index = said.at(1).get<std::int64_t>();
    const std::string text = text_at(said, 2);
    const std::string name = text_at(said, 3);
    std::string words =
        index < 0 ? std::format("{}: {}: no rule matches\n", printable(ifname), printable(text))
                  : std::format(
                        "{}: {} by rule {}{}: {}\n",
                        printable(ifname),
                        verdict,
                        index,
                        name.empty() ? "" : std::format(" \"{}\"", printable(name)),
                        printable(text)
                    );
    for (const Json& reason : said.at(4)) {
        words += std::format("  {}\n", printable(reason.get<std::string>()));
    }
    session.print_either(
        {{"ifname", ifname},
         {"hook", hook},
         {"packet", packet},
         {"verdict", verdict},
         {"index", index < 0 ? Json() : Json(index)},
         {"text", text},
         {"name", name},
         {"reasons", said.at(4)}},
        words
    );
    return {};
}

} // namespace

constinit const Verb packet_explain_verb{
    .path = "packet explain",
    .operands = "IFACE PACKET",
    .operands_min = 2,
    .operands_max = 32,
    .summary = "Say which rule decides about a packet, and why",
    .details =
        "PACKET is PROTO SOURCE[:PORT] '>' DESTINATION[:PORT], then flags, icmp, length, vlan or\n"
        "fragment as in rules: 'tcp 1.2.3.4:55 > 10.0.0.1:22 flags syn'. The filter program\n"
        "itself runs over it; nothing is counted.",
    .options = options,
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
