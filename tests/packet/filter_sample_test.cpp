// Rules with `sample`: what their packets' copies say, and that they go on over loads and restarts.
#include "tests/packet/filter_fixture.hpp"

#include <zsync/packet/limits.hpp>

#include <algorithm>
#include <chrono>
#include <poll.h>
#include <vector>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

struct Copy {
    std::uint32_t slot;
    Verdict verdict;
    std::uint32_t wire_bytes;
    Frame bytes;
};

std::vector<Copy> take_all(SampleReader& reader) {
    std::vector<Copy> copies;
    must(reader.take(1'000'000, [&](const Sample& sample) {
        copies.push_back(
            {sample.slot,
             sample.verdict,
             sample.wire_bytes,
             Frame(sample.bytes.begin(), sample.bytes.end())}
        );
    }));
    return copies;
}

bool is_ready(const SampleReader& reader) {
    pollfd waiting{.fd = reader.ready_fd(), .events = POLLIN, .revents = 0};
    return poll(&waiting, 1, 0) == 1;
}

/// One rule that drops a source's packets and samples one of `every`.
RuleSet sample_source(std::string_view text, std::uint32_t every) {
    RuleSet rules = drop_source(text);
    rules.rules.front().actions.sample = every;
    rules.rules.front().text = std::format("drop sample 1/{} from {}", every, text);
    return rules;
}

} // namespace

TEST_F(FilterTest, sample_copies_the_packets_of_its_rule_and_no_others) {
    RuleSet rules = sample_source("10.1.0.0/16", 1);
    const std::uint32_t set = add_set(rules, addresses({"10.2.0.0/16"}));
    Rule& passing = add_rule(rules, Verdict::pass, "pass sample 1/1 from 10.2.0.0/16");
    passing.from = set;
    passing.actions.sample = 1;
    const Filter filter = must(Filter::attach(options(), rules));
    SampleReader reader = must(filter.read_samples());
    const FrameSender sender(veth_.peer());
    EXPECT_FALSE(is_ready(reader));
    const Frame dropped = udp_from(0x0a010001);
    const Frame passed = ethernet(0x0800) + ipv4({.source = 0x0a020001}, udp(1, 2, 1200));
    sender.send(udp_from(0x0a030001));
    sender.send(dropped);
    sender.send(passed);
    EXPECT_TRUE(is_ready(reader));
    const std::vector<Copy> copies = take_all(reader);
    ASSERT_EQ(copies.size(), 2U);
    EXPECT_EQ(copies[0].slot, filter.live_rules()[0].slot);
    EXPECT_EQ(copies[0].verdict, Verdict::drop);
    EXPECT_EQ(copies[0].wire_bytes, dropped.size());
    EXPECT_EQ(copies[0].bytes, dropped);
    EXPECT_EQ(copies[1].slot, filter.live_rules()[1].slot);
    EXPECT_EQ(copies[1].verdict, Verdict::pass);
    EXPECT_EQ(copies[1].bytes, passed);
    EXPECT_EQ(filter.stats()->sampled, 2U);
    EXPECT_EQ(filter.stats()->samples_lost, 0U);
    EXPECT_EQ(filter.rule_counts()->front().packets, 1U);
}

TEST_F(FilterTest, sample_stamps_the_time_of_day) {
    const Filter filter = must(Filter::attach(options(), sample_source("10.0.0.0/8", 1)));
    SampleReader reader = must(filter.read_samples());
    const auto now = [] {
        return static_cast<std::uint64_t>(
            std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count()
        );
    };
    const std::uint64_t before = now();
    FrameSender(veth_.peer()).send(udp_from(0x0a010001));
    const std::uint64_t after = now();
    std::uint64_t stamp = 0;
    must(reader.take(1, [&](const Sample& sample) { stamp = sample.time_ns; }));
    constexpr std::uint64_t offset_error_ns = 1'000'000'000; // two clocks are read after each other
    EXPECT_GE(stamp + offset_error_ns, before);
    EXPECT_LE(stamp, after + offset_error_ns);
}

TEST_F(FilterTest, sample_chooses_its_share_and_counts_what_finds_no_place) {
    const Filter filter = must(Filter::attach(options(), sample_source("10.0.0.0/8", 16)));
    const Fd program = live_program(filter, lab_.bpf_dir());
    constexpr std::uint32_t packets = 1'600'000;
    test_run(program.get(), udp_from(0x0a010001), packets);
    const InterfaceStats stats = filter.stats().value();
    // 100,000 with a standard deviation of 306: fifteen of them on either side.
    EXPECT_NEAR(static_cast<double>(stats.sampled), packets / 16.0, 15 * 306);
    SampleReader reader = must(filter.read_samples());
    const std::size_t copies = take_all(reader).size();
    EXPECT_GT(copies, limits::sample_ring_bytes / 200);
    EXPECT_EQ(copies + stats.samples_lost, stats.sampled);
    EXPECT_EQ(filter.rule_counts()->front().packets, packets);
}

TEST_F(FilterTest, sample_copies_the_first_1600_bytes_of_a_longer_frame) {
    run("ip link set zt0 mtu 3000 && ip link set zt1 mtu 3000");
    const Filter filter = must(Filter::attach(options(), sample_source("10.0.0.0/8", 1)));
    SampleReader reader = must(filter.read_samples());
    const Frame frame = ethernet(0x0800) + ipv4({.source = 0x0a020001}, udp(1, 2, 2500));
    FrameSender(veth_.peer()).send(frame);
    const std::vector<Copy> copies = take_all(reader);
    ASSERT_EQ(copies.size(), 1U);
    EXPECT_EQ(copies[0].wire_bytes, frame.size());
    EXPECT_EQ(copies[0].bytes, Frame(frame.begin(), frame.begin() + 1600));
}

TEST_F(FilterTest, a_reader_of_samples_goes_on_over_a_load_and_a_restart_finds_the_ring) {
    Filter filter = must(Filter::attach(options(), sample_source("10.1.0.0/16", 1)));
    SampleReader reader = must(filter.read_samples());
    const FrameSender sender(veth_.peer());
    sender.send(udp_from(0x0a010001));
    must(filter.load(sample_source("10.2.0.0/16", 1)));
    sender.send(udp_from(0x0a020001));
    EXPECT_EQ(take_all(reader).size(), 2U);
    sender.send(udp_from(0x0a020001));
    filter = must(Filter::adopt(options()));
    SampleReader next = must(filter.read_samples());
    EXPECT_EQ(take_all(next).size(), 1U);
}

TEST_F(FilterTest, without_a_rule_that_samples_there_is_no_ring) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    EXPECT_EQ(filter.read_samples().error().error, Error(PacketError::no_samples));
    must(filter.load(sample_source("10.1.0.0/16", 1)));
    EXPECT_TRUE(filter.read_samples());
    const std::uint32_t with_samples = program_bytes(live_program(filter, lab_.bpf_dir()));
    must(filter.load(drop_source("10.1.0.0/16")));
    EXPECT_EQ(filter.read_samples().error().error, Error(PacketError::no_samples));
    EXPECT_LT(program_bytes(live_program(filter, lab_.bpf_dir())), with_samples);
    filter = must(Filter::adopt(options()));
    EXPECT_EQ(filter.read_samples().error().error, Error(PacketError::no_samples));
}
