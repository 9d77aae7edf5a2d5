#include <zsync/packet/address_text.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/temporary_rules.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <format>
#include <iterator>
#include <random>
#include <tests/packet/rules_parse.hpp>

using namespace zsync;
using namespace zsync::packet;

namespace {

constexpr std::string_view example = R"(# comments, one rule a line
default pass
malformed drop
set bad { 198.51.100.0/24, 2001:db8:bad::/48, 203.0.113.7 }
set ports { 23, 2323, 6000-6100 }
set big file "/etc/zsync/blocklist.txt"      # one prefix a line
drop from @bad name "known bad"
drop from @big
drop proto tcp dport @ports
pass from 10.0.0.0/8 to 10.1.2.3 proto udp dport 53
drop proto tcp flags syn,!ack dport 22
drop vlan 42
drop fragment
)";

const Files example_files{{"/etc/zsync/blocklist.txt", "192.0.2.0/24 # doc\n\n# all\n2001:db8::1\n"}
};

Prefix prefix_of(std::string_view text) { return *parse_prefix(text); }

} // namespace

TEST(Rules, the_example_means_what_it_says) {
    const RuleSet rules = rules_of(example, example_files);
    EXPECT_EQ(rules.default_verdict, Verdict::pass);
    EXPECT_EQ(rules.malformed_verdict, Verdict::drop);
    ASSERT_EQ(rules.rules.size(), 7U);
    ASSERT_EQ(rules.address_sets.size(), 4U);
    const AddressSet bad{
        prefix_of("198.51.100.0/24"), prefix_of("203.0.113.7"), prefix_of("2001:db8:bad::/48")
    };
    EXPECT_TRUE(std::ranges::is_sorted(rules.address_sets[0]));
    EXPECT_TRUE(std::ranges::is_permutation(rules.address_sets[0], bad));
    EXPECT_EQ(rules.address_sets[1].size(), 2U);

    EXPECT_EQ(rules.rules[0].from, 0U);
    EXPECT_EQ(rules.rules[0].name, "known bad");
    EXPECT_EQ(rules.rules[0].verdict, Verdict::drop);
    EXPECT_EQ(rules.rules[1].from, 1U);
    EXPECT_EQ(rules.rules[2].protocol, 6);
    const std::vector<PortRange> ports{{23, 23}, {2323, 2323}, {6000, 6100}};
    EXPECT_EQ(rules.rules[2].destination_ports, ports);
    EXPECT_TRUE(rules.rules[2].source_ports.empty());
    EXPECT_EQ(rules.rules[3].verdict, Verdict::pass);
    EXPECT_EQ(rules.rules[3].from, 2U);
    EXPECT_EQ(rules.rules[3].to, 3U);
    EXPECT_EQ(rules.rules[3].protocol, 17);
    EXPECT_EQ(rules.rules[4].tcp_flags, (TcpFlagsMatch{.mask = 0x12, .value = 0x02}));
    EXPECT_EQ(rules.rules[5].vlan, 42);
    EXPECT_TRUE(rules.rules[6].fragment);
}

