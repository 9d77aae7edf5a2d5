#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_builder.hpp>
#include <zsync/packet/rules_lexer.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/rules_report.hpp>
#include <zsync/packet/set_text.hpp>

#include <algorithm>
#include <charconv>
#include <format>
#include <utility>

namespace zsync::packet {
namespace {

constexpr unsigned vlan_max = 4095;
constexpr unsigned protocol_max = 255;

std::string describe(const Token& token) {
    switch (token.kind) {
    case TokenKind::newline:
        return "the end of the line";
    case TokenKind::end:
        return "the end of the file";
    default:
        return in_quotes(token.text);
    }
}

bool ends_statement(const Token& token) {
    return token.kind == TokenKind::newline || token.kind == TokenKind::end;
}

bool is_statement_word(const Token& token) {
    return token.kind == TokenKind::word &&
           std::ranges::contains(statement_words, lower(token.text));
}

bool is_set_name(std::string_view name) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    constexpr std::string_view others = "0123456789.-";
    return !name.empty() && name.size() <= limits::name_bytes_max && letters.contains(name[0]) &&
           std::ranges::all_of(name, [&](char c) {
               return letters.contains(c) || others.contains(c);
           });
}

/// A decimal number up to `max`.
std::optional<unsigned> number_up_to(std::string_view text, unsigned max) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole && value <= max ? std::optional(value) : std::nullopt;
}

/// `text` with its `\"` and `\\` resolved; nothing if another escape is in it.
std::optional<std::string> unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\') {
            ++i;
            if (i == text.size() || (text[i] != '"' && text[i] != '\\')) {
                return std::nullopt;
            }
        }
        out += text[i];
    }
    return out;
}

bool has_unprintable(std::string_view text) {
    while (!text.empty()) {
        const auto point = decode_utf8(text);
        if (!point || is_unprintable(point->value)) {
            return true;
        }
        text.remove_prefix(point->bytes);
    }
    return false;
}

/// Recursive descent, one token ahead. A function that returns false has reported why, and the
/// statement it is in is skipped.
class Parser {
public:
    Parser(std::string_view text, std::string_view source, const ReadFile& read)
        : text_(text), lexer_(text), report_(source, lexer_), builder_(report_), read_(read) {}

    std::expected<RuleSet, std::vector<Diagnostic>> parse();

private:
    bool check_encoding();
    bool statement(const Token& word);
    bool verdict_statement(const Token& word, void (RuleSetBuilder::*apply)(const Place&, Verdict));
    bool set_statement(const Token& word);
    bool set_name(NamedSet& set);
    bool set_file(NamedSet& set, const Token& statement);
    bool rule_statement(const Token& word);

    bool condition(RuleDraft& draft, const Token& word);
    bool operand(std::optional<Operand>& out, ElementKind wanted, const Token& word);
    bool protocol(RuleDraft& draft);
    bool flags(RuleDraft& draft);
    bool flag(TcpFlagsMatch& match);
    bool vlan(RuleDraft& draft);
    bool rule_name(RuleDraft& draft);

    enum class Span : std::uint8_t { one_line, lines };
    bool list(const Token& open, SetBuilder& set, Span span);
    bool list_token(const Token& token, SetBuilder& set, bool& wants_element);

    Token next();
    void put_back(const Token& token) { ahead_ = token; }
    bool fail(const Token& token, std::string words, std::string hint = {});
    bool fail_expected(const Token& token, std::string_view what, std::string hint = {});
    void skip_statement();

    std::string_view text_;
    Lexer lexer_;
    Report report_;
    RuleSetBuilder builder_;
    const ReadFile& read_;
    std::optional<Token> ahead_;
    bool stop_ = false;
    bool at_statement_ = false; ///< the token ahead starts a statement, whatever came before
};

Token Parser::next() {
    if (ahead_) {
        return *std::exchange(ahead_, std::nullopt);
    }
    return lexer_.next();
}

/// What ends a line is put back, so that skipping the statement stops there.
bool Parser::fail(const Token& token, std::string words, std::string hint) {
    report_.error(token.place, std::move(words), std::move(hint));
    put_back(token);
    return false;
}

bool Parser::fail_expected(const Token& token, std::string_view what, std::string hint) {
    if (token.kind == TokenKind::bad) {
        report_.error(token.place, lexer_.complaint());
        return false;
    }
    return fail(
        token, std::format("{} where {} should be", describe(token), what), std::move(hint)
    );
}

void Parser::skip_statement() {
    bool in_list = false;
    while (true) {
        const Token token = next();
        if (token.kind == TokenKind::open) {
            in_list = true;
        } else if (token.kind == TokenKind::close) {
            in_list = false;
        } else if (token.kind == TokenKind::end || (token.kind == TokenKind::newline && !in_list)) {
            put_back(token);
            return;
        } else if (token.kind == TokenKind::newline) {
            const Token first = next();
            put_back(first);
            if (is_statement_word(first)) {
                return;
            }
        }
    }
}

