#include <zsync/packet/analysis/stream_head.hpp>

#include <algorithm>

namespace zsync::packet::analysis {

bool StreamHead::append(std::uint32_t offset, ByteView payload) {
    const std::size_t known = bytes_.size() - offset;
    if (known >= payload.size()) {
        return false;
    }
    const ByteView fresh = payload.subspan(known);
    const std::size_t room = limits::stream_head_bytes_max - bytes_.size();
    const ByteView kept = fresh.first(std::min(fresh.size(), room));
    bytes_.insert(bytes_.end(), kept.begin(), kept.end());
    return !kept.empty();
}

bool StreamHead::add(std::uint32_t sequence, ByteView payload) {
    const std::uint32_t offset = sequence - begin_; // modulo 2^32, as TCP counts
    if (payload.empty() || is_full() || offset >= limits::stream_head_bytes_max) {
        return false;
    }
    if (offset > bytes_.size()) {
        if (waiting_.size() < limits::stream_segments_max) {
            waiting_.emplace(offset, std::vector(payload.begin(), payload.end()));
        }
        return false;
    }
    bool grew = append(offset, payload);
    while (!waiting_.empty() && waiting_.begin()->first <= bytes_.size()) {
        grew = append(waiting_.begin()->first, waiting_.begin()->second) || grew;
        waiting_.erase(waiting_.begin());
    }
    return grew;
}

} // namespace zsync::packet::analysis
