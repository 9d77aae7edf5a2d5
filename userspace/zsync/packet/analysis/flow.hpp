// Flow: what two endpoints said to each other, both directions as one.
#pragma once

#include <zsync/packet/analysis/dissect.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>

namespace zsync::packet::analysis {

struct FlowContent;

enum class FlowState : std::uint8_t {
    unanswered,   ///< only the initiator has spoken; no TCP
    answered,     ///< both have; no TCP
    syn_sent,     ///< TCP: a SYN without an answer
    syn_received, ///< TCP: SYN and SYN+ACK, the handshake not ended
    midstream,    ///< TCP: begun before the capture, one direction seen
    established,
    closing, ///< TCP: one side has sent FIN
    closed,  ///< TCP: both have
    reset,   ///< TCP: RST
};

[[nodiscard]] std::string_view name_of(FlowState state) noexcept;

/// One direction of a flow. Bytes are those of whole frames, as they were on the wire.
struct FlowDirection {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t payload_bytes = 0;
    std::uint32_t frame_bytes_min = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t frame_bytes_max = 0;
    std::uint8_t tcp_flags = 0; ///< all that were seen
    /// Bits a byte, from 0 to 8, of the first payload that is long enough to tell; else below 0.
    float payload_entropy = -1;
    /// TCP: the sequence number of the first byte of the stream, once a segment was seen.
    std::uint32_t stream_begin = 0;
    bool stream_begun = false;

    void add(const Packet& packet) noexcept {
        ++packets;
        bytes += packet.wire_bytes;
        payload_bytes += packet.payload_bytes;
        frame_bytes_min = std::min(frame_bytes_min, packet.wire_bytes);
        frame_bytes_max = std::max(frame_bytes_max, packet.wire_bytes);
        tcp_flags |= packet.tcp_flags;
    }
};

struct Flow {
    Tuple tuple{}; ///< as the initiator's packets have it
    std::uint64_t id = 0;
    std::uint64_t first_ns = 0;
    std::uint64_t last_ns = 0;
    bool was_established = false; ///< TCP: its handshake was seen to its end
    FlowState state = FlowState::unanswered;
    std::uint8_t icmp_type = 0; ///< of its first packet
    std::uint8_t icmp_code = 0;
    FlowDirection to_responder{};
    FlowDirection to_initiator{};
    std::unique_ptr<FlowContent> content; ///< what its parsers found; null where there is nothing
    bool is_inspected = false;            ///< its parsers are done with it and found nothing

    [[nodiscard]] bool is_tcp() const noexcept { return tuple.protocol == ip_protocol::tcp; }
    [[nodiscard]] bool is_answered() const noexcept {
        return state != FlowState::unanswered && state != FlowState::syn_sent &&
               state != FlowState::syn_received && state != FlowState::midstream;
    }
};

} // namespace zsync::packet::analysis
