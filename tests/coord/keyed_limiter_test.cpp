// A limiter for each key: what strangers with many keys can and cannot do.
#include <zsync/coord/keyed_limiter.hpp>
#include <zsync/coord/leaky_bucket.hpp>
#include <zsync/core/simulation.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace zsync::coord {
namespace {

using namespace std::chrono_literals;
using Table = KeyedLimiter<std::uint32_t, LeakyBucket>;

LeakyBucket bucket() { return *LeakyBucket::create({10, 1s}, 5); }

template <class Body> void run(Body body) {
    Simulation simulation(1);
    const Result<void> done = simulation.worker().run("root", body(simulation.worker().io()));
    EXPECT_TRUE(done) << done.error().message();
}

/// How many permits a key can have at once.
template <class T> int drained(T& table, std::uint32_t key) {
    int count = 0;
    while (table.try_acquire(key)) {
        ++count;
    }
    return count;
}

TEST(KeyedLimiterTest, limits_each_key_alone) {
    run([](Io io) -> Task<Result<void>> {
        auto table = Table::create(io, bucket(), {.keys_max = 4});
        EXPECT_TRUE(table);
        for (std::uint32_t key = 0; key < 4; ++key) {
            EXPECT_EQ(drained(**table, key), 5);
        }
        ZCO_CHECK(co_await io.sleep_for(101ms));
        for (std::uint32_t key = 0; key < 4; ++key) {
            EXPECT_EQ(drained(**table, key), 1);
        }
        ZCO_CHECK(co_await (*table)->acquire(3));
        EXPECT_EQ((*table)->stats().keys, 4U);
        co_return {};
    });
}

TEST(KeyedLimiterTest, a_flood_of_keys_neither_resets_a_live_one_nor_grows_it) {
    run([](Io io) -> Task<Result<void>> {
        auto made = Table::create(io, bucket(), {.keys_max = 1000, .shared = 64});
        Table& table = **made;
        constexpr std::uint32_t live = 7;
        EXPECT_EQ(drained(table, live), 5);
        std::uint64_t flood = 0;
        std::uint64_t from_live = 0;
        for (std::uint32_t key = 100; key < 200'100; ++key) {
            flood += table.try_acquire(key) ? 1U : 0U;
            from_live += table.try_acquire(live) ? 1U : 0U;
        }
        EXPECT_EQ(from_live, 0U) << "no time has passed";
        EXPECT_EQ(table.stats().keys, 1000U);
        EXPECT_EQ(table.stats().reclaimed, 0U) << "all keys are live";
        EXPECT_EQ(flood, 999U + 64 * 5) << "those with room, and the shared ones' bursts";
        ZCO_CHECK(co_await io.sleep_for(100ms));
        EXPECT_EQ(drained(table, live), 1) << "its own rate, as ever";
        co_return {};
    });
}

TEST(KeyedLimiterTest, forgets_keys_that_are_as_new) {
    run([](Io io) -> Task<Result<void>> {
        auto made = Table::create(io, bucket(), {.keys_max = 8});
        Table& table = **made;
        for (std::uint32_t key = 0; key < 8; ++key) {
            EXPECT_EQ(drained(table, key), 5);
        }
        ZCO_CHECK(co_await io.sleep_for(1s)); // all full again
        EXPECT_EQ(drained(table, 3), 5);
        for (std::uint32_t key = 100; key < 107; ++key) {
            EXPECT_EQ(drained(table, key), 5);
        }
        EXPECT_EQ(table.stats().reclaimed, 7U);
        EXPECT_EQ(table.stats().overflowed, 0U);
        EXPECT_EQ(drained(table, 3), 0) << "the live one was kept";
        co_return {};
    });
}

TEST(KeyedLimiterTest, keeps_a_key_that_somebody_is_about_to_wait_for) {
    run([](Io io) -> Task<Result<void>> {
        auto made = Table::create(io, bucket(), {.keys_max = 1, .shared = 1});
        Table& table = **made;
        auto pending = table.acquire(1, 5);
        EXPECT_EQ(drained(table, 2), 5) << "the shared one";
        EXPECT_EQ(table.stats().reclaimed, 0U);
        ZCO_CHECK(co_await pending);
        EXPECT_EQ(drained(table, 1), 0);
        co_return {};
    });
}

TEST(KeyedLimiterTest, tables_that_cannot_be_are_refused) {
    run([](Io io) -> Task<Result<void>> {
        using Options = Table::Options;
        for (const Options options :
             {Options{.keys_max = 0},
              Options{.keys_max = limits::limiter_keys_max + 1},
              Options{.keys_max = 1, .shared = 0},
              Options{.keys_max = 1, .shared = limits::limiter_shared_max + 1}}) {
            const auto refused = Table::create(io, bucket(), options);
            EXPECT_FALSE(refused);
            EXPECT_FALSE(refused.error().detail.empty());
        }
        EXPECT_TRUE(Table::create(
            io,
            bucket(),
            {.keys_max = limits::limiter_keys_max, .shared = limits::limiter_shared_max}
        ));
        co_return {};
    });
}

TEST(KeyedLimiterTest, takes_any_key_that_has_a_hash) {
    run([](Io io) -> Task<Result<void>> {
        auto table = KeyedLimiter<std::string, LeakyBucket>::create(io, bucket(), {.keys_max = 10});
        EXPECT_TRUE((*table)->try_acquire("alice", 5));
        EXPECT_FALSE((*table)->try_acquire("alice"));
        EXPECT_TRUE((*table)->try_acquire("bob", 5));
        co_return {};
    });
}

} // namespace
} // namespace zsync::coord
