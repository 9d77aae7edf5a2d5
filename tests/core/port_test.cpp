// Messages between workers: the inbox, which costs one system call a sleep, and ports.
#include <zsync/core/inbox.hpp>
#include <zsync/core/port.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace zsync {
namespace {

using namespace std::chrono_literals;

/// Notes who arrives.
class Note final : public Message {
public:
    Note(std::vector<int>& into, int number) noexcept : into_(into), number_(number) {}
    void arrive(Worker& /*worker*/) noexcept override { into_.push_back(number_); }

private:
    std::vector<int>& into_;
    int number_;
};

TEST(Inbox, a_sleep_is_ended_by_one_bell_however_much_is_posted) {
    const auto worker = *Worker::create();
    const auto inbox = Inbox::create();
    inbox->open(worker->queue());
    std::vector<int> arrived;
    std::vector<std::unique_ptr<Note>> notes;
    auto post = [&](int number) {
        notes.push_back(std::make_unique<Note>(arrived, number));
        return inbox->post(*notes.back());
    };
    EXPECT_TRUE(post(0)); // awake: no bell
    EXPECT_EQ(inbox->bells(), 0U);
    EXPECT_FALSE(inbox->go_to_sleep()); // a message is there
    inbox->deliver(*worker);
    for (std::uint64_t sleeps = 1; sleeps <= 3; ++sleeps) {
        EXPECT_TRUE(inbox->go_to_sleep());
        for (int n = 0; n < 1000; ++n) {
            EXPECT_TRUE(post(n));
        }
        EXPECT_EQ(inbox->bells(), sleeps);
        arrived.clear();
        inbox->deliver(*worker);
        EXPECT_EQ(arrived.size(), 1000U);
        EXPECT_TRUE(std::ranges::is_sorted(arrived));
    }
    inbox->close(*worker);
    EXPECT_FALSE(post(7));
    while (worker->queue().in_flight() != 0) {
        worker->queue().enter(true, std::nullopt);
        worker->queue().deliver();
    }
}

/// A worker on this thread, and others.
class PortTest : public testing::TestWithParam<TaskKind> {
protected:
    Io io() { return {*worker_, GetParam()}; }
    template <class Body> void run(std::size_t count, Body body) {
        const auto group = *WorkerGroup::create(count);
        const Result<void> result = io().run("test", body(io(), std::ref(*group)));
        EXPECT_TRUE(result) << result.error().message();
    }

private:
    std::unique_ptr<Worker> worker_ = *Worker::create();
};
INSTANTIATE_TEST_SUITE_P(
    Kinds,
    PortTest,
    testing::Values(TaskKind::coroutine, TaskKind::fiber),
    [](const testing::TestParamInfo<TaskKind>& kind) { return std::string(name_of(kind.param)); }
);

using Number = std::unique_ptr<int>;

Task<Result<void>> produce(Io /*io*/, PortSender<Number> numbers, int first, int count) {
    for (int n = first; n < first + count; ++n) {
        ZCO_CHECK(co_await numbers.send(std::make_unique<int>(n)));
    }
    co_return {};
}

TEST_P(PortTest, values_of_each_sender_arrive_once_and_in_order_and_the_last_sender_closes) {
    run(3, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        constexpr int each = 2000;
        for (const std::size_t capacity : {1U, 2U, 64U}) {
            ZCO_TRY(auto port, Port<Number>::create(io, capacity));
            Scope scope(io, "producers");
            for (int from = 0; from < 3; ++from) {
                const WorkerAddress& there = group[static_cast<std::size_t>(from)];
                scope.spawn(
                    "producer", there.task("produce", produce, port.sender(), from * each, each)
                );
            }
            std::vector<int> next{0, each, 2 * each};
            int received = 0;
            while (Result<Number> number = co_await port.receive()) {
                int& expected = next[static_cast<std::size_t>(**number / each)];
                EXPECT_EQ(**number, expected);
                ++expected;
                ++received;
            }
            EXPECT_EQ(received, 3 * each);
            EXPECT_EQ((co_await port.receive()).error(), Error(CoreError::closed));
            ZCO_CHECK(co_await scope.join());
        }
        co_return {};
    });
}

