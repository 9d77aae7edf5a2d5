// What zsync-rules(5) and the shipped examples say is what the parser does.
#include <zsync/packet/limits.hpp>

#include <gtest/gtest.h>

#include <array>
#include <format>
#include <regex>
#include <tests/packet/rules_parse.hpp>

using namespace zsync;
using namespace zsync::packet;

namespace {

std::string text_of(std::string_view path) {
    auto text = read_regular_file(std::format("{}/{}", ZSYNC_SOURCE_DIR, path));
    EXPECT_TRUE(text) << (text ? "" : text.error().message());
    return text.value_or("");
}

/// The texts between lines of three backquotes.
std::vector<std::string> blocks_in(std::string_view page) {
    constexpr std::string_view fence = "\n```\n";
    std::vector<std::string> blocks;
    while (true) {
        const std::size_t open = page.find(fence);
        if (open == std::string_view::npos) {
            return blocks;
        }
        page.remove_prefix(open + fence.size() - 1);
        const std::size_t close = page.find(fence);
        blocks.emplace_back(page.substr(1, close));
        page.remove_prefix(close + fence.size() - 1);
    }
}

} // namespace

TEST(RulesDocs, examples_of_the_manual_page_parse) {
    const std::string page = text_of("docs/man/zsync-rules.5.scd");
    const Files files{{"/etc/zsync/blocklist.txt", "192.0.2.0/24\n"}};
    const std::size_t examples = page.find("\n# EXAMPLES");
    ASSERT_NE(examples, std::string::npos);
    const std::vector<std::string> blocks = blocks_in(std::string_view(page).substr(examples));
    EXPECT_EQ(blocks.size(), 5U);
    for (const std::string& block : blocks) {
        EXPECT_EQ(errors_of(block, files), "") << block;
    }
}

TEST(RulesDocs, examples_of_the_page_of_the_packet_plane_parse) {
    const std::string page = text_of("docs/packet.md");
    const std::vector<std::string> blocks = blocks_in(page);
    ASSERT_FALSE(blocks.empty());
    EXPECT_TRUE(blocks.back().starts_with("shape "));
    EXPECT_EQ(errors_of(blocks.back()), "") << blocks.back();
    // Between backquotes, but for words in capitals that stand for others.
    const std::regex rule("`((?:pass|drop) [^`A-Z]+)`");
    int rules = 0;
    for (std::sregex_iterator found(page.begin(), page.end(), rule), end; found != end; ++found) {
        EXPECT_EQ(errors_of((*found)[1].str()), "") << (*found)[1];
        ++rules;
    }
    EXPECT_GE(rules, 3);
}

TEST(RulesDocs, the_error_of_the_manual_page_is_a_real_one) {
    const std::string page = text_of("docs/man/zsync-rules.5.scd");
    const auto rules = parse_rules("\n\n\n\n\n\ndrop from 10.1.0.0/8", "eth0.rules", reading({}));
    ASSERT_FALSE(rules);
    EXPECT_TRUE(page.contains("\n" + rules.error().at(0).message() + "\n"));
}

TEST(RulesDocs, limits_of_the_manual_page_are_those_of_the_code) {
    const std::string page = text_of("docs/man/zsync-rules.5.scd");
    const std::array<std::size_t, 13> limits_in_order{
        limits::rules_max,
        limits::sets_max,
        limits::cgroups_max,
        limits::address_sets_max,
        limits::prefixes_max,
        limits::port_ranges_max,
        limits::file_bytes_max,
        limits::line_bytes_max,
        limits::name_bytes_max,
        limits::rule_text_bytes_max,
        limits::path_bytes_max,
        limits::diagnostics_max,
        limits::shape_classes_max,
    };
    std::size_t at = page.find("\n# LIMITS");
    for (const std::size_t limit : limits_in_order) {
        at = page.find(std::format("\n:  {}\n", limit), at);
        ASSERT_NE(at, std::string::npos) << limit;
        ++at;
    }
}

TEST(RulesDocs, the_rules_of_the_lab_parse) {
    EXPECT_EQ(errors_of(text_of("examples/lab.rules")), "");
}
