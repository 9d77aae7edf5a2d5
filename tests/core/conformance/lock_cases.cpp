// Mutex, RwLock, Semaphore, Condition.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/condition.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/rw_lock.hpp>
#include <zsync/core/semaphore.hpp>

#include <memory>
#include <vector>

namespace zsync::conformance {
namespace {

using Order = std::vector<int>;

/// Notes that it has the mutex, and keeps it for one turn.
Task<Result<void>> lock_and_note(Io io, Mutex& mutex, Order& order, int n) {
    ZCO_TRY(const Mutex::Lock lock, co_await mutex.lock());
    order.push_back(n);
    co_return co_await io.yield();
}
Task<Result<void>> read_and_note(Io io, RwLock& lock, Order& order, int n) {
    ZCO_TRY(const RwLock::ReadLock held, co_await lock.read());
    order.push_back(n);
    co_return co_await io.yield();
}
Task<Result<void>> write_and_note(Io io, RwLock& lock, Order& order, int n) {
    ZCO_TRY(const RwLock::WriteLock held, co_await lock.write());
    order.push_back(n);
    co_return co_await io.yield();
}
/// Takes permits and keeps them out of the semaphore.
Task<Result<void>> acquire_and_note(Semaphore& permits, std::uint64_t count, Order& order, int n) {
    ZCO_TRY(auto held, co_await permits.acquire(count));
    const RuntimeLock guard; // on threads the tasks share the vector
    order.push_back(n);
    held.forget();
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

} // namespace

ZSYNC_CASE(mutex, is_taken_at_once_where_it_is_free, nothing) {
    Mutex mutex;
    ZCO_TRY(const Mutex::Lock lock, co_await mutex.lock());
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_FALSE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(mutex, is_unlocked_at_the_end_of_its_locks_life, nothing) {
    Mutex mutex;
    {
        const auto lock = co_await mutex.lock();
    }
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(mutex, can_be_unlocked_earlier, nothing) {
    Mutex mutex;
    ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
    lock.unlock();
    EXPECT_FALSE(lock.owns_lock());
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(mutex, a_lock_may_be_moved, nothing) {
    Mutex mutex;
    ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
    {
        const Mutex::Lock moved = std::move(lock);
        EXPECT_TRUE(moved.owns_lock());
        EXPECT_FALSE(mutex.try_lock().owns_lock());
    }
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(mutex, is_handed_over_in_order_of_arrival, beside) {
    Mutex mutex;
    Order order;
    Mutex::Lock lock = mutex.try_lock();
    std::vector<Future<Result<void>>> waiting;
    for (int n = 0; n < 4; ++n) {
        ZCO_TRY(auto one, io.concurrent(lock_and_note, io, std::ref(mutex), std::ref(order), n));
        ZCO_CHECK(co_await at_rest(io));
        waiting.push_back(std::move(one));
    }
    lock.unlock();
    for (auto& one : waiting) {
        EXPECT_IS(co_await one, "ok");
    }
    EXPECT_EQ(order, (Order{0, 1, 2, 3}));
    co_return {};
}

ZSYNC_CASE(mutex, who_was_handed_it_is_not_overtaken, beside) {
    Mutex mutex;
    Order order;
    Mutex::Lock lock = mutex.try_lock();
    ZCO_TRY(auto waiting, io.concurrent(lock_and_note, io, std::ref(mutex), std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        lock.unlock();
        EXPECT_FALSE(mutex.try_lock().owns_lock());
    }
    EXPECT_IS(co_await waiting, "ok");
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(mutex, may_be_held_over_a_wait, beside) {
    Mutex mutex;
    int unguarded = 0;
    struct Body {
        static Task<Result<void>> count(Io io, Mutex& mutex, int& unguarded) {
            for (int n = 0; n < 25; ++n) {
                ZCO_TRY(const Mutex::Lock lock, co_await mutex.lock());
                const int before = unguarded;
                ZCO_CHECK(co_await io.yield());
                unguarded = before + 1;
            }
            co_return {};
        }
    };
    std::vector<Future<Result<void>>> tasks;
    for (int n = 0; n < 4; ++n) {
        ZCO_TRY(auto one, io.concurrent(Body::count, io, std::ref(mutex), std::ref(unguarded)));
        tasks.push_back(std::move(one));
    }
    for (auto& one : tasks) {
        EXPECT_IS(co_await one, "ok");
    }
    EXPECT_EQ(unguarded, 100);
    co_return {};
}

ZSYNC_CASE(mutex, a_canceled_waiter_leaves_the_queue, beside) {
    Mutex mutex;
    Order order;
    Mutex::Lock lock = mutex.try_lock();
    ZCO_TRY(auto a, io.concurrent(lock_and_note, io, std::ref(mutex), std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto b, io.concurrent(lock_and_note, io, std::ref(mutex), std::ref(order), 2));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await a.cancel(), "Canceled");
    lock.unlock();
    EXPECT_IS(co_await b, "ok");
    EXPECT_EQ(order, (Order{2}));
    co_return {};
}

ZSYNC_CASE(mutex, a_cancel_after_the_hand_over_stays_pending, beside) {
    Mutex mutex;
    Order order;
    Mutex::Lock lock = mutex.try_lock();
    ZCO_TRY(auto a, io.concurrent(lock_and_note, io, std::ref(mutex), std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        lock.unlock();
        a.request_cancel();
    }
    EXPECT_IS(co_await a, "Canceled"); // at its yield, with the mutex locked
    EXPECT_EQ(order, (Order{1}));
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(mutex, a_pending_cancel_is_delivered_where_it_would_have_to_wait, beside) {
    Mutex mutex;
    Order order;
    Mutex::Lock lock = mutex.try_lock();
    ZCO_TRY(auto a, io.concurrent(lock_and_note, io, std::ref(mutex), std::ref(order), 1));
    EXPECT_IS(co_await a.cancel(), "Canceled");
    lock.unlock();
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(mutex, a_pending_cancel_does_not_matter_where_it_is_free, nothing) {
    Mutex mutex;
    io.recancel();
    EXPECT_IS(co_await mutex.lock(), "ok");
    EXPECT_IS(io.check_cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(mutex, a_deadline_ends_the_wait_and_not_the_mutex, timer) {
    Mutex mutex;
    {
        const Mutex::Lock lock = mutex.try_lock();
        TIMES_OUT(co_await mutex.lock().until(io.now() + soon));
    }
    EXPECT_IS(co_await mutex.lock().until(io.now() - 1s), "ok");
    co_return {};
}

ZSYNC_CASE(mutex, waits_on_a_stack, beside | stack) {
    Mutex mutex;
    int locked = 0;
    auto locking = [&] {
        for (int n = 0; n < 10; ++n) {
            const Result<Mutex::Lock> lock = mutex.lock().wait();
            EXPECT_TRUE(lock);
            (void)io.yield().wait();
            ++locked;
        }
    };
    ZCO_TRY(auto a, io.concurrent(locking));
    ZCO_TRY(auto b, io.concurrent(locking));
    co_await a;
    co_await b;
    EXPECT_EQ(locked, 20);
    co_return {};
}

ZSYNC_CASE(rw_lock, readers_share, nothing) {
    RwLock lock;
    ZCO_TRY(const RwLock::ReadLock a, co_await lock.read());
    ZCO_TRY(const RwLock::ReadLock b, co_await lock.read());
    EXPECT_TRUE(a.owns_lock() && b.owns_lock());
    EXPECT_FALSE(lock.try_write().owns_lock());
    co_return {};
}

ZSYNC_CASE(rw_lock, a_writer_is_alone, nothing) {
    RwLock lock;
    ZCO_TRY(const RwLock::WriteLock held, co_await lock.write());
    EXPECT_FALSE(lock.try_read().owns_lock());
    EXPECT_FALSE(lock.try_write().owns_lock());
    co_return {};
}

ZSYNC_CASE(rw_lock, is_free_after_its_locks, nothing) {
    RwLock lock;
    {
        const auto held = co_await lock.write();
    }
    {
        const auto held = co_await lock.read();
    }
    EXPECT_TRUE(lock.try_write().owns_lock());
    co_return {};
}

ZSYNC_CASE(rw_lock, can_be_unlocked_earlier, nothing) {
    RwLock lock;
    ZCO_TRY(RwLock::WriteLock held, co_await lock.write());
    held.unlock();
    EXPECT_TRUE(lock.try_read().owns_lock());
    co_return {};
}

ZSYNC_CASE(rw_lock, a_waiting_writer_is_not_overtaken_by_readers, beside) {
    RwLock lock;
    Order order;
    RwLock::ReadLock held = lock.try_read();
    ZCO_TRY(auto writer, io.concurrent(write_and_note, io, std::ref(lock), std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(lock.try_read().owns_lock());
    ZCO_TRY(auto reader, io.concurrent(read_and_note, io, std::ref(lock), std::ref(order), 2));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_TRUE(order.empty());
    held.unlock();
    EXPECT_IS(co_await writer, "ok");
    EXPECT_IS(co_await reader, "ok");
    EXPECT_EQ(order, (Order{1, 2}));
    co_return {};
}

ZSYNC_CASE(rw_lock, readers_that_wait_come_in_together, beside) {
    RwLock lock;
    struct Body {
        static Task<Result<void>> read(RwLock& lock, int& reading, int& most) {
            ZCO_TRY(const RwLock::ReadLock held, co_await lock.read());
            const RuntimeLock guard;
            most = std::max(most, ++reading);
            co_return {};
        }
    };
    RwLock::WriteLock held = lock.try_write();
    int reading = 0;
    int most = 0;
    ZCO_TRY(auto a, io.concurrent(Body::read, std::ref(lock), std::ref(reading), std::ref(most)));
    ZCO_TRY(auto b, io.concurrent(Body::read, std::ref(lock), std::ref(reading), std::ref(most)));
    ZCO_CHECK(co_await at_rest(io));
    held.unlock();
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    EXPECT_EQ(most, 2);
    EXPECT_TRUE(lock.try_write().owns_lock());
    co_return {};
}

ZSYNC_CASE(rw_lock, a_writer_that_gives_up_lets_readers_behind_it_in, beside) {
    RwLock lock;
    Order order;
    const RwLock::ReadLock held = lock.try_read();
    ZCO_TRY(auto writer, io.concurrent(write_and_note, io, std::ref(lock), std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto reader, io.concurrent(read_and_note, io, std::ref(lock), std::ref(order), 2));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await writer.cancel(), "Canceled");
    EXPECT_IS(co_await reader, "ok");
    EXPECT_EQ(order, (Order{2}));
    co_return {};
}

ZSYNC_CASE(rw_lock, a_reader_that_gives_up_leaves_the_queue, beside) {
    RwLock lock;
    Order order;
    RwLock::WriteLock held = lock.try_write();
    ZCO_TRY(auto reader, io.concurrent(read_and_note, io, std::ref(lock), std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await reader.cancel(), "Canceled");
    held.unlock();
    EXPECT_TRUE(lock.try_write().owns_lock());
    co_return {};
}

ZSYNC_CASE(rw_lock, a_deadline_ends_a_writers_wait, timer) {
    RwLock lock;
    const RwLock::ReadLock held = lock.try_read();
    TIMES_OUT(co_await lock.write().until(io.now() + soon));
    EXPECT_IS(co_await lock.read().until(io.now() + soon), "ok");
    co_return {};
}

ZSYNC_CASE(rw_lock, a_deadline_ends_a_readers_wait, timer) {
    RwLock lock;
    RwLock::WriteLock held = lock.try_write();
    TIMES_OUT(co_await lock.read().until(io.now() + soon));
    held.unlock();
    EXPECT_TRUE(lock.try_write().owns_lock());
    co_return {};
}

ZSYNC_CASE(rw_lock, serves_all_in_order_of_arrival, beside) {
    RwLock lock;
    Order order;
    RwLock::WriteLock held = lock.try_write();
    ZCO_TRY(auto a, io.concurrent(write_and_note, io, std::ref(lock), std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto b, io.concurrent(read_and_note, io, std::ref(lock), std::ref(order), 2));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto c, io.concurrent(write_and_note, io, std::ref(lock), std::ref(order), 3));
    ZCO_CHECK(co_await at_rest(io));
    held.unlock();
    EXPECT_IS(co_await c, "ok");
    EXPECT_IS(co_await b, "ok");
    EXPECT_IS(co_await a, "ok");
    EXPECT_EQ(order, (Order{1, 2, 3}));
    co_return {};
}

ZSYNC_CASE(semaphore, gives_permits_while_there_are_any, nothing) {
    Semaphore permits(2);
    ZCO_TRY(auto a, co_await permits.acquire());
    ZCO_TRY(auto b, co_await permits.acquire());
    EXPECT_EQ(permits.available(), 0U);
    EXPECT_EQ(permits.try_acquire().count(), 0U);
    co_return {};
}

ZSYNC_CASE(semaphore, gets_its_permits_back_at_the_end_of_their_life, nothing) {
    Semaphore permits(3);
    {
        const auto held = co_await permits.acquire(3);
    }
    EXPECT_EQ(permits.available(), 3U);
    co_return {};
}

ZSYNC_CASE(semaphore, gets_its_permits_back_earlier, nothing) {
    Semaphore permits(3);
    ZCO_TRY(auto held, co_await permits.acquire(2));
    held.give_back();
    EXPECT_EQ(held.count(), 0U);
    EXPECT_EQ(permits.available(), 3U);
    co_return {};
}

ZSYNC_CASE(semaphore, permits_can_be_kept_out, nothing) {
    Semaphore permits(3);
    {
        ZCO_TRY(auto held, co_await permits.acquire(2));
        EXPECT_EQ(held.forget(), 2U);
    }
    EXPECT_EQ(permits.available(), 1U);
    permits.release(2);
    EXPECT_EQ(permits.available(), 3U);
    co_return {};
}

ZSYNC_CASE(semaphore, of_no_permits_may_be_asked_for_none, nothing) {
    Semaphore permits(0);
    EXPECT_IS(co_await permits.acquire(0), "ok");
    co_return {};
}

ZSYNC_CASE(semaphore, new_permits_wake_who_waits, beside) {
    Semaphore permits(0);
    Order order;
    ZCO_TRY(
        auto waiting, io.concurrent(acquire_and_note, std::ref(permits), 1U, std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    permits.release();
    EXPECT_IS(co_await waiting, "ok");
    EXPECT_EQ(permits.available(), 0U);
    co_return {};
}

ZSYNC_CASE(semaphore, serves_in_order_of_arrival, beside) {
    Semaphore permits(0);
    Order order;
    ZCO_TRY(auto a, io.concurrent(acquire_and_note, std::ref(permits), 1U, std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto b, io.concurrent(acquire_and_note, std::ref(permits), 1U, std::ref(order), 2));
    ZCO_CHECK(co_await at_rest(io));
    permits.release();
    EXPECT_IS(co_await a, "ok");
    permits.release();
    EXPECT_IS(co_await b, "ok");
    EXPECT_EQ(order, (Order{1, 2}));
    co_return {};
}

ZSYNC_CASE(semaphore, a_large_wish_is_not_overtaken_by_small_ones, beside) {
    Semaphore permits(1);
    Order order;
    ZCO_TRY(auto three, io.concurrent(acquire_and_note, std::ref(permits), 3U, std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto one, io.concurrent(acquire_and_note, std::ref(permits), 1U, std::ref(order), 2));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(permits.try_acquire().count(), 0U);
    permits.release(2);
    EXPECT_IS(co_await three, "ok");
    EXPECT_FALSE(one.is_finished());
    permits.release();
    EXPECT_IS(co_await one, "ok");
    EXPECT_EQ(order, (Order{1, 2}));
    co_return {};
}

ZSYNC_CASE(semaphore, who_gives_up_leaves_its_permits_to_those_behind, beside) {
    Semaphore permits(2);
    Order order;
    ZCO_TRY(auto three, io.concurrent(acquire_and_note, std::ref(permits), 3U, std::ref(order), 1));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto two, io.concurrent(acquire_and_note, std::ref(permits), 2U, std::ref(order), 2));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await three.cancel(), "Canceled");
    EXPECT_IS(co_await two, "ok");
    EXPECT_EQ(order, (Order{2}));
    co_return {};
}

ZSYNC_CASE(semaphore, a_cancel_after_the_permits_came_loses_none, beside) {
    Semaphore permits(0);
    Order order;
    ZCO_TRY(
        auto waiting, io.concurrent(acquire_and_note, std::ref(permits), 1U, std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        permits.release();
        waiting.request_cancel();
    }
    EXPECT_IS(co_await waiting, "ok");
    EXPECT_EQ(permits.available(), 0U);
    co_return {};
}

ZSYNC_CASE(semaphore, a_deadline_takes_no_permit, timer) {
    Semaphore permits(1);
    TIMES_OUT(co_await permits.acquire(2).until(io.now() + soon));
    EXPECT_EQ(permits.available(), 1U);
    EXPECT_IS(co_await permits.acquire(1).until(io.now() - 1s), "ok");
    co_return {};
}

ZSYNC_CASE(semaphore, bounds_how_many_run, beside) {
    struct Body {
        static Task<Result<void>> run(Io io, Semaphore& permits, int& running, int& most) {
            ZCO_TRY(auto held, co_await permits.acquire());
            {
                const RuntimeLock guard;
                most = std::max(most, ++running);
            }
            ZCO_CHECK(co_await io.yield());
            const RuntimeLock guard;
            --running;
            co_return {};
        }
    };
    Semaphore permits(3);
    int running = 0;
    int most = 0;
    std::vector<Future<Result<void>>> tasks;
    for (int n = 0; n < 12; ++n) {
        ZCO_TRY(
            auto one,
            io.concurrent(Body::run, io, std::ref(permits), std::ref(running), std::ref(most))
        );
        tasks.push_back(std::move(one));
    }
    for (auto& one : tasks) {
        EXPECT_IS(co_await one, "ok");
    }
    EXPECT_LE(most, 3);
    EXPECT_EQ(permits.available(), 3U);
    co_return {};
}

ZSYNC_CASE(condition, a_signal_wakes_who_has_waited_longest, beside) {
    Mutex mutex;
    Condition changed;
    Order order;
    ZCO_TRY(
        auto a, io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(
        auto b, io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 2)
    );
    ZCO_CHECK(co_await at_rest(io));
    changed.signal();
    EXPECT_IS(co_await a, "ok");
    EXPECT_FALSE(b.is_finished());
    changed.signal();
    EXPECT_IS(co_await b, "ok");
    EXPECT_EQ(order, (Order{1, 2}));
    co_return {};
}

ZSYNC_CASE(condition, gives_the_mutex_up_while_it_waits, beside) {
    Mutex mutex;
    Condition changed;
    Order order;
    ZCO_TRY(
        auto waiting,
        io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    changed.signal();
    EXPECT_IS(co_await waiting, "ok");
    co_return {};
}

ZSYNC_CASE(condition, a_broadcast_wakes_all_one_at_a_time, beside) {
    Mutex mutex;
    Condition changed;
    Order order;
    ZCO_TRY(
        auto a, io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(
        auto b, io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 2)
    );
    ZCO_CHECK(co_await at_rest(io));
    Mutex::Lock lock = mutex.try_lock();
    changed.broadcast();
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_TRUE(order.empty());
    lock.unlock();
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    EXPECT_EQ(order, (Order{1, 2}));
    co_return {};
}

ZSYNC_CASE(condition, a_signal_to_nobody_is_not_remembered, timer) {
    Mutex mutex;
    Condition changed;
    changed.signal();
    ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
    TIMES_OUT(co_await changed.wait(lock).until(io.now() + soon));
    EXPECT_TRUE(lock.owns_lock());
    co_return {};
}

ZSYNC_CASE(condition, a_deadline_gives_the_mutex_back_locked, timer) {
    Mutex mutex;
    Condition changed;
    ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
    TIMES_OUT(co_await changed.wait(lock).until(io.now() + soon));
    EXPECT_FALSE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(condition, a_cancel_gives_the_mutex_back_locked, beside) {
    Mutex mutex;
    Condition changed;
    Order order;
    ZCO_TRY(
        auto waiting,
        io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    EXPECT_EQ(order, (Order{1})) << "its checks of the lock have run";
    EXPECT_TRUE(mutex.try_lock().owns_lock());
    co_return {};
}

ZSYNC_CASE(condition, a_signal_is_not_taken_back_by_a_later_cancel, beside) {
    Mutex mutex;
    Condition changed;
    Order order;
    ZCO_TRY(
        auto a, io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    Mutex::Lock lock = mutex.try_lock();
    changed.signal();
    a.request_cancel();
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(a.is_finished());
    lock.unlock();
    EXPECT_IS(co_await a, "ok");
    co_return {};
}

ZSYNC_CASE(condition, a_signal_does_not_go_to_who_was_canceled, beside) {
    Mutex mutex;
    Condition changed;
    Order order;
    ZCO_TRY(
        auto a, io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 1)
    );
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(
        auto b, io.concurrent(await_signal, std::ref(mutex), std::ref(changed), std::ref(order), 2)
    );
    ZCO_CHECK(co_await at_rest(io));
    Mutex::Lock lock = mutex.try_lock();
    a.request_cancel();
    changed.signal(); // for b
    lock.unlock();
    EXPECT_IS(co_await a, "Canceled");
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(
    condition,
    a_deadline_that_passes_while_the_mutex_is_waited_for_takes_no_signal_back,
    beside | timer
) {
    Mutex mutex;
    Condition changed;
    ZCO_TRY(auto waiting, io.concurrent([&, io]() -> Task<std::string> {
        auto lock = co_await mutex.lock();
        co_return what(co_await changed.wait(*lock).until(io.now() + 300ms));
    }));
    ZCO_CHECK(co_await at_rest(io));
    Mutex::Lock lock = mutex.try_lock();
    changed.signal();
    ZCO_CHECK(co_await io.sleep_for(310ms));
    lock.unlock();
    EXPECT_EQ(co_await waiting, "ok");
    co_return {};
}

ZSYNC_CASE(condition, a_pending_cancel_is_delivered_without_giving_the_mutex_up, nothing) {
    Mutex mutex;
    Condition changed;
    ZCO_TRY(Mutex::Lock lock, co_await mutex.lock());
    io.recancel();
    EXPECT_IS(co_await changed.wait(lock), "Canceled");
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_FALSE(mutex.try_lock().owns_lock());
    co_return {};
}

} // namespace zsync::conformance
