#include <zsync/core/text.hpp>
#include <zsync/packet/address_text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>

#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <format>
#include <utility>
#include <vector>

namespace zsync::packet {
namespace {

template <class Number> struct Named {
    std::string_view word;
    Number number;
};

constexpr std::array protocols{
    Named<std::uint8_t>{.word = "tcp", .number = IPPROTO_TCP},
    Named<std::uint8_t>{.word = "udp", .number = IPPROTO_UDP},
    Named<std::uint8_t>{.word = "icmp", .number = IPPROTO_ICMP},
    Named<std::uint8_t>{.word = "icmpv6", .number = IPPROTO_ICMPV6},
    Named<std::uint8_t>{.word = "sctp", .number = IPPROTO_SCTP},
};

constexpr std::array other_protocols{
    Named<std::uint8_t>{.word = "igmp", .number = 2},
    Named<std::uint8_t>{.word = "ipip", .number = 4},
    Named<std::uint8_t>{.word = "dccp", .number = 33},
    Named<std::uint8_t>{.word = "gre", .number = 47},
    Named<std::uint8_t>{.word = "esp", .number = 50},
    Named<std::uint8_t>{.word = "ah", .number = 51},
    Named<std::uint8_t>{.word = "ospf", .number = 89},
    Named<std::uint8_t>{.word = "pim", .number = 103},
    Named<std::uint8_t>{.word = "vrrp", .number = 112},
    Named<std::uint8_t>{.word = "udplite", .number = 136},
    Named<std::uint8_t>{.word = "icmp6", .number = 58},
    Named<std::uint8_t>{.word = "ipv6-icmp", .number = 58},
};

constexpr std::array services{
    Named<std::uint16_t>{.word = "ftp", .number = 21},
    Named<std::uint16_t>{.word = "ssh", .number = 22},
    Named<std::uint16_t>{.word = "telnet", .number = 23},
    Named<std::uint16_t>{.word = "smtp", .number = 25},
    Named<std::uint16_t>{.word = "domain", .number = 53},
    Named<std::uint16_t>{.word = "dns", .number = 53},
    Named<std::uint16_t>{.word = "http", .number = 80},
    Named<std::uint16_t>{.word = "ntp", .number = 123},
    Named<std::uint16_t>{.word = "snmp", .number = 161},
    Named<std::uint16_t>{.word = "https", .number = 443},
    Named<std::uint16_t>{.word = "mysql", .number = 3306},
    Named<std::uint16_t>{.word = "postgresql", .number = 5432},
};

constexpr std::array icmp_types{
    Named<std::uint8_t>{.word = "echo-reply", .number = 0},
    Named<std::uint8_t>{.word = "destination-unreachable", .number = 3},
    Named<std::uint8_t>{.word = "redirect", .number = 5},
    Named<std::uint8_t>{.word = "echo-request", .number = 8},
    Named<std::uint8_t>{.word = "router-advertisement", .number = 9},
    Named<std::uint8_t>{.word = "router-solicitation", .number = 10},
    Named<std::uint8_t>{.word = "time-exceeded", .number = 11},
    Named<std::uint8_t>{.word = "parameter-problem", .number = 12},
    Named<std::uint8_t>{.word = "timestamp-request", .number = 13},
    Named<std::uint8_t>{.word = "timestamp-reply", .number = 14},
};

constexpr std::array icmpv6_types{
    Named<std::uint8_t>{.word = "destination-unreachable", .number = 1},
    Named<std::uint8_t>{.word = "packet-too-big", .number = 2},
    Named<std::uint8_t>{.word = "time-exceeded", .number = 3},
    Named<std::uint8_t>{.word = "parameter-problem", .number = 4},
    Named<std::uint8_t>{.word = "echo-request", .number = 128},
    Named<std::uint8_t>{.word = "echo-reply", .number = 129},
    Named<std::uint8_t>{.word = "router-solicitation", .number = 133},
    Named<std::uint8_t>{.word = "router-advertisement", .number = 134},
    Named<std::uint8_t>{.word = "neighbor-solicitation", .number = 135},
    Named<std::uint8_t>{.word = "neighbor-advertisement", .number = 136},
    Named<std::uint8_t>{.word = "redirect", .number = 137},
};

std::optional<std::uint8_t> byte_of(std::string_view text) {
    std::uint8_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    return whole ? std::optional(value) : std::nullopt;
}

template <class Table> std::string words_like(std::string_view word, const Table& table) {
    std::vector<std::string_view> words;
    words.reserve(table.size());
    for (const auto& row : table) {
        words.push_back(row.word);
    }
    return did_you_mean(word, words);
}

template <class Table> auto number_of(const Table& table, std::string_view word) {
    using Number = decltype(table.front().number);
    const auto found = std::ranges::find(table, word, [](const auto& row) { return row.word; });
    return found != table.end() ? std::optional<Number>(found->number) : std::nullopt;
}

void append_icmp(std::string& out, PortRange range) {
    out += std::to_string(range.first >> 8);
    if (range.first == range.last) {
        out += '/';
        out += std::to_string(range.first & 0xff);
    }
}

template <class List, class Append> std::string format_list(const List& list, Append append) {
    std::string out;
    if (list.size() == 1) {
        append(out, list.front());
        return out;
    }
    out = "{";
    for (const auto& element : list) {
        out += out.size() == 1 ? " " : ", ";
        append(out, element);
    }
    return out + " }";
}

std::string flags_text(TcpFlagsMatch match) {
    std::string out;
    for (std::size_t bit = 0; bit < tcp_flag_words.size(); ++bit) {
        const unsigned flag = 1U << bit;
        if ((match.mask & flag) == 0) {
            continue;
        }
        out += out.empty() ? "" : ",";
        out += (match.value & flag) == 0 ? "!" : "";
        out += tcp_flag_words[bit];
    }
    return out;
}

} // namespace

std::string_view verdict_word(Verdict verdict) {
    return verdict_words[std::to_underlying(verdict)];
}

std::optional<Verdict> verdict_of(std::string_view word) {
    if (word == "pass") {
        return Verdict::pass;
    }
    return word == "drop" ? std::optional(Verdict::drop) : std::nullopt;
}

std::optional<std::uint8_t> protocol_of(std::string_view word) {
    return number_of(protocols, word);
}
std::optional<std::uint8_t> known_protocol(std::string_view word) {
    return number_of(other_protocols, word);
}
std::optional<std::uint16_t> known_port(std::string_view word) { return number_of(services, word); }

std::string_view other_word_for(std::string_view condition) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 15> words{{
        {"src", "the source is called from"},
        {"saddr", "the source is called from"},
        {"source", "the source is called from"},
        {"dst", "the destination is called to"},
        {"daddr", "the destination is called to"},
        {"destination", "the destination is called to"},
        {"port", "a port is called sport or dport"},
        {"tcp", "write proto tcp"},
        {"udp", "write proto udp"},
        {"icmpv6", "write proto icmpv6"},
        {"sctp", "write proto sctp"},
        {"fragments", "did you mean fragment"},
        {"size", "the bytes of an IP packet are its length"},
        {"type", "the type of an ICMP packet is called icmp"},
        {"comment", "a rule's label is called name"},
    }};
    const auto found =
        std::ranges::find(words, condition, [](const auto& row) { return row.first; });
    return found != words.end() ? found->second : std::string_view();
}

