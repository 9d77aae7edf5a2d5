// Tasks at a limiter: order, rate and burst on the virtual clock, cancels and deadlines.
#include "tests/core/manual_clock.hpp"
#include "tests/core/models.hpp"

#include <zsync/coord/adaptive.hpp>
#include <zsync/coord/leaky_bucket.hpp>
#include <zsync/coord/limiter.hpp>
#include <zsync/coord/sliding_log.hpp>
#include <zsync/coord/sliding_window.hpp>
#include <zsync/coord/token_bucket.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/simulation.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace zsync::coord {
namespace {

using namespace std::chrono_literals;

template <class A> A made(Outcome<A> algorithm) {
    EXPECT_TRUE(algorithm) << algorithm.error().message();
    return *std::move(algorithm);
}
LeakyBucket leaky(Rate rate, std::uint64_t burst = 1) {
    return made(LeakyBucket::create(rate, burst));
}

/// A worker whose clock only moves when all tasks wait. Timers are late by up to 1.05 ms, or
/// 0.26 us where it runs by urgency.
std::unique_ptr<Worker> on_manual_clock(RunOrder order) {
    return std::make_unique<Worker>(std::make_unique<ManualClock>(), order);
}
/// A worker that does things in any order and lets up to 50 us pass in between.
std::unique_ptr<Worker> simulated(RunOrder order, std::uint64_t seed = 1) {
    return std::make_unique<Worker>(std::make_unique<SimulatedQueue>(seed), order);
}

using Grants = std::vector<TimePoint>;

template <class A>
Task<Result<void>> take_until(Io io, Limiter<A>& limiter, TimePoint end, Grants& grants) {
    while (io.now() < end) {
        ZCO_CHECK(co_await limiter.acquire());
        grants.push_back(io.now());
    }
    co_return {};
}

/// What `tasks` loops get of a limiter in some time of the virtual clock.
template <class A> Grants grants_of(Worker& worker, A algorithm, int tasks, Duration time) {
    Grants grants;
    const auto root = [](Io io, A rules, int count, Duration length, Grants& into
                      ) -> Task<Result<void>> {
        Limiter<A> limiter(io, std::move(rules));
        std::vector<Future<Result<void>>> loops;
        for (int n = 0; n < count; ++n) {
            loops.push_back(
                io.async(take_until<A>, io, std::ref(limiter), io.now() + length, std::ref(into))
            );
        }
        for (auto& loop : loops) {
            ZCO_CHECK(co_await loop);
        }
        EXPECT_EQ(limiter.stats().granted, into.size());
        co_return {};
    };
    const Result<void> done =
        worker.run("root", root(worker.io(), std::move(algorithm), tasks, time, grants));
    EXPECT_TRUE(done) << done.error().message();
    return grants;
}

/// No window of any length has more than the rate gives in it and in `lateness`, and a burst.
void expect_bounded(const Grants& grants, Rate rate, std::uint64_t burst, Duration lateness) {
    // As a bucket of that burst sees it: the level after each grant is never below nothing.
    const double each = static_cast<double>(rate.per.count()) / static_cast<double>(rate.permits);
    double due = -1e30;
    double earliest = 0;
    for (const TimePoint at : grants) {
        const auto now = static_cast<double>(at.time_since_epoch().count());
        due = std::max(due, now) + each;
        earliest = std::max(earliest, due - now);
    }
    EXPECT_LE(
        earliest,
        each * (static_cast<double>(burst) + 0.001) + static_cast<double>(lateness.count())
    );
}

struct RateCase {
    Rate rate;
    std::uint64_t burst;
    int tasks;
    Duration time;
};
const std::vector<RateCase> rates{
    {{1, 1s}, 1, 1, 1000s},
    {{1000, 1s}, 1, 1, 20s},
    {{1000, 1s}, 10, 7, 20s},
    {{30'000, 1s}, 1, 1, 1s},
    {{30'000, 1s}, 100, 3, 1s},
    {{1'000'000, 1s}, 1, 2, 50ms},
};

TEST(LimiterTest, keeps_rate_and_burst_where_timers_are_exact) {
    for (const RateCase& row : rates) {
        SCOPED_TRACE(testing::Message() << row.rate.permits << " burst " << row.burst);
        const auto expected =
            static_cast<double>(row.rate.permits) * std::chrono::duration<double>(row.time).count();
        const auto worker = on_manual_clock(RunOrder::urgency);
        const Grants of_leaky = grants_of(*worker, leaky(row.rate, row.burst), row.tasks, row.time);
        EXPECT_NEAR(
            static_cast<double>(of_leaky.size()),
            expected,
            expected / 100 + static_cast<double>(row.burst) + 1
        );
        expect_bounded(of_leaky, row.rate, row.burst, 300ns);
        const Grants of_token =
            grants_of(*worker, made(TokenBucket::create(row.rate, row.burst)), row.tasks, row.time);
        EXPECT_NEAR(
            static_cast<double>(of_token.size()),
            expected,
            expected / 100 + static_cast<double>(row.burst) + 1
        );
        expect_bounded(of_token, row.rate, row.burst, 300ns);
    }
}

TEST(LimiterTest, loses_no_rate_to_late_timers) {
    for (const RateCase& row : rates) {
        SCOPED_TRACE(testing::Message() << row.rate.permits << " burst " << row.burst);
        const auto expected =
            static_cast<double>(row.rate.permits) * std::chrono::duration<double>(row.time).count();
        const auto worker = on_manual_clock(RunOrder::arrival);
        const Grants grants = grants_of(*worker, leaky(row.rate, row.burst), row.tasks, row.time);
        EXPECT_NEAR(
            static_cast<double>(grants.size()),
            expected,
            expected / 100 + static_cast<double>(row.burst) +
                static_cast<double>(row.rate.permits) / 900
        );
        expect_bounded(grants, row.rate, row.burst, 1100us);
    }
}

TEST(LimiterTest, keeps_a_windows_rate) {
    const auto worker = on_manual_clock(RunOrder::urgency);
    const Grants log = grants_of(*worker, made(SlidingLog::create({500, 100ms})), 3, 4s);
    EXPECT_NEAR(static_cast<double>(log.size()), 20'000, 200 + 500);
    for (std::size_t n = 500; n < log.size(); ++n) {
        ASSERT_GE(log[n] - log[n - 500] + 300ns, 100ms);
    }
    const Grants window = grants_of(*worker, made(SlidingWindow::create({500, 100ms})), 3, 4s);
    EXPECT_NEAR(static_cast<double>(window.size()), 20'000, 200 + 500);
}

TEST(LimiterTest, gives_back_little_lateness_after_a_stall) {
    const auto worker = simulated(RunOrder::urgency);
    const auto root = [](Io io) -> Task<Result<void>> {
        Limiter limiter(io, leaky({1'000'000, 1s}));
        EXPECT_TRUE(limiter.try_acquire());
        ZCO_CHECK(co_await io.sleep_for(10s));
        std::uint64_t at_once = 0;
        while (limiter.try_acquire()) {
            ++at_once;
        }
        EXPECT_EQ(at_once, 1U) << "nobody waited, so there is nothing to give back";
        co_return {};
    };
    EXPECT_TRUE(worker->run("root", root(worker->io())));
}

Task<Result<void>> acquire_and_note(
    Limiter<LeakyBucket>& limiter, std::uint64_t count, std::vector<int>& order, int n
) {
    ZCO_CHECK(co_await limiter.acquire(count));
    order.push_back(n);
    co_return {};
}

TEST(LimiterTest, serves_in_order_whatever_they_want) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        const auto worker = simulated(RunOrder::arrival, seed);
        const auto root = [](Io io) -> Task<Result<void>> {
            Limiter limiter(io, leaky({1000, 1s}, 8));
            EXPECT_TRUE(limiter.try_acquire(8));
            std::vector<int> order;
            std::vector<Future<Result<void>>> tasks;
            int n = 0;
            for (const std::uint64_t count : {8, 1, 5, 1, 1, 8, 2}) {
                tasks.push_back(
                    io.async(acquire_and_note, std::ref(limiter), count, std::ref(order), n)
                );
                while (limiter.stats().waiting != static_cast<std::uint32_t>(n) + 1) {
                    ZCO_CHECK(co_await io.yield());
                }
                ++n;
            }
            EXPECT_FALSE(limiter.try_acquire()) << "nobody overtakes";
            for (auto& task : tasks) {
                ZCO_CHECK(co_await task);
            }
            EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4, 5, 6}));
            co_return {};
        };
        EXPECT_TRUE(worker->run("root", root(worker->io())));
    }
}

/// Random cancels and deadlines among many: what was granted is what the tasks say they got, and
/// the rate of what was granted is the limiter's.
Task<Result<void>> mishaps(Io io, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Limiter limiter(io, leaky({10'000, 1s}, 5));
    const TimePoint began = io.now();
    struct Got {
        std::uint64_t permits = 0;
        std::uint64_t canceled = 0;
        std::uint64_t late = 0;
    } got;
    const auto one =
        [](Io at, Limiter<LeakyBucket>& of, std::uint64_t count, Duration patience, Got& into
        ) -> Task<void> {
        const Result<void> result = co_await of.acquire(count).until(at.now() + patience);
        into.permits += result ? count : 0;
        into.canceled += !result && result.error() == CoreError::canceled ? 1U : 0U;
        into.late += !result && result.error() == CoreError::timed_out ? 1U : 0U;
    };
    std::vector<Future<void>> tasks;
    for (int n = 0; n < 400; ++n) {
        const Duration patience(static_cast<std::int64_t>(random() % 200'000'000));
        tasks.push_back(
            io.async(one, io, std::ref(limiter), 1 + random() % 5, patience, std::ref(got))
        );
        if (random() % 3 == 0) {
            tasks[random() % tasks.size()].request_cancel();
        }
        if (random() % 50 == 0) {
            ZCO_CHECK(co_await io.sleep_for(Duration(static_cast<std::int64_t>(random() % 3'000'000)
            )));
        }
    }
    for (auto& task : tasks) {
        co_await task;
    }
    EXPECT_EQ(limiter.stats().granted, got.permits) << "a permit was lost or made";
    EXPECT_EQ(limiter.stats().waiting, 0U);
    EXPECT_GT(got.canceled, 0U);
    EXPECT_GT(got.late, 0U);
    const double seconds = std::chrono::duration<double>(io.now() - began).count();
    EXPECT_LE(static_cast<double>(got.permits), seconds * 10'000 + 5 + 50);
    co_return {};
}

TEST(LimiterTest, loses_no_permit_to_cancels_and_deadlines) {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        const auto worker = simulated(seed % 2 == 0 ? RunOrder::arrival : RunOrder::urgency, seed);
        const Result<void> done = worker->run("root", mishaps(worker->io(), seed));
        EXPECT_TRUE(done) << done.error().message();
    }
}

class LimiterOn : public testing::TestWithParam<Model> {};
INSTANTIATE_TEST_SUITE_P(Models, LimiterOn, concurrent_models(), model_name);

TEST_P(LimiterOn, who_is_next_is_served_when_the_first_gives_up) {
    ModelHost host(GetParam());
    const auto root = [](Io io) -> Task<Result<void>> {
        Limiter limiter(io, leaky({1000, 1s}, 100));
        EXPECT_TRUE(limiter.try_acquire(100));
        const auto wait = [](Limiter<LeakyBucket>& of, std::uint64_t count) -> Task<Result<void>> {
            co_return co_await of.acquire(count);
        };
        ZCO_TRY(auto first, io.concurrent(wait, std::ref(limiter), std::uint64_t{100}));
        while (limiter.stats().waiting != 1) {
            ZCO_CHECK(co_await io.yield());
        }
        ZCO_TRY(auto second, io.concurrent(wait, std::ref(limiter), std::uint64_t{3}));
        while (limiter.stats().waiting != 2) {
            ZCO_CHECK(co_await io.yield());
        }
        first.request_cancel();
        const Result<void> served = co_await second;
        EXPECT_TRUE(served) << served.error().message();
        EXPECT_FALSE(co_await first);
        EXPECT_EQ(limiter.stats().granted, 103U);
        co_return {};
    };
    const Result<void> done = host.io().run("root", root(host.io()));
    EXPECT_TRUE(done) << done.error().message();
}

TEST(LimiterTest, refuses_what_can_never_be_had) {
    const auto worker = simulated(RunOrder::arrival);
    const auto root = [](Io io) -> Task<Result<void>> {
        Limiter limiter(io, leaky({1000, 1s}, 4));
        const Result<void> five = co_await limiter.acquire(5);
        EXPECT_TRUE(!five && five.error() == CoreError::invalid_argument);
        EXPECT_FALSE(limiter.try_acquire(5));
        ZCO_CHECK(co_await limiter.acquire(4));
        co_return {};
    };
    EXPECT_TRUE(worker->run("root", root(worker->io())));
}

TEST(LimiterTest, has_a_limit_on_who_waits) {
    const auto worker = simulated(RunOrder::arrival);
    const auto root = [](Io io) -> Task<Result<void>> {
        Limiter limiter(io, leaky({1, 24h}));
        EXPECT_TRUE(limiter.try_acquire());
        const auto wait = [](Limiter<LeakyBucket>& of) -> Task<Result<void>> {
            co_return co_await of.acquire();
        };
        std::vector<Future<Result<void>>> tasks;
        for (std::uint32_t n = 0; n < limits::limiter_waiters_max; ++n) {
            tasks.push_back(io.async(wait, std::ref(limiter)));
        }
        while (limiter.stats().waiting != limits::limiter_waiters_max) {
            ZCO_CHECK(co_await io.yield());
        }
        const Result<void> one_more = co_await limiter.acquire();
        EXPECT_TRUE(!one_more && one_more.error() == CoreError::limit_reached);
        for (auto& task : tasks) {
            task.request_cancel();
        }
        for (auto& task : tasks) {
            EXPECT_FALSE(co_await task);
        }
        EXPECT_EQ(limiter.stats().granted, 1U);
        co_return {};
    };
    EXPECT_TRUE(worker->run("root", root(worker->io())));
}

TEST(LimiterTest, adapts_while_tasks_wait) {
    const auto worker = on_manual_clock(RunOrder::urgency);
    const auto root = [](Io io) -> Task<Result<void>> {
        Limiter limiter(
            io,
            made(Adaptive::create(
                {.least = 100,
                 .most = 1000,
                 .per = 1s,
                 .burst = 1,
                 .increase = 100,
                 .decrease_percent = 50,
                 .interval = 100ms}
            ))
        );
        Grants grants;
        auto loop =
            io.async(take_until<Adaptive>, io, std::ref(limiter), io.now() + 10s, std::ref(grants));
        ZCO_CHECK(co_await io.sleep_for(1s));
        EXPECT_NEAR(static_cast<double>(grants.size()), 1000, 10);
        for (int n = 0; n < 20; ++n) {
            limiter.congested();
            ZCO_CHECK(co_await io.sleep_for(100ms));
        }
        EXPECT_EQ(limiter.algorithm().rate().permits, 100U);
        const std::size_t before = grants.size();
        ZCO_CHECK(co_await io.sleep_for(5s)); // 100 more after each 100 ms, to 1000
        EXPECT_EQ(limiter.algorithm().rate().permits, 1000U);
        EXPECT_NEAR(static_cast<double>(grants.size() - before), 450 + 4100, 150);
        co_return co_await loop;
    };
    const Result<void> done = worker->run("root", root(worker->io()));
    EXPECT_TRUE(done) << done.error().message();
}

} // namespace
} // namespace zsync::coord
