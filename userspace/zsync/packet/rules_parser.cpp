#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/rules_parser.hpp>

#include <algorithm>
#include <format>
#include <utility>

namespace zsync::packet {
namespace {

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

} // namespace

bool Parser::is_statement_word(const Token& token) {
    return token.kind == TokenKind::word &&
           std::ranges::contains(statement_words, lower(token.text));
}

Token Parser::next() {
    if (ahead_) {
        const Token token = *ahead_;
        ahead_.reset();
        return token;
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
    if (block_) {
        report_.error(*block_, "the { is not closed", "close it with } on a line of its own");
    }
    RuleSet rules = builder_.finish();
    if (!report_.empty()) {
        return std::unexpected(report_.take());
    }
    return rules;
}

bool Parser::statement(const Token& word) {
    if (word.kind == TokenKind::close) {
        return end_block(word);
    }
    if (word.kind != TokenKind::word) {
        return fail_expected(
            word,
            "a statement",
            "a line starts with pass, drop, set, cgroup, shape, default or malformed"
        );
    }
    const std::string name = lower(word.text);
    if (name == "default") {
        return default_statement(word);
    }
    if (name == "malformed") {
        return malformed_statement(word);
    }
    if (name == "cgroup") {
        return cgroup_statement();
    }
    if (name == "set") {
        return set_statement(word);
    }
    if (name == "shape") {
        return shape_statement(word);
    }
    if (const auto verdict = verdict_of(name)) {
        return rule_statement(word, *verdict);
    }
    std::string hint = did_you_mean(name, statement_words);
    if (hint.empty()) {
        const bool pass = name == "accept" || name == "allow" || name == "permit";
        const bool drop = name == "deny" || name == "block" || name == "reject";
        hint = pass   ? "the verdict is called pass"
               : drop ? "the verdict is called drop"
                      : "a line starts with pass, drop, set, cgroup, shape, default or malformed";
    }
    return fail(word, "unknown word " + in_quotes(word.text), std::move(hint));
}

std::optional<Verdict> Parser::verdict(const Token& token) {
    const std::string name = lower(token.text);
    const auto verdict = token.kind == TokenKind::word ? verdict_of(name) : std::nullopt;
    if (!verdict) {
        (void)fail_expected(token, "pass or drop", did_you_mean(name, verdict_words));
    }
    return verdict;
}

bool Parser::default_statement(const Token& word) {
    Token token = next();
    Direction direction = Direction::in;
    const auto found = std::ranges::find(direction_words, lower(token.text));
    if (token.kind == TokenKind::word && found != direction_words.end()) {
        direction = static_cast<Direction>(found - direction_words.begin());
        token = next();
    }
    const auto said = verdict(token);
    if (!said) {
        return false;
    }
    builder_.default_verdict(word.place, direction, *said);
    return true;
}

bool Parser::malformed_statement(const Token& word) {
    if (block_) {
        return fail(word, "malformed inside a cgroup block", "it stands once, outside, for all");
    }
    const auto said = verdict(next());
    if (!said) {
        return false;
    }
    builder_.malformed_verdict(word.place, *said);
    return true;
}

bool Parser::cgroup_statement() {
    const auto path = cgroup_path();
    if (!path) {
        return false;
    }
    const Token brace = next();
    if (brace.kind != TokenKind::open) {
        return fail_expected(brace, "{", "cgroup PATH {, then its rules, then }");
    }
    if (block_) {
        return fail(brace, "a cgroup block inside another", "close that first");
    }
    block_ = brace.place;
    builder_.begin_cgroup(brace.place, *path);
    const Token behind = next();
    if (behind.kind == TokenKind::close) {
        return end_block(behind);
    }
    put_back(behind);
    return true;
}

bool Parser::end_block(const Token& brace) {
    if (!block_) {
        return fail_expected(
            brace,
            "a statement",
            "a line starts with pass, drop, set, cgroup, shape, default or malformed"
        );
    }
    block_.reset();
    builder_.end_cgroup();
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

std::expected<RuleSet, std::vector<Diagnostic>>
parse_rules(std::string_view text, std::string_view source_name, const ReadFile& read_set_file) {
    return Parser(text, source_name, read_set_file).parse();
}

} // namespace zsync::packet
