// Event, Notify, Barrier, WaitGroup, OnceCell: tasks that wait for something to have happened.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/barrier.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/core/once.hpp>
#include <zsync/core/wait_group.hpp>

#include <memory>
#include <vector>

namespace zsync::conformance {
namespace {

Task<Result<void>> see(Event& event) { co_return co_await event.wait(); }
Task<Result<void>> hear(Notify& notify) { co_return co_await notify.wait(); }
Task<Result<bool>> arrive(Barrier& barrier) { co_return co_await barrier.arrive(); }
Task<Result<void>> join(WaitGroup& group) { co_return co_await group.wait(); }

/// Makes values while somebody waits for it.
struct Maker {
    Event go;
    int calls = 0;
    Task<Result<int>> make(Result<int> result) {
        ++calls;
        ZCO_CHECK(co_await go.wait());
        co_return result;
    }
};
Task<Result<int>> get(OnceCell<int>& cell, Maker& maker, Result<int> result) {
    ZCO_TRY(int* value, co_await cell.get_or_make(&Maker::make, &maker, result));
    co_return *value;
}

} // namespace

ZSYNC_CASE(event, that_is_set_is_passed, nothing) {
    Event event;
    event.set();
    EXPECT_IS(co_await event.wait(), "ok");
    EXPECT_IS(co_await event.wait(), "ok");
    co_return {};
}

ZSYNC_CASE(event, wakes_all_that_wait, beside) {
    Event event;
    ZCO_TRY(auto a, io.concurrent(see, std::ref(event)));
    ZCO_TRY(auto b, io.concurrent(see, std::ref(event)));
    ZCO_CHECK(co_await at_rest(io));
    event.set();
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(event, who_waited_at_set_has_seen_it_whatever_follows, beside) {
    Event event;
    ZCO_TRY(auto a, io.concurrent(see, std::ref(event)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        event.set();
        event.reset();
        a.request_cancel();
    }
    EXPECT_IS(co_await a, "ok");
    co_return {};
}

ZSYNC_CASE(event, can_be_reset, timer) {
    Event event;
    event.set();
    EXPECT_TRUE(event.is_set());
    event.reset();
    EXPECT_FALSE(event.is_set());
    TIMES_OUT(co_await event.wait().until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(event, a_canceled_waiter_hinders_nobody, beside) {
    Event event;
    ZCO_TRY(auto a, io.concurrent(see, std::ref(event)));
    ZCO_TRY(auto b, io.concurrent(see, std::ref(event)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await a.cancel(), "Canceled");
    event.set();
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(event, set_before_its_waiters_deadline_is_seen, beside | timer) {
    Event event;
    ZCO_TRY(auto waiting, io.concurrent([&, io]() -> Task<std::string> {
        co_return what(co_await event.wait().until(io.now() + 1h));
    }));
    ZCO_CHECK(co_await at_rest(io));
    event.set();
    EXPECT_EQ(co_await waiting, "ok");
    co_return {};
}

ZSYNC_CASE(notify, is_remembered_once, timer) {
    Notify notify;
    notify.notify();
    notify.notify();
    EXPECT_IS(co_await notify.wait(), "ok");
    TIMES_OUT(co_await notify.wait().until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(notify, wakes_who_has_waited_longest, beside) {
    Notify notify;
    ZCO_TRY(auto a, io.concurrent(hear, std::ref(notify)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto b, io.concurrent(hear, std::ref(notify)));
    ZCO_CHECK(co_await at_rest(io));
    notify.notify();
    EXPECT_IS(co_await a, "ok");
    EXPECT_FALSE(b.is_finished());
    notify.notify();
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(notify, to_all_wakes_all_and_is_not_remembered, beside | timer) {
    Notify notify;
    ZCO_TRY(auto a, io.concurrent(hear, std::ref(notify)));
    ZCO_TRY(auto b, io.concurrent(hear, std::ref(notify)));
    ZCO_CHECK(co_await at_rest(io));
    notify.notify_all();
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    TIMES_OUT(co_await notify.wait().until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(notify, a_signal_goes_past_who_was_canceled, beside) {
    Notify notify;
    ZCO_TRY(auto a, io.concurrent(hear, std::ref(notify)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto b, io.concurrent(hear, std::ref(notify)));
    ZCO_CHECK(co_await at_rest(io));
    a.request_cancel();
    notify.notify();
    EXPECT_IS(co_await a, "Canceled");
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(notify, a_cancel_after_the_signal_does_not_lose_it, beside) {
    Notify notify;
    ZCO_TRY(auto a, io.concurrent(hear, std::ref(notify)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        notify.notify();
        a.request_cancel();
    }
    EXPECT_IS(co_await a, "ok");
    co_return {};
}

ZSYNC_CASE(notify, a_deadline_takes_no_signal, timer) {
    Notify notify;
    TIMES_OUT(co_await notify.wait().until(io.now() + soon));
    notify.notify();
    EXPECT_IS(co_await notify.wait(), "ok");
    co_return {};
}

ZSYNC_CASE(barrier, for_one_lets_it_through, nothing) {
    Barrier barrier(1);
    EXPECT_EQ(co_await barrier.arrive(), true);
    EXPECT_EQ(co_await barrier.arrive(), true);
    co_return {};
}

ZSYNC_CASE(barrier, nobody_goes_on_before_the_last, beside) {
    Barrier barrier(3);
    ZCO_TRY(auto a, io.concurrent(arrive, std::ref(barrier)));
    ZCO_TRY(auto b, io.concurrent(arrive, std::ref(barrier)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(a.is_finished() || b.is_finished());
    EXPECT_EQ(barrier.arrived(), 2U);
    EXPECT_IS(co_await barrier.arrive(), "ok");
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(barrier, tells_one_of_each_round, beside) {
    Barrier barrier(2);
    ZCO_TRY(auto a, io.concurrent(arrive, std::ref(barrier)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await barrier.arrive(), true);
    EXPECT_EQ(co_await a, false);
    co_return {};
}

ZSYNC_CASE(barrier, is_ready_for_the_next_round, beside) {
    Barrier barrier(2);
    struct Body {
        static Task<Result<int>> rounds(Barrier& barrier) {
            int led = 0;
            for (int n = 0; n < 10; ++n) {
                ZCO_TRY(const bool last, co_await barrier.arrive());
                led += last ? 1 : 0;
            }
            co_return led;
        }
    };
    ZCO_TRY(auto other, io.concurrent(Body::rounds, std::ref(barrier)));
    ZCO_TRY(const int led, co_await Body::rounds(barrier));
    EXPECT_EQ(led + (co_await other).value_or(0), 10);
    co_return {};
}

ZSYNC_CASE(barrier, who_is_canceled_has_not_arrived, beside) {
    Barrier barrier(2);
    ZCO_TRY(auto a, io.concurrent(arrive, std::ref(barrier)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await a.cancel(), "Canceled");
    EXPECT_EQ(barrier.arrived(), 0U);
    co_return {};
}

ZSYNC_CASE(barrier, who_is_late_has_not_arrived, timer) {
    Barrier barrier(2);
    TIMES_OUT(co_await barrier.arrive().until(io.now() + soon));
    EXPECT_EQ(barrier.arrived(), 0U);
    co_return {};
}

ZSYNC_CASE(barrier, a_cancel_after_the_round_was_complete_is_too_late, beside) {
    Barrier barrier(2);
    ZCO_TRY(auto a, io.concurrent(arrive, std::ref(barrier)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await barrier.arrive(), true);
    EXPECT_EQ(co_await a.cancel(), false);
    co_return {};
}

ZSYNC_CASE(wait_group, of_nothing_is_passed, nothing) {
    WaitGroup group;
    EXPECT_IS(co_await group.wait(), "ok");
    co_return {};
}

ZSYNC_CASE(wait_group, waits_until_all_is_done, beside) {
    WaitGroup group;
    group.add(2);
    ZCO_TRY(auto a, io.concurrent(join, std::ref(group)));
    ZCO_CHECK(co_await at_rest(io));
    group.done();
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(a.is_finished());
    group.done();
    EXPECT_IS(co_await a, "ok");
    co_return {};
}

ZSYNC_CASE(wait_group, who_waited_at_0_has_seen_it_whatever_follows, beside) {
    WaitGroup group;
    group.add();
    ZCO_TRY(auto a, io.concurrent(join, std::ref(group)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        group.done();
        group.add();
        a.request_cancel();
    }
    EXPECT_IS(co_await a, "ok");
    group.done();
    co_return {};
}

ZSYNC_CASE(wait_group, can_be_used_again, beside) {
    WaitGroup group;
    for (int n = 0; n < 3; ++n) {
        group.add();
        ZCO_TRY(auto a, io.concurrent(join, std::ref(group)));
        ZCO_CHECK(co_await at_rest(io));
        group.done();
        EXPECT_IS(co_await a, "ok");
    }
    co_return {};
}

ZSYNC_CASE(wait_group, a_canceled_wait_changes_no_count, beside) {
    WaitGroup group;
    group.add();
    ZCO_TRY(auto a, io.concurrent(join, std::ref(group)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await a.cancel(), "Canceled");
    EXPECT_EQ(group.count(), 1U);
    group.done();
    co_return {};
}

ZSYNC_CASE(wait_group, times_out, timer) {
    WaitGroup group;
    group.add();
    TIMES_OUT(co_await group.wait().until(io.now() + soon));
    group.done();
    co_return {};
}

ZSYNC_CASE(once, makes_the_value_at_first_need, nothing) {
    OnceCell<int> cell;
    EXPECT_EQ(cell.get(), nullptr);
    ZCO_TRY(const int* value, co_await cell.get_or_make([] { return 42; }));
    EXPECT_EQ(*value, 42);
    EXPECT_EQ(cell.get(), value);
    co_return {};
}

ZSYNC_CASE(once, never_makes_it_twice, nothing) {
    OnceCell<int> cell;
    int calls = 0;
    for (int n = 0; n < 3; ++n) {
        ZCO_TRY(const int* value, co_await cell.get_or_make([&calls] { return ++calls; }));
        EXPECT_EQ(*value, 1);
    }
    co_return {};
}

ZSYNC_CASE(once, a_failure_goes_to_who_tried_and_the_next_tries_again, nothing) {
    OnceCell<int> cell;
    EXPECT_IS(
        co_await cell.get_or_make([]() -> Result<int> { return fail(CoreError::closed); }), "Closed"
    );
    EXPECT_EQ(cell.get(), nullptr);
    ZCO_TRY(const int* value, co_await cell.get_or_make([]() -> Result<int> { return 7; }));
    EXPECT_EQ(*value, 7);
    co_return {};
}

ZSYNC_CASE(once, others_wait_while_one_makes_it, beside) {
    OnceCell<int> cell;
    Maker maker;
    ZCO_TRY(auto making, io.concurrent(get, std::ref(cell), std::ref(maker), Result<int>(1)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto waiting, io.concurrent(get, std::ref(cell), std::ref(maker), Result<int>(2)));
    ZCO_CHECK(co_await at_rest(io));
    maker.go.set();
    EXPECT_EQ(co_await making, 1);
    EXPECT_EQ(co_await waiting, 1);
    EXPECT_EQ(maker.calls, 1);
    co_return {};
}

ZSYNC_CASE(once, when_its_maker_is_canceled_the_next_one_makes_it, beside) {
    OnceCell<int> cell;
    Maker maker;
    ZCO_TRY(auto canceled, io.concurrent(get, std::ref(cell), std::ref(maker), Result<int>(1)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto next, io.concurrent(get, std::ref(cell), std::ref(maker), Result<int>(2)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await canceled.cancel(), "Canceled");
    maker.go.set();
    EXPECT_EQ(co_await next, 2);
    EXPECT_EQ(maker.calls, 2);
    co_return {};
}

ZSYNC_CASE(once, a_canceled_waiter_leaves_the_maker_alone, beside) {
    OnceCell<int> cell;
    Maker maker;
    ZCO_TRY(auto making, io.concurrent(get, std::ref(cell), std::ref(maker), Result<int>(1)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto waiting, io.concurrent(get, std::ref(cell), std::ref(maker), Result<int>(2)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    maker.go.set();
    EXPECT_EQ(co_await making, 1);
    co_return {};
}

ZSYNC_CASE(once, a_wait_for_another_ones_attempt_times_out, beside | timer) {
    OnceCell<int> cell;
    Maker maker;
    ZCO_TRY(auto making, io.concurrent(get, std::ref(cell), std::ref(maker), Result<int>(1)));
    ZCO_CHECK(co_await at_rest(io));
    TIMES_OUT(co_await cell.get_or_make_until(io.now() + soon, [] { return 2; }));
    maker.go.set();
    EXPECT_EQ(co_await making, 1);
    co_return {};
}

ZSYNC_CASE(once, keeps_what_only_moves, nothing) {
    OnceCell<std::unique_ptr<int>> cell;
    ZCO_TRY(const auto* value, co_await cell.get_or_make([] { return std::make_unique<int>(42); }));
    EXPECT_EQ(**value, 42);
    co_return {};
}

} // namespace zsync::conformance
