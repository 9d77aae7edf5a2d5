// The flow table of the kernel, on frames that cross a veth: what it counts, what it refuses, and
// how flows end.
#include "tests/packet/filter_fixture.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/processor.hpp"

#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/analysis/content.hpp>
#include <zsync/packet/analysis/flow_table.hpp>
#include <zsync/packet/flow_reader.hpp>

#include <algorithm>
#include <chrono>
#include <format>
#include <thread>
#include <vector>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;
using analysis::FlowEnd;
using analysis::FlowState;

namespace {

constexpr std::uint32_t client = 0x0a010001;
constexpr std::uint32_t server = 0x0a010002;
constexpr std::uint8_t fin = 1;
constexpr std::uint8_t syn = 2;
constexpr std::uint8_t ack = 16;
constexpr analysis::FlowOptions usual;

std::uint64_t monotonic_ns() {
    return epoch_time<std::chrono::nanoseconds, std::chrono::steady_clock>();
}

Frame tcp_frame(
    std::uint32_t from,
    std::uint32_t to,
    std::uint16_t sport,
    std::uint16_t dport,
    std::uint8_t flags
) {
    return ethernet(0x0800) +
           ipv4({.source = from, .destination = to, .protocol = 6}, tcp(sport, dport, flags));
}

struct Ended {
    CountedFlow flow;
    FlowEnd why;
};

std::uint64_t packets_of(const CountedFlow& flow) {
    return flow.to_responder.packets + flow.to_initiator.packets;
}

} // namespace

/// The device at `veth_.name()` has the filter; frames come from its peer, and leave by itself.
class FlowTest : public FilterTest {
protected:
    FlowTest()
        : filter_(attach_counting()), in_(veth_.peer()), out_(veth_.name()),
          reader_(must(FlowReader::open(filter_.flow_maps(), {}))) {}

    [[nodiscard]] Filter attach_counting() const {
        Filter filter = must(Filter::attach(options(), drop_source("10.9.0.0/16")));
        filter.count_flows(true);
        must(filter.load(drop_source("10.9.0.0/16")));
        return filter;
    }
    std::vector<Ended> age(std::chrono::nanoseconds later) {
        std::vector<Ended> ended;
        must(reader_.age(
            monotonic_ns() + static_cast<std::uint64_t>(later.count()),
            [&](const CountedFlow& flow, FlowEnd why) { ended.push_back({flow, why}); }
        ));
        return ended;
    }
    [[nodiscard]] CountedFlow only_flow() const {
        const std::vector<CountedFlow> flows = reader_.flows();
        if (flows.size() != 1) {
            throw std::runtime_error(std::format("{} flows", flows.size()));
        }
        return flows.front();
    }
    void shake_hands() const {
        in_.send(tcp_frame(client, server, 4000, 80, syn));
        out_.send(tcp_frame(server, client, 80, 4000, syn | ack));
        in_.send(tcp_frame(client, server, 4000, 80, ack));
    }

    Filter filter_;
    FrameSender in_;
    FrameSender out_;
    FlowReader reader_;
};

TEST_F(FlowTest, both_directions_of_a_connection_are_one_flow_with_state_flags_and_bytes) {
    const Frame frame = tcp_frame(client, server, 4000, 80, syn);
    in_.send(frame);
    EXPECT_EQ(only_flow().state, FlowState::syn_sent);
    EXPECT_EQ(reader_.counts()->unanswered, 1U);
    out_.send(tcp_frame(server, client, 80, 4000, syn | ack));
    EXPECT_EQ(only_flow().state, FlowState::syn_received);
    in_.send(tcp_frame(client, server, 4000, 80, ack));
    const CountedFlow flow = only_flow();
    EXPECT_EQ(flow.state, FlowState::established);
    EXPECT_EQ(reader_.counts()->unanswered, 0U);
    EXPECT_EQ(flow.tuple.source, analysis::Address::v4(client));
    EXPECT_EQ(flow.tuple.source_port, 4000);
    EXPECT_EQ(flow.tuple.destination_port, 80);
    EXPECT_EQ(flow.to_responder.packets, 2U);
    EXPECT_EQ(flow.to_responder.bytes, 2 * frame.size());
    EXPECT_EQ(flow.to_responder.tcp_flags, syn | ack);
    EXPECT_EQ(flow.to_initiator.packets, 1U);
    EXPECT_EQ(flow.to_initiator.tcp_flags, syn | ack);
    EXPECT_GE(flow.last_ns, flow.first_ns);
}

