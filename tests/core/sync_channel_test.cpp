#include "tests/core/sync_fixture.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/notify.hpp>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

ZSYNC_SYNC_SUITE(ChannelTest);
ZSYNC_SYNC_SUITE(NotifyTest);
using Numbers = Channel<int>;

Task<Result<void>> send_each(Numbers& numbers, int first, int count) {
    for (int n = 0; n < count; ++n) {
        ZCO_CHECK(co_await numbers.send(first + n));
        EXPECT_LE(numbers.size(), numbers.capacity());
    }
    co_return {};
}

Task<Result<int>> receive(Numbers& numbers) { co_return co_await numbers.receive(); }

Task<std::vector<int>> receive_all(Numbers& numbers) {
    std::vector<int> all;
    while (auto number = co_await numbers.receive()) {
        all.push_back(*number);
    }
    co_return all;
}

Task<Result<void>> await_one(Notify& notify) { co_return co_await notify.wait(); }

} // namespace

TEST_P(ChannelTest, keeps_the_order_and_never_holds_more_than_its_capacity) {
    run([](Io io) -> Task<Result<void>> {
        for (const std::size_t capacity : {0U, 1U, 3U, 4U, 64U}) {
            Numbers numbers(capacity);
            auto sending = io.async(send_each, std::ref(numbers), 0, 200);
            for (int n = 0; n < 200; ++n) {
                EXPECT_EQ(co_await numbers.receive(), n);
                if (n % 7 == 0) {
                    ZCO_CHECK(co_await io.yield());
                }
            }
            EXPECT_TRUE(co_await sending);
            EXPECT_EQ(numbers.size(), 0U);
        }
        co_return {};
    });
}

TEST_P(ChannelTest, keeps_values_that_only_move_and_frees_what_nobody_took) {
    run([](Io io) -> Task<Result<void>> {
        Channel<std::unique_ptr<int>> numbers(2);
        auto a = std::make_unique<int>(1);
        EXPECT_TRUE(numbers.try_send(a));
        EXPECT_EQ(a, nullptr);
        ZCO_CHECK(co_await numbers.send(std::make_unique<int>(2)));
        auto c = std::make_unique<int>(3);
        EXPECT_FALSE(numbers.try_send(c));
        EXPECT_EQ(*c, 3);
        EXPECT_EQ(**co_await numbers.receive(), 1);
        auto last = numbers.try_receive();
        EXPECT_EQ(**last, 2);
        EXPECT_FALSE(numbers.try_receive());
        EXPECT_TRUE(numbers.try_send(c)); // freed with the channel
        ZCO_CHECK(co_await io.yield());
        co_return {};
    });
}

TEST_P(ChannelTest, serves_receivers_and_senders_in_order_of_arrival) {
    run([](Io io) -> Task<Result<void>> {
        Numbers numbers(1);
        auto r1 = io.async(receive, std::ref(numbers));
        auto r2 = io.async(receive, std::ref(numbers));
        (void)co_await at_rest(io);
        ZCO_CHECK(co_await numbers.send(1));
        ZCO_CHECK(co_await numbers.send(2));
        EXPECT_EQ(numbers.size(), 0U); // handed over
        EXPECT_EQ(co_await r2, 2);
        EXPECT_EQ(co_await r1, 1);
        auto s1 = io.async(send_each, std::ref(numbers), 10, 1);
        auto s2 = io.async(send_each, std::ref(numbers), 20, 1);
        auto s3 = io.async(send_each, std::ref(numbers), 30, 1);
        (void)co_await at_rest(io);
        EXPECT_EQ(co_await numbers.receive(), 10);
        EXPECT_EQ(numbers.try_receive(), 20);
        EXPECT_EQ(co_await numbers.receive(), 30);
        EXPECT_TRUE(co_await s1);
        EXPECT_TRUE(co_await s2);
        EXPECT_TRUE(co_await s3);
        co_return {};
    });
}

TEST_P(ChannelTest, drains_after_close_and_gives_refused_values_back) {
    run([](Io io) -> Task<Result<void>> {
        Channel<std::string> words(1);
        ZCO_CHECK(co_await words.send("first"));
        auto refused = io.async(
            [](Channel<std::string>& to) -> Task<std::string> {
                auto sending = to.send("second");
                EXPECT_EQ((co_await sending).error(), closed_error);
                co_return sending.take_back();
            },
            std::ref(words)
        );
        (void)co_await at_rest(io);
        words.close();
        words.close();
        EXPECT_TRUE(words.is_closed());
        EXPECT_EQ(co_await refused, "second");
        EXPECT_EQ((co_await words.send("third")).error(), closed_error);
        std::string fourth = "fourth";
        EXPECT_FALSE(words.try_send(fourth));
        EXPECT_EQ(fourth, "fourth");
        EXPECT_EQ(co_await words.receive(), "first");
        EXPECT_EQ((co_await words.receive()).error(), closed_error);
        EXPECT_FALSE(words.try_receive());
        co_return {};
    });
}

TEST_P(ChannelTest, close_ends_receivers_that_wait) {
    run([](Io io) -> Task<Result<void>> {
        Numbers numbers(2);
        auto a = io.async(receive_all, std::ref(numbers));
        auto b = io.async(receive_all, std::ref(numbers));
        (void)co_await at_rest(io);
        ZCO_CHECK(co_await numbers.send(1));
        numbers.close();
        EXPECT_EQ(co_await a, (std::vector{1}));
        EXPECT_TRUE((co_await b).empty());
        co_return {};
    });
}

