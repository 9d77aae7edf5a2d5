#include <zsync/core/fiber.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

Task<Result<void>> hold_the_thread(Io io) {
    ZCO_CHECK(co_await io.yield());
    std::this_thread::sleep_for(30ms); // what a task must not do
    co_return co_await io.sleep_for(1ms);
}

Task<Result<void>> behave(Io io) {
    for (int n = 0; n < 100; ++n) {
        ZCO_CHECK(co_await io.yield());
    }
    co_return {};
}

Task<Result<void>> run_both(Io io) {
    Scope scope(io, "both");
    scope.spawn("good", behave(io));
    scope.spawn("bad", hold_the_thread(io));
    co_return co_await scope.join();
}

// A busy machine has the first tick late, so some attempts tell less of a stall; none less than the
// limit.
constexpr auto limit = 20ms;
constexpr auto within_a_tick = 28ms; // of 30
constexpr int attempts_max = 5;

} // namespace

TEST(Watch, names_the_task_that_holds_its_worker_and_where_it_came_to) {
    Duration held{};
    for (int attempt = 0; attempt < attempts_max && held < within_a_tick; ++attempt) {
        auto worker = Worker::create();
        ASSERT_TRUE(worker);
        std::vector<Stall> stalls;
        (*worker)->watch(limit, [&stalls](const Stall& stall) { stalls.push_back(stall); });
        EXPECT_TRUE((*worker)->run("root", run_both((*worker)->io())));
        ASSERT_EQ(stalls.size(), 1U);
        EXPECT_EQ(stalls[0].name, "bad");
        EXPECT_NE(stalls[0].until.find("watch_test.cpp:"), std::string::npos);
        EXPECT_GE(stalls[0].held, limit);
        held = stalls[0].held;
        const WorkerStats stats = (*worker)->stats();
        EXPECT_EQ(stats.stalls, 1U);
        EXPECT_GT(stats.resumes, 100U);
        EXPECT_GE(stats.busy, 30ms);
        EXPECT_EQ(stats.tasks, 0U);
        EXPECT_EQ(stats.in_flight, 0U);
    }
    EXPECT_GE(held, within_a_tick);
}

TEST(Watch, a_fiber_that_holds_its_worker_is_named_too) {
    struct Body {
        static void hold(Io io) {
            (void)io.sleep_for(1ms).wait();
            std::this_thread::sleep_for(30ms);
        }
        static Task<void> run(Io fibers) { co_await fibers.async("holder", &hold, fibers); }
    };
    Duration held{};
    for (int attempt = 0; attempt < attempts_max && held < within_a_tick; ++attempt) {
        auto worker = Worker::create();
        ASSERT_TRUE(worker);
        std::vector<Stall> stalls;
        (*worker)->watch(limit, [&stalls](const Stall& stall) { stalls.push_back(stall); });
        (*worker)->run("root", Body::run((*worker)->fiber_io()));
        ASSERT_EQ(stalls.size(), 1U);
        EXPECT_EQ(stalls[0].name, "holder");
        EXPECT_EQ(stalls[0].until, "its end");
        EXPECT_GE(stalls[0].held, limit);
        held = stalls[0].held;
    }
    EXPECT_GE(held, within_a_tick);
}

TEST(Watch, says_so_where_the_system_gives_no_timer) {
    struct Body {
        static Task<std::vector<RuntimeFeature>> run(Io io) { co_return io.executor().features(); }
    };
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_SIGPENDING, &before), 0);
    for (const bool given : {false, true}) {
        const rlimit less{.rlim_cur = given ? before.rlim_cur : 0, .rlim_max = before.rlim_max};
        ASSERT_EQ(::setrlimit(RLIMIT_SIGPENDING, &less), 0);
        auto worker = Worker::create();
        ASSERT_TRUE(worker);
        (*worker)->watch(limit, [](const Stall&) {});
        const auto features = (*worker)->run("root", Body::run((*worker)->io()));
        const auto watch = std::ranges::find(features, "watch", &RuntimeFeature::name);
        ASSERT_NE(watch, features.end());
        EXPECT_EQ(watch->available, given);
        EXPECT_EQ(watch->detail.ends_with(os_error(EAGAIN).message()), !given) << watch->detail;
    }
}

TEST(Watch, tasks_tell_how_often_they_ran_and_were_woken) {
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    struct Body {
        static Task<Result<void>> child(Io io) {
            ZCO_CHECK(co_await io.yield());
            ZCO_CHECK(co_await io.yield());
            co_return co_await io.sleep_for(1h);
        }
        static Task<void> run(Io io) {
            Scope scope(io, "all");
            scope.spawn("child", child(io));
            const auto told = [io] { return io.executor().tasks().back(); };
            EXPECT_EQ(told().resumes, 0U);
            EXPECT_EQ(told().wakeups, 0U);
            (void)co_await io.sleep_for(1ms);
            EXPECT_EQ(told().name, "child");
            EXPECT_EQ(told().resumes, 3U);
            EXPECT_EQ(told().wakeups, 2U);
            scope.cancel();
            // It was woken, and has not run yet.
            EXPECT_EQ(told().resumes, 3U);
            EXPECT_EQ(told().wakeups, 3U);
            (void)co_await scope.join();
        }
    };
    (*worker)->run("root", Body::run((*worker)->io()));
}

