#include "tests/packet/frames.hpp"
#include "tests/packet/random_traffic.hpp"
#include "tests/packet/reference.hpp"
#include "tests/packet/user_engine.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <span>

using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

constexpr std::uint16_t ip4 = 0x0800;
constexpr std::uint16_t ip6 = 0x86dd;

Frame eth4(const Ipv4& header, const Frame& payload) {
    return ethernet(ip4) + ipv4(header, payload);
}
Frame eth6(const Ipv6& header, const Frame& payload) {
    return ethernet(ip6) + ipv6(header, payload);
}

Frame cut(Frame frame, std::size_t bytes) {
    frame.resize(bytes);
    return frame;
}

Frame tags(int count) {
    Frame frame = ethernet(0x8100);
    for (int i = 0; i < count; ++i) {
        frame = frame + vlan_tag(static_cast<std::uint16_t>(100 + i), i + 1 < count ? 0x8100 : ip4);
    }
    return frame + ipv4({}, udp(1, 2));
}

/// `count` destination headers before UDP.
Frame extensions(int count) {
    Frame payload = udp(1, 2);
    std::uint8_t next = 17;
    for (int i = 0; i < count; ++i) {
        payload = extension(next) + payload;
        next = 60;
    }
    return eth6({.next = next}, payload);
}

struct Case {
    const char* what;
    Frame frame;
    std::string_view reason;
};

std::vector<Case> malformed_cases() {
    const Frame padding = zeros(20);
    return {
        {"empty frame", {}, "ethernet_short"},
        {"13 bytes", zeros(13), "ethernet_short"},
        {"tag cut", cut(tags(1), 17), "vlan_short"},
        {"second tag cut", cut(tags(2), 21), "vlan_short"},
        {"5 tags", tags(5), "vlan_depth"},
        {"IPv4 header cut", cut(eth4({}, udp(1, 2)), 33), "ipv4_short"},
        {"version 5", eth4({.version_and_words = 0x55}, udp(1, 2)), "ipv4_version"},
        {"ihl 4", eth4({.version_and_words = 0x44}, udp(1, 2)), "ipv4_header_length"},
        {"ihl beyond total",
         eth4({.protocol = 47, .version_and_words = 0x46}, {}),
         "ipv4_total_length"},
        {"total below header", eth4({.total_length = 19}, udp(1, 2)), "ipv4_total_length"},
        {"total beyond frame", eth4({.total_length = 29}, udp(1, 2)), "ipv4_total_length"},
        {"total 0", eth4({.total_length = 0}, udp(1, 2)), "ipv4_total_length"},
        {"IPv6 header cut", cut(eth6({}, udp(1, 2)), 53), "ipv6_short"},
        {"version 4 in IPv6", eth6({.version = 4}, udp(1, 2)), "ipv6_version"},
        {"payload beyond frame", eth6({.payload_length = 9}, udp(1, 2)), "ipv6_payload_length"},
        {"extension cut", eth6({.next = 60}, zeros(7)), "ipv6_extension_short"},
        {"extension longer than payload",
         eth6({.next = 60}, cut(extension(17, 2), 8)),
         "ipv6_extension_short"},
        {"AH longer than payload",
         eth6({.next = 51}, hex("11 04 00 00 00 00 00 00")),
         "ipv6_extension_short"},
        {"9 extensions", extensions(9), "ipv6_extension_depth"},
        {"hop-by-hop second",
         eth6({.next = 60}, extension(0) + extension(17) + udp(1, 2)),
         "ipv6_extension_order"},
        {"two fragment headers",
         eth6(
             {.next = 44}, fragment_header(44, 0, false) + fragment_header(17, 0, false) + udp(1, 2)
         ),
         "ipv6_extension_order"},
        {"fragment of 9 bytes with more",
         eth4({.fragment = 0x2000}, udp(1, 2, 1)),
         "fragment_length"},
        {"IPv6 fragment of 9 bytes",
         eth6({.next = 44}, fragment_header(17, 8, true) + zeros(9)),
         "fragment_length"},
        {"ping of death", eth4({.protocol = 1, .fragment = 0x1fff}, zeros(64)), "fragment_beyond"},
        {"IPv6 ping of death",
         eth6({.next = 44}, fragment_header(58, 65528, false) + zeros(8)),
         "fragment_beyond"},
        {"TCP first fragment of 8",
         eth4({.protocol = 6, .fragment = 0x2000}, zeros(8)),
         "fragment_tiny"},
        {"TCP options in the second fragment",
         eth4({.protocol = 6, .fragment = 0x2000}, cut(tcp(1, 2, 2, 10), 24)),
         "fragment_tiny"},
        {"IPv6 UDP first fragment of 0",
         eth6({.next = 44}, fragment_header(17, 0, true)),
         "fragment_tiny"},
        {"TCP fragment at 8", eth4({.protocol = 6, .fragment = 1}, zeros(24)), "fragment_overlap"},
        {"TCP of 19 bytes", eth4({.protocol = 6}, cut(tcp(1, 2, 2), 19)) + padding, "tcp_short"},
        {"TCP data offset 4", eth4({.protocol = 6}, tcp(1, 2, 2, 4)), "tcp_data_offset"},
        {"TCP data offset beyond",
         eth4({.protocol = 6}, cut(tcp(1, 2, 2, 6), 20)) + padding,
         "tcp_data_offset"},
        {"UDP of 7 bytes", eth4({}, cut(udp(1, 2), 7)) + padding, "udp_short"},
        {"UDP length 7", eth4({}, udp(1, 2, 0, 7)), "udp_length"},
        {"UDP length beyond", eth4({}, udp(1, 2, 0, 9)) + padding, "udp_length"},
        {"UDP length 0", eth6({}, udp(1, 2, 0, 0)), "udp_length"},
        {"ICMP of 7 bytes", eth4({.protocol = 1}, zeros(7)), "icmp_short"},
        {"ICMPv6 of 7 bytes", eth6({.next = 58}, zeros(7)), "icmpv6_short"},
        {"SCTP of 11 bytes", eth4({.protocol = 132}, zeros(11)), "sctp_short"},
    };
}

