#include "tests/core/sync_fixture.hpp"

#include <zsync/core/condition.hpp>
#include <zsync/core/mutex.hpp>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

ZSYNC_SYNC_SUITE(MutexTest);
ZSYNC_SYNC_SUITE(ConditionTest);
using Order = std::vector<int>;

Task<Result<void>> take(Io io, Mutex& mutex, Order& order, int n) {
    ZCO_TRY(const Mutex::Lock lock, co_await mutex.lock());
    order.push_back(n);
    ZCO_CHECK(co_await io.yield());
    co_return {};
}

Task<Result<void>> take_until(Mutex& mutex, TimePoint deadline) {
    ZCO_TRY(const Mutex::Lock lock, co_await mutex.lock().until(deadline));
    co_return {};
}

Task<Result<void>> await_signal(Mutex& mutex, Condition& changed, Order& order, int n) {
    ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
    const Result<void> waited = co_await changed.wait(lock);
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_FALSE(mutex.try_lock().owns_lock());
    order.push_back(n);
    co_return waited;
}

Task<Result<void>> await_signal_until(Mutex& mutex, Condition& changed, TimePoint deadline) {
    ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
    const Result<void> waited = co_await changed.wait(lock).until(deadline);
    EXPECT_TRUE(lock.owns_lock());
    co_return waited;
}

} // namespace

TEST_P(MutexTest, is_handed_over_in_order_of_arrival) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Order order;
        auto a = io.async(take, io, std::ref(mutex), std::ref(order), 1);
        auto b = io.async(take, io, std::ref(mutex), std::ref(order), 2);
        auto c = io.async(take, io, std::ref(mutex), std::ref(order), 3);
        EXPECT_TRUE(co_await c);
        EXPECT_TRUE(co_await a);
        EXPECT_TRUE(co_await b);
        EXPECT_EQ(order, (Order{1, 2, 3}));
        co_return {};
    });
}

TEST_P(MutexTest, nobody_overtakes_who_was_handed_it) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Order order;
        Mutex::Lock lock = mutex.try_lock();
        EXPECT_TRUE(lock.owns_lock());
        auto waiting = io.async(take, io, std::ref(mutex), std::ref(order), 1);
        (void)co_await at_rest(io);
        lock.unlock();
        EXPECT_FALSE(mutex.try_lock().owns_lock());
        EXPECT_TRUE(co_await waiting);
        EXPECT_TRUE(mutex.try_lock().owns_lock());
        co_return {};
    });
}

TEST_P(MutexTest, a_canceled_waiter_leaves_the_queue) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Order order;
        Mutex::Lock lock = mutex.try_lock();
        auto a = io.async(take, io, std::ref(mutex), std::ref(order), 1);
        auto b = io.async(take, io, std::ref(mutex), std::ref(order), 2);
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await a.cancel()).error(), canceled_error);
        lock.unlock();
        EXPECT_TRUE(co_await b);
        EXPECT_EQ(order, (Order{2}));
        co_return {};
    });
}

TEST_P(MutexTest, a_cancel_after_the_hand_over_stays_pending) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Order order;
        Mutex::Lock lock = mutex.try_lock();
        auto a = io.async(take, io, std::ref(mutex), std::ref(order), 1);
        (void)co_await at_rest(io);
        lock.unlock();
        a.request_cancel();
        EXPECT_EQ((co_await a).error(), canceled_error); // at its yield, with the mutex locked
        EXPECT_EQ(order, (Order{1}));
        EXPECT_TRUE(mutex.try_lock().owns_lock());
        co_return {};
    });
}

TEST_P(MutexTest, a_pending_cancel_is_delivered_where_it_would_have_to_wait) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Order order;
        Mutex::Lock lock = mutex.try_lock();
        auto a = io.async(take, io, std::ref(mutex), std::ref(order), 1);
        EXPECT_EQ((co_await a.cancel()).error(), canceled_error);
        lock.unlock();
        EXPECT_TRUE(mutex.try_lock().owns_lock());
        co_return {};
    });
}

TEST_P(MutexTest, a_deadline_ends_the_wait_and_not_the_mutex) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        {
            const Mutex::Lock lock = mutex.try_lock();
            auto late = io.async(take_until, std::ref(mutex), io.now() + 5ms);
            EXPECT_EQ((co_await late).error(), timed_out_error);
        }
        auto early = io.async(take_until, std::ref(mutex), io.now() - 1s);
        EXPECT_TRUE(co_await early);
        co_return {};
    });
}

