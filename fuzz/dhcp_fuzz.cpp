// Any bytes as a DHCP message: one that is read has a type and came whole.
#include <zsync/core/assert.hpp>
#include <zsync/packet/analysis/dhcp.hpp>

#include <cstddef>
#include <cstdint>

using namespace zsync::packet::analysis;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (const auto dhcp = parse_dhcp({data, size})) {
        ZASSERT(dhcp->type != 0, "a message says what it is");
        ZASSERT(size >= 240 + 3, "header, cookie and one option");
    }
    return 0;
}
