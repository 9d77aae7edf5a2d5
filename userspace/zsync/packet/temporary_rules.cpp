#include <zsync/core/assert.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/temporary_rules.hpp>

#include <algorithm>
#include <expected>
#include <vector>

namespace zsync::packet {
namespace {

constexpr std::string_view source_name = "rule";

Outcome<RuleSet> parse_rule(std::string_view text) {
    const auto no_files = [](const std::string& path) -> Outcome<std::string> {
        return fail(PacketError::invalid_rules, "no file is read for one rule: " + path);
    };
    auto rules = parse_rules(text, source_name, no_files);
    if (!rules) {
        return fail(PacketError::invalid_rules, join_messages(rules.error()));
    }
    return *std::move(rules);
}

/// Where the rules of `hook` are asked in `rules`, which gets the hook if it has not.
std::uint32_t hook_in(RuleSet& rules, const Hook& hook) {
    const auto found = std::ranges::find_if(rules.hooks, [&](const Hook& known) {
        return known.cgroup == hook.cgroup && known.direction == hook.direction;
    });
    if (found != rules.hooks.end()) {
        return static_cast<std::uint32_t>(found - rules.hooks.begin()) + 1;
    }
    // What an interface sends comes before what its cgroups do.
    rules.hooks.insert(rules.hooks.begin(), hook);
    for (Rule& rule : rules.rules) {
        rule.hook += rule.hook == 0 ? 0 : 1;
    }
    return 1;
}

} // namespace

Outcome<std::string> canonical_rule(std::string_view text) {
    if (text.contains('\n')) {
        return fail(PacketError::invalid_rules, "one rule is one line");
    }
    const RuleSet rules = ZTRY(parse_rule(text));
    if (rules.rules.size() != 1) {
        return fail(PacketError::invalid_rules, "this is no rule: a rule starts with pass or drop");
    }
    // The last line, behind the default verdicts.
    std::string canonical = format_rules(rules);
    canonical.pop_back();
    return canonical.substr(canonical.rfind('\n') + 1);
}

RuleSet with_temporary(const RuleSet& rules, std::span<const TemporaryRule> temporary) {
    RuleSet all = rules;
    for (const TemporaryRule& added : temporary) {
        Outcome<RuleSet> parsed = parse_rule(added.text);
        ZASSERT(parsed && parsed->rules.size() == 1, "a temporary rule is in its canonical form");
        RuleSet& one = *parsed;
        Rule& rule = one.rules.front();
        rule.hook = rule.hook == 0 ? 0 : hook_in(all, one.hooks[rule.hook - 1]);
        const auto sets = static_cast<std::uint32_t>(all.address_sets.size());
        for (std::optional<std::uint32_t>* set : {&rule.from, &rule.to}) {
            if (*set) {
                **set += sets;
            }
        }
        std::ranges::move(one.address_sets, std::back_inserter(all.address_sets));
        all.rules.insert(all.rules.begin(), std::move(rule));
    }
    return all;
}

} // namespace zsync::packet
