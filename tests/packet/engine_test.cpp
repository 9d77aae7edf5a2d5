#include "tests/packet/random_traffic.hpp"
#include "tests/packet/reference.hpp"
#include "tests/packet/rule_maker.hpp"
#include "tests/packet/user_engine.hpp"

#include <zsync/packet/engine.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/pins.hpp>
#include <zsync/packet/trie.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <random>
#include <tuple>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

CounterSlots slots_for(const RuleSet& rules) {
    CounterSlots slots;
    slots.rules.resize(rules.rules.size());
    std::iota(slots.rules.begin(), slots.rules.end(), 1);
    return slots;
}

Tables tables_of(const RuleSet& rules) { return compile(rules, slots_for(rules)).value(); }

Prefix numbered_prefix(std::uint32_t number) {
    Prefix prefix;
    prefix.length = 32;
    for (std::size_t i = 0; i < 4; ++i) {
        prefix.address[i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
    }
    return prefix;
}

Prefix numbered_prefix_ipv6(std::uint32_t number) {
    Prefix prefix{.family = Family::ipv6, .length = 128, .address = {0x20, 0x01, 0x0d, 0xb8}};
    for (std::size_t i = 0; i < 4; ++i) {
        prefix.address[12 + i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
    }
    return prefix;
}

void expect_agreement(std::uint64_t seed, int rule_sets, std::size_t rules_max, int frames) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    for (int i = 0; i < rule_sets; ++i) {
        const RuleSet rules = traffic.rules(rules_max);
        const Tables tables = tables_of(rules);
        for (int j = 0; j < frames; ++j) {
            const Frame frame = traffic.frame();
            const Parsed parsed = parse(frame);
            if (parsed.malformed == ZSYNC_WELL_FORMED) {
                ASSERT_EQ(
                    match(tables, parsed.packet), reference_match(rules, reference_parse(frame))
                ) << "rule set "
                  << i << ", frame " << j;
            }
        }
    }
}

unsigned common_bits(const zsync_address& a, const zsync_address& b) {
    return static_cast<unsigned>(
        a.high != b.high ? std::countl_zero(a.high ^ b.high) : 64 + std::countl_zero(a.low ^ b.low)
    );
}

TriePrefix first_bits(zsync_address address, std::uint8_t length, std::uint32_t set) {
    const auto mask = [&](unsigned from) {
        const unsigned bits = length <= from ? 0 : std::min<unsigned>(length - from, 64);
        return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits);
    };
    address.high &= mask(0);
    address.low &= mask(64);
    return {.address = address, .length = length, .set = set};
}

/// Tables for `source_class`, in which addresses outside of all prefixes have the class 0.
Tables trie_of(Family family, std::vector<TriePrefix> prefixes, const JoinClass& join) {
    Tables tables;
    zsync_trie& trie = family == Family::ipv4 ? tables.config.ipv4[ZSYNC_SOURCE]
                                              : tables.config.ipv6[ZSYNC_SOURCE];
    trie = build_trie(family, prefixes, 0, join, tables.cells, tables.buckets).value();
    tables.cells.resize(std::bit_ceil(tables.cells.size()));
    tables.buckets.resize(std::bit_ceil(tables.buckets.size()));
    tables.config.cells_mask = static_cast<std::uint32_t>(tables.cells.size() - 1);
    tables.config.buckets_mask = static_cast<std::uint32_t>(tables.buckets.size() - 1);
    return tables;
}

constexpr auto count_covers = [](std::uint32_t class_id, std::uint32_t) { return class_id + 1; };
constexpr auto one_class = [](std::uint32_t, std::uint32_t) { return 1U; };

} // namespace

TEST(Engine, agrees_with_trying_one_rule_after_the_other) {
    expect_agreement(std::random_device{}(), 60, 60, 1000);
}

TEST(Engine, agrees_beyond_one_word_of_rules) {
    expect_agreement(std::random_device{}(), 15, limits::rules_max, 1500);
}