TEST_P(ChannelTest, a_canceled_wait_takes_no_value_and_leaves_none) {
    run([](Io io) -> Task<Result<void>> {
        Numbers numbers(1);
        auto r1 = io.async(receive, std::ref(numbers));
        auto r2 = io.async(receive, std::ref(numbers));
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await r1.cancel()).error(), canceled_error);
        ZCO_CHECK(co_await numbers.send(5));
        EXPECT_EQ(co_await r2, 5);
        ZCO_CHECK(co_await numbers.send(6));
        auto s1 = io.async(send_each, std::ref(numbers), 7, 1);
        auto s2 = io.async(send_each, std::ref(numbers), 8, 1);
        (void)co_await at_rest(io);
        EXPECT_EQ((co_await s1.cancel()).error(), canceled_error);
        EXPECT_EQ(co_await numbers.receive(), 6);
        EXPECT_EQ(co_await numbers.receive(), 8);
        EXPECT_TRUE(co_await s2);
        EXPECT_EQ(numbers.size(), 0U);
        co_return {};
    });
}

TEST_P(ChannelTest, a_cancel_that_races_the_hand_over_loses_no_value) {
    run([](Io io) -> Task<Result<void>> {
        Numbers numbers(1);
        auto receiver = io.async(
            [](Io self, Numbers& from) -> Task<int> {
                Result<int> got = co_await from.receive();
                EXPECT_EQ(self.check_cancel().error(), canceled_error);
                co_return got.value_or(-1);
            },
            io,
            std::ref(numbers)
        );
        (void)co_await at_rest(io);
        ZCO_CHECK(co_await numbers.send(5));
        EXPECT_EQ(co_await receiver.cancel(), 5);
        ZCO_CHECK(co_await numbers.send(6));
        auto sender = io.async(send_each, std::ref(numbers), 7, 1);
        (void)co_await at_rest(io);
        EXPECT_EQ(numbers.try_receive(), 6); // takes the sender's value in
        EXPECT_TRUE(co_await sender.cancel());
        EXPECT_EQ(numbers.try_receive(), 7);
        co_return {};
    });
}

TEST_P(ChannelTest, deadlines_end_waits_and_nothing_else) {
    run([](Io io) -> Task<Result<void>> {
        Numbers numbers(1);
        EXPECT_EQ((co_await numbers.receive().until(io.now() + 5ms)).error(), timed_out_error);
        EXPECT_TRUE(co_await numbers.send(1).until(io.now() - 5ms)); // there is room
        EXPECT_EQ((co_await numbers.send(2).until(io.now() + 5ms)).error(), timed_out_error);
        EXPECT_EQ(co_await numbers.receive().until(io.now() + 5ms), 1);
        EXPECT_EQ((co_await numbers.receive().until(io.now() - 5ms)).error(), timed_out_error);
        EXPECT_FALSE(numbers.is_closed());
        co_return {};
    });
}

TEST_P(ChannelTest, many_senders_and_receivers_lose_and_double_nothing) {
    run([](Io io) -> Task<Result<void>> {
        Numbers numbers(3);
        std::vector<Future<Result<void>>> senders;
        std::vector<Future<std::vector<int>>> receivers;
        for (int n = 0; n < 5; ++n) {
            senders.push_back(io.async(send_each, std::ref(numbers), n * 100, 100));
            receivers.push_back(io.async(receive_all, std::ref(numbers)));
        }
        for (auto& sender : senders) {
            EXPECT_TRUE(co_await sender);
        }
        numbers.close();
        std::vector<int> all;
        for (auto& receiver : receivers) {
            const std::vector<int>& some = co_await receiver;
            all.insert(all.end(), some.begin(), some.end());
        }
        std::ranges::sort(all);
        EXPECT_EQ(all.size(), 500U);
        for (int n = 0; n < 500; ++n) {
            EXPECT_EQ(all[static_cast<std::size_t>(n)], n);
        }
        co_return {};
    });
}

TEST(ChannelLimitDeathTest, capacity_ends_at_its_limit) {
    const Channel<char> largest(limits::channel_capacity_max);
    EXPECT_EQ(largest.capacity(), limits::channel_capacity_max);
    EXPECT_DEATH(
        Channel<char>(limits::channel_capacity_max + 1), "a channel is larger than its limit"
    );
}

TEST_P(NotifyTest, remembers_one_and_times_out) {
    run([](Io io) -> Task<Result<void>> {
        Notify notify;
        notify.notify();
        notify.notify();
        EXPECT_TRUE(co_await notify.wait());
        EXPECT_EQ((co_await notify.wait().until(io.now() + 2ms)).error(), timed_out_error);
        co_return {};
    });
}

TEST_P(NotifyTest, wakes_one_or_all_and_a_cancel_passes_nothing_by) {
    run([](Io io) -> Task<Result<void>> {
        Notify notify;
        auto a = io.async(await_one, std::ref(notify));
        auto b = io.async(await_one, std::ref(notify));
        auto c = io.async(await_one, std::ref(notify));
        auto d = io.async(await_one, std::ref(notify));
        (void)co_await at_rest(io);
        a.request_cancel();
        notify.notify();
        b.request_cancel(); // it has been woken
        EXPECT_EQ((co_await a).error(), canceled_error);
        EXPECT_TRUE(co_await b);
        EXPECT_FALSE(c.is_finished());
        notify.notify_all();
        EXPECT_TRUE(co_await c);
        EXPECT_TRUE(co_await d);
        EXPECT_EQ((co_await notify.wait().until(io.now() + 2ms)).error(), timed_out_error);
        co_return {};
    });
}
