#include "tests/packet/filter_fixture.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/processor.hpp"

#include <zsync/packet/limits.hpp>
#include <zsync/packet/meta.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <format>
#include <iostream>
#include <thread>
#include <unistd.h>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

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
    FilterOptions on_loopback = options_for("lo");
    Filter filter = must(Filter::attach(on_loopback, drop_source("10.1.0.0/16")));
    EXPECT_EQ(filter.mode(), XdpMode::generic);
    must(filter.detach());
    on_loopback.mode = AttachMode::native;
    const auto refused = Filter::attach(on_loopback, drop_source("10.1.0.0/16"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::mode_unavailable));
    EXPECT_TRUE(Filter::list_pinned(lab_.bpf_dir()).empty());
}

TEST_F(FilterTest, generic_mode_where_asked_for) {
    const Filter filter = must(
        Filter::attach(options_for(veth_.name(), AttachMode::generic), drop_source("10.1.0.0/16"))
    );
    EXPECT_EQ(filter.mode(), XdpMode::generic);
    EXPECT_EQ(must(interface_facts(veth_.name())).xdp_mode, XdpMode::generic);
    FrameSender(veth_.peer()).send(udp_from(0x0a010001));
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
}

TEST_F(FilterTest, arp_passes_and_malformed_frames_get_their_verdict) {
    RuleSet rules;
    rules.default_verdict = Verdict::drop;
    rules.malformed_verdict = Verdict::pass;
    add_rule(rules, Verdict::drop, "drop");
    Filter filter = must(Filter::attach(options(), rules));
    const FrameSender sender(veth_.peer());
    sender.send(ethernet(0x0806) + zeros(46));
    sender.send(ethernet(0x0800) + ipv4({.version_and_words = 0x44}, zeros(26)));
    const InterfaceStats stats = filter.stats().value();
    EXPECT_EQ(stats.arp.packets, 1U);
    EXPECT_EQ(stats.malformed.packets, 1U);
    EXPECT_EQ(stats.passed.packets, 2U);
    for (const auto& reason : stats.malformed_by) {
        EXPECT_EQ(reason.packets, reason.name == "ipv4_header_length" ? 1U : 0U) << reason.name;
    }
    rules.malformed_verdict = Verdict::drop;
    must(filter.load(rules));
    sender.send(ethernet(0x0800) + ipv4({.version_and_words = 0x44}, zeros(26)));
    EXPECT_EQ(filter.stats()->dropped.packets, 1U);
}

TEST_F(FilterTest, an_interface_with_a_dot_in_its_name) {
    const Veth dotted("zt2.42", "zt3");
    {
        const Filter filter =
            must(Filter::attach(options_for("zt2.42"), drop_source("10.1.0.0/16")));
    }
    EXPECT_EQ(Filter::list_pinned(lab_.bpf_dir()), std::vector<std::string>{"zt2.42"});
    EXPECT_EQ(must(Filter::adopt(options_for("zt2.42"))).ifname(), "zt2.42");
}

TEST_F(FilterTest, sees_the_tag_of_a_vlan_device_when_it_is_not_offloaded) {
    if (std::system("ip link add link zt1 name zt1.42 type vlan id 42 2>/dev/null") != 0) {
        GTEST_SKIP() << "this kernel has no VLAN devices; vm.packet-kernel runs this";
    }
    // With the offload on, a veth hands the tag over beside the frame, where no XDP program looks.
    run("ethtool -K zt1 txvlan off && ip link set zt1.42 addrgenmode none arp off multicast off up"
    );
    RuleSet rules;
    add_rule(rules, Verdict::drop, "drop vlan 42").vlan = 42;
    const Filter filter = must(Filter::attach(options(), rules));
    FrameSender("zt1.42").send(udp_from(0x0a010001));
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
}

TEST_F(FilterTest, counts_are_exact_on_all_cpus) {
    const Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    const Fd program = live_program(filter, lab_.bpf_dir());
    constexpr std::uint32_t runs = 200'000;
    const int cpus = libbpf_num_possible_cpus();
    std::vector<std::jthread> threads;
    for (int cpu = 0; cpu < cpus; ++cpu) {
        threads.emplace_back([&, cpu] {
            stay_on(static_cast<unsigned>(cpu));
            test_run(program.get(), udp_from(0x0a010001), runs);
        });
    }
    threads.clear();
    const std::uint64_t packets = std::uint64_t{runs} * static_cast<std::uint64_t>(cpus);
    const RuleCount all{packets, packets * udp_from(0).size()};
    EXPECT_EQ(filter.rule_counts()->front(), all);
    EXPECT_EQ(filter.stats()->dropped, all);
    EXPECT_EQ(*filter.default_count(), RuleCount{});
}

