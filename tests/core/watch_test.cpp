#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

Task<Result<void>> hold_the_thread(Io io) {
    ZCO_CHECK(co_await io.yield());
    std::this_thread::sleep_for(30ms); // what a task must not do
    co_return co_await io.yield();
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

} // namespace

TEST(Watch, names_the_task_that_holds_its_worker_and_where_it_came_back) {
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    std::vector<Stall> stalls;
    (*worker)->watch(20ms, [&stalls](const Stall& stall) { stalls.push_back(stall); });
    EXPECT_TRUE((*worker)->run("root", run_both((*worker)->io())));
    ASSERT_EQ(stalls.size(), 1U);
    EXPECT_EQ(stalls[0].name, "bad");
    EXPECT_NE(stalls[0].resumed_at.find("watch_test.cpp:"), std::string::npos);
    EXPECT_GE(stalls[0].held, 30ms);
    const WorkerStats stats = (*worker)->stats();
    EXPECT_EQ(stats.stalls, 1U);
    EXPECT_GT(stats.resumes, 100U);
    EXPECT_GE(stats.busy, 30ms);
    EXPECT_EQ(stats.tasks, 0U);
    EXPECT_EQ(stats.in_flight, 0U);
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
