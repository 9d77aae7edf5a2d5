// The real program in the real kernel against the naive reference, over a million packets.
#include "tests/packet/cgroup_room.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/random_traffic.hpp"
#include "tests/packet/reference.hpp"
#include "tests/packet/rule_maker.hpp"
#include "tests/packet/rule_writer.hpp"
#include "tests/packet/user_engine.hpp"

#include <zsync/packet/engine.hpp>
#include <zsync/packet/explain.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/samples.hpp>

#include <gtest/gtest.h>
#include <net/if.h>

#include <cstring>
#include <format>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <string>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

/// What the programs of a hook return.
struct Verdicts {
    std::uint32_t pass;
    std::uint32_t drop;
};

Verdicts verdicts_of(HookKind hook) {
    switch (hook) {
    case HookKind::xdp:
        return {.pass = 2, .drop = 1};
    case HookKind::tcx_out:
        return {.pass = static_cast<std::uint32_t>(-1), .drop = 2};
    default:
        return {.pass = 1, .drop = 0};
    }
}

constexpr std::uint32_t handover_token = 0x7a73796e;

/// The mark in the record before a frame that an XDP program has left: 0 where it says none.
std::uint32_t mark_before(const Frame& left, const Frame& frame) {
    zsync_handover_record record{};
    if (left.size() != frame.size()) {
        EXPECT_EQ(left.size(), frame.size() + ZSYNC_HANDOVER_BYTES);
        std::memcpy(&record, left.data() + ZSYNC_HANDOVER_AT, sizeof record);
        EXPECT_TRUE(record.token == 0 || record.token == handover_token) << record.token;
    }
    return record.token == handover_token ? record.mark : 0;
}

/// One generation, loaded but attached nowhere: slot 0 is the default's, rule i counts in i + 1.
struct Generation {
    explicit Generation(const RuleSet& rules, HookKind hook = HookKind::xdp) {
        CounterSlots slots;
        slots.rules.resize(rules.rules.size());
        std::iota(slots.rules.begin(), slots.rules.end(), 1);
        auto made = create_shared_maps();
        if (!made) {
            throw std::runtime_error(made.error().message());
        }
        maps = *std::move(made);
        const NameIds names = resolve_names(rules).value();
        Tables tables = compile(rules, slots, names).value();
        tables.config.handover.token = handover_token;
        auto loaded = load_program(tables, maps, hook);
        if (!loaded) {
            throw std::runtime_error(loaded.error().message());
        }
        program = *std::move(loaded);
    }
    SharedMaps maps;
    LoadedProgram program;
};

/// What no header says of a packet.
struct Where {
    std::string interface;
    std::string cgroup;
};

/// Interfaces and cgroups that packets are at, and rules ask for.
class Surroundings {
public:
    explicit Surroundings(HookKind hook) : hook_(hook) {
        if (hook == HookKind::xdp) {
            return;
        }
        places_.interfaces = {"lo", "zi0", "zi1"};
        places_.cgroups = {room_.path(), room_.make("a"), room_.make("a/b"), room_.make("c")};
    }

    [[nodiscard]] const Places& places() const { return places_; }
    [[nodiscard]] const std::string& block() const { return room_.path(); }

    /// Does `work` in a cgroup that is drawn.
    void somewhere(RandomTraffic& traffic, const std::function<void(const std::string&)>& work) {
        if (hook_ == HookKind::xdp) {
            work("");
            return;
        }
        const std::string& cgroup = places_.cgroups[traffic.below(places_.cgroups.size())];
        room_.inside(cgroup, [&] { work(cgroup); });
    }

    /// Runs the program on a packet at a drawn interface, whose name is kept in `name`.
    SkbRun run(int program, const Frame& frame, RandomTraffic& traffic, std::string& name) const {
        if (hook_ == HookKind::xdp) {
            Frame left;
            const std::uint32_t returned = test_run(program, frame, left);
            return {.returned = returned, .mark = mark_before(left, frame)};
        }
        name = places_.interfaces[traffic.below(places_.interfaces.size())];
        const std::uint32_t ifindex = if_nametoindex(name.c_str());
        const bool is_sent = hook_ == HookKind::tcx_out;
        return test_run_skb(program, frame, is_sent ? 0 : ifindex, is_sent ? ifindex : 0);
    }

private:
    HookKind hook_;
    Veth veth_{"zi0", "zi1"};
    CgroupRoom room_;
    Places places_;
};

