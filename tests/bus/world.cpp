#include "world.hpp"

#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <chrono>

namespace zsync::bus::test {
namespace {

Task<Outcome<void>> run_body(Io io, PrivateBus* bus, Body body) {
    Scope scope(io, "test");
    World world(io, scope, *bus);
    Outcome<void> result = co_await world.open();
    if (result) {
        result = co_await body(&world);
    }
    scope.cancel();
    (void)co_await scope.join();
    EXPECT_EQ(world.lamp->glowing, 0U) << "a handler outlived its connection";
    co_return result;
}

} // namespace

Task<Outcome<void>> World::open() {
    ZCO_CHECK(service.add_object_manager("/org/example"));
    ZCO_CHECK(service.add(lamp_path, lamp));
    ZCO_CHECK(co_await service.open());
    ZCO_CHECK(co_await service.own_name(lamp_name));
    co_return co_await client.open();
}

Task<Outcome<void>> World::until_glowing(std::uint32_t count) {
    const TimePoint deadline = Clock::now() + std::chrono::seconds(10);
    while (lamp->glowing != count) {
        ZCO_CHECK(co_await lamp->changed.wait().until(deadline));
    }
    co_return {};
}

void in_world(Body body) {
    PrivateBus bus;
    auto worker = Worker::create();
    ASSERT_TRUE(worker) << worker.error().message();
    const auto result = (*worker)->run("test", run_body((*worker)->io(), &bus, body));
    EXPECT_TRUE(result) << result.error().message();
}

} // namespace zsync::bus::test
