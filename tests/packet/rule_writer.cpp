#include "tests/packet/rule_writer.hpp"

#include <zsync/packet/address_text.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/rules.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <format>
#include <iterator>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

namespace zsync::packet::test {
namespace {

constexpr std::array<std::pair<std::uint8_t, std::string_view>, 5> protocol_names{
    {{6, "tcp"}, {17, "udp"}, {1, "icmp"}, {58, "icmpv6"}, {132, "sctp"}}
};
constexpr std::array<std::string_view, 8> flag_names{
    "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"
};

bool carries_ports(std::optional<std::uint8_t> protocol) {
    return protocol == 6 || protocol == 17 || protocol == 132;
}

bool only_ports(const RuleSet& rules, std::optional<std::uint32_t> set) {
    return set && !rules.address_sets[*set].empty() &&
           std::ranges::all_of(rules.address_sets[*set], [](const Prefix& prefix) {
               return prefix.port.has_value();
           });
}

std::set<Family> families(const AddressSet& set) {
    std::set<Family> found;
    std::ranges::transform(set, std::inserter(found, found.end()), &Prefix::family);
    return found.empty() ? std::set{Family::ipv4, Family::ipv6} : found;
}

bool can_meet(const RuleSet& rules, const Rule& rule) {
    if (!rule.from || !rule.to) {
        return true;
    }
    const auto to = families(rules.address_sets[*rule.to]);
    return std::ranges::any_of(families(rules.address_sets[*rule.from]), [&](Family family) {
        return to.contains(family);
    });
}

void make_writable(Rule& rule, const RuleSet& rules, HookKind hook, RandomTraffic& traffic) {
    static constexpr std::array<std::uint8_t, 3> with_ports{6, 17, 132};
    const bool asks_ports = !rule.source_ports.empty() || !rule.destination_ports.empty() ||
                            only_ports(rules, rule.from) || only_ports(rules, rule.to);
    if (asks_ports && !carries_ports(rule.protocol)) {
        rule.protocol = with_ports[traffic.below(with_ports.size())];
    }
    if (rule.tcp_flags && rule.tcp_flags->mask == 0) {
        rule.tcp_flags.reset();
    }
    if (rule.tcp_flags) {
        rule.protocol = 6;
    }
    if (asks_ports || rule.tcp_flags) {
        rule.icmp.clear();
    } else if (!rule.icmp.empty()) {
        rule.protocol = traffic.chance(2) ? 1 : 58;
    }
    if (!can_meet(rules, rule)) {
        rule.to.reset();
    }
    const bool challenges = hook == HookKind::xdp && rule.protocol.value_or(6) == 6;
    rule.actions.challenge = rule.actions.challenge && challenges;
    if (is_of_cgroup(hook)) {
        rule.vlan.reset();
    }
}

class Writer {
public:
    Writer(const RuleSet& rules, HookKind hook, std::string_view cgroup, RandomTraffic& traffic)
        : rules_(rules), hook_(hook), cgroup_(cgroup), traffic_(traffic) {}

    std::string write() {
        text_ += std::format("malformed {}\n", verdict(rules_.malformed_verdict));
        for (std::size_t i = 0; i < rules_.address_sets.size(); ++i) {
            set(i);
        }
        if (is_of_cgroup(hook_)) {
            text_ += std::format("cgroup {} {{\n", cgroup_);
        }
        const std::string_view way = is_out() ? "out" : traffic_.chance(2) ? "in" : "";
        text_ += std::format("default {} {}\n", way, verdict(rules_.default_verdict));
        for (const Rule& one : rules_.rules) {
            rule(one);
        }
        text_ += is_of_cgroup(hook_) ? "}\n" : "";
        return std::move(text_);
    }

private:
    [[nodiscard]] bool is_out() const {
        return hook_ == HookKind::tcx_out || hook_ == HookKind::cgroup_out;
    }
    static std::string_view verdict(Verdict verdict) {
        return verdict == Verdict::pass ? "pass" : "drop";
    }

    template <class List, class Text> std::string list(List elements, Text text) {
        if (elements.size() == 1 && traffic_.chance(2)) {
            return text(elements.front());
        }
        std::string out = "{";
        for (std::size_t i = 0; i < elements.size(); ++i) {
            std::swap(elements[i], elements[i + traffic_.below(elements.size() - i)]);
            out += (i == 0 ? " " : ", ") + text(elements[i]);
        }
        return out + (traffic_.chance(4) ? ", }" : " }");
    }

