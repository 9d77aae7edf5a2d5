// TLS ClientHello: whom a client wants, and what kind of client it is.
#pragma once

#include <zsync/packet/analysis/cursor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zsync::packet::analysis {

struct ClientHello {
    std::uint16_t legacy_version = 0;
    std::vector<std::uint16_t> ciphers;
    std::vector<std::uint16_t> extensions; ///< their types, in order
    std::string server_name;               ///< empty where none was sent
    std::vector<std::string> alpn;
    std::vector<std::uint16_t> signature_algorithms;
    std::vector<std::uint16_t> supported_versions;
};

/// What JA4 calls the transport.
enum class Ja4Transport : char { tcp = 't', quic = 'q', dtls = 'd' };

/// Reads the body of a ClientHello handshake message (RFC 8446, section 4.1.2).
[[nodiscard]] std::optional<ClientHello> parse_client_hello(ByteView body);

/// The JA4 fingerprint: version, SNI, counts, ALPN; 12 digits over the sorted ciphers, 12 over the
/// sorted extensions and the signature algorithms.
/// Source: FoxIO, "JA4 technical details".
[[nodiscard]] std::string ja4(const ClientHello& hello, Ja4Transport transport);
/// The same before hashing (`JA4_r`).
[[nodiscard]] std::string ja4_raw(const ClientHello& hello, Ja4Transport transport);

/// What the start of a byte stream is so far.
enum class HeadVerdict : std::uint8_t { more, no, yes };

struct TlsHead {
    HeadVerdict verdict = HeadVerdict::no;
    ClientHello hello{};
};

/// Looks for a ClientHello in the TLS records that begin a stream; it may lie in several.
[[nodiscard]] TlsHead read_tls_head(ByteView stream);

} // namespace zsync::packet::analysis
