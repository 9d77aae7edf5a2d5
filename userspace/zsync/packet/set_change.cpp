#include <zsync/core/text.hpp>
#include <zsync/packet/address_text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/set_change.hpp>
#include <zsync/packet/set_text.hpp>

#include <algorithm>
#include <array>
#include <format>
#include <iterator>
#include <set>
#include <span>

namespace zsync::packet {
namespace {

using Member = std::optional<std::uint32_t> Rule::*;
constexpr std::array<std::pair<Condition, Member>, 2> address_conditions{{
    {Condition::from, &Rule::from},
    {Condition::to, &Rule::to},
}};

void sort_once(AddressSet& set) {
    std::ranges::sort(set);
    const auto repeated = std::ranges::unique(set);
    set.erase(repeated.begin(), repeated.end());
}

AddressSet difference(const AddressSet& a, const AddressSet& b) {
    AddressSet out;
    std::ranges::set_difference(a, b, std::back_inserter(out));
    return out;
}

std::unexpected<Fault> no_such_set(const RuleSet& rules, std::string_view name) {
    std::set<std::string_view> names;
    for (const Rule& rule : rules.rules) {
        for (const Condition ports : {Condition::sport, Condition::dport}) {
            if (!name.empty() && set_reference(rule.text, ports) == name) {
                return fail(
                    PacketError::no_such_set,
                    std::format(
                        "the set {} has ports: load the rule file to change it", in_quotes(name)
                    )
                );
            }
        }
        for (const auto& [condition, member] : address_conditions) {
            if (const auto used = set_reference(rule.text, condition); !used.empty()) {
                names.insert(used);
            }
        }
    }
    const std::vector<std::string_view> known(names.begin(), names.end());
    std::string hint = did_you_mean(name, known);
    if (hint.empty()) {
        hint = known.empty() ? "no rule uses a named set" : "there is " + std::string(known[0]);
        for (std::size_t i = 1; i < std::min<std::size_t>(known.size(), 5); ++i) {
            hint += ", " + std::string(known[i]);
        }
    }
    return fail(
        PacketError::no_such_set,
        std::format("no rule uses a set of addresses called {}; {}", in_quotes(name), hint)
    );
}

} // namespace

Outcome<AddressSet> parse_prefixes(const std::vector<std::string>& texts) {
    AddressSet set;
    set.reserve(texts.size());
    for (const std::string& text : texts) {
        auto prefix = parse_address(text);
        if (!prefix) {
            const Complaint& complaint = prefix.error();
            return fail(
                PacketError::invalid_prefix,
                complaint.words + (complaint.hint.empty() ? "" : "; " + complaint.hint)
            );
        }
        set.push_back(*prefix);
    }
    return set;
}

Outcome<AddressSet> parse_prefix_list(std::string_view text, std::string_view source) {
    SetBuilder builder(ElementKind::address);
    std::vector<Diagnostic> wrong;
    parse_set_file(
        text,
        builder,
        [&](std::uint32_t line, std::uint32_t column, const Complaint& complaint) {
            wrong.push_back({
                .source = std::string(source),
                .line = line,
                .column = column,
                .words = complaint.words,
                .hint = complaint.hint,
            });
            return wrong.size() < limits::diagnostics_max;
        }
    );
    if (!wrong.empty()) {
        return fail(PacketError::invalid_rules, join_messages(wrong));
    }
    auto contents = builder.finish();
    if (!contents) {
        return fail(
            PacketError::invalid_rules, std::format("{}: {}", source, contents.error().words)
        );
    }
    return std::move(contents->addresses);
}

Outcome<SetCounts> change_set(RuleSet& rules, SetChange change) {
    std::vector<std::optional<std::uint32_t>*> users;
    for (Rule& rule : rules.rules) {
        for (const auto& [condition, member] : address_conditions) {
            if (set_reference(rule.text, condition) == change.set && !change.set.empty()) {
                users.push_back(&(rule.*member));
            }
        }
    }
    if (users.empty()) {
        return no_such_set(rules, change.set);
    }
    sort_once(change.add);
    sort_once(change.remove);
    AddressSet both;
    std::ranges::set_intersection(change.add, change.remove, std::back_inserter(both));
    if (!both.empty()) {
        return fail(
            PacketError::invalid_prefix,
            std::format("{} is both added and removed", format_prefix(both.front()))
        );
    }
    const AddressSet before = rules.address_sets[users.front()->value()];
    AddressSet after;
    if (change.replace) {
        after = std::move(change.add);
    } else {
        std::ranges::set_union(
            difference(before, change.remove), change.add, std::back_inserter(after)
        );
    }
    const SetCounts counts{
        .added = difference(after, before).size(),
        .removed = difference(before, after).size(),
        .size = after.size(),
    };
    // Another name, or a list in a rule, may have had the same prefixes and so the same index.
    const auto index = static_cast<std::uint32_t>(rules.address_sets.size());
    rules.address_sets.push_back(std::move(after));
    for (std::optional<std::uint32_t>* user : users) {
        *user = index;
    }
    return counts;
}

} // namespace zsync::packet
