#include <array>
#include <format>
#include <optional>
#include <zsyncctl/number.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{
        .name = "--sample", .value = "N", .help = "analyse one packet of N (the default is all)"
    },
    Option{.name = "--off", .help = "end the analysis"},
};

std::optional<std::uint32_t> sample_of(const Invocation& invocation) {
    const auto value = number_of<std::uint32_t>(invocation.value("--sample").value_or("1"));
    return value && *value > 0 ? value : std::nullopt;
}

std::expected<void, UsageError> check(const Invocation& invocation) {
    if (!sample_of(invocation)) {
        return std::unexpected(UsageError{
            .message = std::format(
                "'{}' is no number of packets", invocation.value("--sample").value_or("")
            ),
            .hint = "--sample takes a whole number from 1"
        });
    }
    if (invocation.has("--off") && invocation.has("--sample")) {
        return std::unexpected(
            UsageError{.message = "--off and --sample exclude each other", .hint = "give one"}
        );
    }
    return {};
}

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    const bool off = session.invocation().has("--off");
    const std::uint32_t sample_every = sample_of(session.invocation()).value_or(1);
    Daemon daemon = ZTRY(session.daemon());
    Method method{
        .path = packet_object(ifname),
        .interface = names::packet_interface,
        .name = off ? "StopAnalysis" : "StartAnalysis",
        .reply_signature = "",
        .right = "org.zsync1.manage-packet",
    };
    const auto answer = off ? daemon.call(method, "a{sv}", 0)
                            : daemon.call(method, "a{sv}", 1, "sample_every", "u", sample_every);
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    session.print_either(
        {{"ifname", ifname}, {"sample_every", off ? 0 : sample_every}},
        off ? std::format("{}: not analysed any more\n", printable(ifname))
        : sample_every == 1
            ? std::format("{}: all packets are analysed\n", printable(ifname))
            : std::format("{}: one packet of {} is analysed\n", printable(ifname), sample_every)
    );
    return {};
}

} // namespace

constinit const Verb packet_analyse_verb{
    .path = "packet analyse",
    .operands = "IFACE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Begin to analyse an interface's traffic",
    .details =
        "See 'flows' and 'alerts' for what it finds. It goes on until '--off', 'packet detach' or\n"
        "the end of zsyncd; analyse_every in zsyncd.toml asks for it for good.",
    .options = options,
    .check = check,
    .run = run,
};

} // namespace zsyncctl
