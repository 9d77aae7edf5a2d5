// Several workers in one process: calls from one to another, their cancels, their end.
#include <zsync/core/channel.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/inbox.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/simulation.hpp>
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <ctime>
#include <fcntl.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace zsync {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<WorkerGroup> make_group(std::size_t count) {
    auto group = WorkerGroup::create(count);
    EXPECT_TRUE(group) << group.error().message();
    return *std::move(group);
}

/// A worker on this thread, and others to ask.
class WorkerGroupTest : public testing::TestWithParam<TaskKind> {
protected:
    Io io() { return {*worker_, GetParam()}; }
    template <class Body> void run(std::size_t count, Body body) {
        const auto group = make_group(count);
        const Result<void> result = io().run("test", body(io(), std::ref(*group)));
        EXPECT_TRUE(result) << result.error().message();
    }
    Worker& worker() { return *worker_; }

private:
    std::unique_ptr<Worker> worker_ = *Worker::create();
};
INSTANTIATE_TEST_SUITE_P(
    Kinds,
    WorkerGroupTest,
    testing::Values(TaskKind::coroutine, TaskKind::fiber),
    [](const testing::TestParamInfo<TaskKind>& kind) { return std::string(name_of(kind.param)); }
);

pid_t thread_of(Io /*io*/) { return ::gettid(); }
Task<Result<void>> sleep_long(Io io) { co_return co_await io.sleep_for(1h); }
Task<Result<int>> answer(Io io, int question) {
    ZCO_CHECK(co_await io.yield());
    co_return question + 1;
}

Task<Result<void>> sleep_there_then_yield(Io io, WorkerAddress there) {
    EXPECT_EQ((co_await there.call("sleep", sleep_long)).error(), Error(CoreError::canceled));
    co_return co_await io.yield(); // the cancel has been delivered
}
Task<Result<int>> call_one_that_is_deaf(Io io, WorkerAddress there) {
    Result<int> result = co_await there.call("deaf", [](Io) { return 42; });
    EXPECT_EQ((co_await io.yield()).error(), Error(CoreError::canceled));
    co_return result;
}
Task<Result<int>> ask(WorkerAddress there, int question) {
    co_return co_await there.call("answer", answer, question);
}
std::uint64_t enters_of(Io there) { return static_cast<Worker&>(there.executor()).stats().enters; }
void set(Io /*io*/, bool& flag) { flag = true; }

TEST_P(WorkerGroupTest, a_call_runs_on_the_other_thread_and_its_result_comes_back) {
    run(2, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        const Result<pid_t> first = co_await group[0].call("thread", thread_of);
        const Result<pid_t> second = co_await group[1].call("thread", thread_of);
        EXPECT_TRUE(first && second);
        EXPECT_NE(*first, ::gettid());
        EXPECT_NE(*second, ::gettid());
        EXPECT_NE(*first, *second);
        EXPECT_EQ(co_await group[1].call("answer", answer, 41), 42);
        Future<Result<int>> later = group[0].async(io, "answer", answer, 1);
        EXPECT_EQ(co_await later, 2);
        EXPECT_EQ(co_await later.cancel(), 2);
        co_return {};
    });
}

TEST_P(WorkerGroupTest, arguments_and_results_are_moved) {
    run(1, [](Io /*io*/, WorkerGroup& group) -> Task<Result<void>> {
        auto doubled = [](Io, std::unique_ptr<int> number) {
            *number *= 2;
            return number;
        };
        auto number = co_await group[0].call("double", doubled, std::make_unique<int>(21));
        EXPECT_TRUE(number);
        EXPECT_EQ(**number, 42);
        // A result of its own is not wrapped in another.
        Outcome<int> fault = co_await group[0].call("fail", [](Io) -> Outcome<int> {
            return fail(CoreError::unsupported, "no such thing");
        });
        EXPECT_EQ(fault.error().message(), "no such thing");
        bool seen = false;
        Result<void> nothing = co_await group[0].call("nothing", set, std::ref(seen));
        EXPECT_TRUE(nothing);
        EXPECT_TRUE(seen);
        co_return {};
    });
}

TEST_P(WorkerGroupTest, what_runs_there_may_be_a_fiber) {
    run(1, [](Io /*io*/, WorkerGroup& group) -> Task<Result<void>> {
        auto wait = [](Io there) -> Result<bool> {
            ZTRY(there.sleep_for(1ms).wait());
            return there.kind() == TaskKind::fiber;
        };
        EXPECT_EQ(co_await group[0].fibers().call("wait", wait), true);
        co_return {};
    });
}