TEST(Rules, text_is_the_same_however_a_rule_is_written) {
    constexpr std::array<std::array<std::string_view, 2>, 48> cases{{
        {"drop from @bad name \"x\"", "drop from @bad"},
        {"DROP   FROM\t@bad # why", "drop from @bad"},
        {"drop dport 22 proto TCP to 10.1.2.3/32", "drop to 10.1.2.3 proto tcp dport 22"},
        {"pass proto 6", "pass proto tcp"},
        {"pass proto 58", "pass proto icmpv6"},
        {"pass proto 47", "pass proto 47"},
        {"drop from { 10.0.0.0/8 }", "drop from 10.0.0.0/8"},
        {"drop from { 10.2.0.0/16, 10.1.0.0/16, 10.2.0.0/16, }",
         "drop from { 10.1.0.0/16, 10.2.0.0/16 }"},
        {"drop from 2001:DB8:0::/48", "drop from 2001:db8::/48"},
        {"drop proto udp sport {5-9,1-4,7-12,20}", "drop proto udp sport { 1-12, 20 }"},
        {"drop proto udp dport 7-7", "drop proto udp dport 7"},
        {"drop proto sctp dport 0007", "drop proto sctp dport 7"},
        {"drop proto tcp dport @ports", "drop proto tcp dport @ports"},
        {"drop proto tcp flags !ack , SYN", "drop proto tcp flags syn,!ack"},
        {"drop proto tcp flags cwr,ece,urg,ack,psh,rst,syn,fin",
         "drop proto tcp flags fin,syn,rst,psh,ack,urg,ece,cwr"},
        {"drop fragment vlan 042", "drop vlan 42 fragment"},
        {"pass proto icmp icmp echo-request", "pass proto icmp icmp 8"},
        {"pass icmp { 3/4, 8/1, 8, 3/4, } proto icmp", "pass proto icmp icmp { 3/4, 8 }"},
        {"pass proto icmpv6 icmp {neighbor-solicitation,128/0}",
         "pass proto icmpv6 icmp { 128/0, 135 }"},
        {"drop length {0-20, 21-40,1500}", "drop length { 0-40, 1500 }"},
        {"drop vlan 1 length 60-60", "drop length 60 vlan 1"},
        {"pass", "pass"},
        {"pass vlan 0", "pass vlan 0"},
        {"drop vlan 1 Sample 1/010", "drop sample 1/10 vlan 1"},
        {"pass sample 1/1 from @bad", "pass sample 1/1 from @bad"},
        {"drop in vlan 1", "drop vlan 1"},
        {"pass vlan 1 redirect lan0 sample 1/5", "pass sample 1/5 redirect lan0 vlan 1"},
        {"drop vlan 1 OUT", "drop out vlan 1"},
        {"pass mark 7 vlan 1", "pass mark 0x7 vlan 1"},
        {"pass sample 1/2 mark 16 out", "pass out mark 0x10 sample 1/2"},
        {"pass out mark 0XFFFFFFFF", "pass out mark 0xffffffff"},
        {"drop cgroup /a/b.service interface eth0.1 out",
         "drop out interface eth0.1 cgroup /a/b.service"},
        {"pass limit 1000/s", "pass limit 1000/s burst 100"},
        {"pass limit 7/s", "pass limit 7/s burst 5"},
        {"pass vlan 1 LIMIT 060/M By Source/24 burst 9",
         "pass limit 60/m burst 9 by source/24/24 vlan 1"},
        {"pass limit 5/h token by source/24/56", "pass limit 5/h burst 5 by source/24/56 token"},
        {"pass limit 5/d by destination/64", "pass limit 5/d burst 5 by destination/32/64"},
        {"pass limit 9/s sliding by flow", "pass limit 9/s by flow sliding"},
        {"pass limit 1000kbit", "pass limit 1mbit burst 64kb"},
        {"pass limit 1500kbit burst 2500b by dport", "pass limit 1500kbit burst 2500b by dport"},
        {"pass limit 10gbit burst 15000kb token sample 1/2",
         "pass limit 10gbit burst 15mb token sample 1/2"},
        {"pass out limit 9/s by cgroup proto tcp", "pass out limit 9/s burst 5 by cgroup proto tcp"
        },
        {"pass out limit 9/s by interface sliding", "pass out limit 9/s by interface sliding"},
        {"pass limit 900/s adaptive 9/s on DROPS by source",
         "pass limit 900/s burst 90 by source adaptive 9/s on drops"},
        {"pass limit 9mbit token adaptive 1000kbit on cpu 080 vlan 1",
         "pass limit 9mbit burst 112500b token adaptive 1mbit on cpu 80 vlan 1"},
        {"pass out limit 9/m adaptive 9/m on queue 5",
         "pass out limit 9/m burst 5 adaptive 9/m on queue 5"},
        {"pass limit 1/s by rule dport 80 proto tcp", "pass limit 1/s burst 5 proto tcp dport 80"},
        {"pass limit 1/s by dport dport @ports proto tcp",
         "pass limit 1/s burst 5 by dport proto tcp dport @ports"},
    }};
    for (const auto& [text, canonical] : cases) {
        const RuleSet rules =
            rules_of("set bad { 10.0.0.0/8 }\nset ports { 1, 2 }\n" + std::string(text) + "\n");
        ASSERT_EQ(rules.rules.size(), 1U) << text;
        EXPECT_EQ(rules.rules[0].text, canonical);
    }
}

TEST(Rules, verdicts_default_to_pass_and_malformed_drop) {
    const RuleSet empty = rules_of("");
    EXPECT_EQ(empty.default_verdict, Verdict::pass);
    EXPECT_EQ(empty.malformed_verdict, Verdict::drop);
    const RuleSet turned = rules_of("default drop\nmalformed pass");
    EXPECT_EQ(turned.default_verdict, Verdict::drop);
    EXPECT_EQ(turned.malformed_verdict, Verdict::pass);
}

