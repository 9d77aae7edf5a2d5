// What an interface sends (TCX), with real sockets, all from one rule file.
#include "tests/packet/cgroup_room.hpp"
#include "tests/packet/hooks_fixture.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/rules_parse.hpp"

#include <zsync/packet/hook_filters.hpp>
#include <zsync/packet/hook_rules.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <format>
#include <string>
#include <thread>
#include <vector>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

/// The mark of the next datagram that waits.
std::uint32_t mark_of_next(const Fd& socket) {
    char bytes[8];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(std::uint32_t))];
    iovec room{.iov_base = bytes, .iov_len = sizeof bytes};
    msghdr message{};
    message.msg_iov = &room;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    EXPECT_EQ(recvmsg(socket.get(), &message, MSG_DONTWAIT), 3);
    std::uint32_t mark = 0;
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr) {
        ADD_FAILURE() << "no mark";
        return mark;
    }
    EXPECT_EQ(header->cmsg_type, SO_MARK);
    std::memcpy(&mark, CMSG_DATA(header), sizeof mark);
    return mark;
}

} // namespace

TEST_F(HooksTest, out_drops_what_an_interface_sends_and_counts_it) {
    Filter filter = must(Filter::attach(out(), drop_source("10.1.0.0/16")));
    const Filter received = must(Filter::attach(options_for(veth_.peer()), RuleSet{}));
    const FrameSender sender(veth_.name());
    for (int i = 0; i < 10; ++i) {
        sender.offer(udp_from(0x0a010001));
    }
    for (int i = 0; i < 7; ++i) {
        sender.offer(udp_from(0x0a020001));
    }
    const auto bytes = udp_from(0).size();
    EXPECT_EQ(filter.rule_counts()->front(), (RuleCount{10, 10 * bytes}));
    EXPECT_EQ(filter.stats()->dropped, (RuleCount{10, 10 * bytes}));
    EXPECT_EQ(filter.stats()->passed, (RuleCount{7, 7 * bytes}));
    EXPECT_EQ(received.stats()->passed.packets, 7U);
    must(filter.detach());
    sender.offer(udp_from(0x0a010001));
    EXPECT_EQ(received.stats()->passed.packets, 8U);
}

TEST_F(HooksTest, a_shape_brings_fq_and_takes_it_away_or_says_that_there_is_none) {
    const auto qdisc = [&] { return output_of("tc qdisc show dev " + veth_.name() + " root"); };
    const std::string before = qdisc();
    const RuleSet shape = rules_of_hook(rules_of("shape 10mbit\n"), 1);
    const RuleSet plain = rules_of_hook(rules_of("drop out proto udp dport 1\n"), 1);
    auto attached = Filter::attach(out(), shape);
    if (!attached) {
        // Then this kernel has none, and nothing is left of the attempt.
        EXPECT_EQ(attached.error().error, Error(PacketError::shaping_unavailable));
        EXPECT_EQ(
            attached.error().message(),
            "zt0 cannot shape: this kernel has no qdisc fq, which sends packets at their time; "
            "install its module sch_fq (CONFIG_NET_SCH_FQ), or leave shape out"
        );
        EXPECT_EQ(qdisc(), before);
        EXPECT_TRUE(Filter::list_pinned_hooks(lab_.bpf_dir()).empty());
        EXPECT_NE(std::system("tc qdisc add dev zt1 root fq 2>/dev/null"), 0);
        Filter filter = must(Filter::attach(out(), plain));
        EXPECT_FALSE(filter.load(shape));
        EXPECT_EQ(filter.live_rules().size(), 1U);
        EXPECT_EQ(qdisc(), before);
        must(filter.detach());
        return;
    }
    EXPECT_TRUE(qdisc().starts_with("qdisc fq 7a73: ")) << qdisc();
    must(attached->load(rules_of_hook(rules_of("shape 20mbit {\nclass a\n}\n"), 1)));
    EXPECT_EQ(must(attached->read_shape()).classes.size(), 2U);
    {
        const Filter again = must(Filter::adopt(out()));
        EXPECT_EQ(must(again.read_shape()).rate, 20'000'000U);
    }
    must(attached->load(plain));
    EXPECT_EQ(qdisc(), before);
    EXPECT_TRUE(must(attached->read_shape()).classes.empty());
    must(attached->load(shape));
    must(attached->detach());
    EXPECT_EQ(qdisc(), before);
}

