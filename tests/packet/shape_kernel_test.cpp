// The departure times that the real program gives packets, against what shape.h says of them.
#include "tests/packet/lab.hpp"
#include "tests/packet/processor.hpp"
#include "tests/packet/rules_parse.hpp"

#include <zsync/packet/engine.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/shape_table.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <numeric>
#include <random>
#include <thread>
extern "C" {
#include <bpf/shape.h>
}

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

constexpr std::uint32_t passes = static_cast<std::uint32_t>(-1);
constexpr std::uint32_t drops = 2;
constexpr std::uint64_t second = 1'000'000'000;

std::uint64_t now_ns() {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

/// A shape's program, attached nowhere. Class i of the file has its clocks in slot i + 2, and gets
/// what goes to port i + 1.
struct Shaped {
    explicit Shaped(const RuleSet& all) : live{.shape = all.shape.value(), .slots = {}} {
        RuleSet rules = all;
        rules.hooks.clear();
        CounterSlots slots;
        slots.rules.resize(rules.rules.size());
        std::iota(slots.rules.begin(), slots.rules.end(), 1);
        slots.classes = live.slots = assign_classes(live.shape, std::nullopt);
        maps = create_shared_maps().value();
        auto loaded = load_program(compile(rules, slots).value(), maps, HookKind::tcx_out);
        if (!loaded) {
            throw std::runtime_error(loaded.error().message());
        }
        program = *std::move(loaded);
    }

    struct Result {
        std::uint32_t verdict = 0;
        std::uint64_t departs_ns = 0;
    };
    /// Sends a packet of class `index`, -1 for none, that stands for `wire_bytes` on the wire.
    [[nodiscard]] Result send(
        int index,
        std::uint32_t wire_bytes = 0,
        std::uint32_t packets = 1,
        int repeat = 1,
        std::uint16_t flow = 1
    ) const {
        const auto port = static_cast<std::uint16_t>(index + 1);
        const Frame frame = ethernet(0x0800) + ipv4({}, udp(flow, port, 18));
        __sk_buff skb{};
        skb.wire_len = wire_bytes;
        skb.gso_segs = packets > 1 ? packets : 0;
        skb.gso_size = packets > 1 ? 1000 : 0;
        LIBBPF_OPTS(
            bpf_test_run_opts,
            options,
            .data_in = frame.data(),
            .data_size_in = static_cast<std::uint32_t>(frame.size()),
            .ctx_in = &skb,
            .ctx_out = &skb,
            .ctx_size_in = sizeof skb,
            .ctx_size_out = sizeof skb,
            .repeat = repeat
        );
        if (bpf_prog_test_run_opts(program.fd.get(), &options) != 0) {
            throw std::runtime_error("BPF_PROG_TEST_RUN");
        }
        return {.verdict = options.retval, .departs_ns = skb.tstamp};
    }

    [[nodiscard]] zsync_shape_clock clock(std::uint32_t slot) const {
        zsync_shape_clock clock{};
        EXPECT_EQ(bpf_map_lookup_elem(maps.shape.get(), &slot, &clock), 0);
        return clock;
    }
    /// Without a preference for flows that send little, unless `sparse` has come.
    void set_clock(
        std::uint32_t slot,
        std::uint64_t guaranteed,
        std::uint64_t most,
        std::uint64_t sparse = std::uint64_t{1} << 63
    ) const {
        zsync_shape_clock clock{};
        clock.sparse = sparse;
        clock.guaranteed = guaranteed;
        clock.most = most;
        EXPECT_EQ(bpf_map_update_elem(maps.shape.get(), &slot, &clock, BPF_ANY), 0);
    }

    LiveShape live;
    SharedMaps maps;
    LoadedProgram program;
};

Shaped shaped(std::string_view text) { return Shaped(rules_of(text)); }

std::string shape_text_of(std::string_view head, std::initializer_list<std::string_view> classes) {
    std::string text = std::format("{} {{\n", head);
    std::string rules;
    int index = 0;
    for (const std::string_view rates : classes) {
        text += std::format("class c{} {}\n", index, rates);
        rules += std::format("pass out class c{} proto udp dport {}\n", index, index + 1);
        ++index;
    }
    return text + "}\n" + rules;
}

/// What shape.h says, one packet after the other, in ticks, of clocks that are ahead.
struct Naive {
    struct Clock {
        std::uint64_t guaranteed = 0;
        std::uint64_t most = 0;
    };
    std::uint64_t whole = 0;
    std::vector<Clock> clocks;
    const Shape& shape;

    static std::uint64_t ticks(std::uint64_t bytes, std::uint64_t rate) {
        return bytes * byte_cost(rate) >> ZSYNC_BYTE_COST_LOG2;
    }
    std::uint64_t departure(std::size_t index, std::uint64_t bytes) {
        const ShapeClass& one = shape.classes[index];
        Clock& own = clocks[index];
        const bool guaranteed = one.guarantee != 0 && own.guaranteed <= whole;
        const std::uint64_t start = guaranteed ? own.guaranteed : whole;
        if (guaranteed) {
            own.guaranteed += ticks(bytes, one.guarantee);
        }
        whole += ticks(bytes, shape.rate);
        const std::uint64_t departs = std::max(own.most, start);
        own.most = departs + ticks(bytes, one.max);
        return departs;
    }
};

} // namespace