TEST_P(WorkerGroupTest, a_cancel_reaches_the_task_there_and_is_delivered_once) {
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        Future<Result<void>> caller = io.async(sleep_there_then_yield, io, group[0]);
        // It has arrived there for certain when what was asked after it has an answer.
        EXPECT_TRUE(co_await io.yield());
        EXPECT_TRUE(co_await group[0].call("answer", answer, 0));
        EXPECT_TRUE(co_await caller.cancel());
        co_return {};
    });
}

TEST_P(WorkerGroupTest, a_cancel_before_the_start_starts_nothing) {
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        io.recancel();
        bool ran = false;
        const auto marked = co_await group[0].call("set", set, std::ref(ran));
        EXPECT_EQ(marked.error(), Error(CoreError::canceled));
        EXPECT_TRUE(co_await group[0].call("answer", answer, 0));
        EXPECT_FALSE(ran);
        co_return {};
    });
}

TEST_P(WorkerGroupTest, a_result_that_wins_over_the_cancel_is_kept_and_the_cancel_stays_pending) {
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        Future<Result<int>> caller = io.async(call_one_that_is_deaf, io, group[0]);
        EXPECT_TRUE(co_await io.yield());
        EXPECT_EQ(co_await caller.cancel(), 42);
        co_return {};
    });
}

TEST_P(WorkerGroupTest, a_scope_joins_tasks_of_other_workers_and_the_first_failure_cancels_them) {
    run(2, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        Scope scope(io, "scope");
        scope.spawn("sleeper", group[0].task("sleeper", sleep_long));
        scope.spawn("sleeper", group[1].task("sleeper", sleep_long));
        scope.spawn("failing", group[1].task("failing", [](Io) -> Result<void> {
            return fail(CoreError::unsupported);
        }));
        EXPECT_EQ((co_await scope.join()).error(), Error(CoreError::unsupported));
        co_return {};
    });
}

TEST_P(WorkerGroupTest, workers_call_each_other_and_the_first_one) {
    run(2, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        ZCO_TRY(const WorkerAddress home, static_cast<Worker&>(io.executor()).address());
        auto relay = [](Io, WorkerAddress next, WorkerAddress back) -> Task<Result<pid_t>> {
            co_return co_await next.call(
                "relay",
                [](Io, WorkerAddress to) -> Task<Result<pid_t>> {
                    co_return co_await to.call("thread", thread_of);
                },
                back
            );
        };
        EXPECT_EQ(co_await group[0].call("relay", relay, group[1], home), ::gettid());
        EXPECT_EQ(co_await home.call("thread", thread_of), ::gettid());
        co_return {};
    });
}

TEST_P(WorkerGroupTest, tasks_and_figures_of_a_worker_are_asked_for_there) {
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        Future<Result<void>> sleeper = group[0].async(io, "a sleeper", sleep_long);
        EXPECT_TRUE(co_await io.yield());
        auto list = [](Io there) { return there.executor().tasks(); };
        Result<std::vector<TaskInfo>> tasks = co_await group[0].call("list", list);
        EXPECT_EQ(tasks->size(), 3U); // the root, the sleeper, the one that lists
        EXPECT_EQ((*tasks)[1].name, "a sleeper");
        EXPECT_EQ((*tasks)[1].parent, (*tasks)[0].id);
        EXPECT_EQ((*tasks)[1].state, "waiting: sleep");
        EXPECT_EQ((co_await sleeper.cancel()).error(), Error(CoreError::canceled));
        co_return {};
    });
}

TEST_P(WorkerGroupTest, stopping_cancels_what_others_have_started_and_refuses_the_rest) {
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        Future<Result<void>> sleeper = group[0].async(io, "sleeper", sleep_long);
        EXPECT_TRUE(co_await io.yield());
        EXPECT_TRUE(co_await group[0].call("answer", answer, 0));
        group.stop();
        EXPECT_EQ((co_await sleeper).error(), Error(CoreError::canceled));
        EXPECT_TRUE(co_await io.yield()); // nobody has cancelled this task
        EXPECT_EQ((co_await group[0].call("late", answer, 0)).error(), Error(CoreError::closed));
        group.stop();
        co_return {};
    });
}

