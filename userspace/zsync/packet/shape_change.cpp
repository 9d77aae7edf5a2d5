#include <zsync/core/text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/shape_change.hpp>

#include <algorithm>
#include <format>
#include <ranges>
#include <span>
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

Outcome<void> refuse(const Complaint& fault) {
    if (fault.words.empty()) {
        return {};
    }
    return fail(PacketError::invalid_rules, std::format("{}; hint: {}", fault.words, fault.hint));
}

/// The shape as it would be, which is on no line of a file.
Outcome<void> check(const Shape& shape) {
    for (const ShapeClass& one : shape.classes) {
        ZTRY(refuse(class_fault(one, shape)));
    }
    return refuse(guarantees_fault(shape));
}

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (const auto word : std::views::split(text, ' ')) {
        words.emplace_back(word);
    }
    return words;
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
    const std::vector<std::string_view> words = words_of(rates);
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
    ZTRY(check(*rules.shape));
    std::string text = std::format("class {}", changed.name);
    if (changed.guarantee != 0) {
        text += std::format(" guarantee {}", shape_rate_text(changed.guarantee));
    }
    return text + std::format(" max {}", shape_rate_text(changed.max));
}

Outcome<std::string> change_shape(RuleSet& rules, std::string_view rates) {
    if (!rules.shape) {
        return fail(
            PacketError::no_such_class, "no shape is loaded: load rules with a line shape RATE"
        );
    }
    const std::vector<std::string_view> all = words_of(rates);
    std::span<const std::string_view> words = all;
    const auto rate = shape_rate_of(words.empty() ? std::string_view{} : words.front());
    if (rate) {
        words = words.subspan(1);
    }
    std::optional<std::uint32_t> horizon_ms;
    if (words.size() == 2 && words[0] == "horizon") {
        horizon_ms = shape_horizon_ms_of(words[1]);
    }
    if (!horizon_ms && (!rate || !words.empty())) {
        return fail(
            PacketError::invalid_rules,
            std::format(
                "{} is no rate of a shape; hint: 80mbit, 80mbit horizon 50ms, or horizon 50ms; "
                "from 8kbit to 100gbit, from {}ms to {}ms",
                in_quotes(rates),
                limits::shape_horizon_ms_min,
                limits::shape_horizon_ms_max
            )
        );
    }
    Shape& shape = *rules.shape;
    for (ShapeClass& one : shape.classes) {
        if (one.max == shape.rate) {
            one.max = rate.value_or(shape.rate);
        }
    }
    shape.rate = rate.value_or(shape.rate);
    shape.horizon_ms = horizon_ms.value_or(shape.horizon_ms);
    ZTRY(check(shape));
    return std::format("shape {} horizon {}ms", shape_rate_text(shape.rate), shape.horizon_ms);
}

} // namespace zsync::packet
