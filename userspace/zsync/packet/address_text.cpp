#include <zsync/core/text.hpp>
#include <zsync/packet/address_text.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <format>
#include <optional>

namespace zsync::packet {
namespace {

/// `/128` and then something: a length in a hint is as it came, right or wrong.
constexpr std::size_t hint_length_bytes_max = 8;

constexpr std::uint8_t bits_of(Family family) { return family == Family::ipv4 ? 32 : 128; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_digit(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    const char folded = static_cast<char>(c | 0x20);
    return folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

/// Four decimal octets. A leading zero is refused: some programs read 010 as eight.
bool parse_ipv4(std::string_view text, std::uint8_t* out) {
    std::size_t at = 0;
    for (int octet = 0; octet < 4; ++octet) {
        if (octet > 0) {
            if (at >= text.size() || text[at] != '.') {
                return false;
            }
            ++at;
        }
        const std::size_t start = at;
        unsigned value = 0;
        while (at < text.size() && at - start < 3 && is_digit(text[at])) {
            value = value * 10 + static_cast<unsigned>(text[at++] - '0');
        }
        const std::size_t digits = at - start;
        if (digits == 0 || value > 255 || (digits > 1 && text[start] == '0')) {
            return false;
        }
        out[octet] = static_cast<std::uint8_t>(value);
    }
    return at == text.size();
}

/// Groups of an IPv6 address up to the end or `::`, the last two of which may be a dotted IPv4.
struct Groups {
    std::array<std::uint8_t, 16> bytes{};
    std::size_t size = 0;
};

std::optional<Groups> parse_groups(std::string_view text) {
    Groups groups;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(':'), text.size());
        const std::string_view group = text.substr(0, end);
        const bool last = end == text.size();
        if (last && group.contains('.')) {
            if (groups.size > 12 || !parse_ipv4(group, groups.bytes.data() + groups.size)) {
                return std::nullopt;
            }
            groups.size += 4;
            return groups;
        }
        if (group.empty() || group.size() > 4 || groups.size > 14) {
            return std::nullopt;
        }
        unsigned value = 0;
        for (const char c : group) {
            const int digit = hex_digit(c);
            if (digit < 0) {
                return std::nullopt;
            }
            value = value << 4 | static_cast<unsigned>(digit);
        }
        groups.bytes[groups.size++] = static_cast<std::uint8_t>(value >> 8);
        groups.bytes[groups.size++] = static_cast<std::uint8_t>(value);
        if (last) {
            return groups;
        }
        text.remove_prefix(end + 1);
    }
    return std::nullopt; // a colon with nothing behind it
}

bool parse_ipv6(std::string_view text, std::array<std::uint8_t, 16>& out) {
    const std::size_t gap = text.find("::");
    if (gap == std::string_view::npos) {
        const auto whole = parse_groups(text);
        if (!whole || whole->size != 16) {
            return false;
        }
        out = whole->bytes;
        return true;
    }
    Groups head;
    Groups tail;
    if (const auto before = text.substr(0, gap); !before.empty()) {
        const auto groups = parse_groups(before);
        if (!groups || before.contains('.')) {
            return false;
        }
        head = *groups;
    }
    if (const auto after = text.substr(gap + 2); !after.empty()) {
        const auto groups = parse_groups(after);
        if (!groups) {
            return false;
        }
        tail = *groups;
    }
    if (head.size + tail.size > 14) { // `::` stands for at least one group
        return false;
    }
    out = head.bytes;
    std::memcpy(out.data() + 16 - tail.size, tail.bytes.data(), tail.size);
    return true;
}

/// `10/8` and `10.1/16`, which other tools complete with zeros, written out; empty if it is
/// neither.
std::string complete_ipv4(std::string_view address) {
    std::string full(address);
    for (auto dots = std::ranges::count(full, '.'); dots < 3; ++dots) {
        full += ".0";
    }
    std::array<std::uint8_t, 4> bytes{};
    return parse_ipv4(full, bytes.data()) ? full : std::string();
}

std::string without_leading_zeros(std::string_view address) {
    std::string out;
    for (std::size_t i = 0; i < address.size(); ++i) {
        const bool starts = i == 0 || address[i - 1] == '.';
        const bool more = i + 1 < address.size() && is_digit(address[i + 1]);
        if (starts && address[i] == '0' && more) {
            ++i;
            while (i + 1 < address.size() && address[i] == '0' && is_digit(address[i + 1])) {
                ++i;
            }
        }
        out += address[i];
    }
    std::array<std::uint8_t, 4> bytes{};
    return parse_ipv4(out, bytes.data()) ? out : std::string();
}

Complaint bad_address(std::string_view text, std::string_view address, std::string_view length) {
    const Complaint plain{.words = in_quotes(text) + " is no address or prefix", .hint = ""};
    const auto with_hint = [&](std::string hint) {
        return Complaint{.words = plain.words, .hint = std::move(hint)};
    };
    if (text == "any" || text == "all") {
        return with_hint("leave the condition out to match every address");
    }
    if (text.starts_with('!')) {
        return with_hint("there is no negation: put a rule with the other verdict above");
    }
    if (text.contains('%')) {
        return with_hint("write the address without its zone");
    }
    const bool numeric =
        std::ranges::all_of(address, [](char c) { return is_digit(c) || c == '.' || c == '-'; });
    if (!numeric || address.empty()) {
        const bool ipv6 = address.contains(':') && std::ranges::all_of(address, [](char c) {
                              return hex_digit(c) >= 0 || c == ':' || c == '.';
                          });
        const bool host = !address.contains(':') && address.size() > 1;
        return ipv6 ? plain : host ? with_hint("write the numbers of the address") : plain;
    }
    if (address.contains('-')) {
        return with_hint("a range of addresses is written as prefixes");
    }
    if (const auto full = without_leading_zeros(address); !full.empty()) {
        return with_hint(
            "leading zeros are ambiguous: write " + full + printable(length, hint_length_bytes_max)
        );
    }
    if (!length.empty()) {
        if (const auto full = complete_ipv4(address); !full.empty()) {
            return with_hint(
                "write all four numbers: " + full + printable(length, hint_length_bytes_max)
            );
        }
    }
    return with_hint("an IPv4 address is four numbers from 0 to 255");
}

/// Clears the bits beyond the length; true if any was set.
bool clear_host_bits(Prefix& prefix) {
    bool cleared = false;
    for (std::size_t i = 0; i < bits_of(prefix.family) / 8U; ++i) {
        const std::size_t first_bit = i * 8;
        const std::size_t kept =
            prefix.length <= first_bit ? 0 : std::min<std::size_t>(prefix.length - first_bit, 8);
        const auto mask = static_cast<std::uint8_t>(0xff00U >> kept);
        cleared |= (prefix.address[i] & ~mask & 0xff) != 0;
        prefix.address[i] &= mask;
    }
    return cleared;
}

bool is_mapped(const Prefix& prefix) {
    constexpr std::array<std::uint8_t, 12> block{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return prefix.family == Family::ipv6 && prefix.length > 96 &&
           std::equal(block.begin(), block.end(), prefix.address.begin());
}

Complaint mapped_complaint(std::string_view text, const Prefix& prefix) {
    Prefix ipv4{.family = Family::ipv4, .length = static_cast<std::uint8_t>(prefix.length - 96)};
    std::copy_n(prefix.address.begin() + 12, 4, ipv4.address.begin());
    return {
        .words = in_quotes(text) + " is an IPv4-mapped address, which no packet carries",
        .hint = "write " + format_prefix(ipv4),
    };
}

/// Where the port's colon stands: behind brackets, or as the only one of what has dots.
std::size_t port_colon(std::string_view text) {
    if (text.starts_with('[')) {
        return text.find("]:") == text.npos ? text.npos : text.find("]:") + 1;
    }
    const std::size_t colon = text.find(':');
    const std::size_t dot = text.rfind('.');
    const bool only = colon != text.npos && text.find(':', colon + 1) == text.npos;
    return only && dot != text.npos && dot < colon ? colon : text.npos;
}

std::optional<std::uint16_t> parse_port(std::string_view digits) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool whole = error == std::errc() && end == digits.data() + digits.size();
    return whole ? std::optional(port) : std::nullopt;
}

} // namespace

std::expected<Prefix, Complaint> parse_address(std::string_view text) {
    const std::size_t colon = port_colon(text);
    if (colon == text.npos) {
        if (text.starts_with('[')) {
            return std::unexpected(Complaint{
                .words = in_quotes(text) + " is no address with a port",
                .hint = "write [ADDRESS]:PORT, or the address without brackets",
            });
        }
        return parse_prefix(text);
    }
    const bool brackets = text.starts_with('[');
    const std::string_view address = brackets ? text.substr(1, colon - 2) : text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    if (address.contains('/')) {
        return std::unexpected(Complaint{
            .words = in_quotes(text) + " is a prefix with a port",
            .hint = "only a single address has a port here: write from PREFIX sport PORT, or to "
                    "PREFIX dport PORT",
        });
    }
    auto prefix = parse_prefix(address);
    if (!prefix) {
        return prefix;
    }
    if (brackets != (prefix->family == Family::ipv6)) {
        return std::unexpected(Complaint{
            .words = in_quotes(text) + " is no address with a port",
            .hint = "brackets are for IPv6 addresses",
        });
    }
    prefix->port = parse_port(port);
    if (!prefix->port) {
        return std::unexpected(Complaint{
            .words = in_quotes(text) + " has no port from 0 to 65535",
            .hint = port.contains('-') ? "a range of ports is written with sport or dport" : "",
        });
    }
    return prefix;
}

std::expected<Prefix, Complaint> parse_prefix(std::string_view text) {
    const std::size_t slash = text.find('/');
    const std::string_view address = text.substr(0, slash);
    Prefix prefix;
    if (parse_ipv4(address, prefix.address.data())) {
        prefix.family = Family::ipv4;
    } else if (prefix.address = {}; parse_ipv6(address, prefix.address)) {
        prefix.family = Family::ipv6;
    } else {
        const auto length = slash == std::string_view::npos ? "" : text.substr(slash);
        return std::unexpected(bad_address(text, address, length));
    }
    prefix.length = bits_of(prefix.family);
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        unsigned length = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), length);
        const bool number = error == std::errc() && end == digits.data() + digits.size();
        if (!number || length > prefix.length) {
            const bool mask = prefix.family == Family::ipv4 && digits.contains('.');
            return std::unexpected(Complaint{
                .words = std::format(
                    "{} has no prefix length from 0 to {}", in_quotes(text), prefix.length
                ),
                .hint = mask ? "write the length of the mask: 255.255.255.0 is 24" : "",
            });
        }
        prefix.length = static_cast<std::uint8_t>(length);
    }
    if (clear_host_bits(prefix)) {
        return std::unexpected(Complaint{
            .words = in_quotes(text) + " has host bits set",
            .hint = "use " + format_prefix(prefix),
        });
    }
    if (is_mapped(prefix)) {
        return std::unexpected(mapped_complaint(text, prefix));
    }
    return prefix;
}

void append_prefix(std::string& out, const Prefix& prefix) {
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    const int family = prefix.family == Family::ipv4 ? AF_INET : AF_INET6;
    const bool brackets = prefix.port && prefix.family == Family::ipv6;
    out += brackets ? "[" : "";
    out += inet_ntop(family, prefix.address.data(), buffer.data(), buffer.size());
    out += brackets ? "]" : "";
    if (prefix.port) {
        out += ':';
        out += std::to_string(*prefix.port);
    }
    if (prefix.length != bits_of(prefix.family)) {
        out += '/';
        out += std::to_string(prefix.length);
    }
}

std::string format_prefix(const Prefix& prefix) {
    std::string out;
    append_prefix(out, prefix);
    return out;
}

} // namespace zsync::packet
