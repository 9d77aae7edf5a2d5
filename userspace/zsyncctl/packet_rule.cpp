#include <array>
#include <charconv>
#include <format>
#include <optional>
#include <string>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{
        .name = "--for",
        .value = "TIME",
        .help = "how long 'add' keeps the rule: 90s, 10m, 6h or 7d"
    },
};

constexpr std::size_t first_word = 2; // behind add|remove and IFACE
constexpr std::size_t words_max = 256;

/// Microseconds; nothing for what is no time.
std::optional<std::uint64_t> duration_of(const std::string& text) {
    std::uint64_t number = 0;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, number);
    constexpr std::uint64_t number_max = std::uint64_t{366} * 24 * 3600;
    if (error != std::errc() || last - end != 1 || number == 0 || number > number_max) {
        return std::nullopt;
    }
    switch (*end) {
    case 's':
        return number * 1'000'000;
    case 'm':
        return number * 60 * 1'000'000;
    case 'h':
        return number * 3600 * 1'000'000;
    case 'd':
        return number * 24 * 3600 * 1'000'000;
    default:
        return std::nullopt;
    }
}

std::expected<void, UsageError> check(const Invocation& invocation) {
    const std::string& what = invocation.operands.front();
    const auto wrong = [](std::string message, std::string hint) {
        return std::unexpected(UsageError{.message = std::move(message), .hint = std::move(hint)});
    };
    if (what != "add" && what != "remove") {
        return wrong(
            std::format("'{}' is neither add nor remove", what), "packet rule add IFACE RULE"
        );
    }
    const auto time = invocation.value("--for");
    if (what == "remove" && time) {
        return wrong("--for goes with 'add'", "packet rule remove IFACE RULE");
    }
    if (what == "add" && !time) {
        return wrong("'add' needs --for TIME", "rules that stay are in a file: 'packet load'");
    }
    if (time && !duration_of(*time)) {
        return wrong(std::format("'{}' is no time", *time), "--for takes 90s, 10m, 6h or 7d");
    }
    return {};
}

Answer<void> run(Session& session) {
    const bool add = session.operand(0) == "add";
    const std::string& ifname = session.operand(1);
    const std::string rule = session.operands_from(first_word);
    Daemon daemon = ZTRY(session.daemon());
    const Method method{
        .path = packet_object(ifname),
        .interface = names::packet_interface,
        .name = add ? "AddRule" : "RemoveRule",
        .reply_signature = add ? "t" : "",
        .right = "org.zsync1.manage-packet",
    };
    const std::uint64_t time_us =
        duration_of(session.invocation().value("--for").value_or("")).value_or(0);
    const auto answer = add ? daemon.call(method, "sta{sv}", rule.c_str(), time_us, 0)
                            : daemon.call(method, "sa{sv}", rule.c_str(), 0);
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    if (!add) {
        session.print_either(
            {{"ifname", ifname}, {"rule", rule}},
            std::format("{}: removed: {}\n", printable(ifname), printable(rule))
        );
        return {};
    }
    const std::uint64_t expires_us = number_at(*answer, 0);
    session.print_either(
        {{"ifname", ifname}, {"rule", rule}, {"expires_at_us", expires_us}},
        std::format("{}: until {}: {}\n", printable(ifname), time_text(expires_us), printable(rule))
    );
    return {};
}

} // namespace

constinit const Verb packet_rule_verb{
    .path = "packet rule",
    .operands = "add|remove IFACE RULE",
    .operands_min = 3,
    .operands_max = words_max,
    .summary = "Put a rule before the others for a time",
    .details =
        "RULE is a line of a rule file, without sets: packet rule add eth0 --for 10m 'drop from\n"
        "192.0.2.7'. It stays over restarts and when rules are loaded. What is added last is "
        "tried\n"
        "first; adding a rule again gives it another time.",
    .options = options,
    .check = check,
    .run = run,
};

} // namespace zsyncctl
