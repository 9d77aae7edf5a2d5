// What tests of attached filters share: a lab, a veth pair, and pins that go away with the test.
#pragma once

#include "tests/packet/lab.hpp"
#include "tests/packet/rule_maker.hpp"

#include <zsync/packet/error.hpp>
#include <zsync/packet/filter.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <type_traits>

namespace zsync::packet::test {

class FilterTest : public ::testing::Test {
protected:
    FilterTest() : lab_(Lab::enter()) {}

    ~FilterTest() override {
        for (const std::string& name : Filter::list_pinned(lab_.bpf_dir())) {
            if (auto left = Filter::adopt(options_for(name))) {
                (void)left->detach();
            }
        }
    }

    [[nodiscard]] FilterOptions
    options_for(const std::string& ifname, AttachMode mode = AttachMode::automatic) const {
        return {.ifname = ifname, .mode = mode, .bpf_dir = lab_.bpf_dir(), .on_step = {}};
    }
    [[nodiscard]] FilterOptions options() const { return options_for(veth_.name()); }

    const Lab& lab_;
    Veth veth_;
};

/// `drop from PREFIX`, one rule.
inline RuleSet drop_source(std::string_view text) {
    RuleSet rules;
    const std::uint32_t set = add_set(rules, addresses({text}));
    add_rule(rules, Verdict::drop, std::string("drop from ") + std::string(text)).from = set;
    return rules;
}

inline Frame udp_from(std::uint32_t source) {
    return ethernet(0x0800) + ipv4({.source = source}, udp(1, 2, 20));
}

/// The value, or an exception that ends the test with the fault's words.
template <class T> T must(Outcome<T> outcome) {
    if (!outcome) {
        throw std::runtime_error(outcome.error().message());
    }
    if constexpr (!std::is_void_v<T>) {
        return *std::move(outcome);
    }
}

} // namespace zsync::packet::test