std::string protocol_text(std::uint8_t protocol) {
    const auto found = std::ranges::find(protocols, protocol, &Named<std::uint8_t>::number);
    return found != protocols.end() ? std::string(found->word) : std::to_string(protocol);
}

std::expected<PortRange, Complaint> parse_icmp(std::string_view text, std::uint8_t protocol) {
    const std::size_t slash = text.find('/');
    const std::string name = lower(text.substr(0, slash));
    const bool is_icmpv6 = protocol == IPPROTO_ICMPV6;
    const auto known = is_icmpv6 ? number_of(icmpv6_types, name) : number_of(icmp_types, name);
    const auto type = known ? known : byte_of(name);
    if (!type) {
        std::string hint =
            is_icmpv6 ? words_like(name, icmpv6_types) : words_like(name, icmp_types);
        return std::unexpected(Complaint{
            .words = std::format(
                "{} is no type of {}", in_quotes(text.substr(0, slash)), protocol_text(protocol)
            ),
            .hint = hint.empty() ? "a number from 0 to 255, or a name such as echo-request"
                                 : std::move(hint),
        });
    }
    const auto first = static_cast<std::uint16_t>(*type << 8);
    if (slash == std::string_view::npos) {
        return PortRange{.first = first, .last = static_cast<std::uint16_t>(first | 0xff)};
    }
    const auto code = byte_of(text.substr(slash + 1));
    if (!code) {
        return std::unexpected(Complaint{
            .words = in_quotes(text.substr(slash + 1)) + " is no code",
            .hint = "TYPE/CODE, the code a number from 0 to 255",
        });
    }
    const auto number = static_cast<std::uint16_t>(first | *code);
    return PortRange{.first = number, .last = number};
}

