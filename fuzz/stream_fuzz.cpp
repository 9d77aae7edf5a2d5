// Any start of a stream: what TLS and HTTP parsers say of a prefix does not change with more bytes,
// but for "more".
#include <zsync/core/assert.hpp>
#include <zsync/packet/analysis/http_request.hpp>
#include <zsync/packet/analysis/tls_hello.hpp>

#include <cstddef>
#include <cstdint>

using namespace zsync::packet::analysis;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    const ByteView stream(data + 2, size - 2);
    const ByteView prefix = stream.first((data[0] << 8U | data[1]) % (stream.size() + 1));
    const TlsHead whole = read_tls_head(stream);
    const TlsHead part = read_tls_head(prefix);
    ZASSERT(
        part.verdict == HeadVerdict::more || part.verdict == whole.verdict, "TLS keeps its word"
    );
    if (whole.verdict == HeadVerdict::yes) {
        ZASSERT(ja4(whole.hello, Ja4Transport::tcp).size() == 36, "a JA4 has 36 characters");
    }
    const HttpHead request = read_http_head(stream, false);
    const HttpHead request_part = read_http_head(prefix, false);
    ZASSERT(
        request_part.verdict == HeadVerdict::more || request_part.verdict == request.verdict,
        "HTTP keeps its word"
    );
    ZASSERT(read_http_head(stream, true).verdict != HeadVerdict::more, "nothing more will come");
    return 0;
}
