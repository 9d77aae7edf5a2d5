#include "tests/core/sync_fixture.hpp"

#include <zsync/core/cancel_token.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/select.hpp>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

ZSYNC_SYNC_SUITE(JoinSetTest);
ZSYNC_SYNC_SUITE(SelectTest);
ZSYNC_SYNC_SUITE(CancelTokenTest);

Task<Result<int>> after(Io io, Duration delay, int value) {
    ZCO_CHECK(co_await io.sleep_for(delay));
    co_return value;
}

Task<Result<void>> sleep_long(Io io) { co_return co_await io.sleep_for(24h); }
Task<Result<Result<int>>> next_of(JoinSet<Result<int>>& set) { co_return co_await set.next(); }
Task<Result<void>> until_canceled(CancelToken& token) { co_return co_await token.canceled(); }

} // namespace

TEST_P(JoinSetTest, gives_results_in_the_order_of_their_ends) {
    run([](Io io) -> Task<Result<void>> {
        JoinSet<Result<int>> set(io);
        EXPECT_EQ((co_await set.next()).error(), closed_error);
        set.spawn(after, io, 30ms, 3);
        set.spawn(after, io, 10ms, 1);
        set.spawn(after, io, 20ms, 2);
        EXPECT_EQ(set.size(), 3U);
        EXPECT_EQ((co_await set.next().until(io.now() + 5ms)).error(), timed_out_error);
        ZCO_CHECK(co_await io.sleep_for(15ms));
        for (int n = 1; n <= 3; ++n) {
            EXPECT_EQ(**co_await set.next(), n);
        }
        EXPECT_EQ((co_await set.next()).error(), closed_error);
        JoinSet<void> nothing(io);
        nothing.spawn([] {});
        EXPECT_TRUE(co_await nothing.next());
        EXPECT_TRUE(nothing.empty());
        co_return {};
    });
}

TEST_P(JoinSetTest, a_canceled_waiter_takes_no_result_and_a_woken_one_keeps_it) {
    run([](Io io) -> Task<Result<void>> {
        JoinSet<Result<int>> set(io);
        Event go;
        set.spawn([&go]() -> Task<Result<int>> {
            ZCO_CHECK(co_await go.wait());
            co_return 7;
        });
        auto first = io.async(next_of, std::ref(set));
        auto second = io.async(next_of, std::ref(set));
        auto third = io.async(next_of, std::ref(set));
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await first.cancel()).error(), canceled_error);
        go.set();
        const auto& got = co_await second;
        EXPECT_EQ(**got, 7);
        EXPECT_EQ((co_await third).error(), closed_error);
        co_return {};
    });
}

TEST_P(JoinSetTest, cancel_gives_what_won_the_race_and_what_did_not) {
    run([](Io io) -> Task<Result<void>> {
        JoinSet<Result<int>> set(io);
        set.spawn(after, io, 1ms, 1);
        set.spawn(after, io, 24h, 2);
        (void)co_await at_rest(io);
        int won = 0;
        int lost = 0;
        while (auto late = co_await set.cancel()) {
            ++(*late ? won : lost);
        }
        EXPECT_EQ(won, 1);
        EXPECT_EQ(lost, 1);
        co_return {};
    });
}

TEST_P(JoinSetTest, one_that_ends_early_cancels_its_tasks_and_frees_their_results) {
    run([](Io io) -> Task<Result<void>> {
        auto alive = std::make_shared<int>(0);
        {
            JoinSet<std::shared_ptr<int>> set(io);
            set.spawn([alive] { return alive; });
            set.spawn(
                [](Io self, std::shared_ptr<int> held) -> Task<std::shared_ptr<int>> {
                    EXPECT_EQ((co_await self.sleep_for(24h)).error(), canceled_error);
                    co_return held;
                },
                io,
                alive
            );
            (void)co_await at_rest(io);
        }
        (void)co_await at_rest(io);
        EXPECT_EQ(alive.use_count(), 1);
        co_return {};
    });
}

