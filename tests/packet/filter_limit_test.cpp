// Rules with `limit`: exact on all processors, for each key, through floods, loads and restarts.
#include "tests/packet/filter_fixture.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/rules_parse.hpp"

#include <zsync/packet/limit_control.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>

#include <bpf/libbpf.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <sched.h>
#include <string>
#include <thread>
#include <vector>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::uint32_t someone = 0xc0000201; // 192.0.2.1
constexpr std::uint32_t someone_else = 0xc0000202;

Filter attach(const FilterOptions& options, std::string_view rules) {
    return must(Filter::attach(options, rules_of(rules)));
}

/// Gives the program `packets` on each of two processors at once, and says how long that took.
Seconds hammer(const Fd& program, const Frame& frame, std::uint32_t packets) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::jthread> threads;
    for (int cpu = 0; cpu < std::min(libbpf_num_possible_cpus(), 2); ++cpu) {
        threads.emplace_back([&, cpu] {
            cpu_set_t only;
            CPU_ZERO(&only);
            CPU_SET(cpu, &only);
            (void)sched_setaffinity(0, sizeof(only), &only);
            test_run(program.get(), frame, packets);
        });
    }
    threads.clear();
    return std::chrono::steady_clock::now() - start;
}

/// Packets of the first rule that passed.
std::uint64_t passed(const Filter& filter) {
    const RuleCount count = filter.rule_counts()->front();
    return count.packets - count.limited;
}

} // namespace