TEST_F(HooksTest, a_shape_leaves_a_qdisc_alone_that_somebody_configured) {
    run("tc qdisc add dev zt0 root handle 5: tbf rate 1mbit burst 10k latency 50ms");
    const auto refused = Filter::attach(out(), rules_of_hook(rules_of("shape 10mbit\n"), 1));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::shaping_unavailable));
    EXPECT_EQ(
        refused.error().message(),
        "zt0 cannot shape: somebody gave it the qdisc tbf 5:, and shaping needs fq; take that away "
        "(tc qdisc del dev zt0 root), or leave shape out"
    );
    EXPECT_TRUE(output_of("tc qdisc show dev zt0 root").starts_with("qdisc tbf 5: "));
    EXPECT_TRUE(Filter::list_pinned_hooks(lab_.bpf_dir()).empty());
}

TEST_F(HooksTest, out_limits_packets_and_bits_by_every_key) {
    const auto to = [](std::uint32_t source, std::uint32_t destination, std::uint16_t port) {
        return ethernet(0x0800) +
               ipv4({.source = source, .destination = destination}, udp(9, port, 958));
    };
    const Frame first = to(0x0a010101, 0x0a020202, 53);
    ASSERT_EQ(first.size(), 1000U);
    struct Row {
        const char* limit;
        Frame other; ///< with a limit of its own
    };
    for (const Row& row :
         {Row{"2/d burst 5 by source", to(0x0a010102, 0x0a020202, 53)},
          Row{"2/d burst 5 by source/24", to(0x0a010201, 0x0a020202, 53)},
          Row{"2/d burst 5 by destination", to(0x0a010101, 0x0a020203, 53)},
          Row{"2/d burst 5 by dport", to(0x0a010101, 0x0a020202, 54)},
          Row{"2/d burst 5 by flow", to(0x0a010101, 0x0a020202, 54)},
          Row{"5/d by flow sliding", to(0x0a010101, 0x0a020202, 54)},
          Row{"1kbit burst 5500b by source token", to(0x0a010102, 0x0a020202, 53)}}) {
        SCOPED_TRACE(row.limit);
        Filter filter =
            must(Filter::attach(out(), rules_of(std::format("pass limit {}", row.limit))));
        const FrameSender sender(veth_.name());
        const auto passed = [&] { return filter.stats()->passed.packets; };
        for (int i = 0; i < 20; ++i) {
            sender.offer(first);
        }
        EXPECT_EQ(passed(), 5U);
        for (int i = 0; i < 20; ++i) {
            sender.offer(row.other);
        }
        EXPECT_EQ(passed(), 10U);
        EXPECT_EQ(filter.rule_counts()->front().limited, 30U);
        must(filter.detach());
    }
}

TEST_F(HooksTest, out_keeps_its_rate_within_a_hundredth_on_two_processors) {
    struct Case {
        const char* limit;
        double rate;  ///< frames a second
        double burst; ///< frames
        std::size_t payload;
    };
    // What the veth's sending side takes from two sockets is many times these rates.
    for (const auto& [limit, rate, burst, payload] :
         {Case{"5000/s burst 1000", 5000, 1000, 20},
          Case{"40mbit burst 1mb by source", 5000, 1000, 958}}) {
        SCOPED_TRACE(limit);
        const Frame frame = ethernet(0x0800) + ipv4({.source = 0x0a010101}, udp(9, 53, payload));
        bool within = false;
        for (int attempt = 0; attempt < 5 && !within; ++attempt) {
            Filter filter =
                must(Filter::attach(out(), rules_of(std::format("pass limit {}", limit))));
            // Closing a packet socket takes milliseconds in which nothing is sent.
            const std::array<FrameSender, 2> senders{
                FrameSender(veth_.name()), FrameSender(veth_.name())
            };
            const auto begin = std::chrono::steady_clock::now();
            std::vector<std::jthread> threads;
            for (const FrameSender& sender : senders) {
                threads.emplace_back([&] {
                    while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(1)) {
                        sender.offer(frame);
                    }
                });
            }
            threads.clear();
            const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
            const double allowed = rate * time.count() + burst;
            const auto passed = static_cast<double>(filter.stats()->passed.packets);
            EXPECT_LE(passed, allowed + 1) << "in " << time.count() << " s";
            EXPECT_GT(filter.rule_counts()->front().limited, 0U);
            within = passed >= 0.99 * allowed - 1;
            must(filter.detach());
        }
        EXPECT_TRUE(within) << "less than 99 % of what the rate allows";
    }
}

