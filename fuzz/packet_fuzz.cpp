// Any frame, any part of it linear: the BPF program's parser stays inside the frame (ASan watches)
// and says what an independent parser says.
#include "tests/packet/reference.hpp"
#include "tests/packet/user_engine.hpp"

#include <zsync/core/assert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace zsync::packet::test;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) {
        return 0;
    }
    const std::span<const std::uint8_t> frame(data + 1, size - 1);
    const ReferencePacket reference = reference_parse(frame);
    ZASSERT(difference(parse(frame), reference).empty(), "both parsers say the same");

    // A copy that ends where the linear part ends, so that a read beyond it is seen.
    const std::size_t linear = std::min<std::size_t>(data[0], frame.size());
    const std::vector<std::uint8_t> head(frame.begin(), frame.begin() + static_cast<int>(linear));
    const Parsed parsed = parse_linear(head, frame.size());
    ZASSERT(
        parsed.malformed == ZSYNC_MALFORMED_headers_split || difference(parsed, reference).empty(),
        "a shorter first buffer changes nothing but that it may be too short"
    );
    return 0;
}
