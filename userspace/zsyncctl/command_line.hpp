// The command line: which verb, with which options and operands.
#pragma once

#include <cstddef>
#include <expected>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <zsyncctl/refusal.hpp>

namespace zsyncctl {

class Session;

struct Option {
    std::string_view name;    ///< with its dashes
    std::string_view value{}; ///< what it takes, as the help calls it; empty for a switch
    std::string_view help;
};

struct Invocation;

/// A command line that was not understood: what is wrong, and what to type instead.
struct UsageError {
    std::string message;
    std::string hint;
};

/// One verb: what the command line may say and what is done then.
struct Verb {
    std::string_view path;     ///< words that select it, as `packet attach`
    std::string_view operands; ///< as the help shows them
    std::size_t operands_min = 0;
    std::size_t operands_max = 0;
    std::string_view summary; ///< one line
    std::string_view details; ///< further lines of its help, or empty
    std::span<const Option> options;
    /// Whether the values of its options make sense; may be null.
    std::expected<void, UsageError> (*check)(const Invocation&) = nullptr;
    Answer<void> (*run)(Session&) = nullptr;
};

/// A command line that was understood.
struct Invocation {
    enum class Wish : unsigned char { run, help, version };
    Wish wish = Wish::run;
    const Verb* verb = nullptr; ///< null for help on everything, and for the version
    std::string group;          ///< help on a group of verbs, as `packet`
    std::map<std::string, std::string, std::less<>> options; ///< by name with dashes
    std::vector<std::string> operands;

    [[nodiscard]] bool has(std::string_view option) const { return options.contains(option); }
    [[nodiscard]] std::optional<std::string> value(std::string_view option) const;
};

/// The options that every verb takes.
std::span<const Option> common_options();

/// Options may stand anywhere and be given as `--option value` or `--option=value`; `--` ends them.
std::expected<Invocation, UsageError>
parse_command_line(std::span<const std::string> arguments, std::span<const Verb* const> verbs);

/// What `--help` prints: for one verb, for a group, or for everything.
std::string help_text(const Invocation& invocation, std::span<const Verb* const> verbs);

} // namespace zsyncctl