TEST_P(JoinSetTest, a_concurrent_task_runs_beside_its_starter) {
    run([](Io io) -> Task<Result<void>> {
        JoinSet<Result<int>> set(io);
        ZCO_CHECK(set.spawn_concurrent(after, io, 1ms, 1));
        EXPECT_EQ(**co_await set.next(), 1);
        co_return {};
    });
}

TEST_P(SelectTest, the_first_result_says_which_it_is) {
    enum Which { number, slept };
    run([](Io io) -> Task<Result<void>> {
        Select<Result<int>, Result<void>> first(io);
        first.async<slept>(sleep_long, io);
        ZCO_CHECK(first.concurrent<number>(after, io, 5ms, 42));
        const auto event = co_await first.await();
        EXPECT_EQ(event->index(), number);
        EXPECT_EQ(std::get<number>(*event), 42);
        co_await first.cancel_discard();
        EXPECT_EQ(first.size(), 0U);
        EXPECT_EQ((co_await first.await()).error(), closed_error);
        co_return {};
    });
}

TEST_P(SelectTest, many_are_awaited_at_once_and_a_cancel_keeps_what_there_is) {
    run([](Io io) -> Task<Result<void>> {
        Select<Result<int>, void> all(io);
        using Value = decltype(all)::Value;
        for (int n = 0; n < 3; ++n) {
            all.async<0>(after, io, 1ms, n);
        }
        all.async<1>([] {});
        (void)co_await at_rest(io);
        std::vector<Value> got;
        EXPECT_EQ(co_await all.await_many(got, 2), 4U);
        EXPECT_EQ(got.size(), 4U);
        EXPECT_EQ(got.front().index(), 1U);
        all.async<0>(after, io, 5ms, 9);
        all.async<0>(after, io, 24h, 10);
        auto waiting = io.async([&]() -> Task<std::size_t> {
            std::vector<Value> some;
            const auto count = co_await all.await_many(some, 2);
            EXPECT_EQ(io.check_cancel().error(), canceled_error);
            co_return count.value_or(0);
        });
        (void)co_await at_rest(io);
        EXPECT_EQ(co_await waiting.cancel(), 1U);
        co_await all.cancel_discard();
        co_return {};
    });
}

TEST_P(CancelTokenTest, reaches_what_is_under_it_and_nothing_above) {
    run([](Io io) -> Task<Result<void>> {
        CancelToken root;
        CancelToken left(root);
        CancelToken right(root);
        CancelToken leaf(left);
        auto waiting = io.async(until_canceled, std::ref(leaf));
        auto other = io.async(until_canceled, std::ref(right));
        (void)co_await at_rest(io);
        left.cancel();
        waiting.request_cancel();
        EXPECT_TRUE(co_await waiting);
        EXPECT_TRUE(leaf.is_canceled());
        EXPECT_FALSE(root.is_canceled() || right.is_canceled());
        EXPECT_EQ((co_await other.cancel()).error(), canceled_error);
        EXPECT_EQ((co_await right.canceled().until(io.now() + 5ms)).error(), timed_out_error);
        root.cancel();
        root.cancel();
        EXPECT_TRUE(co_await right.canceled());
        const CancelToken late(root);
        EXPECT_TRUE(late.is_canceled());
        co_return {};
    });
}

TEST_P(CancelTokenTest, cancels_scopes_and_futures_while_they_are_bound) {
    run([](Io io) -> Task<Result<void>> {
        CancelToken token;
        Scope scope(io, "work");
        TaskRef sleeper = scope.spawn("sleeper", sleep_long, io);
        auto bound = io.async(sleep_long, io);
        auto left = io.async(after, io, 50ms, 1);
        {
            const CancelBinding left_again(token, left);
        }
        const CancelBinding to_scope(token, scope);
        const CancelBinding to_future(token, bound);
        (void)co_await at_rest(io);
        token.cancel();
        EXPECT_TRUE(co_await scope.join());
        EXPECT_TRUE(sleeper.is_finished());
        EXPECT_EQ((co_await bound).error(), canceled_error);
        EXPECT_EQ(co_await left, 1);
        co_return {};
    });
}