TEST_P(PortTest, several_receivers_share_and_all_are_told_of_the_end) {
    struct Body {
        static Task<Result<void>> consume(Io, Port<Number>& port, int& sum) {
            while (Result<Number> number = co_await port.receive()) {
                sum += **number;
            }
            co_return {};
        }
    };
    run(2, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        ZCO_TRY(auto port, Port<Number>::create(io, 4));
        int sum = 0;
        Scope scope(io, "all");
        for (int n = 0; n < 3; ++n) {
            scope.spawn("consumer", Body::consume(io, port, sum));
        }
        scope.spawn("producer", group[0].task("produce", produce, port.sender(), 1, 100));
        scope.spawn("producer", group[1].task("produce", produce, port.sender(), 101, 100));
        ZCO_CHECK(co_await scope.join());
        EXPECT_EQ(sum, 20100);
        co_return {};
    });
}

TEST_P(PortTest, a_full_port_keeps_a_sender_waiting_and_closing_gives_its_value_back) {
    struct Body {
        static Task<Result<int>> fill(Io, PortSender<Number> numbers) {
            int sent = 0;
            for (;; ++sent) {
                auto sending = numbers.send(std::make_unique<int>(sent));
                if (Result<void> result = co_await sending; !result) {
                    EXPECT_EQ(result.error(), Error(CoreError::closed));
                    EXPECT_EQ(*sending.take_back(), sent);
                    co_return sent;
                }
            }
        }
    };
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        ZCO_TRY(auto port, Port<Number>::create(io, 4));
        EXPECT_EQ(port.capacity(), 4U);
        Future<Result<int>> sent = group[0].async(io, "fill", &Body::fill, port.sender());
        while (port.size() < 4) {
            ZCO_CHECK(co_await io.sleep_for(1ms));
        }
        ZCO_CHECK(co_await io.sleep_for(1ms));
        EXPECT_EQ(port.size(), 4U);
        port.close();
        EXPECT_EQ(co_await sent, 4);
        for (int n = 0; n < 4; ++n) { // what was in it is still there
            EXPECT_EQ(**(co_await port.receive()), n);
        }
        EXPECT_EQ((co_await port.receive()).error(), Error(CoreError::closed));
        co_return {};
    });
}

TEST_P(PortTest, a_receive_is_cancelled_or_timed_out_and_no_value_is_lost) {
    struct Body {
        static Task<Result<int>> take(Io, Port<Number>& port) {
            ZCO_TRY(Number number, co_await port.receive());
            co_return *number;
        }
    };
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        ZCO_TRY(auto port, Port<Number>::create(io, 4));
        const PortSender<Number> keeps_it_open = port.sender();
        const auto late = co_await port.receive().until(io.now() + 1ms);
        EXPECT_EQ(late.error(), Error(CoreError::timed_out));
        int received = 0;
        int expected = 0;
        Future<Result<void>> producer =
            group[0].async(io, "produce", produce, port.sender(), 0, 300);
        while (received < 300) {
            Future<Result<int>> taking = io.async(&Body::take, io, std::ref(port));
            ZCO_CHECK(co_await io.yield());
            // A cancel that comes too late leaves the value to its receiver.
            if (Result<int> got = co_await taking.cancel()) {
                EXPECT_EQ(*got, expected++);
                ++received;
            } else {
                EXPECT_EQ(got.error(), Error(CoreError::canceled));
            }
        }
        EXPECT_TRUE(co_await producer);
        co_return {};
    });
}

