#include "models.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<Worker> make_worker() {
    auto worker = Worker::create();
    if (!worker) {
        ADD_FAILURE() << worker.error().message();
        std::abort();
    }
    return *std::move(worker);
}

/// Every model on which tasks run beside each other.
class FutureTest : public testing::TestWithParam<Model> {
protected:
    Io io() { return host_.io(); }
    ModelHost host_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Models, FutureTest, concurrent_models(), model_name);

Task<int> add(int a, int b) { co_return a + b; }

Task<Result<int>> slow_sum(Io io, int a, int b) {
    ZCO_CHECK(co_await io.sleep_for(1ms));
    co_return a + b;
}

Task<Result<void>> sleep_long(Io io) { co_return co_await io.sleep_for(24h); }

struct Counter {
    int value = 0;
    int add(int n) { return value += n; }
};

} // namespace

TEST_P(FutureTest, any_callable_can_be_started) {
    struct Body {
        static Task<void> run(Io io) {
            auto function = io.async(add, 1, 2);
            auto lambda = io.async([](int a, int b) { return a * b; }, 3, 4);
            const std::string word = "captured";
            auto capturing = io.async([word](std::string tail) { return word + tail; }, "!");
            auto coroutine = io.async(slow_sum, io, 5, 6);
            Counter counter;
            auto member = io.async(&Counter::add, &counter, 7);
            EXPECT_EQ(co_await member, 7);
            auto nothing = io.async([&counter] { ++counter.value; });
            auto move_only = io.async([p = std::make_unique<int>(9)] { return *p; });
            EXPECT_EQ(co_await function, 3);
            EXPECT_EQ(co_await lambda, 12);
            EXPECT_EQ(co_await capturing, "captured!");
            EXPECT_EQ(co_await coroutine, 11);
            co_await nothing;
            EXPECT_EQ(counter.value, 8);
            EXPECT_EQ(co_await std::move(move_only), 9);
        }
    };
    io().run("root", Body::run(io()));
    EXPECT_EQ(host_.executor().task_count(), 0U);
}

TEST_P(FutureTest, await_and_cancel_may_be_repeated_and_give_the_same_result) {
    struct Body {
        static Task<void> run(Io io) {
            auto sum = io.async(slow_sum, io, 1, 2);
            EXPECT_EQ(co_await sum, 3);
            EXPECT_EQ(co_await sum, 3);
            EXPECT_EQ(co_await sum.cancel(), 3);
            auto sleeping = io.async(sleep_long, io);
            EXPECT_EQ((co_await sleeping.cancel()).error(), Error(CoreError::canceled));
            EXPECT_EQ((co_await sleeping.cancel()).error(), Error(CoreError::canceled));
            EXPECT_EQ((co_await sleeping).error(), Error(CoreError::canceled));
        }
    };
    io().run("root", Body::run(io()));
}

TEST_P(FutureTest, one_that_goes_out_of_scope_is_canceled_and_joined_by_its_task) {
    struct Body {
        static Task<void> run(Io io) {
            auto forgotten = io.async(sleep_long, io);
            (void)co_await io.yield();
        }
    };
    io().run("root", Body::run(io()));
    EXPECT_EQ(host_.executor().task_count(), 0U);
}

TEST_P(FutureTest, canceling_the_awaiting_task_reaches_the_awaited_one_and_stays_pending) {
    struct Body {
        static Task<Result<void>> middle(Io io) {
            auto inner = io.async(sleep_long, io);
            EXPECT_EQ((co_await inner).error(), Error(CoreError::canceled));
            EXPECT_EQ((co_await io.sleep_for(1h)).error(), Error(CoreError::canceled));
            co_return co_await io.sleep_for(1ms);
        }
        static Task<void> run(Io io) {
            auto outer = io.async(middle, io);
            (void)co_await io.yield();
            EXPECT_TRUE(co_await outer.cancel());
        }
    };
    io().run("root", Body::run(io()));
}

TEST_P(FutureTest, recancel_delivers_a_cancel_twice_and_protection_holds_it_back) {
    struct Body {
        static Task<Result<void>> stubborn(Io io) {
            {
                const CancelProtection protection;
                EXPECT_TRUE(co_await io.sleep_for(2ms));
                EXPECT_TRUE(io.check_cancel());
            }
            EXPECT_EQ(io.check_cancel().error(), Error(CoreError::canceled));
            EXPECT_TRUE(io.check_cancel());
            io.recancel();
            co_return co_await io.sleep_for(1h);
        }
        static Task<void> run(Io io) {
            auto task = io.async(stubborn, io);
            (void)co_await io.yield();
            EXPECT_EQ((co_await task.cancel()).error(), Error(CoreError::canceled));
        }
    };
    io().run("root", Body::run(io()));
}

