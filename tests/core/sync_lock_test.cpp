#include "tests/core/sync_fixture.hpp"

#include <zsync/core/barrier.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/once.hpp>
#include <zsync/core/rw_lock.hpp>
#include <zsync/core/semaphore.hpp>
#include <zsync/core/wait_group.hpp>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

ZSYNC_SYNC_SUITE(RwLockTest);
ZSYNC_SYNC_SUITE(SemaphoreTest);
ZSYNC_SYNC_SUITE(EventTest);
ZSYNC_SYNC_SUITE(BarrierTest);
ZSYNC_SYNC_SUITE(WaitGroupTest);
ZSYNC_SYNC_SUITE(OnceTest);
using Order = std::vector<int>;

Task<Result<void>> read_with(Io io, RwLock& lock, Order& order, int n) {
    ZCO_TRY(const RwLock::ReadLock held, co_await lock.read());
    order.push_back(n);
    co_return co_await at_rest(io);
}

Task<Result<void>> write_with(Io io, RwLock& lock, Order& order, int n) {
    ZCO_TRY(const RwLock::WriteLock held, co_await lock.write());
    order.push_back(n);
    co_return co_await at_rest(io);
}

Task<Result<void>> acquire(Semaphore& permits, std::uint64_t count, Order& order, int n) {
    ZCO_TRY(auto held, co_await permits.acquire(count));
    order.push_back(n);
    held.forget();
    co_return {};
}

Task<Result<bool>> arrive(Barrier& barrier) { co_return co_await barrier.arrive(); }
Task<Result<void>> see(Event& event) { co_return co_await event.wait(); }
Task<Result<void>> join(WaitGroup& group) { co_return co_await group.wait(); }

} // namespace

TEST_P(RwLockTest, readers_share_and_a_waiting_writer_is_not_overtaken) {
    run([](Io io) -> Task<Result<void>> {
        RwLock lock;
        Order order;
        auto a = io.async(read_with, io, std::ref(lock), std::ref(order), 1);
        auto b = io.async(read_with, io, std::ref(lock), std::ref(order), 2);
        auto c = io.async(write_with, io, std::ref(lock), std::ref(order), 3);
        auto d = io.async(read_with, io, std::ref(lock), std::ref(order), 4);
        ZCO_CHECK(co_await io.yield());
        EXPECT_EQ(order, (Order{1, 2}));
        EXPECT_FALSE(lock.try_read().owns_lock()); // a writer waits
        EXPECT_TRUE(co_await a);
        EXPECT_TRUE(co_await b);
        EXPECT_TRUE(co_await c);
        EXPECT_TRUE(co_await d);
        EXPECT_EQ(order, (Order{1, 2, 3, 4}));
        EXPECT_TRUE(lock.try_write().owns_lock());
        co_return {};
    });
}

TEST_P(RwLockTest, a_writer_that_gives_up_lets_readers_behind_it_in) {
    run([](Io io) -> Task<Result<void>> {
        RwLock lock;
        Order order;
        RwLock::ReadLock held = lock.try_read();
        auto writer = io.async(write_with, io, std::ref(lock), std::ref(order), 1);
        auto reader = io.async(read_with, io, std::ref(lock), std::ref(order), 2);
        (void)co_await at_rest(io);
        EXPECT_TRUE(order.empty());
        EXPECT_EQ((co_await writer.cancel()).error(), canceled_error);
        EXPECT_TRUE(co_await reader);
        EXPECT_EQ(order, (Order{2}));
        EXPECT_EQ((co_await lock.write().until(io.now() + 5ms)).error(), timed_out_error);
        EXPECT_TRUE(co_await lock.read().until(io.now() + 5ms));
        co_return {};
    });
}

TEST_P(SemaphoreTest, serves_in_order_and_a_large_wish_is_not_overtaken) {
    run([](Io io) -> Task<Result<void>> {
        Semaphore permits(1);
        Order order;
        auto three = io.async(acquire, std::ref(permits), 3, std::ref(order), 1);
        auto one = io.async(acquire, std::ref(permits), 1, std::ref(order), 2);
        (void)co_await at_rest(io);
        EXPECT_EQ(permits.try_acquire().count(), 0U);
        permits.release(2);
        EXPECT_TRUE(co_await three);
        EXPECT_FALSE(one.is_finished());
        permits.release();
        EXPECT_TRUE(co_await one);
        EXPECT_EQ(order, (Order{1, 2}));
        EXPECT_EQ(permits.available(), 0U);
        co_return {};
    });
}

TEST_P(SemaphoreTest, loses_no_permit_to_cancels_deadlines_and_ends_of_life) {
    run([](Io io) -> Task<Result<void>> {
        Semaphore permits(2);
        Order order;
        auto three = io.async(acquire, std::ref(permits), 3, std::ref(order), 1);
        auto two = io.async(acquire, std::ref(permits), 2, std::ref(order), 2);
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await three.cancel()).error(), canceled_error);
        EXPECT_TRUE(co_await two); // what the first one left
        auto woken = io.async(acquire, std::ref(permits), 1, std::ref(order), 3);
        (void)co_await at_rest(io);
        permits.release();
        woken.request_cancel();
        EXPECT_TRUE(co_await woken);
        EXPECT_EQ((co_await permits.acquire().until(io.now() + 5ms)).error(), timed_out_error);
        permits.release(2);
        {
            auto held = co_await permits.acquire(2);
            EXPECT_EQ(permits.available(), 0U);
        }
        EXPECT_EQ(permits.available(), 2U);
        co_return {};
    });
}

