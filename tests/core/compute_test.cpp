// Calls on other threads: those that compute, what they fork, and those that block.
#include <zsync/core/compute_pool.hpp>
#include <zsync/core/epoll_queue.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/simulation.hpp>
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/work_deque.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <sched.h>
#include <semaphore>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace zsync {
namespace {

using namespace std::chrono_literals;

TEST(WorkDeque, gives_its_owner_the_newest_and_thieves_the_oldest) {
    WorkDeque<int, 4> deque;
    std::vector<int> items{0, 1, 2, 3, 4};
    for (std::size_t n = 0; n < 4; ++n) {
        EXPECT_TRUE(deque.push(items[n]));
    }
    EXPECT_FALSE(deque.push(items[4]));
    EXPECT_EQ(deque.steal(), &items[0]);
    EXPECT_TRUE(deque.push(items[4]));
    EXPECT_EQ(deque.pop(), &items[4]);
    EXPECT_EQ(deque.pop(), &items[3]);
    EXPECT_EQ(deque.steal(), &items[1]);
    EXPECT_EQ(deque.pop(), &items[2]);
    EXPECT_EQ(deque.pop(), nullptr);
    EXPECT_EQ(deque.steal(), nullptr);
    EXPECT_TRUE(deque.empty());
}

TEST(WorkDeque, every_item_is_taken_once_while_owner_and_thieves_race) {
    constexpr int count = 20'000;
    WorkDeque<std::atomic<int>, 8> deque;
    std::vector<std::atomic<int>> items(count);
    std::atomic<bool> stop = false;
    std::vector<std::thread> thieves;
    for (int n = 0; n < 3; ++n) {
        thieves.emplace_back([&] {
            while (!stop.load()) {
                if (std::atomic<int>* item = deque.steal()) {
                    item->fetch_add(1);
                }
            }
        });
    }
    for (int n = 0; n < count; ++n) {
        while (!deque.push(items[static_cast<std::size_t>(n)])) {
            if (std::atomic<int>* item = deque.pop()) {
                item->fetch_add(1);
            }
        }
        if (n % 3 == 0) {
            if (std::atomic<int>* item = deque.pop()) {
                item->fetch_add(1);
            }
        }
    }
    while (std::atomic<int>* item = deque.pop()) {
        item->fetch_add(1);
    }
    while (!deque.empty()) {
        std::this_thread::yield();
    }
    stop = true;
    for (std::thread& thief : thieves) {
        thief.join();
    }
    EXPECT_TRUE(std::ranges::all_of(items, [](const auto& item) { return item == 1; }));
}

/// A worker and a pool of its own.
class ComputeTest : public testing::TestWithParam<TaskKind> {
protected:
    Io io() { return {*worker_, GetParam()}; }
    template <class Body> void run(std::uint32_t threads, Body body) {
        ComputePool pool(threads);
        worker_->compute_on(pool);
        const Result<void> result = io().run("test", body(io(), std::ref(pool)));
        EXPECT_TRUE(result) << result.error().message();
    }

private:
    std::unique_ptr<Worker> worker_ = *Worker::create();
};
INSTANTIATE_TEST_SUITE_P(
    Kinds,
    ComputeTest,
    testing::Values(TaskKind::coroutine, TaskKind::fiber),
    [](const testing::TestParamInfo<TaskKind>& kind) { return std::string(name_of(kind.param)); }
);

int fibonacci(int n) {
    if (n < 2) {
        return n;
    }
    int a = 0;
    int b = 0;
    fork_join([&] { a = fibonacci(n - 1); }, [&] { b = fibonacci(n - 2); });
    return a + b;
}

Task<Result<int>> compute_fibonacci(Io io, int n) {
    co_return co_await io.compute([n] { return fibonacci(n); });
}

TEST_P(ComputeTest, a_call_runs_on_another_thread_and_keeps_its_own_error) {
    run(2, [](Io io, ComputePool& pool) -> Task<Result<void>> {
        const Result<pid_t> thread = co_await io.compute([] { return ::gettid(); });
        EXPECT_NE(*thread, ::gettid());
        const Outcome<int> fault = co_await io.compute([]() -> Outcome<int> {
            return fail(CoreError::unsupported, "no such thing");
        });
        EXPECT_EQ(fault.error().message(), "no such thing");
        EXPECT_EQ(pool.stats().calls, 2U);
        // It lets workers, which are woken to answer, come first.
        EXPECT_EQ(co_await io.compute([] { return ::sched_getscheduler(0); }), SCHED_BATCH);
        co_return {};
    });
}

TEST_P(ComputeTest, two_halves_of_a_fork_run_at_the_same_time) {
    run(2, [](Io io, ComputePool& pool) -> Task<Result<void>> {
        for (int n = 0; n < 20; ++n) {
            ZCO_CHECK(co_await io.compute([] {
                std::binary_semaphore there(0);
                std::binary_semaphore here(0);
                fork_join( // neither half ends without the other
                    [&] {
                        here.release();
                        there.acquire();
                    },
                    [&] {
                        there.release();
                        here.acquire();
                    }
                );
            }));
        }
        EXPECT_EQ(pool.stats().forks, 20U);
        EXPECT_EQ(pool.stats().steals, 20U);
        EXPECT_EQ(pool.stats().threads, 2U);
        co_return {};
    });
}

TEST_P(ComputeTest, forks_inside_forks_give_what_calls_would) {
    run(4, [](Io io, ComputePool& pool) -> Task<Result<void>> {
        JoinSet<Result<int>> set(io);
        for (int n = 0; n < 4; ++n) {
            set.spawn(compute_fibonacci, io, 15);
        }
        while (Result<Result<int>> result = co_await set.next()) {
            EXPECT_EQ(**result, 610);
        }
        EXPECT_EQ(pool.stats().calls, 4U);
        co_return {};
    });
}

TEST_P(ComputeTest, parallel_for_covers_its_range_once_in_parts_of_the_grain) {
    run(3, [](Io io, ComputePool& pool) -> Task<Result<void>> {
        for (const std::size_t count : {0U, 1U, 7U, 1000U, 65536U}) {
            std::vector<std::uint8_t> seen(count);
            std::atomic<std::size_t> parts = 0;
            ZCO_CHECK(co_await io.compute([&] {
                parallel_for(0, seen.size(), 16, [&](std::size_t from, std::size_t to) {
                    ++parts;
                    EXPECT_LE(to - from, 16U);
                    for (std::size_t n = from; n < to; ++n) {
                        ++seen[n];
                    }
                });
            }));
            EXPECT_EQ(parts, (count + 15) / 16);
            EXPECT_TRUE(std::ranges::all_of(seen, [](std::uint8_t times) { return times == 1; }));
        }
        EXPECT_GE(pool.stats().forks, 4095U);
        co_return {};
    });
}

TEST(Compute, forks_outside_of_a_pool_run_one_after_the_other) {
    std::vector<std::size_t> parts;
    parallel_for(0, 100, 30, [&](std::size_t from, std::size_t to) {
        parts.push_back(from);
        parts.push_back(to);
    });
    EXPECT_EQ(parts, (std::vector<std::size_t>{0, 30, 30, 60, 60, 90, 90, 100}));
    EXPECT_EQ(fibonacci(10), 55);
}

/// Keeps threads of a pool busy until it is opened.
struct Gate {
    std::counting_semaphore<> begun{0};
    std::counting_semaphore<> open{0};
};

Task<Result<void>> hold(Io /*io*/, Gate& gate, CallKind kind) {
    auto call = [&gate] {
        gate.begun.release();
        gate.open.acquire();
    };
    co_return co_await OffloadWait(call, kind);
}
Task<Result<void>> nothing(Io /*io*/, CallKind kind) {
    co_return co_await OffloadWait([] {}, kind);
}

TEST_P(ComputeTest, a_queued_call_is_cancelled_at_once_and_a_begun_one_is_finished) {
    run(1, [](Io io, ComputePool& pool) -> Task<Result<void>> {
        Gate gate;
        Future<Result<void>> held = io.async(hold, io, std::ref(gate), CallKind::compute);
        ZCO_CHECK(co_await io.offload([&gate] { gate.begun.acquire(); }));
        Future<Result<void>> queued = io.async(nothing, io, CallKind::compute);
        ZCO_CHECK(co_await io.yield());
        EXPECT_EQ((co_await queued.cancel()).error(), Error(CoreError::canceled));
        held.request_cancel();
        gate.open.release();
        EXPECT_TRUE(co_await held);
        EXPECT_EQ(pool.stats().calls, 1U);
        co_return {};
    });
}

TEST_P(ComputeTest, takes_as_many_calls_as_its_queue_has_room_for) {
    run(1, [](Io io, ComputePool&) -> Task<Result<void>> {
        for (const CallKind kind : {CallKind::compute, CallKind::blocking}) {
            const bool blocking = kind == CallKind::blocking;
            const std::size_t busy = blocking ? limits::offload_threads_max : 1;
            const std::size_t queue =
                blocking ? limits::offload_queue_max : limits::compute_queue_max;
            Gate gate;
            JoinSet<Result<void>> held(io);
            for (std::size_t n = 0; n < busy; ++n) {
                held.spawn(hold, io, std::ref(gate), kind);
                ZCO_CHECK(co_await io.yield());
                gate.begun.acquire(); // begun, so it has left the queue
            }
            JoinSet<Result<void>> queued(io);
            for (std::size_t n = 0; n < queue; ++n) {
                queued.spawn(nothing, io, kind);
            }
            ZCO_CHECK(co_await io.yield());
            EXPECT_EQ((co_await nothing(io, kind)).error(), Error(CoreError::limit_reached));
            gate.open.release(static_cast<std::ptrdiff_t>(busy));
            for (JoinSet<Result<void>>* set : {&held, &queued}) {
                while (Result<Result<void>> result = co_await set->next()) {
                    EXPECT_TRUE(*result);
                }
            }
        }
        co_return {};
    });
}

TEST_P(ComputeTest, blocked_calls_take_no_thread_from_computing_ones) {
    run(1, [](Io io, ComputePool&) -> Task<Result<void>> {
        Gate gate;
        JoinSet<Result<void>> blocked(io);
        constexpr std::ptrdiff_t count = limits::offload_threads_max + 10;
        for (std::ptrdiff_t n = 0; n < count; ++n) {
            blocked.spawn(hold, io, std::ref(gate), CallKind::blocking);
        }
        EXPECT_EQ(co_await io.compute([] { return 42; }), 42);
        gate.open.release(count);
        while (Result<Result<void>> result = co_await blocked.next()) {
            EXPECT_TRUE(*result);
        }
        co_return {};
    });
}

TEST(Compute, workers_share_one_pool) {
    const std::uint64_t before = ComputePool::shared().stats().calls;
    const auto group = *WorkerGroup::create(3);
    const auto worker = *Worker::create();
    struct Body {
        static Task<Result<int>> sum(Io io) {
            int sum = 0;
            for (int n = 0; n < 100; ++n) {
                ZCO_TRY(const int one, co_await io.compute([] { return fibonacci(5); }));
                sum += one;
            }
            co_return sum;
        }
        static Task<Result<void>> run(Io io, WorkerGroup& group) {
            JoinSet<Result<int>> sums(io);
            for (std::size_t n = 0; n < group.size(); ++n) {
                sums.spawn(&ask, group[n]);
            }
            while (Result<Result<int>> result = co_await sums.next()) {
                EXPECT_EQ(*result, 500);
            }
            co_return {};
        }
        static Task<Result<int>> ask(WorkerAddress there) {
            co_return co_await there.call("sum", &sum);
        }
    };
    EXPECT_TRUE(worker->run("test", Body::run(worker->io(), *group)));
    EXPECT_EQ(ComputePool::shared().stats().calls - before, 300U);
}

TEST(Compute, runs_where_it_is_in_a_simulation_and_on_a_thread) {
    struct Body {
        static Task<Result<pid_t>> run(Io io) {
            co_return co_await io.compute([] { return ::gettid(); });
        }
    };
    Simulation simulation(1);
    EXPECT_EQ(simulation.worker().run("test", Body::run(simulation.worker().io())), ::gettid());
    const auto threads = *ThreadExecutor::create();
    EXPECT_EQ(threads->io().run("test", Body::run(threads->io())), ::gettid());
}

// Sanitizers take what the parent's threads have for leaks of the child, and start no threads in
// it.
#ifndef ZSYNC_SANITIZED
/// How a child ends that does this.
template <class Does> int status_of_child(Does does) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(30); // one that hangs ends too
        does();
        ::_exit(99);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
}

