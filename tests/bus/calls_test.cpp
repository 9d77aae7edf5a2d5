#include "world.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <string>
#include <unistd.h>

using namespace zsync;
using namespace zsync::bus;
using namespace zsync::bus::test;

namespace {

Task<Outcome<void>> call_and_read(World* world) {
    ZCO_TRY(
        const auto previous,
        co_await world->client.call<std::uint32_t>(lamp_target(), "Dim", 7U, Options())
    );
    EXPECT_EQ(previous, 0U);
    ZCO_TRY(
        const auto brightness,
        co_await world->client.property<std::uint32_t>(lamp_target(), "Brightness")
    );
    EXPECT_EQ(brightness, 7U);
    co_return {};
}

Task<Outcome<void>> echo_everything(World* world) {
    const Everything value{
        .b = true,
        .y = 255,
        .n = -32768,
        .q = 65535,
        .i = -1,
        .u = 4000000000U,
        .x = -5,
        .t = ~0ULL,
        .d = 0.5,
        .s = "text \u00e4",
        .o = {"/a/b"},
        .v = {std::vector<std::string>{"x", "y"}},
        .as = {"one", "two"},
        .ast = {{"a", 1}, {"b", 2}},
        .aus = {{1, "first"}, {2, "second"}},
    };
    ZCO_TRY(
        const auto back,
        co_await world->client.call<std::tuple<Everything>>(lamp_target(), "Echo", value)
    );
    EXPECT_EQ(std::get<0>(back), value);
    co_return {};
}

Task<Outcome<void>> pass_a_descriptor(World* world) {
    Fd file(::memfd_create("text", MFD_CLOEXEC));
    EXPECT_EQ(::pwrite(file.get(), "hello", 5, 0), 5);
    ZCO_TRY(
        const std::string contents,
        co_await world->client.call<std::string>(lamp_target(), "Contents", std::move(file))
    );
    EXPECT_EQ(contents, "hello");
    co_return {};
}

Task<Outcome<void>> options(World* world) {
    const Options by_two{.values = {{"double", Variant{true}}}};
    ZCO_CHECK(co_await world->client.call<std::uint32_t>(lamp_target(), "Dim", 4U, by_two));
    EXPECT_EQ(world->lamp->brightness(), 8U);

    const Options unknown{.values = {{"colour", Variant{std::string("red")}}}};
    auto answer = co_await world->client.call<std::uint32_t>(lamp_target(), "Dim", 5U, unknown);
    EXPECT_FALSE(answer);
    EXPECT_EQ(answer.error().name, "org.zsync1.Error.InvalidArgument");
    EXPECT_EQ(answer.error().text, "unknown option: colour");

    const Options mistyped{.values = {{"double", Variant{std::uint32_t{1}}}}};
    answer = co_await world->client.call<std::uint32_t>(lamp_target(), "Dim", 5U, mistyped);
    EXPECT_FALSE(answer);
    EXPECT_EQ(answer.error().name, "org.zsync1.Error.InvalidArgument");
    EXPECT_EQ(world->lamp->brightness(), 8U);
    co_return {};
}

Task<Outcome<void>> wrong_types(World* world) {
    const auto text = co_await world->client.call<void>(lamp_target(), "Dim", std::string("x"));
    EXPECT_FALSE(text);
    EXPECT_EQ(text.error().name, SD_BUS_ERROR_INVALID_ARGS);
    const auto result =
        co_await world->client.call<std::string>(lamp_target(), "Dim", 1U, Options());
    EXPECT_FALSE(result);
    EXPECT_EQ(result.error().error, Error(BusError::bad_reply));
    const auto property = co_await world->client.property<std::string>(lamp_target(), "Brightness");
    EXPECT_FALSE(property);
    EXPECT_EQ(property.error().error, Error(BusError::bad_reply));
    const auto member = co_await world->client.call<void>(lamp_target(), "Explode");
    EXPECT_FALSE(member);
    EXPECT_EQ(member.error().name, SD_BUS_ERROR_UNKNOWN_METHOD);
    Target nowhere = lamp_target();
    nowhere.destination = "org.example.Nobody";
    const auto nobody = co_await world->client.call<void>(nowhere, "Glow");
    EXPECT_FALSE(nobody);
    EXPECT_EQ(nobody.error().error, Error(BusError::no_such_service));
    co_return {};
}

Task<Outcome<void>> size_limit(World* world) {
    // A string takes its bytes and the NUL at its end.
    const std::size_t most = bus::limits::message_bytes_max - 1;
    ZCO_TRY(
        const auto length,
        co_await world->client.call<std::uint64_t>(lamp_target(), "Length", std::string(most, 'x'))
    );
    EXPECT_EQ(length, most);
    const auto refused = co_await world->client.call<std::uint64_t>(
        lamp_target(), "Length", std::string(most + 1, 'x')
    );
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().name, "org.zsync1.Error.LimitReached");
    EXPECT_EQ(refused.error().error, Error(CoreError::limit_reached));
    co_return {};
}

