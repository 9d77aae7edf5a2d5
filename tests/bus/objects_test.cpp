#include "world.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <format>

using namespace zsync;
using namespace zsync::bus;
using namespace zsync::bus::test;
using namespace std::chrono_literals;

namespace {

using Properties = std::map<std::string, Variant>;
using Interfaces = std::map<std::string, Properties>;

Task<Outcome<void>> change_before_reply(World* world) {
    ZCO_TRY(
        const auto changes,
        co_await world->client.subscribe("type='signal',member='PropertiesChanged'")
    );
    for (std::uint32_t level = 1; level <= 100; ++level) {
        ZCO_CHECK(co_await world->client.call<std::uint32_t>(lamp_target(), "Dim", level, Options())
        );
        EXPECT_EQ(changes->waiting(), 1U) << "whoever has the reply has seen the change";
        ZCO_TRY(
            const auto change,
            (co_await changes->next<std::string, Properties, std::vector<std::string>>())
        );
        EXPECT_EQ(std::get<0>(change), "org.example.Lamp");
        EXPECT_EQ(std::get<1>(change).at("Brightness"), Variant{level});
        EXPECT_TRUE(std::get<2>(change).empty());
    }
    co_return {};
}

Task<Outcome<void>> changes_in_a_row(World* world) {
    ZCO_TRY(
        const auto changes,
        co_await world->client.subscribe("type='signal',member='PropertiesChanged'")
    );
    for (int i = 0; i < 1000; ++i) {
        world->service.properties_changed(lamp_path, Lamp::bus_interface(), {"Brightness"});
    }
    (void)co_await changes->next_message();
    ZCO_CHECK(co_await world->client.property<std::uint32_t>(lamp_target(), "Brightness"));
    EXPECT_EQ(changes->waiting(), 0U);
    co_return {};
}

Task<Outcome<void>> announced(World* world) {
    ZCO_TRY(
        const auto added, co_await world->client.subscribe("type='signal',member='InterfacesAdded'")
    );
    ZCO_TRY(
        const auto removed,
        co_await world->client.subscribe("type='signal',member='InterfacesRemoved'")
    );
    const std::string path = object_path("/org/example", "desk lamp");
    ZCO_CHECK(world->service.add(path, std::make_shared<Lamp>()));
    ZCO_TRY(const auto addition, (co_await added->next<ObjectPath, Interfaces>()));
    EXPECT_EQ(std::get<0>(addition).value, "/org/example/desk_20lamp");
    EXPECT_EQ(
        std::get<1>(addition).at("org.example.Lamp").at("Color"), Variant{std::string("white")}
    );

    Target manager = lamp_target();
    manager.path = "/org/example";
    manager.interface = "org.freedesktop.DBus.ObjectManager";
    using Objects = std::map<ObjectPath, Interfaces>;
    ZCO_TRY(const auto objects, co_await world->client.call<Objects>(manager, "GetManagedObjects"));
    EXPECT_EQ(objects.size(), 2U);

    world->service.remove(path);
    ZCO_TRY(const auto removal, (co_await removed->next<ObjectPath, std::vector<std::string>>()));
    EXPECT_EQ(std::get<0>(removal).value, path);
    EXPECT_EQ(std::get<1>(removal), std::vector<std::string>{"org.example.Lamp"});
    Target gone = lamp_target();
    gone.path = path;
    const auto answer = co_await world->client.property<std::uint32_t>(gone, "Brightness");
    EXPECT_FALSE(answer);
    EXPECT_EQ(answer.error().name, SD_BUS_ERROR_UNKNOWN_OBJECT);
    co_return {};
}

Task<Outcome<void>> removed_under_a_call(World* world) {
    const auto lamp = std::make_shared<Lamp>();
    ZCO_CHECK(world->service.add("/org/example/other", lamp));
    Target target = lamp_target();
    target.path = "/org/example/other";
    world->client.call_without_reply(target, "Glow");
    ZCO_CHECK(co_await lamp->changed.wait());
    EXPECT_EQ(lamp->glowing, 1U);
    const std::weak_ptr<Lamp> watched = lamp;
    world->service.remove("/org/example/other");
    EXPECT_EQ(lamp->glowing, 1U) << "the call goes on, on an object that lives";
    EXPECT_GT(watched.use_count(), 1);
    co_return {};
}

Task<Outcome<void>> invalid_objects(World* world) {
    const auto bad_path = world->service.add("no/path", world->lamp);
    EXPECT_FALSE(bad_path);
    EXPECT_EQ(bad_path.error().error, Error(BusError::invalid_object));
    const auto twice = world->service.add(lamp_path, world->lamp);
    EXPECT_FALSE(twice);
    EXPECT_EQ(twice.error().error, Error(BusError::invalid_object));
    EXPECT_TRUE(co_await world->client.property<std::uint32_t>(lamp_target(), "Brightness"));
    co_return {};
}

Task<Outcome<void>> taken_and_refused_names(World* world) {
    const auto taken = co_await world->client.own_name(lamp_name);
    EXPECT_FALSE(taken);
    EXPECT_EQ(taken.error().error, Error(BusError::name_taken));
    EXPECT_NE(taken.error().detail.find(std::format("process {}", ::getpid())), std::string::npos);
    const auto refused = co_await world->client.own_name("org.example.Forbidden");
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(BusError::name_refused));
    co_return {};
}

