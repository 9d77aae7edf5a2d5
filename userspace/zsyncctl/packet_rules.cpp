#include <algorithm>
#include <format>
#include <string>
#include <utility>
#include <vector>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    Daemon daemon = ZTRY(session.daemon());
    const std::vector<HookView> hooks = ZTRY(ask_hooks(daemon, ifname));
    const RuleList& list = hooks.front().list;
    if (session.json()) {
        Json rows = rules_json(list);
        for (Json& row : hook_rules_json(hooks)) {
            rows.push_back(std::move(row));
        }
        session.print_json(rows);
        return {};
    }
    const CounterView counters = ZTRY(ask_counters(daemon, ifname));
    session.print(
        rules_text(list, counters, session.style()) + hook_rules_text(hooks, session.style())
    );
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
             {"bytes", rule.bytes},
             {"limited", rule.limited}}
        );
    }
    return rows;
}

std::string rules_text(const RuleList& list, const CounterView& counters, const Style& style) {
    // Only a rule that limits can have dropped for that.
    const auto limits = [](const RuleView& rule) { return rule.text.contains(" limit "); };
    const bool any_limits = std::ranges::any_of(list.rules, limits);
    std::vector<Column> columns{
        {.title = "#", .align = Align::right}, {.title = "PACKETS", .align = Align::right}
    };
    columns.push_back({"BYTES", Align::right});
    if (any_limits) {
        columns.push_back({"LIMITED", Align::right});
    }
    columns.push_back({"RULE"});
    columns.push_back({"NAME"});
    Table table(std::move(columns));
    const auto row = [&](std::vector<Cell> counts, Cell limited, Cell text, std::string_view name) {
        if (any_limits) {
            counts.push_back(std::move(limited));
        }
        counts.push_back(std::move(text));
        counts.emplace_back(name);
        table.row(std::move(counts));
    };
    for (const RuleView& rule : list.rules) {
        const Tone tone = rule.packets == 0 ? Tone::faint : Tone::plain;
        const Tone refused = rule.limited != 0 ? Tone::bad : tone;
        row({rule.index, rule.packets, rule.bytes},
            limits(rule) ? Cell(std::to_string(rule.limited), refused) : Cell(""),
            Cell(rule.text, tone),
            rule.name);
    }
    const RuleView& fallback = list.fallback;
    row({"", fallback.packets, fallback.bytes}, "", fallback.text, "");
    if (const std::uint64_t malformed = counters.malformed_packets(); malformed != 0) {
        row({"", malformed, ""}, "", "malformed (see 'packet stats')", "");
    }
    return table.text(style);
}

Json hook_rules_json(const std::vector<HookView>& hooks) {
    Json rows = Json::array();
    for (std::size_t i = 1; i < hooks.size(); ++i) {
        for (Json& row : rules_json(hooks[i].list)) {
            row["hook"] = hooks[i].name;
            rows.push_back(std::move(row));
        }
    }
    return rows;
}

std::string hook_rules_text(const std::vector<HookView>& hooks, const Style& style) {
    std::string text;
    for (std::size_t i = 1; i < hooks.size(); ++i) {
        text += std::format("\n{}:\n", printable(hooks[i].name));
        text += rules_text(hooks[i].list, {}, style);
    }
    return text;
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
