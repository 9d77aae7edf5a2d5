#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>
#include <zsyncctl/command_line.hpp>
#include <zsyncctl/nearest.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {
namespace {

using Words = std::vector<std::string>;

std::expected<Invocation, UsageError> parse(const Words& words) {
    return parse_command_line(words, all_verbs);
}

struct Wrong {
    Words words;
    std::string message;
    std::string hint;
};

std::string typed(const Wrong& wrong) {
    std::string line = "zsyncctl";
    for (const std::string& word : wrong.words) {
        line += " " + word;
    }
    return line;
}

/// What a failure prints of its parameter.
void PrintTo(const Wrong& wrong, std::ostream* out) { *out << typed(wrong); }

/// The line typed, with what a test's name cannot have left out.
std::string case_name(const testing::TestParamInfo<Wrong>& wrong) {
    std::string name;
    for (const char c : typed(wrong.param)) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (letter || !name.ends_with('_')) {
            name += letter ? c : '_';
        }
    }
    return name;
}

class WrongUsage : public testing::TestWithParam<Wrong> {};

TEST_P(WrongUsage, says_what_is_wrong_and_what_to_type) {
    const auto parsed = parse(GetParam().words);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().message, GetParam().message);
    EXPECT_EQ(parsed.error().hint, GetParam().hint);
}

INSTANTIATE_TEST_SUITE_P(
    CommandLine,
    WrongUsage,
    testing::Values(
        Wrong{{}, "no verb", "see 'zsyncctl --help'"},
        Wrong{{"statsu"}, "unknown verb 'statsu'", "did you mean 'status'?"},
        Wrong{{"frobnicate"}, "unknown verb 'frobnicate'", "see 'zsyncctl --help'"},
        Wrong{{"packet"}, "'packet' needs a verb", "see 'zsyncctl packet --help'"},
        Wrong{{"packte"}, "unknown verb 'packte'", "did you mean 'packet'?"},
        Wrong{
            {"packet", "lod", "e", "f"}, "unknown verb 'packet lod'", "did you mean 'packet load'?"
        },
        Wrong{{"attach", "eth0"}, "unknown verb 'attach'", "did you mean 'packet attach'?"},
        Wrong{
            {"packet", "attach"},
            "'packet attach' needs IFACE",
            "usage: zsyncctl packet attach IFACE"
        },
        Wrong{
            {"packet", "load", "eth0"},
            "'packet load' needs IFACE FILE",
            "usage: zsyncctl packet load IFACE FILE"
        },
        Wrong{{"status", "now"}, "'now' is too much for 'status'", "usage: zsyncctl status"},
        Wrong{{"packet", "rules", ""}, "an operand is empty", "usage: zsyncctl packet rules IFACE"},
        Wrong{{"status", "--jsn"}, "unknown option '--jsn'", "did you mean '--json'?"},
        Wrong{{"status", "--zzzzzz"}, "unknown option '--zzzzzz'", "see 'zsyncctl --help'"},
        Wrong{{"status", "-x"}, "unknown option '-x'", "see 'zsyncctl --help'"},
        Wrong{{"status", "--bus"}, "option '--bus' needs a value", "write '--bus ADDRESS'"},
        Wrong{{"status", "--json=1"}, "option '--json' takes no value", "write just '--json'"},
        Wrong{
            {"status", "--check"}, "'status' has no option '--check'", "it belongs to 'packet load'"
        },
        Wrong{
            {"packet", "attach", "e", "--mode", "genric"},
            "unknown mode 'genric'",
            "did you mean 'generic'?"
        },
        Wrong{
            {"packet", "attach", "e", "--mode=zzz"},
            "unknown mode 'zzz'",
            "--mode takes auto, native or generic"
        },
        Wrong{
            {"packet", "watch", "e", "--count", "0"},
            "'0' is no count",
            "--count takes a whole number from 1"
        },
        Wrong{
            {"packet", "watch", "e", "--count", "3x"},
            "'3x' is no count",
            "--count takes a whole number from 1"
        }
    ),
    case_name
);

TEST(CommandLine, options_stand_anywhere) {
    for (const Words& words :
         {Words{"--json", "packet", "load", "eth0", "r", "--check"},
          Words{"packet", "--check", "load", "--json", "eth0", "r"},
          Words{"packet", "load", "eth0", "--check", "r", "--json"}}) {
        const auto parsed = parse(words);
        ASSERT_TRUE(parsed) << parsed.error().message;
        EXPECT_EQ(parsed->verb, &packet_load_verb);
        EXPECT_EQ(parsed->operands, (Words{"eth0", "r"}));
        EXPECT_TRUE(parsed->has("--json"));
        EXPECT_TRUE(parsed->has("--check"));
    }
}

TEST(CommandLine, option_values_may_be_joined_with_an_equals_sign) {
    for (const Words& words :
         {Words{"status", "--bus", "unix:path=/a=b"}, Words{"--bus=unix:path=/a=b", "status"}}) {
        const auto parsed = parse(words);
        ASSERT_TRUE(parsed);
        EXPECT_EQ(parsed->value("--bus"), "unix:path=/a=b");
    }
}

TEST(CommandLine, two_dashes_end_options_and_one_is_an_operand) {
    const auto parsed = parse({"packet", "load", "eth0", "-"});
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->operands, (Words{"eth0", "-"}));
    const auto dashes = parse({"packet", "load", "--", "eth0", "--check"});
    ASSERT_TRUE(dashes);
    EXPECT_EQ(dashes->operands, (Words{"eth0", "--check"}));
    EXPECT_FALSE(dashes->has("--check"));
}

