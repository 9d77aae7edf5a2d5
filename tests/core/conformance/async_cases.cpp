// Io::async and Io::concurrent: starting tasks.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/event.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace zsync::conformance {
namespace {

int twice(int n) { return 2 * n; }
int thrice(int n) noexcept { return 3 * n; }
Task<int> add(int a, int b) { co_return a + b; }
Task<Result<int>> slow_sum(Io io, int a, int b) {
    ZCO_CHECK(co_await io.yield());
    co_return a + b;
}
Task<Result<void>> refuse() { co_return fail(CoreError::closed); }
Task<void> count_up(Io io, int& count) {
    (void)co_await io.yield();
    ++count;
}
Task<std::string> tail_of(std::string text) { co_return text.substr(1); }

struct Counter {
    int value = 0;
    int add(int n) { return value += n; }
    Task<int> add_later(Io io, int n) {
        (void)co_await io.yield();
        co_return value += n;
    }
};

struct Multiplier {
    int factor;
    int operator()(int n) const { return factor * n; }
};

// NOLINTNEXTLINE(misc-no-recursion): tasks that start tasks
Task<Result<int>> depth_of(Io io, int left) {
    if (left == 0) {
        co_return 0;
    }
    auto below = io.async(depth_of, io, left - 1);
    ZCO_TRY(const int depth, co_await below);
    co_return depth + 1;
}

Task<Result<int>> sum_of(Channel<int>& numbers) {
    int sum = 0;
    while (auto number = co_await numbers.receive()) {
        sum += *number;
    }
    co_return sum;
}

} // namespace

ZSYNC_CASE(async, runs_a_function_and_gives_its_result, nothing) {
    auto doubled = io.async(twice, 21);
    EXPECT_EQ(co_await doubled, 42);
    co_return {};
}

ZSYNC_CASE(async, runs_a_noexcept_function, nothing) {
    auto tripled = io.async(thrice, 14);
    EXPECT_EQ(co_await tripled, 42);
    co_return {};
}

ZSYNC_CASE(async, runs_a_function_by_its_address, nothing) {
    auto doubled = io.async(&twice, 21);
    EXPECT_EQ(co_await doubled, 42);
    co_return {};
}

ZSYNC_CASE(async, runs_a_lambda, nothing) {
    auto product = io.async([](int a, int b) { return a * b; }, 6, 7);
    EXPECT_EQ(co_await product, 42);
    co_return {};
}

ZSYNC_CASE(async, keeps_what_a_lambda_has_captured, nothing) {
    auto started = [&] {
        const std::string word = "a captured word that is too long to lie in the string itself";
        return io.async([word](char end) { return word + end; }, '!');
    }();
    EXPECT_TRUE((co_await started).ends_with("itself!"));
    co_return {};
}

ZSYNC_CASE(async, keeps_the_captures_of_a_coroutine_lambda, nothing) {
    auto started = [&] {
        auto word = std::make_shared<int>(42);
        return io.async([io, word]() -> Task<int> {
            (void)co_await io.yield();
            co_return *word;
        });
    }();
    EXPECT_EQ(co_await started, 42);
    co_return {};
}

ZSYNC_CASE(async, runs_a_member_function, nothing) {
    Counter counter;
    auto added = io.async(&Counter::add, &counter, 7);
    EXPECT_EQ(co_await added, 7);
    EXPECT_EQ(counter.value, 7);
    co_return {};
}

ZSYNC_CASE(async, gives_a_copy_of_what_a_reference_refers_to, nothing) {
    Counter counter{7};
    auto value = io.async(&Counter::value, &counter);
    auto itself = io.async([&counter]() -> const Counter& { return counter; });
    EXPECT_EQ(co_await value, 7);
    EXPECT_EQ((co_await itself).value, 7);
    counter.value = 8;
    EXPECT_EQ(co_await value, 7);
    const Result<Counter> offloaded =
        co_await io.offload([&counter]() -> const Counter& { return counter; });
    EXPECT_TRUE(offloaded && offloaded->value == 8);
    co_return {};
}

ZSYNC_CASE(async, runs_a_member_coroutine, nothing) {
    Counter counter;
    auto added = io.async(&Counter::add_later, &counter, io, 7);
    EXPECT_EQ(co_await added, 7);
    co_return {};
}

ZSYNC_CASE(async, runs_a_function_object, nothing) {
    auto product = io.async(Multiplier{6}, 7);
    EXPECT_EQ(co_await product, 42);
    co_return {};
}

