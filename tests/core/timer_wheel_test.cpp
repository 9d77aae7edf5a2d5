#include <zsync/core/timer_wheel.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

struct Probe : Timer {};

/// Fires what is due, and remembers it.
void advance(TimerWheel& wheel, TimePoint now, std::vector<Timer*>& fired) {
    while (Timer* timer = wheel.pop_due(now)) {
        fired.push_back(timer);
    }
}

} // namespace

TEST(TimerWheel, never_early_and_at_most_one_slot_late) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const TimePoint start{1h};
    TimerWheel wheel(start);
    std::vector<Timer*> fired;
    std::vector<std::unique_ptr<Probe>> probes;
    for (int n = 0; n < 20000; ++n) {
        auto probe = std::make_unique<Probe>();
        const auto bits = random() % 40;
        wheel.add(*probe, start + Duration(random() % (1ULL << bits)));
        probes.push_back(std::move(probe));
    }
    for (std::size_t n = 0; n < probes.size(); n += 3) {
        wheel.remove(*probes[n]);
    }
    TimePoint now = start;
    std::size_t seen = 0;
    while (const auto next = wheel.next()) {
        ASSERT_GE(*next, now);
        now = *next;
        advance(wheel, now, fired);
        for (; seen < fired.size(); ++seen) {
            ASSERT_LE(fired[seen]->due, now);
            ASSERT_LE(now - fired[seen]->due, 2ms);
        }
    }
    EXPECT_EQ(wheel.count(), 0U);
    EXPECT_EQ(fired.size(), probes.size() - (probes.size() + 2) / 3);
}

TEST(TimerWheel, a_long_step_fires_everything_due) {
    const TimePoint start{};
    TimerWheel wheel(start);
    std::vector<Timer*> fired;
    std::vector<std::unique_ptr<Probe>> probes;
    for (const auto delay : {0h, 1h, 24h, 1000h}) {
        probes.push_back(std::make_unique<Probe>());
        wheel.add(*probes.back(), start + delay);
    }
    advance(wheel, start + 30h, fired);
    EXPECT_EQ(fired.size(), 3U);
    ASSERT_TRUE(wheel.next());
    EXPECT_GE(*wheel.next(), start + 1000h);
    EXPECT_LE(*wheel.next(), start + 1000h + wheel.tick());
    wheel.remove(*probes.back());
    EXPECT_FALSE(wheel.next());
}

TEST(TimerWheel, a_deadline_in_the_past_fires_in_the_next_tick) {
    const TimePoint start{};
    TimerWheel wheel(start);
    std::vector<Timer*> fired;
    advance(wheel, start + 10s, fired);
    Probe probe;
    wheel.add(probe, start + 1s);
    ASSERT_TRUE(wheel.next());
    EXPECT_LE(*wheel.next(), start + 10s + wheel.tick());
    advance(wheel, start + 10s + wheel.tick(), fired);
    EXPECT_EQ(fired.size(), 1U);
}