TEST_F(HooksTest, a_large_send_passes_a_limit_if_its_first_segment_does_and_all_are_counted) {
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(rules_of("pass out limit 1/d burst 10 proto udp dport 7001")));
    const Fd receiver = udp_at(7001);
    const Fd sender = udp_socket();
    constexpr int udp_segment = 103; // UDP_SEGMENT of linux/udp.h
    const int segment_bytes = 100;
    ASSERT_EQ(
        setsockopt(sender.get(), IPPROTO_UDP, udp_segment, &segment_bytes, sizeof segment_bytes), 0
    );
    const sockaddr_in to = address_of(loopback, 7001);
    const std::string bytes(800, 'x');
    const auto counts = [&] { return filter_of(hooks, "out").rule_counts()->front(); };
    // 8 of 10; then 16, because its first segment was the ninth; then none.
    for (const std::uint64_t limited : {0U, 0U, 8U, 16U}) {
        const auto* address = reinterpret_cast<const sockaddr*>(&to);
        (void)sendto(sender.get(), bytes.data(), bytes.size(), 0, address, sizeof to);
        EXPECT_EQ(counts().limited, limited);
    }
    EXPECT_EQ(counts().packets, 32U);
    must(hooks.detach());
}

TEST_F(HooksTest, out_goes_on_without_its_owner_and_is_adopted_and_replaced) {
    {
        const Filter filter = must(Filter::attach(out(), drop_source("10.1.0.0/16")));
    }
    const FrameSender sender(veth_.name());
    sender.offer(udp_from(0x0a010001));
    const auto pinned = Filter::list_pinned_hooks(lab_.bpf_dir());
    ASSERT_EQ(pinned.size(), 1U);
    EXPECT_EQ(pinned[0].ifname, "zt0");
    EXPECT_EQ(pinned[0].hook, HookKind::tcx_out);
    EXPECT_TRUE(Filter::list_pinned(lab_.bpf_dir()).empty());
    Filter filter = must(Filter::adopt(out()));
    EXPECT_FALSE(filter.needs_upgrade());
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
    EXPECT_EQ(Filter::attach(out(), RuleSet{}).error().error, Error(PacketError::already_attached));
    must(filter.load(drop_source("10.2.0.0/16")));
    sender.offer(udp_from(0x0a010001));
    sender.offer(udp_from(0x0a020001));
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
    EXPECT_EQ(filter.default_count()->packets, 1U);
    must(filter.detach());
    EXPECT_TRUE(Filter::list_pinned_hooks(lab_.bpf_dir()).empty());
}

TEST_F(HooksTest, what_could_not_be_adopted_at_first_gets_new_rules_all_the_same) {
    must(Filter::attach(out(), drop_source("10.1.0.0/16")));
    HookFilters hooks(lab_.bpf_dir(), "zt0");
    must(hooks.apply(parse_rules("drop out from 10.2.0.0/16", "test", nullptr).value()));
    ASSERT_EQ(hooks.attached().size(), 1U);
    const FrameSender sender(veth_.name());
    sender.offer(udp_from(0x0a010001));
    sender.offer(udp_from(0x0a020001));
    const Filter& filter = hooks.attached()[0].filter;
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
    EXPECT_EQ(filter.default_count()->packets, 1U);
    must(hooks.detach());
    EXPECT_TRUE(Filter::list_pinned_hooks(lab_.bpf_dir()).empty());
}

