// Suspension points of rate limiters.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/coord/keyed_limiter.hpp>
#include <zsync/coord/leaky_bucket.hpp>
#include <zsync/coord/limiter.hpp>

namespace zsync::conformance {
namespace {

using coord::KeyedLimiter;
using coord::LeakyBucket;
using coord::Limiter;
using namespace std::chrono_literals;

/// Two permits are gone, and two more are asked for: both are taken, or none.
struct LimiterPoint : Point {
    LimiterPoint(Io io, Duration per) : limiter_(io, *LeakyBucket::create({1, per}, 2)) {
        EXPECT_TRUE(limiter_.try_acquire(2));
    }
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await limiter_.acquire(2); }
    void account(bool got) override {
        EXPECT_EQ(limiter_.stats().granted, got ? 4U : 2U) << "a permit was lost or made";
        EXPECT_EQ(limiter_.stats().waiting, 0U);
    }

private:
    Limiter<LeakyBucket> limiter_;
};

struct LimiterAcquire final : LimiterPoint {
    explicit LimiterAcquire(Io io) : LimiterPoint(io, 1ms) {}
};
struct LimiterAcquireLong final : LimiterPoint {
    explicit LimiterAcquireLong(Io io) : LimiterPoint(io, 24h) {}
};

/// One of many limiters, which all of its key wait for.
struct KeyedAcquire final : Point {
    explicit KeyedAcquire(Io io)
        : limiters_(*KeyedLimiter<int, LeakyBucket>::create(
              io, *LeakyBucket::create({1, 1ms}, 2), {.keys_max = 4}
          )) {
        EXPECT_TRUE(limiters_->try_acquire(7, 2));
    }
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await limiters_->acquire(7, 2); }
    void account(bool /*got*/) override { EXPECT_TRUE(limiters_->try_acquire(8, 2)); }

private:
    std::unique_ptr<KeyedLimiter<int, LeakyBucket>> limiters_;
};

} // namespace

std::vector<PointRow> limiter_points() {
    using enum Ending;
    return {
        {"limiter.acquire", "Limiter::Acquire", timer, ends, &make_point<LimiterAcquire>},
        {"limiter.acquire of what takes long",
         "Limiter::Acquire",
         timer,
         never,
         &make_point<LimiterAcquireLong>},
        {"keyed_limiter.acquire", "Limiter::Acquire", timer, ends, &make_point<KeyedAcquire>},
    };
}

} // namespace zsync::conformance
