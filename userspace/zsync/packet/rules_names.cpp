#include <zsync/packet/address_text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_names.hpp>

#include <netinet/in.h>

#include <algorithm>
#include <utility>

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

template <class Table> auto number_of(const Table& table, std::string_view word) {
    using Number = decltype(table.front().number);
    const auto found = std::ranges::find(table, word, [](const auto& row) { return row.word; });
    return found != table.end() ? std::optional<Number>(found->number) : std::nullopt;
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
    constexpr std::array<std::pair<std::string_view, std::string_view>, 14> words{{
        {"src", "the source is called from"},
        {"saddr", "the source is called from"},
        {"source", "the source is called from"},
        {"dst", "the destination is called to"},
        {"daddr", "the destination is called to"},
        {"destination", "the destination is called to"},
        {"port", "a port is called sport or dport"},
        {"tcp", "write proto tcp"},
        {"udp", "write proto udp"},
        {"icmp", "write proto icmp"},
        {"icmpv6", "write proto icmpv6"},
        {"sctp", "write proto sctp"},
        {"fragments", "did you mean fragment"},
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

std::string canonical_text(const Rule& rule, const OperandTexts& operands) {
    std::string out(verdict_word(rule.verdict));
    const auto condition = [&](Condition which, std::string_view operand) {
        out += ' ';
        out += condition_words[std::to_underlying(which)];
        out += operand.empty() ? "" : " ";
        out += operand;
    };
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
    if (rule.vlan) {
        condition(Condition::vlan, std::to_string(*rule.vlan));
    }
    if (rule.fragment) {
        condition(Condition::fragment, {});
    }
    return out;
}

} // namespace zsync::packet
