#include "lamp.hpp"
#include "private_bus.hpp"

#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <memory>
#include <unistd.h>

using namespace zsync;
using namespace zsync::bus;
using namespace zsync::bus::test;
using namespace std::chrono_literals;

namespace {

/// A service with a lamp and one client, each with its own connection.
struct World {
    World(Io io, Scope& scope, const std::string& address)
        : service(io, scope, {.address = address}), client(io, scope, {.address = address}) {}

    Connection service;
    Connection client;
    std::shared_ptr<Lamp> lamp = std::make_shared<Lamp>();

    Task<Outcome<void>> open() {
        ZCO_CHECK(service.add_object_manager("/org/example"));
        ZCO_CHECK(service.add(lamp_path, lamp));
        ZCO_CHECK(co_await service.open());
        ZCO_CHECK(co_await service.own_name(lamp_name));
        co_return co_await client.open();
    }
};

using Body = Task<Outcome<void>> (*)(World*);

Task<Outcome<void>> run_body(Io io, std::string address, Body body) {
    Scope scope(io, "test");
    World world(io, scope, address);
    Outcome<void> result = co_await world.open();
    if (result) {
        result = co_await body(&world);
    }
    scope.cancel();
    (void)co_await scope.join();
    co_return result;
}

void in_world(Body body) {
    const PrivateBus bus;
    auto worker = Worker::create();
    ASSERT_TRUE(worker) << worker.error().message();
    const auto result = (*worker)->run("test", run_body((*worker)->io(), bus.address(), body));
    EXPECT_TRUE(result) << result.error().message();
}

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

} // namespace

TEST(Calls, method_and_property_round_trip) { in_world(&call_and_read); }
TEST(Calls, every_type_round_trips) { in_world(&echo_everything); }
