// Datagrams cut out of any bytes, one after the other, to one connection's reader.
#include <zsync/core/assert.hpp>
#include <zsync/packet/analysis/quic_initial.hpp>

#include <cstddef>
#include <cstdint>

using namespace zsync::packet::analysis;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    QuicInitialReader reader;
    Cursor in(ByteView(data, size));
    while (in.left() > 2) {
        const std::uint16_t length = in.u16();
        const ByteView datagram = in.take(length <= in.left() ? length : in.left());
        if (reader.add(datagram).verdict == HeadVerdict::yes) {
            ZASSERT(reader.version() != 0, "a hello came in some version");
        }
    }
    return 0;
}
