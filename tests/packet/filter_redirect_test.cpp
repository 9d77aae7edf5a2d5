// Rules with `redirect`: frames leave by another interface, and are lost by nobody's silence.
#include "tests/packet/filter_fixture.hpp"
#include "tests/packet/rules_parse.hpp"

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

const RuleSet to_other = rules_of("pass redirect zu0 from 10.1.0.0/16");

} // namespace

TEST_F(FilterTest, redirect_sends_frames_out_of_another_interface) {
    const Veth other("zu0", "zu1");
    // A veth takes frames from XDP when its other end has a program.
    const Filter far = must(Filter::attach(options_for("zu1"), RuleSet{}));
    Filter filter = must(Filter::attach(options(), to_other));
    const FrameSender sender(veth_.peer());
    for (int i = 0; i < 5; ++i) {
        sender.send(udp_from(0x0a010001));
    }
    sender.send(udp_from(0x0a020001));
    EXPECT_EQ(filter.rule_counts()->front().packets, 5U);
    EXPECT_EQ(filter.stats()->redirected, 5U);
    EXPECT_EQ(filter.stats()->passed.packets, 6U);
    EXPECT_EQ(filter.stats()->dropped.packets, 0U);
    EXPECT_EQ(far.stats()->passed, (RuleCount{5, 5 * udp_from(0).size()}));
    must(filter.load(drop_source("10.1.0.0/16")));
    sender.send(udp_from(0x0a010001));
    EXPECT_EQ(filter.stats()->redirected, 5U);
}

TEST_F(FilterTest, redirect_to_a_device_that_would_lose_the_frames_is_refused_in_words) {
    const Veth other("zu0", "zu1");
    const auto refused = Filter::attach(options(), to_other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::mode_unavailable));
    EXPECT_TRUE(refused.error().message().contains("give the other end of this veth"))
        << refused.error().message();
    EXPECT_TRUE(Filter::list_pinned(lab_.bpf_dir()).empty());
}

TEST_F(FilterTest, redirect_in_generic_mode_needs_nothing_of_the_device) {
    const Veth other("zu0", "zu1");
    const Filter far = must(Filter::attach(options_for("zu1", AttachMode::generic), RuleSet{}));
    const Filter filter =
        must(Filter::attach(options_for(veth_.name(), AttachMode::generic), to_other));
    FrameSender(veth_.peer()).send(udp_from(0x0a010001));
    EXPECT_EQ(filter.stats()->redirected, 1U);
    EXPECT_EQ(far.stats()->passed.packets, 1U);
}

TEST_F(FilterTest, redirect_drops_when_its_device_is_gone_and_never_takes_another_one) {
    const Filter filter = [&] {
        const Veth other("zu0", "zu1");
        const Filter far = must(Filter::attach(options_for("zu1"), RuleSet{}));
        return must(Filter::attach(options(), to_other));
    }();
    const Veth later("zu0", "zu1");
    FrameSender(veth_.peer()).send(udp_from(0x0a010001));
    EXPECT_EQ(filter.stats()->redirected, 0U);
    EXPECT_EQ(filter.stats()->dropped.packets, 1U);
}

TEST_F(FilterTest, redirect_to_no_interface_is_refused) {
    const auto refused = Filter::attach(options(), to_other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(PacketError::no_such_interface));
    EXPECT_TRUE(refused.error().message().contains("zu0"));
}