TEST_P(MutexTest, one_program_waits_on_its_stack_too) {
    if (GetParam() == TaskKind::coroutine) {
        return; // has no stack: FiberDeathTest.wait_in_a_coroutine_says_what_is_wrong
    }
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        int locked = 0;
        auto locking = [&] {
            for (int i = 0; i < 10; ++i) {
                const Result<Mutex::Lock> lock = mutex.lock().wait();
                EXPECT_TRUE(lock);
                (void)io.yield().wait();
                ++locked;
            }
        };
        auto a = io.async(locking);
        auto b = io.async(locking);
        co_await a;
        co_await b;
        EXPECT_EQ(locked, 20);
        co_return {};
    });
}

TEST(MutexDeathTest, must_not_end_while_somebody_waits) {
    EXPECT_DEATH(
        {
            Worker worker(std::make_unique<VirtualClock>());
            worker.run("test", [](Io io) -> Task<void> {
                auto mutex = std::make_unique<Mutex>();
                Mutex::Lock lock = mutex->try_lock();
                auto waiting = io.async(take_until, std::ref(*mutex), io.now() + 1h);
                (void)co_await at_rest(io);
                mutex.reset();
            }(worker.io()));
        },
        "nobody waits in a queue that ends"
    );
}

TEST_P(ConditionTest, signals_wake_in_order_and_the_mutex_is_held) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Condition changed;
        Order order;
        auto a = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1);
        auto b = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 2);
        (void)co_await at_rest(io);
        changed.signal();
        (void)co_await at_rest(io);
        EXPECT_EQ(order, (Order{1}));
        changed.signal();
        EXPECT_TRUE(co_await b);
        EXPECT_TRUE(co_await a);
        changed.signal(); // nobody waits: it is not remembered
        auto late =
            io.async(await_signal_until, std::ref(mutex), std::ref(changed), io.now() + 5ms);
        EXPECT_EQ((co_await late).error(), timed_out_error);
        co_return {};
    });
}

TEST_P(ConditionTest, a_broadcast_wakes_all_one_at_a_time) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Condition changed;
        Order order;
        auto a = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1);
        auto b = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 2);
        (void)co_await at_rest(io);
        Mutex::Lock lock = mutex.try_lock();
        changed.broadcast();
        (void)co_await at_rest(io);
        EXPECT_TRUE(order.empty());
        lock.unlock();
        EXPECT_TRUE(co_await a);
        EXPECT_TRUE(co_await b);
        EXPECT_EQ(order, (Order{1, 2}));
        co_return {};
    });
}

TEST_P(ConditionTest, a_signal_comes_before_a_later_cancel_and_a_cancel_before_a_later_signal) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Condition changed;
        Order order;
        auto a = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1);
        auto b = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 2);
        auto c = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 3);
        (void)co_await at_rest(io);
        Mutex::Lock lock = mutex.try_lock();
        changed.signal();
        a.request_cancel();
        b.request_cancel(); // so the next signal is for c
        changed.signal();
        (void)co_await at_rest(io);
        EXPECT_FALSE(a.is_finished() || b.is_finished() || c.is_finished());
        lock.unlock();
        EXPECT_TRUE(co_await a);
        EXPECT_EQ((co_await b).error(), canceled_error);
        EXPECT_TRUE(co_await c);
        EXPECT_EQ(order, (Order{1, 2, 3}));
        co_return {};
    });
}

TEST_P(ConditionTest, a_deadline_that_passes_while_the_mutex_is_waited_for_takes_no_signal_back) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Condition changed;
        auto a = io.async(await_signal_until, std::ref(mutex), std::ref(changed), io.now() + 50ms);
        (void)co_await at_rest(io);
        Mutex::Lock lock = mutex.try_lock();
        changed.signal();
        ZCO_CHECK(co_await io.sleep_for(100ms));
        lock.unlock();
        EXPECT_TRUE(co_await a);
        co_return {};
    });
}

TEST_P(ConditionTest, a_pending_cancel_is_delivered_without_giving_the_mutex_up) {
    run([](Io io) -> Task<Result<void>> {
        Mutex mutex;
        Condition changed;
        Order order;
        auto a = io.async(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1);
        EXPECT_EQ((co_await a.cancel()).error(), canceled_error);
        EXPECT_TRUE(mutex.try_lock().owns_lock());
        co_return {};
    });
}