bool Parser::check_encoding() {
    const auto place_of = [&](std::size_t offset) {
        const auto before = text_.substr(0, offset);
        const std::size_t newline = before.rfind('\n');
        return Place{
            .offset = offset,
            .line_offset = newline == before.npos ? byte_order_mark_bytes(text_) : newline + 1,
            .line = static_cast<std::uint32_t>(std::ranges::count(before, '\n')) + 1,
        };
    };
    if (text_.starts_with("\xff\xfe") || text_.starts_with("\xfe\xff")) {
        report_.error(Place{}, "the text is UTF-16", "save it as UTF-8");
        return false;
    }
    if (const std::size_t nul = text_.find('\0'); nul != text_.npos) {
        report_.error(place_of(nul), "a NUL byte: this is no text");
        return false;
    }
    if (const std::size_t invalid = find_invalid_utf8(text_); invalid != text_.npos) {
        report_.error(
            place_of(invalid),
            std::format("the byte 0x{:02x} is no UTF-8", static_cast<std::uint8_t>(text_[invalid])),
            "save the file as UTF-8"
        );
    }
    return true;
}

std::expected<RuleSet, std::vector<Diagnostic>> Parser::parse() {
    if (text_.size() > limits::file_bytes_max) {
        report_.error(Place{}, std::format("the text is over {} bytes", limits::file_bytes_max));
        return std::unexpected(report_.take());
    }
    if (!check_encoding()) {
        return std::unexpected(report_.take());
    }
    while (!stop_ && !report_.full()) {
        const Token token = next();
        if (token.kind == TokenKind::end) {
            break;
        }
        if (token.kind == TokenKind::newline) {
            continue;
        }
        bool done = statement(token);
        if (done) {
            const Token behind = next();
            done = ends_statement(behind) ||
                   fail_expected(behind, "the end of the line", "one statement a line");
        }
        if (!done && !std::exchange(at_statement_, false)) {
            skip_statement();
        }
    }
    RuleSet rules = builder_.finish();
    if (!report_.empty()) {
        return std::unexpected(report_.take());
    }
    return rules;
}

bool Parser::statement(const Token& word) {
    if (word.kind != TokenKind::word) {
        return fail_expected(
            word, "a statement", "a line starts with pass, drop, set, default or malformed"
        );
    }
    const std::string name = lower(word.text);
    if (name == "default") {
        return verdict_statement(word, &RuleSetBuilder::default_verdict);
    }
    if (name == "malformed") {
        return verdict_statement(word, &RuleSetBuilder::malformed_verdict);
    }
    if (name == "set") {
        return set_statement(word);
    }
    if (verdict_of(name)) {
        return rule_statement(word);
    }
    std::string hint = did_you_mean(name, statement_words);
    if (hint.empty()) {
        const bool pass = name == "accept" || name == "allow" || name == "permit";
        const bool drop = name == "deny" || name == "block" || name == "reject";
        hint = pass   ? "the verdict is called pass"
               : drop ? "the verdict is called drop"
                      : "a line starts with pass, drop, set, default or malformed";
    }
    return fail(word, "unknown word " + in_quotes(word.text), std::move(hint));
}

bool Parser::verdict_statement(
    const Token& word, void (RuleSetBuilder::*apply)(const Place&, Verdict)
) {
    const Token token = next();
    const std::string name = lower(token.text);
    const auto verdict = token.kind == TokenKind::word ? verdict_of(name) : std::nullopt;
    if (!verdict) {
        return fail_expected(token, "pass or drop", did_you_mean(name, verdict_words));
    }
    (builder_.*apply)(word.place, *verdict);
    return true;
}

bool Parser::set_name(NamedSet& set) {
    const Token token = next();
    if (token.kind == TokenKind::word && token.text.starts_with('@')) {
        return fail(
            token, in_quotes(token.text) + " is no name of a set", "write it without @ here"
        );
    }
    if (token.kind != TokenKind::word) {
        return fail_expected(token, "the name of a set");
    }
    if (!is_set_name(token.text)) {
        return fail(
            token,
            in_quotes(token.text) + " is no name of a set",
            std::format(
                "a name is a letter, then letters, digits, _ . or -, at most {} bytes",
                limits::name_bytes_max
            )
        );
    }
    set.name = token.text;
    set.place = token.place;
    return true;
}

bool Parser::set_statement(const Token& word) {
    NamedSet set;
    if (!set_name(set)) {
        return false;
    }
    const Token token = next();
    bool whole = true;
    if (token.kind == TokenKind::open) {
        SetBuilder contents;
        const Place name = set.place;
        whole = list(token, contents, Span::lines);
        if (auto built = contents.finish()) {
            set.contents = *std::move(built);
        } else {
            report_.error(name, std::move(built).error());
            set.broken = true;
        }
        set.broken |= !whole;
    } else if (token.kind == TokenKind::word && lower(token.text) == "file") {
        whole = set_file(set, word);
    } else {
        const std::string hint = token.text == "=" ? "there is no = here" : "";
        (void)fail_expected(token, "{ or file", hint);
        set.broken = true;
        whole = false;
    }
    stop_ |= !builder_.add_set(std::move(set));
    return whole;
}

