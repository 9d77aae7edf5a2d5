#include <zsync/packet/analysis/quic_initial.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string_view>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint32_t version_1 = 0x00000001;
constexpr std::uint32_t version_2 = 0x6b3343cf;
constexpr std::size_t connection_id_bytes_max = 20;
constexpr std::size_t tag_bytes = 16;
constexpr std::size_t sample_bytes = 16;
constexpr std::size_t sample_offset = 4; // as if the packet number had four bytes

constexpr std::array<std::uint8_t, 20> salt_1{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34,
                                              0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                                              0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};
constexpr std::array<std::uint8_t, 20> salt_2{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6,
                                              0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
                                              0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9};

using Secret = std::array<std::uint8_t, 32>;
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Secret hmac_sha256(ByteView key, ByteView data) {
    Secret out{};
    unsigned size = out.size();
    HMAC(
        EVP_sha256(),
        key.data(),
        static_cast<int>(key.size()),
        data.data(),
        data.size(),
        out.data(),
        &size
    );
    return out;
}

/// HKDF-Expand-Label of TLS 1.3 with an empty context, for at most one block of output.
template <std::size_t N>
std::array<std::uint8_t, N> expand_label(const Secret& secret, std::string_view label) {
    constexpr std::string_view prefix = "tls13 ";
    std::vector<std::uint8_t> info{0, N, static_cast<std::uint8_t>(prefix.size() + label.size())};
    info.insert(info.end(), prefix.begin(), prefix.end());
    info.insert(info.end(), label.begin(), label.end());
    info.push_back(0); // no context
    info.push_back(1); // the first block
    const Secret block = hmac_sha256(secret, info);
    std::array<std::uint8_t, N> out{};
    std::copy_n(block.begin(), N, out.begin());
    return out;
}

/// The type bits of an Initial's first byte.
bool is_initial(std::uint8_t first, std::uint32_t version) {
    const unsigned type = first >> 4U & 3U;
    return (first & 0xc0U) == 0xc0U &&
           ((version == version_1 && type == 0) || (version == version_2 && type == 1));
}

std::array<std::uint8_t, 16> encrypt_block(ByteView key, ByteView sample) {
    std::array<std::uint8_t, 16> out{};
    const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
    int size = 0;
    EVP_EncryptInit_ex(cipher.get(), EVP_aes_128_ecb(), nullptr, key.data(), nullptr);
    EVP_CIPHER_CTX_set_padding(cipher.get(), 0);
    EVP_EncryptUpdate(cipher.get(), out.data(), &size, sample.data(), static_cast<int>(out.size()));
    return out;
}

} // namespace

bool QuicInitialReader::looks_like_initial(ByteView datagram) {
    Cursor in(datagram);
    const std::uint8_t first = in.u8();
    const std::uint32_t version = in.u32();
    return in.ok() && is_initial(first, version);
}

std::optional<QuicInitialReader::Initial> QuicInitialReader::parse_header(Cursor& in) {
    const ByteView all = in.rest();
    const std::size_t begin = in.offset();
    Initial packet;
    const std::uint8_t first = in.u8();
    packet.version = in.u32();
    if (!in.ok() || !is_initial(first, packet.version)) {
        return std::nullopt;
    }
    packet.connection_id = in.take(in.u8());
    const ByteView source_id = in.take(in.u8());
    in.skip(in.varint()); // token
    const std::uint64_t length = in.varint();
    const std::size_t header_bytes = in.offset() - begin;
    packet.payload = in.take(length);
    if (!in.ok() || packet.connection_id.size() > connection_id_bytes_max ||
        source_id.size() > connection_id_bytes_max ||
        packet.payload.size() < sample_offset + sample_bytes) {
        return std::nullopt;
    }
    packet.header = all.first(header_bytes);
    return packet;
}

QuicInitialReader::Keys QuicInitialReader::derive(std::uint32_t version, ByteView connection_id) {
    const bool is_v2 = version == version_2;
    const Secret initial = hmac_sha256(is_v2 ? salt_2 : salt_1, connection_id);
    const Secret client = expand_label<32>(initial, "client in");
    return {
        .key = expand_label<16>(client, is_v2 ? "quicv2 key" : "quic key"),
        .iv = expand_label<12>(client, is_v2 ? "quicv2 iv" : "quic iv"),
        .header_protection = expand_label<16>(client, is_v2 ? "quicv2 hp" : "quic hp"),
    };
}

