// The parser of rule files. Private to the packet subsystem.
#pragma once

#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_builder.hpp>
#include <zsync/packet/rules_lexer.hpp>
#include <zsync/packet/rules_report.hpp>
#include <zsync/packet/set_text.hpp>

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

/// Recursive descent, one token ahead. A function that returns false has reported why, and the
/// statement it is in is skipped. Statements and lists are in rules_parser.cpp, a rule's conditions
/// in rules_conditions.cpp, its limit in rules_limit.cpp, the shape in rules_shape.cpp.
class Parser {
public:
    Parser(std::string_view text, std::string_view source, const ReadFile& read)
        : text_(text), lexer_(text), report_(source, lexer_), builder_(report_), read_(read) {}

    std::expected<RuleSet, std::vector<Diagnostic>> parse();

private:
    bool check_encoding();
    bool statement(const Token& word);
    std::optional<Verdict> verdict(const Token& token);
    bool default_statement(const Token& word);
    bool malformed_statement(const Token& word);
    bool cgroup_statement();
    bool end_block(const Token& brace);
    bool set_statement(const Token& word);
    bool set_name(NamedSet& set);
    bool set_file(NamedSet& set, const Token& statement);
    bool shape_statement(const Token& word);
    using PlacedClasses = std::map<std::string, Place>;
    bool shape_line(Shape& shape, const Token& word, PlacedClasses& seen);
    bool shape_class(Shape& shape, PlacedClasses& seen);
    void report_faults(const Shape& shape, const Token& word, const PlacedClasses& seen);
    bool shape_rate(std::uint64_t& rate);
    bool class_name(std::string& name);
    bool rule_statement(const Token& word, Verdict verdict);

    bool action_or_condition(RuleDraft& draft, const Token& word);
    bool once(std::optional<Place>& place, const Token& word, std::string_view hint);
    bool action(RuleDraft& draft, ActionWord which, const Token& word);
    bool mark(RuleDraft& draft);
    bool sample(RuleDraft& draft);
    bool limit(RuleDraft& draft, const Token& word);
    bool limit_part(Limit& limit, const Token& word, bool& known);
    bool limit_burst(Limit& limit);
    bool limit_key(Limit& limit);
    bool limit_adaptive(Limit& limit);
    bool condition(RuleDraft& draft, Condition which, const Token& word);
    bool operand(std::optional<Operand>& out, ElementKind wanted, const Token& word);
    bool protocol(RuleDraft& draft);
    bool flags(RuleDraft& draft);
    bool flag(TcpFlagsMatch& match);
    bool length(RuleDraft& draft, const Token& word);
    bool words(std::vector<PlacedWord>& out, const Token& condition, std::string_view what);
    bool vlan(RuleDraft& draft);
    bool interface_name(std::string& out);
    std::optional<std::string_view> cgroup_path();
    bool cgroup(RuleDraft& draft);
    bool rule_name(RuleDraft& draft);

    enum class Span : std::uint8_t { one_line, lines };
    bool list(const Token& open, SetBuilder& set, Span span);
    bool list_token(const Token& token, SetBuilder& set, bool& wants_element);

    [[nodiscard]] static bool is_statement_word(const Token& token);
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
    std::optional<Place> block_; ///< the cgroup block that is open
    bool at_statement_ = false;  ///< the token ahead starts a statement, whatever came before
};

} // namespace zsync::packet
