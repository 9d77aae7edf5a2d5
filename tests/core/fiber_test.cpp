// What is particular to fibers; what they share with other tasks is in conformance/.
#include <zsync/core/io.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
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

Task<Result<int>> slow_sum(Io io, int a, int b) {
    ZCO_CHECK(co_await io.sleep_for(1ms));
    co_return a + b;
}

} // namespace

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
TEST(FiberDeathTest, a_frame_larger_than_the_stack_does_not_pass_its_guard) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    struct Body {
        static int take_much() {
            volatile char frame[96 * 1024];
            frame[0] = 1; // the lowest, far below the stack
            return frame[0];
        }
        static Task<void> run(Io io) {
            auto other = io.async("neighbour", [io] { (void)io.sleep_for(1h).wait(); });
            (void)co_await io.yield();
            (void)co_await io.async("large", &take_much);
        }
    };
    EXPECT_DEATH(
        {
            const auto worker = make_worker();
            worker->run("root", Body::run(worker->fiber_io()));
        },
        "the stack of fiber task \"large\" has overflowed"
    );
}

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
