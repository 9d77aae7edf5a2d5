// The request line of HTTP/1, and the host it is for.
#pragma once

#include <zsync/packet/analysis/cursor.hpp>
#include <zsync/packet/analysis/tls_hello.hpp>

#include <string>

namespace zsync::packet::analysis {

struct HttpRequest {
    std::string method;
    std::string target;
    std::string version; ///< `HTTP/1.1`
    std::string host;    ///< of the Host field; empty where there is none
};

struct HttpHead {
    HeadVerdict verdict = HeadVerdict::no;
    HttpRequest request{};
};

/// Looks for a request at the start of a stream (RFC 9112, section 3). `more` until the Host field
/// or the end of the fields is there; `is_whole` says that nothing more will come.
[[nodiscard]] HttpHead read_http_head(ByteView stream, bool is_whole);

} // namespace zsync::packet::analysis