TEST_F(FilterTest, a_rule_that_is_new_starts_at_zero_in_a_slot_that_was_used_before) {
    const auto rules_named = [](int generation) {
        RuleSet rules;
        for (std::uint32_t i = 0; i < limits::rules_max; ++i) {
            add_rule(rules, Verdict::drop, std::format("drop {} {}", generation, i));
        }
        return rules;
    };
    Filter filter = must(Filter::attach(options(), rules_named(0)));
    const FrameSender sender(veth_.peer());
    for (int generation = 1; generation < 5; ++generation) {
        sender.send(udp_from(0x0a010001));
        EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
        must(filter.load(rules_named(generation)));
        EXPECT_EQ(*filter.rule_counts(), std::vector<RuleCount>(limits::rules_max));
        if (generation == 2) {
            filter = must(Filter::adopt(options()));
        }
    }
}

TEST_F(FilterTest, rules_with_equal_texts_are_told_apart_by_their_order) {
    RuleSet rules = drop_source("10.1.0.0/16");
    rules.rules.push_back(rules.rules.front());
    Filter filter = must(Filter::attach(options(), rules));
    FrameSender(veth_.peer()).send(udp_from(0x0a010001));
    EXPECT_EQ(must(filter.load(rules)).kept, 2U);
    EXPECT_EQ(filter.rule_counts()->at(0).packets, 1U);
    EXPECT_EQ(filter.rule_counts()->at(1).packets, 0U);
}

TEST_F(FilterTest, under_traffic_every_packet_meets_all_of_the_old_or_all_of_the_new_rules) {
    const TwoRuleSets sets = rule_sets_that_drop_all();
    Filter filter = must(Filter::attach(options(), sets.halves));
    {
        const LiveSource source(veth_.peer());
        const LiveSource another(veth_.peer());
        const LiveStream stream(source, 0);
        const LiveStream beside(another, std::min(libbpf_num_possible_cpus(), 2) - 1);
        swap_under_traffic(
            "in",
            1000,
            [&](int n) { must(filter.load(n % 2 == 0 ? sets.quarters : sets.halves)); },
            [&] { return filter.stats()->dropped.packets; }
        );
    }
    EXPECT_EQ(filter.stats()->passed.packets, 0U);
    EXPECT_EQ(filter.default_count()->packets, 0U);
}

TEST_F(FilterTest, follows_a_device_that_is_renamed) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    EXPECT_EQ(must(filter.whereabouts()).state, Whereabouts::State::here);
    run("ip link set zt0 down && ip link set zt0 name zt9 && ip link set zt9 up");
    const Whereabouts where = must(filter.whereabouts());
    EXPECT_EQ(where.state, Whereabouts::State::renamed);
    EXPECT_EQ(where.name, "zt9");
    must(filter.rename("zt9"));
    EXPECT_EQ(Filter::list_pinned(lab_.bpf_dir()), std::vector<std::string>{"zt9"});
    const Filter adopted = must(Filter::adopt(options_for("zt9")));
    FrameSender(veth_.peer()).send(udp_from(0x0a010001));
    EXPECT_EQ(adopted.rule_counts()->front().packets, 1U);
}

TEST_F(FilterTest, says_when_its_device_moved_to_another_namespace_and_goes_on_matching) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    const OtherNamespace other;
    other.take("zt0");
    EXPECT_EQ(must(filter.whereabouts()).state, Whereabouts::State::moved);
    must(filter.load(drop_source("10.2.0.0/16")));
    FrameSender(veth_.peer()).send(udp_from(0x0a020001));
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
}

