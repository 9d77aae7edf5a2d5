#include <zsync/packet/limits.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <format>
#include <tests/packet/rules_parse.hpp>

using namespace zsync;
using namespace zsync::packet;

namespace {

std::string repeated(std::size_t count, auto line) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        text += line(i);
    }
    return text;
}

std::string host(std::size_t i) {
    return std::format("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255);
}

std::string hosts(std::size_t count) {
    return repeated(count, [](std::size_t i) { return host(i) + ",\n"; });
}

/// Of the processor's time. Generous: the point is that nothing is quadratic. Sanitizers look at
/// each access, which takes ten times as long.
#ifdef ZSYNC_SANITIZED
constexpr std::chrono::seconds hostile_time_max{50};
#else
constexpr std::chrono::seconds hostile_time_max{5};
#endif

struct Timed {
    std::string errors;
    std::chrono::nanoseconds took; ///< of the processor's time, so that nobody else's work counts
};

std::chrono::nanoseconds processor_time() {
    timespec time{};
    EXPECT_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Timed timed(std::string_view text, const Files& files = {}) {
    const std::chrono::nanoseconds began = processor_time();
    std::string errors = errors_of(text, files);
    return {.errors = std::move(errors), .took = processor_time() - began};
}

} // namespace

TEST(RulesLimits, rules) {
    const auto line = [](std::size_t) { return "drop vlan 1\n"; };
    EXPECT_EQ(rules_of(repeated(limits::rules_max, line)).rules.size(), limits::rules_max);
    EXPECT_EQ(
        errors_of(repeated(limits::rules_max + 5, line)),
        std::format("r:{}:1: error: more than {} rules", limits::rules_max + 1, limits::rules_max)
    );
}

TEST(RulesLimits, sets) {
    const auto line = [](std::size_t i) { return std::format("set s{} {{ 10.0.0.1 }}\n", i); };
    EXPECT_EQ(errors_of(repeated(limits::sets_max, line)), "");
    EXPECT_EQ(
        errors_of(repeated(limits::sets_max + 5, line)),
        std::format("r:{}:5: error: more than {} sets", limits::sets_max + 1, limits::sets_max)
    );
}

TEST(RulesLimits, address_sets) {
    static_assert(limits::address_sets_max < 2 * limits::rules_max);
    const auto line = [](std::size_t i) {
        return std::format("drop from 10.0.{0}.{1} to 10.1.{0}.{1}\n", i / 256, i % 256);
    };
    const std::size_t rules = limits::address_sets_max / 2;
    EXPECT_EQ(
        rules_of(repeated(rules, line)).address_sets.size(), std::size_t{limits::address_sets_max}
    );
    EXPECT_EQ(
        errors_of(repeated(rules, line) + "drop from 1.1.1.1"),
        std::format(
            "r:{}:11: error: more than {} different sets of addresses; hint: put addresses that "
            "share a verdict into one set",
            rules + 1,
            limits::address_sets_max
        )
    );
}

TEST(RulesLimits, prefixes_of_a_set) {
    const std::string use = "drop from @s\n";
    const RuleSet rules = rules_of("set s {\n" + hosts(limits::prefixes_max) + "}\n" + use);
    EXPECT_EQ(rules.address_sets.at(0).size(), limits::prefixes_max);
    // Duplicates are free: the limit is on what is left.
    const std::string once = hosts(limits::prefixes_max);
    EXPECT_EQ(errors_of("set s {\n" + once + once + "}\n" + use), "");
    EXPECT_EQ(
        errors_of("set s {\n" + hosts(limits::prefixes_max + 1) + "}\n" + use),
        std::format("r:1:5: error: more than {} prefixes", limits::prefixes_max)
    );
    EXPECT_EQ(
        errors_of("set s {\n" + hosts(limits::prefixes_max * 2) + "}\n" + use),
        std::format("r:1:5: error: more than {} prefixes", limits::prefixes_max)
    );
}

TEST(RulesLimits, prefixes_of_a_set_file) {
    const auto line = [](std::size_t i) { return host(i) + "\n"; };
    const std::string text = "set s file \"/s\"\ndrop from @s\n";
    EXPECT_EQ(errors_of(text, {{"/s", repeated(limits::prefixes_max, line)}}), "");
    EXPECT_EQ(
        errors_of(text, {{"/s", repeated(limits::prefixes_max + 1, line)}}),
        std::format("r:1:5: error: more than {} prefixes", limits::prefixes_max)
    );
}

TEST(RulesLimits, prefixes_in_use) {
    const std::string most = "set s {\n" + hosts(limits::prefixes_max - 1) + "}\ndrop from @s\n";
    EXPECT_EQ(errors_of(most + "drop from 1.1.1.1\ndrop to 1.1.1.1\n"), "");
    EXPECT_EQ(
        errors_of(most + "drop from 1.1.1.1\ndrop to 2.2.2.2\n"),
        std::format(
            "r:{}:9: error: more than {} prefixes in use",
            limits::prefixes_max + 4,
            limits::prefixes_max
        )
    );
    // A second name for the same prefixes counts: the self-contained text has both.
    const std::string body = "{\n" + hosts(limits::prefixes_max / 2 + 1) + "}\n";
    EXPECT_NE(errors_of("set a " + body + "set b " + body + "drop from @a to @b\n"), "");
}

TEST(RulesLimits, port_ranges) {
    const auto port = [](std::size_t i) { return std::format("{},", i * 2); };
    const std::string most = repeated(limits::port_ranges_max, port);
    const std::string over = repeated(limits::port_ranges_max + 1, port);
    EXPECT_EQ(errors_of("set p { " + most + " }\ndrop proto tcp dport @p"), "");
    EXPECT_EQ(
        errors_of("set p { " + over + " }"),
        std::format(
            "r:1:5: error: {} port ranges, and at most {} fit; hint: split the rule",
            limits::port_ranges_max + 1,
            limits::port_ranges_max
        )
    );
    // Neighbours are one range, and every port there is at once is no burden.
    const std::string all =
        repeated(300'000, [](std::size_t i) { return std::format("{},\n", i % 65536); });
    const RuleSet rules = rules_of("set p { " + all + " }\ndrop proto tcp dport @p");
    EXPECT_EQ(rules.rules.at(0).destination_ports, (std::vector<PortRange>{{0, 65535}}));
}

TEST(RulesLimits, names) {
    const std::string most(limits::name_bytes_max, 'n');
    EXPECT_EQ(errors_of("set " + most + " { }\ndrop from @" + most + " name \"" + most + "\""), "");
    EXPECT_NE(errors_of("set n" + most + " { }"), "");
    EXPECT_EQ(
        errors_of("drop name \"n" + most + "\""),
        std::format(
            "r:1:11: error: the name is {0} bytes long; hint: a name has 1 to {1} bytes",
            limits::name_bytes_max + 1,
            limits::name_bytes_max
        )
    );
}

TEST(RulesLimits, rule_text) {
    const std::string a(limits::name_bytes_max, 'a');
    const std::string p(limits::name_bytes_max, 'p');
    const auto text = [&](const std::string& last) {
        return std::format(
            "set {0} {{ 1.1.1.1 }}\nset {1} {{ 1 }}\nset {2} {{ 2 }}\n"
            "drop from @{0} to @{0} proto tcp sport @{1} dport @{2}",
            a,
            p,
            last
        );
    };
    const std::size_t rest =
        std::format("drop from @{0} to @{0} proto tcp sport @{1} dport @", a, p).size();
    const std::string fits(limits::rule_text_bytes_max - rest, 'q');
    EXPECT_EQ(rules_of(text(fits)).rules.at(0).text.size(), limits::rule_text_bytes_max);
    EXPECT_EQ(
        errors_of(text(fits + "q")),
        std::format(
            "r:4:1: error: the rule is {} bytes long in its canonical form, and {} fit; hint: give "
            "its {{ list }} a name: set NAME {{ list }}, then @NAME",
            limits::rule_text_bytes_max + 1,
            limits::rule_text_bytes_max
        )
    );
}

TEST(RulesLimits, file_and_line_bytes) {
    const std::string comment(limits::line_bytes_max - 1, 'x');
    EXPECT_EQ(errors_of("#" + comment + "\r\ndrop\n"), "");
    const std::string too_long = std::format(
        "r:1:{}: error: the line is over {} bytes long; hint: break it; a set may span lines",
        limits::line_bytes_max + 1,
        limits::line_bytes_max
    );
    EXPECT_EQ(errors_of("#x" + comment + "\ndrop\n"), too_long);
    EXPECT_EQ(errors_of("#x" + comment), too_long);

    std::string file = repeated(limits::file_bytes_max / 64, [](std::size_t) {
        return std::string(63, '#') + "\n";
    });
    EXPECT_EQ(errors_of(file), "");
    file += "\n";
    EXPECT_EQ(
        errors_of(file),
        std::format("r:1:1: error: the text is over {} bytes", limits::file_bytes_max)
    );
}

TEST(RulesLimits, set_file_line_bytes) {
    const std::string blanks(limits::line_bytes_max - 7, ' ');
    const std::string text = "set s file \"/s\"\n";
    EXPECT_EQ(errors_of(text, {{"/s", blanks + "1.1.1.1"}}), "");
    EXPECT_EQ(
        errors_of(text, {{"/s", "2.2.2.2\n " + blanks + "1.1.1.1"}}),
        std::format(
            "/s:2:{}: error: the line is over {} bytes long; hint: one prefix a line",
            limits::line_bytes_max + 1,
            limits::line_bytes_max
        )
    );
}

TEST(RulesLimits, path_bytes) {
    const auto text = [](std::size_t bytes) {
        return "set s file \"/" + std::string(bytes - 1, 'p') + "\"";
    };
    EXPECT_TRUE(errors_of(text(limits::path_bytes_max)).contains("No such file"));
    EXPECT_TRUE(errors_of(text(limits::path_bytes_max + 1)).contains("is no path of a file"));
}

TEST(RulesLimits, diagnostics) {
    const auto line = [](std::size_t) { return "drop vlan x\n"; };
    const auto most = parse(repeated(limits::diagnostics_max, line));
    ASSERT_FALSE(most);
    EXPECT_EQ(most.error().size(), limits::diagnostics_max);
    const auto over = parse(repeated(limits::diagnostics_max + 50, line));
    ASSERT_FALSE(over);
    ASSERT_EQ(over.error().size(), limits::diagnostics_max + 1);
    EXPECT_EQ(
        over.error().back().message(),
        std::format(
            "r:{}:11: error: and more: only the first {} errors are shown",
            limits::diagnostics_max + 1,
            limits::diagnostics_max
        )
    );
}

TEST(RulesLimits, ten_megabytes_on_one_line_end_quickly) {
    const std::size_t bytes = 10'000'000;
    const std::array<std::string, 6> lines{
        std::string(bytes, 'x'),
        "set s { " + std::string(bytes, '{'),
        "set s { " + repeated(bytes / 9, [](std::size_t) { return "10.0.0.1,"; }),
        "drop name \"" + std::string(bytes, '\\'),
        std::string(bytes, '"'),
        std::string(bytes, ' ') + "drop",
    };
    for (const std::string& line : lines) {
        const Timed result = timed(line);
        EXPECT_TRUE(result.errors.starts_with("r:1:1048577: error: the line is over"))
            << result.errors.substr(0, 200);
        EXPECT_LT(result.errors.size(), 1000U);
        EXPECT_LT(result.took, hostile_time_max);
    }
}

TEST(RulesLimits, hostile_files_of_the_largest_size_end_quickly) {
    const std::size_t half = limits::file_bytes_max / 2;
    const std::array<std::string, 5> files{
        repeated(half / 4, [](std::size_t) { return "{\n{\n"; }),
        repeated(half / 4, [](std::size_t) { return "}\r\n\""; }),
        "set s {" + repeated(half / 2, [](std::size_t) { return ",\n"; }),
        "set s {\n" + repeated(half / 12, [](std::size_t) { return "10.0.0.1/32,"; }),
        repeated(half / 10, [](std::size_t) { return "drop from\n"; }),
    };
    for (const std::string& file : files) {
        const Timed result = timed(file);
        EXPECT_NE(result.errors, "");
        EXPECT_LT(result.took, hostile_time_max) << file.substr(0, 20);
    }
}

TEST(RulesLimits, a_hundred_thousand_prefixes_parse_in_linear_time) {
    const auto line = [](std::size_t i) {
        return std::format("{}/32\n", host(i * 7919 % 16'777'216));
    };
    const std::string text = "set s file \"/s\"\ndrop from @s\n";
    const std::chrono::nanoseconds ten = timed(text, {{"/s", repeated(10'000, line)}}).took;
    const std::chrono::nanoseconds hundred = timed(text, {{"/s", repeated(100'000, line)}}).took;
    RecordProperty("prefixes_10000_us", std::to_string(ten.count() / 1000));
    RecordProperty("prefixes_100000_us", std::to_string(hundred.count() / 1000));
    EXPECT_LT(hundred, hostile_time_max);
}

TEST(RulesLimits, sampling) {
    const auto rule = [](std::size_t every) { return std::format("pass sample 1/{}", every); };
    const std::size_t most = limits::sample_every_max;
    EXPECT_EQ(rules_of(rule(most)).rules.front().actions.sample, most);
    EXPECT_NE(errors_of(rule(most + 1)), "");
}

TEST(RulesLimits, cgroups) {
    const auto block = [](std::size_t i) { return std::format("cgroup /g{} {{\ndrop\n}}\n", i); };
    EXPECT_EQ(rules_of(repeated(limits::cgroups_max, block)).hooks.size(), limits::cgroups_max);
    EXPECT_EQ(
        errors_of(repeated(limits::cgroups_max + 1, block)),
        std::format(
            "r:{}:13: error: more than {} cgroups", 3 * limits::cgroups_max + 1, limits::cgroups_max
        )
    );
}

TEST(RulesLimits, of_limits) {
    const auto good = [](std::string_view limit) {
        EXPECT_EQ(errors_of(std::format("pass limit {}", limit)), "") << limit;
    };
    const auto bad = [](std::string_view limit) {
        EXPECT_NE(errors_of(std::format("pass limit {}", limit)), "") << limit;
    };
    good(std::format("{}/s", limits::limit_packets_max));
    bad(std::format("{}/s", limits::limit_packets_max + 1));
    bad("0/s");
    good(std::format("{}bit", limits::limit_bits_max));
    bad(std::format("{}bit", limits::limit_bits_max + 1));
    good(std::format("{}bit", limits::limit_bits_min));
    bad(std::format("{}bit", limits::limit_bits_min - 1));
    bad("99999999999999999999gbit");
    good(std::format("1000/s burst {}", limits::limit_burst_max));
    bad(std::format("1000/s burst {}", limits::limit_burst_max + 1));
    bad("1000/s burst 0");
    good(std::format("1mbit burst {}b", limits::limit_burst_bytes_min));
    bad(std::format("1mbit burst {}b", limits::limit_burst_bytes_min - 1));
    good(std::format("{}/d sliding", limits::limit_window_max));
    bad(std::format("{}/d sliding", limits::limit_window_max + 1));
    good(std::format("1/d burst {}", limits::limit_fill_days_max));
    bad(std::format("1/d burst {}", limits::limit_fill_days_max + 1));
    good("1/s by source/32/128");
    bad("1/s by source/33/128");
    bad("1/s by source/32/129");
    bad("1/s by source/0");
    bad("1/s by dport/8");
    good(std::format("2/s adaptive 1/s on queue {}", limits::limit_queue_max));
    bad(std::format("2/s adaptive 1/s on queue {}", limits::limit_queue_max + 1));
    bad("2/s adaptive 1/s on queue 0");
    bad("2/s adaptive 0/s on drops");
}