TEST_F(FlowTest, what_the_filter_drops_is_counted_and_told_apart) {
    in_.send(udp_from(0x0a090001));
    in_.send(udp_from(0x0a090001));
    const CountedFlow flow = only_flow();
    EXPECT_EQ(flow.to_responder.packets, 2U);
    EXPECT_EQ(flow.to_responder.dropped, 2U);
    EXPECT_EQ(filter_.stats()->dropped.packets, 2U);
}

TEST_F(FlowTest, half_open_flows_are_aged_before_others_and_each_by_its_protocol) {
    shake_hands();
    in_.send(tcp_frame(client, server, 4001, 80, syn));
    in_.send(udp_from(client));
    ASSERT_EQ(reader_.flows().size(), 3U);
    EXPECT_TRUE(age(std::chrono::seconds(4)).empty());
    std::vector<Ended> ended = age(std::chrono::seconds(6));
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].why, FlowEnd::timed_out);
    EXPECT_EQ(ended[0].flow.tuple.source_port, 4001);
    EXPECT_EQ(ended[0].flow.to_responder.packets, 1U);
    ended = age(std::chrono::seconds(31));
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].flow.tuple.protocol, 17);
    EXPECT_TRUE(age(std::chrono::seconds(599)).empty());
    EXPECT_EQ(age(std::chrono::seconds(601)).size(), 1U);
    EXPECT_EQ(reader_.counts()->living, 0U);
    EXPECT_EQ(reader_.counts()->unanswered, 0U);
    EXPECT_EQ(reader_.counts()->timed_out, 3U);
}

TEST_F(FlowTest, a_closed_connection_whose_ports_are_used_again_ends_as_replaced) {
    shake_hands();
    in_.send(tcp_frame(client, server, 4000, 80, fin | ack));
    EXPECT_EQ(only_flow().state, FlowState::closing);
    out_.send(tcp_frame(server, client, 80, 4000, fin | ack));
    EXPECT_EQ(only_flow().state, FlowState::closed);
    in_.send(tcp_frame(client, server, 4000, 80, syn));
    const std::vector<Ended> ended = age({});
    ASSERT_EQ(ended.size(), 1U);
    EXPECT_EQ(ended[0].why, FlowEnd::replaced);
    EXPECT_EQ(packets_of(ended[0].flow), 5U);
    EXPECT_EQ(only_flow().state, FlowState::syn_sent);
    EXPECT_EQ(packets_of(only_flow()), 1U);
    EXPECT_EQ(reader_.counts()->replaced, 1U);
}

TEST_F(FlowTest, vlans_and_ipv6_and_icmp_are_told_apart_as_the_analysis_does) {
    in_.send(udp_from(client));
    in_.send(ethernet(0x8100) + vlan_tag(42, 0x0800) + ipv4({.source = client}, udp(1, 2, 20)));
    in_.send(ethernet(0x86dd) + ipv6({}, udp(1, 2, 20)));
    in_.send(
        ethernet(0x0800) +
        ipv4({.source = client, .destination = server, .protocol = 1}, icmp(8, 0))
    );
    out_.send(
        ethernet(0x0800) +
        ipv4({.source = server, .destination = client, .protocol = 1}, icmp(0, 0))
    );
    std::vector<CountedFlow> flows = reader_.flows();
    ASSERT_EQ(flows.size(), 4U);
    EXPECT_EQ(
        std::ranges::count_if(flows, [](const auto& flow) { return flow.tuple.vlans[0] == 42; }), 1
    );
    EXPECT_EQ(
        std::ranges::count_if(flows, [](const auto& flow) { return flow.tuple.source.is_v6; }), 1
    );
    const auto ping =
        std::ranges::find_if(flows, [](const auto& flow) { return flow.tuple.protocol == 1; });
    ASSERT_NE(ping, flows.end());
    EXPECT_EQ(ping->icmp_type, 8);
    EXPECT_EQ(ping->state, FlowState::answered);
    EXPECT_EQ(ping->to_initiator.packets, 1U);
}

