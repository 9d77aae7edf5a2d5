#include <zsync/core/text.hpp>
#include <zsync/packet/attach_mode.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/rules_parser.hpp>

#include <algorithm>
#include <charconv>
#include <format>
#include <utility>

namespace zsync::packet {
namespace {

constexpr unsigned vlan_max = 4095;
constexpr unsigned protocol_max = 255;
constexpr unsigned length_max = 65535;

/// A decimal number up to `max`.
std::optional<unsigned> number_up_to(std::string_view text, unsigned max) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole && value <= max ? std::optional(value) : std::nullopt;
}

} // namespace

bool Parser::rule_statement(const Token& word, Verdict verdict) {
    RuleDraft draft;
    draft.place = word.place;
    draft.verdict = verdict;
    while (true) {
        const Token token = next();
        if (ends_statement(token)) {
            put_back(token);
            break;
        }
        if (token.kind != TokenKind::word) {
            std::string hint;
            if (token.kind == TokenKind::comma) {
                hint = "put several in { }; conditions have no comma between them";
            }
            return fail_expected(token, "a condition", std::move(hint));
        }
        if (!action_or_condition(draft, token)) {
            return false;
        }
    }
    stop_ |= !builder_.add_rule(std::move(draft));
    return true;
}

bool Parser::action_or_condition(RuleDraft& draft, const Token& word) {
    const std::string name = lower(word.text);
    if (const auto act = std::ranges::find(action_words, name); act != action_words.end()) {
        const auto index = static_cast<std::size_t>(act - action_words.begin());
        return once(draft.actions_at[index], word, "each action once a rule") &&
               action(draft, static_cast<ActionWord>(index), word);
    }
    if (const auto way = std::ranges::find(direction_words, name); way != direction_words.end()) {
        draft.direction = static_cast<Direction>(way - direction_words.begin());
        return once(draft.direction_at, word, "a rule is for in or for out");
    }
    const auto found = std::ranges::find(condition_words, name);
    if (found == condition_words.end()) {
        std::string hint = did_you_mean(name, condition_words);
        if (hint.empty()) {
            hint = did_you_mean(name, action_words);
        }
        if (const auto instead = other_word_for(name); !instead.empty()) {
            hint = instead;
        }
        return fail(word, "unknown condition " + in_quotes(word.text), std::move(hint));
    }
    const auto index = static_cast<std::size_t>(found - condition_words.begin());
    return once(
               draft.conditions[index],
               word,
               "each condition once a rule; put several values in { }"
           ) &&
           condition(draft, static_cast<Condition>(index), word);
}

bool Parser::once(std::optional<Place>& place, const Token& word, std::string_view hint) {
    if (place) {
        return fail(word, std::format("{} is given twice", lower(word.text)), std::string(hint));
    }
    place = word.place;
    return true;
}

bool Parser::action(RuleDraft& draft, ActionWord which, const Token& word) {
    switch (which) {
    case ActionWord::mark:
        return mark(draft);
    case ActionWord::limit:
        return limit(draft, word);
    case ActionWord::sample:
        return sample(draft);
    case ActionWord::redirect:
        return interface_name(draft.actions.redirect.emplace());
    case ActionWord::challenge:
        draft.actions.challenge = true;
        return true;
    case ActionWord::shape_class:
        return class_name(draft.actions.shape_class.emplace());
    }
    std::unreachable();
}

bool Parser::mark(RuleDraft& draft) {
    const Token token = next();
    std::string_view digits = token.text;
    const bool hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
    digits.remove_prefix(hexadecimal ? 2 : 0);
    std::uint32_t value = 0;
    const char* const begin = digits.data();
    const char* const end_of_digits = begin + digits.size();
    const auto [end, error] = std::from_chars(begin, end_of_digits, value, hexadecimal ? 16 : 10);
    if (token.kind != TokenKind::word || error != std::errc() || end != end_of_digits) {
        return fail_expected(token, "a mark", "a number of 32 bits: 7 or 0x10");
    }
    draft.actions.mark = value;
    return true;
}

bool Parser::sample(RuleDraft& draft) {
    constexpr std::string_view one_of = "1/";
    const Token token = next();
    const auto every =
        token.kind == TokenKind::word && token.text.starts_with(one_of)
            ? number_up_to(token.text.substr(one_of.size()), limits::sample_every_max)
            : std::nullopt;
    if (!every || *every == 0) {
        return fail_expected(
            token,
            "a share of the packets",
            std::format("1/N, one packet of N, with N from 1 to {}", limits::sample_every_max)
        );
    }
    draft.actions.sample = every;
    return true;
}

