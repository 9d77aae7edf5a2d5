#include <format>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    Daemon daemon = ZTRY(session.daemon());
    const auto answer = daemon.call(
        {.path = names::packet_root,
         .interface = names::packet,
         .name = "Detach",
         .reply_signature = "",
         .right = "org.zsync1.manage-packet"},
        "sa{sv}",
        printable(ifname).c_str(),
        0
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    session.print_either(
        {{"ifname", ifname}, {"detached", true}},
        std::format("{}: detached, every packet passes\n", printable(ifname))
    );
    return {};
}

} // namespace

constinit const Verb packet_detach_verb{
    .path = "packet detach",
    .operands = "IFACE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Stop filtering an interface; its rules and counters are given up",
    .details = "",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
