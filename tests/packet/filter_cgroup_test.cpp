// What the sockets of a cgroup send and receive (cgroup_skb), with real sockets.
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
#include <cerrno>
#include <format>
#include <string>
#include <thread>
#include <vector>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

using CgroupHooksTest = HooksTest;

} // namespace

TEST_F(CgroupHooksTest, the_sockets_of_a_cgroup_are_limited_each_cgroup_and_interface_alone) {
    CgroupRoom room;
    const std::string one = room.make("one");
    const std::string two = room.make("two");
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(rules_of(std::format(
        "cgroup {} {{\n"
        "pass out limit 1/d burst 3 by cgroup proto udp dport 7001\n"
        "pass out limit 1/d burst 4 by interface proto udp dport 7002\n"
        "pass out limit 1kbit burst 1600b proto udp dport 7003\n"
        "pass in limit 1/d burst 2 by cgroup proto udp dport 7004\n}}\n",
        room.path()
    ))));
    Fd of_one;
    Fd of_two;
    Fd listens;
    room.inside(one, [&] {
        of_one = udp_socket();
        listens = udp_at(7004);
    });
    room.inside(two, [&] { of_two = udp_socket(); });
    const auto sent = [](const Fd& socket, std::uint16_t port, int times) {
        int passed = 0;
        for (int i = 0; i < times; ++i) {
            passed += send_to(socket, port) == 0 ? 1 : 0;
        }
        return passed;
    };
    EXPECT_EQ(sent(of_one, 7001, 10), 3);
    EXPECT_EQ(sent(of_two, 7001, 10), 3) << "a cgroup of its own";
    EXPECT_EQ(sent(of_one, 7002, 10), 4);
    EXPECT_EQ(sent(of_two, 7002, 10), 0) << "the same interface";
    EXPECT_EQ(sent(of_one, 7003, 200), 1600 / (20 + 8 + 3));
    const Fd outside = udp_socket();
    EXPECT_EQ(sent(outside, 7004, 5), 5);
    int received = 0;
    while (receives(listens)) {
        ++received;
    }
    EXPECT_EQ(received, 2);

    const Filter& sends = filter_of(hooks, std::format("out {}", room.path()));
    const LimitTable table = must(sends.read_limits(5));
    const auto keys = [&](std::size_t rule) {
        std::vector<std::string> texts;
        for (const LimitedKey& key : table.rules.at(limit_id(sends.live_rules()[rule].text)).most) {
            texts.push_back(std::format("{}: {}", key.text, key.limited));
        }
        std::ranges::sort(texts);
        return texts;
    };
    EXPECT_EQ(keys(0), (std::vector{one + ": 7", two + ": 7"}));
    EXPECT_EQ(keys(1), (std::vector<std::string>{"lo: 16"}));
    must(hooks.detach());
}

