// Scope, Group, JoinSet, Select, CancelToken: many tasks as one.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/cancel_token.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/select.hpp>

#include <memory>
#include <string>
#include <vector>

namespace zsync::conformance {
namespace {

Task<Result<void>> see(Event& event) { co_return co_await event.wait(); }
Task<Result<int>> number_after(Event& event, int number) {
    ZCO_CHECK(co_await event.wait());
    co_return number;
}
Task<Result<void>> refuse() { co_return fail(CoreError::closed); }
Task<Result<void>> refuse_after(Event& event) {
    ZCO_CHECK(co_await event.wait());
    co_return fail(CoreError::closed);
}
Task<Result<Result<int>>> next_of(JoinSet<Result<int>>& set) { co_return co_await set.next(); }
Task<Result<void>> until_canceled(CancelToken& token) { co_return co_await token.canceled(); }
Task<Result<void>> start_one_and_fail(Scope& scope, Event& never) {
    ZCO_CHECK(scope.spawn_concurrent("waiting", see, std::ref(never)));
    co_return fail(CoreError::closed);
}

} // namespace

ZSYNC_CASE(scope, joins_what_was_started_in_it, nothing) {
    Scope scope(io, "scope");
    int ran = 0;
    for (int n = 0; n < 5; ++n) {
        scope.spawn("child", [&ran] {
            const RuntimeLock guard;
            ++ran;
        });
    }
    EXPECT_IS(co_await scope.join(), "ok");
    EXPECT_EQ(ran, 5);
    EXPECT_EQ(scope.size(), 0U);
    co_return {};
}

ZSYNC_CASE(scope, of_nothing_is_joined_at_once, nothing) {
    Scope scope(io, "scope");
    EXPECT_IS(co_await scope.join(), "ok");
    co_return {};
}

ZSYNC_CASE(scope, may_be_used_again_after_its_join, nothing) {
    Scope scope(io, "scope");
    int ran = 0;
    scope.spawn("child", [&ran] { ++ran; });
    EXPECT_IS(co_await scope.join(), "ok");
    scope.spawn("child", [&ran] { ++ran; });
    EXPECT_IS(co_await scope.join(), "ok");
    EXPECT_EQ(ran, 2);
    co_return {};
}

ZSYNC_CASE(scope, gives_the_first_error, nothing) {
    Scope scope(io, "scope");
    scope.spawn("good", [] {});
    scope.spawn("bad", refuse);
    EXPECT_IS(co_await scope.join(), "Closed");
    EXPECT_IS(co_await scope.join(), "ok") << "an error is given once";
    co_return {};
}

ZSYNC_CASE(scope, the_first_failure_cancels_the_others, beside) {
    Event go;
    Event never;
    Scope scope(io, "scope");
    ZCO_CHECK(scope.spawn_concurrent("waiting", see, std::ref(never)));
    scope.spawn("bad", refuse_after, std::ref(go));
    ZCO_CHECK(co_await at_rest(io));
    go.set();
    EXPECT_IS(co_await scope.join(), "Closed");
    co_return {};
}

ZSYNC_CASE(scope, a_canceled_child_is_no_failure, beside) {
    Event never;
    Scope scope(io, "scope");
    ZCO_TRY(TaskRef child, scope.spawn_concurrent("waiting", see, std::ref(never)));
    ZCO_CHECK(co_await at_rest(io));
    child.request_cancel();
    EXPECT_IS(co_await scope.join(), "ok");
    EXPECT_TRUE(child.is_finished());
    co_return {};
}

ZSYNC_CASE(scope, cancel_reaches_all_children, beside) {
    Event never;
    Scope scope(io, "scope");
    ZCO_TRY(const TaskRef a, scope.spawn_concurrent("a", see, std::ref(never)));
    ZCO_TRY(const TaskRef b, scope.spawn_concurrent("b", see, std::ref(never)));
    ZCO_CHECK(co_await at_rest(io));
    scope.cancel();
    EXPECT_IS(co_await scope.join(), "ok");
    EXPECT_TRUE(a.is_finished() && b.is_finished());
    co_return {};
}

ZSYNC_CASE(scope, what_is_started_after_its_cancel_starts_canceled, beside) {
    Event never;
    Scope scope(io, "scope");
    scope.cancel();
    ZCO_CHECK(scope.spawn_concurrent("waiting", see, std::ref(never)));
    EXPECT_IS(co_await scope.join(), "ok");
    co_return {};
}

ZSYNC_CASE(scope, canceling_who_joins_reaches_the_children, beside) {
    Event never;
    ZCO_TRY(auto joiner, io.concurrent([&, io]() -> Task<std::string> {
        Scope scope(io, "inner");
        (void)scope.spawn("waiting", see, std::ref(never));
        const std::string joined = what(co_await scope.join());
        co_return joined + ", " + what(io.check_cancel());
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await joiner.cancel(), "Canceled, ok");
    co_return {};
}

ZSYNC_CASE(scope, canceling_reaches_grandchildren, beside) {
    Event never;
    struct Body {
        static Task<Result<void>> middle(Io io, Event& never) {
            Scope scope(io, "inner");
            (void)scope.spawn("grandchild", see, std::ref(never));
            co_return co_await scope.join();
        }
    };
    Scope scope(io, "outer");
    ZCO_CHECK(scope.spawn_concurrent("middle", Body::middle, io, std::ref(never)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(io.executor().task_count(), 3U);
    scope.cancel();
    EXPECT_IS(co_await scope.join(), "ok");
    EXPECT_EQ(io.executor().task_count(), 1U);
    co_return {};
}

ZSYNC_CASE(scope, a_pending_cancel_is_passed_on_when_the_join_begins, beside) {
    Event never;
    Scope scope(io, "scope");
    ZCO_CHECK(scope.spawn_concurrent("waiting", see, std::ref(never)));
    io.recancel();
    EXPECT_IS(co_await scope.join(), "Canceled");
    EXPECT_IS(io.check_cancel(), "ok");
    co_return {};
}

ZSYNC_CASE(scope, frees_a_childs_frame_when_it_ends, beside) {
    Event never;
    Scope scope(io, "scope");
    ZCO_CHECK(scope.spawn_concurrent("waiting", see, std::ref(never)));
    auto shared = std::make_shared<int>(1);
    TaskRef child = scope.spawn("child", [](std::shared_ptr<int> held) { ++*held; }, shared);
    while (!child.is_finished()) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_EQ(shared.use_count(), 1) << "though another child goes on";
    scope.cancel();
    EXPECT_IS(co_await scope.join(), "ok");
    co_return {};
}

ZSYNC_CASE(scope, a_body_that_returns_early_takes_its_children_along, beside) {
    Event never;
    const Result<void> left = co_await in_scope(io, "scope", &start_one_and_fail, std::ref(never));
    if (what(left) == "ConcurrencyUnavailable") {
        co_return left;
    }
    EXPECT_IS(left, "Closed");
    EXPECT_EQ(io.executor().task_count(), 1U);
    co_return {};
}

ZSYNC_CASE(scope, a_body_that_succeeds_waits_for_its_children, nothing) {
    struct Body {
        static Task<Result<void>> run(Scope& scope, int& ran) {
            scope.spawn("child", [&ran] { ++ran; });
            co_return {};
        }
    };
    int ran = 0;
    EXPECT_IS(co_await in_scope(io, "scope", &Body::run, std::ref(ran)), "ok");
    EXPECT_EQ(ran, 1);
    co_return {};
}

ZSYNC_CASE(scope, a_failed_child_is_the_bodys_failure, nothing) {
    struct Body {
        static Task<Result<void>> run(Scope& scope) {
            scope.spawn("bad", refuse);
            co_return {};
        }
    };
    EXPECT_IS(co_await in_scope(io, "scope", &Body::run), "Closed");
    co_return {};
}

ZSYNC_CASE(scope, refuses_a_concurrent_child_or_runs_it, nothing) {
    Scope scope(io, "scope");
    int ran = 0;
    const auto child = scope.spawn_concurrent("child", [&ran] { ++ran; });
    EXPECT_IS(co_await scope.join(), "ok");
    EXPECT_EQ(ran, child ? 1 : 0);
    EXPECT_EQ(scope.size(), 0U);
    co_return {};
}

ZSYNC_CASE(group, one_that_fails_leaves_the_others_alone, beside) {
    Event go;
    Group group(io);
    ZCO_TRY(TaskRef waiting, group.spawn_concurrent("waiting", see, std::ref(go)));
    group.spawn("bad", refuse);
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(waiting.is_finished());
    go.set();
    EXPECT_IS(co_await group.join(), "Closed");
    co_return {};
}

ZSYNC_CASE(group, gives_the_first_error_of_several, nothing) {
    Group group(io);
    group.spawn("bad", refuse);
    group.spawn("good", [] {});
    EXPECT_IS(co_await group.join(), "Closed");
    co_return {};
}

ZSYNC_CASE(group, cancel_reaches_all, beside) {
    Event never;
    Group group(io);
    ZCO_CHECK(group.spawn_concurrent("a", see, std::ref(never)));
    ZCO_CHECK(group.spawn_concurrent("b", see, std::ref(never)));
    ZCO_CHECK(co_await at_rest(io));
    group.cancel();
    EXPECT_IS(co_await group.join(), "ok");
    co_return {};
}

ZSYNC_CASE(group, canceling_who_waits_reaches_all, beside) {
    Event never;
    ZCO_TRY(auto joiner, io.concurrent([&, io]() -> Task<Result<void>> {
        Group group(io);
        (void)group.spawn("a", see, std::ref(never));
        (void)group.spawn("b", see, std::ref(never));
        co_return co_await group.join();
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await joiner.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(group, may_be_added_to_while_it_is_awaited, beside) {
    Event go;
    Event added;
    Group group(io);
    struct Body {
        static Task<Result<void>> add(Group& group, Event& go, Event& added) {
            ZCO_CHECK(co_await go.wait());
            group.spawn("added", [&added] { added.set(); });
            co_return {};
        }
    };
    ZCO_CHECK(
        group.spawn_concurrent("adder", Body::add, std::ref(group), std::ref(go), std::ref(added))
    );
    ZCO_TRY(auto setter, io.concurrent([io, &go]() -> Task<void> {
        (void)co_await at_rest(io);
        go.set();
    }));
    EXPECT_IS(co_await group.join(), "ok");
    EXPECT_TRUE(added.is_set());
    co_await setter;
    co_return {};
}

ZSYNC_CASE(group, that_lives_long_keeps_no_ended_task, nothing) {
    Group group(io);
    auto shared = std::make_shared<int>(0);
    for (int n = 0; n < 100; ++n) {
        TaskRef task = group.spawn("short", [](std::shared_ptr<int> held) { (void)held; }, shared);
        while (!task.is_finished()) {
            ZCO_CHECK(co_await io.yield());
        }
        EXPECT_EQ(shared.use_count(), 1);
        EXPECT_LE(io.executor().task_count(), 2U);
    }
    EXPECT_IS(co_await group.join(), "ok");
    co_return {};
}

ZSYNC_CASE(join_set, gives_results_in_the_order_of_their_ends, beside) {
    Event first;
    Event second;
    JoinSet<Result<int>> set(io);
    ZCO_CHECK(set.spawn_concurrent(number_after, std::ref(second), 2));
    ZCO_CHECK(set.spawn_concurrent(number_after, std::ref(first), 1));
    EXPECT_EQ(set.size(), 2U);
    first.set();
    EXPECT_EQ(**co_await set.next(), 1);
    second.set();
    EXPECT_EQ(**co_await set.next(), 2);
    EXPECT_TRUE(set.empty());
    co_return {};
}

ZSYNC_CASE(join_set, of_nothing_is_closed, nothing) {
    JoinSet<int> set(io);
    EXPECT_IS(co_await set.next(), "Closed");
    co_return {};
}

ZSYNC_CASE(join_set, gives_each_result_once, nothing) {
    JoinSet<int> set(io);
    for (int n = 1; n <= 4; ++n) {
        set.spawn([n] { return n; });
    }
    int sum = 0;
    while (auto number = co_await set.next()) {
        sum += *number;
    }
    EXPECT_EQ(sum, 10);
    EXPECT_IS(co_await set.next(), "Closed");
    co_return {};
}

ZSYNC_CASE(join_set, takes_what_gives_nothing, nothing) {
    JoinSet<void> set(io);
    set.spawn([] {});
    EXPECT_IS(co_await set.next(), "ok");
    EXPECT_IS(co_await set.next(), "Closed");
    co_return {};
}

ZSYNC_CASE(join_set, gives_results_that_only_move, nothing) {
    JoinSet<std::unique_ptr<int>> set(io);
    set.spawn([] { return std::make_unique<int>(7); });
    EXPECT_EQ(**co_await set.next(), 7);
    co_return {};
}

ZSYNC_CASE(join_set, a_deadline_takes_no_result, beside | timer) {
    Event go;
    JoinSet<Result<int>> set(io);
    ZCO_CHECK(set.spawn_concurrent(number_after, std::ref(go), 3));
    TIMES_OUT(co_await set.next().until(io.now() + soon));
    go.set();
    EXPECT_EQ(**co_await set.next(), 3);
    co_return {};
}

ZSYNC_CASE(join_set, a_canceled_waiter_takes_no_result, beside) {
    Event go;
    JoinSet<Result<int>> set(io);
    ZCO_CHECK(set.spawn_concurrent(number_after, std::ref(go), 7));
    ZCO_TRY(auto waiting, io.concurrent(next_of, std::ref(set)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    go.set();
    EXPECT_EQ(**co_await set.next(), 7);
    co_return {};
}

ZSYNC_CASE(join_set, serves_waiters_in_order_and_tells_the_rest_that_none_is_left, beside) {
    Event go;
    JoinSet<Result<int>> set(io);
    ZCO_CHECK(set.spawn_concurrent(number_after, std::ref(go), 7));
    ZCO_TRY(auto first, io.concurrent(next_of, std::ref(set)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto second, io.concurrent(next_of, std::ref(set)));
    ZCO_CHECK(co_await at_rest(io));
    go.set();
    const auto got = co_await first;
    EXPECT_TRUE(got && *got == 7) << what(got);
    EXPECT_IS(co_await second, "Closed");
    co_return {};
}

ZSYNC_CASE(join_set, cancel_gives_what_won_the_race_and_what_did_not, beside) {
    Event never;
    Event happened;
    happened.set();
    JoinSet<Result<int>> set(io);
    ZCO_CHECK(set.spawn_concurrent(number_after, std::ref(happened), 1));
    ZCO_CHECK(set.spawn_concurrent(number_after, std::ref(never), 2));
    ZCO_CHECK(co_await at_rest(io));
    int won = 0;
    int lost = 0;
    while (auto late = co_await set.cancel()) {
        ++(*late ? won : lost);
    }
    EXPECT_EQ(won, 1);
    EXPECT_EQ(lost, 1);
    co_return {};
}

ZSYNC_CASE(join_set, its_cancel_is_not_cut_short, beside) {
    Event go;
    JoinSet<void> set(io);
    ZCO_CHECK(set.spawn_concurrent([&go]() -> Task<void> {
        const CancelProtection protection;
        (void)co_await go.wait();
    }));
    ZCO_TRY(auto canceling, io.concurrent([&, io]() -> Task<std::string> {
        while (co_await set.cancel()) {
        }
        co_return what(io.check_cancel());
    }));
    ZCO_CHECK(co_await at_rest(io));
    canceling.request_cancel();
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(canceling.is_finished());
    go.set();
    EXPECT_EQ(co_await canceling, "Canceled");
    co_return {};
}

ZSYNC_CASE(join_set, that_ends_early_frees_results_nobody_took, nothing) {
    auto shared = std::make_shared<int>(0);
    {
        JoinSet<std::shared_ptr<int>> set(io);
        set.spawn([shared] { return shared; });
        while (!set.has_ended()) {
            ZCO_CHECK(co_await io.yield());
        }
    }
    EXPECT_EQ(shared.use_count(), 1);
    co_return {};
}

ZSYNC_CASE(join_set, that_ends_early_cancels_its_tasks, beside) {
    Event never;
    std::string ended;
    {
        JoinSet<void> set(io);
        ZCO_CHECK(set.spawn_concurrent([&]() -> Task<void> { ended = what(co_await never.wait()); })
        );
        ZCO_CHECK(co_await at_rest(io));
    }
    while (io.executor().task_count() != 1) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_EQ(ended, "Canceled");
    co_return {};
}

ZSYNC_CASE(join_set, refuses_a_concurrent_task_or_runs_it, nothing) {
    JoinSet<int> set(io);
    const Result<void> started = set.spawn_concurrent([] { return 1; });
    EXPECT_EQ(what(co_await set.next()), started ? "ok" : "Closed");
    co_return {};
}

ZSYNC_CASE(select, the_first_result_says_which_it_is, beside) {
    enum Which { number, nothing_happened };
    Event go;
    Event never;
    Select<Result<int>, Result<void>> first(io);
    ZCO_CHECK(first.concurrent<nothing_happened>(see, std::ref(never)));
    ZCO_CHECK(first.concurrent<number>(number_after, std::ref(go), 42));
    go.set();
    const auto event = co_await first.await();
    EXPECT_EQ(event->index(), number);
    EXPECT_EQ(std::get<number>(*event), 42);
    co_await first.cancel_discard();
    co_return {};
}

ZSYNC_CASE(select, of_nothing_is_closed, nothing) {
    Select<int> none(io);
    EXPECT_IS(co_await none.await(), "Closed");
    co_return {};
}

ZSYNC_CASE(select, takes_what_has_ended_before_it_was_awaited, nothing) {
    Select<int, void> all(io);
    all.async<0>([] { return 7; });
    const auto event = co_await all.await();
    EXPECT_EQ(std::get<0>(*event), 7);
    EXPECT_EQ(all.size(), 0U);
    co_return {};
}

ZSYNC_CASE(select, many_are_awaited_at_once, nothing) {
    Select<int, void> all(io);
    std::vector<decltype(all)::Value> got;
    for (int n = 0; n < 3; ++n) {
        all.async<0>([n] { return n; });
    }
    all.async<1>([] {});
    EXPECT_EQ(co_await all.await_many(got, 4), 4U);
    EXPECT_EQ(got.size(), 4U);
    EXPECT_EQ(co_await all.await_many(got, 1), 0U) << "no more tasks are left";
    co_return {};
}

ZSYNC_CASE(select, a_cancel_while_many_are_awaited_keeps_what_there_is, beside) {
    Event never;
    Select<Result<int>> all(io);
    ZCO_CHECK(all.concurrent<0>(number_after, std::ref(never), 1));
    all.async<0>([]() -> Result<int> { return 2; });
    ZCO_TRY(auto waiting, io.concurrent([&, io]() -> Task<std::string> {
        std::vector<decltype(all)::Value> some;
        const auto count = co_await all.await_many(some, 2);
        co_return what(count) + " " + std::to_string(count.value_or(0)) + ", " +
            what(io.check_cancel());
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await waiting.cancel(), "ok 1, Canceled");
    co_await all.cancel_discard();
    co_return {};
}

ZSYNC_CASE(select, a_cancel_while_none_has_ended_is_an_error, beside) {
    Event never;
    Select<Result<int>> all(io);
    ZCO_CHECK(all.concurrent<0>(number_after, std::ref(never), 1));
    ZCO_TRY(auto waiting, io.concurrent([&]() -> Task<std::string> {
        std::vector<decltype(all)::Value> some;
        co_return what(co_await all.await_many(some, 1));
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await waiting.cancel(), "Canceled");
    co_await all.cancel_discard();
    co_return {};
}

ZSYNC_CASE(select, cancel_is_repeated_until_nothing_is_left, beside) {
    Event never;
    Select<Result<int>> all(io);
    for (int n = 0; n < 3; ++n) {
        ZCO_CHECK(all.concurrent<0>(number_after, std::ref(never), n));
    }
    int lost = 0;
    while (auto late = co_await all.cancel()) {
        lost += std::get<0>(*late) ? 0 : 1;
    }
    EXPECT_EQ(lost, 3);
    EXPECT_EQ(all.size(), 0U);
    co_return {};
}

ZSYNC_CASE(select, results_that_lost_are_freed, nothing) {
    auto shared = std::make_shared<int>(0);
    Select<std::shared_ptr<int>> all(io);
    all.async<0>([shared] { return shared; });
    all.async<0>([shared] { return shared; });
    EXPECT_IS(co_await all.await(), "ok");
    co_await all.cancel_discard();
    EXPECT_EQ(shared.use_count(), 1);
    co_return {};
}

ZSYNC_CASE(select, a_deadline_takes_no_result, beside | timer) {
    Event go;
    Select<Result<int>> all(io);
    ZCO_CHECK(all.concurrent<0>(number_after, std::ref(go), 3));
    TIMES_OUT(co_await all.await().until(io.now() + soon));
    go.set();
    EXPECT_IS(co_await all.await(), "ok");
    co_return {};
}

ZSYNC_CASE(select, refuses_a_concurrent_task_or_runs_it, nothing) {
    Select<int> all(io);
    const Result<void> started = all.concurrent<0>([] { return 1; });
    EXPECT_EQ(what(co_await all.await()), started ? "ok" : "Closed");
    co_return {};
}

ZSYNC_CASE(cancel_token, reaches_what_is_under_it, nothing) {
    CancelToken root;
    CancelToken left(root);
    const CancelToken leaf(left);
    root.cancel();
    EXPECT_TRUE(left.is_canceled());
    EXPECT_TRUE(leaf.is_canceled());
    co_return {};
}

ZSYNC_CASE(cancel_token, leaves_what_is_above_and_beside_it_alone, nothing) {
    CancelToken root;
    CancelToken left(root);
    const CancelToken right(root);
    left.cancel();
    EXPECT_FALSE(root.is_canceled());
    EXPECT_FALSE(right.is_canceled());
    co_return {};
}

ZSYNC_CASE(cancel_token, once_canceled_stays_so, nothing) {
    CancelToken token;
    token.cancel();
    token.cancel();
    EXPECT_IS(co_await token.canceled(), "ok");
    EXPECT_IS(co_await token.canceled(), "ok");
    co_return {};
}

ZSYNC_CASE(cancel_token, under_a_canceled_one_is_canceled_at_once, nothing) {
    CancelToken root;
    root.cancel();
    const CancelToken late(root);
    EXPECT_TRUE(late.is_canceled());
    co_return {};
}

ZSYNC_CASE(cancel_token, wakes_tasks_that_wait_for_it, beside) {
    CancelToken token;
    ZCO_TRY(auto a, io.concurrent(until_canceled, std::ref(token)));
    ZCO_TRY(auto b, io.concurrent(until_canceled, std::ref(token)));
    ZCO_CHECK(co_await at_rest(io));
    token.cancel();
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(cancel_token, a_canceled_waiter_is_about_itself, beside) {
    CancelToken token;
    ZCO_TRY(auto waiting, io.concurrent(until_canceled, std::ref(token)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    EXPECT_FALSE(token.is_canceled());
    co_return {};
}

ZSYNC_CASE(cancel_token, times_out, timer) {
    CancelToken token;
    TIMES_OUT(co_await token.canceled().until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(cancel_token, cancels_a_scope_that_is_bound_to_it, beside) {
    CancelToken token;
    Event never;
    Scope scope(io, "work");
    ZCO_CHECK(scope.spawn_concurrent("waiting", see, std::ref(never)));
    const CancelBinding binding(token, scope);
    ZCO_CHECK(co_await at_rest(io));
    token.cancel();
    EXPECT_IS(co_await scope.join(), "ok");
    co_return {};
}

ZSYNC_CASE(cancel_token, cancels_a_future_that_is_bound_to_it, beside) {
    CancelToken token;
    Event never;
    ZCO_TRY(auto bound, io.concurrent(see, std::ref(never)));
    const CancelBinding binding(token, bound);
    ZCO_CHECK(co_await at_rest(io));
    token.cancel();
    EXPECT_IS(co_await bound, "Canceled");
    co_return {};
}

ZSYNC_CASE(cancel_token, leaves_alone_what_is_no_longer_bound, beside) {
    CancelToken token;
    Event go;
    ZCO_TRY(auto task, io.concurrent(see, std::ref(go)));
    {
        const CancelBinding binding(token, task);
    }
    token.cancel();
    go.set();
    EXPECT_IS(co_await task, "ok");
    co_return {};
}

ZSYNC_CASE(cancel_token, cancels_at_once_what_is_bound_too_late, beside) {
    CancelToken token;
    token.cancel();
    Event never;
    ZCO_TRY(auto task, io.concurrent(see, std::ref(never)));
    const CancelBinding binding(token, task);
    EXPECT_IS(co_await task, "Canceled");
    co_return {};
}

} // namespace zsync::conformance
