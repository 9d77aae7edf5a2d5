#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <zsyncctl/daemon.hpp>

namespace zsyncctl {
namespace {

constexpr const char* system_bus = "the system bus";

const Method reading{
    .path = "/org/zsync1",
    .interface = "org.zsync1.Manager",
    .name = "ListTasks",
    .reply_signature = "a(ttsssasttt)",
};
const Method changing{
    .path = "/org/zsync1/packet",
    .interface = "org.zsync1.Packet",
    .name = "Attach",
    .reply_signature = "o",
    .right = "org.zsync1.manage-packet",
};

TEST(Explain, absent_daemon_says_how_to_start_it) {
    const BusFailure failure{
        .error = EHOSTUNREACH, .name = SD_BUS_ERROR_SERVICE_UNKNOWN, .message = "x"
    };
    EXPECT_EQ(
        explain(failure, reading, system_bus).message,
        "zsyncd is not running on the system bus; start it with 'systemctl start zsyncd'"
    );
    EXPECT_TRUE(
        explain(failure, reading, "the bus at unix:path=/x").message.contains("zsyncd --bus")
    );
    EXPECT_TRUE(is_absence(explain(failure, reading, system_bus)));
}

TEST(Explain, refused_change_names_the_right_it_needs) {
    for (const char* name :
         {SD_BUS_ERROR_ACCESS_DENIED, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED}) {
        const BusFailure failure{.error = EACCES, .name = name, .message = "no"};
        EXPECT_EQ(
            explain(failure, changing, system_bus).message,
            "access denied: Attach needs root or the polkit right org.zsync1.manage-packet"
        );
    }
}

TEST(Explain, refused_reading_points_at_the_policy_of_the_bus) {
    const BusFailure failure{
        .error = EACCES, .name = SD_BUS_ERROR_ACCESS_DENIED, .message = "rejected"
    };
    const std::string words = explain(failure, reading, system_bus).message;
    EXPECT_TRUE(words.contains("policy")) << words;
    EXPECT_TRUE(words.contains("rejected")) << words;
}

TEST(Explain, own_errors_of_the_daemon_are_handed_on) {
    const BusFailure failure{
        .error = EIO, .name = "org.zsync1.Error.NoSuchInterface", .message = "no interface 'eth9'"
    };
    const Refusal refusal = explain(failure, changing, system_bus);
    EXPECT_EQ(refusal.message, "no interface 'eth9'");
    EXPECT_EQ(refusal.bus_error, "org.zsync1.Error.NoSuchInterface");
    EXPECT_FALSE(is_absence(refusal));
}

TEST(Explain, no_failure_is_without_words) {
    for (const BusFailure& failure :
         {BusFailure{.error = ETIMEDOUT, .name = {}, .message = {}},
          BusFailure{.error = ECONNRESET, .name = {}, .message = {}},
          BusFailure{.error = EINVAL, .name = {}, .message = {}},
          BusFailure{.error = EIO, .name = "org.zsync1.Error.Odd", .message = {}},
          BusFailure{.error = EIO, .name = SD_BUS_ERROR_NO_REPLY, .message = {}},
          BusFailure{.error = EIO, .name = SD_BUS_ERROR_UNKNOWN_METHOD, .message = {}}}) {
        const std::string words = explain(failure, changing, system_bus).message;
        EXPECT_GT(words.size(), 10U);
        EXPECT_FALSE(words.contains('\n')) << words;
    }
}

TEST(Daemon, unreachable_bus_is_named) {
    const auto daemon = Daemon::connect("unix:path=/nonexistent/bus");
    ASSERT_FALSE(daemon);
    EXPECT_TRUE(daemon.error().message.contains("cannot reach the bus at unix:path=/nonexistent/bus"
    )) << daemon.error().message;
    const auto word = Daemon::connect("system");
    ASSERT_FALSE(word);
    EXPECT_TRUE(word.error().message.contains("'system' is no bus address"))
        << word.error().message;
}

TEST(PacketObject, path_encodes_what_a_path_may_not_have) {
    EXPECT_EQ(packet_object("eth0"), "/org/zsync1/packet/eth0");
    EXPECT_EQ(packet_object("eth0.42"), "/org/zsync1/packet/eth0_2e42");
    EXPECT_EQ(packet_object("br-lan"), "/org/zsync1/packet/br_2dlan");
}

} // namespace
} // namespace zsyncctl
