// Any bytes under any link type: the dissector stays inside them, and so does what it hands on.
#include <zsync/core/assert.hpp>
#include <zsync/packet/analysis/dissect.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

using namespace zsync::packet::analysis;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::array types{
        LinkType::ethernet,
        LinkType::raw,
        LinkType::linux_sll,
        LinkType::linux_sll2,
        LinkType::null,
        LinkType::loop,
        LinkType::ipv4,
        LinkType::ipv6,
        LinkType::raw_bsd,
    };
    for (const LinkType type : types) {
        const ByteView bytes(data, size);
        const Packet packet = dissect({
            .time_ns = 1,
            .link_type = type,
            .wire_bytes = static_cast<std::uint32_t>(size),
            .bytes = bytes,
        });
        ZASSERT(packet.payload.size() <= packet.payload_bytes, "no more than was on the wire");
        if (!packet.payload.empty()) {
            ZASSERT(
                packet.payload.data() >= data &&
                    packet.payload.data() + packet.payload.size() <= data + size,
                "the payload lies in the frame"
            );
        }
        ZASSERT(
            (packet.network == Network::malformed) == !packet.problem.empty(),
            "what is malformed says why, and nothing else does"
        );
    }
    return 0;
}
