#include <array>
#include <format>
#include <optional>
#include <string>
#include <zsyncctl/number.hpp>
#include <zsyncctl/packet_rates.hpp>
#include <zsyncctl/packet_view.hpp>
#include <zsyncctl/quantity.hpp>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

constexpr std::array options{
    Option{
        .name = "--keys",
        .value = "N",
        .help = "of each rule at most N keys, from 0 to 64; 5 if not given"
    },
};

constexpr std::uint32_t keys_usual = 5;
constexpr std::uint32_t keys_most = 64;
constexpr std::size_t set_operands_min = 4; // IFACE set RULE RATE
constexpr std::size_t rate_operand = 3;
constexpr std::size_t set_operands_max = 6; // ... burst SIZE

std::expected<void, UsageError> check(const Invocation& invocation) {
    const auto wrong = [](std::string message, std::string hint) {
        return std::unexpected(UsageError{.message = std::move(message), .hint = std::move(hint)});
    };
    const std::size_t operands = invocation.operands.size();
    if (operands > 1 && (invocation.operands[1] != "set" || operands < set_operands_min)) {
        return wrong(
            "to change a limit, name it and its rate", "packet limits IFACE set 0 500/s burst 50"
        );
    }
    const auto keys = invocation.value("--keys");
    if (keys && number_of<std::uint32_t>(*keys).value_or(keys_most + 1) > keys_most) {
        return wrong(
            std::format("'{}' is no number from 0 to {}", *keys, keys_most),
            "packet limits IFACE --keys 10"
        );
    }
    return {};
}

Answer<std::vector<LimitView>>
ask_limits(Daemon& daemon, const std::string& ifname, std::uint32_t keys_max) {
    auto answer = daemon.call(
        {.path = packet_object(ifname),
         .interface = names::packet_interface,
         .name = "ListLimits",
         .reply_signature = "a(sssssttua(st))"},
        "u",
        keys_max
    );
    if (!answer) {
        return std::unexpected(explain_interface(daemon, ifname, answer.error()));
    }
    return limit_views(*answer);
}

/// A rule by its number in what `packet limits` shows, or by its text.
Answer<std::string> rule_of(Daemon& daemon, const std::string& ifname, const std::string& word) {
    const auto number = number_of<std::size_t>(word);
    if (!number) {
        return word;
    }
    const std::vector<LimitView> limits = ZTRY(ask_limits(daemon, ifname, 0));
    if (*number < limits.size()) {
        return limits[*number].rule;
    }
    return refuse(
        limits.empty()
            ? std::format("no rule of {} limits", printable(ifname))
            : std::format(
                  "{} has {}, numbered from 0", printable(ifname), counted(limits.size(), "limit")
              ),
        "org.zsync1.Error.NoSuchRule"
    );
}

Answer<void> run(Session& session) {
    const std::string& ifname = session.operand(0);
    Daemon daemon = ZTRY(session.daemon());
    if (session.invocation().operands.size() > 1) {
        return change_rates(
            session,
            daemon,
            ifname,
            {.method = "SetLimit",
             .words =
                 {ZTRY(rule_of(daemon, ifname, session.operand(2))),
                  session.operands_from(rate_operand)},
             .key = "rule"}
        );
    }
    const auto keys = session.invocation().value("--keys").and_then(number_of<std::uint32_t>);
    const auto limits = ZTRY(ask_limits(daemon, ifname, keys.value_or(keys_usual)));
    session.print_either(limits_json(limits), limits_text(limits, session.style()));
    return {};
}

} // namespace

std::vector<LimitView> limit_views(const Json& limits_answer) {
    std::vector<LimitView> views;
    for (const Json& row : limits_answer.at(0)) {
        LimitView view{
            .hook = text_at(row, 0),
            .rule = text_at(row, 1),
            .name = text_at(row, 2),
            .rate = text_at(row, 3),
            .rate_now = text_at(row, 4),
            .passed = number_at(row, 5),
            .limited = number_at(row, 6),
            .keys = number_at(row, 7),
        };
        for (const Json& key : row.at(8)) {
            view.most.emplace_back(text_at(key, 0), number_at(key, 1));
        }
        views.push_back(std::move(view));
    }
    return views;
}

Json limits_json(const std::vector<LimitView>& limits) {
    Json rows = Json::array();
    for (const LimitView& limit : limits) {
        Json most = Json::array();
        for (const auto& [key, limited] : limit.most) {
            most.push_back({{"key", key}, {"limited", limited}});
        }
        rows.push_back(
            {{"index", rows.size()},
             {"hook", limit.hook},
             {"rule", limit.rule},
             {"name", limit.name},
             {"rate", limit.rate},
             {"rate_now", limit.rate_now},
             {"passed", limit.passed},
             {"limited", limit.limited},
             {"keys", limit.keys},
             {"most_limited", std::move(most)}}
        );
    }
    return rows;
}

std::string limits_text(const std::vector<LimitView>& limits, const Style& style) {
    if (limits.empty()) {
        return "no rule limits\n";
    }
    Table table(
        {{.title = "#", .align = Align::right},
         {.title = "HOOK"},
         {.title = "RATE"},
         {.title = "NOW"},
         {.title = "PASSED", .align = Align::right},
         {.title = "LIMITED", .align = Align::right},
         {.title = "KEYS", .align = Align::right},
         {.title = "RULE"}}
    );
    std::uint64_t index = 0;
    for (const LimitView& limit : limits) {
        table.row(
            {index++,
             limit.hook,
             limit.rate,
             limit.rate_now,
             limit.passed,
             Cell(std::to_string(limit.limited), limit.limited != 0 ? Tone::bad : Tone::plain),
             limit.keys,
             limit.rule}
        );
        for (const auto& [key, limited] : limit.most) {
            table.row({"", "", "", "", "", limited, "", "  " + key});
        }
    }
    return table.text(style);
}

constinit const Verb packet_limits_verb{
    .path = "packet limits",
    .operands = "IFACE [set RULE RATE]",
    .operands_min = 1,
    .operands_max = set_operands_max,
    .summary = "Show what rules limit and who is over, or change a rate",
    .details =
        "RULE is its number in the list, or its text. RATE is 500/s, 2mbit, or with a burst\n"
        "'500/s burst 50'. Who is limited stays so; the rule's counts begin anew. It is kept\n"
        "over restarts, until rules are loaded.",
    .options = options,
    .check = check,
    .run = run,
};

} // namespace zsyncctl