ZSYNC_CASE(async, runs_a_coroutine_and_gives_what_it_returns, nothing) {
    auto sum = io.async(add, 40, 2);
    EXPECT_EQ(co_await sum, 42);
    co_return {};
}

ZSYNC_CASE(async, runs_a_coroutine_that_waits, nothing) {
    auto sum = io.async(slow_sum, io, 40, 2);
    EXPECT_EQ(co_await sum, 42);
    co_return {};
}

ZSYNC_CASE(async, runs_what_gives_nothing, nothing) {
    int count = 0;
    auto plain = io.async([&count] { ++count; });
    auto coroutine = io.async(count_up, io, std::ref(count));
    co_await plain;
    co_await coroutine;
    EXPECT_EQ(count, 2);
    co_return {};
}

ZSYNC_CASE(async, takes_a_callable_that_only_moves, nothing) {
    auto value = io.async([owned = std::make_unique<int>(42)] { return *owned; });
    EXPECT_EQ(co_await value, 42);
    co_return {};
}

ZSYNC_CASE(async, takes_arguments_that_only_move, nothing) {
    auto value =
        io.async([](std::unique_ptr<int> owned) { return *owned; }, std::make_unique<int>(42));
    EXPECT_EQ(co_await value, 42);
    co_return {};
}

ZSYNC_CASE(async, gives_results_that_only_move, nothing) {
    auto made = io.async([] { return std::make_unique<int>(42); });
    const std::unique_ptr<int> value = co_await std::move(made);
    EXPECT_EQ(*value, 42);
    co_return {};
}

ZSYNC_CASE(async, copies_arguments_that_are_passed_by_value, nothing) {
    std::string text = "xyz";
    auto tail = io.async(tail_of, text);
    text = "changed";
    EXPECT_EQ(co_await tail, "yz");
    co_return {};
}

ZSYNC_CASE(async, lends_what_is_passed_by_ref, nothing) {
    int count = 0;
    auto counting = io.async([](int& to) { ++to; }, std::ref(count));
    co_await counting;
    EXPECT_EQ(count, 1);
    co_return {};
}

ZSYNC_CASE(async, gives_an_error_as_a_result, nothing) {
    auto refused = io.async(refuse);
    EXPECT_IS(co_await refused, "Closed");
    co_return {};
}

ZSYNC_CASE(async, gives_an_outcome_with_its_words, nothing) {
    auto refused =
        io.async([]() -> Outcome<int> { return fail(CoreError::unsupported, "no such thing"); });
    EXPECT_EQ((co_await refused).error().message(), "no such thing");
    co_return {};
}

ZSYNC_CASE(async, never_fails_however_many_are_started, nothing) {
    std::vector<Future<int>> many;
    for (int n = 0; n < 200; ++n) {
        many.push_back(io.async(add, n, 1));
    }
    int sum = 0;
    for (auto& one : many) {
        sum += co_await one;
    }
    EXPECT_EQ(sum, 200 * 201 / 2);
    co_return {};
}

ZSYNC_CASE(async, may_be_nested, nothing) {
    auto deep = io.async(depth_of, io, 12);
    EXPECT_EQ(co_await deep, 12);
    co_return {};
}

ZSYNC_CASE(async, frees_its_arguments_when_the_task_has_ended, nothing) {
    auto shared = std::make_shared<int>(1);
    auto task = io.async([](std::shared_ptr<int> held) { return *held; }, shared);
    EXPECT_EQ(co_await task, 1);
    EXPECT_EQ(shared.use_count(), 1);
    co_return {};
}

ZSYNC_CASE(async, frees_its_callable_when_the_task_has_ended, nothing) {
    auto shared = std::make_shared<int>(1);
    auto task = io.async([shared] { return *shared; });
    EXPECT_EQ(co_await task, 1);
    EXPECT_EQ(shared.use_count(), 1);
    co_return {};
}