std::vector<Case> well_formed_cases() {
    return {
        {"4 tags", tags(4), ""},
        {"802.1ad outside", ethernet(0x88a8) + vlan_tag(7, ip4) + ipv4({}, udp(1, 2)), ""},
        {"8 extensions", extensions(8), ""},
        {"trailing padding", eth4({}, udp(1, 2)) + zeros(18), ""},
        {"padding that is not a header", eth6({}, udp(1, 2)) + zeros(1), ""},
        {"UDP with bytes behind its length", eth4({}, udp(1, 2, 4, 8)), ""},
        {"options", eth4({.option_bytes = 40}, udp(1, 2)), ""},
        {"last fragment of odd length", eth4({.fragment = 0x0040}, zeros(7)), ""},
        {"first UDP fragment whose length is the datagram's",
         eth4({.fragment = 0x2000}, udp(1, 2, 8, 4000)),
         ""},
        {"jumbogram", eth6({.next = 0, .payload_length = 0}, extension(17) + udp(1, 2, 0, 0)), ""},
        {"no next header", eth6({.next = 59}, {}), ""},
        {"atomic fragment", eth6({.next = 44}, fragment_header(17, 0, false) + udp(1, 2)), ""},
        {"length field, LLC", ethernet(64) + zeros(46), ""},
        {"ICMP in IPv6 is unknown, not malformed", eth6({.next = 1}, zeros(2)), ""},
    };
}

} // namespace

TEST(Parser, names_why_a_packet_is_malformed) {
    for (const Case& c : malformed_cases()) {
        EXPECT_EQ(reason_name(parse(c.frame).malformed), c.reason) << c.what;
    }
}

TEST(Parser, has_a_test_for_every_reason) {
    std::set<std::string_view> seen{"", "headers_split"}; // the latter has its own test
    for (const Case& c : malformed_cases()) {
        seen.insert(c.reason);
    }
    EXPECT_EQ(seen.size(), std::size_t{ZSYNC_MALFORMED_END});
}

TEST(Parser, takes_what_is_unusual_but_right) {
    for (const Case& c : well_formed_cases()) {
        EXPECT_EQ(reason_name(parse(c.frame).malformed), "") << c.what;
    }
}

TEST(Parser, reads_the_outermost_vlan_tag_without_its_priority) {
    const Frame frame =
        ethernet(0x88a8) + vlan_tag(0xe02a, 0x8100) + vlan_tag(7, ip4) + ipv4({}, udp(1, 2));
    EXPECT_EQ(parse(frame).packet.vlan, 42);
    EXPECT_EQ(parse(eth4({}, udp(1, 2))).packet.vlan, ZSYNC_NO_VLAN);
}

