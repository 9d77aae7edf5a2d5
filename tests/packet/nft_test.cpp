// The same random rules in nftables at netdev ingress, the same million frames through a veth: the
// kernel's own filter counts for each rule what the program under test counts. Rules on VLAN tags,
// interfaces and cgroups are not there, nor faulty packets: engine_kernel_test.cpp has those.
#include "tests/packet/lab.hpp"
#include "tests/packet/random_traffic.hpp"
#include "tests/packet/reference.hpp"
#include "tests/packet/rule_writer.hpp"

#include <zsync/packet/address_text.hpp>
#include <zsync/packet/counters.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/program.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <fstream>
#include <iterator>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;
using namespace std::chrono_literals;

namespace {

std::string ranges_text(const std::vector<PortRange>& ranges) {
    std::string text = "{ ";
    for (const PortRange& range : ranges) {
        text += range.first == range.last ? std::format("{}, ", range.first)
                                          : std::format("{}-{}, ", range.first, range.last);
    }
    return text + "}";
}

/// The rules of a `RuleSet` as nft reads them. One that may match IPv4 and IPv6 becomes a rule for
/// each, with one counter.
class NftText {
public:
    NftText(const RuleSet& rules, const std::string& ifname) : rules_(rules) {
        text_ = "table netdev t\ndelete table netdev t\ntable netdev t {\ncounter rest { }\n";
        for (std::size_t i = 0; i < rules.rules.size(); ++i) {
            text_ += std::format("counter r{} {{ }}\n", i);
        }
        for (std::size_t i = 0; i < rules.address_sets.size(); ++i) {
            add_set(i, Family::ipv4, "ipv4_addr");
            add_set(i, Family::ipv6, "ipv6_addr");
        }
        text_ += "chain c { type filter hook ingress device " + ifname + " priority 0;\n";
        for (std::size_t i = 0; i < rules.rules.size(); ++i) {
            add_rule(i);
        }
        text_ += "counter name rest\n}\n}\n";
    }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    void add_set(std::size_t index, Family family, std::string_view type) {
        std::string prefixes;
        std::string endpoints;
        for (Prefix prefix : rules_.address_sets[index]) {
            if (prefix.family == family) {
                const auto port = std::exchange(prefix.port, std::nullopt);
                std::string& elements = port ? endpoints : prefixes;
                append_prefix(elements, prefix);
                elements += port ? std::format(" . {}, ", *port) : ", ";
            }
        }
        const auto set = [&](std::string_view name, std::string_view kind, std::string_view list) {
            text_ += std::format(
                "set {} {{ type {} {}}}\n",
                name,
                kind,
                list.empty() ? "" : std::format("elements = {{ {}}} ", list)
            );
        };
        set(set_name(index, family), std::format("{}; flags interval; auto-merge;", type), prefixes
        );
        if (!endpoints.empty()) {
            set("p" + set_name(index, family), std::format("{} . inet_service;", type), endpoints);
        }
    }

    /// How nft says that an end of the packet is in a set.
    struct Way {
        std::string text;
        bool asks_ports = false;
    };

    /// By address, and by address and port where the set has such: then one of the two holds.
    [[nodiscard]] std::vector<Way> ways(
        std::optional<std::uint32_t> set,
        Family family,
        std::string_view address,
        std::string_view port
    ) const {
        if (!set) {
            return {Way{}};
        }
        const std::string ip = family == Family::ipv4 ? "ip" : "ip6";
        std::vector<Way> found{{std::format("{} {} @{} ", ip, address, set_name(*set, family))}};
        if (std::ranges::any_of(rules_.address_sets[*set], [&](const Prefix& prefix) {
                return prefix.family == family && prefix.port.has_value();
            })) {
            found.push_back(
                {std::format("{} {} . th {} @p{} ", ip, address, port, set_name(*set, family)), true
                }
            );
        }
        return found;
    }

    static std::string set_name(std::size_t index, Family family) {
        return std::format("a{}{}", index, family == Family::ipv4 ? "v4" : "v6");
    }

    void add_rule(std::size_t index) {
        const Rule& rule = rules_.rules[index];
        const std::string end = std::format(
            "counter name r{} {}\n", index, rule.verdict == Verdict::drop ? "drop" : "accept"
        );
        const bool asks_ip = rule.from || rule.to || rule.protocol || rule.tcp_flags ||
                             rule.fragment || !rule.source_ports.empty() ||
                             !rule.destination_ports.empty() || !rule.icmp.empty() ||
                             !rule.length.empty();
        if (!asks_ip) {
            text_ += end;
            return;
        }
        for (const Family family : {Family::ipv4, Family::ipv6}) {
            for (const std::string& conditions : of_family(rule, family)) {
                text_ += conditions;
                text_ += end;
            }
        }
    }

