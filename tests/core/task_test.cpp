#include <zsync/core/event.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <fcntl.h>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

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

Task<Result<int>> add(int a, int b) { co_return a + b; }

Task<Result<int>> add_three(int a, int b, int c) {
    ZCO_TRY(const int ab, co_await add(a, b));
    ZCO_TRY(const int abc, co_await add(ab, c));
    co_return abc;
}

#ifndef ZSYNC_SANITIZED
Task<int> count_down(int depth) {
    if (depth == 0) {
        co_return 0;
    }
    co_return 1 + co_await count_down(depth - 1);
}
#endif

Task<Result<void>> sleep_forever(Io io) { co_return co_await io.sleep_for(24h); }

} // namespace

TEST(Task, awaits_children_and_passes_errors_up) {
    const auto worker = make_worker();
    EXPECT_EQ(worker->run("sum", add_three(1, 2, 3)), 6);
    EXPECT_EQ(worker->task_count(), 0U);
}

// Sanitizer builds neither pool frames nor turn symmetric transfer into a tail call.
#ifndef ZSYNC_SANITIZED
TEST(Task, frames_are_reused) {
    const auto worker = make_worker();
    (void)worker->run("warm", add_three(1, 2, 3));
    const std::uint64_t before = frame_pool_stats().heap;
    const std::uint64_t live = frame_pool_stats().live;
    for (int i = 0; i < 100; ++i) {
        (void)worker->run("sum", add_three(1, 2, 3));
    }
    EXPECT_EQ(frame_pool_stats().heap, before);
    EXPECT_EQ(frame_pool_stats().live, live);
}

TEST(Task, deep_chains_do_not_grow_the_stack_when_they_end) {
    const auto worker = make_worker();
    EXPECT_EQ(worker->run("deep", count_down(100000)), 100000);
}

#endif

TEST(Registry, knows_every_task_its_parent_and_where_it_waits) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            Scope scope(io, "scope");
            scope.spawn("sleeper", sleep_forever(io));
            ZCO_CHECK(co_await io.yield());
            const std::vector<TaskInfo> tasks = io.executor().tasks();
            EXPECT_EQ(tasks.size(), 2U);
            EXPECT_EQ(tasks[0].name, "root");
            EXPECT_EQ(tasks[0].state, "running");
            EXPECT_EQ(tasks[1].name, "sleeper");
            EXPECT_EQ(tasks[1].parent, tasks[0].id);
            EXPECT_EQ(tasks[1].state, "waiting: sleep");
            EXPECT_NE(tasks[1].where.find("task_test.cpp:"), std::string::npos);
            scope.cancel();
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Registry, lists_a_tree_that_is_deeper_than_a_fibers_stack) {
    const auto worker = make_worker();
    static constexpr int depth = 20'000;
    struct Body {
        // NOLINTNEXTLINE(misc-no-recursion): that is the point
        static Task<Result<void>> nest(Io io, int left, Event& deep, Event& end) {
            if (left == 0) {
                deep.set();
                co_return co_await end.wait();
            }
            Scope scope(io, "level");
            scope.spawn("nested", nest, io, left - 1, std::ref(deep), std::ref(end));
            co_return co_await scope.join();
        }
        static std::size_t count(Worker& worker) {
            EXPECT_GT(worker.stats().resumes, std::uint64_t{depth});
            return worker.tasks().size();
        }
        static Task<Result<void>> run(Worker& worker) {
            Event deep;
            Event end;
            Scope scope(worker.io(), "scope");
            scope.spawn("nested", nest, worker.io(), depth, std::ref(deep), std::ref(end));
            ZCO_CHECK(co_await deep.wait());
            EXPECT_EQ(co_await worker.fiber_io().async(count, std::ref(worker)), depth + 3U);
            end.set();
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(*worker)));
}