TEST_F(FlowTest, two_processors_at_one_flow_lose_no_packet) {
    if (std::thread::hardware_concurrency() < 2) {
        GTEST_SKIP() << "needs two processors";
    }
    const Fd program = live_program(filter_, lab_.bpf_dir());
    constexpr std::uint32_t repeats = 500'000;
    const Frame frame = udp_from(client);
    const auto run_on = [&](unsigned cpu) {
        stay_on(cpu);
        test_run(program.get(), frame, repeats);
    };
    std::thread other([&] { run_on(1); });
    std::thread one([&] { run_on(0); });
    one.join();
    other.join();
    const CountedFlow flow = only_flow();
    EXPECT_EQ(flow.to_responder.packets, 2 * repeats);
    EXPECT_EQ(flow.to_responder.bytes, 2ULL * repeats * frame.size());
    EXPECT_EQ(reader_.counts()->created, 1U);
    EXPECT_EQ(reader_.counts()->unanswered, 1U);
}

TEST_F(FlowTest, a_restart_finds_the_table_and_a_load_keeps_it) {
    shake_hands();
    must(filter_.load(drop_source("10.8.0.0/16")));
    in_.send(tcp_frame(client, server, 4000, 80, ack));
    filter_ = must(Filter::adopt(options()));
    reader_ = must(FlowReader::open(filter_.flow_maps(), {}));
    in_.send(tcp_frame(client, server, 4000, 80, ack));
    out_.send(tcp_frame(server, client, 80, 4000, ack));
    must(filter_.load(drop_source("10.7.0.0/16")));
    in_.send(tcp_frame(client, server, 4000, 80, ack));
    EXPECT_EQ(only_flow().to_responder.packets, 5U);
    EXPECT_EQ(only_flow().to_initiator.packets, 2U);
    EXPECT_EQ(reader_.counts()->created, 1U);
}

TEST_F(FlowTest, without_it_there_is_no_table_and_no_code) {
    const std::uint32_t with_flows = program_bytes(live_program(filter_, lab_.bpf_dir()));
    EXPECT_NE(
        output_of("bpftool net show dev " + veth_.name()).find("zsync_flows_out"), std::string::npos
    );
    filter_.count_flows(false);
    must(filter_.load(drop_source("10.9.0.0/16")));
    EXPECT_FALSE(filter_.flow_maps());
    EXPECT_LT(program_bytes(live_program(filter_, lab_.bpf_dir())), with_flows);
    EXPECT_EQ(
        output_of("bpftool net show dev " + veth_.name()).find("zsync_flows_out"), std::string::npos
    );
}