TEST(Engine, the_first_rule_that_matches_decides) {
    RuleSet rules;
    const std::uint32_t wide = add_set(rules, addresses({"10.0.0.0/8"}));
    const std::uint32_t narrow = add_set(rules, addresses({"10.1.2.3"}));
    add_rule(rules, Verdict::drop, "wide").from = wide;
    add_rule(rules, Verdict::pass, "narrow").from = narrow;
    const Frame frame = ethernet(0x0800) + ipv4({.source = 0x0a010203}, udp(1, 2));
    EXPECT_EQ(match(tables_of(rules), parse(frame).packet), 0U);
    std::swap(rules.rules[0], rules.rules[1]);
    EXPECT_EQ(match(tables_of(rules), parse(frame).packet), 0U);
}

TEST(Engine, a_prefix_inside_another_keeps_both_apart) {
    RuleSet rules;
    for (const auto* text : {"10.1.2.3", "10.1.2.0/24", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"}) {
        const std::uint32_t set = add_set(rules, addresses({text}));
        add_rule(rules, Verdict::drop, text).from = set;
    }
    const Tables tables = tables_of(rules);
    const auto rule_of = [&](std::uint32_t source) {
        return match(tables, parse(ethernet(0x0800) + ipv4({.source = source}, udp(1, 2))).packet);
    };
    EXPECT_EQ(rule_of(0x0a010203), 0U);
    EXPECT_EQ(rule_of(0x0a010204), 1U);
    EXPECT_EQ(rule_of(0x0a010304), 2U);
    EXPECT_EQ(rule_of(0x0a020304), 3U);
    EXPECT_EQ(rule_of(0x0b020304), 4U);
    EXPECT_EQ(match(tables, parse(ethernet(0x86dd) + ipv6({}, udp(1, 2))).packet), 5U);
}

TEST(Engine, non_ip_frames_match_only_rules_without_ip_conditions) {
    RuleSet rules;
    const std::uint32_t everyone = add_set(rules, addresses({"0.0.0.0/0", "::/0"}));
    add_rule(rules, Verdict::drop, "from").from = everyone;
    add_rule(rules, Verdict::drop, "proto").protocol = 0;
    add_rule(rules, Verdict::drop, "port").destination_ports = {{0, 65535}};
    add_rule(rules, Verdict::drop, "flags").tcp_flags = TcpFlagsMatch{};
    add_rule(rules, Verdict::drop, "fragment").fragment = true;
    add_rule(rules, Verdict::drop, "vlan").vlan = 42;
    const Tables tables = tables_of(rules);
    const Frame lldp = ethernet(0x8100) + vlan_tag(42, 0x88cc) + zeros(46);
    EXPECT_EQ(match(tables, parse(lldp).packet), 5U);
    EXPECT_EQ(match(tables, parse(ethernet(0x88cc) + zeros(46)).packet), 6U);
}

TEST(Engine, a_rule_without_conditions_matches_everything) {
    RuleSet rules;
    add_rule(rules, Verdict::drop, "drop");
    EXPECT_EQ(match(tables_of(rules), parse(ethernet(0x88cc) + zeros(46)).packet), 0U);
    EXPECT_EQ(match(tables_of(RuleSet{}), parse(ethernet(0x88cc) + zeros(46)).packet), 0U);
}

TEST(Engine, holds_its_limit_of_rules_and_refuses_one_more) {
    RuleSet rules;
    for (std::uint32_t i = 0; i < limits::rules_max; ++i) {
        add_rule(rules, Verdict::drop, std::to_string(i)).destination_ports = {
            {static_cast<std::uint16_t>(i), static_cast<std::uint16_t>(i)}
        };
    }
    const Tables tables = tables_of(rules);
    for (const std::uint16_t port : {0, 63, 64, 1023, 4095}) {
        EXPECT_EQ(match(tables, parse(ethernet(0x0800) + ipv4({}, udp(9, port))).packet), port);
    }
    add_rule(rules, Verdict::drop, "one more");
    const auto refused = compile(rules, slots_for(rules));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::rule_set_too_big));
    EXPECT_EQ(refused.error().detail, "4097 rules, temporary ones included; at most 4096");
}

