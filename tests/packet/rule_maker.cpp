#include "tests/packet/rule_maker.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace zsync::packet::test {

Prefix prefix(std::string_view text) {
    const std::size_t slash = text.find('/');
    const std::string address(text.substr(0, slash));
    Prefix result;
    result.family = address.contains(':') ? Family::ipv6 : Family::ipv4;
    const bool is_ipv4 = result.family == Family::ipv4;
    if (inet_pton(is_ipv4 ? AF_INET : AF_INET6, address.c_str(), result.address.data()) != 1) {
        throw std::invalid_argument(address);
    }
    const int whole = is_ipv4 ? 32 : 128;
    result.length = static_cast<std::uint8_t>(
        slash == std::string_view::npos ? whole : std::stoi(std::string(text.substr(slash + 1)))
    );
    return result;
}

AddressSet addresses(std::initializer_list<std::string_view> texts) {
    AddressSet set;
    for (const std::string_view text : texts) {
        set.push_back(prefix(text));
    }
    std::ranges::sort(set);
    return set;
}

std::uint32_t add_set(RuleSet& rules, AddressSet set) {
    rules.address_sets.push_back(std::move(set));
    return static_cast<std::uint32_t>(rules.address_sets.size() - 1);
}

Rule& add_rule(RuleSet& rules, Verdict verdict, std::string_view text) {
    Rule& rule = rules.rules.emplace_back();
    rule.verdict = verdict;
    rule.text = text;
    return rule;
}

} // namespace zsync::packet::test
