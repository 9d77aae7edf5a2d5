// QUIC Initial packets of a client: its ClientHello, which they hide from nobody.
#pragma once

#include <zsync/packet/analysis/cursor.hpp>
#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/analysis/tls_hello.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace zsync::packet::analysis {

/// Puts the CRYPTO stream of a connection's client Initials together and reads the ClientHello.
/// They are encrypted with keys that everybody can derive from the first packet's destination
/// connection id; a packet whose tag does not verify is none.
/// Source: RFC 9000 (version 1), RFC 9001 section 5, RFC 9369 (version 2).
class QuicInitialReader {
public:
    /// True for a datagram that begins with a client's Initial of a known version, by its header.
    [[nodiscard]] static bool looks_like_initial(ByteView datagram);

    /// Takes a datagram of the client. `yes` with the hello, once.
    TlsHead add(ByteView datagram);

    [[nodiscard]] std::uint32_t version() const noexcept { return version_; }

private:
    struct Keys {
        std::array<std::uint8_t, 16> key{};
        std::array<std::uint8_t, 12> iv{};
        std::array<std::uint8_t, 16> header_protection{};
    };

    struct Initial {
        std::uint32_t version = 0;
        ByteView connection_id{};
        ByteView header{};  ///< up to the packet number
        ByteView payload{}; ///< from the packet number on
    };

    static std::optional<Initial> parse_header(Cursor& in);
    static Keys derive(std::uint32_t version, ByteView connection_id);
    /// The frames inside; none where the tag does not verify.
    static std::vector<std::uint8_t> open(const Initial& packet, const Keys& keys);
    bool take_frames(ByteView frames);
    void take_crypto(std::uint64_t offset, ByteView data);

    std::optional<Keys> keys_;
    std::uint32_t version_ = 0;
    std::vector<std::uint8_t> crypto_;
    std::map<std::uint64_t, std::vector<std::uint8_t>> pieces_;
};

} // namespace zsync::packet::analysis