/// What the counters should say after the frames so far.
struct Expected {
    std::vector<RuleCount> slots;
    RuleCount passed;
    RuleCount dropped;
    RuleCount arp;
    RuleCount malformed;
    std::map<std::string, std::uint64_t> malformed_by;
    /// Of the last frame.
    std::uint32_t mark = 0;
    /// The slots of the rules that sampled, in order.
    std::vector<std::uint32_t> sampled;

    static void add(RuleCount& count, std::size_t bytes) {
        ++count.packets;
        count.bytes += bytes;
    }

    /// `link_bytes` of the frame are not the hook's.
    Verdict
    frame(const RuleSet& rules, const Frame& whole, std::size_t link_bytes, const Where& where) {
        ReferencePacket packet = reference_parse(whole);
        packet.interface = where.interface;
        packet.cgroup = where.cgroup;
        const auto frame = std::span(whole).subspan(link_bytes);
        Verdict verdict = Verdict::pass;
        mark = 0;
        if (!packet.malformed.empty()) {
            ++malformed_by[packet.malformed];
            add(malformed, frame.size());
            verdict = rules.malformed_verdict;
        } else if (packet.arp) {
            add(arp, frame.size());
        } else {
            const std::size_t rule = reference_match(rules, packet);
            const bool found = rule < rules.rules.size();
            add(slots[found ? rule + 1 : 0], frame.size());
            verdict = found ? rules.rules[rule].verdict : rules.default_verdict;
            if (found && rules.rules[rule].actions.sample) {
                sampled.push_back(static_cast<std::uint32_t>(rule + 1));
            }
            mark = found ? rules.rules[rule].actions.mark.value_or(0) : 0;
        }
        add(verdict == Verdict::drop ? dropped : passed, frame.size());
        return verdict;
    }
};

/// The rules that the samples in the ring came from.
std::vector<std::uint32_t> sampled_slots(const Fd& ring) {
    std::vector<std::uint32_t> slots;
    if (ring) {
        SampleReader reader = SampleReader::open(ring).value();
        EXPECT_TRUE(reader.take(1'000'000, [&](const Sample& sample) {
            slots.push_back(sample.slot);
        }));
    }
    return slots;
}

/// A frame that the hook meets: a socket's packets are IP without tags, and the kernel runs nothing
/// shorter than a header.
Frame frame_for(HookKind hook, RandomTraffic& traffic) {
    while (true) {
        Frame frame = traffic.frame();
        frame.resize(std::max<std::size_t>(frame.size(), 14));
        const int type = frame[12] << 8 | frame[13];
        const std::size_t header = type == 0x0800 ? 20 : type == 0x86dd ? 40 : 0;
        const bool is_ip = header != 0;
        if (hook == HookKind::xdp ||
            (frame.size() > 14 + header && (is_ip || !is_of_cgroup(hook)))) {
            return frame;
        }
    }
}

void expect_agreement(
    std::uint64_t seed,
    int rule_sets,
    std::size_t rules_max,
    int frames,
    HookKind hook = HookKind::xdp
) {
    const Verdicts verdicts = verdicts_of(hook);
    const std::size_t link_bytes = is_of_cgroup(hook) ? 14 : 0;
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    RuleCount seen;
    RuleCount malformed;
    RuleCount by_default;
    std::uint64_t sampled = 0;
    std::uint64_t marked = 0;
    Surroundings surroundings(hook);
    for (int i = 0; i < rule_sets; ++i) {
        RuleSet rules = traffic.rules(rules_max, surroundings.places());
        // Every other one as a file that the parser reads.
        std::optional<RuleSet> read;
        if (i % 2 == 0) {
            make_writable(rules, hook, traffic);
            read = read_back(rules, hook, surroundings.block(), traffic);
        }
        const Generation generation(read ? *read : rules, hook);
        Expected expected;
        expected.slots.resize(limits::counter_slots);
        surroundings.somewhere(traffic, [&](const std::string& cgroup) {
            Where where{.interface = {}, .cgroup = cgroup};
            for (int j = 0; j < frames; ++j) {
                const Frame frame = frame_for(hook, traffic);
                const SkbRun run =
                    surroundings.run(generation.program.fd.get(), frame, traffic, where.interface);
                const Verdict verdict = expected.frame(rules, frame, link_bytes, where);
                ASSERT_EQ(run.returned, verdict == Verdict::drop ? verdicts.drop : verdicts.pass)
                    << "rule set " << i << ", frame " << j << ", at " << where.interface;
                if (verdict == Verdict::pass) {
                    ASSERT_EQ(run.mark, expected.mark) << "rule set " << i << ", frame " << j;
                    marked += run.mark != 0 ? 1 : 0;
                }
            }
        });
        if (testing::Test::HasFatalFailure()) {
            return;
        }
        ASSERT_EQ(read_counters(generation.maps.counters).value(), expected.slots);
        const InterfaceStats stats = read_stats(generation.maps.stats).value();
        EXPECT_EQ(stats.passed, expected.passed);
        EXPECT_EQ(stats.dropped, expected.dropped);
        EXPECT_EQ(stats.arp, expected.arp);
        EXPECT_EQ(stats.malformed, expected.malformed);
        for (const InterfaceStats::Reason& reason : stats.malformed_by) {
            EXPECT_EQ(reason.packets, expected.malformed_by[std::string(reason.name)])
                << reason.name;
        }
        EXPECT_EQ(stats.sampled, expected.sampled.size());
        EXPECT_EQ(sampled_slots(generation.maps.samples), expected.sampled);
        sampled += stats.sampled;
        seen.packets += stats.passed.packets + stats.dropped.packets;
        malformed.packets += stats.malformed.packets;
        by_default.packets += expected.slots[0].packets;
    }
    // The comparison is worth something only if the frames meet the rules.
    EXPECT_LT(malformed.packets, seen.packets / 3);
    EXPECT_GT(malformed.packets, seen.packets / 50);
    EXPECT_LT(by_default.packets, seen.packets * 3 / 4);
    EXPECT_GT(sampled, seen.packets / 500);
    EXPECT_GT(marked, seen.packets / 500);
    EXPECT_EQ(
        seen.packets, static_cast<std::uint64_t>(rule_sets) * static_cast<std::uint64_t>(frames)
    );
}

} // namespace

