#include "tests/packet/reference.hpp"
#include "tests/packet/rule_maker.hpp"

#include <zsync/packet/error.hpp>
#include <zsync/packet/made_packet.hpp>

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

ReferencePacket parsed(std::string_view text) {
    const auto packet = parse_made_packet(text);
    EXPECT_TRUE(packet) << text;
    return packet ? reference_parse(frame_of(*packet)) : ReferencePacket{};
}

std::string wrong(std::string_view text) {
    const auto packet = parse_made_packet(text);
    return packet ? "" : packet.error().message();
}

} // namespace

TEST(MadePacket, is_what_the_text_says) {
    const ReferencePacket tcp = parsed("tcp 1.2.3.4:55 > 10.0.0.1:22");
    EXPECT_EQ(tcp.malformed, "");
    EXPECT_EQ(tcp.family, Family::ipv4);
    EXPECT_EQ(tcp.source, prefix("1.2.3.4").address);
    EXPECT_EQ(tcp.destination, prefix("10.0.0.1").address);
    EXPECT_EQ(tcp.protocol, 6);
    EXPECT_EQ(tcp.source_port, 55);
    EXPECT_EQ(tcp.destination_port, 22);
    EXPECT_EQ(tcp.tcp_flags, 2);
    EXPECT_EQ(tcp.length, 40U);
    EXPECT_FALSE(tcp.vlan || tcp.fragment);

    const ReferencePacket udp = parsed("UDP [2001:db8::1]:53 > [::2]:4000 vlan 7 length 100");
    EXPECT_EQ(udp.malformed, "");
    EXPECT_EQ(udp.source, prefix("2001:db8::1").address);
    EXPECT_EQ(udp.destination, prefix("::2").address);
    EXPECT_EQ(udp.destination_port, 4000);
    EXPECT_EQ(udp.vlan, 7);
    EXPECT_EQ(udp.length, 100U);

    EXPECT_EQ(parsed("tcp 1.2.3.4 > 1.2.3.5:1 flags syn,ack").tcp_flags, 0x12);
    EXPECT_EQ(parsed("tcp 1.2.3.4 > 1.2.3.5:1").source_port, 49152);
    EXPECT_EQ(parsed("icmp 1.2.3.4 > 1.2.3.5").icmp, 0x0800);
    EXPECT_EQ(parsed("icmp 1.2.3.4 > 1.2.3.5 icmp 3/4").icmp, 0x0304);
    EXPECT_EQ(parsed("icmpv6 ::1 > ::2").icmp, 0x8000);
    EXPECT_EQ(parsed("icmpv6 ::1 > ::2 icmp neighbor-solicitation").icmp, 0x8700);
    EXPECT_EQ(parsed("47 1.2.3.4 > 1.2.3.5").protocol, 47);
    EXPECT_EQ(parsed("sctp 1.2.3.4:5 > 1.2.3.5:6").destination_port, 6);
}

TEST(MadePacket, is_well_formed_with_every_mix_of_conditions) {
    for (const std::string_view protocol : {"tcp", "udp", "sctp", "icmp", "icmpv6", "47"}) {
        const bool ports = protocol == "tcp" || protocol == "udp" || protocol == "sctp";
        for (const bool ipv6 : {false, true}) {
            for (const std::string_view more :
                 {"", " fragment", " vlan 0", " fragment vlan 4095"}) {
                const std::string end = ipv6 ? "[::1]" : "1.2.3.4";
                const std::string text = std::string(protocol) + " " + end + " > " + end +
                                         (ports ? ":9" : "") + std::string(more);
                EXPECT_EQ(parsed(text).malformed, "") << text;
                EXPECT_EQ(parsed(text).fragment, more.contains("fragment")) << text;
            }
        }
    }
}

TEST(MadePacket, is_well_formed_with_every_protocol_at_every_length) {
    int made = 0;
    for (int protocol = 0; protocol <= 255; ++protocol) {
        for (const std::string end : {"1.2.3.4", "[::1]"}) {
            for (const std::string_view more :
                 {"", " fragment", " length 60", " length 65535", " fragment length 1048"}) {
                const bool ports = protocol == 6 || protocol == 17 || protocol == 132;
                const std::string text = std::to_string(protocol) + " " + end + " > " + end +
                                         (ports ? ":9" : "") + std::string(more);
                const auto packet = parse_made_packet(text);
                if (!packet) {
                    EXPECT_NE(packet.error().message(), "") << text;
                    continue;
                }
                ++made;
                const ReferencePacket read = reference_parse(frame_of(*packet));
                EXPECT_EQ(read.malformed, "") << text;
                EXPECT_EQ(read.protocol, protocol) << text;
                EXPECT_EQ(read.length, packet->length) << text;
            }
        }
    }
    EXPECT_GT(made, 2000);
}

TEST(MadePacket, says_what_is_wrong) {
    constexpr std::array<std::array<std::string_view, 2>, 14> cases{{
        {"", "'' is no packet; write PROTO SOURCE[:PORT] > DESTINATION[:PORT]"},
        {"tcp 1.2.3.4:1 1.2.3.5:2 >",
         "'tcp 1.2.3.4:1 1.2.3.5:2 >' is no packet; write PROTO SOURCE[:PORT] > DESTINATION[:PORT]"
        },
        {"tpc 1.2.3.4 > 1.2.3.5:2", "'tpc' is no protocol; tcp, udp, icmp, icmpv6, sctp or a number"
        },
        {"tcp 1.2.3.4 > 1.2.3.5",
         "'1.2.3.5' has no port; write PROTO SOURCE[:PORT] > DESTINATION[:PORT]"},
        {"tcp 1.2.3.4 > 1.2.3.5:65536", "'65536' is no port"},
        {"icmp 1.2.3.4:1 > 1.2.3.5", "icmp has no ports"},
        {"icmp 1.2.3.4 > ::1", "no packet goes between an IPv4 and an IPv6 address"},
        {"icmp 1.2.3.0/24 > 1.2.3.5", "'1.2.3.0/24' is no single address"},
        {"udp [::1 > [::2]:5", "'[::1' has no ]"},
        {"tcp 1.2.3.4 > 1.2.3.5:1 flags sin",
         "'sin' is no TCP flag; fin, syn, rst, psh, ack, urg, ece, cwr"},
        {"tcp 1.2.3.4 > 1.2.3.5:1 length 39", "39 bytes do not hold its headers of 40"},
        {"tcp 1.2.3.4 > 1.2.3.5:1 length", "'length' stands at the end without a value"},
        {"udp 1.2.3.4 > 1.2.3.5:1 flags syn",
         "'flags' says nothing about this packet; flags goes with tcp, icmp with icmp and icmpv6; "
         "length, vlan and fragment with all"},
        {"44 ::1 > ::2", "44 is an IPv6 extension header"},
    }};
    for (const auto& [text, words] : cases) {
        EXPECT_EQ(wrong(text), words) << text;
    }
}