TEST_P(PortTest, a_waiting_send_is_cancelled_and_its_value_was_not_sent) {
    run(1, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        ZCO_TRY(auto port, Port<Number>::create(io, 1));
        Future<Result<void>> producer =
            group[0].async(io, "produce", produce, port.sender(), 0, 1000);
        int expected = 0;
        for (; expected < 100; ++expected) {
            EXPECT_EQ(**(co_await port.receive()), expected);
        }
        EXPECT_EQ((co_await producer.cancel()).error(), Error(CoreError::canceled));
        while (Result<Number> rest = co_await port.receive()) { // its sender has gone
            EXPECT_EQ(**rest, expected++);
        }
        EXPECT_LE(expected, 103);
        co_return {};
    });
}

TEST_P(PortTest, a_port_may_end_before_its_senders) {
    run(2, [](Io io, WorkerGroup& group) -> Task<Result<void>> {
        for (int n = 0; n < 50; ++n) {
            Scope scope(io, "producers", OnFailure::go_on);
            {
                ZCO_TRY(auto port, Port<Number>::create(io, 2));
                for (std::size_t from = 0; from < 2; ++from) {
                    scope.spawn(
                        "producer", group[from].task("produce", produce, port.sender(), 0, 1000)
                    );
                }
                for (int received = 0; received < n; ++received) {
                    EXPECT_TRUE(co_await port.receive());
                }
            }
            EXPECT_EQ((co_await scope.join()).error(), Error(CoreError::closed));
        }
        co_return {};
    });
}

TEST_P(PortTest, threads_without_a_worker_may_send) {
    run(1, [](Io io, WorkerGroup&) -> Task<Result<void>> {
        ZCO_TRY(auto port, Port<int>::create(io, 1024));
        std::thread thread([numbers = port.sender()] {
            for (int n = 0; n < 1000; ++n) {
                int value = n;
                EXPECT_TRUE(numbers.try_send(value));
            }
        });
        for (int n = 0; n < 1000; ++n) {
            EXPECT_EQ(co_await port.receive(), n);
        }
        thread.join();
        EXPECT_EQ((co_await port.receive()).error(), Error(CoreError::closed));
        co_return {};
    });
}

TEST(Port, takes_as_many_as_it_has_places_for) {
    const auto worker = *Worker::create();
    struct Body {
        static Task<Result<void>> run(Io io) {
            ZCO_TRY(auto port, Port<int>::create(io, 3));
            EXPECT_EQ(port.capacity(), 4U);
            const PortSender<int> sender = port.sender();
            int value = 9;
            for (int n = 0; n < 4; ++n) {
                EXPECT_TRUE(sender.try_send(value));
            }
            EXPECT_FALSE(sender.try_send(value));
            EXPECT_TRUE(co_await port.receive());
            EXPECT_TRUE(sender.try_send(value));
            EXPECT_FALSE(sender.try_send(value));
            ZCO_TRY(auto largest, Port<int>::create(io, limits::channel_capacity_max));
            EXPECT_EQ(largest.capacity(), limits::channel_capacity_max);
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("test", Body::run(worker->io())));
}

/// Why there is none.
Error refusal(Io io, std::size_t capacity) {
    const auto port = Port<int>::create(io, capacity);
    EXPECT_FALSE(port);
    return port ? os_error(0) : port.error();
}

TEST(Port, what_cannot_be_made_is_an_error) {
    const auto worker = *Worker::create();
    struct Body {
        static Task<Result<void>> run(Io io) {
            EXPECT_EQ(refusal(io, 0), Error(CoreError::invalid_argument));
            EXPECT_EQ(
                refusal(io, limits::channel_capacity_max + 1), Error(CoreError::invalid_argument)
            );
            rlimit before{};
            EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
            const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
            EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
            const Error without_descriptor = refusal(io, 1);
            const auto address = static_cast<Worker&>(io.executor()).address();
            EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
            EXPECT_EQ(without_descriptor, os_error(EMFILE));
            EXPECT_FALSE(address);
            EXPECT_TRUE(static_cast<Worker&>(io.executor()).address());
            EXPECT_TRUE(Port<int>::create(io, 1));
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("test", Body::run(worker->io())));
    const auto threads = *ThreadExecutor::create();
    EXPECT_EQ(refusal(threads->io(), 1), Error(CoreError::unsupported));
}

} // namespace
} // namespace zsync
