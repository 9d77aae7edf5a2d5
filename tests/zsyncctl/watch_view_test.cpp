#include <gtest/gtest.h>

#include <string>
#include <vector>
#include <zsyncctl/views.hpp>

namespace zsyncctl {
namespace {

RuleView rule(std::uint64_t index, const char* text, std::uint64_t packets) {
    return {.index = index, .text = text, .name = "", .packets = packets, .bytes = packets * 100};
}

Sample sample(std::uint64_t seconds, std::vector<RuleView> rules, std::uint64_t passed) {
    Sample taken;
    taken.monotonic_us = seconds * 1'000'000;
    taken.realtime_us = 1'700'000'000'000'000;
    taken.view = {
        .name = "eth0", .state = "attached", .mode = "native", .malformed_verdict = "drop"
    };
    taken.view.rules = rules.size();
    taken.counters = {.packets = passed, .bytes = passed * 100, .passed = passed};
    taken.counters.malformed = {{"ipv4_short", 0}};
    taken.list.rules = std::move(rules);
    taken.list.fallback = {.text = "default pass", .packets = passed, .bytes = passed * 100};
    return taken;
}

TEST(Watch, first_sample_has_no_rates) {
    const WatchView watch = watch_view(nullptr, sample(1, {rule(0, "drop vlan 1", 5)}, 10));
    EXPECT_FALSE(watch.total.packets);
    ASSERT_EQ(watch.rules.size(), 1U);
    EXPECT_FALSE(watch.rules[0].packets);
}

TEST(Watch, rates_are_differences_over_the_time_between) {
    const Sample before = sample(10, {rule(0, "drop vlan 1", 5)}, 100);
    const WatchView watch = watch_view(&before, sample(12, {rule(0, "drop vlan 1", 25)}, 300));
    EXPECT_EQ(watch.total.packets, 100.0);
    EXPECT_EQ(watch.total.bytes, 10'000.0);
    EXPECT_EQ(watch.rules[0].packets, 10.0);
    EXPECT_EQ(watch.rules[0].bytes, 1000.0);
    EXPECT_EQ(watch.fallback.packets, 100.0);
}

TEST(Watch, rules_are_followed_when_their_place_changes) {
    const Sample before = sample(1, {rule(0, "a", 10), rule(1, "a", 20), rule(2, "b", 30)}, 0);
    const WatchView watch = watch_view(
        &before,
        sample(2, {rule(0, "c", 9), rule(1, "b", 31), rule(2, "a", 12), rule(3, "a", 23)}, 0)
    );
    EXPECT_FALSE(watch.rules[0].packets);
    EXPECT_EQ(watch.rules[1].packets, 1.0);
    EXPECT_EQ(watch.rules[2].packets, 2.0);
    EXPECT_EQ(watch.rules[3].packets, 3.0);
}

TEST(Watch, counts_that_began_anew_have_no_rate) {
    const Sample before = sample(1, {rule(0, "a", 10)}, 50);
    const WatchView watch = watch_view(&before, sample(2, {rule(0, "a", 3)}, 7));
    EXPECT_FALSE(watch.rules[0].packets);
    EXPECT_FALSE(watch.total.packets);
}

TEST(Watch, samples_at_the_same_moment_have_no_rate) {
    const Sample before = sample(1, {}, 1);
    EXPECT_FALSE(watch_view(&before, sample(1, {}, 2)).total.packets);
}

TEST(Watch, document_is_stats_with_time_rates_and_rules) {
    const Sample before = sample(1, {rule(0, "a", 1)}, 1);
    const Json document = watch_json(watch_view(&before, sample(2, {rule(0, "a", 3)}, 3)));
    EXPECT_EQ(document["ifname"], "eth0");
    EXPECT_EQ(document["time_us"], 1'700'000'000'000'000);
    EXPECT_EQ(document["packets_per_second"], 2.0);
    EXPECT_EQ(document["rule_list"][0]["packets"], 3);
    EXPECT_EQ(document["rule_list"][0]["bytes_per_second"], 200.0);
    const Json first = watch_json(watch_view(nullptr, sample(1, {rule(0, "a", 1)}, 1)));
    EXPECT_TRUE(first["packets_per_second"].is_null());
    EXPECT_FALSE(first.dump().contains('\n'));
}

TEST(Watch, page_keeps_its_end_where_the_screen_is_small) {
    std::vector<RuleView> rules;
    rules.reserve(50);
    for (std::uint64_t i = 0; i < 50; ++i) {
        rules.push_back(rule(i, "drop vlan 1", i));
    }
    const WatchView watch = watch_view(nullptr, sample(1, rules, 10));
    for (std::size_t rows = 1; rows < 70; ++rows) {
        const auto lines = watch_lines(watch, {}, rows, 60);
        EXPECT_LE(lines.size(), rows);
        if (rows >= 10) {
            EXPECT_TRUE(lines.back().contains("malformed drop")) << rows;
            EXPECT_TRUE(lines[lines.size() - 2].contains("default pass")) << rows;
        }
        for (const std::string& line : lines) {
            EXPECT_LE(columns(line), 60U) << line;
        }
    }
    EXPECT_EQ(watch_lines(watch, {}, 0, 0).size(), 59U);
    EXPECT_TRUE(watch_lines(watch, {}, 20, 60)[17].contains("… 40 more lines"))
        << watch_lines(watch, {}, 20, 60)[17];
}

} // namespace
} // namespace zsyncctl
