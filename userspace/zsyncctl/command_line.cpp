#include <algorithm>
#include <array>
#include <format>
#include <iterator>
#include <span>
#include <utility>
#include <zsyncctl/command_line.hpp>
#include <zsyncctl/nearest.hpp>

namespace zsyncctl {
namespace {

constexpr std::array common{
    Option{.name = "--json", .help = "print JSON (its fields are listed in zsyncctl(1))"},
    Option{
        .name = "--bus",
        .value = "ADDRESS",
        .help = "talk over this bus (default: $ZSYNC_BUS_ADDRESS, else the system bus)"
    },
    Option{.name = "--no-color", .help = "no colours (nor with $NO_COLOR, nor off a terminal)"},
    Option{.name = "--help", .help = "print this help"},
    Option{.name = "--version", .help = "print the version"},
};

using Verbs = std::span<const Verb* const>;

std::string_view group_of(const Verb& verb) {
    const auto space = verb.path.find(' ');
    return space == std::string_view::npos ? std::string_view{} : verb.path.substr(0, space);
}

std::string_view last_word(std::string_view path) {
    return path.substr(path.rfind(' ') + 1); // npos + 1 is the whole path
}

bool is_group(Verbs verbs, std::string_view word) {
    return std::ranges::any_of(verbs, [&](const Verb* verb) {
        return !word.empty() && group_of(*verb) == word;
    });
}

const Verb* find_verb(Verbs verbs, std::string_view path) {
    const auto found = std::ranges::find(verbs, path, &Verb::path);
    return found == verbs.end() ? nullptr : *found;
}

/// The first words of the command line: verbs that stand alone, and groups.
std::vector<std::string_view> first_words(Verbs verbs) {
    std::vector<std::string_view> words;
    for (const Verb* verb : verbs) {
        const std::string_view group = group_of(*verb);
        words.push_back(group.empty() ? verb->path : group);
    }
    words.emplace_back("help");
    return words;
}

std::string help_command(std::string_view path) {
    return path.empty() ? "zsyncctl --help" : std::format("zsyncctl {} --help", path);
}

UsageError unknown_verb(Verbs verbs, std::string_view group, std::string_view word) {
    std::vector<std::string_view> words;
    if (group.empty()) {
        words = first_words(verbs);
    }
    for (const Verb* verb : verbs) {
        if (group_of(*verb) == group && !group.empty()) {
            words.push_back(last_word(verb->path));
        }
    }
    UsageError error{
        .message = group.empty() ? std::format("unknown verb '{}'", word)
                                 : std::format("unknown verb '{} {}'", group, word),
        .hint = std::format("see '{}'", help_command(group)),
    };
    if (const std::string_view meant = nearest(word, words); !meant.empty()) {
        error.hint = std::format("did you mean '{}{}{}'?", group, group.empty() ? "" : " ", meant);
        return error;
    }
    // `zsyncctl attach` for `zsyncctl packet attach`
    for (const Verb* verb : verbs) {
        if (last_word(verb->path) == word) {
            error.hint = std::format("did you mean '{}'?", verb->path);
        }
    }
    return error;
}

const Option* find_option(Verbs verbs, std::string_view name) {
    for (const Option& option : common) {
        if (option.name == name) {
            return &option;
        }
    }
    for (const Verb* verb : verbs) {
        for (const Option& option : verb->options) {
            if (option.name == name) {
                return &option;
            }
        }
    }
    return nullptr;
}

UsageError unknown_option(Verbs verbs, std::string_view name) {
    std::vector<std::string_view> names;
    const auto add = [&names](std::span<const Option> options) {
        std::ranges::transform(options, std::back_inserter(names), &Option::name);
    };
    add(common);
    for (const Verb* verb : verbs) {
        add(verb->options);
    }
    // One letter is near to every other.
    std::erase_if(names, [](std::string_view known) { return !known.starts_with("--"); });
    const std::string_view meant = nearest(name, names);
    return {
        .message = std::format("unknown option '{}'", name),
        .hint = meant.empty() ? std::format("see '{}'", help_command(""))
                              : std::format("did you mean '{}'?", meant),
    };
}

struct Words {
    std::vector<std::string> plain;
    std::map<std::string, std::string, std::less<>> options;
};

std::expected<Words, UsageError>
split_options(std::span<const std::string> arguments, Verbs verbs) {
    Words words;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view argument = arguments[i];
        if (argument == "--") {
            words.plain.insert(
                words.plain.end(),
                arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                arguments.end()
            );
            break;
        }
        if (argument == "-h") {
            words.options["--help"] = "";
            continue;
        }
        if (!argument.starts_with('-') || argument == "-") {
            words.plain.emplace_back(argument);
            continue;
        }
        const auto equals = argument.find('=');
        const std::string name(argument.substr(0, equals));
        const Option* option = find_option(verbs, name);
        if (option == nullptr) {
            return std::unexpected(unknown_option(verbs, name));
        }
        if (option->value.empty() && equals != std::string_view::npos) {
            return std::unexpected(UsageError{
                .message = std::format("option '{}' takes no value", name),
                .hint = std::format("write just '{}'", name)
            });
        }
        if (option->value.empty()) {
            words.options[name] = "";
        } else if (equals != std::string_view::npos) {
            words.options[name] = argument.substr(equals + 1);
        } else if (i + 1 < arguments.size()) {
            words.options[name] = arguments[++i];
        } else {
            return std::unexpected(UsageError{
                .message = std::format("option '{}' needs a value", name),
                .hint = std::format("write '{} {}'", name, option->value)
            });
        }
    }
    return words;
}

/// Takes the words that select a verb off the front of `invocation.operands`.
std::expected<void, UsageError> select_verb(Invocation& invocation, Verbs verbs) {
    std::vector<std::string>& words = invocation.operands;
    const bool help = invocation.wish == Invocation::Wish::help;
    if (words.empty()) {
        if (help) {
            return {};
        }
        return std::unexpected(
            UsageError{.message = "no verb", .hint = std::format("see '{}'", help_command(""))}
        );
    }
    std::string path = words.front();
    words.erase(words.begin());
    if (is_group(verbs, path)) {
        invocation.group = path;
        if (words.empty() && help) {
            return {};
        }
        if (words.empty()) {
            return std::unexpected(UsageError{
                .message = std::format("'{}' needs a verb", path),
                .hint = std::format("see '{}'", help_command(path))
            });
        }
        path += ' ' + words.front();
        words.erase(words.begin());
    }
    invocation.verb = find_verb(verbs, path);
    if (invocation.verb == nullptr) {
        return std::unexpected(unknown_verb(verbs, invocation.group, last_word(path)));
    }
    return {};
}

std::expected<void, UsageError> check_operands(const Invocation& invocation) {
    const Verb& verb = *invocation.verb;
    const std::string usage = std::format("usage: zsyncctl {} {}", verb.path, verb.operands);
    if (invocation.operands.size() < verb.operands_min) {
        return std::unexpected(UsageError{
            .message = std::format("'{}' needs {}", verb.path, verb.operands), .hint = usage
        });
    }
    if (invocation.operands.size() > verb.operands_max) {
        return std::unexpected(UsageError{
            .message = std::format(
                "'{}' is too much for '{}'", invocation.operands[verb.operands_max], verb.path
            ),
            .hint = verb.operands.empty() ? std::format("usage: zsyncctl {}", verb.path) : usage
        });
    }
    for (const std::string& operand : invocation.operands) {
        if (operand.empty()) {
            return std::unexpected(UsageError{.message = "an operand is empty", .hint = usage});
        }
    }
    return {};
}

std::expected<void, UsageError> check_options(const Invocation& invocation, Verbs verbs) {
    const auto belongs = [](std::span<const Option> options, std::string_view name) {
        return std::ranges::contains(options, name, &Option::name);
    };
    for (const auto& [name, value] : invocation.options) {
        if (belongs(common, name) || belongs(invocation.verb->options, name)) {
            continue;
        }
        const auto owner = std::ranges::find_if(verbs, [&](const Verb* verb) {
            return belongs(verb->options, name);
        });
        return std::unexpected(UsageError{
            .message = std::format("'{}' has no option '{}'", invocation.verb->path, name),
            .hint = std::format("it belongs to '{}'", (*owner)->path)
        });
    }
    return {};
}

std::string option_lines(std::span<const Option> options) {
    std::string text;
    for (const Option& option : options) {
        const std::string left = option.value.empty()
                                     ? std::string(option.name)
                                     : std::format("{} {}", option.name, option.value);
        text += std::format("  {:<20} {}\n", left, option.help);
    }
    return text;
}

std::string verb_lines(Verbs verbs, std::string_view group) {
    constexpr std::size_t left_width = 28;
    std::string text;
    for (const Verb* verb : verbs) {
        if (group.empty() || group_of(*verb) == group) {
            std::string left = std::format("{} {}", verb->path, verb->operands);
            if (left.size() > left_width) {
                text += std::format("  {}\n", std::exchange(left, ""));
            }
            text += std::format("  {:<{}} {}\n", left, left_width, verb->summary);
        }
    }
    return text;
}

} // namespace