TEST(Engine, holds_its_limit_of_prefixes_and_refuses_one_more) {
    RuleSet rules;
    AddressSet set;
    for (std::uint32_t i = 0; i < limits::prefixes_max; ++i) {
        set.push_back(numbered_prefix(i * 32749));
    }
    std::ranges::sort(set);
    add_rule(rules, Verdict::drop, "big").from = add_set(rules, set);
    const Tables tables = tables_of(rules);
    const auto rule_of = [&](std::uint32_t source) {
        return match(tables, parse(ethernet(0x0800) + ipv4({.source = source}, udp(1, 2))).packet);
    };
    EXPECT_EQ(rule_of(32749 * 77777U), 0U);
    EXPECT_EQ(rule_of(32749 * 77777U + 1), 1U);
    rules.address_sets.front().push_back(numbered_prefix(1));
    const auto refused = compile(rules, slots_for(rules));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::rule_set_too_big));
}

TEST(Engine, finds_each_of_many_addresses_with_ports_and_no_other) {
    constexpr std::uint32_t count = 300'000;
    RuleSet rules;
    AddressSet odd;
    AddressSet even;
    for (std::uint32_t i = 0; i < count; ++i) {
        // Neighbours, as lists have them: ports of one address, addresses in a row.
        Prefix endpoint = i % 3 == 0 ? numbered_prefix_ipv6(i / 7) : numbered_prefix(i / 7);
        endpoint.port = static_cast<std::uint16_t>(i % 7 * 1000 + i % 3);
        (i % 2 == 0 ? even : odd).push_back(endpoint);
    }
    // A prefix around some of them that stands earlier, and one that stands later.
    add_rule(rules, Verdict::drop, "first").to = add_set(rules, addresses({"0.0.0.0/26"}));
    add_rule(rules, Verdict::drop, "even").to = add_set(rules, even);
    add_rule(rules, Verdict::drop, "odd").to = add_set(rules, odd);
    add_rule(rules, Verdict::drop, "last").to = add_set(rules, addresses({"0.0.0.0/0"}));
    const Tables tables = tables_of(rules);
    const auto rule_of = [&](const Prefix& end, std::uint16_t port) {
        zsync_packet packet{};
        packet.network = end.family == Family::ipv4 ? ZSYNC_NETWORK_IPV4 : ZSYNC_NETWORK_IPV6;
        packet.destination = trie_prefix(end, 0).address;
        packet.has_ports = 1;
        packet.destination_port = port;
        return match(tables, packet);
    };
    for (const AddressSet* set : {&even, &odd}) {
        for (const Prefix& endpoint : *set) {
            const bool ipv4 = endpoint.family == Family::ipv4;
            const bool in_first = ipv4 && endpoint.address[0] == 0 && endpoint.address[1] == 0 &&
                                  endpoint.address[2] == 0 && endpoint.address[3] < 64;
            const auto port = *endpoint.port;
            ASSERT_EQ(rule_of(endpoint, port), in_first ? 0U : set == &even ? 1U : 2U);
            const auto other = static_cast<std::uint16_t>(port + 500);
            ASSERT_EQ(rule_of(endpoint, other), in_first ? 0U : ipv4 ? 3U : 4U);
        }
    }
}

