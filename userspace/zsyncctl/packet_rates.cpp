#include <format>
#include <zsyncctl/packet_rates.hpp>
#include <zsyncctl/packet_view.hpp>

namespace zsyncctl {
namespace {

constexpr std::size_t rates_operand = 3; // behind IFACE set WHAT

} // namespace

Answer<void> change_rates(
    const Session& session,
    Daemon& daemon,
    const std::string& ifname,
    const char* method,
    const char* key,
    const std::string& what
) {
    const auto answer = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = method,
         .reply_signature = "s",
         .right = "org.zsync1.manage-packet"},
        "ssa{sv}",
        what.c_str(),
        session.operands_from(rates_operand).c_str(),
        0
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    const std::string changed = text_at(*answer, 0);
    session.print_either(
        {{"ifname", ifname}, {key, changed}},
        std::format("{}: {}\n", printable(ifname), printable(changed))
    );
    return {};
}

} // namespace zsyncctl
