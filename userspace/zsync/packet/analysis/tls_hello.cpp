#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/analysis/tls_hello.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <format>
#include <openssl/sha.h>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint8_t record_handshake = 22;
constexpr std::uint8_t message_client_hello = 1;
constexpr std::size_t record_bytes_max = 16'384 + 256;

namespace extension {
constexpr std::uint16_t server_name = 0;
constexpr std::uint16_t signature_algorithms = 13;
constexpr std::uint16_t alpn = 16;
constexpr std::uint16_t supported_versions = 43;
} // namespace extension

/// Values that clients make up to keep servers honest (RFC 8701).
bool is_grease(std::uint16_t value) {
    return (value & 0x0f0fU) == 0x0a0a && value >> 8U == (value & 0xffU);
}

std::vector<std::uint16_t> words_of(ByteView bytes) {
    std::vector<std::uint16_t> words;
    words.reserve(bytes.size() / 2);
    for (Cursor in(bytes); in.left() >= 2;) {
        words.push_back(in.u16());
    }
    return words;
}

void read_extension(ClientHello& hello, std::uint16_t type, Cursor in) {
    switch (type) {
    case extension::server_name: {
        in.skip(2);
        const std::uint8_t kind = in.u8();
        const ByteView name = in.take(in.u16());
        if (in.ok() && kind == 0) {
            hello.server_name = as_text(name.first(std::min(name.size(), limits::shown_bytes_max)));
        }
        break;
    }
    case extension::alpn: {
        Cursor names(in.take(in.u16()));
        while (names.left() > 0) {
            hello.alpn.emplace_back(as_text(names.take(names.u8())));
        }
        break;
    }
    case extension::signature_algorithms:
        hello.signature_algorithms = words_of(in.take(in.u16()));
        break;
    case extension::supported_versions:
        hello.supported_versions = words_of(in.take(in.u8()));
        break;
    default:
        break;
    }
}

std::vector<std::uint16_t> without_grease(std::vector<std::uint16_t> values) {
    std::erase_if(values, is_grease);
    return values;
}

std::string hex_list(const std::vector<std::uint16_t>& values) {
    std::string text;
    for (const std::uint16_t value : values) {
        text += std::format("{}{:04x}", text.empty() ? "" : ",", value);
    }
    return text;
}

std::string_view version_name(const ClientHello& hello) {
    struct Name {
        std::uint16_t version;
        std::string_view name;
    };
    constexpr std::array names{
        Name{.version = 0x0304, .name = "13"},
        Name{.version = 0x0303, .name = "12"},
        Name{.version = 0x0302, .name = "11"},
        Name{.version = 0x0301, .name = "10"},
        Name{.version = 0x0300, .name = "s3"},
        Name{.version = 0x0002, .name = "s2"},
        Name{.version = 0xfefc, .name = "d3"},
        Name{.version = 0xfefd, .name = "d2"},
        Name{.version = 0xfeff, .name = "d1"},
    };
    std::uint16_t version = hello.legacy_version;
    const auto offered = without_grease(hello.supported_versions);
    if (!offered.empty()) {
        version = *std::ranges::max_element(offered);
    }
    const auto found = std::ranges::find(names, version, &Name::version);
    return found != names.end() ? found->name : "00";
}

/// First and last character of the first protocol; of its hexadecimal form where they are none.
std::string alpn_mark(const ClientHello& hello) {
    if (hello.alpn.empty() || hello.alpn.front().empty()) {
        return "00";
    }
    const std::string& name = hello.alpn.front();
    const auto first = static_cast<unsigned char>(name.front());
    const auto last = static_cast<unsigned char>(name.back());
    if (std::isalnum(first) != 0 && std::isalnum(last) != 0) {
        return {static_cast<char>(first), static_cast<char>(last)};
    }
    return std::format("{:x}{:x}", first >> 4U, last & 0xfU);
}

struct Ja4Parts {
    std::string a;
    std::string ciphers;
    std::string extensions;
};

