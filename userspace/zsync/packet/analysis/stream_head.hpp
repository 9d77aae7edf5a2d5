// StreamHead: the first bytes of one direction of a TCP connection, in order.
#pragma once

#include <zsync/packet/analysis/cursor.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <cstdint>
#include <map>
#include <vector>

namespace zsync::packet::analysis {

/// Puts segments together that come late, twice or overlapping; what came first stays. Bytes
/// beyond `limits::stream_head_bytes_max` are not kept.
class StreamHead {
public:
    /// `begin` is the sequence number of the stream's first byte.
    explicit StreamHead(std::uint32_t begin) noexcept : begin_(begin) {}

    /// True where the segment made the head longer.
    bool add(std::uint32_t sequence, ByteView payload);

    [[nodiscard]] ByteView bytes() const noexcept { return bytes_; }
    [[nodiscard]] bool is_full() const noexcept {
        return bytes_.size() >= limits::stream_head_bytes_max;
    }

private:
    bool append(std::uint32_t offset, ByteView payload);

    std::uint32_t begin_;
    std::vector<std::uint8_t> bytes_;
    std::map<std::uint32_t, std::vector<std::uint8_t>> waiting_; ///< by offset
};

} // namespace zsync::packet::analysis