std::optional<std::string> Invocation::value(std::string_view option) const {
    const auto found = options.find(option);
    return found == options.end() ? std::nullopt : std::optional(found->second);
}

std::span<const Option> common_options() { return common; }

std::expected<Invocation, UsageError>
parse_command_line(std::span<const std::string> arguments, Verbs verbs) {
    auto words = split_options(arguments, verbs);
    if (!words) {
        return std::unexpected(words.error());
    }
    Invocation invocation;
    invocation.options = std::move(words->options);
    invocation.operands = std::move(words->plain);
    if (invocation.has("--version")) {
        invocation.wish = Invocation::Wish::version;
        return invocation;
    }
    if (!invocation.operands.empty() && invocation.operands.front() == "help") {
        invocation.wish = Invocation::Wish::help;
        invocation.operands.erase(invocation.operands.begin());
    }
    if (invocation.has("--help")) {
        invocation.wish = Invocation::Wish::help;
    }
    if (auto selected = select_verb(invocation, verbs); !selected) {
        return std::unexpected(selected.error());
    }
    if (invocation.wish == Invocation::Wish::help) {
        return invocation;
    }
    if (auto checked = check_options(invocation, verbs); !checked) {
        return std::unexpected(checked.error());
    }
    if (auto checked = check_operands(invocation); !checked) {
        return std::unexpected(checked.error());
    }
    if (const auto check = invocation.verb->check) {
        if (auto checked = check(invocation); !checked) {
            return std::unexpected(checked.error());
        }
    }
    return invocation;
}

std::string help_text(const Invocation& invocation, Verbs verbs) {
    std::string text;
    if (const Verb* verb = invocation.verb) {
        text = std::format(
            "usage: zsyncctl {}{}{} [OPTION...]\n\n{}.\n",
            verb->path,
            verb->operands.empty() ? "" : " ",
            verb->operands,
            verb->summary
        );
        if (!verb->details.empty()) {
            text += std::format("\n{}\n", verb->details);
        }
        text += "\nOptions:\n" + option_lines(verb->options);
    } else {
        text = std::format(
            "usage: zsyncctl {}{}VERB [ARGUMENT...] [OPTION...]\n\n"
            "Sees and steers zsyncd, the packet filter service, over D-Bus.\n\n"
            "Verbs:\n{}\nOptions:\n",
            invocation.group,
            invocation.group.empty() ? "" : " ",
            verb_lines(verbs, invocation.group)
        );
    }
    return text + option_lines(common) +
           "\nExit status: 0 done, 1 refused, 2 wrong usage. Manual: man zsyncctl\n";
}

} // namespace zsyncctl