TEST_F(CgroupHooksTest, under_traffic_what_sockets_send_and_get_meets_all_old_or_all_new_rules) {
    CgroupRoom room;
    // Of all addresses of loopback each rule set drops what is sent, and what others send here.
    const auto dropping = [&](std::initializer_list<const char*> prefixes) {
        std::string text = std::format("cgroup {} {{\n", room.path());
        for (const char* prefix : prefixes) {
            text += std::format("drop out to {0}\ndrop in to {0}\n", prefix);
        }
        return rules_of(text + "}\n");
    };
    const RuleSet halves = dropping({"127.0.0.0/9", "127.128.0.0/9"});
    const RuleSet quarters =
        dropping({"127.64.0.0/10", "127.192.0.0/10", "127.0.0.0/10", "127.128.0.0/10"});
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(halves));
    Fd inside;
    Fd listens;
    room.inside(room.path(), [&] {
        inside = udp_socket();
        listens = udp_socket();
    });
    const sockaddr_in any = address_of(0, 7001);
    ASSERT_EQ(bind(listens.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
    const Fd outside = udp_socket();
    std::vector<std::jthread> threads;
    for (const int sender : {inside.get(), outside.get()}) {
        threads.emplace_back([sender](const std::stop_token& stop) {
            for (std::uint32_t i = 1; !stop.stop_requested(); ++i) {
                const sockaddr_in to =
                    address_of(0x7f000000 | ((i * 2'654'435'761U) >> 8 | 1), 7001);
                const auto* address = reinterpret_cast<const sockaddr*>(&to);
                (void)sendto(sender, "abc", 3, 0, address, sizeof to);
            }
        });
    }
    const auto counts = [&](std::string_view way) -> const Filter& {
        return filter_of(hooks, std::format("{} {}", way, room.path()));
    };
    swap_under_traffic(
        "cgroup",
        500,
        [&](int n) { must(hooks.apply(n % 2 == 0 ? quarters : halves)); },
        [&] {
            return std::min(
                counts("in").stats()->dropped.packets, counts("out").stats()->dropped.packets
            );
        }
    );
    threads.clear();
    for (const std::string_view way : {"in", "out"}) {
        EXPECT_EQ(counts(way).stats()->passed.packets, 0U) << way;
        EXPECT_EQ(counts(way).default_count()->packets, 0U) << way;
    }
    EXPECT_FALSE(receives(listens));
    must(hooks.detach());
}

TEST_F(CgroupHooksTest, the_sockets_of_a_cgroup_meet_its_rules_and_others_do_not) {
    CgroupRoom room;
    const std::string web = room.make("web");
    run("ip addr replace 127.0.0.1/8 dev lo");
    const RuleSet rules = rules_of(std::format(
        "cgroup {} {{\n drop out proto udp dport 7001\n drop in proto udp dport 7002\n}}\n", web
    ));
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(rules));
    Fd inside;
    Fd inside_7002;
    room.inside(web, [&] {
        inside = udp_socket();
        inside_7002 = udp_at(7002);
    });
    const Fd outside = udp_socket();
    const Fd at_7001 = udp_at(7001);
    const Fd at_7000 = udp_at(7000);
    EXPECT_EQ(send_to(inside, 7001), EPERM);
    EXPECT_EQ(send_to(outside, 7001), 0);
    EXPECT_TRUE(receives(at_7001));
    EXPECT_FALSE(receives(at_7001));
    EXPECT_EQ(send_to(inside, 7000), 0);
    EXPECT_TRUE(receives(at_7000));
    EXPECT_EQ(send_to(outside, 7002), 0);
    EXPECT_FALSE(receives(inside_7002));
    const Filter& out_filter = filter_of(hooks, "out " + web);
    EXPECT_EQ(out_filter.rule_counts()->front(), (RuleCount{1, 20 + 8 + 3}));
    EXPECT_EQ(out_filter.default_count()->packets, 1U);
    EXPECT_EQ(filter_of(hooks, "in " + web).rule_counts()->front().packets, 1U);
    must(hooks.apply(RuleSet{}));
    EXPECT_TRUE(hooks.attached().empty());
    EXPECT_EQ(send_to(inside, 7001), 0);
    EXPECT_EQ(send_to(outside, 7002), 0);
    EXPECT_TRUE(receives(inside_7002));
}

TEST_F(CgroupHooksTest, a_cgroups_filter_goes_on_without_its_owner_and_is_adopted) {
    CgroupRoom room;
    run("ip addr replace 127.0.0.1/8 dev lo");
    const RuleSet rules =
        rules_of(std::format("cgroup {} {{\n drop out proto udp dport 7001\n}}\n", room.path()));
    {
        HookFilters hooks = hooks_of("lo");
        must(hooks.apply(rules));
    }
    Fd inside;
    room.inside(room.path(), [&] { inside = udp_socket(); });
    EXPECT_EQ(send_to(inside, 7001), EPERM);
    HookFilters hooks = hooks_of("lo");
    hooks.adopt();
    ASSERT_EQ(hooks.attached().size(), 1U);
    EXPECT_EQ(hooks.attached()[0].filter.rule_counts()->front().packets, 1U);
    must(hooks.apply(rules));
    EXPECT_EQ(send_to(inside, 7001), EPERM);
    EXPECT_EQ(filter_of(hooks, "out " + room.path()).rule_counts()->front().packets, 2U);
    must(hooks.rename("lo2"));
    EXPECT_EQ(Filter::list_pinned_hooks(lab_.bpf_dir()).front().ifname, "lo2");
    must(hooks.detach());
    EXPECT_TRUE(Filter::list_pinned_hooks(lab_.bpf_dir()).empty());
    EXPECT_EQ(send_to(inside, 7001), 0);
}

TEST_F(CgroupHooksTest, a_cgroup_that_is_made_again_is_attached_to_again_and_leaves_no_pins) {
    CgroupRoom room;
    run("ip addr replace 127.0.0.1/8 dev lo");
    const std::string web = room.make("web");
    const RuleSet rules =
        rules_of(std::format("cgroup {} {{\n drop out proto udp dport 7001\n}}\n", web));
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(rules));
    room.remove("web");
    const auto refused = hooks.apply(rules);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::no_such_cgroup));
    EXPECT_TRUE(refused.error().message().contains(web)) << refused.error().message();
    room.make("web");
    must(hooks.apply(rules));
    EXPECT_EQ(Filter::list_pinned_hooks(lab_.bpf_dir()).size(), 1U);
    Fd inside;
    room.inside(web, [&] { inside = udp_socket(); });
    EXPECT_EQ(send_to(inside, 7001), EPERM);
}

