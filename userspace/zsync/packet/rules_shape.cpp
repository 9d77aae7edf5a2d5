// How fast an interface sends: `shape 100mbit { class gold guarantee 60mbit }`, by lines.
#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/rules_parser.hpp>
#include <zsync/packet/rules_quantity.hpp>

#include <array>
#include <format>
#include <utility>

namespace zsync::packet {
namespace {

constexpr std::string_view rate_hint = "Nbit, Nkbit, Nmbit or Ngbit, from 8kbit to 100gbit";
static_assert(limits::shape_bits_min == 8000 && limits::shape_bits_max == 100'000'000'000);

} // namespace

std::optional<std::uint64_t> shape_rate_of(std::string_view text) {
    const auto quantity = quantity_of(text);
    const Unit* unit = quantity ? unit_of(bit_units, quantity->unit) : nullptr;
    if (unit == nullptr || quantity->number > limits::shape_bits_max / unit->value ||
        quantity->number * unit->value < limits::shape_bits_min) {
        return std::nullopt;
    }
    return quantity->number * unit->value;
}

std::optional<std::uint32_t> shape_horizon_ms_of(std::string_view text) {
    const auto quantity = quantity_of(text);
    if (!quantity || quantity->unit != "ms" || quantity->number < limits::shape_horizon_ms_min ||
        quantity->number > limits::shape_horizon_ms_max) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(quantity->number);
}

std::string shape_rate_text(std::uint64_t bits) { return in_units(bit_units, bits); }

Complaint class_fault(const ShapeClass& one, const Shape& shape) {
    if (one.max > shape.rate) {
        return {
            .words = std::format(
                "class {} has a maximum of {}, over the shape's {}",
                one.name,
                shape_rate_text(one.max),
                shape_rate_text(shape.rate)
            ),
            .hint = std::format(
                "write max {} or less, or no max, which is all of the shape",
                shape_rate_text(shape.rate)
            ),
        };
    }
    if (one.guarantee > one.max) {
        const bool is_whole = one.max == shape.rate;
        return {
            .words = std::format(
                "class {} has a guarantee of {}, over {} {}",
                one.name,
                shape_rate_text(one.guarantee),
                is_whole ? "the shape's" : "its maximum of",
                shape_rate_text(one.max)
            ),
            .hint = std::format(
                "write guarantee {} or less{}",
                shape_rate_text(one.max),
                is_whole ? "" : ", or a greater max"
            ),
        };
    }
    return {};
}

Complaint guarantees_fault(const Shape& shape) {
    std::uint64_t guaranteed = 0;
    for (const ShapeClass& one : shape.classes) {
        guaranteed += one.guarantee;
    }
    if (guaranteed <= shape.rate) {
        return {};
    }
    return {
        .words = std::format(
            "the classes' guarantees are {} together, and the shape has {}",
            shape_rate_text(guaranteed),
            shape_rate_text(shape.rate)
        ),
        .hint = "guarantee less",
    };
}

std::string shape_text(const Shape& shape) {
    std::string out = std::format("shape {}", shape_rate_text(shape.rate));
    if (shape.horizon_ms != limits::shape_horizon_ms_usual) {
        out += std::format(" horizon {}ms", shape.horizon_ms);
    }
    std::string classes;
    for (const ShapeClass& one : shape.classes) {
        std::string rates;
        if (one.guarantee != 0) {
            rates += std::format(" guarantee {}", shape_rate_text(one.guarantee));
        }
        if (one.max != shape.rate) {
            rates += std::format(" max {}", shape_rate_text(one.max));
        }
        if (one.name != default_class || !rates.empty()) {
            classes += std::format("    class {}{}\n", one.name, rates);
        }
    }
    out += classes.empty() ? "\n" : std::format(" {{\n{}}}\n", classes);
    return out;
}

/// Also in a rule.
bool Parser::class_name(std::string& name) {
    const Token token = next();
    if (token.kind != TokenKind::word || !is_set_name(token.text)) {
        return fail_expected(
            token,
            "the name of a class",
            std::format(
                "a name is a letter, then letters, digits, _ . or -, at most {} bytes",
                limits::name_bytes_max
            )
        );
    }
    name = token.text;
    return true;
}

bool Parser::shape_rate(std::uint64_t& rate) {
    const Token token = next();
    const auto bits =
        token.kind == TokenKind::word ? shape_rate_of(lower(token.text)) : std::nullopt;
    if (!bits) {
        return fail_expected(token, "a rate", std::string(rate_hint));
    }
    rate = *bits;
    return true;
}

/// `class NAME [guarantee RATE] [max RATE]`, behind its first word.
bool Parser::shape_class(Shape& shape, PlacedClasses& seen) {
    ShapeClass one;
    one.max = shape.rate;
    const Token name = next();
    put_back(name);
    if (!class_name(one.name)) {
        return false;
    }
    if (seen.contains(one.name)) {
        return fail(name, std::format("the class {} is given twice", in_quotes(one.name)));
    }
    std::array<std::optional<Place>, 2> rates_at;
    for (Token token = next();; token = next()) {
        const std::string word = token.kind == TokenKind::word ? lower(token.text) : "";
        const bool is_max = word == "max";
        if (!is_max && word != "guarantee") {
            put_back(token);
            break;
        }
        if (!once(rates_at[is_max ? 1 : 0], token, "each of guarantee and max once a class") ||
            !shape_rate(is_max ? one.max : one.guarantee)) {
            return false;
        }
    }
    seen.emplace(one.name, name.place);
    if (one.name == default_class) {
        shape.classes.front() = std::move(one);
        return true;
    }
    if (shape.classes.size() == limits::shape_classes_max) {
        // Not put back: what ends the line was.
        report_.error(name.place, std::format("more than {} classes", limits::shape_classes_max));
        return false;
    }
    shape.classes.push_back(std::move(one));
    return true;
}

/// One line of the block.
bool Parser::shape_line(Shape& shape, const Token& word, PlacedClasses& seen) {
    if (word.kind != TokenKind::word || lower(word.text) != "class") {
        return fail_expected(word, "class or }", "class NAME guarantee RATE max RATE, one a line");
    }
    if (!shape_class(shape, seen)) {
        return false;
    }
    const Token behind = next();
    put_back(behind);
    return ends_statement(behind) || behind.kind == TokenKind::close ||
           fail_expected(behind, "guarantee, max or the end of the line", "one class a line");
}

/// Of what was read without an error.
void Parser::report_faults(const Shape& shape, const Token& word, const PlacedClasses& seen) {
    bool each_fits = true;
    for (const ShapeClass& one : shape.classes) {
        if (Complaint fault = class_fault(one, shape); !fault.words.empty()) {
            report_.error(seen.at(one.name), std::move(fault));
            each_fits = false;
        }
    }
    if (Complaint fault = guarantees_fault(shape); each_fits && !fault.words.empty()) {
        report_.error(word.place, std::move(fault));
    }
}

/// Reports what it finds and goes on to the closing brace.
bool Parser::shape_statement(const Token& word) {
    if (block_) {
        return fail(word, "shape inside a cgroup block", "it stands outside, for the interface");
    }
    Shape shape{.rate = 0, .horizon_ms = limits::shape_horizon_ms_usual, .classes = {}};
    if (!shape_rate(shape.rate)) {
        return false;
    }
    shape.classes.push_back({.name = std::string(default_class), .max = shape.rate});
    Token token = next();
    if (token.kind == TokenKind::word && lower(token.text) == "horizon") {
        const Token time = next();
        const auto horizon =
            time.kind == TokenKind::word ? shape_horizon_ms_of(lower(time.text)) : std::nullopt;
        if (!horizon) {
            return fail_expected(
                time,
                "a time",
                std::format(
                    "Nms, from {} to {}", limits::shape_horizon_ms_min, limits::shape_horizon_ms_max
                )
            );
        }
        shape.horizon_ms = *horizon;
        token = next();
    }
    bool whole = true;
    PlacedClasses seen;
    if (token.kind != TokenKind::open) {
        put_back(token);
    } else {
        const Token open = token;
        for (token = next(); token.kind != TokenKind::close; token = next()) {
            if (token.kind == TokenKind::newline) {
                continue;
            }
            if (token.kind == TokenKind::end || report_.full()) {
                put_back(token);
                report_.error(open.place, "the { is not closed", "close it with }");
                return false;
            }
            if (is_statement_word(token)) {
                report_.error(
                    token.place,
                    std::format("{} inside a shape", in_quotes(token.text)),
                    std::format("close the {{ of line {} first", open.place.line)
                );
                put_back(token);
                at_statement_ = true;
                return false;
            }
            if (!shape_line(shape, token, seen)) {
                whole = false;
                for (token = next(); !ends_statement(token); token = next()) {
                }
                put_back(token);
            }
        }
    }
    if (whole) {
        report_faults(shape, word, seen);
    }
    // Its names are known also when it has errors.
    builder_.shape(word.place, std::move(shape));
    return true;
}

} // namespace zsync::packet