TEST_F(HooksTest, out_sees_a_tag_in_the_frame) {
    RuleSet rules;
    add_rule(rules, Verdict::drop, "drop out vlan 42").vlan = 42;
    const Filter filter = must(Filter::attach(out(), rules));
    const FrameSender sender(veth_.name());
    sender.offer(ethernet(0x8100) + vlan_tag(42, 0x0800) + ipv4({.source = 1}, udp(1, 2, 20)));
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
}

TEST_F(HooksTest, out_sees_a_tag_that_stands_beside_the_frame) {
    if (std::system("ip link add link zt0 name zt0.42 type vlan id 42 2>/dev/null") != 0) {
        GTEST_SKIP() << "this kernel has no VLAN devices; vm.packet-kernel runs this";
    }
    run("ip link set zt0.42 addrgenmode none arp off multicast off up");
    RuleSet rules;
    add_rule(rules, Verdict::drop, "drop out vlan 42").vlan = 42;
    const Filter filter = must(Filter::attach(out(), rules));
    FrameSender("zt0.42").offer(udp_from(0x0a010001));
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
}

TEST_F(HooksTest, a_netkit_pair_is_filtered_as_it_receives_and_as_it_sends) {
    if (std::system("ip link add zk0 type netkit mode l2 peer name zk1 2>/dev/null") != 0) {
        GTEST_SKIP() << "this kernel has no netkit devices; vm.packet-kernel runs this";
    }
    for (const char* end : {"zk0", "zk1"}) {
        run(std::format(
            "ip link set {0} addrgenmode none && ip link set {0} arp off multicast off up", end
        ));
    }
    Filter receives = must(Filter::attach(options_for("zk0"), drop_source("10.1.0.0/16")));
    EXPECT_EQ(receives.mode(), XdpMode::generic) << "its driver runs no XDP programs";
    FilterOptions out_of_netkit = options_for("zk0");
    out_of_netkit.hook = HookKind::tcx_out;
    Filter sends = must(Filter::attach(out_of_netkit, drop_source("10.2.0.0/16")));
    const FrameSender peer("zk1");
    const FrameSender own("zk0");
    for (int i = 0; i < 10; ++i) {
        peer.offer(udp_from(0x0a010001));
        own.offer(udp_from(0x0a020001));
    }
    for (int i = 0; i < 7; ++i) {
        peer.offer(udp_from(0x0a030001));
        own.offer(udp_from(0x0a030001));
    }
    const auto bytes = udp_from(0).size();
    for (const Filter* filter : {&receives, &sends}) {
        EXPECT_EQ(filter->rule_counts()->front(), (RuleCount{10, 10 * bytes}));
        EXPECT_EQ(filter->stats()->dropped.packets, 10U);
        EXPECT_EQ(filter->stats()->passed.packets, 7U);
    }
    EXPECT_EQ(frames_arrived("zk1"), 7U);
    must(receives.load(drop_source("10.3.0.0/16")));
    peer.offer(udp_from(0x0a030001));
    peer.offer(udp_from(0x0a010001));
    EXPECT_EQ(receives.rule_counts()->front().packets, 1U);
    EXPECT_EQ(receives.default_count()->packets, 8U) << "those before the load, and one more";
    must(receives.detach());
    must(sends.detach());
    run("ip link del zk0");
}

TEST_F(HooksTest, out_sets_the_mark_that_the_receiver_sees) {
    CgroupRoom room;
    run("ip addr replace 127.0.0.1/8 dev lo");
    const RuleSet rules = rules_of(std::format(
        "pass out proto udp dport 7001 mark 0x2a\ncgroup {} {{\n pass out proto udp dport 7002 "
        "mark "
        "4294967295\n}}\n",
        room.path()
    ));
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(rules));
    Fd inside;
    room.inside(room.path(), [&] { inside = udp_socket(); });
    const auto mark_at = [&](std::uint16_t port) {
        const Fd receiver = udp_at(port);
        const int on = 1;
        EXPECT_EQ(setsockopt(receiver.get(), SOL_SOCKET, SO_RCVMARK, &on, sizeof on), 0);
        EXPECT_EQ(send_to(inside, port), 0);
        return mark_of_next(receiver);
    };
    EXPECT_EQ(mark_at(7000), 0U);
    EXPECT_EQ(mark_at(7001), 0x2aU);
    EXPECT_EQ(mark_at(7002), 0xffffffffU);
}

