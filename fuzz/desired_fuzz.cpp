// What decodes is exactly what encoding it gives.
#include <zsync/core/assert.hpp>
#include <zsync/packet/desired.hpp>

#include <cstddef>
#include <cstdint>

using namespace zsync::packet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto desired = decode(text);
    const auto forwards = decode_forwards(text);
    ZASSERT(!forwards || encode_forwards(*forwards) == text, "there is one way to write pairs");
    ZASSERT(!desired || encode(*desired) == text, "there is one way to write a state");
    return 0;
}