TEST_F(CgroupHooksTest, a_rule_for_what_is_sent_asks_for_the_cgroup_of_the_socket_or_one_above_it) {
    CgroupRoom room;
    run("ip addr replace 127.0.0.1/8 dev lo");
    const std::string web = room.make("web");
    const std::string deep = room.make("web/deep");
    const std::string other = room.make("other");
    const RuleSet rules = rules_of(std::format(
        "drop out proto udp dport 7001 cgroup {}\npass out proto udp dport 7001 cgroup {}\n"
        "drop out proto udp dport 7001 cgroup {}\npass out proto udp dport 7001\n",
        deep,
        room.path(),
        web
    ));
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(rules));
    for (const std::string& path : {deep, web, other}) {
        room.inside(path, [&] { (void)send_to(udp_socket(), 7001); });
    }
    (void)send_to(udp_socket(), 7001);
    const std::vector<RuleCount> counts = filter_of(hooks, "out").rule_counts().value();
    EXPECT_EQ(counts[0].packets, 1U); // deep
    EXPECT_EQ(counts[1].packets, 2U); // web and other, which are below the room
    EXPECT_EQ(counts[2].packets, 0U);
    EXPECT_EQ(counts[3].packets, 1U);
}

TEST_F(CgroupHooksTest, a_cgroups_rules_ask_for_the_interface) {
    CgroupRoom room;
    run("ip addr replace 127.0.0.1/8 dev lo && ip addr replace 10.77.0.1/24 dev zt0");
    const RuleSet rules = rules_of(std::format(
        "cgroup {} {{\n drop out interface lo proto udp\n pass out interface zt0 proto udp\n}}\n",
        room.path()
    ));
    HookFilters hooks = hooks_of("zt0");
    must(hooks.apply(rules));
    Fd inside;
    room.inside(room.path(), [&] { inside = udp_socket(); });
    EXPECT_EQ(send_to(inside, 7001), EPERM);
    const sockaddr_in to = address_of(0x0a4d0002, 7001);
    EXPECT_EQ(
        sendto(inside.get(), "abc", 3, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 3
    );
    const std::vector<RuleCount> counts =
        filter_of(hooks, "out " + room.path()).rule_counts().value();
    EXPECT_EQ(counts[0].packets, 1U);
    EXPECT_EQ(counts[1].packets, 1U);
}

TEST_F(CgroupHooksTest, counts_of_sockets_on_many_threads_are_exact) {
    CgroupRoom room;
    run("ip addr replace 127.0.0.1/8 dev lo");
    const RuleSet rules = rules_of(std::format(
        "cgroup {} {{\n drop in proto udp dport 7001\n pass out proto udp\n}}\n", room.path()
    ));
    HookFilters hooks = hooks_of("lo");
    must(hooks.apply(rules));
    constexpr int threads = 4;
    constexpr std::uint64_t packets = 20'000;
    std::vector<Fd> senders;
    Fd receiver;
    room.inside(room.path(), [&] {
        receiver = udp_at(7001);
        for (int i = 0; i < threads; ++i) {
            senders.push_back(udp_socket());
        }
    });
    std::vector<std::jthread> running;
    for (const Fd& sender : senders) {
        running.emplace_back([&sender] {
            for (std::uint64_t i = 0; i < packets; ++i) {
                EXPECT_EQ(send_to(sender, 7001), 0);
            }
        });
    }
    running.clear();
    const RuleCount all{threads * packets, threads * packets * 31};
    EXPECT_EQ(filter_of(hooks, "out " + room.path()).rule_counts()->front(), all);
    EXPECT_EQ(filter_of(hooks, "out " + room.path()).stats()->passed, all);
    EXPECT_EQ(filter_of(hooks, "in " + room.path()).rule_counts()->front(), all);
    EXPECT_EQ(filter_of(hooks, "in " + room.path()).stats()->unjudged, 0U);
}