bool Parser::condition(RuleDraft& draft, Condition which, const Token& word) {
    switch (which) {
    case Condition::from:
        return operand(draft.from, ElementKind::address, word);
    case Condition::to:
        return operand(draft.to, ElementKind::address, word);
    case Condition::proto:
        return protocol(draft);
    case Condition::sport:
        return operand(draft.source_ports, ElementKind::port, word);
    case Condition::dport:
        return operand(draft.destination_ports, ElementKind::port, word);
    case Condition::flags:
        return flags(draft);
    case Condition::icmp:
        return words(draft.icmp, word, "a type, TYPE/CODE or { list }");
    case Condition::length:
        return length(draft, word);
    case Condition::vlan:
        return vlan(draft);
    case Condition::fragment:
        draft.fragment = true;
        return true;
    case Condition::interface:
        return interface_name(draft.interface);
    case Condition::cgroup:
        return cgroup(draft);
    case Condition::name:
        return rule_name(draft);
    }
    std::unreachable();
}

bool Parser::operand(std::optional<Operand>& out, ElementKind wanted, const Token& word) {
    const Token token = next();
    const std::string_view what = wanted == ElementKind::port
                                      ? "a port, a range, @set or { list }"
                                      : "an address, a prefix, ADDRESS:PORT, @set or { list }";
    Operand operand;
    operand.place = token.place;
    if (token.kind == TokenKind::word && token.text.starts_with('@')) {
        operand.reference = token.text.substr(1);
        if (!is_set_name(operand.reference)) {
            return fail(token, in_quotes(operand.reference) + " is no name of a set");
        }
        out = std::move(operand);
        return true;
    }
    SetBuilder contents(wanted);
    if (token.kind == TokenKind::open) {
        if (!list(token, contents, Span::one_line)) {
            return false;
        }
    } else if (token.kind != TokenKind::word) {
        return fail_expected(token, what);
    } else if (std::ranges::contains(condition_words, lower(token.text))) {
        return fail(
            token, std::format("{} has no value", lower(word.text)), std::format("give it {}", what)
        );
    } else if (auto added = contents.add(token.text); !added) {
        return fail(token, std::move(added.error().words), std::move(added.error().hint));
    }
    auto built = contents.finish();
    if (!built) {
        return fail(token, std::move(built.error().words), std::move(built.error().hint));
    }
    operand.contents = *std::move(built);
    if (operand.contents.empty()) {
        report_.error(token.place, "an empty list matches nothing", "leave the rule out");
        return true;
    }
    out = std::move(operand);
    return true;
}

bool Parser::protocol(RuleDraft& draft) {
    const Token token = next();
    if (token.kind == TokenKind::open) {
        return fail(token, "a list of protocols", "write a rule for each protocol");
    }
    if (token.kind != TokenKind::word) {
        return fail_expected(token, "a protocol");
    }
    const std::string name = lower(token.text);
    draft.protocol = protocol_of(name);
    if (draft.protocol) {
        return true;
    }
    if (const auto number = number_up_to(name, protocol_max)) {
        draft.protocol = static_cast<std::uint8_t>(*number);
        return true;
    }
    std::string hint = did_you_mean(name, protocol_words);
    if (const auto known = known_protocol(name)) {
        hint = std::format("{} is proto {}", name, protocol_text(*known));
    } else if (hint.empty()) {
        hint = "tcp, udp, icmp, icmpv6, sctp or a number from 0 to 255";
    }
    return fail(token, in_quotes(token.text) + " is no protocol", std::move(hint));
}

bool Parser::flags(RuleDraft& draft) {
    TcpFlagsMatch match;
    while (true) {
        if (!flag(match)) {
            return false;
        }
        const Token token = next();
        if (token.kind != TokenKind::comma) {
            put_back(token);
            break;
        }
    }
    draft.tcp_flags = match;
    return true;
}

bool Parser::flag(TcpFlagsMatch& match) {
    const Token token = next();
    if (token.kind != TokenKind::word) {
        return fail_expected(token, "a TCP flag");
    }
    std::string name = lower(token.text);
    const bool clear = name.starts_with('!');
    name.erase(0, clear ? 1 : 0);
    const auto found = std::ranges::find(tcp_flag_words, name);
    if (found == tcp_flag_words.end()) {
        std::string hint = did_you_mean(name, tcp_flag_words);
        return fail(
            token,
            in_quotes(token.text) + " is no TCP flag",
            hint.empty() ? "fin, syn, rst, psh, ack, urg, ece or cwr" : std::move(hint)
        );
    }
    const auto bit = static_cast<std::uint8_t>(1U << (found - tcp_flag_words.begin()));
    if ((match.mask & bit) != 0) {
        return fail(token, std::format("the flag {} is given twice", name));
    }
    match.mask |= bit;
    match.value |= clear ? 0 : bit;
    return true;
}