TEST(Rules, windows_lines_a_byte_order_mark_and_no_last_newline_are_fine) {
    const RuleSet rules = rules_of("\xef\xbb\xbf"
                                   "default drop\r\npass # \xc3\xa9\r\n\r\ndrop vlan 1");
    EXPECT_EQ(rules.default_verdict, Verdict::drop);
    ASSERT_EQ(rules.rules.size(), 2U);
    EXPECT_EQ(rules.rules[1].vlan, 1);
    const Files files{
        {"/f",
         "\xef\xbb\xbf"
         "10.0.0.0/8\r\n \t192.0.2.1 \r\n"}
    };
    EXPECT_EQ(rules_of("set s file \"/f\"\ndrop from @s", files).address_sets[0].size(), 2U);
}

TEST(Rules, sets_span_lines_with_comments_and_a_trailing_comma) {
    const RuleSet rules =
        rules_of("set s {\n  10.0.0.0/8, # one\n\n  192.0.2.1,\n}\ndrop from @s\n");
    EXPECT_EQ(rules.address_sets[0].size(), 2U);
}

TEST(Rules, names_carry_escapes_and_unicode) {
    const RuleSet rules = rules_of(R"(drop name "a \"b\" \\ # é")");
    EXPECT_EQ(rules.rules[0].name, "a \"b\" \\ # é");
}

TEST(Rules, an_empty_set_is_a_set_of_no_address) {
    const Files files{{"/f", "# nothing yet\n"}};
    const RuleSet rules = rules_of("set s file \"/f\"\nset t { }\ndrop from @s\ndrop to @t", files);
    ASSERT_EQ(rules.address_sets.size(), 1U);
    EXPECT_TRUE(rules.address_sets[0].empty());
    EXPECT_EQ(rules.rules[0].from, 0U);
    EXPECT_EQ(rules.rules[1].to, 0U);
}

TEST(Rules, unused_sets_are_left_out_and_equal_ones_are_one) {
    const RuleSet rules = rules_of(
        "set unused { 1.1.1.1 }\nset a { 10.0.0.1, 10.0.0.2 }\nset b { 10.0.0.2, 10.0.0.1 }\n"
        "drop to @b\ndrop from @a\ndrop from { 10.0.0.1, 10.0.0.2 }\n"
    );
    EXPECT_EQ(rules.address_sets.size(), 1U);
}

TEST(Rules, addresses_with_ports_are_elements_like_prefixes) {
    const RuleSet rules = rules_of(
        "set servers { [2001:DB8::1]:443, 192.0.2.1:80, 192.0.2.1, 192.0.2.1:8, 10.0.0.0/8 }\n"
        "set others file \"/others\"\n"
        "drop from 192.0.2.7:053\n"
        "drop to @servers proto tcp\n"
        "pass from { 192.0.2.1:1, [::1]:65535, 192.0.2.1:0 }\n"
        "pass to @others\n",
        {{"/others", "198.51.100.1:4444 # one\n[2001:db8::2]:1\n192.0.2.0/24\n"}}
    );
    ASSERT_EQ(rules.rules.size(), 4U);
    EXPECT_EQ(rules.rules[0].text, "drop from 192.0.2.7:53");
    EXPECT_EQ(rules.rules[1].text, "drop to @servers proto tcp");
    EXPECT_EQ(rules.rules[2].text, "pass from { 192.0.2.1:0, 192.0.2.1:1, [::1]:65535 }");
    const AddressSet& servers = rules.address_sets[*rules.rules[1].to];
    std::vector<std::string> texts;
    std::ranges::transform(servers, std::back_inserter(texts), format_prefix);
    EXPECT_EQ(
        texts,
        (std::vector<std::string>{
            "10.0.0.0/8", "192.0.2.1", "192.0.2.1:8", "192.0.2.1:80", "[2001:db8::1]:443"
        })
    );
    EXPECT_EQ(rules.address_sets[*rules.rules[3].to].size(), 3U);
    const std::string text = format_rules(rules);
    EXPECT_TRUE(text.contains("    [2001:db8::1]:443,\n")) << text;
    EXPECT_EQ(rules_of(text), rules);
}

TEST(Rules, the_same_rule_twice_is_two_rules) {
    const RuleSet rules = rules_of("drop vlan 1\ndrop vlan 1\n");
    ASSERT_EQ(rules.rules.size(), 2U);
    EXPECT_EQ(rules.rules[0].text, rules.rules[1].text);
}