TEST_F(FilterTest, gives_a_device_that_has_its_number_nothing_that_was_meant_for_one_that_moved) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    FilterOptions out = options();
    out.hook = HookKind::tcx_out;
    Filter sending = must(Filter::attach(out, drop_source("10.1.0.0/16")));
    const std::uint32_t number = filter.ifindex();
    const OtherNamespace other;
    other.take("zt0");
    run(std::format("ip link add zt2 index {} type veth peer name zt3", number));
    EXPECT_EQ(must(sending.whereabouts()).state, Whereabouts::State::moved);
    const auto refused = [](const auto& outcome) {
        ASSERT_FALSE(outcome);
        EXPECT_EQ(outcome.error().error, Error(PacketError::mode_unavailable));
        EXPECT_TRUE(outcome.error().message().contains("zt0 is in another network namespace"))
            << outcome.error().message();
    };
    filter.count_flows(true);
    refused(filter.load(drop_source("10.2.0.0/16")));
    filter.count_flows(false);
    RuleSet shape;
    shape.shape = {
        .rate = 1'000'000,
        .horizon_ms = 100,
        .classes = {{.name = "default", .guarantee = 0, .max = 1'000'000}}
    };
    refused(sending.load(shape));
    RuleSet marks = drop_source("10.1.0.0/16");
    marks.rules[0].actions.mark = 1;
    refused(filter.load(marks));
    EXPECT_EQ(output_of("bpftool net show dev zt2 | grep -c zsync"), "0\n");
    must(filter.load(drop_source("10.2.0.0/16")));
    must(sending.detach());
    must(filter.detach());
    run("ip link del zt2");
}

TEST_F(FilterTest, asks_the_device_what_an_older_record_does_not_say_of_its_packets) {
    const Tun tun("ztun");
    const FilterOptions of_tun = options_for("ztun", AttachMode::generic);
    const Pins pins(lab_.bpf_dir(), "ztun", {});
    const std::uint32_t id = must(Filter::attach(of_tun, drop_source("10.1.0.0/16"))).program_id();
    {
        auto pinned = pins.open(id, "meta");
        ASSERT_TRUE(pinned);
        Meta meta = must(read_meta_map(*pinned));
        EXPECT_EQ(meta.starts_at_network, true);
        meta.starts_at_network.reset();
        std::filesystem::remove(std::format("{}/g{}/meta", pins.directory(), id));
        must(pins.pin(id, "meta", must(create_meta_map(meta))));
    }
    EXPECT_TRUE(must(Filter::adopt(of_tun)).starts_at_network());
    const OtherNamespace other;
    other.take("ztun");
    Filter filter = must(Filter::adopt(of_tun));
    const auto refused = filter.load(drop_source("10.2.0.0/16"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(
        refused.error().message(),
        "ztun is in another network namespace, and the version of zsync that attached its filter "
        "did not write down whether its packets have an Ethernet header; bring it back and load "
        "once, or detach it and attach it there"
    );
    const Frame packet = ipv4({.source = 0x0a010001}, udp(1, 2, 20));
    tun.receive(packet);
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U); // the rules that it has go on
    other.give_back("ztun");
    run("ip link set ztun up");
    must(filter.load(drop_source("10.1.0.0/17")));
    other.take("ztun"); // by now it is written down
    Filter again = must(Filter::adopt(of_tun));
    must(again.load(drop_source("10.1.0.0/18")));
    tun.receive(packet);
    EXPECT_EQ(again.rule_counts()->front().packets, 1U);
    must(again.detach());
}

TEST_F(FilterTest, says_when_its_device_is_gone_and_leaves_no_pins) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    run("ip link del zt0");
    EXPECT_EQ(must(filter.whereabouts()).state, Whereabouts::State::gone);
    const auto refused = filter.load(RuleSet{});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::interface_gone));
    EXPECT_EQ(Filter::adopt(options()).error().error, Error(PacketError::interface_gone));
    EXPECT_TRUE(Filter::list_pinned(lab_.bpf_dir()).empty());
    EXPECT_EQ(Filter::adopt(options()).error().error, Error(PacketError::not_attached));
}

TEST_F(FilterTest, attaches_to_a_new_device_over_the_pins_of_one_that_is_gone) {
    {
        const Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    }
    run("ip link del zt0");
    const Veth again;
    const Filter filter = must(Filter::attach(options(), drop_source("10.2.0.0/16")));
    EXPECT_EQ(filter.live_rules().front().text, "drop from 10.2.0.0/16");
}
