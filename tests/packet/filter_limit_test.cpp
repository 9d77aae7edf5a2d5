// Rules with `limit`: exact on all processors, for each key, through floods, loads and restarts.
#include "tests/packet/filter_fixture.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/processor.hpp"
#include "tests/packet/rules_parse.hpp"

#include <zsync/packet/limit_control.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/mapped_array.hpp>
#include <zsync/packet/pins.hpp>
#include <zsync/packet/rules_names.hpp>

#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <format>
#include <functional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
extern "C" {
#include <bpf/limit_state.h>
}

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::uint32_t someone = 0xc0000201; // 192.0.2.1
constexpr std::uint32_t someone_else = 0xc0000202;

Filter attach(const FilterOptions& options, std::string_view rules) {
    return must(Filter::attach(options, rules_of(rules)));
}

/// From before the first packet to behind the last.
struct Span {
    Clock::time_point begin;
    Clock::time_point end;

    [[nodiscard]] double seconds() const { return Seconds(end - begin).count(); }
};

/// Does it on each of two processors at once.
Span on_two_processors(const std::function<void()>& work) {
    Span span{.begin = Clock::now(), .end = {}};
    std::vector<std::jthread> threads;
    for (int cpu = 0; cpu < std::min(libbpf_num_possible_cpus(), 2); ++cpu) {
        threads.emplace_back([&, cpu] {
            stay_on(static_cast<unsigned>(cpu));
            work();
        });
    }
    threads.clear();
    span.end = Clock::now();
    return span;
}

/// Gives the program `packets` on each of two processors at once.
Span hammer(const Fd& program, const Frame& frame, std::uint32_t packets) {
    return on_two_processors([&] { test_run(program.get(), frame, packets); });
}

