// What tests of attached filters share: a lab, a veth pair, and pins that go away with the test.
#pragma once

#include "tests/packet/lab.hpp"
#include "tests/packet/rule_maker.hpp"

#include <zsync/packet/error.hpp>
#include <zsync/packet/filter.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <format>
#include <initializer_list>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
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

/// Two rule sets of which each alone drops everything from 10.0.0.0/8, and half of one with half of
/// the other would not.
struct TwoRuleSets {
    RuleSet halves;
    RuleSet quarters;
};

inline TwoRuleSets rule_sets_that_drop_all() {
    const auto dropping = [](std::initializer_list<const char*> prefixes) {
        RuleSet rules;
        for (const char* text : prefixes) {
            const std::uint32_t set = add_set(rules, addresses({text}));
            add_rule(rules, Verdict::drop, std::string("drop from ") + text).from = set;
        }
        return rules;
    };
    return {
        .halves = dropping({"10.0.0.0/9", "10.128.0.0/9"}),
        .quarters = dropping({"10.64.0.0/10", "10.192.0.0/10", "10.0.0.0/10", "10.128.0.0/10"}),
    };
}

/// Changes rule sets under traffic: `swap(n)`, and then waits until a thousand packets or more have
/// met what `swap` left, by `dropped()`. Prints how many a second there were.
template <class Swap, class Dropped>
void swap_under_traffic(std::string_view hook, int swaps, Swap swap, Dropped dropped) {
    constexpr std::uint64_t packets_a_swap = 1000;
    constexpr std::chrono::seconds patience{20};
    using Clock = std::chrono::steady_clock;
    // Whoever makes the traffic takes all of the processors that it gets.
    ASSERT_EQ(setpriority(PRIO_PROCESS, 0, -20), 0);
    const auto begin = Clock::now();
    const std::uint64_t first = dropped();
    for (int n = 0; n < swaps; ++n) {
        const std::uint64_t before = dropped();
        swap(n);
        for (const auto deadline = Clock::now() + patience; dropped() < before + packets_a_swap;) {
            ASSERT_LT(Clock::now(), deadline) << "no thousand packets at swap " << n;
            std::this_thread::yield();
        }
    }
    const std::chrono::duration<double> taken = Clock::now() - begin;
    const std::uint64_t packets = dropped() - first;
    ASSERT_EQ(setpriority(PRIO_PROCESS, 0, 0), 0);
    EXPECT_GE(packets, static_cast<std::uint64_t>(swaps) * packets_a_swap);
    std::cout << std::format(
        "{}: {} swaps under {} packets, {:.0f} a second\n",
        hook,
        swaps,
        packets,
        static_cast<double>(packets) / taken.count()
    );
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