Task<Result<void>> wait_for_glow(World* world, std::optional<CallError>* failure) {
    const auto answer = co_await world->client.call<void>(lamp_target(), "Glow");
    if (!answer) {
        *failure = answer.error();
    }
    co_return {};
}

Task<Outcome<void>> bus_restart(World* world) {
    std::optional<CallError> failure;
    world->scope.spawn("waiting", wait_for_glow(world, &failure));
    ZCO_CHECK(co_await world->until_glowing(1));
    world->bus.stop();
    EXPECT_EQ((co_await world->service.lost()).error(), Error(BusError::connection_lost));
    (void)co_await world->client.lost();
    EXPECT_EQ(world->lamp->glowing, 0U);
    EXPECT_TRUE(failure.has_value());

    const auto unreachable = co_await world->service.open();
    EXPECT_FALSE(unreachable);
    EXPECT_EQ(unreachable.error().error, Error(BusError::unreachable));

    world->bus.start();
    ZCO_CHECK(co_await world->service.open());
    ZCO_CHECK(co_await world->client.open());
    ZCO_CHECK(co_await world->client.call<std::uint32_t>(lamp_target(), "Dim", 3U, Options()));
    EXPECT_EQ(world->lamp->brightness(), 3U);
    co_return {};
}

Task<Outcome<void>> frozen_bus(World* world) {
    world->bus.freeze();
    const std::string kilobyte(1000, 'x');
    std::uint32_t sent = 0;
    // The socket takes some thousands before they wait here.
    while (world->service.is_open() && sent < 4 * bus::limits::outgoing_messages_fatal) {
        world->service.emit(lamp_path, Lamp::bus_interface(), Lamp::burnt_out, kilobyte);
        ++sent;
    }
    EXPECT_GT(sent, bus::limits::outgoing_messages_fatal);
    EXPECT_FALSE(world->service.is_open());
    const auto lost = co_await world->service.lost();
    EXPECT_EQ(lost.error(), Error(BusError::connection_lost));
    co_return {};
}

} // namespace

TEST(BusObjects, change_is_seen_before_the_reply) { in_world(&change_before_reply); }
TEST(BusObjects, changes_in_a_row_are_one_signal) { in_world(&changes_in_a_row); }
TEST(BusObjects, coming_and_going_are_announced) { in_world(&announced); }
TEST(BusObjects, removed_under_a_call_live_until_its_end) { in_world(&removed_under_a_call); }
TEST(BusObjects, bad_or_doubled_paths_are_refused) { in_world(&invalid_objects); }
TEST(BusObjects, taken_and_forbidden_names_are_told_apart) { in_world(&taken_and_refused_names); }
TEST(BusObjects, come_back_after_a_restart_of_the_bus) { in_world(&bus_restart); }
TEST(BusObjects, a_bus_that_takes_nothing_is_left) { in_world(&frozen_bus); }