    void set(std::size_t index) {
        const AddressSet& elements = rules_.address_sets[index];
        text_ += std::format("set s{} {{\n", index);
        for (const Prefix& prefix : elements) {
            text_ += format_prefix(prefix) + (traffic_.chance(8) ? ", # one\n" : ",");
        }
        text_ += "\n}\n";
    }

    static std::string range_text(PortRange range) {
        return range.first == range.last ? std::to_string(range.first)
                                         : std::format("{}-{}", range.first, range.last);
    }

    static std::string icmp_text(PortRange range) {
        return range.first == range.last
                   ? std::format("{}/{}", range.first >> 8, range.first & 0xff)
                   : std::to_string(range.first >> 8);
    }

    std::string protocol(std::uint8_t number) {
        const auto known =
            std::ranges::find(protocol_names, number, [](const auto& row) { return row.first; });
        return known != protocol_names.end() && traffic_.chance(2) ? std::string(known->second)
                                                                   : std::to_string(number);
    }

    static std::string flags(TcpFlagsMatch match) {
        std::string out;
        for (std::size_t bit = 0; bit < flag_names.size(); ++bit) {
            if ((match.mask >> bit & 1) != 0) {
                out += out.empty() ? "" : ",";
                out += (match.value >> bit & 1) != 0 ? "" : "!";
                out += flag_names[bit];
            }
        }
        return out;
    }

    void rule(const Rule& rule) {
        std::vector<std::pair<std::string, std::string>> words; // each with its operand
        const auto add = [&](bool there, std::string_view word, std::string operand) {
            if (there) {
                words.emplace_back(word, std::move(operand));
            }
        };
        add(is_out(), "out", "");
        add(rule.actions.sample.has_value(),
            "sample",
            std::format("1/{}", rule.actions.sample.value_or(0)));
        add(rule.actions.mark.has_value(), "mark", std::to_string(rule.actions.mark.value_or(0)));
        add(rule.actions.challenge, "challenge", "");
        add(rule.from.has_value(), "from", std::format("@s{}", rule.from.value_or(0)));
        add(rule.to.has_value(), "to", std::format("@s{}", rule.to.value_or(0)));
        add(rule.protocol.has_value(), "proto", protocol(rule.protocol.value_or(0)));
        add(!rule.source_ports.empty(), "sport", list(rule.source_ports, range_text));
        add(!rule.destination_ports.empty(), "dport", list(rule.destination_ports, range_text));
        add(rule.tcp_flags.has_value(), "flags", flags(rule.tcp_flags.value_or(TcpFlagsMatch{})));
        add(!rule.icmp.empty(), "icmp", list(rule.icmp, icmp_text));
        add(!rule.length.empty(), "length", list(rule.length, range_text));
        add(rule.vlan.has_value(), "vlan", std::to_string(rule.vlan.value_or(0)));
        add(rule.fragment, "fragment", "");
        add(!rule.interface.empty(), "interface", rule.interface);
        add(!rule.cgroup.empty(), "cgroup", rule.cgroup);
        text_ += verdict(rule.verdict);
        for (std::size_t i = 0; i < words.size(); ++i) {
            std::swap(words[i], words[i + traffic_.below(words.size() - i)]);
            auto& [word, operand] = words[i];
            if (traffic_.chance(8)) {
                std::ranges::transform(word, word.begin(), [](unsigned char c) {
                    return static_cast<char>(std::toupper(c));
                });
            }
            text_ += std::format(" {} {}", word, operand);
        }
        text_ += "\n";
    }

    const RuleSet& rules_;
    HookKind hook_;
    std::string_view cgroup_;
    RandomTraffic& traffic_;
    std::string text_;
};

} // namespace

void make_writable(RuleSet& rules, HookKind hook, RandomTraffic& traffic) {
    for (Rule& rule : rules.rules) {
        make_writable(rule, rules, hook, traffic);
    }
}

std::string
write_rules(const RuleSet& rules, HookKind hook, std::string_view cgroup, RandomTraffic& traffic) {
    return Writer(rules, hook, cgroup, traffic).write();
}

RuleSet
read_back(const RuleSet& rules, HookKind hook, std::string_view cgroup, RandomTraffic& traffic) {
    const std::string text = write_rules(rules, hook, cgroup, traffic);
    auto read = parse_rules(text, "drawn.rules", read_regular_file);
    if (!read) {
        throw std::runtime_error(join_messages(read.error()) + "\n" + text);
    }
    if (hook == HookKind::xdp) {
        return rules_of_hook(*read, 0);
    }
    // A hook without rules that passes everything has none to be found.
    return read->hooks.empty() ? rules : rules_of_hook(*read, 1);
}

} // namespace zsync::packet::test
