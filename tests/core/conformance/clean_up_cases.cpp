// Tasks that clean up when they are cancelled, and the helpers that wait for them.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/event.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/select.hpp>

#include <format>
#include <string>
#include <variant>
#include <vector>

namespace zsync::conformance {
namespace {

Task<Result<void>> see(Event& event) { co_return co_await event.wait(); }
Task<Result<void>> refuse() { co_return fail(CoreError::closed); }
Task<Result<void>> refuse_after(Event& event) {
    ZCO_CHECK(co_await event.wait());
    co_return fail(CoreError::closed);
}
/// Waits, and then cleans up with so many waits: "clean" when the cancel came once, and before
/// them.
Task<std::string> clean_up(Io io, Event& never, int waits) {
    std::string seen = what(co_await never.wait());
    for (int n = 0; n < waits; ++n) {
        if (const Result<void> waited = co_await io.yield(); !waited) {
            seen += std::format(", then {} in wait {}", what(waited), n);
        }
    }
    co_return seen == "Canceled" ? "clean" : seen;
}
Task<Result<void>> clean_up_into(Io io, Event& never, int waits, std::string& seen) {
    seen = co_await clean_up(io, never, waits);
    co_return {};
}
constexpr int few = 2;
constexpr int many = 40;

/// Starts a task that borrows from its starter, and fails.
Task<Result<int>> start_in_set_and_fail(JoinSet<std::string>& set, Io io, Event& never) {
    ZCO_CHECK(set.spawn_concurrent(clean_up, io, std::ref(never), many));
    ZCO_CHECK(co_await at_rest(io));
    co_return fail(CoreError::closed);
}
using Either = Select<std::string, Result<void>>;
Task<Result<int>> start_in_select_and_fail(Either& either, Io io, Event& never) {
    ZCO_CHECK(either.concurrent<0>(clean_up, io, std::ref(never), many));
    ZCO_CHECK(co_await at_rest(io));
    co_return fail(CoreError::closed);
}
Task<Result<int>> take_one_of_select(Either& either, Event& never) {
    ZCO_CHECK(either.concurrent<1>(refuse));
    ZCO_CHECK(either.concurrent<1>(see, std::ref(never)));
    ZCO_TRY(auto first, co_await either.await());
    EXPECT_IS(std::get<1>(first), "Closed");
    co_return 7;
}
Task<Result<int>> fail_with(Future<std::string>& /*future*/, Io io) {
    ZCO_CHECK(co_await at_rest(io));
    co_return fail(CoreError::closed);
}
Task<Result<std::string>> await_in(Future<std::string>& future) { co_return co_await future; }

} // namespace

// A cancel is delivered once: who cleans up behind it is left alone, whatever else asks for its
// end.

ZSYNC_CASE(join_set, each_task_is_canceled_once, beside) {
    Event never;
    JoinSet<std::string> set(io);
    ZCO_CHECK(set.spawn_concurrent(clean_up, io, std::ref(never), few));
    ZCO_CHECK(set.spawn_concurrent(clean_up, io, std::ref(never), many));
    ZCO_CHECK(co_await at_rest(io));
    int ended = 0;
    while (auto seen = co_await set.cancel()) { // asks, and asks again when the first has ended
        EXPECT_EQ(*seen, "clean");
        ++ended;
    }
    EXPECT_EQ(ended, 2);
    co_return {};
}

ZSYNC_CASE(join_set, that_ends_cancels_each_task_once, beside) {
    Event never;
    std::vector<std::string> seen(2);
    ZCO_TRY(auto owner, io.concurrent([&, io]() -> Task<Result<void>> {
        JoinSet<Result<void>> set(io);
        for (const int n : {0, 1}) {
            ZCO_CHECK(set.spawn_concurrent(
                clean_up_into, io, std::ref(never), n == 0 ? few : many, std::ref(seen[n])
            ));
        }
        ZCO_CHECK(co_await at_rest(io));
        set.request_cancel();
        co_return co_await io.yield(); // they clean up when the set ends, and with it their parent
    }));
    ZCO_CHECK(co_await owner);
    EXPECT_EQ(seen, (std::vector<std::string>{"clean", "clean"}));
    co_return {};
}

ZSYNC_CASE(select, cancel_discard_cancels_each_task_once, beside) {
    Event never;
    std::vector<std::string> seen(2);
    Select<Result<void>, Result<void>> select(io);
    ZCO_CHECK(select.concurrent<0>(clean_up_into, io, std::ref(never), few, std::ref(seen[0])));
    ZCO_CHECK(select.concurrent<1>(clean_up_into, io, std::ref(never), many, std::ref(seen[1])));
    ZCO_CHECK(co_await at_rest(io));
    co_await select.cancel_discard();
    EXPECT_EQ(seen, (std::vector<std::string>{"clean", "clean"}));
    co_return {};
}

ZSYNC_CASE(scope, cancels_each_child_once, beside) {
    Event never;
    Event go;
    std::vector<std::string> seen(2);
    ZCO_TRY(auto joiner, io.concurrent([&, io]() -> Task<Result<void>> {
        Scope scope(io, "scope");
        for (const int n : {0, 1}) {
            ZCO_CHECK(scope.spawn_concurrent(
                "cleaning",
                clean_up_into,
                io,
                std::ref(never),
                n == 0 ? few : many,
                std::ref(seen[n])
            ));
        }
        ZCO_CHECK(scope.spawn_concurrent("bad", refuse_after, std::ref(go)));
        co_return co_await scope.join();
    }));
    ZCO_CHECK(co_await at_rest(io));
    go.set(); // a child fails, which cancels its siblings
    ZCO_CHECK(co_await io.yield());
    ZCO_CHECK(co_await io.yield());
    ZCO_CHECK(co_await io.yield());
    (void)co_await joiner.cancel(); // and then they are to be cancelled once more
    EXPECT_EQ(seen, (std::vector<std::string>{"clean", "clean"}));
    co_return {};
}

ZSYNC_CASE(future, its_task_is_canceled_once, beside) {
    Event never;
    Event canceled;
    ZCO_TRY(auto waiter, io.concurrent([&, io]() -> Task<Result<std::string>> {
        ZCO_TRY(auto cleaning, io.concurrent(clean_up, io, std::ref(never), many));
        ZCO_CHECK(co_await at_rest(io));
        cleaning.request_cancel();
        canceled.set();
        co_return co_await cleaning.cancel();
    }));
    ZCO_CHECK(co_await canceled.wait());
    ZCO_CHECK(co_await io.yield());
    ZCO_TRY(const std::string seen, co_await waiter.cancel()); // it waits for one that cleans up
    EXPECT_EQ(seen, "clean");
    co_return {};
}

// What a body started is gone when the helper gives its result.

ZSYNC_CASE(join_set, a_body_that_returns_early_takes_its_tasks_along, beside) {
    Event never;
    const Result<int> left =
        co_await in_join_set<std::string>(io, start_in_set_and_fail, io, std::ref(never));
    if (what(left) == "ConcurrencyUnavailable") {
        co_return fail(left.error());
    }
    EXPECT_IS(left, "Closed");
    EXPECT_EQ(io.executor().task_count(), 1U);
    co_return {};
}

ZSYNC_CASE(select, a_body_that_returns_early_takes_its_tasks_along, beside) {
    Event never;
    const Result<int> left = co_await in_select<std::string, Result<void>>(
        io, start_in_select_and_fail, io, std::ref(never)
    );
    if (what(left) == "ConcurrencyUnavailable") {
        co_return fail(left.error());
    }
    EXPECT_IS(left, "Closed");
    EXPECT_EQ(io.executor().task_count(), 1U);
    co_return {};
}

ZSYNC_CASE(select, a_body_that_has_what_it_wants_gives_it, beside) {
    Event never;
    const Result<int> got =
        co_await in_select<std::string, Result<void>>(io, take_one_of_select, std::ref(never));
    ZCO_CHECK(got);
    EXPECT_EQ(*got, 7);
    EXPECT_EQ(io.executor().task_count(), 1U);
    co_return {};
}

ZSYNC_CASE(future, a_body_that_returns_early_takes_the_task_along, beside) {
    Event never;
    ZCO_TRY(auto cleaning, io.concurrent(clean_up, io, std::ref(never), many));
    EXPECT_IS(co_await in_future(std::move(cleaning), fail_with, io), "Closed");
    EXPECT_EQ(io.executor().task_count(), 1U);
    co_return {};
}

ZSYNC_CASE(future, a_body_that_awaits_it_gives_its_result, nothing) {
    auto made = io.async([] { return std::string("made"); });
    const Result<std::string> got = co_await in_future(std::move(made), await_in);
    EXPECT_EQ(got.value_or(""), "made");
    co_return {};
}

} // namespace zsync::conformance