    /// One rule, or more where nft has no word for one condition.
    [[nodiscard]] std::vector<std::string> of_family(const Rule& rule, Family family) const {
        std::vector<std::string> all;
        for (const Way& from : ways(rule.from, family, "saddr", "sport")) {
            for (const Way& to : ways(rule.to, family, "daddr", "dport")) {
                std::ranges::move(of_ways(rule, family, from, to), std::back_inserter(all));
            }
        }
        return all;
    }

    static std::vector<std::string>
    of_ways(const Rule& rule, Family family, const Way& from, const Way& to) {
        const bool v4 = family == Family::ipv4;
        const std::string ip = v4 ? "ip" : "ip6";
        const bool asks_ports = from.asks_ports || to.asks_ports || !rule.source_ports.empty() ||
                                !rule.destination_ports.empty();
        std::string text = std::format("meta protocol {} ", ip);
        if (rule.protocol) {
            text += std::format("meta l4proto {} ", *rule.protocol);
        }
        if (asks_ports) {
            text += "meta l4proto { 6, 17, 132 } ";
        }
        text += from.text + to.text;
        if (!rule.source_ports.empty()) {
            text += "th sport " + ranges_text(rule.source_ports) + " ";
        }
        if (!rule.destination_ports.empty()) {
            text += "th dport " + ranges_text(rule.destination_ports) + " ";
        }
        if (rule.tcp_flags) {
            text += std::format(
                "meta l4proto 6 @th,104,8 & {:#x} == {:#x} ",
                rule.tcp_flags->mask,
                rule.tcp_flags->value
            );
        }
        if (!rule.length.empty()) {
            std::vector<PortRange> lengths;
            for (PortRange range : rule.length) {
                const std::uint16_t header = v4 ? 0 : 40; // which `ip6 length` leaves out
                if (range.last >= header) {
                    const auto first = std::max(range.first, header);
                    lengths.push_back(
                        {static_cast<std::uint16_t>(first - header),
                         static_cast<std::uint16_t>(range.last - header)}
                    );
                }
            }
            if (lengths.empty()) {
                return {};
            }
            text += std::format("{} length {} ", ip, ranges_text(lengths));
        }
        // nftables reads ports of later fragments too, so what asks for them leaves those out.
        const bool asks_transport = asks_ports || rule.tcp_flags || !rule.icmp.empty();
        std::vector<std::string> fragments{""};
        if (v4) {
            fragments = {
                std::string(asks_transport ? "ip frag-off & 0x1fff == 0 " : "") +
                (rule.fragment ? "ip frag-off & 0x3fff != 0 " : "")
            };
        } else if (rule.fragment) {
            fragments = {"frag frag-off 0 frag more-fragments 1 "};
            if (!asks_transport) {
                fragments.emplace_back("frag frag-off != 0 ");
            }
        } else if (asks_transport) {
            fragments = {"exthdr frag missing ", "frag frag-off 0 "};
        }
        std::vector<std::string> icmp;
        for (const PortRange range : rule.icmp) {
            icmp.push_back(
                std::format("meta l4proto {} @th,0,8 == {} ", v4 ? 1 : 58, range.first >> 8)
            );
            if (range.first == range.last) {
                icmp.back() += std::format("@th,8,8 == {} ", range.first & 0xff);
            }
        }
        if (rule.icmp.empty()) {
            icmp.emplace_back();
        }
        std::vector<std::string> all;
        for (const std::string& kind : icmp) {
            for (const std::string& condition : fragments) {
                all.push_back(text + kind + condition);
            }
        }
        return all;
    }

