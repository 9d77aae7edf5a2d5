#include "tests/core/sync_fixture.hpp"

#include <zsync/core/broadcast.hpp>
#include <zsync/core/interval.hpp>
#include <zsync/core/oneshot.hpp>
#include <zsync/core/watch.hpp>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

ZSYNC_SYNC_SUITE(OneshotTest);
ZSYNC_SYNC_SUITE(BroadcastTest);
ZSYNC_SYNC_SUITE(WatchTest);
ZSYNC_SYNC_SUITE(IntervalTest);

Task<Result<int>> receive_one(Oneshot<int>& from) { co_return co_await from.receive(); }
Task<Result<int>> receive_next(Broadcast<int>::Receiver& from) {
    ZCO_TRY(const auto got, co_await from.receive());
    co_return got.value;
}
Task<Result<void>> see_change(Watch<int>::Receiver& watch) { co_return co_await watch.changed(); }
Task<Result<TimePoint>> next_tick(Interval& ticks) { co_return co_await ticks.tick(); }

} // namespace

TEST_P(OneshotTest, gives_one_value_or_tells_that_none_will_come) {
    run([](Io io) -> Task<Result<void>> {
        Oneshot<int> answered;
        auto sender = answered.sender();
        auto waiting = io.async(receive_one, std::ref(answered));
        (void)co_await at_rest(io);
        EXPECT_TRUE(sender.send(5));
        EXPECT_FALSE(sender.send(6));
        EXPECT_EQ(co_await waiting.cancel(), 5);
        EXPECT_EQ((co_await answered.receive()).error(), closed_error);
        Oneshot<int> given_up;
        {
            const auto unused = given_up.sender();
            EXPECT_EQ((co_await given_up.receive().until(io.now() + 5ms)).error(), timed_out_error);
        }
        EXPECT_EQ((co_await given_up.receive()).error(), closed_error);
        co_return {};
    });
}

TEST_P(OneshotTest, a_canceled_receiver_loses_nothing_and_a_closed_one_refuses) {
    run([](Io io) -> Task<Result<void>> {
        Oneshot<int> answer;
        auto sender = answer.sender();
        auto waiting = io.async(receive_one, std::ref(answer));
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await waiting.cancel()).error(), canceled_error);
        EXPECT_TRUE(sender.send(5));
        EXPECT_EQ(answer.try_receive(), 5);
        Oneshot<int> unwanted;
        auto other = unwanted.sender();
        unwanted.close();
        EXPECT_TRUE(other.is_closed());
        EXPECT_FALSE(other.send(6));
        co_return {};
    });
}

TEST(OneshotDeathTest, must_outlive_its_sender) {
    EXPECT_DEATH(
        {
            auto answer = std::make_unique<Oneshot<int>>();
            const auto sender = answer->sender();
            answer.reset();
        },
        "ends before its sender"
    );
}

TEST_P(BroadcastTest, gives_all_to_each_and_tells_how_many_were_missed) {
    run([](Io io) -> Task<Result<void>> {
        Broadcast<int> news(3);
        EXPECT_EQ(news.send(0), 0U);
        auto quick = news.subscribe();
        auto slow = news.subscribe();
        auto waiting = io.async(receive_next, std::ref(quick));
        (void)co_await at_rest(io);
        EXPECT_EQ(news.send(1), 2U);
        EXPECT_EQ(co_await waiting.cancel(), 1);
        for (int n = 2; n <= 5; ++n) {
            (void)news.send(n);
            EXPECT_EQ((co_await quick.receive())->value, n);
        }
        const auto first = co_await slow.receive();
        EXPECT_EQ(first->value, 3);
        EXPECT_EQ(first->missed, 2U);
        news.close();
        EXPECT_EQ(news.send(6), 0U);
        const auto second = co_await slow.receive();
        EXPECT_EQ(second->value, 4);
        EXPECT_EQ(second->missed, 0U);
        EXPECT_EQ((co_await slow.receive())->value, 5);
        EXPECT_EQ((co_await slow.receive()).error(), closed_error);
        EXPECT_EQ((co_await quick.receive()).error(), closed_error);
        co_return {};
    });
}

