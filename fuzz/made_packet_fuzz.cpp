// A packet that a line of text describes is well formed, and is what the text was read as.
#include "tests/packet/reference.hpp"

#include <zsync/core/assert.hpp>
#include <zsync/packet/made_packet.hpp>
#include <zsync/packet/rules_names.hpp>

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

using namespace zsync::packet;
using namespace zsync::packet::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto packet =
        parse_made_packet(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!packet) {
        return 0;
    }
    const auto frame = frame_of(*packet);
    ZASSERT(frame.size() == 14U + (packet->vlan ? 4U : 0U) + packet->length, "no byte too many");
    const ReferencePacket read = reference_parse(frame);
    ZASSERT(read.malformed.empty(), "it is well formed");
    ZASSERT(read.family == packet->family, "its family");
    ZASSERT(read.source == packet->source, "its source");
    ZASSERT(read.destination == packet->destination, "its destination");
    ZASSERT(read.protocol == packet->protocol, "its protocol");
    ZASSERT(read.vlan == packet->vlan, "its VLAN");
    ZASSERT(read.fragment == packet->fragment, "whether it is a fragment");
    ZASSERT(read.length == packet->length, "its length");
    if (has_ports(packet->protocol)) {
        ZASSERT(read.source_port == packet->source_port, "its source port");
        ZASSERT(read.destination_port == packet->destination_port, "its destination port");
    }
    if (packet->protocol == IPPROTO_TCP) {
        ZASSERT(read.tcp_flags == packet->tcp_flags, "its flags");
    }
    // ICMP in IPv6 and ICMPv6 in IPv4 are protocols without a meaning.
    const int icmp = packet->family == Family::ipv4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
    if (packet->protocol == icmp) {
        ZASSERT(read.icmp == packet->icmp, "its type and code");
    }
    return 0;
}
