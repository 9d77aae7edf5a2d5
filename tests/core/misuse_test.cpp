// What ends the process because it can only be a mistake, and the limits of what waits in memory.
#include <zsync/core/broadcast.hpp>
#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/channel.hpp>
#include <zsync/core/epoll_queue.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/oneshot.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/wait_group.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

using namespace zsync;

TEST(ChannelLimitDeathTest, capacity_ends_at_its_limit) {
    const Channel<char> largest(limits::channel_capacity_max);
    EXPECT_EQ(largest.capacity(), limits::channel_capacity_max);
    EXPECT_DEATH(
        Channel<char>(limits::channel_capacity_max + 1), "a channel is larger than its limit"
    );
}

TEST(BroadcastLimitDeathTest, places_end_at_their_limit) {
    const Broadcast<char> largest(limits::channel_capacity_max);
    EXPECT_DEATH(Broadcast<char>(limits::channel_capacity_max + 1), "not more than its limit");
    EXPECT_DEATH(Broadcast<char>(0), "at least one place");
}

TEST(WaitGroupDeathTest, no_more_is_done_than_was_added) {
    WaitGroup group;
    EXPECT_DEATH(group.done(), "more was done");
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

TEST(TaskDeathTest, is_awaited_or_started_once) {
    const auto worker = *Worker::create();
    struct Body {
        static Task<void> nothing() { co_return; }
        static Task<void> await(Io /*io*/) {
            Task<void> first = nothing();
            co_await Task<void>(std::move(first));
            co_await std::move(first); // NOLINT(bugprone-use-after-move): that is the mistake
        }
        static Task<void> start(Io io) {
            Scope scope(io, "scope");
            Task<void> first = nothing();
            scope.spawn("first", std::move(first));
            scope.spawn("again", std::move(first)); // NOLINT(bugprone-use-after-move)
            (void)co_await scope.join();
        }
        static Task<void> await_future(Io io) {
            auto first = io.async(&nothing);
            const auto second = std::move(first);
            co_await first; // NOLINT(bugprone-use-after-move)
        }
    };
    const Io io = worker->io();
    EXPECT_DEATH(io.run("test", Body::await(io)), "a task is awaited after it was moved");
    EXPECT_DEATH(io.run("test", Body::start(io)), "a task is started after it was moved");
    EXPECT_DEATH(io.run("test", Body::await_future(io)), "a future is used after it was moved");
}

TEST(WorkerDeathTest, on_a_ring_is_run_by_the_thread_that_made_it) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto worker = *Worker::create();
    if (worker->ring() == nullptr) {
        GTEST_SKIP() << "epoll does not mind";
    }
    struct Body {
        static Task<void> run(Io io) { (void)co_await io.sleep_for(std::chrono::milliseconds(1)); }
    };
    EXPECT_DEATH(
        std::thread([&] { worker->run("elsewhere", Body::run(worker->io())); }).join(),
        "by the thread that made it"
    );
}

TEST(MutexDeathTest, must_not_end_while_somebody_waits) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    struct Body {
        static Task<Result<void>> lock(Mutex& mutex) {
            co_return (co_await mutex.lock()).transform([](Mutex::Lock) {});
        }
        static Task<void> run(Io io) {
            auto mutex = std::make_unique<Mutex>();
            const Mutex::Lock held = mutex->try_lock();
            auto waiting = io.async(lock, std::ref(*mutex));
            (void)co_await io.yield();
            mutex.reset();
        }
    };
    EXPECT_DEATH(
        {
            auto worker = Worker::create();
            (*worker)->run("root", Body::run((*worker)->io()));
        },
        "nobody waits in a queue that ends"
    );
}

TEST(BufferPoolDeathTest, must_outlive_its_chunks_on_a_ring_and_off_it) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto end_before_a_chunk = [](std::unique_ptr<Worker> worker) {
        auto pool = *BufferPool::create(worker->io(), 4, 64);
        std::uint16_t buffer = 0;
        if (pool->is_on_ring()) {
            pool->picked();
        } else {
            ASSERT_TRUE(pool->take(buffer));
        }
        const Chunk chunk(*pool, buffer, 1);
        pool.reset();
    };
    EXPECT_DEATH(end_before_a_chunk(*Worker::create()), "ends before one of its chunks");
    EXPECT_DEATH(
        end_before_a_chunk(std::make_unique<Worker>(*EpollQueue::create({}, "a test"))),
        "ends before one of its chunks"
    );
}