TEST(Engine, holds_its_limit_of_ways_to_overlap_and_refuses_one_more) {
    // Each address is in a set by its upper and in one by its lower byte; outside is one way more.
    const auto pairs = [](std::uint32_t count, std::optional<std::uint16_t> port = {}) {
        RuleSet rules;
        rules.address_sets.resize(512);
        for (std::uint32_t i = 0; i < count; ++i) {
            Prefix address = numbered_prefix(i);
            address.port = port;
            rules.address_sets[i / 256].push_back(address);
            rules.address_sets[256 + i % 256].push_back(address);
        }
        for (std::uint32_t i = 0; i < rules.address_sets.size(); ++i) {
            add_rule(rules, Verdict::drop, std::to_string(i)).from = i;
        }
        return rules;
    };
    const RuleSet ports_fit = pairs(limits::endpoint_classes_max, 53);
    EXPECT_TRUE(compile(ports_fit, slots_for(ports_fit)));
    const RuleSet too_many_ports = pairs(limits::endpoint_classes_max + 1, 53);
    const auto refused_ports = compile(too_many_ports, slots_for(too_many_ports));
    ASSERT_FALSE(refused_ports);
    EXPECT_EQ(
        refused_ports.error().detail,
        "the sets of addresses with ports overlap in more than 65535 ways"
    );
    const RuleSet fits = pairs(limits::ipv4_classes_max - 1);
    EXPECT_TRUE(compile(fits, slots_for(fits)));
    const RuleSet too_many = pairs(limits::ipv4_classes_max);
    const auto refused = compile(too_many, slots_for(too_many));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::rule_set_too_big));
    EXPECT_EQ(refused.error().detail, "the IPv4 address sets overlap in more than 65536 ways");
}

TEST(Engine, equal_ways_to_match_are_stored_once) {
    RuleSet rules;
    AddressSet set;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        set.push_back(numbered_prefix(i * 429496U));
    }
    add_rule(rules, Verdict::drop, "list").from = add_set(rules, set);
    const Tables tables = tables_of(rules);
    EXPECT_EQ(tables.bitmaps.size(), 2U);
    // An address is one word of keys and one of classes at most.
    EXPECT_LE(tables.buckets.size(), 32768U);
}

TEST(Trie, agrees_with_the_longest_covering_prefixes) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    for (int round = 0; round < 200; ++round) {
        // A class is a set of sets here: bit s for set s.
        std::vector<TriePrefix> prefixes;
        for (std::uint32_t set = 0; set < 20; ++set) {
            prefixes.push_back(first_bits(
                {.high = 0x2001'0db8'0000'0000U | traffic.below(3),
                 .low = traffic.below(3) << (8 * traffic.below(8))},
                static_cast<std::uint8_t>(traffic.below(129)),
                set
            ));
        }
        const Tables tables =
            trie_of(Family::ipv6, prefixes, [](std::uint32_t c, std::uint32_t set) {
                return c | 1U << set;
            });
        for (int probe = 0; probe < 200; ++probe) {
            const zsync_address address{
                .high = 0x2001'0db8'0000'0000U | traffic.below(4),
                .low = traffic.below(4) << (8 * traffic.below(8)),
            };
            std::uint32_t expected = 0;
            for (const TriePrefix& prefix : prefixes) {
                expected |=
                    common_bits(address, prefix.address) >= prefix.length ? 1U << prefix.set : 0;
            }
            ASSERT_EQ(source_class(tables, Family::ipv6, address), expected) << "round " << round;
        }
    }
}