TEST(Rules, a_set_may_have_both_families_on_both_sides) {
    EXPECT_EQ(
        rules_of("set s { 10.0.0.0/8, ::1 }\ndrop from @s to 10.0.0.1\ndrop from ::2 to @s")
            .rules.size(),
        2U
    );
}

TEST(Rules, one_file_has_the_rules_of_all_hooks) {
    const RuleSet rules = rules_of(R"(
default drop
default out pass
set a { 10.0.0.1 }
set b { 10.0.0.2, 10.0.0.3 }
cgroup /web {          # sockets of the web server
    default out drop
    pass out to @b proto tcp dport 443 interface eth1
    drop from @a
}
drop out to @a mark 1
pass from @b
cgroup / {
 default pass
}
cgroup /idle { }
)");
    ASSERT_EQ(rules.hooks.size(), 3U);
    EXPECT_EQ(rules.hooks[0], (Hook{"", Direction::out, Verdict::pass}));
    EXPECT_EQ(rules.hooks[1], (Hook{"/web", Direction::in, Verdict::pass}));
    EXPECT_EQ(rules.hooks[2], (Hook{"/web", Direction::out, Verdict::drop}));
    EXPECT_EQ(rules.default_verdict, Verdict::drop);
    ASSERT_EQ(rules.rules.size(), 4U);
    EXPECT_EQ(rules.rules[0].text, "drop out mark 0x1 to @a");
    EXPECT_EQ(rules.rules[0].hook, 1U);
    EXPECT_EQ(rules.rules[1].text, "pass from @b");
    EXPECT_EQ(rules.rules[1].hook, 0U);
    EXPECT_EQ(rules.rules[2].hook, 3U);
    EXPECT_EQ(rules.rules[3].hook, 2U);
    const std::string text = format_rules(rules);
    EXPECT_EQ(rules_of(text), rules) << text;

    const RuleSet web = rules_of_hook(rules, 3);
    ASSERT_EQ(web.rules.size(), 1U);
    EXPECT_EQ(web.default_verdict, Verdict::drop);
    EXPECT_EQ(web.malformed_verdict, Verdict::drop);
    EXPECT_EQ(web.address_sets.size(), 1U);
    EXPECT_EQ(web.address_sets[*web.rules[0].to].size(), 2U);
    EXPECT_EQ(rules_of_hook(rules, 0).rules.front().text, "pass from @b");
}

TEST(Rules, a_temporary_rule_is_one_rule_in_its_canonical_form) {
    EXPECT_EQ(canonical_rule("DROP from 192.0.2.7/32 # why").value(), "drop from 192.0.2.7");
    EXPECT_EQ(
        canonical_rule("drop out cgroup /a name \"x \\\" y\"").value(),
        "drop out cgroup /a name \"x \\\" y\""
    );
    for (const auto* text :
         {"",
          "default drop",
          "drop\ndrop",
          "set a { }",
          "drop from @bad",
          "dorp",
          "cgroup /a { drop proto tcp }",
          "malformed pass drop proto tcp"}) {
        const auto refused = canonical_rule(text);
        ASSERT_FALSE(refused) << text;
        EXPECT_EQ(refused.error().error, Error(PacketError::invalid_rules)) << text;
    }
}

TEST(Rules, temporary_rules_come_before_those_of_the_file_the_last_first) {
    const RuleSet rules =
        rules_of("set s { 10.0.0.1 }\ndrop from @s\ncgroup /web {\n drop out to @s\n}\n");
    const std::array temporary{
        TemporaryRule{.text = canonical_rule("drop from 192.0.2.1").value()},
        TemporaryRule{.text = canonical_rule("pass out to 192.0.2.2").value()},
        TemporaryRule{.text = canonical_rule("pass from 192.0.2.3").value()},
    };
    const RuleSet all = with_temporary(rules, temporary);
    ASSERT_EQ(all.hooks.size(), 2U);
    EXPECT_EQ(all.hooks[0], (Hook{"", Direction::out, Verdict::pass}));
    EXPECT_EQ(all.hooks[1].cgroup, "/web");
    const auto texts = [&](std::uint32_t hook) {
        std::vector<std::string> found;
        for (const Rule& rule : rules_of_hook(all, hook).rules) {
            found.push_back(rule.text);
        }
        return found;
    };
    EXPECT_EQ(
        texts(0),
        (std::vector<std::string>{"pass from 192.0.2.3", "drop from 192.0.2.1", "drop from @s"})
    );
    EXPECT_EQ(texts(1), std::vector<std::string>{"pass out to 192.0.2.2"});
    EXPECT_EQ(texts(2), std::vector<std::string>{"drop out to @s"});
    EXPECT_EQ(all.address_sets[*all.rules.front().from].front(), prefix_of("192.0.2.3"));
    EXPECT_EQ(with_temporary(rules, {}), rules);
}

