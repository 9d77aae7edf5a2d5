// Rules of what an interface receives with `mark`, seen by nftables where packets come in.
#include "tests/packet/filter_fixture.hpp"
#include "tests/packet/rules_parse.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <charconv>
#include <format>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

/// Counts what an interface receives by its mark, behind everything that TCX runs there.
class MarkCounter {
public:
    explicit MarkCounter(const std::string& ifname) {
        run(std::format(
            "nft 'add table netdev marks; add chain netdev marks in {{ type filter hook ingress "
            "device \"{}\" priority 0; }}; add rule netdev marks in meta mark 0x0 counter; "
            "add rule netdev marks in meta mark 0x1 counter; "
            "add rule netdev marks in meta mark 0x2 counter; "
            "add rule netdev marks in meta mark 0xffffffff counter'",
            ifname
        ));
    }
    ~MarkCounter() { (void)std::system("nft delete table netdev marks"); }
    MarkCounter(const MarkCounter&) = delete;
    MarkCounter& operator=(const MarkCounter&) = delete;

    [[nodiscard]] std::map<std::uint32_t, std::uint64_t> packets() const {
        std::map<std::uint32_t, std::uint64_t> counts;
        std::istringstream lines(output_of("nft list table netdev marks"));
        for (std::string line; std::getline(lines, line);) {
            std::uint32_t mark = 0;
            std::uint64_t count = 0;
            if (std::sscanf(line.c_str(), " meta mark 0x%x counter packets %lu", &mark, &count) ==
                2) {
                counts[mark] = count;
            }
        }
        return counts;
    }
};

/// Programs at what an interface receives, by TCX.
std::uint32_t tcx_programs(const std::string& ifname) {
    LIBBPF_OPTS(bpf_prog_query_opts, query);
    const int index = static_cast<int>(if_nametoindex(ifname.c_str()));
    EXPECT_EQ(bpf_prog_query_opts(index, BPF_TCX_INGRESS, &query), 0);
    return query.count;
}

RuleSet marking() {
    return rules_of("pass mark 1 from 10.1.0.0/16\npass mark 0xffffffff from 10.2.0.0/16\n"
                    "drop mark 2 from 10.3.0.0/16\n");
}

using Counts = std::map<std::uint32_t, std::uint64_t>;

void offer_each(const FrameSender& sender) {
    for (const std::uint32_t network : {0x0a010001U, 0x0a020001U, 0x0a030001U, 0x0a040001U}) {
        sender.send(udp_from(network));
    }
    sender.send(ethernet(0x0806) + Frame(46));
}

} // namespace

TEST_F(FilterTest, mark_is_seen_by_nftables_in_either_mode) {
    for (const AttachMode mode : {AttachMode::native, AttachMode::generic}) {
        SCOPED_TRACE(mode == AttachMode::native ? "native" : "generic");
        const MarkCounter counter("zt0");
        Filter filter = must(Filter::attach(options_for("zt0", mode), marking()));
        offer_each(FrameSender(veth_.peer()));
        EXPECT_EQ(counter.packets(), (Counts{{0, 2}, {1, 1}, {2, 0}, {0xffffffff, 1}}));
        EXPECT_EQ(filter.stats()->unmarked, 0U);
        must(filter.detach());
        offer_each(FrameSender(veth_.peer()));
        EXPECT_EQ(counter.packets(), (Counts{{0, 7}, {1, 1}, {2, 0}, {0xffffffff, 1}}));
        EXPECT_EQ(tcx_programs("zt0"), 0U);
    }
}

