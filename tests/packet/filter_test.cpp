#include "tests/packet/lab.hpp"
#include "tests/packet/rule_maker.hpp"

#include <zsync/packet/error.hpp>
#include <zsync/packet/filter.hpp>

#include <gtest/gtest.h>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

class FilterTest : public ::testing::Test {
protected:
    FilterTest() : lab_(Lab::enter()), veth_() {}

    ~FilterTest() override {
        for (const std::string& name : Filter::list_pinned(lab_.bpf_dir())) {
            if (auto left = Filter::adopt({.ifname = name, .bpf_dir = lab_.bpf_dir()})) {
                (void)left->detach();
            }
        }
    }

    FilterOptions options(AttachMode mode = AttachMode::automatic) const {
        return {.ifname = veth_.name(), .mode = mode, .bpf_dir = lab_.bpf_dir(), .on_step = {}};
    }

    const Lab& lab_;
    Veth veth_;
};

RuleSet drop_source(std::string_view text) {
    RuleSet rules;
    const std::uint32_t set = add_set(rules, addresses({text}));
    add_rule(rules, Verdict::drop, std::string("drop from ") + std::string(text)).from = set;
    return rules;
}

Frame udp_from(std::uint32_t source) {
    return ethernet(0x0800) + ipv4({.source = source}, udp(1, 2, 20));
}

template <class T> T must(Outcome<T> outcome) {
    if (!outcome) {
        throw std::runtime_error(outcome.error().message());
    }
    if constexpr (!std::is_void_v<T>) {
        return *std::move(outcome);
    }
}

} // namespace

TEST_F(FilterTest, drops_what_a_rule_says_and_counts_it) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    EXPECT_EQ(filter.mode(), XdpMode::native);
    const FrameSender sender(veth_.peer());
    for (int i = 0; i < 10; ++i) {
        sender.send(udp_from(0x0a010000 + static_cast<std::uint32_t>(i)));
    }
    for (int i = 0; i < 7; ++i) {
        sender.send(udp_from(0x0a020000));
    }
    const auto bytes = udp_from(0).size();
    EXPECT_EQ(filter.rule_counts()->front(), (RuleCount{10, 10 * bytes}));
    EXPECT_EQ(*filter.default_count(), (RuleCount{7, 7 * bytes}));
    EXPECT_EQ(filter.stats()->dropped, (RuleCount{10, 10 * bytes}));
    EXPECT_EQ(filter.stats()->passed, (RuleCount{7, 7 * bytes}));
    must(filter.detach());
}

TEST_F(FilterTest, goes_on_matching_without_its_owner_and_is_adopted_with_its_counts) {
    const FrameSender sender(veth_.peer());
    {
        Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
        sender.send(udp_from(0x0a010001));
    }
    sender.send(udp_from(0x0a010001));
    EXPECT_EQ(Filter::list_pinned(lab_.bpf_dir()), std::vector{veth_.name()});
    Filter filter = must(Filter::adopt(options()));
    EXPECT_FALSE(filter.needs_upgrade());
    EXPECT_EQ(filter.mode(), XdpMode::native);
    EXPECT_EQ(filter.live_rules().front().text, "drop from 10.1.0.0/16");
    EXPECT_EQ(filter.rule_counts()->front().packets, 2U);
    must(filter.detach());
    sender.send(udp_from(0x0a010001));
    EXPECT_EQ(filter.rule_counts()->front().packets, 2U);
    EXPECT_TRUE(Filter::list_pinned(lab_.bpf_dir()).empty());
    EXPECT_EQ(Filter::adopt(options()).error().error, Error(PacketError::not_attached));
}

TEST_F(FilterTest, load_keeps_the_counts_of_rules_that_stay) {
    const FrameSender sender(veth_.peer());
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    sender.send(udp_from(0x0a010001));

    RuleSet next = drop_source("10.3.0.0/16");
    const std::uint32_t old_set = add_set(next, addresses({"10.1.0.0/16"}));
    add_rule(next, Verdict::drop, "drop from 10.1.0.0/16").from = old_set;
    const LoadReport report = must(filter.load(next));
    EXPECT_EQ(report.kept, 1U);
    sender.send(udp_from(0x0a010001));
    sender.send(udp_from(0x0a030001));
    EXPECT_EQ(filter.rule_counts()->at(0).packets, 1U);
    EXPECT_EQ(filter.rule_counts()->at(1).packets, 2U);
}

TEST_F(FilterTest, generic_mode_on_loopback) {
    FilterOptions on_loopback = options();
    on_loopback.ifname = "lo";
    Filter filter = must(Filter::attach(on_loopback, drop_source("10.1.0.0/16")));
    EXPECT_EQ(filter.mode(), XdpMode::generic);
    must(filter.detach());
    on_loopback.mode = AttachMode::native;
    const auto refused = Filter::attach(on_loopback, drop_source("10.1.0.0/16"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::mode_unavailable));
    EXPECT_TRUE(Filter::list_pinned(lab_.bpf_dir()).empty());
}
