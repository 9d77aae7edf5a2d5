// Future, cancellation, protection.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/notify.hpp>

#include <memory>
#include <optional>
#include <string>

namespace zsync::conformance {
namespace {

Task<int> add(int a, int b) { co_return a + b; }
Task<Result<void>> wait_for(Event& event) { co_return co_await event.wait(); }
Task<Result<void>> wait_deep(Event& event, int depth) { // NOLINT(misc-no-recursion)
    if (depth == 0) {
        co_return co_await event.wait();
    }
    co_return co_await wait_deep(event, depth - 1);
}
/// Two waits, and what each gave.
Task<std::string> wait_twice(Io io, Event& event) {
    const std::string first = what(co_await event.wait());
    co_return first + ", " + what(co_await io.yield());
}

} // namespace

ZSYNC_CASE(future, gives_the_result_as_often_as_it_is_awaited, nothing) {
    auto sum = io.async(add, 1, 2);
    EXPECT_EQ(co_await sum, 3);
    EXPECT_EQ(co_await sum, 3);
    EXPECT_EQ(co_await sum.await(), 3);
    co_return {};
}

ZSYNC_CASE(future, gives_its_own_copy_by_reference, nothing) {
    auto text = io.async([] { return std::string("first"); });
    (co_await text) += " and more";
    EXPECT_EQ(co_await text, "first and more");
    co_return {};
}

ZSYNC_CASE(future, an_rvalue_gives_the_result_away, nothing) {
    auto made = io.async([] { return std::make_unique<int>(7); });
    const auto taken = co_await std::move(made);
    EXPECT_EQ(*taken, 7);
    EXPECT_EQ(*co_await io.async([] { return std::make_unique<int>(8); }), 8);
    co_return {};
}

ZSYNC_CASE(future, awaits_a_task_that_has_ended, nothing) {
    auto sum = io.async(add, 1, 2);
    while (!sum.is_finished()) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_EQ(co_await sum, 3);
    co_return {};
}

ZSYNC_CASE(future, awaits_a_task_that_is_waiting, beside) {
    Event go;
    ZCO_TRY(auto waiting, io.concurrent(wait_for, std::ref(go)));
    ZCO_TRY(auto setter, io.concurrent([&go] { go.set(); }));
    EXPECT_IS(co_await waiting, "ok");
    co_await setter;
    co_return {};
}

ZSYNC_CASE(future, awaits_what_gives_nothing, nothing) {
    int count = 0;
    auto task = io.async([&count] { ++count; });
    co_await task;
    co_await task;
    co_await task.cancel();
    EXPECT_EQ(count, 1);
    co_return {};
}

ZSYNC_CASE(future, cancel_of_an_ended_task_gives_its_result, nothing) {
    auto sum = io.async(add, 1, 2);
    EXPECT_EQ(co_await sum, 3);
    EXPECT_EQ(co_await sum.cancel(), 3);
    EXPECT_EQ(co_await sum.cancel(), 3);
    EXPECT_EQ(co_await sum, 3);
    co_return {};
}

ZSYNC_CASE(future, cancel_may_be_repeated, beside) {
    Event never;
    ZCO_TRY(auto waiting, io.concurrent(wait_for, std::ref(never)));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(future, await_after_cancel_gives_the_same, beside) {
    Event never;
    ZCO_TRY(auto waiting, io.concurrent(wait_for, std::ref(never)));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    EXPECT_IS(co_await waiting, "Canceled");
    EXPECT_IS(co_await waiting.await(), "Canceled");
    co_return {};
}

ZSYNC_CASE(future, an_rvalue_cancel_gives_the_result_away, nothing) {
    auto made = io.async([] { return std::make_unique<int>(7); });
    const auto taken = co_await std::move(made).cancel();
    EXPECT_EQ(*taken, 7);
    co_return {};
}

ZSYNC_CASE(future, cancel_may_still_give_a_success, beside) {
    ZCO_TRY(auto stubborn, io.concurrent([io]() -> Task<Result<int>> {
        const CancelProtection protection;
        ZCO_CHECK(co_await io.yield());
        co_return 5;
    }));
    EXPECT_EQ(co_await stubborn.cancel(), 5);
    co_return {};
}

ZSYNC_CASE(future, request_cancel_does_not_wait, beside) {
    Event go;
    ZCO_TRY(auto waiting, io.concurrent([&go]() -> Task<Result<void>> {
        const CancelProtection protection;
        co_return co_await go.wait();
    }));
    ZCO_CHECK(co_await at_rest(io));
    waiting.request_cancel();
    EXPECT_FALSE(waiting.is_finished());
    go.set();
    EXPECT_IS(co_await waiting, "ok");
    co_return {};
}

ZSYNC_CASE(future, request_cancel_after_the_end_changes_nothing, nothing) {
    auto sum = io.async(add, 1, 2);
    EXPECT_EQ(co_await sum, 3);
    sum.request_cancel();
    EXPECT_EQ(co_await sum, 3);
    co_return {};
}

ZSYNC_CASE(future, says_whether_its_task_has_ended, beside) {
    Event go;
    ZCO_TRY(auto waiting, io.concurrent(wait_for, std::ref(go)));
    EXPECT_FALSE(waiting.is_finished());
    go.set();
    EXPECT_IS(co_await waiting, "ok");
    EXPECT_TRUE(waiting.is_finished());
    co_return {};
}

ZSYNC_CASE(future, may_be_moved_while_its_task_runs, beside) {
    Event go;
    ZCO_TRY(auto waiting, io.concurrent(wait_for, std::ref(go)));
    auto moved = std::move(waiting);
    go.set();
    EXPECT_IS(co_await moved, "ok");
    co_return {};
}

ZSYNC_CASE(future, assignment_cancels_the_task_it_had, beside) {
    Event never;
    bool canceled = false;
    ZCO_TRY(auto task, io.concurrent([&]() -> Task<void> {
        canceled = what(co_await never.wait()) == "Canceled";
    }));
    ZCO_TRY(task, io.concurrent([] {}));
    co_await task;
    while (!canceled) {
        ZCO_CHECK(co_await io.yield());
    }
    co_return {};
}

ZSYNC_CASE(future, out_of_scope_cancels_its_task, beside) {
    Event never;
    std::string ended;
    {
        ZCO_TRY(auto forgotten, io.concurrent([&]() -> Task<void> {
            ended = what(co_await never.wait());
        }));
        ZCO_CHECK(co_await at_rest(io));
    }
    while (ended.empty()) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_EQ(ended, "Canceled");
    co_return {};
}

ZSYNC_CASE(future, on_a_stack_out_of_scope_waits_for_its_task, beside | stack) {
    Event never;
    ZCO_TRY(auto outer, io.concurrent([&] {
        bool ended = false;
        {
            auto inner = io.concurrent([&] {
                EXPECT_IS(never.wait().wait(), "Canceled");
                ended = true;
            });
            EXPECT_TRUE(inner);
        }
        EXPECT_TRUE(ended);
    }));
    co_await outer;
    co_return {};
}

ZSYNC_CASE(future, a_task_ends_after_those_it_forgot, beside) {
    bool ended = false;
    ZCO_TRY(auto parent, io.concurrent([io, &ended]() -> Task<Result<void>> {
        ZCO_TRY(auto forgotten, io.concurrent([io, &ended]() -> Task<void> {
            const CancelProtection protection;
            (void)co_await io.yield();
            (void)co_await io.yield();
            ended = true;
        }));
        co_return {};
    }));
    EXPECT_IS(co_await parent, "ok");
    EXPECT_TRUE(ended);
    co_return {};
}

ZSYNC_CASE(future, an_early_return_frees_what_was_started, nothing) {
    auto shared = std::make_shared<int>(0);
    struct Body {
        static Task<Result<void>> leave(Io io, std::shared_ptr<int> shared) {
            auto a = io.async([](std::shared_ptr<int> held) { return *held; }, shared);
            auto b = io.async([](std::shared_ptr<int> held) { return *held; }, shared);
            co_return fail(CoreError::closed);
        }
    };
    auto task = io.async(Body::leave, io, shared);
    EXPECT_IS(co_await task, "Closed");
    EXPECT_EQ(shared.use_count(), 1);
    co_return {};
}

ZSYNC_CASE(future, cancel_before_it_has_begun_is_seen_at_its_first_wait, beside) {
    Event never;
    ZCO_TRY(auto waiting, io.concurrent(wait_for, std::ref(never)));
    waiting.request_cancel();
    EXPECT_IS(co_await waiting, "Canceled");
    co_return {};
}

ZSYNC_CASE(future, canceling_the_waiting_task_reaches_the_awaited_one, beside) {
    Event never;
    std::string inner_saw;
    ZCO_TRY(auto outer, io.concurrent([&]() -> Task<Result<void>> {
        ZCO_TRY(auto inner, io.concurrent(wait_for, std::ref(never)));
        inner_saw = what(co_await inner);
        co_return {};
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await outer.cancel(), "ok");
    EXPECT_EQ(inner_saw, "Canceled");
    co_return {};
}

ZSYNC_CASE(future, a_cancel_of_the_waiting_task_stays_pending_for_it, beside) {
    Event never;
    ZCO_TRY(auto outer, io.concurrent([&]() -> Task<std::string> {
        auto inner = io.concurrent(wait_for, std::ref(never));
        std::string outcomes = what(co_await *inner);
        outcomes += ", " + what(io.check_cancel());
        outcomes += ", " + what(io.check_cancel());
        co_return outcomes;
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await outer.cancel(), "Canceled, Canceled, ok");
    co_return {};
}

ZSYNC_CASE(future, a_pending_cancel_is_passed_on_when_the_wait_begins, beside) {
    Event never;
    ZCO_TRY(auto inner, io.concurrent(wait_for, std::ref(never)));
    io.recancel();
    EXPECT_IS(co_await inner, "Canceled");
    EXPECT_IS(io.check_cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(future, of_a_chain_of_tasks_is_canceled_to_its_end, beside) {
    Event never;
    struct Body {
        static Task<Result<int>> link(Io io, Event& never, int left) { // NOLINT(misc-no-recursion)
            if (left == 0) {
                ZCO_CHECK(co_await never.wait());
                co_return 0;
            }
            ZCO_TRY(auto next, io.concurrent(link, io, std::ref(never), left - 1));
            co_return co_await next;
        }
    };
    ZCO_TRY(auto chain, io.concurrent(Body::link, io, std::ref(never), 6));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await chain.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(future, awaited_by_its_own_task_is_a_deadlock, beside) {
    Event known;
    std::optional<Future<Result<int>>> self;
    auto started = io.concurrent([&]() -> Task<Result<int>> {
        ZCO_CHECK(co_await known.wait());
        co_return co_await *self;
    });
    if (!started) {
        co_return fail(started.error());
    }
    self.emplace(*std::move(started));
    known.set();
    EXPECT_IS(co_await *self, "Deadlock");
    co_return {};
}

ZSYNC_CASE(future, waits_on_a_stack, stack) {
    auto task = io.async([io] {
        auto sum = io.async(add, 1, 2);
        const int first = sum.await().wait();
        return first + sum.cancel().wait();
    });
    EXPECT_EQ(co_await task, 6);
    co_return {};
}

ZSYNC_CASE(cancel, is_delivered_at_the_next_suspension_point, nothing) {
    io.recancel();
    EXPECT_IS(co_await io.yield(), "Canceled");
    co_return {};
}

ZSYNC_CASE(cancel, is_delivered_once, nothing) {
    io.recancel();
    EXPECT_IS(co_await io.yield(), "Canceled");
    EXPECT_IS(co_await io.yield(), "ok");
    EXPECT_IS(io.check_cancel(), "ok");
    co_return {};
}

ZSYNC_CASE(cancel, requested_twice_is_delivered_once, beside) {
    Event never;
    ZCO_TRY(auto task, io.concurrent(wait_twice, io, std::ref(never)));
    ZCO_CHECK(co_await at_rest(io));
    task.request_cancel();
    task.request_cancel();
    EXPECT_EQ(co_await task, "Canceled, ok");
    co_return {};
}

ZSYNC_CASE(cancel, requested_again_after_its_delivery_is_delivered_again, beside) {
    Event never;
    ZCO_TRY(auto task, io.concurrent([&]() -> Task<std::string> {
        const std::string first = what(co_await never.wait());
        co_return first + ", " + what(co_await never.wait());
    }));
    ZCO_CHECK(co_await at_rest(io));
    task.request_cancel();
    while (!task.is_finished()) {
        ZCO_CHECK(co_await at_rest(io));
        task.request_cancel();
    }
    EXPECT_EQ(co_await task, "Canceled, Canceled");
    co_return {};
}

ZSYNC_CASE(cancel, does_not_interrupt_code_that_does_not_wait, nothing) {
    io.recancel();
    int sum = 0;
    for (int n = 0; n < 1000; ++n) {
        sum += n;
    }
    EXPECT_EQ(sum, 499500);
    EXPECT_IS(io.check_cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(cancel, reaches_the_innermost_wait_of_a_chain_of_calls, beside) {
    Event never;
    ZCO_TRY(auto task, io.concurrent(wait_deep, std::ref(never), 20));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await task.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(cancel, of_a_call_in_progress_is_delivered_to_whoever_waits_next, nothing) {
    struct Body {
        static Task<Result<void>> inner(Io io) { co_return co_await io.yield(); }
    };
    io.recancel();
    EXPECT_IS(co_await Body::inner(io), "Canceled");
    EXPECT_IS(co_await Body::inner(io), "ok");
    co_return {};
}

ZSYNC_CASE(cancel, is_passed_by_what_need_not_wait, nothing) {
    Event happened;
    happened.set();
    io.recancel();
    EXPECT_IS(co_await happened.wait(), "ok");
    EXPECT_IS(io.check_cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(cancel, of_one_task_leaves_others_alone, beside) {
    Event go;
    ZCO_TRY(auto stopped, io.concurrent(wait_for, std::ref(go)));
    ZCO_TRY(auto other, io.concurrent(wait_for, std::ref(go)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await stopped.cancel(), "Canceled");
    EXPECT_FALSE(other.is_finished());
    go.set();
    EXPECT_IS(co_await other, "ok");
    co_return {};
}

ZSYNC_CASE(cancel, of_a_parent_waits_for_its_children, beside) {
    Event never;
    bool child_ended = false;
    ZCO_TRY(auto parent, io.concurrent([&]() -> Task<Result<void>> {
        ZCO_TRY(auto child, io.concurrent([&]() -> Task<void> {
            EXPECT_IS(co_await never.wait(), "Canceled");
            const CancelProtection protection;
            (void)co_await io.yield();
            child_ended = true;
        }));
        co_await child;
        co_return {};
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await parent.cancel(), "ok");
    EXPECT_TRUE(child_ended);
    co_return {};
}

ZSYNC_CASE(cancel, that_came_after_a_wake_up_stays_pending, beside) {
    Event go;
    ZCO_TRY(auto task, io.concurrent(wait_twice, io, std::ref(go)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock lock; // so that the task does not run in between, on whatever model
        go.set();
        task.request_cancel();
    }
    EXPECT_EQ(co_await task, "ok, Canceled");
    co_return {};
}

ZSYNC_CASE(cancel, that_came_before_a_wake_up_wins, beside) {
    Event go;
    ZCO_TRY(auto task, io.concurrent(wait_twice, io, std::ref(go)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock lock;
        task.request_cancel();
        go.set();
    }
    EXPECT_EQ(co_await task, "Canceled, ok");
    co_return {};
}

ZSYNC_CASE(recancel, makes_a_delivered_cancel_pending_again, nothing) {
    io.recancel();
    EXPECT_IS(co_await io.yield(), "Canceled");
    io.recancel();
    EXPECT_IS(co_await io.yield(), "Canceled");
    EXPECT_IS(co_await io.yield(), "ok");
    co_return {};
}

ZSYNC_CASE(recancel, twice_is_one_cancel, nothing) {
    io.recancel();
    io.recancel();
    EXPECT_IS(co_await io.yield(), "Canceled");
    EXPECT_IS(co_await io.yield(), "ok");
    co_return {};
}

ZSYNC_CASE(recancel, passes_a_cancel_on_to_the_caller, beside) {
    Event never;
    struct Body {
        static Task<void> clean_up(Io io, Event& never) {
            EXPECT_IS(co_await never.wait(), "Canceled");
            io.recancel(); // the caller is to know
        }
    };
    ZCO_TRY(auto task, io.concurrent([&]() -> Task<std::string> {
        co_await Body::clean_up(io, never);
        co_return what(co_await io.yield());
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await task.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(check_cancel, gives_nothing_where_no_cancel_is_pending, nothing) {
    EXPECT_IS(io.check_cancel(), "ok");
    co_return {};
}

ZSYNC_CASE(check_cancel, delivers_a_pending_cancel_once, nothing) {
    io.recancel();
    EXPECT_IS(io.check_cancel(), "Canceled");
    EXPECT_IS(io.check_cancel(), "ok");
    EXPECT_IS(co_await io.yield(), "ok");
    co_return {};
}

ZSYNC_CASE(check_cancel, ends_a_loop_that_only_computes, nothing) {
    int rounds = 0;
    while (io.check_cancel()) {
        if (++rounds == 1000) {
            io.recancel();
        }
    }
    EXPECT_EQ(rounds, 1000);
    co_return {};
}

ZSYNC_CASE(protection, holds_cancels_back, nothing) {
    io.recancel();
    {
        const CancelProtection protection;
        EXPECT_IS(co_await io.yield(), "ok");
        EXPECT_IS(io.check_cancel(), "ok");
    }
    EXPECT_IS(io.check_cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(protection, holds_back_what_comes_while_it_lives, beside) {
    Event go;
    ZCO_TRY(auto task, io.concurrent([&]() -> Task<std::string> {
        std::string inside;
        {
            const CancelProtection protection;
            inside = what(co_await go.wait());
        }
        co_return inside + ", " + what(co_await io.yield());
    }));
    ZCO_CHECK(co_await at_rest(io));
    task.request_cancel();
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(task.is_finished());
    go.set();
    EXPECT_EQ(co_await task, "ok, Canceled");
    co_return {};
}

ZSYNC_CASE(protection, nests, nothing) {
    io.recancel();
    {
        const CancelProtection outer;
        {
            const CancelProtection inner;
            EXPECT_IS(co_await io.yield(), "ok");
        }
        EXPECT_IS(co_await io.yield(), "ok") << "the outer one still lives";
    }
    EXPECT_IS(co_await io.yield(), "Canceled");
    co_return {};
}

ZSYNC_CASE(protection, covers_the_coroutines_that_are_called_under_it, nothing) {
    struct Body {
        static Task<Result<void>> inner(Io io) { co_return co_await io.yield(); }
    };
    io.recancel();
    {
        const CancelProtection protection;
        EXPECT_IS(co_await Body::inner(io), "ok");
    }
    EXPECT_IS(co_await Body::inner(io), "Canceled");
    co_return {};
}

ZSYNC_CASE(protection, does_not_cover_tasks_that_are_started_under_it, beside) {
    Event never;
    const CancelProtection protection;
    ZCO_TRY(auto task, io.concurrent(wait_for, std::ref(never)));
    EXPECT_IS(co_await task.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(protection, covers_operations, writing) {
    const auto pair = pipe_pair();
    io.recancel();
    {
        const CancelProtection protection;
        ZCO_CHECK((co_await io.write(pair.b, Bytes::copy_of("x"))).count);
        EXPECT_EQ(text_of(co_await io.read(pair.a, Bytes(4))), "x");
    }
    EXPECT_IS(io.check_cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(protection, covers_sleeps, timer) {
    io.recancel();
    {
        const CancelProtection protection;
        ZCO_CHECK(co_await io.sleep_for(1us));
    }
    EXPECT_IS(co_await io.sleep_for(1h), "Canceled");
    co_return {};
}

ZSYNC_CASE(protection, does_not_hold_deadlines_back, timer) {
    const CancelProtection protection;
    Notify never;
    TIMES_OUT(co_await never.wait().until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(protection, an_awaited_task_is_left_alone_until_it_ends, beside) {
    Event go;
    ZCO_TRY(auto outer, io.concurrent([&]() -> Task<std::string> {
        auto inner = io.concurrent(wait_for, std::ref(go));
        std::string inside;
        {
            const CancelProtection protection;
            inside = what(co_await *inner);
        }
        co_return inside + ", " + what(io.check_cancel());
    }));
    ZCO_CHECK(co_await at_rest(io));
    outer.request_cancel();
    go.set();
    EXPECT_EQ(co_await outer, "ok, Canceled");
    co_return {};
}

} // namespace zsync::conformance