/// The same until so much time has passed.
Span hammer_for(const Fd& program, const Frame& frame, Seconds time) {
    const auto end = Clock::now() + time;
    return on_two_processors([&] {
        while (Clock::now() < end) {
            test_run(program.get(), frame, 50'000);
        }
    });
}

const Frame& of_thousand_bytes() {
    static const Frame frame = ethernet(0x0800) + ipv4({.source = someone}, udp(1, 2, 958));
    return frame;
}

/// What a sliding limit of `most` in a second lets through of an endless stream: all of it in the
/// first window, and of each later one as much as has passed of it.
double sliding_allows(double most, const Span& span) {
    const auto window = [](Clock::time_point time) {
        const auto ns = static_cast<std::uint64_t>(time.time_since_epoch().count());
        return static_cast<double>(ns >> 10) / ZSYNC_WINDOW_SECOND;
    };
    return most * std::max(window(span.end) - std::floor(window(span.begin)), 1.0);
}

/// The state of the only key that a filter's limits have.
class OnlyState {
public:
    OnlyState(const Filter& filter, const std::string& bpf_dir)
        : lines_(
              Pins(bpf_dir, filter.ifname(), {}).open(filter.program_id(), "limit_lines").value(),
              ZSYNC_LIMIT_LINES,
              MapRights::read_write
          ) {}

    /// In the line that has it; none while no packet came.
    [[nodiscard]] __u64& word() const {
        for (std::size_t i = 0; i < ZSYNC_LIMIT_LINES; ++i) {
            for (auto& entry : lines_.at(i).entries) {
                if (entry.name != 0) {
                    return entry.state;
                }
            }
        }
        throw std::runtime_error("no key has a state");
    }

private:
    MappedArray<zsync_limit_line> lines_;
};

__u64 sliding_state(std::uint64_t window, std::uint64_t former, std::uint64_t present) {
    return (window & ZSYNC_WINDOW_NUMBER_MASK) << ZSYNC_WINDOW_NUMBER_SHIFT |
           zsync_pack_former(former) << ZSYNC_WINDOW_COUNT_BITS | present;
}

std::uint64_t clock_1024ns() {
    return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) >> 10;
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
    ASSERT_EQ(of_thousand_bytes().size(), 1000U);
    struct Case {
        std::string limit;
        double rate;  ///< frames a second
        double burst; ///< frames
        Frame frame;
        std::uint64_t phase = 0; ///< the rate that an adaptive limit is set to, in its unit
    };
    const Frame small = udp_from(someone);
    const Frame& large = of_thousand_bytes();
    const std::vector<Case> cases{
        {"1000/s burst 200", 1000, 200, small},
        {"30000/s burst 6000", 30'000, 6000, small},
        {"300000/s burst 60000", 300'000, 60'000, small},
        {"1000000/s burst 200000", 1'000'000, 200'000, small},
        {"800mbit burst 20mb by flow", 100'000, 20'000, large},
        {"40000/s burst 8000 by source token", 40'000, 8000, small},
        {"160mbit burst 4mb token", 20'000, 4000, large},
        // An adaptive burst stays the time that it takes at the whole rate.
        {"100000/s burst 20000 adaptive 1000/s on drops", 25'000, 5000, small, 25'000},
        {"400mbit burst 10mb by source adaptive 1mbit on drops", 10'000, 2000, large, 80'000'000},
    };
    for (const auto& [limit, rate, burst, frame, phase] : cases) {
        SCOPED_TRACE(limit);
        // What gathers while the test does not run is in the burst, so only its end is a matter of
        // time: where the machine takes that away, once more.
        bool within = false;
        for (int attempt = 0; attempt < 5 && !within; ++attempt) {
            Filter filter = attach(options(), "pass limit " + limit);
            if (phase != 0) {
                const LiveRule rule = filter.live_rules().front();
                ASSERT_TRUE(
                    filter.set_limit_rate(rule.slot, adaptive_limit(rule.text).value(), phase)
                );
            }
            const Fd program = live_program(filter, lab_.bpf_dir());
            const Span span = hammer(program, frame, 2'000'000);
            const double allowed = rate * span.seconds() + burst;
            const auto got = static_cast<double>(passed(filter));
            EXPECT_LE(got, allowed + 1)
                << "more than rate and burst allow, in " << span.seconds() << " s";
            within = got >= 0.99 * allowed - 1;
            must(filter.detach());
        }
        EXPECT_TRUE(within) << "less than 99 % of what the rate allows";
    }
}

TEST_F(FilterTest, limit_that_slides_keeps_its_rate_within_a_hundredth_over_windows) {
    struct Case {
        std::string limit;
        double most; ///< frames in a window
        Frame frame;
    };
    for (const auto& [limit, most, frame] :
         {Case{"50000/s by source sliding", 50'000, udp_from(someone)},
          Case{"80mbit sliding", 10'000, of_thousand_bytes()}}) {
        SCOPED_TRACE(limit);
        bool within = false;
        for (int attempt = 0; attempt < 5 && !within; ++attempt) {
            Filter filter = attach(options(), "pass limit " + limit);
            const Fd program = live_program(filter, lab_.bpf_dir());
            const Span span = hammer_for(program, frame, Seconds(2.5));
            const double allowed = sliding_allows(most, span);
            const auto got = static_cast<double>(passed(filter));
            EXPECT_LE(got, allowed + 1) << "more than windows allow, in " << span.seconds() << " s";
            within = got >= 0.99 * allowed - 1;
            must(filter.detach());
        }
        EXPECT_TRUE(within) << "less than 99 % of what the windows allow";
    }
}

TEST_F(FilterTest, limit_that_slides_has_of_the_former_window_what_is_left_of_it) {
    // A day's window hardly moves while the test runs, so its shares are known to the packet.
    Filter filter = attach(options(), "pass limit 400/d sliding");
    const Fd program = live_program(filter, lab_.bpf_dir());
    test_run(program.get(), udp_from(someone), 1);
    const OnlyState state(filter, lab_.bpf_dir());
    const std::uint64_t day = clock_1024ns() / ZSYNC_WINDOW_DAY;
    const auto share_left = [&] {
        const auto into = static_cast<double>(clock_1024ns() - day * ZSYNC_WINDOW_DAY);
        return 1 - into / ZSYNC_WINDOW_DAY;
    };
    struct Case {
        const char* what;
        __u64 state;
        double former;
        double present;
    };
    for (const auto& [what, word, former, present] :
         {Case{"both counts", sliding_state(day, 300, 50), 300, 50},
          Case{"the present count has become the former", sliding_state(day - 1, 7, 200), 200, 0},
          Case{"the former one was full", sliding_state(day - 1, 0, 400), 400, 0},
          Case{"two windows ago", sliding_state(day - 2, 400, 400), 0, 0}}) {
        SCOPED_TRACE(what);
        const std::uint64_t before = passed(filter);
        state.word() = word;
        const double least = 400 - present - former * share_left();
        test_run(program.get(), udp_from(someone), 1000);
        const double most = 400 - present - former * share_left();
        const auto got = static_cast<double>(passed(filter) - before);
        EXPECT_GE(got, std::floor(least));
        EXPECT_LE(got, std::floor(most) + 1);
    }
    must(filter.detach());
}

TEST_F(FilterTest, limit_that_slides_takes_no_old_count_for_a_present_one) {
    Filter filter = attach(options(), "pass limit 20/s by source sliding");
    const Fd program = live_program(filter, lab_.bpf_dir());
    test_run(program.get(), udp_from(someone), 1);
    const OnlyState state(filter, lab_.bpf_dir());
    // As it would be left after a rest of so many windows: 18 hours of seconds, and times of that.
    for (std::uint64_t rest = 65'510; rest < 65'540; ++rest) {
        for (const std::uint64_t times : {1U, 2U, 5U}) {
            const std::uint64_t window = clock_1024ns() / ZSYNC_WINDOW_SECOND;
            const std::uint64_t before = passed(filter);
            state.word() = sliding_state(window - times * rest, 20, 20);
            test_run(program.get(), udp_from(someone), 1);
            ASSERT_EQ(passed(filter), before + 1) << times << " times " << rest;
        }
    }
    must(filter.detach());
}

TEST_F(FilterTest, limit_in_bits_counts_whole_frames) {
    Filter filter = attach(options(), "pass limit 1kbit burst 50kb by source");
    hammer(live_program(filter, lab_.bpf_dir()), of_thousand_bytes(), 10'000);
    const std::uint64_t got = passed(filter);
    EXPECT_GE(got, 50U);
    EXPECT_LE(got, 51U) << "and 125 bytes a second";
    must(filter.detach());
    for (int attempt = 0; attempt < 5; ++attempt) {
        filter = attach(options(), "pass limit 400kbit sliding"); // 50,000 bytes in a second
        const auto second = [] { return clock_1024ns() / ZSYNC_WINDOW_SECOND; };
        const std::uint64_t before = second();
        hammer(live_program(filter, lab_.bpf_dir()), of_thousand_bytes(), 1000);
        const bool one_window = second() == before;
        const std::uint64_t in_window = passed(filter);
        must(filter.detach());
        if (one_window) {
            EXPECT_EQ(in_window, 50U);
            return;
        }
    }
    FAIL() << "no thousand packets within a second";
}

namespace {

/// Two packets beside a first one, and what a limit's key says of them.
struct KeyRow {
    const char* key;
    Frame same; ///< as the first packet's
    Frame other;
};

void expect_key(
    const KeyRow& row, const Frame& first, const FilterOptions& options, const std::string& bpf_dir
) {
    SCOPED_TRACE(row.key);
    Filter filter = attach(options, std::format("pass limit 1/d burst 1 by {}", row.key));
    const Fd program = live_program(filter, bpf_dir);
    test_run(program.get(), first, 1);
    EXPECT_EQ(passed(filter), 1U);
    test_run(program.get(), row.same, 1);
    EXPECT_EQ(passed(filter), 1U);
    test_run(program.get(), row.other, 1);
    EXPECT_EQ(passed(filter), 2U);
    must(filter.detach());
}

} // namespace

TEST_F(FilterTest, limit_tells_keys_apart_by_what_the_rule_says) {
    const auto packet =
        [](std::uint32_t source, std::uint32_t destination, std::uint16_t from, std::uint16_t to) {
            return ethernet(0x0800) +
                   ipv4({.source = source, .destination = destination}, udp(from, to, 4));
        };
    const Frame first = packet(0x0a010101, 0x0a020202, 1000, 53);
    for (const KeyRow& row :
         {KeyRow{
              "source",
              packet(0x0a010101, 0x0a030303, 7, 7),
              packet(0x0a010102, 0x0a020202, 1000, 53)
          },
          KeyRow{
              "source/24",
              packet(0x0a0101ff, 0x0a030303, 7, 7),
              packet(0x0a010201, 0x0a020202, 1000, 53)
          },
          KeyRow{
              "destination", packet(1, 0x0a020202, 7, 7), packet(0x0a010101, 0x0a020203, 1000, 53)
          },
          KeyRow{"dport", packet(1, 2, 7, 53), packet(0x0a010101, 0x0a020202, 1000, 54)},
          KeyRow{
              "flow",
              packet(0x0a010101, 0x0a020202, 1000, 53),
              packet(0x0a010101, 0x0a020202, 1001, 53)
          },
          KeyRow{
              "flow",
              packet(0x0a010101, 0x0a020202, 1000, 53),
              ethernet(0x0800) +
                  ipv4(
                      {.source = 0x0a010101, .destination = 0x0a020202, .protocol = 6},
                      tcp(1000, 53, 2)
                  )
          }}) {
        expect_key(row, first, options(), lab_.bpf_dir());
    }
}

TEST_F(FilterTest, limit_tells_ipv6_keys_apart_by_what_the_rule_says) {
    const auto packet =
        [](const char* source, const char* destination, std::uint16_t from, std::uint16_t to) {
            return ethernet(0x86dd) +
                   ipv6({.source = source, .destination = destination}, udp(from, to, 4));
        };
    const char* const here = "2001:db8::1";
    const char* const there = "2001:db8:1::2";
    const Frame first = packet(here, there, 1000, 53);
    for (const KeyRow& row :
         {KeyRow{
              "source", packet(here, "2001:db8:9::9", 7, 7), packet("2001:db8::3", there, 1000, 53)
          },
          KeyRow{
              "source/24/64",
              packet("2001:db8::ffff:1", "2001:db8:9::9", 7, 7),
              packet("2001:db8:0:1::1", there, 1000, 53)
          },
          KeyRow{
              "source/24/65",
              packet("2001:db8::ffff:1", there, 7, 7),
              packet("2001:db8:0:0:8000::1", there, 1000, 53)
          },
          KeyRow{
              "destination",
              packet("2001:db8:9::9", there, 7, 7),
              packet(here, "2001:db8:1::3", 1000, 53)
          },
          KeyRow{
              "destination/24/48",
              packet("2001:db8:9::9", "2001:db8:1:7::9", 7, 7),
              packet(here, "2001:db8:2::2", 1000, 53)
          },
          KeyRow{
              "destination/24/128",
              packet("2001:db8:9::9", there, 7, 7),
              packet(here, "2001:db8:1::3", 1000, 53)
          },
          KeyRow{
              "dport",
              packet("2001:db8:9::9", "2001:db8:9::8", 7, 53),
              packet(here, there, 1000, 54)
          },
          KeyRow{"flow", first, packet(here, there, 1001, 53)},
          KeyRow{"flow", first, packet(here, there, 1000, 54)},
          KeyRow{"flow", first, packet(here, "2001:db8:1::3", 1000, 53)},
          KeyRow{"flow", first, packet("2001:db8::3", there, 1000, 53)},
          KeyRow{
              "flow",
              first,
              ethernet(0x86dd) +
                  ipv6({.source = here, .destination = there, .next = 6}, tcp(1000, 53, 2))
          },
          // The same numbers in the other family are another key.
          KeyRow{
              "dport",
              packet("2001:db8:9::9", "2001:db8:9::8", 7, 53),
              ethernet(0x0800) + ipv4({.source = someone}, udp(1000, 53, 4))
          }}) {
        expect_key(row, first, options(), lab_.bpf_dir());
    }
}

TEST_F(FilterTest, limit_is_not_escaped_by_a_flood_of_other_keys) {
    Filter filter = attach(options(), "pass limit 1/h burst 3 by source");
    const Fd program = live_program(filter, lab_.bpf_dir());
    test_run(program.get(), udp_from(someone), 10);
    EXPECT_EQ(passed(filter), 3U);
    // Real frames over the veth pair, from random sources: several for each entry of the table.
    const LiveSource flood(veth_.peer());
    std::uint64_t seen = 10;
    for (int n = 0; n < 50 && seen < std::uint64_t{4} * limits::limit_keys_max; ++n) {
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

TEST_F(FilterTest, limit_says_of_which_family_a_port_is) {
    Filter filter = attach(options(), "pass limit 1/h burst 2 by dport proto udp");
    const Fd program = live_program(filter, lab_.bpf_dir());
    test_run(program.get(), ethernet(0x0800) + ipv4({}, udp(1000, 53, 4)), 4);
    test_run(program.get(), ethernet(0x86dd) + ipv6({}, udp(1000, 53, 4)), 5);
    const LimitTable table = must(filter.read_limits(10));
    const LimitedKeys& keys = table.rules.at(limit_id(filter.live_rules()[0].text));
    ASSERT_EQ(keys.most.size(), 2U);
    EXPECT_EQ(keys.most[0].text, "IPv6 port 53");
    EXPECT_EQ(keys.most[1].text, "port 53");
}

TEST_F(FilterTest, limits_are_each_rules_own_even_where_their_ids_are_the_same) {
    const std::string rule =
        rules_of("pass limit 1/d burst 1 from 10.0.0.0 proto udp").rules[0].text;
    const std::size_t place = rule.find("10.0.0.0");
    ASSERT_NE(place, std::string::npos);
    // By the birthday paradox two of some 80,000.
    std::unordered_map<std::uint32_t, std::uint32_t> seen;
    std::array<std::uint32_t, 2> sources{};
    for (std::uint32_t n = 1; n < 1'000'000 && sources[0] == 0; ++n) {
        const std::string other = std::format("10.{}.{}.{}", n >> 16, n >> 8 & 0xff, n & 0xff);
        const auto [found, is_new] =
            seen.emplace(limit_id(std::string(rule).replace(place, 8, other)), n);
        if (!is_new) {
            sources = {0x0a000000 | found->second, 0x0a000000 | n};
        }
    }
    ASSERT_NE(sources[0], 0U);
    std::string text = "default drop\n";
    for (const std::uint32_t source : sources) {
        text += std::format(
            "pass limit 1/d burst 1 from 10.{}.{}.{} proto udp\n",
            source >> 16 & 0xff,
            source >> 8 & 0xff,
            source & 0xff
        );
    }
    Filter filter = attach(options(), text);
    const std::vector<LiveRule> rules = filter.live_rules();
    ASSERT_EQ(limit_id(rules[0].text), limit_id(rules[1].text));
    const Fd program = live_program(filter, lab_.bpf_dir());
    for (const std::uint32_t source : sources) {
        test_run(program.get(), udp_from(source), 5);
    }
    const std::vector<RuleCount> counts = filter.rule_counts().value();
    for (const RuleCount& count : counts) {
        EXPECT_EQ(count.packets, 5U);
        EXPECT_EQ(count.limited, 4U);
    }
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

TEST_F(FilterTest, limit_in_bits_that_adapts_goes_by_the_rate_that_is_written) {
    const std::string text = "pass limit 1gbit burst 20kb by source adaptive 1kbit on drops";
    Filter filter = attach(options(), text);
    const LiveRule rule = filter.live_rules().front();
    const Limit limit = adaptive_limit(rule.text).value();
    EXPECT_EQ(filter.limit_rate(rule.slot, limit), 1'000'000'000U);
    ASSERT_TRUE(filter.set_limit_rate(rule.slot, limit, 1000));
    EXPECT_EQ(filter.limit_rate(rule.slot, limit), 1000U);
    test_run(live_program(filter, lab_.bpf_dir()).get(), of_thousand_bytes(), 1000);
    // The burst's 160 microseconds are less than a frame's 8 seconds at this rate: one frame.
    EXPECT_EQ(passed(filter), 1U);
    // At 500 Mbit/s a frame takes 16 microseconds, and the burst is half as many bytes.
    ASSERT_TRUE(filter.set_limit_rate(rule.slot, limit, 500'000'000));
    const Frame other = ethernet(0x0800) + ipv4({.source = someone_else}, udp(1, 2, 958));
    const Span span = hammer(live_program(filter, lab_.bpf_dir()), other, 1000);
    EXPECT_GE(passed(filter), 1U + 10U);
    EXPECT_LE(static_cast<double>(passed(filter)), 1 + 10 + span.seconds() * 62'500 + 1);
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
    const std::uint32_t without = program_bytes(live_program(filter, lab_.bpf_dir()));
    must(filter.load(rules_of("pass limit 5/s from 10.0.0.0/8")));
    EXPECT_GT(program_bytes(live_program(filter, lab_.bpf_dir())), without);
    must(filter.load(rules_of("drop from 10.0.0.0/8")));
    EXPECT_EQ(program_bytes(live_program(filter, lab_.bpf_dir())), without);
    EXPECT_EQ(must(filter.read_limits(10)).keys, 0U);
}