TEST_P(WorkerGroupTest, an_address_outlives_its_worker) {
    std::optional<WorkerAddress> address;
    {
        const auto group = make_group(1);
        address = (*group)[0];
    }
    const auto late = io().run("late", address->task("late", answer, 0));
    EXPECT_EQ(late.error(), Error(CoreError::closed));
}

TEST_P(WorkerGroupTest, a_thousand_calls_wake_a_worker_no_more_often_than_it_slept) {
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        constexpr int calls = 1000;
        JoinSet<Result<int>> set(io);
        for (int n = 0; n < calls; ++n) {
            set.spawn(ask, group[0], n);
        }
        int sum = 0;
        while (auto result = co_await set.next()) {
            sum += **result;
        }
        EXPECT_EQ(sum, calls * (calls + 1) / 2);
        // A bell is a system call of who posts; a sleep is one of who receives.
        const Result<std::uint64_t> sleeps = co_await group[0].call("enters", enters_of);
        EXPECT_LE(group[0].inbox()->bells(), *sleeps);
        co_return {};
    });
}

TEST_P(WorkerGroupTest, every_worker_calls_every_other_while_calls_are_cancelled) {
    run(3, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        struct Body {
            static Task<Result<int>> busy(Io io, std::vector<WorkerAddress> others, int depth) {
                if (depth == 0) {
                    ZCO_CHECK(co_await io.yield());
                    co_return 1;
                }
                int sum = 0;
                JoinSet<Result<int>> set(io);
                for (const WorkerAddress& other : others) {
                    set.spawn(&pass_on, other, others, depth - 1);
                }
                Future<Result<int>> dropped = others[0].async(io, "dropped", &forever);
                ZCO_CHECK(co_await io.yield());
                const Result<int> late = co_await dropped.cancel();
                EXPECT_EQ(late.error(), Error(CoreError::canceled));
                while (auto result = co_await set.next()) {
                    EXPECT_TRUE(*result);
                    sum += **result;
                }
                co_return sum;
            }
            static Task<Result<int>>
            pass_on(WorkerAddress other, std::vector<WorkerAddress> others, int depth) {
                co_return co_await other.call("busy", &busy, std::move(others), depth);
            }
            static Task<Result<int>> forever(Io io) {
                ZCO_CHECK(co_await io.sleep_for(1h));
                co_return 0;
            }
        };
        const std::vector<WorkerAddress> all{group[0], group[1], group[2]};
        EXPECT_EQ(co_await Body::busy(io, all, 5), 243);
        co_return {};
    });
}

#ifndef ZSYNC_SANITIZED
TEST(WorkerGroupDeathTest, an_overflow_of_a_fiber_there_names_the_task) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    struct Body {
        // NOLINTNEXTLINE(misc-no-recursion): that is the point
        static int recurse(int n) {
            volatile char frame[1024] = {};
            return n == 0 ? frame[0] : recurse(n - 1) + frame[n % 1024];
        }
        static Task<int> overflow(Io io) {
            const Io fibers(io.executor(), TaskKind::fiber);
            co_return co_await fibers.async("bottomless", &recurse, 1 << 20);
        }
        static Task<void> run(WorkerAddress there) {
            (void)co_await there.call("overflow", &overflow);
        }
    };
    EXPECT_DEATH(
        {
            const auto group = make_group(1);
            const auto worker = *Worker::create();
            worker->run("root", Body::run((*group)[0]));
        },
        "the stack of fiber task \"bottomless\" has overflowed"
    );
}
#endif

TEST(WorkerGroup, has_one_worker_to_its_limit) {
    EXPECT_EQ(WorkerGroup::create(0).error().error, Error(CoreError::invalid_argument));
    const auto over = WorkerGroup::create(limits::group_workers_max + 1);
    EXPECT_EQ(over.error().message(), "a group of 65 workers: it has 1 to 64");
    const auto most = make_group(limits::group_workers_max);
    EXPECT_EQ(most->size(), limits::group_workers_max);
}

TEST(WorkerGroup, says_which_worker_cannot_be_had_and_why) {
    const auto lost = WorkerGroup::create({{.name = "a", .cpu = {}}, {.name = "b", .cpu = 5000}});
    EXPECT_EQ(lost.error().error, os_error(EINVAL));
    EXPECT_EQ(lost.error().message(), "worker 1: no processor 5000: Invalid argument");
    const auto named = WorkerGroup::create({{.name = "sixteen letters.", .cpu = {}}});
    EXPECT_EQ(named.error().error, Error(CoreError::invalid_argument));
}

