#include "tests/packet/rules_parse.hpp"

#include <zsync/packet/error.hpp>
#include <zsync/packet/set_change.hpp>

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

using namespace zsync;
using namespace zsync::packet;

namespace {

AddressSet prefixes(const std::vector<std::string>& texts) { return parse_prefixes(texts).value(); }

/// What is kept after a change, which is read again when the daemon starts.
std::string kept(const RuleSet& rules) {
    const std::string text = format_rules(rules);
    EXPECT_EQ(format_rules(rules_of(text)), text);
    return text;
}

std::string refusal(RuleSet rules, SetChange change) {
    const auto changed = change_set(rules, std::move(change));
    return changed ? "" : changed.error().message();
}

} // namespace

TEST(SetChange, adds_removes_and_counts_what_changed) {
    RuleSet rules = rules_of("set bad { 10.0.0.0/8, 2001:db8::/32 }\ndrop from @bad\n");
    const auto counts = change_set(
        rules,
        {.set = "bad",
         .add = prefixes({"192.0.2.1", "10.0.0.0/8", "192.0.2.1"}),
         .remove = prefixes({"2001:db8::/32", "198.51.100.0/24"})}
    );
    ASSERT_TRUE(counts);
    EXPECT_EQ(counts->added, 1U);
    EXPECT_EQ(counts->removed, 1U);
    EXPECT_EQ(counts->size, 2U);
    EXPECT_EQ(
        kept(rules),
        "default pass\nmalformed drop\nset bad {\n    10.0.0.0/8,\n    192.0.2.1,\n}\ndrop from "
        "@bad\n"
    );
}

TEST(SetChange, leaves_other_sets_with_the_same_prefixes_alone) {
    RuleSet rules = rules_of("set a { 10.0.0.0/8 }\nset b { 10.0.0.0/8 }\n"
                             "drop from @a\ndrop to @a\npass from @b\npass to 10.0.0.0/8\n");
    ASSERT_TRUE(change_set(rules, {.set = "a", .add = {}, .remove = prefixes({"10.0.0.0/8"})}));
    const RuleSet read = rules_of(kept(rules));
    EXPECT_TRUE(read.address_sets[*read.rules[0].from].empty());
    EXPECT_TRUE(read.address_sets[*read.rules[1].to].empty());
    EXPECT_EQ(read.address_sets[*read.rules[2].from].size(), 1U);
    EXPECT_EQ(read.address_sets[*read.rules[3].to].size(), 1U);
}

TEST(SetChange, adds_and_removes_addresses_with_ports) {
    RuleSet rules = rules_of("set bad { 192.0.2.1:53, 10.0.0.0/8 }\ndrop from @bad\n");
    const auto counts = change_set(
        rules,
        {.set = "bad",
         .add = prefixes({"192.0.2.1:54", "[2001:db8::1]:53", "192.0.2.1"}),
         .remove = prefixes({"192.0.2.1:53", "192.0.2.1:55"})}
    );
    ASSERT_TRUE(counts);
    EXPECT_EQ(counts->added, 3U);
    EXPECT_EQ(counts->removed, 1U);
    EXPECT_EQ(
        kept(rules),
        "default pass\nmalformed drop\nset bad {\n    10.0.0.0/8,\n    192.0.2.1,\n    "
        "192.0.2.1:54,\n    [2001:db8::1]:53,\n}\ndrop from @bad\n"
    );
}

TEST(SetChange, replaces_everything) {
    RuleSet rules = rules_of("set s { 10.0.0.1, 10.0.0.2 }\ndrop from @s\n");
    const auto list = parse_prefix_list("# new\n10.0.0.2\n::1\n", "list");
    ASSERT_TRUE(list);
    const auto counts =
        change_set(rules, {.set = "s", .add = *list, .remove = {}, .replace = true});
    ASSERT_TRUE(counts);
    EXPECT_EQ(counts->added, 1U);
    EXPECT_EQ(counts->removed, 1U);
    EXPECT_EQ(rules.address_sets[*rules.rules[0].from], prefixes({"10.0.0.2", "::1"}));
}

TEST(SetChange, agrees_with_a_set_kept_by_hand) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    RuleSet rules = rules_of("set s { }\ndrop from @s\n");
    std::set<Prefix> expected;
    for (int round = 0; round < 200; ++round) {
        SetChange change{.set = "s", .add = {}, .remove = {}};
        for (int i = 0; i < 5; ++i) {
            Prefix prefix{.family = Family::ipv4, .length = 32};
            prefix.address[3] = static_cast<std::uint8_t>(random() % 16);
            const bool add = prefix.address[3] % 2 == round % 2;
            (add ? change.add : change.remove).push_back(prefix);
            add ? (void)expected.insert(prefix) : (void)expected.erase(prefix);
        }
        ASSERT_TRUE(change_set(rules, change));
        const AddressSet& set = rules.address_sets[*rules.rules[0].from];
        ASSERT_EQ(set, AddressSet(expected.begin(), expected.end())) << "round " << round;
    }
}

TEST(SetChange, says_what_is_wrong) {
    const RuleSet rules = rules_of(
        "set bad { 10.0.0.0/8 }\nset ports { 22, 80 }\ndrop from @bad proto tcp dport @ports\n"
    );
    EXPECT_EQ(
        refusal(rules, {.set = "bda", .add = {}, .remove = {}}),
        "no rule uses a set of addresses called 'bda'; did you mean bad"
    );
    EXPECT_EQ(
        refusal(rules, {.set = "", .add = {}, .remove = {}}),
        "no rule uses a set of addresses called ''; there is bad"
    );
    EXPECT_EQ(
        refusal(rules, {.set = "ports", .add = {}, .remove = {}}),
        "the set 'ports' has ports: load the rule file to change it"
    );
    EXPECT_EQ(
        refusal(
            rules, {.set = "bad", .add = prefixes({"::1"}), .remove = prefixes({"::2", "::1"})}
        ),
        "::1 is both added and removed"
    );
    EXPECT_EQ(
        parse_prefixes({"10.0.0.1", "10.1.0.0/8"}).error().message(),
        "'10.1.0.0/8' has host bits set; use 10.0.0.0/8"
    );
    EXPECT_EQ(
        parse_prefix_list("10.0.0.1\nx y\n10.1.0.0/8\n", "list").error().message(),
        "list:2:1: error: the line is no prefix; hint: one prefix a line\n"
        "list:3:1: error: '10.1.0.0/8' has host bits set; hint: use 10.0.0.0/8"
    );
}