    const RuleSet& rules_;
    std::string text_;
};

/// Packets of `counter NAME { packets N bytes M }`, of the rules and then of the rest.
std::vector<std::uint64_t> nft_counters(std::size_t rules) {
    const std::string text = output_of("nft list counters table netdev t");
    std::vector<std::uint64_t> counts;
    for (std::size_t i = 0; i <= rules; ++i) {
        const std::string name = i < rules ? std::format("counter r{} {{", i) : "counter rest {";
        const std::size_t at = text.find("packets ", text.find(name));
        counts.push_back(std::stoull(text.substr(at + 8)));
    }
    return counts;
}

/// Frames cross the veth in softirqs that may be late.
void wait_until_counted(std::size_t rules, std::size_t frames) {
    const auto deadline = std::chrono::steady_clock::now() + 5s;
    const auto counted = [&] {
        const std::vector<std::uint64_t> counts = nft_counters(rules);
        return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    };
    while (counted() < frames && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
}

/// What both read alike: an IP packet without faults behind no tag, or no IP at all. nftables does
/// not see the tags behind the first, lets faulty packets pass by, and reads no further than an
/// IPv6 packet's authentication header.
std::optional<Frame> comparable(RandomTraffic& traffic) {
    Frame frame = traffic.frame();
    const ReferencePacket packet = reference_parse(frame);
    if (!packet.malformed.empty() || packet.arp || packet.vlan || packet.authenticated ||
        frame.size() < 14) {
        return std::nullopt;
    }
    return frame;
}

/// Sends the frames again, one by one.
std::string first_told_apart(
    const RuleSet& rules, const FrameSender& sender, const std::vector<Frame>& frames
) {
    std::vector<std::uint64_t> counts = nft_counters(rules.rules.size());
    for (const Frame& frame : frames) {
        sender.send(frame);
        std::vector<std::uint64_t> next;
        while ((next = nft_counters(rules.rules.size())) == counts) {
        }
        const std::size_t ours = reference_match(rules, reference_parse(frame));
        if (next[ours] == counts[ours]) {
            std::string text = std::format("for rule {}:", ours);
            for (const std::uint8_t byte : frame) {
                text += std::format(" {:02x}", byte);
            }
            return text;
        }
        counts = next;
    }
    return "none";
}

} // namespace

TEST(Nftables, counts_for_each_rule_what_the_program_counts) {
    // A million frames in all.
    constexpr int rule_sets = 250;
    constexpr std::size_t frames = 4000;
    Lab::enter();
    const Veth veth("zn0", "zn1");
    const FrameSender sender(veth.peer());
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    std::uint64_t by_rules = 0;
    for (int i = 0; i < rule_sets; ++i) {
        RuleSet rules = traffic.rules(24);
        std::erase_if(rules.rules, [](const Rule& rule) { return rule.vlan.has_value(); });
        // nftables has the rules as they were drawn, the program what the parser read of their
        // text.
        make_writable(rules, HookKind::xdp, traffic);
        const RuleSet read = read_back(rules, HookKind::xdp, {}, traffic);
        const std::string file = Lab::enter().scratch_dir() + "/rules.nft";
        std::ofstream(file) << NftText(rules, veth.name()).text();
        run("nft -f " + file);

        CounterSlots slots;
        for (std::uint32_t slot = 1; slot <= rules.rules.size(); ++slot) {
            slots.rules.push_back(slot);
        }
        SharedMaps maps = create_shared_maps().value();
        const LoadedProgram program = load_program(compile(read, slots).value(), maps).value();
        std::vector<Frame> sent;
        while (sent.size() < frames) {
            if (const std::optional<Frame> frame = comparable(traffic)) {
                sender.send(*frame);
                test_run(program.fd.get(), *frame);
                sent.push_back(*frame);
                // The backlog between driver and stack has room for 1,000.
                if (sent.size() % 800 == 0) {
                    wait_until_counted(rules.rules.size(), sent.size());
                }
            }
        }
        const std::vector<RuleCount> counters = read_counters(maps.counters).value();
        std::vector<std::uint64_t> ours;
        for (std::size_t slot = 1; slot <= rules.rules.size(); ++slot) {
            ours.push_back(counters[slot].packets);
            by_rules += counters[slot].packets;
        }
        ours.push_back(counters[0].packets);
        // Frames cross the veth in softirqs that may be late.
        std::vector<std::uint64_t> theirs;
        for (const auto deadline = std::chrono::steady_clock::now() + 5s;
             (theirs = nft_counters(rules.rules.size())) != ours &&
             std::chrono::steady_clock::now() < deadline;) {
            std::this_thread::yield();
        }
        ASSERT_EQ(theirs, ours) << "rule set " << i << "\n"
                                << NftText(rules, veth.name()).text() << "first frame told apart: "
                                << first_told_apart(rules, sender, sent);
    }
    // The comparison is worth something only if the frames meet the rules.
    EXPECT_GT(by_rules, rule_sets * frames / 4);
}