#ifndef ZSYNC_SANITIZED // they keep locals elsewhere
namespace {

/// Uses so much of its stack, and then waits.
template <std::size_t bytes> [[gnu::noinline]] void use_stack(Io io) {
    volatile char used[bytes];
    for (std::size_t n = 0; n < bytes; n += 64) {
        used[n] = 1;
    }
    used[0] = 1;
    (void)io.sleep_for(5ms).wait();
    (void)used[bytes - 1];
}

} // namespace

TEST(Watch, stacks_have_marks_by_the_name_of_the_task) {
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    (*worker)->watch(1h, [](const Stall&) {});
    struct Body {
        static Task<void> run(Io io, Io fibers) {
            auto deep = fibers.async("deep", &use_stack<20'000>, fibers);
            (void)co_await io.sleep_for(1ms);
            const TaskInfo live = io.executor().tasks().back();
            EXPECT_EQ(live.name, "deep");
            EXPECT_GT(live.stack_bytes, 20'000U);
            EXPECT_LT(live.stack_bytes, 26'000U);
            co_await deep;
            // On the stack that the deep one has left: its mark is its own all the same.
            co_await fibers.async("flat", &use_stack<1'000>, fibers);
        }
    };
    (*worker)->run("root", Body::run((*worker)->io(), (*worker)->fiber_io()));
    const std::vector<StackMark> marks = (*worker)->stack_marks();
    ASSERT_EQ(marks.size(), 2U);
    EXPECT_EQ(marks[0].task, "deep");
    EXPECT_GT(marks[0].bytes, 20'000U);
    EXPECT_LT(marks[0].bytes, 26'000U);
    EXPECT_EQ(marks[1].task, "flat");
    EXPECT_GT(marks[1].bytes, 1'000U);
    EXPECT_LT(marks[1].bytes, 7'000U);
    const WorkerStats stats = (*worker)->stats();
    EXPECT_EQ(stats.fibers.live, 0U);
    EXPECT_EQ(stats.fibers.pooled, 1U);
    EXPECT_EQ(stats.fibers.mapped, 1U);
}
#endif

TEST(Watch, names_beyond_the_limit_share_a_mark) {
    FiberPool pool;
    for (std::size_t n = 0; n < limits::stack_marks_max + 2; ++n) {
        const auto worker = std::to_string(n);
        Fiber* fiber = pool.acquire(limits::fiber_stack_bytes);
        ASSERT_NE(fiber, nullptr);
        pool.name_ended(worker);
        pool.release(*fiber);
    }
    EXPECT_EQ(pool.marks().size(), limits::stack_marks_max + 1);
    EXPECT_EQ(pool.marks().front().task, FiberPool::other_tasks);
}

TEST(Watch, time_asleep_is_not_time_busy) {
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    struct Body {
        static Task<Result<void>> run(Io io) { co_return co_await io.sleep_for(50ms); }
    };
    EXPECT_TRUE((*worker)->run("root", Body::run((*worker)->io())));
    EXPECT_LT((*worker)->stats().busy, 25ms);
}

TEST(Watch, charges_tasks_with_what_they_run_and_wakes_nobody_who_sleeps) {
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    (*worker)->watch(1h, [](const Stall&) {});
    struct Body {
        static Task<Result<void>> compute(Io io) {
            const TimePoint end = Clock::now() + 60ms;
            while (Clock::now() < end) {
                ZCO_CHECK(co_await io.yield());
            }
            co_return co_await io.sleep_for(1h);
        }
        static Task<Result<void>> run(Io io, Worker& worker) {
            Scope scope(io, "all");
            scope.spawn("computes", compute(io));
            ZCO_CHECK(co_await io.sleep_for(70ms));
            const TaskInfo told = io.executor().tasks().back();
            EXPECT_EQ(told.name, "computes");
            EXPECT_GT(told.running, 10ms);
            EXPECT_LT(told.running, told.age + 2ms);
            // The first tick in a sleep ends the ticks.
            const std::uint64_t before = worker.stats().enters;
            ZCO_CHECK(co_await io.sleep_for(50ms));
            EXPECT_LE(worker.stats().enters - before, 4U);
            scope.cancel();
            (void)co_await scope.join();
            co_return {};
        }
    };
    EXPECT_TRUE((*worker)->run("root", Body::run((*worker)->io(), **worker)));
}

TEST(Watch, leaves_the_signal_of_others_to_them) {
    static int seen = 0;
    struct sigaction before{};
    struct sigaction ours{};
    ours.sa_handler = [](int) { ++seen; };
    ASSERT_EQ(::sigaction(SIGURG, nullptr, &before), 0);
    if (before.sa_handler != SIG_DFL) {
        GTEST_SKIP() << "an earlier test of this process has begun to watch";
    }
    ASSERT_EQ(::sigaction(SIGURG, &ours, nullptr), 0);
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    (*worker)->watch(1h, [](const Stall&) {});
    struct Body {
        static Task<Result<void>> run(Io io) {
            ::raise(SIGURG);
            co_return co_await io.yield();
        }
    };
    EXPECT_TRUE((*worker)->run("root", Body::run((*worker)->io())));
    EXPECT_EQ(seen, 1);
}