bool Parser::set_file(NamedSet& set, const Token& statement) {
    set.broken = true;
    const Token token = next();
    if (token.kind != TokenKind::string) {
        return fail_expected(
            token, "the path of a file", "write it in quotes: \"/etc/zsync/list\""
        );
    }
    const auto path = unescape(token.text);
    if (!path || path->size() > limits::path_bytes_max || has_unprintable(*path)) {
        report_.error(token.place, in_quotes(token.text) + " is no path of a file");
        return true;
    }
    if (!path->starts_with('/')) {
        report_.error(token.place, in_quotes(*path) + " is no absolute path", "start it with /");
        return true;
    }
    const auto text = read_(*path);
    if (!text) {
        report_.error(token.place, printable(text.error().message(), 2 * limits::path_bytes_max));
        return true;
    }
    bool failed = false;
    SetBuilder contents(ElementKind::address);
    parse_set_file(
        *text,
        contents,
        [&](std::uint32_t line, std::uint32_t column, const Complaint& c) {
            failed = true;
            report_.error_in_file(statement.place, *path, line, column, c);
            return !report_.full();
        }
    );
    auto built = contents.finish();
    if (!built) {
        report_.error(set.place, std::move(built).error());
        return true;
    }
    set.contents = *std::move(built);
    set.broken = failed;
    return true;
}

/// Reports what it finds and goes on to the closing brace, so that a long list shows all its
/// errors.
bool Parser::list(const Token& open, SetBuilder& set, Span span) {
    bool whole = true;
    bool wants_element = true;
    bool line_start = false;
    while (!report_.full()) {
        const Token token = next();
        switch (token.kind) {
        case TokenKind::close:
            return whole;
        case TokenKind::newline:
            if (span == Span::one_line) {
                put_back(token);
                report_.error(
                    open.place, "the { is not closed", "close it with } on the same line"
                );
                return false;
            }
            line_start = true;
            continue;
        case TokenKind::end:
            put_back(token);
            report_.error(open.place, "the { is not closed", "close it with }");
            return false;
        default:
            break;
        }
        if (line_start && is_statement_word(token)) {
            report_.error(
                token.place,
                std::format("{} inside a list", in_quotes(token.text)),
                std::format("close the {{ of line {} first", open.place.line)
            );
            put_back(token);
            at_statement_ = true;
            return false;
        }
        line_start = false;
        whole &= list_token(token, set, wants_element);
    }
    return false;
}

bool Parser::list_token(const Token& token, SetBuilder& set, bool& wants_element) {
    if (token.kind == TokenKind::comma) {
        if (!std::exchange(wants_element, true)) {
            return true;
        }
        report_.error(token.place, "a comma where an address or a port should be");
        return false;
    }
    if (token.kind == TokenKind::bad) {
        report_.error(token.place, lexer_.complaint());
        return false;
    }
    if (token.kind != TokenKind::word) {
        report_.error(token.place, describe(token) + " where an address or a port should be");
        return false;
    }
    if (!std::exchange(wants_element, false)) {
        report_.error(token.place, describe(token) + " where , or } should be");
        return false;
    }
    if (token.text.starts_with('@')) {
        report_.error(token.place, "a set inside a list", "write a rule for each set");
        return false;
    }
    if (const auto added = set.add(token.text); !added) {
        report_.error(token.place, added.error());
        return false;
    }
    return true;
}

bool Parser::rule_statement(const Token& word) {
    RuleDraft draft;
    draft.place = word.place;
    draft.verdict = *verdict_of(lower(word.text));
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
        if (!condition(draft, token)) {
            return false;
        }
    }
    stop_ |= !builder_.add_rule(std::move(draft));
    return true;
}

bool Parser::condition(RuleDraft& draft, const Token& word) {
    const std::string name = lower(word.text);
    const auto found = std::ranges::find(condition_words, name);
    if (found == condition_words.end()) {
        std::string hint = did_you_mean(name, condition_words);
        if (const auto instead = other_word_for(name); !instead.empty()) {
            hint = instead;
        }
        return fail(word, "unknown condition " + in_quotes(word.text), std::move(hint));
    }
    auto& place = draft.conditions[static_cast<std::size_t>(found - condition_words.begin())];
    if (place) {
        return fail(
            word,
            std::format("{} is given twice", name),
            "each condition once a rule; put several values in { }"
        );
    }
    place = word.place;
    switch (static_cast<Condition>(found - condition_words.begin())) {
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
    case Condition::vlan:
        return vlan(draft);
    case Condition::fragment:
        draft.fragment = true;
        return true;
    case Condition::name:
        return rule_name(draft);
    }
    std::unreachable();
}

bool Parser::operand(std::optional<Operand>& out, ElementKind wanted, const Token& word) {
    const Token token = next();
    const std::string_view what = wanted == ElementKind::port
                                      ? "a port, a range, @set or { list }"
                                      : "an address, a prefix, @set or { list }";
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

} // namespace

std::expected<RuleSet, std::vector<Diagnostic>>
parse_rules(std::string_view text, std::string_view source_name, const ReadFile& read_set_file) {
    return Parser(text, source_name, read_set_file).parse();
}

} // namespace zsync::packet