Ja4Parts ja4_parts(const ClientHello& hello, Ja4Transport transport) {
    constexpr std::size_t count_max = 99;
    std::vector<std::uint16_t> ciphers = without_grease(hello.ciphers);
    std::vector<std::uint16_t> extensions = without_grease(hello.extensions);
    Ja4Parts parts{
        .a = std::format(
            "{}{}{}{:02}{:02}{}",
            static_cast<char>(transport),
            version_name(hello),
            std::ranges::contains(extensions, extension::server_name) ? 'd' : 'i',
            std::min(ciphers.size(), count_max),
            std::min(extensions.size(), count_max),
            alpn_mark(hello)
        ),
        .ciphers = {},
        .extensions = {},
    };
    std::ranges::sort(ciphers);
    parts.ciphers = hex_list(ciphers);
    std::erase(extensions, extension::server_name);
    std::erase(extensions, extension::alpn);
    std::ranges::sort(extensions);
    parts.extensions = hex_list(extensions);
    const auto algorithms = without_grease(hello.signature_algorithms);
    if (!parts.extensions.empty() && !algorithms.empty()) {
        parts.extensions += '_' + hex_list(algorithms);
    }
    return parts;
}

std::string short_hash(const std::string& text) {
    if (text.empty()) {
        return "000000000000";
    }
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    std::string hex;
    for (std::size_t i = 0; i < 6; ++i) {
        hex += std::format("{:02x}", digest[i]);
    }
    return hex;
}

} // namespace

std::optional<ClientHello> parse_client_hello(ByteView body) {
    Cursor in(body);
    ClientHello hello;
    hello.legacy_version = in.u16();
    in.skip(32); // random
    in.skip(in.u8());
    hello.ciphers = words_of(in.take(in.u16()));
    in.skip(in.u8());
    if (!in.ok() || hello.ciphers.empty()) {
        return std::nullopt;
    }
    if (in.left() == 0) { // TLS 1.0 to 1.2 may end here
        return hello;
    }
    Cursor extensions(in.take(in.u16()));
    if (!in.ok()) {
        return std::nullopt;
    }
    while (extensions.left() > 0) {
        const std::uint16_t type = extensions.u16();
        const ByteView content = extensions.take(extensions.u16());
        if (!extensions.ok()) {
            return std::nullopt;
        }
        hello.extensions.push_back(type);
        read_extension(hello, type, Cursor(content));
    }
    return hello;
}

std::string ja4(const ClientHello& hello, Ja4Transport transport) {
    const Ja4Parts parts = ja4_parts(hello, transport);
    return std::format(
        "{}_{}_{}", parts.a, short_hash(parts.ciphers), short_hash(parts.extensions)
    );
}

std::string ja4_raw(const ClientHello& hello, Ja4Transport transport) {
    const Ja4Parts parts = ja4_parts(hello, transport);
    return std::format("{}_{}_{}", parts.a, parts.ciphers, parts.extensions);
}

TlsHead read_tls_head(ByteView stream) {
    std::vector<std::uint8_t> message;
    for (Cursor in(stream);;) {
        if (in.left() < 5) {
            const ByteView rest = in.rest();
            const bool fits =
                (rest.empty() || rest[0] == record_handshake) && (rest.size() < 2 || rest[1] == 3);
            return {.verdict = fits ? HeadVerdict::more : HeadVerdict::no};
        }
        const std::uint8_t kind = in.u8();
        const std::uint16_t version = in.u16();
        const std::uint16_t length = in.u16();
        if (kind != record_handshake || version >> 8U != 3 || length == 0 ||
            length > record_bytes_max) {
            return {.verdict = HeadVerdict::no};
        }
        const ByteView fragment = in.rest().first(std::min<std::size_t>(length, in.left()));
        const bool whole = fragment.size() == length;
        in.skip(fragment.size());
        message.insert(message.end(), fragment.begin(), fragment.end());
        if (!message.empty() && message[0] != message_client_hello) {
            return {.verdict = HeadVerdict::no};
        }
        if (message.size() >= 4) {
            Cursor handshake(message);
            handshake.skip(1);
            const std::uint32_t body_bytes = handshake.u24();
            if (body_bytes > limits::stream_head_bytes_max) {
                return {.verdict = HeadVerdict::no};
            }
            if (handshake.left() >= body_bytes) {
                auto hello = parse_client_hello(handshake.take(body_bytes));
                return hello ? TlsHead{.verdict = HeadVerdict::yes, .hello = *std::move(hello)}
                             : TlsHead{};
            }
        }
        if (!whole) {
            return {.verdict = HeadVerdict::more};
        }
    }
}

} // namespace zsync::packet::analysis