TEST(Shape, departures_are_those_of_the_definition_for_random_classes_and_packets) {
    Lab::enter();
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 20; ++round) {
        const Shaped shape = shaped(shape_text_of(
            "shape 1gbit horizon 2000ms",
            {"guarantee 600mbit", "guarantee 100mbit max 400mbit", "max 50mbit", "guarantee 9kbit"}
        ));
        const std::size_t classes = shape.live.shape.classes.size();
        Naive naive{.whole = 0, .clocks = {}, .shape = shape.live.shape};
        // Ahead, so that what the time is says nothing; near each other, so that each one decides.
        const std::uint64_t base = (now_ns() + second) << ZSYNC_TICKS_PER_NS_LOG2;
        const auto somewhen = [&] {
            return base + (random() % 5'000'000 << ZSYNC_TICKS_PER_NS_LOG2);
        };
        naive.whole = somewhen();
        shape.set_clock(ZSYNC_SHAPE_WHOLE, 0, naive.whole);
        for (std::size_t i = 0; i < classes; ++i) {
            naive.clocks.push_back({.guaranteed = somewhen(), .most = somewhen()});
            shape.set_clock(shape.live.slots[i], naive.clocks[i].guaranteed, naive.clocks[i].most);
        }
        for (int i = 0; i < 200; ++i) {
            const auto index = static_cast<int>(random() % classes) - 1;
            const bool merged = random() % 4 == 0;
            const auto bytes = static_cast<std::uint32_t>(60 + random() % (merged ? 30'000 : 1455));
            const auto departs = naive.departure(static_cast<std::size_t>(index + 1), bytes);
            const Shaped::Result result = shape.send(index, bytes, merged ? 30 : 1);
            ASSERT_EQ(result.verdict, passes);
            ASSERT_EQ(result.departs_ns, departs >> ZSYNC_TICKS_PER_NS_LOG2) << i;
        }
    }
}

TEST(Shape, counts_what_each_class_sent_by_its_segments) {
    Lab::enter();
    const Shaped shape = shaped(shape_text_of("shape 1gbit", {"guarantee 100mbit", "max 50mbit"}));
    EXPECT_EQ(shape.send(0, 30'000, 30).verdict, passes);
    EXPECT_EQ(shape.send(1, 100).verdict, passes);
    EXPECT_EQ(shape.send(1, 200).verdict, passes);
    const ShapeReading reading = read_shape(shape.maps.shape, shape.live).value();
    ASSERT_EQ(reading.classes.size(), 3U);
    EXPECT_EQ(reading.rate, second);
    const ClassReading& first = reading.classes[1];
    EXPECT_EQ(first.name, "c0");
    EXPECT_EQ(first.packets, 30U);
    EXPECT_EQ(first.bytes, 30'000U);
    EXPECT_EQ(first.borrowed, 0U);
    EXPECT_EQ(reading.classes[2].packets, 2U);
    EXPECT_EQ(reading.classes[2].bytes, 300U);
    EXPECT_EQ(reading.classes[2].borrowed, 300U);
    EXPECT_EQ(reading.classes[0].packets, 0U);
}

TEST(Shape, a_rested_class_sends_at_once_and_makes_up_for_no_more_than_the_credit) {
    Lab::enter();
    // A packet takes 10 ms.
    const Shaped shape = shaped("shape 800kbit horizon 2000ms\n");
    const std::uint64_t before = now_ns();
    const Shaped::Result first = shape.send(-1, 1000);
    const std::uint64_t after = now_ns();
    EXPECT_GE(first.departs_ns, before);
    EXPECT_LE(first.departs_ns, after);
    const Shaped::Result next = shape.send(-1, 1000);
    constexpr std::uint64_t credit = ZSYNC_SHAPE_CREDIT >> ZSYNC_TICKS_PER_NS_LOG2;
    EXPECT_GE(next.departs_ns, before + 10'000'000 - credit);
    // Or at once, where this came to it later than that.
    EXPECT_LE(next.departs_ns, std::max(after + 10'000'000 - credit, now_ns()));
}

TEST(Shape, drops_what_would_wait_beyond_the_horizon_and_charges_nothing_for_it) {
    Lab::enter();
    const Shaped shape = shaped(shape_text_of("shape 1gbit horizon 100ms", {"guarantee 10mbit"}));
    const auto ticks_from_now = [](std::uint64_t ms) {
        return (now_ns() + ms * 1'000'000) << ZSYNC_TICKS_PER_NS_LOG2;
    };
    const std::uint64_t late = ticks_from_now(2000);
    shape.set_clock(ZSYNC_SHAPE_WHOLE, 0, late);
    EXPECT_EQ(shape.send(-1, 1000, 3).verdict, drops);
    EXPECT_EQ(shape.clock(ZSYNC_SHAPE_WHOLE).most, late);
    EXPECT_EQ(shape.clock(shape.live.slots[0]).dropped, 3U);
    EXPECT_EQ(read_stats(shape.maps.stats).value().dropped.packets, 3U);
    // What is guaranteed does not wait for the whole.
    EXPECT_EQ(shape.send(0, 1000).verdict, passes);
    shape.set_clock(shape.live.slots[1], ticks_from_now(2000), 0);
    EXPECT_EQ(shape.send(0, 1000).verdict, drops);
    shape.set_clock(shape.live.slots[1], 0, ticks_from_now(2000));
    EXPECT_EQ(shape.send(0, 1000).verdict, drops);
}

namespace {

/// A packet of 1,000 bytes takes 0.8 ms; 400 ms wait for the whole.
Shaped backlogged() {
    Shaped shape = shaped(shape_text_of("shape 10mbit horizon 2000ms", {"max 5mbit"}));
    const std::uint64_t late = (now_ns() + 400'000'000) << ZSYNC_TICKS_PER_NS_LOG2;
    shape.set_clock(ZSYNC_SHAPE_WHOLE, 0, late, 0);
    shape.set_clock(shape.live.slots[1], 0, late, 0);
    return shape;
}

} // namespace

TEST(Shape, a_flow_that_sends_little_leaves_at_once_and_the_others_pay_for_it) {
    Lab::enter();
    for (const int index : {-1, 0}) {
        const Shaped shape = backlogged();
        const std::uint64_t late = shape.clock(ZSYNC_SHAPE_WHOLE).most;
        const Shaped::Result first = shape.send(index, 100);
        EXPECT_EQ(first.verdict, passes);
        EXPECT_LE(first.departs_ns, now_ns());
        EXPECT_EQ(shape.clock(ZSYNC_SHAPE_WHOLE).most, late + Naive::ticks(100, 10'000'000));
        if (index == 0) {
            EXPECT_EQ(shape.clock(shape.live.slots[1]).most, late + Naive::ticks(100, 5'000'000));
        }
        // What GSO will cut is of a flow that sends much.
        EXPECT_GE(shape.send(index, 2000, 2, 1, 2).departs_ns, late >> ZSYNC_TICKS_PER_NS_LOG2);
        // The same flow again, long before a sixty-fourth of the rate allows: it queues up.
        const Shaped::Result second = shape.send(index, 100);
        EXPECT_GE(second.departs_ns, late >> ZSYNC_TICKS_PER_NS_LOG2);
    }
}

TEST(Shape, packets_of_a_flow_that_wait_are_never_overtaken_by_its_own) {
    Lab::enter();
    const Shaped shape = backlogged();
    std::uint64_t last = 0;
    for (int i = 0; i < 100; ++i) {
        const Shaped::Result sent = shape.send(-1, 60);
        EXPECT_GE(sent.departs_ns, last) << i;
        last = sent.departs_ns;
    }
    EXPECT_GT(last, now_ns());
}

TEST(Shape, many_flows_of_one_packet_gain_no_more_than_their_share) {
    Lab::enter();
    const Shaped shape = backlogged();
    const std::uint64_t began = now_ns();
    std::uint64_t at_once_bytes = 0;
    for (std::uint16_t flow = 1; flow <= 500; ++flow) {
        const Shaped::Result sent = shape.send(-1, 1000, 1, 1, flow);
        at_once_bytes += sent.verdict == passes && sent.departs_ns <= now_ns() ? 1000 : 0;
    }
    const double took_s = static_cast<double>(now_ns() - began) / 1e9;
    const double credit_s =
        static_cast<double>(ZSYNC_SHAPE_SPARSE_CREDIT >> ZSYNC_TICKS_PER_NS_LOG2) / 1e9;
    constexpr double share_bytes = 10e6 / 8 / 8; // a second
    EXPECT_GE(at_once_bytes, 1000U);
    EXPECT_LE(at_once_bytes, share_bytes * (took_s + credit_s) + 1000);
}

TEST(Shape, no_time_is_given_twice_on_two_processors) {
    Lab::enter();
    const Shaped shape = shaped(shape_text_of("shape 1gbit horizon 2000ms", {"max 900mbit"}));
    const std::uint64_t base = (now_ns() + second * 3 / 2) << ZSYNC_TICKS_PER_NS_LOG2;
    shape.set_clock(ZSYNC_SHAPE_WHOLE, 0, base);
    shape.set_clock(shape.live.slots[1], 0, base);
    constexpr int packets = 30'000; // sent before the clocks' base has come
    std::vector<std::jthread> threads;
    const int cpus = std::min(libbpf_num_possible_cpus(), 2);
    for (int cpu = 0; cpu < cpus; ++cpu) {
        threads.emplace_back([&, cpu] {
            stay_on(static_cast<unsigned>(cpu));
            EXPECT_EQ(shape.send(0, 64, 1, packets).verdict, passes);
        });
    }
    threads.clear();
    const auto sent = static_cast<std::uint64_t>(cpus) * packets;
    const zsync_shape_clock whole = shape.clock(ZSYNC_SHAPE_WHOLE);
    const zsync_shape_clock own = shape.clock(shape.live.slots[1]);
    ASSERT_EQ(own.packets, sent);
    ASSERT_EQ(own.dropped, 0U);
    EXPECT_EQ(whole.most, base + sent * Naive::ticks(64, second));
    EXPECT_EQ(own.most, base + sent * Naive::ticks(64, 900'000'000));
}

TEST(Shape, costs_nothing_where_no_rule_shapes) {
    Lab::enter();
    const RuleSet rules = rules_of("pass out proto udp dport 1\n");
    RuleSet own = rules;
    own.hooks.clear();
    const CounterSlots slots{.rules = {1}, .by_default = 0};
    SharedMaps maps = create_shared_maps().value();
    const LoadedProgram plain =
        load_program(compile(own, slots).value(), maps, HookKind::tcx_out).value();
    EXPECT_FALSE(maps.shape);
    const Shaped shape = shaped("shape 1gbit\npass out proto udp dport 1\n");
    EXPECT_LT(program_bytes(plain.fd), program_bytes(shape.program.fd));
}