TEST(Compute, a_forked_child_destroys_what_has_threads_in_its_parent) {
    const auto stat_and_compute = [](Io io) -> Task<int> {
        const bool found = (co_await io.stat("/")).has_value();
        co_return found ? (co_await io.compute([] { return 7; })).value_or(0) : 0;
    };
    struct Sleeper {
        static Task<void> sleep(Io io) { (void)co_await io.sleep_for(1ms); }
        static Task<void> run(Io io) { co_await io.async(&sleep, io); }
    };
    auto pool = std::make_unique<ComputePool>(2);
    auto epoll = std::make_unique<Worker>(*EpollQueue::create({}, "a test"));
    epoll->compute_on(*pool);
    EXPECT_EQ(epoll->run("test", stat_and_compute(epoll->io())), 7);
    auto threads = *ThreadExecutor::create();
    threads->io().run("test", Sleeper::run(threads->io()));
    EXPECT_EQ(threads->thread_count(), 1U);
    auto group = *WorkerGroup::create(2);
    const int ended = status_of_child([&] {
        group.reset();
        threads.reset();
        epoll.reset();
        pool.reset();
        std::exit(3);
    });
    EXPECT_TRUE(WIFEXITED(ended)) << ended;
    EXPECT_EQ(WEXITSTATUS(ended), 3);
    // The parent's go on.
    EXPECT_EQ(epoll->run("test", stat_and_compute(epoll->io())), 7);
    threads->io().run("test", Sleeper::run(threads->io()));
}