TEST_P(EventTest, who_waited_at_set_has_seen_it_whatever_follows) {
    run([](Io io) -> Task<Result<void>> {
        Event event;
        auto a = io.async(see, std::ref(event));
        auto b = io.async(see, std::ref(event));
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await b.cancel()).error(), canceled_error);
        event.set();
        event.reset();
        a.request_cancel();
        EXPECT_TRUE(co_await a);
        EXPECT_EQ((co_await event.wait().until(io.now() + 5ms)).error(), timed_out_error);
        event.set();
        EXPECT_TRUE(co_await event.wait());
        EXPECT_TRUE(co_await event.wait());
        co_return {};
    });
}

TEST_P(BarrierTest, nobody_goes_on_before_the_last_and_one_is_told_so) {
    run([](Io io) -> Task<Result<void>> {
        Barrier barrier(3);
        for (int round = 0; round < 3; ++round) {
            auto a = io.async(arrive, std::ref(barrier));
            auto b = io.async(arrive, std::ref(barrier));
            (void)co_await at_rest(io);
            EXPECT_FALSE(a.is_finished() || b.is_finished());
            EXPECT_EQ(co_await barrier.arrive(), true);
            EXPECT_EQ(co_await a, false);
            EXPECT_EQ(co_await b, false);
        }
        co_return {};
    });
}

TEST_P(BarrierTest, who_is_canceled_or_late_has_not_arrived) {
    run([](Io io) -> Task<Result<void>> {
        Barrier barrier(2);
        auto a = io.async(arrive, std::ref(barrier));
        (void)co_await at_rest(io);
        EXPECT_EQ(barrier.arrived(), 1U);
        EXPECT_EQ((co_await a.cancel()).error(), canceled_error);
        EXPECT_EQ((co_await barrier.arrive().until(io.now() + 5ms)).error(), timed_out_error);
        EXPECT_EQ(barrier.arrived(), 0U);
        auto b = io.async(arrive, std::ref(barrier));
        (void)co_await at_rest(io);
        EXPECT_EQ(co_await barrier.arrive(), true);
        EXPECT_EQ(co_await b.cancel(), false); // the round was complete
        co_return {};
    });
}

TEST_P(WaitGroupTest, waits_until_all_is_done) {
    run([](Io io) -> Task<Result<void>> {
        WaitGroup group;
        EXPECT_TRUE(co_await group.wait());
        group.add(2);
        auto a = io.async(join, std::ref(group));
        auto b = io.async(join, std::ref(group));
        (void)co_await at_rest(io);
        group.done();
        EXPECT_EQ((co_await b.cancel()).error(), canceled_error);
        EXPECT_EQ((co_await group.wait().until(io.now() + 5ms)).error(), timed_out_error);
        group.done();
        group.add();
        EXPECT_TRUE(co_await a);
        group.done();
        co_return {};
    });
}

TEST(WaitGroupDeathTest, no_more_is_done_than_was_added) {
    WaitGroup group;
    EXPECT_DEATH(group.done(), "more was done");
}

TEST_P(OnceTest, the_first_makes_it_while_others_wait_and_a_failure_lets_the_next_try) {
    struct Maker {
        int calls = 0;
        Task<Result<int>> make(Io io, Result<int> result) {
            ++calls;
            ZCO_CHECK(co_await at_rest(io));
            co_return result;
        }
    };
    run([](Io io) -> Task<Result<void>> {
        OnceCell<int> cell;
        Maker maker;
        auto get = [&](Result<int> result) -> Task<Result<int>> {
            ZCO_TRY(
                int* value, co_await cell.get_or_make(&Maker::make, &maker, io, std::move(result))
            );
            co_return *value;
        };
        EXPECT_EQ(cell.get(), nullptr);
        auto canceled = io.async([&] { return get(1); });
        auto failing = io.async([&] { return get(fail(CoreError::closed)); });
        auto making = io.async([&] { return get(3); });
        auto waiting = io.async([&] { return get(4); });
        ZCO_CHECK(co_await io.yield());
        const auto late = co_await cell.get_or_make_until(
            io.now() + 1ms, &Maker::make, &maker, io, Result<int>(5)
        );
        EXPECT_EQ(late.error(), timed_out_error);
        EXPECT_EQ((co_await canceled.cancel()).error(), canceled_error);
        EXPECT_EQ((co_await failing).error(), closed_error);
        EXPECT_EQ(co_await making, 3);
        EXPECT_EQ(co_await waiting, 3);
        EXPECT_EQ(maker.calls, 3);
        EXPECT_EQ(*cell.get(), 3);
        co_return {};
    });
}
