// Channel, Oneshot, Broadcast, Watch: values from task to task.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/broadcast.hpp>
#include <zsync/core/channel.hpp>
#include <zsync/core/oneshot.hpp>
#include <zsync/core/watch.hpp>

#include <algorithm>
#include <memory>
#include <vector>

namespace zsync::conformance {
namespace {

using Numbers = Channel<int>;

Task<Result<void>> send_each(Numbers& numbers, int first, int count) {
    for (int n = 0; n < count; ++n) {
        ZCO_CHECK(co_await numbers.send(first + n));
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
Task<Result<int>> answer_of(Oneshot<int>& from) { co_return co_await from.receive(); }
Task<Result<int>> next_of(Broadcast<int>::Receiver& from) {
    ZCO_TRY(const auto got, co_await from.receive());
    co_return got.value;
}
Task<Result<void>> see_change(Watch<int>::Receiver& watch) { co_return co_await watch.changed(); }

} // namespace

ZSYNC_CASE(channel, keeps_the_order, nothing) {
    Numbers numbers(3);
    for (int n = 0; n < 3; ++n) {
        ZCO_CHECK(co_await numbers.send(n));
    }
    for (int n = 0; n < 3; ++n) {
        EXPECT_EQ(co_await numbers.receive(), n);
    }
    co_return {};
}

ZSYNC_CASE(channel, keeps_the_order_over_many_rounds_and_any_capacity, beside) {
    for (const std::size_t capacity : {0U, 1U, 3U, 4U, 64U}) {
        Numbers numbers(capacity);
        ZCO_TRY(auto sending, io.concurrent(send_each, std::ref(numbers), 0, 200));
        for (int n = 0; n < 200; ++n) {
            EXPECT_EQ(co_await numbers.receive(), n);
        }
        EXPECT_IS(co_await sending, "ok");
        EXPECT_EQ(numbers.size(), 0U);
    }
    co_return {};
}

ZSYNC_CASE(channel, holds_no_more_than_its_capacity, nothing) {
    Numbers numbers(3);
    int sent = 0;
    for (int n = 0; n < 10; ++n) {
        sent += numbers.try_send(n) ? 1 : 0;
    }
    EXPECT_EQ(sent, 3);
    EXPECT_EQ(numbers.size(), 3U);
    EXPECT_EQ(numbers.capacity(), 3U);
    co_return {};
}

ZSYNC_CASE(channel, that_is_full_is_waited_for, beside) {
    Numbers numbers(1);
    ZCO_CHECK(co_await numbers.send(1));
    ZCO_TRY(auto sending, io.concurrent(send_each, std::ref(numbers), 2, 1));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(sending.is_finished());
    EXPECT_EQ(co_await numbers.receive(), 1);
    EXPECT_IS(co_await sending, "ok");
    EXPECT_EQ(numbers.try_receive(), 2);
    co_return {};
}

ZSYNC_CASE(channel, that_is_empty_is_waited_for, beside) {
    Numbers numbers(1);
    ZCO_TRY(auto receiving, io.concurrent(receive, std::ref(numbers)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(receiving.is_finished());
    ZCO_CHECK(co_await numbers.send(5));
    EXPECT_EQ(co_await receiving, 5);
    EXPECT_EQ(numbers.size(), 0U) << "it was handed over";
    co_return {};
}

ZSYNC_CASE(channel, without_places_hands_over, beside) {
    Numbers numbers(0);
    ZCO_TRY(auto sending, io.concurrent(send_each, std::ref(numbers), 7, 1));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(sending.is_finished());
    EXPECT_EQ(co_await numbers.receive(), 7);
    EXPECT_IS(co_await sending, "ok");
    co_return {};
}

ZSYNC_CASE(channel, never_waits_when_told_so, nothing) {
    Numbers numbers(1);
    EXPECT_EQ(numbers.try_receive(), std::nullopt);
    int one = 1;
    EXPECT_TRUE(numbers.try_send(one));
    EXPECT_FALSE(numbers.try_send(one));
    EXPECT_EQ(numbers.try_receive(), 1);
    co_return {};
}

ZSYNC_CASE(channel, serves_receivers_in_order_of_arrival, beside) {
    Numbers numbers(1);
    ZCO_TRY(auto first, io.concurrent(receive, std::ref(numbers)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto second, io.concurrent(receive, std::ref(numbers)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_CHECK(co_await numbers.send(1));
    ZCO_CHECK(co_await numbers.send(2));
    EXPECT_EQ(co_await first, 1);
    EXPECT_EQ(co_await second, 2);
    co_return {};
}

ZSYNC_CASE(channel, serves_senders_in_order_of_arrival, beside) {
    Numbers numbers(0);
    std::vector<Future<Result<void>>> senders;
    for (int n = 0; n < 3; ++n) {
        ZCO_TRY(auto one, io.concurrent(send_each, std::ref(numbers), n, 1));
        ZCO_CHECK(co_await at_rest(io));
        senders.push_back(std::move(one));
    }
    EXPECT_EQ(co_await numbers.receive(), 0);
    EXPECT_EQ(numbers.try_receive(), 1);
    EXPECT_EQ(co_await numbers.receive(), 2);
    for (auto& one : senders) {
        EXPECT_IS(co_await one, "ok");
    }
    co_return {};
}

ZSYNC_CASE(channel, drains_after_close, nothing) {
    Numbers numbers(2);
    ZCO_CHECK(co_await numbers.send(1));
    ZCO_CHECK(co_await numbers.send(2));
    numbers.close();
    EXPECT_TRUE(numbers.is_closed());
    EXPECT_EQ(co_await numbers.receive(), 1);
    EXPECT_EQ(co_await numbers.receive(), 2);
    EXPECT_IS(co_await numbers.receive(), "Closed");
    EXPECT_IS(co_await numbers.receive(), "Closed");
    co_return {};
}

ZSYNC_CASE(channel, refuses_after_close_and_gives_the_value_back, nothing) {
    Channel<std::string> words(2);
    words.close();
    auto sending = words.send("a word");
    EXPECT_IS(co_await sending, "Closed");
    EXPECT_EQ(sending.take_back(), "a word");
    std::string other = "kept";
    EXPECT_FALSE(words.try_send(other));
    EXPECT_EQ(other, "kept");
    co_return {};
}

ZSYNC_CASE(channel, close_may_be_repeated, nothing) {
    Numbers numbers(2);
    numbers.close();
    numbers.close();
    EXPECT_IS(co_await numbers.receive(), "Closed");
    co_return {};
}

ZSYNC_CASE(channel, close_ends_senders_that_wait, beside) {
    Numbers numbers(0);
    ZCO_TRY(auto sending, io.concurrent(send_each, std::ref(numbers), 1, 1));
    ZCO_CHECK(co_await at_rest(io));
    numbers.close();
    EXPECT_IS(co_await sending, "Closed");
    EXPECT_IS(co_await numbers.receive(), "Closed");
    co_return {};
}

ZSYNC_CASE(channel, close_ends_receivers_that_wait, beside) {
    Numbers numbers(2);
    ZCO_TRY(auto a, io.concurrent(receive, std::ref(numbers)));
    ZCO_TRY(auto b, io.concurrent(receive, std::ref(numbers)));
    ZCO_CHECK(co_await at_rest(io));
    numbers.close();
    EXPECT_IS(co_await a, "Closed");
    EXPECT_IS(co_await b, "Closed");
    co_return {};
}

ZSYNC_CASE(channel, close_may_come_from_the_other_side_of_a_loop, beside) {
    Numbers numbers(2);
    ZCO_TRY(auto all, io.concurrent(receive_all, std::ref(numbers)));
    ZCO_CHECK(co_await send_each(numbers, 0, 20));
    numbers.close();
    EXPECT_EQ((co_await all).size(), 20U);
    co_return {};
}

ZSYNC_CASE(channel, a_canceled_receive_takes_no_value, beside) {
    Numbers numbers(1);
    ZCO_TRY(auto first, io.concurrent(receive, std::ref(numbers)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto second, io.concurrent(receive, std::ref(numbers)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await first.cancel(), "Canceled");
    ZCO_CHECK(co_await numbers.send(5));
    EXPECT_EQ(co_await second, 5);
    co_return {};
}

ZSYNC_CASE(channel, a_canceled_send_leaves_no_value, beside) {
    Numbers numbers(1);
    ZCO_CHECK(co_await numbers.send(6));
    ZCO_TRY(auto first, io.concurrent(send_each, std::ref(numbers), 7, 1));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(auto second, io.concurrent(send_each, std::ref(numbers), 8, 1));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await first.cancel(), "Canceled");
    EXPECT_EQ(co_await numbers.receive(), 6);
    EXPECT_EQ(co_await numbers.receive(), 8);
    EXPECT_IS(co_await second, "ok");
    EXPECT_EQ(numbers.size(), 0U);
    co_return {};
}

ZSYNC_CASE(channel, a_canceled_send_gives_the_value_back, beside) {
    Channel<std::string> words(0);
    ZCO_TRY(auto sending, io.concurrent([&]() -> Task<std::string> {
        auto wait = words.send("mine");
        EXPECT_IS(co_await wait, "Canceled");
        co_return wait.take_back();
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_EQ(co_await sending.cancel(), "mine");
    co_return {};
}

ZSYNC_CASE(channel, a_cancel_after_the_hand_over_loses_no_value, beside) {
    Numbers numbers(1);
    ZCO_TRY(auto receiving, io.concurrent([io, &numbers]() -> Task<Result<int>> {
        const Result<int> got = co_await numbers.receive();
        EXPECT_IS(io.check_cancel(), "Canceled");
        co_return got;
    }));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        int five = 5;
        EXPECT_TRUE(numbers.try_send(five));
        receiving.request_cancel();
    }
    EXPECT_EQ(co_await receiving, 5);
    co_return {};
}

ZSYNC_CASE(channel, a_cancel_after_the_value_was_taken_in_is_too_late, beside) {
    Numbers numbers(1);
    ZCO_CHECK(co_await numbers.send(6));
    ZCO_TRY(auto sending, io.concurrent(send_each, std::ref(numbers), 7, 1));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        EXPECT_EQ(numbers.try_receive(), 6); // takes the sender's value in
        sending.request_cancel();
    }
    EXPECT_IS(co_await sending, "ok");
    EXPECT_EQ(numbers.try_receive(), 7);
    co_return {};
}

ZSYNC_CASE(channel, a_deadline_ends_a_receive, timer) {
    Numbers numbers(1);
    TIMES_OUT(co_await numbers.receive().until(io.now() + soon));
    EXPECT_FALSE(numbers.is_closed());
    ZCO_CHECK(co_await numbers.send(1));
    EXPECT_EQ(co_await numbers.receive().until(io.now() - 1s), 1);
    co_return {};
}

ZSYNC_CASE(channel, a_deadline_ends_a_send, timer) {
    Numbers numbers(1);
    ZCO_CHECK(co_await numbers.send(1).until(io.now() - 1s)); // there is room
    TIMES_OUT(co_await numbers.send(2).until(io.now() + soon));
    EXPECT_EQ(co_await numbers.receive(), 1);
    EXPECT_EQ(numbers.try_receive(), std::nullopt);
    co_return {};
}

ZSYNC_CASE(channel, carries_what_only_moves, nothing) {
    Channel<std::unique_ptr<int>> numbers(2);
    ZCO_CHECK(co_await numbers.send(std::make_unique<int>(2)));
    EXPECT_EQ(**co_await numbers.receive(), 2);
    co_return {};
}

ZSYNC_CASE(channel, frees_what_nobody_took, nothing) {
    auto shared = std::make_shared<int>(1);
    {
        Channel<std::shared_ptr<int>> values(2);
        ZCO_CHECK(co_await values.send(shared));
        EXPECT_EQ(shared.use_count(), 2);
    }
    EXPECT_EQ(shared.use_count(), 1);
    co_return {};
}

ZSYNC_CASE(channel, many_senders_and_receivers_lose_and_double_nothing, beside) {
    Numbers numbers(3);
    std::vector<Future<Result<void>>> senders;
    std::vector<Future<std::vector<int>>> receivers;
    for (int n = 0; n < 4; ++n) {
        ZCO_TRY(auto sender, io.concurrent(send_each, std::ref(numbers), n * 50, 50));
        ZCO_TRY(auto receiver, io.concurrent(receive_all, std::ref(numbers)));
        senders.push_back(std::move(sender));
        receivers.push_back(std::move(receiver));
    }
    for (auto& sender : senders) {
        EXPECT_IS(co_await sender, "ok");
    }
    numbers.close();
    std::vector<int> all;
    for (auto& receiver : receivers) {
        const std::vector<int>& some = co_await receiver;
        all.insert(all.end(), some.begin(), some.end());
    }
    std::ranges::sort(all);
    EXPECT_EQ(all.size(), 200U);
    for (int n = 0; n < static_cast<int>(all.size()); ++n) {
        EXPECT_EQ(all[static_cast<std::size_t>(n)], n);
    }
    co_return {};
}

ZSYNC_CASE(channel, waits_on_a_stack, beside | stack) {
    Numbers numbers(0);
    ZCO_TRY(auto sending, io.concurrent([&] { return numbers.send(3).wait(); }));
    EXPECT_EQ(co_await numbers.receive(), 3);
    EXPECT_IS(co_await sending, "ok");
    co_return {};
}

ZSYNC_CASE(oneshot, gives_its_value_once, nothing) {
    Oneshot<int> answer;
    EXPECT_TRUE(answer.sender().send(5));
    EXPECT_EQ(co_await answer.receive(), 5);
    EXPECT_IS(co_await answer.receive(), "Closed");
    co_return {};
}

ZSYNC_CASE(oneshot, is_waited_for, beside) {
    Oneshot<int> answer;
    auto sender = answer.sender();
    ZCO_TRY(auto waiting, io.concurrent(answer_of, std::ref(answer)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_TRUE(sender.send(5));
    EXPECT_EQ(co_await waiting, 5);
    co_return {};
}

ZSYNC_CASE(oneshot, a_sender_that_ends_tells_that_no_answer_comes, nothing) {
    Oneshot<int> answer;
    {
        const auto unused = answer.sender();
    }
    EXPECT_IS(co_await answer.receive(), "Closed");
    co_return {};
}

ZSYNC_CASE(oneshot, a_sender_that_ends_wakes_who_waits, beside) {
    Oneshot<int> answer;
    auto unused = std::make_unique<Oneshot<int>::Sender>(answer.sender());
    ZCO_TRY(auto waiting, io.concurrent(answer_of, std::ref(answer)));
    ZCO_CHECK(co_await at_rest(io));
    unused.reset();
    EXPECT_IS(co_await waiting, "Closed");
    co_return {};
}

ZSYNC_CASE(oneshot, sends_no_more_than_once, nothing) {
    Oneshot<int> answer;
    auto sender = answer.sender();
    EXPECT_TRUE(sender.send(5));
    int six = 6;
    EXPECT_FALSE(sender.send(six));
    EXPECT_EQ(answer.try_receive(), 5);
    co_return {};
}

ZSYNC_CASE(oneshot, that_is_closed_refuses_and_keeps_the_value, nothing) {
    Oneshot<std::string> answer;
    auto sender = answer.sender();
    answer.close();
    EXPECT_TRUE(sender.is_closed());
    std::string text = "unwanted";
    EXPECT_FALSE(sender.send(text));
    EXPECT_EQ(text, "unwanted");
    co_return {};
}

ZSYNC_CASE(oneshot, that_is_closed_still_gives_what_was_sent, nothing) {
    Oneshot<int> answer;
    EXPECT_TRUE(answer.sender().send(5));
    answer.close();
    EXPECT_EQ(co_await answer.receive(), 5);
    co_return {};
}

ZSYNC_CASE(oneshot, a_canceled_receive_loses_no_answer, beside) {
    Oneshot<int> answer;
    auto sender = answer.sender();
    ZCO_TRY(auto waiting, io.concurrent(answer_of, std::ref(answer)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    EXPECT_TRUE(sender.send(5));
    EXPECT_EQ(answer.try_receive(), 5);
    co_return {};
}

ZSYNC_CASE(oneshot, a_cancel_after_the_answer_is_too_late, beside) {
    Oneshot<int> answer;
    auto sender = answer.sender();
    ZCO_TRY(auto waiting, io.concurrent(answer_of, std::ref(answer)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        EXPECT_TRUE(sender.send(5));
        waiting.request_cancel();
    }
    EXPECT_EQ(co_await waiting, 5);
    co_return {};
}

ZSYNC_CASE(oneshot, times_out, timer) {
    Oneshot<int> answer;
    auto sender = answer.sender();
    TIMES_OUT(co_await answer.receive().until(io.now() + soon));
    EXPECT_TRUE(sender.send(5));
    EXPECT_EQ(co_await answer.receive(), 5);
    co_return {};
}

ZSYNC_CASE(oneshot, carries_what_only_moves, nothing) {
    Oneshot<std::unique_ptr<int>> answer;
    EXPECT_TRUE(answer.sender().send(std::make_unique<int>(7)));
    EXPECT_EQ(**co_await answer.receive(), 7);
    co_return {};
}

ZSYNC_CASE(broadcast, gives_every_value_to_every_receiver, nothing) {
    Broadcast<int> news(4);
    auto a = news.subscribe();
    auto b = news.subscribe();
    EXPECT_EQ(news.send(1), 2U);
    EXPECT_EQ(news.send(2), 2U);
    for (auto* each : {&a, &b}) {
        EXPECT_EQ(co_await next_of(*each), 1);
        EXPECT_EQ(co_await next_of(*each), 2);
    }
    co_return {};
}

ZSYNC_CASE(broadcast, to_nobody_reaches_nobody, nothing) {
    Broadcast<int> news(4);
    EXPECT_EQ(news.send(1), 0U);
    co_return {};
}

ZSYNC_CASE(broadcast, gives_only_what_was_sent_after_subscribing, nothing) {
    Broadcast<int> news(4);
    (void)news.send(1);
    auto receiver = news.subscribe();
    (void)news.send(2);
    EXPECT_EQ(co_await next_of(receiver), 2);
    co_return {};
}

ZSYNC_CASE(broadcast, tells_how_many_were_missed, nothing) {
    Broadcast<int> news(3);
    auto slow = news.subscribe();
    for (int n = 1; n <= 5; ++n) {
        (void)news.send(n);
    }
    const auto first = co_await slow.receive();
    EXPECT_EQ(first->value, 3);
    EXPECT_EQ(first->missed, 2U);
    const auto second = co_await slow.receive();
    EXPECT_EQ(second->value, 4);
    EXPECT_EQ(second->missed, 0U);
    co_return {};
}

ZSYNC_CASE(broadcast, is_waited_for, beside) {
    Broadcast<int> news(2);
    auto receiver = news.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(next_of, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    (void)news.send(9);
    EXPECT_EQ(co_await waiting, 9);
    co_return {};
}

ZSYNC_CASE(broadcast, drains_after_close, nothing) {
    Broadcast<int> news(4);
    auto receiver = news.subscribe();
    (void)news.send(1);
    news.close();
    EXPECT_EQ(news.send(2), 0U);
    EXPECT_EQ(co_await next_of(receiver), 1);
    EXPECT_IS(co_await next_of(receiver), "Closed");
    co_return {};
}

ZSYNC_CASE(broadcast, close_wakes_who_waits, beside) {
    Broadcast<int> news(2);
    auto receiver = news.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(next_of, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    news.close();
    EXPECT_IS(co_await waiting, "Closed");
    co_return {};
}

ZSYNC_CASE(broadcast, a_canceled_receive_keeps_its_place, beside) {
    Broadcast<int> news(2);
    auto receiver = news.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(next_of, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    (void)news.send(1);
    const auto got = co_await receiver.receive();
    EXPECT_EQ(got->value, 1);
    EXPECT_EQ(got->missed, 0U);
    co_return {};
}

ZSYNC_CASE(broadcast, a_deadline_keeps_the_place, timer) {
    Broadcast<int> news(2);
    auto receiver = news.subscribe();
    TIMES_OUT(co_await receiver.receive().until(io.now() + soon));
    (void)news.send(1);
    EXPECT_EQ(co_await next_of(receiver), 1);
    co_return {};
}

ZSYNC_CASE(broadcast, a_cancel_after_the_value_is_too_late, beside) {
    Broadcast<int> news(2);
    auto receiver = news.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(next_of, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        (void)news.send(3);
        waiting.request_cancel();
    }
    EXPECT_EQ(co_await waiting, 3);
    co_return {};
}

ZSYNC_CASE(watch, shows_the_latest_value, nothing) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    EXPECT_FALSE(receiver.has_changed());
    level.set(2);
    level.set(3);
    EXPECT_TRUE(receiver.has_changed());
    EXPECT_IS(co_await receiver.changed(), "ok");
    EXPECT_EQ(receiver.value(), 3);
    EXPECT_FALSE(receiver.has_changed());
    co_return {};
}

ZSYNC_CASE(watch, can_be_changed_in_place, nothing) {
    Watch<int> level(2);
    auto receiver = level.subscribe();
    level.update([](int& value) { value += 5; });
    EXPECT_IS(co_await receiver.changed(), "ok");
    EXPECT_EQ(receiver.value(), 7);
    EXPECT_EQ(level.value(), 7);
    co_return {};
}

ZSYNC_CASE(watch, tells_of_a_change_until_the_value_was_seen, nothing) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    level.set(2);
    EXPECT_IS(co_await receiver.changed(), "ok");
    EXPECT_IS(co_await receiver.changed(), "ok");
    (void)receiver.value();
    EXPECT_FALSE(receiver.has_changed());
    co_return {};
}

ZSYNC_CASE(watch, is_waited_for, beside) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(see_change, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(waiting.is_finished());
    level.set(2);
    EXPECT_IS(co_await waiting, "ok");
    co_return {};
}

ZSYNC_CASE(watch, wakes_every_receiver, beside) {
    Watch<int> level(1);
    auto a = level.subscribe();
    auto b = level.subscribe();
    ZCO_TRY(auto first, io.concurrent(see_change, std::ref(a)));
    ZCO_TRY(auto second, io.concurrent(see_change, std::ref(b)));
    ZCO_CHECK(co_await at_rest(io));
    level.set(2);
    EXPECT_IS(co_await first, "ok");
    EXPECT_IS(co_await second, "ok");
    co_return {};
}

ZSYNC_CASE(watch, that_is_closed_still_tells_of_the_last_change, nothing) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    level.set(8);
    level.close();
    EXPECT_IS(co_await receiver.changed(), "ok");
    EXPECT_EQ(receiver.value(), 8);
    EXPECT_IS(co_await receiver.changed(), "Closed");
    co_return {};
}

ZSYNC_CASE(watch, close_wakes_who_waits, beside) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(see_change, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    level.close();
    EXPECT_IS(co_await waiting, "Closed");
    co_return {};
}

ZSYNC_CASE(watch, a_canceled_wait_loses_no_change, beside) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(see_change, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    level.set(2);
    EXPECT_TRUE(receiver.has_changed());
    co_return {};
}

ZSYNC_CASE(watch, a_cancel_after_the_change_is_too_late, beside) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    ZCO_TRY(auto waiting, io.concurrent(see_change, std::ref(receiver)));
    ZCO_CHECK(co_await at_rest(io));
    {
        const RuntimeLock guard;
        level.set(2);
        waiting.request_cancel();
    }
    EXPECT_IS(co_await waiting, "ok");
    co_return {};
}

ZSYNC_CASE(watch, times_out, timer) {
    Watch<int> level(1);
    auto receiver = level.subscribe();
    TIMES_OUT(co_await receiver.changed().until(io.now() + soon));
    level.set(2);
    EXPECT_TRUE(receiver.has_changed());
    co_return {};
}

} // namespace zsync::conformance