TEST(Rules, format_is_self_contained_and_stable) {
    const RuleSet rules = rules_of(example, example_files);
    const std::string text = format_rules(rules);
    EXPECT_FALSE(text.contains("file"));
    const RuleSet back = rules_of(text); // no files to read
    EXPECT_EQ(back, rules);
    EXPECT_EQ(format_rules(back), text);
}

namespace {

/// Writes random rule files with everything the language has.
class RandomText {
public:
    explicit RandomText(std::uint32_t seed) : random_(seed) {}

    std::string file() {
        std::string text = below(2) == 0 ? "default drop\n" : "malformed pass\n";
        for (int i = 0; i < 4; ++i) {
            text += std::format("set a{} {{ {}, {} }}\n", i, address(), address());
            text += std::format("set p{} {{ {}, {} }}\n", i, ports(), ports());
        }
        text += below(2) == 0 ? "default out drop\n" : "";
        for (auto left = below(30); left > 0; --left) {
            text += rule(left, below(3) == 0 ? " out" : "");
        }
        for (std::uint32_t group = below(3); group > 0; --group) {
            text += std::format("cgroup /g{} {{\n", group);
            text += below(2) == 0 ? "default in drop\n" : "";
            for (auto left = below(4); left > 0; --left) {
                text += rule(1000 * group + left, below(2) == 0 ? " out" : "");
            }
            text += "}\n";
        }
        return text;
    }

private:
    std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(random_() % end); }

    std::string address() {
        return below(2) == 0 ? std::format("10.{}.{}.0/24", below(3), below(3))
                             : std::format("2001:db8:{:x}::/48", below(4));
    }
    std::string ports() {
        const auto first = below(60'000);
        return below(2) == 0 ? std::to_string(first)
                             : std::format("{}-{}", first, first + below(9));
    }
    std::string either(std::string inline_form, char set) {
        return below(2) == 0 ? inline_form : std::format("@{}{}", set, below(4));
    }
    std::string rule(std::uint32_t number, std::string_view way) {
        std::string text = below(2) == 0 ? "drop" : "pass";
        text += way;
        text += !way.empty() && below(4) == 0 ? " cgroup /a/b" : "";
        text += below(4) == 0 ? " mark 7" : "";
        if (text == "pass" && below(3) == 0) {
            constexpr std::array keys{"", " by source/24/56", " by destination", " by flow"};
            constexpr std::array kinds{"", " token"};
            const bool in_packets = below(2) == 0;
            text += in_packets ? std::format(" limit {}/m burst {}", 1 + below(9), 1 + below(9))
                               : std::format(" limit {}kbit", 1 + below(9'000));
            text += std::string(keys[below(4)]) + kinds[below(2)];
            if (below(3) == 0) {
                text += in_packets ? " adaptive 1/m on queue 7" : " adaptive 1kbit on drops";
            }
        }
        text += below(4) == 0 ? std::format(" sample 1/{}", 1 + below(1U << 20)) : "";
        if (below(2) == 0) {
            text += below(2) == 0 ? " from " : " to ";
            text += either(std::format("{{ {}, {} }}", address(), address()), 'a');
        }
        if (below(2) == 0) {
            text += below(2) == 0 ? " proto tcp" : " proto 17";
            text += below(2) == 0 ? " sport " + either(ports(), 'p') : "";
            text += below(2) == 0 ? " dport " + either(ports(), 'p') : "";
        } else if (below(4) == 0) {
            text += " flags rst,!syn proto tcp";
        }
        text += number < 1000 && below(4) == 0 ? std::format(" vlan {}", below(4096)) : "";
        text += below(4) == 0 ? " fragment" : "";
        text += below(4) == 0 ? std::format(" name \"n\\\"{}\"", number) : "";
        return text + "\n";
    }

    std::mt19937 random_;
};

} // namespace

TEST(Rules, random_files_survive_a_round_trip) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(std::format("seed {}", seed));
    for (std::uint32_t i = 0; i < 2'000; ++i) {
        const std::string text = RandomText(seed + i).file();
        const RuleSet rules = rules_of(text);
        ASSERT_EQ(rules_of(format_rules(rules)), rules) << text;
    }
}
