#include <algorithm>
#include <array>
#include <format>
#include <zsyncctl/input_file.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{.name = "--check", .help = "only say whether the rules are right; change nothing"},
};

Answer<Json>
send_rules(Daemon& daemon, const std::string& ifname, const InputFile& file, bool check) {
    const Method method{
        .path = packet_object(ifname),
        .interface = names::packet_interface,
        .name = check ? "Check" : "Load",
        .reply_signature = check ? "ut" : "utt",
        .right = "org.zsync1.manage-packet",
    };
    auto answer = daemon.call(method, "hsa{sv}", file.fd.get(), file.source_name.c_str(), 0);
    if (answer) {
        return answer;
    }
    Refusal refusal = explain_interface(daemon, ifname, answer.error());
    if (refusal.bus_error == "org.zsync1.Error.InvalidRules") {
        const std::string stays =
            check ? "" : std::format("the rules in force on {} stay", printable(ifname));
        refusal = with_summary(std::move(refusal), file.source_name, stays);
    }
    return std::unexpected(refusal);
}

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    const bool check = session.invocation().has("--check");
    const InputFile file = ZTRY(open_input_file(session.operand(1), rule_input));
    Daemon daemon = ZTRY(session.daemon());
    const Json answer = ZTRY(send_rules(daemon, ifname, file, check));
    const std::uint64_t rules = number_at(answer, 0);
    const std::uint64_t prefixes = number_at(answer, 1);
    const std::string size = counted(rules, "rule") + ", " + counted(prefixes, "prefix");
    if (check) {
        session.print_either(
            {{"ifname", ifname}, {"rules", rules}, {"prefixes", prefixes}, {"loaded", false}},
            std::format("{}: {}; right, nothing changed\n", file.source_name, size)
        );
        return {};
    }
    const std::uint64_t visible_us = number_at(answer, 2);
    session.print_either(
        {{"ifname", ifname},
         {"rules", rules},
         {"prefixes", prefixes},
         {"loaded", true},
         {"visible_us", visible_us}},
        std::format(
            "{}: {} from {} in force after {}\n",
            printable(ifname),
            size,
            file.source_name,
            latency_text(visible_us)
        )
    );
    return {};
}

} // namespace

constinit const Verb packet_load_verb{
    .path = "packet load",
    .operands = "IFACE FILE",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Replace an interface's rules by those of a file ('-': standard input)",
    .details =
        "All or nothing: a file with an error changes nothing, and packets meet either all of\n"
        "the old rules or all of the new ones. Rules that are the same keep their counts.\n"
        "The language of rule files: man zsync-rules",
    .options = options,
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