Task<Outcome<void>> many_small_elements(World* world) {
    Everything value;
    value.o = {"/"};
    value.v = {false};
    value.as.resize(bus::limits::message_bytes_max / 8);
    const auto refused =
        co_await world->client.call<std::tuple<Everything>>(lamp_target(), "Echo", value);
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().name, "org.zsync1.Error.LimitReached");
    co_return {};
}

Task<Outcome<void>> calls_without_reply(World* world) {
    world->client.call_without_reply(lamp_target(), "Dim", 9U, Options());
    // Answered after the one before it, by the order of the bus.
    ZCO_TRY(
        const auto brightness,
        co_await world->client.property<std::uint32_t>(lamp_target(), "Brightness")
    );
    EXPECT_EQ(brightness, 9U);
    co_return {};
}

Task<Outcome<void>> timeout(World* world) {
    Target target = lamp_target();
    target.timeout = std::chrono::milliseconds(20);
    const auto late = co_await world->client.call<void>(target, "Glow");
    EXPECT_FALSE(late);
    EXPECT_EQ(late.error().error, Error(CoreError::timed_out));
    co_return {};
}

Task<Outcome<void>> error_has_name_and_words(World* world) {
    ZCO_TRY(
        const auto signals,
        co_await world->client.subscribe("type='signal',interface='org.example.Lamp'")
    );
    const auto failed =
        co_await world->client.call<void>(lamp_target(), "BurnOut", std::string("age"));
    EXPECT_FALSE(failed);
    EXPECT_EQ(failed.error().name, "org.zsync1.Error.Closed");
    EXPECT_EQ(failed.error().text, "the lamp is dark: age");
    EXPECT_EQ(signals->waiting(), 1U) << "the signal was sent before the reply";
    ZCO_TRY(const auto signal, co_await signals->next<std::string>());
    EXPECT_EQ(std::get<0>(signal), "age");
    co_return {};
}

} // namespace

TEST(BusCalls, method_and_property_round_trip) { in_world(&call_and_read); }
TEST(BusCalls, every_type_round_trips) { in_world(&echo_everything); }
TEST(BusCalls, a_descriptor_is_passed) { in_world(&pass_a_descriptor); }
TEST(BusCalls, unknown_and_mistyped_options_are_refused) { in_world(&options); }
TEST(BusCalls, wrong_types_are_refused_on_both_sides) { in_world(&wrong_types); }
TEST(BusCalls, arguments_at_the_limit_pass_and_one_byte_more_is_refused) { in_world(&size_limit); }
TEST(BusCalls, many_empty_elements_count_as_bytes) { in_world(&many_small_elements); }
TEST(BusCalls, without_reply_are_done) { in_world(&calls_without_reply); }
TEST(BusCalls, time_out) { in_world(&timeout); }
TEST(BusCalls, failure_has_name_words_and_comes_after_the_signal) {
    in_world(&error_has_name_and_words);
}