/// One word, or several in { } on the same line.
bool Parser::words(std::vector<PlacedWord>& out, const Token& condition, std::string_view what) {
    Token token = next();
    if (token.kind == TokenKind::word &&
        std::ranges::contains(condition_words, lower(token.text))) {
        return fail(
            token,
            std::format("{} has no value", lower(condition.text)),
            std::format("give it {}", what)
        );
    }
    if (token.kind == TokenKind::word) {
        out.push_back({.place = token.place, .text = token.text});
        return true;
    }
    if (token.kind != TokenKind::open) {
        return fail_expected(token, what);
    }
    const Token open = token;
    for (token = next(); token.kind != TokenKind::close; token = next()) {
        if (token.kind == TokenKind::comma && !out.empty()) {
            token = next();
            if (token.kind == TokenKind::close) {
                break;
            }
        } else if (!out.empty()) {
            return fail_expected(token, ", or }");
        }
        if (token.kind != TokenKind::word) {
            return fail_expected(token, what);
        }
        if (out.size() == limits::port_ranges_max) {
            return fail(
                token, std::format("more than {} values", limits::port_ranges_max), "split the rule"
            );
        }
        out.push_back({.place = token.place, .text = token.text});
    }
    if (out.empty()) {
        report_.error(open.place, "an empty list matches nothing", "leave the rule out");
    }
    return true;
}

bool Parser::length(RuleDraft& draft, const Token& word) {
    std::vector<PlacedWord> values;
    if (!words(values, word, "a number of bytes, a range or { list }")) {
        return false;
    }
    for (const PlacedWord& value : values) {
        const std::size_t dash = value.text.find('-');
        const auto first = number_up_to(value.text.substr(0, dash), length_max);
        const auto last =
            dash == value.text.npos ? first : number_up_to(value.text.substr(dash + 1), length_max);
        if (!first || !last || *first > *last) {
            report_.error(
                value.place,
                in_quotes(value.text) + " is no length",
                "bytes of the IP packet from 0 to 65535, or a range: 0-100"
            );
            continue;
        }
        draft.length.push_back(
            {.first = static_cast<std::uint16_t>(*first), .last = static_cast<std::uint16_t>(*last)}
        );
    }
    merge_ranges(draft.length);
    return true;
}

bool Parser::vlan(RuleDraft& draft) {
    const Token token = next();
    const auto number =
        token.kind == TokenKind::word ? number_up_to(token.text, vlan_max) : std::nullopt;
    if (!number) {
        return fail_expected(token, "a VLAN id from 0 to 4095");
    }
    draft.vlan = static_cast<std::uint16_t>(*number);
    return true;
}

bool Parser::interface_name(std::string& out) {
    const Token token = next();
    if (token.kind != TokenKind::word) {
        return fail_expected(token, "the name of an interface");
    }
    if (!is_interface_name(token.text)) {
        return fail(token, in_quotes(token.text) + " cannot be an interface's name");
    }
    out = token.text;
    return true;
}

std::optional<std::string_view> Parser::cgroup_path() {
    constexpr std::string_view hint = "as /proc/PID/cgroup has it: /system.slice/nginx.service";
    const Token token = next();
    if (token.kind != TokenKind::word) {
        (void)fail_expected(token, "the path of a cgroup", std::string(hint));
        return std::nullopt;
    }
    if (!is_cgroup_path(token.text)) {
        (void)fail(token, in_quotes(token.text) + " is no path of a cgroup", std::string(hint));
        return std::nullopt;
    }
    return token.text;
}

bool Parser::cgroup(RuleDraft& draft) {
    const auto path = cgroup_path();
    draft.cgroup = path.value_or("");
    return path.has_value();
}

bool Parser::rule_name(RuleDraft& draft) {
    const Token token = next();
    if (token.kind != TokenKind::string) {
        return fail_expected(token, "a name in quotes", "write name \"text\"");
    }
    const auto name = unescape(token.text);
    if (!name) {
        report_.error(token.place, "an unknown escape in the name", "only \\\" and \\\\ are known");
    } else if (name->empty() || name->size() > limits::name_bytes_max) {
        report_.error(
            token.place,
            std::format("the name is {} bytes long", name->size()),
            std::format("a name has 1 to {} bytes", limits::name_bytes_max)
        );
    } else if (has_unprintable(*name)) {
        report_.error(token.place, "the name has unprintable characters");
    } else {
        draft.name = *name;
    }
    return true;
}

} // namespace zsync::packet