ZSYNC_CASE(async, names_its_task_in_the_registry, beside | timer) {
    ZCO_TRY(auto named, io.concurrent("a name to find", sleep_long, io));
    ZCO_CHECK(co_await at_rest(io));
    const auto tasks = io.executor().tasks();
    const auto found = std::ranges::find(tasks, "a name to find", &TaskInfo::name);
    EXPECT_NE(found, tasks.end());
    if (found != tasks.end()) {
        EXPECT_EQ(found->state, "waiting: sleep");
        EXPECT_EQ(found->parent, TaskRecord::current()->id());
        EXPECT_TRUE(found->where.contains("conformance.cpp:")) << found->where;
    }
    EXPECT_IS(co_await named.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(async, leaves_the_registry_when_it_has_ended, nothing) {
    const std::uint64_t before = io.executor().task_count();
    auto task = io.async(add, 1, 2);
    EXPECT_EQ(co_await task, 3);
    EXPECT_EQ(io.executor().task_count(), before);
    co_return {};
}

ZSYNC_CASE(async, calls_a_child_coroutine_without_a_task_of_its_own, nothing) {
    const std::uint64_t before = io.executor().task_count();
    EXPECT_EQ(co_await add(1, 2), 3);
    EXPECT_EQ(co_await slow_sum(io, 1, 2), 3);
    EXPECT_EQ(io.executor().task_count(), before);
    co_return {};
}

ZSYNC_CASE(async, waits_on_its_stack_where_it_has_one, stack) {
    auto sum = io.async([io] { return slow_sum(io, 40, 2).wait(); });
    EXPECT_EQ(co_await sum, 42);
    co_return {};
}

ZSYNC_CASE(async, waits_on_its_stack_for_another_task, stack) {
    auto outer = io.async([io] {
        auto inner = io.async(slow_sum, io, 2, 3);
        return inner.await().wait();
    });
    EXPECT_EQ(co_await outer, 5);
    co_return {};
}

ZSYNC_CASE(concurrent, runs_while_its_starter_goes_on, beside) {
    Channel<int> numbers(0); // each side waits for the other
    ZCO_TRY(auto sum, io.concurrent(sum_of, std::ref(numbers)));
    for (int n = 1; n <= 3; ++n) {
        ZCO_CHECK(co_await numbers.send(n));
    }
    numbers.close();
    EXPECT_EQ(co_await sum, 6);
    co_return {};
}

ZSYNC_CASE(concurrent, lets_tasks_wait_for_each_other_in_a_ring, beside) {
    struct Body {
        static Task<Result<void>> pass(Channel<int>& from, Channel<int>& to) {
            while (auto number = co_await from.receive()) {
                ZCO_CHECK(co_await to.send(*number + 1));
            }
            to.close();
            co_return {};
        }
    };
    Channel<int> a(1);
    Channel<int> b(1);
    Channel<int> c(1);
    ZCO_TRY(auto first, io.concurrent(Body::pass, std::ref(a), std::ref(b)));
    ZCO_TRY(auto second, io.concurrent(Body::pass, std::ref(b), std::ref(c)));
    for (int n = 0; n < 10; ++n) {
        ZCO_CHECK(co_await a.send(n));
        EXPECT_EQ(co_await c.receive(), n + 2);
    }
    a.close();
    EXPECT_IS(co_await first, "ok");
    EXPECT_IS(co_await second, "ok");
    co_return {};
}

ZSYNC_CASE(concurrent, takes_any_callable_and_any_argument, beside) {
    ZCO_TRY(auto sum, io.concurrent(add, 40, 2));
    ZCO_TRY(
        auto moved,
        io.concurrent([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(1))
    );
    ZCO_TRY(auto named, io.concurrent("a name", [] { return 2; }));
    EXPECT_EQ(co_await sum, 42);
    EXPECT_EQ(co_await moved, 1);
    EXPECT_EQ(co_await named, 2);
    co_return {};
}

ZSYNC_CASE(concurrent, is_refused_where_nothing_runs_beside_and_frees_what_it_was_given, nothing) {
    auto shared = std::make_shared<int>(7);
    {
        auto task = io.concurrent([](std::shared_ptr<int> held) { return *held; }, shared);
        if (task) {
            EXPECT_EQ(co_await *task, 7);
        } else {
            EXPECT_IS(task, "ConcurrencyUnavailable");
        }
    }
    EXPECT_EQ(shared.use_count(), 1);
    EXPECT_EQ(io.executor().task_count(), 1U);
    co_return {};
}

ZSYNC_CASE(concurrent, is_said_to_be_there_or_not_by_features, nothing) {
    const auto features = io.executor().features();
    const auto found = std::ranges::find(features, "concurrency", &RuntimeFeature::name);
    const bool said = found == features.end() || found->available;
    EXPECT_EQ(said, io.concurrent([] {}).has_value());
    co_return {};
}

ZSYNC_CASE(concurrent, can_be_asked_for_and_done_without, nothing) {
    auto task = io.concurrent(slow_sum, io, 40, 2);
    if (!task) {
        task.emplace(io.async(slow_sum, io, 40, 2));
    }
    EXPECT_EQ(co_await *task, 42);
    co_return {};
}

ZSYNC_CASE(concurrent, tasks_end_in_their_own_time, beside) {
    Event go;
    ZCO_TRY(auto late, io.concurrent([&go]() -> Task<Result<void>> {
        co_return co_await go.wait();
    }));
    ZCO_TRY(auto early, io.concurrent([] {}));
    co_await early;
    EXPECT_FALSE(late.is_finished());
    go.set();
    EXPECT_IS(co_await late, "ok");
    co_return {};
}

ZSYNC_CASE(concurrent, many_tasks_take_turns, beside) {
    struct Body {
        static Task<Result<void>> count(Io io, int& turns) {
            for (int n = 0; n < 20; ++n) {
                ++turns;
                ZCO_CHECK(co_await io.yield());
            }
            co_return {};
        }
    };
    std::array<int, 8> turns{};
    std::vector<Future<Result<void>>> tasks;
    for (int& each : turns) {
        ZCO_TRY(auto task, io.concurrent(Body::count, io, std::ref(each)));
        tasks.push_back(std::move(task));
    }
    for (auto& task : tasks) {
        EXPECT_IS(co_await task, "ok");
    }
    EXPECT_EQ(std::ranges::count(turns, 20), 8);
    co_return {};
}

ZSYNC_CASE(yield, lets_others_run, beside) {
    int count = 0;
    ZCO_TRY(auto other, io.concurrent([&count] { ++count; }));
    while (!other.is_finished()) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_EQ(count, 1);
    co_return {};
}

ZSYNC_CASE(yield, comes_back_where_nobody_else_is_ready, nothing) {
    for (int n = 0; n < 100; ++n) {
        EXPECT_IS(co_await io.yield(), "ok");
    }
    co_return {};
}

ZSYNC_CASE(yield, is_a_cancellation_point, nothing) {
    io.recancel();
    EXPECT_IS(co_await io.yield(), "Canceled");
    EXPECT_IS(co_await io.yield(), "ok");
    co_return {};
}

ZSYNC_CASE(yield, waits_on_a_stack, stack) {
    auto task = io.async([io] { return io.yield().wait(); });
    EXPECT_IS(co_await task, "ok");
    co_return {};
}

ZSYNC_CASE(offload, gives_the_calls_result, nothing) {
    EXPECT_EQ(co_await io.offload([] { return 42; }), 42);
    co_return {};
}

ZSYNC_CASE(offload, keeps_the_calls_own_error, nothing) {
    const auto outcome = co_await io.offload([]() -> Outcome<int> {
        return fail(CoreError::unsupported, "no such thing");
    });
    EXPECT_FALSE(outcome);
    EXPECT_EQ(outcome.error().message(), "no such thing");
    co_return {};
}

ZSYNC_CASE(offload, takes_a_call_that_only_moves, nothing) {
    EXPECT_EQ(co_await io.offload([p = std::make_unique<int>(42)] { return *p; }), 42);
    co_return {};
}

ZSYNC_CASE(offload, never_blocks_others, beside | writing | outside) {
    const auto gate = pipe_pair();
    ZCO_TRY(auto call, io.concurrent([io, &gate]() -> Task<Result<ssize_t>> {
        co_return co_await io.offload([&gate] {
            char byte = 0;
            return ::read(gate.a.get(), &byte, 1); // until the starter goes on
        });
    }));
    ZCO_CHECK((co_await io.write(gate.b, Bytes::copy_of("x"))).count);
    EXPECT_EQ(co_await call, 1);
    co_return {};
}

ZSYNC_CASE(offload, a_pending_cancel_keeps_it_from_beginning, nothing) {
    bool ran = false;
    io.recancel();
    EXPECT_IS(co_await io.offload([&ran] { return ran = true; }), "Canceled");
    EXPECT_FALSE(ran);
    co_return {};
}

ZSYNC_CASE(offload, once_begun_is_finished_before_a_cancel_is_seen, beside | writing | outside) {
    const auto begun = pipe_pair();
    const auto gate = pipe_pair();
    ZCO_TRY(auto call, io.concurrent([&, io]() -> Task<std::string> {
        const auto read = co_await io.offload([&] {
            put(begun.b, "b");
            char byte = 0;
            return ::read(gate.a.get(), &byte, 1);
        });
        EXPECT_EQ(read, 1);
        co_return what(io.check_cancel());
    }));
    ZCO_CHECK((co_await io.read(begun.a, Bytes(1))).count);
    call.request_cancel();
    ZCO_CHECK((co_await io.write(gate.b, Bytes::copy_of("x"))).count);
    EXPECT_EQ(co_await call, "Canceled");
    co_return {};
}

} // namespace zsync::conformance