TEST(Cancel, reaches_the_end_of_a_tree_that_is_deeper_than_a_fibers_stack) {
    const auto worker = make_worker();
    struct Body {
        // NOLINTNEXTLINE(misc-no-recursion): that is the point
        static Task<Result<void>> nest(Io io, int left, Event& deep) {
            if (left == 0) {
                deep.set();
                co_return co_await io.sleep_for(1h);
            }
            if (left % 2 == 0) {
                auto nested = io.async(nest, io, left - 1, std::ref(deep));
                co_return co_await nested;
            }
            Scope scope(io, "level");
            scope.spawn("nested", nest, io, left - 1, std::ref(deep));
            co_return co_await scope.join();
        }
        static Task<Result<void>> run(Worker& worker) {
            Event deep;
            auto tree = worker.io().async(nest, worker.io(), 20'000, std::ref(deep));
            ZCO_CHECK(co_await deep.wait());
            co_await worker.fiber_io().async([&tree] { tree.request_cancel(); });
            EXPECT_TRUE((co_await tree).error().is_canceled());
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(*worker)));
}

TEST(Io, an_idle_worker_does_not_wake_up) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            const auto& self = static_cast<Worker&>(io.executor());
            const std::uint64_t before = self.turns();
            ZCO_CHECK(co_await io.sleep_for(300ms));
            EXPECT_LE(self.turns() - before, 2U);
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

namespace {

constexpr std::size_t read_bytes = 8;

Task<Result<void>> read_at(Io io, FdRef file, std::uint64_t offset) {
    std::array<std::byte, read_bytes> buffer{};
    co_return (co_await io.read(file, std::span(buffer), offset)).count.transform([](auto) {});
}

/// Calls of the kernel for so many reads that are started in one turn. What they want is written to
/// `pipe`, if there is one, when all are on their way.
Task<Result<std::uint64_t>>
calls_for(Io io, FdRef file, std::size_t reads, std::uint64_t offset, int pipe) {
    const auto& worker = static_cast<Worker&>(io.executor());
    Scope readers(io, "readers");
    for (std::size_t n = 0; n < reads; ++n) {
        readers.spawn("reader", read_at(io, file, offset));
    }
    if (pipe >= 0) {
        readers.spawn("writer", [pipe, reads] {
            const std::string text(reads * read_bytes, 'x');
            EXPECT_EQ(::write(pipe, text.data(), text.size()), std::ssize(text));
        });
    }
    const std::uint64_t before = worker.stats().enters;
    ZCO_CHECK(co_await readers.join());
    co_return worker.stats().enters - before;
}

} // namespace

TEST(Io, a_disk_is_given_work_before_all_of_a_turn_is_queued) {
    const auto worker = make_worker();
    if (worker->ring() == nullptr) {
        GTEST_SKIP() << "on epoll each is a system call of its own";
    }
    const auto calls = [&worker](
                           const Fd& file, std::size_t reads, std::uint64_t offset, int pipe = -1
                       ) {
        return worker->run("root", calls_for(worker->io(), file, reads, offset, pipe)).value_or(0);
    };
    const Fd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC)); // gives them at once, as a cache
    const std::size_t some = limits::early_file_transfers;
    EXPECT_EQ(calls(zeros, some - 1, 0), 1U);
    EXPECT_EQ(calls(zeros, some, 0), 2U);
    EXPECT_EQ(calls(zeros, 2 * some + 1, 0), 3U);
    // Pipes, sockets and files that are read on from where they are wait for the turn's end.
    EXPECT_EQ(calls(zeros, 2 * some + 1, Io::current_position), 1U);
    // Where nothing ends at once, as on a disk, parts are smaller from the second on. A ring reads
    // an empty pipe at a place as well, when it is written.
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const std::array<Fd, 2> pipe{Fd(ends[0]), Fd(ends[1])};
    EXPECT_GT(calls(pipe[0], 2 * some + 1, 0, pipe[1].get()), some / limits::early_disk_transfers);
    EXPECT_EQ(calls(zeros, limits::early_disk_transfers, 0), 2U);
    EXPECT_EQ(calls(zeros, some - 1, 0), 1U) << "the last ones had ended at once";
}

TEST(Offload, runs_on_another_thread_and_gives_the_result_back) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<pid_t>> run(Io io) {
            co_return co_await io.offload([] { return ::gettid(); });
        }
    };
    const auto thread = worker->run("root", Body::run(worker->io()));
    ASSERT_TRUE(thread);
    EXPECT_NE(*thread, ::gettid());
}
