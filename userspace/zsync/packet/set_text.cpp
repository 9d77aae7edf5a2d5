#include <zsync/core/result.hpp>
#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_lexer.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/set_text.hpp>

#include <algorithm>
#include <format>

namespace zsync::packet {
namespace {

constexpr unsigned port_max = 65535;
constexpr std::size_t raw_ports_max = std::size_t{2} * 65536;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool looks_like_ports(std::string_view text) {
    return is_digit(text.front()) &&
           std::ranges::all_of(text, [](char c) { return is_digit(c) || c == '-'; });
}

bool looks_like_address(std::string_view text) {
    return text.contains('.') || text.contains(':') || text.contains('/') || text.contains('[');
}

/// A decimal number, anything over the largest port as just over it; nothing if it is no number.
std::optional<unsigned> parse_number(std::string_view text) {
    if (text.empty()) {
        return std::nullopt;
    }
    unsigned value = 0;
    for (const char c : text) {
        if (!is_digit(c)) {
            return std::nullopt;
        }
        value = std::min(value * 10 + static_cast<unsigned>(c - '0'), port_max + 1);
    }
    return value;
}

Complaint no_port(std::string_view text) {
    Complaint complaint{.words = in_quotes(text) + " is no port or range of ports", .hint = ""};
    if (const auto port = known_port(lower(text))) {
        complaint.hint = std::format("{} is port {}", lower(text), *port);
    } else if (text.starts_with('!')) {
        complaint.hint = "there is no negation: put a rule with the other verdict above";
    } else if (text == "any" || text == "all") {
        complaint.hint = "leave the condition out to match every port";
    } else if (text.contains(':')) {
        complaint.hint = "a range is written 6000-6100";
    }
    return complaint;
}

/// What stands in a line of a set file, without white space and comment.
std::string_view content_of(std::string_view line) {
    constexpr std::string_view blanks = " \t\r";
    line = line.substr(0, line.find('#'));
    const std::size_t start = line.find_first_not_of(blanks);
    if (start == std::string_view::npos) {
        return {};
    }
    return line.substr(start, line.find_last_not_of(blanks) + 1 - start);
}

Complaint no_prefix_in_file(std::string_view content) {
    Complaint complaint{.words = "the line is no prefix", .hint = "one prefix a line"};
    if (content.contains(';')) {
        complaint.hint = "comments start with #";
    } else if (content.contains(',')) {
        complaint.hint = "one prefix a line, without commas";
    } else if (content.contains('\0')) {
        complaint = {.words = "a NUL byte: this is no text file", .hint = ""};
    }
    return complaint;
}

std::expected<void, Complaint> add_line(std::string_view content, SetBuilder& builder) {
    const bool address = content.find_first_not_of("0123456789abcdefABCDEF.:/[]") == content.npos;
    if (!address || looks_like_ports(content)) {
        return std::unexpected(no_prefix_in_file(content));
    }
    return builder.add(content);
}

} // namespace

std::expected<PortRange, Complaint> parse_port_range(std::string_view text) {
    const std::size_t dash = text.find('-');
    const auto first = parse_number(text.substr(0, dash));
    const auto last = dash == text.npos ? first : parse_number(text.substr(dash + 1));
    if (!first || !last) {
        return std::unexpected(no_port(text));
    }
    if (*first > port_max || *last > port_max) {
        return std::unexpected(Complaint{
            .words = in_quotes(text) + " is over the largest port",
            .hint = "ports are 0 to 65535",
        });
    }
    if (*first > *last) {
        return std::unexpected(Complaint{
            .words = in_quotes(text) + " ends before it starts",
            .hint = std::format("write {}-{}", *last, *first),
        });
    }
    return PortRange{
        .first = static_cast<std::uint16_t>(*first), .last = static_cast<std::uint16_t>(*last)
    };
}

void merge_ranges(std::vector<PortRange>& ranges) {
    std::ranges::sort(ranges);
    std::size_t merged = 0;
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        if (ranges[i].first <= ranges[merged].last + 1) {
            ranges[merged].last = std::max(ranges[merged].last, ranges[i].last);
        } else {
            ranges[++merged] = ranges[i];
        }
    }
    ranges.resize(std::min(ranges.size(), merged + 1));
}

Complaint SetBuilder::mixed(std::string_view element) const {
    const bool wants_ports = kind_ == ElementKind::port;
    const std::string_view is = wants_ports ? "an address" : "a port";
    if (wanted_) {
        return {
            .words = std::format("{} is {}", in_quotes(element), is),
            .hint = wants_ports ? "sport and dport take ports" : "from and to take addresses",
        };
    }
    return {
        .words = std::format(
            "{} is {} in a set of {}", in_quotes(element), is, wants_ports ? "ports" : "addresses"
        ),
        .hint = "make two sets",
    };
}

std::expected<void, Complaint> SetBuilder::add(std::string_view element) {
    const bool ports = looks_like_ports(element);
    const bool other_kind = ports ? kind_ == ElementKind::address
                                  : kind_ == ElementKind::port && looks_like_address(element);
    if (other_kind) {
        return std::unexpected(mixed(element));
    }
    if (ports || kind_ == ElementKind::port) {
        contents_.ports.push_back(ZTRY(parse_port_range(element)));
        kind_ = ElementKind::port;
    } else {
        contents_.addresses.push_back(ZTRY(parse_address(element)));
        kind_ = ElementKind::address;
    }
    const bool full = contents_.addresses.size() > std::size_t{2} * limits::prefixes_max ||
                      contents_.ports.size() > raw_ports_max;
    if (full) {
        compact();
    }
    return {};
}

void SetBuilder::compact() {
    auto& addresses = contents_.addresses;
    std::ranges::sort(addresses);
    addresses.erase(std::ranges::unique(addresses).begin(), addresses.end());
    if (addresses.size() > limits::prefixes_max) {
        over_limit_ = true;
        addresses.clear();
    }
    merge_ranges(contents_.ports);
}

std::expected<SetContents, Complaint> SetBuilder::finish() {
    compact();
    if (over_limit_) {
        return std::unexpected(Complaint{
            .words = std::format("more than {} prefixes", limits::prefixes_max), .hint = ""
        });
    }
    if (contents_.ports.size() > limits::port_ranges_max) {
        return std::unexpected(Complaint{
            .words = std::format(
                "{} port ranges, and at most {} fit",
                contents_.ports.size(),
                limits::port_ranges_max
            ),
            .hint = "split the rule",
        });
    }
    return std::move(contents_);
}

void parse_set_file(std::string_view text, SetBuilder& builder, const SetFileError& error) {
    text.remove_prefix(byte_order_mark_bytes(text));
    for (std::uint32_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.size() > limits::line_bytes_max) {
            const auto column = static_cast<std::uint32_t>(limits::line_bytes_max + 1);
            const Complaint complaint{
                .words = std::format("the line is over {} bytes long", limits::line_bytes_max),
                .hint = "one prefix a line",
            };
            if (!error(number, column, complaint)) {
                return;
            }
            continue;
        }
        const std::string_view content = content_of(line);
        if (content.empty()) {
            continue;
        }
        if (const auto added = add_line(content, builder); !added) {
            // White space before the content is ASCII, so bytes are characters.
            const auto column = static_cast<std::uint32_t>(content.data() - line.data() + 1);
            if (!error(number, column, added.error())) {
                return;
            }
        }
    }
}

} // namespace zsync::packet
