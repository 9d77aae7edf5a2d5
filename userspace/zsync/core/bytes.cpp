#include <zsync/core/bytes.hpp>

#include <algorithm>

namespace zsync {

Bytes Bytes::copy_of(std::string_view text) {
    Bytes bytes(text.size());
    std::ranges::copy(std::as_bytes(std::span(text)), bytes.data());
    return bytes;
}

} // namespace zsync
