// The flow table on packets made by hand: what is one flow, how long it lasts, and what a flood
// cannot do to it.
#include <zsync/packet/analysis/content.hpp>
#include <zsync/packet/analysis/flow_table.hpp>

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;

struct Ended {
    std::uint16_t source_port;
    FlowState state;
    FlowEnd end;
};

class Recorder final : public FlowObserver {
public:
    void flow_ended(Flow& flow, FlowEnd end) override {
        ended.push_back({flow.tuple.source_port, flow.state, end});
    }
    std::vector<Ended> ended;
};

/// A TCP packet from a client (10.0.0.1) to its server (10.0.0.2), or back.
Packet tcp(std::uint16_t client_port, std::uint8_t flags, bool to_server = true) {
    Packet packet{.wire_bytes = 60, .network = Network::ip};
    packet.tuple = {
        .source = Address::v4(0x0a000001),
        .destination = Address::v4(0x0a000002),
        .source_port = client_port,
        .destination_port = 80,
        .protocol = ip_protocol::tcp,
    };
    if (!to_server) {
        std::swap(packet.tuple.source, packet.tuple.destination);
        std::swap(packet.tuple.source_port, packet.tuple.destination_port);
    }
    packet.tcp_flags = flags;
    return packet;
}

Packet at(Packet packet, std::uint64_t time_ns) {
    packet.time_ns = time_ns;
    return packet;
}

/// A SYN from one of 2^32 sources.
Packet spoofed(std::uint32_t source, std::uint64_t time_ns) {
    Packet packet = at(tcp(1024, tcp_flag::syn), time_ns);
    packet.tuple.source = Address::v4(source);
    return packet;
}

void shake_hands(FlowTable& table, std::uint16_t port, std::uint64_t time_ns = 0) {
    table.add(at(tcp(port, tcp_flag::syn), time_ns));
    table.add(at(tcp(port, tcp_flag::syn | tcp_flag::ack, false), time_ns));
    table.add(at(tcp(port, tcp_flag::ack), time_ns));
}

const Flow* find(const FlowTable& table, std::uint16_t port) {
    const Flow* found = nullptr;
    table.for_each([&](const Flow& flow) {
        if (flow.tuple.source_port == port) {
            found = &flow;
        }
    });
    return found;
}

TEST(FlowTable, both_directions_are_one_flow_with_the_first_sender_as_initiator) {
    Recorder recorder;
    FlowTable table({}, recorder);
    shake_hands(table, 5000);
    ASSERT_EQ(table.size(), 1U);
    const Flow& flow = *find(table, 5000);
    EXPECT_EQ(flow.tuple.destination_port, 80);
    EXPECT_EQ(flow.to_responder.packets, 2U);
    EXPECT_EQ(flow.to_initiator.packets, 1U);
    EXPECT_EQ(flow.to_responder.bytes, 120U);
    EXPECT_EQ(flow.state, FlowState::established);
}

TEST(FlowTable, tcp_states_follow_the_flags_of_both_sides) {
    struct Step {
        std::uint8_t flags;
        bool to_server;
        FlowState then;
    };
    constexpr std::uint8_t ack = tcp_flag::ack;
    const std::map<std::string, std::vector<Step>> stories{
        {"graceful",
         {{tcp_flag::syn, true, FlowState::syn_sent},
          {tcp_flag::syn | ack, false, FlowState::syn_received},
          {ack, true, FlowState::established},
          {tcp_flag::fin | ack, true, FlowState::closing},
          {ack, false, FlowState::closing},
          {tcp_flag::fin | ack, false, FlowState::closed},
          {ack, true, FlowState::closed}}},
        {"refused",
         {{tcp_flag::syn, true, FlowState::syn_sent}, {tcp_flag::rst | ack, false, FlowState::reset}
         }},
        {"midstream",
         {{ack, true, FlowState::midstream},
          {ack, true, FlowState::midstream},
          {ack, false, FlowState::established}}},
        {"asymmetric",
         {{tcp_flag::syn, true, FlowState::syn_sent}, {ack, true, FlowState::midstream}}},
        {"scanned",
         {{tcp_flag::syn, true, FlowState::syn_sent},
          {tcp_flag::syn | ack, false, FlowState::syn_received},
          {tcp_flag::rst, true, FlowState::reset}}},
    };
    for (const auto& [name, steps] : stories) {
        Recorder recorder;
        FlowTable table({}, recorder);
        for (const Step& step : steps) {
            const auto touched = table.add(tcp(7, step.flags, step.to_server));
            ASSERT_NE(touched.flow, nullptr) << name;
            EXPECT_EQ(touched.flow->state, step.then) << name;
            EXPECT_EQ(touched.to_responder, step.to_server) << name;
        }
    }
}

TEST(FlowTable, half_open_flows_age_fast_and_established_ones_stay) {
    Recorder recorder;
    FlowTable table({}, recorder);
    shake_hands(table, 1);
    table.add(tcp(2, tcp_flag::syn));
    table.expire(5 * second_ns);
    EXPECT_EQ(table.size(), 2U);
    table.expire(5 * second_ns + 1);
    EXPECT_EQ(table.size(), 1U);
    ASSERT_EQ(recorder.ended.size(), 1U);
    EXPECT_EQ(recorder.ended[0].source_port, 2);
    EXPECT_EQ(recorder.ended[0].end, FlowEnd::timed_out);
    table.expire(600 * second_ns);
    EXPECT_EQ(table.size(), 1U);
    table.expire(600 * second_ns + 1);
    EXPECT_EQ(table.size(), 0U);
}