std::vector<std::uint8_t> QuicInitialReader::open(const Initial& packet, const Keys& keys) {
    const auto mask =
        encrypt_block(keys.header_protection, packet.payload.subspan(sample_offset, sample_bytes));
    std::vector<std::uint8_t> header(packet.header.begin(), packet.header.end());
    header[0] ^= mask[0] & 0x0fU;
    const std::size_t number_bytes = (header[0] & 3U) + 1;
    std::array<std::uint8_t, 12> nonce = keys.iv;
    for (std::size_t i = 0; i < number_bytes; ++i) {
        header.push_back(packet.payload[i] ^ mask[i + 1]);
        nonce[nonce.size() - number_bytes + i] ^= header.back();
    }
    const ByteView sealed = packet.payload.subspan(number_bytes);
    const ByteView text = sealed.first(sealed.size() - tag_bytes);
    std::array<std::uint8_t, tag_bytes> tag{};
    std::ranges::copy(sealed.last(tag_bytes), tag.begin());
    std::vector<std::uint8_t> plain(text.size());
    const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
    int size = 0;
    const bool opened =
        EVP_DecryptInit_ex(
            cipher.get(), EVP_aes_128_gcm(), nullptr, keys.key.data(), nonce.data()
        ) == 1 &&
        EVP_DecryptUpdate(
            cipher.get(), nullptr, &size, header.data(), static_cast<int>(header.size())
        ) == 1 &&
        EVP_DecryptUpdate(
            cipher.get(), plain.data(), &size, text.data(), static_cast<int>(text.size())
        ) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, tag_bytes, tag.data()) == 1 &&
        EVP_DecryptFinal_ex(cipher.get(), plain.data() + plain.size(), &size) == 1;
    if (!opened) {
        plain.clear();
    }
    return plain;
}

void QuicInitialReader::take_crypto(std::uint64_t offset, ByteView data) {
    if (data.empty() || offset > limits::quic_crypto_bytes_max ||
        offset + data.size() > limits::quic_crypto_bytes_max ||
        pieces_.size() >= limits::quic_pieces_max) {
        return;
    }
    std::vector<std::uint8_t>& piece = pieces_[offset];
    if (piece.size() < data.size()) {
        piece.assign(data.begin(), data.end());
    }
    while (!pieces_.empty() && pieces_.begin()->first <= crypto_.size()) {
        const auto& [at, bytes] = *pieces_.begin();
        const std::size_t known = crypto_.size() - static_cast<std::size_t>(at);
        if (known < bytes.size()) {
            crypto_.insert(
                crypto_.end(), bytes.begin() + static_cast<std::ptrdiff_t>(known), bytes.end()
            );
        }
        pieces_.erase(pieces_.begin());
    }
}

/// False where a frame stands that an Initial may not have.
bool QuicInitialReader::take_frames(ByteView frames) {
    constexpr std::uint64_t padding = 0;
    constexpr std::uint64_t ping = 1;
    constexpr std::uint64_t ack = 2;
    constexpr std::uint64_t ack_ecn = 3;
    constexpr std::uint64_t crypto = 6;
    Cursor in(frames);
    while (in.left() > 0) {
        const std::uint64_t type = in.varint();
        if (type == padding || type == ping) {
            continue;
        }
        if (type == crypto) {
            const std::uint64_t offset = in.varint();
            take_crypto(offset, in.take(in.varint()));
        } else if (type == ack || type == ack_ecn) {
            (void)in.varint();
            (void)in.varint();
            const std::uint64_t ranges = in.varint();
            (void)in.varint();
            for (std::uint64_t i = 0; i < 2 * ranges && in.ok(); ++i) {
                (void)in.varint();
            }
            for (int i = 0; type == ack_ecn && i < 3; ++i) {
                (void)in.varint();
            }
        } else {
            return false; // CONNECTION_CLOSE ends it as well
        }
        if (!in.ok()) {
            return false;
        }
    }
    return true;
}

TlsHead QuicInitialReader::add(ByteView datagram) {
    bool is_ours = false;
    Cursor in(datagram);
    while (in.left() > 0) {
        const auto packet = parse_header(in);
        if (!packet) {
            break; // another kind of packet, or padding, may follow
        }
        std::vector<std::uint8_t> plain;
        if (keys_) {
            plain = open(*packet, *keys_);
        }
        if (plain.empty()) { // the first one, or a new connection id after a Retry
            const Keys keys = derive(packet->version, packet->connection_id);
            plain = open(*packet, keys);
            if (!plain.empty()) {
                keys_ = keys;
                version_ = packet->version;
                crypto_.clear();
                pieces_.clear();
            }
        }
        if (plain.empty()) {
            break;
        }
        is_ours = true;
        take_frames(plain);
    }
    if (!is_ours) {
        return {.verdict = keys_ ? HeadVerdict::more : HeadVerdict::no};
    }
    Cursor message(crypto_);
    if (crypto_.size() < 4) {
        return {.verdict = HeadVerdict::more};
    }
    const std::uint8_t type = message.u8();
    const std::uint32_t body_bytes = message.u24();
    if (type != 1 || body_bytes > limits::quic_crypto_bytes_max) {
        return {.verdict = HeadVerdict::no};
    }
    if (message.left() < body_bytes) {
        return {.verdict = HeadVerdict::more};
    }
    auto hello = parse_client_hello(message.take(body_bytes));
    return hello ? TlsHead{.verdict = HeadVerdict::yes, .hello = *std::move(hello)} : TlsHead{};
}

} // namespace zsync::packet::analysis
