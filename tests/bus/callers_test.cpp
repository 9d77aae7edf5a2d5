#include "world.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <list>

using namespace zsync;
using namespace zsync::bus;
using namespace zsync::bus::test;
using namespace std::chrono_literals;

namespace {

/// A client with a scope of its own, so that it can leave before the test ends.
Task<Result<void>> glow_until_canceled(World* world, std::uint32_t calls) {
    Scope scope(world->io, "client");
    Connection client(world->io, scope, {.address = world->bus.address()});
    if (const auto opened = co_await client.open(); opened) {
        for (std::uint32_t i = 0; i < calls; ++i) {
            client.call_without_reply(lamp_target(), "Glow");
        }
        (void)co_await world->io.sleep_for(1h);
    } else {
        ADD_FAILURE() << opened.error().message();
    }
    scope.cancel();
    (void)co_await scope.join();
    co_return {};
}

Task<Result<void>> glow_and_leave_at_once(World* world) {
    Scope scope(world->io, "client");
    Connection client(world->io, scope, {.address = world->bus.address()});
    if (co_await client.open()) {
        client.call_without_reply(lamp_target(), "Glow");
    }
    scope.cancel();
    (void)co_await scope.join();
    co_return {};
}

Task<Outcome<void>> leaving_cancels(World* world) {
    TaskRef client = world->scope.spawn("client", glow_until_canceled(world, 3));
    ZCO_CHECK(co_await world->until_glowing(3));
    client.request_cancel();
    ZCO_CHECK(co_await world->until_glowing(0));
    EXPECT_EQ(world->lamp->cut_short, 3U);
    co_return {};
}

Task<Outcome<void>> leaving_before_the_match(World* world) {
    for (int round = 0; round < 20; ++round) {
        const std::uint32_t before = world->lamp->cut_short;
        world->scope.spawn("client", glow_and_leave_at_once(world));
        while (world->lamp->cut_short == before) {
            ZCO_CHECK(co_await world->lamp->changed.wait().until(Clock::now() + 10s));
        }
    }
    ZCO_CHECK(co_await world->until_glowing(0));
    co_return {};
}

Task<Outcome<void>> others_go_on(World* world) {
    TaskRef leaving = world->scope.spawn("leaving", glow_until_canceled(world, 1));
    TaskRef staying = world->scope.spawn("staying", glow_until_canceled(world, 2));
    ZCO_CHECK(co_await world->until_glowing(3));
    leaving.request_cancel();
    ZCO_CHECK(co_await world->until_glowing(2));
    co_return {};
}

Task<Outcome<void>> one_client_too_much(World* world) {
    TaskRef busy =
        world->scope.spawn("busy", glow_until_canceled(world, bus::limits::client_calls_max - 1));
    ZCO_CHECK(co_await world->until_glowing(bus::limits::client_calls_max - 1));
    busy.request_cancel();
    ZCO_CHECK(co_await world->until_glowing(0));
    for (std::uint32_t i = 0; i < bus::limits::client_calls_max; ++i) {
        world->client.call_without_reply(lamp_target(), "Glow");
    }
    ZCO_CHECK(co_await world->until_glowing(bus::limits::client_calls_max));
    const auto refused = co_await world->client.call<void>(lamp_target(), "Glow");
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().name, "org.zsync1.Error.LimitReached");
    EXPECT_TRUE(co_await world->client.property<std::uint32_t>(lamp_target(), "Brightness"));
    co_return {};
}

Task<Outcome<void>> all_clients_too_many(World* world) {
    constexpr std::uint32_t clients = bus::limits::calls_max / bus::limits::client_calls_max;
    static_assert(clients * bus::limits::client_calls_max == bus::limits::calls_max);
    for (std::uint32_t i = 0; i < clients; ++i) {
        world->scope.spawn("busy", glow_until_canceled(world, bus::limits::client_calls_max));
    }
    ZCO_CHECK(co_await world->until_glowing(bus::limits::calls_max));
    const auto refused = co_await world->client.call<void>(lamp_target(), "Glow");
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error().error, Error(CoreError::limit_reached));
    co_return {};
}

/// Each client takes a descriptor here, and one in the bus daemon, which does this by itself.
void raise_descriptor_limit() {
    rlimit descriptors{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &descriptors), 0);
    descriptors.rlim_cur = descriptors.rlim_max;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &descriptors), 0);
}

/// What the clients of `thousands` share.
struct Crowd {
    World* world = nullptr;
    std::uint32_t size = 0;
    std::uint32_t served = 0;
    Notify all_served;
};

Task<Result<void>> dim_then_glow(Crowd* crowd, bool glow) {
    World& world = *crowd->world;
    Scope scope(world.io, "client");
    Connection client(world.io, scope, {.address = world.bus.address()});
    const auto opened = co_await client.open();
    EXPECT_TRUE(opened) << opened.error().message();
    const auto dimmed = co_await client.call<std::uint32_t>(lamp_target(), "Dim", 1U, Options());
    EXPECT_TRUE(dimmed) << dimmed.error().message();
    if (++crowd->served == crowd->size) {
        crowd->all_served.notify();
    }
    if (glow) {
        (void)co_await client.call<void>(lamp_target(), "Glow");
    } else {
        (void)co_await world.io.sleep_for(1h);
    }
    scope.cancel();
    (void)co_await scope.join();
    co_return {};
}

Task<Outcome<void>> thousands(World* world) {
    raise_descriptor_limit();
    constexpr std::uint32_t glowing = 500;
    Crowd crowd{.world = world, .size = 2000, .served = 0, .all_served = {}};
    std::list<TaskRef> clients;
    for (std::uint32_t i = 0; i < crowd.size; ++i) {
        clients.push_back(world->scope.spawn("client", dim_then_glow(&crowd, i < glowing)));
    }
    ZCO_CHECK(co_await crowd.all_served.wait().until(Clock::now() + 40s));
    ZCO_CHECK(co_await world->until_glowing(glowing));
    for (TaskRef& client : clients) {
        client.request_cancel();
    }
    ZCO_CHECK(co_await world->until_glowing(0));
    EXPECT_TRUE(co_await world->client.property<std::uint32_t>(lamp_target(), "Brightness"));
    co_return {};
}

} // namespace

TEST(BusCallers, that_leave_have_their_calls_cancelled) { in_world(&leaving_cancels); }
TEST(BusCallers, that_leave_at_once_are_noticed_too) { in_world(&leaving_before_the_match); }
TEST(BusCallers, that_stay_are_not_touched) { in_world(&others_go_on); }
TEST(BusCallers, have_a_limit_each) { in_world(&one_client_too_much); }
TEST(BusCallers, have_a_limit_together) { in_world(&all_clients_too_many); }
TEST(BusCallers, may_be_thousands) { in_world(&thousands); }
