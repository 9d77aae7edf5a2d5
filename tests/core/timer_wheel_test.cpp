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

struct Probe {
    explicit Probe(std::vector<Probe*>& fired_) : timer(&expired, this), fired(fired_) {}
    static void expired(Timer& timer) noexcept {
        auto& self = *static_cast<Probe*>(timer.owner);
        self.fired.push_back(&self);
    }
    Timer timer;
    std::vector<Probe*>& fired;
};

} // namespace

TEST(TimerWheel, never_early_and_at_most_one_slot_late) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const TimePoint start{1h};
    TimerWheel wheel(start);
    std::vector<Probe*> fired;
    std::vector<std::unique_ptr<Probe>> probes;
    for (int n = 0; n < 20000; ++n) {
        auto probe = std::make_unique<Probe>(fired);
        const auto bits = random() % 40;
        wheel.add(probe->timer, start + Duration(random() % (1ULL << bits)));
        probes.push_back(std::move(probe));
    }
    for (std::size_t n = 0; n < probes.size(); n += 3) {
        wheel.remove(probes[n]->timer);
    }
    TimePoint now = start;
    std::size_t seen = 0;
    while (const auto next = wheel.next()) {
        ASSERT_GE(*next, now);
        now = *next;
        wheel.advance(now);
        for (; seen < fired.size(); ++seen) {
            ASSERT_LE(fired[seen]->timer.deadline, now);
            ASSERT_LE(now - fired[seen]->timer.deadline, 2ms);
        }
    }
    EXPECT_EQ(wheel.count(), 0U);
    EXPECT_EQ(fired.size(), probes.size() - (probes.size() + 2) / 3);
}

TEST(TimerWheel, a_long_step_fires_everything_due) {
    const TimePoint start{};
    TimerWheel wheel(start);
    std::vector<Probe*> fired;
    std::vector<std::unique_ptr<Probe>> probes;
    for (const auto delay : {0h, 1h, 24h, 1000h}) {
        probes.push_back(std::make_unique<Probe>(fired));
        wheel.add(probes.back()->timer, start + delay);
    }
    wheel.advance(start + 30h);
    EXPECT_EQ(fired.size(), 3U);
    EXPECT_EQ(wheel.next(), start + 1000h);
    wheel.remove(probes.back()->timer);
    EXPECT_FALSE(wheel.next());
}

TEST(TimerWheel, a_deadline_in_the_past_fires_in_the_next_tick) {
    const TimePoint start{};
    TimerWheel wheel(start);
    wheel.advance(start + 10s);
    std::vector<Probe*> fired;
    Probe probe(fired);
    wheel.add(probe.timer, start + 1s);
    EXPECT_EQ(wheel.next(), start + 10s + 1ms);
    wheel.advance(start + 10s + 1ms);
    EXPECT_EQ(fired.size(), 1U);
}