TEST_F(FilterTest, limit_lets_a_burst_through_to_the_packet_on_two_processors) {
    for (const char* limit :
         {"limit 1/d burst 300",
          "limit 1/d burst 300 by source token",
          "limit 1/d burst 300 by flow",
          "limit 300/d by source/24 sliding",
          "limit 300/d by dport sliding",
          "limit 1/d burst 300 by destination/24/64"}) {
        SCOPED_TRACE(limit);
        Filter filter = attach(options(), std::format("pass {}", limit));
        const Fd program = live_program(filter, lab_.bpf_dir());
        hammer(program, udp_from(someone), 100'000);
        EXPECT_EQ(passed(filter), 300U);
        EXPECT_EQ(filter.stats()->passed.packets, 300U);
        EXPECT_EQ(filter.stats()->dropped.packets, filter.rule_counts()->front().limited);
        must(filter.detach());
    }
}

TEST_F(FilterTest, limit_keeps_its_rate_within_a_hundredth_on_two_processors) {
    const Frame of_thousand_bytes = ethernet(0x0800) + ipv4({.source = someone}, udp(1, 2, 958));
    ASSERT_EQ(of_thousand_bytes.size(), 1000U);
    struct Case {
        std::string limit;
        double rate;  ///< frames a second
        double burst; ///< frames
        Frame frame;
    };
    const std::vector<Case> cases{
        {"1000/s burst 200", 1000, 200, udp_from(someone)},
        {"30000/s burst 6000", 30'000, 6000, udp_from(someone)},
        {"300000/s burst 60000", 300'000, 60'000, udp_from(someone)},
        {"1000000/s burst 200000", 1'000'000, 200'000, udp_from(someone)},
        {"800mbit burst 20mb by flow", 100'000, 20'000, of_thousand_bytes},
    };
    for (const auto& [limit, rate, burst, frame] : cases) {
        SCOPED_TRACE(limit);
        // What gathers while the test does not run is in the burst, so only its end is a matter of
        // time: where the machine takes that away, once more.
        bool within = false;
        for (int attempt = 0; attempt < 5 && !within; ++attempt) {
            Filter filter = attach(options(), "pass limit " + limit);
            const Fd program = live_program(filter, lab_.bpf_dir());
            const Seconds time = hammer(program, frame, 2'000'000);
            const double allowed = rate * time.count() + burst;
            const auto got = static_cast<double>(passed(filter));
            EXPECT_LE(got, allowed + 1)
                << "more than rate and burst allow, in " << time.count() << " s";
            within = got >= 0.99 * allowed - 1;
            must(filter.detach());
        }
        EXPECT_TRUE(within) << "less than 99 % of what the rate allows";
    }
}

TEST_F(FilterTest, limit_in_bits_counts_whole_frames) {
    const Frame frame = ethernet(0x0800) + ipv4({.source = someone}, udp(1, 2, 958));
    ASSERT_EQ(frame.size(), 1000U);
    Filter filter = attach(options(), "pass limit 1kbit burst 50kb by source");
    hammer(live_program(filter, lab_.bpf_dir()), frame, 10'000);
    const std::uint64_t got = passed(filter);
    EXPECT_GE(got, 50U);
    EXPECT_LE(got, 51U) << "and 125 bytes a second";
    must(filter.detach());
    filter = attach(options(), "pass limit 400kbit sliding"); // 50,000 bytes in a second
    test_run(live_program(filter, lab_.bpf_dir()).get(), frame, 60);
    EXPECT_GE(passed(filter), 50U);
}

TEST_F(FilterTest, limit_tells_keys_apart_by_what_the_rule_says) {
    struct Row {
        const char* key;
        Frame same; ///< as the first packet's
        Frame other;
    };
    const auto packet =
        [](std::uint32_t source, std::uint32_t destination, std::uint16_t from, std::uint16_t to) {
            return ethernet(0x0800) +
                   ipv4({.source = source, .destination = destination}, udp(from, to, 4));
        };
    const Frame first = packet(0x0a010101, 0x0a020202, 1000, 53);
    for (const Row& row :
         {Row{"source",
              packet(0x0a010101, 0x0a030303, 7, 7),
              packet(0x0a010102, 0x0a020202, 1000, 53)},
          Row{"source/24",
              packet(0x0a0101ff, 0x0a030303, 7, 7),
              packet(0x0a010201, 0x0a020202, 1000, 53)},
          Row{"destination", packet(1, 0x0a020202, 7, 7), packet(0x0a010101, 0x0a020203, 1000, 53)},
          Row{"dport", packet(1, 2, 7, 53), packet(0x0a010101, 0x0a020202, 1000, 54)},
          Row{"flow",
              packet(0x0a010101, 0x0a020202, 1000, 53),
              packet(0x0a010101, 0x0a020202, 1001, 53)},
          Row{"flow",
              packet(0x0a010101, 0x0a020202, 1000, 53),
              ethernet(0x0800) +
                  ipv4(
                      {.source = 0x0a010101, .destination = 0x0a020202, .protocol = 6},
                      tcp(1000, 53, 2)
                  )}}) {
        SCOPED_TRACE(row.key);
        Filter filter = attach(options(), std::format("pass limit 1/d burst 1 by {}", row.key));
        const Fd program = live_program(filter, lab_.bpf_dir());
        test_run(program.get(), first, 1);
        EXPECT_EQ(passed(filter), 1U);
        test_run(program.get(), row.same, 1);
        EXPECT_EQ(passed(filter), 1U);
        test_run(program.get(), row.other, 1);
        EXPECT_EQ(passed(filter), 2U);
        must(filter.detach());
    }
}

TEST_F(FilterTest, limit_tells_ipv6_sources_apart_by_their_bits) {
    Filter filter = attach(options(), "pass limit 1/d burst 1 by source/24/64");
    const Fd program = live_program(filter, lab_.bpf_dir());
    const auto packet = [](const char* source) {
        return ethernet(0x86dd) + ipv6({.source = source}, udp(1, 2));
    };
    test_run(program.get(), packet("2001:db8::1"), 1);
    test_run(program.get(), packet("2001:db8::ffff:1"), 1);
    EXPECT_EQ(passed(filter), 1U);
    test_run(program.get(), packet("2001:db8:0:1::1"), 1);
    EXPECT_EQ(passed(filter), 2U);
}

TEST_F(FilterTest, limit_is_not_escaped_by_a_flood_of_other_keys) {
    Filter filter = attach(options(), "pass limit 1/h burst 3 by source");
    const Fd program = live_program(filter, lab_.bpf_dir());
    test_run(program.get(), udp_from(someone), 10);
    EXPECT_EQ(passed(filter), 3U);
    // Real frames over the veth pair, from random sources: several for each entry of the table.
    const LiveSource flood(veth_.peer());
    std::uint64_t seen = 10;
    for (int n = 0; n < 50 && seen < 4 * limits::limit_keys_max; ++n) {
        flood.send(65'536);
        seen = filter.rule_counts()->front().packets;
    }
    ASSERT_GE(seen, 4 * limits::limit_keys_max);
    const LimitTable reading = must(filter.read_limits(3));
    EXPECT_LE(reading.keys, limits::limit_keys_max);
    EXPECT_GT(reading.keys, limits::limit_keys_max * 95 / 100);
    const std::uint64_t before = passed(filter);
    EXPECT_LE(before, 3 * (std::uint64_t{reading.keys} + limits::limit_shared_states));
    test_run(program.get(), udp_from(someone), 1000);
    EXPECT_EQ(passed(filter), before) << "its bucket was reset";
    ASSERT_EQ(reading.rules.size(), 1U);
    EXPECT_FALSE(reading.rules.begin()->second.most.empty()) << "the one who was over before";
}

TEST_F(FilterTest, limit_says_who_is_over) {
    const std::string text = "pass limit 1/h burst 2 by source proto udp";
    Filter filter = attach(options(), text);
    const Fd program = live_program(filter, lab_.bpf_dir());
    test_run(program.get(), udp_from(someone), 12);
    test_run(program.get(), udp_from(someone_else), 102);
    test_run(program.get(), udp_from(0x0a000001), 1);
    const LimitTable table = must(filter.read_limits(10));
    EXPECT_EQ(table.keys, 3U);
    ASSERT_EQ(table.rules.size(), 1U);
    const LimitedKeys& keys = table.rules.at(limit_id(filter.live_rules()[0].text));
    EXPECT_EQ(keys.keys, 3U);
    ASSERT_EQ(keys.most.size(), 2U);
    EXPECT_EQ(keys.most[0].text, "192.0.2.2");
    EXPECT_EQ(keys.most[0].limited, 100U);
    EXPECT_EQ(keys.most[1].text, "192.0.2.1");
    EXPECT_EQ(keys.most[1].limited, 10U);
    EXPECT_EQ(must(filter.read_limits(1)).rules.begin()->second.most.size(), 1U);
}

TEST_F(FilterTest, limit_goes_on_over_a_load_and_a_restart) {
    constexpr const char* text = "pass limit 1/d burst 10 by source proto udp";
    Filter filter = attach(options(), text);
    const auto send = [&](std::uint32_t packets) {
        test_run(live_program(filter, lab_.bpf_dir()).get(), udp_from(someone), packets);
    };
    send(6);
    EXPECT_EQ(passed(filter), 6U);
    must(filter.load(rules_of(std::format("{}\ndrop vlan 7", text))));
    send(100);
    EXPECT_EQ(passed(filter), 10U) << "four were left";
    filter = must(Filter::adopt(options()));
    send(100);
    EXPECT_EQ(passed(filter), 10U);
    must(filter.load(rules_of("pass limit 1/d burst 12 by source proto udp")));
    send(100);
    EXPECT_EQ(passed(filter), 2U) << "another burst is not a new one";
    must(filter.load(rules_of("pass limit 1/d burst 11 by source length 1-65535 proto udp")));
    send(100);
    EXPECT_EQ(passed(filter), 11U) << "another rule begins anew";
}

TEST_F(FilterTest, limit_that_gets_faster_does_not_wait_for_what_the_slow_one_owed) {
    Filter filter = attach(options(), "pass limit 1/d burst 100 by source");
    const auto send = [&](std::uint32_t packets) {
        test_run(live_program(filter, lab_.bpf_dir()).get(), udp_from(someone), packets);
    };
    send(1000); // owes a hundred days
    EXPECT_EQ(passed(filter), 100U);
    must(filter.load(rules_of("pass limit 100000000/s burst 10 by source")));
    send(1); // over, and owes 10 packets' time from here on
    send(100);
    EXPECT_GE(passed(filter), 10U);
}

TEST_F(FilterTest, limit_of_a_rule_that_is_gone_leaves_nothing_to_its_slot) {
    // What finds no entry shares states by slot; the next rule in it must not find them used up.
    Filter filter = attach(options(), "pass limit 100/d by source sliding");
    const std::uint32_t slot = filter.live_rules().front().slot;
    const LiveSource flood(veth_.peer());
    for (int n = 0; n < 20; ++n) {
        flood.send(65'536);
    }
    ASSERT_GT(must(filter.read_limits(0)).keys, limits::limit_keys_max * 95 / 100);
    // As many other rules as use up all slots that are clean, then once more as many.
    for (const char* limit : {"5", "6"}) {
        std::string rules;
        for (std::uint32_t i = 0; i < limits::rules_max; ++i) {
            rules += std::format("pass limit {}/d by source length {}\n", limit, 48 + i);
        }
        must(filter.load(rules_of(rules)));
    }
    ASSERT_EQ(filter.live_rules().front().slot, slot);
    test_run(live_program(filter, lab_.bpf_dir()).get(), udp_from(someone), 100);
    EXPECT_EQ(passed(filter), 5U) << "the burst that a limit has when it says none";
}

TEST_F(FilterTest, limit_that_adapts_goes_by_the_rate_that_is_written) {
    const std::string text = "pass limit 100000000/s burst 10 by source adaptive 1/s on drops";
    Filter filter = attach(options(), text);
    const LiveRule rule = filter.live_rules().front();
    const Limit limit = adaptive_limit(rule.text).value();
    EXPECT_EQ(filter.limit_rate(rule.slot, limit), 100'000'000U);
    const auto send = [&](std::uint32_t packets) {
        test_run(live_program(filter, lab_.bpf_dir()).get(), udp_from(someone), packets);
    };
    send(1000);
    EXPECT_GE(passed(filter), 10U);
    ASSERT_TRUE(filter.set_limit_rate(rule.slot, limit, 1));
    EXPECT_EQ(filter.limit_rate(rule.slot, limit), 1U);
    const std::uint64_t before = passed(filter);
    send(1000);
    EXPECT_GE(passed(filter), before);
    EXPECT_LE(passed(filter), before + 2) << "one packet, and at most one for the time it took";
    // A load keeps it: the rule stays.
    must(filter.load(rules_of(text + "\ndrop vlan 7")));
    EXPECT_EQ(filter.limit_rate(filter.live_rules().front().slot, limit), 1U);
}

TEST(LimitControl, halves_when_congested_and_adds_a_share_when_not) {
    const Limit limit{.rate = 1000, .floor = 100};
    EXPECT_EQ(next_rate(limit, 1000, true), 500U);
    EXPECT_EQ(next_rate(limit, 150, true), 100U);
    EXPECT_EQ(next_rate(limit, 100, false), 120U);
    EXPECT_EQ(next_rate(limit, 995, false), 1000U);
    EXPECT_EQ(next_rate({.rate = 3, .floor = 1}, 1, false), 2U);
}

TEST(LimitControl, is_congested_by_its_own_signal) {
    const CongestionReading before{.drops = 5, .queue_packets = 0, .cpu_busy = 100, .cpu_all = 200};
    const CongestionReading now{.drops = 6, .queue_packets = 9, .cpu_busy = 180, .cpu_all = 300};
    const auto on = [](LimitSignal signal, std::uint32_t threshold) {
        return Limit{.rate = 2, .floor = 1, .signal = signal, .threshold = threshold};
    };
    EXPECT_TRUE(is_congested(on(LimitSignal::drops, 0), before, now));
    EXPECT_FALSE(is_congested(on(LimitSignal::drops, 0), now, now));
    EXPECT_TRUE(is_congested(on(LimitSignal::queue, 9), before, now));
    EXPECT_FALSE(is_congested(on(LimitSignal::queue, 10), before, now));
    EXPECT_TRUE(is_congested(on(LimitSignal::cpu, 80), before, now));
    EXPECT_FALSE(is_congested(on(LimitSignal::cpu, 81), before, now));
    EXPECT_FALSE(is_congested(on(LimitSignal::cpu, 1), now, now)) << "no time has passed";
}

TEST_F(FilterTest, without_a_rule_that_limits_there_is_no_table) {
    Filter filter = attach(options(), "drop from 10.0.0.0/8");
    const std::uint32_t without = verified_instructions(live_program(filter, lab_.bpf_dir()));
    must(filter.load(rules_of("pass limit 5/s from 10.0.0.0/8")));
    EXPECT_GT(verified_instructions(live_program(filter, lab_.bpf_dir())), without);
    must(filter.load(rules_of("drop from 10.0.0.0/8")));
    EXPECT_EQ(verified_instructions(live_program(filter, lab_.bpf_dir())), without);
    EXPECT_EQ(must(filter.read_limits(10)).keys, 0U);
}
