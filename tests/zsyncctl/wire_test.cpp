#include <gtest/gtest.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include <array>
#include <cstdint>
#include <unistd.h>
#include <zsyncctl/wire.hpp>

namespace zsyncctl {
namespace {

/// A message that never travels: sealed, it can be read like one that arrived.
class Wire : public testing::Test {
protected:
    Wire() {
        EXPECT_GE(sd_bus_new(&bus_), 0);
        // Messages belong to a connection, whether or not anybody listens at its other end.
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0);
        EXPECT_GE(sd_bus_set_fd(bus_, ends_[0], ends_[0]), 0);
        EXPECT_GE(sd_bus_start(bus_), 0);
        EXPECT_GE(sd_bus_message_new_method_call(bus_, &message_, "a.b", "/", "a.b", "C"), 0);
    }
    ~Wire() override {
        sd_bus_message_unref(message_);
        sd_bus_close_unref(bus_);
        close(ends_[1]);
    }
    Json decoded() {
        EXPECT_GE(sd_bus_message_seal(message_, 1, 0), 0);
        EXPECT_GE(sd_bus_message_rewind(message_, 1), 0);
        const auto body = decode_body(message_);
        EXPECT_TRUE(body);
        return body.value_or(Json());
    }
    std::array<int, 2> ends_{};
    sd_bus* bus_ = nullptr;
    sd_bus_message* message_ = nullptr;
};

TEST_F(Wire, empty_body_is_an_empty_array) { EXPECT_EQ(decoded().dump(), "[]"); }

TEST_F(Wire, numbers_keep_all_their_bits) {
    ASSERT_GE(sd_bus_message_append(message_, "txub", UINT64_MAX, INT64_MIN, UINT32_MAX, 1), 0);
    EXPECT_EQ(decoded().dump(), "[18446744073709551615,-9223372036854775808,4294967295,true]");
}

TEST_F(Wire, rows_are_arrays_and_dictionaries_objects) {
    ASSERT_GE(
        sd_bus_message_append(
            message_, "a(usb)a{st}", 2, 1, "a", 0, 2, "b", 1, 2, "x", UINT64_C(5), "y", UINT64_C(6)
        ),
        0
    );
    EXPECT_EQ(decoded().dump(), R"([[[1,"a",false],[2,"b",true]],{"x":5,"y":6}])");
}

TEST_F(Wire, variants_are_what_they_contain) {
    ASSERT_GE(
        sd_bus_message_append(message_, "a{sv}", 2, "Name", "s", "eth0", "Rows", "a(ss)", 0), 0
    );
    EXPECT_EQ(decoded().dump(), R"([{"Name":"eth0","Rows":[]}])");
}

TEST(WireFields, missing_or_mistyped_fields_are_empty) {
    const Json object{{"text", "a"}, {"number", 7U}, {"flag", true}};
    EXPECT_EQ(text_field(object, "text"), "a");
    EXPECT_EQ(number_field(object, "number"), 7U);
    EXPECT_TRUE(flag_field(object, "flag"));
    EXPECT_EQ(text_field(object, "number"), "");
    EXPECT_EQ(number_field(object, "text"), 0U);
    EXPECT_FALSE(flag_field(object, "absent"));
    EXPECT_EQ(text_at(Json::array({"a"}), 1), "");
    EXPECT_EQ(number_at(Json("no array"), 0), 0U);
}

} // namespace
} // namespace zsyncctl