TEST_F(FlowTest, a_flood_of_forged_sources_takes_no_place_from_a_connection) {
    shake_hands();
    std::vector<std::uint32_t> sources(200'000);
    std::ranges::generate(sources, [i = std::uint32_t{0x0b000000}]() mutable {
        return __builtin_bswap32(i++);
    });
    LiveSource source(veth_.peer());
    source.draw_from(sources);
    const std::uint64_t before = filter_.stats()->passed.packets + filter_.stats()->dropped.packets;
    constexpr int bursts = 8;
    for (int i = 0; i < bursts; ++i) {
        source.send(100'000);
        in_.send(tcp_frame(client, server, 4000, 80, ack));
        out_.send(tcp_frame(server, client, 80, 4000, ack));
    }
    const std::uint64_t arrived =
        filter_.stats()->passed.packets + filter_.stats()->dropped.packets - before;
    const FlowCounts counts = reader_.counts().value();
    EXPECT_TRUE(counts.in_flood);
    EXPECT_GE(counts.floods, 1U);
    EXPECT_GT(counts.refused, 100'000U);
    EXPECT_LE(counts.unanswered, usual.unanswered_max);
    EXPECT_LE(counts.living, usual.unanswered_max + 1);
    std::uint64_t in_flows = 0;
    for (const CountedFlow& flow : reader_.flows()) {
        if (flow.tuple.protocol == 6) {
            EXPECT_EQ(flow.state, FlowState::established);
            EXPECT_EQ(flow.to_responder.packets, 2U + bursts);
            EXPECT_EQ(flow.to_initiator.packets, 1U + bursts);
        } else {
            in_flows += packets_of(flow);
        }
    }
    // Every frame that arrived is in a flow or refused; 8 of them are the connection's.
    EXPECT_EQ(in_flows + counts.refused, arrived - bursts);
    // A connection that this host begins gets its place in flood mode too.
    out_.send(tcp_frame(server, client, 5555, 443, syn));
    EXPECT_EQ(reader_.counts()->living, counts.living + 1);
    // The flood's flows go after a second, the connection stays, and flood mode ends.
    EXPECT_GE(age(std::chrono::seconds(31)).size(), counts.unanswered);
    EXPECT_EQ(packets_of(only_flow()), 3U + 2 * bursts);
    EXPECT_FALSE(reader_.counts()->in_flood);
    EXPECT_EQ(reader_.counts()->unanswered, 0U);
}

TEST_F(FlowTest, the_table_takes_as_many_flows_as_it_has_places_and_refuses_the_next) {
    // What this host begins is not held to the room of unanswered flows, nor to a rate.
    const auto begin = [&](std::uint32_t number) {
        out_.send(tcp_frame(server, 0x0b000000 + number, 4000, 80, syn));
    };
    std::uint32_t number = 0;
    while (number < usual.unanswered_max - 1) {
        begin(number++);
    }
    in_.send(udp_from(client));
    FlowCounts counts = reader_.counts().value();
    EXPECT_EQ(counts.living, usual.unanswered_max);
    EXPECT_EQ(counts.refused, 0U);
    EXPECT_FALSE(counts.in_flood);
    in_.send(udp_from(client + 1));
    counts = reader_.counts().value();
    EXPECT_EQ(counts.living, usual.unanswered_max);
    EXPECT_EQ(counts.refused, 1U);
    EXPECT_TRUE(counts.in_flood);
    EXPECT_EQ(counts.floods, 1U);
    while (number < usual.flows_max - 1) {
        begin(number++);
    }
    counts = reader_.counts().value();
    EXPECT_EQ(counts.living, usual.flows_max);
    EXPECT_EQ(counts.refused_full, 0U);
    begin(number++);
    counts = reader_.counts().value();
    EXPECT_EQ(counts.living, usual.flows_max);
    EXPECT_EQ(counts.refused_full, 1U);
    EXPECT_EQ(counts.created, usual.flows_max);
}

TEST_F(FlowTest, other_options_hold_at_once_at_their_limits_and_one_beyond) {
    analysis::FlowOptions options{
        .flows_max = 5, .unanswered_max = 3, .half_open_seconds = 2, .udp_seconds = 7
    };
    reader_ = must(FlowReader::open(filter_.flow_maps(), options));
    for (std::uint32_t i = 0; i < 3; ++i) {
        in_.send(tcp_frame(client + 0x100 + i, server, 4000, 80, syn));
    }
    EXPECT_EQ(reader_.counts()->living, 3U);
    EXPECT_FALSE(reader_.counts()->in_flood);
    in_.send(tcp_frame(client + 0x103, server, 4000, 80, syn));
    EXPECT_EQ(reader_.counts()->living, 3U);
    EXPECT_EQ(reader_.counts()->refused, 1U);
    EXPECT_TRUE(reader_.counts()->in_flood);
    // What this host begins takes the rest.
    out_.send(tcp_frame(server, client, 5000, 443, syn));
    out_.send(tcp_frame(server, client, 5001, 443, syn));
    EXPECT_EQ(reader_.counts()->living, 5U);
    EXPECT_EQ(reader_.counts()->refused_full, 0U);
    out_.send(tcp_frame(server, client, 5002, 443, syn));
    EXPECT_EQ(reader_.counts()->living, 5U);
    EXPECT_EQ(reader_.counts()->refused_full, 1U);
    EXPECT_EQ(age(std::chrono::milliseconds(1500)).size(), 5U); // half open, in flood mode
    EXPECT_FALSE(reader_.counts()->in_flood);

    in_.send(tcp_frame(client, server, 4000, 80, syn));
    in_.send(udp_from(client));
    out_.send(
        ethernet(0x0800) + ipv4({.source = 0x0a000002, .destination = client}, udp(2, 1, 20))
    );
    EXPECT_TRUE(age(std::chrono::milliseconds(1500)).empty());
    EXPECT_EQ(age(std::chrono::milliseconds(2500)).size(), 1U);
    EXPECT_TRUE(age(std::chrono::milliseconds(6500)).empty());
    EXPECT_EQ(age(std::chrono::milliseconds(7500)).size(), 1U);
}

TEST_F(FlowTest, flood_mode_begins_with_the_first_flow_beyond_those_of_a_second) {
    reader_ = must(FlowReader::open(filter_.flow_maps(), {.new_per_second_max = 1}));
    const Fd program = live_program(filter_, lab_.bpf_dir());
    stay_on(0);
    // Two flows in one window of 2^30 ns: a third of all pairs could straddle its end, three in a
    // row cannot.
    for (std::uint32_t i = 0; i < 3; ++i) {
        test_run(program.get(), udp_from(client + i), 1);
    }
    EXPECT_TRUE(reader_.counts()->in_flood);
    EXPECT_GE(reader_.counts()->refused, 1U);
    EXPECT_GE(reader_.counts()->living, 1U);
}

TEST_F(FlowTest, a_table_is_made_for_as_many_flows_as_wanted) {
    filter_.count_flows(false);
    must(filter_.load(drop_source("10.9.0.0/16")));
    const analysis::FlowOptions options{.flows_max = 2000, .unanswered_max = 2000};
    filter_.count_flows(true, options);
    must(filter_.load(drop_source("10.9.0.0/16")));
    EXPECT_EQ(flow_lines_of(filter_.flow_maps()).value(), 512U);
    reader_ = must(FlowReader::open(filter_.flow_maps(), options));
    for (std::uint32_t i = 0; i < 2000; ++i) {
        out_.send(tcp_frame(server, 0x0b000000 + i, 4000, 80, syn));
    }
    EXPECT_EQ(reader_.counts()->living, 2000U);
    EXPECT_EQ(reader_.flows().size(), 2000U);
    EXPECT_EQ(reader_.counts()->refused, 0U);
    out_.send(tcp_frame(server, 0x0c000000, 4000, 80, syn));
    EXPECT_EQ(reader_.counts()->living, 2000U);
    EXPECT_EQ(reader_.counts()->refused_full, 1U);
    EXPECT_EQ(age(std::chrono::seconds(6)).size(), 2000U);
    EXPECT_EQ(reader_.counts()->living, 0U);
}

TEST_F(FlowTest, fragments_and_icmp_errors_belong_to_the_flow_they_are_of) {
    const Frame whole = udp(4000, 5000, 24);
    const Frame first(whole.begin(), whole.begin() + 16);
    const Frame rest(whole.begin() + 16, whole.end());
    constexpr std::uint16_t more = 0x2000;
    in_.send(ethernet(0x0800) + ipv4({.source = client, .fragment = more}, first));
    in_.send(ethernet(0x0800) + ipv4({.source = client, .fragment = 2}, rest));
    EXPECT_EQ(only_flow().to_responder.packets, 2U);
    // The port is unreachable, says the destination, and quotes the packet.
    const Frame quoted = ipv4({.source = client}, udp(4000, 5000, 0));
    out_.send(
        ethernet(0x0800) +
        ipv4({.source = 0x0a000002, .destination = client, .protocol = 1}, icmp(3, 3) + quoted)
    );
    EXPECT_EQ(only_flow().to_initiator.packets, 1U);
    in_.send(ethernet(0x0800) + ipv4({.source = client + 1, .fragment = 2}, rest));
    EXPECT_EQ(reader_.counts()->stray, 1U);
    EXPECT_EQ(reader_.counts()->created, 1U);
}

/// The kernel's steps are those of the analysis over captures: random flags from random ends.
TEST(FlowState, tcp_goes_on_as_in_the_analysis) {
    struct Ignore final : analysis::FlowObserver {
        void flow_ended(analysis::Flow&, FlowEnd) override {}
    } ignore;
    std::uint32_t random = 12345;
    constexpr int conversations = 20'000;
    constexpr int steps = 8;
    for (int i = 0; i < conversations; ++i) {
        analysis::FlowTable table({}, ignore);
        std::uint64_t word = 0;
        for (int step = 0; step < steps; ++step) {
            random = random * 1664525 + 1013904223;
            const bool from_high = (random >> 31) != 0;
            const auto flags = static_cast<std::uint8_t>(random >> 20 & 0x17);
            const auto state = static_cast<std::uint32_t>(word & ZSYNC_FLOW_STATE_MASK);
            if (state >= ZSYNC_FLOW_CLOSED && (flags & (syn | ack)) == syn) {
                break; // another flow
            }
            zsync_packet packet{};
            packet.protocol = 6;
            packet.has_tcp_flags = 1;
            packet.tcp_flags = flags;
            word = zsync_flow_next(word, &packet, from_high ? 1 : 0);
            analysis::Packet same;
            same.time_ns = 1;
            same.network = analysis::Network::ip;
            same.tcp_flags = flags;
            same.tuple.protocol = 6;
            same.tuple.source = analysis::Address::v4(from_high ? server : client);
            same.tuple.destination = analysis::Address::v4(from_high ? client : server);
            const analysis::FlowTable::Touched touched = table.add(same);
            ASSERT_NE(touched.flow, nullptr);
            ASSERT_EQ(
                static_cast<int>(word & ZSYNC_FLOW_STATE_MASK),
                static_cast<int>(touched.flow->state) + 1
            ) << "conversation "
              << i << ", step " << step;
        }
    }
}