TEST(FlowTable, a_clock_that_is_set_back_neither_keeps_old_flows_nor_ends_new_ones) {
    constexpr std::uint64_t late_ns = 100'000 * second_ns;
    constexpr std::uint64_t early_ns = 50'000 * second_ns;
    Recorder recorder;
    FlowTable table({}, recorder);
    table.add(at(tcp(1, tcp_flag::syn), late_ns));
    table.add(at(tcp(2, tcp_flag::syn), early_ns));
    table.add(at(tcp(2, tcp_flag::syn | tcp_flag::ack, false), early_ns + 1));
    table.add(at(tcp(2, tcp_flag::ack), early_ns + 2));
    EXPECT_TRUE(recorder.ended.empty());
    ASSERT_NE(find(table, 2), nullptr);
    EXPECT_EQ(find(table, 2)->state, FlowState::established);
    EXPECT_EQ(find(table, 2)->first_ns, early_ns);
    table.add(at(tcp(3, tcp_flag::syn), early_ns + 60 * second_ns));
    ASSERT_EQ(recorder.ended.size(), 1U);
    EXPECT_EQ(recorder.ended[0].source_port, 1);
    EXPECT_EQ(recorder.ended[0].end, FlowEnd::timed_out);
    EXPECT_NE(find(table, 2), nullptr);
}

TEST(FlowTable, ports_used_again_after_the_end_are_another_flow) {
    Recorder recorder;
    FlowTable table({}, recorder);
    table.add(tcp(9, tcp_flag::syn));
    table.add(tcp(9, tcp_flag::rst | tcp_flag::ack, false));
    table.add(tcp(9, tcp_flag::syn));
    ASSERT_EQ(recorder.ended.size(), 1U);
    EXPECT_EQ(recorder.ended[0].end, FlowEnd::replaced);
    EXPECT_EQ(table.counts().created, 2U);
}

TEST(FlowTable, a_flood_of_forged_sources_keeps_to_its_share_and_ends_no_connection) {
    Recorder recorder;
    FlowTable table({}, recorder);
    for (std::uint16_t port = 1; port <= 1000; ++port) {
        shake_hands(table, port);
    }
    for (std::uint32_t source = 0; source < 200'000; ++source) {
        table.add(spoofed(0xc0000000U + source, second_ns));
        ASSERT_LE(table.unanswered(), FlowOptions{}.unanswered_max);
    }
    EXPECT_EQ(table.size(), 1000 + FlowOptions{}.unanswered_max);
    EXPECT_TRUE(table.in_flood());
    EXPECT_EQ(table.counts().floods, 1U);
    EXPECT_EQ(table.counts().evicted, 200'000 - FlowOptions{}.unanswered_max);
    for (const Ended& ended : recorder.ended) {
        ASSERT_EQ(ended.state, FlowState::syn_sent);
    }
    // In a flood a second is enough; afterwards it is five again.
    table.expire(2 * second_ns + 1);
    EXPECT_EQ(table.size(), 1000U);
    EXPECT_FALSE(table.in_flood());
}

TEST(FlowTable, is_full_at_its_limit_and_refuses_only_where_all_else_is_established) {
    Recorder recorder;
    FlowTable table({.flows_max = 4, .unanswered_max = 2}, recorder, 1);
    for (std::uint16_t port = 1; port <= 4; ++port) {
        shake_hands(table, port);
    }
    EXPECT_EQ(table.size(), 4U);
    EXPECT_EQ(table.add(tcp(5, tcp_flag::syn)).flow, nullptr);
    EXPECT_EQ(table.counts().refused, 1U);
    table.add(tcp(1, tcp_flag::rst)); // one that is over makes room
    EXPECT_NE(table.add(tcp(5, tcp_flag::syn)).flow, nullptr);
    EXPECT_EQ(recorder.ended.back().source_port, 1);
    EXPECT_EQ(recorder.ended.back().end, FlowEnd::evicted);
}

TEST(FlowTable, an_icmp_error_belongs_to_the_flow_it_is_about) {
    Recorder recorder;
    FlowTable table({}, recorder);
    Packet query = tcp(53000, 0);
    query.tuple.protocol = ip_protocol::udp;
    table.add(query);
    Packet error{.wire_bytes = 70, .network = Network::ip};
    error.tuple = {
        .source = Address::v4(0x0a0000fe),
        .destination = query.tuple.source,
        .protocol = ip_protocol::icmp,
    };
    error.icmp_type = 3;
    error.about = query.tuple;
    const auto touched = table.add(error);
    EXPECT_EQ(table.size(), 1U);
    EXPECT_FALSE(touched.to_responder);
    EXPECT_EQ(find(table, 53000)->to_initiator.bytes, 70U);
    EXPECT_EQ(find(table, 53000)->state, FlowState::unanswered);
}

TEST(FlowTable, later_fragments_find_the_ports_of_the_first) {
    Recorder recorder;
    FlowTable table({}, recorder);
    Packet first = tcp(53, 0);
    first.tuple.protocol = ip_protocol::udp;
    first.is_fragment = true;
    first.fragment_id = 77;
    Packet later = first;
    later.is_later_fragment = true;
    later.tuple.source_port = later.tuple.destination_port = 0;
    EXPECT_EQ(table.add(later).flow, nullptr);
    table.add(first);
    EXPECT_NE(table.add(later).flow, nullptr);
    later.fragment_id = 78;
    EXPECT_EQ(table.add(later).flow, nullptr);
    EXPECT_EQ(find(table, 53)->to_responder.packets, 2U);
}

TEST(FlowTable, vlans_tell_flows_apart) {
    Recorder recorder;
    FlowTable table({}, recorder);
    Packet packet = tcp(1, tcp_flag::syn);
    table.add(packet);
    packet.tuple.vlans[0] = 5;
    table.add(packet);
    EXPECT_EQ(table.size(), 2U);
}

} // namespace
} // namespace zsync::packet::analysis
