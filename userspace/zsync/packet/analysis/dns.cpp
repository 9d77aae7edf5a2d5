#include <zsync/packet/analysis/address.hpp>
#include <zsync/packet/analysis/dns.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <algorithm>
#include <array>
#include <format>

namespace zsync::packet::analysis {
namespace {

namespace dns_type {
constexpr std::uint16_t a = 1;
constexpr std::uint16_t ns = 2;
constexpr std::uint16_t cname = 5;
constexpr std::uint16_t ptr = 12;
constexpr std::uint16_t mx = 15;
constexpr std::uint16_t aaaa = 28;
} // namespace dns_type

void append_label(std::string& name, ByteView label) {
    if (!name.empty()) {
        name += '.';
    }
    for (const std::uint8_t byte : label) {
        const char c = static_cast<char>(byte);
        if (c == '.' || c == '\\') {
            name += '\\';
            name += c;
        } else if (byte > 0x20 && byte < 0x7f) {
            name += c;
        } else {
            name += std::format("\\{:03}", byte);
        }
    }
}

/// The name at the cursor of `message`, which ends up behind it.
std::optional<std::string> read_name(ByteView message, Cursor& in) {
    constexpr std::uint8_t pointer_bits = 0xc0;
    std::string name;
    std::size_t wire_bytes = 1;
    std::size_t before = in.offset(); // pointers lead to before here
    Cursor at = in;
    bool jumped = false;
    for (;;) {
        const std::uint8_t length = at.u8();
        if (!at.ok()) {
            return std::nullopt;
        }
        if ((length & pointer_bits) == pointer_bits) {
            const std::size_t target = (length & 0x3fU) << 8U | at.u8();
            if (!at.ok() || target >= before) {
                return std::nullopt;
            }
            if (!jumped) {
                in = at;
                jumped = true;
            }
            before = target;
            at = Cursor(message);
            at.skip(target);
            continue;
        }
        if ((length & pointer_bits) != 0) {
            return std::nullopt; // reserved (RFC 6891 gave the extended types up)
        }
        if (length == 0) {
            break;
        }
        const ByteView label = at.take(length);
        wire_bytes += label.size() + 1;
        if (!at.ok() || wire_bytes > limits::dns_name_bytes_max) {
            return std::nullopt;
        }
        append_label(name, label);
    }
    if (!jumped) {
        in = at;
    }
    return name;
}

std::string data_text(ByteView message, Cursor in, std::uint16_t type, std::uint16_t bytes) {
    Address address;
    switch (type) {
    case dns_type::a:
    case dns_type::aaaa:
        address.is_v6 = type == dns_type::aaaa;
        if (bytes != (address.is_v6 ? 16 : 4)) {
            return {};
        }
        std::ranges::copy(in.take(bytes), address.bytes.begin());
        return to_string(address);
    case dns_type::mx:
        in.skip(2);
        [[fallthrough]];
    case dns_type::ns:
    case dns_type::cname:
    case dns_type::ptr:
        return read_name(message, in).value_or("");
    default:
        return {};
    }
}

std::optional<DnsRecord> read_record(ByteView message, Cursor& in) {
    auto name = read_name(message, in);
    if (!name) {
        return std::nullopt;
    }
    DnsRecord record;
    record.name = *std::move(name);
    record.type = in.u16();
    in.skip(2);
    record.ttl_seconds = in.u32();
    record.data_bytes = in.u16();
    const Cursor data = in;
    in.skip(record.data_bytes);
    if (!in.ok()) {
        return std::nullopt;
    }
    record.data = data_text(message, data, record.type, record.data_bytes);
    return record;
}

} // namespace

std::optional<DnsMessage> parse_dns(ByteView message) {
    Cursor in(message);
    DnsMessage dns;
    dns.id = in.u16();
    const std::uint16_t flags = in.u16();
    dns.is_response = (flags & 0x8000U) != 0;
    dns.opcode = flags >> 11U & 0xfU;
    dns.is_truncated = (flags & 0x0200U) != 0;
    dns.rcode = flags & 0xfU;
    const std::uint16_t questions = in.u16();
    dns.answer_count = in.u16();
    in.skip(4);
    if (!in.ok() || questions > limits::dns_questions_max) {
        return std::nullopt;
    }
    for (unsigned i = 0; i < questions; ++i) {
        auto name = read_name(message, in);
        const std::uint16_t type = in.u16();
        in.skip(2);
        if (!name || !in.ok()) {
            return std::nullopt;
        }
        dns.questions.push_back({*std::move(name), type});
    }
    const std::size_t answers = std::min<std::size_t>(dns.answer_count, limits::dns_records_max);
    for (std::size_t i = 0; i < answers; ++i) {
        auto record = read_record(message, in);
        if (!record) {
            break;
        }
        dns.answers.push_back(*std::move(record));
    }
    return dns;
}

std::string dns_type_name(std::uint16_t type) {
    struct Name {
        std::uint16_t type;
        std::string_view name;
    };
    constexpr std::array names{
        Name{.type = dns_type::a, .name = "A"},
        Name{.type = dns_type::ns, .name = "NS"},
        Name{.type = dns_type::cname, .name = "CNAME"},
        Name{.type = 6, .name = "SOA"},
        Name{.type = 10, .name = "NULL"},
        Name{.type = dns_type::ptr, .name = "PTR"},
        Name{.type = 13, .name = "HINFO"},
        Name{.type = dns_type::mx, .name = "MX"},
        Name{.type = 16, .name = "TXT"},
        Name{.type = 24, .name = "SIG"},
        Name{.type = 25, .name = "KEY"},
        Name{.type = dns_type::aaaa, .name = "AAAA"},
        Name{.type = 33, .name = "SRV"},
        Name{.type = 35, .name = "NAPTR"},
        Name{.type = 39, .name = "DNAME"},
        Name{.type = 41, .name = "OPT"},
        Name{.type = 43, .name = "DS"},
        Name{.type = 44, .name = "SSHFP"},
        Name{.type = 46, .name = "RRSIG"},
        Name{.type = 47, .name = "NSEC"},
        Name{.type = 48, .name = "DNSKEY"},
        Name{.type = 50, .name = "NSEC3"},
        Name{.type = 51, .name = "NSEC3PARAM"},
        Name{.type = 52, .name = "TLSA"},
        Name{.type = 64, .name = "SVCB"},
        Name{.type = 65, .name = "HTTPS"},
        Name{.type = 99, .name = "SPF"},
        Name{.type = 251, .name = "IXFR"},
        Name{.type = 252, .name = "AXFR"},
        Name{.type = 255, .name = "ANY"},
        Name{.type = 257, .name = "CAA"},
    };
    const auto found = std::ranges::find(names, type, &Name::type);
    return found != names.end() ? std::string(found->name) : std::format("TYPE{}", type);
}

std::string dns_rcode_name(std::uint8_t rcode) {
    constexpr std::array<std::string_view, 11> names{
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE"
    };
    return rcode < names.size() ? std::string(names[rcode]) : std::format("{}", rcode);
}

} // namespace zsync::packet::analysis