TEST_P(FutureTest, concurrent_tasks_wait_for_each_other) {
    struct Body {
        static Task<Result<int>> consume(Channel<int>& numbers) {
            int sum = 0;
            for (int n = 0; n < 3; ++n) {
                ZCO_TRY(const int number, co_await numbers.receive());
                sum += number;
            }
            co_return sum;
        }
        static Task<Result<void>> run(Io io) {
            Channel<int> numbers(1);
            ZCO_TRY(auto consumer, io.concurrent(consume, std::ref(numbers)));
            for (int n = 1; n <= 3; ++n) {
                ZCO_CHECK(co_await numbers.send(n));
            }
            EXPECT_EQ(co_await consumer, 6);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST(Fiber, waits_on_its_own_stack) {
    const auto worker = make_worker();
    struct Body {
        static int depth(Io io, int left) {
            if (left == 0) {
                EXPECT_TRUE(io.sleep_for(1ms).wait());
                return 0;
            }
            return 1 + depth(io, left - 1);
        }
        static Task<void> run(Io io) {
            auto deep = io.async(&depth, io, 100);
            auto nested = io.async([io] { return slow_sum(io, 20, 1).wait(); });
            auto outer = io.async([io] {
                auto inner = io.async(slow_sum, io, 2, 3);
                return inner.await().wait();
            });
            EXPECT_EQ(co_await deep, 100);
            EXPECT_EQ(co_await nested, 21);
            EXPECT_EQ(co_await outer, 5);
        }
    };
    worker->run("root", Body::run(worker->fiber_io()));
}

TEST(Fiber, a_future_on_the_stack_is_canceled_and_waited_for) {
    const auto worker = make_worker();
    struct Body {
        static void leave_early(Io io, bool& ended) {
            auto child = io.async([io, &ended]() {
                const Result<void> slept = io.sleep_for(24h).wait();
                EXPECT_EQ(slept.error(), Error(CoreError::canceled));
                ended = true;
            });
        }
        static Task<void> run(Io io) {
            bool ended = false;
            auto task = io.async([io, &ended] {
                leave_early(io, ended);
                EXPECT_TRUE(ended);
            });
            co_await task;
        }
    };
    worker->run("root", Body::run(worker->fiber_io()));
}

TEST(Fiber, coroutines_and_fibers_share_a_worker) {
    const auto worker = make_worker();
    struct Body {
        static Task<void> run(Io io, Io fibers) {
            Notify ready;
            auto waiter = fibers.async([&ready] { return ready.wait().wait(); });
            (void)co_await io.yield();
            ready.notify();
            EXPECT_TRUE(co_await waiter);
        }
    };
    worker->run("root", Body::run(worker->io(), worker->fiber_io()));
}

TEST(Fiber, one_that_waits_does_not_keep_the_lock_from_other_threads) {
    const RuntimeLock::Threaded threaded;
    const auto worker = make_worker();
    struct Body {
        static Task<void> run(Io io) {
            Notify ready;
            auto waiter = io.async([&ready] { return ready.wait().wait(); });
            (void)co_await io.yield();
            std::thread([] { const RuntimeLock lock; }).join();
            ready.notify();
            EXPECT_TRUE(co_await waiter);
        }
    };
    worker->run("root", Body::run(worker->fiber_io()));
}

#ifndef ZSYNC_SANITIZED
TEST(FiberDeathTest, an_overflow_names_the_task) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    struct Body {
        // NOLINTNEXTLINE(misc-no-recursion): that is the point
        static int recurse(int n) {
            volatile char frame[1024] = {};
            return n == 0 ? frame[0] : recurse(n - 1) + frame[n % 1024];
        }
        static Task<void> run(Io io) {
            auto deep = io.async("bottomless", &recurse, 1 << 20);
            (void)co_await deep;
        }
    };
    EXPECT_DEATH(
        {
            const auto worker = make_worker();
            worker->run("root", Body::run(worker->fiber_io()));
        },
        "the stack of fiber task \"bottomless\" has overflowed"
    );
}
#endif

TEST(FiberDeathTest, wait_in_a_coroutine_says_what_is_wrong) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    struct Body {
        static Task<void> run(Io io) {
            (void)io.sleep_for(1ms).wait();
            co_return;
        }
    };
    EXPECT_DEATH(
        {
            const auto worker = make_worker();
            worker->run("root", Body::run(worker->io()));
        },
        "no stack to wait on"
    );
}