TEST(Trie, agrees_with_the_longest_covering_prefixes_behind_a_sieve) {
    struct Case {
        std::vector<std::uint8_t> lengths;
        std::uint64_t high_bits; ///< of the upper half, those that differ
        bool with_everything;    ///< a prefix around all
        bool has_sieve;
    };
    constexpr std::uint32_t count = 20'000;
    constexpr std::uint64_t global = ~std::uint64_t{0} >> 3;
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    for (const Case& mix : {
             Case{{48, 64, 128}, global, false, true},
             Case{{64}, global, false, true},
             Case{{29, 32, 36, 44, 48, 49, 56, 63, 64, 65, 96, 128}, global, false, true},
             Case{{40, 128}, std::uint64_t{0xffff'ffff} << 20, false, true},
             Case{{48, 64, 128}, global, true, false},
             Case{{128}, 0, false, false},
         }) {
        const auto random_address = [&] {
            return zsync_address{
                .high = 0x2001'0db8'0000'0000U ^ (traffic.below(~std::uint64_t{0}) & mix.high_bits),
                .low = traffic.below(~std::uint64_t{0}),
            };
        };
        // A class is a set of sets here: bit s for set s.
        std::map<std::tuple<unsigned, std::uint64_t, std::uint64_t>, std::uint32_t> sets;
        std::vector<TriePrefix> prefixes;
        const auto add = [&](const TriePrefix& prefix) {
            prefixes.push_back(prefix);
            sets[{prefix.length, prefix.address.high, prefix.address.low}] |= 1U << prefix.set;
        };
        for (std::uint32_t i = 0; i < count; ++i) {
            add(first_bits(random_address(), mix.lengths[i % mix.lengths.size()], i % 3));
        }
        if (mix.with_everything) {
            add(first_bits({}, 0, 3));
        }
        const auto expected = [&](const zsync_address& address) {
            std::uint32_t class_id = 0;
            for (unsigned length = 0; length <= 128; ++length) {
                const auto bits = first_bits(address, static_cast<std::uint8_t>(length), 0).address;
                const auto found = sets.find({length, bits.high, bits.low});
                class_id |= found == sets.end() ? 0 : found->second;
            }
            return class_id;
        };
        const Tables tables =
            trie_of(Family::ipv6, prefixes, [](std::uint32_t c, std::uint32_t set) {
                return c | 1U << set;
            });
        EXPECT_EQ(tables.config.ipv6[ZSYNC_SOURCE].sieve != ZSYNC_NO_TABLE, mix.has_sieve);
        for (const TriePrefix& prefix : prefixes) {
            zsync_address address = random_address(); // inside, beside it, and anywhere
            const zsync_address inside = first_bits(address, prefix.length, 0).address;
            address.high ^= inside.high ^ prefix.address.high;
            address.low ^= inside.low ^ prefix.address.low;
            ASSERT_EQ(source_class(tables, Family::ipv6, address), expected(address));
            const auto bit = traffic.below(128);
            (bit < 64 ? address.high : address.low) ^= std::uint64_t{1} << bit % 64;
            ASSERT_EQ(source_class(tables, Family::ipv6, address), expected(address));
            address = random_address();
            ASSERT_EQ(source_class(tables, Family::ipv6, address), expected(address));
        }
    }
}

TEST(Trie, tells_a_chain_of_prefixes_of_every_length_apart) {
    constexpr zsync_address bottom{.high = 0x2001'0db8'a5a5'0000U, .low = 0x0123'4567'89ab'cdefU};
    for (const auto& [family, bits] :
         {std::pair(Family::ipv4, 32U), std::pair(Family::ipv6, 128U)}) {
        std::vector<TriePrefix> chain;
        for (unsigned length = 0; length <= bits; ++length) {
            chain.push_back(first_bits(bottom, static_cast<std::uint8_t>(length), 0));
        }
        const Tables tables = trie_of(family, chain, count_covers);
        EXPECT_EQ(source_class(tables, family, bottom), bits + 1);
        for (unsigned agree = 0; agree < bits; ++agree) {
            zsync_address address = bottom;
            (agree < 64 ? address.high : address.low) ^= std::uint64_t{1} << (63 - agree % 64);
            EXPECT_EQ(source_class(tables, family, address), agree + 1) << agree;
        }
    }
}

TEST(Trie, fills_a_slot_to_its_last_word_and_makes_a_table_of_more) {
    struct Case {
        Family family;
        std::uint8_t length;
        zsync_address base;
        zsync_address step; ///< between the prefixes; half of it is between them
    };
    constexpr std::uint64_t high = 0x2001'0db8'0000'0000U;
    for (const Case& in_slot : {
             Case{Family::ipv4, 32, {high, 0}, {std::uint64_t{2} << 32, 0}},
             Case{Family::ipv6, 64, {high, 0}, {2, 0}},
             Case{Family::ipv6, 128, {high, 0}, {0, 2}},
         }) {
        const auto number = [&](std::uint64_t i) {
            return zsync_address{
                .high = in_slot.base.high + i * in_slot.step.high,
                .low = in_slot.base.low + i * in_slot.step.low
            };
        };
        for (const JoinClass& join :
             {JoinClass(one_class), JoinClass([](auto, auto set) { return set + 1; })}) {
            for (std::uint32_t count = 1; count <= 65; ++count) {
                // What lies far away keeps a table from beginning behind the bits of the others.
                std::vector<TriePrefix> prefixes{first_bits({.high = 1, .low = 1}, 128, 0)};
                if (in_slot.family == Family::ipv4) {
                    prefixes.clear();
                }
                for (std::uint32_t i = 0; i < count; ++i) {
                    prefixes.push_back(first_bits(number(i), in_slot.length, i));
                }
                const Tables tables = trie_of(in_slot.family, prefixes, join);
                for (std::uint32_t i = 0; i < count; ++i) {
                    zsync_address beside = number(i);
                    ASSERT_EQ(source_class(tables, in_slot.family, beside), join(0, i)) << count;
                    beside.high += in_slot.step.high / 2;
                    beside.low += in_slot.step.low / 2;
                    ASSERT_EQ(source_class(tables, in_slot.family, beside), 0U) << count;
                }
                EXPECT_EQ(source_class(tables, in_slot.family, number(count)), 0U) << count;
            }
        }
    }
}

TEST(Trie, takes_two_words_at_most_for_a_prefix_and_two_for_eight_slots) {
    RandomTraffic traffic(11);
    std::vector<TriePrefix> ipv6;
    std::vector<TriePrefix> ipv4;
    for (std::uint32_t i = 0; i < 99'999; ++i) {
        const zsync_address address{
            .high = 0x2000'0000'0000'0000U | traffic.below(std::uint64_t{1} << 61),
            .low = traffic.below(~std::uint64_t{0}),
        };
        ipv6.push_back(first_bits(
            address,
            static_cast<std::uint8_t>(
                i % 3 == 0   ? 128
                : i % 3 == 1 ? 64
                             : 48
            ),
            0
        ));
        ipv4.push_back(first_bits(address, 32, 0));
    }
    std::vector<std::uint32_t> cells;
    std::vector<std::uint64_t> buckets;
    build_trie(Family::ipv6, ipv6, 0, one_class, cells, buckets);
    // A word of the sieve is for eight prefixes.
    EXPECT_LE(
        buckets.size(), 33'333U * (1 + 1 + 2) + (1U << 17) / ZSYNC_BLOCK_SLOTS + (1U << 17) / 8
    );
    buckets.clear();
    build_trie(Family::ipv4, ipv4, 0, one_class, cells, buckets);
    EXPECT_LE(buckets.size(), 99'999U + (1U << 17) / ZSYNC_BLOCK_SLOTS);
    EXPECT_EQ(cells.size(), 4U);
}

TEST(Trie, short_prefixes_share_the_words_of_the_slots_that_they_cover) {
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        const Tables everything = trie_of(family, {first_bits({}, 0, 0)}, one_class);
        EXPECT_LE(everything.buckets.size(), std::size_t{1} << 15);
        EXPECT_EQ(source_class(everything, family, {.high = ~std::uint64_t{0}, .low = 0}), 1U);
    }
}

TEST(Pins, names_are_escaped_both_ways) {
    EXPECT_EQ(escape_name("eth0"), "eth0");
    EXPECT_EQ(escape_name("eth0.42"), "eth0_2e42");
    EXPECT_EQ(escape_name("0a"), "_30a");
    EXPECT_EQ(escape_name(""), "_");
    EXPECT_EQ(escape_name("a_b"), "a_5fb");
    for (const std::string name : {"eth0", "eth0.42", "0a", "a_b", "wl\xc3\xbcn", "br-1:2"}) {
        EXPECT_EQ(unescape_name(escape_name(name)), name);
    }
    for (const std::string_view bad : {"_", "_2", "_zz", "eth0.42", "_61"}) {
        EXPECT_EQ(unescape_name(bad), "") << bad;
    }
}
