// The algorithms alone: exact numbers, at any time, against a naive count of all that was taken.
#include <zsync/coord/adaptive.hpp>
#include <zsync/coord/leaky_bucket.hpp>
#include <zsync/coord/limits.hpp>
#include <zsync/coord/sliding_log.hpp>
#include <zsync/coord/sliding_window.hpp>
#include <zsync/coord/token_bucket.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace zsync::coord {
namespace {

using namespace std::chrono_literals;
using std::chrono::days;

constexpr TimePoint start{1h};

/// Everything that an algorithm ever gave.
struct Taken {
    TimePoint at;
    std::uint64_t count;
};
std::uint64_t taken_within(const std::vector<Taken>& all, TimePoint after, TimePoint until) {
    std::uint64_t sum = 0;
    for (const Taken& one : all) {
        sum += one.at > after && one.at <= until ? one.count : 0;
    }
    return sum;
}

/// Takes one permit after the other, each as soon as it is ready, for so long.
template <class A> std::uint64_t taken_greedily(A algorithm, TimePoint from, Duration time) {
    std::uint64_t taken = 0;
    for (TimePoint at = from; (at = algorithm.ready_at(1, at)) < from + time;) {
        algorithm.take(1, at);
        ++taken;
    }
    return taken;
}

template <class A> A made(Outcome<A> algorithm) {
    EXPECT_TRUE(algorithm) << algorithm.error().message();
    return *std::move(algorithm);
}

TEST(Rates, are_kept_to_the_permit_where_they_divide_no_nanosecond) {
    // 7 in 10 s: one every 1,428,571,428.57 ns, and no rounding adds up.
    const Rate rate{7, 10s};
    EXPECT_EQ(taken_greedily(made(TokenBucket::create(rate, 3)), start, 1'000'000s), 700'002U);
    EXPECT_EQ(taken_greedily(made(LeakyBucket::create(rate, 3)), start, 1'000'000s), 700'002U);
    EXPECT_EQ(taken_greedily(made(SlidingLog::create(rate)), start, 1'000'000s), 700'000U);
    EXPECT_NEAR(
        static_cast<double>(taken_greedily(made(SlidingWindow::create(rate)), start, 1'000'000s)),
        700'000,
        7
    );
}

TEST(Rates, of_a_leaky_bucket_come_at_even_distances) {
    LeakyBucket bucket = made(LeakyBucket::create({3, 1s}));
    TimePoint last = start;
    bucket.take(1, start);
    for (int n = 1; n < 3000; ++n) {
        const TimePoint at = bucket.ready_at(1, last);
        EXPECT_EQ(at - last, 333'333'334ns) << "a whole nanosecond";
        bucket.take(1, at);
        last = at;
    }
    EXPECT_EQ(last - start, 999'666'668'666ns);
}

TEST(Buckets, of_both_kinds_decide_alike) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937_64 random(seed);
        const auto below = [&random](std::uint64_t bound) { return random() % bound; };
        const Rate rate{
            1 + below(1'000'000), Duration(static_cast<std::int64_t>(1 + below(10'000'000'000)))
        };
        const std::uint64_t burst = 1 + below(50);
        TokenBucket token = made(TokenBucket::create(rate, burst));
        LeakyBucket leaky = made(LeakyBucket::create(rate, burst));
        const Duration distance =
            std::max(rate.per / static_cast<Duration::rep>(rate.permits), Duration(1));
        TimePoint at = start;
        for (int n = 0; n < 500; ++n) {
            at += Duration(
                static_cast<std::int64_t>(below(3 * static_cast<std::uint64_t>(distance.count())))
            );
            const std::uint64_t count = 1 + below(std::min<std::uint64_t>(burst, 4));
            const TimePoint ready = token.ready_at(count, at);
            ASSERT_EQ(leaky.ready_at(count, at), ready);
            ASSERT_EQ(leaky.is_fresh(at), token.is_fresh(at));
            if (ready - at < distance / 2) {
                at = ready;
                token.take(count, at);
                leaky.take(count, at);
            }
        }
    }
}

template <class A> class AnyAlgorithm : public testing::Test {
public:
    /// A thousand permits a second.
    static A make();
};
template <> TokenBucket AnyAlgorithm<TokenBucket>::make() {
    return made(TokenBucket::create({1000, 1s}, 1000));
}
template <> LeakyBucket AnyAlgorithm<LeakyBucket>::make() {
    return made(LeakyBucket::create({1000, 1s}, 1000));
}
template <> SlidingWindow AnyAlgorithm<SlidingWindow>::make() {
    return made(SlidingWindow::create({1000, 1s}));
}
template <> SlidingLog AnyAlgorithm<SlidingLog>::make() {
    return made(SlidingLog::create({1000, 1s}));
}
template <> Adaptive AnyAlgorithm<Adaptive>::make() {
    return made(Adaptive::create(
        {.least = 10,
         .most = 1000,
         .per = 1s,
         .burst = 1000,
         .increase = 10,
         .decrease_percent = 50,
         .interval = 100ms}
    ));
}
using Algorithms = testing::Types<TokenBucket, LeakyBucket, SlidingWindow, SlidingLog, Adaptive>;
TYPED_TEST_SUITE(AnyAlgorithm, Algorithms);

TYPED_TEST(AnyAlgorithm, gives_its_capacity_and_no_more_after_a_lifetime_of_rest) {
    for (const TimePoint at : {TimePoint(1ns), start, start + days(365 * 250)}) {
        TypeParam algorithm = TestFixture::make();
        algorithm.take(1, TimePoint(1ns)); // and a long rest behind it
        EXPECT_EQ(algorithm.capacity(), 1000U);
        if (at > TimePoint(1h) - 1ns) {
            EXPECT_TRUE(algorithm.is_fresh(at));
            EXPECT_EQ(algorithm.ready_at(1000, at), at);
            algorithm.take(1000, at);
        } else {
            algorithm.take(999, at);
        }
        EXPECT_FALSE(algorithm.is_fresh(at));
        EXPECT_GT(algorithm.ready_at(1, at), at);
    }
}

TYPED_TEST(AnyAlgorithm, is_ready_when_it_says_and_not_a_nanosecond_earlier) {
    std::mt19937_64 random(7);
    TypeParam algorithm = TestFixture::make();
    TimePoint at = start;
    for (int n = 0; n < 20'000; ++n) {
        const std::uint64_t count = 1 + random() % 900;
        const TimePoint ready = algorithm.ready_at(count, at);
        ASSERT_GE(ready, at);
        ASSERT_EQ(algorithm.ready_at(count, ready), ready);
        if (ready > at) {
            ASSERT_GT(algorithm.ready_at(count, ready - 1ns), ready - 1ns);
            ASSERT_EQ(algorithm.ready_at(count, at + (ready - at) / 2), ready);
        }
        at = ready + Duration(static_cast<std::int64_t>(random() % 500'000'000));
        algorithm.take(count, at);
    }
}

TYPED_TEST(AnyAlgorithm, keeps_its_rate_within_one_percent) {
    const std::uint64_t taken = taken_greedily(TestFixture::make(), start, 1000s);
    EXPECT_NEAR(static_cast<double>(taken), 1'000'000, 10'000);
}

TEST(SlidingLogTest, never_has_more_in_any_window_and_misses_none) {
    std::mt19937_64 random(11);
    SlidingLog log = made(SlidingLog::create({20, 1s}));
    std::vector<Taken> all;
    TimePoint at = start;
    for (int n = 0; n < 3000; ++n) {
        at += Duration(static_cast<std::int64_t>(random() % 100'000'000));
        const std::uint64_t count = 1 + random() % 4;
        const bool fits = taken_within(all, at - 1s, at) + count <= 20;
        ASSERT_EQ(log.ready_at(count, at) == at, fits);
        if (fits) {
            log.take(count, at);
            all.push_back({at, count});
        }
    }
    EXPECT_GT(all.size(), 1000U);
}

TEST(SlidingWindowTest, estimates_from_the_windows_that_stand_on_the_clock) {
    std::mt19937_64 random(13);
    SlidingWindow window = made(SlidingWindow::create({20, 1s}));
    std::vector<Taken> all;
    TimePoint at = start;
    for (int n = 0; n < 3000; ++n) {
        at += Duration(static_cast<std::int64_t>(random() % 100'000'000));
        const std::uint64_t count = 1 + random() % 4;
        const TimePoint begins = std::chrono::floor<std::chrono::seconds>(at);
        const std::uint64_t former = taken_within(all, begins - 1s - 1ns, begins - 1ns);
        const std::uint64_t present = taken_within(all, begins - 1ns, at);
        const auto covered = static_cast<std::uint64_t>((begins + 1s - at).count());
        const std::uint64_t estimate = former * covered / 1'000'000'000 + present;
        const bool fits = estimate + count <= 20;
        ASSERT_EQ(window.ready_at(count, at) == at, fits);
        if (fits) {
            window.take(count, at);
            all.push_back({at, count});
        }
    }
    EXPECT_GT(all.size(), 1000U);
}

TEST(AdaptiveTest, falls_once_in_an_interval_and_rises_where_somebody_was_held_back) {
    Adaptive adaptive = AnyAlgorithm<Adaptive>::make();
    adaptive.congested(start);
    adaptive.congested(start + 1ms);
    EXPECT_EQ(adaptive.rate().permits, 500U);
    adaptive.congested(start + 100ms);
    EXPECT_EQ(adaptive.rate().permits, 250U);
    adaptive.held_back(start + 200ms); // a congested interval ended: no rise
    EXPECT_EQ(adaptive.rate().permits, 250U);
    adaptive.take(1, start + 300ms);
    EXPECT_EQ(adaptive.rate().permits, 260U);
    adaptive.take(1, start + 400ms); // nobody was held back
    EXPECT_EQ(adaptive.rate().permits, 260U);
    for (int n = 5; n < 200; ++n) {
        adaptive.held_back(start + n * 100ms);
    }
    EXPECT_EQ(adaptive.rate().permits, 1000U) << "its most";
    for (int n = 200; n < 220; ++n) {
        adaptive.congested(start + n * 100ms);
    }
    EXPECT_EQ(adaptive.rate().permits, 10U) << "its least";
}

TEST(AdaptiveTest, shares_a_link_as_aimd_does) {
    // Two that start far apart on a link of 1000: both are told when it is full. What is between
    // them halves at each of these signs.
    const auto from = [](std::uint64_t most) {
        return made(Adaptive::create(
            {.least = 1,
             .most = most,
             .per = 1s,
             .burst = 1,
             .increase = 5,
             .decrease_percent = 50,
             .interval = 100ms}
        ));
    };
    Adaptive one = from(10'000);
    Adaptive other = from(10'000);
    for (TimePoint at = start; at < start + 3s; at += 100ms) {
        other.congested(at); // to its least
    }
    for (TimePoint at = start + 3s; at < start + 300s; at += 100ms) {
        one.held_back(at);
        other.held_back(at);
        if (one.rate().permits + other.rate().permits > 1000) {
            one.congested(at);
            other.congested(at);
        }
    }
    EXPECT_NEAR(
        static_cast<double>(one.rate().permits), static_cast<double>(other.rate().permits), 10
    );
    EXPECT_GT(one.rate().permits, 200U);
}

void expect_refused(const Outcome<void>& outcome) {
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().error, CoreError::invalid_argument);
    EXPECT_FALSE(outcome.error().detail.empty());
}

TEST(Rates, that_cannot_be_are_refused_in_words) {
    using Refused = std::pair<Rate, std::uint64_t>;
    for (const auto& [rate, burst] :
         {Refused{{0, 1s}, 1},
          Refused{{limits::permits_max + 1, 1s}, 1},
          Refused{{1, 0s}, 1},
          Refused{{1, -1s}, 1},
          Refused{{1, limits::period_max + 1ns}, 1},
          Refused{{1, 1s}, 0},
          Refused{{limits::permits_max, 1s}, limits::permits_max + 1},
          Refused{{1, days(1)}, 367}}) {
        expect_refused(TokenBucket::create(rate, burst).transform([](const auto&) {}));
        expect_refused(LeakyBucket::create(rate, burst).transform([](const auto&) {}));
    }
    expect_refused(
        SlidingLog::create({limits::sliding_log_permits_max + 1, 1s}).transform([](const auto&) {})
    );
}

TEST(Rates, at_their_limits_are_taken) {
    EXPECT_TRUE(check_rate({limits::permits_max, limits::period_max}, limits::permits_max));
    EXPECT_TRUE(check_rate({1, limits::period_max}, 1));
    EXPECT_TRUE(check_rate({1, days(1)}, 366));
    EXPECT_TRUE(SlidingLog::create({limits::sliding_log_permits_max, 1s}));
}

TEST(AdaptiveTest, options_that_do_not_adapt_are_refused) {
    const Adaptive::Options good{
        .least = 1,
        .most = 2,
        .per = 1s,
        .burst = 1,
        .increase = 1,
        .decrease_percent = 99,
        .interval = 1s
    };
    EXPECT_TRUE(Adaptive::create(good));
    for (const auto change : {
             +[](Adaptive::Options& o) { o.least = 3; },
             +[](Adaptive::Options& o) { o.increase = 0; },
             +[](Adaptive::Options& o) { o.decrease_percent = 100; },
             +[](Adaptive::Options& o) { o.decrease_percent = 0; },
             +[](Adaptive::Options& o) { o.interval = 0s; },
             +[](Adaptive::Options& o) { o.most = limits::permits_max + 1; },
         }) {
        Adaptive::Options bad = good;
        change(bad);
        expect_refused(Adaptive::create(bad).transform([](const auto&) {}));
    }
}

} // namespace
} // namespace zsync::coord