TEST_P(BroadcastTest, cancel_and_deadline_keep_the_place) {
    run([](Io io) -> Task<Result<void>> {
        Broadcast<int> news(1);
        auto receiver = news.subscribe();
        auto waiting = io.async(receive_next, std::ref(receiver));
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await waiting.cancel()).error(), canceled_error);
        EXPECT_EQ((co_await receiver.receive().until(io.now() + 5ms)).error(), timed_out_error);
        (void)news.send(1);
        const auto got = co_await receiver.receive();
        EXPECT_EQ(got->value, 1);
        EXPECT_EQ(got->missed, 0U);
        co_return {};
    });
}

TEST(BroadcastLimitDeathTest, places_end_at_their_limit) {
    const Broadcast<char> largest(limits::channel_capacity_max);
    EXPECT_DEATH(Broadcast<char>(limits::channel_capacity_max + 1), "not more than its limit");
    EXPECT_DEATH(Broadcast<char>(0), "at least one place");
}

TEST_P(WatchTest, shows_the_latest_value_and_tells_of_changes_once) {
    run([](Io io) -> Task<Result<void>> {
        Watch<int> level(1);
        auto receiver = level.subscribe();
        EXPECT_FALSE(receiver.has_changed());
        auto waiting = io.async(see_change, std::ref(receiver));
        (void)co_await at_rest(io);
        level.set(2);
        level.update([](int& value) { value += 5; });
        EXPECT_TRUE(co_await waiting.cancel());
        EXPECT_EQ(receiver.value(), 7);
        EXPECT_EQ((co_await receiver.changed().until(io.now() + 5ms)).error(), timed_out_error);
        auto canceled = io.async(see_change, std::ref(receiver));
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await canceled.cancel()).error(), canceled_error);
        level.set(8);
        level.close();
        EXPECT_TRUE(co_await receiver.changed());
        EXPECT_EQ(receiver.value(), 8);
        EXPECT_EQ((co_await receiver.changed()).error(), closed_error);
        co_return {};
    });
}

TEST_P(IntervalTest, missed_ticks_come_in_a_burst_late_or_not_at_all) {
    run([](Io io) -> Task<Result<void>> {
        for (const MissedTicks missed :
             {MissedTicks::burst, MissedTicks::delay, MissedTicks::skip}) {
            const TimePoint start = io.now();
            Interval ticks(io, 100ms, missed);
            EXPECT_EQ(co_await ticks.tick(), start + 100ms);
            ZCO_CHECK(co_await io.sleep_until(start + 350ms));
            const TimePoint late = io.now(); // up to one tick of the wheel after that
            EXPECT_EQ(co_await ticks.tick(), start + 200ms);
            const Result<TimePoint> next = co_await ticks.tick();
            switch (missed) {
            case MissedTicks::burst:
                EXPECT_EQ(next, start + 300ms);
                break;
            case MissedTicks::delay:
                EXPECT_GE(*next, late + 100ms);
                EXPECT_LE(*next, late + 105ms);
                break;
            case MissedTicks::skip:
                EXPECT_EQ(next, start + 400ms);
                break;
            }
        }
        co_return {};
    });
}

TEST_P(IntervalTest, an_error_takes_no_tick_away) {
    run([](Io io) -> Task<Result<void>> {
        const TimePoint start = io.now();
        Interval ticks(io, 100ms);
        EXPECT_EQ((co_await ticks.tick().until(start + 20ms)).error(), timed_out_error);
        auto waiting = io.async(next_tick, std::ref(ticks));
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await waiting.cancel()).error(), canceled_error);
        EXPECT_EQ(co_await ticks.tick().until(start + 1s), start + 100ms);
        co_return {};
    });
}