bool is_set_name(std::string_view name) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    constexpr std::string_view others = "0123456789.-";
    return !name.empty() && name.size() <= limits::name_bytes_max && letters.contains(name[0]) &&
           std::ranges::all_of(name, [&](char c) {
               return letters.contains(c) || others.contains(c);
           });
}

bool has_ports(std::uint8_t protocol) {
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

void append_port_range(std::string& out, PortRange range) {
    out += std::to_string(range.first);
    if (range.last != range.first) {
        out += '-';
        out += std::to_string(range.last);
    }
}

std::string format_inline(const AddressSet& addresses) {
    return format_list(addresses, append_prefix);
}

std::string format_inline(const std::vector<PortRange>& ports) {
    return format_list(ports, append_port_range);
}

bool is_cgroup_path(std::string_view path) {
    if (!path.starts_with('/') || path.size() > limits::path_bytes_max) {
        return false;
    }
    path.remove_prefix(1);
    while (!path.empty()) {
        const std::size_t end = std::min(path.find('/'), path.size());
        const std::string_view name = path.substr(0, end);
        if (name.empty() || name == "." || name == ".." || end + 1 == path.size()) {
            return false;
        }
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return true;
}

std::string_view set_reference(std::string_view text, Condition condition) {
    std::string word(" ");
    word += condition_words[std::to_underlying(condition)];
    word += " @";
    const std::size_t at = text.find(word);
    if (at == std::string_view::npos) {
        return {};
    }
    const std::string_view name = text.substr(at + word.size());
    return name.substr(0, name.find(' '));
}

std::string canonical_text(const Rule& rule, const OperandTexts& operands) {
    std::string out(verdict_word(rule.verdict));
    const auto condition = [&](Condition which, std::string_view operand) {
        out += ' ';
        out += condition_words[std::to_underlying(which)];
        out += operand.empty() ? "" : " ";
        out += operand;
    };
    if (operands.direction == Direction::out) {
        out += " out";
    }
    if (rule.actions.limit) {
        out += ' ';
        out += limit_text(*rule.actions.limit);
    }
    if (rule.actions.mark) {
        out += std::format(" mark {:#x}", *rule.actions.mark);
    }
    if (rule.actions.sample) {
        out += std::format(" sample 1/{}", *rule.actions.sample);
    }
    if (rule.actions.redirect) {
        out += std::format(" redirect {}", *rule.actions.redirect);
    }
    if (rule.actions.challenge) {
        out += " challenge";
    }
    if (rule.actions.shape_class) {
        out += std::format(" class {}", *rule.actions.shape_class);
    }
    if (!operands.from.empty()) {
        condition(Condition::from, operands.from);
    }
    if (!operands.to.empty()) {
        condition(Condition::to, operands.to);
    }
    if (rule.protocol) {
        condition(Condition::proto, protocol_text(*rule.protocol));
    }
    if (!operands.source_ports.empty()) {
        condition(Condition::sport, operands.source_ports);
    }
    if (!operands.destination_ports.empty()) {
        condition(Condition::dport, operands.destination_ports);
    }
    if (rule.tcp_flags) {
        condition(Condition::flags, flags_text(*rule.tcp_flags));
    }
    if (!rule.icmp.empty()) {
        condition(Condition::icmp, format_list(rule.icmp, append_icmp));
    }
    if (!rule.length.empty()) {
        condition(Condition::length, format_list(rule.length, append_port_range));
    }
    if (rule.vlan) {
        condition(Condition::vlan, std::to_string(*rule.vlan));
    }
    if (rule.fragment) {
        condition(Condition::fragment, {});
    }
    if (!rule.interface.empty()) {
        condition(Condition::interface, rule.interface);
    }
    if (!rule.cgroup.empty()) {
        condition(Condition::cgroup, rule.cgroup);
    }
    return out;
}

} // namespace zsync::packet