TEST(Compute, a_forked_child_that_has_no_threads_ends_and_computes) {
    const auto seven = [](Io io) -> Task<int> {
        co_return (co_await io.compute([] { return 7; })).value_or(0);
    };
    const auto worker = *Worker::create();
    EXPECT_EQ(worker->run("test", seven(worker->io())), 7); // there are threads in this process
    const int ended = status_of_child([] { std::exit(3); });
    EXPECT_TRUE(WIFEXITED(ended)) << ended;
    EXPECT_EQ(WEXITSTATUS(ended), 3);
    const int computed = status_of_child([&seven] {
        const auto another = *Worker::create();
        std::exit(another->run("test", seven(another->io())));
    });
    EXPECT_TRUE(WIFEXITED(computed)) << computed;
    EXPECT_EQ(WEXITSTATUS(computed), 7);
    EXPECT_EQ(worker->run("test", seven(worker->io())), 7);
}
#endif

volatile std::sig_atomic_t faults = 0;

TEST(Offload, a_calls_own_faults_reach_the_programs_handler) {
    const auto worker = *Worker::create();
    struct Body {
        static Task<Result<void>> run(Io io, int fault) {
            ZCO_CHECK(co_await io.offload([fault] { (void)::raise(fault); }));
            co_return co_await io.compute([fault] { (void)::raise(fault); });
        }
    };
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
        struct sigaction handler{};
        struct sigaction before{};
        handler.sa_handler = [](int) { faults = faults + 1; };
        ::sigaction(fault, &handler, &before);
        faults = 0;
        EXPECT_TRUE(worker->run("test", Body::run(worker->io(), fault)));
        EXPECT_EQ(faults, 2) << strsignal(fault);
        ::sigaction(fault, &before, nullptr);
    }
}

TEST(Compute, a_pool_has_one_thread_to_its_limit) {
    EXPECT_DEATH(ComputePool(0), "compute_threads_max");
    EXPECT_DEATH(ComputePool(limits::compute_threads_max + 1), "compute_threads_max");
    const ComputePool most(limits::compute_threads_max);
    EXPECT_EQ(most.stats().threads, 0U); // none before it is needed
}

} // namespace
} // namespace zsync