int processors_usable() {
    cpu_set_t usable;
    EXPECT_EQ(::sched_getaffinity(0, sizeof usable, &usable), 0);
    return CPU_COUNT(&usable);
}

TEST(WorkerGroup, helpers_of_a_worker_on_one_processor_may_use_all) {
    const auto group = *WorkerGroup::create({{.name = "pinned", .cpu = 0}});
    struct Body {
        static Task<Result<void>> run(Io io, int expected) {
            EXPECT_EQ(processors_usable(), 1);
            EXPECT_EQ(co_await io.offload(processors_usable), expected);
            EXPECT_EQ(co_await io.compute(processors_usable), expected);
            co_return {};
        }
    };
    const auto worker = *Worker::create();
    const int expected = processors_usable();
    EXPECT_TRUE(worker->run("ask", (*group)[0].task("ask", &Body::run, expected)));
}

TEST(WorkerGroup, stays_on_its_processor) {
    const auto group = *WorkerGroup::create({{.name = "pinned", .cpu = 0}});
    const auto worker = *Worker::create();
    const auto where =
        worker->run("ask", (*group)[0].task("where", [](Io) { return ::sched_getcpu(); }));
    EXPECT_EQ(where, 0);
}

std::chrono::nanoseconds processor_time() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Task<Result<std::size_t>> read_one(Io io, FdRef from) {
    co_return (co_await io.read(from, Bytes(1))).count;
}

TEST(WorkerGroup, workers_that_poll_need_not_be_woken) {
    constexpr Duration longer_than_the_test = 1min;
    const auto group = *WorkerGroup::create({{.name = "polls", .busy_poll = longer_than_the_test}});
    const auto worker = *Worker::create();
    worker->busy_poll(longer_than_the_test);
    struct Body {
        static Task<Result<void>> run(Io io, WorkerAddress there) {
            for (int n = 0; n < 1000; ++n) {
                EXPECT_EQ(co_await ask(there, n), n + 1);
            }
            ZCO_TRY(const WorkerAddress here, static_cast<Worker&>(io.executor()).address());
            EXPECT_EQ(there.inbox()->bells() + here.inbox()->bells(), 0U);
            co_return {};
        }
    };
    if (worker->ring() == nullptr) {
        GTEST_SKIP() << "without a ring nothing is polled";
    }
    EXPECT_TRUE(worker->run("ask", Body::run(worker->io(), (*group)[0])));
}

TEST(WorkerGroup, one_that_polls_sees_completions_and_timers_and_sleeps_when_nothing_comes) {
    const auto worker = *Worker::create();
    worker->busy_poll(1ms);
    struct Body {
        static Task<Result<void>> run(Io io) {
            std::array<int, 2> ends{};
            EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
            const Fd to_read(ends[0]);
            const Fd to_write(ends[1]);
            auto reading = io.async(read_one, io, FdRef(to_read));
            ZCO_CHECK(co_await io.sleep_for(2ms));
            EXPECT_EQ(::write(to_write.get(), "x", 1), 1);
            EXPECT_EQ(co_await reading, 1U);
            const auto before = processor_time();
            const TimePoint begin = io.now();
            ZCO_CHECK(co_await io.sleep_for(200ms));
            EXPECT_GE(io.now() - begin, 200ms);
            EXPECT_LT(processor_time() - before, 100ms);
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("poll", Body::run(worker->io())));
}

TEST(WorkerGroup, is_not_called_from_where_no_message_comes_back_to) {
    const auto group = make_group(1);
    const auto threads = *ThreadExecutor::create();
    const auto asked = threads->io().run("ask", (*group)[0].task("answer", answer, 0));
    EXPECT_EQ(asked.error(), Error(CoreError::unsupported));
    Simulation simulation(1);
    const auto simulated = simulation.worker().run("ask", (*group)[0].task("answer", answer, 0));
    EXPECT_EQ(simulated.error(), Error(CoreError::unsupported));
}

TEST(WorkerGroup, a_worker_may_run_again_and_has_another_address_then) {
    const auto group = make_group(1);
    const auto worker = *Worker::create();
    for (int n = 0; n < 3; ++n) {
        EXPECT_EQ(worker->run("ask", (*group)[0].task("answer", answer, n)), n + 1);
    }
}

} // namespace
} // namespace zsync
