#include <algorithm>
#include <array>
#include <format>
#include <zsyncctl/nearest.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{
        .name = "--mode",
        .value = "MODE",
        .help = "auto (native where the driver can; the default), native or generic"
    },
};

constexpr std::array<std::string_view, 3> modes{"auto", "native", "generic"};

std::expected<void, UsageError> check(const Invocation& invocation) {
    const std::string mode = invocation.value("--mode").value_or("auto");
    if (std::ranges::contains(modes, mode)) {
        return {};
    }
    const std::string_view meant = nearest(mode, modes);
    return std::unexpected(UsageError{
        .message = std::format("unknown mode '{}'", mode),
        .hint = meant.empty() ? "--mode takes auto, native or generic"
                              : std::format("did you mean '{}'?", meant)
    });
}

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    const std::string mode = session.invocation().value("--mode").value_or("auto");
    Daemon daemon = ZTRY(session.daemon());
    ZTRY(daemon.call(
        {.path = names::packet_root,
         .interface = names::packet,
         .name = "Attach",
         .reply_signature = "o",
         .right = "org.zsync1.manage-packet"},
        "ssa{sv}",
        printable(ifname).c_str(),
        mode.c_str(),
        0
    ));
    const InterfaceView view = ZTRY(ask_interface(daemon, ifname));
    session.print_either(
        {{"ifname", view.name},
         {"state", view.state},
         {"mode", view.mode},
         {"rules", view.rules},
         {"prefixes", view.prefixes}},
        interface_line(view, session.style())
    );
    return {};
}

} // namespace

constinit const Verb packet_attach_verb{
    .path = "packet attach",
    .operands = "IFACE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Begin to filter an interface",
    .details = "The filter stays until 'packet detach', also while zsyncd is stopped or upgraded.",
    .options = options,
    .check = check,
    .run = run,
};

} // namespace zsyncctl