TEST_F(FilterTest, mark_is_set_also_while_something_records_the_packets) {
    for (const AttachMode mode : {AttachMode::native, AttachMode::generic}) {
        SCOPED_TRACE(mode == AttachMode::native ? "native" : "generic");
        const MarkCounter counter("zt0");
        const Fd recorder(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
        sockaddr_ll at{};
        at.sll_family = AF_PACKET;
        at.sll_protocol = htons(ETH_P_ALL);
        at.sll_ifindex = static_cast<int>(if_nametoindex("zt0"));
        ASSERT_EQ(bind(recorder.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
        Filter filter = must(Filter::attach(options_for("zt0", mode), marking()));
        offer_each(FrameSender(veth_.peer()));
        EXPECT_EQ(counter.packets(), (Counts{{0, 2}, {1, 1}, {2, 0}, {0xffffffff, 1}}));
        must(filter.detach());
    }
}

TEST_F(FilterTest, mark_has_a_program_only_while_a_rule_marks_and_keeps_it_over_loads) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    EXPECT_EQ(tcx_programs("zt0"), 0U);
    must(filter.load(marking()));
    EXPECT_EQ(tcx_programs("zt0"), 1U);
    must(filter.load(rules_of("pass mark 2 from 10.1.0.0/16")));
    EXPECT_EQ(tcx_programs("zt0"), 1U);
    // A load that fails leaves it as it was.
    EXPECT_FALSE(filter.load(rules_of("pass mark 2 from 10.1.0.0/16\npass redirect nosuch0\n")));
    EXPECT_EQ(tcx_programs("zt0"), 1U);
    must(filter.load(drop_source("10.1.0.0/16")));
    EXPECT_EQ(tcx_programs("zt0"), 0U);
    EXPECT_FALSE(filter.load(rules_of("pass mark 2 from 10.1.0.0/16\npass redirect nosuch0\n")));
    EXPECT_EQ(tcx_programs("zt0"), 0U);
}

TEST_F(FilterTest, mark_goes_on_without_its_owner_and_under_another_name) {
    const FrameSender sender(veth_.peer());
    {
        const Filter filter = must(Filter::attach(options(), marking()));
    }
    run("ip link set zt0 down && ip link set zt0 name zt9 && ip link set zt9 up");
    const MarkCounter counter("zt9");
    offer_each(sender);
    EXPECT_EQ(counter.packets().at(1), 1U);
    {
        Filter filter = must(Filter::adopt(options()));
        must(filter.rename("zt9"));
        must(filter.load(rules_of("pass mark 2 from 10.1.0.0/16")));
    }
    offer_each(sender);
    EXPECT_EQ(counter.packets().at(1), 1U);
    EXPECT_EQ(counter.packets().at(2), 1U);
    Filter again = must(Filter::adopt(options_for("zt9")));
    must(again.detach());
    EXPECT_EQ(tcx_programs("zt9"), 0U);
}

TEST_F(FilterTest, mark_of_another_interface_does_not_count) {
    // What comes by zt0 is redirected to zu0 with the bytes before it, and so to zu1.
    const Veth other("zu0", "zu1");
    Filter far = must(Filter::attach(options_for("zu1"), rules_of("pass mark 2 from 10.9.0.0/16")));
    const Filter near = must(Filter::attach(
        options(), rules_of("pass mark 1 from 10.1.0.0/16\npass redirect zu0 from 10.2.0.0/16")
    ));
    const MarkCounter counter("zu1");
    const FrameSender sender(veth_.peer());
    sender.send(udp_from(0x0a020001));
    EXPECT_EQ(near.stats()->redirected, 1U);
    EXPECT_EQ(counter.packets(), (Counts{{0, 1}, {1, 0}, {2, 0}, {0xffffffff, 0}}));
}

TEST_F(FilterTest, mark_under_traffic_is_that_of_the_old_or_the_new_rules_and_never_none) {
    const MarkCounter counter("zt0");
    const std::vector<RuleSet> sets{
        rules_of("default drop\npass mark 1 from 10.0.0.0/9\npass mark 1 from 10.128.0.0/9\n"),
        rules_of("default drop\npass mark 2 from 10.0.0.0/8\n"),
        rules_of("default drop\n"),
    };
    Filter filter = must(Filter::attach(options(), sets[0]));
    std::vector<std::jthread> threads;
    for (std::uint32_t seed : {1U, 2U}) {
        threads.emplace_back([&, seed](const std::stop_token& stop) {
            const FrameSender sender(veth_.peer());
            for (std::uint32_t i = seed; !stop.stop_requested(); ++i) {
                sender.offer(udp_from(0x0a000000 | (i * 2'654'435'761U) >> 8));
            }
        });
    }
    swap_under_traffic(
        "mark",
        100,
        [&](int n) { must(filter.load(sets[static_cast<std::size_t>(n) % sets.size()])); },
        [&] {
            const InterfaceStats stats = filter.stats().value_or(InterfaceStats{});
            return stats.passed.packets + stats.dropped.packets;
        }
    );
    threads.clear();
    const Counts counts = counter.packets();
    EXPECT_EQ(counts.at(0), 0U);
    EXPECT_GT(counts.at(1), 0U);
    EXPECT_GT(counts.at(2), 0U);
    EXPECT_EQ(counts.at(1) + counts.at(2), filter.stats()->passed.packets);
}