TEST(CommandLine, help_is_there_at_each_level) {
    for (const Words& words : {Words{"--help"}, Words{"-h"}, Words{"help"}}) {
        const auto parsed = parse(words);
        ASSERT_TRUE(parsed);
        EXPECT_EQ(parsed->wish, Invocation::Wish::help);
        const std::string text = help_text(*parsed, all_verbs);
        for (const Verb* verb : all_verbs) {
            EXPECT_TRUE(text.contains(verb->path)) << verb->path;
        }
    }
    const auto group = parse({"packet", "--help"});
    ASSERT_TRUE(group);
    EXPECT_TRUE(help_text(*group, all_verbs).contains("packet watch"));
    EXPECT_FALSE(help_text(*group, all_verbs).contains("features"));
    // Summaries begin at one column, below what is too long to stand before them.
    const std::string all = help_text(*parse({"--help"}), all_verbs);
    for (const Verb* verb : all_verbs) {
        const std::size_t at = all.find(verb->summary);
        ASSERT_NE(at, std::string::npos) << verb->path;
        EXPECT_EQ(at - all.rfind('\n', at), 32U) << verb->path;
    }
    for (const Verb* verb : all_verbs) {
        Words words{"help"};
        for (std::size_t at = 0; at != std::string_view::npos;) {
            const std::size_t space = verb->path.find(' ', at);
            words.emplace_back(verb->path.substr(at, space - at));
            at = space == std::string_view::npos ? space : space + 1;
        }
        const auto parsed = parse(words);
        ASSERT_TRUE(parsed) << verb->path;
        EXPECT_EQ(parsed->verb, verb);
        const std::string text = help_text(*parsed, all_verbs);
        EXPECT_TRUE(text.starts_with("usage: zsyncctl " + std::string(verb->path)));
        for (const Option& option : verb->options) {
            EXPECT_TRUE(text.contains(option.name)) << option.name;
        }
    }
}

TEST(CommandLine, manual_has_every_verb_with_its_options_and_no_other) {
    std::ifstream file(ZSYNC_SOURCE_DIR "/docs/man/zsyncctl.1.scd");
    std::map<std::string, std::set<std::string>> entries; // options by verb
    const std::regex option(R"(\*(--?[a-z-]+)\*)");
    std::string verb;
    bool within = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("# ")) {
            within = line == "# VERBS";
        } else if (within && line.starts_with('*')) {
            verb = line.substr(1, line.find('*', 1) - 1);
            entries[verb];
        }
        // Of every verb.
        for (std::sregex_iterator at(line.begin(), line.end(), option), end; within && at != end;
             ++at) {
            if ((*at)[1] != "--json" && (*at)[1] != "--help") {
                entries[verb].insert((*at)[1]);
            }
        }
    }
    ASSERT_TRUE(entries.erase("help"));
    std::map<std::string, std::set<std::string>> expected;
    for (const Verb* one : all_verbs) {
        std::set<std::string>& names = expected[std::string(one->path)];
        for (const Option& each : one->options) {
            names.emplace(each.name);
        }
    }
    EXPECT_EQ(entries, expected);
}

TEST(CommandLine, help_wins_over_missing_operands_and_version_over_all) {
    const auto help = parse({"packet", "load", "--help"});
    ASSERT_TRUE(help);
    EXPECT_EQ(help->wish, Invocation::Wish::help);
    const auto version = parse({"nonsense", "--version"});
    ASSERT_TRUE(version);
    EXPECT_EQ(version->wish, Invocation::Wish::version);
}

TEST(CommandLine, help_lines_fit_a_terminal_of_100_columns) {
    for (const Verb* verb : all_verbs) {
        Invocation invocation;
        invocation.wish = Invocation::Wish::help;
        for (const Verb* shown : {verb, static_cast<const Verb*>(nullptr)}) {
            invocation.verb = shown;
            const std::string text = help_text(invocation, all_verbs);
            for (std::size_t at = 0; at < text.size();) {
                const std::size_t end = text.find('\n', at);
                EXPECT_LE(end - at, 100U) << text.substr(at, end - at);
                at = end + 1;
            }
        }
    }
}

TEST(CommandLine, watch_interval_is_held_to_its_limits) {
    for (const char* good : {"0.1", "3600", "2.5"}) {
        EXPECT_TRUE(parse({"packet", "watch", "e", "--interval", good})) << good;
    }
    for (const char* bad : {"0.09", "3600.1", "0", "-1", "nan", "inf", "1s", ""}) {
        EXPECT_FALSE(parse({"packet", "watch", "e", "--interval", bad})) << bad;
    }
}

TEST(Nearest, counts_each_kind_of_typing_error_once) {
    EXPECT_EQ(typing_distance("status", "status"), 0U);
    EXPECT_EQ(typing_distance("stats", "status"), 1U);
    EXPECT_EQ(typing_distance("statusx", "status"), 1U);
    EXPECT_EQ(typing_distance("statis", "status"), 1U);
    EXPECT_EQ(typing_distance("sttaus", "status"), 1U);
    EXPECT_EQ(typing_distance("", "abc"), 3U);
}

TEST(Nearest, guesses_only_what_is_near) {
    constexpr std::array<std::string_view, 3> words{"attach", "detach", "load"};
    EXPECT_EQ(nearest("atach", words), "attach");
    EXPECT_EQ(nearest("lo", words), "load");
    EXPECT_EQ(nearest("xyz", words), "");
    EXPECT_EQ(nearest("", words), "");
}

} // namespace
} // namespace zsyncctl