TEST_F(HooksTest, under_traffic_what_is_sent_meets_all_of_the_old_or_all_of_the_new_rules) {
    const TwoRuleSets sets = rule_sets_that_drop_all();
    Filter filter = must(Filter::attach(out(), sets.halves));
    std::vector<std::jthread> threads;
    for (std::uint32_t seed : {1U, 2U}) {
        threads.emplace_back([&, seed](const std::stop_token& stop) {
            const FrameSender sender(veth_.name());
            for (std::uint32_t i = seed; !stop.stop_requested(); ++i) {
                sender.offer(udp_from(0x0a000000 | (i * 2'654'435'761U) >> 8));
            }
        });
    }
    swap_under_traffic(
        "out",
        1000,
        [&](int n) { must(filter.load(n % 2 == 0 ? sets.quarters : sets.halves)); },
        [&] { return filter.stats()->dropped.packets; }
    );
    threads.clear();
    EXPECT_EQ(filter.stats()->passed.packets, 0U);
    EXPECT_EQ(filter.default_count()->packets, 0U);
}

TEST_F(HooksTest, a_large_send_counts_as_its_segments_and_by_their_length) {
    run("ip addr replace 127.0.0.1/8 dev lo");
    FilterOptions on_loopback = options_for("lo");
    on_loopback.hook = HookKind::tcx_out;
    const RuleSet rules = rules_of("drop out length 1501-65535\npass out proto udp dport 7000");
    const Filter filter = must(Filter::attach(on_loopback, rules_of_hook(rules, 1)));
    const Fd receiver = udp_at(7000);
    const Fd sender = udp_socket();
    constexpr int udp_segment = 103; // UDP_SEGMENT of linux/udp.h
    const int segment_bytes = 1400;
    ASSERT_EQ(
        setsockopt(sender.get(), IPPROTO_UDP, udp_segment, &segment_bytes, sizeof segment_bytes), 0
    );
    const std::vector<char> payload(10 * 1400 + 100);
    const sockaddr_in to = address_of(loopback, 7000);
    ASSERT_EQ(
        sendto(
            sender.get(),
            payload.data(),
            payload.size(),
            0,
            reinterpret_cast<const sockaddr*>(&to),
            sizeof to
        ),
        static_cast<ssize_t>(payload.size())
    );
    constexpr std::uint64_t headers = 14 + 20 + 8;
    EXPECT_EQ(filter.rule_counts()->at(0), RuleCount{});
    EXPECT_EQ(filter.rule_counts()->at(1), (RuleCount{11, payload.size() + 11 * headers}));
    EXPECT_EQ(filter.stats()->merged, (RuleCount{1, payload.size() + headers}));
}

TEST_F(HooksTest, names_that_are_not_there_are_refused_in_words) {
    HookFilters hooks = hooks_of("zt0");
    const auto no_cgroup = hooks.apply(rules_of("drop out cgroup /no/such"));
    ASSERT_FALSE(no_cgroup);
    EXPECT_EQ(no_cgroup.error().error, Error(PacketError::no_such_cgroup));
    EXPECT_TRUE(no_cgroup.error().message().contains("/no/such"));
    const auto no_interface = hooks.apply(rules_of("drop out interface nosuch0"));
    ASSERT_FALSE(no_interface);
    EXPECT_EQ(no_interface.error().error, Error(PacketError::no_such_interface));
    EXPECT_TRUE(hooks.attached().empty());
    EXPECT_TRUE(Filter::list_pinned_hooks(lab_.bpf_dir()).empty());
}