TEST(Parser, finds_ports_behind_options_and_extension_headers) {
    const zsync_packet v4 =
        parse(eth4({.protocol = 6, .option_bytes = 12}, tcp(1000, 22, 0x12))).packet;
    EXPECT_EQ(v4.destination_port, 22);
    EXPECT_EQ(v4.tcp_flags, 0x12);
    const zsync_packet v6 =
        parse(
            eth6({.next = 0}, extension(43, 3) + extension(60, 2) + extension(132, 2) + sctp(5, 6))
        )
            .packet;
    EXPECT_EQ(v6.protocol, 132);
    EXPECT_EQ(v6.destination_port, 6);
}

TEST(Parser, skips_an_authentication_header_in_its_own_units) {
    Frame header = zeros(24);
    header[0] = 17;
    header[1] = 4; // (4 + 2) * 4 bytes
    const zsync_packet packet = parse(eth6({.next = 51}, header + udp(7, 8))).packet;
    EXPECT_EQ(packet.protocol, 17);
    EXPECT_EQ(packet.destination_port, 8);
}

TEST(Parser, gives_no_ports_to_fragments_but_the_first) {
    const zsync_packet first = parse(eth4({.fragment = 0x2000}, udp(1, 2, 8))).packet;
    EXPECT_TRUE(first.fragment && first.has_ports);
    const zsync_packet second = parse(eth4({.fragment = 0x2001}, udp(1, 2, 8))).packet;
    EXPECT_TRUE(second.fragment && !second.has_ports);
    const zsync_packet last =
        parse(eth6({.next = 44}, fragment_header(17, 64, false) + udp(1, 2))).packet;
    EXPECT_TRUE(last.fragment && !last.has_ports);
    EXPECT_EQ(last.protocol, 17);
}

TEST(Parser, an_atomic_fragment_is_a_whole_packet) {
    const zsync_packet packet =
        parse(eth6({.next = 44}, fragment_header(17, 0, false) + udp(1, 2))).packet;
    EXPECT_FALSE(packet.fragment);
    EXPECT_TRUE(packet.has_ports);
}

TEST(Parser, big_tcp_says_length_0_only_beyond_64_kib) {
    Frame frame = eth4({.protocol = 6, .total_length = 0}, tcp(1, 2, 0x10) + zeros(70000));
    EXPECT_EQ(parse(frame).malformed, ZSYNC_WELL_FORMED);
    frame.resize(14 + 65535);
    EXPECT_EQ(reason_name(parse(frame).malformed), "ipv4_total_length");
}

TEST(Parser, says_when_a_header_is_not_in_the_first_buffer) {
    const Frame frame = eth6({.next = 60}, extension(6) + tcp(1, 2, 2) + zeros(3000));
    for (std::size_t linear = 0; linear < 14 + 40 + 8 + 20; ++linear) {
        EXPECT_EQ(
            reason_name(parse_linear(std::span(frame).first(linear), frame.size()).malformed),
            "headers_split"
        ) << linear;
    }
    EXPECT_EQ(
        parse_linear(std::span(frame).first(14 + 40 + 8 + 20), frame.size()).malformed,
        ZSYNC_WELL_FORMED
    );
}

TEST(Parser, a_packet_without_a_link_header_is_what_it_would_be_behind_one) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    int compared = 0;
    for (int i = 0; i < 100'000; ++i) {
        const Frame frame = traffic.frame();
        const ReferencePacket reference = reference_parse(frame);
        if (frame.size() < 15 || reference.vlan) {
            continue;
        }
        const int type = frame[12] << 8 | frame[13];
        const int version = frame[14] >> 4;
        if ((type != 0x0800 || version != 4) && (type != 0x86dd || version != 6)) {
            continue;
        }
        ASSERT_EQ(difference(parse_bare(std::span(frame).subspan(14)), reference), "")
            << "frame " << i;
        ++compared;
    }
    EXPECT_GT(compared, 10'000);
    EXPECT_EQ(parse_bare({}).malformed, ZSYNC_MALFORMED_headers_split);
    constexpr std::array<std::uint8_t, 4> other{0x50, 1, 2, 3};
    EXPECT_EQ(parse_bare(other).malformed, ZSYNC_WELL_FORMED);
    EXPECT_EQ(parse_bare(other).packet.network, ZSYNC_NETWORK_OTHER);
}

TEST(Parser, agrees_with_a_parser_written_independently) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    for (int i = 0; i < 200'000; ++i) {
        const Frame frame = traffic.frame();
        ASSERT_EQ(difference(parse(frame), reference_parse(frame)), "") << "frame " << i;
    }
}