TEST(EngineInKernel, agrees_with_trying_one_rule_after_the_other) {
    Lab::enter();
    expect_agreement(std::random_device{}(), 200, 64, 3000);
}

TEST(EngineInKernel, agrees_beyond_one_word_of_rules) {
    Lab::enter();
    expect_agreement(std::random_device{}(), 140, limits::rules_max, 3000);
}

TEST(EngineInKernel, agrees_about_what_a_device_sends) {
    Lab::enter();
    expect_agreement(std::random_device{}(), 60, 100, 2000, HookKind::tcx_out);
}

TEST(EngineInKernel, agrees_about_what_sockets_send) {
    Lab::enter();
    expect_agreement(std::random_device{}(), 60, 100, 2000, HookKind::cgroup_out);
}

TEST(EngineInKernel, agrees_about_what_sockets_receive) {
    Lab::enter();
    expect_agreement(std::random_device{}(), 60, 100, 2000, HookKind::cgroup_in);
}

TEST(EngineInKernel, agrees_about_long_lists) {
    Lab::enter();
    constexpr std::size_t count = 6000;
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    const auto random_prefix = [&](Family family, std::uint8_t length) {
        Prefix prefix{.family = family, .length = length};
        for (std::size_t i = 0; i < length / 8; ++i) {
            prefix.address[i] = static_cast<std::uint8_t>(traffic.below(i == 0 ? 64 : 256));
        }
        return prefix;
    };
    AddressSet prefixes;
    AddressSet endpoints;
    for (std::size_t i = 0; i < count; ++i) {
        prefixes.push_back(random_prefix(Family::ipv4, i % 2 == 0 ? 24 : 32));
        prefixes.push_back(random_prefix(Family::ipv6, i % 3 == 0 ? 48 : i % 3 == 1 ? 64 : 128));
        for (const Family family : {Family::ipv4, Family::ipv6}) {
            Prefix& endpoint =
                endpoints.emplace_back(random_prefix(family, family == Family::ipv4 ? 32 : 128));
            endpoint.port = static_cast<std::uint16_t>(traffic.below(65536));
        }
    }
    RuleSet rules;
    add_rule(rules, Verdict::drop, "endpoints").from = add_set(rules, endpoints);
    add_rule(rules, Verdict::drop, "prefixes").from = add_set(rules, prefixes);
    const Generation generation(rules);
    std::array<std::size_t, 3> matched{};
    for (std::size_t i = 0; i < count; ++i) {
        const Prefix& prefix = (i % 3 == 0 ? endpoints : prefixes)[i];
        MadePacket packet;
        packet.family = prefix.family;
        packet.protocol = 17;
        packet.length = 60;
        packet.source_port = prefix.port.value_or(static_cast<std::uint16_t>(i));
        packet.source =
            random_prefix(prefix.family, prefix.family == Family::ipv4 ? 32 : 128).address;
        std::copy_n(prefix.address.begin(), prefix.length / 8, packet.source.begin());
        if (i % 4 == 0) { // beside it
            const std::size_t bit = traffic.below(prefix.length);
            packet.source[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        }
        const Frame frame = frame_of(packet);
        const std::size_t rule = reference_match(rules, reference_parse(frame));
        Frame left;
        ASSERT_EQ(test_run(generation.program.fd.get(), frame, left), rule == 2 ? 2U : 1U) << i;
        ++matched[rule];
    }
    const std::vector<RuleCount> slots = read_counters(generation.maps.counters).value();
    for (std::size_t rule = 0; rule < matched.size(); ++rule) {
        EXPECT_EQ(slots[rule == 2 ? 0 : rule + 1].packets, matched[rule]);
        EXPECT_GT(matched[rule], count / 10);
    }
}

TEST(EngineInKernel, explains_by_the_rule_that_trying_one_after_the_other_finds) {
    Lab::enter();
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomTraffic traffic(seed);
    std::size_t by_rule = 0;
    constexpr std::array hooks{
        HookKind::xdp, HookKind::tcx_out, HookKind::cgroup_in, HookKind::cgroup_out
    };
    for (int i = 0; i < 120; ++i) {
        const RuleSet rules = traffic.rules(40);
        MadePacket packet;
        packet.family = traffic.chance(2) ? Family::ipv4 : Family::ipv6;
        packet.source = traffic.address(packet.family);
        packet.destination = traffic.address(packet.family);
        packet.protocol = traffic.chance(2) ? 6 : 17;
        packet.source_port = traffic.port();
        packet.destination_port = traffic.port();
        packet.length = static_cast<std::uint16_t>(60 + traffic.below(40));
        const HookKind hook = hooks[static_cast<std::size_t>(i) % hooks.size()];
        const auto explained = explain(rules, packet, hook);
        ASSERT_TRUE(explained) << explained.error().message();
        const std::size_t rule = reference_match(rules, reference_parse(frame_of(packet)));
        const bool found = rule < rules.rules.size();
        ASSERT_EQ(explained->rule.value_or(rules.rules.size()), rule) << "rule set " << i;
        EXPECT_EQ(explained->verdict, found ? rules.rules[rule].verdict : rules.default_verdict);
        by_rule += found ? 1 : 0;
    }
    EXPECT_GT(by_rule, 40U);
}

TEST(EngineInKernel, explains_rules_with_actions) {
    Lab::enter();
    const auto explained = [](std::string_view rule) {
        const auto rules = parse_rules(rule, "test.rules", read_regular_file);
        EXPECT_TRUE(rules) << join_messages(rules.error_or(std::vector<Diagnostic>()));
        MadePacket packet;
        packet.protocol = 6;
        packet.destination_port = 80;
        packet.length = 60;
        Outcome<Explanation> answer = explain(rules.value_or(RuleSet{}), packet);
        EXPECT_TRUE(answer) << rule;
        return std::move(answer).value_or(Explanation{});
    };
    const Explanation redirected = explained("pass redirect lo proto tcp dport 80");
    EXPECT_EQ(redirected.verdict, Verdict::pass);
    EXPECT_EQ(redirected.rule, 0U);
    EXPECT_EQ(redirected.reasons.back(), "redirect: it leaves by lo, if that is there");
    for (const char* rule :
         {"pass limit 1/s burst 1 by source proto tcp dport 80",
          "pass sample 1/1 proto tcp dport 80",
          "pass mark 7 proto tcp dport 80",
          "pass challenge proto tcp dport 80"}) { // nobody listens
        SCOPED_TRACE(rule);
        const Explanation passed = explained(rule);
        EXPECT_EQ(passed.verdict, Verdict::pass);
        EXPECT_EQ(passed.rule, 0U);
    }
    EXPECT_EQ(explained("drop sample 1/1 proto tcp dport 80").verdict, Verdict::drop);
}

TEST(EngineInKernel, explains_addresses_with_ports) {
    Lab::enter();
    const auto rules = parse_rules(
        "set servers { 192.0.2.0/24, 10.0.0.1:53, 10.0.0.1, [2001:db8::1]:53 }\n"
        "drop to @servers proto udp\npass from [2001:db8::9]:7\n",
        "test.rules",
        read_regular_file
    );
    ASSERT_TRUE(rules) << join_messages(rules.error());
    const auto why = [&](std::string_view packet) {
        const auto explained = explain(*rules, parse_made_packet(packet).value());
        EXPECT_TRUE(explained);
        return explained->reasons.empty() ? explained->text : explained->reasons.front();
    };
    EXPECT_EQ(why("udp 1.2.3.4:9 > 10.0.0.1:53"), "to: 10.0.0.1:53");
    EXPECT_EQ(why("udp 1.2.3.4:9 > 10.0.0.1:54"), "to: 10.0.0.1 is in 10.0.0.1");
    EXPECT_EQ(why("udp 1.2.3.4:9 > 192.0.2.9:54"), "to: 192.0.2.9 is in 192.0.2.0/24");
    EXPECT_EQ(why("udp [::1]:9 > [2001:db8::1]:53"), "to: [2001:db8::1]:53");
    EXPECT_EQ(why("udp [::1]:9 > [2001:db8::1]:54"), "default pass");
    EXPECT_EQ(why("tcp 1.2.3.4:9 > 10.0.0.1:53"), "default pass");
    for (const char* protocol : {"tcp", "udp", "sctp"}) {
        EXPECT_EQ(
            why(std::format("{} [2001:db8::9]:7 > [::2]:9", protocol)), "from: [2001:db8::9]:7"
        );
    }
}

TEST(EngineInKernel, without_addresses_with_ports_their_code_is_gone) {
    Lab::enter();
    const auto bytes = [](std::string_view text) {
        const auto rules = parse_rules(text, "test.rules", read_regular_file);
        EXPECT_TRUE(rules);
        return program_bytes(Generation(*rules).program.fd);
    };
    const std::uint32_t without = bytes("drop from 10.0.0.1 proto udp sport 53\n");
    EXPECT_GT(bytes("drop from { 10.0.0.1, 10.0.0.2:53 } proto udp sport 53\n"), without);
    EXPECT_EQ(bytes("drop from 10.0.0.2 proto udp sport 53\n"), without);
}

TEST(EngineInKernel, explains_what_a_shaped_interface_sends) {
    Lab::enter();
    const auto rules = parse_rules(
        "shape 100mbit {\n class gold guarantee 10mbit\n}\npass out class gold proto udp\ndrop "
        "out\n",
        "test.rules",
        read_regular_file
    );
    ASSERT_TRUE(rules) << join_messages(rules.error());
    const RuleSet out = rules_of_hook(*rules, 1);
    MadePacket packet;
    packet.length = 60;
    packet.protocol = 17;
    const auto passed = explain(out, packet, HookKind::tcx_out);
    ASSERT_TRUE(passed) << passed.error().message();
    EXPECT_EQ(passed->verdict, Verdict::pass);
    EXPECT_TRUE(passed->text.contains("class gold")) << passed->text;
    packet.protocol = 6;
    const auto dropped = explain(out, packet, HookKind::tcx_out);
    ASSERT_TRUE(dropped) << dropped.error().message();
    EXPECT_EQ(dropped->verdict, Verdict::drop);
    EXPECT_EQ(dropped->rule, 1U);
}

TEST(EngineInKernel, loads_at_both_limits_in_few_verifier_steps) {
    Lab::enter();
    RandomTraffic traffic(5);
    RuleSet rules = traffic.rules(limits::rules_max);
    while (rules.rules.size() < limits::rules_max) {
        RuleSet more = traffic.rules(limits::rules_max);
        const auto shift = static_cast<std::uint32_t>(rules.address_sets.size());
        for (AddressSet& set : more.address_sets) {
            rules.address_sets.push_back(std::move(set));
        }
        for (Rule& rule : more.rules) {
            if (rules.rules.size() < limits::rules_max) {
                for (auto* set : {&rule.from, &rule.to}) {
                    if (*set) {
                        **set += shift;
                    }
                }
                rules.rules.push_back(std::move(rule));
            }
        }
    }
    rules.rules.front().from = static_cast<std::uint32_t>(rules.address_sets.size());
    AddressSet& big = rules.address_sets.emplace_back();
    std::size_t others = prefix_count(rules);
    for (std::uint32_t i = 0; others + i < limits::prefixes_max; ++i) {
        Prefix& prefix = big.emplace_back();
        prefix.length = 32;
        const std::uint32_t address = i * 32749;
        for (std::size_t byte = 0; byte < 4; ++byte) {
            prefix.address[byte] = static_cast<std::uint8_t>(address >> (24 - 8 * byte));
        }
    }
    const Generation generation(rules);
    EXPECT_LT(verified_instructions(generation.program.fd), 30'000U);
}
