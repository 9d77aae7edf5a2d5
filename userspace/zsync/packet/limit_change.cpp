#include <zsync/core/text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limit_change.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/temporary_rules.hpp>

#include <algorithm>
#include <format>
#include <optional>

namespace zsync::packet {
namespace {

/// `500/s`, or `500/s burst 50`: no other word of the rule language.
bool is_rate(std::string_view text) {
    const auto space = text.find(' ');
    constexpr std::string_view burst = " burst ";
    return space == std::string_view::npos ||
           (text.substr(space).starts_with(burst) &&
            text.find(' ', space + burst.size()) == std::string_view::npos);
}

/// What of `text` comes behind its `part`.
std::string_view behind(std::string_view text, std::string_view part) {
    return text.substr(static_cast<std::size_t>(part.data() - text.data()) + part.size());
}

} // namespace

Outcome<std::string> change_limit(RuleSet& rules, std::string_view rule, std::string_view rate) {
    const auto found = std::ranges::find(rules.rules, rule, &Rule::text);
    const std::optional<Limit> former =
        found == rules.rules.end() ? std::nullopt : found->actions.limit;
    if (!former) {
        return fail(
            PacketError::no_such_rule,
            std::format("no loaded rule that limits has the text {}", in_quotes(rule))
        );
    }
    if (!is_rate(rate)) {
        return fail(
            PacketError::invalid_rules,
            std::format("{} is no rate; hint: 500/s, or 500/s burst 50", in_quotes(rate))
        );
    }
    // The limit alone: sets of the other conditions are not known to a single rule. Every limit may
    // stand behind `out`.
    const std::string limit = "pass out " + limit_text(*former);
    const std::string_view how = behind(limit, limit_rate(limit));
    const std::string canonical =
        ZTRY(canonical_rule(std::format("pass out limit {}{}", rate, how)));
    const std::string_view old_rate = limit_rate(rule);
    std::string changed(rule.substr(0, static_cast<std::size_t>(old_rate.data() - rule.data())));
    changed += limit_rate(canonical);
    changed += behind(rule, old_rate);
    const std::string before(rule);
    for (Rule& one : rules.rules) {
        if (one.text == before) {
            one.text = changed;
        }
    }
    return changed;
}

} // namespace zsync::packet
