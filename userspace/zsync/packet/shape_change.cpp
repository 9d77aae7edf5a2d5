#include <zsync/core/text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/shape_change.hpp>

#include <algorithm>
#include <format>
#include <ranges>
#include <vector>

namespace zsync::packet {
namespace {

std::unexpected<Fault> no_rates(std::string_view rates) {
    return fail(
        PacketError::invalid_rules,
        std::format(
            "{} are no rates of a class; hint: guarantee 30mbit max 50mbit, or one of them",
            in_quotes(rates)
        )
    );
}

} // namespace

Outcome<std::string> change_class(RuleSet& rules, std::string_view name, std::string_view rates) {
    if (!rules.shape) {
        return fail(PacketError::no_such_class, "no shape is loaded, so there are no classes");
    }
    const auto found = std::ranges::find(rules.shape->classes, name, &ShapeClass::name);
    if (found == rules.shape->classes.end()) {
        return fail(
            PacketError::no_such_class,
            std::format("the loaded shape has no class {}", in_quotes(name))
        );
    }
    std::vector<std::string_view> words;
    for (const auto word : std::views::split(rates, ' ')) {
        words.emplace_back(word);
    }
    if (words.size() != 2 && (words.size() != 4 || words[0] == words[2])) {
        return no_rates(rates);
    }
    ShapeClass changed = *found;
    for (std::size_t i = 0; i < words.size(); i += 2) {
        const auto rate = shape_rate_of(words[i + 1]);
        if (!rate || (words[i] != "guarantee" && words[i] != "max")) {
            return no_rates(rates);
        }
        (words[i] == "max" ? changed.max : changed.guarantee) = *rate;
    }
    *found = changed;
    std::string text = std::format("class {}", changed.name);
    if (changed.guarantee != 0) {
        text += std::format(" guarantee {}", shape_rate_text(changed.guarantee));
    }
    return text + std::format(" max {}", shape_rate_text(changed.max));
}

} // namespace zsync::packet
