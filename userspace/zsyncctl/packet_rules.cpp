#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    Daemon daemon = ZTRY(session.daemon());
    const RuleList list = ZTRY(ask_rules(daemon, ifname));
    if (session.json()) {
        session.print_json(rules_json(list));
        return {};
    }
    const CounterView counters = ZTRY(ask_counters(daemon, ifname));
    session.print(rules_text(list, counters, session.style()));
    return {};
}

} // namespace

Json rules_json(const RuleList& list) {
    Json rows = Json::array();
    for (const RuleView& rule : list.rules) {
        rows.push_back(
            {{"index", rule.index},
             {"text", rule.text},
             {"name", rule.name},
             {"packets", rule.packets},
             {"bytes", rule.bytes}}
        );
    }
    return rows;
}

std::string rules_text(const RuleList& list, const CounterView& counters, const Style& style) {
    Table table(
        {{"#", Align::right}, {"PACKETS", Align::right}, {"BYTES", Align::right}, {"RULE"}, {"NAME"}
        }
    );
    for (const RuleView& rule : list.rules) {
        const Tone tone = rule.packets == 0 ? Tone::faint : Tone::plain;
        table.row({rule.index, rule.packets, rule.bytes, Cell(rule.text, tone), rule.name});
    }
    const RuleView& fallback = list.fallback;
    table.row({"", fallback.packets, fallback.bytes, fallback.text});
    if (const std::uint64_t malformed = counters.malformed_packets(); malformed != 0) {
        table.row({"", malformed, "", "malformed (see 'packet stats')"});
    }
    return table.text(style);
}

constinit const Verb packet_rules_verb{
    .path = "packet rules",
    .operands = "IFACE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show an interface's rules with what each has matched",
    .details = "",
    .options = {},
    .check = nullptr,
    .run = run,
};

} // namespace zsyncctl
