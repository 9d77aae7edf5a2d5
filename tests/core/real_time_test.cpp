// Real-time tasks of one worker: their order, their deadlines, and which of them are admitted.
#include "tests/core/manual_clock.hpp"

#include <zsync/core/assert.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/real_time_task.hpp>
#include <zsync/core/scheduling.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace zsync {
namespace {

using namespace std::chrono_literals;

class RealTimeTest : public testing::TestWithParam<TaskKind> {
protected:
    Io io() { return {worker_, GetParam()}; }
    template <class Body> void run(Body body) {
        const Result<void> result = io().run("test", body(io(), *this));
        EXPECT_TRUE(result) << result.error().message();
    }

private:
    std::unique_ptr<ManualClock> owned_ = std::make_unique<ManualClock>();

public:
    ManualClock& clock = *owned_;
    std::vector<std::string> ran;

private:
    Worker worker_{std::move(owned_), RunOrder::urgency};
};
INSTANTIATE_TEST_SUITE_P(
    Kinds,
    RealTimeTest,
    testing::Values(TaskKind::coroutine, TaskKind::fiber),
    [](const testing::TestParamInfo<TaskKind>& kind) { return std::string(name_of(kind.param)); }
);

Worker& worker_of(Io io) { return static_cast<Worker&>(io.executor()); }

Task<Result<void>>
note_when_woken(Io io, RealTimeTest& test, std::string name, Urgency urgency, TimePoint at) {
    Outcome<RealTimeTask> self = RealTimeTask::enter(io, urgency);
    EXPECT_TRUE(self) << self.error().message();
    ZCO_CHECK(co_await io.sleep_until(at));
    test.ran.push_back(std::move(name));
    co_return {};
}
Task<Result<void>> note_plain(Io io, RealTimeTest& test, std::string name, TimePoint at) {
    ZCO_CHECK(co_await io.sleep_until(at));
    test.ran.push_back(std::move(name));
    co_return {};
}

TEST_P(
    RealTimeTest, the_earliest_deadline_runs_first_then_the_highest_priority_then_who_came_first
) {
    run([](Io io, RealTimeTest& test) -> Task<Result<void>> {
        Scope scope(io, "all");
        const TimePoint at = io.now() + 20ms;
        const auto start = [&](const char* name, Urgency urgency) {
            scope.spawn("task", note_when_woken(io, test, name, urgency, at));
        };
        scope.spawn("task", note_plain(io, test, "plain a", at));
        start("10 a", {.priority = 10});
        start("due in 50", {.deadline = 50ms, .budget = 1ms});
        start("99", {.priority = 99});
        scope.spawn("task", note_plain(io, test, "plain b", at));
        start("due in 30", {.deadline = 30ms, .budget = 1ms});
        start("10 b", {.priority = 10});
        ZCO_CHECK(co_await scope.join());
        // Timers of one moment fire in no order of their own; equals come as they became ready.
        std::vector<std::string> expected{"due in 30", "due in 50", "99"};
        EXPECT_TRUE(std::ranges::equal(expected, std::span(test.ran).first(3)));
        EXPECT_TRUE(test.ran[3].starts_with("10") && test.ran[4].starts_with("10"));
        EXPECT_TRUE(test.ran[5].starts_with("plain") && test.ran[6].starts_with("plain"));
        co_return {};
    });
}

Task<Result<void>> spin(Io io, RealTimeTest& test, bool& stop) {
    while (!stop) {
        test.ran.emplace_back("plain");
        test.clock.pass(1us);
        ZCO_CHECK(co_await io.yield());
    }
    co_return {};
}

TEST_P(RealTimeTest, an_urgent_task_waits_for_one_other_at_most_however_many_are_ready) {
    run([](Io io, RealTimeTest& test) -> Task<Result<void>> {
        Scope scope(io, "all");
        bool stop = false;
        for (int n = 0; n < 100; ++n) {
            scope.spawn("plain", spin(io, test, stop));
        }
        Outcome<RealTimeTask> self = RealTimeTask::enter(io, {.priority = 1});
        EXPECT_TRUE(self);
        for (int n = 0; n < 50; ++n) {
            const TimePoint due = io.now() + 500us;
            ZCO_CHECK(co_await io.sleep_until(due));
            EXPECT_LE(io.now() - due, 2us); // a plain one takes 1 us
        }
        stop = true;
        ZCO_CHECK(co_await scope.join());
        EXPECT_GT(test.ran.size(), 20'000U);
        co_return {};
    });
}

TEST_P(RealTimeTest, every_job_that_ends_late_and_every_one_left_out_is_counted) {
    run([](Io io, RealTimeTest& test) -> Task<Result<void>> {
        Outcome<RealTimeTask> self = RealTimeTask::enter(io, {.period = 10ms, .budget = 2ms});
        EXPECT_TRUE(self);
        // Released at 0, 10, 20, 30, 50 and 100 ms; those of 40, 60, 70, 80 and 90 are left out.
        const std::array<Duration, 6> takes{1ms, 3ms, 12ms, 25ms, 45ms, 9ms};
        const std::array<std::uint64_t, 6> misses{0, 0, 1, 3, 8, 9};
        const TimePoint begin = io.now();
        for (std::size_t n = 0; n < takes.size(); ++n) {
            test.clock.pass(takes[n]);
            auto next = self->next_period();
            EXPECT_EQ(self->stats().jobs, n + 1);
            EXPECT_EQ(self->stats().misses, misses[n]) << n;
            ZCO_CHECK(co_await next);
        }
        EXPECT_EQ(self->due() - begin, 120ms);
        EXPECT_EQ(worker_of(io).stats().jobs.misses, 9U);
        // One that is in time when it leaves has not missed.
        co_return {};
    });
}

TEST_P(RealTimeTest, a_job_without_a_period_is_judged_when_it_ends) {
    run([](Io io, RealTimeTest& test) -> Task<Result<void>> {
        for (const Duration takes : {5ms, 6ms}) {
            const std::uint64_t before = worker_of(io).stats().jobs.misses;
            {
                Outcome<RealTimeTask> job =
                    RealTimeTask::enter(io, {.deadline = 5ms, .budget = 1ms});
                EXPECT_TRUE(job);
                test.clock.pass(takes);
            }
            EXPECT_EQ(worker_of(io).stats().jobs.misses - before, takes > 5ms ? 1U : 0U);
        }
        EXPECT_EQ(worker_of(io).stats().jobs.jobs, 2U);
        co_return {};
    });
}

TEST_P(RealTimeTest, a_job_over_its_budget_is_counted) {
    run([](Io io, RealTimeTest&) -> Task<Result<void>> {
        Outcome<RealTimeTask> self = RealTimeTask::enter(io, {.period = 1h, .budget = 1ms});
        EXPECT_TRUE(self);
        const TimePoint until = Clock::now() + 2ms; // the processor's time is real
        while (Clock::now() < until) {
        }
        ZCO_CHECK(co_await self->next_period());
        EXPECT_EQ(self->stats().overruns, 1U);
        EXPECT_EQ(self->stats().misses, 0U);
        co_return {};
    });
}

TEST_P(RealTimeTest, people_see_how_urgent_a_task_is_and_how_often_it_was_late) {
    run([](Io io, RealTimeTest& test) -> Task<Result<void>> {
        Outcome<RealTimeTask> self = RealTimeTask::enter(io, {.period = 10ms, .budget = 1ms});
        test.clock.pass(35ms);
        ZCO_CHECK(co_await self->next_period());
        const TaskInfo info = io.executor().tasks().front();
        EXPECT_EQ(info.misses, 3U);
        EXPECT_EQ(info.state, "running, late: 3");
        co_return {};
    });
}

struct Asked {
    Urgency urgency;
    bool admitted;
    const char* why;
};

Task<Result<void>> ask_for(Io io, Asked asked, bool& stay) {
    const Outcome<RealTimeTask> self = RealTimeTask::enter(io, asked.urgency);
    EXPECT_EQ(self.has_value(), asked.admitted);
    if (!self) {
        EXPECT_EQ(self.error().message(), asked.why);
    }
    while (stay) {
        ZCO_CHECK(co_await io.sleep_for(1ms));
    }
    co_return {};
}

TEST_P(RealTimeTest, deadlines_are_promised_while_all_can_be_kept) {
    run([](Io io, RealTimeTest&) -> Task<Result<void>> {
        bool stay = true;
        Scope scope(io, "all");
        const auto ask = [&](Urgency urgency, const char* why = nullptr) {
            scope.spawn("asks", ask_for(io, {urgency, why == nullptr, why}, stay));
        };
        ask({.period = 10ms, .budget = 4ms});
        ask({.period = 100ms, .budget = 6ms}); // may hold up the first: 4/10 + 6/10
        ask({.period = 1s, .budget = 7ms},
            "a task of 7000000ns in every 1000000000ns would bring this worker's deadline tasks to "
            "110.0 % of a processor, with 100.0 % to promise");
        ask({.period = 1s, .budget = 6ms});
        ask({.deadline = 5ms, .period = 10ms, .budget = 1ms},
            "a task of 1000000ns in every 5000000ns would bring this worker's deadline tasks to "
            "140.0 % of a processor, with 100.0 % to promise");
        ask({.priority = 99}); // takes nothing of what is promised
        ZCO_CHECK(co_await io.sleep_for(2ms));
        EXPECT_EQ(worker_of(io).stats().refused, 2U);
        stay = false;
        ZCO_CHECK(co_await scope.join());
        // All have left, so there is room; a smaller share of a processor is kept as well.
        worker_of(io).task_order()->set_capacity(0.5);
        stay = false;
        scope.spawn("asks", ask_for(io, {{.period = 10ms, .budget = 5ms}, true, ""}, stay));
        ZCO_CHECK(co_await scope.join());
        const char* too_much = "a task of 5000001ns in every 10000000ns would bring this worker's "
                               "deadline tasks to 50.0 % of a processor, with 50.0 % to promise";
        scope.spawn(
            "asks", ask_for(io, {{.period = 10ms, .budget = 5000001ns}, false, too_much}, stay)
        );
        ZCO_CHECK(co_await scope.join());
        co_return {};
    });
}

TEST_P(RealTimeTest, figures_that_make_no_sense_are_refused_in_words) {
    run([](Io io, RealTimeTest&) -> Task<Result<void>> {
        const auto why = [io](Urgency urgency) {
            const auto refused = RealTimeTask::enter(io, urgency);
            EXPECT_EQ(refused.error().error, Error(CoreError::invalid_argument));
            return refused.error().message();
        };
        const std::string both = "a task has a priority of 1 to 99, or a deadline or period";
        EXPECT_EQ(why({.priority = 100}), both);
        EXPECT_EQ(why({.priority = 1, .deadline = 1ms}), both);
        EXPECT_EQ(
            why({.period = 1ms}),
            "a task with budget 0ns, deadline 1000000ns, period 1000000ns: it must be 0 < budget "
            "<= deadline <= period"
        );
        (void)why({});
        (void)why({.deadline = 2ms, .period = 1ms, .budget = 1ms});
        (void)why({.deadline = 1ms, .period = 2ms, .budget = 2ms});
        const auto self = RealTimeTask::enter(io, {.priority = 1});
        EXPECT_EQ(why({.priority = 2}), "the task is a real-time task already");
        co_return {};
    });
}

TEST_P(RealTimeTest, has_as_many_real_time_tasks_as_it_has_places_for) {
    run([](Io io, RealTimeTest&) -> Task<Result<void>> {
        bool stay = true;
        Scope scope(io, "all");
        for (std::size_t n = 0; n < limits::real_time_tasks_max; ++n) {
            scope.spawn("asks", ask_for(io, {{.priority = 1}, true, ""}, stay));
        }
        ZCO_CHECK(co_await io.yield());
        const auto more = RealTimeTask::enter(io, {.priority = 1});
        EXPECT_EQ(more.error().error, Error(CoreError::limit_reached));
        EXPECT_EQ(more.error().message(), "255 real-time tasks run on this worker");
        stay = false;
        ZCO_CHECK(co_await scope.join());
        EXPECT_TRUE(RealTimeTask::enter(io, {.priority = 1}));
        co_return {};
    });
}

TEST(RealTime, is_refused_where_tasks_run_in_order_of_arrival) {
    const auto worker = *Worker::create();
    struct Body {
        static Task<Outcome<void>> run(Io io) {
            ZCO_TRY(const RealTimeTask self, RealTimeTask::enter(io, {.priority = 1}));
            co_return {};
        }
    };
    const auto refused = worker->run("test", Body::run(worker->io()));
    EXPECT_EQ(refused.error().error, Error(CoreError::unsupported));
}

TEST(RealTime, what_has_completed_runs_by_urgency_too) {
    struct Body {
        static Task<Result<void>>
        receive(Io io, FdRef socket, Urgency urgency, int name, std::vector<int>& ran) {
            std::optional<RealTimeTask> self;
            if (urgency.priority != 0) {
                self.emplace(*RealTimeTask::enter(io, urgency));
            }
            auto [count, buffer] = co_await io.recv(socket, Bytes(16));
            EXPECT_EQ(count, 1U);
            ran.push_back(name);
            co_return {};
        }
        static Task<Result<void>> run(Io io) {
            std::vector<int> ran;
            std::vector<std::array<Fd, 2>> pairs;
            Scope scope(io, "all");
            for (int n = 0; n < 4; ++n) {
                std::array<int, 2> ends{};
                EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
                pairs.push_back({Fd(ends[0]), Fd(ends[1])});
            }
            for (int n = 0; n < 4; ++n) {
                const Urgency urgency{.priority = static_cast<std::uint8_t>(10 * n)};
                const Fd& socket = pairs[static_cast<std::size_t>(n)][0];
                scope.spawn("receive", receive(io, socket, urgency, n, ran));
            }
            ZCO_CHECK(co_await io.sleep_for(1ms));
            for (const auto& pair : pairs) { // in one go, the least urgent first
                EXPECT_EQ(::send(pair[1].get(), "x", 1, 0), 1);
            }
            ZCO_CHECK(co_await scope.join());
            EXPECT_EQ(ran, (std::vector<int>{3, 2, 1, 0}));
            co_return {};
        }
    };
    const auto worker = *Worker::create(RunOrder::urgency);
    EXPECT_TRUE(worker->run("test", Body::run(worker->io())));
    EXPECT_TRUE(worker->run("test", Body::run(worker->fiber_io())));
}

TEST(Scheduling, figures_that_make_no_sense_are_refused_in_words) {
    using Policy = Scheduling::Policy;
    const auto why = [](Scheduling scheduling) { return scheduling.check().error().message(); };
    EXPECT_TRUE(Scheduling().check());
    EXPECT_EQ(why({.policy = Policy::fifo}), "SCHED_FIFO 0: priorities are 1 to 99");
    EXPECT_EQ(
        why({.policy = Policy::round_robin, .priority = 100}),
        "SCHED_RR 100: priorities are 1 to 99"
    );
    EXPECT_EQ(why({.priority = 1}), "SCHED_OTHER has no priority");
    EXPECT_EQ(
        why({.policy = Policy::deadline, .runtime = 3ms, .deadline = 2ms, .period = 10ms}),
        "SCHED_DEADLINE with runtime 3000000ns, deadline 2000000ns, period 10000000ns: it must be "
        "1024ns <= runtime <= deadline <= period"
    );
    EXPECT_TRUE((Scheduling{.policy = Policy::deadline, .runtime = 1024ns, .period = 1ms}.check()));
}

} // namespace
} // namespace zsync
